"""Countix, in ESCounts' form (`video_id`, `counts`, `num_frames`, L1, L2, ...) and in the original one (seconds).

A clip is the repeating segment alone, named `<YouTube id>_<start>_<end>` with seconds from the start of the Kinetics
clip; both forms give the same names. In ESCounts' form the cycles are `count` equal parts of the segment, not
annotations: they say nothing about when a repetition happens. Its frames count from 1.
"""

from __future__ import annotations

import math
from dataclasses import replace

from racctl.data.class_names import exercise
from racctl.data.clips import ClipTruth, Problem, checked_stem, count_problems
from racctl.data.repcount import read_frame_marks
from racctl.data.tables import TextTable
from racctl.errors import DataError


def is_seconds(table: TextTable) -> bool:
    """Return whether a table is Countix's own, in seconds."""
    seconds = ("kinetics_start", "kinetics_end", "repetition_start", "repetition_end")
    return table.has("video_id", *seconds) and table.is_counted


def is_countix_segments(table: TextTable) -> bool:
    """Return whether a table is ESCounts' of Countix, in frames."""
    return table.has("video_id") and table.is_counted and table.is_marked


def read_countix_segments(table: TextTable) -> list[ClipTruth]:
    """Return the clips of ESCounts' Countix tables and of D2-STX's splits of them, repeated rows merged."""
    clips = read_frame_marks(table, "video_id", "class", "num_frames", "Countix (ESCounts)", first=1)
    return merge_repeats(clips)


def read_seconds(table: TextTable) -> list[ClipTruth]:
    """Return the clips of Countix's own tables (and Countix-AV's).

    `repetition_start`, `repetition_end` in seconds of the YouTube video, as are `kinetics_start` and `kinetics_end`;
    test tables have no `class`.
    """
    names = table.names("video_id")
    times = [table.numbers(c) for c in ("kinetics_start", "kinetics_end", "repetition_start", "repetition_end")]
    clips = []
    columns = zip(names, table.text("class"), table.numbers(table.any_of("count", "counts")), *times, strict=True)
    for row, (name, label, count, begin, end, start, stop) in enumerate(columns):
        if not all(math.isfinite(t) for t in (begin, end, start, stop)):
            raise DataError(f"{table.at(row)} lacks a start or an end in seconds")
        problems = count_problems(count)
        if stop <= start:
            problems.append(Problem("segment of no length", "zero-length"))
        if start < begin - 0.01 or stop > end + 0.01:  # their last decimals are noise
            kind = "past the end" if stop > end + 0.01 else "before the start"
            problems.append(Problem("segment outside the Kinetics clip", kind))
        clip = f"{checked_stem(name, table.at(row))}_{start - begin:.5f}_{stop - begin:.5f}"
        clips.append(
            ClipTruth(
                clip,
                count,
                exercise(label),
                problems=tuple(problems),
                variant="Countix",
                name=name,
                lines=(table.lines[row],),
            )
        )
    return merge_repeats(clips)


def merge_repeats(clips: list[ClipTruth]) -> list[ClipTruth]:
    """Merge rows of one segment, which Countix lists two or three times.

    Rows that say the same become one clip, with the repeat among its problems; rows that disagree on the count stay,
    for whoever needs one count per clip to refuse.
    """
    merged: dict[tuple[str, float], ClipTruth] = {}
    lines: dict[tuple[str, float], tuple[int, ...]] = {}
    for clip in clips:
        key = (clip.clip, clip.count)
        merged.setdefault(key, clip)
        lines[key] = (*lines.get(key, ()), *clip.lines)
    return [_kept_once(clip, lines[key]) for key, clip in merged.items()]


def _kept_once(clip: ClipTruth, lines: tuple[int, ...]) -> ClipTruth:
    if len(lines) < 2:
        return clip
    repeat = Problem(f"listed {len(lines)} times, kept once", "duplicate row")
    return replace(clip, problems=(*clip.problems, repeat), lines=lines)
