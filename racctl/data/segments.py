"""Anyone's segments: a CSV or TSV with a clip, a start, a stop and a label in each row, beside a folder of clips."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from racctl.data.class_names import exercise
from racctl.data.clips import checked_stem, quoted
from racctl.data.intervals import Interval, LabelledClip, PlacedInterval, checked_intervals
from racctl.data.plain import CLIP_NAMES, LABEL_NAMES, column_like
from racctl.data.tables import TextTable
from racctl.errors import DataError, reason

LABEL_COLUMNS = (*LABEL_NAMES, "activity")
SECONDS = (
    ("start_s", "start_time", "start_seconds", "begin_s", "start_sec"),
    ("stop_s", "end_s", "stop_time", "end_time", "stop_seconds", "end_seconds", "stop_sec", "end_sec"),
)
FRAMES = (("start_frame", "first_frame", "begin_frame"), ("stop_frame", "end_frame"))
EITHER = (("start", "begin"), ("stop", "end"))  # frames where the table has seconds too, as racctl writes it
SPLIT_COLUMNS = ("split", "subset", "partition", "fold")


def is_segment_table(table: TextTable) -> bool:
    """Return whether this table has a clip and a label column."""
    return bool(column_like(table, CLIP_NAMES) and column_like(table, LABEL_COLUMNS))


def read_segments(table: TextTable) -> list[LabelledClip]:
    """Return the clips of a table of segments, in its order.

    Columns, whatever their case: clip (or video, name, ...), label (class, activity, ...), and for each row either
    start and stop (end) in seconds or start_frame and stop_frame (end_frame), the stop being the first frame that does
    not belong; `start` and `stop` are frames where start_s and stop_s are there too, as racctl itself writes them.
    Without them, or with all of them blank, a row labels its whole clip. An optional split must agree over the rows of
    a clip. DataError names the line of anything unsound.
    """
    named, labelled = _needed(table, CLIP_NAMES, "clip"), _needed(table, LABEL_COLUMNS, "label")
    columns = zip(
        table.names(named),
        table.text(labelled),
        table.text(column_like(table, SPLIT_COLUMNS)),
        _spans(table),
        strict=True,
    )
    rows: dict[str, list[PlacedInterval]] = {}
    splits: dict[str, str] = {}
    for number, (name, label, split, span) in enumerate(columns):
        at = table.at(number)
        clip = checked_stem(name, at)
        rows.setdefault(clip, []).append((Interval(*span, exercise(label)), at))
        if splits.setdefault(clip, split) != split:
            raise DataError(f"{at} puts clip '{clip}' in the split '{split}', earlier rows in '{splits[clip]}'")
    return [
        LabelledClip(clip, splits[clip], None, None, None, checked_intervals(clip, clip_rows), "segments")
        for clip, clip_rows in rows.items()
    ]


def _needed(table: TextTable, names: tuple[str, ...], what: str) -> str:
    column = column_like(table, names)
    if not column:
        shown = ", ".join(f"'{name}'" for name in table.header[:6] if name) or "none"
        raise DataError(
            f"'{table.where}' has no {what} column (found {shown[:200]}); expected clip, start, stop, label"
        )
    return column


def _spans(table: TextTable) -> list[tuple[float | None, float | None, int | None, int | None]]:
    """Return start_s, stop_s, start and stop for each row."""
    seconds = [column_like(table, names) for names in SECONDS]
    frames = [column_like(table, names) for names in FRAMES]
    either = [column_like(table, names) for names in EITHER]
    if any(either) and any(frames) and any(seconds):
        raise DataError(
            f"'{table.where}' has '{either[0] or either[1]}' beside frames and seconds; name it or remove it"
        )
    if any(seconds):
        frames = frames if any(frames) else either
    else:
        seconds = either
    for start, stop in (seconds, frames):
        if bool(start) != bool(stop):
            raise DataError(f"'{table.where}' has the column '{start or stop}' and none for the other end")
    times = [[None if math.isnan(t) else t for t in table.numbers(name)] for name in seconds]
    return list(zip(*times, *(table.whole(name) for name in frames), strict=True))


FILE_KINDS = ("pose", "mask", "features", "exemplars")  # as in `a.pose.npz`: what tools write into one folder


def files_in(folder: Path, suffixes: Sequence[str], kind: str = "") -> dict[str, Path]:
    """Map clip names to the files in a folder that have one of these suffixes.

    kind: "pose" or "mask", so that a file whose name says another kind, `a.mask.npz`, is passed over.

    Raises DataError when it is no folder, or two files are of one clip.
    """
    foreign = {f".{other_kind}" for other_kind in FILE_KINDS if kind in FILE_KINDS and other_kind != kind}
    files: dict[str, Path] = {}
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in suffixes)
        paths = [path for path in paths if path.with_suffix("").suffix not in foreign]
    except OSError as error:
        raise DataError(f"cannot look for clips in '{folder}': {reason(error)}") from None
    for path in paths:
        clip = checked_stem(path.name, f"'{path}'")
        if clip in files:
            raise DataError(f"'{folder}' has two files of clip '{clip}': {quoted([files[clip].name, path.name])}")
        files[clip] = path
    return files
