"""From joints or features to comparable motion: even sampling, one scale, mirrored twins and 1-D candidate signals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d, median_filter

from racctl.contracts import Pose

SAMPLE_RATE = 20.0  # Hz; the fastest exercises repeat about 3 times a second
SMOOTHING = 0.1  # s, standard deviation; below the quickest flank of a repetition
LONGEST_GAP = 1.0  # s; a movement may be missed altogether in a longer gap
DEPTH = 0.4  # weight of z, the axis a single camera guesses
NEAR = 0.08  # body sizes; joints closer than this (face, fingers) move as one and share one vote
AXES = 12  # principal axes kept of a view
POSTURES = 6  # resting postures looked for
VIEWS = ((0, 1, 2), (1,))  # of a pose: the whole body; its vertical axis alone

Pairs = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Motion:
    """A sequence at `SAMPLE_RATE`. N samples, V joints of C axes each, or V features of one.

    time: (N,) s.
    known: (N,) bool, False in a gap longer than `LONGEST_GAP`.
    twins: (N, V, C) each: as seen and, of a pose, left and right exchanged with x mirrored (camera in front) and left
        and right exchanged alone (camera at the side). A pose's unit is body sizes (diagonal of the bounding box),
        weighted per joint so that the norm of a sample is the root mean square over the body.
    views: the axes that are looked at together, in several ways.
    share: (V,) how much a joint moves where the whole body moves by a norm of one; None of features.
    """

    time: np.ndarray
    known: np.ndarray
    twins: tuple[np.ndarray, ...]
    views: tuple[tuple[int, ...], ...] = VIEWS
    share: np.ndarray | None = None

    def between(self, start: int, stop: int) -> Motion:
        """Return the samples start..stop-1."""
        cut = slice(start, stop)
        return Motion(self.time[cut], self.known[cut], tuple(twin[cut] for twin in self.twins), self.views, self.share)


def without_long_gaps(time: np.ndarray) -> np.ndarray:
    """(T,) s -> (T,) s in which no step is much longer than `LONGEST_GAP`: nothing is known in there, however long it
    is, and a clip that jumps by days would need days of samples."""
    steps = np.minimum(np.diff(time), 2 * LONGEST_GAP)
    return time[:1].sum() + np.concatenate([[0.0], np.cumsum(steps)])[: len(time)]


def resample(xyz: np.ndarray, time: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(T, V, C) at any times -> time (N,), the same (N, V, C) without holes, known (N,)."""
    flat = xyz.reshape(len(time), -1).astype(np.float64)
    even = time[0] + np.arange(int((time[-1] - time[0]) * SAMPLE_RATE) + 1) / SAMPLE_RATE
    filled = np.zeros((len(even), flat.shape[1]))
    for column, values in zip(filled.T, flat.T, strict=True):
        seen = np.isfinite(values)
        if seen.any():
            column[:] = np.interp(even, time[seen], values[seen])
    # a joint never seen must not blind the others: a frame is seen if any joint is
    seen = time[np.isfinite(xyz).all(2).any(1)]
    after = np.searchsorted(seen, even)
    inside = (after > 0) & (after < len(seen))
    gap = np.abs(even - seen[np.clip(after, 0, len(seen) - 1)])
    gap[inside] = seen[after[inside]] - seen[after[inside] - 1]
    return even, filled.reshape(len(even), *xyz.shape[1:]), gap <= LONGEST_GAP


def joint_weights(pose: np.ndarray, score: np.ndarray) -> np.ndarray:
    """pose: (N, V, 3) in body sizes, score: (V,) -> (V,) with sum 1: trust, shared among joints that lie together."""
    sample = pose[:: max(1, len(pose) // 200), :, :2]
    apart = np.median(np.linalg.norm(sample[:, :, None] - sample[:, None], axis=-1), axis=0)
    trust = np.clip(score, 0.05, 1.0) ** 2  # squared: a joint out of the picture is guessed, and its guesses jump
    weight = trust / (apart < NEAR).sum(1)
    return weight / weight.sum()


def without_glitches(x: np.ndarray) -> np.ndarray:
    """(N, D) -> (N, D): samples far from the running median (a jump, left and right exchanged) are interpolated
    over."""
    away = np.linalg.norm(x - median_filter(x, size=(5, 1), mode="nearest"), axis=1)
    bad = away > np.maximum(5 * np.median(away), 0.05)
    if not bad.any() or bad.all():
        return x
    index = np.arange(len(x))
    return np.stack([np.interp(index, index[~bad], column[~bad]) for column in x.T], axis=1)


def motion(
    xyz: np.ndarray, score: np.ndarray, time: np.ndarray, left_right: Pairs, *, in_itself: bool = False
) -> Motion:
    """Return the motion of a pose.

    xyz: (T, V, 3) in any unit, NaN where undetected; score: (T, V); time: (T,) s. in_itself: without what the whole
    body does, which the camera may do as well.
    """
    even, pose, known = resample(xyz, time)
    n, v, _ = pose.shape
    seen = pose[known]
    size = np.median(np.linalg.norm(np.ptp(seen[..., :2], axis=1), axis=1)) + 1e-9
    pose = (pose - np.median(seen, axis=(0, 1))) / size
    weight = joint_weights(pose[known], np.nan_to_num(score).mean(0))
    if in_itself:
        pose = pose - np.einsum("nvc,v->nc", pose, weight)[:, None]
    pose = pose * np.sqrt(weight)[:, None] * [1.0, 1.0, DEPTH]
    pose = without_glitches(pose.reshape(n, -1))
    pose = gaussian_filter1d(pose, SMOOTHING * SAMPLE_RATE, axis=0, mode="nearest").reshape(n, v, 3)
    twin = np.arange(v)
    for left, right in left_right:
        twin[[left, right]] = right, left
    swapped = pose[:, twin]
    return Motion(even, known, (pose, swapped * [-1.0, 1.0, 1.0], swapped), share=np.sqrt(weight))


def principal_axes(velocity: np.ndarray, k: int) -> np.ndarray:
    """(N, D) -> (D, k). Fast samples count alike, so that one big move (lying down) does not take an axis."""
    speed = np.linalg.norm(velocity, axis=1)
    even = velocity / np.maximum(speed, np.percentile(speed, 70) + 1e-12)[:, None]
    return np.linalg.eigh(even.T @ even)[1][:, ::-1][:, :k]


def resting_postures(path: np.ndarray) -> np.ndarray:
    """(N, K) -> (POSTURES, K): k-means centres, seeded by the farthest sample, so repeatable."""
    sample = path[:: max(1, len(path) // 600)]
    centres = np.median(sample, axis=0)[None]
    while len(centres) < POSTURES:
        away = ((sample[:, None] - centres) ** 2).sum(-1).min(1)
        centres = np.vstack([centres, sample[np.argmax(away)]])
    for _ in range(10):
        nearest = ((sample[:, None] - centres) ** 2).sum(-1).argmin(1)
        centres = np.stack([sample[nearest == i].mean(0) if (nearest == i).any() else c for i, c in enumerate(centres)])
    return centres


@dataclass(frozen=True)
class View:
    """A motion seen along some axes only, in `AXES` principal axes.

    paths: (N, K) each, the twins. way: (N,) length travelled by the first, noise taken off. dark: (N+1,) unknown
    samples before each. signals: (S, N) candidates.
    """

    paths: tuple[np.ndarray, ...]
    way: np.ndarray
    dark: np.ndarray
    signals: np.ndarray


def view(motion: Motion, axes: tuple[int, ...]) -> View:
    """axes: 0 x, 1 y, 2 z. In poses scaled per axis y alone is often steadier than all three."""
    known = motion.known
    flat = [twin[..., axes].reshape(len(known), -1) for twin in motion.twins]
    turn = principal_axes(np.concatenate([np.gradient(x, axis=0)[known] for x in flat]), AXES)
    paths = tuple(x @ turn for x in flat)
    speed = np.linalg.norm(np.gradient(paths[0], axis=0), axis=1)
    speed = np.where(known, np.maximum(speed - np.percentile(speed[known], 10), 0), 0)
    way = np.cumsum(speed + 0.05 * speed.mean() + 1e-9)
    dark = np.concatenate([[0], np.cumsum(~known)])
    return View(paths, way - way[0], dark, candidate_signals(flat, paths[0], known))


def candidate_signals(flat: list[np.ndarray], path: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return (S, N) main axes of the body and the distances from the postures it rests in.

    Where there are mirrored twins, also what left and right do alike and what they do in turn, that also folded, so
    that both sides rise.
    """
    seen, *mirrored = flat
    signals = []
    for block in (seen, *((seen + twin) / 2 for twin in mirrored)):
        signals.extend((block @ principal_axes(np.gradient(block, axis=0)[known], 3)).T)
    for twin in mirrored:
        block = (seen - twin) / 2
        turns = block @ principal_axes(np.gradient(block, axis=0)[known], 3)
        signals.extend(turns.T)
        signals.extend(np.abs(turns - np.median(turns[known], axis=0)).T)
    signals.extend(np.linalg.norm(path - posture, axis=1) for posture in resting_postures(path[known]))
    return np.stack(signals)


def visible_share(pose: Pose, person: int) -> float:
    """Return the share of the frames that show a person (by index on axis M), from the first such frame to the last."""
    joints = np.isfinite(pose.xyz[:, person, :, :2]).all(-1) & (pose.score[:, person] > 0)
    visible = np.flatnonzero(joints.any(1))
    return len(visible) / (visible[-1] - visible[0] + 1) if len(visible) else 0.0
