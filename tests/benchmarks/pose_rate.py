"""How few frames a second are enough to count: the clips counted at several rates, each with poses of its own.

python tests/benchmarks/pose_rate.py CLIP... [--truth TABLE] [--rates HZ ...] [--jobs N] [--model NAME] [--work DIR]
Each clip's pose is estimated anew at each rate ('racctl pose --rate'), for a tracker that sees fewer frames also
follows worse, and at the full rate; all are counted by the same counter. Rates that make the same stride of a clip are
estimated once. TABLE has columns clip and count, separated by tabs. Prints the counts that differ from those at the
full rate, and for each rate how many do, exact counts, OBO and MAE. Poses are left in --work and not made again.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from functools import partial
from pathlib import Path

import numpy as np

from racctl.cli.batch import run_clips
from racctl.counters.count_clip import count
from racctl.errors import DataError
from racctl.estimators.pose import pose_lanes, pose_step, save_pose
from racctl.io.npz import read_pose
from racctl.scoring.count_metrics import round_half_up
from racctl.video.decode import probe
from racctl.video.span import stride_at

RATES = (10.0, 15.0, 20.0, 30.0)


def truth_of(table: Path) -> dict[str, int]:
    """clip -> count"""
    with table.open() as file:
        return {Path(row["clip"]).stem: int(row["count"]) for row in csv.DictReader(file, delimiter="\t")}


def strides_of(clips: list[Path], rates: list[float]) -> dict[Path, dict[float, int]]:
    """clip -> rate -> the stride that it makes; infinity stands for all frames."""
    strides = {}
    for clip in clips:
        with clip.open("rb") as file:
            fps = probe(file, str(clip)).fps
        strides[clip] = {np.inf: 1} | {rate: stride_at(fps, rate) for rate in rates}
    return strides


def estimate(strides: dict[Path, dict[float, int]], model: str, jobs: int, work: Path) -> set[str]:
    """Put each clip's pose of each stride into a folder of that stride; return the clips that failed.

    A clip in which nobody is found has no pose, and has not failed.
    """
    failed: set[str] = set()
    for stride in sorted({stride for of_clip in strides.values() for stride in of_clip.values()}):
        folder = work / str(stride)
        folder.mkdir(parents=True, exist_ok=True)
        clips = [str(clip) for clip, of_clip in strides.items() if stride in of_clip.values()]
        save = partial(save_pose, folder=folder, entry=pose_step(model, 1, None, None, stride))
        failures: list[tuple[str, str]] = []
        try:
            _, failures = run_clips("pose", clips, jobs, partial(pose_lanes, model, 1), save)
        except DataError as error:  # of a single clip
            failures = [(clips[0], str(error))]
        for clip, reason in failures:
            print(f"{clip}, every {stride} frames: {reason}", flush=True)
            if "shows no person" not in reason:
                failed.add(clip)
    return failed


def counted(pose: Path, counter: str) -> int:
    """The count of a pose; 0 where nobody was found in the clip."""
    if not pose.exists():
        return 0
    with pose.open("rb") as file:
        (person,) = count(read_pose(file, str(pose)), counter)
    return int(round_half_up(np.array([person.count]))[0])


def row(counts: np.ndarray, full: np.ndarray, truth: np.ndarray) -> str:
    """Columns of the table. counts: (N,) at a rate.  full: at the full one.  truth: NaN where it is unknown."""
    error = np.abs(counts - truth)
    known = np.isfinite(truth)
    repeated = known & (truth > 0)
    figures = f"{int((counts != full).sum()):8}"
    if known.any():
        figures += f"  {(error[known] == 0).mean():5.3f}  {(error[known] <= 1).mean():5.3f}"
        figures += f"  {(error[repeated] / truth[repeated]).mean():5.3f}"
        figures += f"  {int(((counts > 0) & (truth == 0)).sum()):5}"
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--truth", type=Path)
    parser.add_argument("--rates", type=float, nargs="*", default=list(RATES))
    parser.add_argument("--jobs", type=int, default=0)
    parser.add_argument("--model", default="full")
    parser.add_argument("--counter", default="combined")
    parser.add_argument("--work", type=Path)
    options = parser.parse_args()
    truth = truth_of(options.truth) if options.truth else {}
    strides = strides_of(options.clips, options.rates)
    with tempfile.TemporaryDirectory() as scratch:
        work = options.work or Path(scratch)
        failed = estimate(strides, options.model, options.jobs, work)
        usable = {clip: of_clip for clip, of_clip in strides.items() if str(clip) not in failed}
        if not usable:
            raise SystemExit("no clip was estimated")
        print(f"{len(usable)} clips, {len(failed)} left out")
        report(usable, truth, work, options.counter)


def report(strides: dict[Path, dict[float, int]], truth: dict[str, int], work: Path, counter: str) -> None:
    """Print both tables."""
    rates = list(next(iter(strides.values())))
    table = np.zeros((len(strides), len(rates)), int)
    for n, (clip, of_clip) in enumerate(strides.items()):
        counts = {
            stride: counted(work / str(stride) / f"{clip.stem}.pose.npz", counter) for stride in set(of_clip.values())
        }
        table[n] = [counts[of_clip[rate]] for rate in rates]
        if len(set(counts.values())) > 1:
            line = "  ".join(
                f"{'full' if rate == np.inf else f'{rate:g} Hz'} {number}"
                for rate, number in zip(rates, table[n], strict=True)
            )
            print(f"{clip.stem:32} truth {truth.get(clip.stem, '?'):>3}  {line}", flush=True)
    expected = np.array([truth.get(clip.stem, np.nan) for clip in strides])
    print(f"\n{'rate':>6}  frames  {'differ':>8}" + ("  exact    OBO    MAE  false" if truth else ""))
    for column, rate in enumerate(rates):
        read = np.mean([1 / of_clip[rate] for of_clip in strides.values()])
        name = "full" if rate == np.inf else f"{rate:g}"
        print(f"{name:>6}  {read:6.2f}  {row(table[:, column], table[:, 0], expected)}")


if __name__ == "__main__":
    main()
