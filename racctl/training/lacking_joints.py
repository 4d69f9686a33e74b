"""Joints as other skeletons and cameras give them: layouts that lack joints, cut pictures, no depth, a tilted camera.

These augmentations are this project's. They work on joints (b, t, v, 4) as `racctl.skeleton.normalise.joint_tokens`
gives them, on whatever device they are on; what is unseen is all zeros.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from racctl.skeleton.topology import Topology

# Layouts by the words in the names of the joints that they lack; "side_" stands for one side of the body, drawn anew.
LACKING: dict[str, tuple[str, ...]] = {
    "openpose25": ("hand", "thumb", "pinky", "index"),
    "coco17": ("hand", "thumb", "pinky", "index", "foot", "heel", "toe"),
    "no feet": ("ankle", "foot", "heel", "toe"),
    "no lower legs": ("knee", "ankle", "foot", "heel", "toe"),
    "no legs": ("hip", "base", "mid", "knee", "ankle", "foot", "heel", "toe"),
    "no head": ("head", "nose", "eye", "ear", "mouth", "neck"),
    "legs only": ("head", "nose", "eye", "ear", "mouth", "neck", "shoulder", "mid", "elbow", "wrist", "hand", "thumb"),
    "arms only": ("head", "nose", "eye", "ear", "mouth", "neck", "hip", "base", "mid", "knee", "ankle", "foot", "heel"),
    "one arm": ("side_elbow", "side_wrist", "side_hand", "side_thumb"),
    "one side": ("side_elbow", "side_wrist", "side_hand", "side_thumb", "side_knee", "side_ankle", "side_foot"),
}
LAYOUT_SHARES = {"openpose25": 3.0, "coco17": 4.0, "no lower legs": 2.0}  # relative; 1 for the others
CUT_SHARE = 0.3  # of the windows that lose joints: by the edge of the picture in place of a layout
CUT_AT = (0.25, 0.85)  # share of the body's box that stays in the picture
STILL_SHARE = 0.35  # of the motion of the quickest joint: what moves less tells little of the exercise
LEAST_MOVING = 0.12  # units of the body; below this nothing moves much, as in a plank
MAX_TILT = 8.0  # degrees that the camera leans
WIDTH_RANGE = (0.9, 1.1)  # of the width


def joint_words(joint: str) -> set[str]:
    """Return the words that `LACKING` may call a joint by."""
    words = set(joint.split("_"))
    side = words & {"left", "right"}
    return words | {f"{name}_{word}" for name in side for word in words - side}


def layout_tables(topology: Topology) -> tuple[np.ndarray, np.ndarray]:
    """Return (L, V) bool, the joints that each layout has, and (L,) how often it comes."""
    rows, shares = [], []
    for name, lacking in LACKING.items():
        sides = ("left", "right") if any(word.startswith("side_") for word in lacking) else ("",)
        for side in sides:
            words = {word.replace("side", side) if side else word for word in lacking}
            rows.append([not words & joint_words(joint) for joint in topology.joints])
            shares.append(LAYOUT_SHARES.get(name, 1.0) / len(sides))
    return np.array(rows), np.array(shares) / sum(shares)


def without_joints(joints: Tensor, share: float, tables: tuple[Tensor, Tensor]) -> Tensor:
    """Return joints of which this share of the windows lack some, by a layout or the edge of the picture.

    tables: `layout_tables` as tensors.
    """
    b = len(joints)
    present, chance = tables
    drawn = torch.multinomial(chance, b, replacement=True)
    seen = present[drawn][:, None, :].expand(b, joints.shape[1], -1)
    cut = torch.rand(b, device=joints.device) < CUT_SHARE
    seen = torch.where(cut[:, None, None], within_cut(joints), seen)
    lacks = torch.rand(b, device=joints.device) < share
    return joints * torch.where(lacks[:, None, None], seen, True)[..., None]


def within_cut(joints: Tensor) -> Tensor:
    """Return (b, t, v) bool: the joints on one side of a line across the body's box, mostly those above it."""
    b = len(joints)
    seen = joints[..., 3] > 0
    axis = (torch.rand(b, device=joints.device) < 0.2).long()  # 1: a vertical edge
    place = torch.where(axis[:, None, None] > 0, joints[..., 0], joints[..., 1])
    low = torch.where(seen, place, torch.inf).flatten(1).amin(1)
    high = torch.where(seen, place, -torch.inf).flatten(1).amax(1)
    stays = torch.rand(b, device=joints.device) * (CUT_AT[1] - CUT_AT[0]) + CUT_AT[0]
    edge = (low + stays * (high - low)).nan_to_num(0.0, 0.0, 0.0)[:, None, None]
    far = (low + high - low - stays * (high - low)).nan_to_num(0.0, 0.0, 0.0)[:, None, None]
    backwards = torch.rand(b, device=joints.device) < 0.25
    return torch.where(backwards[:, None, None], place >= far, place <= edge)


def flattened(joints: Tensor, share: float) -> Tensor:
    """Return joints of which this share of the windows has no depth."""
    flat = torch.rand(len(joints), device=joints.device) < share
    keep = torch.where(flat[:, None], joints.new_tensor([1.0, 1.0, 0.0, 1.0]), joints.new_ones(4))
    return joints * keep[:, None, None]


def tilted(joints: Tensor) -> Tensor:
    """Return joints as a camera sees them that leans a little, in a picture that is a little wider or narrower."""
    b = len(joints)
    angle = torch.deg2rad((2 * torch.rand(b, device=joints.device) - 1) * MAX_TILT)[:, None, None]
    stretch = torch.rand(b, device=joints.device) * (WIDTH_RANGE[1] - WIDTH_RANGE[0]) + WIDTH_RANGE[0]
    x = joints[..., 0] * stretch[:, None, None]
    y = joints[..., 1]
    turned = torch.stack([x * angle.cos() - y * angle.sin(), x * angle.sin() + y * angle.cos()], dim=-1)
    return torch.cat([turned, joints[..., 2:]], dim=-1)


def tells_little(before: Tensor, after: Tensor) -> Tensor:
    """Return (b,) bool: the joints that are left hardly move where others did, so that nobody could tell the exercise.

    before, after: (b, t, v, 4), the same windows with all joints and with those that are left.
    """
    whole, left = joint_motion(before), joint_motion(after)
    return (left < STILL_SHARE * whole) & (whole > LEAST_MOVING)


def joint_motion(joints: Tensor) -> Tensor:
    """Return (b,) how far the quickest joint goes about its middle in a window, as a standard deviation."""
    seen = (joints[..., 3:] > 0).to(joints.dtype)
    count = seen.sum(1, keepdim=True)
    middle = (joints[..., :2] * seen).sum(1, keepdim=True) / count.clamp(min=1)
    spread = ((joints[..., :2] - middle) * seen).square().sum((1, 3)) / count[:, 0, :, 0].clamp(min=1)
    often = count[:, 0, :, 0] >= 0.5 * joints.shape[1]
    return torch.where(often, spread, 0.0).amax(1).sqrt()
