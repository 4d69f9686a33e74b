"""Ways to cut a motion into cycles, and which of them to believe.

Many one-dimensional signals are cut in several ways; each such reading keeps only the cycles that come back to where
they began and that look alike, in the whole trajectory, or like the mirror image; the reading that explains most of the
motion is chosen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from racctl.counters.peaks import prominent_peaks
from racctl.counters.signals import SAMPLE_RATE, View

PROMINENCES = (0.6, 0.4, 0.25, 0.15)  # shares of the signal's range; small ones serve clips with one far bigger move
PHASES = 10  # points on the way out, and on the way back
FOOT = 0.1  # share of a bump's height below which it is rest, not repetition
CLOSED = 0.5  # how far a cycle must come back to where it began, 1 = exactly
FLANK = 0.25  # share of a cycle's higher flank that its other one must have: half a cycle is none
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
FOLDED = 1.5  # lengths of the way there and back; a longer cycle is several repetitions
FOLDED_SHORTER = 0.4  # ... and then twice the cycles win at this share
ONE_MORE = 0.9  # one more cycle wins at this share: the other turning point
CUT = 0.4  # share of a repetition's height, seen beside the others, that could be one more
HALF = 0.4  # likeness to the next but one above that to the next, mirrored or not, of cycles that are half a repetition
TURNS = 0.3  # likeness to the next but one above that to the next, where left and right take turns
LONE = 0.7  # share of all motion a single repetition must explain
LARGE = 0.05  # body sizes; a single repetition is no twitch
FILLED = 0.6  # share of the usual height that a bump between two cycles must have to count too
SHORTEST_FILLED, LONGEST_FILLED = 0.5, 2.5  # ... and of the usual length
RETRACED = 0.9  # likeness of its way back to its way out


@dataclass(frozen=True)
class Reading:
    """One way to cut a motion into cycles.

    cycles: (n, 3) start, turn, stop.
    signal: (N,).
    score: 0..1, share explained.
    worth: (n,) 0..1, how well each cycle comes back and how much it looks like the others; 0 where it does not tell.
    folds: how long the way through a cycle is, in lengths of the way there and back.
    """

    cycles: np.ndarray
    signal: np.ndarray
    score: float
    worth: np.ndarray
    folds: float = 1.0


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
    tops, prominences = prominent_peaks(signal, least.min())
    counts = {int(n): p for p in least[::-1] if (n := (prominences >= p).sum())}  # equal n, equal tops
    return [bumps(signal, tops[prominences >= p]) for _, p in sorted(counts.items())]


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
    flanks = signal[cycles[:, [1]]] - signal[cycles[:, [0, 2]]]
    steep = flanks.min(1) > FLANK * flanks.max(1)
    keep = (size > SMALLEST) & (closed > CLOSED) & (hidden < HIDDEN) & (span < LONGEST) & steep
    if keep.sum() < 2:
        return None
    weight = reliability(shape[keep])
    pairs = np.max([likeness(shape * weight, variant * weight) for variant in (shape, *mirrored)], axis=0)
    keep, alike = typical(pairs, keep, span)
    if keep.sum() < 2:
        return None
    if are_halves([variant[keep] for variant in (shape, *mirrored)]):
        return None
    way = view.way[cycles[:, 2]] - view.way[cycles[:, 0]]
    worth = np.clip(alike * closed - CHANCE, 0, 1) / (1 - CHANCE)
    explained, chosen = (worth * way)[keep].sum(), cycles[keep]
    score = float(explained / view.way[-1])
    dense = explained > DENSE * (view.way[chosen[-1, 2]] - view.way[chosen[0, 0]])
    folds = float(np.median(way[keep] / (4 * size[keep])))
    return Reading(chosen, signal, score, worth[keep], folds) if dense and len(chosen) * score > EVIDENCE else None


def are_halves(variants: list[np.ndarray]) -> bool:
    """Return whether cycles are the way there and the way back by turns: each looks like the next but one, and the next
    is no mirror image of it.

    variants: (n, P, K) each, the cycles as they are and mirrored.
    """
    if len(variants[0]) < 4:
        return False
    pairs = np.max([likeness(variants[0], variant) for variant in variants], axis=0)
    return bool(np.median(np.diag(pairs, 2)) - np.median(np.diag(pairs, 1)) > HALF)


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
                sound.append(Reading(cycle, signal, score, np.array([back])))
    return sound


def choose(readings: list[Reading]) -> Reading:
    """The best score, unless half its period or the other turning point explains nearly as much with more cycles."""
    best = max(readings, key=lambda r: r.score)
    least = (SHORTER if best.folds < FOLDED else FOLDED_SHORTER) * best.score
    halves = [r for r in readings if r.score > least and len(r.cycles) > 1.6 * len(best.cycles)]
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


def filled(reading: Reading) -> Reading:
    """Return a reading with the cycles between those that it has: they rise as high and last as long, but look
    different, as they do where landmarks are bad."""
    cycles, signal = reading.cycles, reading.signal
    if len(cycles) < 2:
        return reading
    usual = np.median(cycles[:, 2] - cycles[:, 0])
    height = np.median(signal[cycles[:, 1]] - signal[cycles[:, [0, 2]]].mean(1))
    more = [cycles]
    for stop, start in zip(cycles[:-1, 2], cycles[1:, 0], strict=True):
        part = signal[stop : start + 1]
        if len(part) < SHORTEST_FILLED * usual:
            continue
        tops = prominent_peaks(part, FILLED * height)[0]
        if len(tops):
            bump = bumps(part, tops)
            spans = bump[:, 2] - bump[:, 0]
            more.append(bump[(spans > SHORTEST_FILLED * usual) & (spans < LONGEST_FILLED * usual)] + stop)
    whole = np.concatenate(more)
    order = np.argsort(whole[:, 0])
    worth = np.append(reading.worth, np.zeros(len(whole) - len(cycles)))
    return replace(reading, cycles=whole[order], worth=worth[order])
