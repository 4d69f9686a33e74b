"""Exercises with dumbbells, a barbell, a bench, a bar or a pommel horse."""

from __future__ import annotations

from racctl.synth.movement import Movement, Step

GRIP = {"grip": 85}
PRESS = {"shoulder_turn": 88, "pronation": 78, **GRIP}
ON_BENCH = {"pitch": -90, "hip": 18, "hip_side": 22, "hip_turn": 0, "knee": 82, "neck": 5}
HINGED = {"pitch": 52, "hip": 66, "knee": 28, "ankle": 12, "hip_side": 5, "neck": -35, **GRIP}
HANGING = {"shoulder": 172, "shoulder_plane": 62, "shoulder_turn": 88, "pronation": 80, "elbow": 8, "shrug": 15, **GRIP}
FLAT_OUT = {
    "shoulder_plane": 0,
    "elbow": 4,
    "pronation": 60,
    "wrist": -50,
    "hip_side": 1,
    "hip_turn": 0,
    "ankle": -40,
    "grip": 85,
}
LEFT_HAND = {"left_shoulder": 84, "left_shoulder_plane": 88, "right_shoulder": 70, "right_shoulder_plane": 80}
RIGHT_HAND = {"right_shoulder": 84, "right_shoulder_plane": 88, "left_shoulder": 70, "left_shoulder_plane": 80}

WITH_WEIGHTS = (
    Movement(
        "bicep_curl",
        {"shoulder": 8, "elbow": 8, "pronation": -70, **GRIP},
        (Step(0.9, {"shoulder": 14, "shoulder_plane": 40, "elbow": 138}, hold=0.1), Step(1.0, hold=0.15)),
        counts="weights up and down",
        joints=("elbow",),
        props=("dumbbells",),
    ),
    Movement(
        "alternating_curl",
        {"shoulder": 8, "elbow": 8, "pronation": -60, **GRIP},
        (Step(0.8, {"left_shoulder": 14, "left_shoulder_plane": 40, "left_elbow": 138}, hold=0.1), Step(0.8, hold=0.1)),
        counts="one weight up and down",
        joints=("elbow",),
        props=("dumbbells",),
        alternating=True,
        label="bicep_curl",
    ),
    Movement(
        "dumbbell_shoulder_press",
        {"shoulder": 62, "shoulder_plane": 72, "elbow": 128, **PRESS},
        (Step(0.9, {"shoulder": 166, "shoulder_plane": 72, "elbow": 12}, hold=0.1), Step(0.95, hold=0.15)),
        counts="weights overhead and back to the shoulders",
        joints=("shoulder", "elbow"),
        props=("dumbbells",),
    ),
    Movement(
        "lateral_shoulder_raise",
        {"shoulder": 12, "shoulder_plane": 85, "elbow": 16, "pronation": 40, **GRIP},
        (Step(0.9, {"shoulder": 90, "shoulder_plane": 84}, hold=0.1), Step(1.0, hold=0.15)),
        counts="weights up sideways and down",
        joints=("shoulder",),
        props=("dumbbells",),
    ),
    Movement(
        "front_raise",
        {"shoulder": 12, "shoulder_plane": 12, "elbow": 10, "pronation": 80, **GRIP},
        (Step(0.9, {"shoulder": 96, "shoulder_plane": 6}, hold=0.1), Step(1.0, hold=0.15)),
        counts="weights up in front and down",
        joints=("shoulder",),
        props=("dumbbells",),
    ),
    Movement(
        "tricep_extension",
        {"shoulder": 166, "shoulder_plane": 18, "elbow": 128, "pronation": -20, "shoulder_turn": 15, **GRIP},
        (Step(0.9, {"elbow": 14}, hold=0.1), Step(0.9, hold=0.1)),
        counts="weight up from behind the head and back",
        joints=("elbow",),
        props=("dumbbells",),
    ),
    Movement(
        "dumbbell_row",
        {**HINGED, "shoulder": 60, "shoulder_plane": 8, "elbow": 8},
        (Step(0.8, {"shoulder": 20, "shoulder_plane": 140, "elbow": 104}, hold=0.15), Step(0.85, hold=0.1)),
        counts="weights up to the hips and down",
        joints=("shoulder", "elbow"),
        props=("dumbbells",),
    ),
    Movement(
        "upright_row",
        {"shoulder": 18, "shoulder_plane": 50, "shoulder_turn": -50, "elbow": 24, "pronation": 50, **GRIP},
        (
            Step(
                0.85, {"shoulder": 78, "shoulder_plane": 72, "shoulder_turn": -72, "elbow": 130, "shrug": 18}, hold=0.1
            ),
            Step(0.9, hold=0.1),
        ),
        counts="bar up to the chest and down",
        joints=("shoulder", "elbow"),
        props=("barbell",),
    ),
    Movement(
        "deadlift",
        {"shoulder": 12, "shoulder_plane": 20, "elbow": 5, "pronation": 80, "hip_side": 5, **GRIP},
        (
            Step(
                1.2,
                {"pitch": 56, "hip": 92, "knee": 66, "ankle": 18, "shoulder": 58, "shoulder_plane": 10, "neck": -35},
                hold=0.1,
            ),
            Step(1.1, hold=0.25),
        ),
        counts="bar down to the floor and up",
        joints=("hip", "knee"),
        props=("barbell",),
    ),
    Movement(
        "bench_pressing",
        {**ON_BENCH, "shoulder": 88, "shoulder_plane": 14, "elbow": 8, "pronation": 80, **GRIP},
        (
            Step(1.0, {"shoulder": 62, "shoulder_plane": 82, "shoulder_turn": 6, "elbow": 96}, hold=0.1),
            Step(0.9, hold=0.15),
        ),
        counts="bar down to the chest and up",
        joints=("elbow", "shoulder"),
        stance="bench",
        props=("barbell", "bench"),
    ),
    Movement(
        "chest_fly",
        {**ON_BENCH, "shoulder": 88, "shoulder_plane": 6, "elbow": 22, "pronation": 0, **GRIP},
        (Step(1.1, {"shoulder": 88, "shoulder_plane": 86, "elbow": 30}, hold=0.1), Step(1.0, hold=0.1)),
        counts="weights apart and together",
        joints=("shoulder",),
        stance="bench",
        props=("dumbbells", "bench"),
    ),
    Movement(
        "pull_up",
        {**HANGING, "knee": 35, "hip": 4, "ankle": -20},
        (
            Step(
                1.0,
                {"shoulder": 74, "shoulder_plane": 72, "elbow": 128, "shrug": 0, "neck": -10, "hip": 10, "knee": 55},
                hold=0.1,
            ),
            Step(1.1, hold=0.2),
        ),
        counts="chin over the bar and down",
        joints=("shoulder", "elbow"),
        stance="bar",
        touch=("grips",),
        props=("bar",),
    ),
    Movement(
        "hanging_leg_raise",
        {**HANGING, "ankle": -20},
        (Step(0.9, {"hip": 88, "knee": 25, "waist": 15}, hold=0.1), Step(1.0, hold=0.2)),
        counts="legs up and down",
        joints=("hip",),
        stance="bar",
        touch=("grips",),
        props=("bar",),
    ),
    Movement(
        "pommel_horse",
        {**FLAT_OUT, "pitch": 62, "hip": -6, "shoulder": 58},
        (
            Step(0.3, {"pitch": 4, "roll": 86, "hip": 32, **LEFT_HAND}, touch=("left_grip",)),
            Step(0.3, {"pitch": -72, "hip": 58, "shoulder": -46}, touch=("left_grip",)),
            Step(0.3, {"pitch": 4, "roll": -86, "hip": 32, **RIGHT_HAND}, touch=("right_grip",)),
            Step(0.3, touch=("right_grip",)),
        ),
        counts="the legs once around",
        joints=("hip", "shoulder"),
        stance="horse",
        touch=("grips",),
        props=("horse",),
    ),
)
