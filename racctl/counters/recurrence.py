"""Count repetitions in a pose sequence, or in a person's looks, without trained weights, whatever the exercise and its
tempo.

`racctl.counters.parts` reads the clip, `paces` a part of it, and `cycles` is one reading.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from racctl.counters.appearance import appearance_motion
from racctl.counters.cycles import ALIKE, likeness
from racctl.counters.loops import pass_length, repeated
from racctl.counters.paces import Stretch, cycles_of, explained_by
from racctl.counters.parts import moves_as_one, picture_cuts, read_clip
from racctl.counters.signals import Motion, Pairs, motion

DOUBT, DOUBT_GROWTH, DOUBT_EXPLAINED = 0.83, 0.2, 1.22  # usual error: factor, power of the count, decay with explained
USUALLY_EXPLAINED = 0.45  # of the motion by a count, even where landmarks are bad
# Log odds that a cycle is a repetition: offset, per worth, per share explained
RIGHT, RIGHT_WORTH, RIGHT_EXPLAINED = -0.9, 1.6, 1.6


@dataclass(frozen=True)
class Repetitions:
    """Counted repetitions of one person in one clip of T frames.

    start, stop: (R,) int64 frames, half-open [start, stop), ascending, without overlap.
    low, high: the counts of other readings of the clip that are nearly as good, and one more where a repetition is cut
    off.
    signal: (T,) float64, the motion that repeats, body sizes, NaN where nobody was seen or nothing repeats.
    rivals: the counts of those other readings.
    part: (R,) int64, from 1: which stretch of the clip, in which one thing is done, a repetition is of.
    confidence: (R,) 0..1, how likely each is one.
    period: median time from one repetition to the next, s, NaN below two.
    explained: 0..1, share of the motion that the repetitions explain.
    alternating: left and right take turns.
    """

    start: np.ndarray
    stop: np.ndarray
    low: int
    high: int
    rivals: tuple[int, ...]
    part: np.ndarray
    confidence: np.ndarray
    signal: np.ndarray
    period: float
    explained: float
    alternating: bool

    @property
    def count(self) -> int:
        return len(self.start)


def count_repetitions(
    xyz: np.ndarray, score: np.ndarray, time: np.ndarray, left_right: Pairs, *, alternating: str = "each"
) -> Repetitions:
    """Count full cycles back to the start.

    xyz: (T, V, 3) float32, pixels, metres or scaled per frame, y vertical, NaN where undetected. score: (T, V), 0..1.
    time: (T,) s, ascending. left_right: pairs of joints that mirror each other. alternating: "each" counts a movement
    done left and right in turn once per side, "pair" once per two sides. A repetition that the clip begins or ends in
    counts if its turning point is seen and the way back has begun.
    """
    xyz, score = np.array(xyz), np.asarray(score)
    flat = np.isfinite(xyz[..., :2]).all(-1) & np.isnan(xyz[..., 2])  # poses without depth
    xyz[flat, 2] = 0
    time = np.asarray(time, np.float64)
    cuts = picture_cuts(xyz, time)

    def motion_of(frames: slice, clock: np.ndarray) -> Motion:
        return motion(xyz[frames], score[frames], clock, left_right)

    def motion_in_itself(frames: slice, clock: np.ndarray) -> Motion:
        return motion(xyz[frames], score[frames], clock, left_right, in_itself=True)

    def read(frames: slice) -> list[Stretch]:
        inside = [cut for cut in cuts if cut < frames.stop]
        stretches = read_clip(xyz[frames], time[frames], motion_of, inside)
        return read_clip(xyz[frames], time[frames], motion_in_itself, inside) if moves_as_one(stretches) else stretches

    return assemble(read_loop(xyz, time, read), time, alternating)


def count_appearance(paths: np.ndarray, time: np.ndarray, *, alternating: str = "each") -> Repetitions:
    """Count what `count_repetitions` does in a person's looks.

    paths: (T, K, 1) of `racctl.counters.appearance.appearance`. time: (T,) s, ascending.
    """
    time = np.asarray(time, np.float64)

    def read(frames: slice) -> list[Stretch]:
        return read_clip(paths[frames], time[frames], lambda part, clock: appearance_motion(paths[part], clock), [])

    return assemble(read_loop(paths, time, read), time, alternating)


def read_loop(paths: np.ndarray, time: np.ndarray, read: Callable[[slice], list[Stretch]]) -> list[Stretch]:
    """Return what is read of a clip's frames or, where it plays the same several times, of each pass.

    paths: (T, V, C), NaN where not seen. A pass with one repetition is read with the others.
    """
    whole, length = read(slice(0, len(time))), pass_length(paths, time)
    if not length:
        return whole
    once = read(slice(0, length))
    in_passes = repeated(once, length, len(time))
    return in_passes if cycles_of(once) > 1 and cycles_of(in_passes) != cycles_of(whole) else whole


def assemble(stretches: list[Stretch], time: np.ndarray, alternating: str) -> Repetitions:
    """Return the repetitions of stretches. time: (T,) s of the frames. alternating: see `count_repetitions`."""
    if alternating not in ("each", "pair"):
        raise ValueError(f"alternating is {alternating!r}, expected 'each' or 'pair'")
    ordered = sorted(stretches, key=lambda stretch: stretch.ends)
    step = [2 if alternating == "pair" and stretch.alternating else 1 for stretch in ordered]
    signal = np.full(len(time), np.nan)
    for stretch in ordered:
        _draw(signal, stretch)
    rows = [_rows(*arguments) for arguments in zip(ordered, _parts(ordered), step, strict=True)]
    start, stop, part, confidence = np.concatenate([np.empty((0, 4)), *rows]).T
    start = np.minimum(start.astype(np.int64), len(time) - 1)  # the last pass of a loop may be cut
    stop = np.minimum(stop.astype(np.int64), len(time))
    start, stop = _apart(start, stop)
    low = sum(min(stretch.rivals) // every for stretch, every in zip(ordered, step, strict=True))
    high = sum(max(stretch.rivals) // every for stretch, every in zip(ordered, step, strict=True))
    low, high = likely_counts(len(start), low, high, explained_by(stretches))
    middle = (start + stop) // 2
    return Repetitions(
        start=start,
        stop=stop,
        low=low,
        high=high,
        rivals=ordered[0].rivals if len(ordered) == 1 else (),
        part=part.astype(np.int64),
        confidence=confidence,
        signal=signal,
        period=float(np.median(np.diff(time[middle]))) if len(start) > 1 else np.nan,
        explained=explained_by(stretches),
        alternating=any(stretch.alternating for stretch in stretches),
    )


def _rows(stretch: Stretch, part: int, step: int) -> np.ndarray:
    """Return (R, 4) start, stop, part and confidence of a stretch's repetitions, each of `step` cycles."""
    cycles = stretch.frames
    last = np.arange(step - 1, len(cycles), step)
    first = last - (step - 1)
    worth = likelihood(stretch.reading.worth, stretch.reading.score)
    confidence = np.minimum(worth[first], worth[last])
    return np.stack([cycles[first, 0], cycles[last, 2], np.full(len(last), part), confidence], axis=1)


def _parts(stretches: list[Stretch]) -> list[int]:
    """Return the number of the part that each is in: the next one begins where something else is done."""
    numbers = [1] * len(stretches)
    for k, (before, after) in enumerate(pairwise(stretches), 1):
        numbers[k] = numbers[k - 1] + (not is_more_of_the_same(before, after))
    return numbers


def is_more_of_the_same(before: Stretch, after: Stretch) -> bool:
    """Whether the usual cycles of two stretches look alike."""
    usual = [np.median(stretch.shapes, axis=0)[None] for stretch in (before, after)]
    return float(likeness(*usual)[0, 0]) > ALIKE


def likelihood(worth: np.ndarray, explained: float) -> np.ndarray:
    """Return how likely cycles (n,) of a reading are repetitions, 0..1, as measured."""
    return 1 / (1 + np.exp(-(RIGHT + RIGHT_WORTH * worth + RIGHT_EXPLAINED * explained)))


def likely_counts(count: int, low: int, high: int, explained: float) -> tuple[int, int]:
    """Return the fewest and the most repetitions that are likely.

    low, high: of other readings. The usual error, which was measured, grows with the count and with the motion that the
    count does not explain; where that is much, it may be more of the same.
    """
    if not count:
        return low, high
    doubt = round(DOUBT * count**DOUBT_GROWTH * np.exp(-DOUBT_EXPLAINED * explained))
    missed = round(count * max(USUALLY_EXPLAINED / explained, 1.0))
    return min(low, max(count - doubt, 1)), max(high, count + doubt, missed)


def _draw(signal: np.ndarray, stretch: Stretch) -> None:
    """Put a stretch's signal into the clip's (T,), where none is yet and the person was seen."""
    pace, offset, drawn = stretch.pace, stretch.offset, stretch.reading.signal
    samples = slice(offset, offset + len(drawn))
    values = np.where(pace.motion.known[samples], drawn, np.nan)
    shown = np.interp(pace.clock, pace.motion.time[samples], values, left=np.nan, right=np.nan)
    part = signal[pace.first : pace.first + len(shown)]
    free = np.isnan(part)
    part[free] = shown[: len(part)][free]


def _apart(start: np.ndarray, stop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return spans of frames that do not overlap, of one frame at least where there is room."""
    stop = np.maximum(stop, start + 1)
    for before, after in pairwise(range(len(start))):
        stop[before] = min(stop[before], max(start[after], start[before] + 1))
    return start, stop
