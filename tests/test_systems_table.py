"""From a folder of one's own clips and a table of counts to six counters in one table, as docs/guide.md has it."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from commands import racctl

pytest.importorskip("anny", reason="the clips are drawn; needs racctl[synth]")

GUIDE = Path(__file__).parent.parent / "docs" / "guide.md"
COUNTERS = {"periodicity", "combined", "d2stx", "transrac", "skimfocus", "escounts"}


def path_of_the_guide() -> list[str]:
    (block,) = [text for text in re.findall(r"```sh\n(.*?)```", GUIDE.read_text(), re.DOTALL) if "runs/$m" in text]
    return block.strip().splitlines()


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """train/ and test/ with drawn clips, and a table of each with nothing but their counts."""
    desk = tmp_path_factory.mktemp("desk")
    small = ("--clips", 6, "--classes", "squat,jump_jack", "--reps", "2-4", "--clean", "--size", "128x128", "--fps", 15)
    assert racctl("synth", "--out", desk / "drawn", *small, "--seed", 3, timeout=300).returncode == 0
    rows = pq.read_table(desk / "drawn/manifest.parquet").to_pylist()
    for split, part in (("train", rows[:4]), ("test", rows[4:])):
        (desk / split).mkdir()
        for row in part:
            (desk / "drawn" / row["video"]).rename(desk / split / f"{row['clip']}.mp4")
        lines = [f"{row['clip']}.mp4,{row['count']:g}" for row in part]
        (desk / f"{split}.csv").write_text("\n".join(["clip,count", *lines]) + "\n")
    return desk


@pytest.mark.timeout(400)
def test_five_commands_lead_to_a_table_of_six_counters(desk):
    lines = path_of_the_guide()
    assert len(lines) <= 5
    lines[1] = lines[1].replace("; done", " --epochs 1 --batch 2; done")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for line in [*lines[:-1], f"{lines[-1]} --format csv"]:
        done = subprocess.run(["bash", "-e", "-c", line], cwd=desk, env=environment, capture_output=True, timeout=300)
        assert done.returncode == 0, f"{line}\n{done.stderr.decode()}"
    table = list(csv.DictReader(done.stdout.decode().splitlines()))
    assert {row["predictions"] for row in table} == COUNTERS
    assert {row["n"] for row in table} == {"2"}
    assert table[0]["MAE_change"] == "" and all(row["MAE_change"] for row in table[1:])
    assert float(next(row for row in table if row["predictions"] == "combined")["OBO"]) == 1


def test_a_table_of_counts_is_learnt_from_and_the_run_says_how(desk, tmp_path):
    encoded = racctl(
        "encode", *sorted((desk / "train").iterdir()), "--encoder", "none", "-o", f"{tmp_path}/", timeout=300
    )
    assert encoded.returncode == 0, encoded.stderr.decode()
    learnt = ("train", "counter", desk / "train.csv", "--features", tmp_path, "--branches", "pose", "--epochs", 1)
    done = racctl(*learnt, "-o", tmp_path / "run")
    assert done.returncode == 0, done.stderr.decode()
    assert "3 clips have a count alone" in done.stderr.decode() and "3 clips, 1 to validate on" in done.stderr.decode()
    every = racctl(*learnt, "-o", tmp_path / "all", "--val-split", "none")
    assert "4 clips, 0 to validate on" in every.stderr.decode()
