"""Golden cases: a folder each with its inputs, the command (`cmd`), its exit status and what it prints."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CASES = sorted(path.parent for path in (Path(__file__).parent / "cases").glob("*/cmd"))


def text(path: Path) -> str:
    """What a file holds; "" where there is none, as for a command that prints nothing."""
    return path.read_text(encoding="utf-8") if path.exists() else ""


def test_there_are_cases():
    assert len(CASES) >= 10


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_a_case_prints_what_it_should(case, tmp_path):
    shutil.copytree(case, tmp_path / "case")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", text(case / "cmd")], cwd=tmp_path / "case", env={**os.environ, "PATH": path},
        capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120, check=False,
    )  # fmt: skip
    assert done.stdout == text(case / "expout")
    assert done.stderr == text(case / "experr")
    assert done.returncode == int(text(case / "rc"))
