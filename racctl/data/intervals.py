"""Clips with exercise labels over time: what is done when, in frames, in seconds or throughout, and nothing elsewhere.

What no interval covers is `BACKGROUND`, the one null class: MM-Fit's non_activity, the paper's class 0, the idle time
of `racctl synth`. The with-null protocol keeps it as a class; no-null leaves out the windows that `labels_at` calls so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from racctl.contracts import BACKGROUND
from racctl.errors import DataError, UsageError

TIME_TOLERANCE = 5e-4  # s; times in tables are rounded, mostly to milliseconds, and no frame is as short as that
LAST_FRAME = 1 << 53


@dataclass(frozen=True)
class Interval:
    """One label over a span of a clip.

    It lasts from `start` to before `stop` (frames of the source video, counted from 0) and from `start_s` to before
    `stop_s` (seconds on its own timestamps).

    Either pair may be None; both None: the whole clip.
    """

    start_s: float | None
    stop_s: float | None
    start: int | None
    stop: int | None
    label: str

    @property
    def frames(self) -> tuple[int, int] | None:
        """The pair of frames; None where only seconds are known."""
        return None if self.start is None or self.stop is None else (self.start, self.stop)

    @property
    def seconds(self) -> tuple[float, float] | None:
        """The pair of times; None where only frames are known."""
        return None if self.start_s is None or self.stop_s is None else (self.start_s, self.stop_s)

    @property
    def in_frames(self) -> bool:
        return self.start is not None

    @property
    def in_seconds(self) -> bool:
        return self.start_s is not None

    @property
    def whole(self) -> bool:
        return not self.in_frames and not self.in_seconds


@dataclass(frozen=True)
class LabelledClip:
    """One clip and what is done in it.

    clip: its name without folder and media suffix.
    split: "train", "test", ..., "" where none is given.
    video, mask, pose: files, None where there is none (only those asked for are known to exist).
    intervals: sorted, not overlapping.
    source: the kind of data set it was read from.
    """

    clip: str
    split: str
    video: Path | None
    mask: Path | None
    pose: Path | None
    intervals: list[Interval]
    source: str

    @property
    def labels(self) -> list[str]:
        """The labels of its intervals, each once, in the order of time."""
        return list(dict.fromkeys(interval.label for interval in self.intervals))


def labels_at(clip: LabelledClip, frame: np.ndarray | None, time: np.ndarray | None) -> np.ndarray:
    """Return (n,) str objects: the label at each of n frames, `BACKGROUND` where no interval is.

    frame: (n,) source frame numbers or None.
    time: (n,) seconds or None.

    Frames decide where an interval has them, for they are exact. DataError when an interval is in the one that is not
    given.
    """
    count = len(frame if frame is not None else time if time is not None else [])
    labels = np.full(count, BACKGROUND, object)
    for interval in clip.intervals:
        if interval.whole:
            inside = np.ones(count, bool)
        elif interval.frames is not None and frame is not None:
            first, last = interval.frames
            inside = (frame >= first) & (frame < last)
        elif interval.seconds is not None and time is not None:
            begin, end = interval.seconds
            inside = (time >= begin - TIME_TOLERANCE) & (time < end - TIME_TOLERANCE)
        else:
            unit, lacking = ("frames", "frame numbers") if interval.in_frames else ("seconds", "frame times")
            raise DataError(f"clip '{clip.clip}' is labelled in {unit}; give its {lacking}")
        labels[inside] = interval.label
    return labels


def main_label(clip: LabelledClip) -> str:
    """Return what the clip is about: the label, other than `BACKGROUND`, that lasts longest, the first of several.

    That of the whole clip if there is one.

    `BACKGROUND` only where there is nothing else.
    """
    lasting: dict[str, float] = {}
    for interval in clip.intervals:
        if interval.label != BACKGROUND:
            length = _length(interval)
            lasting[interval.label] = lasting.get(interval.label, 0.0) + length
    return max(lasting, key=lambda label: lasting[label]) if lasting else BACKGROUND


def _length(interval: Interval) -> float:
    """Return the frames of an interval, else its seconds, else infinity for a whole clip."""
    start, stop = interval.frames or interval.seconds or (0.0, np.inf)
    return stop - start


def class_names(clips: Sequence[LabelledClip], null: bool = True) -> list[str]:
    """Return the classes of a data set.

    `BACKGROUND` first (class 0 in the paper) unless `null` is false, then all others in alphabetical order.
    """
    names = {label for clip in clips for label in clip.labels} - {BACKGROUND}
    return [BACKGROUND, *sorted(names)] if null else sorted(names)


PlacedInterval = tuple[Interval, str]  # an interval and how messages name its place: "'labels.csv', line 3,"


def checked_intervals(clip: str, rows: Sequence[PlacedInterval]) -> list[Interval]:
    """Return the intervals of one clip, sorted.

    DataError, naming the place, for one that ends before it starts or has no number, for two that overlap, and for a
    clip labelled partly in frames and partly in seconds, or partly throughout.
    """
    for interval, at in rows:
        _check(interval, at)
    whole = [at for interval, at in rows if interval.whole]
    if whole and len(rows) > 1:
        raise DataError(f"{whole[-1]} labels the whole clip '{clip}', which has another row; keep one of them")
    if whole or not rows:
        return [interval for interval, _ in rows]
    if all(interval.in_frames for interval, _ in rows):
        return _ordered(clip, rows, lambda i: (i.start, i.stop), 0)
    if all(interval.in_seconds for interval, _ in rows):
        return _ordered(clip, rows, lambda i: (i.start_s, i.stop_s), TIME_TOLERANCE)
    at = next(at for interval, at in rows if not interval.in_frames)
    raise DataError(f"{at} labels the clip '{clip}' in seconds, other rows in frames; give all in one of them")


def _check(interval: Interval, at: str) -> None:
    for start, stop, what in (
        (interval.start, interval.stop, "frame"),
        (interval.start_s, interval.stop_s, "time in seconds"),
    ):
        if (start is None) != (stop is None):
            raise DataError(f"{at} has a {'stop' if start is None else 'start'} without a {what} at the other end")
        if start is None or stop is None:
            continue
        if not (np.isfinite(start) and np.isfinite(stop)):
            raise DataError(f"{at} has a {what} that is not a finite number")
        if start < 0:
            raise DataError(f"{at} starts at {start:.10g}, below 0")
        if stop <= start:
            raise DataError(f"{at} stops at {stop:.10g}, not after its start at {start:.10g}")
        if stop > LAST_FRAME:
            raise DataError(f"{at} stops at {stop:.10g}, which no video reaches")
    if not interval.label:
        raise DataError(f"{at} has no label; 'background' is the one for no exercise")


def _ordered(
    clip: str, rows: Sequence[PlacedInterval], span: Callable[[Interval], tuple], slack: float
) -> list[Interval]:
    ordered = sorted(rows, key=lambda row: span(row[0]))
    for (before, _), (interval, at) in pairwise(ordered):
        start, until = span(interval)[0], span(before)[1]
        if start < until - slack:
            raise DataError(
                f"{at} labels clip '{clip}' '{interval.label}' from {start:.10g}, while '{before.label}' lasts until "
                f"{until:.10g}; segments of a clip must not overlap"
            )
    return [interval for interval, _ in ordered]


def split_clips(clips: Sequence[LabelledClip], shares: dict[str, float], seed: int) -> list[LabelledClip]:
    """Return the clips with a split each: name -> share in `shares`, which add up to 1.

    A clip is never cut in two. Stratified: clips are put in groups by the rarest label that they have, shuffled within
    each, and dealt out in turn, so that each split gets its share of every group, give or take one clip. The order of
    the clips is kept and does not matter. UsageError for shares that are no shares and for clips that have a split
    already; DataError when a split would stay empty.
    """
    if not shares or min(shares.values()) < 0 or abs(sum(shares.values()) - 1) > 1e-6:
        raise UsageError(
            f"the shares of the splits are {', '.join(f'{v:g}' for v in shares.values())}; expected a sum of 1"
        )
    assigned = next((clip for clip in clips if clip.split), None)
    if assigned is not None:
        raise UsageError(
            f"clip '{assigned.clip}' is in the split '{assigned.split}' already; use the splits that are there"
        )
    dealt = dict.fromkeys(shares, 0)
    chosen: dict[str, str] = {}
    for number, clip in enumerate(_dealing_order(clips, seed), 1):
        split = max(shares, key=lambda name: round(shares[name] * number - dealt[name], 9))
        dealt[split] += 1
        chosen[clip.clip] = split
    empty = [name for name, share in shares.items() if share > 0 and not dealt[name]]
    if empty:
        raise DataError(f"{len(clips)} clips are too few to give '{empty[0]}' its share of {shares[empty[0]]:g}")
    return [replace(clip, split=chosen[clip.clip]) for clip in clips]


def _dealing_order(clips: Sequence[LabelledClip], seed: int) -> list[LabelledClip]:
    """Group by group, the rarest label's first, shuffled within each."""
    having: dict[str, int] = {}
    for clip in clips:
        for label in clip.labels or [BACKGROUND]:
            having[label] = having.get(label, 0) + 1
    rank = {label: (count, label) for label, count in having.items()}
    named = sorted(clips, key=lambda clip: clip.clip)
    chance = np.random.default_rng(seed).permutation(len(named))
    keyed = [
        (min(rank[label] for label in clip.labels or [BACKGROUND]), place, clip)
        for clip, place in zip(named, chance, strict=True)
    ]
    return [clip for _, _, clip in sorted(keyed, key=lambda entry: entry[:2])]
