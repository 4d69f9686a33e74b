"""racctl classify: video to a timeline of exercises.

TIMELINE
The model sees one window after the other (the embedded one 2.4 s at 15 frames/s, a new one every 0.8 s; the paper's 16
frames at 30 frames/s, four times a second). Their probabilities are averaged with those of the windows about them, with
weights that fall off over --smooth seconds to either side; runs of windows with the same most probable class become
segments, which meet half way between windows. --smooth 0 leaves the windows as they are, and --windows prints them.

The frame intervals are half-open and in the video's own numbering; times are its own timestamps. Several clips go into
one table; with -o DIR/ each gets a file.

UNKNOWN
Where the model is not sure enough that an exercise which it knows is done, the label is 'unknown'. How sure it has to
be was settled on its validation clips: so sure that 5 % of those in which an exercise is done that it knows are lost.
--unknown RATE takes another share, from 0.01 (few are lost, more of the rest is taken for an exercise) to 0.5;
--unknown off always names a class. What decides is how strongly any of the exercises is indicated, the energy of their
logits; so the probability beside 'unknown' may be low. The column prob is the calibrated probability of the label,
unknown that of everything that the model does not know, top the three most probable exercises. probs are the
probabilities of the classes alone, which add up to 1. A model whose file does not tell how sure it has to be never says
'unknown'.

DATA SETS
--dataset classifies every clip of a labelled set (see 'racctl train') with the masks and poses that it has, so that
'racctl score' can hold a model against the truth:
'racctl classify --dataset set/ --split test --model FILE --windows | racctl score --truth set/ --split test'

THE EMBEDDED MODEL
"joints" is the temporal transformer of the Mask Cross-Attention Transformer on the body's joints instead of pictures.
It knows 36 exercises and was trained on made-up sequences only ('racctl synth --pose-only'), among them movements that
nobody does, which it learned as unknown. It takes a pose as well as a video: 'racctl pose clip.mp4 | racctl classify',
and poses of COCO, OpenPose and others that lack joints or depth. Its card, with what it gets right and wrong on real
clips, is in the package (racctl/weights/joints.md).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import typer

from racctl.cli.options import Device, Download, Format, Jobs, OutputMany, Sources, Start, Stop, Threads
from racctl.cli.settings import with_settings
from racctl.errors import UsageError
from racctl.estimators.base import MASK_ESTIMATORS
from racctl.recognisers.base import LabelledSet

Model = Annotated[
    str,
    typer.Option(
        "--model",
        metavar="joints|FILE",
        help="Choose the model: an embedded one, or a file of 'racctl train recogniser'.",
    ),
]
Windows = Annotated[bool, typer.Option("--windows", help="Print one row per window, not smoothed.")]
Whole = Annotated[bool, typer.Option("--whole", help="Print one row per clip: its most certain exercise.")]
Smooth = Annotated[
    float, typer.Option("--smooth", metavar="SECONDS", min=0, help="Average over this long; 0: not at all.")
]
Unknown = Annotated[
    str,
    typer.Option(
        "--unknown",
        metavar="auto|off|RATE",
        help="Say 'unknown' where the model is not sure: as it was calibrated, never, or so that this share of the "
        "exercises that it knows is lost.",
    ),
]
Video = Annotated[
    str, typer.Option("--video", metavar="FILE", show_default=False, help="Use this video of the input, a mask.")
]
PoseFile = Annotated[
    str, typer.Option("--pose", metavar="FILE", show_default=False, help="Use this pose instead of estimating one.")
]
MaskModel = Annotated[
    str,
    typer.Option(
        "--mask-model",
        metavar="|".join([*MASK_ESTIMATORS.names(), "FILE"]),
        help="Choose what finds the person, as 'racctl mask' does.",
    ),
]
Explain = Annotated[
    str,
    typer.Option(
        "--explain", metavar="DIR", show_default=False, help="Write pictures of what the model looks at to DIR."
    ),
]


@with_settings(labelled=LabelledSet)
def classify(
    context: typer.Context,
    files: Sources = [],  # noqa: B006 (typer copies it)
    model: Model = "joints",
    windows: Windows = False,
    whole: Whole = False,
    smooth: Smooth = 1.0,
    unknown: Unknown = "auto",
    start: Start = None,
    stop: Stop = None,
    video: Video = "",
    pose: PoseFile = "",
    mask_model: MaskModel = "blazepose",
    explain: Explain = "",
    download: Download = False,
    device: Device = "auto",
    threads: Threads = 0,
    jobs: Jobs = 0,
    output: OutputMany = "-",
    format: Format = "",
    labelled: Any = None,
) -> None:
    """Say which exercise is done when.

    Prints a timeline of segments with label and probability; with --windows the windows behind it, with --whole one row
    per clip. What the model does not know is 'unknown'. Reads videos; poses too where the model looks at joints alone,
    as the embedded one does, and with --video masks where it looks at pictures.

    Example: racctl classify workout.mp4
    """
    from racctl.cli.batch import network_threads, report_failures, run_clips
    from racctl.cli.choices import refuse_typed
    from racctl.cli.clip_plan import any_video, plan_clips
    from racctl.cli.streams import emit_table

    one_clip = {"--video": video, "--pose": pose, "--explain": explain}
    _refuse_idle_options(context, windows, whole, labelled, {"a file": files, **one_clip})
    reads = [video, pose, labelled.dataset, labelled.videos, labelled.masks, labelled.poses]
    models = [model, mask_model]
    plan = plan_clips(files, output, ".labels.parquet", format, one_clip=one_clip, reads=reads, models=models)
    if labelled.dataset and plan.folder:
        raise UsageError(f"'--dataset' makes one table and '{output}' is a directory; name a file")
    from racctl.video.span import Span

    span = Span(start, stop).check()
    from racctl.device import pick_device, set_threads
    from racctl.estimators.on_demand import estimator_lanes
    from racctl.recognisers import classify_clip
    from racctl.recognisers import explain as explain_module
    from racctl.recognisers.recogniser import Recogniser

    unit = "window" if windows else "clip" if whole else "segment"
    options = classify_clip.ClassifyOptions(unit, smooth, span, video, pose, bool(explain), unknown).check()
    set_threads(network_threads(threads))
    recogniser = Recogniser(model, pick_device(device))
    refuse_typed(context, not recogniser.look.needs_mask, ["--mask-model"], f"'{model}' looks at no mask")
    refuse_typed(context, not recogniser.look.topology, ["--pose"], f"'{model}' looks at no joints")
    if labelled.dataset:
        return _classify_set(labelled, recogniser, options, network_threads(threads), output, format)
    if explain:
        explain_module.check_explain(recogniser, explain)
    work: Callable[..., Any]
    if plan.folder:
        work = partial(classify_clip.save_labels, folder=plan.folder, recogniser=recogniser, options=options)
    else:
        work = partial(classify_clip.classify_source, recogniser=recogniser, options=options)
    estimates = classify_clip.estimates(recogniser.look, mask_model, download)
    open_lanes = partial(estimator_lanes, estimates, check=any_video(plan.sources))
    results, failures = run_clips("classifying", plan.sources, jobs, open_lanes, work)
    clips = [clip for clip in results.values() if clip is not None]
    if clips:
        emit_table(classify_clip.labels_table(clips, options), output, format)
    if explain and clips:
        explain_module.explain_clip(clips[0], recogniser, explain)
    report_failures(failures, len(plan.sources))


def _classify_set(labelled: LabelledSet, recogniser: Any, options: Any, threads: int, output: str, format: str) -> None:
    """Classify a labelled data set into one table."""
    from racctl.cli.batch import report_failures
    from racctl.cli.console import progress
    from racctl.cli.streams import emit_table
    from racctl.recognisers.classify_clip import classify_set, labels_table

    with progress("classifying", "clips") as report:
        clips, failures = classify_set(labelled, recogniser, options, threads, report)
    if clips:
        emit_table(labels_table(clips, options), output, format)
    report_failures(failures, len(clips) + len(failures))


def _refuse_idle_options(
    context: typer.Context, windows: bool, whole: bool, labelled: LabelledSet, of_clips: dict[str, object]
) -> None:
    """Raise UsageError for an option on the command line that has no effect beside the others."""
    from racctl.cli.choices import refuse_typed
    from racctl.cli.clip_plan import refuse_with

    if windows and whole:
        raise UsageError("'--windows' and '--whole' are two kinds of rows; choose one")
    refuse_typed(context, windows, ["--smooth"], "'--windows' are not smoothed")
    refuse_typed(context, whole, ["--smooth"], "'--whole' takes the clip as one")
    if labelled.dataset:
        refuse_typed(context, True, ["--mask-model", "--download"], "of a data set nothing is estimated")
        refuse_with(True, of_clips, "'--dataset' stands for all its clips, whole")
        refuse_typed(context, True, ["--start", "--stop"], "'--dataset' stands for all its clips, whole")
