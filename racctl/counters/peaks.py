"""Peaks of a signal and how far they stand out, as scipy.signal.find_peaks has them.

Importing scipy.signal takes longer than counting a clip does, and nothing else of it is needed here.
"""

from __future__ import annotations

import numpy as np


def prominent_peaks(signal: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the peaks of a signal (N,) whose prominence is at least this: places (n,) int64, and prominences (n,).

    A flat peak is in its middle; the ends of the signal are none. The prominence of a peak is its height above the
    higher of two lowest points, on its way to something higher, or to the end, on either side.
    """
    edges = np.flatnonzero(np.diff(signal))
    begin = np.concatenate([[0], edges + 1])
    end = np.append(edges, len(signal) - 1)
    level = signal[begin]
    runs = 1 + np.flatnonzero((level[1:-1] > level[:-2]) & (level[1:-1] > level[2:]))
    places = (begin[runs] + end[runs]) // 2
    if not len(places):
        return places, np.zeros(0)
    heights = signal[np.concatenate([[0], places, [len(signal) - 1]])]
    valleys = np.minimum.reduceat(signal, np.concatenate([[0], places]))
    above_left = _lowest_before(heights[:-1], valleys[:-1])
    above_right = _lowest_before(heights[:0:-1], valleys[::-1][:-1])[::-1]
    prominence = signal[places] - np.maximum(above_left, above_right)
    stands_out = prominence >= least
    return places[stands_out], prominence[stands_out]


def _lowest_before(heights: np.ndarray, valleys: np.ndarray) -> np.ndarray:
    """Return (n,) for each peak the lowest point between it and the last one before it that is higher, or the end.

    heights: (n + 1,) of the end of the signal, then of the peaks.
    valleys: (n,) lowest points between these.
    """
    lowest = []
    waiting = [(heights[0], heights[0])]  # peaks that are higher than all after them, each with the lowest before it
    for height, valley in zip(heights[1:].tolist(), valleys.tolist(), strict=True):
        low = valley
        while waiting and waiting[-1][0] <= height:
            low = min(low, waiting.pop()[1])
        lowest.append(low)
        waiting.append((height, low))
    return np.array(lowest)
