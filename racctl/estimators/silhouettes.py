"""Frames to people's silhouettes, whichever model looks: the model's name, and its masks made small.

A worker sends all the people of a frame, at the size asked for, as deflated bits; whose mask is taken is decided where
the whole clip is seen in order (racctl/estimators/mask.py), so that it does not depend
on how the clip was cut for the workers.
"""

from __future__ import annotations

import functools
import zlib

import numpy as np

from racctl.estimators.base import ClipFrames, ClipMaskModel, ClipMasks, MaskModel
from racctl.estimators.workers import Workers
from racctl.progress import Report, silent

Size = tuple[int, int]  # height, width
Parcel = tuple[tuple[int, ...], bytes]  # shape (K, H, W); its bits along W, deflated


def mask_workers(model: MaskModel | ClipMaskModel, size: Size | None, threshold: float, jobs: int) -> ClipMasks:
    """Return what makes parcels of clips, started when it first has something to do; see `Silhouettes`."""
    if isinstance(model, ClipMaskModel):
        return model.open(size, threshold, jobs)
    return _FrameByFrame(functools.partial(Silhouettes, model, size, threshold), jobs, model.warm_up)


class _FrameByFrame(Workers):
    """A mask model that looks at one frame after the other, in processes."""

    def run(self, clip: ClipFrames, report: Report = silent) -> np.ndarray:  # type: ignore[override]
        (parcels,) = super().run(clip.frames, clip.expected, clip.video.rotation, report)
        return parcels


class Silhouettes:
    """An estimator for `Workers`: one parcel for each frame, as a 0-d object array."""

    def __init__(self, model: MaskModel, size: Size | None, threshold: float) -> None:
        """size: of the masks, taken from the picture by nearest neighbour; None: all its pixels. threshold:
        probability from which a pixel is the person's. Raises as the model's own `start` does."""
        self._size = size
        self._outline = model.start(threshold)

    def reset(self) -> None:
        self._outline.reset()

    def __call__(self, rgb: np.ndarray, time: float) -> tuple[np.ndarray]:
        """rgb: (H, W, 3) uint8, upright. time: seconds, ascending."""
        height, width = self._size or rgb.shape[:2]
        rows, columns = nearest(rgb.shape[0], height), nearest(rgb.shape[1], width)
        cell = np.empty((), object)
        cell[()] = pack(self._outline(rgb, time, rows, columns))
        return (cell,)


def nearest(length: int, size: int) -> np.ndarray:
    """(size,) of `length` pixels, those whose middle is nearest to the middle of each new one."""
    return ((np.arange(size) + 0.5) * length / size).astype(int)


def pack(masks: np.ndarray) -> Parcel:
    """(K, H, W) bool, deflated."""
    return masks.shape, zlib.compress(np.packbits(masks, axis=-1).tobytes(), 1)


def unpack(parcel: Parcel, size: Size | None = None) -> np.ndarray:
    """(K, H, W) uint8 of 0 and 1, from `pack`. size: the pixels of masks of that size, see `nearest`; None: all."""
    count, height, width = parcel[0]
    bits = np.frombuffer(zlib.decompress(parcel[1]), np.uint8).reshape(count, height, -(-width // 8))
    if size in (None, (height, width)):
        return np.unpackbits(bits, axis=-1, count=width)
    rows, columns = nearest(height, size[0]), nearest(width, size[1])
    return np.unpackbits(bits[:, rows], axis=-1, count=width)[:, :, columns]
