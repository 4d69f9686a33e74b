"""The tempo of a repetition in four phases: on the way, at the turning point, back, and at the start again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

HELD_SPEED = 0.1  # share of a repetition's greatest speed below which the posture is held
SMOOTH_SECONDS = 0.1  # s, standard deviation of the smoothing before speeds are told
KNOWN_PHASES = "down-hold-up-hold"
PLAIN_PHASES = "out-hold-back-hold"

# The angle that an exercise is paced by, and whether that grows on the way up (1) or down (-1).
DRIVERS: dict[str, tuple[str, int]] = {
    **dict.fromkeys(
        ("squat", "sumo_squat", "jump_squat", "lunge", "reverse_lunge", "side_lunge", "step_up"), ("knee_flexion", -1)
    ),
    **dict.fromkeys(("deadlift", "good_morning", "glute_bridge"), ("hip_flexion", -1)),
    **dict.fromkeys(
        ("push_up", "knee_push_up", "diamond_push_up", "wide_push_up", "pike_push_up", "bench_pressing"),
        ("elbow_flexion", -1),
    ),
    **dict.fromkeys(("tricep_extension", "dumbbell_shoulder_press"), ("elbow_flexion", -1)),
    **dict.fromkeys(("pull_up", "bicep_curl", "alternating_curl", "dumbbell_row", "upright_row"), ("elbow_flexion", 1)),
    **dict.fromkeys(("front_raise", "lateral_shoulder_raise"), ("shoulder_elevation", 1)),
    **dict.fromkeys(("sit_up", "crunch", "leg_raise", "hanging_leg_raise"), ("hip_flexion", 1)),
    "calf_raise": ("ankle_dorsiflexion", -1),
}


@dataclass(frozen=True)
class Phases:
    """Seconds of the four phases of one repetition, in the order of `names`.

    names: `KNOWN_PHASES`, or `PLAIN_PHASES` where which way is down is not known.
    """

    seconds: tuple[float, float, float, float]
    names: str

    def __str__(self) -> str:
        return "-".join(f"{value:.1f}" for value in self.seconds)


def phases(time: np.ndarray, angle: np.ndarray, upwards: int = 0) -> Phases | None:
    """Return the phases of one repetition; None where the angle is not known well enough.

    time: (N,) s, from the repetition's beginning to that of the next.
    angle: (N,) degrees, NaN where unknown.
    upwards: 1 where the angle grows on the way up, -1 on the way down; 0 where that is not known.
    """
    names = KNOWN_PHASES if upwards else PLAIN_PHASES
    known = np.isfinite(angle)
    if known.sum() < max(5, 0.6 * len(angle)):
        return None
    filled = np.interp(time, time[known], angle[known])
    interval = float(np.median(np.diff(time)))
    smooth = gaussian_filter1d(filled, SMOOTH_SECONDS / interval, mode="nearest")
    if not upwards:
        begin = smooth[: max(len(smooth) // 20, 1)].mean()
        outwards = 1 if smooth.max() - begin >= begin - smooth.min() else -1
        upwards = -outwards
    height = upwards * smooth
    speed = np.gradient(height, time)
    slow = np.abs(speed) < HELD_SPEED * np.abs(speed).max()
    is_high = height > (height.max() + height.min()) / 2
    steps = np.append(np.diff(time), interval)
    parts = (~slow & (speed < 0), slow & ~is_high, ~slow & (speed >= 0), slow & is_high)
    down, low, up, high = (float(steps[part].sum()) for part in parts)
    return Phases((down, low, up, high), names)
