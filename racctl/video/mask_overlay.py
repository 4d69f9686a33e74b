"""A clip with its mask drawn in; timing and sound are the source's own."""

from __future__ import annotations

import math
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageChops, ImageFilter

from racctl.io.npz import Frames
from racctl.progress import Report, silent
from racctl.video.decode import Video, probe
from racctl.video.draw import LIGHT, PEOPLE, Layer, ink, yuv_matrix
from racctl.video.mp4 import Picture, Planes
from racctl.video.overlay import check_target, write_scene

TINT = 0.5  # opacity of the colour on the person
RIM = 5  # pixels; odd
EDGE = ImageFilter.GaussianBlur(0.8)  # pixels that an edge is smoothed over


def write_mask_overlay(
    source: IO[bytes], name: str, target: str | Path, masks: Frames, frame: np.ndarray, report: Report = silent
) -> None:
    """Write the video `source` (called `name` in messages) with masks laid over it, as MP4.

    The masks (T, H, W) are those of its frames `frame` (T,).

    A mask with a stride is held until the next one. Raises as `write_overlay` does.
    """
    check_target(target, name)
    write_scene(source, name, target, MaskScene(probe(source, name), masks, frame), report)


class MaskScene:
    """The person tinted, with a light rim."""

    def __init__(self, video: Video, masks: Frames, frame: np.ndarray) -> None:
        self.video, self.masks, self.frame = video, masks, frame
        self.stride = int(np.median(np.diff(frame))) if len(frame) > 1 else 1

    def prepare(self, picture: Picture) -> None:
        """Make ready to draw on the planes of `picture`."""
        matrix = yuv_matrix(picture.bt709, picture.full_range)
        self.tint, self.rim = ink(PEOPLE[0], matrix), ink(LIGHT, matrix)

    def draw(self, planes: Planes, number: int, time: float) -> None:  # noqa: ARG002 (as every Drawing)
        """Draw onto source frame `number`."""
        latest = int(np.searchsorted(self.frame, number, "right")) - 1
        if latest < 0 or number - self.frame[latest] >= self.stride:
            return
        mask = self.masks[latest]
        if not mask.any():
            return
        left, top, shape = self._person(mask)
        wider = shape.filter(ImageFilter.MaxFilter(RIM)).filter(EDGE)
        shape = shape.filter(EDGE)
        edge = ImageChops.subtract(wider, shape)
        for alpha, colour in ((shape.point([round(TINT * v) for v in range(256)]), self.tint), (edge, self.rim)):
            Layer(left, top, colour, alpha, alpha.reduce(2)).onto(planes)

    def _person(self, mask: np.ndarray) -> tuple[int, int, Image.Image]:
        """Return where a mask (H, W) is not empty: left and top, even, and an "L" image, 255 on the person."""
        full = self.video.height, self.video.width
        (top, bottom), (left, right) = (
            _even_range(np.flatnonzero(mask.any(1 - axis)), mask.shape[axis], full[axis]) for axis in (0, 1)
        )
        rows, columns = mask.shape[0] / full[0], mask.shape[1] / full[1]
        part = left * columns, top * rows, right * columns, bottom * rows
        image = Image.fromarray(mask * np.uint8(255))
        shape = image.resize((right - left, bottom - top), Image.Resampling.BILINEAR, part)
        return left, top, shape.point([0] * 128 + [255] * 128)


def _even_range(places: np.ndarray, length: int, pixels: int) -> tuple[int, int]:
    """Return the pixels, of `pixels`, about the filled places of a mask's `length`, from an even one on."""
    margin = RIM + pixels / length
    begin = places[0] * pixels / length - margin
    end = (places[-1] + 1) * pixels / length + margin
    return max(0, 2 * math.floor(begin / 2)), min(pixels, math.ceil(end))
