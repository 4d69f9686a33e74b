"""Joint angles of a pose by name, in degrees: in space, from world landmarks, or in the picture plane.

Every angle is 0 in the anatomical position (standing upright, arms at the sides, palms forward, feet flat), the neutral
zero that clinicians measure from, and grows as the joint leaves it. They are angles between two segments of the body,
not the three rotations about the axes of a joint that the International Society of Biomechanics defines: markerless
landmarks have no axes. So a hip or shoulder angle does not tell forwards from sideways or backwards.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from racctl.contracts import Pose
from racctl.errors import DataError, UsageError
from racctl.skeleton.remap import topology_of
from racctl.skeleton.topology import SIDES, Topology

SPACES = ("3d", "2d")
UP = np.array([0.0, -1.0, 0.0])  # y points down in pictures and in world landmarks; a camera is taken to be level
TOES = ("foot_index", "big_toe")  # the names of the foremost point of a foot, by topology
SHORTEST_SEGMENT = 1e-6  # m or pixels; a shorter one has no direction


@dataclass(frozen=True)
class JointAngle:
    """The angle between two segments of the body.

    name: what columns are called, such as "knee_flexion".
    joint: the joint, such as "knee".
    first, second: each the joints that a segment runs from and to; () for straight up.
    neutral: degrees between them in the anatomical position.
    sign: 1 where the angle grows as they open, -1 where it grows as they close.
    sided: whether there are a left and a right one; one without sides runs between the middles of both.
    """

    name: str
    joint: str
    first: tuple[str, ...]
    second: tuple[str, ...]
    neutral: float = 0.0
    sign: float = 1.0
    sided: bool = True

    @property
    def columns(self) -> list[str]:
        """The names of the angle on each side: left_knee_flexion, right_knee_flexion; trunk_inclination."""
        return [f"{side}_{self.name}" for side in SIDES] if self.sided else [self.name]


JOINT_ANGLES = (
    JointAngle("knee_flexion", "knee", ("hip", "knee"), ("knee", "ankle")),
    JointAngle("hip_flexion", "hip", ("shoulder", "hip"), ("hip", "knee")),
    JointAngle("elbow_flexion", "elbow", ("shoulder", "elbow"), ("elbow", "wrist")),
    JointAngle("shoulder_elevation", "shoulder", ("shoulder", "hip"), ("shoulder", "elbow")),
    JointAngle("ankle_dorsiflexion", "ankle", ("ankle", "knee"), ("heel", "toe"), neutral=90.0, sign=-1.0),
    JointAngle("trunk_inclination", "trunk", (), ("hip", "shoulder"), sided=False),
)


@dataclass(frozen=True)
class JointCurves:
    """The angles of one person over T frames.

    degrees: name -> (T,) float64, NaN where a joint was not seen well enough.
    time: (T,) s.
    space: "3d" or "2d".
    """

    degrees: dict[str, np.ndarray]
    time: np.ndarray
    space: str

    def velocity(self) -> dict[str, np.ndarray]:
        """Return name -> (T,) degrees per second: central differences over the frames' own times."""
        return {name: rate_of_change(values, self.time) for name, values in self.degrees.items()}


def joint_angles(pose: Pose, person: int, space: str = "3d", min_score: float = 0.0) -> JointCurves:
    """Return all angles that a pose tells of a person, by index on axis M.

    space: "3d" from `pose.world`, "2d" from x and y of `pose.xyz`.
    min_score: an angle is NaN where the score of a joint that it needs is below.
    Raises DataError for a pose without world landmarks, or one scaled in every frame, which has lost the body's shape.
    """
    places = coordinates(pose, person, space)
    places[pose.score[:, person] < min_score] = np.nan
    return angles_of_places(places, topology_of(pose), pose.time)


def angles_of_places(places: np.ndarray, topology: Topology, time: np.ndarray) -> JointCurves:
    """Return all angles that joints (T, V, D) tell, in space for D = 3, in the picture plane for 2; time: (T,) s."""
    degrees = {}
    for angle in JOINT_ANGLES:
        for column, side in zip(angle.columns, SIDES if angle.sided else ("",), strict=True):
            values = _angle(places, topology, angle, side)
            if values is not None:
                degrees[column] = values
    return JointCurves(degrees, time, f"{places.shape[2]}d")


def coordinates(pose: Pose, person: int, space: str) -> np.ndarray:
    """Return (T, V, D) float64 of a person: metres in space, pixels in the picture plane.

    Raises DataError and UsageError as `joint_angles` does.
    """
    if space not in SPACES:
        raise UsageError(f"invalid value '{space}' for '--space'; expected {' or '.join(SPACES)}")
    if pose.meta.get("scale") == "minmax":
        raise DataError(
            f"clip '{pose.clip}' is scaled to the body's box in every frame, which changes its angles; "
            "make the pose with 'racctl pose'"
        )
    if space == "2d":
        return pose.xyz[:, person, :, :2].astype(np.float64)
    if pose.world is None:
        raise DataError(f"clip '{pose.clip}' has no world landmarks, which angles in space need; use '--space 2d'")
    return pose.world[:, person].astype(np.float64)


def rate_of_change(values: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Return (T,) of (T,) values by central differences, per second; NaN beside what is not known."""
    if len(values) < 2:
        return np.full(len(values), np.nan)
    return np.gradient(values, time)


def _angle(places: np.ndarray, topology: Topology, angle: JointAngle, side: str) -> np.ndarray | None:
    """Return (T,) degrees, or None where the topology lacks a joint."""
    segments = [_segment(places, topology, ends, side) for ends in (angle.first, angle.second)]
    if segments[0] is None or segments[1] is None:
        return None
    return angle.sign * (angle_between(segments[0], segments[1]) - angle.neutral)


def _segment(places: np.ndarray, topology: Topology, ends: tuple[str, ...], side: str) -> np.ndarray | None:
    """Return (T, D) from the first joint to the second, or None where the topology lacks one."""
    if not ends:
        return np.broadcast_to(UP[: places.shape[2]], (len(places), places.shape[2]))
    points = [_point(places, topology, joint, side) for joint in ends]
    if points[0] is None or points[1] is None:
        return None
    return points[1] - points[0]


def _point(places: np.ndarray, topology: Topology, joint: str, side: str) -> np.ndarray | None:
    """Return (T, D) of a joint of a side, of both sides' middle for "", or None where the topology lacks it."""
    names = TOES if joint == "toe" else (joint,)
    for name in names:
        sided = [f"{each}_{name}" for each in ((side,) if side else SIDES)]
        if all(each in topology for each in sided):
            return np.mean([places[:, topology.index(each)] for each in sided], axis=0)
    return None


def angle_between(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the angle between vectors (T, D) and (T, D), (T,) 0..180 degrees; NaN where one has no length."""
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = np.where(lengths > SHORTEST_SEGMENT**2, (first * second).sum(1) / lengths, np.nan)
    return np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))
