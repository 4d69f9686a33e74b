"""racctl pose: video to body landmarks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import typer

from racctl.cli.options import Download, Jobs, OutputMany, Sources, Start, Stop, Stride, pose_model_option
from racctl.estimators.base import POSE_ESTIMATORS

Model = Annotated[str, pose_model_option("--model", POSE_ESTIMATORS)]
People = Annotated[
    int, typer.Option("--people", metavar="N", min=1, help="Find up to N people; several need a .task model.")
]


def pose(
    videos: Sources = [],  # noqa: B006 (typer copies it)
    model: Model = "full",
    people: People = 1,
    start: Start = None,
    stop: Stop = None,
    stride: Stride = 1,
    jobs: Jobs = 0,
    download: Download = False,
    output: OutputMany = "-",
) -> None:
    """Find the body in every frame of a video.

    BlazePose, 33 landmarks. Writes racctl.pose/1: image coordinates in pixels, world coordinates in metres, visibility,
    frame numbers and the container's own times. A frame without a person is NaN with score 0.

    Example: racctl pose squats.mp4 -o squats.pose.npz
    """
    from racctl.cli.batch import report_failures, run_clips
    from racctl.cli.clip_plan import plan_clips
    from racctl.cli.streams import emit

    plan = plan_clips(videos, output, ".pose.npz", models=[model])
    from racctl.estimators.pose import pose_lanes, pose_source, pose_step, save_pose
    from racctl.io.npz import write_pose

    entry = pose_step(model, people, start, stop, stride, download)
    work: Callable[..., Any]
    work = partial(save_pose, folder=plan.folder, entry=entry) if plan.folder else partial(pose_source, entry=entry)
    poses, failures = run_clips("pose", plan.sources, jobs, partial(pose_lanes, model, people), work)
    for pose in poses.values() if plan.folder is None else ():
        emit(output, partial(write_pose, pose=pose))
    report_failures(failures, len(plan.sources))
