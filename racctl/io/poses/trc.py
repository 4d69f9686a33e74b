"""OpenSim's .trc: the markers of one person over time, with the time of every frame."""

from __future__ import annotations

import numpy as np

from racctl.contracts import Pose
from racctl.io.poses.markers import markers_of, rate_of
from racctl.io.poses.writers import PoseWriter
from racctl.skeleton.remap import topology_of


def write_trc(pose: Pose) -> dict[str, bytes]:
    """Return a .trc of the first person; what was not seen is empty, frames count from 1."""
    points, names, rate = markers_of(pose), topology_of(pose).joints, rate_of(pose)
    head = {
        "DataRate": rate,
        "CameraRate": rate,
        "NumFrames": len(points),
        "NumMarkers": len(names),
        "Units": "mm",
        "OrigDataRate": rate,
        "OrigDataStartFrame": int(pose.frame[0]) + 1,
        "OrigNumFrames": len(points),
    }
    axes = [f"{axis}{k}" for k in range(1, len(names) + 1) for axis in "XYZ"]
    lines = [
        f"PathFileType\t4\t(X/Y/Z)\t{pose.clip}.trc",
        "\t".join(head),
        "\t".join(str(value) for value in head.values()),
        "Frame#\tTime\t" + "\t\t\t".join(names) + "\t\t",
        "\t\t" + "\t".join(axes),
        "",
    ]
    for frame, time, row in zip(pose.frame.tolist(), pose.time.tolist(), points, strict=True):
        cells = ["" if np.isnan(value) else f"{value:.3f}" for value in row.ravel()]
        lines.append("\t".join([str(frame + 1), f"{time:.6f}", *cells]))
    return {"": ("\n".join(lines) + "\n").encode()}


TRC = PoseWriter(".trc", "", write_trc)
