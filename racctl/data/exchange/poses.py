"""Poses of any origin as files of other tools."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import IO

from racctl.contracts import Pose
from racctl.data.exchange.convert import file_name, write_bytes_to
from racctl.errors import DataError, UsageError
from racctl.io.output import make_folder
from racctl.io.poses.formats import load_pose
from racctl.io.poses.writers import PoseWriter
from racctl.skeleton.remap import remap, topology_of


def pose_files(
    sources: Sequence[str], writer: PoseWriter, folder: Path | None, output: str, fps: float | None = None
) -> dict[str, Callable[[IO[bytes]], None]]:
    """Return the files to write, by name, each with what writes it.

    folder: None to write one file, `output`.
    fps: of sources without timestamps.

    Raises UsageError for several files without a folder, and as `load_pose` and the writers do.
    """
    if folder is None and (len(sources) > 1 or not writer.suffix):
        raise UsageError("this makes several files; name a directory with '-o DIR/'")
    payloads: dict[str, Callable[[IO[bytes]], None]] = {}
    for source in sources:
        pose = over_joints(in_real_units(load_pose(source, fps=fps)), writer.topology)
        for name, payload in writer.write(pose).items():
            target = output if folder is None else str(_place(folder, pose, name, writer, len(sources) > 1))
            if target in payloads:
                raise DataError(f"two of the clips are both called '{pose.clip}'; convert them one at a time")
            payloads[target] = partial(write_bytes_to, payload)
    return payloads


def in_real_units(pose: Pose) -> Pose:
    """Return the pose; DataError where it is in fractions, which other tools would take for pixels."""
    if pose.meta.get("scale") in ("minmax", "normalized"):
        raise DataError(f"clip '{pose.clip}' is in fractions, not in pixels; make the pose with 'racctl pose'")
    return pose


def over_joints(pose: Pose, topology: str) -> Pose:
    """Return the pose over the joints of a topology; as it is where that is its own, or ""."""
    return pose if topology in ("", topology_of(pose).name) else remap(pose, topology)


def _place(folder: Path, pose: Pose, name: str, writer: PoseWriter, are_several: bool) -> Path:
    if writer.suffix:
        return folder / f"{file_name(pose.clip)}{writer.suffix}"
    parent = make_folder(folder / file_name(pose.clip)) if are_several else folder
    return parent / file_name(name)
