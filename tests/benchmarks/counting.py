"""How well `racctl count` counts real pose sequences and clips: scores per exercise, and every failure.

RACCTL_TEST_DATA=DIR python tests/benchmarks/counting.py [--models M,...] [--lost] [--work DIR] [--plots DIR]
Counters as of `racctl count --model`; each after the first is compared with the first, clip by clip.
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
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from racctl.contracts import Pose
from racctl.counters.base import COUNTERS, open_counter
from racctl.counters.count_clip import CountOptions, count_clip
from racctl.counters.plot import plot_counts
from racctl.counters.result import Count, counts_table
from racctl.estimators.open_clip import open_pose
from racctl.io.output import write_file
from racctl.io.parquet import write_table
from racctl.io.poses.formats import load_pose
from racctl.scoring.counts import CountScoreOptions as ScoreOptions
from racctl.scoring.counts import score_files


def truth_of(table: Path) -> dict[str, tuple[int, str]]:
    """clip -> (count, exercise)"""
    with table.open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return {Path(row.get("clip") or row["sequence"]).stem: (int(row["count"]), row["exercise"]) for row in rows}


def sequences(data: Path, names: list[str]) -> list[Pose]:
    return [load_pose(str(data / "poses" / f"{name}.npy")) for name in names]


def clips(data: Path, names: list[str], work: Path) -> list[Pose]:
    videos = [str(data / "clips" / f"{name}.mp4") for name in names]
    subprocess.run([str(Path(sys.executable).with_name("racctl")), "pose", *videos, "-o", f"{work}/"], check=True)
    return [load_pose(str(work / f"{name}.pose.npz")) for name in names]


def without_half(pose: Pose, clip: str) -> Pose:
    """The person is not found for half of the time, a second or two at once, the same for every counter."""
    rng = np.random.default_rng(list(clip.encode()))
    beat = float(np.median(np.diff(pose.time)))
    lost = np.zeros(len(pose.frame), bool)
    while lost.mean() < 0.5:
        begin = rng.integers(len(lost))
        lost[begin : begin + max(1, round(rng.uniform(0.5, 2.0) / beat))] = True
    xyz, score = pose.xyz.copy(), pose.score.copy()
    xyz[lost], score[lost] = np.nan, 0
    return replace(pose, xyz=xyz, score=score, world=None)


def counter(model: str) -> Callable[[Pose], Count]:
    """How this model counts the main person."""
    loaded = open_counter(model, device="cpu")

    def count(pose: Pose) -> Count:
        with open_pose(pose) as clip:
            return count_clip(clip, loaded, CountOptions(model))[0]

    return count


def report(title: str, table: Path, counted: list[Count], work: Path, plots: Path | None, first: Path | None) -> Path:
    """Prints the scores, also against the counts of `first`; returns where the counts are."""
    target = work / f"{title.replace(' ', '.')}.counts.parquet"
    write_file(target, lambda file: write_table(file, counts_table(counted)))
    scores = score_files(str(table), [str(target)], str(first or ""), options=ScoreOptions(per_class=True))
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
    wrong = [c for c in counted if c.repetitions != truth[c.clip][0]]
    covered = sum(c.low <= truth[c.clip][0] <= c.high for c in counted)
    print(f"  interval holds the truth in {covered} of {len(counted)}; {len(wrong)} not exact:")
    for c in wrong:
        print(f"    {c.clip:28} {truth[c.clip][1]:22} true {truth[c.clip][0]:3} counted {c.repetitions:3}"
              f" [{c.low}, {c.high}] agreement {c.agreement:.2f}")  # fmt: skip
    if plots and wrong:
        plots.mkdir(parents=True, exist_ok=True)
        for c in wrong:
            plot_counts(plots / f"{c.clip}.png", [c.curve()])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=lambda text: text.split(","), default=COUNTERS.names())
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "racctl-benchmark")
    parser.add_argument("--plots", type=Path)
    parser.add_argument("--lost", action="store_true", help="lose the person for half of the time")
    requested = parser.parse_args()
    if "RACCTL_TEST_DATA" not in os.environ:
        sys.exit("set RACCTL_TEST_DATA to a folder with poses.tsv, poses/, clips.tsv and clips/")
    data = Path(os.environ["RACCTL_TEST_DATA"])
    requested.work.mkdir(parents=True, exist_ok=True)
    counters = {model: counter(model) for model in requested.models}
    for title in ("poses", "clips"):
        table, first = data / f"{title}.tsv", None
        names = list(truth_of(table))
        poses = sequences(data, names) if title == "poses" else clips(data, names, requested.work)
        if requested.lost:
            poses = [without_half(pose, name) for pose, name in zip(poses, names, strict=True)]
        for model, count in counters.items():
            output = [count(pose) for pose in poses]
            name = f"{title} {Path(model).stem}"
            plots = requested.plots / name if requested.plots else None
            counts = report(name, table, output, requested.work, plots, first)
            first = first or counts


if __name__ == "__main__":
    main()
