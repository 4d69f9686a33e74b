"""How well `racctl count` counts real pose sequences and clips: scores per exercise, and every failure.

RACCTL_TEST_DATA=DIR python tests/benchmarks/counting.py [--work DIR] [--plots DIR]
DIR holds poses.tsv with poses/, and clips.tsv with clips/ (clip or sequence, exercise, count). Poses of the clips are
kept in --work and made again only when the clip, racctl or the options change. --plots draws the signal of every
clip that is counted wrong.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from racctl.count import Options, count_pose
from racctl.counted import Counted, counts_table
from racctl.io.npz import read_pose
from racctl.io.output import write_file
from racctl.io.parquet import write_table
from racctl.io.pose_formats import load_pose
from racctl.plot import plot_counts
from racctl.score import Options as ScoreOptions
from racctl.score import score_files


def truth_of(table: Path) -> dict[str, tuple[int, str]]:
    """clip -> (count, exercise)"""
    with table.open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return {Path(row.get("clip") or row["sequence"]).stem: (int(row["count"]), row["exercise"]) for row in rows}


def count_sequences(data: Path, names: list[str]) -> list[Counted]:
    return [count_pose(load_pose(str(data / "poses" / f"{name}.npy")), Options())[0] for name in names]


def count_clips(data: Path, names: list[str], work: Path) -> list[Counted]:
    clips = [str(data / "clips" / f"{name}.mp4") for name in names]
    subprocess.run([str(Path(sys.executable).with_name("racctl")), "pose", *clips, "-o", f"{work}/"], check=True)
    counted = []
    for name in names:
        with open(work / f"{name}.pose.npz", "rb") as file:
            counted.append(count_pose(read_pose(file, name), Options())[0])
    return counted


def report(title: str, table: Path, counted: list[Counted], work: Path, plots: Path | None) -> None:
    target = work / f"{title}.counts.parquet"
    write_file(target, lambda file: write_table(file, counts_table(counted)))
    scores = score_files(str(table), [str(target)], options=ScoreOptions(per_class=True))
    print(f"\n{title}\n" + "\n".join(scores.notes))
    cells: dict[str, dict[str, str]] = {}
    for row in scores.table().to_pylist():
        value = "" if row["value"] is None else f"{row['value']:.3f}"
        if row["low"] is not None:
            value += f" [{row['low']:.2f}, {row['high']:.2f}]"
        cells.setdefault(row["group"], {"n": str(row["n"])})[row["metric"]] = value
    for group, values in cells.items():
        print(f"  {group:24} n={values['n']:3} MAE {values['MAE']:20} OBO {values['OBO']:20} OBZ {values['OBZ']}")
    truth = truth_of(table)
    wrong = [c for c in counted if c.found.count != truth[c.clip][0]]
    covered = sum(c.found.low <= truth[c.clip][0] <= c.found.high for c in counted)
    print(f"  interval holds the truth in {covered} of {len(counted)}; {len(wrong)} not exact:")
    for c in wrong:
        print(f"    {c.clip:28} {truth[c.clip][1]:22} true {truth[c.clip][0]:3} counted {c.found.count:3.0f}"
              f" [{c.found.low}, {c.found.high}] score {c.found.score:.2f}")  # fmt: skip
    if plots and wrong:
        plots.mkdir(parents=True, exist_ok=True)
        for c in wrong:
            plot_counts(plots / f"{c.clip}.png", [c.curve()])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "racctl-benchmark")
    parser.add_argument("--plots", type=Path)
    asked = parser.parse_args()
    if "RACCTL_TEST_DATA" not in os.environ:
        sys.exit("set RACCTL_TEST_DATA to a folder with poses.tsv, poses/, clips.tsv and clips/")
    data = Path(os.environ["RACCTL_TEST_DATA"])
    asked.work.mkdir(parents=True, exist_ok=True)
    for title, count in (("poses", count_sequences), ("clips", count_clips)):
        table = data / f"{title}.tsv"
        names = list(truth_of(table))
        counted = count(data, names) if title == "poses" else count(data, names, asked.work)
        report(title, table, counted, asked.work, asked.plots)


if __name__ == "__main__":
    main()
