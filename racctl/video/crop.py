"""Cut the person out of the picture: one square about them, steady over time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy.ndimage import maximum_filter1d, minimum_filter1d, uniform_filter1d

from racctl.io.npz import Frames
from racctl.windows import at_or_before

if TYPE_CHECKING:
    from racctl.video.decode import Video

MARGIN = 0.12  # of the person's box, on each side
STEADY_SECONDS = 3.0  # s to either side whose boxes are joined, so that the cut-out does not follow the movement


@dataclass(frozen=True)
class PersonCrop:
    """Where the person is cut out.

    boxes: (T, 3) as `person_boxes` gives them, for the frames (T,) `number`.
    """

    boxes: np.ndarray
    number: np.ndarray
    video: Video

    @classmethod
    def of(cls, masks: Frames, number: np.ndarray, video: Video) -> PersonCrop:
        """Place the crop about the person in masks (T, H, W) of these frames (T,)."""
        return cls(person_boxes(masks, number, video), number, video)

    def box(self, number: int, shape: tuple[int, ...]) -> tuple[float, float, float, float]:
        """Return left, top, right, bottom in pixels of an (H, W) picture of that frame, which may be squeezed."""
        x, y, side = self.boxes[at_or_before(self.number, np.array([number]))[0]]
        high = side * self.video.width / self.video.height
        h, w = shape[:2]
        return (x - side / 2) * w, (y - high / 2) * h, (x + side / 2) * w, (y + high / 2) * h


def crop_picture(image: np.ndarray, size: int, box: tuple[float, float, float, float] | None, how: int) -> np.ndarray:
    """Return (H, W) uint8 to (size, size), all of it or the box (left, top, right, bottom) in pixels.

    Black beyond its edges.
    """
    if box is None:
        return np.asarray(Image.fromarray(np.ascontiguousarray(image)).resize((size, size), how))
    left, top, right, bottom = box
    h, w = image.shape
    before = [max(0, math.ceil(-top)), max(0, math.ceil(-left))]
    after = [max(0, math.ceil(bottom - h)), max(0, math.ceil(right - w))]
    padded = np.pad(image, list(zip(before, after, strict=True)))
    inside = (left + before[1], top + before[0], right + before[1], bottom + before[0])
    return np.asarray(Image.fromarray(padded).resize((size, size), how, box=inside))


def person_boxes(masks: Frames, frame: np.ndarray, video: Video) -> np.ndarray:
    """Return the squares about the person, steady over `STEADY_SECONDS` seconds.

    masks: (T, H, W), of the frames (T,).

    Returns (T, 3) float: middle x, middle y and side, in shares of the picture's width, height and width. Frames
    without a mask take their neighbours' box; without any, the whole picture.
    """
    t, h, w = masks.shape
    sides = [(mask.any(0), mask.any(1)) for mask in (masks[k] for k in range(t))]  # one at a time, they may be many
    across, down = (np.array([side[k] for side in sides], bool).reshape(t, n) for k, n in enumerate((w, h)))
    seen = across.any(1)
    if not seen.any():
        return np.tile([0.5, 0.5, 1.0], (t, 1))
    left, right = across.argmax(1) / w, 1 - across[:, ::-1].argmax(1) / w
    top, bottom = down.argmax(1) / h, 1 - down[:, ::-1].argmax(1) / h
    span = 2 * max(1, round(STEADY_SECONDS * video.fps * t / max(int(frame[-1]) - int(frame[0]) + 1, 1))) + 1
    known = np.flatnonzero(seen)
    edges = [np.interp(np.arange(t), known, edge[known]) for edge in (left, right, top, bottom)]
    outer = (minimum_filter1d, maximum_filter1d, minimum_filter1d, maximum_filter1d)
    widened = [widest(edge, span) for widest, edge in zip(outer, edges, strict=True)]
    left, right, top, bottom = (uniform_filter1d(edge, span, mode="nearest") for edge in widened)
    tall = video.height / video.width  # heights in units of widths
    side = np.maximum(right - left, (bottom - top) * tall) * (1 + 2 * MARGIN)
    return np.stack([(left + right) / 2, (top + bottom) / 2, side], axis=1)
