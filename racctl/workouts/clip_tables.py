"""How a clip becomes a table: opened, its pose cut to the span, and written to a folder unless it is there already."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from racctl.contracts import Meta, Pose, with_step
from racctl.counters.count_clip import cut
from racctl.errors import DataError, UsageError
from racctl.estimators.on_demand import Estimates, Estimators
from racctl.estimators.open_clip import Clip, open_clip
from racctl.io.output import write_file
from racctl.io.parquet import write_table
from racctl.io.spool import clip_name
from racctl.io.up_to_date import recorded_meta
from racctl.progress import Report, silent
from racctl.video.span import Span


@dataclass(frozen=True)
class PoseReading:
    """What of a clip is read.

    person: "main", "all" or a track number.
    span: which part of the clip.
    pose_model: of `racctl pose`, for a video.  download: whether it may be fetched.
    """

    person: str = "main"
    span: Span = field(default_factory=Span)
    pose_model: str = "full"
    download: bool = False

    def check(self) -> PoseReading:
        """Raise UsageError for a value that is not valid; return self."""
        if self.person not in ("main", "all") and not self.person.isdecimal():
            raise UsageError(f"invalid value '{self.person}' for '--person'; expected main, all or a track number")
        self.span.check()
        return self

    @property
    def estimates(self) -> Estimates:
        """What has to be estimated of a video."""
        return Estimates(0, True, pose_model=self.pose_model, download=self.download)

    def open(self, source: str, estimators: Estimators, report: Report = silent) -> AbstractContextManager[Clip]:
        """Open a video or a pose."""
        return open_clip(source, span=self.span, reads=("pose", "video"), estimators=estimators, report=report)

    def pose(self, clip: Clip) -> Pose:
        """Return the pose of the span; DataError where it holds nobody."""
        pose = cut(clip.pose, clip.sampling) if clip.kind == "pose" else clip.pose
        if not pose.xyz.size:
            raise DataError(f"clip '{clip.name}' holds nobody: {len(pose.frame)} frames, {len(pose.track)} people")
        return pose


class ClipTable(Protocol):
    """What is made of a clip. reading: what of it is read."""

    @property
    def reading(self) -> PoseReading: ...

    def entry(self, clip: Clip) -> Meta:
        """Return the step of provenance that the table gets."""

    def table(self, clip: Clip) -> pa.Table: ...


def table_of_source(source: str, estimators: Estimators, report: Report = silent, *, task: ClipTable) -> pa.Table:
    """Return the table of a path, or of "-" for stdin."""
    with task.reading.open(source, estimators, report) as clip:
        return task.table(clip)


def save_table(
    source: str, estimators: Estimators, report: Report = silent, *, task: ClipTable, folder: Path, ending: str
) -> None:
    """Write FOLDER/<clip><ending> unless it is there already, made of the same bytes the same way."""
    target = folder / f"{clip_name(source)}{ending}"
    with task.reading.open(source, estimators, report) as clip:
        if not _is_current(target, clip, task):
            table = task.table(clip)
            write_file(target, lambda out: write_table(out, table))


def table_meta(clip: Clip, pose: Pose, entry: Meta) -> Meta:
    """Return the meta document of a table that is made of a clip's pose."""
    about: Meta = {key: pose.meta[key] for key in ("source", "steps") if key in pose.meta}
    return with_step({**about, "clip": clip.name, "input_sha256": clip.digest}, entry)


def _is_current(target: Path, clip: Clip, task: ClipTable) -> bool:
    recorded = recorded_meta(target)
    if clip.source == "-" or not recorded:
        return False
    steps = [clip.estimators.pose_step(clip.sampling)] if clip.kind == "video" else clip.recorded_steps()
    return recorded.get("input_sha256") == clip.digest and recorded.get("steps") == [*steps, task.entry(clip)]
