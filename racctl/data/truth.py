"""Which kind of annotation file is this? By its bytes and its columns, never by its name."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import IO

from racctl.contracts import Meta
from racctl.data.base import data_sets
from racctl.data.clips import ClipTruth, Problem, row_problems
from racctl.data.known_bad import KNOWN_BAD
from racctl.data.plain import clips_of_table, plain_columns, read_plain
from racctl.data.tables import TextTable, read_text
from racctl.errors import DataError
from racctl.io.parquet import read_table
from racctl.io.sniff import kind_phrase, sniff
from racctl.io.spool import display_name, open_input


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
        return _read_folder(source), {}
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
    for data_set in data_sets():
        if data_set.magic and _begins_with(data_set.magic, file):
            return data_set.read_file(file, where), {}
    raise DataError(f"'{where}' is {kind_phrase(kind)}, expected {_expected_truth()}")


def _expected_truth() -> str:
    """Return what annotation files there are, for messages."""
    *titles, last = sorted(data_set.title for data_set in data_sets())
    return (
        f"a {', '.join(titles)} or {last} annotation, a table with a clip and a count column, or racctl's own Parquet"
    )


def read_clip_table(table: TextTable) -> list[ClipTruth]:
    """Return the clips of a CSV or TSV, by the columns that it has."""
    for data_set in data_sets():
        if data_set.claims(table):
            return data_set.read(table)
    clip, count, _label = plain_columns(table)
    if clip and count:
        return read_plain(table)
    shown = ", ".join(f"'{name}'" for name in table.header[:6] if name) or "none"
    raise DataError(f"'{table.where}' has the columns {shown[:200]}; expected {_expected_truth()}")


def _read_folder(folder: str) -> list[ClipTruth]:
    """Return the clips of a folder, of the first data set that comes as one."""
    return next(data_set for data_set in data_sets() if data_set.claims_folder(folder)).read_folder(folder)


def _begins_with(magic: bytes, file: IO[bytes]) -> bool:
    start = file.tell()
    head = file.read(len(magic))
    file.seek(start)
    return head == magic
