"""racctl count: video or pose to repetition counts.

CONVENTION
One full cycle, out and back to the posture it began in, is one repetition. A movement that left and right do in turn
(lunges, leg raises, step-ups) counts each side; with --alternating pair it counts pairs. A repetition that the clip
begins or ends in the middle of counts if it is seen to turn and to begin to come back. Getting into position, walking
in and out, taking up and putting down a weight are not repetitions. A clip without repetitions, such as a hold, counts
0; the exit status is 0 then too.

The interval from low to high holds the counts that other readings of the same clip, nearly as good, would give, and is
the wider the less of the motion the count explains. On the real clips and sequences that its width was set by, it holds
the truth in 95 % of the clips, in 96 % of short sequences and in 80 % of long, hard ones (docs/results.md).

The column doubt says in words what is doubtful: that a count may be so many pairs of left and right, or half or twice
as many; that nothing was found but a movement done once; or that too little of the person is seen to tell, where high
is as many repetitions of 2 s as the clip has room for. With --reps each repetition has the part of the clip that it is
of, numbered from 1, which ends where something else is done, and a confidence: how often such cycles were repetitions,
where the truth is known.

Parquet holds the counts as they are, not rounded, for 'racctl score'; tables, CSV and JSON show whole repetitions.

THE DEFAULT, --model combined
The periodicity counter counts. Where a person is visible in fewer than 70 % of the frames (between the first and the
last that show them) and the picture is not there, the trained counter, which bridges gaps, counts instead; below 20 %
it is not asked. It may count something in a clip that has no repetitions. The repetitions lie where the trained counter
puts them then, and low and high hold what either says. With --alternating pair the trained counter, which counts each
side, has no part in it.

THE PERIODICITY COUNTER, --model periodicity
It knows no exercise and has no trained weights. It looks for a motion that goes out and comes back again and again, in
whichever joints it shows, and keeps the cycles that look alike, with what rises as high between them. It reads a clip
as if it was played at half, once and twice the pace, and takes what two of these agree on; a quarter and four times
where they find nothing or are at their limits. So one repetition may take 0.25 s to 60 s; the picture must have at
least 6 frames of it. Where it finds nothing for as long as three repetitions take, between them or beside them, it
reads that part by itself, and so it does from cut to cut: three repetitions of another exercise are a part of their
own. Where the whole body moves as one and nothing of it does otherwise, the camera moves, and what the body does in
itself is counted. A clip that plays the same several times in a row, as looped videos do, is counted pass by pass. The
main person of a video who is visible in fewer than 70 % of the frames is counted by what the pose network sees in the
picture, its inner features, which tell how a body moves where the joints are lost; --branches video counts by these
alone, --branches pose by the joints alone. Mirror images are not known in features: a movement that left and right do
in turn may be counted in pairs. A pose needs its --video for that, which is estimated again then.
Repetitions are reported with half-open frame intervals in the source video's numbering, and with times in seconds
from the video's own timestamps.

THE TRAINED COUNTER, --model d2stx
D2-STX reads tokens of the body's joints, and of the picture where it has a branch for that, and gives a density: how
much of a repetition lies in each moment. Its sum, rounded, is the count; the table has it frame by frame in the column
density. Low and high are the counts of the model's parts: either branch alone. Repetitions are cut half way between the
moments that the density puts their middles at, so their borders are less exact than the periodicity counter's. The one
that ships reads the joints where the person is visible in 70 % of the frames or more, and joints and picture together
elsewhere and with --explain; --branches chooses one of the two. A pose without its video (--video names it) is counted
by the joints alone.

With --exemplar it counts what looks like the given seconds of the clip, which show one repetition, and its density is
scaled so that they hold one; with --shots N it reads the clip twice, and is shown the N most usual repetitions of the
first reading in the second. What it was trained on is in its card in the package (racctl/weights/d2stx.md).

OTHER TRAINED COUNTERS
transrac, skimfocus and escounts are the systems that D2-STX is compared with. No weights of them ship; 'racctl train
counter --model transrac' makes a file for --model. --model FILE takes what 'racctl train counter' wrote; features that
other encoders made come from 'racctl encode', as files or through a pipe.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import typer

from racctl.cli.options import (
    Device,
    Download,
    Format,
    Jobs,
    OutputMany,
    Rate,
    Sources,
    Start,
    Stop,
    Stride,
    Threads,
    pose_model_option,
)
from racctl.cli.settings import with_members
from racctl.counters.base import COUNTERS
from racctl.estimators.base import POSE_ESTIMATORS

MODELS = "|".join([*COUNTERS.names(), "FILE"])

Model = Annotated[str, typer.Option("--model", metavar=MODELS, help="Choose the counter.")]
Reps = Annotated[bool, typer.Option("--reps", help="Print one row per repetition instead of one per clip.")]
Person = Annotated[
    str, typer.Option("--person", metavar="main|all|TRACK", help="Choose whom to count when several people are seen.")
]
Plot = Annotated[
    str,
    typer.Option(
        "--plot", metavar="FILE", show_default=False, help="Draw the signal and its repetitions: .png, .svg or .html."
    ),
]
Overlay = Annotated[
    str,
    typer.Option(
        "--overlay",
        metavar="FILE.mp4",
        show_default=False,
        help="Write the clip with skeleton, running count and progress.",
    ),
]
Video = Annotated[
    str,
    typer.Option(
        "--video",
        metavar="FILE",
        show_default=False,
        help="Use this video of the input, which is a pose: to draw --overlay on, and for d2stx to look at.",
    ),
]
PoseModel = Annotated[str, pose_model_option("--pose-model", POSE_ESTIMATORS)]


@with_members(COUNTERS, choose="model")
def count(
    context: typer.Context,
    files: Sources = [],  # noqa: B006 (typer copies it)
    model: Model = "combined",
    reps: Reps = False,
    person: Person = "main",
    start: Start = None,
    stop: Stop = None,
    stride: Stride = 1,
    rate: Rate = None,
    plot: Plot = "",
    overlay: Overlay = "",
    video: Video = "",
    device: Device = "auto",
    threads: Threads = 0,
    pose_model: PoseModel = "full",
    download: Download = False,
    jobs: Jobs = 0,
    output: OutputMany = "-",
    format: Format = "",
    settings: Any = None,
) -> None:
    """Count the repetitions in videos or poses.

    Prints, per clip, the count and the lowest and highest count that other readings of the clip would give; with
    --reps one row per repetition. One full cycle back to the start is one repetition, seen at least until it comes
    back; left and right in turn count each (--alternating pair: each pair); a clip without repetitions counts 0.

    The counter 'periodicity' knows no exercise and needs no weights: it finds the motion that repeats, whichever
    joints carry it. 'd2stx' is trained, reads features too, and can be shown what to count. 'combined' asks the
    second where the person is seen little.

    Example: racctl count squats.mp4
    """
    from racctl.cli.batch import network_threads, report_failures, run_clips
    from racctl.cli.choices import refuse_typed
    from racctl.cli.clip_plan import plan_clips
    from racctl.cli.streams import emit_table

    plan = plan_clips(
        files,
        output,
        ".reps.parquet" if reps else ".counts.parquet",
        format,
        one_clip={"--overlay": overlay, "--video": video},
        one_table={"--plot": plot},
        reads=[video],
        models=[model, pose_model],
        writes=[plot, overlay],
        settings=settings,
    )
    refuse_typed(context, not plan.may_show_video, ["--pose-model"], "the input is no video")
    from racctl.counters.base import open_counter
    from racctl.counters.count_clip import CountOptions, check_drawings, count_source, open_lanes, save_count
    from racctl.counters.result import counts_table, reps_table
    from racctl.video.span import Span

    options = CountOptions(model, person, Span(start, stop, stride, rate), video, pose_model, download).check()
    check_drawings(plot, overlay, video or plan.sources[0])
    counter = open_counter(model, settings, device, network_threads(threads))
    work: Callable[..., Any]
    if plan.folder:
        work = partial(save_count, folder=plan.folder, reps=reps, counter=counter, options=options)
    else:
        work = partial(count_source, counter=counter, options=options, overlay=overlay)
    counts, failures = run_clips("counting", plan.sources, jobs, partial(open_lanes, counter, options), work)
    rows: list[Any] = [row for of_clip in counts.values() for row in of_clip or ()]
    if plot and rows:
        from racctl.counters.plot import plot_counts

        plot_counts(plot, [row.curve() for row in rows])
    if rows:
        emit_table(reps_table(rows) if reps else counts_table(rows, rounded=plan.as_text), output, format)
    report_failures(failures, len(plan.sources))
