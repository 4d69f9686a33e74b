"""Drawn movements that nobody does: for counters to learn what a repetition is, not which exercises there are."""

from __future__ import annotations

import numpy as np

from racctl.contracts import BACKGROUND
from racctl.synth.channels import AT_EASE, BODY, LIMITS, SIDES, Angles
from racctl.synth.movement import INVENTED, Movement, Step

LYING_START = {
    "pitch": -90,
    "hip": 20,
    "knee": 25,
    "hip_turn": 0,
    "shoulder": 30,
    "shoulder_plane": 80,
    "grip": 5,
    "neck": 8,
}
ON_HANDS = {
    "pitch": 74,
    "hip": 0,
    "hip_turn": 0,
    "knee": 4,
    "ankle": 14,
    "toes": 60,
    "neck": -18,
    "grip": 5,
    "pronation": 75,
    "wrist": -80,
    "shoulder": 78,
    "shoulder_plane": 20,
    "elbow": 12,
}
# Parts that may move, and the channels of each with the range, degrees, that a key pose draws from.
ARM_RANGES = {"shoulder": (0, 170), "shoulder_plane": (-10, 110), "shoulder_turn": (-40, 60), "elbow": (0, 140)}
LEG_RANGES = {"hip": (0, 100), "knee": (0, 110), "hip_side": (0, 40)}
PART_RANGES = {
    "standing": {
        "arms": ARM_RANGES,
        "left arm": ARM_RANGES,
        "right arm": ARM_RANGES,
        "left leg": LEG_RANGES,
        "right leg": LEG_RANGES,
        "squat": {"hip": (0, 105), "knee": (0, 115)},
        "hinge": {"pitch": (0, 75), "hip": (0, 95), "knee": (0, 40)},
        "trunk": {"waist": (-10, 35), "chest": (-10, 25), "waist_side": (-25, 25), "chest_turn": (-35, 35)},
        "turn": {"yaw": (-70, 70)},
        "jump": {"lift": (0, 30)},
        "step": {"sideways": (-40, 40), "forward": (-40, 40)},
        "heels": {"ankle": (-35, 0), "lift": (0, 10)},
    },
    "supine": {
        "arms": ARM_RANGES,
        "left arm": ARM_RANGES,
        "right arm": ARM_RANGES,
        "left leg": LEG_RANGES,
        "right leg": LEG_RANGES,
        "legs": LEG_RANGES,
        "trunk": {"waist": (0, 40), "chest": (0, 30), "neck": (0, 30)},
    },
    "prone": {
        "arms": {"shoulder": (30, 90), "shoulder_plane": (0, 80), "elbow": (0, 105)},
        "hips": {"hip": (-5, 70), "pitch": (70, 105)},
        "left leg": {"hip": (0, 110), "knee": (0, 120)},
        "right leg": {"hip": (0, 110), "knee": (0, 120)},
    },
}
STARTS: dict[str, tuple[Angles, float]] = {
    "standing": (AT_EASE, 0.7),
    "supine": (LYING_START, 0.18),
    "prone": (ON_HANDS, 0.12),
}  # and their shares
TOUCH = {"standing": ("feet",), "supine": ("body",), "prone": ("toes", "hands")}
MIN_MOVEMENT = 30.0  # degrees (for the whole body, centimetres) that something moves
PERIOD = (0.7, 4.5)  # s for a repetition, the logarithm drawn evenly


def invent(name: str, rng: np.random.Generator, counted: bool = True) -> Movement:
    """Return a movement of 2 to 5 steps of one to three parts of the body, the last one back to where it began.

    counted: False for a gesture, which is standing and background.
    """
    stances = list(STARTS)
    stance = (
        stances[int(rng.choice(len(stances), p=[share for _, share in STARTS.values()]))] if counted else "standing"
    )
    parts = list(PART_RANGES[stance])
    moving = [parts[k] for k in rng.permutation(len(parts))[: int(rng.choice([1, 2, 3], p=[0.35, 0.4, 0.25]))]]
    start: dict[str, float] = dict(STARTS[stance][0])
    if rng.random() < 0.5:
        start |= _drawn(rng, stance, "arms")
    keys = _key_poses(rng, stance, moving, start)
    shares = rng.dirichlet(np.full(len(keys) + 1, 4.0)) * np.exp(rng.uniform(*np.log(PERIOD)))
    holds = np.where(rng.random(len(keys) + 1) < 0.3, rng.uniform(0, 0.4, len(keys) + 1), 0.0)
    steps = [
        Step(round(max(0.12, float(seconds)), 3), key, round(float(hold * seconds), 3), _touch(stance, key, start))
        for seconds, hold, key in zip(shares, holds, [*keys, {}], strict=True)
    ]
    level = ("hands", "toes") if stance == "prone" else None
    return Movement(
        name,
        start,
        tuple(steps),
        counts="back where it began" if counted else "nothing is counted",
        touch=TOUCH[stance],
        stance=stance,
        level=level,
        props=() if stance == "standing" else ("mat",),
        repeats=counted,
        label=INVENTED if counted else BACKGROUND,
    )


def _key_poses(rng: np.random.Generator, stance: str, moving: list[str], start: Angles) -> list[dict[str, float]]:
    """Return one to four key poses, of which one at least is `MIN_MOVEMENT` from the start."""
    while True:
        number = int(rng.choice([1, 2, 3, 4], p=[0.5, 0.25, 0.15, 0.1]))
        keys = []
        for _ in range(number):
            key: dict[str, float] = {}
            for part in moving:
                if number == 1 or rng.random() < 0.75:
                    key |= _drawn(rng, stance, part)
            keys.append(key)
        if all(keys) and any(
            abs(angle - _base(start, channel)) >= MIN_MOVEMENT for k in keys for channel, angle in k.items()
        ):
            return keys


def _base(start: Angles, channel: str) -> float:
    """Return the angle in the start pose, which may be written for both sides."""
    return start.get(channel, start.get(channel.removeprefix("left_").removeprefix("right_"), 0.0))


def _drawn(rng: np.random.Generator, stance: str, part: str) -> dict[str, float]:
    """Return angles for a part of the body, within the joints' limits."""
    side = next((side for side in SIDES if part.startswith(f"{side} ")), "")
    angles = {}
    for channel, (low, high) in PART_RANGES[stance][part].items():
        value = round(float(rng.uniform(low, high)), 1)
        for name in [channel] if channel in BODY else [f"{moved}_{channel}" for moved in ([side] if side else SIDES)]:
            angles[name] = float(np.clip(value, *LIMITS[name]))
    return angles


def _touch(stance: str, key: Angles, start: Angles) -> tuple[str, ...] | None:
    """Return what stays on the floor when one leg is lifted; None for what the movement touches."""
    lifted = [side for side in SIDES if key.get(f"{side}_hip", 0) - _base(start, f"{side}_hip") > 15]
    if len(lifted) != 1 or stance == "supine":
        return None
    standing_side = SIDES[1 - SIDES.index(lifted[0])]
    return (f"{standing_side}_foot",) if stance == "standing" else ("hands", f"{standing_side}_toes")
