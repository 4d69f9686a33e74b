"""Predicted labels against the truth: every metric with its interval, each class, two predictions compared.

As with counts, nothing is dropped in silence: a clip on one side only is an error, and what was left out is said.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from racctl import __version__
from racctl.contracts import Meta, step
from racctl.data.class_names import BACKGROUND, exercise
from racctl.data.clips import quoted
from racctl.data.labelled import LabelledClip, read_labelled
from racctl.data.predictions import PredictedLabels, Predictions
from racctl.errors import DataError
from racctl.io.spool import display_name
from racctl.scoring.align import pair_labels, uncovered, with_null
from racctl.scoring.counts import Row, Scores, metric_row, same_clips, shown
from racctl.scoring.label_metrics import (
    PER_CLASS,
    Items,
    Resampled,
    better_clips,
    clips_with,
    compare,
    interval,
    overall,
    per_class,
    resample,
)

ITEMS = {
    "window": "windows, the truth being the label at the middle frame",
    "segment": "frames of the timeline",
    "clip": "clips, the truth being the exercise that lasts longest",
}


@dataclass(frozen=True)
class LabelOptions:
    """per_class: rows for each class too.  no_null: leave out what is background in the truth.  null: a label that
    means background.  split: score these clips of the truth alone, "" for all.  resamples, seed: of the bootstrap."""

    per_class: bool = False
    no_null: bool = False
    null: str = BACKGROUND
    split: str = ""
    resamples: int = 2000
    seed: int = 0


@dataclass(frozen=True)
class LabelScores(Scores):
    """Scores, and the items that they are of."""

    items: Items | None = None


def score_labels(
    truth: str, predictions: Predictions, against: Predictions | None = None, options: LabelOptions | None = None
) -> LabelScores:  # fmt: skip
    """Score predicted labels against the truth, which is anything that `racctl.data.labelled` reads; with `against`
    also those, and the two compared. Groups: "all", the classes, "against", "difference" (first minus second)."""
    options = options or LabelOptions()
    clips = _of_split(read_labelled(truth), options.split, display_name(truth))
    items, notes = _paired(clips, predictions, options, display_name(truth))
    drawn = resample(items, options.resamples, options.seed)
    rows = _group(items, drawn, "all")
    if options.per_class:
        rows += _classes(items, drawn)
    notes = [f"truth: '{display_name(truth)}' ({', '.join(sorted({c.source for c in clips}))})", *notes]
    notes += _undefined(items, options)
    if against:
        _comparable(predictions, against)
        other, _ = _paired(clips, against, options, display_name(truth))
        if items.clips != other.clips:
            raise DataError(f"{shown(against.sources)} leaves other clips to score than {shown(predictions.sources)}")
        also = resample(other, options.resamples, options.seed)
        compared = _difference(items, other, (drawn, also))
        rows += _group(other, also, "against") + compared
        notes.append(_verdict(compared, shown(predictions.sources), shown(against.sources)))
    return LabelScores(rows, notes, _meta(truth, items, predictions, options), items)


def _of_split(clips: list[LabelledClip], split: str, truth: str) -> list[LabelledClip]:
    if not split:
        return clips
    kept = [clip for clip in clips if clip.split == split]
    if not kept:
        there = quoted(sorted({clip.split for clip in clips if clip.split}), 8) or "none"
        raise DataError(f"'{truth}' has no clips in the split '{split}' (its splits: {there})")
    return kept


def _paired(
    clips: list[LabelledClip], predictions: Predictions, options: LabelOptions, truth: str
) -> tuple[Items, list[str]]:  # fmt: skip
    """The items, and what there is to say about how they came about."""
    found = predictions.labels
    if found is None:
        raise DataError(f"{shown(predictions.sources)} holds counts, expected labels; run 'racctl classify'")
    same_clips([clip.clip for clip in clips], found.about, f"'{truth}'", found.shown)
    clips, found = with_null(clips, found, exercise(options.null))
    items = pair_labels(clips, found)
    notes = [_size(items, found)]
    missing = uncovered(items, found)
    if missing:
        notes.append(f"frames without a prediction, taken for {BACKGROUND}: {missing:g}")
    if options.no_null:
        items, said = _without_null(items, truth)
        notes.append(said)
    return items, [*notes, *_strangers(items, found), *(f"no AUC and no top-3 accuracy: {p}" for p in found.problems)]


def _size(items: Items, found: PredictedLabels) -> str:
    return f"scored: {items.weight.sum():g} {ITEMS[found.unit]}; clips: {len(items.clips)}"


def _without_null(items: Items, truth: str) -> tuple[Items, str]:
    kept = np.array([name != BACKGROUND for name in items.classes])[items.true]
    if not kept.any():
        raise DataError(f"'{truth}' is {BACKGROUND} throughout; leave '--no-null' out")
    left = items.where(kept)
    taken = items.weight.sum() - left.weight.sum()
    wrong = float(left.weight[[left.classes[k] == BACKGROUND for k in left.predicted]].sum())
    said = f"no-null: left out {taken:g} that are {BACKGROUND} in the truth; predicted to be so among the rest, errors"
    return left, f"{said}: {wrong:g}"


def _strangers(items: Items, found: PredictedLabels) -> list[str]:
    """Notes about labels that only one side has."""
    present = {items.classes[k] for k in items.present}
    notes = []
    only: Counter[str] = Counter()
    for k, weight in zip(items.predicted, items.weight, strict=True):
        if items.classes[k] not in present:
            only[items.classes[k]] += weight
    if only:
        named = ", ".join(f"'{name}' ({weight:g})" for name, weight in only.most_common(5))
        notes.append(f"predicted and never in the truth, errors: {named}{' and more' if len(only) > 5 else ''}")
    unknown = sorted(present - set(found.classes)) if found.classes else []
    if unknown:
        notes.append(f"in the truth and no class of the predictions: {quoted(unknown, 5)}")
    return notes


def _undefined(items: Items, options: LabelOptions) -> list[str]:
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


def _group(items: Items, drawn: Resampled | None, group: str) -> list[Row]:
    n, rows = _count(items), []
    for name, value in overall(items).items():
        ends = interval(drawn and drawn.overall[name])
        rows.append(metric_row(name, value, *ends, 0 if np.isnan(value) else n, group))
    sizes = {"n_classes": len(items.present), "n_clips": len(items.clips)}
    return rows + [metric_row(name, size, np.nan, np.nan, n, group) for name, size in sizes.items()]


def _count(items: Items) -> int:
    return round(float(items.weight.sum()))


def _classes(items: Items, drawn: Resampled | None) -> list[Row]:
    """Rows for each class in the truth; no interval for a class that one clip alone has, whose recall resampling clips
    cannot vary."""
    values, rows = per_class(items), []
    for k in items.present:
        n = round(float(items.weight[items.true == k].sum()))
        lone = drawn is None or clips_with(items, k) < 2
        for name in PER_CLASS:
            ends, value = interval(None if lone else drawn.per_class[name][k]), values[name][k]
            rows.append(metric_row(name, value, *ends, 0 if np.isnan(value) else n, items.classes[k]))
    return rows


def _comparable(first: Predictions, second: Predictions) -> None:
    if first.labels and second.labels and first.labels.unit != second.labels.unit:
        units = f"{first.labels.unit}s, and {shown(second.sources)} {second.labels.unit}s"
        raise DataError(f"{shown(first.sources)} holds {units}; compare like with like")


def _difference(first: Items, second: Items, drawn: tuple[Resampled | None, Resampled | None]) -> list[Row]:
    n, rows = len(first.clips), []
    for name, found in compare(first, second, drawn).items():
        rows.append(metric_row(name, found.value, found.low, found.high, n, "difference"))
        if name in ("accuracy", "macro_f1"):
            rows.append(metric_row(f"{name}_p_bootstrap", found.p, np.nan, np.nan, n, "difference"))
    ahead, behind, p = better_clips(first, second)
    for name, number in (("clips_better_first", ahead), ("clips_better_second", behind), ("clips_p_sign", p)):
        rows.append(metric_row(name, number, np.nan, np.nan, n, "difference"))
    return rows


def _verdict(compared: list[Row], first: str, second: str) -> str:
    found = {row["metric"]: row["value"] for row in compared}
    said = []
    for name in ("accuracy", "macro_f1"):
        p = found[f"{name}_p_bootstrap"]
        said.append(f"{name} {found[name]:+.3f}" + ("" if p is None else f" (p {p:.3g})"))
    better = f"better in {found['clips_better_first']:g} clips, worse in {found['clips_better_second']:g}"
    return f"{first} minus {second}: {', '.join(said)}; {better} (p {found['clips_p_sign']:.3g})"


def _meta(truth: str, items: Items, predictions: Predictions, options: LabelOptions) -> Meta:
    asked = step(
        "score", __version__, per_class=options.per_class, no_null=options.no_null, null=options.null,
        split=options.split or None, resamples=options.resamples, seed=options.seed,
    )  # fmt: skip
    return {
        "truth": {"name": Path(display_name(truth)).name}, "unit": predictions.labels.unit,
        "classes": [items.classes[k] for k in items.present], "n_clips": len(items.clips), "n": _count(items),
        "protocol": "no-null" if options.no_null else "with-null", "steps": [*predictions.steps, asked],
    }  # fmt: skip
