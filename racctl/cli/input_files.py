"""The inputs of a tool that takes clips: files, all clips of a folder, or names that a list has."""

from __future__ import annotations

import codecs
import contextlib
import os
import sys
from pathlib import Path

from racctl.errors import DataError, UsageError, reason
from racctl.io.sniff import sniff

CLIP_KINDS = ("video", "npz")  # by content; of a folder with both, the videos


def expanded(files: list[str], files_from: str) -> list[str]:
    """Return the inputs: `files`, then those that the list has, folders replaced by the clips in them.

    files_from: a file with a name in each line, or with a zero byte after each, "-" for stdin, "" for none.

    Raises DataError for a list that cannot be read or is empty.
    """
    if files_from and "-" in files:
        raise UsageError("'-' (stdin) carries one clip, it cannot be one of several inputs")
    listed = listed_names(files_from) if files_from else []
    if "-" in listed:
        raise UsageError(f"'{files_from}' names '-' (stdin), which cannot be one of several inputs")
    return [source for name in [*files, *listed] for source in folder_clips(name)]


def listed_names(files_from: str) -> list[str]:
    """Return the names in a list, without empty lines."""
    try:
        raw = sys.stdin.buffer.read() if files_from == "-" else Path(files_from).read_bytes()
    except OSError as error:
        raise DataError(f"cannot read '{files_from}': {reason(error)}") from None
    try:
        text = os.fsdecode(raw.removeprefix(codecs.BOM_UTF8))
        lines = text.split("\0" if "\0" in text else "\n")
    except ValueError:
        raise DataError(f"'{files_from}' is no list of names") from None
    names = [line.strip("\r\n") for line in lines]
    names = [name for name in names if name.strip()]
    if not names:
        raise DataError(f"'{files_from}' names no file")
    return names


def folder_clips(name: str) -> list[str]:
    """Return the clips in a folder, by name: its videos, or where it has none its npz files; anything else as it is.

    Hidden files and folders within are passed over. A folder without clips is an input by itself: some formats of poses
    are folders.
    """
    if not os.path.isdir(name):
        return [name]
    kinds: dict[str, list[str]] = {kind: [] for kind in CLIP_KINDS}
    for entry in sorted(os.scandir(name), key=lambda entry: entry.name):
        if entry.name.startswith(".") or not entry.is_file():
            continue
        with contextlib.suppress(OSError), open(entry.path, "rb") as file:
            kind = sniff(file)
            if kind in kinds:
                kinds[kind].append(entry.path)
    videos, arrays = kinds["video"], kinds["npz"]
    poses = {path.removesuffix(".pose.npz") for path in arrays if path.endswith(".pose.npz")}
    arrays = [path for path in arrays if path.removesuffix(".features.npz") not in poses]  # what lies beside a pose
    return videos or arrays or [name]
