"""A clip that plays the same several times in a row, as looped videos do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft

from racctl.counters.paces import Stretch

SAME = 0.01  # of the variance of the motion that two passes may differ by; sets by people: 0.04 and more
SHORTEST_PASS = 1.0  # s of a pass
REMAINDER = 0.02  # of a pass, that may be missing or too much at the clip's end


def pass_length(paths: np.ndarray, time: np.ndarray) -> int:
    """Return how many frames a clip's first pass has, 0 where it is no loop.

    paths: (T, V, C), NaN where not seen.  time: (T,) s.

    All passes are the same; the last may lack or have a little more at the end.
    """
    if len(paths) < 4:
        return 0
    flat = paths.reshape(len(paths), -1)
    seen = np.isfinite(flat).any(0)
    if not seen.any():
        return 0
    columns = flat[:, seen] - np.nanmedian(flat[:, seen], axis=0)
    columns = np.where(np.isfinite(columns), columns, 0.0)
    apart = differences(columns)
    variance = columns.var(0).sum()
    lags = np.arange(len(apart))
    passes = np.round(len(paths) / np.maximum(lags, 1))
    whole = np.abs(len(paths) - passes * lags) <= REMAINDER * lags
    long = np.append(time[1:] - time[0], np.inf)[np.maximum(lags, 1) - 1] >= SHORTEST_PASS
    same = np.flatnonzero(whole & long & (passes > 1) & (apart < 2 * SAME * variance) & (lags > 1))
    return int(same[0] + np.argmin(apart[same[0] : same[0] + 3])) if len(same) else 0


def differences(columns: np.ndarray) -> np.ndarray:
    """Return (T,): for every lag the mean over time of the squared distance of two rows (T, D) so far apart."""
    length = len(columns)
    size = next_fast_len(2 * length)
    spectrum = np.zeros(size // 2 + 1)
    for column in columns.T:
        spectrum += np.abs(rfft(column, size)) ** 2
    products = irfft(spectrum, size)[:length]
    energy = np.append(0.0, np.cumsum((columns**2).sum(1)))
    lags = np.arange(length)
    return (energy[length - lags] + energy[length] - energy[lags] - 2 * products) / (length - lags)


def repeated(stretches: list[Stretch], length: int, frames: int) -> list[Stretch]:
    """Return what was read of a first pass of so many frames, once for every pass of a clip of `frames` frames."""
    passes = round(frames / length)
    return [
        replace(stretch, pace=replace(stretch.pace, first=stretch.pace.first + k * length))
        for k in range(passes)
        for stretch in stretches
    ]
