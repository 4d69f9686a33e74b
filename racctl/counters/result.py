"""What a counter found in a clip: one person's repetitions on the clip's clock, as curves and as tables."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from racctl.contracts import Meta
from racctl.counters.periodicity import Repetitions
from racctl.density import repetitions
from racctl.errors import DataError
from racctl.io.parquet import table_from_rows
from racctl.scoring.count_metrics import round_half_up

if TYPE_CHECKING:
    from racctl.counters.plot import Curve


@dataclass(frozen=True)
class Counted:
    """One person's repetitions. frame, time: (T,) clock of the pose they were found in. meta: provenance.

    density: (T,) repetitions within each frame, whose sum is the count before it was rounded; None from a counter that
    has none."""

    clip: str
    person: int
    found: Repetitions
    frame: np.ndarray
    time: np.ndarray
    meta: Meta
    density: np.ndarray | None = None

    def frames(self) -> tuple[np.ndarray, np.ndarray]:
        """First and one-past-last source frame of every repetition, each (R,) int64."""
        ends = np.append(self.frame, self.frame[-1] + 1)
        return self.frame[self.found.start], ends[self.found.stop]

    def seconds(self) -> tuple[np.ndarray, np.ndarray]:
        """Begin and end of every repetition, each (R,) seconds in the video's own timestamps."""
        usual = np.median(np.diff(self.time)) if len(self.time) > 1 else 0.0
        ends = np.append(self.time, self.time[-1] + usual)
        return self.time[self.found.start], ends[self.found.stop]

    @property
    def repetitions(self) -> int:
        """The count rounded half up, as people read it."""
        return int(round_half_up(self.found.count))

    def curve(self) -> Curve:
        """What `racctl.counters.plot` draws."""
        from racctl.counters.plot import Curve  # with matplotlib, which takes longer to import than most clips to count

        starts, stops = self.seconds()
        f = self.found
        label = "motion signal" if self.density is None else "repetitions per second"
        return Curve(self.clip, self.time, f.signal, starts, stops, self.repetitions, f.low, f.high, label)


def whole(spans: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """(R, 2) spans within `size` frames -> start and stop, each (R,) int64, half-open, of one frame at least."""
    start, stop = np.rint(spans).astype(np.int64).T.clip(0, size)
    stop = np.maximum(stop, start + 1).clip(max=size)
    return np.minimum(start, stop - 1), stop


def agreed(one: Counted, other: Counted) -> Counted:
    """What two counters say of the same person: the geometric mean of their counts, as `placed`; `one` itself where
    either counts nothing.

    other: has a density."""
    if not one.found.count or not other.repetitions:
        return one
    return placed(one, other, math.sqrt(one.found.count * other.found.count))


def placed(one: Counted, other: Counted, count: float) -> Counted:
    """So many repetitions, rounded, where the other's density puts them, with the clock, signal and provenance of `one`
    and an interval that holds both intervals and the rounded count."""
    total = int(round_half_up(count))
    spans = repetitions(other.density, np.append(other.frame, other.frame[-1] + 1), total)
    start, stop = whole(np.searchsorted(one.frame, spans), len(one.frame))
    lasts = np.diff(one.time[(start + stop) // 2]) if len(start) > 1 else [np.nan]
    low = min(one.found.low, other.found.low, total)
    high = max(one.found.high, other.found.high, total)
    found = replace(one.found, start=start, stop=stop, count=float(count), low=low, high=high)
    return replace(one, found=replace(found, period=float(np.median(lasts))))


def counts_table(counted: list[Counted], rounded: bool = False) -> pa.Table:
    """racctl.counts/1: one row per clip and person. rounded: whole counts, for people to read."""
    rows = []
    for c in counted:
        count = float(c.repetitions) if rounded else c.found.count
        low, high = float(c.found.low), float(c.found.high)
        row = {"clip": c.clip, "person": c.person, "count": count, "low": low, "high": high, "frames": len(c.frame)}
        rows.append(row if c.density is None else {**row, "density": c.density.astype(np.float32)})
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
