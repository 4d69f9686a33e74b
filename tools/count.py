"""racctl count: video or pose to repetition counts.

CONVENTION
One full cycle, out and back to the posture it began in, is one repetition. A movement that left and right do in turn
(lunges, leg raises, step-ups) counts each side; with --alternating pair it counts pairs. A repetition that the clip
begins or ends in the middle of counts if its turning point is seen. Getting into position, walking in and out, taking
up and putting down a weight are not repetitions. A clip without repetitions, such as a hold, counts 0; the exit status
is 0 then too.

The interval from low to high holds the counts that other readings of the same clip, nearly as good, would give. It is
not a confidence interval with a known coverage.

Parquet holds the counts as they are, not rounded, for 'racctl score'; tables, CSV and JSON show whole repetitions.

THE DEFAULT, --model combined
The periodicity counter counts. Where the repetitions that it found explain less than half of the motion, it is unsure,
and the trained counter is asked too: the count is the geometric mean of both. Who is seen in less than half of the
frames between their first and their last, or in less than 70 % where the periodicity counter found nothing, but in a
fifth at least, is counted by the trained counter alone, which bridges gaps; it may then count something in a clip that
has no repetitions. In both cases the repetitions lie where the trained counter puts them, and low and high hold what
either says. With --alternating pair the trained counter, which counts each side, has no part in it.

THE PERIODICITY COUNTER, --model periodicity
It knows no exercise, has no trained weights and reads nothing but the joints' paths: it looks for a motion that goes
out and comes back again and again, in whichever joints it shows, and keeps the cycles that look alike. One very
different repetition among others may be dropped, two different exercises in one clip are counted as one or the other.
Repetitions are reported with half-open frame intervals in the source video's numbering, and with times in seconds
from the video's own timestamps.

THE TRAINED COUNTER, --model d2stx
D2-STX reads tokens of the body's joints, and of the picture where it has a branch for that, and gives a density: how
much of a repetition lies in each moment. Its sum, rounded, is the count; the table has it frame by frame in the column
density. Low and high are the counts of the model's parts: either branch alone, either guide of the fusion. Repetitions
are cut half way between the moments that the density puts their middles at, so their borders are less exact than the
periodicity counter's. A pose without its video (--video names it) is counted by the joints alone.

With --exemplar it counts what looks like the given seconds of the clip; with --shots N it reads the clip twice, and is
shown the N most usual repetitions of the first reading in the second. What it was trained on is in its card in the
package (racctl/weights/d2stx.md). --model FILE takes what 'racctl train --model d2stx' wrote; features that other
encoders made come from 'racctl encode', as files or through a pipe.
"""

from __future__ import annotations

from typing import Annotated

import typer

from racctl.cli.options import (
    Device,
    Download,
    Format,
    Jobs,
    OutputMany,
    PoseModel,
    Sources,
    Start,
    Stop,
    Stride,
    Threads,
)

Model = Annotated[str, typer.Option("--model", metavar="combined|periodicity|d2stx|FILE", help="The counter.")]
Exemplar = Annotated[
    list[str],
    typer.Option(
        "--exemplar", metavar="START-STOP", show_default=False,
        help="Of d2stx: seconds that show one repetition; count what looks like it. May be given several times.",
    ),
]  # fmt: skip
Shots = Annotated[
    int,
    typer.Option("--shots", metavar="N", min=0, max=8, help="Of d2stx: read twice, shown N repetitions found first."),
]
Reps = Annotated[bool, typer.Option("--reps", help="One row per repetition instead of one per clip.")]
Alternating = Annotated[
    str,
    typer.Option("--alternating", metavar="each|pair", help="Left and right in turn: count each side, or each pair."),
]
Person = Annotated[
    str, typer.Option("--person", metavar="main|all|TRACK", help="Whom to count when several were found.")
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
Film = Annotated[
    str,
    typer.Option(
        "--video",
        metavar="FILE",
        show_default=False,
        help="The video where the input is a pose: for --overlay, and for d2stx to look at.",
    ),
]

Explain = Annotated[
    str,
    typer.Option(
        "--explain", metavar="DIR", show_default=False,
        help="Of d2stx: pictures of what the joints and the picture's places weigh, here.",
    ),
]  # fmt: skip


def count(
    context: typer.Context,
    files: Sources = [],  # noqa: B006 (typer copies it)
    model: Model = "combined",
    reps: Reps = False,
    alternating: Alternating = "each",
    person: Person = "main",
    start: Start = None,
    stop: Stop = None,
    stride: Stride = 1,
    plot: Plot = "",
    overlay: Overlay = "",
    video: Film = "",
    exemplar: Exemplar = [],  # noqa: B006 (typer copies it)
    shots: Shots = 0,
    explain: Explain = "",
    device: Device = "auto",
    threads: Threads = 0,
    pose_model: PoseModel = "full",
    download: Download = False,
    jobs: Jobs = 0,
    output: OutputMany = "-",
    format: Format = "",
) -> None:
    """Count the repetitions in videos or poses.

    Prints, per clip, the count and the lowest and highest count that other readings of the clip would give; with
    --reps one row per repetition. One full cycle back to the start is one repetition, seen at least to its turning
    point; left and right in turn count each (--alternating pair: each pair); a clip without repetitions counts 0.

    The counter 'periodicity' knows no exercise and needs no weights: it finds the motion that repeats, whichever
    joints carry it. 'd2stx' is trained, reads features too, and can be shown what to count. 'combined' asks the
    second where the first is unsure or the person is seen little.

    Example: racctl count squats.mp4
    """
    from racctl.cli.batch import (
        any_video,
        check_sources,
        check_there,
        cores,
        lanes,
        refuse_same_clips,
        refuse_several,
        refuse_with,
        report_failures,
        run_batch,
        shows_video,
    )
    from racctl.cli.choices import refuse_typed
    from racctl.cli.streams import emit_table, table_format
    from racctl.cli.targets import check_writable, folder_target, refuse_overwriting, targets_in

    spans = tuple(_span(text) for text in exemplar)
    sources = check_sources(files)
    check_there(video)
    folder = folder_target(output, sources)
    alone = {"--overlay": overlay, "--plot": folder and plot, "--format": folder and format, "--video": video}
    refuse_several(sources, folder, {**alone, "--exemplar": exemplar, "--explain": explain})
    if not overlay:
        refuse_with(model in ("combined", "periodicity"), {"--video": video}, f"'{model}' looks at the pose alone")
    refuse_typed(context, sources != ["-"] and not any_video(sources), ["--pose-model"], "the input is no video")
    refuse_typed(context, shows_video(sources), ["--video"], "it names the clip of a pose, and the input is a video")
    text = "" if folder else table_format(output, format) != "parquet"
    targets = targets_in(folder, sources, _ending(reps)) if folder else [output]
    refuse_overwriting([*sources, video, model, pose_model], *targets, plot, overlay)
    check_writable(plot)
    check_writable(overlay)
    if not folder:
        refuse_same_clips(sources)
    from racctl.counters.count_clip import count_source, save_count
    from racctl.counters.lanes import Options, Trained, count_lanes
    from racctl.counters.result import counts_table, reps_table
    from racctl.video.overlay import check_target

    options = Options(
        model, alternating, person, start, stop, stride, pose_model, download, video, spans, shots, explain
    ).check()
    if plot:
        from racctl.counters.plot import plot_counts, plot_kind

        plot_kind(plot)
    if overlay:
        check_target(overlay, video or sources[0])
    trained = Trained(options, device, threads or cores())
    width, each = lanes(jobs, len(sources))
    counted = {}

    with count_lanes(options, trained, width, each) as made:

        def work(source: str, lane: int, report) -> None:
            if folder:
                save_count(source, folder, reps, options, made[lane])
            else:
                counted[source] = count_source(source, options, made[lane], report, overlay)

        failures = run_batch(sources, work, width, "counting", lambda: [lane.abort() for lane in made])
    rows = [row for source in sources for row in counted.get(source, [])]
    if plot and rows:
        plot_counts(plot, [row.curve() for row in rows])
    if rows:
        emit_table(reps_table(rows) if reps else counts_table(rows, rounded=text), output, format)
    report_failures(failures, len(sources))


def _span(text: str) -> tuple[float, float]:
    """ "1.5-3" as (1.5, 3.0); UsageError for anything else."""
    from racctl.errors import UsageError

    start, _, stop = text.partition("-")
    try:
        return float(start), float(stop)
    except ValueError:
        raise UsageError(f"'--exemplar {text}' is not START-STOP, such as 1.5-3.2") from None


def _ending(reps: bool) -> str:
    return ".reps.parquet" if reps else ".counts.parquet"
