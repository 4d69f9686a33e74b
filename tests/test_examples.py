"""What the documentation tells people to type is typed here: README, the examples of `--help`, racctl-pipelines(7)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import racctl
from poses import standing_body, swinging_pose

from racctl.cli import docs
from racctl.io.npz import write_pose
from racctl.skeleton.topology import TOPOLOGIES

pytest.importorskip("anny", reason="the clips are drawn; needs racctl[synth]")

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
DRAWN = "--classes squat --reps 2-2 --clean --size 160x160 --fps 12"
SMALLER = (  # what only makes a run longer is made small; everything else stays as it is written
    (r"--clips \d{2,}", "--clips 3"),
    (r"--size 320x320", "--size 160x160 --fps 15"),
    (r"racctl train clips -o run", "racctl train clips -o another"),
    (r"^(racctl synth (?!.*(--pose-only|--protocol|--classes)).*)$", rf"\1 {DRAWN}"),
    (r"^(racctl synth .*--protocol)$", r"\1 --clips 1 --seconds 5 --size 64x80"),
    (r"^(racctl synth .*--classes squat,push_up.*)$", r"\1 --reps 2-2 --clean --size 160x160 --fps 12"),
    (
        r"(racctl train \w+ -o \w+)( --epochs \d+)?",
        r"\1 --epochs 1 --size 16 --layers 1 --width 32 --train-split train",
    ),
)
NOT_RUN = ("pip install", "--download", "make -f")  # a network, or hours


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def readme_commands() -> list[str]:
    lines = [line for block in blocks(README, "sh") for line in block.replace("\\\n", " ").splitlines()]
    return [re.sub(r"\s+#.*", "", line).strip() for line in lines if not any(word in line for word in NOT_RUN)]


def help_commands() -> list[str]:
    return [
        text.removeprefix("Example: ") for tool in docs.tools() for text in tool.text if text.startswith("Example: ")
    ]


def pipeline_blocks() -> list[str]:
    page = (ROOT / "man" / "racctl-pipelines.7").read_text().replace("\\-", "-")
    return re.findall(r"^\.nf\n(.*?)^\.fi", page, re.MULTILINE | re.DOTALL)


def pipeline_commands() -> list[str]:
    return [line for block in pipeline_blocks() for line in block.splitlines() if line.startswith("racctl ")]


def is_drawing(command: str) -> bool:
    return command.startswith("racctl synth")


EVERY = dict.fromkeys([*readme_commands(), *help_commands(), *pipeline_commands()])
COMMANDS = sorted(EVERY, key=is_drawing, reverse=True)  # what others train on and read is drawn first


@pytest.fixture(scope="session")
def desk(tmp_path_factory):
    """A folder with the files that the examples speak of."""
    folder = tmp_path_factory.mktemp("desk")
    done = racctl("synth", "--out", folder / "drawn", "--clips", 2, *DRAWN.split(), "--seed", 5, timeout=300)
    assert done.returncode == 0, done.stderr.decode()
    first, second = sorted((folder / "drawn" / "video").iterdir())
    for name in ("clip.mp4", "squats.mp4", "workout.mp4", "clips/a.mp4", "videos/a.mp4", "LLSP/video/test/a.mp4"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(first, folder / name)
    shutil.copy(second, folder / "clips" / "b.mp4")
    (folder / "test.csv").write_text("clip,count\na,2\nb,2\n")
    (folder / "videos" / "b.mp4").write_bytes(second.read_bytes())
    (folder / "test_with_fps.csv").write_text("clip,count\na,2\n")
    (folder / "segments.csv").write_text("clip,start,stop,label\na,0,1,squat\nb,0,1,squat\n")
    _run("racctl count clips/*.mp4 -o counts.parquet; cp counts.parquet a.parquet; cp counts.parquet b.parquet", folder)
    _run("racctl count clip.mp4 --reps -o reps.parquet; racctl pose squats.mp4 -o squats.pose.npz", folder)
    _run("racctl classify clips/*.mp4 -o labels.parquet", folder)
    _other_peoples_poses(folder)
    return folder


def _other_peoples_poses(folder: Path) -> None:
    import csv
    import json

    pose = bowing_pose(60)
    joints = pose.xyz[:, 0]
    names = [f"{axis}{joint}" for joint in range(1, 34) for axis in ("x", "y", "z")]
    with open(folder / "mediapipe.csv", "w", newline="") as file:
        csv.writer(file).writerows([names, *(row.reshape(-1).tolist() for row in joints)])
    (folder / "openpose_json").mkdir()
    with open(folder / "p33.npz", "wb") as file:
        write_pose(file, pose)
    _run("racctl remap-joints p33.npz --to openpose25 -o p25.npz", folder)
    from racctl.io.npz import read_pose

    with open(folder / "p25.npz", "rb") as file:
        body = read_pose(file, "p25")
    for frame, (xyz, score) in enumerate(zip(body.xyz[:, 0], body.score[:, 0], strict=True)):
        flat = [value for point, s in zip(xyz, score, strict=True) for value in (*point[:2].tolist(), float(s))]
        flat = [0.0 if value != value else value for value in flat]
        target = folder / "openpose_json" / f"clip_{frame:012d}_keypoints.json"
        target.write_text(json.dumps({"version": 1.3, "people": [{"pose_keypoints_2d": flat}]}))


def bowing_pose(frames: int):
    """Somebody who stands and bends down, twice."""
    pose = swinging_pose(frames)
    body = standing_body(TOPOLOGIES["blazepose33"].joints)
    phase = (1 - np.cos(4 * np.pi * np.arange(frames) / frames)) / 2
    low = body[:, 1].max()
    pose.xyz[:, 0, :, :2] = body
    pose.xyz[:, 0, :, 1] += 0.4 * phase[:, None] * (low - body[:, 1])
    pose.xyz[..., 2] = 0
    return pose


def _run(line: str, folder: Path) -> subprocess.CompletedProcess:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line], cwd=folder, env={**os.environ, "PATH": path}, capture_output=True,
        stdin=subprocess.DEVNULL, timeout=280, check=False,
    )  # fmt: skip


def test_the_documents_have_examples():
    assert len(readme_commands()) > 20 and len(pipeline_commands()) > 10
    assert len(help_commands()) == len(docs.tools())


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_the_documents_runs(desk, line):
    short = line
    for pattern, smaller in SMALLER:
        short = re.sub(pattern, smaller, short)
    done = _run(short, desk)
    assert done.returncode == 0, f"{short}\n{done.stderr.decode()}"
    assert b"Traceback" not in done.stderr


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_the_makefile_of_the_manual_runs(desk):
    (rules,) = [block for block in pipeline_blocks() if "$(wildcard" in block]
    (desk / "Makefile").write_text(rules)
    done = _run("rm -rf counts.parquet poses && mkdir poses && make", desk)
    assert done.returncode == 0, done.stderr.decode()
    assert (desk / "counts.parquet").exists()


def test_the_python_of_the_readme_runs_and_counts_as_the_command_does(desk):
    (code,) = blocks(README, "python")
    assert _run("racctl pose clip.mp4 -o clip.pose.npz", desk).returncode == 0
    done = subprocess.run([sys.executable, "-c", code], cwd=desk, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr.decode()
    row = _run("racctl count clip.pose.npz --format csv", desk).stdout.decode().splitlines()[1]
    assert float(done.stdout.split()[0]) == float(row.split(",")[2])
