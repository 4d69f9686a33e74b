"""How well the borders of counted repetitions agree with those of true ones."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
from outcomes import RESAMPLES, Result

from racctl.scoring.borders import matched
from racctl.scoring.count_metrics import percentiles, resampled_means


def cycles_of(table: Path) -> dict[str, np.ndarray]:
    """sequence -> (R, 2) first frame of each repetition and that after its last"""
    spans: dict[str, list[tuple[int, int]]] = {}
    with table.open() as file:
        for row in csv.DictReader(file, delimiter="\t"):
            spans.setdefault(Path(row["sequence"]).stem, []).append((int(row["start"]), int(row["stop"])))
    return {name: np.array(rows) for name, rows in spans.items()}


def border_row(model: str, cycles: dict[str, np.ndarray], results: dict[str, Result]) -> dict[str, object]:
    """Return the row of a counter in the table of borders; intervals are bootstraps over the sequences."""
    sums = np.array(
        [
            (
                len(matched(true, np.array(results[name]["spans"]).reshape(-1, 2))[0]),
                len(true),
                len(results[name]["spans"]),
            )
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
