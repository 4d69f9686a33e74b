"""A clip with its mask drawn in; timing and sound are the source's own."""

from __future__ import annotations

from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageFilter

from racctl.io.npz import Frames
from racctl.progress import Report, silent
from racctl.video.decode import Video, probe
from racctl.video.draw import LIGHT, PEOPLE, Layer, ink, yuv_matrix
from racctl.video.mp4 import Picture, Planes
from racctl.video.overlay import check_target, write_scene

TINT = 0.5  # opacity of the colour on the person
RIM = 5  # pixels; odd


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
        self.size = picture.width, picture.height
        self.tint, self.rim = ink(PEOPLE[0], matrix), ink(LIGHT, matrix)

    def draw(self, planes: Planes, number: int, time: float) -> None:  # noqa: ARG002 (as every Drawing)
        """Draw onto source frame `number`."""
        latest = int(np.searchsorted(self.frame, number, "right")) - 1
        if latest < 0 or number - self.frame[latest] >= self.stride:
            return
        mask = self.masks[latest]
        if not mask.any():
            return
        shape = Image.fromarray(mask * np.uint8(255)).resize(self.size, Image.Resampling.BILINEAR)
        shape = shape.point([0] * 128 + [255] * 128)
        edge = Image.fromarray(np.asarray(shape.filter(ImageFilter.MaxFilter(RIM))) - np.asarray(shape))
        for alpha, colour in ((shape.point([round(TINT * v) for v in range(256)]), self.tint), (edge, self.rim)):
            Layer(0, 0, colour, alpha, alpha.reduce(2)).onto(planes)
