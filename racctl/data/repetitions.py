"""When the repetitions of a labelled set are: the racctl.reps/1 table that stands beside its manifest."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from racctl.data.clips import checked_stem
from racctl.data.file_names import REPS_FILE
from racctl.errors import DataError
from racctl.io.parquet import read_table


def read_repetitions(data: str | Path) -> dict[str, np.ndarray]:
    """Return (R, 2) float64 for each clip: start and stop of its repetitions in seconds, in order.

    A clip without a row has none.

    data: a folder that `racctl synth` wrote, or its manifest.

    Raises DataError where no such table is beside it, or a repetition has no time or ends before it starts.
    """
    folder = Path(data) if Path(data).is_dir() else Path(data).parent
    path = folder / REPS_FILE
    if str(data) == "-" or not path.is_file():
        raise DataError(f"'{data}' has no {REPS_FILE}, so nothing to count; '--objective label' does without")
    with open(path, "rb") as file:
        meta, table = read_table(file, str(path))
    if meta["schema"] != "racctl.reps/1":
        raise DataError(f"'{path}' holds {meta['schema']}, expected racctl.reps/1")
    spans: dict[str, list[tuple[float, float]]] = {}
    for number, row in enumerate(table.select(["clip", "start_s", "stop_s"]).to_pylist()):
        at, start, stop = f"'{path}', row {number},", row["start_s"], row["stop_s"]
        if start is None or stop is None or not 0 <= stop - start < np.inf:
            raise DataError(f"{at} is a repetition from {start} to {stop} s")
        spans.setdefault(checked_stem(row["clip"] or "", at), []).append((start, stop))
    return {clip: np.array(sorted(cycles), np.float64) for clip, cycles in spans.items()}
