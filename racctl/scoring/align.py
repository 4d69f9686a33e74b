"""Predicted labels beside the truth, as items: one for a window, for a piece of the timeline, or for a clip.

* window: the truth is the label at its middle frame, start + (stop - start) // 2 (the paper's smart-middle labelling:
  frame 8 of 16).
* segment: every frame counts, from the first to the last that the truth or the prediction speaks of; the timeline is
  cut into pieces on which neither changes. What no segment covers is predicted to be background.
* clip: the truth is the label, other than background, that lasts longest in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from racctl.contracts import BACKGROUND
from racctl.data.intervals import TIME_TOLERANCE, LabelledClip, class_names, labels_at, main_label
from racctl.data.predictions import PredictedLabels
from racctl.errors import DataError, UsageError
from racctl.scoring.label_metrics import Items

NOWHERE = -1  # the row of a piece that no segment covers


@dataclass(frozen=True, eq=False)
class PairedItems:
    """Items before their labels are numbered.

    clip: (N,) index.
    true, predicted: N labels.
    row: (N,) row of the prediction table, NOWHERE for none.
    weight: (N,).
    """

    clip: list[np.ndarray]
    true: list[np.ndarray]
    predicted: list[np.ndarray]
    row: list[np.ndarray]
    weight: list[np.ndarray]


def with_null(
    truth: list[LabelledClip], predicted: PredictedLabels, null: str
) -> tuple[list[LabelledClip], PredictedLabels]:
    """Return both with the label `null` taken for `BACKGROUND`.

    Where the prediction knows both, their probabilities are added.

    Raises UsageError when neither side has such a label.
    """
    if null == BACKGROUND:
        return truth, predicted
    if null not in {label for clip in truth for label in clip.labels} | {*predicted.classes, *predicted.label}:
        raise UsageError(f"invalid value '{null}' for '--null'; expected a label of the truth or of the predictions")

    def named(label: str) -> str:
        return BACKGROUND if label == null else label

    clips = [replace(clip, intervals=[replace(i, label=named(i.label)) for i in clip.intervals]) for clip in truth]
    classes, labels = [named(name) for name in predicted.classes], [named(name) for name in predicted.label]
    return clips, replace(predicted, classes=classes, label=labels)


def pair_labels(truth: list[LabelledClip], predicted: PredictedLabels) -> Items:
    """Return the items of both, which are about the same clips.

    The clips are sorted by name, so that no file's order can move an interval.

    Classes: the truth's (`class_names`), then those that the prediction alone knows.

    Raises DataError for what cannot be compared: overlapping segments, several rows for one clip, a truth in seconds
    and a prediction without times.
    """
    clips = sorted(truth, key=lambda clip: clip.clip)
    place = {clip.clip: k for k, clip in enumerate(clips)}
    of_row = np.array([place[name] for name in predicted.clip], np.int64)
    order = np.lexsort((predicted.start, of_row))
    bounds = np.searchsorted(of_row[order], np.arange(len(clips) + 1))
    labels = np.array(predicted.label, object)
    paired = PairedItems([], [], [], [], [])
    items_of = {"window": _windows, "segment": _pieces, "clip": _clips}[predicted.unit]
    for k, clip in enumerate(clips):
        rows = order[bounds[k] : bounds[k + 1]]
        row, true, weight = items_of(clip, rows, predicted)
        paired.clip.append(np.full(len(row), k))
        paired.true.append(true)
        paired.row.append(row)
        paired.predicted.append(np.where(row == NOWHERE, BACKGROUND, labels[row] if len(labels) else BACKGROUND))
        paired.weight.append(np.asarray(weight, np.float64))
    return _numbered(clips, predicted, paired)


ClipItems = tuple[np.ndarray, np.ndarray, np.ndarray]  # row, true label, weight


def _windows(clip: LabelledClip, rows: np.ndarray, predicted: PredictedLabels) -> ClipItems:
    if not len(rows):
        raise DataError(f"{predicted.shown} has no windows of clip '{clip.clip}'; it is shorter than one, take it out")
    start, stop = predicted.start[rows], predicted.stop[rows]
    middle = start + (stop - start) // 2
    start_s, stop_s = predicted.start_s[rows], predicted.stop_s[rows]
    time = start_s + (stop_s - start_s) * (middle - start) / (stop - start)
    true = labels_at(clip, middle, None if np.isnan(time).any() else time)
    return rows, true, np.ones(len(rows))


def _clips(clip: LabelledClip, rows: np.ndarray, predicted: PredictedLabels) -> ClipItems:
    if len(rows) != 1:
        raise DataError(f"{predicted.shown} has {len(rows)} labels for clip '{clip.clip}'; expected one for each clip")
    return rows, np.array([main_label(clip)], object), np.ones(1)


def _pieces(clip: LabelledClip, rows: np.ndarray, predicted: PredictedLabels) -> ClipItems:
    start, stop = predicted.start[rows], predicted.stop[rows]
    over = np.flatnonzero(start[1:] < stop[:-1])
    if len(over):
        at = f"at frame {start[over[0] + 1]}"
        raise DataError(
            f"{predicted.shown} has segments of clip '{clip.clip}' that overlap {at}; windows need the unit \"window\""
        )
    clock = _clock(clip, rows, predicted)
    edges = np.unique(np.concatenate([start, stop, _truth_edges(clip, clock)])).astype(np.int64)
    if len(edges) < 2:
        raise DataError(f"clip '{clip.clip}' has no length in the truth and no segments in {predicted.shown}")
    first, length = edges[:-1], np.diff(edges)
    middle = first + length // 2
    true = labels_at(clip, middle, clock.time(middle) if clock else None)
    if not len(rows):
        return np.full(len(first), NOWHERE), true, length
    inside = np.searchsorted(start, first, side="right") - 1  # the last segment that starts before
    row = np.where((inside >= 0) & (first < stop[inside]), rows[inside], NOWHERE)
    return row, true, length


@dataclass(frozen=True, eq=False)
class ClipClock:
    """Frame numbers and times (n,) of one clip, both ascending, n >= 2; between and beyond them time runs evenly."""

    frame: np.ndarray
    second: np.ndarray

    def time(self, frame: np.ndarray) -> np.ndarray:
        """Return (n,) seconds at frames."""
        return self._along(frame, self.frame, self.second)

    def frame_at(self, time: np.ndarray) -> np.ndarray:
        """Return (n,) the first frame at or after each time."""
        return np.ceil(self._along(time - TIME_TOLERANCE, self.second, self.frame)).astype(np.int64)

    def _along(self, x: np.ndarray, known: np.ndarray, values: np.ndarray) -> np.ndarray:
        rate = (values[-1] - values[0]) / (known[-1] - known[0])
        beyond = np.minimum(x - known[0], 0) + np.maximum(x - known[-1], 0)
        return np.interp(x, known, values) + beyond * rate


def _clock(clip: LabelledClip, rows: np.ndarray, predicted: PredictedLabels) -> ClipClock | None:
    """Return the clip's clock as the prediction tells it; None where it does not."""
    if not len(rows) or np.isnan(predicted.start_s[rows]).any() or np.isnan(predicted.stop_s[rows]).any():
        return None
    frame, first = np.unique(np.concatenate([predicted.start[rows], predicted.stop[rows]]), return_index=True)
    second = np.concatenate([predicted.start_s[rows], predicted.stop_s[rows]])[first]
    if (np.diff(second) <= 0).any():
        raise DataError(f"{predicted.shown} has times of clip '{clip.clip}' that do not ascend with its frames")
    return ClipClock(frame.astype(np.float64), second)


def _truth_edges(clip: LabelledClip, clock: ClipClock | None) -> np.ndarray:
    """Return frames at which the truth begins or ends an interval."""
    frames = [edge for i in clip.intervals if i.in_frames for edge in (i.start, i.stop)]
    seconds = [edge for i in clip.intervals if not i.in_frames and i.in_seconds for edge in (i.start_s, i.stop_s)]
    if not seconds:
        return np.array(frames, np.int64)
    if clock is None:
        raise DataError(f"the truth has clip '{clip.clip}' in seconds, and the prediction has no times for it")
    return np.maximum(clock.frame_at(np.array(seconds)), 0)


def _numbered(clips: list[LabelledClip], predicted: PredictedLabels, paired: PairedItems) -> Items:
    true, predicted_labels = np.concatenate(paired.true), np.concatenate(paired.predicted)
    known = class_names(clips)
    more = [*predicted.classes, *sorted(set(predicted_labels.tolist()))]
    classes = list(dict.fromkeys([*known, *more]))
    index: Callable = np.vectorize({name: k for k, name in enumerate(classes)}.__getitem__, otypes=[np.int64])
    row = np.concatenate(paired.row)
    probs = None
    if predicted.probs is not None:
        probs = np.zeros((len(row), len(classes)))
        for k, name in enumerate(predicted.classes):
            probs[:, classes.index(name)] += np.where(row == NOWHERE, 0, predicted.probs[row, k])
        probs[row == NOWHERE, classes.index(BACKGROUND)] = 1.0  # what is not said to be anything
    return Items(
        classes=classes,
        clips=[clip.clip for clip in clips],
        clip=np.concatenate(paired.clip),
        true=index(true),
        predicted=index(predicted_labels),
        weight=np.concatenate(paired.weight),
        probs=probs,
    )


def uncovered(items: Items, predicted: PredictedLabels) -> float:
    """Return frames that no segment covers."""
    if predicted.unit != "segment":
        return 0.0
    return float(items.weight.sum() - (predicted.stop - predicted.start).sum())
