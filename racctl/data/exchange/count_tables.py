"""Tables of counted clips as data sets publish them: RepCount-A's, in frames, and Countix', in seconds."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from racctl.data.clips import ClipTruth
from racctl.data.exchange.marks import AnnotationFormat, Mark, MarkedClip, checked
from racctl.data.tables import read_text
from racctl.data.truth import read_clip_table
from racctl.errors import DataError

COUNTIX_HEADER = (
    "video_id",
    "class",
    "kinetics_start",
    "kinetics_end",
    "repetition_start",
    "repetition_end",
    "count",
)


def write_repcount(clips: Sequence[MarkedClip]) -> str:
    """Return RepCount-A's table: type, name, count, and L1, L2, ..., the first and last frame of each repetition."""
    most = max((2 * len(clip.marks) for clip in clips), default=0)
    rows: list[list[object]] = [["", "type", "name", "count", *(f"L{k}" for k in range(1, most + 1))]]
    for place, clip in enumerate(clips):
        _need_repetitions(clip)
        frames = [frame for mark in clip.marks for frame in _frames(mark, clip)]
        label = next((mark.label for mark in clip.marks if mark.label), "")
        rows.append([place, label, f"{clip.clip}.mp4", len(clip.marks), *frames, *[""] * (most - len(frames))])
    return _csv(rows)


def write_countix(clips: Sequence[MarkedClip]) -> str:
    """Return Countix' table: the clip is the whole of Kinetics' segment, and the repetitions from first to last."""
    rows: list[list[object]] = [list(COUNTIX_HEADER)]
    for clip in clips:
        _need_repetitions(clip)
        first = min((mark.start_s for mark in clip.marks), default=0.0)
        last = max((mark.stop_s for mark in clip.marks), default=0.0)
        label = next((mark.label for mark in clip.marks if mark.label), "")
        times = [f"{value:.6g}" for value in (0.0, last, first, last)]
        rows.append([clip.clip, label, *times, len(clip.marks)])
    return _csv(rows)


def _need_repetitions(clip: MarkedClip) -> None:
    if clip.marks and not clip.counts_repetitions:
        raise DataError(f"'{clip.clip}' has segments, and this format counts repetitions; make them with '--reps'")


def _frames(mark: Mark, clip: MarkedClip) -> tuple[int, int]:
    if mark.start is not None and mark.stop is not None:
        return mark.start, mark.stop
    if not clip.fps:
        raise DataError(f"'{clip.clip}' has marks in seconds alone, and RepCount counts frames; give '--fps N'")
    return round(mark.start_s * clip.fps), round(mark.stop_s * clip.fps)


def _csv(rows: list[list[object]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def read_count_table(text: str, where: str, fps: float = 0.0) -> list[MarkedClip]:
    """Return the clips of a table that marks the repetitions, of any data set that `racctl score` reads."""
    truths = read_clip_table(read_text(io.BytesIO(text.encode()), where))
    return [checked(_marked(truth, where, fps), where) for truth in truths]


def _marked(truth: ClipTruth, where: str, fps: float) -> MarkedClip:
    rate = truth.fps or fps
    if truth.cycles is None:
        raise DataError(f"'{where}' counts the repetitions of '{truth.clip}' and does not mark them")
    if not rate:
        raise DataError(f"'{where}' counts frames and tells no frame rate of '{truth.clip}'; give '--fps N'")
    marks = [
        Mark(start / rate, stop / rate, truth.label, rep, start, stop)
        for rep, (start, stop) in enumerate(truth.cycles.tolist(), 1)
    ]
    return MarkedClip(truth.clip, marks, rate)


def _is_table(text: str) -> bool:
    head = next(iter(text.splitlines()), "")
    return ("," in head or "\t" in head) and head.lstrip()[:1] not in ("{", "[", "<")


REPCOUNT = AnnotationFormat(".csv", False, _is_table, read_count_table, write_repcount)
COUNTIX = AnnotationFormat(".csv", False, _is_table, read_count_table, write_countix)
