"""Where one movement gives way to another without a rest between: the postures before are none of those after."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import maximum_filter1d

SHORTEST_SIDE, LONGEST_SIDE = 5.0, 14.0  # s looked at on either side of a change
PERIODS_OF_A_SIDE = 1.5  # ... so that it holds a whole repetition
AXES_OF_CHANGE = 3  # principal axes that postures are compared along: in all of them noise keeps any two apart
FAR_PERCENTILE = 75  # of the postures of a side: two movements may share the posture that they rest in
CHANGED = 1.05  # distance to the nearest posture of the other side, as a share of the spread of the postures of both
STEP_SECONDS = 0.5  # s between moments that are looked at


def change_points(path: np.ndarray, rate: float, period: float) -> np.ndarray:
    """Return the samples at which another movement begins, ascending.

    path: (N, D) of one stretch of motion, body sizes at `rate` Hz.  period: usual, s.
    """
    side = int(np.clip(PERIODS_OF_A_SIDE * period, SHORTEST_SIDE, LONGEST_SIDE) * rate)
    step = max(int(STEP_SECONDS * rate), 1)
    middles, novelty = novelties(path, side, step)
    if not len(middles):
        return np.zeros(0, np.int64)
    highest = novelty == maximum_filter1d(novelty, 2 * (side // step) + 1)
    return middles[highest & (novelty > CHANGED)]


def novelties(path: np.ndarray, side: int, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Return moments (K,) and how new what follows each is, (K,): near 0 the same, about 1 all else.

    path: (N, D).  side: samples on either side that are compared.  step: samples between moments.
    """
    middles = np.arange(side, len(path) - side + 1, step)
    return middles, np.array([_novelty(path[middle - side : middle + side]) for middle in middles])


def _novelty(postures: np.ndarray) -> float:
    """Return how far the first half of postures (2 n, D) lies from the second, in spreads of both."""
    centred = postures - postures.mean(0)
    strength, along = np.linalg.eigh(centred @ centred.T)
    shown = along[:, -AXES_OF_CHANGE:] * np.sqrt(np.maximum(strength[-AXES_OF_CHANGE:], 0))
    before, after = np.split(shown, 2)
    apart = np.linalg.norm(before[:, None] - after, axis=-1)
    nearest = np.mean([np.percentile(apart.min(axis), FAR_PERCENTILE) for axis in (0, 1)])
    return float(nearest / (np.sqrt((shown**2).sum(1).mean()) + 1e-9))
