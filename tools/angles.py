"""racctl angles: joint angles in degrees, over time and per repetition.

DEFINITIONS
Every angle is 0 in the anatomical position (standing upright, arms at the sides) and grows as the joint leaves it, as
clinicians measure. They are angles between two segments of the body: a hip or shoulder angle does not tell forwards
from sideways. knee_flexion: thigh and shank, 0 straight. elbow_flexion: upper arm and forearm, 0 straight.
hip_flexion: trunk (shoulder to hip of the same side) and thigh, 0 in one line. shoulder_elevation: upper arm and trunk,
0 arm down, 90 level, 180 overhead. ankle_dorsiflexion: shank and sole (heel to toe), 0 at a right angle, positive toes
up. trunk_inclination: middle of the hips to that of the shoulders, and the vertical of the picture, 0 upright, 90
level; the camera is taken to be level.

SPACE
--space 3d is computed from world landmarks, 2d in the picture plane, where an angle is right only if the camera looks
at right angles on the plane of the movement. auto takes 3d where the pose has world landmarks.

FILTERS
Nothing is filtered unless --filter says so. Filters run over the joints' coordinates before angles are computed.
butterworth: scipy's, forwards and backwards, so that nothing is delayed; --order is that of both passes together, and
the cutoff is corrected for them. savitzky-golay: scipy's. A joint that is lost for up to 0.25 s is bridged.

VALIDITY
Angles are of estimated joints: docs/results.md has their errors against drawn truth, per joint and camera angle. Tables
as text show whole degrees; Parquet has them unrounded, for further computation.

REPETITIONS
--reps FILE or --reps count prints one row per repetition and angle instead: the range, the peak velocity, and how much
further left goes than right, in degrees and as a percentage of the mean of both.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import typer

from racctl.cli.options import (
    AngleSpace,
    Download,
    Format,
    Jobs,
    OutputMany,
    Rate,
    Sources,
    Start,
    Stop,
    Stride,
    pose_model_option,
)
from racctl.cli.settings import with_members
from racctl.estimators.base import POSE_ESTIMATORS
from racctl.skeleton.filters import FILTERS

FilterName = Annotated[
    str,
    typer.Option("--filter", metavar="|".join(FILTERS.names()), help="Filter the joints over time before."),
]
MinScore = Annotated[
    float,
    typer.Option(
        "--min-score", metavar="SCORE", min=0, max=1, help="Leave out an angle where one of its joints scores less."
    ),
]
Reps = Annotated[
    str,
    typer.Option(
        "--reps",
        metavar="count|FILE",
        show_default=False,
        help="Print a row per repetition and angle, not per frame: of the repetitions in this file of 'racctl count "
        "--reps', or 'count' to count them here.",
    ),
]
Person = Annotated[
    str, typer.Option("--person", metavar="main|all|TRACK", help="Choose whose angles when several people are seen.")
]
PoseModel = Annotated[str, pose_model_option("--pose-model", POSE_ESTIMATORS)]


@with_members(FILTERS, choose="filter")
def angles(
    context: typer.Context,
    files: Sources = [],  # noqa: B006 (typer copies it)
    space: AngleSpace = "auto",
    filter: FilterName = "none",
    min_score: MinScore = 0.5,
    reps: Reps = "",
    person: Person = "main",
    start: Start = None,
    stop: Stop = None,
    stride: Stride = 1,
    rate: Rate = None,
    pose_model: PoseModel = "full",
    download: Download = False,
    jobs: Jobs = 0,
    output: OutputMany = "-",
    format: Format = "",
    settings: Any = None,
) -> None:
    """Tell the angles of the joints in degrees, over time or per repetition.

    Reads videos or poses. Prints a row per frame: knees, hips, elbows, shoulders, ankles and trunk, and their
    velocities in degrees per second. Every angle is 0 in the anatomical position: a straight knee is 0, a right
    angle 90. With --reps a row per repetition and angle: range, peak velocity, and left against right.

    Example: racctl angles squats.mp4 --reps count
    """
    from racctl.cli.batch import report_failures, run_clips
    from racctl.cli.choices import refuse_typed
    from racctl.cli.clip_plan import plan_clips
    from racctl.cli.streams import emit_table, table_format

    file = reps if reps != "count" else ""
    ending = ".ranges.parquet" if reps else ".angles.parquet"
    plan = plan_clips(files, output, ending, format, reads=[file], models=[pose_model], settings=settings)
    refuse_typed(context, not plan.may_show_video, ["--pose-model"], "the input is no video")
    from racctl.estimators.on_demand import estimator_lanes
    from racctl.io.parquet import joined_tables
    from racctl.video.span import Span
    from racctl.workouts.angle_tables import AngleOptions, AngleTable, angles_for_a_terminal
    from racctl.workouts.clip_tables import PoseReading, save_table, table_of_source

    reading = PoseReading(person, Span(start, stop, stride, rate), pose_model, download)
    options = AngleOptions(space, filter, settings, min_score, reps, reading).check()
    task = AngleTable(options, rounded=plan.as_text)
    lanes = partial(estimator_lanes, reading.estimates, check=False)
    work: Any = partial(table_of_source, task=task)
    if plan.folder:
        work = partial(save_table, task=task, folder=plan.folder, ending=ending)
    tables, failures = run_clips("reading angles", plan.sources, jobs, lanes, work)
    if any(table is not None for table in tables.values()):
        table = joined_tables(list(tables.values()))
        for_a_person = table_format(output, format) == "table" and not reps
        emit_table(angles_for_a_terminal(table) if for_a_person else table, output, format)
    report_failures(failures, len(plan.sources))
