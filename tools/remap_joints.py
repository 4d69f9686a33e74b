"""racctl remap-joints: poses over the joints that the next tool needs."""

from __future__ import annotations

from typing import Annotated

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
    from racctl.cli.batch import report_failures, run_batch
    from racctl.cli.clip_plan import check_sources
    from racctl.cli.streams import emit
    from racctl.cli.targets import npz_targets, refuse_overwriting

    sources = check_sources(sources)
    folder, targets = npz_targets(output, sources, ".pose.npz")
    refuse_overwriting(sources, *targets)
    from racctl.io.npz import pose_bytes, write_pose
    from racctl.io.poses.formats import load_pose, picture_size
    from racctl.io.up_to_date import has_bytes
    from racctl.skeleton.remap import minmax as scaled
    from racctl.skeleton.remap import remap, unknown_joints
    from racctl.skeleton.topology import topology_named

    topology_named(to)  # a wrong name is said before the input is read
    shape = None if size is None else picture_size(size)

    def work(source: str, _lane: int, _report: object) -> None:
        pose = remap(load_pose(source, layout=layout, fps=fps, size=shape, note=console.note), to)
        pose = scaled(pose) if minmax else pose
        if unknown := unknown_joints(pose):
            console.note(
                f"{len(unknown)} of {pose.xyz.shape[2]} joints of {to} are unknown (NaN): {', '.join(unknown)}"
            )
        target = targets[sources.index(source)]
        if not (folder and has_bytes(target, pose_bytes(pose))):
            emit(target, lambda file: write_pose(file, pose))

    report_failures(run_batch(sources, work, 1, "remapping"), len(sources))
