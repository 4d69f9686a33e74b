"""What people do between sets. Nothing here is counted; the class is "background"."""

from __future__ import annotations

from typing import Any

from racctl.contracts import BACKGROUND
from racctl.synth.channels import Angles
from racctl.synth.movement import Movement, Step

CUP = {"left_grip": 75}
REACH_DOWN = {
    "pitch": 52,
    "waist": 30,
    "chest": 22,
    "hip": 122,
    "knee": 112,
    "ankle": 26,
    "shoulder": 70,
    "shoulder_plane": 25,
    "elbow": 4,
    "neck": -20,
    "hip_side": 12,
}


def _idle(name: str, start: Angles, steps: tuple[Step, ...], **more: Any) -> Movement:
    return Movement(name, start, steps, counts="nothing is counted", repeats=False, label=BACKGROUND, **more)


def _stride(side: str, far_side: str) -> tuple[Step, ...]:
    swing = {
        f"{side}_hip": 26,
        f"{side}_knee": 48,
        f"{far_side}_hip": -2,
        f"{side}_shoulder_plane": 110,
        f"{side}_shoulder": 20,
        f"{far_side}_shoulder_plane": 20,
        f"{far_side}_shoulder": 20,
    }
    landed = {
        f"{side}_hip": 24,
        f"{side}_knee": 4,
        f"{far_side}_hip": -16,
        f"{far_side}_knee": 8,
        f"{far_side}_ankle": 8,
        f"{far_side}_toes": 20,
        f"{side}_shoulder_plane": 120,
        f"{side}_shoulder": 24,
        f"{far_side}_shoulder_plane": 12,
        f"{far_side}_shoulder": 26,
    }
    return (Step(0.3, swing, touch=(f"{far_side}_toes",)), Step(0.28, landed, touch=(f"{far_side}_toes",)))


WALK = (*_stride("left", "right"), *_stride("right", "left"))

IDLE = (
    _idle(
        "stand",
        {},
        (Step(1.0, {"chest_turn": 5, "neck_turn": 14, "waist_side": 3}), Step(1.2, hold=0.5)),
        arms=True,
    ),
    _idle("walk", {}, (*WALK, *WALK, Step(0.35, touch=("left_toes",))), touch=("feet",), arms=True),
    _idle(
        "turn_around",
        {},
        (
            Step(0.5, {"yaw": 60, "left_hip": 20, "left_knee": 40}, touch=("right_foot",)),
            Step(0.5, {"yaw": 60}, hold=0.4),
            Step(0.5, {"yaw": 30, "right_hip": 20, "right_knee": 40}, touch=("left_foot",)),
            Step(0.5),
        ),
        touch=("feet",),
        arms=True,
    ),
    _idle(
        "drink",
        CUP,
        (
            Step(
                0.9,
                {
                    "left_shoulder": 38,
                    "left_shoulder_plane": 8,
                    "left_shoulder_turn": -40,
                    "left_elbow": 124,
                    "left_pronation": -20,
                },
            ),
            Step(
                0.4,
                {
                    "left_shoulder": 52,
                    "left_shoulder_plane": 0,
                    "left_shoulder_turn": -40,
                    "left_elbow": 130,
                    "left_pronation": -20,
                    "neck": -14,
                },
                hold=1.0,
            ),
            Step(0.9, hold=0.4),
        ),
        props=("cup",),
    ),
    _idle(
        "scratch",
        {},
        (
            Step(0.6, {"right_shoulder": 110, "right_shoulder_plane": 45, "right_elbow": 145, "neck": 12}),
            Step(0.15, {"right_shoulder": 118, "right_shoulder_plane": 45, "right_elbow": 138, "neck": 12}),
            Step(0.15, {"right_shoulder": 110, "right_shoulder_plane": 45, "right_elbow": 145, "neck": 12}),
            Step(0.15, {"right_shoulder": 118, "right_shoulder_plane": 45, "right_elbow": 138, "neck": 12}),
            Step(0.7, hold=0.3),
        ),
    ),
    _idle(
        "pick_up",
        {"grip": 60},
        (
            Step(1.0, REACH_DOWN, hold=0.3, props=("dumbbells_down",)),
            Step(1.0, {"shoulder": 16, "elbow": 20}, hold=0.8),
            Step(1.0, REACH_DOWN, hold=0.2),
            Step(0.9, hold=0.3, props=("dumbbells_down",)),
        ),
        props=("dumbbells",),
    ),
    _idle(
        "stretch_arms",
        {},
        (
            Step(0.9, {"shoulder": 168, "shoulder_plane": 60, "elbow": 20, "chest": -8, "neck": -12}, hold=1.2),
            Step(0.6, {"shoulder": 168, "shoulder_plane": 60, "elbow": 20, "waist_side": 18}, hold=0.5),
            Step(1.0, hold=0.2),
        ),
    ),
    _idle(
        "stretch_leg",
        {},
        (
            Step(
                0.9,
                {
                    "left_knee": 132,
                    "left_hip": -4,
                    "left_shoulder": 36,
                    "left_shoulder_plane": 130,
                    "left_elbow": 30,
                    "right_shoulder": 40,
                },
                hold=1.5,
                touch=("right_foot",),
            ),
            Step(0.9, hold=0.2, touch=("right_foot",)),
        ),
    ),
    _idle(
        "look_at_phone",
        {},
        (
            Step(
                0.9,
                {
                    "right_shoulder": 40,
                    "right_shoulder_plane": 20,
                    "right_elbow": 95,
                    "right_pronation": -30,
                    "neck": 32,
                },
                hold=2.0,
            ),
            Step(0.8, hold=0.2),
        ),
    ),
)
