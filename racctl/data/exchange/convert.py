"""From any annotation format to any other, and to and from racctl's own tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePath
from typing import IO, Any

import pyarrow as pa

from racctl import __version__
from racctl.contracts import Meta, step
from racctl.data.exchange.base import ANNOTATION_FORMATS
from racctl.data.exchange.marks import UNNUMBERED, AnnotationFormat, Mark, MarkedClip, checked
from racctl.data.plain import frame_rate_of_rows
from racctl.errors import DataError, UsageError
from racctl.io.parquet import read_table, table_from_rows, write_table
from racctl.io.poses.writers import POSE_WRITERS, PoseWriter
from racctl.io.sniff import kind_phrase, sniff
from racctl.io.spool import display_name, open_input
from racctl.io.text import checked_encoding

OWN_TABLES = "racctl"  # what `--to` calls racctl.reps/1 and racctl.labels/1
MARK_TABLES = ("racctl.reps/1", "racctl.labels/1")
MAX_BYTES = 256 << 20  # of a text, which is parsed whole


def format_for(name: str, output: str) -> AnnotationFormat | PoseWriter | None:
    """Return the format to write: the one that is named, or else that of the output's suffix; None for racctl's own.

    Raises UsageError where neither tells.
    """
    kinds = {n: kind for kind in (ANNOTATION_FORMATS, POSE_WRITERS) for n in kind.names()}
    if name == OWN_TABLES:
        return None
    if name:
        return kinds.get(name, ANNOTATION_FORMATS).load(name)
    suffix = PurePath(output).suffix.lower()
    if suffix == ".parquet":
        return None
    fitting = [n for n, kind in kinds.items() if suffix and kind.load(n).suffix == suffix]
    if len(fitting) == 1:
        return kinds[fitting[0]].load(fitting[0])
    hint = f"one of {', '.join(fitting or [OWN_TABLES, *kinds])}"
    raise UsageError(f"'{output}' does not tell its format; choose {hint} with '--to'")


def read_annotations(source: str, fps: float = 0.0) -> list[MarkedClip]:
    """Return the clips of a file, or of stdin ("-"), in any of the formats.

    fps: frames/s of clips where the file tells none, 0 for unknown.

    Raises DataError for a file that is of none of them, or damaged.
    """
    with open_input(source) as file:
        where, kind = display_name(source), sniff(file)
        if kind == "parquet":
            return clips_of(*read_table(file, where), where)
        if kind not in ("text", "json"):
            raise DataError(f"'{where}' is {kind_phrase(kind)}, expected {_expected()}")
        raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise DataError(f"'{where}' has more than {MAX_BYTES >> 20} MiB of text; refusing")
        file.seek(0)
        text = raw.decode(checked_encoding(file, where)).removeprefix("\ufeff")
    for name in ANNOTATION_FORMATS.names():
        annotation_format = ANNOTATION_FORMATS.load(name)
        if annotation_format.claims(text):
            try:
                return annotation_format.read(text, where, fps)
            except (ValueError, RecursionError):  # of json; Python refuses numbers of thousands of digits
                raise DataError(f"'{where}' is not whole JSON") from None
    raise DataError(f"'{where}' is of no annotation format that is known, expected {_expected()}")


def _expected() -> str:
    return f"{' or '.join(MARK_TABLES)}, or one of {', '.join(ANNOTATION_FORMATS.names())}"


def clips_of(meta: Meta, table: pa.Table, where: str) -> list[MarkedClip]:
    """Return the clips of a racctl.reps/1 or racctl.labels/1, people apart where there are several."""
    if meta["schema"] not in MARK_TABLES:
        raise DataError(f"'{where}' holds {meta['schema']}, expected {_expected()}; run 'racctl count --reps' first")
    groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in table.to_pylist():
        groups.setdefault((row["clip"], row.get("person") or 0), []).append(row)
    several = {clip for clip, person in groups if person}
    clips = []
    for (clip, person), rows in groups.items():
        marks = [_mark(row, where) for row in rows]
        name = f"{clip}.person{person}" if clip in several else clip
        clips.append(checked(MarkedClip(name, marks, frame_rate_of_rows(rows) or 0.0), where))
    return clips


def _mark(row: dict[str, Any], where: str) -> Mark:
    times = row["start_s"], row["stop_s"]
    if None in times:
        raise DataError(f"'{where}' has a row of '{row['clip']}' without its seconds")
    return Mark(*times, row["label"] or "", row.get("rep") or UNNUMBERED, row["start"], row["stop"])


def as_kind(clip: MarkedClip, kind: str) -> MarkedClip:
    """Return a clip whose marks are all repetitions, or all segments, where a user says so."""
    if kind == "reps":
        return replace(clip, marks=[replace(mark, rep=k) for k, mark in enumerate(clip.marks, 1)])
    if kind == "segments":
        return replace(clip, marks=[_as_segment(mark) for mark in clip.marks])
    return clip


def _as_segment(mark: Mark) -> Mark:
    return replace(mark, label=mark.text if mark.rep else mark.label, rep=UNNUMBERED)


def own_table(clips: Sequence[MarkedClip]) -> pa.Table:
    """Return racctl.reps/1 where all marks are repetitions, else racctl.labels/1."""
    marked = [clip for clip in clips if clip.marks]
    are_repetitions = all(clip.counts_repetitions for clip in marked)
    if not are_repetitions and any(clip.counts_repetitions for clip in marked):
        raise DataError("some clips have repetitions and others segments; choose with '--as reps' or '--as segments'")
    meta = {"steps": [step("convert", __version__)]}
    rows = [row for clip in clips for row in _rows(clip, are_repetitions)]
    return table_from_rows(MARK_TABLES[0] if are_repetitions else MARK_TABLES[1], rows, meta)


def _rows(clip: MarkedClip, are_repetitions: bool) -> list[dict[str, Any]]:
    rows = []
    for mark in clip.marks:
        start, stop = mark.start, mark.stop
        if (start is None or stop is None) and clip.fps:
            start, stop = round(mark.start_s * clip.fps), round(mark.stop_s * clip.fps)
        times = {"start": start, "stop": stop, "start_s": mark.start_s, "stop_s": mark.stop_s, "label": mark.label}
        more: dict[str, Any] = {"person": 0, "rep": mark.rep} if are_repetitions else {"probs": [1.0]}
        rows.append({"clip": clip.clip, **times, **more})
    return rows


def written(
    clips: Sequence[MarkedClip], chosen: AnnotationFormat | None, folder: Path | None, output: str
) -> dict[str, Callable[[IO[bytes]], None]]:
    """Return the files to write, by name, each with what writes it: one, or one for each clip in a folder.

    chosen: None for racctl's own tables.

    Raises UsageError for several clips in a file of a format that holds one, DataError for two clips of one name.
    """
    names = Counter(clip.clip if folder is None else file_name(clip.clip) for clip in clips)
    if repeated := next((name for name, times in names.items() if times > 1), ""):
        raise DataError(f"two of the clips are both called '{repeated}'; convert them one at a time")
    if folder is None:
        if chosen and chosen.one_clip and len(clips) != 1:
            raise UsageError(f"this format holds one clip, and there are {len(clips)}; name a directory with '-o DIR/'")
        return {output: _writer(clips, chosen)}
    suffix = chosen.suffix if chosen else ".parquet"
    return {str(folder / f"{file_name(clip.clip)}{suffix}"): _writer([clip], chosen) for clip in clips}


def _writer(clips: Sequence[MarkedClip], chosen: AnnotationFormat | None) -> Callable[[IO[bytes]], None]:
    if chosen is None:
        return partial(write_table, table=own_table(clips))
    return partial(write_bytes_to, chosen.write(clips).encode())


def write_bytes_to(payload: bytes, file: IO[bytes]) -> None:
    """Write a payload into an open file."""
    file.write(payload)


def file_name(clip: str) -> str:
    """Return the name of a clip as a file's, which has no folder."""
    return PurePath(clip.replace("\0", "")).name or "clip"
