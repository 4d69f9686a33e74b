"""Joint angles to the rotation and place of every bone, for all frames of a clip at once.

World: x to the left of a person who faces -y, z up, metres, the floor at z = 0. A bone's rotation is the one that
takes its rest pose (anny's) to its place now; `neutral` in the body takes the rest pose to the standing pose that
angles are counted from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from racctl.synth.channels import INDEX
from racctl.synth.kernels import blend, chain
from racctl.synth.rotate import X, Y, Z, about, about_vector, between, mirrored, unit

# Segments, parents first. The upper arm hangs on the chest: its angles are to the trunk, whatever the collar bone does.
PARENTS = {
    "pelvis": "",
    "waist": "pelvis",
    "chest": "waist",
    "neck": "chest",
    "head": "neck",
    "clavicle": "chest",
    "upperarm": "chest",
    "forearm": "upperarm",
    "hand": "forearm",
    "fingers": "hand",
    "thigh": "pelvis",
    "shin": "thigh",
    "foot": "shin",
    "toes": "foot",
}
CENTRE = ("pelvis", "waist", "chest", "neck", "head")
LIMB_SEGMENTS = tuple(name for name in PARENTS if name not in CENTRE)
SEGMENTS = CENTRE + tuple(f"{side}_{name}" for side in ("left", "right") for name in LIMB_SEGMENTS)
AT = {name: place for place, name in enumerate(SEGMENTS)}

Angle = Callable[[str], np.ndarray]  # a channel's name to its (T,) radians

BENT = 0.03  # m that a knee or an elbow stands off the line of its limb, at least, when it is bent to reach something


@dataclass(frozen=True)
class Bones:
    """The rig of one body.

    N bones, parents first.

    head: (N, 3) m, where each begins in the rest pose.
    parent: (N,) int, -1 for the root.
    first, second: (N,) segments between whose rotations the bone turns, `share` (N,) of the way to the second.
    neutral: (S, 3, 3), see the module.
    joint: segment -> the bone at whose head it begins.
    """

    names: tuple[str, ...]
    head: np.ndarray
    parent: np.ndarray
    first: np.ndarray
    second: np.ndarray
    share: np.ndarray
    neutral: np.ndarray
    joint: dict[str, int]


def segment_rotations(angles: np.ndarray) -> np.ndarray:
    """Turn angles (T, C) in degrees into (T, S, 3, 3), each segment against its pose in neutral standing."""
    turns = np.zeros((len(angles), len(SEGMENTS), 3, 3))

    def get(name: str) -> np.ndarray:
        return np.deg2rad(angles[:, INDEX[name]])

    turns[:, AT["pelvis"]] = about(Z, get("yaw")) @ about(X, get("pitch")) @ about(Y, get("roll"))
    for name in ("waist", "chest"):
        turns[:, AT[name]] = turns[:, AT[PARENTS[name]]] @ _bend(get, name, 1.0)
    turns[:, AT["neck"]] = turns[:, AT["chest"]] @ _bend(get, "neck", 0.5)
    turns[:, AT["head"]] = turns[:, AT["neck"]] @ _bend(get, "neck", 0.5)
    for side in ("left", "right"):

        def of_limb(channel: str, side: str = side) -> np.ndarray:
            return get(f"{side}_{channel}")

        for name, local in _limb(of_limb).items():
            parent = PARENTS[name]
            above = turns[:, AT[parent if parent in CENTRE else f"{side}_{parent}"]]
            turns[:, AT[f"{side}_{name}"]] = above @ (local if side == "left" else mirrored(local))
    return turns


def _bend(get: Angle, name: str, share: float) -> np.ndarray:
    return about(Z, share * get(f"{name}_turn")) @ about(Y, share * get(f"{name}_side")) @ about(X, share * get(name))


def _limb(get: Angle) -> dict[str, np.ndarray]:
    """Return the left limbs' segments against their parents; the right ones are the mirror images."""
    elevation, plane = get("shoulder"), get("shoulder_plane")
    axis = np.stack([-np.cos(plane), -np.sin(plane), np.zeros_like(plane)], -1)
    shrug = get("shrug") + 0.22 * np.clip(elevation - 0.6, 0, None)  # the shoulder blade follows a raised arm
    return {
        "clavicle": about(Y, -shrug),
        "upperarm": about_vector(axis, elevation) @ about(Z, get("shoulder_turn")),
        "forearm": about(X, -get("elbow")) @ about(Z, -get("pronation")),
        "hand": about(Y, get("wrist")),
        "fingers": about(Y, get("grip") * np.deg2rad(80) / np.deg2rad(100)),
        "thigh": about(Y, -get("hip_side")) @ about(Z, get("hip_turn")) @ about(X, -get("hip")),
        "shin": about(X, get("knee")),
        "foot": about(X, -get("ankle")),
        "toes": about(X, -get("toes")),
    }


def bone_rotations(bones: Bones, turns: np.ndarray) -> np.ndarray:
    """Turn rotations of segments (T, S, 3, 3) into those of bones (T, N, 3, 3).

    Twists and the curve of the spine are spread over the bones between two segments.
    """
    return blend(turns @ bones.neutral, bones.first, bones.second, bones.share)


def part(rotations: np.ndarray, share: float | np.ndarray) -> np.ndarray:
    """Return a share of each rotation, about the same axis."""
    skew = np.stack(
        [
            rotations[..., 2, 1] - rotations[..., 1, 2],
            rotations[..., 0, 2] - rotations[..., 2, 0],
            rotations[..., 1, 0] - rotations[..., 0, 1],
        ],
        -1,
    )
    angle = np.arctan2(np.linalg.norm(skew, axis=-1), np.trace(rotations, axis1=-2, axis2=-1) - 1)
    return about_vector(unit(skew), share * angle)


def bone_places(bones: Bones, turns: np.ndarray) -> np.ndarray:
    """Return the heads (T, N, 3) in metres of bones turned by (T, N, 3, 3), the root's at the origin."""
    return chain(np.ascontiguousarray(turns), bones.head, bones.parent)


def reach(bones: Bones, turns: np.ndarray, places: np.ndarray, limb: tuple[str, str, str], target: np.ndarray) -> None:
    """Bend a limb so that its end comes to `target` (T, 3); the segment rotations `turns` (T, S, 3, 3) change in place.

    limb: the two segments and the end, such as left_thigh, left_shin, left_foot.
    places: (T, N, 3) as they are now.

    The limb stays in the plane it bends in, and knees bend forward and elbows backward, whichever way the target is
    from a limb that is nearly straight; a target out of reach gets as near as the stretched limb comes.
    """
    upper, lower, end = (bones.joint[name] for name in limb)
    start, middle = places[:, upper], places[:, lower]
    first, second = (np.linalg.norm(bones.head[b] - bones.head[a]) for a, b in ((upper, lower), (lower, end)))
    line = target - start
    distance = np.clip(np.linalg.norm(line, axis=-1), abs(first - second) + 1e-6, 0.9995 * (first + second))
    along = unit(line)
    side = middle - start - ((middle - start) * along).sum(-1, keepdims=True) * along
    joint = turns[:, AT[limb[0]]] @ np.array([0, 1.0 if limb[0].endswith("upperarm") else -1.0, 0])  # where it points
    joint = unit(joint - (joint * along).sum(-1, keepdims=True) * along)
    side = unit(side + np.clip(BENT - (side * joint).sum(-1, keepdims=True), 0, None) * joint)
    cosine = np.clip((first**2 + distance**2 - second**2) / (2 * first * distance), -1, 1)
    bend = start + first * (cosine[:, None] * along + np.sqrt(1 - cosine**2)[:, None] * side)
    tip = start + distance[:, None] * along
    old_tip = places[:, end]
    turns[:, AT[limb[0]]] = between(middle - start, bend - start) @ turns[:, AT[limb[0]]]
    turns[:, AT[limb[1]]] = between(old_tip - middle, tip - bend) @ turns[:, AT[limb[1]]]
