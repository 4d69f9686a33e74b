"""RepCount-A, the files that follow it, and Countix-Fitness-pose.

RepCount-A comes as TransRAC's originals, as ESCounts' and D2-STX's `*_with_fps`, and as DeTRC's with `total_frames`.
Countix-Fitness-pose has a table that looks alike but marks salient poses.

Columns: `type`, `name`, `count`, L1, L2 = start and end of cycle 1, L3, L4 = of cycle 2 and so on, in frames from 0.
Consecutive cycles usually share a frame, so the end is read as the frame after the last. `M1, M2, ...` and the index
columns (`Unnamed: 0.1`) mean nothing.
"""

from __future__ import annotations

import math
from itertools import pairwise

from racctl.data.class_names import exercise
from racctl.data.clips import ClipTruth, Problem, as_cycles, checked_stem, count_problems, cycle_problems, whole_video
from racctl.data.tables import TextTable


def is_repcount(table: TextTable) -> bool:
    """Return whether a table is RepCount's; one of Countix has YouTube's ids too, and UCFRep's says where clips end."""
    others = table.has("video_id") or table.has("start_frame", "end_frame")
    return table.has("name") and table.is_counted and table.is_marked and not others


def is_fitness(table: TextTable) -> bool:
    """Return whether a table is Countix-Fitness-pose's, which has marks and no counts."""
    return table.has("name", "type") and table.is_marked and not table.is_counted


def read_repcount(table: TextTable) -> list[ClipTruth]:
    """Return the clips of a RepCount-style table, one per row; a missing `type` gives no label."""
    variant = "RepCount"
    frames = table.any_of("num_frames", "total_frames")
    if frames:
        variant = "RepCount with fps" if frames == "num_frames" else "RepCount with total_frames"
    return read_frame_marks(table, "name", "type", frames, variant)


def read_frame_marks(
    table: TextTable, name: str, label: str, length: str, variant: str, first: int = 0
) -> list[ClipTruth]:
    """Return one clip per row of a table with counts and cycles in frames.

    name, label, length: columns.  first: the number of a clip's first frame.
    """
    columns = zip(
        table.names(name),
        table.text(label),
        table.numbers(table.any_of("count", "counts")),
        table.whole(length),
        table.numbers("fps"),
        table.frame_marks(),
        strict=True,
    )
    clips = []
    for row, (clip, kind, count, frames, fps, marks) in enumerate(columns):
        pairs, problems = pair_marks(marks)
        cycles = as_cycles(pairs) - first
        segment = whole_video(frames)
        clips.append(
            ClipTruth(
                clip=checked_stem(clip, table.at(row)),
                name=clip,
                count=count,
                label=exercise(kind),
                cycles=cycles,
                segment=segment,
                num_frames=frames,
                fps=None if math.isnan(fps) else fps,
                problems=(*count_problems(count), *problems, *cycle_problems(count, cycles, segment)),
                variant=variant,
                lines=(table.lines[row],),
            )
        )
    return clips


def pair_marks(marks: list[int | None]) -> tuple[list[tuple[int, int]], list[Problem]]:
    """Start, stop pairs from L1, L2, ...; a pair with a blank is left out and said to be a problem."""
    padded = [*marks, None] if len(marks) % 2 else marks
    both = list(zip(padded[::2], padded[1::2], strict=True))
    pairs = [(start, stop) for start, stop in both if start is not None and stop is not None]
    lost = len(both) - len(pairs)
    if not lost:
        return pairs, []
    return pairs, [Problem(f"{lost} {'cycle' if lost == 1 else 'cycles'} without a start or an end", "incomplete")]


def read_fitness(table: TextTable) -> list[ClipTruth]:
    """Return the clips of Countix-Fitness-pose (and of PoseRAC's tables like it).

    `type`, `name`, L1, L2, ... without a count.

    L1, L2, ... are the frames of the two salient poses in turn, so two of them are one repetition and there are no
    cycles to read. An odd one at the end is a repetition begun: not counted, and said to be a problem.
    """
    clips = []
    columns = zip(table.names("name"), table.text("type"), table.frame_marks(), strict=True)
    for row, (name, label, marks) in enumerate(columns):
        frames = [mark for mark in marks if mark is not None]
        problems = []
        if len(frames) % 2:
            problems.append(Problem(f"{len(frames)} salient frames, an odd number", "incomplete"))
        if any(b < a for a, b in pairwise(frames)):
            problems.append(Problem("salient frames out of order", "backwards"))
        clips.append(
            ClipTruth(
                clip=checked_stem(name, table.at(row)),
                name=name,
                count=float(len(frames) // 2),
                label=exercise(label),
                problems=tuple(problems),
                variant="Countix-Fitness-pose",
                lines=(table.lines[row],),
            )
        )
    return clips
