"""tests/benchmarks/mmfit.mk, from videos to table, on a small stand-in of MM-Fit's folder and its unreleased videos."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from clips import bouncing, write_clip
from commands import RACCTL

pytestmark = [
    pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed"),
    pytest.mark.timeout(600),
]
RECIPE = Path(__file__).parent / "benchmarks" / "mmfit.mk"
QUICK = "--threads 1 --device cpu"
SMALL = "--epochs 1 --size 16 --layers 1 --width 32 --batch 4 --stride 16"
WORKOUTS = {"w01": "train", "w14": "val", "w09": "test", "w00": "unseen_test"}


def stand_in(root: Path) -> None:
    """A workout of each split, 30 frames/s: 2 s of squats and 2 s of lunges with a second of nothing between."""
    (root / "videos").mkdir(parents=True)
    for name in WORKOUTS:
        folder = root / "mm-fit" / name
        folder.mkdir(parents=True)
        (folder / f"{name}_labels.csv").write_text("0,60,2,squats\n90,150,2,lunges\n")
        write_clip(root / "videos" / f"{name}.mp4", bouncing(150, 30, 64), fps=30)


def make(root: Path, *more: str) -> subprocess.CompletedProcess:
    folders = [f"ROOT={root}/mm-fit", f"VIDEOS={root}/videos", f"OUT={root}/out"]
    options = [f"RACCTL={RACCTL}", f"TRAIN={SMALL} {QUICK}", f"CLASSIFY={QUICK}", "MASK=--jobs 1"]
    words = ["make", "-f", RECIPE, *folders, *options, *more]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=500, check=False, env=clean)


def test_from_videos_to_table_1_and_nothing_twice(tmp_path):
    stand_in(tmp_path)
    done = make(tmp_path, "table", "INPUTS=both raw")
    assert done.returncode == 0, done.stdout + done.stderr
    table = (tmp_path / "out/table.txt").read_text()
    assert table.count("with null") == 6 + 2  # two inputs by three splits, and published rows
    assert table.count("no null") == 6 + 1
    assert "macro_f1" in table and "MuJo" in table and table in done.stdout
    again = make(tmp_path, "table", "INPUTS=both raw")
    assert RACCTL not in again.stdout and table in again.stdout


def test_the_folders_have_to_be_named(tmp_path):
    done = make(tmp_path, "table", "VIDEOS=")
    assert done.returncode == 2 and "name the published folder with ROOT=DIR" in done.stderr
