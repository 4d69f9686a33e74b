"""Repetitions to density and back: a curve with the count as its area.

Two targets are in use. TransRAC's, per frame: each repetition a Gaussian about its middle whose standard deviation is
a sixth of its length. ESCounts' and D2-STX's, per token of several frames: a one at each repetition's middle token,
smoothed with a Gaussian of fixed width in tokens. Both sum to the number of repetitions.
"""

from __future__ import annotations

import math

import numpy as np

LENGTH_IN_SIGMAS = 6.0  # of a repetition's length, in standard deviations (TransRAC)
MAX_REACH_SHARE = 0.75  # of the usual distance between repetitions: the most that one reaches from its middle
TAIL_SHARE = 0.05  # share of the area on either side that a single repetition leaves out


def density(cycles: np.ndarray, edges: np.ndarray, sigma: float = 0.0) -> np.ndarray:
    """Return (N,) float64 repetitions in each of N spans of time.

    cycles: (R, 2) start and stop of each repetition.
    edges: (N + 1,) ascending borders of the spans, in the same unit (frames or seconds).
    sigma: width of each repetition's Gaussian in that unit; 0: a sixth of its own length.

    Each repetition is a Gaussian about its middle, integrated over each span and scaled so that it sums to one within
    the clip; one whose middle lies outside all spans is left out, one without length is put where it is, whole.
    """
    cycles, edges = np.asarray(cycles, np.float64).reshape(-1, 2), np.asarray(edges, np.float64)
    total = np.zeros(max(len(edges) - 1, 0))
    for start, stop in cycles:
        middle = (start + stop) / 2
        if not len(total) or not edges[0] <= middle <= edges[-1]:
            continue
        width = sigma or (stop - start) / LENGTH_IN_SIGMAS
        share = np.diff(_normal(edges, middle, width))
        total += share / share.sum() if share.sum() > 1e-12 else _at(edges, middle)
    return total


def overwritten_map(cycles: np.ndarray, edges: np.ndarray, bins: int) -> np.ndarray:
    """Return (bins,) float64 repetitions in each bin of a clip, as the released code of TransRAC draws them.

    cycles, edges: as of `density`, the first and last edge being the clip's.

    Starts and stops are rounded up to bins and sorted; each repetition is a Gaussian of a sixth of its length, and what
    a later one shares with an earlier one is the later one's. So the sum is not the count.
    """
    first, last = float(edges[0]), float(edges[-1])
    places = np.ceil((np.asarray(cycles, np.float64).ravel() - first) / max(last - first, 1e-9) * bins)
    spans = np.sort(places.clip(0, bins - 1).astype(int)).reshape(-1, 2)
    drawn = np.zeros(bins)
    for start, stop in spans.tolist():
        borders = np.arange(start, stop + 2) - 0.5
        share = np.diff(_normal(borders, (start + stop) / 2, (stop - start) / LENGTH_IN_SIGMAS))
        drawn[start : stop + 1] = share if stop > start else 1.0
    return drawn


def _normal(edges: np.ndarray, middle: float, width: float) -> np.ndarray:
    """Return the normal distribution's cumulative function at the edges."""
    if width <= 0:
        return (edges > middle).astype(np.float64)
    return np.array([0.5 * (1 + math.erf((edge - middle) / (width * math.sqrt(2)))) for edge in edges])


def _at(edges: np.ndarray, middle: float) -> np.ndarray:
    impulse = np.zeros(len(edges) - 1)
    impulse[min(int(np.searchsorted(edges, middle, "right")) - 1, len(impulse) - 1)] = 1.0
    return impulse


def repetitions(curve: np.ndarray, edges: np.ndarray, count: int | None = None) -> np.ndarray:
    """Return (R, 2) float64 start and stop of the repetitions in a density, in the unit of `edges`.

    The reverse of `density`.

    curve: (N,) repetitions in each span; what is below zero counts as nothing.
    edges: (N + 1,) ascending borders.
    count: R; None for the area, rounded half up.

    The area is divided evenly among them; each middle lies where half of its share is reached. Neighbours meet half way
    between their middles, but none reaches further than `MAX_REACH_SHARE` of the usual distance, so that a pause
    belongs to neither.
    """
    curve, edges = np.maximum(np.asarray(curve, np.float64), 0), np.asarray(edges, np.float64)
    total = curve.sum()
    count = math.floor(total + 0.5) if count is None else count
    if not count or not total > 0:
        return np.zeros((0, 2))
    reached = np.concatenate([[0.0], np.cumsum(curve)]) / total
    reached += 1e-12 * np.arange(len(reached))  # rising even in a rest
    middles = np.interp((np.arange(count) + 0.5) / count, reached, edges)
    if count == 1:
        return np.interp([[TAIL_SHARE, 1 - TAIL_SHARE]], reached, edges)
    usual = float(np.median(np.diff(middles)))
    meet = (middles[1:] + middles[:-1]) / 2
    start = np.maximum(np.append(middles[0] - usual / 2, meet), middles - MAX_REACH_SHARE * usual)
    stop = np.minimum(np.append(meet, middles[-1] + usual / 2), middles + MAX_REACH_SHARE * usual)
    return np.stack([start, stop], axis=1).clip(edges[0], edges[-1])
