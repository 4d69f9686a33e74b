"""The part of a video that a tool was asked for: its frames with their clock, and how many to expect."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import IO

import numpy as np

from racctl.errors import DataError, UsageError
from racctl.video.decode import Frame, Video, frames

Clock = list[tuple[int, float]]  # numbers and times of the frames taken so far


def check_part(start: float | None, stop: float | None) -> None:
    """UsageError unless start and stop, in seconds, are numbers and in order."""
    for name, value in (("--start", start), ("--stop", stop)):
        if value is not None and not np.isfinite(value):
            raise UsageError(f"'{name} {value}' is no time; expected seconds")
    if start is not None and stop is not None and stop <= start:
        raise UsageError(f"'--stop {stop:g}' is not after '--start {start:g}'")


def part_of(file: IO[bytes], video: Video, args: dict, where: str) -> tuple[Iterator[Frame], Clock, int]:
    """The frames that `args` (start, stop in seconds, both optional, and stride) ask for, a list that fills with their
    numbers and times as they are taken, and how many there will be, about.

    Raises DataError when the file is cut short within the part, or there is no frame in it.
    """
    refuse_cut_short(video, args.get("stop", np.inf), where)
    clock: Clock = []
    taken = _noting(clock, frames(file, where, args.get("start"), args.get("stop"), args["stride"]))
    first = next(taken, None)
    if first is None:
        end = video.start_time + video.duration
        raise DataError(f"'{where}' has no frame in the part asked for; it runs from {video.start_time:g} to {end:g} s")
    return itertools.chain([first], taken), clock, _expected(video, args)


def refuse_cut_short(video: Video, stop: float, where: str) -> None:
    end = video.start_time + video.duration
    if video.missing and stop > end:
        raise DataError(
            f"'{where}' is cut short: its last {video.missing:.1f} s are missing; '--stop {end:.2f}' takes the rest"
        )


def _noting(clock: Clock, taken: Iterator[Frame]) -> Iterator[Frame]:
    for frame in taken:
        clock.append((frame.number, frame.time))
        yield frame


def _expected(video: Video, args: dict) -> int:
    begin = max(args.get("start", video.start_time), video.start_time)
    end = min(args.get("stop", np.inf), video.start_time + video.duration + 1 / video.fps)
    return max(1, round(max(0.0, end - begin) * video.fps / args["stride"]))
