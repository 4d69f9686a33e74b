"""racctl convert: annotations and poses in the formats of other tools.

FORMATS OF ANNOTATIONS
vtt (WebVTT) and srt (SubRip) captions, which players show over a video of the same name; eaf, ELAN's documents;
activitynet, ActivityNet's JSON; via, a project of the VGG Image Annotator 3; label-studio, tasks of Label Studio with
TimelineLabels; repcount and countix, these data sets' tables; racctl, its own Parquet. vtt, srt and eaf hold a clip
each, so several clips want a directory.

FORMATS OF POSES
csv, a row for each frame and person; openpose, a folder with a JSON file for each frame; coco and mmpose, JSON of 17
joints; trc of OpenSim and c3d (needs racctl[c3d]), the first person's markers in millimetres, y up, about the middle of
the hips. The input is any pose that 'racctl remap-joints' reads, which imports CSV,
OpenPose and COCO again.
'racctl convert clip.pose.npz -o clip.trc'

REPETITIONS OR SEGMENTS
'racctl count --reps' and 'racctl classify' give the two kinds. As text a repetition is its exercise and its number,
'squat 3'. Marks that are all numbered in order are read as repetitions, others as segments; --as says so itself.

FRAMES
Formats in seconds keep the frames of a mark beside it where they have a place for more than a text: srt and countix
have none. A mark that somebody moved has lost its frames; they follow from the frame rate that the file tells, or from
--fps.
"""

from __future__ import annotations

import math
from typing import Annotated

import typer

from racctl.cli.options import Output, Tables
from racctl.data.exchange.base import ANNOTATION_FORMATS
from racctl.io.poses.writers import POSE_WRITERS

To = Annotated[
    str,
    typer.Option(
        "--to",
        metavar="|".join(["racctl", *ANNOTATION_FORMATS.names(), *POSE_WRITERS.names()]),
        show_default=False,
        help="Write this format. Default: that of the suffix of the output.",
    ),
]
Fps = Annotated[
    float,
    typer.Option(
        "--fps", metavar="N", min=0, show_default=False, help="Set the frames per second where the file tells none."
    ),
]
Kind = Annotated[str, typer.Option("--as", metavar="auto|reps|segments", help="Read the marks as this.")]


def convert(
    files: Tables = [],  # noqa: B006 (typer copies it)
    to: To = "",
    fps: Fps = 0.0,
    kind: Kind = "auto",
    output: Output = "-",
) -> None:
    """Turn annotations and poses into other formats.

    Repetitions and segments: captions, ELAN, ActivityNet, VIA, Label Studio, RepCount and Countix; from and to racctl's
    tables. Poses: CSV, OpenPose, COCO, MMPose, TRC and C3D.

    Example: racctl convert reps.parquet -o clip.vtt
    """
    from racctl.cli.clip_plan import check_sources
    from racctl.cli.streams import emit
    from racctl.cli.targets import check_writable, folder_target, refuse_overwriting, refuse_replacing
    from racctl.data.exchange.convert import as_kind, format_for, read_annotations, written
    from racctl.data.exchange.poses import pose_files
    from racctl.errors import UsageError
    from racctl.io.poses.writers import PoseWriter

    if not math.isfinite(fps):
        raise UsageError(f"invalid value '{fps:g}' for '--fps'; expected frames per second")
    sources = check_sources(files)
    folder = folder_target(output, sources)
    chosen = format_for(to, output)
    if isinstance(chosen, PoseWriter):
        payloads = pose_files(sources, chosen, folder, output, fps or None)
    else:
        clips = [as_kind(clip, kind) for source in sources for clip in read_annotations(source, fps)]
        payloads = written(clips, chosen, folder, output)
    refuse_overwriting(sources, *payloads)
    for target in payloads:
        check_writable(target)
        refuse_replacing(target, "table" if chosen is None else "foreign")
    for target, build in payloads.items():
        emit(target, build)
