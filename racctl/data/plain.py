"""Counts per clip from anyone's table (`clip,count`, under the names people use) and from racctl's own Parquet."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa

from racctl.contracts import Meta
from racctl.data.class_names import exercise
from racctl.data.clips import ClipTruth, as_cycles, checked_stem, count_problems, cycle_problems
from racctl.data.tables import TextTable
from racctl.errors import DataError

CLIP_NAMES = (
    "clip",
    "clip_name",
    "name",
    "video",
    "video_id",
    "video_name",
    "sequence",
    "file",
    "filename",
    "file_name",
)
COUNT_NAMES = ("count", "counts", "reps", "repetitions", "num_reps", "n_reps", "rep_count")
LABEL_NAMES = ("label", "type", "class", "exercise", "action")


def plain_columns(table: TextTable) -> tuple[str, str, str]:
    """Return the columns of the clip, its count and its label, "" for each that is not there.

    Case, spaces and dashes in headers do not matter. Two columns that could be the clip, or its count, are a DataError.
    """
    clip, count = column_like(table, CLIP_NAMES), column_like(table, COUNT_NAMES)
    return clip, count, next(iter(_candidates(table, LABEL_NAMES)), "")


def column_like(table: TextTable, meanings: tuple[str, ...]) -> str:
    """Return the one column under any of these names, "" for none.

    Raises DataError for two.
    """
    columns = _candidates(table, meanings)
    if len(columns) > 1:
        both = f"'{columns[0]}' and '{columns[1]}'"
        raise DataError(f"'{table.where}' has the columns {both}; either could be the {meanings[0]}, rename one")
    return columns[0] if columns else ""


def _candidates(table: TextTable, meanings: tuple[str, ...]) -> list[str]:
    return [name for name in table.header if name.lower().replace(" ", "_").replace("-", "_") in meanings]


def read_plain(table: TextTable) -> list[ClipTruth]:
    """Return the clips of a table with a clip column and a count column, and perhaps a label column.

    Other columns are ignored.
    """
    clip_column, count_column, label_column = plain_columns(table)
    columns = zip(table.names(clip_column), table.numbers(count_column), table.text(label_column), strict=True)
    return [
        ClipTruth(
            clip=checked_stem(name, table.at(row)),
            name=name,
            count=count,
            label=exercise(label),
            problems=tuple(count_problems(count)),
            variant="plain",
            lines=(table.lines[row],),
        )
        for row, (name, count, label) in enumerate(columns)
    ]


def clips_of_table(meta: Meta, table: pa.Table, where: str) -> list[ClipTruth]:
    """Return the clips of one of racctl's own tables.

    A racctl.counts/1 or racctl.manifest/1 has a row per clip, a racctl.reps/1 a row per repetition.

    Raises DataError for any other schema.
    """
    schema = meta["schema"]
    if schema not in ("racctl.counts/1", "racctl.manifest/1", "racctl.reps/1"):
        raise DataError(f"'{where}' holds {schema}, expected counts or repetitions; run 'racctl count' first")
    columns = [
        name
        for name in ("clip", "person", "count", "label", "start", "stop", "start_s", "stop_s")
        if name in table.column_names
    ]
    rows = table.select(columns).to_pylist()
    for i, row in enumerate(rows):
        row["name"] = row["clip"] or ""
        row["clip"] = checked_stem(row["name"], f"'{where}', row {i},")
    if schema == "racctl.reps/1":
        return _from_repetitions(rows, meta.get("clip", ""))
    return [_from_count(row, schema) for row in rows]


def _from_count(row: dict[str, Any], schema: str) -> ClipTruth:
    count = math.nan if row["count"] is None else row["count"]
    label, problems = exercise(row.get("label") or ""), tuple(count_problems(count))
    return ClipTruth(row["clip"], count, label, problems=problems, variant=schema, name=row["name"])


def _from_repetitions(rows: list[dict[str, Any]], clip: str) -> list[ClipTruth]:
    """Group rows by clip and person.

    A table about one clip (`clip` in its meta) without rows says 0.
    """
    schema = "racctl.reps/1"
    if not rows and clip:
        return [ClipTruth(checked_stem(clip, schema), 0.0, variant=schema, name=clip, cycles=as_cycles([]))]
    groups: dict[tuple[str, int | None], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["name"], row["person"]), []).append(row)
    clips = []
    for (name, _person), reps in groups.items():
        pairs = sorted((r["start"], r["stop"]) for r in reps if r["start"] is not None and r["stop"] is not None)
        cycles, labels = as_cycles(pairs), {exercise(r["label"] or "") for r in reps}
        count = float(len(reps))
        clips.append(
            ClipTruth(
                clip=reps[0]["clip"],
                name=name,
                count=count,
                cycles=cycles,
                fps=frame_rate_of_rows(reps),
                variant=schema,
                label=labels.pop() if len(labels) == 1 else "",
                problems=tuple(cycle_problems(count, cycles, None)),
            )
        )
    return clips


def frame_rate_of_rows(reps: list[dict[str, Any]]) -> float | None:
    """Return frames/s of the clip that repetitions are of, by how long they last; None where that is not told."""
    edges = [[r[name] for name in ("start", "stop", "start_s", "stop_s")] for r in reps]
    told = np.array([row for row in edges if None not in row], np.float64).reshape(-1, 4)
    frames, seconds = (told[:, 1] - told[:, 0]).sum(), (told[:, 3] - told[:, 2]).sum()
    return float(frames / seconds) if frames > 0 and seconds > 0 else None
