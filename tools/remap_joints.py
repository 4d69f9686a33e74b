"""racctl remap-joints: poses over the joints that the next tool needs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import typer

from racctl.cli.options import OutputMany, Sources
from racctl.io.poses.base import POSE_FORMATS

To = Annotated[
    str,
    typer.Option(
        "--to",
        metavar="TOPOLOGY",
        help="Choose the joints: d2stx25, ntu25, coco17, blazepose33, openpose25 or openpose18.",
    ),
]
From = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="|".join(POSE_FORMATS.names()),
        help="Read an imported file as this format, where its content leaves a choice.",
    ),
]
Fps = Annotated[
    float | None,
    typer.Option(
        "--fps", metavar="N", help="Set the frames per second of an imported file without timestamps; default 30."
    ),
]
Size = Annotated[
    str | None,
    typer.Option("--size", metavar="WxH", help="Set the picture's size, for imported coordinates in fractions of it."),
]

Minmax = Annotated[
    bool, typer.Option("--minmax", help="Scale to 0..1 over the body in every frame, as PoseRAC's poses are.")
]


def remap_joints(
    sources: Sources = [],  # noqa: B006 (typer copies it)
    to: To = "d2stx25",
    layout: From = None,
    fps: Fps = None,
    size: Size = None,
    minmax: Minmax = False,
    output: OutputMany = "-",
) -> None:
    """Turn a pose into other joints, or import one.

    BlazePose's 33 into the 25 of D²-STX, NTU order, COCO or OpenPose joints, and back. Reads racctl.pose/1, and imports
    PoseRAC and Kinect arrays, OpenPose JSON (a file, or a folder as FILE), COCO keypoint JSON and MediaPipe CSV. Joints
    that the input does not tell are NaN with score 0.

    Example: racctl pose clip.mp4 | racctl remap-joints > p.npz
    """
    from racctl.cli import console
    from racctl.cli.batch import no_lanes, report_failures, run_clips
    from racctl.cli.clip_plan import plan_clips
    from racctl.cli.streams import emit

    plan = plan_clips(sources, output, ".pose.npz")
    from racctl.io.npz import write_pose
    from racctl.io.poses.formats import picture_size
    from racctl.io.poses.remapped import RemapOptions, remap_source, save_remapped
    from racctl.skeleton.topology import topology_named

    topology_named(to)  # a wrong name is said before the input is read
    shape = None if size is None else picture_size(size)
    options = RemapOptions(to, console.note, layout, fps, shape, minmax)
    work: Callable[..., Any] = partial(remap_source, options=options)
    if plan.folder:
        work = partial(save_remapped, options=options, folder=plan.folder)
    poses, failures = run_clips("remapping", plan.sources, 1, no_lanes, work)
    for pose in poses.values() if plan.folder is None else ():
        emit(output, partial(write_pose, pose=pose))
    report_failures(failures, len(plan.sources))
