"""From a pose network's inner features to motion: what of a person's looks changes together."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from einops import reduce
from scipy.ndimage import gaussian_filter1d

from racctl.contracts import Features
from racctl.counters.signals import SAMPLE_RATE, SMOOTHING, Motion, resample, without_glitches

PLACES = 4  # to either side, that features are averaged to
APPEARANCE_AXES = 30  # in which looks change most
FRAMES_SAMPLED = 1200  # that the axes are found in
FRAMES_TOGETHER = 512  # frames whose features are in memory at a time
EXTENT = 4.0  # times as far as nearly all looks are from the usual ones: the unit, about a body's size of a pose
FAR_SHARE = 90  # percent that "nearly all" is


def appearance(features: Features) -> np.ndarray:
    """Return (T, K, 1) float64: features along the axes in which they change most, NaN where nobody is seen.

    features: inner features, a window for each frame, 0 throughout where nobody is seen.
    """
    video = features.video
    assert video is not None, "inner features have a video branch"
    seen = np.concatenate([block.any(axis=(1, 2, 3, 4)) for block in _blocks(video)])
    rows = np.flatnonzero(seen)
    paths = np.full((len(video), APPEARANCE_AXES, 1), np.nan)
    if len(rows) < 2:
        return paths
    sample = _pooled(np.asarray(video[rows[:: -(-len(rows) // FRAMES_SAMPLED)]]))
    middle = sample.mean(0)
    axes = _principal_axes(sample - middle)
    begin = 0
    for block in _blocks(video):
        paths[begin : begin + len(block), : axes.shape[1], 0] = (_pooled(block) - middle) @ axes
        begin += len(block)
    paths[:, axes.shape[1] :] = 0
    paths[~seen] = np.nan
    return paths


def appearance_motion(paths: np.ndarray, time: np.ndarray) -> Motion:
    """Return the motion of `appearance` (T, K, 1) at time (T,), s: nothing of it is mirrored."""
    even, looks, known = resample(paths, time)
    flat = looks.reshape(len(even), -1)
    flat = flat - np.median(flat[known], axis=0)
    away = np.linalg.norm(flat[known], axis=1)
    flat = without_glitches(flat / (EXTENT * np.percentile(away, FAR_SHARE) + 1e-9))
    flat = gaussian_filter1d(flat, SMOOTHING * SAMPLE_RATE, axis=0, mode="nearest")
    return Motion(even, known, (flat[:, :, None],), views=((0,),))


def _principal_axes(sample: np.ndarray) -> np.ndarray:
    """Return (D, K) of (N, D) about its mean, where N is less than D by far: by the products of the rows."""
    values, vectors = np.linalg.eigh(sample @ sample.T)
    chosen = np.argsort(-values)[:APPEARANCE_AXES]
    chosen = chosen[values[chosen] > 1e-9 * values.max()]
    return sample.T @ vectors[:, chosen] / np.sqrt(values[chosen])


def _blocks(video: np.ndarray) -> Iterator[np.ndarray]:
    for begin in range(0, len(video), FRAMES_TOGETHER):
        yield np.asarray(video[begin : begin + FRAMES_TOGETHER])


def _pooled(block: np.ndarray) -> np.ndarray:
    """Return (N, D) float32 of (N, C, 1, H, W)."""
    small = reduce(block.astype(np.float32), "n c 1 (h y) (w x) -> n c h w", "mean", h=PLACES, w=PLACES)
    return small.reshape(len(block), -1)
