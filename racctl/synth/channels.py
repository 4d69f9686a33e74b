"""The joint angles that a movement is written in: names, limits, and the pose of someone who stands at ease.

Degrees, in the anatomist's sense, from standing straight with the arms hanging and the palms on the thighs:

  pitch, roll, yaw       of the whole body: pitch 90 is face down, -90 on the back; roll to the left; yaw to the left
  waist, chest, neck     flexion forward; `..._side` bends to the left, `..._turn` turns to the left
  shoulder               elevation of the upper arm, 0 hanging to 180 overhead
  shoulder_plane         the plane it is raised in: 0 forward, 90 sideways, beyond 90 backward, below 0 across
  shoulder_turn          rotation about the upper arm, outward positive
  shrug                  the shoulder girdle upward
  elbow, knee            flexion;  pronation: of the forearm, palm to the back;  wrist: palmar flexion
  grip                   0 open hand to 100 fist
  hip, hip_side, hip_turn    flexion; abduction; rotation outward (at 90 of flexion: knee outward)
  ankle                  dorsiflexion;  toes: bent upward
  lift, forward, sideways    of the whole body, in centimetres (a jump, a step)

A limb's name without `left_` or `right_` means both.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from racctl.errors import DataError
from racctl.skeleton.topology import SIDES

BODY = {
    "pitch": (-180, 200),
    "roll": (-100, 100),
    "yaw": (-720, 720),
    "waist": (-30, 60),
    "waist_side": (-30, 30),
    "waist_turn": (-25, 25),
    "chest": (-25, 40),
    "chest_side": (-25, 25),
    "chest_turn": (-40, 40),
    "neck": (-60, 60),
    "neck_side": (-45, 45),
    "neck_turn": (-80, 80),
    "lift": (-100, 100),
    "forward": (-1000, 1000),
    "sideways": (-1000, 1000),
}
LIMB = {
    "shoulder": (-60, 185),
    "shoulder_plane": (-60, 150),
    "shoulder_turn": (-95, 120),
    "shrug": (-10, 40),
    "elbow": (0, 155),
    "pronation": (-95, 95),
    "wrist": (-85, 80),
    "grip": (0, 100),
    "hip": (-30, 140),
    "hip_side": (-30, 75),
    "hip_turn": (-45, 65),
    "knee": (0, 160),
    "ankle": (-55, 45),
    "toes": (-40, 90),
}
LIMITS: dict[str, tuple[float, float]] = {**BODY, **{f"{side}_{name}": LIMB[name] for side in SIDES for name in LIMB}}
CHANNELS = tuple(LIMITS)
INDEX = {name: place for place, name in enumerate(CHANNELS)}
MIN_ANGLES = np.array([low for low, _ in LIMITS.values()], np.float64)
MAX_ANGLES = np.array([high for _, high in LIMITS.values()], np.float64)

AT_EASE = {"shoulder": 9, "shoulder_plane": 80, "elbow": 14, "pronation": 15, "grip": 35, "hip_side": 3, "hip_turn": 6}

Angles = Mapping[str, float]


def pose_vector(angles: Angles, base: np.ndarray | None = None) -> np.ndarray:
    """Return (C,) float64: `base` (at ease when None) with these angles put in.

    Raises DataError for an unknown name or an angle beyond the limits of the joint.
    """
    vector = pose_vector(AT_EASE, np.zeros(len(CHANNELS))) if base is None else base.copy()
    for name, angle in angles.items():
        channels = [name] if name in INDEX else [f"{side}_{name}" for side in SIDES]
        if channels[0] not in INDEX:
            raise DataError(f"no such joint angle '{name}'; expected one of {', '.join([*BODY, *LIMB])}")
        for channel in channels:
            low, high = LIMITS[channel]
            if not low <= angle <= high:
                raise DataError(f"'{channel}' of {angle:g} is beyond the joint's limits, {low:g} to {high:g}")
            vector[INDEX[channel]] = angle
    return vector


def swap_sides(vector: np.ndarray) -> np.ndarray:
    """Return the mirror image of poses (..., C)."""
    out = vector.copy()
    for name in LIMB:
        left, right = INDEX[f"left_{name}"], INDEX[f"right_{name}"]
        out[..., [left, right]] = vector[..., [right, left]]
    for name in (
        "roll",
        "yaw",
        "sideways",
        "waist_side",
        "waist_turn",
        "chest_side",
        "chest_turn",
        "neck_side",
        "neck_turn",
    ):
        out[..., INDEX[name]] = -vector[..., INDEX[name]]
    return out
