"""Count repetitions in a pose sequence without trained weights and whatever the exercise."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import find_peaks

from racctl.motion import RATE, Motion, View, motion, view

VIEWS = {"body": (0, 1, 2), "upright": (1,)}
PROMINENCES = (0.6, 0.4, 0.25, 0.15)  # shares of the signal's range; small ones serve clips with one far bigger move
PHASES = 10  # points on the way out, and on the way back
FOOT = 0.1  # share of a bump's height below which it is rest, not repetition
CLOSED = 0.5  # how far a cycle must come back to where it began, 1 = exactly
ALIKE = 0.5  # likeness to the other cycles, 1 = equal
RELATIVE = 0.7  # ... and as a share of the likeness usual in the clip
STRETCH = 3.0  # a cycle lasts 1/3 to 3 times the median
LONGEST = 20.0  # s
SMALLEST = 0.01  # body sizes, root mean square over the body
CHANCE = 0.3  # likeness times closure that explains nothing
SHORTER = 0.7  # twice the cycles win at this share of the best score: half the period
ONE_MORE = 0.9  # one more cycle wins at this share: the turning point the clip is counted from
RIVAL = 0.85  # readings above this share of the chosen score span the interval
EVIDENCE = 0.6  # least number of cycles x share of all motion they explain
TURNS = 0.3  # likeness to the next but one above that to the next, where left and right take turns
WINDOW = 120.0  # s read together


@dataclass(frozen=True)
class Repetitions:
    """start, stop: (R,) int64, half-open [start, stop) in T, ascending, no overlap. count: R.

    low, high: counts that other readings of the clip, nearly as good, would give. signal: (T,) float64, the 1-D motion the
    cycles were found in, in body sizes, NaN where nobody was seen. period: median time from one repetition to the next, s,
    NaN below two. score: 0..1, share of all motion in the clip that the repetitions explain. alternating: left and right
    take turns.
    """

    start: np.ndarray
    stop: np.ndarray
    count: float
    low: int
    high: int
    signal: np.ndarray
    period: float
    score: float
    alternating: bool


@dataclass(frozen=True)
class Reading:
    """One way to cut a motion into cycles. cycles: (n, 3) start, turn, stop. signal: (N,). likeness: (n,). score: 0..1."""

    cycles: np.ndarray
    signal: np.ndarray
    likeness: np.ndarray
    score: float

    @property
    def evidence(self) -> float:
        """A few cycles must explain most of the motion, many may explain less."""
        return len(self.cycles) * self.score


def bumps(signal: np.ndarray, known: np.ndarray, prominence: float) -> np.ndarray:
    """(N,) -> (n, 3) start, top and stop of each bump higher than its share of the range, resting time trimmed off."""
    low, high = np.percentile(signal[known], [2, 98])
    tops, _ = find_peaks(signal, prominence=max(prominence * (high - low), 1e-12))
    ends = np.concatenate([[0], tops, [len(signal) - 1]])
    cycles = []
    for before, top, after in zip(ends[:-2], ends[1:-1], ends[2:]):
        rise, fall = signal[before : top + 1], signal[top : after + 1]
        start = before + np.flatnonzero(rise <= rise.min() + FOOT * np.ptp(rise))[-1]
        stop = top + np.flatnonzero(fall <= fall.min() + FOOT * np.ptp(fall))[0]
        cycles.append((start, top, stop))
    return np.array(cycles, dtype=np.int64).reshape(-1, 3)


def shapes(paths: tuple[np.ndarray, ...], way: np.ndarray, cycles: np.ndarray) -> list[np.ndarray]:
    """[(N, K)] -> [(n, 2 PHASES + 1, K)], each cycle at even steps of the way, so that tempo and pauses do not matter."""
    start, top, stop = way[cycles.T][..., None]
    step = np.linspace(0, 1, PHASES + 1)
    at = np.concatenate([start + (top - start) * step, (top + (stop - top) * step)[:, 1:]], axis=1)
    after = np.clip(np.searchsorted(way, at), 1, len(way) - 1)
    share = ((at - way[after - 1]) / (way[after] - way[after - 1]))[..., None]
    return [path[after - 1] * (1 - share) + path[after] * share for path in paths]


def likeness(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """(n, P, K), (m, P, K) -> (n, m): 1 equal, 0 unrelated or one far smaller; the place does not matter."""
    one = (one - one.mean(1, keepdims=True)).reshape(len(one), -1)
    two = (two - two.mean(1, keepdims=True)).reshape(len(two), -1)
    return 2 * one @ two.T / ((one**2).sum(1)[:, None] + (two**2).sum(1) + 1e-12)


def reliability(shape: np.ndarray) -> np.ndarray:
    """(n, P, K) -> (K,): the share of each axis' motion that is the same in every cycle."""
    centred = shape - shape.mean(1, keepdims=True)
    return np.clip(np.median(centred, axis=0).var(0) / (centred.var(1).mean(0) + 1e-12), 0.05, 1.0)


def verify(cycles: np.ndarray, view: View, signal: np.ndarray) -> Reading:
    """Keep the cycles that come back to where they began and look like the others, or like their mirror image."""
    shape, *mirrored = shapes(view.paths, view.way, cycles)
    size = np.linalg.norm(shape - shape.mean(1, keepdims=True), axis=-1).max(1)
    closed = 1 - np.linalg.norm(shape[:, -1] - shape[:, 0], axis=-1) / (2 * size + 1e-12)
    span = (cycles[:, 2] - cycles[:, 0]) / RATE
    hidden = (view.dark[cycles[:, 2]] - view.dark[cycles[:, 0]]) / RATE / span
    keep = (size > SMALLEST) & (closed > CLOSED) & (hidden < 0.5) & (span < LONGEST)
    alike = np.zeros(len(cycles))
    if keep.sum() > 1:
        weight = reliability(shape[keep])
        pairs = np.max([likeness(shape * weight, other * weight) for other in (shape, *mirrored)], axis=0)
        np.fill_diagonal(pairs, np.inf)
    for _ in range(3):
        if keep.sum() < 2:
            return Reading(cycles[:0], signal, alike[:0], 0.0)
        alike = np.zeros(len(cycles))
        alike[keep] = np.median(np.sort(pairs[keep][:, keep], axis=1)[:, :-1], axis=1)
        keep &= (alike > max(ALIKE, RELATIVE * np.median(alike[keep])))
        keep &= np.abs(np.log(span / np.median(span[keep]))) < np.log(STRETCH) if keep.any() else False
    if ENDS:
        k = np.flatnonzero(keep)
        ok = alike[k] >= ENDS * np.median(alike[k])
        if ok.sum()>1:
            f = np.flatnonzero(ok)
            keep[k[:f[0]]] = False
            keep[k[f[-1]+1:]] = False
    share = (view.way[cycles[:, 2]] - view.way[cycles[:, 0]]) / view.way[-1]
    worth = np.clip(alike * closed - CHANCE, 0, 1) / (1 - CHANCE)
    kept = cycles[keep]
    explained = float((worth * share)[keep].sum())
    if len(kept) < 2 or explained * view.way[-1] < DENSE * (view.way[kept[-1, 2]] - view.way[kept[0, 0]]):
        return Reading(cycles[:0], signal, alike[:0], 0.0)
    return Reading(kept, signal, alike[keep], explained)
ENDS = 0
DENSE = 0.3


def readings(views: list[View], known: np.ndarray) -> list[Reading]:
    """Every way to cut the motion into cycles that leaves at least two alike."""
    found = []
    for seen in views:
        for signal in (*seen.signals, *-seen.signals):
            tried = {0, 1}
            for prominence in PROMINENCES:
                cycles = bumps(signal, known, prominence)
                if len(cycles) not in tried:  # a smaller prominence only adds tops
                    found.append(verify(cycles, seen, signal))
                tried.add(len(cycles))
    return [reading for reading in found if reading.evidence > EVIDENCE]


def choose(found: list[Reading]) -> Reading:
    """The best score, unless half its period or the opposite turning point explains nearly as much in more cycles."""
    best = max(found, key=lambda r: r.score)
    halves = [r for r in found if r.score > SHORTER * best.score and len(r.cycles) > 1.6 * len(best.cycles)]
    best = max(halves, key=lambda r: r.score, default=best)
    n = len(best.cycles)
    more = [r for r in found if r.score > ONE_MORE * best.score and len(r.cycles) == n + 1]
    return max(more, key=lambda r: r.score, default=best)


def lone(views: list[View], known: np.ndarray) -> list[Reading]:
    """A single repetition has nothing to look like: it must be the one big move and go back the way it came."""
    found = []
    for seen in views:
        for signal in (*seen.signals, *-seen.signals):
            cycle = bumps(signal, known, PROMINENCES[0])
            if len(cycle) != 1 or seen.dark[cycle[0, 2]] > seen.dark[cycle[0, 0]]:
                continue
            shape = shapes(seen.paths, seen.way, cycle)[0]
            size = np.linalg.norm(shape - shape.mean(1, keepdims=True), axis=-1).max()
            back = likeness(shape[:, : PHASES + 1], shape[:, PHASES:][:, ::-1])[0]
            share = (seen.way[cycle[0, 2]] - seen.way[cycle[0, 0]]) / seen.way[-1]
            span = np.ptp(cycle[0]) / RATE
            if size > LONE_SIZE and back[0] > LONE_BACK and share > LONE_SHARE and span < LONGEST:
                found.append(Reading(cycle, signal, back, float(share * back[0])))
    return found
LONE_SIZE=.05
LONE_BACK=.9
LONE_SHARE=.7


def read(motion: Motion) -> tuple[Reading, int, int] | None:
    """-> the chosen reading and the fewest and most cycles of its rivals."""
    if motion.known.sum() < RATE:
        return None
    views = [view(motion, axes) for axes in VIEWS.values()]
    found = readings(views, motion.known) or lone(views, motion.known)
    if not found:
        return None
    best = choose(found)
    rivals = [len(r.cycles) for r in found if r.score > RIVAL * best.score]
    return best, min(rivals), max(rivals)


def shifted(reading,k):
    return Reading(reading.cycles+k, reading.signal, reading.likeness, reading.score)


def analyse(motion):
    """[(offset, Reading, low, high)]"""
    out=[]; N=len(motion.time); start=0; w=int(WINDOW*RATE)
    while start < N:
        stop = N if N-start < 1.25*w else start+w
        piece=motion.between(start,stop)
        got=read(piece)
        last=0
        todo=[]
        if got:
            out.append((start,)+got); last=got[0].cycles[-1,2]
        if GAPS and not piece.known.all():
            edge=np.flatnonzero(np.diff(np.concatenate([[0],piece.known.astype(int),[0]])))
            for a,b in edge.reshape(-1,2):
                if b-a<3*RATE or (got and ((got[0].cycles[:,1]>=a)&(got[0].cycles[:,1]<b)).any()): continue
                g=read(piece.between(a,b))
                if g and len(g[0].cycles)>=3: out.append((start+a,)+g); last=max(last,g[0].cycles[-1,2]+a)
        if stop==N: break
        start=max(start+last, stop-int(LONGEST*RATE))
    return out
GAPS=True


def count_repetitions(xyz, score, time, left_right, *, alternating="each"):
    time = np.asarray(time, float)
    T = len(time)
    none = Repetitions(np.empty(0, np.int64), np.empty(0, np.int64), 0.0, 0, 0, np.full(T, np.nan), np.nan, 0.0, False)
    if np.isfinite(xyz).all((1, 2)).sum() < 8:
        return none
    m = motion(xyz, score, time, left_right)
    got = analyse(m)
    if not got:
        return none
    cyc=np.concatenate([g[1].cycles+g[0] for g in got]); cyc=cyc[np.argsort(cyc[:,0])]
    n=len(cyc)
    start = np.searchsorted(time, m.time[cyc[:, 0]])
    stop = np.searchsorted(time, m.time[cyc[:, 2]])
    return Repetitions(start, stop, float(n), sum(g[2] for g in got), sum(g[3] for g in got), np.full(T,np.nan), float(np.median(np.diff(time[start]))) if n>1 else np.nan, max(g[1].score for g in got), False)
