"""A clip read as a whole, from cut to cut and part by part, with the repetitions that its ends cut off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np

from racctl.counters.cycles import Reading
from racctl.counters.paces import (
    TEMPI,
    USUAL,
    Pace,
    Stretch,
    believed,
    cycles_of,
    explained_by,
    read_long,
)
from racctl.counters.signals import Motion, without_long_gaps

FASTEST, SLOWEST = 4.0, 0.25  # paces for what these find nothing in, or only at their ends
QUICK_PERIOD, SLOW_PERIOD = 0.5, 10.0  # s, of repetitions at those ends
LONG_CLIP = 30.0  # s; a shorter one holds no two repetitions that slow
FULL = 0.8  # share of a repetition's height that one cut off by the clip's beginning or end must reach to count
BACK = 0.2  # ... and on the other side of its turning point: what does not come back, people do not count
MOVED = 0.4  # share of a repetition's way that it must have gone
THERE = 0.35  # ... and how near a turning posture it must be, as a share of the way there
RIGID = 0.1  # share of a cycle's motion that is not the whole body's; below it the camera moves (people: 0.23 and more)
FREE_PART = 3.0  # repetitions that the shortest part without any takes which is read by itself
SHORTEST_SHOT = 5.0  # s; the shortest part from cut to cut
PART_EXPLAINED = 0.2  # of the motion of a part between others: less is chance
PART_RELATIVE = 0.6  # ... and as a share of what the others explain of theirs
FEWEST = 3  # repetitions in a part between others, or at a pace beyond the usual: fewer are chance
BODY_LEAP = 0.35  # body sizes that most joints leap from one frame to the next where the picture is another
BODY_LEAP_STEP = 0.25  # s between these frames at most

MotionOf = Callable[[slice, np.ndarray], Motion]


def read_clip(paths: np.ndarray, time: np.ndarray, motion_of: MotionOf, cuts: list[int]) -> list[Stretch]:
    """Return what is read of paths (T, V, C), NaN where not seen: as a whole or, where that explains more, from cut to
    cut; then, by themselves, the parts in which that found nothing.

    motion_of: makes the motion of frames on a clock.  cuts: frames that the picture changes at.
    """

    def part(first: int, last: int) -> list[Stretch]:
        return read_part(paths, time, motion_of, first, last)

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


def read_part(paths: np.ndarray, time: np.ndarray, motion_of: MotionOf, first: int, last: int) -> list[Stretch]:
    """Return what is read of the frames first..last-1 at the paces that suit them."""
    frames = slice(first, last)
    if np.isfinite(paths[frames]).all(2).any(1).sum() < 2:
        return []

    @cache
    def pace_at(tempo: float) -> Pace:
        clock = without_long_gaps(time[frames] * tempo)
        return Pace(tempo, clock, motion_of(frames, clock), first)

    best = read_long(pace_at, TEMPI)
    beyond = [tempo for tempo in (FASTEST, SLOWEST) if is_at_an_end(best, time, tempo)]
    if np.ptp(without_long_gaps(time[frames])) < LONG_CLIP:
        beyond = [tempo for tempo in beyond if tempo > 1]
    others = [read_long(pace_at, (tempo,)) for tempo in beyond]
    every = [best, *(stretches for stretches in others if cycles_of(stretches) >= FEWEST)]
    return max(every, key=lambda stretches: believed(explained_by(stretches), cycles_of(stretches)))


def is_at_an_end(stretches: list[Stretch], time: np.ndarray, tempo: float) -> bool:
    """Whether a pace beyond `TEMPI` may read a part better than they did. time: (T,) s of the clip's frames."""
    if cycles_of(stretches) < 2:
        return True
    turns = np.sort(np.concatenate([stretch.frames[:, 1] for stretch in stretches])).clip(max=len(time) - 1)
    period = np.median(np.diff(time[turns]))
    return bool(period < QUICK_PERIOD if tempo > 1 else period > SLOW_PERIOD)


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
    usual = np.median([end - begin for stretch in stretches for begin, end in time[stretch.frames[:, [0, 2]]]])
    return [(first, last) for first, last in parts if time[last - 1] - time[first] >= FREE_PART * usual]


def picture_cuts(xyz: np.ndarray, time: np.ndarray) -> list[int]:
    """Return the frames at which another picture begins: where most joints (T, V, 3) leap at once.

    Those less than `SHORTEST_SHOT` after the one before, or before the end, are left out.
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
        if time[frame] - before >= SHORTEST_SHOT and time[-1] - time[frame] >= SHORTEST_SHOT:
            cuts.append(frame)
    return cuts


def moves_as_one(stretches: list[Stretch]) -> bool:
    """Whether the whole body goes the same way in what was read, and nothing of it does otherwise.

    So it does where the camera sways; people push off from something that stays, or bend.
    """
    shares = []
    for stretch in stretches:
        share, shape = stretch.pace.motion.share, stretch.shapes
        assert share is not None, "joints have a share"
        usual = np.median(shape - shape.mean(1, keepdims=True), axis=0).reshape(len(shape[0]), *stretch.moved.shape[1:])
        usual = usual[..., :2]  # depth is guessed, and guesses differ where the camera moves
        together = np.einsum("pvc,v->pc", usual, share)
        shares.append(1 - (together**2).sum() / ((usual**2).sum() + 1e-12))
    weights = [len(stretch.reading.cycles) for stretch in stretches]
    return bool(stretches) and float(np.average(shares, weights=weights)) < RIGID


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
    body = stretch.moved.reshape(len(signal), -1)
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
