"""racctl classify: video to a timeline of exercises.

TIMELINE
The model sees one window after the other (the embedded one 48 frames at 30 frames/s, twice a second; the paper's 16,
four times a second). Their probabilities are averaged with those of the windows about them, with weights that fall off
over --smooth seconds to either side; runs of windows with the same most probable class become segments, which meet half
way between windows. --smooth 0 leaves the windows as they are, and --windows prints them.

The frame intervals are half-open and in the video's own numbering; times are its own timestamps. Several clips go into
one table; with -o DIR/ each gets a file.

DATA SETS
--dataset classifies every clip of a labelled set (see 'racctl train') with the masks and poses that it has, so that
'racctl score' can hold a model against the truth:
'racctl classify --dataset set/ --split test --model FILE --windows | racctl score --truth set/ --split test'

THE EMBEDDED MODEL
"joints" is the temporal transformer of the Mask Cross-Attention Transformer on the body's joints instead of pictures.
It knows 36 exercises and was trained on made-up sequences only ('racctl synth --pose-only'). Its card, with what it
gets right and wrong on real clips, is in the package (racctl/weights/joints.md). It takes a pose as well as a video:
'racctl pose clip.mp4 | racctl classify'.
"""

from __future__ import annotations

from typing import Annotated

import typer

from racctl.cli.options import Device, Download, Format, Jobs, OutputMany, Sources, Start, Stop, Threads

Model = Annotated[
    str, typer.Option("--model", metavar="joints|FILE", help="Embedded weights or 'racctl train' output.")
]
Windows = Annotated[bool, typer.Option("--windows", help="One row per window, not smoothed.")]
Whole = Annotated[bool, typer.Option("--whole", help="One row per clip: the exercise that it shows most surely.")]
Smooth = Annotated[float, typer.Option("--smooth", metavar="SECONDS", min=0, help="Average over this; 0: not at all.")]
Film = Annotated[
    str, typer.Option("--video", metavar="FILE", show_default=False, help="The clip, where the input is its mask.")
]
PoseFile = Annotated[
    str, typer.Option("--pose", metavar="FILE", show_default=False, help="Its pose, where that is there already.")
]
MaskModel = Annotated[str, typer.Option("--mask-model", metavar="NAME|FILE", help="As --model of 'racctl mask'.")]
Explain = Annotated[
    str,
    typer.Option("--explain", metavar="DIR", show_default=False, help="Pictures of what the model looks at, here."),
]
DataSet = Annotated[
    str, typer.Option("--dataset", metavar="DATA", show_default=False, help="A labelled set, with its masks and poses.")
]
Split = Annotated[str, typer.Option("--split", metavar="NAME", show_default=False, help="Of --dataset; default: all.")]
Videos = Annotated[str, typer.Option("--videos", metavar="DIR", show_default=False, help="Of --dataset, as of train.")]
Masks = Annotated[str, typer.Option("--masks", metavar="DIR", show_default=False, help="Of --dataset, as of train.")]
Poses = Annotated[str, typer.Option("--poses", metavar="DIR", show_default=False, help="Of --dataset, as of train.")]
Cache = Annotated[
    str, typer.Option("--cache", metavar="DIR", show_default=False, help="Of --dataset's decoded clips, as of train.")
]


def classify(
    context: typer.Context,
    files: Sources = [],  # noqa: B006 (typer copies it)
    model: Model = "joints",
    windows: Windows = False,
    whole: Whole = False,
    smooth: Smooth = 1.0,
    start: Start = None,
    stop: Stop = None,
    video: Film = "",
    pose: PoseFile = "",
    mask_model: MaskModel = "blazepose",
    explain: Explain = "",
    dataset: DataSet = "",
    split: Split = "",
    videos: Videos = "",
    masks: Masks = "",
    poses: Poses = "",
    cache: Cache = "",
    download: Download = False,
    device: Device = "auto",
    threads: Threads = 0,
    jobs: Jobs = 0,
    output: OutputMany = "-",
    format: Format = "",
) -> None:
    """Say which exercise is done when.

    Prints a timeline of segments with label and probability; with --windows the windows behind it, with --whole one
    row per clip. Reads videos; poses too where the model looks at joints alone, as the embedded one does, and with
    --video masks where it looks at pictures.

    Example: racctl classify workout.mp4
    """
    from racctl.cli.batch import (
        check_sources,
        check_there,
        cores,
        refuse_same_clips,
        refuse_several,
        refuse_with,
        report_failures,
    )
    from racctl.cli.choices import refuse_typed
    from racctl.cli.console import progress
    from racctl.cli.streams import emit_table, table_format
    from racctl.cli.targets import folder_target, refuse_overwriting, targets_in
    from racctl.errors import UsageError

    if windows and whole:
        raise UsageError("'--windows' and '--whole' are two kinds of rows; choose one")
    alone = {"--video": video, "--pose": pose, "--explain": explain, "--start": start, "--stop": stop}
    of_set = {"--split": split, "--videos": videos, "--masks": masks, "--poses": poses, "--cache": cache}
    refuse_typed(context, windows, ["--smooth"], "'--windows' are not smoothed")
    refuse_typed(context, whole, ["--smooth"], "'--whole' takes the clip as one")
    refuse_typed(context, dataset, ["--mask-model", "--download"], "of a data set nothing is estimated")
    refuse_with(dataset, {"a file": files, **alone}, "'--dataset' stands for all its clips, whole")
    refuse_with(not dataset, of_set, "it is an option of '--dataset'")
    sources = check_sources(files)
    check_there(video, pose, dataset, videos, masks, poses)
    folder = folder_target(output, sources)
    if dataset and folder:
        raise UsageError(f"'--dataset' makes one table and '{output}' is a directory; name a file")
    refuse_several(sources, folder, {"--video": video, "--pose": pose, "--explain": explain})
    refuse_several([], folder, {"--format": format})
    if not folder:
        table_format(output, format)
    targets = targets_in(folder, sources, ".labels.parquet") if folder else [output]
    refuse_overwriting([*sources, video, pose, model, mask_model, dataset, videos, masks, poses], *targets)
    if not folder:
        refuse_same_clips(sources)
    from racctl.video.span import check_part

    check_part(start, stop)
    from racctl.device import pick_device, set_threads
    from racctl.recognisers.classify_clip import Options, classify_set, table_of
    from racctl.recognisers.recogniser import Recogniser

    unit = "window" if windows else "clip" if whole else "segment"
    options = Options(unit, smooth, video, pose, start, stop, mask_model, download, bool(explain)).check()
    set_threads(threads or cores())
    recogniser = Recogniser(model, pick_device(device))
    refuse_typed(context, not recogniser.look.needs_mask, ["--mask-model"], f"'{model}' looks at no mask")
    refuse_typed(context, not recogniser.look.topology, ["--pose"], f"'{model}' looks at no joints")
    if dataset:
        folders = {"videos": videos or None, "masks": masks or None, "poses": poses or None}
        with progress("classifying", "clips") as report:
            clips, failures = classify_set(
                dataset, split, recogniser, options, cache, threads or cores(), folders, report
            )
        if clips:
            emit_table(table_of(clips, options), output, format)
        return report_failures(failures, len(clips) + len(failures))
    if explain:
        from racctl.recognisers.explain import check_explain, explain_clip

        check_explain(recogniser, explain)
    found, failures = _run(sources, recogniser, options, folder, jobs)
    if found:
        emit_table(table_of(found, options), output, format)
    if explain and found:
        explain_clip(found[0], recogniser, explain)
    report_failures(failures, len(sources))


def _run(sources: list[str], recogniser, options, folder, jobs: int) -> tuple[list, list]:
    """Classify every clip, several at a time, into the folder or to be returned, in their order; and what failed."""
    from racctl.cli.batch import any_video, lanes, run_batch
    from racctl.estimators.on_demand import estimator_lanes
    from racctl.recognisers.classify_clip import classify_source, estimates, save_labels

    width, each = lanes(jobs, len(sources))
    found = {}

    with estimator_lanes(estimates(recogniser.look, options), width, each, any_video(sources)) as estimators:

        def work(source: str, lane: int, report) -> None:
            if folder:
                save_labels(source, folder, recogniser, options, estimators[lane])
            else:
                found[source] = classify_source(source, recogniser, options, estimators[lane], report)

        failures = run_batch(sources, work, width, "classifying", lambda: [lane.abort() for lane in estimators])
    return [found[source] for source in sources if source in found], failures
