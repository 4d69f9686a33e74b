"""One reader for clips with exercise labels over time, for training and for scoring; what it is, the content says."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from racctl.contracts import BACKGROUND, VIDEO_SUFFIXES, Meta
from racctl.data.class_names import exercise
from racctl.data.clips import checked_stem, quoted
from racctl.data.file_names import LABELS_FILE, MANIFEST_FILE
from racctl.data.intervals import (
    Interval,
    LabelledClip,
    PlacedInterval,
    checked_intervals,
    class_names,
    labels_at,
    main_label,
    split_clips,
)
from racctl.data.mmfit import is_mmfit, read_mmfit
from racctl.data.segments import files_in, read_segments
from racctl.data.tables import read_text
from racctl.errors import DataError, UsageError
from racctl.io.parquet import read_table
from racctl.io.sniff import kind_phrase, sniff
from racctl.io.spool import display_name, open_input

__all__ = [
    "BACKGROUND",
    "Interval",
    "LabelledClip",
    "class_names",
    "labels_at",
    "main_label",
    "read_labelled",
    "split_clips",
]

EXPECTED_LABELS = (
    "a folder of 'racctl synth', MM-Fit's, racctl's own labels or manifest, or a table with clip, start, stop and label"
)
FILES = {  # of a clip, and how their names end
    "video": VIDEO_SUFFIXES,
    "mask": (".npz",),
    "pose": (".npz", ".npy"),
}


def read_labelled(
    path: str | Path,
    *,
    videos: str | Path | None = None,
    masks: str | Path | None = None,
    poses: str | Path | None = None,
    need: Collection[str] = (),
    lenient: bool = False,
) -> list[LabelledClip]:
    """Return the labelled clips of a data set; "-" is stdin.

    path: a folder that `racctl synth` wrote, or its manifest.parquet with labels.parquet beside it; MM-Fit's folder
        (w00 .. w20); a table of segments (see `racctl.data.segments`) or the folder that holds one and its clips; a
        racctl.labels/1 table alone.
    videos, masks, poses: folders in which each clip's file is found by name, instead of what the data set says: MM-Fit
        has no videos of its own, a table of segments only names clips.
    need: of "video", "mask", "pose", what every clip must have; a table's videos are looked for beside it. lenient:
        leave it to the reader of the files to find that one is not there.

    Raises DataError, in one line that names file and row, for content of no known kind, unsound or overlapping
    intervals, labels of unknown clips, clips without labels, and files that are needed and not there.
    """
    wrong = set(need) - set(FILES)
    if wrong:
        raise UsageError(f"no such file of a clip: {quoted(sorted(wrong))}; expected one of {', '.join(FILES)}")
    folders = dict(zip(FILES, (videos, masks, poses), strict=True))
    if need and (idle := [kind for kind, folder in folders.items() if folder is not None and kind not in need]):
        raise UsageError(f"'--{idle[0]}s' has no effect here: the model looks at no {idle[0]}; leave it out")
    source, where = str(path), display_name(str(path))
    clips = _read_folder(Path(source)) if source != "-" and Path(source).is_dir() else _read_file(source)
    if not clips:
        raise DataError(f"'{where}' has no labelled clips")
    if videos is None and "video" in need and clips[0].source == "segments" and source != "-":
        videos = source if Path(source).is_dir() else Path(source).parent
    for kind, folder in zip(FILES, (videos, masks, poses), strict=True):
        if folder is not None:
            files = files_in(Path(folder), FILES[kind], kind)
            clips = [_with_file(clip, kind, files.get(clip.clip)) for clip in clips]
        if kind in need and not lenient:
            _require(clips, kind, where, folder)
    return clips


def _with_file(clip: LabelledClip, kind: str, path: Path | None) -> LabelledClip:
    if kind == "video":
        return replace(clip, video=path)
    return replace(clip, mask=path) if kind == "mask" else replace(clip, pose=path)


def _read_folder(folder: Path) -> list[LabelledClip]:
    if (folder / MANIFEST_FILE).is_file():
        return _read_file(str(folder / MANIFEST_FILE))
    if is_mmfit(folder):
        return read_mmfit(folder)
    tables = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".csv", ".tsv") and path.is_file())
    if len(tables) == 1:
        return _read_file(str(tables[0]))
    several = f"several tables ({quoted([path.name for path in tables])}); name the one that is meant"
    raise DataError(f"'{folder}' holds {several if tables else f'none of its files; expected {EXPECTED_LABELS}'}")


def _read_file(source: str) -> list[LabelledClip]:
    where = display_name(source)
    with open_input(source) as file:
        kind = sniff(file)
        if kind == "text":
            return read_segments(read_text(file, where))
        if kind != "parquet":
            raise DataError(f"'{where}' is {kind_phrase(kind)}, expected {EXPECTED_LABELS}")
        meta, table = read_table(file, where)
    if meta["schema"] == "racctl.manifest/1":
        return _with_manifest(source, table.to_pylist())
    return _labels_alone(label_rows(meta, table, where))


def label_rows(meta: Meta, table: pa.Table, where: str) -> dict[str, list[PlacedInterval]]:
    """Return the rows of a racctl.labels/1 table as intervals with their places, by clip.

    Raises DataError for another schema.
    """
    if meta["schema"] != "racctl.labels/1":
        raise DataError(f"'{where}' holds {meta['schema']}, expected racctl.labels/1 or {EXPECTED_LABELS}")
    by_clip: dict[str, list[PlacedInterval]] = {}
    for number, row in enumerate(table.drop_columns(["probs"]).to_pylist()):
        at = f"'{where}', row {number},"
        interval = Interval(row["start_s"], row["stop_s"], row["start"], row["stop"], exercise(row["label"] or ""))
        by_clip.setdefault(checked_stem(row["clip"] or "", at), []).append((interval, at))
    return by_clip


def _labels_alone(rows: dict[str, list[PlacedInterval]]) -> list[LabelledClip]:
    return [
        LabelledClip(clip, "", None, None, None, checked_intervals(clip, clip_rows), "racctl labels")
        for clip, clip_rows in rows.items()
    ]


def _with_manifest(source: str, manifest: list[dict[str, Any]]) -> list[LabelledClip]:
    """Return the clips of a manifest in its order, with the labels of the table beside it.

    Its paths are relative to it.
    """
    if source == "-":
        raise UsageError("a manifest on stdin has no labels beside it; give its path")
    where, labels = display_name(source), str(Path(source).with_name(LABELS_FILE))
    with open_input(labels) as file:
        meta, table = read_table(file, labels)
    rows = label_rows(meta, table, labels)
    clips: list[LabelledClip] = []
    root = Path(source).parent
    for number, entry in enumerate(manifest):
        clip = checked_stem(entry["clip"] or "", f"'{where}', row {number},")
        clip_rows = rows.pop(clip, None)
        if clip_rows is None:
            twice = any(earlier.clip == clip for earlier in clips)
            why = "is in the manifest twice" if twice else f"has no labels in '{labels}'"
            raise DataError(f"'{where}', row {number}: clip '{clip}' {why}")
        video, mask, pose = (None if entry[kind] is None else root / entry[kind] for kind in FILES)
        intervals = checked_intervals(clip, clip_rows)
        clips.append(LabelledClip(clip, entry["split"] or "", video, mask, pose, intervals, "racctl synth"))
    if rows:
        clip, clip_rows = next(iter(rows.items()))
        raise DataError(f"{clip_rows[0][1]} labels clip '{clip}', which is not in '{where}'")
    return clips


def _require(clips: list[LabelledClip], kind: str, where: str, folder: str | Path | None) -> None:
    """Raise DataError when one of the clips has no such file, or names one that is not there."""
    for clip in clips:
        path = getattr(clip, kind)
        if path is None:
            hint = f"; name the folder that has it ('{kind}s')" if folder is None else f" in '{folder}'"
            raise DataError(f"'{where}': clip '{clip.clip}' has no {kind}{hint}")
        if not path.is_file():
            raise DataError(f"'{where}': the {kind} of clip '{clip.clip}' is not there ('{path}')")
