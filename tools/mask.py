"""racctl mask: video to one person's silhouette per frame.

MODELS
blazepose, the default: the outline that BlazePose gives with its landmarks. It follows people and looks at each of them
closely, so it sees whole bodies far from the camera, standing or lying; the mask is that of the person who exercises,
as in 'racctl pose'. Apache-2.0, comes with the installation where 'full' does; blazepose-lite and blazepose-heavy need
--download.

selfie: MediaPipe's selfie segmenter, about twice as fast, made for people near the camera. It marks everybody; people
are told apart by what hangs together, so two who touch are one. Apache-2.0, comes with the installation.

FILE.tflite: a YOLO segmentation model with COCO's classes, through LiteRT. FILE.pt, FILE.onnx, yolov8n-seg,
yolov8s-seg, yolov8m-seg: through Ultralytics (racctl[yolo], AGPL-3.0); the names are fetched with --download. These
tell several people apart.

QUALITY
Two figures are printed and kept in the file: the mean share of the picture that the masks cover, and the share of
frames without any mask. They say when something is wrong, not that all is right: they are no comparison with a truth.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import typer

from racctl.cli.options import Download, Jobs, OutputMany, Sources, Start, Stop, Stride
from racctl.estimators.base import MASK_ESTIMATORS

Model = Annotated[
    str,
    typer.Option(
        "--model",
        metavar="|".join([*MASK_ESTIMATORS.names(), "FILE"]),
        help="Choose what finds the person. 'blazepose' and 'selfie' come with the installation; FILE is a YOLO "
        "segmentation model (.tflite, .onnx, .pt) or a .task file.",
    ),
]
Size = Annotated[
    str,
    typer.Option(
        "--size",
        metavar="WIDTHxHEIGHT|full",
        help="Set the size of the masks, by nearest neighbour; 'full' is the video's own size. The default is what the "
        "exercise recogniser takes.",
    ),
]
Person = Annotated[
    str,
    typer.Option(
        "--person",
        metavar="tracked|largest|central",
        help="Choose whose mask, of several people: one person throughout, or in every frame the largest or "
        "the most central one.",
    ),
]
Hold = Annotated[
    int, typer.Option("--hold", metavar="N", min=0, help="Keep the last mask over up to N frames without any.")
]
Threshold = Annotated[
    float, typer.Option("--threshold", metavar="P", help="Count a pixel as the person's from this probability on.")
]
Overlay = Annotated[
    str,
    typer.Option("--overlay", metavar="FILE.mp4", show_default=False, help="Write the clip with the mask drawn in."),
]


def mask(
    videos: Sources = [],  # noqa: B006 (typer copies it)
    model: Model = "blazepose",
    size: Size = "112x112",
    person: Person = "tracked",
    hold: Hold = 0,
    threshold: Threshold = 0.5,
    start: Start = None,
    stop: Stop = None,
    stride: Stride = 1,
    overlay: Overlay = "",
    jobs: Jobs = 0,
    download: Download = False,
    output: OutputMany = "-",
) -> None:
    """Cut the person out of every frame of a video.

    Writes racctl.mask/1: one binary mask per frame, with frame numbers and the container's own times. A frame without
    a person is all 0. The mean share of the picture that is covered and the share of empty masks are printed.

    Example: racctl mask squats.mp4 -o squats.mask.npz
    """
    from racctl.cli.batch import report_failures, run_clips
    from racctl.cli.clip_plan import plan_clips
    from racctl.cli.console import note
    from racctl.cli.streams import emit

    plan = plan_clips(videos, output, ".mask.npz", one_clip={"--overlay": overlay}, models=[model], writes=[overlay])
    from racctl.estimators.mask import MaskOptions, mask_lanes, mask_source, quality_line, save_mask
    from racctl.video.overlay import check_target

    if overlay:
        check_target(overlay, plan.sources[0])
    options = MaskOptions(model, size, person, hold, threshold, start, stop, stride, download).check()
    work: Callable[..., Any]
    if plan.folder:
        work = partial(save_mask, folder=plan.folder, options=options)
    else:
        work = partial(mask_source, options=options, overlay=overlay)
    open_lanes = partial(mask_lanes, options, drawn=bool(overlay))
    masks, failures = run_clips("mask", plan.sources, jobs, open_lanes, work)
    metas: dict[str, Any] = masks
    if not plan.folder:
        metas = {source: clip.meta for source, clip in masks.items()}
        for clip in masks.values():
            emit(output, clip.write)
    for source in sorted(metas):
        note(quality_line(metas[source]))
    report_failures(failures, len(plan.sources))
