"""One clip of an annotated data set, whichever file it came from, and what can be wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from racctl.contracts import clip_stem
from racctl.errors import DataError

PROBLEM_KINDS = (  # of problems; those of the annotation itself, then those of the video
    "no count",
    "not a count",
    "disagrees with its count",
    "incomplete",
    "zero-length",
    "backwards",
    "overlapping",
    "before the start",
    "past the end",
    "duplicate row",
    "several counts",
    "known wrong label",
    "missing video",
    "several videos",
    "empty video",
    "corrupt video",
    "damaged video",
    "odd video",
    "cut short",
    "other length",
    "other rate",
)


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a clip.

    text: for a person to read.
    kind: one of `PROBLEM_KINDS`.
    cycles: indices of the clip's cycles that it is about; () where it is about the row.
    """

    text: str
    kind: str
    cycles: tuple[int, ...] = ()

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, eq=False)
class ClipTruth:
    """What a data set says about one clip.

    clip: its name without folder and media suffix.
    name: the name as the file spells it.
    count: repetitions; NaN where the file gives none.
    label: exercise, see `racctl.data.class_names`; "" where unknown.
    cycles: (N, 2) int64 first frame and the frame after the last of each repetition, counted from 0 in the clip's
        video; None where the file marks none.
    segment: the part that the count is about, in the same frames, or None.
    fps: frames/s.
    num_frames: of the whole video. Both None where unknown.
    problems: what is wrong with the annotation, each a `Problem`.
    variant: the kind of file.
    lines: where a text file says it, counted from 1; more than one for rows that say the same.
    """

    clip: str
    count: float
    label: str = ""
    cycles: np.ndarray | None = None
    segment: tuple[int, int] | None = None
    fps: float | None = None
    num_frames: int | None = None
    problems: tuple[Problem, ...] = ()
    variant: str = ""
    name: str = ""
    lines: tuple[int, ...] = ()


def as_cycles(pairs: Sequence[tuple[int, int]]) -> np.ndarray:
    """Return (N, 2) int64 from start, stop pairs, also for none."""
    return np.array(pairs, np.int64).reshape(-1, 2)


def cycle_problems(count: float, cycles: np.ndarray, segment: tuple[int, int] | None) -> list[Problem]:
    """Return what is wrong with the `cycles` (N, 2) of a clip with this count, annotated within `segment`.

    segment: None where unknown.
    """
    start, stop = cycles[:, 0], cycles[:, 1]
    first, last = segment if segment else (0, np.iinfo(np.int64).max)
    before = np.concatenate([start[:1], stop[:-1]])  # where the cycle before stops; the first has none
    by_kind = [
        cycles_that(stop == start, "of zero length", "zero-length"),
        cycles_that(stop < start, "running backwards", "backwards"),
        cycles_that(start < before, "overlapping the one before", "overlapping"),
        cycles_that(start < first, "starting before the video", "before the start"),
        cycles_that(stop > last, "outside the video", "past the end"),
    ]
    problems = [problem for several in by_kind for problem in several]
    if np.isfinite(count) and count != len(cycles):
        problems.insert(0, Problem(f"count {count:g}, cycles {len(cycles)}", "disagrees with its count"))
    return problems


def cycles_that(chosen: np.ndarray, what: str, kind: str) -> list[Problem]:
    """Return the problem of the cycles where `chosen` (N,) is true, none where it is nowhere."""
    which = np.flatnonzero(chosen)
    if not len(which):
        return []
    return [Problem(f"{len(which)} {'cycle' if len(which) == 1 else 'cycles'} {what}", kind, tuple(which.tolist()))]


def row_problems(truths: Sequence[ClipTruth]) -> list[list[Problem]]:
    """Return for each row the problems that only the other rows tell.

    They are the first other row of its clip with the same count, and the first with another one.
    """
    rows: dict[str, dict[str, list[ClipTruth]]] = {}
    for truth in truths:
        rows.setdefault(truth.clip, {}).setdefault(f"{truth.count:g}", []).append(truth)
    problems = []
    for truth in truths:
        same = next((row for row in rows[truth.clip][f"{truth.count:g}"] if row is not truth), None)
        by_count = rows[truth.clip]
        unlike = next((alike[0] for count, alike in by_count.items() if count != f"{truth.count:g}"), None)
        row_findings = []
        if same:
            row_findings.append(Problem(f"{_place(same)} is about the same clip", "duplicate row"))
        if unlike:
            text = f"the count is {truth.count:g} here and {unlike.count:g} in {_place(unlike)}"
            row_findings.append(Problem(text, "several counts"))
        problems.append(row_findings)
    return problems


def _place(truth: ClipTruth) -> str:
    return f"line {truth.lines[0]}" if truth.lines else "another row"


def count_problems(count: float) -> list[Problem]:
    """Return what is wrong with a true count by itself."""
    if np.isnan(count):
        return [Problem("no count", "no count")]
    sound = np.isfinite(count) and count >= 0
    return [] if sound else [Problem(f"count {count:g} is not a number of repetitions", "not a count")]


def quoted(names: Sequence[str], most: int = 3) -> str:
    """Return a few names for a message: 'a', 'b', 'c' and 4 more."""
    shown = ", ".join(f"'{name}'" for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def whole_video(num_frames: int | None) -> tuple[int, int] | None:
    """Return the segment of a clip that is annotated from its first frame to its last; None for an unknown length."""
    return None if num_frames is None else (0, num_frames)


def checked_stem(name: str, where: str) -> str:
    """Return `clip_stem`, refusing names that come out empty."""
    stem = clip_stem(name)
    if not stem:
        raise DataError(f"{where} has no clip name (found '{name}')")
    return stem
