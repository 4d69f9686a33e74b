"""Poses of any format in the joints of one topology."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from racctl.contracts import Pose
from racctl.io.npz import pose_bytes, write_pose
from racctl.io.output import write_file
from racctl.io.poses.formats import load_pose
from racctl.io.poses.landmarks import Note
from racctl.io.spool import clip_name
from racctl.io.up_to_date import has_bytes
from racctl.progress import Report, silent
from racctl.skeleton.remap import minmax, remap, unknown_joints


@dataclass(frozen=True)
class RemapOptions:
    """Which joints, and how a file of another program is read.

    topology: a name.  layout, fps, size: as `load_pose` takes them.  minmax: scale to 0..1 in every frame.
    note: gets what a user should know.
    """

    topology: str
    note: Note
    layout: str | None = None
    fps: float | None = None
    size: tuple[int, int] | None = None
    minmax: bool = False


def remap_source(source: str, lane: object = None, report: Report = silent, *, options: RemapOptions) -> Pose:
    """Read a pose, from a file, a folder or "-" for stdin, and return it in the joints of the options."""
    del lane, report  # it takes no time
    loaded = load_pose(source, layout=options.layout, fps=options.fps, size=options.size, note=options.note)
    pose = remap(loaded, options.topology)
    if options.minmax:
        pose = minmax(pose)
    if unknown := unknown_joints(pose):
        joints = pose.xyz.shape[2]
        options.note(f"{len(unknown)} of {joints} joints of {options.topology} are unknown (NaN): {', '.join(unknown)}")
    return pose


def save_remapped(
    source: str, lane: object = None, report: Report = silent, *, options: RemapOptions, folder: Path
) -> None:
    """Write FOLDER/<clip>.pose.npz unless it holds these very bytes already."""
    pose = remap_source(source, lane, report, options=options)
    target = folder / f"{clip_name(source)}.pose.npz"
    if not has_bytes(target, pose_bytes(pose)):
        write_file(target, lambda out: write_pose(out, pose))
