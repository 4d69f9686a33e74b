"""What is to be scored: predicted counts or predicted labels; the content of each file says which."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from racctl.contracts import Meta, clip_stem
from racctl.data.class_names import exercise
from racctl.data.clips import ClipTruth, checked_stem, quoted
from racctl.data.intervals import LAST_FRAME
from racctl.data.plain import COUNT_NAMES, clips_of_table, column_like
from racctl.data.segments import is_segment_table, read_segments
from racctl.data.tables import MARK, TextTable, read_text
from racctl.data.truth import clips_in, read_clip_table, read_clips
from racctl.errors import DataError
from racctl.io.parquet import read_table
from racctl.io.sniff import sniff
from racctl.io.spool import display_name, open_input

UNITS = ("window", "segment", "clip")
NO_FRAME = -1


@dataclass(frozen=True, eq=False)
class PredictedLabels:
    """Predicted labels of one or more clips, a row each for a window, a segment or a clip.

    shown: how messages call it.
    unit: one of UNITS.
    classes: names in the order of `probs`, [] where not told.
    clip, label: n names.
    start, stop: (n,) int64 source frames, half-open, NO_FRAME where a row is about its whole clip.
    start_s, stop_s: (n,) float64 s, NaN where unknown.
    probs: (n, K) float64 in 0..1, or None.
    about: clips that the files are about, also those without a row.
    problems: of the probabilities, to be told.
    """

    shown: str
    unit: str
    classes: list[str]
    clip: list[str]
    label: list[str]
    start: np.ndarray
    stop: np.ndarray
    start_s: np.ndarray
    stop_s: np.ndarray
    probs: np.ndarray | None
    about: list[str] = field(default_factory=list)
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions of several files: either `counts` or `labels`, and the provenance steps that led to them."""

    sources: list[str]
    counts: list[ClipTruth] | None
    labels: PredictedLabels | None
    steps: list[Meta]


def read_predictions(sources: list[str]) -> Predictions:
    """Return the predictions of all files, as one table.

    Raises DataError for damaged or unknown content and for files that do not belong together: counts beside labels,
    other units, other classes.
    """
    counts: list[ClipTruth] = []
    labels: list[PredictedLabels] = []
    steps: list[Meta] = []
    for place, source in enumerate(sources):
        content, meta = _read(source)
        if isinstance(content, list):
            _refuse_negative(content, display_name(source))
        if place and isinstance(content, PredictedLabels) != bool(labels):
            this, others = ("counts", "labels") if labels else ("labels", "counts")
            raise DataError(f"'{display_name(source)}' holds {this}, the files before it {others}; score them apart")
        if isinstance(content, PredictedLabels):
            labels.append(content)
        else:
            counts += content
        steps += [entry for entry in meta.get("steps", []) if entry not in steps]
    return Predictions(sources, None if labels else counts, _joined(labels) if labels else None, steps)


def _refuse_negative(counts: list[ClipTruth], where: str) -> None:
    for row in counts:
        if row.count < 0:
            raise DataError(f"'{where}' has a count of {row.count:g} for clip '{row.clip}'; expected 0 or more")


def _read(source: str) -> tuple[PredictedLabels | list[ClipTruth], Meta]:
    where = display_name(source)
    if source != "-" and os.path.isdir(source):
        return read_clips(source)
    with open_input(source) as file:
        kind = sniff(file)
        if kind == "parquet":
            meta, table = read_table(file, where)
            if meta["schema"] == "racctl.labels/1":
                return labels_of_table(meta, table, where), meta
            return clips_of_table(meta, table, where), meta
        if kind != "text":
            return clips_in(file, where)
        text = read_text(file, where)
    return (_labels_of_text(text) if _holds_labels(text) else read_clip_table(text)), {}


def _holds_labels(table: TextTable) -> bool:
    """Return whether a CSV is about labels and not about counts, which may come with a label each."""
    if any(MARK.fullmatch(name) for name in table.header) or column_like(table, COUNT_NAMES):
        return False
    return is_segment_table(table)


def _labels_of_text(table: TextTable) -> PredictedLabels:
    """Return segments in frames, or a label for each whole clip; a CSV has no probabilities that could be trusted."""
    clips = read_segments(table)
    rows = [(clip.clip, interval) for clip in clips for interval in clip.intervals]
    whole = [interval.whole for _, interval in rows]
    if any(whole) != all(whole):
        raise DataError(f"'{table.where}' labels some clips throughout and some in part; score them apart")
    lacking = next((clip for clip, interval in rows if not interval.whole and not interval.in_frames), None)
    if lacking is not None:
        raise DataError(
            f"'{table.where}' has clip '{lacking}' in seconds alone; predictions need start_frame and stop_frame"
        )
    number = [(i.start, i.stop) if i.in_frames else (NO_FRAME, NO_FRAME) for _, i in rows]
    second = [(i.start_s, i.stop_s) if i.in_seconds else (np.nan, np.nan) for _, i in rows]
    unit = "clip" if all(whole) else "segment"
    start, stop = np.array(number, np.int64).reshape(-1, 2).T
    start_s, stop_s = np.array(second, np.float64).reshape(-1, 2).T
    return PredictedLabels(
        shown=f"'{table.where}'",
        unit=unit,
        classes=[],
        clip=[clip for clip, _ in rows],
        label=[i.label for _, i in rows],
        start=start,
        stop=stop,
        start_s=start_s,
        stop_s=stop_s,
        probs=None,
        about=[c.clip for c in clips],
    )


def labels_of_table(meta: Meta, table: pa.Table, where: str) -> PredictedLabels:
    """Return the rows of a racctl.labels/1 table.

    Its meta tells the "unit" ("segment" where it does not) and the "classes" of `probs`. DataError names the row of
    anything unsound.
    """
    unit = meta.get("unit", "segment")
    if unit not in UNITS:
        raise DataError(f"'{where}' has the unit {unit!r:.40}; expected one of {', '.join(UNITS)}")
    classes, probs, problems = _probabilities(meta, table, where)
    names = table.column("clip").to_pylist()
    clip = [checked_stem(name or "", f"'{where}', row {row},") for row, name in enumerate(names)]
    label = [exercise(name or "") for name in table.column("label").to_pylist()]
    if "" in label:
        raise DataError(f"'{where}', row {label.index('')}, has no label")
    numbers = [pc.fill_null(table.column(name), NO_FRAME).to_numpy() for name in ("start", "stop")]
    seconds = [pc.fill_null(table.column(name), float("nan")).to_numpy() for name in ("start_s", "stop_s")]
    if unit != "clip":
        _check_rows(numbers, seconds, where)
    named = [meta.get("clip", ""), *meta.get("clips", {})]  # a clip in which nothing was found has no row
    about = list(dict.fromkeys([*clip, *(clip_stem(name) for name in named if name)]))
    return PredictedLabels(
        shown=f"'{where}'",
        unit=unit,
        classes=classes,
        clip=clip,
        label=label,
        start=numbers[0],
        stop=numbers[1],
        start_s=seconds[0],
        stop_s=seconds[1],
        probs=probs,
        about=about,
        problems=problems,
    )


def _check_rows(numbers: list[np.ndarray], seconds: list[np.ndarray], where: str) -> None:
    (start, stop), (start_s, stop_s) = numbers, seconds
    for bad, what in (
        (start < 0, "starts below frame 0 or nowhere"),
        (stop <= start, "does not stop after its start"),
        (stop > LAST_FRAME, "stops at a frame that no video has"),
        (np.isinf(start_s) | np.isinf(stop_s), "has a time that is not finite"),
        (stop_s <= start_s, "does not stop after its start in seconds"),
    ):
        if bad.any():
            raise DataError(f"'{where}', row {int(np.flatnonzero(bad)[0])}, {what}")


def _probabilities(meta: Meta, table: pa.Table, where: str) -> tuple[list[str], np.ndarray | None, tuple[str, ...]]:
    """Return the classes, (n, K) float64 probabilities or None, and why there are none."""
    named = meta.get("classes")
    if named is None:
        return [], None, (f"'{where}' does not name its classes",)
    if not isinstance(named, list) or not all(isinstance(name, str) for name in named):
        raise DataError(f"'{where}' has a damaged meta document: 'classes' is not a list of names")
    classes = [exercise(name) for name in named]
    if "" in classes or len(set(classes)) != len(classes):
        raise DataError(f"'{where}' has classes without a name, or two of the same: {quoted(named, 20)}")
    column = table.column("probs").combine_chunks()
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    if not lengths.any():
        return classes, None, (f"'{where}' has no probabilities",)
    wrong = np.flatnonzero(lengths != len(classes))
    if len(wrong):
        row = int(wrong[0])
        raise DataError(f"'{where}', row {row}, has {lengths[row]} probabilities for {len(classes)} classes")
    probs = column.flatten().to_numpy(zero_copy_only=False).astype(np.float64).reshape(len(lengths), len(classes))
    bad = ~((probs >= 0) & (probs <= 1 + 1e-6)).all(1)
    if bad.any():
        raise DataError(f"'{where}', row {int(np.flatnonzero(bad)[0])}, has a probability that is not within 0..1")
    return classes, probs, ()


def _joined(tables: list[PredictedLabels]) -> PredictedLabels:
    """Join several files into one, with probabilities only where all have them."""
    first = tables[0]
    for table in tables[1:]:
        for what, expected, theirs in (("unit", first.unit, table.unit), ("classes", first.classes, table.classes)):
            if expected != theirs:
                raise DataError(f"{table.shown} has other {what} than {first.shown}; score them apart")
    if len(tables) == 1:
        return first
    probs = [table.probs for table in tables if table.probs is not None]
    return PredictedLabels(
        shown=f"{first.shown} and {len(tables) - 1} more",
        unit=first.unit,
        classes=first.classes,
        clip=[c for t in tables for c in t.clip],
        label=[c for t in tables for c in t.label],
        start=np.concatenate([t.start for t in tables]),
        stop=np.concatenate([t.stop for t in tables]),
        start_s=np.concatenate([t.start_s for t in tables]),
        stop_s=np.concatenate([t.stop_s for t in tables]),
        probs=np.concatenate(probs) if len(probs) == len(tables) else None,
        about=list(dict.fromkeys(c for t in tables for c in t.about)),
        problems=tuple(dict.fromkeys(p for t in tables for p in t.problems)),
    )
