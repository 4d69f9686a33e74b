"""How well the borders of counted repetitions agree with those of true ones."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
from outcomes import RESAMPLES, Result
from scipy.optimize import linear_sum_assignment

from racctl.scoring.count_metrics import percentiles, resampled_means

MIN_OVERLAP = 0.5  # intersection over union from which a counted repetition is a true one


def cycles_of(table: Path) -> dict[str, np.ndarray]:
    """sequence -> (R, 2) first frame of each repetition and that after its last"""
    spans: dict[str, list[tuple[int, int]]] = {}
    with table.open() as file:
        for row in csv.DictReader(file, delimiter="\t"):
            spans.setdefault(Path(row["sequence"]).stem, []).append((int(row["start"]), int(row["stop"])))
    return {name: np.array(rows) for name, rows in spans.items()}


def matches(true: np.ndarray, spans: np.ndarray) -> int:
    """Return how many true repetitions (R, 2) have a counted one (Q, 2) of their own that overlaps them enough."""
    if not len(true) or not len(spans):
        return 0
    both = np.minimum(true[:, None, 1], spans[:, 1]) - np.maximum(true[:, None, 0], spans[:, 0])
    either = np.maximum(true[:, None, 1], spans[:, 1]) - np.minimum(true[:, None, 0], spans[:, 0])
    overlaps = both >= MIN_OVERLAP * either  # where they overlap, both together have no gap
    return int(overlaps[linear_sum_assignment(overlaps, maximize=True)].sum())


def border_row(model: str, cycles: dict[str, np.ndarray], results: dict[str, Result]) -> dict[str, object]:
    """Return the row of a counter in the table of borders; intervals are bootstraps over the sequences."""
    sums = np.array(
        [
            (matches(true, np.array(results[name]["spans"]).reshape(-1, 2)), len(true), len(results[name]["spans"]))
            for name, true in cycles.items()
        ],
        float,
    ).T
    drawn = resampled_means(sums, RESAMPLES, seed=0)

    def cell(divide: Callable) -> str:
        low, high = percentiles(divide(*drawn))
        return f"{divide(*sums.sum(1)):.3f} [{low:.2f}, {high:.2f}]"

    return {
        "counter": f"`{model}`",
        "sequences": len(cycles),
        "true repetitions": int(sums[1].sum()),
        "counted": int(sums[2].sum()),
        "matched": cell(lambda hits, true, _: hits / true),
        "F1": cell(lambda hits, true, predicted: 2 * hits / (true + predicted)),
    }
