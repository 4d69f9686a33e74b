"""The log of a workout: a row for each set or each repetition, with counts, labels, tempo and degrees."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from racctl import __version__
from racctl.contracts import Meta, Pose, step
from racctl.device import pick_device
from racctl.errors import UsageError
from racctl.estimators.on_demand import Estimators
from racctl.estimators.open_clip import Clip, of_person
from racctl.io.parquet import table_from_rows
from racctl.io.up_to_date import constants_digest
from racctl.progress import tell
from racctl.recognisers.recogniser import Recogniser
from racctl.skeleton.angles import JointCurves
from racctl.video.span import Span
from racctl.workouts import activity, changes, holds, phases, ranges, sets
from racctl.workouts.activity import frames_of
from racctl.workouts.angle_tables import AngleOptions, angles_of, measured
from racctl.workouts.clip_tables import PoseReading, table_meta, table_of_source
from racctl.workouts.phases import DRIVERS, Phases
from racctl.workouts.ranges import difference, extent_of, ranges_of, widened, widest
from racctl.workouts.sets import SetReader, WorkoutSet

TEXT_DECIMALS = 2  # of seconds and probabilities, where people read them


@dataclass(frozen=True)
class LogOptions:
    """How to log.

    each: "set" or "rep", what a row is about.
    space: of the angles, see `AngleOptions`.
    """

    each: str = "set"
    space: str = "auto"
    reading: PoseReading = field(default_factory=PoseReading)

    def check(self) -> LogOptions:
        """Raise UsageError for a value that is not valid; return self."""
        if self.each not in ("set", "rep"):
            raise UsageError(f"invalid value '{self.each}' for 'each'; expected set or rep")
        AngleOptions(self.space, reading=self.reading).check()
        return self


def log(
    source: str | Path,
    *,
    each: str = "set",
    model: str = "joints",
    space: str = "auto",
    person: str = "main",
    start: float | None = None,
    stop: float | None = None,
    rate: float | None = None,
    pose_model: str = "full",
    download: bool = False,
    device: str = "auto",
    jobs: int = 1,
) -> list[dict[str, Any]]:
    """Log a workout, exactly as `racctl log` does: the rows of its table.

    source: a video or a pose by path.  each: rows for each "set" or "rep"; the other arguments are the command's.
    Raises `racctl.errors.RacctlError` with one line that says what is wrong.
    """
    reading = PoseReading(person, Span(start, stop, 1, rate), pose_model, download)
    options = LogOptions(each, space, reading).check()
    task = LogTable(options, Recogniser(model, pick_device(device))).check()
    with Estimators(reading.estimates, jobs) as estimators:
        rows: list[dict[str, Any]] = table_of_source(str(source), estimators, task=task).to_pylist()
    return rows


@dataclass(frozen=True)
class LogTable:
    """Makes racctl.log/1 of a clip. recogniser: of joints.  rounded: degrees, for people to read."""

    options: LogOptions
    recogniser: Recogniser
    rounded: bool = False

    @property
    def reading(self) -> PoseReading:
        return self.options.reading

    def check(self) -> LogTable:
        """Raise UsageError for a recogniser that does not look at joints alone; return self."""
        if self.recogniser.look.needs_picture or not self.recogniser.look.topology:
            name = self.recogniser.record["name"]
            raise UsageError(f"'{name}' looks at pictures, and a log is made of joints; use a model of joints")
        return self

    def entry(self, clip: Clip) -> Meta:
        """Return the step of provenance."""
        constants = constants_digest(sys.modules[__name__], activity, changes, holds, phases, ranges, sets)
        args = {"each": self.options.each, "space": self.options.space, "person": self.options.reading.person}
        entry = step("log", __version__, model=self.recogniser.record["name"], **args, **clip.sampling.args())
        counter = SetReader(_NOBODY, None).counter.record()["constants"]
        return {**entry, "constants": f"{counter} {constants}", "weights": [self.recogniser.record]}

    def table(self, clip: Clip) -> pa.Table:
        """Return the table of an open clip."""
        pose = self.reading.pose(clip)
        meta = table_meta(clip, pose, self.entry(clip))
        rows = [row for person in pose.chosen(self.reading.person) for row in self._person_rows(clip, pose, person)]
        return table_from_rows("racctl.log/1", rows, meta)

    def _person_rows(self, clip: Clip, pose: Pose, person: int) -> list[dict[str, Any]]:
        alone = of_person(pose, person)
        is_scaled = pose.meta.get("scale") == "minmax"
        is_readable = not is_scaled or self.recogniser.knows_scaled
        if not is_readable:
            tell(f"clip '{clip.name}' is scaled in every frame: no labels and no angles can be told of it")
        entries = SetReader(alone, self.recogniser if is_readable else None).sets()
        rows: list[dict[str, Any]] = []
        before: WorkoutSet | None = None
        for number, entry in enumerate(entries, 1):
            report = SetReport(alone, entry, number, before, "" if is_scaled else self.options.space)
            measured_rows = [report.row()] if self.options.each == "set" else report.repetition_rows()
            about = {"clip": clip.name, "person": int(pose.track[person])}
            rows += [{**about, **self._shown(row)} for row in measured_rows]
            before = entry
        return rows

    def _shown(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return a row with what is not known as null, and rounded where people read it."""
        shown: dict[str, Any] = {}
        for name, value in row.items():
            is_angle = name.endswith(("_deg", "_percent"))
            if isinstance(value, float):
                value = measured(value, self.rounded and is_angle)
            if self.rounded and isinstance(value, float):
                value = round(value, TEXT_DECIMALS)
            shown[name] = value
        return shown


_NOBODY = Pose(
    np.zeros((0, 0, 0, 3), np.float32), np.zeros((0, 0, 0), np.float32), np.zeros(0, np.int64), np.zeros(0),
    np.zeros(0, np.int32),
)  # fmt: skip


@dataclass
class SetReport:
    """One set in words and numbers.

    pose: of one person.  number: of the set, from 1.  before: the set before it, None for the first.
    space: of the angles, "" where there are none to be told.
    """

    pose: Pose
    entry: WorkoutSet
    number: int
    before: WorkoutSet | None
    space: str

    def __post_init__(self) -> None:
        entry = self.entry
        self.spans = repetition_frames(entry)
        wide = widened(self.spans, len(self.pose.time)) or [(entry.start, entry.stop)]
        self.offset = wide[0][0]
        self.angles = self._angles(self.offset, wide[-1][1])
        velocity = self.angles.velocity() if self.angles else {}
        self.by_repetition = [
            ranges_of(self.angles, velocity, start - self.offset, stop - self.offset) if self.angles else []
            for start, stop in wide[: len(self.spans)]
        ]
        self.angle = widest(self.by_repetition)
        self.tempi = self._tempi()

    def _angles(self, start: int, stop: int) -> JointCurves | None:
        if not self.space:
            return None
        return angles_of(frames_of(self.pose, slice(start, stop)), 0, AngleOptions(self.space))

    def _tempi(self) -> list[Phases | None]:
        """Return the phases of every repetition: each lasts until the next begins, the last until it ends."""
        name, upwards = DRIVERS.get(self.entry.label, (self.angle, 0))
        curve = self._curve(name)
        if curve is None:
            return [None] * len(self.spans)
        stops = [start for start, _ in self.spans[1:]] + [stop for _, stop in self.spans[-1:]]
        tempi = []
        for (start, _), stop in zip(self.spans, stops, strict=True):
            part = slice(start - self.offset, stop - self.offset)
            tempi.append(phases.phases(self.pose.time[start:stop], curve[part], upwards))
        return tempi

    def _curve(self, name: str) -> np.ndarray | None:
        """Return (T,) degrees of an angle over the set: the side that is known better, or both sides' mean."""
        if self.angles is None or not name:
            return None
        sides = [values for column, values in self.angles.degrees.items() if column.endswith(name)]
        known = [float(np.isfinite(values).mean()) for values in sides]
        if not sides or max(known) == 0:
            return None
        good = [values for values, share in zip(sides, known, strict=True) if share > 0.9 * max(known)]
        return np.mean(good, axis=0) if not is_in_turn(good) else good[0]

    def _seconds(self, start: int, stop: int) -> tuple[float, float]:
        """Return when frames start..stop-1 begin and end, s."""
        time = self.pose.time
        interval = float(np.median(np.diff(time))) if len(time) > 1 else 0.0
        return float(time[start]), float(time[stop]) if stop < len(time) else float(time[-1]) + interval

    def row(self) -> dict[str, Any]:
        """Return the set's row."""
        entry, count = self.entry, self.entry.count
        pause = math.nan
        if self.before is not None:
            pause = self._seconds(entry.start, entry.stop)[0] - self._seconds(self.before.start, self.before.stop)[1]
        row = {**self._span(entry.start, entry.stop), "rest_s": pause}
        if count is None:
            return {**row, **_EMPTY}
        is_whole = entry.repetitions == count.repetitions
        extents = [extent_of(each, self.angle) for each in self.by_repetition if self.angle]
        apart = np.array([difference(each, self.angle) for each in self.by_repetition if self.angle]).reshape(-1, 2)
        tempi = [tempo for tempo in self.tempi if tempo]
        return {
            **row,
            "reps": float(entry.repetitions),
            "low": float(count.low if is_whole else min(count.low, entry.repetitions)),
            "high": float(count.high if is_whole else entry.repetitions),
            "rep_s": float(np.median([stop - start for start, stop in self._repetition_seconds()])),
            "tempo": str(median_phases(tempi)) if tempi else "",
            "phases": tempi[0].names if tempi else "",
            "angle": self.angle,
            "range_deg": _median(extents),
            "difference_deg": _median(apart[:, 0]),
            "difference_percent": _median(apart[:, 1]),
            "confidence": _median(self._confidence()),
            "doubt": count.doubt or None,
        }

    def repetition_rows(self) -> list[dict[str, Any]]:
        """Return a row for each repetition; of a hold, the hold's."""
        if self.entry.count is None:
            return [self.row()]
        whole = self.row()
        rows = []
        measures = zip(self.spans, self.by_repetition, self.tempi, self._confidence(), strict=True)
        end = math.nan
        for number, (span, extents, tempo, confidence) in enumerate(measures, 1):
            apart = difference(extents, self.angle)
            row = {**whole, **self._span(*span), "rep": number, "reps": 1.0, "low": math.nan, "high": math.nan}
            row["rest_s"] = whole["rest_s"] if number == 1 else row["start_s"] - end
            row["rep_s"] = row["seconds"]
            row["tempo"], row["phases"] = (str(tempo), tempo.names) if tempo else ("", "")
            row["range_deg"] = extent_of(extents, self.angle)
            row["difference_deg"], row["difference_percent"] = apart
            row["confidence"] = confidence
            row["doubt"] = None
            end = row["stop_s"]
            rows.append(row)
        return rows

    def _span(self, start: int, stop: int) -> dict[str, Any]:
        begin, end = self._seconds(start, stop)
        return {
            "set": self.number,
            "exercise": self.entry.label,
            "start": int(self.pose.frame[start]),
            "stop": int(self.pose.frame[stop - 1]) + 1,
            "start_s": begin,
            "stop_s": end,
            "seconds": end - begin,
            "prob": self.entry.prob,
        }

    def _repetition_seconds(self) -> list[tuple[float, float]]:
        """Return from when to when each repetition lasts: until the next begins."""
        begins = [self._seconds(*span)[0] for span in self.spans]
        ends = [*begins[1:], self._seconds(*self.spans[-1])[1]]
        return list(zip(begins, ends, strict=True))

    def _confidence(self) -> list[float]:
        entry, count = self.entry, self.entry.count
        if count is None or count.confidence is None:
            return [math.nan] * len(self.spans)
        return [float(value) for value in count.confidence[entry.first : entry.last]]


_EMPTY: dict[str, Any] = {
    **dict.fromkeys(("reps", "low", "high", "rep_s", "range_deg", "difference_deg", "difference_percent"), math.nan),
    **dict.fromkeys(("tempo", "phases", "angle"), ""),
    "confidence": math.nan,
    "doubt": None,
}


def repetition_frames(entry: WorkoutSet) -> list[tuple[int, int]]:
    """Return the frames of the pose that each repetition of a set spans, half-open."""
    count = entry.count
    if count is None:
        return []
    offset = entry.start - int(count.start[entry.first])
    starts, stops = (edge[entry.first : entry.last] + offset for edge in (count.start, count.stop))
    return list(zip(starts.tolist(), stops.tolist(), strict=True))


def median_phases(tempi: list[Phases]) -> Phases:
    """Return the usual phases of a set, phase by phase."""
    seconds = np.median([tempo.seconds for tempo in tempi], axis=0)
    return Phases((float(seconds[0]), float(seconds[1]), float(seconds[2]), float(seconds[3])), tempi[0].names)


def is_in_turn(sides: list[np.ndarray]) -> bool:
    """Whether two sides' angles (T,) do not go together, as where left and right take turns."""
    if len(sides) < 2:
        return False
    known = np.isfinite(sides[0]) & np.isfinite(sides[1])
    if known.sum() < 3:
        return True
    with np.errstate(invalid="ignore", divide="ignore"):
        return not np.corrcoef(sides[0][known], sides[1][known])[0, 1] > 0


def _median(values: Any) -> float:
    """Return the median of what is known, NaN for nothing."""
    known = np.asarray(values, float)
    known = known[np.isfinite(known)]
    return float(np.median(known)) if len(known) else math.nan
