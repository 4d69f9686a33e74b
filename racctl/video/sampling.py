"""Frames on a clock, and the windows that are cut from them, in one pass that holds one window's frames at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from racctl.errors import DataError
from racctl.video.decode import Frame
from racctl.windows import FRAME_RATE, MAX_GAP, MAX_TICKS, frame_duration, frame_step


@dataclass(frozen=True)
class WindowSampling:
    """Which ticks each window is shown: windows of `window` ticks every `stride`, `sampled` ticks of each, evenly.

    Or, where `cycles` (R, 2) are given, one window for each of them, in ticks, and no others.
    """

    window: int
    stride: int
    sampled: int
    cycles: np.ndarray | None = None

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield (sampled,) int64 ticks of each window in order of their beginning.

        Without cycles there is no end to them.
        """
        spans = self.cycles if self.cycles is not None else _sliding(self.window, self.stride)
        for start, stop in spans:
            yield np.linspace(start, stop, self.sampled + 1)[:-1].astype(np.int64)

    def shown(self, tick: int) -> bool:
        """Return whether any window shows this tick; now and then also for one that none does."""
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
    """Yield a frame for every tick from the first frame on; the numbers and times stay those of the source.

    rate: ticks per second, each with the frame nearest in time, of two equally near the earlier, and none in a gap of
        more than MAX_GAP seconds (as `racctl.windows.resampled`); 0: every frame number is a tick, and a number that
        could not be decoded has the frame before it.
    """
    return _every_number(frames) if rate <= 0 else _nearest(frames, rate)


def _every_number(frames: Iterable[Frame]) -> Iterator[Frame]:
    before = None
    for frame in frames:
        if before is not None:
            if frame.number - before.number > MAX_TICKS:
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
            if tick > MAX_TICKS:
                raise DataError(f"the clip's times span {frame.time - origin:g} s; refusing")
        before = frame
    if before is not None and tick <= (before.time - origin) * rate + 0.49:
        yield before


@dataclass
class TickClock:
    """The source's frame and time at each tick so far."""

    frame: list[int]
    time: list[float]

    def spans(self, starts: np.ndarray, stops: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return where half-open spans of ticks lie in the source.

        They are start, stop (source frames, int64) and start_s, stop_s (seconds), each (S,). What goes beyond the last
        tick ends with it.
        """
        frame, time = np.array(self.frame, np.int64), np.array(self.time)
        first_ticks = np.unique(frame, return_index=True)[1]  # a frame may have several ticks
        frame, time = (
            np.append(frame, frame[-1] + frame_step(frame[first_ticks])),
            np.append(time, time[-1] + frame_duration(time[first_ticks], 1 / FRAME_RATE)),
        )
        starts, stops = (np.clip(at, 0, len(self.frame)) for at in (starts, stops))
        ends = np.maximum(frame[stops], frame[starts] + 1)
        return frame[starts], ends, time[starts], time[stops]


def cut_windows(
    ticks: Iterable[Frame],
    shots: WindowSampling,
    prepare: Callable[[Frame], np.ndarray],
    clock: TickClock,
    blank: np.ndarray | None = None,
) -> Iterator[np.ndarray]:
    """Yield each window's pictures, (sampled, ...) as `prepare` makes them.

    Each frame is prepared once, however many windows show it.

    A window that goes beyond the end is filled with `blank`, or where that is None with the last picture. Windows that
    begin after the end do not exist. `clock` is filled on the way.
    """
    held: dict[int, np.ndarray] = {}
    windows = iter(shots)
    window, last = next(windows, None), None
    for tick, frame in enumerate(ticks):
        clock.frame.append(frame.number)
        clock.time.append(frame.time)
        last = frame
        if shots.shown(tick):
            held[tick] = prepare(frame)
        while window is not None and window[-1] <= tick:
            yield np.stack([held[int(t)] for t in window])
            window = next(windows, None)
            for old in [t for t in held if window is None or t < window[0]]:
                del held[old]
    total = len(clock.frame)
    filler = blank
    while window is not None and window[0] < total:
        if filler is None:
            assert last is not None  # a window that begins before the end has a frame
            filler = prepare(last)
        yield np.stack([held.get(int(t), filler) if t < total else filler for t in window])
        window = next(windows, None)


def batched(items: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Yield up to `size` items at a time, stacked."""
    waiting: deque[np.ndarray] = deque()
    for item in items:
        waiting.append(item)
        if len(waiting) == size:
            yield np.stack(waiting)
            waiting.clear()
    if waiting:
        yield np.stack(waiting)
