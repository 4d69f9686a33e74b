"""Many clips in one command: one file or one table, resumed, and on past a bad one."""

from __future__ import annotations

import csv
import io
import itertools
import subprocess
import time

import pytest
from clips import bouncing, write_clip
from commands import RACCTL, afresh, one_line, racctl
from poses import swinging_pose

from racctl.io.npz import pose_bytes


def rows(done):
    return list(csv.DictReader(io.StringIO(done.stdout.decode())))


@pytest.fixture
def poses(tmp_path):
    paths = []
    for name, frames in (("a", 150), ("b", 90), ("c", 120)):
        path = tmp_path / f"{name}.pose.npz"
        meta = {"clip": name, "topology": "blazepose33", "source": {"sha256": name * 64}, "steps": []}
        path.write_bytes(pose_bytes(swinging_pose(frames, meta=meta)))
        paths.append(path)
    return paths


def test_many_clips_make_one_table_in_the_order_given(poses):
    done = racctl("count", *reversed(poses), "--format", "csv")
    assert done.returncode == 0, done.stderr
    assert [(row["clip"], float(row["count"])) for row in rows(done)] == [("c", 4), ("b", 3), ("a", 5)]


def test_one_bad_clip_does_not_end_the_run(poses, tmp_path):
    bad = tmp_path / "bad.npz"
    bad.write_bytes(b"nonsense")
    done = racctl("count", *poses, bad, tmp_path / "missing.npz", "--format", "csv")
    assert done.returncode == 3
    assert [row["clip"] for row in rows(done)] == ["a", "b", "c"]
    lines = done.stderr.decode().splitlines()
    assert str(bad) in lines[0]
    assert "does not exist" in lines[1]
    assert lines[2] == "racctl count: 2 of 5 inputs failed, the others are done"


def test_all_bad_is_exit_1(tmp_path):
    for name in "ab":
        (tmp_path / name).write_bytes(b"nonsense")
    done = racctl("count", tmp_path / "a", tmp_path / "b", "--format", "csv")
    assert done.returncode == 1
    assert done.stdout == b""
    assert done.stderr.decode().splitlines()[-1] == "racctl count: all 2 inputs failed"


def test_two_inputs_of_one_name_are_refused(tmp_path):
    message = one_line(racctl("count", tmp_path / "x" / "a.mp4", tmp_path / "y" / "a.mp4"), 2)
    assert "two inputs are both called 'a'" in message


@pytest.mark.parametrize(("tool", "suffix"), [("count", "counts.parquet"), ("remap-joints", "pose.npz")])
def test_a_directory_gets_one_file_per_clip(tool, suffix, poses, tmp_path):
    assert racctl(tool, *poses, "-o", tmp_path / "out").returncode == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {f"{name}.{suffix}" for name in "abc"}


def test_what_is_current_is_skipped_and_changed_options_are_not(poses, tmp_path):
    def stamps(*words):
        assert racctl("count", *poses, "-o", f"{tmp_path}/out/", *words).returncode == 0
        return {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}

    first = stamps()
    assert stamps() == first
    again = stamps("--alternating", "pair")
    assert all(again[name] != first[name] for name in first)
    poses[0].write_bytes(pose_bytes(swinging_pose(60, meta={"clip": "a", "source": {"sha256": "new"}, "steps": []})))
    last = stamps("--alternating", "pair")
    assert last["a.counts.parquet"] != again["a.counts.parquet"]
    assert last["b.counts.parquet"] == again["b.counts.parquet"]


def test_an_input_is_never_its_own_output(poses, tmp_path):
    before = poses[0].read_bytes()
    message = one_line(racctl("remap-joints", poses[0], "-o", f"{tmp_path}/"), 2)
    assert "is the input itself" in message
    assert poses[0].read_bytes() == before


def test_a_killed_batch_of_videos_is_resumed_to_the_same_bytes(tmp_path):
    clips = [write_clip(tmp_path / f"{name}.mp4", bouncing(40, 20)) for name in "abcd"]
    assert racctl("pose", *clips, "-o", tmp_path / "whole").returncode == 0
    process = subprocess.Popen([RACCTL, "pose", *map(str, clips), "--jobs", "1", "-o", f"{tmp_path}/part/"])
    while not list((tmp_path / "part").glob("*.npz")) if (tmp_path / "part").is_dir() else True:
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert racctl("pose", *clips, "-o", tmp_path / "part").returncode == 0
    for clip in clips:
        name = f"{clip.stem}.pose.npz"
        assert (tmp_path / "part" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_pipe_and_a_file_and_any_number_of_jobs_give_the_same_bytes(tmp_path):
    clip = write_clip(tmp_path / "a.mp4", bouncing(130, 26))
    piped = afresh("pose", clip, "--jobs", "2").stdout
    assert racctl("pose", clip, "--jobs", "1", "-o", tmp_path / "p.npz").returncode == 0
    assert (tmp_path / "p.npz").read_bytes() == piped
    assert racctl("pose", "a.mp4", cwd=tmp_path).stdout == piped
    counted = racctl("count", stdin=piped).stdout
    assert counted == afresh("count", clip).stdout == racctl("count", tmp_path / "p.npz").stdout


def test_the_documented_pipe(tmp_path):
    moves = bouncing(130, 26)
    still = [moves[0]] * 15
    clip = write_clip(tmp_path / "clip.mp4", [*still, *moves, *still], audio=True)
    script = f"set -o pipefail; '{RACCTL}' pose clip.mp4 | '{RACCTL}' remap-joints > p.npz && '{RACCTL}' info p.npz"
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "topology" in done.stdout
    assert "d2stx25" in done.stdout
    assert done.stderr == ""
    done = racctl("count", clip, "--format", "csv", "--reps")
    counted = rows(done)
    assert len(counted) == 5
    for first, second in itertools.pairwise(counted):
        assert int(first["start"]) < int(first["stop"]) <= int(second["start"])
    for row in counted:
        assert float(row["start_s"]) == pytest.approx(int(row["start"]) / 25, abs=1e-3)
        assert 0.5 < float(row["stop_s"]) - float(row["start_s"]) < 1.1
