"""UCFRep, as its authors' folder of .mat files and as ESCounts' CSV of the same.

The count is about a segment of a UCF-101 video, and its frames count from 1: boundaries b0 .. bn make n cycles.
"""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import IO

import numpy as np
import scipy.io

from racctl.data.class_names import exercise
from racctl.data.clips import ClipTruth, Problem, as_cycles, checked_stem, count_problems, cycle_problems
from racctl.data.repcount import pair_marks
from racctl.data.tables import TextTable
from racctl.errors import DataError

MAT_MAGIC = b"MATLAB 5.0 MAT-file"
MAX_MAT = 64 << 10  # the published ones have less than one; deflated, this much can stand for 64 MiB
CLASS = re.compile(r"v_([A-Za-z]+)_g\d+_c\d+")


def is_ucfrep(table: TextTable) -> bool:
    """Return whether a table is ESCounts' of UCFRep."""
    return table.has("name", "start_frame", "end_frame") and table.is_counted and table.is_marked


def read_ucfrep(table: TextTable) -> list[ClipTruth]:
    """Return the clips of ESCounts' UCFRep tables and of D2-STX's splits of them.

    `name`, `counts`, `start_frame`, L1, ...
    """
    clips = []
    columns = zip(
        table.names("name"),
        table.numbers(table.any_of("count", "counts")),
        table.whole("start_frame"),
        table.whole("end_frame"),
        table.frame_marks(),
        strict=True,
    )
    for row, (name, count, first, last, marks) in enumerate(columns):
        pairs, problems = pair_marks(marks)
        segment = None if first is None or last is None else (first - 1, last)
        stem = checked_stem(name, table.at(row))
        clips.append(_clip(stem, name, count, pairs, segment, problems, "UCFRep (ESCounts)", (table.lines[row],)))
    return clips


def read_folder(folder: str) -> list[ClipTruth]:
    """Return the clips of a folder of UCFRep .mat files, or of the folders in it (`train` and `val` together).

    Raises DataError when there are none, or for a .mat file that is not UCFRep's.
    """
    root = Path(folder)
    paths = sorted(root.glob("*.mat")) or sorted(root.rglob("*.mat"))
    if not paths:
        raise DataError(f"'{folder}' holds no .mat files; expected a table, or UCFRep's folder of .mat annotations")
    clips = []
    for path in paths:
        with path.open("rb") as file:
            clips.append(read_mat(file, str(path)))
    return clips


def read_mat(file: IO[bytes], where: str) -> ClipTruth:
    """Return one clip of UCFRep from its .mat file: a struct `label` with start_frame, end_frame and temporal_bound."""
    bounds, first, last = _mat_numbers(file, where)
    pairs = list(pairwise(bounds))
    stem = checked_stem(where, f"'{where}'")
    return _clip(stem, Path(where).name, float(len(pairs)), pairs, (first - 1, last), [], "UCFRep (.mat)")


def _mat_numbers(file: IO[bytes], where: str) -> tuple[list[int], int, int]:
    if file.seek(0, 2) > MAX_MAT:
        raise DataError(f"'{where}' is larger than {MAX_MAT >> 10} KiB, too large for a UCFRep annotation")
    file.seek(0)
    try:
        label = scipy.io.loadmat(file, squeeze_me=True)["label"]
        bounds, first, last = (label[name].item() for name in ("temporal_bound", "start_frame", "end_frame"))
        return [int(b) for b in np.atleast_1d(bounds)], int(first), int(last)
    except Exception as error:  # scipy raises a dozen kinds on damaged files
        kind = type(error).__name__
        raise DataError(f"'{where}' is not a UCFRep annotation ({kind}); expected a .mat with 'label'") from None


def _clip(
    stem: str,
    name: str,
    count: float,
    pairs: list[tuple[int, int]],
    segment: tuple[int, int] | None,
    problems: list[Problem],
    variant: str,
    lines: tuple[int, ...] = (),
) -> ClipTruth:
    cycles = as_cycles(pairs) - 1
    match = CLASS.fullmatch(stem)
    return ClipTruth(
        clip=stem,
        name=name,
        count=count,
        label=exercise(match[1]) if match else "",
        cycles=cycles,
        segment=segment,
        problems=(*count_problems(count), *problems, *cycle_problems(count, cycles, segment)),
        variant=variant,
        lines=lines,
    )
