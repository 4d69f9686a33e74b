"""When somebody repeats a movement: likeness of what they do to what they did just before, and probability of idling.

Both are read in pieces of the clip, so that time and memory grow with its length only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.ndimage import uniform_filter1d

from racctl.contracts import BACKGROUND, Pose
from racctl.counters.signals import SAMPLE_RATE, motion
from racctl.recognisers.inputs import gather_joints
from racctl.recognisers.recogniser import Recogniser
from racctl.skeleton.remap import topology_of

TRACE_RATE = 10.0  # Hz
PIECE_SECONDS = 120.0  # s read together
SHARED_SECONDS = 18.0  # s that a piece sees of its neighbours: twice the longest period
SHORTEST_PERIOD, LONGEST_PERIOD = 0.5, 9.0  # s of what repeats
LONGEST_STEP = 1.0  # s from one moment to the next; nothing is known in a longer one
PERIODS_TRIED = 36  # tried between them
SHORTER_PERIOD = 0.05  # likeness that a longer period must have more than a shorter one, for two of it are one too
LEAST_MOTION = 0.012  # body sizes, root mean square over the body and two periods: less is noise
LIKENESS_SECONDS = 1.1  # s that the likeness is averaged over
USUALLY_IDLE = 0.35  # where nothing tells: motion has to repeat by about a third then
MOTION_SECONDS = 4.0  # s that motion is told over
IDLE_SECONDS = 2.5  # s that the probability of idling is averaged over


@dataclass(frozen=True)
class Activity:
    """What is read of N moments, `TRACE_RATE` a second but where the clip has long gaps.

    time: (N,) s.
    likeness: (N,) 0..1, of what is done about a moment to what is done one period before or after.
    idle: (N,) 0..1, how probably it is no exercise; `USUALLY_IDLE` where that is not known.
    period: (N,) s, of the greatest likeness.
    motion: (N,) body sizes, how far the body moves about a moment.
    """

    time: np.ndarray
    likeness: np.ndarray
    idle: np.ndarray
    period: np.ndarray
    motion: np.ndarray

    @property
    def evidence(self) -> np.ndarray:
        """(N,) -1..1: for an exercise that repeats, against idling."""
        return self.likeness - self.idle

    def runs(self, marked: np.ndarray) -> list[tuple[int, int]]:
        """Return the runs of moments that are marked, (N,) bool, half-open; a gap of the clip ends one."""
        runs = []
        breaks = np.flatnonzero(np.diff(self.time) > LONGEST_STEP) + 1
        for first, last in pairwise([0, *breaks.tolist(), len(self.time)]):
            edges = np.diff(marked[first:last].astype(int), prepend=0, append=0)
            begins, ends = (first + np.flatnonzero(edges == sign) for sign in (1, -1))
            runs += list(zip(begins.tolist(), ends.tolist(), strict=True))
        return runs


def pieces(
    time: np.ndarray, seconds: float = PIECE_SECONDS, shared: float = SHARED_SECONDS
) -> Iterator[tuple[slice, float, float]]:
    """Yield the frames to read together, and from when to when of them counts, s. time: (T,) ascending s."""
    first = 0
    while first < len(time):
        begin, end = float(time[first]), float(time[first]) + seconds
        low, high = np.searchsorted(time, (begin - shared, end + shared))
        yield slice(int(low), int(high)), begin, end
        first = max(int(np.searchsorted(time, end)), first + 1)


def activity(pose: Pose, recogniser: Recogniser | None) -> Activity:
    """Return when the only person of a pose repeats something. recogniser: of joints, None where it cannot read it."""
    parts = [_piece_activity(pose, *piece, recogniser) for piece in pieces(pose.time)]
    return Activity(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


@dataclass(frozen=True)
class MovedBody:
    """How a body moves: path (N, D) body sizes at `SAMPLE_RATE`, time (N,) s, known (N,) bool."""

    path: np.ndarray
    time: np.ndarray
    known: np.ndarray


def moved_body(pose: Pose, in_itself: bool = False) -> MovedBody | None:
    """Return the motion of the only person of a pose; None where there is nobody to see.

    in_itself: without what the whole body does, which the camera may do as well.
    """
    topology = topology_of(pose)
    xyz = pose.xyz[:, 0].copy()
    is_flat = np.isfinite(xyz[..., :2]).all(-1) & np.isnan(xyz[..., 2])
    xyz[is_flat, 2] = 0  # poses without depth
    if np.isfinite(xyz).all(2).any(1).sum() < 2:
        return None
    sides = tuple((topology.index(left), topology.index(right)) for left, right in topology.symmetries)
    moved = motion(xyz, pose.score[:, 0], pose.time, sides, in_itself=in_itself)
    return MovedBody(moved.twins[0].reshape(len(moved.time), -1), moved.time, moved.known)


def _piece_activity(
    pose: Pose, frames: slice, begin: float, end: float, recogniser: Recogniser | None
) -> tuple[np.ndarray, ...]:
    """Return the columns of `Activity` of a piece."""
    part = frames_of(pose, frames)
    body = moved_body(part)
    if body is None:
        return (np.zeros(0),) * 5
    stride = round(SAMPLE_RATE / TRACE_RATE)
    time, path = body.time[::stride], body.path[::stride]
    likeness, period = repeating(path, TRACE_RATE)
    in_itself = moved_body(part, in_itself=True)
    assert in_itself is not None, "it is seen as much as the body is"
    steady, _ = repeating(in_itself.path[::stride], TRACE_RATE)
    likeness = (np.maximum(likeness, 0) + np.maximum(steady, 0)) / 2  # the camera may move, and bodies that go about
    likeness = np.where(body.known[::stride], likeness, 0)
    likeness = uniform_filter1d(likeness, round(LIKENESS_SECONDS * TRACE_RATE))
    idle = idling(part, recogniser, time)
    width = round(MOTION_SECONDS * TRACE_RATE)
    about = uniform_filter1d(path, width, axis=0, mode="nearest")
    spread = uniform_filter1d(path**2, width, axis=0, mode="nearest") - about**2
    motion_about = np.sqrt(np.maximum(spread, 0).sum(1))
    inside = (time >= begin - 1e-9) & (time < end - 1e-9)
    return time[inside], likeness[inside], idle[inside], period[inside], motion_about[inside]


def idling(pose: Pose, recogniser: Recogniser | None, time: np.ndarray) -> np.ndarray:
    """Return (N,) how probably nobody exercises at these times, 0..1.

    `USUALLY_IDLE` without a recogniser, or from one that does not know the background.
    """
    if recogniser is None or BACKGROUND not in recogniser.classes:
        return np.full(len(time), USUALLY_IDLE)
    streams = gather_joints(pose, recogniser.look)
    judgement = recogniser.judge(streams)
    probs, rows = judgement.joint, judgement.rows
    look = recogniser.look
    width = 2 * round(IDLE_SECONDS * look.rate / look.stride / 2) + 1
    background = uniform_filter1d(probs[:, recogniser.classes.index(BACKGROUND)], width, mode="nearest")
    return np.interp(time, streams.time[rows[:, rows.shape[1] // 2]], background)


def repeating(path: np.ndarray, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Return how much of a motion repeats, (N,) at most 1, and with which period, (N,) s.

    path: (N, D) body sizes at `rate` Hz. Two windows of one period side by side are compared by the share of their
    common scatter that is the same in both: 1 where they are equal, below 0 for what goes on and does not come back.
    A moment has the greatest such share over all periods, its window being the first or the second.
    """
    likeness, period = np.full(len(path), -1.0), np.zeros(len(path))
    sums, squares = _cumulated(path), _cumulated((path**2).sum(1, keepdims=True))[:, 0]
    lags = np.geomspace(SHORTEST_PERIOD * rate, LONGEST_PERIOD * rate, PERIODS_TRIED)
    for lag in np.unique(lags.round().astype(int)).tolist():
        starts = np.arange(len(path) - 2 * lag + 1)
        if not len(starts):
            break
        apart = _cumulated(((path[lag:] - path[:-lag]) ** 2).sum(1, keepdims=True))[:, 0]
        differ = apart[starts + lag] - apart[starts]
        total = sums[starts + 2 * lag] - sums[starts]
        scatter = squares[starts + 2 * lag] - squares[starts] - (total**2).sum(1) / (2 * lag)
        share = 1 - differ / (scatter + 1e-9)
        share[scatter < LEAST_MOTION**2 * 2 * lag] = -1
        likeness[: lag // 2] = np.maximum(likeness[: lag // 2], share[0])
        likeness[len(path) - lag // 2 :] = np.maximum(likeness[len(path) - lag // 2 :], share[-1])
        for middle in (starts + lag // 2, starts + lag + lag // 2):
            better = share > likeness[middle] + SHORTER_PERIOD
            period[middle[better]] = lag / rate
            likeness[middle] = np.maximum(likeness[middle], share)
    return likeness, period


def _cumulated(values: np.ndarray) -> np.ndarray:
    """Return (N + 1, D): the sums of the rows before each."""
    return np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])


def frames_of(pose: Pose, frames: slice) -> Pose:
    """Return some frames of a pose."""
    world = None if pose.world is None else pose.world[frames]
    return Pose(
        pose.xyz[frames], pose.score[frames], pose.frame[frames], pose.time[frames], pose.track, pose.meta, world
    )
