"""What a counter says of one person in a clip: repetitions on the clip's clock, as curves and as tables."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from racctl.contracts import Meta
from racctl.density import repetitions
from racctl.errors import DataError
from racctl.io.parquet import table_from_rows
from racctl.scoring.count_metrics import round_half_up

if TYPE_CHECKING:
    from racctl.counters.plot import Curve

# Units of a signal
MOTION, APPEARANCE, DENSITY = "motion signal", "motion in the picture", "repetitions per second"


@dataclass(frozen=True)
class Count:
    """One person's repetitions in a clip of T frames. Every field means the same from every counter.

    clip, person: the clip's name, and the person's track.
    count: repetitions, not rounded; see `repetitions`.
    low, high: the fewest and the most that other readings of the clip give.
    start, stop: (R,) int64 indices of frames, half-open, ascending, without overlap; R is the rounded count.
    frame, time: (T,) the frames in the source's numbering, and their seconds.
    signal: (T,) float64, the curve that the repetitions were read from, NaN where it is not known; unit: of what.
    density: (T,) repetitions within each frame, whose sum is the count; None from a counter that reads none.
    part: (R,) int64, from 1, of which part of the clip a repetition is: the next begins where something else is done;
        None where that is not known.
    confidence: (R,) 0..1, how likely each is one.
    doubt: in words, "" for none.
    trained: whether trained weights had a say.
    meta: provenance, put together by `racctl.counters.count_clip`.
    """

    clip: str
    person: int
    count: float
    low: int
    high: int
    start: np.ndarray
    stop: np.ndarray
    frame: np.ndarray
    time: np.ndarray
    signal: np.ndarray
    unit: str
    density: np.ndarray | None = None
    part: np.ndarray | None = None
    confidence: np.ndarray | None = None
    doubt: str = ""
    trained: bool = False
    meta: Meta = field(default_factory=dict)

    @property
    def repetitions(self) -> int:
        """The count rounded half up, as people read it."""
        return int(round_half_up(self.count))

    @property
    def agreement(self) -> float:
        """How far the readings of the clip agree: the fewest repetitions as a share of the most, 1 for none."""
        return self.low / self.high if self.high else 1.0

    def frames(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the first and one past the last source frame of every repetition, each (R,) int64."""
        ends = np.append(self.frame, self.frame[-1] + 1)
        return self.frame[self.start], ends[self.stop]

    def seconds(self) -> tuple[np.ndarray, np.ndarray]:
        """Return begin and end of every repetition, each (R,) seconds in the video's own timestamps."""
        interval = np.median(np.diff(self.time)) if len(self.time) > 1 else 0.0
        ends = np.append(self.time, self.time[-1] + interval)
        return self.time[self.start], ends[self.stop]

    @property
    def period(self) -> float:
        """The median time from the middle of one repetition to that of the next, s; NaN below two."""
        return float(np.median(np.diff(self.time[(self.start + self.stop) // 2]))) if len(self.start) > 1 else math.nan

    def curve(self) -> Curve:
        """Return what `racctl.counters.plot` draws."""
        from racctl.counters.plot import Curve  # with matplotlib, which takes longer to import than most clips to count

        starts, stops = self.seconds()
        return Curve(
            self.clip,
            self.time,
            self.signal,
            starts,
            stops,
            self.repetitions,
            self.low,
            self.high,
            self.unit,
            part=() if self.part is None else self.part.tolist(),
            doubt=self.doubt,
        )


def to_indices(spans: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (R, 2) spans within `size` frames as start and stop, each (R,) int64, half-open, of one frame at least."""
    start, stop = np.rint(spans).astype(np.int64).T.clip(0, size)
    stop = np.maximum(stop, start + 1).clip(max=size)
    return np.minimum(start, stop - 1), stop


def taken_from(base: Count, second: Count) -> Count:
    """Return `base` with the count of `second`, and its repetitions where the density of `second` puts them.

    The interval holds both intervals and the rounded count; clock, signal and provenance are those of `base`.
    """
    if second.density is None:
        raise ValueError("the second count has no density")
    total = second.repetitions
    spans = repetitions(second.density, np.append(second.frame, second.frame[-1] + 1), total)
    start, stop = to_indices(np.searchsorted(base.frame, spans), len(base.frame))
    low = min(base.low, second.low, total)
    high = max(base.high, second.high, total)
    count = float(second.count)
    return replace(
        base,
        count=count,
        low=low,
        high=high,
        start=start,
        stop=stop,
        density=None,
        part=None,
        confidence=second.confidence,
        doubt=second.doubt,
        trained=True,
    )


def counts_table(counts: list[Count], rounded: bool = False) -> pa.Table:
    """Return a racctl.counts/1: one row per clip and person. rounded: whole counts, for people to read."""
    rows: list[dict[str, Any]] = []
    for entry in counts:
        row = {
            "clip": entry.clip,
            "person": entry.person,
            "count": float(entry.repetitions) if rounded else entry.count,
            "low": float(entry.low),
            "high": float(entry.high),
            "frames": len(entry.frame),
            "doubt": entry.doubt or None,
        }
        rows.append(row if entry.density is None else {**row, "density": entry.density.astype(np.float32)})
    return table_from_rows("racctl.counts/1", rows, _joint_meta(counts))


def reps_table(counts: list[Count]) -> pa.Table:
    """Return a racctl.reps/1: one row per repetition."""
    rows: list[dict[str, Any]] = []
    for entry in counts:
        for k, (start, stop, start_s, stop_s) in enumerate(zip(*entry.frames(), *entry.seconds(), strict=True)):
            rows.append(
                {
                    "clip": entry.clip,
                    "person": entry.person,
                    "rep": k + 1,
                    "start": int(start),
                    "stop": int(stop),
                    "start_s": float(start_s),
                    "stop_s": float(stop_s),
                    "label": "",
                    "part": None if entry.part is None else int(entry.part[k]),
                    "confidence": None if entry.confidence is None else float(entry.confidence[k]),
                }
            )
    return table_from_rows("racctl.reps/1", rows, _joint_meta(counts))


def _joint_meta(counts: list[Count]) -> Meta:
    """Return the provenance of a table: one clip's own, or each clip's under its name."""
    times = Counter((entry.clip, entry.person) for entry in counts)
    if repeated := [clip for (clip, _), number in times.items() if number > 1]:
        raise DataError(f"two inputs are both called '{repeated[0]}' by their own account; count them one by one")
    keys = ("clip", "source", "steps", "pose_sha256")
    metas = {entry.clip: {key: entry.meta[key] for key in keys if key in entry.meta} for entry in counts}
    if len(metas) == 1:
        return next(iter(metas.values()))
    return {"clips": metas}
