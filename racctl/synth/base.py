"""Where the exercises are."""

from __future__ import annotations

from racctl.kinds import Kind

# A member is a `racctl.synth.movement.Movement`, or several; a Movement is all that an exercise needs.
EXERCISES = Kind(
    "exercise",
    "racctl.exercises",
    {
        "standing": "racctl.synth.exercises_standing:STANDING",
        "floor": "racctl.synth.exercises_floor:FLOOR",
        "weights": "racctl.synth.exercises_weights:WITH_WEIGHTS",
        "idle": "racctl.synth.idle:IDLE",
    },
)
