"""A pose as the markers of motion capture: one person, in millimetres, y up, as OpenSim and Visual3D take them."""

from __future__ import annotations

import numpy as np

from racctl.contracts import Pose
from racctl.errors import DataError
from racctl.windows import mean_rate

MILLIMETRES = 1000.0
TO_Y_UP = np.array([1.0, -1.0, -1.0])  # world landmarks have y down and z away from the camera


def markers_of(pose: Pose) -> np.ndarray:
    """Return (T, V, 3) millimetres of the first person, NaN where a joint was not seen; about the middle of the hips.

    Raises DataError for a pose without world landmarks.
    """
    if not pose.xyz.size:
        raise DataError(f"clip '{pose.clip}' has no frame, or shows nobody")
    if pose.world is None:
        raise DataError(f"clip '{pose.clip}' has no world landmarks, which markers in millimetres are made of")
    return np.where(pose.score[:, 0, :, None] > 0, pose.world[:, 0] * TO_Y_UP * MILLIMETRES, np.nan).astype(np.float64)


def rate_of(pose: Pose) -> float:
    """Return the frames per second that a header names; the mean of the frames' own times."""
    return round(mean_rate(pose.time), 6)
