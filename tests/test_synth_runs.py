"""racctl synth as a command: interrupted and resumed runs, any number of processes, bad requests, progress."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from commands import RACCTL, afresh, on_a_terminal, one_line, racctl

pytest.importorskip("numba", reason="the generator is the extra racctl[synth]")
if importlib.util.find_spec("anny") is None:
    pytest.skip("the generator is the extra racctl[synth]", allow_module_level=True)

SMALL = ("--size", "64x64", "--fps", "10", "--reps", "2", "--seed", "4", "--classes", "squat,push_up,drink")
CLIPS = 6
PROMPT = 5.0  # s; about 1.5 on an idle machine


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a data set; the video too, since it is the same encoder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def interrupted(folder: Path, processes: int, clips: int) -> None:
    """Begin a run and press Ctrl-C when the first clips are there."""
    words = [RACCTL, "synth", "--out", folder, "--clips", clips, "--jobs", processes, *SMALL]
    # a group of its own, as a terminal gives it: Ctrl-C reaches the workers too
    run = subprocess.Popen(list(map(str, words)), stderr=subprocess.PIPE, start_new_session=True)
    while not list(folder.glob("parameters/*.json")) and run.poll() is None:
        time.sleep(0.02)
    began = time.monotonic()
    os.killpg(run.pid, signal.SIGINT)
    message = run.communicate(timeout=60)[1]
    assert time.monotonic() - began < PROMPT
    assert run.returncode == 130 and message == b""


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, bytes]:
    """A run that nothing disturbed, with one process and four threads."""
    folder = tmp_path_factory.mktemp("whole")
    settings = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "4")
    words = ("synth", "-q", "--out", folder, "--clips", CLIPS, "--jobs", 1, *SMALL)
    done = afresh(*words, env={**os.environ, **settings})
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    return contents(folder)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("processes", [1, 2])
def test_an_interrupted_run_leaves_nothing_half_written_and_goes_on(tmp_path, whole, processes):
    interrupted(tmp_path, processes, CLIPS)
    output = contents(tmp_path)
    assert not [name for name in output if name.endswith((".tmp", ".parquet"))]
    assert 0 < sum(name.startswith("parameters") for name in output) < CLIPS
    assert {name: whole[name] for name in output} == output  # what is there is right
    assert racctl("synth", "--out", tmp_path, "--clips", CLIPS, "--jobs", processes, *SMALL).returncode == 0
    assert contents(tmp_path) == whole


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        (("--classes", "flying"), 2, "no such movement 'flying'"),
        (("--classes", ","), 2, "invalid value ',' for '--classes'"),
        (("--split", "train"), 2, "for '--split'; expected"), (("--split", "train=-1"), 2, "for '--split'; expected"),
        (("--size", "0x0"), 2, "invalid value '0x0' for '--size'"), (("--size", "97x96"), 2, "odd side"),
        (("--size", "99999x99999"), 2, "32 to 4096"), (("--speed", "warp"), 2, "invalid value 'warp' for '--speed'"),
        (("--fps", "0"), 2, "out of range"), (("--fps", "nan"), 2, "out of range"), (("--clips", "0"), 2, "--clips"),
        (("--clips", "99999999999"), 2, "--clips"), (("--reps", "9-3"), 2, "backwards"),
        (("--reps", "99999"), 2, "1 to 1000"),
        (("--out", "/proc/nowhere"), 1, "cannot make the directory"), (("--out", ""), 2, "--out DIR"),
    ],
)  # fmt: skip
def test_requests_that_make_no_sense_are_one_line(tmp_path, words, code, part):
    assert part in one_line(racctl("synth", "--out", tmp_path / "x", "--pose-only", *words), code)
    assert not (tmp_path / "x").exists()


def test_the_missing_extra_is_named(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['anny'] = None\n")
    done = afresh("synth", "--out", tmp_path / "x", env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert "pip install 'racctl[synth]'" in one_line(done, 1)


@pytest.mark.timeout(200)
def test_progress_and_time_left_are_for_terminals_only(tmp_path):
    words = ("synth", "--clips", 12, "--jobs", 1, *SMALL)
    code, shown = on_a_terminal(*words, "--out", tmp_path / "b", timeout=100)
    assert code == 0 and "clips/s" in shown and "/12" in shown and "0:00:" in shown
    piped = racctl(*words, "--out", tmp_path / "b")
    assert piped.stdout == b"" and len(piped.stderr.splitlines()) == 1
