"""What a command does not need it does not load, and does not ask for."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from clips import bouncing, write_clip
from networks import fill_cache
from poses import swinging_pose
from warm import Warm

from racctl.io.npz import pose_bytes, write_pose

HEAVY = ("torch", "torchvision", "scipy", "pyarrow", "av", "mediapipe", "matplotlib", "sklearn", "ai_edge_litert")


@functools.cache
def light() -> Warm:
    """A process that has imported nothing heavy."""
    return Warm("numpy", "typer._adapters")


def loaded(*words: object, before: str = "") -> tuple[int, list[str], str]:
    """Run a command in a copy of a light process: exit code, which heavy packages it imported, stderr."""
    code = f"""
import sys
{before}
from racctl.cli.app import run
status = run({[str(word) for word in words]!r})
names = {HEAVY!r}
print(status, *(name for name in names if sys.modules.get(name)), file=sys.stderr)
"""
    *printed, last = light().run(code, ["racctl"]).stderr.decode().splitlines()
    status, *packages = last.split()
    return int(status), packages, "\n".join(printed)


@pytest.mark.parametrize("tool", ["count", "classify", "pose", "mask", "encode", "remap-joints"])
def test_a_missing_input_is_said_before_anything_is_loaded(tmp_path, tool):
    status, packages, printed = loaded(tool, tmp_path / "missing.mp4", "-o", tmp_path / "out")
    assert (status, packages) == (1, []), printed
    assert "does not exist" in printed
    status, packages, printed = loaded(tool, tmp_path / "a.mp4", tmp_path / "b.mp4", "-o", f"{tmp_path}/")
    assert (status, packages) == (1, []) and "none of the 2 inputs exists" in printed


def test_a_sure_count_never_loads_torch(tmp_path):
    (tmp_path / "p.npz").write_bytes(pose_bytes(swinging_pose()))
    status, packages, printed = loaded("count", tmp_path / "p.npz", "-o", tmp_path / "c.csv")
    assert status == 0, printed
    assert "torch" not in packages and (tmp_path / "c.csv").read_text().splitlines()[1].startswith("swing,0,5.0")


def test_a_doubtful_count_loads_it(tmp_path):
    pose = swinging_pose(360)
    pose.xyz[np.arange(360) % 60 < 39] = np.nan
    with open(tmp_path / "p.npz", "wb") as file:
        write_pose(file, pose)
    status, packages, printed = loaded("count", tmp_path / "p.npz", "-o", tmp_path / "c.csv")
    assert status == 0 and "torch" in packages, printed


@pytest.mark.parametrize("name", ["text", "table.csv"])
def test_what_is_no_clip_is_refused_without_torch(tmp_path, name):
    (tmp_path / name).write_text("hello\n")
    status, packages, _ = loaded("count", tmp_path / name)
    assert status == 1 and "torch" not in packages


@pytest.mark.parametrize("words", [("classify", "--whole"), ("encode", "--encoder", "none"), ("count",)])
def test_a_pose_needs_no_mediapipe(tmp_path, words):
    (tmp_path / "p.npz").write_bytes(pose_bytes(swinging_pose()))
    tool, *options = words
    suffix = "npz" if tool == "encode" else "csv"
    gone = "sys.modules['mediapipe'] = None"
    status, _, printed = loaded(tool, tmp_path / "p.npz", *options, "-o", tmp_path / f"out.{suffix}", before=gone)
    assert status == 0, printed


@pytest.mark.parametrize("tool", ["classify", "encode", "count", "pose", "mask"])
def test_a_video_needs_the_networks_and_says_so_before_it_is_read(tmp_path, monkeypatch, tool):
    monkeypatch.setenv("RACCTL_CACHE", str(tmp_path / "empty"))
    clip = write_clip(tmp_path / "a.mp4", bouncing(20, 10))
    gone = "sys.modules['mediapipe'] = None"
    status, packages, printed = loaded(tool, clip, "-o", tmp_path / "out", before=gone)
    assert status == 2 and "BlazePose's networks are not here" in printed and "use '--download'" in printed
    assert len(printed.splitlines()) == 1
    assert "ai_edge_litert" not in packages


def test_a_video_needs_no_mediapipe_where_the_networks_are_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RACCTL_CACHE", str(fill_cache(tmp_path / "cache")))
    clip = write_clip(tmp_path / "a.mp4", bouncing(20, 10))
    gone = "sys.modules['mediapipe'] = None"
    status, packages, printed = loaded("pose", clip, "-o", tmp_path / "out.npz", before=gone)
    assert (status, printed) == (0, "")
    assert packages == ["av", "ai_edge_litert"]


@pytest.mark.parametrize(
    "line",
    [
        "count p.npz --model d2stx --video missing", "classify p.npz --pose missing", "classify --dataset missing",
        "encode p.npz --reps missing", "encode p.npz --mask missing", "encode p.npz --pose-weights missing",
        "encode --dataset repcount --root missing --split test", "score --truth missing p.npz",
        "score --truth p.npz missing", "train recogniser missing", "train recogniser . --init missing",
        "train recogniser . --masks missing",
        "train counter . --features missing",
    ],
)  # fmt: skip
def test_a_missing_file_of_an_option_is_said_before_anything_is_loaded(tmp_path, monkeypatch, line):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.npz").write_bytes(pose_bytes(swinging_pose()))
    status, packages, printed = loaded(
        *line.split(), "-o", "out/" if "train" in line or "dataset repcount" in line else "out"
    )
    assert status == 1 and printed.endswith("'missing' does not exist"), printed
    assert not {"torch", "scipy", "mediapipe"} & set(packages)


@pytest.mark.parametrize(
    "line",
    [
        "count p.npz --model d2sty", "count p.npz --pose-model ful", "count p.npz --device gpu",
        "count p.npz --person somebody", "count p.npz --alternating both", "classify p.npz --model jonts",
        "classify p.npz --device gpu", "classify p.npz --start 2 --stop 1", "encode p.npz --encoder swin",
        "encode p.npz --layout escount", "encode p.npz --start 2 --stop 1", "encode --dataset repcount",
        "encode --dataset repcounts --root . --split test", "mask p.npz --person nobody",
        "train recogniser . --input poses",
        "train recogniser . --fusion crosss", "train recogniser . --precision 64", "train recogniser . --tempo fast",
        "train recogniser . --crop face",
        "train counter .", "train counter . --features . --preset large",
        "train encoder . --model ctrgcn --objective labels",
    ],
)  # fmt: skip
def test_a_mistyped_value_is_said_before_torch_is_loaded(tmp_path, monkeypatch, line):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.npz").write_bytes(pose_bytes(swinging_pose(30)))
    status, packages, printed = loaded(*line.split(), "-o", "out/" if "dataset" in line else "out")
    assert (status, len(printed.splitlines())) == (2, 1), printed
    assert not {"torch", "mediapipe", "matplotlib", "sklearn"} & set(packages)


def test_values_that_options_have_are_let_through(tmp_path):
    (tmp_path / "p.npz").write_bytes(pose_bytes(swinging_pose(30)))
    for words in (("--device", "cpu"), ("--person", "0"), ("--model", "periodicity"), ("--alternating", "pair")):
        status, _, printed = loaded("count", tmp_path / "p.npz", *words, "-o", tmp_path / "c.csv")
        assert status == 0, printed
