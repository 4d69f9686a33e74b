"""The frames of an open video for an estimator that looks at a clip as a whole, parts of it more than once."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import IO

from racctl.estimators.base import ClipFrames
from racctl.video.decode import Frame, Video, frames
from racctl.video.span import VideoPart


def clip_frames(file: IO[bytes], where: str, video: Video, part: VideoPart) -> ClipFrames:
    """Return the frames of a part of an open video. where: its name in errors."""
    return ClipFrames(part.frames, part.expected, video, part.clock, partial(_reread, file, where, part.clock))


def _reread(file: IO[bytes], where: str, clock: list[tuple[int, float]], begin: int, end: int) -> Iterator[Frame]:
    """Decode again the frames from one place of `clock`, which has their numbers and times, to another."""
    numbers = {number for number, _ in clock[begin:end]}
    stop = clock[end][1] if end < len(clock) else None
    for frame in frames(file, where, clock[begin][1], stop):
        if frame.number in numbers:
            yield frame
