"""What the benchmarks of the counter share: results that outlast a run, shares with intervals, Markdown tables."""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest

import racctl
from racctl.contracts import Pose
from racctl.counters.base import open_counter
from racctl.counters.count_clip import CountOptions, count_clip
from racctl.counters.result import Count
from racctl.errors import DataError
from racctl.estimators.open_clip import open_pose
from racctl.scoring.count_metrics import TERMS, bootstrap_interval, percentiles, resampled_means, value

RESAMPLES = 2000
UNUSED_FOLDERS = ("cli", "data", "scoring", "synth", "training")  # of racctl, which no count depends on
NOBODY = ("shows no person", "holds nobody")  # what messages say of a clip with nobody to count
Result = dict[str, Any]


def command(about: str | None, name: str) -> argparse.ArgumentParser:
    """Return the parser of a benchmark, with what all take. about: its docstring.  name: of its folder of results."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="combined", help="of `racctl count`")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / f"racctl-{name}")
    return parser


def share(hits: Iterable[bool]) -> str:
    """Return a share with its Wilson interval."""
    hits = list(hits)
    if not hits:
        return "–"
    low, high = wilson(sum(hits), len(hits))
    return f"{np.mean(hits):.3f} [{low:.2f}, {high:.2f}]"


def wilson(hits: int, n: int) -> tuple[float, float]:
    interval = binomtest(hits, n).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def share_over(groups: dict[str, list[bool]]) -> str:
    """Return a share with its bootstrap interval over groups, such as the clips that several items each are made of.

    Where all items are hits, or none is, resampling shows no spread: then the Wilson interval of as many items as there
    are groups. A single group of mixed items gives no interval.
    """
    if not groups:
        return "–"
    sums = np.array([[sum(hits) for hits in groups.values()], [len(hits) for hits in groups.values()]], float)
    hits, n = sums.sum(1)
    if hits in (0, n):
        low, high = wilson(len(groups) if hits else 0, len(groups))
    elif len(groups) == 1:
        return f"{hits / n:.3f}"
    else:
        means = resampled_means(sums, RESAMPLES, seed=0)
        low, high = percentiles(means[0] / means[1])
    return f"{hits / n:.3f} [{low:.2f}, {high:.2f}]"


def metric_cell(metric: str, predicted: Iterable[float], true: Iterable[float]) -> str:
    """Return a metric of `racctl.scoring.count_metrics` with its bootstrap interval."""
    return _cell(metric, TERMS[metric](np.array([*predicted], float), np.array([*true], float)))


def mean_cell(values: Iterable[float]) -> str:
    """Return a mean with its bootstrap interval."""
    return _cell("mean", np.array([*values], float))


def _cell(metric: str, terms: np.ndarray) -> str:
    """Return the metric of (n,) terms, NaN where there is none."""
    if np.isnan(terms).all():
        return "–"
    low, high = bootstrap_interval(metric, terms, resamples=RESAMPLES, seed=0)
    interval = "" if np.isnan(low) else f" [{low:.2f}, {high:.2f}]"
    return f"{value(metric, terms):.3f}{interval}"


def markdown(rows: list[dict[str, object]]) -> str:
    """Return a table of rows that have the same columns."""
    columns = list(rows[0])
    lines = [columns, ["---"] * len(columns), *([str(row[column]) for column in columns] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def code_digest(model: str, more: tuple[str, ...] = ()) -> str:
    """Digest what a count depends on but the input: racctl's code and weights, and a model that is a file.

    more: folders of racctl that matter too, of `UNUSED_FOLDERS`.
    """
    unused = set(UNUSED_FOLDERS) - set(more)
    (folder,) = racctl.__path__
    digest = hashlib.sha256(model.encode())
    for path in sorted(path for path in Path(folder).rglob("*") if path.suffix in (".py", ".safetensors")):
        if path.relative_to(folder).parts[0] not in unused:
            digest.update(path.read_bytes())
    if Path(model).is_file():
        digest.update(Path(model).read_bytes())
    return digest.hexdigest()[:16]


class Ledger:
    """Results by key in a file, a line each, so that a run that is cut short goes on where it stopped.

    Results of another version of racctl, or of another model, are left in the file and not used.
    """

    def __init__(self, path: Path, about: str) -> None:
        """about: what the results depend on beside their keys, see `code_digest`."""
        self.path = path
        self.about = about
        self.results: dict[str, Result] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        for line in path.read_text().splitlines() if path.exists() else ():
            try:
                row = json.loads(line)
            except ValueError:  # a line that was being written when the run ended
                continue
            if row["about"] == about:
                self.results[row["key"]] = row["result"]

    def add(self, key: str, result: Result) -> None:
        self.results[key] = result
        with self.path.open("a") as file:
            file.write("\n" + json.dumps({"about": self.about, "key": key, "result": result}))

    def complete(
        self,
        items: dict[str, Any],
        measure: Callable[[Any], Result],
        jobs: int,
        start: Callable[..., None],
        arguments: tuple,
    ) -> dict[str, Result]:
        """Return the result of every item, by its key; what is not in the file is measured in `jobs` processes.

        start: called first in each process, with `arguments`.
        """
        missing = {key: item for key, item in items.items() if key not in self.results}
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ[name] = "1"  # of the processes below
        if missing:
            context = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(min(jobs, len(missing)), context, start, arguments) as pool:
                pending = {pool.submit(measure, item): key for key, item in missing.items()}
                try:
                    for number, future in enumerate(as_completed(pending), 1):
                        self.add(pending[future], future.result())
                        print(f"{number} of {len(missing)}: {pending[future]}", file=sys.stderr, flush=True)
                except BaseException:
                    pool.shutdown(cancel_futures=True)
                    raise
        return {key: self.results[key] for key in items}


def result_of(count: Callable[[], list[Count]]) -> Result:
    """Return what was counted of the main person; count None, and why, where nobody is there to count.

    spans: start and stop of every repetition in source frames, half-open.
    """
    try:
        counted = count()[0]
    except DataError as error:
        if not any(words in str(error) for words in NOBODY):
            raise
        return {"count": None, "low": None, "high": None, "spans": [], "error": str(error)}
    spans = np.stack(counted.frames(), axis=1).tolist()
    return {"count": counted.repetitions, "low": counted.low, "high": counted.high, "spans": spans}


class PoseCounter:
    """Counts poses that are in memory by one counter."""

    def __init__(self, model: str) -> None:
        self.options = CountOptions(model)
        self.counter = open_counter(model, device="cpu", threads=1)

    def __call__(self, pose: Pose) -> Result:
        with open_pose(pose) as clip:
            return result_of(lambda: count_clip(clip, self.counter, self.options))
