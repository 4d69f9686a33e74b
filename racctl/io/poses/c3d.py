"""C3D of motion capture, written by ezc3d: the markers of one person. It has no clock but its rate."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from racctl.contracts import Pose
from racctl.errors import DataError, UsageError
from racctl.io.poses.markers import markers_of, rate_of
from racctl.io.poses.writers import PoseWriter
from racctl.skeleton.remap import topology_of

MAX_UNEVEN = 0.02  # share of the mean step that a frame's may differ: a file with one rate would move the others


def write_c3d(pose: Pose) -> dict[str, bytes]:
    """Return a C3D of the first person.

    Raises UsageError without ezc3d, DataError for frames that do not come at one rate.
    """
    try:
        import ezc3d
    except ImportError:
        raise UsageError("C3D is written by ezc3d; install it with pip install 'racctl[c3d]'") from None
    points, steps = markers_of(pose), np.diff(pose.time)
    if len(steps) and np.abs(steps - steps.mean()).max() > MAX_UNEVEN * steps.mean():
        raise DataError(f"clip '{pose.clip}' has frames at uneven times, which C3D cannot hold; write '--to trc'")
    document = ezc3d.c3d()
    document["parameters"]["POINT"]["RATE"]["value"] = [rate_of(pose)]
    document["parameters"]["POINT"]["UNITS"]["value"] = ["mm"]
    document["parameters"]["POINT"]["LABELS"]["value"] = list(topology_of(pose).joints)
    document["data"]["points"] = np.concatenate([points.transpose(2, 1, 0), np.ones((1, *points.shape[1::-1]))])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pose.c3d")
        document.write(str(path))
        return {"": path.read_bytes()}


C3D = PoseWriter(".c3d", "", write_c3d)
