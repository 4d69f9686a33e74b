"""CSV and TSV as text cells: the delimiter is found by looking at the header, every cell knows its line."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from racctl.errors import DataError
from racctl.io.bounds import refuse_large
from racctl.io.text import cells_memory, read_cells

MOST_COLUMNS = 16384  # Excel's own limit
MARK = re.compile(r"L(\d{1,9})")  # and nothing else: a column 'Label' or 'Length' is not a frame number


@dataclass(frozen=True)
class TextTable:
    """A table of text cells.

    header: column names.
    rows: cells, of blank ones at a row's end as many as the file has, so that a wide header does not widen every row.
    lines: each row's line in the file.
    """

    where: str
    header: tuple[str, ...]
    rows: list[list[str]]
    lines: list[int]

    def has(self, *names: str) -> bool:
        """Return whether all these columns are there."""
        return all(name in self.header for name in names)

    @property
    def is_counted(self) -> bool:
        """Whether a column says how many repetitions there are, as published tables call it."""
        return self.has("count") or self.has("counts")

    @property
    def is_marked(self) -> bool:
        """Whether there are frame numbers in L1, L2, ..."""
        return any(MARK.fullmatch(name) for name in self.header)

    def any_of(self, *names: str) -> str:
        """Return the one column of these that is there, "" for none.

        Raises DataError for two, which could disagree.
        """
        columns = [name for name in self.header if name in names]
        if len(columns) > 1:
            both = " and ".join(f"'{name}'" for name in columns[:2])
            raise DataError(f"'{self.where}' has the columns {both}, which mean the same; remove one")
        return columns[0] if columns else ""

    def at(self, row: int) -> str:
        """Return how messages name a row."""
        return f"'{self.where}', line {self.lines[row]},"

    def text(self, name: str) -> list[str]:
        """Return a column's cells without surrounding space; "" for each row when the column is not there."""
        if not name or name not in self.header:  # pandas' index column has the name ""
            return [""] * len(self.rows)
        at = self.header.index(name)
        return [row[at].strip() if at < len(row) else "" for row in self.rows]

    def names(self, name: str) -> list[str]:
        """Return a column of clip names.

        Raises DataError when a spreadsheet took those that begin with '-' for formulas, as in D2-STX's copy of Countix:
        the name is gone, and only its error value is left.
        """
        names = self.text(name)
        lost = [row for row, cell in enumerate(names) if cell == "#NAME?"]
        if lost:
            raise DataError(
                f"'{self.where}' has lost {len(lost)} clip names to a spreadsheet (first: line {self.lines[lost[0]]}, "
                "'#NAME?'), which read names with a leading '-' as formulas; take the table from its first source"
            )
        return names

    def numbers(self, name: str) -> list[float]:
        """Return a column as numbers, NaN where blank or absent.

        Raises DataError names the line of any other text.
        """
        return [self.number(cell, name, i) for i, cell in enumerate(self.text(name))]

    def number(self, cell: str, name: str, row: int) -> float:
        """Return one cell as a number; the words that spreadsheets and pandas write for nothing give NaN."""
        if cell.lower() in ("", "nan", "na", "n/a", "null", "none", "-"):
            return math.nan
        try:
            return float(cell.replace("_", "?"))  # float() would read 1_0 as 10
        except ValueError:
            raise DataError(f"{self.at(row)} has '{cell}' in column '{name}', expected a number") from None

    def whole(self, name: str) -> list[int | None]:
        """Return a column as frame numbers, None where blank or absent.

        Raises DataError names the line of anything else.
        """
        return [self._frame(cell, name, i) for i, cell in enumerate(self.text(name))]

    def frame_marks(self) -> Iterator[list[int | None]]:
        """Yield for each row the frame numbers in L1, L2, ..., None where blank, up to the last one that is there."""
        columns = sorted((int(m[1]), i) for i, name in enumerate(self.header) if (m := MARK.fullmatch(name)))
        places = {column: place for place, (_, column) in enumerate(columns)}
        for row, cells in enumerate(self.rows):
            marks: list[int | None] = []
            for column, cell in enumerate(cells):
                if column not in places or not cell.strip():
                    continue
                place = places[column]
                marks += [None] * (place + 1 - len(marks))
                marks[place] = self._frame(cell.strip(), self.header[column], row)
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
    """Read CSV or TSV with a header line, or, with `header`, one without.

    Raises DataError for what `read_cells` refuses, rows wider than the header, a column name that is there twice, and a
    table without rows.
    """
    numbered, held = [], 0
    for line, cells in read_cells(file, where):
        if any(cell.strip() for cell in cells):
            held += cells_memory(cells)
            refuse_large(held, where, f"its first {line} lines")
            numbered.append((line, cells))
    return _rectangle([(0, list(header)), *numbered] if header else numbered, where)


def _rectangle(numbered: list[tuple[int, list[str]]], where: str) -> TextTable:
    if len(numbered) < 2:
        raise DataError(f"'{where}' holds a table without rows; expected a header line and one line per clip")
    header = tuple(name.strip() for name in numbered[0][1])
    if len(header) > MOST_COLUMNS:
        raise DataError(f"'{where}' has {len(header)} columns; expected at most {MOST_COLUMNS}, as in a spreadsheet")
    named = [name for name in header if name]
    if len(set(named)) != len(named):
        twice = next(name for name, times in Counter(named).items() if times > 1)
        raise DataError(f"'{where}' has the column '{twice}' twice")
    for line, cells in numbered[1:]:
        if any(cell.strip() for cell in cells[len(header) :]):
            raise DataError(f"'{where}', line {line}, has {len(cells)} cells, the header has {len(header)}")
    return TextTable(where, header, [cells for _, cells in numbered[1:]], [line for line, _ in numbered[1:]])
