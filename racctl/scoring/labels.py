"""Predicted labels against the truth: every metric with its interval, each class, two predictions compared.

As with counts, nothing is dropped in silence: a clip on one side only is an error, and what was left out is said.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from racctl import __version__
from racctl.contracts import BACKGROUND, UNKNOWN_LABEL, Meta, step
from racctl.data.class_names import exercise
from racctl.data.clips import quoted
from racctl.data.labelled import LabelledClip, read_labelled
from racctl.data.predictions import PredictedLabels, Predictions
from racctl.errors import DataError
from racctl.io.spool import display_name
from racctl.scoring.align import pair_labels, uncovered, with_null
from racctl.scoring.counts import ScoreRow, Scores, metric_row, same_clips, source_names
from racctl.scoring.label_metrics import (
    PER_CLASS,
    Items,
    Resampled,
    better_clips,
    clips_with,
    compare_labels,
    interval,
    of_answered,
    overall,
    per_class,
    resample_clips,
)

ITEMS = {
    "window": "windows, the truth being the label at the middle frame",
    "segment": "frames of the timeline",
    "clip": "clips, the truth being the exercise that lasts longest",
}


@dataclass(frozen=True)
class LabelScoreOptions:
    """How labels are scored.

    per_class: rows for each class too.
    no_null: leave out what is background in the truth.
    null: a label that means background.
    split: score these clips of the truth alone, "" for all.
    resamples, seed: of the bootstrap.
    """

    per_class: bool = False
    no_null: bool = False
    null: str = BACKGROUND
    split: str = ""
    resamples: int = 2000
    seed: int = 0


@dataclass(frozen=True)
class LabelScores(Scores):
    """Scores, and the items that they are of."""

    items: Items = field(kw_only=True)


def score_labels(
    truth: str, predictions: Predictions, against: Predictions | None = None, options: LabelScoreOptions | None = None
) -> LabelScores:
    """Score predicted labels against the truth, which is anything that `racctl.data.labelled` reads.

    With `against` also those, and the two compared.

    Groups: "all", the classes, "against", "difference" (first minus second).
    """
    options = options or LabelScoreOptions()
    clips = _of_split(read_labelled(truth), options.split, display_name(truth))
    items, notes = _paired(clips, predictions, options, display_name(truth))
    drawn = resample_clips(items, options.resamples, options.seed)
    rows = _group(items, drawn, "all")
    if options.per_class:
        rows += _classes(items, drawn)
    notes = [f"truth: '{display_name(truth)}' ({', '.join(sorted({c.source for c in clips}))})", *notes]
    notes += _undefined(items, options)
    notes += _silence(items, predictions)
    if against:
        _comparable(predictions, against)
        second, _ = _paired(clips, against, options, display_name(truth))
        if items.clips != second.clips:
            raise DataError(
                f"{source_names(against.sources)} leaves other clips to score than {source_names(predictions.sources)}"
            )
        also = resample_clips(second, options.resamples, options.seed)
        compared = _difference(items, second, (drawn, also))
        rows += _group(second, also, "against") + compared
        notes.append(_verdict(compared, source_names(predictions.sources), source_names(against.sources)))
    return LabelScores(rows, notes, _meta(truth, items, predictions, options), items=items)


def _of_split(clips: list[LabelledClip], split: str, truth: str) -> list[LabelledClip]:
    if not split:
        return clips
    in_split = [clip for clip in clips if clip.split == split]
    if not in_split:
        splits = quoted(sorted({clip.split for clip in clips if clip.split}), 8) or "none"
        raise DataError(f"'{truth}' has no clips in the split '{split}' (its splits: {splits})")
    return in_split


def _paired(
    clips: list[LabelledClip], predictions: Predictions, options: LabelScoreOptions, truth: str
) -> tuple[Items, list[str]]:
    """Return the items, and what there is to say about how they came about."""
    labels = predictions.labels
    if labels is None:
        raise DataError(f"{source_names(predictions.sources)} holds counts, expected labels; run 'racctl classify'")
    same_clips([clip.clip for clip in clips], labels.about, f"'{truth}'", labels.shown)
    clips, labels = with_null(clips, labels, exercise(options.null))
    items = pair_labels(clips, labels)
    notes = [_size(items, labels)]
    missing = uncovered(items, labels)
    if missing:
        notes.append(f"frames without a prediction, taken for {BACKGROUND}: {missing:g}")
    if options.no_null:
        items, remark = _without_null(items, truth)
        notes.append(remark)
    return items, [*notes, *_strangers(items, labels), *(f"no AUC and no top-3 accuracy: {p}" for p in labels.problems)]


def _size(items: Items, labels: PredictedLabels) -> str:
    return f"scored: {items.weight.sum():g} {ITEMS[labels.unit]}; clips: {len(items.clips)}"


def _without_null(items: Items, truth: str) -> tuple[Items, str]:
    active = np.array([name != BACKGROUND for name in items.classes])[items.true]
    if not active.any():
        raise DataError(f"'{truth}' is {BACKGROUND} throughout; leave '--no-null' out")
    left = items.where(active)
    removed = items.weight.sum() - left.weight.sum()
    wrong = float(left.weight[[left.classes[k] == BACKGROUND for k in left.predicted]].sum())
    remark = (
        f"no-null: left out {removed:g} that are {BACKGROUND} in the truth; predicted to be so among the rest, errors"
    )
    return left, f"{remark}: {wrong:g}"


def _strangers(items: Items, labels: PredictedLabels) -> list[str]:
    """Return notes about labels that only one side has."""
    present = {items.classes[k] for k in items.present}
    notes = []
    only: Counter[str] = Counter()
    for k, weight in zip(items.predicted, items.weight, strict=True):
        if items.classes[k] not in present:
            only[items.classes[k]] += weight
    if only:
        named = ", ".join(f"'{name}' ({weight:g})" for name, weight in only.most_common(5))
        notes.append(f"predicted and never in the truth, errors: {named}{' and more' if len(only) > 5 else ''}")
    unknown = sorted(present - set(labels.classes)) if labels.classes else []
    if unknown:
        notes.append(f"in the truth and no class of the predictions: {quoted(unknown, 5)}")
    return notes


def _silence(items: Items, predictions: Predictions) -> list[str]:
    """Return what there is to say of predictions that are "unknown"."""
    answered = items.answered
    if answered.all() or predictions.labels is None:
        return []
    silent = float(items.weight[~answered].sum())
    share = f"{silent:g} of {_count(items)}"
    notes = [f"predicted '{UNKNOWN_LABEL}', errors in every metric but accuracy_answered: {share}"]
    classes = predictions.labels.classes
    strange = np.array([name not in (*classes, BACKGROUND) for name in items.classes])[items.true]
    if classes and strange.any():
        rejected, total = (float(items.weight[chosen].sum()) for chosen in (strange & ~answered, strange))
        notes.append(f"of what is no class of the predictions, '{UNKNOWN_LABEL}': {rejected:g} of {total:g}")
    return notes


def _undefined(items: Items, options: LabelScoreOptions) -> list[str]:
    notes = []
    if items.probs is not None and len(items.present) < 2:
        notes.append(f"no AUC: the truth has one class alone ('{items.classes[items.present[0]]}')")
    if not options.resamples:
        return notes
    if len(items.clips) < 2:
        return [*notes, "no intervals: they resample clips, and there is one alone"]
    how = f"percentile bootstrap over clips (not over the items, which depend on each other), {options.resamples}"
    notes.append(f"intervals: 95 %, {how} resamples, seed {options.seed}")
    return notes


def _group(items: Items, drawn: Resampled | None, group: str) -> list[ScoreRow]:
    n, rows = _count(items), []
    values = overall(items)
    if not items.answered.all():
        values |= of_answered(items)
    for name, value in values.items():
        ends = interval(None if drawn is None else drawn.overall[name])
        rows.append(metric_row(name, value, *ends, 0 if np.isnan(value) else n, group))
    sizes = {"n_classes": len(items.present), "n_clips": len(items.clips)}
    return rows + [metric_row(name, size, np.nan, np.nan, n, group) for name, size in sizes.items()]


def _count(items: Items) -> int:
    return round(float(items.weight.sum()))


def _classes(items: Items, drawn: Resampled | None) -> list[ScoreRow]:
    """Return rows for each class in the truth.

    A class that one clip alone has gets no interval, because resampling clips cannot vary its recall.
    """
    values = per_class(items)
    rows = []
    for k in items.present:
        n = round(float(items.weight[items.true == k].sum()))
        lone = clips_with(items, k) < 2
        for name in PER_CLASS:
            value = values[name][k]
            ends = interval(None if drawn is None or lone else drawn.per_class[name][k])
            rows.append(metric_row(name, value, *ends, 0 if np.isnan(value) else n, items.classes[k]))
    return rows


def _comparable(first: Predictions, second: Predictions) -> None:
    if first.labels and second.labels and first.labels.unit != second.labels.unit:
        units = f"{first.labels.unit}s, and {source_names(second.sources)} {second.labels.unit}s"
        raise DataError(f"{source_names(first.sources)} holds {units}; compare like with like")


def _difference(first: Items, second: Items, drawn: tuple[Resampled | None, Resampled | None]) -> list[ScoreRow]:
    n, rows = len(first.clips), []
    for name, compared in compare_labels(first, second, drawn).items():
        rows.append(metric_row(name, compared.value, compared.low, compared.high, n, "difference"))
        if name in ("accuracy", "macro_f1"):
            rows.append(metric_row(f"{name}_p_bootstrap", compared.p, np.nan, np.nan, n, "difference"))
    ahead, behind, p = better_clips(first, second)
    for name, number in (("clips_better_first", ahead), ("clips_better_second", behind), ("clips_p_sign", p)):
        rows.append(metric_row(name, number, np.nan, np.nan, n, "difference"))
    return rows


def _verdict(compared: list[ScoreRow], first: str, second: str) -> str:
    values = {row["metric"]: row["value"] for row in compared}
    parts = []
    for name in ("accuracy", "macro_f1"):
        p = values[f"{name}_p_bootstrap"]
        parts.append(f"{name} {values[name]:+.3f}" + ("" if p is None else f" (p {p:.3g})"))
    better = f"better in {values['clips_better_first']:g} clips, worse in {values['clips_better_second']:g}"
    return f"{first} minus {second}: {', '.join(parts)}; {better} (p {values['clips_p_sign']:.3g})"


def _meta(truth: str, items: Items, predictions: Predictions, options: LabelScoreOptions) -> Meta:
    entry = step(
        "score",
        __version__,
        per_class=options.per_class,
        no_null=options.no_null,
        null=options.null,
        split=options.split or None,
        resamples=options.resamples,
        seed=options.seed,
    )
    return {
        "truth": {"name": Path(display_name(truth)).name},
        "unit": None if predictions.labels is None else predictions.labels.unit,
        "classes": [items.classes[k] for k in items.present],
        "n_clips": len(items.clips),
        "n": _count(items),
        "protocol": "no-null" if options.no_null else "with-null",
        "steps": [*predictions.steps, entry],
    }
