"""From a list of sets and pauses to the angles of every frame, with the repetitions that were made on the way."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from racctl.contracts import BACKGROUND
from racctl.synth.channels import CHANNELS, INDEX, LIMB, MAX_ANGLES, MIN_ANGLES, pose_vector, swap_sides
from racctl.synth.ground import HELD_AT, Track
from racctl.synth.movement import Movement
from racctl.synth.movements import movement_named
from racctl.synth.styles import key_poses, sum_of

# How one gets from standing to another stance, and back in the other order.
DOWN = {
    "prone": [{"pitch": 35, "hip": 110, "knee": 130, "ankle": 30, "shoulder": 70, "shoulder_plane": 10, "neck": -20}],
    "supine": [
        {"pitch": 25, "hip": 110, "knee": 135, "ankle": 32, "shoulder": 50, "shoulder_plane": 20},
        {"pitch": -25, "hip": 85, "knee": 105, "ankle": 0, "shoulder": 40, "shoulder_plane": 120},
    ],
    "bench": [{"pitch": 10, "hip": 90, "knee": 95, "ankle": 5}],
}
TRANSITION = 1.0  # s for each leg of the way
SWAY = 1.1  # degrees of slow wander in every joint
SWAY_TIME = 0.9  # s over which it wanders
UNSWAYED_CHANNELS = ("pitch", "roll", "yaw", "lift", "forward", "sideways")  # what does not wander


@dataclass(frozen=True)
class Repetition:
    """One pass through a movement's steps.

    pace: factor on its seconds.
    depth: share of the way to the key poses.
    kind: "full", "partial" (shallower, still one) or "aborted" (turned back early, not counted).
    pause: s after it.
    """

    pace: float = 1.0
    depth: float = 1.0
    kind: str = "full"
    pause: float = 0.0


@dataclass(frozen=True)
class Bout:
    """A set of one movement, or a time of an idle one.

    asymmetry: the left side moves 1 + a, the right 1 - a of its way.
    mirrored: begins with the other side.
    ease: below 1 the way out is hurried, above 1 the way back. tempo (mean, over the written one), drift (of the
        logarithm in three repetitions), jitter (its standard deviation) and
    fatigue (slowing in two repetitions): what the paces were drawn with, for the record.

    What is this person's own (see `styles`): arms, how they are held ("" as written); style, channel -> degrees in
    every pose; reach, channel -> factor on the way to the key poses; lean, degrees of the trunk in deep key poses.
    """

    movement: str
    repetitions: tuple[Repetition, ...]
    asymmetry: float = 0.0
    mirrored: bool = False
    ease: float = 1.0
    tempo: float = 1.0
    drift: float = 0.0
    jitter: float = 0.0
    fatigue: float = 0.0
    arms: str = ""
    style: dict[str, float] = field(default_factory=dict)
    reach: dict[str, float] = field(default_factory=dict)
    lean: float = 0.0


@dataclass
class _Leg:
    """One stretch of time between two poses."""

    seconds: float
    goal: np.ndarray
    touch: tuple[str, ...]
    movement: Movement | None
    stance: str
    level: tuple[str, str] | None
    repetition: int = -1
    ease: float = 1.0
    props: tuple[str, ...] = ()


@dataclass(frozen=True)
class Timeline:
    """The motion of a clip, frame by frame.

    time: (T,) s.
    track: see `ground`.
    reps: rows (start, stop in seconds, label, kind).
    label: (T,) class per frame.
    movement: (T,) name per frame, "" in transitions.
    """

    time: np.ndarray
    track: Track
    reps: list[tuple[float, float, str, str]]
    label: list[str]
    movement: list[str]
    props: list[tuple[str, ...]] = field(default_factory=list)


def timeline(bouts: list[Bout], fps: float, rng: np.random.Generator, seconds: float | None = None) -> Timeline:
    """Play `bouts` one after the other, with the way from one stance to the next in between, sampled at `fps`.

    seconds: cut there; None plays to the end.

    The wander of the joints is drawn from `rng`.
    """
    legs, first, counted = _legs(bouts)
    edges = np.concatenate([[0.0], np.cumsum([leg.seconds for leg in legs])])
    length = edges[-1] if seconds is None else min(seconds, edges[-1])
    time = np.arange(max(2, int(np.ceil(length * fps - 1e-9)))) / fps
    at = np.minimum(np.searchsorted(edges, time, "right") - 1, len(legs) - 1)
    poses = np.stack([first, *(leg.goal for leg in legs)])
    span = np.diff(edges)[at]
    share = np.clip((time - edges[at]) / np.maximum(span, 1e-9), 0, 1) ** np.array([leg.ease for leg in legs])[at]
    share = share**3 * (10 - 15 * share + 6 * share**2)  # least jerk
    angles = poses[at] + share[:, None] * (poses[at + 1] - poses[at])
    angles = np.clip(angles + _sway(len(time), fps, rng), MIN_ANGLES, MAX_ANGLES)
    label = [legs[k].movement.kind if legs[k].movement else BACKGROUND for k in at]
    names = [legs[k].movement.name if legs[k].movement else "" for k in at]
    props = [legs[k].props for k in at]
    reps = _repetitions(legs, edges, counted, length)
    return Timeline(time, _track(legs, at, share, angles, fps), reps, label, names, props)


def class_seconds(bouts: list[Bout], seconds: float) -> dict[str, float]:
    """Return the seconds of each class when `bouts` are played and cut at `seconds`."""
    spent: dict[str, float] = {}
    left = seconds
    for leg in _legs(bouts)[0] if bouts else ():
        kind = leg.movement.kind if leg.movement else BACKGROUND
        spent[kind] = spent.get(kind, 0.0) + min(leg.seconds, left)
        left -= min(leg.seconds, left)
    return spent


def _legs(bouts: list[Bout]) -> tuple[list[_Leg], np.ndarray, list[tuple[str, str]]]:
    """Return the legs, the pose before the first, and for each repetition its label and kind."""
    legs: list[_Leg] = []
    counted: list[tuple[str, str]] = []
    first: np.ndarray | None = None
    before: Movement | None = None
    for bout in bouts:
        movement = movement_named(bout.movement)
        keys = key_poses(movement, bout.arms, bout.reach, bout.lean)
        start = np.clip(
            (swap_sides(keys[0]) if bout.mirrored else keys[0]) + sum_of(bout.style), MIN_ANGLES, MAX_ANGLES
        )
        if first is None:
            first = start
        elif before is not None:
            legs += _way(before, movement, start)
        for number, repetition in enumerate(bout.repetitions):
            flipped = bout.mirrored != (movement.alternating and number % 2 == 1)
            _play(legs, movement, bout, repetition, keys, flipped, len(counted))
            counted.append((movement.kind, repetition.kind if movement.repeats else "held"))
        before = movement
    assert first is not None
    return legs, first, counted


def _play(
    legs: list[_Leg],
    movement: Movement,
    bout: Bout,
    repetition: Repetition,
    keys: np.ndarray,
    flipped: bool,
    number: int,
) -> None:
    gain = np.full(len(CHANNELS), repetition.depth)
    for name in LIMB:
        gain[INDEX[f"left_{name}"]] *= 1 + bout.asymmetry
        gain[INDEX[f"right_{name}"]] *= 1 - bout.asymmetry
    for k, (step, key) in enumerate(zip(movement.steps, keys[1:], strict=True)):
        goal = keys[0] + gain * (key - keys[0])
        touch = movement.touch if step.touch is None else step.touch
        if flipped:
            goal, touch = swap_sides(goal), tuple(_other_side(name) for name in touch)
        goal = np.clip(
            goal + sum_of(bout.style), MIN_ANGLES, MAX_ANGLES
        )  # the person's own sides, which do not change places
        ease = bout.ease if k < len(movement.steps) - 1 else 1 / bout.ease
        shorter = repetition.pace * (max(repetition.depth, 0.4) ** 0.5 if repetition.depth < 1 else 1)
        props = movement.props if step.props is None else step.props
        leg = _Leg(step.seconds * shorter, goal, touch, movement, movement.stance, movement.level, number, ease, props)
        legs.append(leg)
        if step.hold:
            legs.append(replace(leg, seconds=step.hold * repetition.pace, ease=1.0))
    if repetition.pause:
        legs.append(replace(legs[-1], seconds=repetition.pause, repetition=-1, ease=1.0))


def _other_side(name: str) -> str:
    side = name.split("_")[0]
    return name.replace(side, {"left": "right", "right": "left"}.get(side, side), 1)


def _way(before: Movement, after: Movement, goal: np.ndarray) -> list[_Leg]:
    """Return the legs from one movement's stance to the start of the next."""
    stops: list[tuple[np.ndarray, str]] = []
    if before.stance != after.stance:
        stops += [(pose_vector(angles), "standing") for angles in reversed(DOWN.get(before.stance, []))]
        if before.stance != "standing" and after.stance != "standing":
            stops.append((pose_vector({}), "standing"))
        stops += [(pose_vector(angles), "standing") for angles in DOWN.get(after.stance, [])]
    stops.append((goal, after.stance))
    legs = []
    for pose, stance in stops:
        arrived = stance == after.stance and pose is goal
        touch = after.touch if arrived and before.stance == after.stance else ("feet",)
        legs.append(_Leg(TRANSITION, pose, touch, None, stance, after.level if arrived else None))
    return legs


def _sway(frames: int, fps: float, rng: np.random.Generator) -> np.ndarray:
    """Return (T, C) degrees: slow wander, drawn at fixed times so that it does not depend on the frame rate."""
    length = frames / fps
    knots = rng.standard_normal((int(length / SWAY_TIME) + 4, len(CHANNELS))) * SWAY
    knots[:, [INDEX[name] for name in UNSWAYED_CHANNELS]] = 0
    at = np.arange(frames) / fps / SWAY_TIME
    low = at.astype(int)
    share = (at - low)[:, None]
    share = share**2 * (3 - 2 * share)
    return knots[low] * (1 - share) + knots[low + 1] * share


def _track(legs: list[_Leg], at: np.ndarray, share: np.ndarray, angles: np.ndarray, fps: float) -> Track:
    touches = list(dict.fromkeys(leg.touch for leg in legs))
    touch = np.array([touches.index(leg.touch) for leg in legs])[at]
    stance = {}
    for name in (*HELD_AT, "bench", "supine"):
        after = np.array([leg.stance == name for leg in legs], float)
        before = np.concatenate([after[:1], after[:-1]])
        if after.any():
            stance[name] = before[at] + share * (after - before)[at]
    levels = list(dict.fromkeys(leg.level for leg in legs if leg.level))
    level = np.array([levels.index(leg.level) if leg.level else -1 for leg in legs])
    tilted = (level >= 0).astype(float)
    before = np.concatenate([tilted[:1], tilted[:-1]])
    tilt = before[at] + share * (tilted - before)[at]
    following = np.where(level < 0, np.concatenate([level[:1], level[:-1]]), level)
    return Track(angles, touch, touches, stance, following[at], levels, tilt, fps)


def _repetitions(
    legs: list[_Leg], edges: np.ndarray, counted: list[tuple[str, str]], end: float
) -> list[tuple[float, float, str, str]]:
    """Return the repetitions that ended before the clip did."""
    rows = []
    for number, (label, kind) in enumerate(counted):
        leg_numbers = [k for k, leg in enumerate(legs) if leg.repetition == number]
        start, stop = float(edges[leg_numbers[0]]), float(edges[leg_numbers[-1] + 1])
        if stop <= end + 1e-9:
            rows.append((start, stop, label, kind))
    return rows
