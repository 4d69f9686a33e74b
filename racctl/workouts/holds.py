"""Postures that are held: a plank, a wall sit, a stretch. Standing, sitting and leaning about are rests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from racctl.contracts import Pose
from racctl.skeleton.angles import joint_angles
from racctl.workouts.activity import TRACE_RATE, Activity

HELD_EXERCISES = frozenset({"plank", "side_plank", "wall_sit", "hollow_hold"})
MOST_HELD_MOTION = 0.07  # body sizes, root mean square over the body in 4 s; noise alone makes 0.01 to 0.065 of a plank
SHORTEST_HOLD = 8.0  # s
BRIEF_MOVE = 2.0  # s of motion that do not end a hold
LEAST_INCLINED = 50.0  # degrees that the trunk is off the vertical in a plank or a stretch
MOST_IDLE = 0.5  # probability of idling above which nothing is held


@dataclass(frozen=True)
class Hold:
    """A held posture: frames of the pose, half-open."""

    start: int
    stop: int


def is_held(label: str) -> bool:
    """Whether an exercise is a posture that is held."""
    return label in HELD_EXERCISES


def holds_of(pose: Pose, trace: Activity) -> list[Hold]:
    """Return the holds of the only person of a pose, in the order of time."""
    runs: list[list[int]] = []
    for first, last in trace.runs(trace.motion < MOST_HELD_MOTION):
        if runs and trace.time[first] - trace.time[runs[-1][1] - 1] < BRIEF_MOVE:
            runs[-1][1] = last
        else:
            runs.append([first, last])
    holds = []
    for first, last in runs:
        begin, end = float(trace.time[first]), float(trace.time[last - 1]) + 1 / TRACE_RATE
        frames = slice(*np.searchsorted(pose.time, (begin, end)).tolist())
        is_long = end - begin >= SHORTEST_HOLD
        if is_long and trace.idle[first:last].mean() < MOST_IDLE and is_a_posture(pose, frames):
            holds.append(Hold(frames.start, frames.stop))
    return holds


def is_a_posture(pose: Pose, frames: slice) -> bool:
    """Whether the posture in these frames is held as an exercise: the trunk off the vertical."""
    if pose.world is None and pose.meta.get("scale") == "minmax":
        return False
    space = "2d" if pose.world is None else "3d"
    degrees = joint_angles(_of_frames(pose, frames), 0, space).degrees
    trunk = degrees.get("trunk_inclination")
    if trunk is None or not np.isfinite(trunk).any():
        return False
    return bool(LEAST_INCLINED < np.nanmedian(trunk) < 180 - LEAST_INCLINED / 2)


def _of_frames(pose: Pose, frames: slice) -> Pose:
    world = None if pose.world is None else pose.world[frames]
    return Pose(
        pose.xyz[frames], pose.score[frames], pose.frame[frames], pose.time[frames], pose.track, pose.meta, world
    )
