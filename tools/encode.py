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
first two, with --download. --preset escounts shows them frames the way ESCounts and D2-STX do,
--compile makes convolutional ones nearly twice as fast on a CPU (it needs a C++ compiler, and some seconds first).
ctrgcn is embedded too; --pose-weights takes what 'racctl train --model ctrgcn' or the authors of CTR-GCN made (theirs
are CC BY-NC 4.0). none leaves a branch out.

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

from pathlib import Path
from typing import Annotated

import typer

from racctl.cli.options import Device, Download, Jobs, OutputMany, PoseModel, Seed, Sources, Start, Stop, Threads

Encoder = Annotated[
    str,
    typer.Option(
        "--encoder",
        metavar="silhouette|r2plus1d_18|swin3d_t|resnext3d_101|videomae_vit_b|none",
        help="Of the video; none leaves it out.",
    ),
]
PoseEncoder = Annotated[str, typer.Option("--pose-encoder", metavar="ctrgcn|none", help="Of the pose.")]
Weights = Annotated[
    str, typer.Option("--weights", metavar="FILE", show_default=False, help="Of the video encoder, instead of its own.")
]
PoseWeights = Annotated[
    str, typer.Option("--pose-weights", metavar="FILE", show_default=False, help="Of the pose encoder, likewise.")
]
Random = Annotated[bool, typer.Option("--random-weights", help="Untrained networks, to try things out; marked so.")]
Preset = Annotated[
    str, typer.Option("--preset", metavar="NAME", show_default=False, help="What frames look like to the encoder.")
]
Film = Annotated[
    str, typer.Option("--video", metavar="FILE", show_default=False, help="The clip, where the input is its pose.")
]
MaskFile = Annotated[
    str, typer.Option("--mask", metavar="FILE|DIR", show_default=False, help="Its mask, or a folder with each clip's.")
]
PoseFile = Annotated[
    str, typer.Option("--pose", metavar="FILE|DIR", show_default=False, help="Its pose, or a folder with each clip's.")
]
MaskModel = Annotated[str, typer.Option("--mask-model", metavar="NAME|FILE", help="As --model of 'racctl mask'.")]
Window = Annotated[int, typer.Option("--window", metavar="N", help="Frames in a window.")]
Every = Annotated[int, typer.Option("--stride", metavar="N", help="Frames from window to window.")]
Rate = Annotated[
    float | None,
    typer.Option(
        "--rate", metavar="FPS", help="Take windows at this rate; 0: every frame. Default: what the encoders know."
    ),
]
Reps = Annotated[
    str, typer.Option("--reps", metavar="FILE", show_default=False, help="Encode these repetitions, not windows.")
]
Layout = Annotated[str, typer.Option("--layout", metavar="racctl|escounts", help="Of the files in -o DIR/.")]
Dataset = Annotated[
    str,
    typer.Option(
        "--dataset", metavar="repcount|countix|ucfrep", show_default=False, help="Encode all of a published data set."
    ),
]
Root = Annotated[str, typer.Option("--root", metavar="DIR", show_default=False, help="Of --dataset: its videos.")]
Split = Annotated[
    str, typer.Option("--split", metavar="NAME", show_default=False, help="Of --dataset: train, val or test.")
]
Table = Annotated[
    str, typer.Option("--annotations", metavar="FILE", show_default=False, help="Of --dataset, if not under --root.")
]
Exemplars = Annotated[bool, typer.Option("--exemplars", help="Of --dataset: its repetitions, not windows.")]
Known = Annotated[bool, typer.Option("--exclude-known-bad", help="Of --dataset: leave out clips known as wrong.")]
Batch = Annotated[
    int, typer.Option("--batch", metavar="N", min=0, help="Windows that are encoded at a time; 0: what is fastest.")
]

Compile = Annotated[
    bool, typer.Option("--compile", help="Translate the video network first; for long clips and data sets.")
]


def encode(
    context: typer.Context,
    files: Sources = [],  # noqa: B006 (typer copies it)
    encoder: Encoder = "silhouette",
    pose_encoder: PoseEncoder = "ctrgcn",
    weights: Weights = "",
    pose_weights: PoseWeights = "",
    random: Random = False,
    preset: Preset = "",
    video: Film = "",
    mask: MaskFile = "",
    pose: PoseFile = "",
    mask_model: MaskModel = "blazepose",
    pose_model: PoseModel = "full",
    window: Window = 64,
    stride: Every = 16,
    rate: Rate = None,
    start: Start = None,
    stop: Stop = None,
    reps: Reps = "",
    layout: Layout = "racctl",
    dataset: Dataset = "",
    root: Root = "",
    split: Split = "",
    annotations: Table = "",
    exemplars: Exemplars = False,
    exclude_known_bad: Known = False,
    batch: Batch = 0,
    compile: Compile = False,
    download: Download = False,
    seed: Seed = 0,
    device: Device = "auto",
    threads: Threads = 0,
    jobs: Jobs = 0,
    output: OutputMany = "-",
) -> None:
    """Turn videos and poses into tokens of frozen encoders.

    Windows of 64 frames become racctl.features/1: tokens of the picture, of the body's joints, or of both. With
    --dataset a published data set is encoded whole.

    Example: racctl encode clip.mp4 -o clip.features.npz
    """
    from racctl.cli.batch import any_video, check_sources, check_there, refuse_several, refuse_with, report_failures
    from racctl.cli.choices import refuse_typed
    from racctl.cli.console import note
    from racctl.cli.targets import npz_targets, refuse_overwriting
    from racctl.errors import UsageError

    of_set = {"--root": root, "--split": split, "--annotations": annotations, "--exemplars": exemplars or None,
              "--exclude-known-bad": exclude_known_bad or None}  # fmt: skip
    single = {option: value for option, value in (("--mask", mask), ("--pose", pose)) if not Path(value).is_dir()}
    one = {"--video": video, **single, "--reps": reps}
    refuse_with(dataset, {"a file": files, **one}, "'--dataset' stands for all its clips")
    refuse_with(not dataset, of_set, "it is an option of '--dataset'")
    sources = check_sources(files)
    check_there(video, mask, pose, reps, weights, pose_weights, root, annotations)
    windows = ["--window", "--stride", "--rate"]
    refuse_typed(context, reps, windows, "'--reps' says what is encoded")
    refuse_typed(context, exemplars, windows, "each repetition is one window")
    refuse_typed(context, not random, ["--seed"], "only '--random-weights' are drawn")
    refuse_typed(context, encoder == "none", ["--mask-model"], "there is no video encoder")
    refuse_typed(context, encoder not in ("none", "silhouette"), ["--mask-model"], f"'{encoder}' looks at no mask")
    refuse_typed(context, pose_encoder == "none", ["--pose-model"], "there is no pose encoder")
    estimated = dataset or sources == ["-"] or video or any_video(sources)
    refuse_typed(context, not estimated, ["--mask-model"], "the input is no video")
    estimated = dataset or sources == ["-"] or any_video(sources)
    refuse_typed(context, not estimated, ["--pose-model"], "the input is no video")
    if dataset and not (root and split):
        raise UsageError("'--dataset' needs '--root DIR' and '--split train|val|test'")
    several = dataset or layout == "escounts"
    if several and output == "-":
        raise UsageError("this makes several files; name a directory with '-o DIR'")
    folder, targets = npz_targets(f"{output}/" if several else output, sources, ".features.npz")
    refuse_several(sources, None, {"--video": video, **single})
    reads = [*sources, video, mask, pose, reps, weights, pose_weights, mask_model, pose_model, root, annotations]
    refuse_overwriting(reads, *targets, earlier=".features.npz")
    from racctl.video.span import check_part

    check_part(start, stop)
    from racctl.encoders.encode_set import file_jobs, open_set, set_jobs
    from racctl.encoders.pair import Options

    escounts = layout == "escounts"
    options = Options(
        encoder, pose_encoder, weights, pose_weights, preset, random, window, stride,
        0.0 if escounts and rate is None else rate, batch, escounts, start, stop, video, mask, pose, mask_model,
        pose_model, download, seed, compile,
    ).check()  # fmt: skip
    lost: list[tuple[str, str]] = []
    if dataset:
        published = open_set(dataset, root, split, annotations, exclude_known_bad)
        for line in published.notes:
            note(line)
        todo, lost = set_jobs(published, exemplars)
    else:
        todo = file_jobs(sources, video, reps)
    failures = _run(todo, options, folder, layout, dataset, output, (jobs, threads, device))
    report_failures([*lost, *failures], len(todo) + len(lost))


def _run(todo, options, folder, layout: str, dataset: str, output: str, machine: tuple[int, int, str]) -> list:
    """Encode every job, several at a time, into the folder or onto the one output; returns what failed."""
    from racctl.cli.batch import any_video, cores, lanes, run_batch
    from racctl.cli.console import note
    from racctl.cli.streams import emit
    from racctl.device import pick_device, set_threads
    from racctl.encoders.encode_clip import estimates
    from racctl.encoders.encode_set import encode_job, save_job
    from racctl.encoders.pair import load_encoders
    from racctl.estimators.on_demand import estimator_lanes
    from racctl.io.npz import write_features

    jobs, threads, device = machine
    width, each = lanes(jobs, len(todo))
    set_threads((threads or cores()) // width)
    encoders = load_encoders(options, pick_device(device))
    for line in encoders.notes():
        note(line)
    by_clip, found = {job.clip: job for job in todo}, {}

    check = any_video(job.source for job in todo)
    with estimator_lanes(estimates(encoders, options), width, each, check) as estimators:

        def work(clip: str, lane: int, report) -> None:
            if folder:
                save_job(by_clip[clip], folder, layout, dataset, encoders, options, estimators[lane])
            else:
                found[clip] = encode_job(by_clip[clip], encoders, options, estimators[lane], report)

        failures = run_batch(list(by_clip), work, width, "encoding", lambda: [lane.abort() for lane in estimators])
    for result in found.values():
        emit(output, lambda target: write_features(target, result))  # noqa: B023 (called at once)
    return failures
