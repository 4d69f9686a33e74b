"""Made-up poses."""

from __future__ import annotations

import numpy as np

from racctl.contracts import Pose


def swinging_pose(frames=150, period=30, meta=None):
    """Somebody whose every joint goes up and down by a third of the body, `frames / period` times."""
    rng = np.random.default_rng(0)
    body = rng.uniform(0, 300, (33, 3)).astype(np.float32)
    phase = (1 - np.cos(2 * np.pi * np.arange(frames) / period)) / 2
    way = rng.normal(0, 60, (33, 3))
    xyz = (body + phase[:, None, None] * way).astype(np.float32)[:, None]
    return Pose(
        xyz=xyz, score=np.ones(xyz.shape[:3], np.float32), frame=np.arange(frames), time=np.arange(frames) / 30,
        track=np.zeros(1, np.int32), meta=meta or {"clip": "swing", "topology": "blazepose33", "steps": []},
    )  # fmt: skip


HEIGHTS = {  # of joints of somebody who stands, y down from the top of the head, in bodies
    "head_top": 0.0, "eye": 0.06, "eye_inner": 0.06, "eye_outer": 0.06, "ear": 0.07, "head": 0.07, "nose": 0.08,
    "mouth": 0.1, "upper_neck": 0.15, "neck": 0.17, "shoulder": 0.18, "spine_shoulder": 0.18, "elbow": 0.34,
    "spine_mid": 0.36, "wrist": 0.48, "thumb": 0.5, "hand": 0.51, "index": 0.53, "pinky": 0.53, "hand_tip": 0.54,
    "hip": 0.52, "mid_hip": 0.52, "spine_base": 0.52, "knee": 0.74, "ankle": 0.94, "heel": 0.97, "foot": 0.98,
    "foot_index": 0.99, "big_toe": 0.99, "small_toe": 0.99,
}  # fmt: skip
SIDES = {
    "shoulder": 0.1, "elbow": 0.14, "wrist": 0.16, "hand": 0.165, "hand_tip": 0.17, "index": 0.17, "pinky": 0.18,
    "thumb": 0.15, "hip": 0.06, "knee": 0.065, "ankle": 0.07, "heel": 0.065, "foot": 0.09, "foot_index": 0.09,
    "big_toe": 0.08, "small_toe": 0.1, "ear": 0.04, "eye": 0.02, "eye_inner": 0.01, "eye_outer": 0.025, "mouth": 0.015,
}  # fmt: skip


def standing_body(joints, seed=0, height=200.0):
    """(V, 2) pixels: somebody who stands, each of the named joints a little aside from where it is in everybody."""
    body = np.zeros((len(joints), 2))
    for place, joint in enumerate(joints):
        side = 1 if "left" in joint.split("_") else -1 if "right" in joint.split("_") else 0
        part = "_".join(word for word in joint.split("_") if word not in ("left", "right"))
        body[place] = [side * SIDES.get(part, 0.0), HEIGHTS[part]]
    return height * (body + np.random.default_rng(seed).uniform(-0.01, 0.01, body.shape))
