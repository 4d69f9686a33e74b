"""CSV and TSV as text cells: the delimiter is found by looking at the header, every cell knows its line."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from racctl.errors import DataError

MAX_BYTES = 256 << 20
MARK = re.compile(r"L(\d+)")  # and nothing else: a column 'Label' or 'Length' is not a frame number


@dataclass(frozen=True)
class TextTable:
    """header: column names.  rows: cells, each row as long as the header.  lines: each row's line in the file."""

    where: str
    header: tuple[str, ...]
    rows: list[list[str]]
    lines: list[int]

    def has(self, *names: str) -> bool:
        """Whether all these columns are there."""
        return all(name in self.header for name in names)

    def any_of(self, *names: str) -> str:
        """The one column of these that is there, "" for none; DataError for two, which could disagree."""
        found = [name for name in self.header if name in names]
        if len(found) > 1:
            both = " and ".join(f"'{name}'" for name in found[:2])
            raise DataError(f"'{self.where}' has the columns {both}, which mean the same; remove one")
        return found[0] if found else ""

    def at(self, row: int) -> str:
        """How messages name a row."""
        return f"'{self.where}', line {self.lines[row]},"

    def text(self, name: str) -> list[str]:
        """A column's cells without surrounding space; "" for each row when the column is not there."""
        if not name or name not in self.header:  # pandas' index column has the name ""
            return [""] * len(self.rows)
        at = self.header.index(name)
        return [row[at].strip() for row in self.rows]

    def names(self, name: str) -> list[str]:
        """A column of clip names. DataError when a spreadsheet took those that begin with '-' for formulas, as in
        D2-STX's copy of Countix: the name is gone, and only its error value is left."""
        names = self.text(name)
        lost = [row for row, cell in enumerate(names) if cell == "#NAME?"]
        if lost:
            raise DataError(
                f"'{self.where}' has lost {len(lost)} clip names to a spreadsheet (first: line {self.lines[lost[0]]}, "
                "'#NAME?'), which read names with a leading '-' as formulas; take the table from its first source"
            )
        return names

    def numbers(self, name: str) -> list[float]:
        """A column as numbers, NaN where blank or absent; DataError names the line of any other text."""
        return [self.number(cell, name, i) for i, cell in enumerate(self.text(name))]

    def number(self, cell: str, name: str, row: int) -> float:
        """One cell as a number; the words that spreadsheets and pandas write for nothing give NaN."""
        if cell.lower() in ("", "nan", "na", "n/a", "null", "none", "-"):
            return math.nan
        try:
            return float(cell.replace("_", "?"))  # float() would read 1_0 as 10
        except ValueError:
            raise DataError(f"{self.at(row)} has '{cell}' in column '{name}', expected a number") from None

    def whole(self, name: str) -> list[int | None]:
        """A column as frame numbers, None where blank or absent; DataError names the line of anything else."""
        return [self._frame(cell, name, i) for i, cell in enumerate(self.text(name))]

    def frame_marks(self) -> Iterator[list[int | None]]:
        """For each row the frame numbers in L1, L2, ..., None where blank, up to the last one that is there."""
        columns = sorted((int(m[1]), i) for i, name in enumerate(self.header) if (m := MARK.fullmatch(name)))
        for row, cells in enumerate(self.rows):
            marks = [self._frame(cells[i].strip(), f"L{k}", row) for k, i in columns]
            while marks and marks[-1] is None:
                marks.pop()
            yield marks

    def _frame(self, cell: str, name: str, row: int) -> int | None:
        if not cell:
            return None
        frame = self.number(cell, name, row)
        if math.isnan(frame):
            return None
        if not frame.is_integer() or abs(frame) > 1 << 53:
            raise DataError(f"{self.at(row)} has '{cell}' in column '{name}', expected a whole frame number")
        return int(frame)


def read_text(file: IO[bytes], where: str, header: tuple[str, ...] = ()) -> TextTable:
    """Read CSV or TSV with a header line, or, with `header`, one without. DataError for other encodings than UTF-8,
    rows wider than the header, a column name that is there twice, and a table without rows."""
    raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise DataError(f"'{where}' is larger than {MAX_BYTES >> 20} MiB, too large for an annotation table")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"'{where}' is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    head = text.lstrip("\r\n").split("\n", 1)[0]
    delimiter = max(",\t;", key=head.count)  # the comma wins ties
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    limit = csv.field_size_limit(MAX_BYTES)  # a density curve in one cell is longer than the default allows
    try:
        numbered = [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except csv.Error as error:
        raise DataError(f"'{where}', line {reader.line_num}, is not CSV ({error})") from None
    finally:
        csv.field_size_limit(limit)
    return _rectangle([(0, list(header)), *numbered] if header else numbered, where)


def _rectangle(numbered: list[tuple[int, list[str]]], where: str) -> TextTable:
    if len(numbered) < 2:
        raise DataError(f"'{where}' holds a table without rows; expected a header line and one line per clip")
    header = tuple(name.strip() for name in numbered[0][1])
    named = [name for name in header if name]
    if len(set(named)) != len(named):
        twice = next(name for name in named if named.count(name) > 1)
        raise DataError(f"'{where}' has the column '{twice}' twice")
    rows = []
    for line, cells in numbered[1:]:
        if any(cell.strip() for cell in cells[len(header) :]):
            raise DataError(f"'{where}', line {line}, has {len(cells)} cells, the header has {len(header)}")
        rows.append(cells[: len(header)] + [""] * (len(header) - len(cells)))
    return TextTable(where, header, rows, [line for line, _ in numbered[1:]])
