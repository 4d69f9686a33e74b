"""How well `racctl count` counts real pose sequences and clips: scores per exercise, and every failure.

RACCTL_TEST_DATA=DIR python tests/benchmarks/counting.py [--models M,...] [--sets S,...] [--clips A,B] [--lost]
    [--pose-alone] [--poses DIR] [--work DIR] [--plots DIR] [--jobs N]
Counters as of `racctl count --model`; each after the first is compared with the first, clip by clip. DIR holds for each
set a table and a folder, see `SETS` (columns clip or sequence, exercise, count); poses_repcount_cycles.tsv has the
first frame of every true repetition and that after its last (sequence, rep, start, stop). Counters that look at the
picture see that of the clips, unless --pose-alone. --lost takes the pose away for half of the time, not the picture.
--poses DIR: the clips' poses as DIR/<clip>.pose.npz; `racctl pose` estimates those that are not there. Poses and counts
are left in --work and made again only when the clip, racctl or the options change; a clip without a pose shows nobody,
and counts 0. --plots draws the signal of every clip that is counted wrong. Ends in tables for Markdown. Intervals:
95 %, bootstrap over the clips; of coverage, the share of low..high that hold the truth, Wilson. MAE leaves out clips
without repetitions.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from borders import border_row, cycles_of
from outcomes import Ledger, Result, code_digest, markdown, mean_cell, metric_cell, result_of, share

from racctl.contracts import Pose
from racctl.counters.base import COUNTERS, Counter, open_counter
from racctl.counters.count_clip import CountOptions, count_clip, open_lanes
from racctl.counters.plot import plot_counts
from racctl.counters.result import Count
from racctl.estimators.open_clip import open_clip, open_pose
from racctl.io.output import write_file
from racctl.io.parquet import table_from_rows, write_table
from racctl.io.poses.formats import load_pose
from racctl.scoring.borders import MIN_OVERLAP
from racctl.scoring.counts import CountScoreOptions as ScoreOptions
from racctl.scoring.counts import score_files

SETS = ("poses", "poses_repcount", "clips", "clips2")  # the first two of sequences (.npy), the others of clips (.mp4)


@dataclass(frozen=True)
class Sample:
    """One sequence or clip. pose: its file.  video: the clip's file, None for none.  lost: whether to lose half."""

    clip: str
    pose: Path
    video: Path | None
    lost: bool

    @property
    def key(self) -> str:
        digest = hashlib.sha256(self.pose.read_bytes()).hexdigest()[:8] if self.pose.exists() else "nobody"
        return f"{self.clip}-{digest}{' with video' * bool(self.video)}{' lost' * self.lost}"


def truth_of(table: Path) -> dict[str, tuple[int, str]]:
    """clip -> (count, exercise)"""
    with table.open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return {Path(row.get("clip") or row["sequence"]).stem: (int(row["count"]), row["exercise"]) for row in rows}


def samples_of(title: str, names: list[str], data: Path, requested: argparse.Namespace) -> dict[str, Sample]:
    if not title.startswith("clips"):
        return {name: Sample(name, data / title / f"{name}.npy", None, requested.lost) for name in names}
    videos = {name: data / title / f"{name}.mp4" for name in names}
    poses = {name: (requested.poses or requested.work) / f"{name}.pose.npz" for name in names}
    if missing := [name for name in names if not requested.poses or not poses[name].exists()]:
        racctl = str(Path(sys.executable).with_name("racctl"))
        sources = [str(videos[name]) for name in missing]
        estimated = subprocess.run([racctl, "pose", *sources, "-o", f"{requested.work}/"])
        if estimated.returncode not in (0, 3):  # 3: no pose of some, which the report names
            sys.exit(estimated.returncode)
        poses |= {name: requested.work / f"{name}.pose.npz" for name in missing}
    return {
        name: Sample(name, poses[name], None if requested.pose_alone else video, requested.lost)
        for name, video in videos.items()
    }


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


def counted(sample: Sample, counter: Counter, options: CountOptions) -> list[Count]:
    """Count a sample's pose, with its picture where the counter looks at that."""
    pose = load_pose(str(sample.pose))
    if sample.lost:
        pose = without_half(pose, sample.clip)
    if sample.video and counter.uses_video("pose"):
        options = replace(options, video=str(sample.video))
        with (
            open_lanes(counter, options, 1, 1) as (estimators,),
            open_clip(str(sample.pose), video=options.video, estimators=estimators) as clip,
        ):
            return count_clip(clip.with_pose(pose), counter, options)
    with open_pose(pose) as clip:
        return count_clip(clip, counter, options)


loaded: tuple[Counter, CountOptions]  # of this process


def open_one(model: str) -> None:
    global loaded
    loaded = open_counter(model, device="cpu", threads=1), CountOptions(model)


def count_sample(sample: Sample) -> Result:
    if not sample.pose.exists():
        return {"count": 0, "low": 0, "high": 0, "spans": [], "error": "no pose"}
    result = result_of(lambda: counted(sample, *loaded))
    return result if result["count"] is not None else {**result, "count": 0, "low": 0, "high": 0}


def report(title: str, table: Path, results: dict[str, Result], work: Path, first: Path | None) -> Path:
    """Print the scores, also against the counts of `first`; return where the counts are."""
    target = work / f"{title.replace(' ', '.')}.counts.parquet"
    rows = [
        {"clip": clip, "person": 0, **{name: float(result[name]) for name in ("count", "low", "high")}, "frames": 0}
        for clip, result in results.items()
    ]
    write_file(target, lambda file: write_table(file, table_from_rows("racctl.counts/1", rows)))
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
    wrong = {clip: result for clip, result in results.items() if result["count"] != truth[clip][0]}
    print(f"  {len(wrong)} of {len(results)} not exact:")
    for clip, r in wrong.items():
        true, exercise = truth[clip]
        line = f"    {clip:36} {exercise:24} true {true:3} counted {r['count']:3} [{r['low']}, {r['high']}]"
        print(line, "" if true else "counted where nothing repeats", r.get("error", ""))
    return target


def summary(title: str, model: str, truth: dict[str, tuple[int, str]], results: dict[str, Result]) -> dict[str, object]:
    """Return the row of a set and a counter in the last table."""
    true = [truth[clip][0] for clip in results]
    counts = [result["count"] for result in results.values()]
    idle = [clip for clip in results if not truth[clip][0]]
    invented = [clip for clip in idle if results[clip]["count"]]
    return {
        "data": title,
        "n": len(results),
        "counter": f"`{model}`",
        "MAE": metric_cell("MAE", counts, true),
        "OBO": metric_cell("OBO", counts, true),
        "exact": metric_cell("OBZ", counts, true),
        "coverage": share(r["low"] <= t <= r["high"] for r, t in zip(results.values(), true, strict=True)),
        "width of low..high": mean_cell([result["high"] - result["low"] for result in results.values()]),
        "false counts": f"{len(invented)} of {len(idle)}{': ' * bool(invented)}{', '.join(invented)}",
    }


def part_of(table: Path, clips: list[str], work: Path) -> Path:
    """Return a table of these clips alone."""
    header, *lines = table.read_text().splitlines()
    target = work / f"part-{table.name}"
    target.write_text("\n".join([header, *(line for line in lines if Path(line.split("\t")[0]).stem in clips)]) + "\n")
    return target


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words = lambda text: text.split(",")  # noqa: E731
    parser.add_argument("--models", type=words, default=COUNTERS.names())
    parser.add_argument("--sets", type=words, default=list(SETS))
    parser.add_argument("--clips", type=words, help="names without suffix; all of the sets by default")
    parser.add_argument("--lost", action="store_true", help="lose the person for half of the time")
    parser.add_argument("--pose-alone", action="store_true", help="show the picture to no counter")
    parser.add_argument("--poses", type=Path)
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "racctl-benchmark")
    parser.add_argument("--plots", type=Path)
    requested = parser.parse_args()
    if "RACCTL_TEST_DATA" not in os.environ:
        sys.exit(f"set RACCTL_TEST_DATA to a folder with {', '.join(f'{title}.tsv, {title}/' for title in SETS)}")
    data = Path(os.environ["RACCTL_TEST_DATA"])
    requested.work.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, object]] = []
    border_rows: list[dict[str, object]] = []
    tables = {title: data / f"{title}.tsv" for title in requested.sets}
    if requested.clips:
        if unknown := set(requested.clips).difference(*map(truth_of, tables.values())):
            sys.exit(f"no such clip '{min(unknown)}' in {', '.join(tables)}")
        tables = {title: part_of(table, requested.clips, requested.work) for title, table in tables.items()}
    for title, table in tables.items():
        if truth_of(table):
            count_set(title, table, data, requested, rows, border_rows)
    print(f"\n{markdown(rows)}")
    if border_rows:
        print(f"\nTrue repetitions that a counted one of their own overlaps (intersection over union {MIN_OVERLAP})")
        print(markdown(border_rows))


def count_set(
    title: str,
    table: Path,
    data: Path,
    requested: argparse.Namespace,
    rows: list[dict[str, object]],
    border_rows: list[dict[str, object]],
) -> None:
    """Count a set by every counter, and add their rows to both tables."""
    truth = truth_of(table)
    samples = samples_of(title, list(truth), data, requested)
    first: Path | None = None
    for model in requested.models:
        name = Path(model).stem
        ledger = Ledger(requested.work / f"{name}.jsonl", code_digest(model))
        items = {f"{title}/{sample.key}": sample for sample in samples.values()}
        by_key = ledger.complete(items, count_sample, requested.jobs, open_one, (model,))
        results = dict(zip(samples, by_key.values(), strict=True))
        counts = report(f"{title} {name}", table, results, requested.work, first)
        first = first or counts
        rows.append(summary(title, name, truth, results))
        cycles = data / f"{title}_cycles.tsv"
        if cycles.is_file():
            known = {clip: spans for clip, spans in cycles_of(cycles).items() if clip in results}
            border_rows.append(border_row(name, known, results))
        wrong = [sample for clip, sample in samples.items() if results[clip]["count"] != truth[clip][0]]
        if requested.plots and wrong:
            plot(wrong, model, requested.plots / f"{title} {name}")


def plot(samples: list[Sample], model: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    counter = open_counter(model, device="cpu")
    for sample in samples:
        if sample.pose.exists():
            plot_counts(folder / f"{sample.clip}.png", [counted(sample, counter, CountOptions(model))[0].curve()])


if __name__ == "__main__":
    main()
