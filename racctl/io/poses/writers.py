"""Poses in the formats of other tools: which there are, and what writing one means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from racctl.kinds import Kind

if TYPE_CHECKING:
    from racctl.contracts import Pose

POSE_WRITERS = Kind(
    "pose format",
    "racctl.pose_writers",
    {
        "csv": "racctl.io.poses.csv_writer:CSV",
        "openpose": "racctl.io.poses.json_writers:OPENPOSE_FILES",
        "coco": "racctl.io.poses.json_writers:COCO_ANNOTATIONS",
        "mmpose": "racctl.io.poses.json_writers:MMPOSE",
        "trc": "racctl.io.poses.trc:TRC",
        "c3d": "racctl.io.poses.c3d:C3D",
    },
)


@dataclass(frozen=True)
class PoseWriter:
    """A way in which poses are written.

    suffix: of its file; "" where it is a folder of several.
    topology: the joints that it has, which poses are remapped to; "" for any.
    write: a pose to the files, name -> bytes, in a folder; one file is called "".
    """

    suffix: str
    topology: str
    write: Callable[[Pose], dict[str, bytes]]
