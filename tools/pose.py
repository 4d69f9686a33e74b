"""racctl pose: video to body landmarks."""

from __future__ import annotations

from typing import Annotated

import typer

from racctl.cli.options import BLAZEPOSE, Download, Jobs, OutputMany, Sources, Start, Stop, Stride

Model = Annotated[str, typer.Option("--model", metavar="full|lite|heavy|FILE.task", help=BLAZEPOSE)]
People = Annotated[
    int, typer.Option("--people", metavar="N", min=1, help="Up to N people; several need a .task model.")
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
    from racctl.cli.batch import check_sources, lanes, report_failures, run_batch
    from racctl.cli.streams import emit
    from racctl.cli.targets import npz_targets, refuse_overwriting

    sources = check_sources(videos)
    folder, targets = npz_targets(output, sources, ".pose.npz")
    refuse_overwriting([*sources, model], *targets)
    from racctl.estimators.blazepose import model_file
    from racctl.estimators.pose import pose_lanes, pose_source, pose_step, save_pose
    from racctl.io.npz import write_pose

    made_by = pose_step(model_file(model, download), people, start, stop, stride)
    width, each = lanes(jobs, len(sources))
    found = {}

    with pose_lanes(model, people, width, each) as workers:

        def work(source: str, lane: int, report) -> None:
            if folder:
                save_pose(source, folder, workers[lane], made_by)
            else:
                found[source] = pose_source(source, workers[lane], made_by, report)

        failures = run_batch(sources, work, width, "pose", lambda: [lane.abort() for lane in workers])
    for result in found.values():
        emit(output, lambda target: write_pose(target, result))  # noqa: B023 (called at once)
    report_failures(failures, len(sources))
