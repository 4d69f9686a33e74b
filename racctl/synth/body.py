"""A body from anny's parametric human: mesh, rig, and the landmarks that the project's skeletons name.

Only this module needs anny and torch. What it returns is numpy, so workers that render never load them.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from racctl.synth.bones import AT, LIMB_SEGMENTS, SEGMENTS, Bones
from racctl.synth.kernels import skin_clip
from racctl.synth.rotate import Z, about, between

PHENOTYPES = ("gender", "age", "muscle", "weight", "height", "proportions")
CORNERS = 4  # bones that move one vertex, at most

# anny's bone -> (segment above, segment, share of the way to it)
CENTRE_BONES = {
    "root": ("pelvis", "pelvis", 1),
    "spine05": ("pelvis", "pelvis", 1),
    "spine04": ("pelvis", "waist", 0.5),
    "spine03": ("pelvis", "waist", 1),
    "spine02": ("waist", "chest", 0.5),
    "spine01": ("waist", "chest", 1),
    "neck01": ("chest", "neck", 0.5),
    "neck02": ("chest", "neck", 1),
    "neck03": ("neck", "head", 0.5),
    "head": ("neck", "head", 1),
    "eye.L": ("neck", "head", 1),
    "eye.R": ("neck", "head", 1),
}
LIMB_BONES = {
    "pelvis": ("pelvis", "pelvis", 1),
    "clavicle": ("chest", "clavicle", 1),
    "shoulder01": ("clavicle", "upperarm", 0.25),
    "upperarm01": ("clavicle", "upperarm", 0.9),
    "upperarm02": ("clavicle", "upperarm", 1),
    "lowerarm01": ("forearm", "forearm", 1),
    "lowerarm02": ("forearm", "forearm", 1),
    "wrist": ("forearm", "hand", 1),
    "metacarpal": ("forearm", "hand", 1),
    "upperleg01": ("pelvis", "thigh", 0.9),
    "upperleg02": ("pelvis", "thigh", 1),
    "lowerleg01": ("thigh", "shin", 1),
    "lowerleg02": ("thigh", "shin", 1),
    "foot": ("shin", "foot", 1),
    "toe": ("foot", "toes", 1),
    "finger1": ("hand", "fingers", 0.3),
    "finger-1": ("hand", "fingers", 0.7),
    "finger-2": ("hand", "fingers", 1),
    "finger-3": ("hand", "fingers", 1),
}
JOINT_BONES = {
    "clavicle": "clavicle",
    "upperarm": "upperarm01",
    "forearm": "lowerarm01",
    "hand": "wrist",
    "fingers": "finger3-1",
    "thigh": "upperleg01",
    "shin": "lowerleg01",
    "foot": "foot",
    "toes": "toe1-1",
}


@dataclass(frozen=True)
class Body:
    """One person's shape, at rest.

    vertices: (V, 3) m.
    faces: (F, 3) int32.
    skin: (V, 4) int32 bones and weights (V, 4).
    along: (V, 4): how far down the arm (0 shoulder, 1 elbow, 2 wrist, 3 finger tips), the leg, the trunk (0 crotch, 1
        neck) and up the head each vertex lies, NaN where it is on another part.
    face: (V,) 0 none, 1 lips, 2 brows, 3 white of the eye, 4 iris.
    points: name -> (rest place (3,), bone weights (N,)) of every landmark.
    hull: (P,) vertices that stand for the surface where the floor is concerned.
    sole: m from the ankle to the floor.
    """

    vertices: np.ndarray
    faces: np.ndarray
    skin: np.ndarray
    weights: np.ndarray
    along: np.ndarray
    face: np.ndarray
    bones: Bones
    points: dict[str, tuple[np.ndarray, np.ndarray]]
    hull: np.ndarray
    sole: float


@cache
def _anny() -> tuple[Any, Any]:
    """Return the model and its landmarks, loaded once.

    On its first use on a machine anny prepares its data for minutes.
    """
    quiet = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
    with warnings.catch_warnings(), quiet[0], quiet[1]:
        warnings.simplefilter("ignore")
        import torch
        import warp

        warp.config.quiet = True  # type: ignore[attr-defined]  # it reports to stdout; declared at run time alone
        import anny
        from anny.keypoints import KeypointsRegressor

        torch.set_num_threads(1)
        model = anny.Anny(skinning_method="lbs")
        return model, KeypointsRegressor.coco(model)


def make_body(phenotype: dict[str, float]) -> Body:
    """Return the body of these phenotype values, each 0..1 (`PHENOTYPES`; gender 0 male, 1 female)."""
    import torch

    model, coco = _anny()
    values = {name: torch.tensor([float(phenotype.get(name, 0.5))], dtype=model.dtype) for name in PHENOTYPES}
    with torch.no_grad():
        still = torch.eye(4, dtype=model.dtype).repeat(1, model.bone_count, 1, 1)
        shape = model(pose_parameters=still, phenotype_kwargs=values)
    vertices = shape["rest_vertices"][0].double().numpy()
    weights, which = (a.numpy() for a in (model.vertex_bone_weights.double(), model.vertex_bone_indices))
    order = np.argsort(-weights, 1, kind="stable")[:, :CORNERS]
    weights, which = np.take_along_axis(weights, order, 1), np.take_along_axis(which, order, 1).astype(np.int32)
    weights = weights / weights.sum(1, keepdims=True)
    names = tuple(model.bone_labels)
    bones = _bones(names, list(model.bone_parents), shape["rest_bone_heads"][0].double().numpy())
    dense = np.zeros((len(vertices), len(names)))
    np.put_along_axis(dense, which, weights, 1)
    regress = coco.regression_weights.double().numpy()
    points = _points(bones, vertices, dense, dict(zip(coco.labels, regress, strict=True)))
    faces = model.faces.numpy().astype(np.int32)
    ankle = bones.head[bones.joint["left_foot"], 2]
    return Body(
        vertices,
        faces,
        which,
        weights,
        _along(bones, vertices, which),
        _face(model, vertices, points),
        bones,
        points,
        _hull(vertices, dense, bones),
        float(ankle - vertices[:, 2].min()),
    )


def _bones(names: tuple[str, ...], parents: list[int], head: np.ndarray) -> Bones:
    rows = [_segment_of(name) for name in names]
    joint = {
        "pelvis": 0,
        "waist": names.index("spine04"),
        "chest": names.index("spine02"),
        "neck": names.index("neck01"),
        "head": names.index("head"),
    }
    for side in ("left", "right"):
        joint |= {f"{side}_{part}": names.index(f"{bone}.{side[0].upper()}") for part, bone in JOINT_BONES.items()}
    bones = Bones(
        names,
        head,
        np.array(parents),
        np.array([AT[first] for first, _, _ in rows]),
        np.array([AT[second] for _, second, _ in rows]),
        np.array([float(share) for _, _, share in rows]),
        np.tile(np.eye(3), (len(SEGMENTS), 1, 1)),
        joint,
    )
    for side in ("left", "right"):
        _stand(bones, side, names)
    return bones


def _segment_of(name: str) -> tuple[str, str, float]:
    if name in CENTRE_BONES:
        return CENTRE_BONES[name]
    bone, letter = name.split(".")
    side = {"L": "left", "R": "right"}[letter]
    kind = bone if bone in LIMB_BONES else bone.rstrip("0123456789-")
    if bone.startswith("finger"):
        kind = "finger1" if bone.startswith("finger1") else f"finger-{bone[-1]}"
    first, second, share = LIMB_BONES["toe" if bone.startswith("toe") else kind]
    first, second = (f"{side}_{part}" if part in LIMB_SEGMENTS else part for part in (first, second))
    return first, second, share


def _stand(bones: Bones, side: str, names: tuple[str, ...]) -> None:
    """Fill in `neutral` for the limbs of one side: from anny's A-pose to hanging arms and straight legs."""
    down, letter = np.array([0.0, 0, -1]), side[0].upper()

    def place(name: str) -> np.ndarray:
        return bones.head[names.index(f"{name}.{letter}")]

    arm = between(place("lowerarm01") - place("upperarm01"), down)
    bent = arm @ (place("wrist") - place("lowerarm01"))
    arm = about(Z, -np.arctan2(bent[0], -bent[1])) @ arm  # so that the elbow bends straight forward
    bent = arm @ (place("wrist") - place("lowerarm01"))
    forearm = between(bent, down) @ arm
    across = forearm @ (place("finger2-1") - place("finger5-1"))
    turn = about(Z, -np.arctan2(across[0], -across[1]))  # so that the thumb points forward
    hand = turn @ forearm
    hand = between(hand @ (place("finger3-1") - place("wrist")), down) @ hand
    thigh = between(place("lowerleg01") - place("upperleg01"), down)
    shin = between(place("foot") - place("lowerleg01"), down)
    ahead = place("toe2-1") - place("foot")
    foot = about(Z, -np.arctan2(ahead[0], -ahead[1]))
    rotations = {
        "upperarm": arm,
        "forearm": turn @ forearm,
        "hand": hand,
        "fingers": hand,
        "thigh": thigh,
        "shin": shin,
        "foot": foot,
        "toes": foot,
    }
    for name, rotation in rotations.items():
        bones.neutral[AT[f"{side}_{name}"]] = rotation


HAND_POINTS = {"pinky": "finger5-1", "index": "finger2-1", "thumb": "finger1-2"}
EYE = {"inner": -0.014, "": 0.0, "outer": 0.017}  # m from the middle of the eye, outward


def _points(bones: Bones, vertices: np.ndarray, dense: np.ndarray, coco: dict[str, np.ndarray]) -> dict:
    """Return landmarks of blazepose33 and contact points, as virtual vertices."""

    def regressed(name: str) -> tuple[np.ndarray, np.ndarray]:
        return coco[name] @ vertices, coco[name] @ dense

    def at_bone(name: str, offset: np.ndarray | float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        row = bones.names.index(name)
        return bones.head[row] + offset, np.eye(len(bones.names))[row]

    head = np.eye(len(bones.names))[bones.names.index("head")]
    points = {"nose": regressed("nose")}
    mouth = _mouth(vertices, points["nose"][0])
    for side, out in (("left", 1.0), ("right", -1.0)):
        eye = regressed(f"{side}_eye")[0]
        for part, offset in EYE.items():
            points[f"{side}_eye_{part}".rstrip("_")] = (eye + np.array([out * offset, 0, 0]), head)
        points[f"mouth_{side}"] = (mouth + np.array([out * 0.026, 0.012, 0]), head)
        for name in ("ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle", "heel"):
            points[f"{side}_{name}"] = regressed(f"{side}_{name}")
        points[f"{side}_foot_index"] = regressed(f"{side}_big_toe")
        for name, bone in HAND_POINTS.items():
            points[f"{side}_{name}"] = at_bone(f"{bone}.{side[0].upper()}")
        points[f"{side}_ball"] = at_bone(f"toe1-1.{side[0].upper()}")
        points[f"{side}_hand_tip"] = at_bone(f"finger3-3.{side[0].upper()}")
    return points


def _mouth(vertices: np.ndarray, nose: np.ndarray) -> np.ndarray:
    """Return the middle of the lips: the foremost point of the face between nose and chin."""
    near = (abs(vertices[:, 0]) < 0.006) & (vertices[:, 2] < nose[2] - 0.022) & (vertices[:, 2] > nose[2] - 0.055)
    skin = vertices[near]
    return skin[skin[:, 1] <= np.quantile(skin[:, 1], 0.3)].mean(0) if near.any() else nose - [0, -0.02, 0.035]


def _along(bones: Bones, vertices: np.ndarray, which: np.ndarray) -> np.ndarray:
    """Return (V, 4), see Body.along."""
    out = np.full((len(vertices), 4), np.nan)
    main = np.array([_segment_of(name)[1] for name in bones.names])[which[:, 0]]
    for side in ("left", "right"):
        for column, parts in enumerate((("upperarm", "forearm", "hand", "fingers"), ("thigh", "shin", "foot", "toes"))):
            ends = [bones.head[bones.joint[f"{side}_{part}"]] for part in parts]
            for k, part in enumerate(parts):
                rows = main == f"{side}_{part}"
                first, last = (ends[k], ends[k + 1]) if k < 2 else (ends[2], ends[3])
                span = last - first
                share = (vertices[rows] - first) @ span / (span @ span)
                out[rows, column] = np.clip(share, -0.3 if k == 0 else 0, 1) + min(k, 2)
    low, high = bones.head[bones.joint["left_thigh"], 2] - 0.06, bones.head[bones.joint["neck"], 2]
    trunk = np.isin(main, ["pelvis", "waist", "chest", "left_clavicle", "right_clavicle", "neck"])
    out[trunk, 2] = (vertices[trunk, 2] - low) / (high - low)
    skull = bones.head[bones.joint["head"], 2]
    rows = main == "head"
    out[rows, 3] = (vertices[rows, 2] - skull) / (vertices[:, 2].max() - skull)
    return out


def _face(model: Any, vertices: np.ndarray, points: dict) -> np.ndarray:
    """Return (V,) what the features of the face are, see Body.face."""
    out = np.zeros(len(vertices), np.int8)
    lips = (points["mouth_left"][0] + points["mouth_right"][0]) / 2
    offset = vertices - lips
    deep = np.clip(abs(offset[:, 1]) - 0.02, 0, None) / 0.01
    out[(offset[:, 0] / 0.025) ** 2 + (offset[:, 2] / 0.009) ** 2 + deep**2 < 1] = 1
    names = list(model.bone_labels)
    main = model.vertex_bone_indices.numpy()[np.arange(len(vertices)), model.vertex_bone_weights.numpy().argmax(1)]
    for side, letter in (("left", "L"), ("right", "R")):
        eye = points[f"{side}_eye"][0]
        offset = vertices - eye
        arch = 0.021 - 4 * offset[:, 0] ** 2
        near = (abs(offset[:, 0]) < 0.022) & (abs(offset[:, 1]) < 0.03)
        out[near & (abs(offset[:, 2] - arch) < 0.005)] = 2
        ball = np.isin(main, [names.index(f"eye.{letter}")])
        out[ball] = 3
        centre = vertices[ball].mean(0) if ball.any() else eye
        out[ball & (np.hypot(*(vertices - centre)[:, [0, 2]].T) < 0.0065)] = 4
    return out


def _hull(vertices: np.ndarray, dense: np.ndarray, bones: Bones) -> np.ndarray:
    """Return the outermost vertices of every segment in 26 directions, at rest: what can touch the floor."""
    directions = np.array(list(np.ndindex(3, 3, 3)), float) - 1
    directions = directions[np.abs(directions).sum(1) > 0]
    main = bones.second[dense.argmax(1)]
    groups = [np.flatnonzero(main == segment) for segment in np.unique(main)]
    return np.unique(np.concatenate([rows[(vertices[rows] @ directions.T).argmax(0)] for rows in groups]))


def landmarks(body: Body, names: tuple[str, ...], turns: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return (T, P, 3) m: the named landmarks under bone rotations (T, N, 3, 3) and places (T, N, 3)."""
    dense = np.stack([body.points[name][1] for name in names])
    bones = np.argsort(-dense, 1, kind="stable")[:, :8].astype(np.int32)
    weights = np.take_along_axis(dense, bones, 1)
    weights /= weights.sum(1, keepdims=True)
    at_rest = np.stack([body.points[name][0] for name in names])
    return skin_clip(at_rest, bones, weights, turns, places, body.bones.head)
