"""What the documentation tells people to type is typed here: pages, examples of `--help`, racctl-pipelines(7)."""

from __future__ import annotations

import csv
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import textwrap
import tomllib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from commands import racctl
from PIL import Image
from poses import standing_body, swinging_pose

from racctl.cli import docs
from racctl.io.npz import write_pose
from racctl.skeleton.topology import TOPOLOGIES

pytest.importorskip("anny", reason="the clips are drawn; needs racctl[synth]")

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
# A comment above a block says why it is not run. One that says "not yet run" expects the block to fail: once the block
# runs, its test fails until the comment goes.
FENCE = re.compile(
    r"^(?:<!-- (?P<mark>not run|not yet run): [^\n]+ -->\n)?"
    r"(?P<pad> *)```(?P<language>\w+)\n(?P<text>.*?)^(?P=pad)```$",
    re.MULTILINE | re.DOTALL,
)
DRAWN = "--classes squat --reps 2-2 --clean --size 160x160 --fps 12"
SMALLER = (  # what only makes a run longer is made small; everything else stays as it is written
    (r"--clips \d{2,}", "--clips 3"),
    (r"--cutoff 6", "--cutoff 3"),
    (r"--size 640x480 --fps 30", "--size 160x160 --fps 15"),
    (r"--size 320x320", "--size 160x160 --fps 15"),
    (r"racctl train recogniser clips -o run", "racctl train recogniser clips -o another"),
    (r"^(racctl synth (?!.*(--pose-only|--protocol|--classes|--list)).*)$", rf"\1 {DRAWN}"),
    (r"^(racctl synth .*--protocol)$", r"\1 --clips 1 --seconds 5 --size 64x80"),
    (r"^(racctl synth .*--classes squat,push_up.*)$", r"\1 --reps 2-2 --clean --size 160x160 --fps 12"),
    (r"^(racctl train encoder .*)$", r"\1 --epochs 1 --width 64 --stride 64"),
    (
        r"^(racctl train counter clips --features features .*)$",
        r"racctl encode clips/video/*.mp4 --mask clips/mask --pose clips/pose -o features/ && \1 --epochs 1 --batch 2",
    ),
    (
        r"(racctl train recogniser \w+ -o \w+)( --epochs \d+)?",
        r"\1 --epochs 1 --size 16 --layers 1 --width 32 --train-split train",
    ),
)
NOT_RUN = (
    "pip install",
    "--download",
    "make ",
    "tests/benchmarks/",
    "pytest",
    "clips2",
    "poses2",
    "counts2",
)  # a network, or hours


@dataclass(frozen=True)
class Block:
    """A fenced block of a page. mark: "not run", "not yet run" or empty."""

    page: Path
    line: int
    language: str
    text: str
    mark: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    """Return the fenced blocks of a page."""
    text = page.read_text()
    return [
        Block(page, text.count("\n", 0, m.start("text")), m["language"], textwrap.dedent(m["text"]), m["mark"] or "")
        for m in FENCE.finditer(text)
    ]


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
PYTHON = [block for block in BLOCKS if block.language == "python"]


def page_commands() -> list[str]:
    """Return the shell commands of all pages, without comments."""
    shell = [block.text for block in BLOCKS if block.language == "sh" and not block.mark]
    lines = [line for text in shell for line in text.replace("\\\n", " ").splitlines()]
    return [re.sub(r"\s+#.*", "", line).strip() for line in lines if not any(word in line for word in NOT_RUN)]


def help_commands() -> list[str]:
    return [
        text.removeprefix("Example: ")
        for tool in docs.commands_of(docs.tools())
        for text in tool.text
        if text.startswith("Example: ")
    ]


def pipeline_blocks() -> list[str]:
    page = (ROOT / "man" / "racctl-pipelines.7").read_text().replace("\\-", "-")
    return re.findall(r"^\.nf\n(.*?)^\.fi", page, re.MULTILINE | re.DOTALL)


def pipeline_commands() -> list[str]:
    return [line for block in pipeline_blocks() for line in block.splitlines() if line.startswith("racctl ")]


def is_drawing(command: str) -> bool:
    return command.startswith("racctl synth")


EVERY = dict.fromkeys([*page_commands(), *help_commands(), *pipeline_commands()])
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
    for name in ("test.csv", "counts.csv", "theirs.csv"):
        (folder / name).write_text("clip,count\na,2\nb,2\n")
    (folder / "videos" / "b.mp4").write_bytes(second.read_bytes())
    (folder / "test_with_fps.csv").write_text("clip,count\na,2\n")
    (folder / "segments.csv").write_text("clip,start,stop,label\na,0,1,squat\nb,0,1,squat\n")
    _run("racctl count clips/*.mp4 -o counts.parquet", folder)
    for name in ("a", "b", "ours", "default", "d2stx"):
        shutil.copy(folder / "counts.parquet", folder / f"{name}.parquet")
    _run("racctl count clip.mp4 --reps -o reps.parquet; racctl pose squats.mp4 -o squats.pose.npz", folder)
    _run("racctl classify clips/*.mp4 -o labels.parquet", folder)
    _run("racctl convert reps.parquet -o clip.eaf && racctl convert clip.eaf --fps 12 -o true.parquet", folder)
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
    assert len(page_commands()) > 30 and len(pipeline_commands()) > 10
    assert len(help_commands()) == len(docs.commands_of(docs.tools()))


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


def python_cases() -> list:
    """Return the Python blocks; those marked "not yet run" have to fail for as long as the mark stands."""
    expected = pytest.mark.xfail(strict=True, reason="marked 'not yet run'; remove the mark")
    return [
        pytest.param(block, id=str(block), marks=[expected] if block.mark == "not yet run" else [])
        for block in PYTHON
        if block.mark != "not run"
    ]


@pytest.mark.parametrize("block", python_cases())
def test_a_python_block_of_the_documents_runs(desk, block):
    done = run_python(block.text, desk)
    assert done.returncode == 0, done.stderr.decode()


def run_python(code: str, folder: Path) -> subprocess.CompletedProcess:
    """Run a program as a user would, in the folder with the clips."""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        capture_output=True,
        timeout=200,
        check=False,
    )


def test_the_python_of_the_readme_counts_as_the_command_does(desk):
    (code,) = [block.text for block in PYTHON if block.page.name == "README.md"]
    done = run_python(code, desk)
    assert done.returncode == 0, done.stderr.decode()
    (row,) = csv.DictReader(_run("racctl count squats.mp4 --format csv", desk).stdout.decode().splitlines())
    numbers, *lines = done.stdout.decode().splitlines()
    assert list(map(float, numbers.split())) == [float(row[name]) for name in ("count", "low", "high")]
    table = _run("racctl count squats.mp4 --reps --format csv", desk).stdout.decode().splitlines()
    expected = [f"{float(r['start_s']):.2f} to {float(r['stop_s']):.2f} s" for r in csv.DictReader(table)]
    assert lines == expected and len(lines) == float(row["count"])


def install(block_start: str, name: str, group: str, folder: Path) -> dict[str, str]:
    """Save a Python block as a module, declare it as the TOML block of its group does; return the environment."""
    (code,) = [block.text for block in PYTHON if block.text.startswith(block_start)]
    (folder / f"{name}.py").write_text(code)
    declared = [block.text for block in BLOCKS if block.language == "toml" and f'"{group}"' in block.text]
    (points,) = {tuple(tomllib.loads(text)["project"]["entry-points"][group].items()) for text in declared}
    installed = folder / f"{name}-1.dist-info"
    installed.mkdir()
    lines = [f"[{group}]", *(f"{point} = {target}" for point, target in points)]
    (installed / "entry_points.txt").write_text("\n".join(lines))
    (installed / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    return {"PYTHONPATH": str(folder)}


def test_the_counter_of_the_documents_counts_from_the_command_and_from_python(desk, tmp_path):
    environment = install('"""A counter of squats', "hips", "racctl.counters", tmp_path)
    done = run_tool("racctl count clip.mp4 --model hips --format csv", desk, environment)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().splitlines()[1].split(",")[2] == "2.0"
    deep = run_tool("racctl count clip.mp4 --model hips --depth 9 --format csv", desk, environment)
    assert deep.stdout.decode().splitlines()[1].split(",")[2] == "0.0"
    shown = run_tool("racctl count --help", desk, environment).stdout.decode()
    assert "|hips|" in shown and "Options of hips" in shown and "--depth TORSOS" in shown
    refused = run_tool("racctl count clip.mp4 --model periodicity --depth 1", desk, environment)
    assert refused.returncode == 2 and b"'--depth'" in refused.stderr and b"hips" in refused.stderr
    code = "import racctl; print(racctl.count('clip.mp4', 'hips', depth=0.3)[0].repetitions)"
    assert run_tool(f'{sys.executable} -c "{code}"', desk, environment).stdout == b"2\n"


def test_the_tool_of_the_documents_becomes_a_command(desk, tmp_path):
    environment = install('"""racctl total:', "total", "racctl.tools", tmp_path)
    done = run_tool("racctl total counts.parquet", desk, environment)
    expected = sum(pq.read_table(desk / "counts.parquet").column("count").to_pylist())
    assert done.stdout.decode() == f"{expected:g} repetitions\n", done.stderr.decode()
    assert b"Add up the counts of a table." in run_tool("racctl --help", desk, environment).stdout
    assert run_tool("racctl total nothing.parquet", desk, environment).returncode == 1


def run_tool(line: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess:
    """Run a command line with more environment variables."""
    return _run(" ".join([*(f"{name}='{value}'" for name, value in environment.items()), line]), folder)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_links_of_a_page_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        name, _, heading = target.partition("#")
        assert "://" not in target
        linked = (page.parent / name) if name else page
        assert linked.exists(), target
        if heading:
            headings = re.findall(r"^#+ (.+)$", linked.read_text(), re.MULTILINE)
            assert heading in [re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings], target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_files_that_a_page_names_are_there(page):
    named = set(re.findall(r"\b(?:racctl|tests|tools|man|docs)/[\w./-]*\w", page.read_text()))
    assert not {name for name in named if not (ROOT / name).exists()}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_of_a_page_is_of_a_kind_that_is_run(page):
    fences = re.findall(r"^ *```\w+$", page.read_text(), re.MULTILINE)
    assert len(fences) == len(blocks_of(page)), "a fence without a language, or with another indent at its end"
    assert {block.language for block in blocks_of(page)} <= {"sh", "python", "console", "toml"}


def test_the_script_of_the_pictures_draws_counts_and_writes_both(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("pictures", ROOT / "docs" / "pictures.py")
    pictures = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pictures)
    monkeypatch.setattr(pictures, "DRAWING", f"--clips 1 {DRAWN} --seed 5")
    monkeypatch.setattr(pictures, "REPETITION", 1)
    monkeypatch.setattr(sys, "argv", ["pictures.py", str(tmp_path)])
    pictures.main()
    with Image.open(tmp_path / "overlay.png") as picture:
        assert picture.size == (160, 160)
    assert "squats" in (tmp_path / "plot.svg").read_text()


def test_the_readme_is_short():
    readme = (ROOT / "README.md").read_text()
    assert len(readme.splitlines()) <= 150
