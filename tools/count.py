"""racctl count: video or pose to repetition counts.

CONVENTION
One full cycle, out and back to the posture it began in, is one repetition. A movement that left and right do in turn
(lunges, leg raises, step-ups) counts each side; with --alternating pair it counts pairs. An unfinished last repetition
does not count. Getting into position, walking in and out, taking up and putting down a weight are not repetitions. A
clip without repetitions, such as a hold, counts 0; the exit status is 0 then too.

The interval from low to high holds the counts that other readings of the same clip, nearly as good, would give. It is
not a confidence interval with a known coverage.

THE PERIODICITY COUNTER
It knows no exercise, has no trained weights and reads nothing but the joints' paths: it looks for a motion that goes
out and comes back again and again, in whichever joints it shows, and keeps the cycles that look alike. One very
different repetition among others may be dropped, two different exercises in one clip are counted as one or the other.
Repetitions are reported with half-open frame intervals in the source video's numbering, and with times in seconds
from the video's own timestamps.
"""

from __future__ import annotations

from typing import Annotated

import typer

from racctl.cli.options import Download, Format, Jobs, OutputMany, PoseModel, Sources, Start, Stop, Stride

Model = Annotated[str, typer.Option("--model", metavar="periodicity", help="The counter.")]
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
        "--video", metavar="FILE", show_default=False, help="The video for --overlay where the input is a pose."
    ),
]


def count(
    files: Sources = [],  # noqa: B006 (typer copies it)
    model: Model = "periodicity",
    reps: Reps = False,
    alternating: Alternating = "each",
    person: Person = "main",
    start: Start = None,
    stop: Stop = None,
    stride: Stride = 1,
    plot: Plot = "",
    overlay: Overlay = "",
    video: Film = "",
    pose_model: PoseModel = "full",
    download: Download = False,
    jobs: Jobs = 0,
    output: OutputMany = "-",
    format: Format = "",
) -> None:
    """Count the repetitions in videos or poses.

    Prints, per clip, the count and the lowest and highest count that other readings of the clip would give; with
    --reps one row per repetition. One full cycle back to the start is one repetition; left and right in turn count
    each (--alternating pair: each pair); an unfinished last repetition does not count; a clip without repetitions
    counts 0.

    The counter 'periodicity' knows no exercise and needs no weights: it finds the motion that repeats, whichever
    joints carry it.

    Example: racctl count squats.mp4
    """
    from racctl.cli.batch import (
        check_sources,
        folder_target,
        lanes,
        refuse_overwriting,
        refuse_several,
        report_failures,
        run_batch,
    )
    from racctl.cli.streams import emit_table, table_format
    from racctl.count import Options, count_source, counts_table, reps_table, save_count
    from racctl.plot import plot_counts, plot_kind
    from racctl.pose import pose_lanes

    options = Options(model, alternating, person, start, stop, stride, pose_model, download).check()
    sources = check_sources(files)
    folder = folder_target(output, sources)
    refuse_several(sources, folder, {"--overlay": overlay, "--plot": folder and plot, "--format": folder and format})
    if not folder:
        table_format(output, format)  # refuses a bad target before the work
    refuse_overwriting([*sources, video], "" if folder else output, plot, overlay)
    if plot:
        plot_kind(plot)
    width, each = lanes(jobs, len(sources))
    counted = {}

    with pose_lanes(pose_model, 1, width, each) as workers:

        def work(source: str, lane: int, report) -> None:
            if folder:
                save_count(source, folder, reps, options, workers[lane])
            else:
                counted[source] = count_source(source, options, workers[lane], report, overlay, video)

        failures = run_batch(sources, work, width, "counting", lambda: [lane.abort() for lane in workers])
    rows = [row for source in sources for row in counted.get(source, [])]
    if plot and rows:
        plot_counts(plot, [row.curve() for row in rows])
    if rows:
        emit_table((reps_table if reps else counts_table)(rows), output, format)
    report_failures(failures, len(sources))
