"""Whether an output that is already there is what this command would make again."""

from __future__ import annotations

import hashlib
import re
import zipfile
from pathlib import Path
from types import ModuleType
from typing import IO

import numpy as np

from racctl.contracts import MAX_META, Meta, load_meta
from racctl.errors import DataError
from racctl.io.sniff import sniff


def is_current(path: str | Path, source_sha256: str, steps: list[Meta]) -> bool:
    """Return whether `path` was made from the same input bytes by the same steps.

    Tools, versions, options, weights.
    """
    meta = recorded_meta(path)
    return bool(meta) and meta.get("source", {}).get("sha256") == source_sha256 and meta.get("steps") == steps


def constants_digest(*modules: ModuleType) -> str:
    """Digest the constants of the modules that make an output: numbers, words and tuples in capital letters.

    A step of provenance carries it, so that an output is made again when a threshold changes, whatever the version.
    """
    values = []
    for module in modules:
        for name, value in vars(module).items():
            if re.fullmatch(r"_?[A-Z][A-Z0-9_]*", name) and isinstance(value, int | float | str | tuple):
                values.append(f"{module.__name__}.{name}={value!r}")
    return hashlib.sha256("\n".join(sorted(values)).encode()).hexdigest()[:16]


def has_bytes(path: str | Path, data: bytes) -> bool:
    """Return whether the file is there with these very bytes."""
    try:
        return Path(path).stat().st_size == len(data) and Path(path).read_bytes() == data
    except OSError:
        return False


def recorded_meta(path: str | Path) -> Meta:
    """Return the meta document of one of our npz or Parquet files, read without the data; {} when there is none."""
    try:
        with open(path, "rb") as file:
            return document(file, str(path))
    except OSError:
        return {}


def document(file: IO[bytes], where: str) -> Meta:
    """Read the meta document of an open file as `recorded_meta` does; the file is left at its beginning."""
    try:
        kind = sniff(file)
        if kind == "npz":
            return _npz_meta(zipfile.ZipFile(file), where)
        if kind == "parquet":
            import pyarrow.parquet as pq

            return load_meta((pq.read_schema(file).metadata or {})[b"racctl"], where)
    except (OSError, ValueError, KeyError, DataError, zipfile.BadZipFile, EOFError):
        pass
    finally:
        file.seek(0)
    return {}


def _npz_meta(archive: zipfile.ZipFile, where: str) -> Meta:
    if archive.getinfo("meta.npy").file_size > MAX_META:
        return {}
    with archive.open("meta.npy") as stream:
        return load_meta(np.lib.format.read_array(stream, allow_pickle=False).tobytes(), where)
