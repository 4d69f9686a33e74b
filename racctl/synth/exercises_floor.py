"""Exercises on hands, back or seat, without weights."""

from __future__ import annotations

from typing import Any

from racctl.synth.channels import Angles
from racctl.synth.movement import Movement, Step

HIGH_PLANK = {
    "pitch": 74,
    "hip": 0,
    "hip_side": 3,
    "hip_turn": 0,
    "knee": 2,
    "ankle": 14,
    "toes": 60,
    "neck": -18,
    "grip": 5,
    "pronation": 75,
    "wrist": -80,
}
ON_HANDS_AND_TOES: dict[str, Any] = {"stance": "prone", "touch": ("toes", "hands"), "level": ("hands", "toes")}
LYING = {"pitch": -90, "hip": 52, "hip_side": 4, "hip_turn": 0, "knee": 92, "neck": 10}
SITTING = {"pitch": -12, "waist": 14, "chest": 8, "hip": 102, "knee": 92, "neck": 8}
# The hips rise so that the knee, and the foot that hangs behind it, pass above the floor.
KNEE_PASSING = {"left_hip": 66, "left_knee": 102, "left_ankle": -25, "left_toes": 0, "right_hip": 22, "waist": 6}
KNEE_AHEAD = {"left_hip": 130, "left_knee": 128, "left_ankle": -25, "left_toes": 0, "right_hip": 22, "waist": 12}


def _push_up(name: str, up: Angles, down: Angles, **more: Any) -> Movement:
    return Movement(
        name,
        {**HIGH_PLANK, **up},
        (Step(1.0, {**up, **down}, hold=0.1), Step(0.85, hold=0.15)),
        counts="chest down and up again",
        joints=("elbow", "shoulder"),
        **{**ON_HANDS_AND_TOES, **more},
    )


FLOOR = (
    _push_up(
        "push_up",
        {"shoulder": 76, "shoulder_plane": 12, "elbow": 8},
        {"shoulder": 38, "shoulder_plane": 62, "shoulder_turn": 12, "elbow": 100},
    ),
    _push_up(
        "wide_push_up",
        {"shoulder": 78, "shoulder_plane": 40, "elbow": 10},
        {"shoulder": 74, "shoulder_plane": 84, "shoulder_turn": 14, "elbow": 88},
    ),
    _push_up(
        "diamond_push_up",
        {"shoulder": 66, "shoulder_plane": -14, "elbow": 16, "shoulder_turn": -22},
        {"shoulder": 26, "shoulder_plane": 40, "shoulder_turn": -34, "elbow": 118},
    ),
    _push_up(
        "pike_push_up",
        {
            "pitch": 120,
            "hip": 92,
            "shoulder": 158,
            "shoulder_plane": 20,
            "shoulder_turn": 22,
            "elbow": 14,
            "ankle": 22,
            "neck": 5,
            "toes": 45,
        },
        {"pitch": 126, "hip": 80, "shoulder": 114, "shoulder_plane": 36, "elbow": 98},
    ),
    _push_up(
        "knee_push_up",
        {"pitch": 62, "knee": 82, "ankle": -20, "toes": 0, "shoulder": 76, "shoulder_plane": 12, "elbow": 8},
        {"pitch": 80, "shoulder": 40, "shoulder_plane": 60, "shoulder_turn": 12, "elbow": 98},
        touch=("knees", "hands"),
        level=("hands", "knees"),
    ),
    Movement(
        "plank",
        {
            **HIGH_PLANK,
            "pitch": 82,
            "shoulder": 88,
            "shoulder_plane": 4,
            "elbow": 88,
            "pronation": 20,
            "wrist": 0,
            "grip": 70,
        },
        (Step(2.0, {"waist": 2}), Step(2.0)),
        counts="held, nothing is counted",
        joints=("waist",),
        stance="prone",
        touch=("elbows", "toes"),
        level=("elbows", "toes"),
        repeats=False,
        props=("mat",),
    ),
    Movement(
        "mountain_climber",
        {**HIGH_PLANK, "shoulder": 78, "shoulder_plane": 10, "elbow": 6},
        (
            Step(0.22, KNEE_PASSING, touch=("hands", "right_toes")),
            Step(0.2, KNEE_AHEAD, touch=("hands", "right_toes")),
            Step(0.2, KNEE_PASSING, touch=("hands", "right_toes")),
            Step(0.22, touch=("hands", "right_toes")),
        ),
        counts="one knee to the chest and back",
        joints=("hip", "knee"),
        stance="prone",
        touch=("hands", "toes"),
        level=("hands", "toes"),
        alternating=True,
    ),
    Movement(
        "sit_up",
        {**LYING, "shoulder": 84, "shoulder_plane": 44, "elbow": 145, "shoulder_turn": 34},
        (
            Step(1.1, SITTING, hold=0.1, touch=("feet",)),
            Step(1.1, hold=0.15, touch=("feet",)),
        ),
        counts="up to sitting and down",
        joints=("hip", "waist"),
        stance="supine",
        props=("mat",),
        arms=True,
    ),
    Movement(
        "crunch",
        {**LYING, "shoulder": 150, "shoulder_plane": 70, "shoulder_turn": 60, "elbow": 145},
        (Step(0.8, {"waist": 24, "chest": 34, "neck": 30}, hold=0.15), Step(0.8, hold=0.15)),
        counts="shoulders up and down",
        joints=("waist",),
        stance="supine",
        props=("mat",),
        arms=True,
    ),
    Movement(
        "leg_raise",
        {
            "pitch": -90,
            "hip": 4,
            "knee": 4,
            "hip_turn": 0,
            "ankle": -25,
            "shoulder": 14,
            "pronation": 75,
            "grip": 5,
            "neck": 8,
            "shoulder_plane": 80,
        },
        (Step(1.2, {"hip": 84, "knee": 6}, hold=0.1), Step(1.2, hold=0.1)),
        counts="legs up and down",
        joints=("hip",),
        stance="supine",
        props=("mat",),
        touch=("body",),
        arms=True,
    ),
    Movement(
        "glute_bridge",
        {**LYING, "shoulder": 14, "shoulder_plane": 80, "pronation": 75, "grip": 5, "hip": 48, "knee": 96},
        (
            Step(0.9, {"pitch": -116, "hip": 2, "knee": 92, "waist": 4, "chest": 14, "neck": 34}, hold=0.3),
            Step(0.9, hold=0.1),
        ),
        counts="hips up and down",
        joints=("hip",),
        stance="supine",
        props=("mat",),
        touch=("feet",),
        arms=True,
    ),
)
