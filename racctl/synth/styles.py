"""How people differ in one movement: where they hold arms that are free, how they stand, how far they go.

A style of the arms replaces what a movement with `arms=True` is written with. What else is drawn are small angles that
are added to every pose, factors on the way to the key poses, and how far the trunk leans.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from racctl.errors import DataError
from racctl.synth.channels import BODY, CHANNELS, INDEX, SIDES, Angles, pose_vector
from racctl.synth.movement import Movement, sides

ARM_CHANNELS = ("shoulder", "shoulder_plane", "shoulder_turn", "shrug", "elbow", "pronation", "wrist", "grip")
AS_WRITTEN_SHARE = 0.35  # share of the bouts of a free-armed movement
DEEP_MOVEMENTS = ("squat", "sumo_squat", "jump_squat", "lunge", "reverse_lunge", "side_lunge", "calf_raise")
MAX_LEVELLED_LEAN = 60.0  # degrees of the trunk's lean that arms which point somewhere in the room make up for, at most


@dataclass(frozen=True)
class Arms:
    """How arms that are free are held.

    start: angles of the arms at the start of a repetition, over hanging at ease.
    keys: at its key poses, over `start`.
    fits: the movements that it suits, all of its stance where empty.
    level: held in a direction of the room, whatever the trunk leans.
    """

    start: Angles
    keys: Angles
    fits: tuple[str, ...] = ()
    level: bool = False


_AHEAD = {"shoulder": 84, "shoulder_plane": 7, "elbow": 8, "pronation": 60, "shoulder_turn": 0}
_HIPS = {"shoulder": 43, "shoulder_plane": 112, "shoulder_turn": -58, "elbow": 92, "pronation": 50, "wrist": 25}
_CHEST = {"shoulder": 24, "shoulder_plane": 14, "shoulder_turn": -36, "elbow": 112, "pronation": -15, "grip": 70}
_LOW = {"shoulder": 20, "shoulder_plane": 10, "shoulder_turn": -42, "elbow": 52, "pronation": 30, "grip": 60}
_BENT = {"shoulder": 20, "shoulder_plane": 70, "shoulder_turn": -8, "elbow": 118, "pronation": 0, "grip": 90}
_OUT = {"shoulder": 84, "shoulder_plane": 84, "elbow": 8, "pronation": 60, "grip": 10}
_HEAD = {"shoulder": 124, "shoulder_plane": 84, "shoulder_turn": 98, "elbow": 140, "grip": 20, "wrist": 20}
_CROSSED = {
    "left_shoulder": 40,
    "left_shoulder_plane": 10,
    "left_shoulder_turn": -70,
    "left_elbow": 112,
    "right_shoulder": 28,
    "right_shoulder_plane": 20,
    "right_shoulder_turn": -74,
    "right_elbow": 106,
    "pronation": 30,
}
_FLOOR = {"shoulder": 166, "shoulder_plane": 78, "shoulder_turn": 60, "elbow": 22, "grip": 20}

ARMS: dict[str, dict[str, Arms]] = {
    "standing": {
        "ahead": Arms(_AHEAD, {}, DEEP_MOVEMENTS, level=True),
        "swing": Arms({}, _AHEAD, DEEP_MOVEMENTS, level=True),
        "hanging": Arms({}, {"shoulder": 7, "shoulder_plane": 30}, level=True),
        "hips": Arms(_HIPS, {}),
        "chest": Arms(_CHEST, {}),
        "clasp": Arms({}, _CHEST, DEEP_MOVEMENTS),
        "low": Arms(_LOW, {}),
        "crossed": Arms(_CROSSED, {}),
        "head": Arms(_HEAD, {}),
        "fists": Arms(_BENT, {}, (*DEEP_MOVEMENTS, "high_knees", "torso_twist")),
        "out": Arms(_OUT, {}, (*DEEP_MOVEMENTS, "torso_twist")),
        "back": Arms({}, {"shoulder": 38, "shoulder_plane": 140, "elbow": 12}, ("jump_squat", "squat")),
    },
    "supine": {
        "beside": Arms(
            {"shoulder": 14, "shoulder_plane": 78, "pronation": 75, "grip": 5, "elbow": 6},
            {},
            ("leg_raise", "glute_bridge"),
        ),
        "along": Arms(
            {"shoulder": 22, "shoulder_plane": 60, "pronation": 60, "grip": 5, "elbow": 8},
            {"shoulder": 68, "shoulder_plane": 14},
            ("sit_up", "crunch"),
        ),
        "crossed": Arms(_CROSSED, {}),
        "head": Arms({"shoulder": 150, "shoulder_plane": 70, "shoulder_turn": 60, "elbow": 145}, {}),
        "ahead": Arms({"shoulder": 62, "shoulder_plane": 8, "elbow": 10, "pronation": 40}, {}),
        "belly": Arms(_LOW, {}, ("leg_raise", "glute_bridge", "crunch")),
        "overhead": Arms(_FLOOR, {}, ("leg_raise", "glute_bridge")),
        "swing": Arms(_FLOOR, {**_AHEAD, "shoulder": 70}, ("sit_up",)),
        "under_hips": Arms(
            {"shoulder": 11, "shoulder_plane": 96, "shoulder_turn": -40, "elbow": 16, "pronation": 75},
            {},
            ("leg_raise",),
        ),
    },
}

# Degrees of the normal draws that are added to every pose; of a limb, of both sides together.
STYLE_SPREAD = {
    "waist": 2.5,
    "chest": 2.5,
    "waist_side": 1.0,
    "chest_side": 1.0,
    "neck": 5.0,
    "neck_side": 2.0,
    "neck_turn": 4.0,
    "shoulder": 5.0,
    "shoulder_plane": 6.0,
    "shoulder_turn": 5.0,
    "shrug": 3.0,
    "elbow": 6.0,
    "pronation": 6.0,
    "wrist": 4.0,
    "grip": 8.0,
    "hip": 3.0,
    "hip_side": 3.5,
    "hip_turn": 5.0,
    "knee": 3.0,
    "ankle": 3.0,
}
SIDES_SPREAD_SHARE = 0.4  # of that, what the two sides differ by
MIN_STYLE_DEGREES = {
    "shoulder": -4.0,
    "hip_side": -3.0,
}  # arms that hang, and legs, have a body or each other beside them
# Logarithm of the factors on the way to the key poses.
REACH_SPREAD = {
    "hip_side": 0.25,
    "hip_turn": 0.2,
    "waist": 0.15,
    "chest": 0.15,
    "shoulder": 0.06,
    "shoulder_plane": 0.1,
    "elbow": 0.06,
}
DEPTH_SPREAD, HINGE_SPREAD = (
    0.08,
    0.03,
)  # the same for the legs: what hips and knees share, and what each has of its own
LEAN_SPREAD = 6.0  # degrees that the trunk leans more or less in a deep key pose
# What a contact leaves no room for.
FIXED_BY_CONTACT = {
    "feet": ("ankle",),
    "toes": ("ankle",),
    "knees": ("hip", "knee", "ankle"),
    "hands": ("pronation", "wrist"),
    "elbows": ARM_CHANNELS,
    "grips": ARM_CHANNELS,
    "body": (),
}


def arm_styles(movement: Movement) -> dict[str, Arms]:
    """Return the styles that suit a movement; none where its arms are not free."""
    if not movement.arms:
        return {}
    return {name: arms for name, arms in ARMS[movement.stance].items() if not arms.fits or movement.name in arms.fits}


def arms_named(movement: Movement, name: str) -> Arms:
    """Return the style of that name.

    Raises DataError where the movement has none such.
    """
    if name not in arm_styles(movement):
        raise DataError(f"no such style of the arms for '{movement.name}': '{name}'")
    return ARMS[movement.stance][name]


def draw_arms(rng: np.random.Generator, movement: Movement) -> str:
    """Return a style, or "" for as written.

    Always draws twice, so that a new style elsewhere changes nothing here.
    """
    names, chance, which = list(arm_styles(movement)), rng.random(), rng.random()
    return names[int(which * len(names))] if names and chance >= AS_WRITTEN_SHARE else ""


def draw_style(rng: np.random.Generator, movement: Movement) -> dict[str, float]:
    """Draw the degrees of each channel in every pose of a bout."""
    draws = {name: np.clip(rng.standard_normal(3), -2.2, 2.2) for name in STYLE_SPREAD}
    fixed = _fixed(movement)
    alike = bool({"barbell", "bar"} & set(movement.props))  # both hands hold the same thing
    style = {}
    for name, (both, *each) in draws.items():
        if name in fixed:
            continue
        if name in BODY:
            style[name] = round(float(STYLE_SPREAD[name] * both), 2)
            continue
        for side, side_draw in zip(SIDES, each, strict=True):
            degrees = STYLE_SPREAD[name] * (both + (0 if alike else SIDES_SPREAD_SHARE * side_draw))
            style[f"{side}_{name}"] = round(float(max(degrees, MIN_STYLE_DEGREES.get(name, degrees))), 2)
    return style


def draw_reach(rng: np.random.Generator, movement: Movement) -> dict[str, float]:
    """Draw the factor of each channel on the way to the key poses.

    A body whose hands carry it goes no lower than written.
    """
    depth = DEPTH_SPREAD * rng.standard_normal()
    logs = {name: depth + HINGE_SPREAD * rng.standard_normal() for name in ("hip", "knee")}
    logs |= {name: spread * rng.standard_normal() for name, spread in REACH_SPREAD.items()}
    if _is_tied(movement):
        return {}
    if movement.stance != "standing":
        logs = {name: -abs(log) for name, log in logs.items() if name not in ("hip", "knee")}
    return {name: round(float(np.exp(np.clip(log, -0.5, 0.5))), 3) for name, log in logs.items()}


def draw_lean(rng: np.random.Generator, movement: Movement) -> float:
    """Draw the lean of the trunk, degrees."""
    lean = float(np.clip(LEAN_SPREAD * rng.standard_normal(), -12, 12))
    return 0.0 if movement.stance != "standing" or _is_tied(movement) else round(lean, 2)


def _is_tied(movement: Movement) -> bool:
    """Return whether what is held or hung from prescribes the way."""
    return bool({"barbell", "bar", "horse"} & set(movement.props))


def _fixed(movement: Movement) -> set[str]:
    """Return the channels that get no angle of their own."""
    if movement.stance == "horse":
        return set(STYLE_SPREAD)
    touched = {*movement.touch, *(name for step in movement.steps for name in step.touch or ())}
    touched = {group for group in FIXED_BY_CONTACT if group in touched or set(sides((group,))) & touched}
    fixed = {name for group in touched for name in FIXED_BY_CONTACT[group]}
    if movement.stance == "supine":  # legs and arms lie on the floor, and it does not give
        fixed |= {"waist", "chest", "neck", "hip", "knee", "shoulder_plane"}
    return fixed


def key_poses(movement: Movement, arms: str, reach: dict[str, float], lean: float) -> np.ndarray:
    """Return (1 + steps, C) degrees: `movement.keys()` as this person does them, with the same start and end."""
    keys = movement.keys()
    gain = sum_of(reach, 1.0)
    keys[1:] = keys[0] + gain * (keys[1:] - keys[0])
    keys[1:] += lean * _depth(keys)[:, None] * pose_vector({"pitch": 1, "hip": 1}, np.zeros(len(CHANNELS)))
    if arms:
        _put_arms(keys, arms_named(movement, arms))
    return keys


def sum_of(values: dict[str, float], base: float = 0.0) -> np.ndarray:
    """Return (C,) `base`, and where a channel or a limb's name without its side is in `values`, that."""
    out = np.full(len(CHANNELS), base)
    for name, value in values.items():
        channels = [name] if name in INDEX else [f"{side}_{name}" for side in SIDES]
        out[[INDEX[channel] for channel in channels]] = value
    return out


def _depth(keys: np.ndarray) -> np.ndarray:
    """Return (steps,) 0..1: how far the hips are bent; thighs that hang or stand leave the trunk no room to lean."""
    hips = [INDEX[f"{side}_hip"] for side in SIDES]
    return np.clip((keys[1:, hips] - keys[0, hips]).max(1) / 60, 0, 1)


def _put_arms(keys: np.ndarray, arms: Arms) -> None:
    """Write a style into the key poses; the last one is the start again."""
    columns = [INDEX[f"{side}_{name}"] for side in SIDES for name in ARM_CHANNELS]
    start = pose_vector(arms.start)
    goal = pose_vector(arms.keys, start)
    keys[[0, -1]] = np.where(np.isin(np.arange(len(CHANNELS)), columns), start, keys[[0, -1]])
    keys[1:-1, columns] = goal[columns]
    if arms.level:
        lean = np.clip(keys[:, [INDEX[name] for name in ("pitch", "waist", "chest")]].sum(1), 0, MAX_LEVELLED_LEAN)
        for side in SIDES:
            keys[1:-1, INDEX[f"{side}_shoulder"]] += lean[1:-1]
