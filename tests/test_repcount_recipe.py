"""tests/benchmarks/repcount.mk, from videos to table, on a small stand-in of RepCount-A's layout."""

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
RECIPE = Path(__file__).parent / "benchmarks" / "repcount.mk"
HEADER = ",Unnamed: 0,type,name,count," + ",".join(f"L{k}" for k in range(1, 9))
QUICK = "--threads 1 --device cpu"
PERIODS = (16, 20)  # frames of a repetition, a clip each
REPETITIONS = 3


def stand_in(root: Path) -> Path:
    """LLSP as TransRAC publishes it: two clips of three repetitions in each split, 25 frames/s; one of the clips to
    learn from has no video."""
    (root / "annotation").mkdir(parents=True)
    for split, first in (("train", 0), ("valid", 2), ("test", 4)):
        rows, folder = [HEADER], root / "video" / split
        folder.mkdir(parents=True)
        for row, period in enumerate(PERIODS):
            name = f"stu99_{first + row}.mp4"
            write_clip(folder / name, bouncing(REPETITIONS * period + 4, period, 120))
            marks = [frame for k in range(REPETITIONS) for frame in (k * period, (k + 1) * period)]
            rows.append(f"{row},{row},squant,{name},{REPETITIONS},{','.join(map(str, marks))},,")
        if split == "train":
            rows.append("2,2,pullups,stu99_9.mp4,1,0,10,,,,,,")
        (root / "annotation" / f"{split}.csv").write_text("\n".join(rows) + "\n")
    return root


def make(root: Path, out: Path, *more: str) -> subprocess.CompletedProcess:
    """The recipe on `root`, as quick as can be."""
    words = ["make", "-f", RECIPE, f"ROOT={root}", f"OUT={out}", f"RACCTL={RACCTL}", "EPOCHS=1",
             f"ENCODE={QUICK} --jobs 1", f"TRAIN={QUICK}", f"COUNT={QUICK}", *more]  # fmt: skip
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=500, check=False, env=clean)


def commands(done: subprocess.CompletedProcess) -> list[str]:
    """The tools that make ran, in order."""
    assert done.returncode == 0, done.stdout + done.stderr
    return [line.split()[1] for line in done.stdout.splitlines() if line.startswith(RACCTL)]


def test_from_videos_to_a_table_and_nothing_twice(tmp_path):
    root, out = stand_in(tmp_path / "LLSP"), tmp_path / "made"
    done = make(root, out, "table")
    assert sorted(commands(done)) == ["count", "encode", "encode", "encode", "score", "train"]
    assert "stu99_9  no video is called 'stu99_9'" in done.stderr
    assert f"{2 * REPETITIONS} repetitions in 2 clips, 2 to validate on" in done.stderr
    table = (out / "table.txt").read_text()
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in table.splitlines() if line.startswith("│")]
    n = {row[0]: row[4] for row in rows}
    assert n["MAE"] == n["OBO"] == "2" and all(row[1] for row in rows)
    assert "D2-STX, Swin-T" in table and table in done.stdout

    assert commands(make(root, out, "table")) == []
    assert make(root, out, "-q", out / "table.txt").returncode == 0
    times = {path: path.stat().st_mtime_ns for path in (out / "model.safetensors", *out.glob("features/*.done"))}
    (out / "counts.parquet").unlink()
    assert commands(make(root, out, "table")) == ["count", "score"]
    assert (out / "table.txt").read_text() == table
    assert len(times) == 4 and {path: path.stat().st_mtime_ns for path in times} == times


def test_a_test_clip_that_is_missing_stops_it_and_so_does_another_folder(tmp_path):
    root, out = stand_in(tmp_path / "LLSP"), tmp_path / "made"
    (root / "video" / "test" / "stu99_5.mp4").unlink()
    done = make(root, out, out / "features" / "test.done")
    assert done.returncode == 2 and "stu99_5  no video is called" in done.stderr
    assert not (out / "features" / "test.done").exists()
    done = make(tmp_path, out, "table")
    assert done.returncode == 2 and "has no train.csv; name RepCount-A's folder with ROOT=DIR" in done.stderr


def another_set(root: Path) -> Path:
    """UCFRep as ESCounts publishes it: one clip, whose repetitions begin ten frames after it does."""
    (root / "UCF-101" / "Squats").mkdir(parents=True)
    name = "UCF-101/Squats/v_Squats_g01_c01.avi"
    write_clip(root / name.replace(".avi", ".mp4"), bouncing(REPETITIONS * 16 + 20, 16, 120))
    marks = [frame for k in range(REPETITIONS) for frame in (10 + k * 16, 26 + k * 16)]
    header = ",name,counts,num_frames,start_frame,end_frame," + ",".join(f"L{k + 1}" for k in range(len(marks)))
    row = f"0,{name},{REPETITIONS},68,10,58,{','.join(map(str, marks))}"
    (root / "new_test.csv").write_text(f"{header}\n{row}\n")
    return root


def test_another_system_and_another_data_set(tmp_path):
    root, out, ucfrep = stand_in(tmp_path / "LLSP"), tmp_path / "made", another_set(tmp_path / "UCFRep")
    more = ("MODEL=transrac", f"UCFREP={ucfrep}", f"UCFREP_TRUTH={ucfrep}/new_test.csv")
    done = make(root, out, "table", *more)
    assert sorted(commands(done)) == ["count", "count", *["encode"] * 4, "score", "score", "train"]
    table = (out / "table.txt").read_text()
    assert "ucfrep, by what was trained on RepCount-A" in table and table.count(" OBO ") >= 2
    assert commands(make(root, out, "table", *more)) == []
    done = make(root, out, "table", f"COUNTIX={ucfrep}")
    assert done.returncode == 2 and "with its _TRUTH" in done.stderr
