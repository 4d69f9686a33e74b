"""racctl encode: videos and poses to tokens of frozen encoders.

WHAT IS ENCODED
Windows of 64 frames every 16, 16 frames of each shown to the video encoder and 64 to the pose encoder, as D2-STX does
it. Windows that begin near the end go on with the last frame. With --reps, or --exemplars of a data set, each annotated
repetition is one window instead, 16 frames evenly from within it.

A video gets its pose and, where the encoder looks at silhouettes, its mask on the way; --pose and --mask name those
that are there, or folders that hold every clip's, as 'racctl synth' and 'racctl pose -o DIR/' write them. A pose on
stdin is encoded with the video that --video names.

ENCODERS
silhouette, the default, is the project's own: small, trained on made-up clips only, and no replacement for weights of
Kinetics. r2plus1d_18, swin3d_t, resnext3d_101 and videomae_vit_b take published weights, from --weights FILE or, the
first two, with --download. swin3d_t_skim is swin3d_t with what its first stage makes of 56 pixels below the tokens, for
counters that skim. --preset escounts shows them frames the way ESCounts and D2-STX do,
--compile makes convolutional ones nearly twice as fast on a CPU (it needs a C++ compiler, and some seconds first).
blazepose takes the inner features of BlazePose's landmark network, of the person who exercises, from the pass that
estimates the pose, so that the picture is looked at once; they show how people move where the landmarks are lost. A
token is four of a window's 64 frames: 144 channels are their mean, 144 how they change. Where nobody is seen, the
person stays as last seen. Files that 'racctl pose --features' wrote are an input too, with their poses beside them:
'racctl encode inner/*.npz --encoder blazepose --pose poses/ -o features/'.
ctrgcn is embedded too; --pose-weights takes what 'racctl train encoder' or the authors of CTR-GCN made (theirs
are CC BY-NC 4.0). none leaves a branch out.

--moments 64 encodes 64 frames that are spread over the whole clip, at scales of 1, 4 and 8 of them, for counters of the
kind of TransRAC: 'racctl encode clip.mp4 --encoder swin3d_t --preset transrac --moments 64 --pose-encoder none
--download'.

Token files that ESCounts and D2-STX made are imported: 'racctl encode video.npz --pose pose.npz', see
racctl-formats(5).

DATA SETS
--dataset repcount, countix or ucfrep finds table and videos under --root, encodes every clip that can be used and says
which cannot; 'racctl check-labels' says more.
'racctl encode --dataset repcount --root LLSP --split test --encoder swin3d_t --download -o tokens/'
--layout escounts writes the files that ESCounts and D2-STX read, pads with nothing instead of the last frame, and takes
every frame whatever the rate.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Annotated, Any

import typer

from racctl.cli.options import Device, Jobs, OutputMany, Sources, Start, Stop, Threads, pose_model_option
from racctl.cli.settings import with_settings
from racctl.encoders.base import LAYOUTS, NONE, EncodeOptions, Files, SetOptions
from racctl.errors import UsageError
from racctl.estimators.base import MASK_ESTIMATORS, POSE_ESTIMATORS

OF_ALL = "'--dataset' stands for all its clips"

Video = Annotated[
    str, typer.Option("--video", metavar="FILE", show_default=False, help="Use this video of the input, a pose.")
]
MaskFile = Annotated[
    str,
    typer.Option(
        "--mask", metavar="FILE|DIR", show_default=False, help="Use this mask, or a folder with each clip's mask."
    ),
]
PoseFile = Annotated[
    str,
    typer.Option(
        "--pose", metavar="FILE|DIR", show_default=False, help="Use this pose, or a folder with each clip's pose."
    ),
]
MaskModel = Annotated[
    str,
    typer.Option(
        "--mask-model",
        metavar="|".join([*MASK_ESTIMATORS.names(), "FILE"]),
        help="Choose what finds the person, as 'racctl mask' does.",
    ),
]
Reps = Annotated[
    str, typer.Option("--reps", metavar="FILE", show_default=False, help="Encode these repetitions, not windows.")
]
Layout = Annotated[
    str, typer.Option("--layout", metavar="|".join(LAYOUTS), help="Choose the layout of the files in -o DIR/.")
]
PoseModel = Annotated[str, pose_model_option("--pose-model", POSE_ESTIMATORS)]


@with_settings(options=EncodeOptions, published=SetOptions)
def encode(
    context: typer.Context,
    files: Sources = [],  # noqa: B006 (typer copies it)
    video: Video = "",
    mask: MaskFile = "",
    pose: PoseFile = "",
    mask_model: MaskModel = "blazepose",
    pose_model: PoseModel = "full",
    start: Start = None,
    stop: Stop = None,
    reps: Reps = "",
    layout: Layout = "racctl",
    device: Device = "auto",
    threads: Threads = 0,
    jobs: Jobs = 0,
    output: OutputMany = "-",
    options: Any = None,
    published: Any = None,
) -> None:
    """Turn videos and poses into tokens of frozen encoders.

    Windows of 64 frames become racctl.features/1: tokens of the picture, of the body's joints, or of both. With
    --dataset a published data set is encoded whole.

    Example: racctl encode clip.mp4 -o clip.features.npz
    """
    from racctl.cli.batch import lanes, network_threads, report_failures, run_clips
    from racctl.cli.clip_plan import any_video, plan_clips, refuse_with
    from racctl.cli.console import note
    from racctl.cli.streams import emit

    brought = Files(video, mask, pose)
    refuse_with(published.dataset, {"a file": files, **brought.of_one_clip(), "--reps": reps}, OF_ALL)
    several = published.check().dataset or layout == "escounts"
    if several and output == "-":
        raise UsageError("this makes several files; name a directory with '-o DIR'")
    named = [video, mask, pose, reps, options.weights, options.pose_weights, published.root, published.annotations]
    plan = plan_clips(
        files,
        f"{output}/" if several else output,
        ".features.npz",
        one_clip=brought.of_one_clip() if len(files) > 1 else {},
        reads=named,
        models=[mask_model, pose_model],
        earlier=".features.npz",
    )
    options = replace(options.for_layout(layout), pose_model=pose_model).check()
    options.refuse_idle_files(brought)
    _refuse_idle_options(context, options, published, reps, plan.may_show_video, brought)
    from racctl.video.span import Span

    span = Span(start, stop).check()
    from racctl.device import pick_device, set_threads
    from racctl.encoders.encode_set import Run, find_jobs, saver
    from racctl.encoders.pair import load_encoders
    from racctl.estimators.on_demand import estimator_lanes
    from racctl.io.npz import write_features

    todo, unusable = find_jobs(published, plan.sources, video, reps)
    set_threads(network_threads(threads) // lanes(jobs, len(todo))[0])
    encoders = load_encoders(options, pick_device(device))
    for line in encoders.notes():
        note(line)
    run = Run(todo, encoders, options, brought, span, saver(plan.folder, layout, published.dataset))
    check = any_video(job.source for job in todo.values())
    open_lanes = partial(estimator_lanes, run.estimates(mask_model, pose_model), check=check)
    results, failures = run_clips("encoding", list(todo), jobs, open_lanes, run.encode)
    for features in results.values():
        if features is not None:
            emit(output, partial(write_features, features=features))
    report_failures([*unusable, *failures], len(todo) + len(unusable))


def _refuse_idle_options(
    context: typer.Context,
    options: EncodeOptions,
    published: SetOptions,
    reps: str,
    may_show_video: bool,
    brought: Files,
) -> None:
    """Raise UsageError for an option on the command line that has no effect beside the others."""
    from racctl.cli.choices import refuse_typed, typed_options

    windows = ["--window", "--stride", "--rate"]
    encoder = options.encoder
    refuse_typed(context, reps, windows, "'--reps' says what is encoded")
    refuse_typed(context, published.exemplars, windows, "each repetition is one window")
    of_windows = [*windows, "--reps", "--exemplars", "--layout"]
    refuse_typed(context, options.moments, of_windows, "'--moments' are of a whole clip")
    refuse_typed(context, not options.random, ["--seed"], "only '--random-weights' are drawn")
    refuse_typed(context, encoder == NONE, ["--mask-model"], "there is no video encoder")
    sees_none = "--mask-model" in typed_options(context) and not options.looks_at_masks
    refuse_typed(context, sees_none, ["--mask-model"], f"'{encoder}' looks at no mask")
    estimated = published.dataset or may_show_video
    refuse_typed(context, brought.mask, ["--mask-model"], "'--mask' is there already")
    refuse_typed(context, not (estimated or brought.video), ["--mask-model"], "the input is no video")
    if "--pose-model" in typed_options(context) and options.looks_at_inner_features:
        refuse_typed(context, not (estimated or brought.video), ["--pose-model"], "the input is no video")
        return
    refuse_typed(context, options.pose_encoder == NONE, ["--pose-model"], "there is no pose encoder")
    refuse_typed(context, brought.pose, ["--pose-model"], "'--pose' is there already")
    refuse_typed(context, not estimated, ["--pose-model"], "the input is no video")
