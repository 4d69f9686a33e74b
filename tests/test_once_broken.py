"""Things that were wrong once, each found by somebody who tried to break the tools."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest
from clips import bouncing, write_clip
from commands import RACCTL, one_line, racctl, wait_for_frames
from masks import estimate, written
from poses import swinging_pose
from test_every_command import parquet, some_truth

from racctl.contracts import Pose
from racctl.counters.count_clip import count
from racctl.errors import DataError
from racctl.io.npz import pose_bytes


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("once") / "clip.mp4", bouncing(130, 26))


def test_stride_start_and_stop_apply_once(clip):
    part = ["--stride", "3", "--start", "0.4", "--stop", "4"]
    direct = racctl("count", clip, *part, "--format", "csv")
    piped = racctl("count", "--format", "csv", stdin=racctl("pose", clip, *part).stdout)
    assert direct.returncode == 0, direct.stderr
    assert direct.stdout == piped.stdout
    assert direct.stdout.splitlines()[1].endswith(b",30")


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("tool", ["pose", "count"])
def test_times_that_are_none(clip, tool, value):
    assert "is not a time" in one_line(racctl(tool, clip, f"--start={value}"), 2)


def test_a_gap_of_a_year_needs_no_memory():
    pose = swinging_pose(300)
    pose.time[200:] += 365 * 86400
    (result,) = count(pose)
    assert len(result.signal) == 300
    assert result.count in (8, 9, 10)
    assert result.seconds()[1][-1] > 365 * 86400


def test_poses_without_depth_are_counted():
    pose = swinging_pose()
    pose.xyz[..., 2] = np.nan
    assert count(pose)[0].count == 5


def test_nobody_in_a_pose_is_an_error():
    pose = swinging_pose()
    none = Pose(pose.xyz[:, :0], pose.score[:, :0], pose.frame, pose.time, pose.track[:0], pose.meta)
    assert "holds nobody" in one_line(racctl("count", stdin=pose_bytes(none)), 1)


def test_a_topology_of_another_size_is_an_error():
    pose = swinging_pose()
    fewer = Pose(pose.xyz[:, :, :25], pose.score[:, :, :25], pose.frame, pose.time, pose.track, pose.meta)
    with pytest.raises(DataError, match="has 25 joints"):
        count(fewer)


@pytest.mark.parametrize("option", ["-o", "--plot", "--overlay"])
def test_the_input_is_never_overwritten(clip, tmp_path, option):
    mine = tmp_path / "own.mp4"
    mine.write_bytes(clip.read_bytes())
    done = racctl("count", mine, option, mine)
    assert done.returncode == 2, done.stderr
    assert mine.read_bytes() == clip.read_bytes()


def test_other_tools_do_not_overwrite_either(tmp_path):
    pose = tmp_path / "p.npz"
    pose.write_bytes(pose_bytes(swinging_pose()))
    counts = tmp_path / "c.parquet"
    counts.write_bytes(parquet())
    truth = some_truth(tmp_path)
    for words in (["info", pose, "-o", pose], ["score", "--truth", truth, counts, "-o", truth]):
        assert "is the input itself" in one_line(racctl(*words), 2)
    assert "two outputs" in one_line(
        racctl("count", pose, "--plot", tmp_path / "a.png", "-o", tmp_path / "a.png", "--format", "csv"), 2
    )


def test_a_path_through_a_file_fails_alone(tmp_path):
    pose = tmp_path / "p.npz"
    pose.write_bytes(pose_bytes(swinging_pose()))
    done = racctl("count", pose / "x.npz", pose, tmp_path / ("n" * 300), "--format", "csv")
    assert done.returncode == 3
    assert b"not a directory" in done.stderr
    assert b"file name too long" in done.stderr
    assert done.stdout.splitlines()[1].startswith(b"swing,0,5.0")


def test_a_file_name_that_is_no_utf8(clip, tmp_path):
    name = os.fsencode(tmp_path) + b"/caf\xe9.mp4"
    with open(name, "wb") as file:
        file.write(clip.read_bytes())
    done = subprocess.run([RACCTL, "count", name, "--format", "csv"], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1].startswith(b"caf?,0,")


METAS = {
    "an endless integer": '{"a": ' + "9" * 5000 + "}",
    "nan": '{"a": NaN}',
    "half a character": '{"clip": "\\ud800"}',
    "weights of another kind": '{"steps": [{"weights": 3}]}',
    "weights in a list of another kind": '{"steps": [{"weights": [3]}]}',
    "clips of another kind": '{"clips": {"a": 3}}',
    "deep": '{"steps": ' + "[" * 900 + "]" * 900 + "}",
}


@pytest.mark.parametrize("name", METAS)
@pytest.mark.parametrize("tool", ["info", "count", "remap-joints"])
def test_hostile_meta(tool, name):
    pose, out = swinging_pose(), io.BytesIO()
    text = METAS[name].replace("{", '{"schema": "racctl.pose/1", ', 1)
    members = {"meta": np.frombuffer(text.encode(), np.uint8), **pose.arrays()}
    with zipfile.ZipFile(out, "w") as archive:
        for key, array in members.items():
            with archive.open(f"{key}.npy", "w") as member:
                np.lib.format.write_array(member, array)
    assert "damaged" in one_line(racctl(tool, stdin=out.getvalue()), 1)


def test_a_meta_cannot_pose_as_the_tools_own_words():
    pose = swinging_pose(meta={"clip": "a", "file": "/etc/passwd", "kind": "trusted", "sha256": "0"})
    about = json.loads(racctl("info", "--format", "json", stdin=pose_bytes(pose)).stdout)
    assert (about["file"], about["kind"], len(about["sha256"])) == ("stdin", "npz", 64)


def test_escape_sequences_do_not_reach_the_terminal():
    pose = swinging_pose(meta={"clip": "\x1b[31mred", "topology": "none"})
    done = racctl("count", stdin=pose_bytes(pose))
    assert done.returncode == 1
    assert b"\x1b" not in done.stderr


def test_an_overlay_of_a_pose_asks_for_the_video(tmp_path):
    done = racctl("count", "--overlay", tmp_path / "a.mp4", stdin=pose_bytes(swinging_pose()))
    assert "name the video to draw on with '--video FILE'" in one_line(done, 2)


def test_a_changed_pose_is_counted_again(tmp_path):
    path, out = tmp_path / "p.npz", tmp_path / "out"
    meta = {"clip": "swing", "topology": "blazepose33", "source": {"sha256": "same"}, "steps": []}
    path.write_bytes(pose_bytes(swinging_pose(150, meta=meta)))
    assert racctl("count", path, "-o", f"{out}/").returncode == 0
    path.write_bytes(pose_bytes(swinging_pose(90, meta=meta)))
    assert racctl("count", path, "-o", f"{out}/").returncode == 0
    table = racctl("info", "--format", "json", out / "p.counts.parquet").stdout
    truth = tmp_path / "truth.csv"
    truth.write_text("clip,count\nswing,3\n")
    scores = json.loads(racctl("score", "--truth", truth, out / "p.counts.parquet", "--format", "json").stdout)
    assert {row["metric"]: row["value"] for row in scores}["OBZ"] == 1, table


def test_two_poses_of_one_clip_name(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.npz").write_bytes(pose_bytes(swinging_pose()))
    assert "both called 'swing'" in one_line(racctl("count", tmp_path / "a.npz", tmp_path / "b.npz"), 1)
    unnamed = pose_bytes(swinging_pose(meta={"clip": "stdin", "topology": "blazepose33"}))
    for name in "ab":
        (tmp_path / f"{name}.npz").write_bytes(unnamed)
    done = racctl("count", tmp_path / "a.npz", tmp_path / "b.npz", "--format", "csv")
    assert [line.split(b",")[0] for line in done.stdout.splitlines()] == [b"clip", b"a", b"b"]


def test_a_closed_stdout_or_stderr(tmp_path):
    truth, counts = some_truth(tmp_path), tmp_path / "c.parquet"
    counts.write_bytes(parquet())
    script = f'"{RACCTL}" score --truth "{truth}" "{counts}" 2>&-'
    assert subprocess.run(["bash", "-c", script], capture_output=True, timeout=60).stdout[:4] == b"PAR1"
    target = tmp_path / "p.npz"
    script = f'"{RACCTL}" remap-joints "{tmp_path}/in.npz" -o "{target}" >&-'
    (tmp_path / "in.npz").write_bytes(pose_bytes(swinging_pose()))
    done = subprocess.run(["bash", "-c", script], capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    assert target.is_file()
    done = subprocess.run(["bash", "-c", f'"{RACCTL}" info "{target}" >&-'], capture_output=True, timeout=60)
    assert done.returncode != 0
    assert b"cannot write to stdout" in done.stderr


def test_the_exit_code_is_the_commands_own(tmp_path):
    """Arrow's threads and torch's used to abort every other process at its exit, with 134."""
    from racctl.io.parquet import table_from_rows, write_table

    rows = [{"clip": "a", "person": 0, "count": 5.0, "low": 5.0, "high": 5.0, "frames": 150}]
    with open(tmp_path / "counts.parquet", "wb") as file:
        write_table(file, table_from_rows("racctl.counts/1", rows))
    code = f"""
import sys, torch
sys.argv = ["racctl", "info", {str(tmp_path / "counts.parquet")!r}]
from racctl.cli.app import main
main()
"""
    for _ in range(8):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, b"")
        assert b"racctl.counts/1" in done.stdout


@pytest.fixture(scope="module")
def long_clips(tmp_path_factory):
    """Three clips that take more than a few seconds each to look at."""
    folder = tmp_path_factory.mktemp("long")
    first = write_clip(folder / "a.mp4", bouncing(30, 15) * 60)
    return [first, *(shutil.copy(first, folder / f"{name}.mp4") for name in "bc")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_batch_ends_soon(long_clips, tmp_path, number):
    process = subprocess.Popen(
        [RACCTL, "pose", *map(str, long_clips), "-o", f"{tmp_path}/out/"], stderr=subprocess.PIPE
    )
    wait_for_frames(process)
    began = time.monotonic()
    process.send_signal(number)
    shown = process.communicate(timeout=30)[1]
    assert time.monotonic() - began < 8
    assert process.returncode == (130 if number == signal.SIGINT else 128 + number), shown
    assert list((tmp_path / "out").iterdir()) == []


def test_little_shared_memory_makes_short_rings(monkeypatch, clip):
    from racctl.estimators import workers

    whole = written(estimate(clip, 2, model="selfie", stop=1.0))
    monkeypatch.setattr(workers, "_free_shared_memory", lambda: 1 << 20)
    assert written(estimate(clip, 2, model="selfie", stop=1.0)) == whole


def test_shared_memory_that_is_not_there_is_one_error(monkeypatch):
    from racctl.estimators import workers

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DataError, match="cannot get 5 MiB of shared memory"):
        workers._shared_memory(5 << 20)
