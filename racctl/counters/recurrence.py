"""Count repetitions in a pose sequence without trained weights and whatever the exercise.

Many one-dimensional signals are cut into cycles in several ways; each such reading keeps only the cycles that come back
to where they began and that look alike, in the whole trajectory, or like the mirror image; the reading that explains
most of the motion is the count.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.signal import find_peaks

from racctl.counters.signals import SAMPLE_RATE, Motion, Pairs, View, motion, view, without_long_gaps

VIEWS = ((0, 1, 2), (1,))  # the whole body; its vertical axis alone
PROMINENCES = (0.6, 0.4, 0.25, 0.15)  # shares of the signal's range; small ones serve clips with one far bigger move
PHASES = 10  # points on the way out, and on the way back
FOOT = 0.1  # share of a bump's height below which it is rest, not repetition
CLOSED = 0.5  # how far a cycle must come back to where it began, 1 = exactly
HIDDEN = 0.5  # share of a cycle that may go unseen
ALIKE = 0.5  # likeness to the other cycles, 1 = equal
RELATIVE = 0.8  # ... and as a share of the likeness usual in the clip
STRETCH = 3.0  # a cycle lasts 1/3 to 3 times the median
LONGEST = 20.0  # s
SMALLEST = 0.01  # body sizes, root mean square over the body
CHANCE = 0.3  # likeness times closure that explains nothing
EVIDENCE = 0.6  # least number of cycles x share of all motion they explain
DENSE = 0.25  # least share explained of the motion from the first cycle to the last: chance resemblances lie apart
SHORTER = 0.7  # twice the cycles win at this share of the best score: half the period
ONE_MORE = 0.9  # one more cycle wins at this share: the other turning point
RIVAL = 0.85  # readings above this share of the chosen score span the interval
CUT = 0.4  # share of a repetition's height, seen beside the others, that could be one more
FULL = 0.8  # share of a repetition's height that one cut off by the clip's beginning or end must reach to count
THERE = 0.35  # ... and how near a turning posture it must be, as a share of the way there
TURNS = 0.3  # likeness to the next but one above that to the next, where left and right take turns
LONE = 0.7  # share of all motion a single repetition must explain
LARGE = 0.05  # body sizes; a single repetition is no twitch
RETRACED = 0.9  # likeness of its way back to its way out
WINDOW_SECONDS = 120.0  # s read together
PART = 10.0  # s; the shortest part without repetitions that is read again by itself


@dataclass(frozen=True)
class Repetitions:
    """Counted repetitions of one person in one clip of T frames.

    start, stop: (R,) int64 frames, half-open [start, stop), ascending, without overlap.
    low, high: the counts of other readings of the clip that are nearly as good, and one more where a repetition is cut
    off.
    signal: (T,) float64, the motion that repeats, body sizes, NaN where nobody was seen or nothing repeats.
    period: median time from one repetition to the next, s, NaN below two.
    explained: 0..1, share of the motion that the repetitions explain.
    alternating: left and right take turns.
    """

    start: np.ndarray
    stop: np.ndarray
    low: int
    high: int
    signal: np.ndarray
    period: float
    explained: float
    alternating: bool

    @property
    def count(self) -> int:
        return len(self.start)


@dataclass(frozen=True)
class Reading:
    """One way to cut a motion into cycles: (n, 3) start, turn, stop. signal: (N,). score: 0..1, share explained."""

    cycles: np.ndarray
    signal: np.ndarray
    score: float


@dataclass(frozen=True)
class Stretch:
    """What was found in the samples from `offset` on. rivals: counts of the readings nearly as good."""

    offset: int
    reading: Reading
    rivals: tuple[int, ...]
    alternating: bool


def bumps(signal: np.ndarray, tops: np.ndarray) -> np.ndarray:
    """(N,), (n,) -> (n, 3) start, top and stop of each bump, resting time trimmed off."""
    ends = [0, *tops, len(signal) - 1]
    cycles = []
    for before, top, after in zip(ends[:-2], ends[1:-1], ends[2:], strict=True):
        rise, fall = signal[before : top + 1], signal[top : after + 1]
        foot, end = (1 - FOOT) * rise.min() + FOOT * signal[top], (1 - FOOT) * fall.min() + FOOT * signal[top]
        cycles.append((before + np.flatnonzero(rise <= foot)[-1], top, top + np.argmax(fall <= end)))
    return np.array(cycles, dtype=np.int64).reshape(-1, 3)


def cuttings(signal: np.ndarray, known: np.ndarray) -> list[np.ndarray]:
    """(N,) -> cycles (n, 3), n > 0, in every way that `PROMINENCES` allows; big bumps only first."""
    low, high = np.percentile(signal[known], [2, 98])
    least = np.array(PROMINENCES) * (high - low) + 1e-12
    tops, peaks = find_peaks(signal, prominence=least.min())
    counts = {int(n): p for p in least[::-1] if (n := (peaks["prominences"] >= p).sum())}  # equal n, equal tops
    return [bumps(signal, tops[peaks["prominences"] >= p]) for _, p in sorted(counts.items())]


def shapes(paths: tuple[np.ndarray, ...], way: np.ndarray, cycles: np.ndarray) -> list[np.ndarray]:
    """[(N, K)] -> [(n, 2 PHASES + 1, K)], each cycle at even steps of the way, so that tempo and pauses do not
    matter."""
    start, top, stop = way[cycles.T][..., None]
    step = np.linspace(0, 1, PHASES + 1)
    at = np.concatenate([start + (top - start) * step, (top + (stop - top) * step)[:, 1:]], axis=1)
    after = np.clip(np.searchsorted(way, at), 1, len(way) - 1)
    share = ((at - way[after - 1]) / (way[after] - way[after - 1]))[..., None]
    return [path[after - 1] * (1 - share) + path[after] * share for path in paths]


def likeness(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(n, P, K), (m, P, K) -> (n, m): 1 equal, 0 unrelated or one far smaller; the place does not matter."""
    first = (first - first.mean(1, keepdims=True)).reshape(len(first), -1)
    second = (second - second.mean(1, keepdims=True)).reshape(len(second), -1)
    return 2 * first @ second.T / ((first**2).sum(1)[:, None] + (second**2).sum(1) + 1e-12)


def reliability(shape: np.ndarray) -> np.ndarray:
    """(n, P, K) -> (K,): the share of each axis' motion that is the same in every cycle."""
    centred = shape - shape.mean(1, keepdims=True)
    return np.clip(np.median(centred, axis=0).var(0) / (centred.var(1).mean(0) + 1e-12), 0.05, 1.0)


def excursion(shape: np.ndarray) -> np.ndarray:
    """(n, P, K) -> (n,): how far each cycle leads from its own mean, body sizes."""
    return np.linalg.norm(shape - shape.mean(1, keepdims=True), axis=-1).max(1)


def typical(pairs: np.ndarray, keep: np.ndarray, span: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """pairs: (n, n) likeness -> keep without the odd ones, median likeness (n,) of each to the others kept."""
    alike = np.zeros(len(keep))
    for _ in range(3):  # each round the company gets better, and with it the measure
        if keep.sum() < 2:
            break
        among = pairs[np.ix_(keep, keep)]
        np.fill_diagonal(among, np.inf)
        alike[keep] = np.median(np.sort(among, axis=1)[:, :-1], axis=1)
        keep = keep & (alike > max(ALIKE, RELATIVE * np.median(alike[keep])))
        if keep.any():
            keep = keep & (np.abs(np.log(span / np.median(span[keep]))) < np.log(STRETCH))
    return keep, alike


def verify(cycles: np.ndarray, view: View, signal: np.ndarray) -> Reading | None:
    """Keep the cycles that come back to where they began and look like the others, or like their mirror image."""
    shape, *mirrored = shapes(view.paths, view.way, cycles)
    size = excursion(shape)
    closed = 1 - np.linalg.norm(shape[:, -1] - shape[:, 0], axis=-1) / (2 * size + 1e-12)
    span = (cycles[:, 2] - cycles[:, 0]) / SAMPLE_RATE
    hidden = (view.dark[cycles[:, 2]] - view.dark[cycles[:, 0]]) / SAMPLE_RATE / span
    keep = (size > SMALLEST) & (closed > CLOSED) & (hidden < HIDDEN) & (span < LONGEST)
    if keep.sum() < 2:
        return None
    weight = reliability(shape[keep])
    pairs = np.max([likeness(shape * weight, variant * weight) for variant in (shape, *mirrored)], axis=0)
    keep, alike = typical(pairs, keep, span)
    if keep.sum() < 2:
        return None
    way = view.way[cycles[:, 2]] - view.way[cycles[:, 0]]
    worth = np.clip(alike * closed - CHANCE, 0, 1) / (1 - CHANCE)
    explained, chosen = (worth * way)[keep].sum(), cycles[keep]
    score = float(explained / view.way[-1])
    dense = explained > DENSE * (view.way[chosen[-1, 2]] - view.way[chosen[0, 0]])
    return Reading(chosen, signal, score) if dense and len(chosen) * score > EVIDENCE else None


def readings(views: list[View], known: np.ndarray) -> list[Reading]:
    """Every way to cut the motion into cycles that leaves at least two alike."""
    sound: list[Reading | None] = []
    for seen in views:
        for signal in (*seen.signals, *-seen.signals):
            sound.extend(verify(cycles, seen, signal) for cycles in cuttings(signal, known) if len(cycles) > 1)
    return [reading for reading in sound if reading is not None]


def lone(views: list[View], known: np.ndarray) -> list[Reading]:
    """A single repetition has nothing to look like: it must be the one big move and go back the way it came."""
    sound: list[Reading] = []
    for seen in views:
        for signal in (*seen.signals, *-seen.signals):
            cycle = next(iter(cuttings(signal, known)), np.empty((0, 3)))
            if len(cycle) != 1 or np.ptp(cycle) > LONGEST * SAMPLE_RATE:
                continue
            shape = shapes(seen.paths[:1], seen.way, cycle)[0]
            back = float(likeness(shape[:, : PHASES + 1], shape[:, : PHASES - 1 : -1])[0, 0])
            score = back * float(np.ptp(seen.way[cycle])) / seen.way[-1]
            whole = seen.dark[cycle[0, 2]] == seen.dark[cycle[0, 0]]
            if whole and excursion(shape)[0] > LARGE and back > RETRACED and score > LONE:
                sound.append(Reading(cycle, signal, score))
    return sound


def choose(readings: list[Reading]) -> Reading:
    """The best score, unless half its period or the other turning point explains nearly as much with more cycles."""
    best = max(readings, key=lambda r: r.score)
    halves = [r for r in readings if r.score > SHORTER * best.score and len(r.cycles) > 1.6 * len(best.cycles)]
    best = max(halves, key=lambda r: r.score, default=best)
    n = len(best.cycles)
    more = [r for r in readings if r.score > ONE_MORE * best.score and len(r.cycles) == n + 1]
    return max(more, key=lambda r: r.score, default=best)


def take_turns(cycles: np.ndarray, body: View) -> bool:
    """True where each cycle looks like the next but one rather than like the next."""
    if len(cycles) < 4:
        return False
    shape = shapes(body.paths[:1], body.way, cycles)[0]
    pairs = likeness(shape, shape)
    return bool(np.median(np.diag(pairs, 2)) - np.median(np.diag(pairs, 1)) > TURNS)


def cut_off(reading: Reading) -> bool:
    """True where a good part of another repetition shows just before the first or just after the last."""
    cycles, signal = reading.cycles, reading.signal
    first, last, span = cycles[0, 0], cycles[-1, 2], int(np.median(cycles[:, 2] - cycles[:, 0]))
    height = np.median(signal[cycles[:, 1]] - signal[cycles[:, [0, 2]]].mean(1))
    before = signal[max(0, first - span) : first + 1].max() - signal[first]
    after = signal[last : last + span].max() - signal[last]
    return bool(max(before, after) > CUT * height)


def read(motion: Motion, offset: int) -> list[Stretch]:
    """The best reading of a motion, as a list of one, or of none."""
    if motion.known.sum() < SAMPLE_RATE:
        return []
    views = [view(motion, axes) for axes in VIEWS]
    candidates = readings(views, motion.known) or lone(views, motion.known)
    if not candidates:
        return []
    best = choose(candidates)
    rivals = [len(r.cycles) for r in candidates if r.score >= RIVAL * best.score]
    rivals.append(len(best.cycles) + cut_off(best))
    return [Stretch(offset, best, tuple(rivals), take_turns(best.cycles, views[0]))]


def read_parts(motion: Motion, offset: int) -> list[Stretch]:
    """Read as a whole; then, by themselves, the parts where that found nothing: the camera was moved, or the exercise
    changed. Parts end at gaps and at the repetitions found."""
    stretches = read(motion, offset)
    free = motion.known.copy()
    if stretches:
        for start, _, stop in stretches[0].reading.cycles:
            free[start:stop] = False
    edges = np.flatnonzero(np.diff(free.astype(np.int8), prepend=0, append=0)).reshape(-1, 2)
    for start, stop in edges:
        if PART * SAMPLE_RATE <= stop - start < len(free):
            part = read(motion.between(start, stop), offset + start)
            stretches += [stretch for stretch in part if len(stretch.reading.cycles) > 2]
    return stretches


def read_long(motion: Motion) -> list[Stretch]:
    """Read in windows, so that time and memory grow with N only and the exercise may change; each window begins where
    the last repetition ended."""
    stretches, start, n, window = [], 0, len(motion.time), int(WINDOW_SECONDS * SAMPLE_RATE)
    while True:
        stop = n if n - start < 1.25 * window else start + window
        part = read_parts(motion.between(start, stop), start)
        stretches += part
        if stop == n:
            return with_cut_off(stretches, motion)
        ends = [stretch.offset + int(stretch.reading.cycles[-1, 2]) for stretch in part]
        start = max([stop - int(LONGEST * SAMPLE_RATE), *ends])


def with_cut_off(stretches: list[Stretch], motion: Motion) -> list[Stretch]:
    """The same with the repetitions that the clip begins or ends in the middle of, where their turning point is seen:
    most of them is, and people count them."""
    if not stretches:
        return stretches
    known = np.flatnonzero(motion.known)
    stretches = sorted(stretches, key=lambda s: s.offset + s.reading.cycles[0, 0])
    stretches[0] = _extended(stretches[0], motion, int(known[0]), first=True)
    stretches[-1] = _extended(stretches[-1], motion, int(known[-1]), first=False)
    return stretches


def _extended(stretch: Stretch, motion: Motion, edge: int, first: bool) -> Stretch:
    """A stretch with the part of a repetition between the clip's `edge` and its own first or last one."""
    cycles, signal = stretch.reading.cycles, stretch.reading.signal
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
    if signal[turn] - signal[near] < FULL * height or away > THERE:
        return stretch
    cut = (low, turn, near) if first else (near, turn, high)
    whole = np.insert(cycles, 0, cut, axis=0) if first else np.append(cycles, [cut], axis=0)
    return replace(stretch, reading=replace(stretch.reading, cycles=whole), rivals=(*stretch.rivals, len(whole)))


def assemble(stretches: list[Stretch], motion: Motion, time: np.ndarray, alternating: str) -> Repetitions:
    """Stretches in samples -> repetitions in frames."""
    signal, cycles, low, high = np.full(len(motion.time), np.nan), [], 0, 0
    for stretch in sorted(stretches, key=lambda s: s.offset + s.reading.cycles[0, 0]):
        part, step = stretch.reading.cycles + stretch.offset, 1
        if alternating == "pair" and stretch.alternating:
            step = 2
            part = np.stack([part[:-1:2, 0], part[:-1:2, 2], part[1::2, 2]], axis=1)
        cycles.append(part)
        low, high = low + min(stretch.rivals) // step, high + max(stretch.rivals) // step
        free = np.isnan(signal[stretch.offset :][: len(stretch.reading.signal)])
        signal[stretch.offset :][: len(free)][free] = stretch.reading.signal[free]
    cycles = np.concatenate([np.empty((0, 3), np.int64), *cycles])
    signal[~motion.known] = np.nan
    start, stop = np.searchsorted(time, motion.time[cycles[:, [0, 2]]].T)
    period = float(np.median(np.diff(motion.time[cycles[:, 1]]))) if len(cycles) > 1 else np.nan
    weights = [len(s.reading.cycles) for s in stretches]
    explained = float(np.average([s.reading.score for s in stretches], weights=weights)) if stretches else 0.0
    turns = any(s.alternating for s in stretches)
    shown = np.interp(time, motion.time, signal)
    return Repetitions(start, stop, low, high, shown, period, explained, turns)


def count_repetitions(
    xyz: np.ndarray, score: np.ndarray, time: np.ndarray, left_right: Pairs, *, alternating: str = "each"
) -> Repetitions:
    """Count full cycles back to the start.

    xyz: (T, V, 3) float32, pixels, metres or scaled per frame, y vertical, NaN where undetected. score: (T, V), 0..1.
    time: (T,) s, ascending. left_right: pairs of joints that mirror each other. alternating: "each" counts a movement
    done left and right in turn once per side, "pair" once per two sides. A repetition that
    the clip begins or ends in counts if its turning point is seen.
    """
    if alternating not in ("each", "pair"):
        raise ValueError(f"alternating is {alternating!r}, expected 'each' or 'pair'")
    time = without_long_gaps(np.asarray(time, np.float64))
    xyz = np.array(xyz)
    flat = np.isfinite(xyz[..., :2]).all(-1) & np.isnan(xyz[..., 2])  # poses without depth
    xyz[flat, 2] = 0
    if np.isfinite(xyz).all(2).any(1).sum() < 2:
        empty = np.empty(0, np.int64)
        return Repetitions(empty, empty, 0, 0, np.full(len(time), np.nan), np.nan, 0.0, False)
    moving = motion(np.asarray(xyz), np.asarray(score), time, left_right)
    return assemble(read_long(moving), moving, time, alternating)
