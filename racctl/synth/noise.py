"""What BlazePose makes of a body: a model of its errors, fitted to what it did on rendered clips.

The numbers in `BLAZEPOSE_ERRORS` come from `tests/benchmarks/synth_noise.py`, which compares BlazePose's landmarks
with the truth of rendered clips. Lengths are in torso lengths, so that they hold at any size of the person in the
picture.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.signal import lfilter

from racctl import __version__
from racctl.contracts import Pose, step, with_step
from racctl.skeleton.topology import BLAZEPOSE33

ERRORS = ("blazepose", "varied", "none")
LANDMARK_GROUPS = {
    "face": ("nose", "eye", "ear", "mouth"),
    "shoulder": ("shoulder",),
    "elbow": ("elbow",),
    "hand": ("wrist", "pinky", "index", "thumb"),
    "hip": ("hip",),
    "knee": ("knee",),
    "foot": ("ankle", "heel", "foot"),
}
DOUBLE = 0.54  # time of each of two filters in a row that forget as much in 0.3 s as one of time 1, near 0.2 s
LOWER = ("hip", "knee", "foot")  # the groups behind the trunk of somebody who lies with the head towards the camera
NOBODY_SHARE = 0.4  # share of idle clips
ALWAYS = 1e9  # spells per minute
VISIBLE = 0.5  # scores above this are of landmarks that can be seen


@dataclass(frozen=True)
class Errors:
    """Sizes of an estimator's errors.

    seen, hidden: group -> standard deviation of the slow part of the error of visible and hidden landmarks, torso
        lengths.
    steady: share of its variance that stays for the whole clip;
    linger: s over which the rest is forgotten.
    jitter: of the part that is new in every frame.
    lag: s that landmarks trail behind.
    swap, swap_time: left/right swaps per minute and their mean length, s; drop,
    drop_time: the same for frames without a person.
    depth: error of z;
    depth_scale: factor on z (BlazePose exaggerates it in the picture),
    world_depth: on that of the world coordinates. score_seen,
    score_hidden: mean and standard deviation of the visibility that it reports.
    end_on: where the trunk points towards the camera, so that less than the first share of its length is seen, hips and
        legs are guessed: their errors grow by the second number times what is missing to that share.

    Fitted apart from the rest, to 22 clips of push-ups, planks and mountain climbers from the front; other landmarks
    were as good as ever, and left and right were not confused more often.

    strange, strange_time: spells per minute in which something else is taken for the person, and their mean length, s.
    scored: False where the scores are not kept, as in pose files without any; all are 1 then.
    """

    seen: dict[str, float]
    hidden: dict[str, float]
    steady: float
    jitter: float
    linger: float
    lag: float
    swap: float
    swap_time: float
    drop: float
    drop_time: float
    depth: float
    depth_scale: float
    world_depth: float
    score_seen: tuple[float, float]
    score_hidden: tuple[float, float]
    end_on: tuple[float, float] = (0.38, 17.5)
    strange: float = 0.0
    strange_time: float = 0.5
    scored: bool = True


BLAZEPOSE_ERRORS = Errors(  # from the benchmark's 100 clips, 14 minutes
    seen={"face": 0.064, "shoulder": 0.047, "elbow": 0.06, "hand": 0.089, "hip": 0.053, "knee": 0.061, "foot": 0.061},
    hidden={
        "face": 0.098,
        "shoulder": 0.099,
        "elbow": 0.141,
        "hand": 0.176,
        "hip": 0.077,
        "knee": 0.096,
        "foot": 0.098,
    },
    steady=0.67,
    jitter=0.0029,
    linger=0.18,
    lag=0.01,
    swap=5.25,
    swap_time=0.11,
    drop=5.69,
    drop_time=0.09,
    depth=0.67,
    depth_scale=2.71,
    world_depth=0.7,
    score_seen=(0.911, 0.177),
    score_hidden=(0.749, 0.345),
)


def varied(rng: np.random.Generator) -> Errors:
    """Return errors from far fewer to far more than `BLAZEPOSE_ERRORS`'s, to train on.

    Other estimators, videos from the street.
    """
    size, jitter, often = np.exp(rng.uniform(np.log([0.3, 0.3, 0.3]), np.log([2.2, 8.0, 4.0])))
    wild, gone = rng.random(2) < 0.3
    base = BLAZEPOSE_ERRORS
    return replace(
        base,
        seen={name: size * value for name, value in base.seen.items()},
        hidden={name: size * value for name, value in base.hidden.items()},
        steady=rng.uniform(0.3, 0.9),
        linger=rng.uniform(0.05, 0.4),
        jitter=jitter * base.jitter,
        depth=base.depth * rng.uniform(0.1, 1.0),
        depth_scale=rng.uniform(0.7, 3.0),
        swap=often * base.swap,
        swap_time=rng.uniform(0.05, 0.4),
        drop=often * base.drop,
        drop_time=rng.uniform(0.5, 3.0) if gone else base.drop_time,
        strange=rng.uniform(1, 12) if wild else 0.0,
        strange_time=rng.uniform(0.1, 1.5),
        scored=rng.random() < 0.5,
    )


def with_errors(pose: Pose, errors: str, rng: np.random.Generator, idle: bool = False) -> Pose:
    """Return the truth `pose` as it is ("none"), or with the errors of `BLAZEPOSE_ERRORS` or those that `varied` draws.

    idle: a clip without an exercise, in some of which "varied" finds nobody at all, as before and after many sets.
    """
    if errors == "none":
        return pose
    drawn = varied(rng) if errors == "varied" else BLAZEPOSE_ERRORS
    if idle and errors == "varied" and rng.random() < NOBODY_SHARE:
        drawn = replace(drawn, drop=ALWAYS)
    return estimate(pose, rng, drawn)


def group_of(joint: str) -> str:
    """Return the group of `Errors` that a landmark belongs to; the index finger's is the hand, the toe's the foot."""
    if "foot" in joint:
        return "foot"
    return next(name for name, parts in LANDMARK_GROUPS.items() if any(part in joint for part in parts))


def _world(pose: Pose) -> np.ndarray:
    """Return the (T, 33, 3) metres that every true pose has."""
    assert pose.world is not None
    return pose.world[:, 0]


def torso(pose: Pose) -> np.ndarray:
    """Return (T,) pixels that the trunk would span seen from the side.

    Its metres times the pixels of a metre at the hips.

    The pixels of a metre are those of the body's bones on average, which no single foreshortened bone spoils.
    """
    at = BLAZEPOSE33.index
    world = _world(pose)
    xyz = pose.xyz[:, 0]
    trunk = np.zeros_like(world[:, 0])
    for side in ("left", "right"):
        trunk += (world[:, at(f"{side}_shoulder")] - world[:, at(f"{side}_hip")]) / 2
    first, second = np.array([[at(a), at(b)] for a, b in BLAZEPOSE33.edges]).T
    flat = np.linalg.norm((xyz[:, first] - xyz[:, second])[..., :2], axis=-1).sum(1)
    solid = np.linalg.norm((world[:, first] - world[:, second])[..., :2], axis=-1).sum(1)
    return np.linalg.norm(trunk, axis=-1) * flat / np.maximum(solid, 1e-9)


def trunk_seen(pose: Pose) -> np.ndarray:
    """Return (T,) share of the trunk's length that the picture shows; above 1 where it is nearer than the rest."""
    xy, at = pose.xyz[:, 0, :, :2].astype(np.float64), BLAZEPOSE33.index
    ends = [(xy[:, at(f"left_{joint}")] + xy[:, at(f"right_{joint}")]) / 2 for joint in ("shoulder", "hip")]
    return np.linalg.norm(ends[0] - ends[1], axis=-1) / np.maximum(torso(pose), 1e-9)


def _spread(pose: Pose, visible: np.ndarray, errors: Errors) -> np.ndarray:
    """Return (T, 33) standard deviation of the slow part of the error in the picture, torso lengths."""
    groups = [group_of(joint) for joint in BLAZEPOSE33.joints]
    spread = np.where(visible, [errors.seen[g] for g in groups], [errors.hidden[g] for g in groups])
    share, gain = errors.end_on
    more = 1 + gain * np.clip(share - trunk_seen(pose), 0, None)[:, None]
    return spread * np.where([g in LOWER for g in groups], more, 1.0)


def estimate(pose: Pose, rng: np.random.Generator, errors: Errors = BLAZEPOSE_ERRORS) -> Pose:
    """Return the landmarks that BlazePose might find where `pose` (blazepose33, exact, with world) is the truth."""
    frames, count = pose.score.shape[0], len(BLAZEPOSE33)
    beat = float(np.median(np.diff(pose.time))) if frames > 1 else 1 / 30
    visible = pose.score[:, 0] > VISIBLE
    spread = _spread(pose, visible, errors)
    size = torso(pose)[:, None, None]
    slow = np.sqrt(errors.steady) * rng.standard_normal((1, count, 3))
    slow = slow + np.sqrt(1 - errors.steady) * _wander(rng, (frames, count, 3), errors.linger, beat)
    quick = rng.standard_normal((frames, count, 3)) * errors.jitter
    offset = (slow * spread[..., None] / np.sqrt(2) + quick) * size  # the spread is of the distance in the picture
    offset[..., 2] = (_wander(rng, (frames, count, 1), errors.linger, beat)[..., 0] * errors.depth) * size[..., 0]
    swapped = _spells(rng, frames, errors.swap, errors.swap_time, beat)
    missing = _spells(rng, frames, errors.drop, errors.drop_time, beat)
    xyz = _late(pose.xyz[:, 0].astype(np.float64), errors.lag, beat)
    xyz[..., 2] *= errors.depth_scale
    world = _late(_world(pose).astype(np.float64), errors.lag, beat) * [1, 1, errors.world_depth]
    world = world + offset / size * [1, 1, errors.world_depth / errors.depth_scale] * _trunk_metres(pose)
    xyz = xyz + offset
    flip = BLAZEPOSE33.flip
    xyz[swapped], world[swapped] = xyz[swapped][:, flip], world[swapped][:, flip]
    strange = _spells(rng, frames, errors.strange, errors.strange_time, beat) if errors.strange else np.zeros(0, bool)
    for run in _runs(strange):
        xyz[run] = _someone_else(rng, xyz[run])
    mean, deviation = (np.where(visible, s, h) for s, h in zip(errors.score_seen, errors.score_hidden, strict=True))
    score = np.clip(mean + deviation * _wander(rng, (frames, count, 1), errors.linger, beat)[..., 0], 0.01, 1)
    score = score if errors.scored else np.ones_like(score)
    xyz[missing], world[missing], score[missing] = np.nan, np.nan, 0
    meta = with_step({**pose.meta, "truth": False}, step("synth-noise", __version__, like="blazepose"))
    return Pose(
        xyz[:, None].astype(np.float32),
        score[:, None].astype(np.float32),
        pose.frame,
        pose.time,
        pose.track,
        meta,
        world[:, None].astype(np.float32),
    ).check(pose.clip)


def _trunk_metres(pose: Pose) -> float:
    at = BLAZEPOSE33.index
    world = _world(pose)
    return float(np.median(np.linalg.norm(world[:, at("left_shoulder")] - world[:, at("left_hip")], axis=-1)))


def _wander(rng: np.random.Generator, shape: tuple[int, ...], linger: float, beat: float) -> np.ndarray:
    """Return noise of unit variance over axis 0 that forgets itself over `linger` seconds, and smoothly.

    BlazePose filters its landmarks, so that they drift and do not tremble.
    """
    keep = np.exp(-beat / (DOUBLE * linger))
    before = int(np.ceil(6 * DOUBLE * linger / beat))  # frames until it no longer matters how it began
    steps = rng.standard_normal((before + shape[0], *shape[1:]))
    gain = np.sqrt((1 - keep**2) ** 3 / (1 + keep**2))
    return lfilter([gain], [1.0, -2 * keep, keep**2], steps, axis=0)[before:]


def _spells(rng: np.random.Generator, frames: int, per_minute: float, seconds: float, beat: float) -> np.ndarray:
    """Return (T,) bool: spells that begin at random."""
    out = np.zeros(frames, bool)
    for start in np.flatnonzero(rng.random(frames) < per_minute / 60 * beat):
        out[start : start + max(1, round(rng.exponential(seconds) / beat))] = True
    return out


def _runs(spells: np.ndarray) -> list[slice]:
    """Return the spells of a (T,) bool."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], spells, [False]])))
    return [slice(a, b) for a, b in edges.reshape(-1, 2)]


def _someone_else(rng: np.random.Generator, xyz: np.ndarray) -> np.ndarray:
    """Return (t, 33, 3) of the person as another figure nearby that hardly moves.

    Smaller or larger, turned and bent.
    """
    first = xyz[:1]
    middle, size = first[..., :2].mean(1, keepdims=True), np.ptp(first[..., :2])
    turn, scale = rng.uniform(-np.pi, np.pi), np.exp(rng.uniform(np.log(0.25), np.log(1.2)))
    matrix = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    away = rng.uniform(-1, 1, 2) * size
    bent = rng.standard_normal((1, xyz.shape[1], 2)) * 0.08 * size
    still = np.repeat(first, len(xyz), 0)
    still[..., :2] = (first[..., :2] - middle + bent) @ matrix.T + middle + away
    return still + 0.2 * (xyz - first)


def _late(values: np.ndarray, lag: float, beat: float) -> np.ndarray:
    """Return values (T, ...) as they were `lag` seconds before."""
    share = lag / beat
    whole = int(share)
    rows = np.arange(len(values))
    first, second = np.maximum(rows - whole, 0), np.maximum(rows - whole - 1, 0)
    return values[first] * (1 - (share - whole)) + values[second] * (share - whole)
