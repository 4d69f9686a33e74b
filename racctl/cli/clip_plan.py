"""The inputs and outputs of a tool that takes clips, checked before anything is loaded."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from racctl.cli.settings import options_of_one_clip
from racctl.cli.streams import table_format
from racctl.cli.targets import check_output, check_writable, folder_target, refuse_overwriting, targets_in
from racctl.errors import DataError, RacctlError, UsageError
from racctl.io.output import make_folder
from racctl.io.spool import clip_name


@dataclass(frozen=True)
class ClipPlan:
    """What a tool reads and where it writes. folder: of one file for each clip; None for one output."""

    sources: list[str]
    folder: Path | None
    output: str
    format: str

    @property
    def as_text(self) -> bool:
        """Whether people read the table."""
        return self.folder is None and table_format(self.output, self.format) != "parquet"

    @property
    def may_show_video(self) -> bool:
        return self.sources == ["-"] or any_video(self.sources)


def plan_clips(
    files: list[str],
    output: str,
    ending: str,
    format: str | None = None,
    *,
    one_clip: Mapping[str, object] | None = None,
    one_table: Mapping[str, object] | None = None,
    reads: Iterable[str] = (),
    models: Iterable[str] = (),
    writes: Iterable[str] = (),
    settings: Any = None,
    earlier: str = "",
) -> ClipPlan:
    """Return the plan of a tool that makes a table of its clips, or (format None) an npz for each.

    ending: of one clip's file in a directory, such as ".counts.parquet".
    one_clip: options and their values that go with one clip and one output.  settings: may have such options too.
    one_table: options that go with one output.
    reads: files and folders that are read besides.  models: names or files of models.
    writes: files that are written besides.
    earlier: see `refuse_overwriting`.
    Raises UsageError and DataError for what cannot work.
    """
    sources = check_sources(files)
    check_there(*reads)
    folder = folder_target(output, sources)
    refuse_several(sources, folder, {**(one_clip or {}), **options_of_one_clip(settings)})
    refuse_several([], folder, {**(one_table or {}), "--format": format})
    if folder is None and format is None and len(sources) > 1:
        raise UsageError("several inputs make several npz files; name a directory with '-o DIR/'")
    targets = targets_in(folder, sources, ending) if folder else [output]
    if not folder and format is None:
        check_output(output, "npz")
    elif not folder:
        table_format(output, format or "")
    refuse_overwriting([*sources, *reads, *models], *targets, *writes, earlier=earlier)
    for target in writes:
        check_writable(target)
    if not folder and format is not None:
        refuse_same_clips(sources)
    return ClipPlan(sources, folder, output, format or "")


def plan_beside(
    plan: ClipPlan, ending: str, option: str, value: str, second_ending: str, models: Iterable[str] = ()
) -> Path | None:
    """Return the directory of a second npz for each clip; None where it is one file, or none is asked for.

    ending, second_ending: of one clip's files in a directory.  option, value: that name the second output.
    models: as of `plan_clips`.
    Raises UsageError and DataError for what cannot work.
    """
    if not value:
        return None
    if value == "-":
        raise UsageError(f"'{option}' needs the name of a file; stdout ('-') carries one thing")
    is_folder = value.endswith(("/", os.sep)) or os.path.isdir(value)
    if plan.folder and not is_folder and os.path.lexists(value):
        raise UsageError(f"'{value}' is a file, and '-o {plan.output}' makes one for each clip; use '{option} DIR/'")
    if not plan.folder and is_folder:
        raise UsageError(f"'{option} {value}' is a directory; it goes with '-o DIR/', or name a file")
    folder = make_folder(value) if plan.folder else None
    if folder is None or plan.folder is None:
        check_output(value, "npz")
        targets = [plan.output, value]
    else:
        targets = [*targets_in(plan.folder, plan.sources, ending), *targets_in(folder, plan.sources, second_ending)]
    refuse_overwriting([*plan.sources, *models], *targets)
    return folder


def refuse_several(sources: list[str], folder: Path | None, options: dict[str, object]) -> None:
    """UsageError for an option that is about one clip when several are given or each goes into a directory."""
    for option, value in options.items():
        if value and (len(sources) > 1 or folder):
            raise UsageError(f"'{option}' takes one clip and no output directory")


def refuse_with(mode: object, options: dict[str, object], why: str) -> None:
    """UsageError, for the reason `why`, when `mode` is on and one of the `options`, name -> value, was given."""
    for option, value in options.items():
        if mode and value not in ("", None, []):
            raise UsageError(
                f"'{option}' does not go with this: {why}" if option.startswith("-") else f"{why}; leave out {option}"
            )


def check_sources(sources: list[str]) -> list[str]:
    """The inputs, "-" for none; UsageError when two of them would share a clip name or stdin is one of many."""
    sources = sources or ["-"]
    if len(sources) > 1 and "-" in sources:
        raise UsageError("'-' (stdin) carries one clip, it cannot be one of several inputs")
    if name := _repeated(map(clip_name, sources)):
        raise UsageError(f"two inputs are both called '{name}'; clip names must differ within a command")
    if not any(source == "-" or os.path.lexists(source) for source in sources):
        raise _missing(sources)
    return sources


def check_there(*paths: str) -> None:
    """DataError for a file or folder that an option names and that does not exist; "" and "-" are passed over."""
    for path in paths:
        if path not in ("", "-") and not os.path.exists(path):
            raise DataError(f"'{path}' does not exist")


def _missing(sources: list[str]) -> RacctlError:
    if len(sources) == 1:
        return DataError(f"'{sources[0]}' does not exist")
    return DataError(f"none of the {len(sources)} inputs exists, neither '{sources[0]}' nor the others")


def any_video(sources: Iterable[str]) -> bool:
    """Whether one of the files may be a video; stdin, which can be read once, is not looked at."""
    return any(_kind(source) in ("video", "unknown") for source in sources)


def _kind(source: str) -> str:
    from racctl.io.sniff import sniff

    if os.path.isfile(source):
        with contextlib.suppress(OSError), open(source, "rb") as file:
            return sniff(file)
    return ""


def refuse_same_clips(sources: list[str]) -> None:
    """DataError when two of the inputs say that they are the same clip: one table cannot tell them apart."""
    if len(sources) < 2:
        return
    from racctl.io.up_to_date import recorded_meta

    names = []
    for source in sources:
        recorded = recorded_meta(source).get("clip", "")
        names.append(clip_name(source) if recorded in ("", "stdin") else recorded)
    if name := _repeated(names):
        raise DataError(f"two inputs are both called '{name}' by their own account; use '-o DIR/' or one at a time")


def _repeated(names: Iterable[str]) -> str | None:
    return next((name for name, times in Counter(names).items() if times > 1), None)
