"""Skeletons by name: which joints a topology has, in which order, how they are linked, which are mirror images.

Nothing outside this module and its tests should need a joint's number: ask `D2STX25.index("left_wrist")`.
Left and right are the person's own, as in every topology here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from racctl.errors import UsageError

JointPairs = tuple[tuple[str, str], ...]
SIDES = ("left", "right")
LIMB_JOINT_WORDS = {
    "leg": ("hip", "knee", "ankle", "heel", "foot", "toe"),
    "arm": ("shoulder", "elbow", "wrist", "hand", "thumb", "pinky", "index"),
}  # limbs, and the words in the names of their joints


@dataclass(frozen=True)
class Topology:
    """A skeleton: the joints in the order of the arrays, edges and left/right pairs by name.

    Names are snake_case and unique. Edges run away from the trunk's centre where the graph is a tree (d2stx25, ntu25:
    from "spine_shoulder", the centre of CTR-GCN's partition). Raises UsageError for a joint named twice, an edge or
    symmetry that names an unknown joint, an edge from a joint to itself and a joint in two symmetries.
    """

    name: str
    joints: tuple[str, ...]
    edges: JointPairs
    symmetries: JointPairs

    def __post_init__(self) -> None:
        _refuse_twice(self.joints, f"topology '{self.name}' names")
        _refuse_twice([joint for pair in self.symmetries for joint in pair], f"topology '{self.name}' mirrors")
        _refuse_twice([" - ".join(sorted(edge)) for edge in self.edges], f"topology '{self.name}' links")
        for first, second in (*self.edges, *self.symmetries):
            self.indices([first, second])
            if first == second:
                raise UsageError(f"topology '{self.name}' links '{first}' to itself")

    def __len__(self) -> int:
        return len(self.joints)

    def __contains__(self, joint: object) -> bool:
        return joint in self.joints

    def index(self, joint: str) -> int:
        """Return the place of `joint` on axis V.

        Raises UsageError when this topology has no such joint.
        """
        try:
            return self.joints.index(joint)
        except ValueError:
            known = ", ".join(self.joints)
            raise UsageError(f"topology '{self.name}' has no joint '{joint}'; it has {known}") from None

    def indices(self, joints: Iterable[str]) -> list[int]:
        """Return the places of several joints on axis V, in the order asked for."""
        return [self.index(joint) for joint in joints]

    @property
    def flip(self) -> np.ndarray:
        """(V,) int64: `array[..., flip, :]` swaps left and right joints; twice is the identity.

        Mirroring a picture also needs x -> width - 1 - x, which is not a matter of topology.
        """
        order = np.arange(len(self.joints))
        for left, right in self.symmetries:
            order[self.indices([left, right])] = self.indices([right, left])
        return order

    @property
    def parts(self) -> dict[str, tuple[str, ...]]:
        """Trunk with head, legs and arms, each with its joints; every joint is in one."""
        by_part: dict[str, list[str]] = {
            name: [] for name in ("trunk", *(f"{s}_{p}" for p in LIMB_JOINT_WORDS for s in SIDES))
        }
        for joint in self.joints:
            words = joint.split("_")
            side = next((s for s in SIDES if s in words), "")
            part = next((p for p, names in LIMB_JOINT_WORDS.items() if set(names) & set(words)), "")
            by_part[f"{side}_{part}" if side and part else "trunk"].append(joint)
        return {name: tuple(joints) for name, joints in by_part.items() if joints}

    def permutation(self, to: Topology) -> np.ndarray:
        """Return (V,) int64 with `array[..., permutation, :]` in the order of `to`.

        Raises UsageError unless both have the same joints.
        """
        if set(self.joints) != set(to.joints):
            raise UsageError(f"'{self.name}' and '{to.name}' have different joints, so neither permutes the other")
        return np.array(self.indices(to.joints))


def _refuse_twice(items: Iterable[str], what: str) -> None:
    seen: set[str] = set()
    for item in items:
        if item in seen:
            raise UsageError(f"{what} '{item}' twice")
        seen.add(item)


def _left_right(joints: tuple[str, ...]) -> JointPairs:
    """Return the pairs that the names themselves declare.

    "left_wrist" and "right_wrist", "mouth_left" and "mouth_right".
    """
    mirrored = {joint: joint.replace("left", "right") for joint in joints if "left" in joint.split("_")}
    return tuple((left, right) for left, right in mirrored.items() if right in joints)


def _topology(name: str, joints: tuple[str, ...], edges: JointPairs) -> Topology:
    return Topology(name, joints, edges, _left_right(joints))


# MediaPipe's BlazePose, 33 landmarks (supplement 6.1 lists them in this order); edges: its POSE_CONNECTIONS.
BLAZEPOSE33 = _topology(
    "blazepose33",
    (
        "nose",
        "left_eye_inner",
        "left_eye",
        "left_eye_outer",
        "right_eye_inner",
        "right_eye",
        "right_eye_outer",
        "left_ear",
        "right_ear",
        "mouth_left",
        "mouth_right",
        "left_shoulder",
        "right_shoulder",
        "left_elbow",
        "right_elbow",
        "left_wrist",
        "right_wrist",
        "left_pinky",
        "right_pinky",
        "left_index",
        "right_index",
        "left_thumb",
        "right_thumb",
        "left_hip",
        "right_hip",
        "left_knee",
        "right_knee",
        "left_ankle",
        "right_ankle",
        "left_heel",
        "right_heel",
        "left_foot_index",
        "right_foot_index",
    ),
    (
        ("nose", "left_eye_inner"),
        ("left_eye_inner", "left_eye"),
        ("left_eye", "left_eye_outer"),
        ("left_eye_outer", "left_ear"),
        ("nose", "right_eye_inner"),
        ("right_eye_inner", "right_eye"),
        ("right_eye", "right_eye_outer"),
        ("right_eye_outer", "right_ear"),
        ("mouth_left", "mouth_right"),
        ("left_shoulder", "right_shoulder"),
        ("left_shoulder", "left_elbow"),
        ("left_elbow", "left_wrist"),
        ("left_wrist", "left_pinky"),
        ("left_wrist", "left_index"),
        ("left_wrist", "left_thumb"),
        ("left_pinky", "left_index"),
        ("right_shoulder", "right_elbow"),
        ("right_elbow", "right_wrist"),
        ("right_wrist", "right_pinky"),
        ("right_wrist", "right_index"),
        ("right_wrist", "right_thumb"),
        ("right_pinky", "right_index"),
        ("left_shoulder", "left_hip"),
        ("right_shoulder", "right_hip"),
        ("left_hip", "right_hip"),
        ("left_hip", "left_knee"),
        ("right_hip", "right_knee"),
        ("left_knee", "left_ankle"),
        ("right_knee", "right_ankle"),
        ("left_ankle", "left_heel"),
        ("right_ankle", "right_heel"),
        ("left_heel", "left_foot_index"),
        ("right_heel", "right_foot_index"),
        ("left_ankle", "left_foot_index"),
        ("right_ankle", "right_foot_index"),
    ),
)

# The 25 joints of D²-STX (supplement 6.1). It calls joint 21 "spine" and both 22 and 24 "middle of spine"; the bone
# list of the authors' feeder joins 21 to the shoulders, 22 to the hips and 24 between them, which names them. Edges:
# that bone list, without its self-loop at the head, turned to run outward. They differ from Kinect's at the hands.
D2STX25 = _topology(
    "d2stx25",
    (
        "head",
        "left_shoulder",
        "right_shoulder",
        "left_elbow",
        "right_elbow",
        "left_wrist",
        "right_wrist",
        "left_hand",
        "right_hand",
        "left_hand_tip",
        "right_hand_tip",
        "left_thumb",
        "right_thumb",
        "left_hip",
        "right_hip",
        "left_knee",
        "right_knee",
        "left_ankle",
        "right_ankle",
        "left_foot",
        "right_foot",
        "spine_shoulder",
        "spine_base",
        "neck",
        "spine_mid",
    ),
    (
        ("spine_shoulder", "neck"),
        ("neck", "head"),
        ("spine_shoulder", "left_shoulder"),
        ("left_shoulder", "left_elbow"),
        ("left_elbow", "left_wrist"),
        ("left_wrist", "left_hand"),
        ("left_hand", "left_hand_tip"),
        ("left_wrist", "left_thumb"),
        ("spine_shoulder", "right_shoulder"),
        ("right_shoulder", "right_elbow"),
        ("right_elbow", "right_wrist"),
        ("right_wrist", "right_hand"),
        ("right_hand", "right_hand_tip"),
        ("right_wrist", "right_thumb"),
        ("spine_shoulder", "spine_mid"),
        ("spine_mid", "spine_base"),
        ("spine_base", "left_hip"),
        ("left_hip", "left_knee"),
        ("left_knee", "left_ankle"),
        ("left_ankle", "left_foot"),
        ("spine_base", "right_hip"),
        ("right_hip", "right_knee"),
        ("right_knee", "right_ankle"),
        ("right_ankle", "right_foot"),
    ),
)

# Kinect v2 in the order of NTU RGB+D; edges: ST-GCN's and CTR-GCN's graph for it.
NTU25 = _topology(
    "ntu25",
    (
        "spine_base",
        "spine_mid",
        "neck",
        "head",
        "left_shoulder",
        "left_elbow",
        "left_wrist",
        "left_hand",
        "right_shoulder",
        "right_elbow",
        "right_wrist",
        "right_hand",
        "left_hip",
        "left_knee",
        "left_ankle",
        "left_foot",
        "right_hip",
        "right_knee",
        "right_ankle",
        "right_foot",
        "spine_shoulder",
        "left_hand_tip",
        "left_thumb",
        "right_hand_tip",
        "right_thumb",
    ),
    (
        ("spine_shoulder", "neck"),
        ("neck", "head"),
        ("spine_shoulder", "left_shoulder"),
        ("left_shoulder", "left_elbow"),
        ("left_elbow", "left_wrist"),
        ("left_wrist", "left_hand"),
        ("left_hand", "left_thumb"),
        ("left_thumb", "left_hand_tip"),
        ("spine_shoulder", "right_shoulder"),
        ("right_shoulder", "right_elbow"),
        ("right_elbow", "right_wrist"),
        ("right_wrist", "right_hand"),
        ("right_hand", "right_thumb"),
        ("right_thumb", "right_hand_tip"),
        ("spine_shoulder", "spine_mid"),
        ("spine_mid", "spine_base"),
        ("spine_base", "left_hip"),
        ("left_hip", "left_knee"),
        ("left_knee", "left_ankle"),
        ("left_ankle", "left_foot"),
        ("spine_base", "right_hip"),
        ("right_hip", "right_knee"),
        ("right_knee", "right_ankle"),
        ("right_ankle", "right_foot"),
    ),
)

# COCO person keypoints; edges: the "skeleton" of its annotation files.
COCO17 = _topology(
    "coco17",
    (
        "nose",
        "left_eye",
        "right_eye",
        "left_ear",
        "right_ear",
        "left_shoulder",
        "right_shoulder",
        "left_elbow",
        "right_elbow",
        "left_wrist",
        "right_wrist",
        "left_hip",
        "right_hip",
        "left_knee",
        "right_knee",
        "left_ankle",
        "right_ankle",
    ),
    (
        ("left_ankle", "left_knee"),
        ("left_knee", "left_hip"),
        ("right_ankle", "right_knee"),
        ("right_knee", "right_hip"),
        ("left_hip", "right_hip"),
        ("left_shoulder", "left_hip"),
        ("right_shoulder", "right_hip"),
        ("left_shoulder", "right_shoulder"),
        ("left_shoulder", "left_elbow"),
        ("right_shoulder", "right_elbow"),
        ("left_elbow", "left_wrist"),
        ("right_elbow", "right_wrist"),
        ("left_eye", "right_eye"),
        ("nose", "left_eye"),
        ("nose", "right_eye"),
        ("left_eye", "left_ear"),
        ("right_eye", "right_ear"),
        ("left_ear", "left_shoulder"),
        ("right_ear", "right_shoulder"),
    ),
)

_OPENPOSE_LIMBS: JointPairs = (
    ("neck", "right_shoulder"),
    ("right_shoulder", "right_elbow"),
    ("right_elbow", "right_wrist"),
    ("neck", "left_shoulder"),
    ("left_shoulder", "left_elbow"),
    ("left_elbow", "left_wrist"),
    ("right_hip", "right_knee"),
    ("right_knee", "right_ankle"),
    ("left_hip", "left_knee"),
    ("left_knee", "left_ankle"),
    ("neck", "nose"),
    ("nose", "right_eye"),
    ("right_eye", "right_ear"),
    ("nose", "left_eye"),
    ("left_eye", "left_ear"),
)

# OpenPose's BODY_25. Its "neck" is the middle of the shoulders, lower than Kinect's.
OPENPOSE25 = _topology(
    "openpose25",
    (
        "nose",
        "neck",
        "right_shoulder",
        "right_elbow",
        "right_wrist",
        "left_shoulder",
        "left_elbow",
        "left_wrist",
        "mid_hip",
        "right_hip",
        "right_knee",
        "right_ankle",
        "left_hip",
        "left_knee",
        "left_ankle",
        "right_eye",
        "left_eye",
        "right_ear",
        "left_ear",
        "left_big_toe",
        "left_small_toe",
        "left_heel",
        "right_big_toe",
        "right_small_toe",
        "right_heel",
    ),
    (
        ("neck", "mid_hip"),
        ("mid_hip", "right_hip"),
        ("mid_hip", "left_hip"),
        *_OPENPOSE_LIMBS,
        ("left_ankle", "left_big_toe"),
        ("left_big_toe", "left_small_toe"),
        ("left_ankle", "left_heel"),
        ("right_ankle", "right_big_toe"),
        ("right_big_toe", "right_small_toe"),
        ("right_ankle", "right_heel"),
    ),
)

# OpenPose's older COCO layout: COCO's 17 in another order, and the neck.
OPENPOSE18 = _topology(
    "openpose18",
    (
        "nose",
        "neck",
        "right_shoulder",
        "right_elbow",
        "right_wrist",
        "left_shoulder",
        "left_elbow",
        "left_wrist",
        "right_hip",
        "right_knee",
        "right_ankle",
        "left_hip",
        "left_knee",
        "left_ankle",
        "right_eye",
        "left_eye",
        "right_ear",
        "left_ear",
    ),
    (("neck", "right_hip"), ("neck", "left_hip"), *_OPENPOSE_LIMBS),
)

TOPOLOGIES: dict[str, Topology] = {
    topology.name: topology for topology in (BLAZEPOSE33, D2STX25, NTU25, COCO17, OPENPOSE25, OPENPOSE18)
}


def topology_named(name: str) -> Topology:
    """Return the topology of that name.

    Raises UsageError listing what there is.
    """
    if name not in TOPOLOGIES:
        raise UsageError(f"no such topology '{name}'; expected one of {', '.join(TOPOLOGIES)}")
    return TOPOLOGIES[name]
