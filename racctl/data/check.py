"""A table of annotations, every row checked: against itself, the other rows, known errors, and the videos."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from racctl import __version__
from racctl.contracts import Meta, step
from racctl.data.clips import ClipTruth, Problem
from racctl.data.known_bad import KNOWN_BAD
from racctl.data.truth import read_truth, with_all_problems
from racctl.data.videos import VideoFolder, find_videos, look_at
from racctl.errors import DataError
from racctl.io.parquet import table_from_rows
from racctl.io.spool import display_name
from racctl.progress import Report, silent

PROBLEMS_SCHEMA = "racctl.problems/1"
MAX_NAMED_CYCLES = 3  # cycles that a row names; a table whose frames are all wrong has hundreds

ProblemRow = dict[str, str | int | None]


@dataclass(frozen=True)
class LabelCheck:
    """What a check of an annotation showed.

    problems: rows of racctl.problems/1, in the table's order.
    rows: of the table.
    clips: that they are about.
    sound: clips without any problem.
    repetitions: the sum of the counts.
    excluded: clips left out as known to be wrong.
    meta: the same for a program.
    """

    problems: list[ProblemRow]
    rows: int
    clips: int
    sound: int
    repetitions: float
    excluded: list[str]
    meta: Meta

    def table(self) -> pa.Table:
        """Return the problems as a racctl.problems/1 table."""
        return table_from_rows(PROBLEMS_SCHEMA, self.problems, self.meta)

    def summary(self) -> str:
        """Return one line for a person."""
        kinds = Counter(str(row["kind"]) for row in self.problems)
        tally = ", ".join(f"{n} {kind}" for kind, n in kinds.most_common()) or "none"
        out = f"; {len(self.excluded)} left out as known to be wrong" if self.excluded else ""
        return (
            f"{self.rows} rows, {self.clips} clips, {self.sound} of them without problems, {self.repetitions:g} "
            f"repetitions{out}; problems: {tally}"
        )


def check_labels(source: str, videos: str = "", exclude_known_bad: bool = False, report: Report = silent) -> LabelCheck:
    """Check every row of an annotation ("-" is stdin).

    With `videos` also the video of each clip is checked, found under that folder by name and decoded.

    Raises DataError when the annotation cannot be read at all or has no rows.
    """
    truths = with_all_problems(read_truth(source))
    if not truths:
        raise DataError(f"'{display_name(source)}' has no rows to check")
    folder = find_videos(videos) if videos else None
    excluded = sorted({t.clip for t in truths if exclude_known_bad and t.clip in KNOWN_BAD})
    checked = [truth for truth in truths if truth.clip not in excluded]
    problems: list[ProblemRow] = []
    for done, truth in enumerate(checked, 1):
        problems += [_row(truth, problem) for problem in (*truth.problems, *_of_video(truth, folder))]
        report(done, len(checked))
    clips = {truth.clip for truth in checked}
    sound = len(clips - {row["clip"] for row in problems})
    rows = sum(max(1, len(truth.lines)) for truth in checked)
    repetitions = float(sum(truth.count for truth in checked if math.isfinite(truth.count)))
    counts = {
        "rows": rows,
        "clips": len(clips),
        "sound": sound,
        "repetitions": repetitions,
        "excluded": excluded,
    }
    labels = {"name": Path(display_name(source)).name, "variant": ", ".join(sorted({t.variant for t in truths}))}
    entry = step("check-labels", __version__, videos=bool(videos), exclude_known_bad=exclude_known_bad)
    meta = {"labels": labels, "checked": counts, "steps": [entry]}
    return LabelCheck(problems, rows, len(clips), sound, repetitions, excluded, meta)


def known_bad_table() -> pa.Table:
    """List the labels that are known to be wrong as a racctl.problems/1 table.

    Each row says what is wrong and who says so.
    """
    rows = [
        {"clip": clip, "line": None, "kind": "known wrong label", "what": reason} for clip, reason in KNOWN_BAD.items()
    ]
    return table_from_rows(PROBLEMS_SCHEMA, rows, {"steps": [step("check-labels", __version__, known_bad=True)]})


def _of_video(truth: ClipTruth, folder: VideoFolder | None) -> list[Problem]:
    return look_at(truth, folder.of(truth.clip), decode=True)[1] if folder else []


def _row(truth: ClipTruth, problem: Problem) -> ProblemRow:
    line = truth.lines[0] if truth.lines else None
    return {"clip": truth.clip, "line": line, "kind": problem.kind, "what": f"{problem}{_details(truth, problem)}"}


def _details(truth: ClipTruth, problem: Problem) -> str:
    """Return which cycles or lines a problem is about, for somebody who is going to mend it.

    "" where its text says all.
    """
    if problem.kind == "duplicate row" and len(truth.lines) > 1:
        return f": lines {', '.join(map(str, truth.lines))}"
    if truth.cycles is None or not problem.cycles:
        return ""
    named = [
        f"cycle {k + 1} (frames {truth.cycles[k, 0]} to {truth.cycles[k, 1]})"
        for k in problem.cycles[:MAX_NAMED_CYCLES]
    ]
    more = f" and {len(problem.cycles) - MAX_NAMED_CYCLES} more" if len(problem.cycles) > MAX_NAMED_CYCLES else ""
    return f": {', '.join(named)}{more}"
