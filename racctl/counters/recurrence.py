"""Count repetitions in a pose sequence without trained weights, whatever the exercise and its tempo.

The motion is read at several paces, as if it was played slower and faster; most of the readings that agree are right.
See `racctl.counters.cycles` for one reading.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise

import numpy as np

from racctl.counters.appearance import appearance_motion
from racctl.counters.cycles import (
    ALIKE,
    FOLDED,
    LONGEST,
    Reading,
    choose,
    cut_off,
    filled,
    likeness,
    lone,
    readings,
    shapes,
    take_turns,
)
from racctl.counters.signals import SAMPLE_RATE, Motion, Pairs, motion, view, without_long_gaps

TEMPI = (1.0, 2.0, 0.5)  # paces that every clip is read at; the first is the one that most sets are done at
FASTEST, SLOWEST = 4.0, 0.25  # paces for what these find nothing in, or only at their ends
QUICK_PERIOD, SLOW_PERIOD = 0.5, 10.0  # s, of repetitions at those ends
LONG_CLIP = 30.0  # s; a shorter one holds no two repetitions that slow
SURE = 0.75  # share explained at the first pace that needs no other's opinion
LONE_TRUST = 0.5  # of what a single repetition explains
USUAL = 0.15  # share explained that another pace must explain more than the first
RIVAL = 0.85  # readings above this share of the chosen score span the interval
DOUBT, DOUBT_GROWTH, DOUBT_EXPLAINED = 0.83, 0.2, 1.22  # usual error: factor, power of the count, decay with explained
USUALLY_EXPLAINED = 0.45  # of the motion by a count, even where landmarks are bad
RIGHT, RIGHT_WORTH, RIGHT_EXPLAINED = (
    0.0,
    1.0,
    1.0,
)  # log odds that a cycle is a repetition: offset, per worth, per explained
FULL = 0.8  # share of a repetition's height that one cut off by the clip's beginning or end must reach to count
BACK = 0.2  # ... and on the other side of its turning point: what does not come back, people do not count
MOVED = 0.4  # share of a repetition's way that it must have gone
THERE = 0.35  # ... and how near a turning posture it must be, as a share of the way there
RIGID = 0.1  # share of a cycle's motion that is not the whole body's; below it the camera moves (people: 0.23 and more)
WINDOW_SECONDS = 120.0  # s read together
PART = 5.0  # s; the shortest part without repetitions, or between two cuts, that is read by itself
PART_EXPLAINED = 0.2  # of the motion of a part between others: less is chance
PART_RELATIVE = 0.6  # ... and as a share of what the others explain of theirs
FEWEST = 3  # repetitions in a part between others, or at a pace beyond the usual: fewer are chance
BODY_LEAP = 0.35  # body sizes that most joints leap from one frame to the next where the picture is another
BODY_LEAP_STEP = 0.25  # s between these frames at most


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


@dataclass(frozen=True)
class Pace:
    """A motion as if the clip was played `tempo` times slower.

    clock: (T,) seconds of the part's frames on that clock.
    first: the frame of the clip that the part begins with.
    """

    tempo: float
    clock: np.ndarray
    motion: Motion
    first: int = 0

    def samples(self, start: int, stop: int) -> tuple[int, int]:
        """Return the samples that the part's frames start..stop-1 span."""
        first, last = np.searchsorted(self.motion.time, self.clock[[start, stop - 1]])
        return int(first), min(int(last) + 1, len(self.motion.time))

    def read(self, start: int, stop: int) -> list[Stretch]:
        """Return what is read of the part's frames start..stop-1, as a list of one, or of none."""
        return read(self, *self.samples(start, stop))

    def frames(self, samples: np.ndarray) -> np.ndarray:
        """Return the frames of the clip that samples are of."""
        return np.searchsorted(self.clock, self.motion.time[samples]) + self.first


@dataclass(frozen=True)
class Stretch:
    """What was found in the samples of a pace from `offset` on.

    rivals: counts of the readings nearly as good.
    """

    pace: Pace
    offset: int
    reading: Reading
    rivals: tuple[int, ...]
    alternating: bool

    @property
    def frames(self) -> np.ndarray:
        """(n, 3) start, turn and stop of the cycles, frames of the clip."""
        return self.pace.frames(self.reading.cycles + self.offset)

    @property
    def ends(self) -> tuple[int, int]:
        """The first and the last frame of the cycles."""
        return int(self.frames[0, 0]), int(self.frames[-1, 2])


def read(pace: Pace, start: int, stop: int) -> list[Stretch]:
    """Return the best reading of the samples start..stop-1, as a list of one, or of none."""
    part = pace.motion.between(start, stop)
    if part.known.sum() < SAMPLE_RATE:
        return []
    views = [view(part, axes) for axes in part.views]
    candidates = readings(views, part.known) or lone(views, part.known)
    if not candidates:
        return []
    plain = choose(candidates)
    best = filled(plain)
    rivals = [len(r.cycles) for r in candidates if r.score >= RIVAL * best.score]
    rivals += [len(plain.cycles), len(best.cycles) + cut_off(best)]
    return [Stretch(pace, start, best, tuple(rivals), take_turns(best.cycles, views[0]))]


def cycles_of(stretches: list[Stretch]) -> int:
    return sum(len(stretch.reading.cycles) for stretch in stretches)


def explained_by(stretches: list[Stretch]) -> float:
    """Return the share of the motion that stretches explain, the longer ones counting the more."""
    weights = [len(stretch.reading.cycles) for stretch in stretches]
    return float(np.average([stretch.reading.score for stretch in stretches], weights=weights)) if stretches else 0.0


def moves_as_one(stretches: list[Stretch]) -> bool:
    """Whether the whole body goes the same way in what was read, and nothing of it does otherwise.

    So it does where the camera sways; people push off from something that stays, or bend.
    """
    shares = []
    for stretch in stretches:
        moved = stretch.pace.motion
        assert moved.share is not None, "joints have a share"
        joints = moved.twins[0][stretch.offset :][: len(stretch.reading.signal)]
        shape = moved_shapes(joints, stretch.reading.cycles)
        usual = np.median(shape - shape.mean(1, keepdims=True), axis=0).reshape(len(shape[0]), *joints.shape[1:])
        together = np.einsum("pvc,v->pc", usual, moved.share)
        shares.append(1 - (together**2).sum() / ((usual**2).sum() + 1e-12))
    weights = [len(stretch.reading.cycles) for stretch in stretches]
    return bool(stretches) and float(np.average(shares, weights=weights)) < RIGID


def moved_shapes(joints: np.ndarray, cycles: np.ndarray) -> np.ndarray:
    """Return (n, P, V C): cycles at even steps of the way of joints (N, V, C)."""
    flat = joints.reshape(len(joints), -1)
    way = np.append(0.0, np.cumsum(np.linalg.norm(np.diff(flat, axis=0), axis=1) + 1e-9))
    return shapes((flat,), way, cycles)[0]


def vote(by_pace: list[list[Stretch]]) -> list[Stretch]:
    """Return what most paces agree on; without two that agree, what explains most, the first being favoured."""
    counts = Counter(cycles_of(stretches) for stretches in by_pace if stretches)
    agreed = [count for count, times in counts.items() if times > 1]
    candidates = [stretches for stretches in by_pace if not agreed or cycles_of(stretches) == agreed[0]]
    best = max(
        candidates,
        key=lambda s: believed(explained_by(s), cycles_of(s)) + USUAL * (s is by_pace[0] and not are_folded(s)),
    )
    others = tuple(count for count in counts if explained_of(count, by_pace) >= RIVAL * explained_by(best))
    return with_rivals(best, others)


def is_sure(stretches: list[Stretch]) -> bool:
    """Whether other paces need not be asked."""
    return cycles_of(stretches) > 2 and explained_by(stretches) > SURE and not are_folded(stretches)


def are_folded(stretches: list[Stretch]) -> bool:
    """Whether cycles hold several repetitions each, as if a clip that is shown twice was two of them."""
    return any(stretch.reading.folds > FOLDED for stretch in stretches)


def believed(explained: float, count: int) -> float:
    """Return how far to believe in a count that explains so much: a single repetition explains its motion easily."""
    return explained * (1.0 if count > 1 else LONE_TRUST)


def explained_of(count: int, by_pace: list[list[Stretch]]) -> float:
    return max(explained_by(stretches) for stretches in by_pace if cycles_of(stretches) == count)


def with_rivals(stretches: list[Stretch], counts: tuple[int, ...]) -> list[Stretch]:
    """Return stretches whose first has these counts of them all as rivals too."""
    if not stretches:
        return stretches
    besides = cycles_of(stretches[1:])
    more = tuple(count - besides for count in counts if count > besides)
    return [replace(stretches[0], rivals=stretches[0].rivals + more), *stretches[1:]]


def read_long(pace_at: Callable[[float], Pace], tempi: tuple[float, ...]) -> list[Stretch]:
    """Read in windows, so that time and memory grow with T only and the exercise may change; each window begins where
    the last repetition ended."""
    usual, others = pace_at(tempi[0]), tempi[1:]
    clock, stretches, start = usual.clock, [], 0
    while True:
        stop = int(np.searchsorted(clock, clock[start] + WINDOW_SECONDS * usual.tempo))
        if clock[-1] - clock[start] < 1.25 * WINDOW_SECONDS * usual.tempo:
            stop = len(clock)
        part = usual.read(start, stop)
        if not is_sure(part):
            part = vote([part, *(pace_at(tempo).read(start, stop) for tempo in others)])
        stretches += part
        if stop == len(clock):
            return stretches
        back = int(np.searchsorted(clock, clock[stop] - LONGEST * usual.tempo))
        start = max([back, start + 1, *(stretch.ends[1] - usual.first for stretch in part)])


def with_cut_off(stretches: list[Stretch]) -> list[Stretch]:
    """Return stretches with the repetitions that the clip begins or ends in the middle of, where so much of them is
    seen that people count them."""
    if not stretches:
        return stretches
    stretches = sorted(stretches, key=lambda stretch: stretch.ends)
    stretches[0] = _extended(stretches[0], first=True)
    stretches[-1] = _extended(stretches[-1], first=False)
    return stretches


def _extended(stretch: Stretch, first: bool) -> Stretch:
    """Return a stretch with the part of a repetition between the clip's edge and its own first or last one."""
    cycles, signal, motion = stretch.reading.cycles, stretch.reading.signal, stretch.pace.motion
    edge = int(np.flatnonzero(motion.known)[0 if first else -1])
    edge = min(max(edge - stretch.offset, 0), len(signal) - 1)
    near = int(cycles[0, 0] if first else cycles[-1, 2])
    low, high = sorted((edge, near))
    usual = np.median(cycles[:, 2] - cycles[:, 0])
    if len(cycles) < 2 or not 2 <= high - low <= 2 * usual:
        return stretch
    turn = low + int(np.argmax(signal[low : high + 1]))
    if abs(turn - edge) > usual / 2:
        return stretch  # room for a whole one, which would have been found
    height = np.median(signal[cycles[:, 1]] - signal[cycles[:, [0, 2]]].mean(1))
    body = motion.twins[0][stretch.offset :][: len(signal)].reshape(len(signal), -1)
    turns, feet = body[cycles[:, 1]], body[cycles[:, 0]]
    far = np.median(np.linalg.norm(turns - feet, axis=1)) + 1e-12
    away = np.linalg.norm(turns - body[turn], axis=1).min() / far  # the nearest: left and right may take turns
    way = np.append(0.0, np.cumsum(np.linalg.norm(np.diff(body, axis=0), axis=1)))
    moved = (way[high] - way[low]) / np.median(way[cycles[:, 2]] - way[cycles[:, 0]])
    if signal[turn] - signal[near] < FULL * height or away > THERE or moved < MOVED:
        return stretch
    rivals = (*stretch.rivals, len(cycles) + 1)
    beyond = signal[low : turn + 1] if first else signal[turn : high + 1]
    if signal[turn] - beyond.min() < BACK * height:
        return replace(stretch, rivals=rivals)
    cut = (low, turn, near) if first else (near, turn, high)
    at = 0 if first else len(cycles)
    whole, worth = np.insert(cycles, at, cut, axis=0), np.insert(stretch.reading.worth, at, 0.0)
    return replace(stretch, reading=replace(stretch.reading, cycles=whole, worth=worth), rivals=rivals)


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
    start, stop = _apart(start.astype(np.int64), stop.astype(np.int64))
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
    usual = []
    for stretch in (before, after):
        moved = stretch.pace.motion.twins[0][stretch.offset :][: len(stretch.reading.signal)]
        usual.append(np.median(moved_shapes(moved, stretch.reading.cycles), axis=0)[None])
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
    part[free] = shown[free]


def _apart(start: np.ndarray, stop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return spans of frames that do not overlap, of one frame at least where there is room."""
    stop = np.maximum(stop, start + 1)
    for before, after in pairwise(range(len(start))):
        stop[before] = min(stop[before], max(start[after], start[before] + 1))
    return start, stop


def is_at_an_end(reading: Repetitions, tempo: float) -> bool:
    """Whether a pace beyond `TEMPI` may read the clip better than they did."""
    if reading.count < 2:
        return True
    return reading.period < QUICK_PERIOD if tempo > 1 else reading.period > SLOW_PERIOD


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

    whole = _read_paths(xyz, time, motion_of, cuts)
    if moves_as_one(whole):
        whole = _read_paths(xyz, time, motion_in_itself, cuts)
    return assemble(whole, time, alternating)


def count_appearance(paths: np.ndarray, time: np.ndarray, *, alternating: str = "each") -> Repetitions:
    """Count what `count_repetitions` does in a person's looks.

    paths: (T, K, 1) of `racctl.counters.appearance.appearance`. time: (T,) s, ascending.
    """
    time = np.asarray(time, np.float64)
    whole = _read_paths(paths, time, lambda frames, clock: appearance_motion(paths[frames], clock), [])
    return assemble(whole, time, alternating)


MotionOf = Callable[[slice, np.ndarray], Motion]


def _read_paths(paths: np.ndarray, time: np.ndarray, motion_of: MotionOf, cuts: list[int]) -> list[Stretch]:
    """Return what is read of paths (T, V, C), NaN where not seen: as a whole or, where that explains more, from cut to
    cut; then, by themselves, the parts in which that found nothing.

    motion_of: makes the motion of frames on a clock.  cuts: frames that the picture changes at.
    """

    def part(first: int, last: int) -> list[Stretch]:
        return _read_part(paths, time, motion_of, first, last)

    stretches = part(0, len(time))
    if cuts:
        split = [stretch for first, last in pairwise([0, *cuts, len(time)]) for stretch in part(first, last)]
        if explained_by(split) > explained_by(stretches) + USUAL:
            stretches = split
    stretches = with_cut_off(stretches)
    unread = free_parts(stretches, (0, len(time)), time)
    while unread:
        span = unread.pop()
        more = [stretch for stretch in part(*span) if is_a_part(stretch.reading, explained_by(stretches))]
        stretches += more
        unread += free_parts(more, span, time)
    return stretches


def _read_part(paths: np.ndarray, time: np.ndarray, motion_of: MotionOf, first: int, last: int) -> list[Stretch]:
    """Return what is read of the frames first..last-1 at the paces that suit them."""
    frames = slice(first, last)
    if np.isfinite(paths[frames]).all(2).any(1).sum() < 2:
        return []

    @cache
    def pace_at(tempo: float) -> Pace:
        clock = without_long_gaps(time[frames] * tempo)
        return Pace(tempo, clock, motion_of(frames, clock), first)

    best = read_long(pace_at, TEMPI)
    reading = assemble(best, time, "each")
    beyond = [tempo for tempo in (FASTEST, SLOWEST) if is_at_an_end(reading, tempo)]
    if np.ptp(without_long_gaps(time[frames])) < LONG_CLIP:
        beyond = [tempo for tempo in beyond if tempo > 1]
    others = [read_long(pace_at, (tempo,)) for tempo in beyond]
    every = [best, *(stretches for stretches in others if cycles_of(stretches) >= FEWEST)]
    return max(every, key=lambda stretches: believed(explained_by(stretches), cycles_of(stretches)))


def is_a_part(reading: Reading, explained: float) -> bool:
    """Whether what is read between other repetitions, which explain so much, is a part of its own."""
    least = max(PART_EXPLAINED, PART_RELATIVE * explained)
    return len(reading.cycles) >= FEWEST and reading.score > least


def free_parts(stretches: list[Stretch], span: tuple[int, int], time: np.ndarray) -> list[tuple[int, int]]:
    """Return the frames of a span between stretches, and before and after them, where these take long enough."""
    if not stretches:
        return []
    ends = sorted(stretch.ends for stretch in stretches)
    edges = [span[0], *(frame for pair in ends for frame in pair), span[1]]
    parts = [(first, last) for first, last in zip(edges[::2], edges[1::2], strict=True) if last > first]
    return [(first, last) for first, last in parts if time[last - 1] - time[first] >= PART]


def picture_cuts(xyz: np.ndarray, time: np.ndarray) -> list[int]:
    """Return the frames at which another picture begins: where most joints (T, V, 3) leap at once.

    Those less than `PART` after the one before, or before the end, are left out.
    """
    xy = xyz[..., :2]
    seen = np.flatnonzero(np.isfinite(xy).all(2).any(1))
    if len(seen) < 2:
        return []
    shown = xy[seen]
    size = np.median(np.nanmax(np.linalg.norm(shown - np.nanmedian(shown, axis=1, keepdims=True), axis=2), axis=1)) * 2
    leaps = np.nanmedian(np.linalg.norm(np.diff(shown, axis=0), axis=2), axis=1) / (size + 1e-9)
    candidates = seen[1:][(leaps > BODY_LEAP) & (np.diff(time[seen]) < BODY_LEAP_STEP)]
    cuts: list[int] = []
    for frame in candidates.tolist():
        before = time[cuts[-1]] if cuts else time[0]
        if time[frame] - before >= PART and time[-1] - time[frame] >= PART:
            cuts.append(frame)
    return cuts
