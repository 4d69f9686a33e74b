"""Frames on a clock, and the windows that are cut from them, in one pass that holds one window's frames at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from racctl.errors import DataError
from racctl.video.decode import Frame
from racctl.windows import MAX_GAP, MOST, RATE, apart, shown_for


@dataclass(frozen=True)
class Shots:
    """Which ticks each window is shown: windows of `window` ticks every `stride`, `sampled` ticks of each, evenly; or,
    where `cycles` (R, 2) are given, one window for each of them, in ticks, and no others."""

    window: int
    stride: int
    sampled: int
    cycles: np.ndarray | None = None

    def __iter__(self) -> Iterator[np.ndarray]:
        """(sampled,) int64 ticks of each window in order of their beginning; without cycles there is no end to them."""
        spans = self.cycles if self.cycles is not None else _sliding(self.window, self.stride)
        for start, stop in spans:
            yield np.linspace(start, stop, self.sampled + 1)[:-1].astype(np.int64)

    def shown(self, tick: int) -> bool:
        """Whether any window shows this tick; now and then also for one that none does."""
        return (tick if self.cycles is not None else tick % self.stride) in self._shown

    @cached_property
    def _shown(self) -> set[int]:
        if self.cycles is not None:
            return {int(tick) for ticks in self for tick in ticks}
        return {int(tick) % self.stride for tick in next(iter(self))}


def _sliding(window: int, stride: int) -> Iterator[tuple[int, int]]:
    start = 0
    while True:
        yield start, start + window
        start += stride


def on_clock(frames: Iterable[Frame], rate: float) -> Iterator[Frame]:
    """A frame for every tick from the first frame on; the numbers and times stay those of the source.

    rate: ticks per second, each with the frame nearest in time, of two equally near the earlier, and none in a gap of
    more than MAX_GAP seconds (as `racctl.windows.resampled`); 0: every frame number is a tick, and a number that could
    not be decoded has the frame before it.
    """
    return _every_number(frames) if rate <= 0 else _nearest(frames, rate)


def _every_number(frames: Iterable[Frame]) -> Iterator[Frame]:
    before = None
    for frame in frames:
        if before is not None:
            if frame.number - before.number > MOST:
                raise DataError(f"frames {before.number} and {frame.number} lie too far apart; refusing")
            for _ in range(frame.number - before.number - 1):
                yield before
        yield frame
        before = frame


def _nearest(frames: Iterable[Frame], rate: float) -> Iterator[Frame]:
    before, origin, tick = None, 0.0, 0
    for frame in frames:
        if before is not None and frame.time - before.time > MAX_GAP:
            if tick <= (before.time - origin) * rate + 0.49:
                yield before
            before = None
        if before is None:
            before, origin, tick = frame, frame.time, 0
        while (at := origin + tick / rate) <= frame.time:
            yield before if at - before.time <= frame.time - at + 1e-9 else frame
            tick += 1
            if tick > MOST:
                raise DataError(f"the clip's times span {frame.time - origin:g} s; refusing")
        before = frame
    if before is not None and tick <= (before.time - origin) * rate + 0.49:
        yield before


@dataclass
class Clock:
    """The source's frame and time at each tick so far."""

    frame: list[int]
    time: list[float]

    def spans(self, starts: np.ndarray, stops: np.ndarray) -> tuple[np.ndarray, ...]:
        """start, stop (source frames, int64) and start_s, stop_s (seconds), each (S,), of half-open spans of ticks;
        what goes beyond the last tick ends with it."""
        frame, time = np.array(self.frame, np.int64), np.array(self.time)
        own = np.unique(frame, return_index=True)[1]  # a frame may have several ticks
        frame, time = (
            np.append(frame, frame[-1] + apart(frame[own])), np.append(time, time[-1] + shown_for(time[own], 1 / RATE))
        )  # fmt: skip
        starts, stops = (np.clip(at, 0, len(self.frame)) for at in (starts, stops))
        ends = np.maximum(frame[stops], frame[starts] + 1)
        return frame[starts], ends, time[starts], time[stops]


def cut(
    ticks: Iterable[Frame], shots: Shots, prepare: Callable[[Frame], np.ndarray], clock: Clock,
    blank: np.ndarray | None = None,
) -> Iterator[np.ndarray]:  # fmt: skip
    """Each window's pictures, (sampled, ...) as `prepare` makes them, once for each frame however many windows show it.

    A window that goes beyond the end is filled with `blank`, or where that is None with the last picture. Windows that
    begin after the end do not exist. `clock` is filled on the way.
    """
    held: dict[int, np.ndarray] = {}
    windows = iter(shots)
    wanted, last = next(windows, None), None
    for tick, frame in enumerate(ticks):
        clock.frame.append(frame.number)
        clock.time.append(frame.time)
        last = frame
        if shots.shown(tick):
            held[tick] = prepare(frame)
        while wanted is not None and wanted[-1] <= tick:
            yield np.stack([held[int(t)] for t in wanted])
            wanted = next(windows, None)
            for old in [t for t in held if wanted is None or t < wanted[0]]:
                del held[old]
    total = len(clock.frame)
    filler = blank
    while wanted is not None and wanted[0] < total:
        if filler is None:
            filler = prepare(last)
        yield np.stack([held.get(int(t), filler) if t < total else filler for t in wanted])
        wanted = next(windows, None)


def batched(items: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Up to `size` items at a time, stacked."""
    waiting: deque[np.ndarray] = deque()
    for item in items:
        waiting.append(item)
        if len(waiting) == size:
            yield np.stack(waiting)
            waiting.clear()
    if waiting:
        yield np.stack(waiting)
