"""Exercises on the feet, without weights."""

from __future__ import annotations

from racctl.synth.movements import Movement, Step

ARMS_AHEAD = {"shoulder": 80, "shoulder_plane": 8, "elbow": 8, "pronation": 60}
CROUCH = {"pitch": 38, "waist": 25, "chest": 25, "hip": 118, "hip_side": 12, "knee": 132, "ankle": 30, "neck": -30,
          "shoulder": 72, "shoulder_plane": 6, "elbow": 5, "pronation": 70, "wrist": -70}  # fmt: skip
PLANK = {"pitch": 76, "waist": 0, "chest": 0, "hip": 2, "hip_side": 4, "knee": 3, "ankle": 12, "toes": 62, "neck": -22,
         "shoulder": 82, "shoulder_plane": 12, "elbow": 6, "pronation": 70, "wrist": -80}  # fmt: skip
LUNGE_STEP = {
    "left_hip": 62,
    "left_knee": 38,
    "left_ankle": 8,
    "right_hip": -4,
    "right_knee": 12,
    "right_ankle": 8,
    "pitch": 4,
}
LUNGE_DEEP = {"left_hip": 92, "left_knee": 92, "left_ankle": 6, "right_hip": -12, "right_knee": 88, "right_ankle": 12,
              "right_toes": 55, "pitch": 6}  # fmt: skip

STANDING = (
    Movement(
        "squat", {"hip_side": 8, "hip_turn": 14},
        (
            Step(1.1, {"pitch": 34, "waist": 6, "hip": 104, "hip_side": 12, "hip_turn": 20, "knee": 112, "ankle": 28,
                       "neck": -22, **ARMS_AHEAD}, hold=0.1),
            Step(0.9, hold=0.2),
        ),
        counts="down and up again", joints=("hip", "knee"), arms=True,
    ),
    Movement(
        "sumo_squat", {"hip_side": 24, "hip_turn": 34, "shoulder": 12, "shoulder_plane": 10, "elbow": 25},
        (
            Step(1.1, {"pitch": 14, "hip": 62, "hip_side": 34, "hip_turn": 48, "knee": 92, "ankle": 22}, hold=0.1),
            Step(0.9, hold=0.2),
        ),
        counts="down and up again", joints=("hip", "knee"), arms=True,
    ),
    Movement(
        "jump_squat", {"hip_side": 8, "hip_turn": 14},
        (
            Step(0.6, {"pitch": 36, "hip": 96, "knee": 104, "ankle": 27, "neck": -20, "shoulder": 40,
                       "shoulder_plane": 120}),
            Step(0.25, {"ankle": -30, "shoulder": 60, "shoulder_plane": 10, "lift": 6}, touch=("feet",)),
            Step(0.2, {"ankle": -35, "shoulder": 80, "shoulder_plane": 10, "lift": 26}, touch=("body",)),
            Step(0.25, {"hip": 24, "knee": 34, "ankle": 14, "pitch": 8}, touch=("body",)),
            Step(0.25),
        ),
        counts="down, jump and landing", joints=("hip", "knee"), arms=True,
    ),
    Movement(
        "lunge", {"shoulder": 22, "shoulder_plane": 100, "elbow": 70, "pronation": 40},
        (
            Step(0.55, LUNGE_STEP, touch=("right_toes",)),
            Step(0.5, LUNGE_DEEP, hold=0.1, touch=("right_toes", "left_foot")),
            Step(0.5, LUNGE_STEP, touch=("right_toes",)),
            Step(0.45, hold=0.15),
        ),
        counts="one leg forward, down and back", joints=("hip", "knee"), alternating=True, arms=True,
    ),
    Movement(
        "reverse_lunge", {"shoulder": 22, "shoulder_plane": 100, "elbow": 70, "pronation": 40},
        (
            Step(0.9, LUNGE_DEEP, hold=0.1, touch=("left_foot",)),
            Step(0.9, hold=0.15, touch=("left_foot",)),
        ),
        counts="one leg back, down and forward again", joints=("hip", "knee"), alternating=True, arms=True,
    ),
    Movement(
        "side_lunge", {"hip_side": 26, "hip_turn": 15, "shoulder": 45, "shoulder_plane": 10, "elbow": 100,
                       "pronation": -30},
        (
            Step(0.9, {"pitch": 34, "roll": 8, "left_hip": 86, "left_knee": 96, "left_ankle": 24, "left_hip_side": 26,
                       "right_hip": 38, "right_hip_side": 34, "right_knee": 2, "neck": -25}, hold=0.1),
            Step(0.8, hold=0.15),
        ),
        counts="down to one side and up", joints=("hip", "knee"), alternating=True, arms=True,
    ),
    Movement(
        "jump_jack", {"shoulder": 10},
        (
            Step(0.22, {"shoulder": 90, "elbow": 12, "hip_side": 16, "knee": 8, "hip": 4, "lift": 9}, touch=("body",)),
            Step(0.2, {"shoulder": 165, "elbow": 18, "hip_side": 24, "knee": 12, "hip": 8}, touch=("body",)),
            Step(0.22, {"shoulder": 90, "elbow": 12, "hip_side": 14, "knee": 8, "hip": 4, "lift": 8}, touch=("body",)),
            Step(0.2, touch=("body",)),
        ),
        counts="feet out and arms up, and back", joints=("shoulder", "hip"), touch=("body",),
    ),
    Movement(
        "high_knees", {"elbow": 85, "shoulder": 12, "shoulder_plane": 20, "pitch": 2},
        (
            Step(0.28, {"left_hip": 92, "left_knee": 98, "left_ankle": -10, "right_shoulder": 45,
                        "left_shoulder_plane": 150,
                        "left_shoulder": 35, "right_ankle": -18, "lift": 2}, touch=("right_toes",)),
            Step(0.27, touch=("right_toes",)),
        ),
        counts="one knee up and down", joints=("hip", "knee"), alternating=True, arms=True,
    ),
    Movement(
        "calf_raise", {"hip_side": 4},
        (Step(0.8, {"ankle": -38, "toes": 36}, hold=0.3, touch=("toes",)), Step(0.8, hold=0.2, touch=("toes",))),
        counts="heels up and down", joints=("ankle",), touch=("toes",), arms=True,
    ),
    Movement(
        "torso_twist", {"shoulder": 62, "shoulder_plane": 70, "elbow": 132, "shoulder_turn": -40, "hip_side": 10},
        (
            Step(0.6, {"waist_turn": 22, "chest_turn": 36, "neck_turn": 10}, hold=0.05),
            Step(0.6, hold=0.05),
        ),
        counts="to one side and back", joints=("waist",), alternating=True, arms=True,
    ),
    Movement(
        "side_bend", {"hip_side": 10, "shoulder": 8},
        (
            Step(0.9, {"waist_side": 26, "chest_side": 20, "neck_side": 10, "left_shoulder": 42,
                       "left_shoulder_plane": 80, "right_shoulder": 165, "right_elbow": 25}),
            Step(0.9, hold=0.1),
        ),
        counts="down to one side and up", joints=("waist",), alternating=True, arms=True,
    ),
    Movement(
        "burpee", {"hip_side": 8, "hip_turn": 10},
        (
            Step(0.7, CROUCH, touch=("feet",)),
            Step(0.45, PLANK, touch=("hands",)),
            Step(0.2, PLANK, touch=("hands", "toes")),
            Step(0.45, CROUCH, touch=("hands",)),
            Step(0.45, {"pitch": 6, "hip": 12, "knee": 20, "ankle": 8, "shoulder": 60, "shoulder_plane": 20},
                 touch=("feet",)),
            Step(0.25, {"shoulder": 170, "shoulder_plane": 20, "ankle": -35, "lift": 22}, touch=("body",)),
            Step(0.25, {"hip": 22, "knee": 32, "ankle": 13, "pitch": 6, "shoulder": 60, "shoulder_plane": 30},
                 touch=("body",)),
            Step(0.3, hold=0.1),
        ),
        counts="down to the plank, back and a jump", joints=("hip", "knee", "shoulder"),
    ),
)  # fmt: skip
