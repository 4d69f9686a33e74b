"""Output paths, looked at before the work: wrong kinds, folders that are not there, files that the command reads."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from racctl.errors import DataError, UsageError
from racctl.io.output import make_folder
from racctl.io.sniff import sniff
from racctl.io.spool import clip_name

TABLES = (".parquet", ".csv", ".json")
SUFFIXES = {"npz": (".npz",), "table": TABLES}
UNFINISHED = (".tmp", ".part")  # what scripts call an output that they rename afterwards
SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,9}$")  # unlike the end of a clip's name such as `9m9b5_0.00000_6.91525`
PRECIOUS = {
    "npz": ("video", "parquet", "safetensors", "npy"),
    "table": ("video", "npz", "npy", "safetensors"),
    "foreign": ("video", "npz", "npy", "safetensors", "parquet"),
}  # what a file may already hold that this kind of output never replaces


def check_output(output: str, kind: str, any_suffix: bool = False) -> None:
    """Refuse an output that cannot be written, or would not be what its name says.

    output: a path, or "-" for stdout.  kind: "npz" or "table".  any_suffix: the user chose the format by an option.
    UsageError for a terminal, for a suffix of another format and for an existing file of another kind, DataError for a
    folder that is not there.
    """
    if output == "-":
        if kind == "npz":
            refuse_terminal(kind)
        return
    check_writable(output)
    suffix = SUFFIX.search(output)
    written = SUFFIXES[kind]
    if suffix and not any_suffix and suffix.group().lower() not in (*written, *UNFINISHED):
        choices = " or ".join(written)
        hint = ", or choose a format with '--format'" if kind == "table" else ""
        raise UsageError(f"'{output}' would hold {_NAMES[kind]}, not {suffix.group()}; end it in {choices}{hint}")
    refuse_replacing(output, kind)


_NAMES = {"npz": "an npz", "table": "a table", "foreign": "a file of another format"}


def refuse_terminal(kind: str) -> None:
    """UsageError when stdout is a terminal."""
    if sys.stdout.isatty():
        raise UsageError(f"refusing to write {kind} to a terminal; use '-o FILE' or a pipe")


def check_writable(target: str) -> None:
    """DataError when there is no folder that `target` could be written into; nothing for "" and "-"."""
    if target in ("", "-"):
        return
    folder = Path(target).parent
    if not folder.is_dir():
        raise DataError(f"cannot write '{target}': there is no folder '{folder}'")
    if not Path(target).exists() and not os.access(folder, os.W_OK):
        raise DataError(f"cannot write '{target}': no permission to write in '{folder}'")


def refuse_replacing(output: str, kind: str) -> None:
    """UsageError when a file that is there holds something that this kind of output never replaces, see PRECIOUS."""
    if not Path(output).is_file():
        return
    with contextlib.suppress(OSError), open(output, "rb") as file:
        held = sniff(file)
        if held in PRECIOUS[kind]:
            raise UsageError(f"'{output}' holds {held} and would be replaced by {_NAMES[kind]}; write somewhere else")


def folder_target(output: str, sources: list[str]) -> Path | None:
    """Return the directory that `-o OUTPUT` means (one file per clip), made if need be; None when it means one file.

    It is a directory when it ends in a slash, is one already, or takes several inputs and has no suffix."""
    if output == "-" or not (
        output.endswith(("/", os.sep)) or Path(output).is_dir() or (len(sources) > 1 and not Path(output).suffix)
    ):
        return None
    return make_folder(output)


def targets_in(folder: Path, sources: list[str], ending: str) -> list[str]:
    """Return the file that each source gets in an output directory. ending: such as ".pose.npz"."""
    return [str(folder / f"{clip_name(source)}{ending}") for source in sources]


def refuse_overwriting(reads: Iterable[str], *targets: str, earlier: str = "") -> None:
    """UsageError when a target is one of the files that are read, or two targets are one file.

    reads: files and folders, of folders every file below them, of a manifest its folder; "" and "-" are passed over, as
    in `targets`, and names that are no paths.  earlier: how files end that this command wrote before and does not read,
    wherever they lie.
    """
    named = [target for target in targets if target not in ("", "-")]
    existing = {identity: target for target in named if (identity := _identity(target))}
    for source in reads if existing else ():
        for path in _files(source):
            if earlier and path.endswith(earlier) and path != source:
                continue
            identity = _identity(path)
            if identity is not None and (target := existing.get(identity)) is not None:
                direct = not os.path.isdir(source) and _identity(source) == _identity(path)
                where = "the input itself" if direct else f"one of the files of '{source}', which this command reads"
                raise UsageError(f"'{target}' is {where}; write somewhere else")
    by_path: dict[str, str] = {}
    for target in named:
        if by_path.setdefault(os.path.realpath(target), target) is not target:
            raise UsageError(f"'{target}' is named for two outputs; they need a file each")


def _identity(path: str) -> tuple[int, int] | None:
    """Device and inode of a regular file, which hard and symbolic links share; None for anything else."""
    try:
        about = os.stat(path)
    except (OSError, ValueError):
        return None
    return (about.st_dev, about.st_ino) if os.path.isfile(path) else None


def _is_manifest(path: str) -> bool:
    """Whether a file lists the clips of a data set, which lie beside it."""
    if not os.path.isfile(path) or not _is_parquet(path):
        return False
    from racctl.io.up_to_date import recorded_meta

    return str(recorded_meta(path).get("schema", "")).startswith("racctl.manifest/")


def _is_parquet(path: str) -> bool:
    with contextlib.suppress(OSError), open(path, "rb") as file:
        return sniff(file) == "parquet"
    return False


def _files(source: str) -> Iterator[str]:
    if source in ("", "-"):
        return
    if not os.path.isdir(source):
        yield source
        if not _is_manifest(source):
            return
        source = os.path.dirname(source) or "."
    entered = set()
    for folder, folders, names in os.walk(source, followlinks=True):
        real = os.path.realpath(folder)
        if real in entered:  # a link that leads back
            folders.clear()
            continue
        entered.add(real)
        yield from (os.path.join(folder, name) for name in names)
