"""A pose as CSV: a row for each frame and person, columns of joints by name, as MediaPipe's CSV is read."""

from __future__ import annotations

import csv
import io

import numpy as np

from racctl.contracts import Pose
from racctl.io.poses.writers import PoseWriter
from racctl.skeleton.remap import topology_of

AXIS_LETTERS = ("x", "y", "z")


def write_csv(pose: Pose) -> dict[str, bytes]:
    """Return frame, time_s, person, then x, y, z and score of every joint, and its world coordinates where it has any.

    What was not seen is empty.
    """
    joints = topology_of(pose).joints
    header = [f"{joint}_{axis}" for joint in joints for axis in (*AXIS_LETTERS, "score")]
    if pose.world is not None:
        header += [f"{joint}_world_{axis}" for joint in joints for axis in AXIS_LETTERS]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["frame", "time_s", "person", *header])
    for t, (frame, time) in enumerate(zip(pose.frame.tolist(), pose.time.tolist(), strict=True)):
        for m, person in enumerate(pose.track.tolist()):
            values = np.concatenate([pose.xyz[t, m], pose.score[t, m][:, None]], 1).ravel()
            if pose.world is not None:
                values = np.concatenate([values, pose.world[t, m].ravel()])
            writer.writerow([frame, f"{time:.6f}", person, *map(_cell, values.tolist())])
    return {"": out.getvalue().encode()}


def _cell(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.6g}"


CSV = PoseWriter(".csv", "", write_csv)
