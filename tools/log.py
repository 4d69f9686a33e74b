"""racctl log: a workout's sets, as a coach writes them down.

SETS
A set is what somebody repeats without a rest of 5 s or more. Where it begins and ends is told by how much the motion
about a moment is like that one repetition earlier or later, and by how probably the recogniser sees no exercise; a set
without a rest before the next ends where the postures change. Each set is then counted on its own span by the counter
without weights (see 'racctl count'), so that start and stop are those of its first and last repetition, and named by
the recogniser from that span as a whole. A name that it is not sure of is 'unknown'. Three repetitions make a set; two
do if they are hardly idling. Times of rest are no rows.

HOLDS
A posture that is held for 8 s or more with the trunk off the vertical, such as a plank or a stretch on the floor, is a
row with seconds and without repetitions. Standing and sitting still are rests, and a wall sit cannot be told from
sitting.

COLUMNS
start, stop: frames of the video, half-open, and seconds. seconds: between them. reps, low, high: the count and its
interval. rep_s: seconds from one repetition to the next, the median. tempo: seconds of the four phases of a repetition,
in the order that phases names: down-hold-up-hold for exercises of which it is known which way is down, else
out-hold-back-hold from where the repetition begins. A joint rests while it moves at less than 10 % of its greatest
speed. angle: the one that goes furthest; range_deg: its range of motion, the median over the repetitions;
difference_deg, difference_percent: how much further left goes than right, where both are seen (see 'racctl angles' for
definitions and errors). rest_s: since the set before. confidence: how likely a repetition is one, the median. prob:
of the name. doubt: in words.
With --reps each repetition has a row with the same columns, numbered in rep; rest_s is the pause before it.

Totals are printed on stderr.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import typer

from racctl.cli import console
from racctl.cli.options import (
    AngleSpace,
    Device,
    Download,
    Format,
    Jobs,
    OutputMany,
    Rate,
    Sources,
    Start,
    Stop,
    Threads,
    pose_model_option,
)
from racctl.estimators.base import POSE_ESTIMATORS

Model = Annotated[
    str,
    typer.Option(
        "--model", metavar="joints|FILE", help="Choose the recogniser: an embedded one, or a file, of joints alone."
    ),
]
Reps = Annotated[bool, typer.Option("--reps", help="Print one row per repetition instead of one per set.")]
Person = Annotated[
    str, typer.Option("--person", metavar="main|all|TRACK", help="Choose whose log when several people are seen.")
]
PoseModel = Annotated[str, pose_model_option("--pose-model", POSE_ESTIMATORS)]


def log(
    context: typer.Context,
    files: Sources = [],  # noqa: B006 (typer copies it)
    reps: Reps = False,
    model: Model = "joints",
    space: AngleSpace = "auto",
    person: Person = "main",
    start: Start = None,
    stop: Stop = None,
    rate: Rate = None,
    pose_model: PoseModel = "full",
    download: Download = False,
    device: Device = "auto",
    threads: Threads = 0,
    jobs: Jobs = 0,
    output: OutputMany = "-",
    format: Format = "",
) -> None:
    """Log a workout: a row per set with exercise, repetitions, tempo, range of motion and rest.

    Reads videos or poses, of a minute or of hours. Finds the sets and the holds of a session, counts each set by
    itself, names its exercise, and tells its tempo, its range of motion in degrees and the rest before it.

    Example: racctl log workout.mp4
    """
    from racctl.cli.batch import network_threads, report_failures, run_clips
    from racctl.cli.choices import refuse_typed
    from racctl.cli.clip_plan import plan_clips
    from racctl.cli.streams import emit_table, table_format

    ending = ".log-reps.parquet" if reps else ".log.parquet"
    plan = plan_clips(files, output, ending, format, models=[model, pose_model])
    refuse_typed(context, not plan.may_show_video, ["--pose-model"], "the input is no video")
    from racctl.device import pick_device, set_threads
    from racctl.estimators.on_demand import estimator_lanes
    from racctl.io.parquet import joined_tables
    from racctl.recognisers.recogniser import Recogniser
    from racctl.video.span import Span
    from racctl.workouts.clip_tables import PoseReading, save_table, table_of_source
    from racctl.workouts.log_clip import LogOptions, LogTable
    from racctl.workouts.log_words import for_a_terminal, totals

    reading = PoseReading(person, Span(start, stop, 1, rate), pose_model, download)
    options = LogOptions("rep" if reps else "set", space, reading).check()
    set_threads(network_threads(threads))
    task = LogTable(options, Recogniser(model, pick_device(device)), rounded=plan.as_text).check()
    lanes = partial(estimator_lanes, reading.estimates, check=False)
    work: Any = partial(table_of_source, task=task)
    if plan.folder:
        work = partial(save_table, task=task, folder=plan.folder, ending=ending)
    tables, failures = run_clips("logging", plan.sources, jobs, lanes, work)
    if any(table is not None for table in tables.values()):
        table = joined_tables(list(tables.values()))
        for_a_person = table_format(output, format) == "table"
        emit_table(for_a_terminal(table) if for_a_person else table, output, format)
        console.note(totals(table))
    report_failures(failures, len(plan.sources))
