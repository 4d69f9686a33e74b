"""Several counters beside each other on the same clips: a row for each, tested against the first."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from racctl import __version__
from racctl.contracts import Meta, step
from racctl.data.clips import ClipTruth
from racctl.data.predictions import read_predictions
from racctl.data.truth import read_truth
from racctl.errors import DataError, UsageError
from racctl.io.parquet import table_from_rows
from racctl.io.spool import display_name
from racctl.scoring.borders import repetition_scores
from racctl.scoring.count_metrics import TERMS, bootstrap_interval, value
from racctl.scoring.counts import CountPairs, CountScoreOptions, clips_named, compare_counts, pair_counts

WITH_INTERVALS = ("MAE", "RMSE", "OBO", "OBZ")
WITHOUT_INTERVALS = ("MAE@0.1",)
ComparisonRow = dict[str, str | int | float | None]


@dataclass(frozen=True)
class CounterComparison:
    """Rows of racctl.comparison/1, what a person should know, and the pairs that each row is of, by its name."""

    rows: list[ComparisonRow]
    notes: list[str]
    meta: Meta
    pairs: dict[str, CountPairs]

    def table(self) -> pa.Table:
        """Return the rows as a racctl.comparison/1 table."""
        return table_from_rows("racctl.comparison/1", self.rows, self.meta)

    def shown(self) -> pa.Table:
        """Return the rows for a person to read: a cell holds a metric with its interval."""
        rows = [_shown(row) for row in self.rows]
        columns = list(dict.fromkeys(name for row in rows for name in row))
        return pa.table({name: [row.get(name, "") for row in rows] for name in columns})


def _shown(row: ComparisonRow) -> dict[str, str]:
    def with_interval(metric: str) -> str:
        low, high = row[f"{metric}_low"], row[f"{metric}_high"]
        interval = "" if low is None or high is None else f" [{low:.2f}, {high:.2f}]"
        return "" if row[metric] is None else f"{row[metric]:.3f}{interval}"

    cells = {"predictions": str(row["predictions"]), "n": str(row["n"])}
    cells |= {"missing": str(row["n_missing"])} if row["n_missing"] else {}
    cells |= {metric: with_interval(metric) for metric in WITH_INTERVALS}
    cells |= {"rep F1": f"{row['rep_F1@0.5']:.3f}"} if row.get("rep_F1@0.5") is not None else {}
    if row.get("OBO_p") is not None:
        cells["against the first"] = (
            f"MAE {row['MAE_change']:+.3f} (p {row['MAE_p']:.2g}), OBO +{row['OBO_gained']} -{row['OBO_lost']} "
            f"(p {row['OBO_p']:.2g})"
        )
    return cells


def compare_files(truth: str, sources: list[str], options: CountScoreOptions | None = None) -> CounterComparison:
    """Score prediction files, each a counter of its own, against a truth, and each against the first.

    Raises DataError and UsageError as `racctl.scoring.counts.score_files` does, and for two files of the same name.
    """
    options = options or CountScoreOptions()
    if [truth, *sources].count("-") > 1:
        raise UsageError("stdin ('-') can be only one of the truth and the predictions")
    clips = read_truth(truth)
    names = names_of(sources)
    pairs = {name: _pairs(clips, truth, source, options) for name, source in zip(names, sources, strict=True)}
    first = pairs[names[0]]
    rows = [comparison_row(name, pair, None if pair is first else first, options) for name, pair in pairs.items()]
    entry = step("compare", __version__, missing=options.missing, rounding=options.rounding, seed=options.seed)
    meta: Meta = {"truth": {"name": Path(display_name(truth)).name}, "predictions": names, "steps": [entry]}
    return CounterComparison(rows, _notes(pairs, options), meta, pairs)


def names_of(sources: list[str]) -> list[str]:
    """Return how the files' counters are called: by the file, without what follows its first dot.

    UsageError for two that are called the same.
    """
    names = ["stdin" if source == "-" else Path(source).name.split(".")[0] or source for source in sources]
    if len(set(names)) < len(names):
        names = [display_name(source) for source in sources]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise UsageError(f"'{repeated}' is named more than once; name each counter's predictions once")
    return names


def _pairs(clips: list[ClipTruth], truth: str, source: str, options: CountScoreOptions) -> CountPairs:
    predicted = read_predictions([source])
    if predicted.counts is None:
        raise DataError(f"'{display_name(source)}' holds labels, expected counts; run 'racctl count'")
    shown = (f"'{display_name(truth)}'", f"'{display_name(source)}'")
    return pair_counts(clips, predicted.counts, options.rounding, *shown, options.missing)


def comparison_row(name: str, pairs: CountPairs, first: CountPairs | None, options: CountScoreOptions) -> ComparisonRow:
    """Return one counter's row; first: of the counter that it is compared with, over the clips that both counted."""
    row: ComparisonRow = {
        "predictions": name,
        "n": len(pairs.clip),
        "n_missing": len(pairs.missing),
        "n_zero_truth": len(pairs.zero()),
    }
    for metric in (*WITH_INTERVALS, *WITHOUT_INTERVALS):
        terms = TERMS[metric](pairs.predicted, pairs.true)
        row[metric] = value(metric, terms)
        if metric in WITH_INTERVALS:
            interval = bootstrap_interval(metric, terms, resamples=options.resamples, seed=options.seed)
            row[f"{metric}_low"], row[f"{metric}_high"] = interval
    if pairs.cycles:
        scores = repetition_scores(pairs.agreement(), 0, options.seed)
        row["rep_F1@0.5"], row["border_error_s"] = scores["rep_F1@0.5"][0], scores["border_error_s"][0]
    if first is not None:
        row |= _tests(first, pairs, options)
    return {key: None if isinstance(cell, float) and np.isnan(cell) else cell for key, cell in row.items()}


def _tests(first: CountPairs, pairs: CountPairs, options: CountScoreOptions) -> ComparisonRow:
    """Return the change from the first counter, and whether it may be chance."""
    common = sorted(set(first.clip) & set(pairs.clip))
    if not common:
        return {}
    before, after = (one_side.where([one_side.clip.index(clip) for clip in common]) for one_side in (first, pairs))
    values: dict[str, Any] = {str(row["metric"]): row["value"] for row in compare_counts(after, before, options)}
    return {
        "MAE_change": values["MAE"],
        "MAE_p": values["MAE_p_bootstrap"],
        "OBO_gained": int(values["OBO_only_first"]),
        "OBO_lost": int(values["OBO_only_second"]),
        "OBO_p": values["OBO_p_mcnemar"],
    }


def _notes(pairs: dict[str, CountPairs], options: CountScoreOptions) -> list[str]:
    first = next(iter(pairs))
    notes = [
        f"changes are against '{first}', over the clips that both counted: MAE by a paired bootstrap, OBO by McNemar's "
        "exact test on the clips that only one got within 1",
    ]
    treated = "skipped" if options.missing == "skip" else "taken as 0"
    for name, pair in pairs.items():
        if pair.missing:
            notes.append(f"'{name}' has no prediction, {treated}: {clips_named(list(pair.missing))}")
    return notes
