"""racctl convert: annotations in the formats of other tools.

FORMATS
vtt (WebVTT) and srt (SubRip) captions, which players show over a video of the same name; eaf, ELAN's documents;
activitynet, ActivityNet's JSON; via, a project of the VGG Image Annotator 3; label-studio, tasks of Label Studio with
TimelineLabels; repcount and countix, these data sets' tables; racctl, its own Parquet. vtt, srt and eaf hold a clip
each, so several clips want a directory.

REPETITIONS OR SEGMENTS
'racctl count --reps' and 'racctl classify' give the two kinds. As text a repetition is its exercise and its number,
'squat 3'. Marks that are all numbered in order are read as repetitions, others as segments; --as says so itself.

FRAMES
Formats in seconds keep the frames of a mark beside it where they have a place for more than a text: srt and countix
have none. A mark that somebody moved has lost its frames; they follow from the frame rate that the file tells, or from
--fps.
"""

from __future__ import annotations

from typing import Annotated

import typer

from racctl.cli.options import Output, Tables
from racctl.data.exchange.base import ANNOTATION_FORMATS

To = Annotated[
    str,
    typer.Option(
        "--to",
        metavar="|".join(["racctl", *ANNOTATION_FORMATS.names()]),
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
    """Turn annotations into other formats.

    Repetitions and segments: captions, ELAN, ActivityNet, VIA, Label Studio, RepCount and Countix; from and to racctl's
    tables.

    Example: racctl convert reps.parquet -o clip.vtt
    """
    from racctl.cli.clip_plan import check_sources
    from racctl.cli.streams import emit
    from racctl.cli.targets import check_writable, folder_target, refuse_overwriting
    from racctl.data.exchange.convert import as_kind, format_for, read_annotations, written

    sources = check_sources(files)
    folder = folder_target(output, sources)
    chosen = format_for(to, output if folder is None else "")
    clips = [as_kind(clip, kind) for source in sources for clip in read_annotations(source, fps)]
    payloads = written(clips, chosen, folder, output)
    refuse_overwriting(sources, *payloads)
    for target in payloads:
        check_writable(target)
    for target, build in payloads.items():
        emit(target, build)
