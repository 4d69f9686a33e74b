"""Repetitions to density and back: a curve whose area is the count.

Two targets are in use. TransRAC's, per frame: each repetition a Gaussian about its middle whose standard deviation is
a sixth of its length. ESCounts' and D2-STX's, per token of several frames: a one at each repetition's middle token,
smoothed with a Gaussian of fixed width in tokens. Both sum to the number of repetitions.
"""

from __future__ import annotations

import math

import numpy as np

SHARE = 6.0  # of a repetition's length, in standard deviations (TransRAC)


def density(cycles: np.ndarray, edges: np.ndarray, sigma: float = 0.0) -> np.ndarray:
    """(N,) float64 repetitions in each of N spans of time.

    cycles: (R, 2) start and stop of each repetition.  edges: (N + 1,) ascending borders of the spans, in the same unit
    (frames or seconds).  sigma: width of each repetition's Gaussian in that unit; 0: a sixth of its own length.
    Each repetition is a Gaussian about its middle, integrated over each span and scaled so that it sums to one within
    the clip; one whose middle lies outside all spans is left out, one without length is put where it is, whole.
    """
    cycles, edges = np.asarray(cycles, np.float64).reshape(-1, 2), np.asarray(edges, np.float64)
    total = np.zeros(max(len(edges) - 1, 0))
    for start, stop in cycles:
        middle = (start + stop) / 2
        if not len(total) or not edges[0] <= middle <= edges[-1]:
            continue
        width = sigma or (stop - start) / SHARE
        share = np.diff(_normal(edges, middle, width))
        total += share / share.sum() if share.sum() > 1e-12 else _at(edges, middle)
    return total


def _normal(edges: np.ndarray, middle: float, width: float) -> np.ndarray:
    """The normal distribution's cumulative function at the edges."""
    if width <= 0:
        return (edges > middle).astype(np.float64)
    return np.array([0.5 * (1 + math.erf((edge - middle) / (width * math.sqrt(2)))) for edge in edges])


def _at(edges: np.ndarray, middle: float) -> np.ndarray:
    one = np.zeros(len(edges) - 1)
    one[min(int(np.searchsorted(edges, middle, "right")) - 1, len(one) - 1)] = 1.0
    return one
