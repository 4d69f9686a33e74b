"""Predicted counts against the truth: every metric with its interval, what was left out and why, two counters compared.

Clips are matched by name without folder and media suffix. A clip that is on one side only, that is there twice, or
whose count is missing is an error: nothing is dropped in silence, for published numbers differ by just that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from racctl import __version__
from racctl.contracts import Meta, step
from racctl.data.clips import ClipTruth, as_cycles, quoted
from racctl.data.known_bad import KNOWN_BAD
from racctl.data.predictions import Predictions, read_predictions
from racctl.data.truth import read_truth
from racctl.errors import DataError, UsageError
from racctl.io.parquet import table_from_rows
from racctl.io.spool import display_name
from racctl.scoring.borders import Agreement, agreement, repetition_scores
from racctl.scoring.count_metrics import (
    MAX_COUNT,
    TERMS,
    bootstrap_interval,
    mcnemar_exact,
    paired_bootstrap,
    round_half_up,
    value,
)

ScoreRow = dict[str, str | int | float | None]

ROUNDED = "predictions rounded half up to whole repetitions, once, before every metric"
MISSING = ("error", "skip", "zero")  # what to do about clips without a prediction
RAW = "none; OBO is |p - g| <= 1 and OBZ is p = g of the unrounded prediction"


@dataclass(frozen=True)
class CountScoreOptions:
    """How counts are scored.

    per_class: rows per exercise label too.
    rounding: round predictions before every metric. exclude_known_bad: leave out the clips of `racctl.data.known_bad`.
    missing: of a clip without a prediction: "error", "skip" it, or take it as "zero".
    resamples, seed: of the bootstrap; 0 resamples, no intervals.
    """

    per_class: bool = False
    rounding: bool = True
    exclude_known_bad: bool = False
    resamples: int = 2000
    seed: int = 0
    missing: str = "error"

    def __post_init__(self) -> None:
        if self.missing not in MISSING:
            raise UsageError(f"invalid value '{self.missing}' for '--missing'; expected one of {', '.join(MISSING)}")


@dataclass(frozen=True, eq=False)
class CountPairs:
    """Predictions beside the truth, clips sorted by name, so that no file's order can move an interval.

    clip: n names.
    label: n labels, "" where unknown.
    predicted, true: (n,) float64 repetitions.
    missing: clips without a prediction, which were skipped or are taken as 0.
    cycles: of each clip the true and the predicted repetitions, (R, 2) frames each, and frames/s; () where not all
        clips have them on both sides.
    """

    clip: list[str]
    label: list[str]
    predicted: np.ndarray
    true: np.ndarray
    missing: tuple[str, ...] = ()
    cycles: tuple[tuple[np.ndarray, np.ndarray, float | None], ...] = ()

    def where(self, chosen: list[int]) -> CountPairs:
        """Return the pairs of these clips only."""
        names, labels = [self.clip[i] for i in chosen], [self.label[i] for i in chosen]
        cycles = tuple(self.cycles[i] for i in chosen) if self.cycles else ()
        return CountPairs(names, labels, self.predicted[chosen], self.true[chosen], cycles=cycles)

    def agreement(self) -> Agreement:
        """Return how the repetitions agree in time, of pairs with `cycles`."""
        true, predicted, fps = (list(column) for column in zip(*self.cycles, strict=True))
        return agreement(true, predicted, fps)

    def zero(self) -> list[str]:
        """Return the clips with a true count of 0, which MAE cannot use."""
        return [clip for clip, true in zip(self.clip, self.true, strict=True) if true == 0]


@dataclass(frozen=True)
class Scores:
    """A table of metrics and what is to be said about it.

    rows: of racctl.scores/1.
    notes: what a person should know, a line each.
    meta: the same for a program.
    """

    rows: list[ScoreRow]
    notes: list[str]
    meta: Meta = field(default_factory=dict)

    def table(self) -> pa.Table:
        """Return the rows as a racctl.scores/1 table."""
        return table_from_rows("racctl.scores/1", self.rows, self.meta)


def score_files(truth: str, sources: list[str], against: str = "", options: CountScoreOptions | None = None) -> Scores:
    """Score the prediction files `sources`, taken as one table, and the file `against` if there is one."""
    check_streams(truth, sources, against)
    predictions = read_predictions(sources)
    return score_counts(truth, predictions, read_predictions([against]) if against else None, options)


def check_streams(truth: str, sources: list[str], against: str) -> None:
    """Raise UsageError when more than one of these is stdin."""
    if [truth, *sources, against].count("-") > 1:
        raise UsageError("stdin ('-') can be only one of the truth, the predictions and '--against'")


def refuse_options(kind: str, options: dict[str, object]) -> None:
    """Raise UsageError for an option that does not apply to predictions of this kind."""
    for option, setting in options.items():
        if setting:
            other_kind = "labels" if kind == "counts" else "counts"
            raise UsageError(f"'{option}' is for {other_kind}, and the predictions are {kind}; leave it out")


def score_counts(
    truth: str, predictions: Predictions, against: Predictions | None = None, options: CountScoreOptions | None = None
) -> Scores:
    """Score predicted counts against the truth file; with `against` also those, and the two compared.

    Groups: "all", the labels, "against", "difference" (first minus second).
    """
    options = options or CountScoreOptions()
    clips = read_truth(truth)
    reasons = KNOWN_BAD if options.exclude_known_bad else {}
    excluded = {clip.clip: reasons[clip.clip] for clip in clips if clip.clip in reasons}
    scored = [clip for clip in clips if clip.clip not in excluded]

    def paired(predicted: Predictions) -> CountPairs:
        if predicted.counts is None:
            raise DataError(f"{source_names(predicted.sources)} holds labels, expected counts; run 'racctl count'")
        counts = [clip for clip in predicted.counts if clip.clip not in excluded]
        return pair_counts(
            scored,
            counts,
            options.rounding,
            f"'{display_name(truth)}'",
            source_names(predicted.sources),
            options.missing,
        )

    pairs = paired(predictions)
    rows = score_pairs(pairs, options)
    notes = _notes(display_name(truth), clips, pairs, excluded, options)
    if against:
        second = paired(against)
        compared = compare_counts(pairs, second, options)
        rows += _group(second, "against", options) + compared
        notes.append(_verdict(compared, source_names(predictions.sources), source_names(against.sources)))
    return Scores(rows, notes, _meta(truth, clips, pairs, excluded, predictions.steps, options))


def pair_counts(
    truth: list[ClipTruth],
    predictions: list[ClipTruth],
    rounding: bool,
    truth_name: str = "the truth",
    name: str = "the predictions",
    missing: str = "error",
) -> CountPairs:
    """Match predictions with the truth by clip, the predicted counts rounded half up if `rounding`.

    missing: see `CountScoreOptions`.

    Raises DataError for clips on one side only, repeated or without a count; with rounding also for true counts that
    are not whole. `truth_name` and `name` are how messages call the two.
    """
    true = _by_clip(truth, truth_name, "keep one row for each")
    predicted = _by_clip(predictions, name, "keep one count (one person) for each")
    lacking = tuple(sorted(true.keys() - predicted.keys())) if missing != "error" else ()
    if missing == "zero":
        predicted |= {clip: ClipTruth(clip, 0.0, cycles=as_cycles([])) for clip in lacking}
    elif lacking:
        true = {clip: row for clip, row in true.items() if clip in predicted}
    same_clips(true, predicted, truth_name, name)
    names = sorted(true)
    bad_truth = "take them out of the table; '--exclude-known-bad' does so with clips that are known for it"
    _sound(true, names, np.isfinite, f"{truth_name} has no count", bad_truth)
    _sound(true, names, lambda count: count >= 0, f"{truth_name} has a count below 0", bad_truth)
    _sound(predicted, names, np.isfinite, f"{name} has no finite count", "count them again")
    for by_clip, where in ((true, truth_name), (predicted, name)):
        _sound(
            by_clip,
            names,
            lambda count: abs(count) <= MAX_COUNT,
            f"{where} has a count beyond {MAX_COUNT:.0e}",
            "correct it",
        )
    if rounding:
        _sound(true, names, float.is_integer, f"{truth_name} has no whole count", "use '--no-round' if that is meant")
    counts = np.array([predicted[clip].count for clip in names], np.float64)
    return CountPairs(
        clip=names,
        label=[true[clip].label for clip in names],
        predicted=round_half_up(counts) if rounding else counts,
        true=np.array([true[clip].count for clip in names], np.float64),
        missing=lacking,
        cycles=_cycles_of([(true[clip], predicted[clip]) for clip in names]),
    )


def _cycles_of(rows: list[tuple[ClipTruth, ClipTruth]]) -> tuple[tuple[np.ndarray, np.ndarray, float | None], ...]:
    """Return the repetitions on both sides, () unless both mark those of every clip, but for clips with none."""
    if any(all(row[side].cycles is None for row in rows) for side in (0, 1)):
        return ()
    cycles = []
    for true, predicted in rows:
        marked = [as_cycles([]) if row.cycles is None and row.count == 0 else row.cycles for row in (true, predicted)]
        if marked[0] is None or marked[1] is None:
            return ()
        cycles.append((marked[0], marked[1], predicted.fps or true.fps))
    return tuple(cycles)


def _by_clip(clips: list[ClipTruth], where: str, way_out: str) -> dict[str, ClipTruth]:
    if not clips:
        raise DataError(f"{where} has no clips to score")
    by_clip: dict[str, ClipTruth] = {}
    repeated: dict[str, str] = {}
    for clip in clips:
        first = by_clip.setdefault(clip.clip, clip)
        if first is not clip:
            repeated[clip.clip] = f"'{first.name}', count {first.count:g}, and '{clip.name}', count {clip.count:g}"
    if repeated:
        example = next(iter(repeated.values()))
        raise DataError(f"{where} names {clips_named(repeated)} more than once (the first: {example}); {way_out}")
    return by_clip


def same_clips(true: Iterable[str], predicted: Iterable[str], truth_name: str, name: str) -> None:
    """Raise DataError when clips are only in the truth, or only in the predictions.

    The names are how messages call them.
    """
    true, predicted = set(true), set(predicted)
    missing, extra = sorted(true - predicted), sorted(predicted - true)
    differences = []
    if missing:
        differences.append(f"lacks {clips_named(missing)} of the {len(true)} in {truth_name}")
    if extra:
        differences.append(f"has {clips_named(extra)} that {truth_name} lacks")
    if differences:
        raise DataError(
            f"{name} {', and '.join(differences)}; predictions must be about all clips of the truth and no others"
        )


def _sound(
    clips: dict[str, ClipTruth], names: list[str], sound: Callable[[float], bool], what: str, way_out: str
) -> None:
    bad = [name for name in names if not sound(clips[name].count)]
    if bad:
        raise DataError(f"{what} for {clips_named(bad)}; {way_out}")


def score_pairs(pairs: CountPairs, options: CountScoreOptions) -> list[ScoreRow]:
    """Return the rows of racctl.scores/1: each metric over all clips, then per label with `options.per_class`."""
    rows = _group(pairs, "all", options)
    if not options.per_class:
        return rows
    if not any(pairs.label):
        raise UsageError("the truth has no exercise labels; leave '--per-class' out")
    for label in sorted(set(pairs.label)):
        chosen = [i for i, clip_label in enumerate(pairs.label) if clip_label == label]
        rows += _group(pairs.where(chosen), label or "(no label)", options)
    return rows


def _group(pairs: CountPairs, group: str, options: CountScoreOptions) -> list[ScoreRow]:
    rows = []
    for metric, per_clip in TERMS.items():
        terms = per_clip(pairs.predicted, pairs.true)
        low, high = bootstrap_interval(metric, terms, resamples=options.resamples, seed=options.seed)
        rows.append(metric_row(metric, value(metric, terms), low, high, int((~np.isnan(terms)).sum()), group))
    rows.append(metric_row("n_zero_truth", len(pairs.zero()), np.nan, np.nan, len(pairs.clip), group))
    return rows + _of_repetitions(pairs, group, options)


def _of_repetitions(pairs: CountPairs, group: str, options: CountScoreOptions) -> list[ScoreRow]:
    """Return the rows of where the repetitions are, [] where that is not known."""
    if not pairs.cycles:
        return []
    scores = repetition_scores(pairs.agreement(), options.resamples, options.seed)
    return [metric_row(name, *cell, len(pairs.clip), group) for name, cell in scores.items()]


def compare_counts(first: CountPairs, second: CountPairs, options: CountScoreOptions) -> list[ScoreRow]:
    """Return the rows of the group "difference", first minus second over the same clips.

    Every metric with its paired-bootstrap interval, the p-value of the MAE's, and McNemar's exact test on OBO with the
    clips that only one got within 1.
    """
    if first.clip != second.clip:
        raise DataError("two predictions can only be compared on the same clips")
    rows = []
    for metric, per_clip in TERMS.items():
        terms = per_clip(first.predicted, first.true), per_clip(second.predicted, second.true)
        difference = paired_bootstrap(metric, *terms, resamples=options.resamples, seed=options.seed)
        rows.append(metric_row(metric, difference.value, difference.low, difference.high, difference.n, "difference"))
        tests = {}
        if metric == "MAE":
            tests = {"MAE_p_bootstrap": difference.p}
        if metric == "OBO":
            only_first, only_second, p = mcnemar_exact(*terms)
            tests = {"OBO_only_first": only_first, "OBO_only_second": only_second, "OBO_p_mcnemar": p}
        rows += [metric_row(name, number, np.nan, np.nan, difference.n, "difference") for name, number in tests.items()]
    return rows


def metric_row(metric: str, number: float, low: float, high: float, n: int, group: str) -> ScoreRow:
    """Return one row; what is undefined becomes null, which CSV and JSON can say too."""
    numbers = {"value": float(number), "low": low, "high": high}
    return {"metric": metric, **{k: None if np.isnan(v) else v for k, v in numbers.items()}, "n": n, "group": group}


def _notes(
    truth: str, clips: list[ClipTruth], pairs: CountPairs, excluded: Meta, options: CountScoreOptions
) -> list[str]:
    zero = clips_named(pairs.zero()) if pairs.zero() else "none"
    notes = [
        f"truth: '{truth}' ({_variants(clips)}), its counts as given",
        f"clips scored: {len(pairs.clip)}; left out of MAE alone for a true count of 0: {zero}",
        f"rounding: {ROUNDED if options.rounding else RAW}",
    ]
    if pairs.missing:
        treated = "skipped" if options.missing == "skip" else "taken as 0"
        notes.append(f"without a prediction, {treated}: {clips_named(list(pairs.missing))}")
    if options.resamples:
        how = f"percentile bootstrap over clips, {options.resamples} resamples, seed {options.seed}"
        notes.append(f"intervals: 95 %, {how}")
    if options.exclude_known_bad:
        notes.append(f"excluded as known to be wrong: {len(excluded) or 'none'}")
        notes += [f"  {clip}: {reason}" for clip, reason in sorted(excluded.items())]
    doubtful = [
        f"'{c.clip}' ({', '.join(map(str, c.problems))})" for c in clips if c.problems and c.clip not in excluded
    ]
    if doubtful:
        more = f" and {len(doubtful) - 3} more" if len(doubtful) > 3 else ""
        notes.append(f"odd in the truth, scored all the same: {', '.join(doubtful[:3])}{more}")
    return notes


def _verdict(compared: list[ScoreRow], first: str, second: str) -> str:
    values = {row["metric"]: row["value"] for row in compared}
    mae = "undefined" if values["MAE"] is None else f"{values['MAE']:+.3f}"
    p = "" if values["MAE_p_bootstrap"] is None else f" (p {values['MAE_p_bootstrap']:.3g})"
    return f"{first} minus {second}: MAE {mae}{p}, OBO {values['OBO']:+.3f} (p {values['OBO_p_mcnemar']:.3g})"


def _meta(
    truth: str, clips: list[ClipTruth], pairs: CountPairs, excluded: Meta, steps: list[Meta], options: CountScoreOptions
) -> Meta:
    entry = step(
        "score",
        __version__,
        per_class=options.per_class,
        rounding=options.rounding,
        exclude_known_bad=options.exclude_known_bad,
        missing=options.missing,
        resamples=options.resamples,
        seed=options.seed,
    )
    return {
        "truth": {"name": Path(display_name(truth)).name, "variant": _variants(clips)},
        "rounding": ROUNDED if options.rounding else RAW,
        "n": len(pairs.clip),
        "n_zero_truth": len(pairs.zero()),
        "missing": list(pairs.missing),
        "excluded": excluded,
        "steps": [*steps, entry],
    }


def _variants(clips: list[ClipTruth]) -> str:
    return ", ".join(sorted({clip.variant for clip in clips}))


def source_names(sources: list[str]) -> str:
    """Return how messages call several files: 'a' and 2 more."""
    return quoted([display_name(source) for source in sources], 1)


def clips_named(names: list[str] | dict[str, str]) -> str:
    """Name clips in a message: "1 clip ('a')", "7 clips ('a', 'b', 'c' and 4 more)"."""
    return f"{len(names)} {'clip' if len(names) == 1 else 'clips'} ({quoted(sorted(names))})"
