"""One bound on the memory that a file may take when it is read, whatever its kind.

A few kilobytes can stand for gigabytes: a deflated array of zeros, a dictionary of one long string, a million empty
objects of JSON, a table whose rows are padded to a wide header. So every reader works out what the content will take
before it decodes it, or counts while it does, and refuses beyond MAX_MEMORY. What that leaves room for, of clips with
30 frames/s: a pose of two people of 33 joints for over two hours from any format and for eleven hours from racctl's
own, masks of 112x112 pixels for an hour and a half.
"""

from __future__ import annotations

from typing import IO

from racctl.errors import DataError

MAX_MEMORY = 2 << 30  # bytes, of one file's content as it is held
BOMB_RATIO = 200  # decoded : encoded, allowed beyond BOMB_FLOOR bytes; numbers that somebody measured never get there
BOMB_FLOOR = 16 << 20

# What Python and the csv and json modules take for each thing, measured on CPython 3.11 and rounded up.
CELL_BYTES = 64  # a short string and its place in a list, of ASCII; other characters take up to four bytes more each
ROW_BYTES = 128
OBJECT_BYTES = 184  # a dict of up to five keys; a list takes less
VALUE_BYTES = 40  # a number and its place in a list, or a value in a dict
STRING_BYTES = 56


def refuse_large(decoded: int, where: str, what: str = "its content") -> None:
    """Raise DataError when reading takes more than MAX_MEMORY bytes."""
    if decoded > MAX_MEMORY:
        raise DataError(
            f"'{where}' is too large: {what} would take {decoded / (1 << 30):.1f} GiB of memory, at most "
            f"{MAX_MEMORY >> 30} are read; split it"
        )


def refuse_bomb(decoded: int, encoded: int, where: str, ratio: int = BOMB_RATIO, floor: int = BOMB_FLOOR) -> None:
    """Raise DataError when `encoded` bytes stand for so many that nobody measured them."""
    if decoded > floor and decoded > ratio * max(encoded, 1):
        raise DataError(f"'{where}' would unpack {encoded} bytes to {decoded}; refusing (decompression bomb?)")


def file_size(file: IO[bytes]) -> int:
    """Return the bytes from the beginning of an open file to its end; it is left at its beginning."""
    size = file.seek(0, 2)
    file.seek(0)
    return size


def json_memory(raw: bytes) -> int:
    """Return at most what the parsed document takes, from its brackets, commas and quotes."""
    objects = raw.count(b"{") + raw.count(b"[")
    values = raw.count(b",") + 2 * raw.count(b":")
    strings = raw.count(b'"') // 2
    text = len(raw) * (5 if raw.isascii() else 9)  # as bytes, as text, and cut into strings; four bytes a character
    return objects * OBJECT_BYTES + values * VALUE_BYTES + strings * STRING_BYTES + text
