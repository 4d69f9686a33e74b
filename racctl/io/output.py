"""Outputs that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO

from racctl.errors import DataError, DiskFullError, reason

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)  # what no other file would have either


def write_file(target: str | Path, build: Callable[[IO[bytes]], object]) -> None:
    """Call `build` on a temporary file beside `target`, then put it in place with one rename.

    A symbolic link is followed, an existing file keeps its permissions; a device, pipe or socket is written to
    directly. Whatever fails leaves the old file as it was and nothing beside it.
    """
    path = Path(os.path.realpath(target))
    try:
        if path.exists() and not path.is_file():
            if path.is_dir():
                raise DataError(f"cannot write '{target}': it is a directory")
            with open(path, "wb") as device:
                copy_whole(build, device)
            return
        _replace(path, build)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _cannot(f"write '{target}'", error) from None


def write_bytes(target: str | Path, data: bytes) -> None:
    """Write `data` to `target` as `write_file` does."""
    write_file(target, lambda file: file.write(data))


def make_folder(folder: str | Path) -> Path:
    """Return the directory, made with its parents where it is not there.

    Raises DataError in one line where that cannot be.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot(f"make the directory '{folder}'", error) from None
    return Path(folder)


def _cannot(what: str, error: OSError) -> DataError:
    """Return the error of an output that cannot be made; DiskFullError where no other one could be made either."""
    kind = DiskFullError if error.errno in NO_ROOM else DataError
    return kind(f"cannot {what}: {reason(error)}")


def remove_unfinished(folder: Path, processes: Iterable[int]) -> None:
    """Remove what processes that were killed, by their ids, left half written in the directory and below."""
    for process in processes:
        for path in folder.rglob(f".*.{process}-*.tmp"):
            path.unlink(missing_ok=True)


def copy_whole(build: Callable[[IO[bytes]], object], target: IO[bytes]) -> None:
    """Build the payload in a seekable temporary file (memory, then disk), then copy it to `target` in one go."""
    with tempfile.SpooledTemporaryFile(64 << 20) as payload:
        build(payload)
        payload.seek(0)
        shutil.copyfileobj(payload, target, 1 << 20)
        target.flush()


def _replace(path: Path, build: Callable[[IO[bytes]], object]) -> None:
    beside = path.with_name(f".{path.name[:40]}.{os.getpid()}-{secrets.token_hex(6)}.tmp")
    try:
        handle = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        with os.fdopen(handle, "w+b") as file:
            build(file)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            os.chmod(beside, stat.S_IMODE(path.stat().st_mode))
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
