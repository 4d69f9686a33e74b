"""Joint angles of a clip as a table: a row per frame, or per repetition and angle."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from racctl import __version__
from racctl.contracts import Meta, Pose, step
from racctl.counters.base import open_counter
from racctl.counters.count_clip import CountOptions, count_clip
from racctl.errors import DataError, UsageError
from racctl.estimators.on_demand import Estimators
from racctl.estimators.open_clip import Clip, open_pose
from racctl.io.parquet import read_table, table_from_columns, table_from_rows
from racctl.progress import tell
from racctl.skeleton.angles import SPACES, JointCurves, angles_of_places, coordinates
from racctl.skeleton.filters import FILTERS, filtered
from racctl.skeleton.remap import topology_of
from racctl.video.span import Span
from racctl.windows import FRAME_RATE, frame_duration, frame_step
from racctl.workouts.clip_tables import PoseReading, table_meta, table_of_source
from racctl.workouts.ranges import difference, ranges_of, widened

COUNT_HERE = "count"  # instead of a file of repetitions
SURE_SCORE_OF_ANGLES = 0.5  # of the joints; guesses of joints that are not seen make angles that nobody had


@dataclass(frozen=True)
class AngleOptions:
    """How to tell angles.

    space: "auto" is "3d" where the pose has world landmarks, else "2d".
    filter, settings: of the joints over time, by name, and an instance of its settings; None for the defaults.
    min_score: see `racctl.skeleton.angles.joint_angles`.
    reps: "" for a row per frame; a file of repetitions, or "count", for a row per repetition and angle.
    """

    space: str = "auto"
    filter: str = "none"
    settings: Any = None
    min_score: float = SURE_SCORE_OF_ANGLES
    reps: str = ""
    reading: PoseReading = field(default_factory=PoseReading)

    def check(self) -> AngleOptions:
        """Raise UsageError for a value that is not valid; return self."""
        if self.space not in ("auto", *SPACES):
            raise UsageError(f"invalid value '{self.space}' for '--space'; expected auto, 3d or 2d")
        if not 0 <= self.min_score <= 1:
            raise UsageError(f"invalid value '{self.min_score:g}' for '--min-score'; expected 0 to 1")
        FILTERS.load(self.filter)
        self.reading.check()
        return self


def angles(
    source: str | Path,
    *,
    space: str = "auto",
    filter: str = "none",
    min_score: float = SURE_SCORE_OF_ANGLES,
    reps: str | Path = "",
    person: str = "main",
    start: float | None = None,
    stop: float | None = None,
    stride: int = 1,
    rate: float | None = None,
    pose_model: str = "full",
    download: bool = False,
    jobs: int = 1,
    **settings: Any,
) -> pa.Table:
    """Tell the angles of the joints, exactly as `racctl angles` does: its table, unrounded.

    source: a video or a pose by path.  settings: the filter's own, such as cutoff=4.0; the other arguments are the
    command's options.
    Raises `racctl.errors.RacctlError` with one line that says what is wrong.
    """
    reading = PoseReading(person, Span(start, stop, stride, rate), pose_model, download)
    try:
        chosen = FILTERS.load(filter).Settings(**settings)
    except TypeError as error:
        raise UsageError(f"the filter '{filter}' has no such setting: {error}") from None
    options = AngleOptions(space, filter, chosen, min_score, str(reps), reading).check()
    with Estimators(reading.estimates, jobs) as estimators:
        return table_of_source(str(source), estimators, task=AngleTable(options))


@dataclass(frozen=True)
class AngleTable:
    """Makes racctl.angles/1 of a clip, or racctl.ranges/1 with `options.reps`. rounded: degrees, for people to read."""

    options: AngleOptions
    rounded: bool = False

    @property
    def reading(self) -> PoseReading:
        return self.options.reading

    def entry(self, clip: Clip) -> Meta:
        """Return the step of provenance."""
        options = self.options
        settings = vars(options.settings) if options.settings else {}
        reps = options.reps
        if reps not in ("", COUNT_HERE):
            reps = hashlib.sha256(Path(reps).read_bytes()).hexdigest()
        args = {"space": options.space, "filter": options.filter, "min_score": options.min_score, **settings}
        span = clip.sampling.args()
        return step("angles", __version__, **args, reps=reps or None, person=options.reading.person, **span)

    def table(self, clip: Clip) -> pa.Table:
        """Return the table of an open clip."""
        pose = self.reading.pose(clip)
        meta = table_meta(clip, pose, self.entry(clip))
        people = pose.chosen(self.reading.person)
        angles = {person: angles_of(pose, person, self.options) for person in people}
        if self.options.reps:
            rows = [row for person in people for row in self._ranges(clip, pose, person, angles[person])]
            return table_from_rows("racctl.ranges/1", rows, meta)
        tables = [self._frames(clip, pose, person, angles[person], meta) for person in people]
        return pa.concat_tables(tables, promote_options="default").replace_schema_metadata(tables[0].schema.metadata)

    def _frames(self, clip: Clip, pose: Pose, person: int, angles: JointCurves, meta: Meta) -> pa.Table:
        digits = 0 if self.rounded else None
        columns: dict[str, Any] = {
            "clip": clip.name,
            "person": int(pose.track[person]),
            "frame": pose.frame,
            "time_s": pose.time if digits is None else np.round(pose.time, 3),
            "space": angles.space,
        }
        for unit, curves in (("deg", angles.degrees), ("deg_s", angles.velocity())):
            for name, values in curves.items():
                columns[f"{name}_{unit}"] = values if digits is None else np.round(values, digits)
        return table_from_columns("racctl.angles/1", columns, meta)

    def _ranges(self, clip: Clip, pose: Pose, person: int, angles: JointCurves) -> list[dict[str, Any]]:
        velocity = angles.velocity()
        rows = []
        repetitions = self._repetitions(clip, pose, person)
        ends = np.append(pose.time, pose.time[-1] + frame_duration(pose.time, 1 / FRAME_RATE))
        wide = widened([(start, stop) for _, start, stop in repetitions], len(pose.time))
        for (number, start, stop), span in zip(repetitions, wide, strict=True):
            ranges = ranges_of(angles, velocity, *span)
            for entry in ranges:
                apart, percent = difference(ranges, entry.name)
                measures = {
                    "low_deg": entry.low,
                    "high_deg": entry.high,
                    "range_deg": entry.extent,
                    "peak_deg_s": entry.peak_velocity,
                    "difference_deg": apart,
                    "difference_percent": percent,
                }
                rows.append(
                    {
                        "clip": clip.name,
                        "person": int(pose.track[person]),
                        "rep": number,
                        "start": int(pose.frame[start]),
                        "stop": int(pose.frame[stop - 1]) + 1,
                        "start_s": float(pose.time[start]),
                        "stop_s": float(ends[stop]),
                        "angle": entry.name,
                        "side": entry.side,
                        "space": angles.space,
                        **{name: measured(value, self.rounded) for name, value in measures.items()},
                    }
                )
        return rows

    def _repetitions(self, clip: Clip, pose: Pose, person: int) -> list[tuple[int, int, int]]:
        """Return number, first row and one past the last row of the pose of every repetition."""
        if self.options.reps == COUNT_HERE:
            options = CountOptions("periodicity", str(pose.track[person]))
            with open_pose(pose) as opened:
                (count,) = count_clip(opened, open_counter("periodicity"), options)
            spans = list(zip(count.start.tolist(), count.stop.tolist(), strict=True))
            return [(k, start, stop) for k, (start, stop) in enumerate(spans, 1)]
        rows = repetitions_in(self.options.reps, clip.name, int(pose.track[person]))
        inside = [(row["rep"], *span) for row in rows if (span := rows_of_repetition(row, pose)) is not None]
        if rows and not inside:
            raise DataError(f"none of the repetitions of clip '{clip.name}' in '{self.options.reps}' is in its frames")
        if len(inside) < len(rows):
            tell(f"clip '{clip.name}': {len(rows) - len(inside)} repetitions are not wholly in its frames; left out")
        return inside


def rows_of_repetition(row: dict[str, Any], pose: Pose) -> tuple[int, int] | None:
    """Return the first row and one past the last row of a repetition in the pose; None where it is not wholly in it.

    row: of racctl.reps/1; its frames count, or its seconds where it has no frames.
    """
    clock, step, span = pose.frame, float(frame_step(pose.frame)), (row["start"], row["stop"])
    if None in span:
        clock, step, span = pose.time, frame_duration(pose.time, 1 / FRAME_RATE), (row["start_s"], row["stop_s"])
    if None in span or span[0] <= clock[0] - step or span[1] >= clock[-1] + 2 * step:
        return None
    nearest = 0.0 if clock is pose.frame else step / 2  # seconds are rounded in many a file
    start, stop = np.searchsorted(clock, np.array(span) - nearest).tolist()
    return (start, stop) if stop > start else None


def angles_of(pose: Pose, person: int, options: AngleOptions) -> JointCurves:
    """Return the angles of a person, by index on axis M, as the options say."""
    space = options.space
    if space == "auto":
        space = "2d" if pose.world is None else "3d"
    kind = FILTERS.load(options.filter)
    smoothing = kind(kind.Settings() if options.settings is None else options.settings)
    places = filtered(coordinates(pose, person, space), pose.time, smoothing)
    places[pose.score[:, person] < options.min_score] = np.nan
    return angles_of_places(places, topology_of(pose), pose.time)


def repetitions_in(path: str, clip: str, person: int) -> list[dict[str, Any]]:
    """Return the rows of a racctl.reps/1 that are of a clip and a person; DataError where it has none of the clip."""
    with open(path, "rb") as file:
        meta, table = read_table(file, path)
    if meta["schema"] != "racctl.reps/1":
        raise DataError(f"'{path}' holds {meta['schema']}, expected racctl.reps/1 of 'racctl count --reps'")
    rows = [row for row in table.to_pylist() if row["clip"] == clip]
    if not rows:
        raise DataError(f"'{path}' has no repetition of clip '{clip}'")
    return [row for row in rows if row["person"] == person]


def measured(value: float, rounded: bool) -> float | None:
    """Return a measure for a table: null where it is not known, and whole where people read it."""
    if not np.isfinite(value):
        return None
    return float(round(value)) if rounded else float(value)


def angles_for_a_terminal(table: pa.Table) -> pa.Table:
    """Return a table of angles in few columns that fit on a screen: without velocities, by short names."""
    left_out = {"space"} if len(table.column("person").unique()) > 1 else {"person", "space"}
    columns = [name for name in table.column_names if not name.endswith("_deg_s") and name not in left_out]
    if len(table.column("clip").unique()) == 1:
        columns.remove("clip")
    short = {"left": "l.", "right": "r."}
    names = []
    for name in columns:
        words = name.removesuffix("_deg").split("_")
        names.append(f"{short[words[0]]} {words[1]}" if words[0] in short else words[0])
    return table.select(columns).rename_columns(names)
