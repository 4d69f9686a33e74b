"""Which kind of annotation file is this? By its bytes and its columns, never by its name."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import IO

from racctl.contracts import Meta
from racctl.data.clips import ClipTruth, Problem, row_problems
from racctl.data.countix import read_countix_segments, read_seconds
from racctl.data.known_bad import KNOWN_BAD
from racctl.data.plain import clips_of_table, plain_columns, read_plain
from racctl.data.repcount import read_fitness, read_repcount
from racctl.data.tables import MARK, TextTable, read_text
from racctl.data.ucfrep import MAT_MAGIC, read_folder, read_mat, read_ucfrep
from racctl.errors import DataError
from racctl.io.parquet import read_table
from racctl.io.sniff import kind_phrase, sniff
from racctl.io.spool import display_name, open_input

EXPECTED_TRUTH = (
    "a RepCount, Countix or UCFRep annotation, a table with a clip and a count column, or racctl's own Parquet"
)


def read_truth(source: str) -> list[ClipTruth]:
    """Return the clips of an annotation file, of a table of counts, or of UCFRep's folder of .mat files; "-" is stdin.

    Clips come in the file's order and may repeat; a count may be NaN: `ClipTruth.problems` says so. DataError when the
    content is none of the known kinds, or damaged.
    """
    return read_clips(source)[0]


def with_all_problems(rows: list[ClipTruth]) -> list[ClipTruth]:
    """Return the rows of one table with all that is known to be wrong with them.

    That is what each row tells, what only the other rows tell, and what others have reported.
    """
    checked = []
    for row, beside in zip(rows, row_problems(rows), strict=True):
        known = [Problem(KNOWN_BAD[row.clip], "known wrong label")] if row.clip in KNOWN_BAD else []
        checked.append(replace(row, problems=(*row.problems, *beside, *known)))
    return checked


def read_clips(source: str) -> tuple[list[ClipTruth], Meta]:
    """Read as `read_truth` does, with the meta document of racctl's own Parquet; {} for any other file."""
    if source != "-" and os.path.isdir(source):
        return read_folder(source), {}
    with open_input(source) as file:
        return clips_in(file, display_name(source))


def clips_in(file: IO[bytes], where: str) -> tuple[list[ClipTruth], Meta]:
    """Read an open file as `read_clips` does; messages call it `where`."""
    kind = sniff(file)
    if kind == "parquet":
        meta, table = read_table(file, where)
        return clips_of_table(meta, table, where), meta
    if kind == "text":
        return read_clip_table(read_text(file, where)), {}
    if _is_mat(file):
        return [read_mat(file, where)], {}
    raise DataError(f"'{where}' is {kind_phrase(kind)}, expected {EXPECTED_TRUTH}")


def read_clip_table(table: TextTable) -> list[ClipTruth]:
    """Return the clips of a CSV or TSV, by the columns that it has."""
    marked = any(MARK.fullmatch(name) for name in table.header)
    counted = table.has("count") or table.has("counts")
    if table.has("video_id", "kinetics_start", "kinetics_end", "repetition_start", "repetition_end") and counted:
        return read_seconds(table)
    if table.has("video_id") and counted and marked:
        return read_countix_segments(table)
    if table.has("name", "start_frame", "end_frame") and counted and marked:
        return read_ucfrep(table)
    if table.has("name") and counted and marked:
        return read_repcount(table)
    if table.has("name", "type") and marked and not counted:
        return read_fitness(table)
    clip, count, _label = plain_columns(table)
    if clip and count:
        return read_plain(table)
    shown = ", ".join(f"'{name}'" for name in table.header[:6] if name) or "none"
    raise DataError(f"'{table.where}' has the columns {shown[:200]}; expected {EXPECTED_TRUTH}")


def _is_mat(file: IO[bytes]) -> bool:
    start = file.tell()
    head = file.read(len(MAT_MAGIC))
    file.seek(start)
    return head == MAT_MAGIC
