"""Text as people have it, and one clear line about what is not text, or text of another encoding.

It may be UTF-8 with or without a byte order mark, or UTF-16, have Excel's `sep=` line and any of the usual delimiters.
"""

from __future__ import annotations

import codecs
import importlib.util
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

from racctl.errors import DataError
from racctl.io.bounds import CELL_BYTES, ROW_BYTES

MARKS = (  # the longer ones first: UTF-32's begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)
CONTROLS = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1a\x1b")) + b"\x7f"  # no text has these, in any 8-bit encoding
DELIMITERS = ",\t;"  # the first one wins ties
SEPARATOR_LINE = re.compile(r'"?sep=(.)"?[ ,;\t]*(?:\r\n|\r|\n|$)', re.IGNORECASE)  # "sep=;" on Excel's first line
SAMPLE = 64 << 10  # characters by which the delimiter is told
QUOTED = re.compile(r'"[^"]*(?:"|$)')
LINE_END = re.compile(r"\r\n|\r|\n")
TEXT_CHUNK_BYTES = 1 << 20
MAX_ROW_CHARACTERS = 64 << 20  # characters


def _own_csv_module() -> Any:
    """Return a copy of the csv module's reader with a limit on cells of its own.

    A density curve in one cell is longer than the default limit allows, and the csv module has one limit for the whole
    process, which belongs to the program that uses the library.
    """
    spec = importlib.util.find_spec("_csv")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.field_size_limit(MAX_ROW_CHARACTERS)
    return module


csv = _own_csv_module()


def encoding_of(head: bytes) -> str:
    """Return the encoding that the first bytes of a text tell: utf-8-sig, utf-16, utf-16-le, utf-16-be or utf-32."""
    for mark, name in MARKS:
        if head.startswith(mark):
            return name
    pairs = len(head) // 2
    low, high = head[0 : 2 * pairs : 2], head[1 : 2 * pairs : 2]
    if pairs >= 2 and not low.count(0) and high.count(0) > 0.7 * pairs:  # of Latin letters every second byte is 0
        return "utf-16-le"
    if pairs >= 2 and not high.count(0) and low.count(0) > 0.7 * pairs:
        return "utf-16-be"
    return "utf-8-sig"


def decoded_head(head: bytes) -> str | None:
    """Return the text that a file begins with; None when it is no text.

    Of text in an unknown 8-bit encoding the letters beyond ASCII are replaced.
    """
    encoding = encoding_of(head)
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(head)  # the last character may be cut
    except UnicodeDecodeError:
        if encoding != "utf-8-sig" or head.translate(None, CONTROLS) != head:
            return None
        return head.decode("ascii", "replace")
    if encoding in ("utf-16-le", "utf-16-be") and not all(letter.isprintable() or letter.isspace() for letter in text):
        return None  # without a mark, small numbers of two bytes look the same
    return None if "\x00" in text else text


def checked_encoding(file: IO[bytes], where: str) -> str:
    """Return the encoding of a whole file.

    Raises DataError that names the first byte that no UTF has, and the way out.
    """
    file.seek(0)
    encoding = encoding_of(file.read(4096))
    decoder = codecs.getincrementaldecoder(encoding)()
    file.seek(0)
    before = 0
    while chunk := file.read(TEXT_CHUNK_BYTES):
        try:
            decoder.decode(chunk)
        except UnicodeDecodeError as error:
            place = (
                before + len(chunk) - len(error.object) + error.start
            )  # it begins with what is left of the chunk before
            raise DataError(_wrong_encoding(encoding, error, place, where)) from None
        before += len(chunk)
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise DataError(_wrong_encoding(encoding, error, before - len(error.object) + error.start, where)) from None
    file.seek(0)
    return encoding


def _wrong_encoding(encoding: str, error: UnicodeDecodeError, place: int, where: str) -> str:
    name = encoding.removesuffix("-sig").upper()
    value = error.object[error.start]
    if name == "UTF-8" and value >= 0x80:
        return (
            f"'{where}' is not UTF-8 text: byte {place} is 0x{value:02x}, as in Latin-1 or Windows-1252; save it as "
            "UTF-8 ('CSV UTF-8' in Excel)"
        )
    return f"'{where}' is not whole {name} text (byte {place}: {error.reason}); save it as UTF-8"


@contextmanager
def open_text(file: IO[bytes], where: str) -> Iterator[io.TextIOWrapper]:
    """Return an open file as text with its own line ends, decoded piece by piece; the file stays open."""
    encoding = checked_encoding(file, where)
    text = io.TextIOWrapper(file, encoding, newline="")
    try:
        yield text
    finally:
        with suppress(ValueError):  # a reader that gave up may have closed the file already
            text.detach()


def read_cells(file: IO[bytes], where: str, *, spaces: bool = False) -> Iterator[tuple[int, list[str]]]:
    """Yield the line number and the cells of each row of a CSV or TSV, blank lines too, one row in memory at a time.

    The delimiter is the one that a first line `sep=` names, else the one that the header has most of outside quotes.

    spaces: whether those after a delimiter are left out.

    Raises DataError for what is no UTF-8 or UTF-16, for quotes that make no CSV or are not closed, and for a row of
    more than MAX_ROW_CHARACTERS characters.
    """
    with open_text(file, where) as text:
        delimiter, skipped = _dialect(text)
        lines = _Lines(text, where, skipped)
        reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=spaces)
        try:
            for cells in reader:
                lines.pending = 0
                yield reader.line_num + skipped, cells
        except csv.Error as error:
            raise DataError(f"'{where}', line {reader.line_num + skipped}, is not CSV ({error})") from None


class _Lines:
    """The lines of a text, counted, with a bound on the characters of one row.

    pending counts the characters since it was last set to 0, when a row was complete.

    line: number of the last one.
    first: number of the first one of the row.
    """

    def __init__(self, text: io.TextIOWrapper, where: str, line: int) -> None:
        self.text, self.where, self.line = text, where, line
        self.pending, self.first = 0, line

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self.text.readline(MAX_ROW_CHARACTERS + 1)
        self.line += 1
        self.first = self.first if self.pending else self.line
        if not line and self.pending:
            raise DataError(f"'{self.where}', line {self.first}, has a quote (\") that nothing closes")
        self.pending += len(line)
        if self.pending > MAX_ROW_CHARACTERS:
            raise DataError(f"'{self.where}' has a row of more than {MAX_ROW_CHARACTERS >> 20} MiB; expected a table")
        if not line:
            raise StopIteration
        return line


def cells_memory(cells: list[str]) -> int:
    """Return the bytes that the cells of a row take."""
    return ROW_BYTES + sum(map(_memory, cells))


def _memory(cell: str) -> int:
    """Return the bytes of one cell; the empty string and those of one ASCII character are shared."""
    if len(cell) < 2 and cell.isascii():
        return 8
    return CELL_BYTES + len(cell) * (1 if cell.isascii() else 4)


def _dialect(text: io.TextIOWrapper) -> tuple[str, int]:
    """Return the delimiter, and how many lines come before the table; the text is left where the table begins."""
    sample = text.read(SAMPLE)
    named = SEPARATOR_LINE.match(sample)
    text.seek(0)
    if named is None:
        return _delimiter(sample), 0
    text.readline()
    return named[1], 1


def _delimiter(sample: str) -> str:
    """Return the delimiter that the header has most of, outside quotes.

    Of several, the one that more rows have as many of.
    """
    lines = [line for line in LINE_END.split(QUOTED.sub("", sample.lstrip("\r\n"))) if line.strip()]
    header, rows = (lines or [""])[0], lines[1:50]

    def weight(delimiter: str) -> tuple[int, int]:
        count = header.count(delimiter)
        return count, sum(row.count(delimiter) == count for row in rows)

    return max(DELIMITERS, key=weight)
