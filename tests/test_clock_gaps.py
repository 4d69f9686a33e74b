"""A clock that jumps, as a camera's does when it is set, makes no work for the time that it jumps over."""

from __future__ import annotations

import re

import numpy as np
import pytest
from commands import in_process
from hypothesis import given
from hypothesis import strategies as st
from poses import swinging_pose

from racctl.io.npz import pose_bytes
from racctl.recognisers.inputs import Look, gather_joints
from racctl.video.decode import Frame
from racctl.video.sampling import on_clock
from racctl.windows import MAX_GAP, resampled

JUMP = 20_000.0


def jumping(frames=120, at=60, jump=JUMP):
    pose = swinging_pose(frames)
    pose.time[at:] += jump
    return pose


def test_a_long_gap_has_no_ticks_and_a_short_one_has():
    steady = np.arange(60) / 30
    for gap, ticks in ((JUMP, 120), (MAX_GAP + 0.1, 120), (5.0, 120 + 150 - 1)):
        time = np.concatenate([steady, steady + steady[-1] + gap])
        rows = resampled(time)
        assert len(rows) == ticks and rows[0] == 0 and rows[-1] == 119


@given(st.lists(st.sampled_from([0.02, 0.0333, 0.1, 3.0, 9.0, 11.0, 5000.0]), min_size=1, max_size=40))
def test_frames_and_poses_are_put_on_the_same_clock(steps):
    time = np.cumsum([0.0, *steps])
    frames = [Frame(number, float(at), None) for number, at in enumerate(time)]
    assert [frame.number for frame in on_clock(frames, 30.0)] == resampled(time).tolist()


def test_joints_of_a_jumping_clock():
    streams = gather_joints(jumping(), Look(0, window=16, stride=8, topology="d2stx25", mask=False))
    assert len(streams.frame) == 120 and streams.time[-1] > JUMP


@pytest.mark.parametrize(("tool", "more"), [("classify", ["--whole"]), ("encode", ["--encoder", "none"])])
def test_the_commands_say_it_and_go_on(tmp_path, capsys, tool, more):
    (tmp_path / "p.npz").write_bytes(pose_bytes(jumping()))
    code, message = in_process(capsys, tool, tmp_path / "p.npz", *more, "-o", tmp_path / "out")
    assert code == 0, message
    (line,) = [line for line in message.splitlines() if line.startswith("note: ")]
    assert re.search(r"jumps by 20000(\.1)? s at 1\.9[37] s", line)  # the recogniser reads 15 frames a second
