"""Inputs as seekable binary files: a path is opened, stdin is spooled (npz, Parquet and video need seeking)."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, cast

import numpy as np

from racctl.contracts import clip_stem
from racctl.errors import DataError, UsageError, reason

SPOOL_MEMORY = 64 << 20  # a larger stream goes on in a temporary file


@contextmanager
def open_input(source: str) -> Iterator[IO[bytes]]:
    """Open `source` ("-" is stdin) for reading.

    Raises DataError when it is missing, unreadable, empty or a directory.
    """
    if source == "-":
        with _spool_stdin() as file:
            yield file
        return
    with _opened(source) as file:
        if file.seekable():
            if not os.fstat(file.fileno()).st_size:
                raise DataError(f"'{source}' is empty (0 bytes)")
            yield file
        else:
            with _spooled(file, source) as copy:
                yield copy


def _opened(source: str) -> IO[bytes]:
    try:
        return open(source, "rb")
    except FileNotFoundError:
        raise DataError(f"'{source}' does not exist") from None
    except IsADirectoryError:
        raise UsageError(f"'{source}' is a directory, expected a file") from None
    except (OSError, ValueError) as error:
        raise DataError(f"'{source}' cannot be read: {reason(error)}") from None


def _spool_stdin() -> IO[bytes]:
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError("nothing on stdin; give a FILE or pipe one in")
    return _spooled(sys.stdin.buffer, "stdin")


def _spooled(stream: IO[bytes], name: str) -> IO[bytes]:
    spool = tempfile.SpooledTemporaryFile(SPOOL_MEMORY)  # noqa: SIM115 (the caller closes it)
    shutil.copyfileobj(stream, spool, 1 << 20)
    if spool.tell() == 0:
        spool.close()
        hint = "empty input on stdin (did the previous command fail?)" if name == "stdin" else f"'{name}' is empty"
        raise DataError(hint)
    spool.seek(0)
    return spool


def sha256(file: IO[bytes]) -> str:
    """Return the hex digest of the whole file; the position is kept."""
    position = file.tell()
    file.seek(0)
    digest = hashlib.file_digest(cast("io.BufferedReader", file), "sha256").hexdigest()
    file.seek(position)
    return digest


def file_digest(path: str) -> str | None:
    """Return the sha256 of a file's bytes; None for no file."""
    if not path:
        return None
    with open_input(path) as file:
        return sha256(file)


def display_name(source: str) -> str:
    """Return how messages name an input."""
    return "stdin" if source == "-" else source


def clip_name(source: str) -> str:
    """Return the clip's name in tables: `runs/a.pose.npz` and `a.mp4` are both `a`; stdin is `stdin`."""
    return "stdin" if source == "-" else clip_stem(source)


class ArraySpool:
    """Arrays of one shape that are too many for memory, one after the other in a temporary file."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="racctl-")  # noqa: SIM115 (closed on leaving)
        self._shape: tuple[int, ...] = ()
        self._count = 0

    def __enter__(self) -> ArraySpool:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()

    def add(self, rows: np.ndarray) -> None:
        self._shape = rows.shape[1:]
        self._file.write(np.ascontiguousarray(rows).tobytes())
        self._count += len(rows)

    def array(self) -> np.ndarray:
        """Return all of them, float16, as a memory map, which outlives the file."""
        self._file.flush()
        return np.memmap(self._file, np.dtype(np.float16), "r", shape=(self._count, *self._shape))
