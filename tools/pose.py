"""racctl pose: video to body landmarks.

MODELS
BlazePose's networks, Apache-2.0: a detector of people, and a network that finds the landmarks of one of them. 'full'
comes with the installation where the mediapipe package has it; otherwise it needs --download once, as 'lite' and
'heavy' always do. FILE.task is a bundle of the two.

By default racctl runs them itself, by LiteRT, in threads. '--backend mediapipe' runs MediaPipe's own pipeline instead,
in processes: it follows one person, whom it detects anew in every chunk of the clip, and its scores are visibilities
alone. It is there for comparison; other tools choose it with '--pose-model mediapipe'.

PEOPLE
racctl follows up to four people at a time. When the whole clip has been seen, it chooses who exercises: by how much
and how regularly they move, by their size and place, and by how long they are in view. That person is track 0;
--people N gives up to N, in this order. A track that jumps to another body is split, and tracks of one person are
joined, by place, size, motion and the colours of the body's parts.

SCORES
The score of a joint is BlazePose's visibility times how probably the body is where the landmarks of the frame say,
judged by how sure the network's heatmaps of trunk and limbs are. Where legs alone are in view, the network guesses a
small body on them, which scores low.

FEWER FRAMES
--rate HZ reads every Nth frame, N being the largest that leaves HZ frames a second of the clip's mean rate: of 30
frames a second, 15 are every second frame, and so are 12; 20 are all of them. Where a clip's frame rate varies, every
Nth frame is read too, so what is read varies with it. The file records the rate and the stride that it made.

INNER FEATURES
--features writes what the landmark network knows of the person before it says where the joints are: the last layer of
its backbone, 8 x 8 cells with 144 channels ('full'), from the same pass. It is racctl.features/1 with a window for
every frame, of the first person in the pose; a frame in which they are not seen is 0 throughout, and the file says how
many there are. The encoder is called blazepose-full, -lite or -heavy.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from racctl.cli.options import Download, Jobs, OutputMany, Rate, Sources, Start, Stop, Stride, pose_model_option
from racctl.estimators.base import BACKENDS, POSE_ESTIMATORS

if TYPE_CHECKING:
    from racctl.cli.clip_plan import ClipPlan

Model = Annotated[str, pose_model_option("--model", POSE_ESTIMATORS)]
Backend = Annotated[
    str,
    typer.Option(
        "--backend",
        metavar="|".join(BACKENDS),
        help="Choose what runs the model: racctl's own tracker, or MediaPipe's pipeline.",
    ),
]
People = Annotated[
    int, typer.Option("--people", metavar="N", min=1, help="Give up to N people, the one who exercises first.")
]
InnerFeatures = Annotated[
    str,
    typer.Option(
        "--features",
        metavar="FILE|DIR",
        show_default=False,
        help="Write the network's inner features of the person who exercises too: with several inputs a directory, one "
        "file per clip.",
    ),
]


def pose(
    videos: Sources = [],  # noqa: B006 (typer copies it)
    model: Model = "full",
    backend: Backend = BACKENDS[0],
    people: People = 1,
    start: Start = None,
    stop: Stop = None,
    stride: Stride = 1,
    rate: Rate = None,
    features: InnerFeatures = "",
    jobs: Jobs = 0,
    download: Download = False,
    output: OutputMany = "-",
) -> None:
    """Find the body in every frame of a video.

    BlazePose, 33 landmarks. Writes racctl.pose/1: image coordinates in pixels, world coordinates in metres, scores,
    frame numbers and the container's own times. A frame without a person is NaN with score 0.

    Example: racctl pose squats.mp4 -o squats.pose.npz
    """
    from racctl.cli.batch import report_failures, run_clips
    from racctl.cli.clip_plan import plan_beside, plan_clips
    from racctl.cli.streams import emit

    plan = plan_clips(videos, output, ".pose.npz", models=[model])
    beside = plan_beside(plan, ".pose.npz", "--features", features, ".features.npz", models=[model])
    from racctl.estimators.base import backend_model
    from racctl.estimators.pose import pose_lanes, pose_source, pose_step, save_pose
    from racctl.io.npz import write_pose
    from racctl.video.span import Span

    span = Span(start, stop, stride, rate).check()
    model = backend_model(model, backend)
    entry = pose_step(model, people, span.start, span.stop, span.stride, download, span.rate)
    if features:
        return _with_features(plan, beside, features, model, people, entry, jobs)
    work: Callable[..., Any]
    work = partial(save_pose, folder=plan.folder, entry=entry) if plan.folder else partial(pose_source, entry=entry)
    poses, failures = run_clips("pose", plan.sources, jobs, partial(pose_lanes, model, people), work)
    for pose in poses.values() if plan.folder is None else ():
        emit(output, partial(write_pose, pose=pose))
    report_failures(failures, len(plan.sources))


def _with_features(
    plan: ClipPlan, beside: Path | None, features: str, model: str, people: int, entry: dict[str, Any], jobs: int
) -> None:
    """Estimate poses with inner features. beside: the directory of the features, None for the file `features`."""
    from racctl.cli.batch import report_failures, run_clips
    from racctl.cli.streams import emit
    from racctl.estimators.pose_features import feature_lanes, features_source, save_pose_and_features
    from racctl.io.npz import write_features, write_pose

    work: Callable[..., Any] = partial(features_source, entry=entry)
    if plan.folder and beside:
        work = partial(save_pose_and_features, folder=plan.folder, features=beside, entry=entry)
    results, failures = run_clips("pose", plan.sources, jobs, partial(feature_lanes, model, people), work)
    for pose, tokens in results.values() if plan.folder is None else ():
        emit(features, partial(write_features, features=tokens))
        emit(plan.output, partial(write_pose, pose=pose))
    report_failures(failures, len(plan.sources))
