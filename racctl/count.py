"""Repetitions of a clip: from a video or a pose to counts, intervals and one row per repetition.

Convention: one full cycle back to the start is one repetition; a movement done by left and right in turn counts each
side; an unfinished last repetition does not count.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from racctl import __version__
from racctl.contracts import Meta, Pose, step, with_step
from racctl.errors import DataError, UsageError
from racctl.estimators.blazepose import model_file
from racctl.estimators.workers import Workers
from racctl.io.current import is_current, recorded_meta
from racctl.io.npz import pose_bytes, read_pose
from racctl.io.output import write_file
from racctl.io.parquet import table_from_rows, write_table
from racctl.io.sniff import sniff
from racctl.io.spool import clip_name, display_name, open_input, sha256
from racctl.periodicity import Repetitions, count_repetitions
from racctl.pose import check_part, estimate_pose, pose_step
from racctl.progress import Report, silent
from racctl.remap import topology_of
from racctl.video.overlay import check_target, write_overlay

if TYPE_CHECKING:
    from racctl.plot import Curve

MODELS = {"periodicity": "class-agnostic and weight-free: finds the motion that repeats in the joints' paths"}
EXPECTED = "racctl.pose/1 or a video"


@dataclass(frozen=True)
class Options:
    """How to count. alternating: "each" side or the "pair" counts. person: "main", "all" or a track number. start,
    stop: seconds, the video's own timestamps. pose_model, download: as for `racctl pose`."""

    model: str = "periodicity"
    alternating: str = "each"
    person: str = "main"
    start: float | None = None
    stop: float | None = None
    stride: int = 1
    pose_model: str = "full"
    download: bool = False

    def check(self) -> Options:
        """UsageError for a value that means nothing; returns self."""
        if self.model not in MODELS:
            raise UsageError(f"no such counter '{self.model}'; expected one of {', '.join(MODELS)}")
        if self.alternating not in ("each", "pair"):
            raise UsageError(f"'--alternating {self.alternating}' means nothing; expected each or pair")
        if self.person not in ("main", "all") and not self.person.isdecimal():
            raise UsageError(f"'--person {self.person}' means nothing; expected main, all or a track number")
        check_part(self.start, self.stop)
        return self

    def pose_step(self) -> Meta:
        """The step that makes a pose of a video."""
        return pose_step(model_file(self.pose_model, self.download), 1, self.start, self.stop, self.stride)

    def count_step(self) -> Meta:
        """The step that makes counts of a pose."""
        part = {"start": self.start, "stop": self.stop, "stride": self.stride}
        return step("count", __version__, model=self.model, alternating=self.alternating, person=self.person, **part)


@dataclass(frozen=True)
class Counted:
    """One person's repetitions. frame, time: (T,) clock of the pose they were found in. meta: provenance."""

    clip: str
    person: int
    found: Repetitions
    frame: np.ndarray
    time: np.ndarray
    meta: Meta

    def frames(self) -> tuple[np.ndarray, np.ndarray]:
        """First and one-past-last source frame of every repetition, each (R,) int64."""
        ends = np.append(self.frame, self.frame[-1] + 1)
        return self.frame[self.found.start], ends[self.found.stop]

    def seconds(self) -> tuple[np.ndarray, np.ndarray]:
        """Begin and end of every repetition, each (R,) seconds in the video's own timestamps."""
        usual = np.median(np.diff(self.time)) if len(self.time) > 1 else 0.0
        ends = np.append(self.time, self.time[-1] + usual)
        return self.time[self.found.start], ends[self.found.stop]

    def curve(self) -> Curve:
        """What `racctl.plot` draws."""
        from racctl.plot import Curve  # with matplotlib, which takes longer to import than most clips to count

        starts, stops = self.seconds()
        f = self.found
        return Curve(self.clip, self.time, f.signal, starts, stops, f.count, f.low, f.high, "motion signal")


def count_pose(pose: Pose, options: Options) -> list[Counted]:
    """Count every person that `options.person` asks for; rows in the order of the tracks."""
    topology = topology_of(pose)
    if not pose.xyz.size:
        raise DataError(f"clip '{pose.clip}' holds nobody: {len(pose.frame)} frames, {len(pose.track)} people")
    pairs = tuple((topology.index(left), topology.index(right)) for left, right in topology.symmetries)
    digest = hashlib.sha256(pose_bytes(pose)).hexdigest()
    meta = with_step({**pose.meta, "pose_sha256": digest}, options.count_step())
    counted = []
    for m in pose.chosen(options.person):
        found = count_repetitions(pose.xyz[:, m], pose.score[:, m], pose.time, pairs, alternating=options.alternating)
        counted.append(Counted(pose.clip, int(pose.track[m]), found, pose.frame, pose.time, meta))
    return counted


def cut(pose: Pose, options: Options) -> Pose:
    """The part of a pose that start, stop and stride ask for; DataError when nothing is left."""
    begin = -np.inf if options.start is None else options.start
    end = np.inf if options.stop is None else options.stop
    keep = np.flatnonzero((pose.time >= begin) & (pose.time < end))[:: options.stride]
    if not len(keep):
        raise DataError(f"clip '{pose.clip}' has no frame in the part asked for")
    world = None if pose.world is None else pose.world[keep]
    return Pose(pose.xyz[keep], pose.score[keep], pose.frame[keep], pose.time[keep], pose.track, pose.meta, world)


def count_file(
    file: IO[bytes], source: str, options: Options, workers: Workers, report: Report = silent
) -> tuple[Pose, list[Counted]]:
    """Count one input: a video (pose first) or a racctl.pose/1. Returns the pose used and the counts.

    Raises DataError naming what the file holds when it is neither."""
    where = display_name(source)
    kind = sniff(file)
    if kind in ("video", "unknown"):
        pose = estimate_pose(file, source, workers, options.pose_step(), report)
        return pose, count_pose(pose, options)
    if kind != "npz":
        raise DataError(f"'{where}' is {kind}, expected {EXPECTED}; 'racctl remap-joints' reads other poses")
    whole = _named(_pose_from(file, where), source)
    pose = cut(whole, options)
    counted = count_pose(pose, options)
    digest = sha256(file)  # of what was read, which a cut pose no longer is
    return pose, [replace(c, meta={**c.meta, "pose_sha256": digest}) for c in counted]


def count_source(
    source: str, options: Options, workers: Workers, report: Report, overlay: str = "", film: str = ""
) -> list[Counted]:
    """Count a path, or "-" for stdin. overlay: also draw the result into a copy of the video `film` (the input itself
    where that is a video) and write it there."""
    with open_input(source) as file:
        if overlay:
            check_target(Path(overlay), film or source)
            if sniff(file) == "npz" and not film:
                raise UsageError(f"'{display_name(source)}' is a pose; name the video to draw on with '--video FILE'")
        pose, counted = count_file(file, source, options, workers, report)
        if overlay:
            if len(counted) != 1:
                raise UsageError(f"'--overlay' shows one person and {len(counted)} are counted; choose with '--person'")
            with _film(file, source, film) as (video, name):
                write_overlay(video, name, Path(overlay), pose, *counted[0].frames(), report)
    return counted


@contextmanager
def _film(file: IO[bytes], source: str, film: str) -> Iterator[tuple[IO[bytes], str]]:
    if film:
        with open_input(film) as video:
            yield video, film
    else:
        yield file, display_name(source)


def _pose_from(file: IO[bytes], where: str) -> Pose:
    try:
        return read_pose(file, where)
    except DataError as error:
        raise DataError(str(error).replace(f"expected {Pose.schema}", f"expected {EXPECTED}")) from None


def _named(pose: Pose, source: str) -> Pose:
    """A pose without a clip name of its own gets its file's."""
    if pose.clip in ("", "stdin"):
        pose.meta = {**pose.meta, "clip": clip_name(source)}
    return pose


def counts_table(counted: list[Counted]) -> pa.Table:
    """racctl.counts/1: one row per clip and person."""
    rows = [
        {"clip": c.clip, "person": c.person, "count": c.found.count, "low": float(c.found.low),
         "high": float(c.found.high), "frames": len(c.frame)}
        for c in counted
    ]  # fmt: skip
    return table_from_rows("racctl.counts/1", rows, _joint_meta(counted))


def reps_table(counted: list[Counted]) -> pa.Table:
    """racctl.reps/1: one row per repetition."""
    rows: list[dict[str, Any]] = []
    for c in counted:
        for rep, (start, stop, start_s, stop_s) in enumerate(zip(*c.frames(), *c.seconds(), strict=True), 1):
            rows.append(
                {"clip": c.clip, "person": c.person, "rep": rep, "start": int(start), "stop": int(stop),
                 "start_s": float(start_s), "stop_s": float(stop_s), "label": ""}
            )  # fmt: skip
    return table_from_rows("racctl.reps/1", rows, _joint_meta(counted))


def _joint_meta(counted: list[Counted]) -> Meta:
    """The provenance of a table: one clip's own, or each clip's under its name."""
    twice = [key for key, times in Counter((c.clip, c.person) for c in counted).items() if times > 1]
    if twice:
        raise DataError(f"two inputs are both called '{twice[0][0]}' by their own account; count them one by one")
    keep = ("clip", "source", "steps", "pose_sha256")
    metas = {c.clip: {key: c.meta[key] for key in keep if key in c.meta} for c in counted}
    if len(metas) == 1:
        return next(iter(metas.values()))
    return {"clips": metas}


def save_count(source: str, folder: Path, reps: bool, options: Options, workers: Workers) -> None:
    """Write FOLDER/<clip>.counts.parquet (or .reps.parquet) unless it is there and up to date."""
    target = folder / f"{clip_name(source)}.{'reps' if reps else 'counts'}.parquet"
    with open_input(source) as file:
        if not _is_counted(target, file, source, options):
            counted = count_file(file, source, options, workers)[1]
            table = (reps_table if reps else counts_table)(counted)
            write_file(target, lambda out: write_table(out, table))


def _is_counted(target: Path, file: IO[bytes], source: str, options: Options) -> bool:
    """Whether `target` holds the count of these very bytes, by these options and this version."""
    if sniff(file) != "npz":
        return is_current(target, sha256(file), [options.pose_step(), options.count_step()])
    made = recorded_meta(target)
    steps = [*recorded_meta(source).get("steps", []), options.count_step()]
    return made.get("pose_sha256") == sha256(file) and made.get("steps") == steps
