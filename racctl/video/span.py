"""The part of a video that a tool was asked for: its frames with their clock, and how many to expect."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import IO

import numpy as np

from racctl.contracts import Meta
from racctl.errors import DataError, UsageError
from racctl.progress import tell
from racctl.video.decode import Frame, Video, frames
from racctl.video.ending import rounded_down
from racctl.video.losses import Losses

RATE_TOLERANCE = 0.01  # of a rate: half of 29.97 frames/s is 15


def check_part(start: float | None, stop: float | None) -> None:
    """Raise UsageError unless start and stop, in seconds, are numbers and in order."""
    for name, value in (("--start", start), ("--stop", stop)):
        if value is not None and not np.isfinite(value):
            raise UsageError(f"'{name} {value}' is not a time; expected seconds")
    if start is not None and stop is not None and stop <= start:
        raise UsageError(f"'--stop {stop:g}' is not after '--start {start:g}'")


def check_rate(rate: float | None, stride: int) -> None:
    """Raise UsageError unless the rate is positive, and stands alone."""
    if rate is None:
        return
    if not 0 < rate < math.inf:
        raise UsageError(f"invalid value '{rate:g}' for '--rate'; expected frames per second, above 0")
    if stride != 1:
        raise UsageError("'--rate' and '--stride' both say which frames are read; leave one out")


def stride_at(fps: float, rate: float) -> int:
    """Return the stride that leaves at least `rate` frames per second of `fps`, as few as every k-th frame can be.

    A hundredth less is enough, so that 15 is half of 29.97. Of a clip whose frame rate varies, `fps` is the mean: every
    k-th frame is read wherever it stands, and no time is resampled, so that the rate goes up and down as the clip's
    own does.
    """
    return max(1, math.floor((1 + RATE_TOLERANCE) * fps / rate))


@dataclass(frozen=True)
class Span:
    """What of a clip is looked at.

    start, stop: seconds in its own timestamps, half-open, None for its ends.
    stride: every so many frames.
    rate: frames per second that are enough, None for all; it makes a stride, see `at`.
    """

    start: float | None = None
    stop: float | None = None
    stride: int = 1
    rate: float | None = None

    def check(self) -> Span:
        """Raise UsageError unless start and stop are numbers and in order, and one of stride and rate is set at most;
        return self."""
        check_part(self.start, self.stop)
        check_rate(self.rate, self.stride)
        return self

    @property
    def is_whole(self) -> bool:
        return (self.start, self.stop, self.stride, self.rate) == (None, None, 1, None)

    def at(self, fps: float) -> Span:
        """Return the span with the stride that its rate makes in a clip of `fps` frames per second."""
        return self if self.rate is None else replace(self, stride=stride_at(fps, self.rate))

    @property
    def bounds(self) -> tuple[float, float]:
        """Start and stop with infinity for the clip's ends."""
        return (-np.inf if self.start is None else self.start), (np.inf if self.stop is None else self.stop)

    def args(self) -> Meta:
        """Return start, stop, stride and rate as a step of provenance has them."""
        return {"start": self.start, "stop": self.stop, "stride": self.stride, "rate": self.rate}


@dataclass
class VideoPart:
    """A part of a video.

    frames: to be taken once.
    expected: how many there will be, about.
    clock: numbers and times of those taken so far.
    losses: what was not to be had, complete after the last one.
    """

    frames: Iterator[Frame]
    expected: int
    clock: list[tuple[int, float]]
    losses: Losses

    def source(self, video: Video) -> Meta:
        """Return the `source` part of a meta document of what was made of these frames."""
        return {**video.source(), **self.losses.record()}


def part_of(file: IO[bytes], video: Video, args: dict, where: str) -> VideoPart:
    """Return the frames that `args` (start, stop in seconds, both optional, and stride) ask for.

    What is missing of them is noted (see `racctl.progress.tell`) when they are all taken.

    Raises DataError when the file is cut short within the part, or there is no frame in it.
    """
    start, stop = args.get("start"), args.get("stop")
    refuse_cut_short(video, start, stop, where)
    losses = Losses(remarks=video.ending.remarks)
    clock: list[tuple[int, float]] = []
    decoded = _noting(clock, told(frames(file, where, start, stop, args["stride"], losses), losses, where))
    first = next(decoded, None)
    if first is None:
        raise DataError(no_frame(file, video, losses, where))
    return VideoPart(itertools.chain([first], decoded), _expected(video, args), clock, losses)


def told(decoded: Iterator[Frame], losses: Losses, where: str) -> Iterator[Frame]:
    """Yield the frames; after the last one a note says what was missing of them."""
    try:
        yield from decoded
    finally:
        if losses and losses.frames > losses.lost:
            tell(f"'{where}': {losses.line()}")


def losses_of(file: IO[bytes], video: Video, where: str) -> Losses:
    """Return what is missing of a whole clip; it is decoded for that."""
    losses = Losses(remarks=video.ending.remarks)
    for _ in frames(file, where, stop=video.ending.until if video.ending.missing else None, losses=losses):
        pass
    return losses


def no_frame(file: IO[bytes], video: Video, losses: Losses, where: str) -> str:
    """Return why there is no frame in the requested part."""
    if not losses.lost:
        end = video.start_time + video.duration
        return f"'{where}' has no frame in the part asked for; it runs from {video.start_time:g} to {end:g} s"
    first = next(frames(file, where), None)
    begin = losses.gaps[0].begin if losses.gaps else video.start_time
    way_out = f"; the first that can be is at {first.time:.2f} s" if first and first.time > begin else ""
    return f"'{where}': none of the {losses.lost} frames in the part asked for can be decoded{way_out}"


def refuse_cut_short(video: Video, start: float | None, stop: float | None, where: str) -> None:
    """Raise DataError when the file breaks off within start..stop seconds."""
    ending = video.ending
    if not ending.missing or (stop is not None and stop <= ending.until):
        return
    until = rounded_down(ending.until)
    if float(until) <= video.start_time:
        way_out = "nothing of it can be used"
    elif start is not None and float(until) <= start:
        way_out = f"it is whole up to {until} s only"
    else:
        way_out = f"'--stop {until}' takes the rest"
    raise DataError(f"'{where}' is cut short: its last {ending.line()} are missing; {way_out}")


def _noting(clock: list[tuple[int, float]], decoded: Iterator[Frame]) -> Iterator[Frame]:
    for frame in decoded:
        clock.append((frame.number, frame.time))
        yield frame


def _expected(video: Video, args: dict) -> int:
    begin = max(args.get("start", video.start_time), video.start_time)
    end = min(args.get("stop", np.inf), video.start_time + video.duration + 1 / video.fps)
    return max(1, round(max(0.0, end - begin) * video.fps / args["stride"]))
