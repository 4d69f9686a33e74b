"""A motion read at several paces, as if it was played slower and faster; most of the readings that agree are right.

See `racctl.counters.cycles` for one reading.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from racctl.counters.cycles import (
    FOLDED,
    LONGEST,
    Reading,
    choose,
    cut_off,
    filled,
    lone,
    readings,
    shapes,
    take_turns,
)
from racctl.counters.signals import SAMPLE_RATE, Motion, view

TEMPI = (1.0, 2.0, 0.5)  # paces that every clip is read at; the first is the one that most sets are done at
SURE = 0.75  # share explained at the first pace that needs no other's opinion
LONE_TRUST = 0.5  # of what a single repetition explains
USUAL = 0.15  # share explained that another pace must explain more than the first
RIVAL = 0.85  # readings above this share of the chosen score span the interval
WINDOW_SECONDS = 120.0  # s read together


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

    @property
    def moved(self) -> np.ndarray:
        """(N, V, C) the motion that it was found in, as seen."""
        return self.pace.motion.twins[0][self.offset :][: len(self.reading.signal)]

    @property
    def shapes(self) -> np.ndarray:
        """(n, P, V C) the cycles at even steps of the way of all that moves."""
        flat = self.moved.reshape(len(self.moved), -1)
        way = np.append(0.0, np.cumsum(np.linalg.norm(np.diff(flat, axis=0), axis=1) + 1e-9))
        return shapes((flat,), way, self.reading.cycles)[0]


def read(pace: Pace, start: int, stop: int) -> list[Stretch]:
    """Return the best reading of the samples start..stop-1, as a list of one, or of none."""
    part = pace.motion.between(start, stop)
    if part.known.sum() < SAMPLE_RATE:
        return []
    views = [view(part, axes) for axes in part.views]
    candidates = readings(views, part.known)
    if not candidates and part.share is not None:  # without a size, of looks, little done once passes for much
        candidates = lone(views, part.known)
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
