"""Token files of ESCounts and D2-STX, written by anybody, load through the commands."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from commands import one_line, racctl
from poses import swinging_pose

from racctl.io.escounts_layout import holds_tokens
from racctl.io.npz import pose_bytes, read_features

VIDEO = np.random.default_rng(0).normal(size=(5, 6, 8, 2, 2)).astype(np.float32)
POSE = np.random.default_rng(1).normal(size=(5, 7, 16, 25, 1)).astype(np.float32)


@pytest.fixture
def tokens(tmp_path):
    np.savez(tmp_path / "clip.npz", VIDEO)
    np.save(tmp_path / "joints.npy", POSE)
    return tmp_path


def encoded(*words):
    done = racctl("encode", *words)
    assert done.returncode == 0, done.stderr.decode()
    return read_features(io.BytesIO(done.stdout), "features")


def test_both_branches_become_features(tokens):
    features = encoded(tokens / "clip.npz", "--pose", tokens / "joints.npy")
    assert np.array_equal(features.video, VIDEO.astype(np.float16))
    assert np.array_equal(features.pose, POSE.astype(np.float16))
    assert features.start.tolist() == [0, 16, 32, 48, 64] and features.stop.tolist() == [64, 80, 80, 80, 80]
    assert features.clip == "clip" and (features.meta["window"], features.meta["stride"]) == (64, 16)
    assert len(features.meta["steps"][-1]["inputs"]) == 2


def test_a_plain_array_of_one_branch_does(tokens):
    features = encoded(tokens / "joints.npy", "--window", 32, "--stride", 8)
    assert features.video is None and features.pose.shape == POSE.shape
    assert features.start.tolist() == [0, 8, 16, 24, 32]


def test_what_racctl_wrote_in_their_layout_comes_back_whole(tmp_path):
    (tmp_path / "p.npz").write_bytes(pose_bytes(swinging_pose()))
    words = ["encode", tmp_path / "p.npz", "--encoder", "none", "--rate", 0]
    assert racctl(*words, "--layout", "escounts", "-o", tmp_path / "out").returncode == 0
    (target,) = (tmp_path / "out").rglob("*.npz")
    whole = encoded(*words[1:], "--encoder", "none")
    again = encoded(target)
    assert again.meta["pose"] == whole.meta["pose"] and again.meta["ticks"] == whole.meta["ticks"]
    assert again.pose.shape == whole.pose.shape and np.array_equal(again.start, whole.start)


def test_count_reads_them_as_features(tmp_path):
    (tmp_path / "p.npz").write_bytes(pose_bytes(swinging_pose()))
    words = ["encode", tmp_path / "p.npz", "--encoder", "none", "--rate", 15, "--stride", 32]
    assert racctl(*words, "--layout", "escounts", "-o", tmp_path / "out").returncode == 0
    (target,) = (tmp_path / "out").rglob("*.npz")
    done = racctl("count", target, "--model", "d2stx", "--format", "json")
    assert done.returncode == 0, done.stderr.decode()
    (row,) = json.loads(done.stdout)
    assert row["clip"] == "p" and row["count"] > 0


def test_what_does_not_fit_is_one_line(tokens, tmp_path):
    np.savez(tmp_path / "short.npz", VIDEO[:2])
    np.save(tmp_path / "broken.npy", np.full((1, 1, 1, 1, 1), np.nan, np.float32))
    np.save(tmp_path / "none.npy", np.zeros((0, 1, 1, 1, 1), np.float32))
    for words, code, message in (
        ([tokens / "clip.npz", "--pose", tokens / "clip.npz"], 1, "one of each branch"),
        ([tokens / "joints.npy", "--pose", tmp_path / "short.npz"], 1, "unlike the other branch"),
        ([tmp_path / "broken.npy"], 1, "not finite"),
        ([tmp_path / "none.npy"], 1, "no window"),
        ([tokens / "clip.npz", "--video", tokens / "clip.npz"], 2, "holds tokens already"),
    ):
        assert message in one_line(racctl("encode", *words), code)
    assert "another rate" in one_line(racctl("count", tokens / "joints.npy", "--model", "d2stx"), 1)


def test_nothing_else_passes_for_tokens():
    for raw in (b"", b"PK\x03\x04", b"\x93NUMPY\x09\x00", pose_bytes(swinging_pose()), b"text"):
        assert not holds_tokens(io.BytesIO(raw))
    plain = io.BytesIO()
    np.save(plain, np.zeros((3, 99), np.float32))
    assert not holds_tokens(plain)
