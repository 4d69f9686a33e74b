"""The one-euro filter, with MediaPipe's settings for landmarks.

Casiez et al., 1 EUR Filter: A Simple Speed-based Low-pass Filter for Noisy Input in Interactive Systems, CHI 2012.
"""

from __future__ import annotations

import math

import numpy as np

VISIBILITY_MEMORY = 0.9  # share of the visibility before in the smoothed one, MediaPipe's own
SHORTEST_STEP = 1e-3  # s; frames are never closer


class OneEuro:
    """A low-pass filter that follows fast movements closely and holds what is still."""

    def __init__(self, cutoff: float, beta: float, derivative_cutoff: float = 1.0) -> None:
        """cutoff: Hz of the filter where nothing moves. beta: how much it grows with the speed."""
        self._cutoff = cutoff
        self._beta = beta
        self._derivative_cutoff = derivative_cutoff
        self._time: float | None = None
        self._before: np.ndarray
        self._slope: np.ndarray
        self._smooth: np.ndarray

    def __call__(self, values: np.ndarray, time: float, scale: float) -> np.ndarray:
        """Return the smoothed values. time: seconds, ascending. scale: 1 / size of what moves, in units of `values`."""
        if self._time is None:
            self._smooth = values.copy()
            self._slope = np.zeros_like(values)
        else:
            step = max(time - self._time, SHORTEST_STEP)
            # MediaPipe differentiates what comes in, not what goes out.
            slope = (values - self._before) * (scale / step)
            share = _share(self._derivative_cutoff, step)
            self._slope = share * slope + (1 - share) * self._slope
            share = _share(self._cutoff + self._beta * np.abs(self._slope), step)
            self._smooth = share * values + (1 - share) * self._smooth
        self._time = time
        self._before = values
        return self._smooth


def _share(cutoff: float | np.ndarray, step: float) -> float | np.ndarray:
    """Return the share of the newest value."""
    return 1 / (1 + 1 / (2 * math.pi * cutoff * step))


def region_filter() -> OneEuro:
    """Return the filter of the two points that place the next frame's region."""
    return OneEuro(cutoff=0.01, beta=10.0)


def smooth(points: np.ndarray, world: np.ndarray, score: np.ndarray, time: np.ndarray, size: np.ndarray) -> None:
    """Smooth a person's joints over frames without a gap, in place.

    points: (T, V, 3) pixels.  world: (T, V, 3) metres.  score: (T, V).  time: (T,) seconds.
    size: (T,) pixels, the circle about the body across.
    """
    filters = OneEuro(cutoff=0.05, beta=80.0), OneEuro(cutoff=0.1, beta=40.0)
    for t in range(len(points)):
        points[t] = filters[0](points[t].copy(), float(time[t]), 1 / max(float(size[t]), 1e-6))
        world[t] = filters[1](world[t].copy(), float(time[t]), 1.0)
        if t:
            score[t] = VISIBILITY_MEMORY * score[t - 1] + (1 - VISIBILITY_MEMORY) * score[t]
