"""How well counted repetitions agree with true ones in time: how many are the same, and how far apart their borders.

A counted repetition is a true one where their temporal intersection over union is at least 0.5; each is so once, and
as many are matched as can be.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from racctl.scoring.count_metrics import percentiles, resampled_means

MIN_OVERLAP = 0.5  # intersection over union


@dataclass(frozen=True)
class Agreement:
    """Of each of n clips, (n,) float64.

    matched, true, predicted: repetitions.
    error: of the matched borders, the sum, s.
    borders: how many these are, 0 where the clip's frames/s are not known.
    """

    matched: np.ndarray
    true: np.ndarray
    predicted: np.ndarray
    error: np.ndarray
    borders: np.ndarray


def matched(true: np.ndarray, spans: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which true repetitions (R, 2) and which predicted ones (Q, 2) are the same: rows of both, (K,) each."""
    if not len(true) or not len(spans):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    both = np.minimum(true[:, None, 1], spans[:, 1]) - np.maximum(true[:, None, 0], spans[:, 0])
    either = np.maximum(true[:, None, 1], spans[:, 1]) - np.minimum(true[:, None, 0], spans[:, 0])
    overlaps = both >= MIN_OVERLAP * either  # where they overlap, both together have no gap
    rows, columns = linear_sum_assignment(np.where(overlaps, 1 + both / np.maximum(either, 1), 0.0), maximize=True)
    enough = overlaps[rows, columns]
    return rows[enough], columns[enough]


def agreement(true: list[np.ndarray], predicted: list[np.ndarray], fps: list[float | None]) -> Agreement:
    """Return how the repetitions of n clips agree: (R, 2) and (Q, 2) frames, half-open, and frames/s of each clip."""
    rows = []
    for spans, counted, rate in zip(true, predicted, fps, strict=True):
        first, second = matched(spans, counted)
        apart = float(np.abs(spans[first] - counted[second]).sum()) / rate if rate else 0.0
        rows.append((len(first), len(spans), len(counted), apart, 2 * len(first) * bool(rate)))
    return Agreement(*np.array(rows, np.float64).reshape(-1, 5).T)


def repetition_scores(pairs: Agreement, resamples: int, seed: int) -> dict[str, tuple[float, float, float]]:
    """Return metric -> value and 95 % interval, a bootstrap over the clips; NaN where it is undefined."""
    sums = np.stack([pairs.matched, pairs.true, pairs.predicted, pairs.error, pairs.borders])
    drawn = resampled_means(sums, resamples, seed) if resamples and sums.shape[1] > 1 else np.full((5, 0), np.nan)
    scores = {}
    with np.errstate(divide="ignore", invalid="ignore"):
        for name, (hits, both) in {
            "rep_precision@0.5": (1, (0, 0, 1, 0, 0)),
            "rep_recall@0.5": (1, (0, 1, 0, 0, 0)),
            "rep_F1@0.5": (2, (0, 1, 1, 0, 0)),
        }.items():
            scores[name] = _cell(hits * sums[0].sum() / (both @ sums).sum(), hits * drawn[0] / (both @ drawn))
        scores["border_error_s"] = _cell(sums[3].sum() / sums[4].sum(), drawn[3] / drawn[4])
    return scores


def _cell(value: float, drawn: np.ndarray) -> tuple[float, float, float]:
    return (float(value), *percentiles(drawn))
