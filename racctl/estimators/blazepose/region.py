"""Turned squares of a picture: where a body is, and the crop that a network sees.

Arithmetic and constants are MediaPipe's (modules/pose_landmark), so that the landmarks are too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from PIL import Image

from racctl.video.decode import upright

BODY_MARGIN = 1.25  # of the circle about the body, MediaPipe's own


@dataclass(frozen=True)
class Region:
    """A turned square. x, y: its centre, pixels of the picture.  side: pixels.  angle: radians, clockwise."""

    x: float
    y: float
    side: float
    angle: float

    @classmethod
    def about(cls, hips: np.ndarray, end: np.ndarray) -> Region:
        """Return the square about a body. hips: (2,) their middle.  end: (2,) where the circle about it ends, above."""
        across = float(end[0] - hips[0])
        down = float(end[1] - hips[1])
        angle = math.pi / 2 - math.atan2(-down, across)
        turns = math.floor((angle + math.pi) / (2 * math.pi))
        side = 2 * math.hypot(across, down) * BODY_MARGIN
        return cls(float(hips[0]), float(hips[1]), side, angle - 2 * math.pi * turns)

    @property
    def axes(self) -> np.ndarray:
        """(2, 2) turns an offset in the square, as a share of its side, into pixels of the picture."""
        cosine = math.cos(self.angle) * self.side
        sine = math.sin(self.angle) * self.side
        return np.array([[cosine, -sine], [sine, cosine]])

    def to_picture(self, points: np.ndarray) -> np.ndarray:
        """(..., 2) places in the square, 0..1, to pixels of the picture."""
        return (points - 0.5) @ self.axes.T + (self.x, self.y)

    def corners(self) -> np.ndarray:
        """(4, 2) pixels."""
        return self.to_picture(np.array([[0, 0], [1, 0], [1, 1], [0, 1]]))


class CropSource:
    """A frame, upright, that crops can be cut from."""

    def __init__(self, frame: av.VideoFrame, reformatter: VideoReformatter, rotation: int = 0) -> None:
        """rotation: as in `Video`. reformatter: one for all frames of a thread."""
        self._frame = reformatter.reformat(
            frame, format="rgba", threads=1
        )  # PyAV's planes do not keep their frame's memory
        plane: Any = self._frame.planes[0]
        rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size // 4, 4)
        if rotation:
            self._set(np.ascontiguousarray(upright(rows[:, : plane.width], rotation)))
        else:
            self._set(rows, plane.width)

    @classmethod
    def of(cls, rgb: np.ndarray) -> CropSource:
        """Return the picture of (H, W, 3) uint8."""
        picture = cls.__new__(cls)
        picture._set(np.concatenate([rgb, np.full_like(rgb[..., :1], 255)], -1))
        return picture

    def _set(self, rows: np.ndarray, width: int | None = None) -> None:
        """Take the picture from (H, W, 4) in one piece of memory. width: where the rows are longer than the picture."""
        self._pixels = rows[:, :width]
        self.height, self.width = self._pixels.shape[:2]
        size = (self.width, self.height)
        data: Any = rows.data
        self._image = Image.frombuffer("RGBX", size, data, "raw", "RGBX", rows.strides[0], 1)

    @property
    def size(self) -> np.ndarray:
        """(2,) width and height."""
        return np.array([self.width, self.height])

    def whole(self, angle: float = 0.0) -> Region:
        """Return the square about the whole picture."""
        return Region(self.width / 2, self.height / 2, max(self.width, self.height), angle)

    def crop_into(self, square: np.ndarray, region: Region, replicate: bool) -> None:
        """Cut a region out. square: (N, N, 3) float32, gets its pixels, 0..1.

        replicate: whether the picture's border goes on outside of it, rather than black.
        """
        side = len(square)
        # The square's corners go onto pixel indices, as MediaPipe has it: no shift by half a pixel.
        matrix = region.axes / side
        shift = np.array([region.x, region.y]) - matrix @ [side / 2, side / 2]
        pillow = np.column_stack([matrix, shift - matrix @ [0.5, 0.5] + 0.5])
        image = self._image.transform(
            (side, side), Image.Transform.AFFINE, tuple(pillow.ravel()), Image.Resampling.BILINEAR
        )
        if replicate and self._crosses_border(region):
            image = Image.fromarray(self._with_border(np.asarray(image), matrix, shift), "RGBX")
        # Without the fourth channel's bytes the arithmetic takes a tenth of the time.
        pixels = np.frombuffer(image.tobytes("raw", "RGB"), np.uint8).reshape(side, side, 3)
        np.multiply(pixels, np.float32(1 / 255), out=square)

    def _crosses_border(self, region: Region) -> bool:
        corners = region.corners()
        return bool((corners < 0.5).any() or (corners > self.size - 1.5).any())

    def _with_border(self, pixels: np.ndarray, matrix: np.ndarray, shift: np.ndarray) -> np.ndarray:
        """Return the crop (N, N, 4) with the nearest pixel of the picture wherever it reaches beyond it."""
        place = np.arange(len(pixels), dtype=np.float32)
        matrix = matrix.astype(np.float32)
        x = matrix[0, 0] * place + (matrix[0, 1] * place + np.float32(shift[0]))[:, None]
        y = matrix[1, 0] * place + (matrix[1, 1] * place + np.float32(shift[1]))[:, None]
        column = np.clip(x, 0, self.width - 1)
        row = np.clip(y, 0, self.height - 1)
        outside = np.flatnonzero((column != x) | (row != y))
        nearest_column = (column.ravel()[outside] + np.float32(0.5)).astype(np.int32)
        nearest_row = (row.ravel()[outside] + np.float32(0.5)).astype(np.int32)
        bordered = pixels.copy()
        bordered.view(np.uint32).ravel()[outside] = self._pixels.view(np.uint32)[nearest_row, nearest_column, 0]
        return bordered
