"""From one topology to another: each target joint is a named formula over the source's joints.

A formula is a weighted mean of named source joints. It applies to image and world coordinates alike; the score is
the minimum of the sources' scores; where one source is missing, or where a target joint has no formula, the result is
NaN with score 0. The tables below are the documentation: `FORMULAS["blazepose33", "d2stx25"]["neck"]`.

The paper publishes the 25 joints (supplement 6.1) but no formula, so the 33 -> 25 table is this project's reading:
direct where the joints are the same point, the middle where the target lies between two.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from racctl import __version__
from racctl.contracts import Pose, step, with_step
from racctl.errors import DataError
from racctl.skeleton.topology import TOPOLOGIES, Topology, topology_named

Formula = dict[str, float]


def mean(*joints: str) -> Formula:
    """Return the plain mean of these source joints; of one, that joint itself."""
    return {joint: 1 / len(joints) for joint in joints}


def _both_sides(formulas: dict[str, Formula]) -> dict[str, Formula]:
    """Return the same formulas for the other side of the body: every "left" becomes "right"."""
    mirrored = {
        target.replace("left", "right"): {joint.replace("left", "right"): w for joint, w in formula.items()}
        for target, formula in formulas.items()
    }
    return formulas | mirrored


def _same(*joints: str) -> dict[str, Formula]:
    """Return joints that are the same point under the same name, on both sides where there are two."""
    return _both_sides({joint: mean(joint) for joint in joints})


LIMB_FORMULAS = _same("left_shoulder", "left_elbow", "left_wrist", "left_hip", "left_knee", "left_ankle")
FACE_FORMULAS = _same("nose", "left_eye", "left_ear")
SHOULDERS = ("left_shoulder", "right_shoulder")
HIPS = ("left_hip", "right_hip")

# The trunk of Kinect and D²-STX from shoulders and hips.
SPINE = {"spine_shoulder": mean(*SHOULDERS), "spine_base": mean(*HIPS), "spine_mid": mean(*SHOULDERS, *HIPS)}

# The neck stands half way from the middle of the shoulders to the middle of the mouth. Where only the nose is known
# that is 0.42 of the way to the nose (median of 46 real BlazePose sequences; 0.40 to 0.43 in the middle 80 %).
NECK_BELOW_MOUTH = mean(*SHOULDERS, "mouth_left", "mouth_right")
NECK_BELOW_NOSE = {"left_shoulder": 0.29, "right_shoulder": 0.29, "nose": 0.42}
NECK_ABOVE_OPENPOSE = {"neck": 0.58, "nose": 0.42}

BLAZEPOSE_TO_KINECT = {
    **LIMB_FORMULAS,
    **_same("left_thumb"),
    **_both_sides(
        {
            "left_hand": mean("left_pinky", "left_index"),
            "left_hand_tip": mean("left_index"),
            "left_foot": mean("left_foot_index"),
        }
    ),
    **SPINE,
    "neck": NECK_BELOW_MOUTH,
    "head": mean("nose"),
}

# Hands and feet are unknown to COCO.
COCO_TO_KINECT = {**LIMB_FORMULAS, **SPINE, "neck": NECK_BELOW_NOSE, "head": mean("nose")}

# OpenPose finds its own "neck", the middle of the shoulders, also when a shoulder is hidden; hands are unknown.
OPENPOSE18_TO_KINECT = {
    **LIMB_FORMULAS,
    "spine_shoulder": mean("neck"),
    "spine_base": mean(*HIPS),
    "spine_mid": {"neck": 0.5, "left_hip": 0.25, "right_hip": 0.25},
    "neck": NECK_ABOVE_OPENPOSE,
    "head": mean("nose"),
}
OPENPOSE25_TO_KINECT = {
    **OPENPOSE18_TO_KINECT,
    **_both_sides({"left_foot": mean("left_big_toe")}),
    "spine_base": mean("mid_hip"),
    "spine_mid": mean("neck", "mid_hip"),
}

# Back: what the 25 joints keep. The head stands for the nose, as it was taken from it; the rest of the face is lost.
KINECT_TO_COCO = {**LIMB_FORMULAS, "nose": mean("head")}
KINECT_TO_BLAZEPOSE = {
    **KINECT_TO_COCO,
    **_same("left_thumb"),
    **_both_sides({"left_index": mean("left_hand_tip"), "left_foot_index": mean("left_foot")}),
}
KINECT_TO_OPENPOSE18 = {**KINECT_TO_COCO, "neck": mean("spine_shoulder")}
KINECT_TO_OPENPOSE25 = {
    **KINECT_TO_OPENPOSE18,
    **_both_sides({"left_big_toe": mean("left_foot")}),
    "mid_hip": mean("spine_base"),
}

COCO_TO_COCO = {**LIMB_FORMULAS, **FACE_FORMULAS}
COCO_TO_OPENPOSE18 = {**COCO_TO_COCO, "neck": mean(*SHOULDERS)}
COCO_TO_OPENPOSE25 = {**COCO_TO_OPENPOSE18, "mid_hip": mean(*HIPS)}
BLAZEPOSE_TO_OPENPOSE25 = {
    **COCO_TO_OPENPOSE25,
    **_same("left_heel"),
    **_both_sides({"left_big_toe": mean("left_foot_index")}),
}
OPENPOSE18_TO_OPENPOSE25 = {**COCO_TO_COCO, "neck": mean("neck"), "mid_hip": mean(*HIPS)}
OPENPOSE25_TO_OPENPOSE18 = {**COCO_TO_COCO, "neck": mean("neck")}
OPENPOSE25_TO_BLAZEPOSE = {
    **COCO_TO_COCO,
    **_same("left_heel"),
    **_both_sides({"left_foot_index": mean("left_big_toe")}),
}


def _by_name(topology: Topology) -> dict[str, Formula]:
    return {joint: mean(joint) for joint in topology.joints}


FORMULAS: dict[tuple[str, str], dict[str, Formula]] = {
    ("blazepose33", "d2stx25"): BLAZEPOSE_TO_KINECT,
    ("blazepose33", "ntu25"): BLAZEPOSE_TO_KINECT,
    ("blazepose33", "coco17"): COCO_TO_COCO,
    ("blazepose33", "openpose25"): BLAZEPOSE_TO_OPENPOSE25,
    ("blazepose33", "openpose18"): COCO_TO_OPENPOSE18,
    ("d2stx25", "blazepose33"): KINECT_TO_BLAZEPOSE,
    ("d2stx25", "ntu25"): _by_name(TOPOLOGIES["d2stx25"]),
    ("d2stx25", "coco17"): KINECT_TO_COCO,
    ("d2stx25", "openpose25"): KINECT_TO_OPENPOSE25,
    ("d2stx25", "openpose18"): KINECT_TO_OPENPOSE18,
    ("ntu25", "blazepose33"): KINECT_TO_BLAZEPOSE,
    ("ntu25", "d2stx25"): _by_name(TOPOLOGIES["ntu25"]),
    ("ntu25", "coco17"): KINECT_TO_COCO,
    ("ntu25", "openpose25"): KINECT_TO_OPENPOSE25,
    ("ntu25", "openpose18"): KINECT_TO_OPENPOSE18,
    ("coco17", "blazepose33"): COCO_TO_COCO,
    ("coco17", "d2stx25"): COCO_TO_KINECT,
    ("coco17", "ntu25"): COCO_TO_KINECT,
    ("coco17", "openpose25"): COCO_TO_OPENPOSE25,
    ("coco17", "openpose18"): COCO_TO_OPENPOSE18,
    ("openpose25", "blazepose33"): OPENPOSE25_TO_BLAZEPOSE,
    ("openpose25", "d2stx25"): OPENPOSE25_TO_KINECT,
    ("openpose25", "ntu25"): OPENPOSE25_TO_KINECT,
    ("openpose25", "coco17"): COCO_TO_COCO,
    ("openpose25", "openpose18"): OPENPOSE25_TO_OPENPOSE18,
    ("openpose18", "blazepose33"): COCO_TO_COCO,
    ("openpose18", "d2stx25"): OPENPOSE18_TO_KINECT,
    ("openpose18", "ntu25"): OPENPOSE18_TO_KINECT,
    ("openpose18", "coco17"): COCO_TO_COCO,
    ("openpose18", "openpose25"): OPENPOSE18_TO_OPENPOSE25,
}


def formulas(source: str, to: str) -> dict[str, Formula]:
    """Return {target joint: {source joint: weight}} for every target joint that `source` says something about."""
    joints, _ = topology_named(source), topology_named(to)
    return _by_name(joints) if source == to else FORMULAS[source, to]


def topology_of(pose: Pose) -> Topology:
    """Return the topology that the pose names.

    Raises DataError when it is unknown or has another number of joints than xyz.
    """
    source = TOPOLOGIES.get(str(pose.topology))
    if source is None:
        raise DataError(f"'{pose.clip}' has the topology '{pose.topology}'; expected one of {', '.join(TOPOLOGIES)}")
    joints = pose.xyz.shape[2]
    if joints != len(source):
        raise DataError(f"'{pose.clip}' has {joints} joints, but its topology {source.name} has {len(source)}")
    return source


def remap(pose: Pose, to: str) -> Pose:
    """Return the same people over the topology named `to`.

    xyz and world (T, M, V, 3) -> (T, M, V', 3), score (T, M, V) -> (T, M, V'); frame, time and track are kept, the step
    "remap-joints" is added to meta. Joints without a formula are NaN with score 0 (`unknown_joints` lists them). Raises
    Raises UsageError for an unknown `to`, DataError when the pose's topology is unknown or not that of its arrays.
    """
    target = topology_named(to)
    source = topology_of(pose)
    table = formulas(source.name, to)
    xyz = _coordinates(pose.xyz, source, target, table)
    score = _scores(pose.score, source, target, table)
    score[np.isnan(xyz[..., :2]).any(-1)] = 0
    world = None if pose.world is None else _coordinates(pose.world, source, target, table)
    meta = with_step({**pose.meta, "topology": to}, step("remap-joints", __version__, to=to))
    return Pose(xyz, score, pose.frame, pose.time, pose.track, meta, world)


def unknown_joints(pose: Pose) -> list[str]:
    """Return the joints that no frame of the pose knows although it knows others.

    None where nobody was found at all.
    """
    known = np.isfinite(pose.xyz[..., :2]).all(-1).any((0, 1))
    joints = topology_of(pose).joints
    return [joint for joint, seen in zip(joints, known, strict=True) if not seen and known.any()]


def _coordinates(array: np.ndarray, source: Topology, target: Topology, table: dict[str, Formula]) -> np.ndarray:
    """Return (T, M, V, 3) -> (T, M, V', 3).

    Joint by joint and not as a matrix product, in which 0 * NaN would spread.
    """
    out = np.full((*array.shape[:2], len(target), 3), np.nan, np.float32)
    for joint, formula in table.items():
        parts = (weight * array[:, :, source.index(name)].astype(np.float64) for name, weight in formula.items())
        out[:, :, target.index(joint)] = sum(parts)
    return out


def _scores(score: np.ndarray, source: Topology, target: Topology, table: dict[str, Formula]) -> np.ndarray:
    out = np.zeros((*score.shape[:2], len(target)), np.float32)
    for joint, formula in table.items():
        out[:, :, target.index(joint)] = score[:, :, source.indices(formula)].min(-1)
    return out


def minmax(pose: Pose) -> Pose:
    """Scale x, y and z to 0..1 over the joints of each person in each frame, as in PoseRAC's files."""
    xyz, unseen = pose.xyz.astype(np.float64), np.isnan(pose.xyz)
    low = np.where(unseen, np.inf, xyz).min(2, keepdims=True)
    span = np.where(unseen, -np.inf, xyz).max(2, keepdims=True) - low
    with np.errstate(invalid="ignore"):  # of a frame in which nobody is seen
        scaled = (xyz - low) / np.maximum(span, 1e-9)
    meta = with_step({**pose.meta, "scale": "minmax"}, step("remap-joints", __version__, minmax=True))
    return replace(pose, xyz=np.where(unseen, np.nan, scaled).astype(np.float32), world=None, meta=meta)
