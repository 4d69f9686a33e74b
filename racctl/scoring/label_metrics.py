"""How well labels agree with the truth: accuracy, macro-F1, macro ROC-AUC, top-3 accuracy, each class, intervals.

Items are windows, pieces of the timeline or clips, each with a weight (its frames, or 1). Macro means are over the
classes that occur in the truth: a class that is only ever predicted has no recall, and costs the others precision and
recall already. Intervals resample clips and not items, because the windows of one clip are far from independent.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from sklearn.metrics import accuracy_score, precision_recall_fscore_support, roc_auc_score

from racctl.contracts import UNKNOWN_LABEL
from racctl.scoring.count_metrics import MAX_INDICES_AT_ONCE, bootstrap_p, mcnemar_exact, percentiles

TOP = 3
BINS = 128, 1024  # of a class's probability, fewest and most, in an AUC's interval: at worst 1 / (2 bins) away
OVERALL = ("accuracy", "macro_f1", "macro_auc", f"top{TOP}_accuracy")
ANSWERED = ("coverage", "accuracy_answered")  # where predictions may be "unknown"
PER_CLASS = ("precision", "recall", "f1", "auc")


@dataclass(frozen=True, eq=False)
class Items:
    """What was predicted, beside the truth.

    classes: K names;
    true, predicted: (N,) int64 indices into them.
    clips: names;
    clip: (N,) int64 index into them.
    weight: (N,) float64 > 0.
    probs: (N, K) float64, or None where the predictions have none.
    """

    classes: list[str]
    clips: list[str]
    clip: np.ndarray
    true: np.ndarray
    predicted: np.ndarray
    weight: np.ndarray
    probs: np.ndarray | None = None

    @property
    def answered(self) -> np.ndarray:
        """(N,) bool: predicted to be something, and not "unknown"."""
        silent = [k for k, name in enumerate(self.classes) if name == UNKNOWN_LABEL]
        return ~np.isin(self.predicted, silent)

    @property
    def present(self) -> list[int]:
        """The classes that occur in the truth, in their order."""
        return sorted({int(k) for k in np.unique(self.true)})

    def where(self, chosen: np.ndarray) -> Items:
        """Return these items only, and only the clips that have any.

        chosen: (N,) bool.
        """
        left, clip = np.unique(self.clip[chosen], return_inverse=True)
        probs = None if self.probs is None else self.probs[chosen]
        return replace(
            self,
            clips=[self.clips[k] for k in left],
            clip=clip,
            true=self.true[chosen],
            predicted=self.predicted[chosen],
            weight=self.weight[chosen],
            probs=probs,
        )


def overall(items: Items) -> dict[str, float]:
    """Return each of OVERALL; NaN where it is undefined.

    The AUC with one class alone, the last two without probabilities.
    """
    top = _top(items)
    return {
        "accuracy": float(accuracy_score(items.true, items.predicted, sample_weight=items.weight)),
        "macro_f1": float(np.mean(list(_per_class_counts(items)["f1"].values()))),
        "macro_auc": _mean(list(aucs(items).values())),
        f"top{TOP}_accuracy": float("nan") if top is None else float(np.average(top, weights=items.weight)),
    }


def of_answered(items: Items) -> dict[str, float]:
    """Return each of ANSWERED: the share of the weight that is predicted to be something, and the accuracy of that.

    The accuracy is NaN where nothing is.
    """
    answered = items.answered
    right = items.weight[answered & (items.true == items.predicted)].sum()
    total = items.weight[answered].sum()
    return {
        "coverage": float(total / items.weight.sum()),
        "accuracy_answered": float(right / total) if total else float("nan"),
    }


def per_class(items: Items) -> dict[str, dict[int, float]]:
    """Return each of PER_CLASS: class index -> value, for the classes in the truth.

    A class that is never predicted has no precision (NaN), and an F1 of 0.
    """
    return {**_per_class_counts(items), "auc": aucs(items)}


def _per_class_counts(items: Items) -> dict[str, dict[int, float]]:
    present = items.present
    precision, recall, f1, _ = precision_recall_fscore_support(
        items.true, items.predicted, labels=present, sample_weight=items.weight, zero_division=np.nan
    )
    f1 = np.nan_to_num(f1)
    return {
        name: dict(zip(present, map(float, values), strict=True))
        for name, values in zip(PER_CLASS, (precision, recall, f1), strict=False)
    }


def aucs(items: Items) -> dict[int, float]:
    """Map each class in the truth to the area under its ROC curve against all others, by its probability.

    NaN without probabilities and where there is no other class.

    A class that the model does not know has probability 0 throughout, hence 0.5.
    """
    if items.probs is None or len(items.present) < 2:
        return dict.fromkeys(items.present, float("nan"))
    return {
        k: float(roc_auc_score(items.true == k, items.probs[:, k], sample_weight=items.weight)) for k in items.present
    }


def _top(items: Items) -> np.ndarray | None:
    """Return (N,) 1.0 where fewer than TOP other classes are at least as probable as the true one.

    Ties count against it.
    """
    if items.probs is None:
        return None
    true_probs = items.probs[np.arange(len(items.true)), items.true]
    return ((items.probs >= true_probs[:, None]).sum(1) <= TOP).astype(np.float64)


def _mean(values: list[float]) -> float:
    defined = [value for value in values if not np.isnan(value)]
    return float(np.mean(defined)) if defined else float("nan")


@dataclass(frozen=True, eq=False)
class Resampled:
    """Metrics of resampled clips.

    overall: metric -> (R,) values;
    per_class: metric -> class -> (R,); NaN where a resample leaves one undefined.

    A macro mean is over the classes in the truth of the resample.
    """

    overall: dict[str, np.ndarray]
    per_class: dict[str, dict[int, np.ndarray]]


def resample_clips(items: Items, resamples: int, seed: int) -> Resampled | None:
    """Return the metrics over `resamples` draws of the clips with replacement.

    None with fewer than 2 clips or no resamples.

    Equal clips and equal seeds draw the same clips, which is what makes two predictions comparable in pairs.
    """
    n = len(items.clips)
    if n < 2 or resamples < 1:
        return None
    sums, bins = _clip_sums(items), _bins(items)
    parts = []
    rng = np.random.default_rng(seed)
    block = max(1, MAX_INDICES_AT_ONCE // n)
    for begin in range(0, resamples, block):
        size = min(block, resamples - begin)
        drawn = rng.multinomial(n, np.full(n, 1 / n), size=size).astype(np.float64)  # (r, n) how often each clip
        parts.append(_of_draws(drawn, sums, bins, items))
    joined = {name: np.concatenate([part[0][name] for part in parts]) for name in parts[0][0]}
    classes = {name: np.concatenate([part[1][name] for part in parts]) for name in parts[0][1]}
    return Resampled(joined, {name: dict(zip(items.present, c.T, strict=True)) for name, c in classes.items()})


def _clip_sums(items: Items) -> dict[str, np.ndarray]:
    """Return the weight of each clip (n, K) over the K classes in the truth: hits, truth, predictions.

    And (n, 1) of all items and of those with the truth among the top ones.
    """
    right = items.true == items.predicted
    sums = {
        "hits": _by_clip(items, items.true, items.weight * right),
        "true": _by_clip(items, items.true, items.weight),
        "predicted": _by_clip(items, items.predicted, items.weight),
    }
    answered = items.weight * items.answered
    sums["answered"] = np.bincount(items.clip, answered, len(items.clips))[:, None]
    sums["answered right"] = np.bincount(items.clip, answered * right, len(items.clips))[:, None]
    top = _top(items)
    if top is not None:
        sums["top"] = np.bincount(items.clip, items.weight * top, len(items.clips))[:, None]
    return sums


def _by_clip(items: Items, label: np.ndarray, weight: np.ndarray) -> np.ndarray:
    n, classes = len(items.clips), len(items.classes)
    cells = np.bincount(items.clip * classes + label, weight, n * classes).reshape(n, classes)
    return cells[:, items.present]


def _bins(items: Items) -> list[np.ndarray] | None:
    """Return for each class in the truth the bin (N,) of every item's probability of it.

    Bins are about equally full. Equal probabilities share one, and few different ones have one each, so that nothing is
    lost.
    """
    if items.probs is None or len(items.present) < 2:
        return None
    most = int(np.clip(16 * MAX_INDICES_AT_ONCE // len(items.clips), *BINS))
    by_class = []
    for k in items.present:
        edges, bins = np.unique(items.probs[:, k], return_inverse=True)
        if len(edges) > most:
            edges = np.unique(np.quantile(items.probs[:, k], np.linspace(0, 1, most + 1), method="higher"))
            bins = np.searchsorted(edges, items.probs[:, k])
        by_class.append(bins)
    return by_class


def _aucs_of_draws(drawn: np.ndarray, bins: list[np.ndarray], items: Items) -> np.ndarray:
    """Return (r, K) AUC of each class in draws (r, n), from its histograms over the drawn clips.

    The chance that an item of the class is in a higher bin than another, half of it where they share one.

    NaN where a draw lacks either.
    """
    draws, n = drawn.astype(np.float32), len(items.clips)
    areas = np.empty((len(drawn), len(bins)))
    for column, (k, place) in enumerate(zip(items.present, bins, strict=True)):
        wide = int(place.max()) + 1
        positives, negatives = (
            draws @ np.bincount(items.clip * wide + place, items.weight * side, n * wide).reshape(n, wide).astype("f4")
            for side in (items.true == k, items.true != k)
        )
        below = np.cumsum(negatives, 1, dtype=np.float64) - negatives / 2
        with np.errstate(invalid="ignore"):
            areas[:, column] = (positives * below).sum(1) / (
                positives.sum(1, dtype=np.float64) * negatives.sum(1, dtype=np.float64)
            )
    return areas


def _of_draws(
    drawn: np.ndarray, sums: dict[str, np.ndarray], bins: list[np.ndarray] | None, items: Items
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the metrics of draws (r, n): overall, (r,) each, and per class, (r, K) each."""
    totals = {name: drawn @ table for name, table in sums.items()}
    hits, true, predicted = totals["hits"], totals["true"], totals["predicted"]
    total, occurs = true.sum(1), true > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        f1 = np.where(occurs, 2 * hits / (true + predicted), np.nan)
        classes = {"precision": np.where(occurs, hits / predicted, np.nan), "recall": hits / true, "f1": f1}
    classes["auc"] = np.full(true.shape, np.nan) if bins is None else _aucs_of_draws(drawn, bins, items)
    top = totals["top"][:, 0] / total if "top" in totals else np.full(len(drawn), np.nan)
    answered = totals["answered"][:, 0]
    with np.errstate(invalid="ignore", divide="ignore"):
        accuracy_answered = totals["answered right"][:, 0] / answered
    return {
        "coverage": answered / total,
        "accuracy_answered": accuracy_answered,
        "accuracy": hits.sum(1) / total,
        "macro_f1": _row_means(f1),
        "macro_auc": _row_means(classes["auc"]),
        f"top{TOP}_accuracy": top,
    }, classes


def _row_means(values: np.ndarray) -> np.ndarray:
    """Return (r,) means of (r, K) without NaN; NaN where a row has nothing else."""
    defined = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(defined, values, 0).sum(1) / defined.sum(1)


def interval(values: np.ndarray | None) -> tuple[float, float]:
    """Return the 95 % percentile interval of resampled values; (NaN, NaN) without any."""
    return percentiles(values) if values is not None else (float("nan"), float("nan"))


def clips_with(items: Items, k: int) -> int:
    """Return in how many clips the truth has class k: with fewer than two, resampling clips cannot vary it."""
    return len(np.unique(items.clip[items.true == k]))


@dataclass(frozen=True)
class Compared:
    """One metric of the first prediction minus that of the second: value, 95 % interval, two-sided p-value."""

    value: float
    low: float
    high: float
    p: float


def compare_labels(
    first: Items, second: Items, drawn: tuple[Resampled | None, Resampled | None]
) -> dict[str, Compared]:
    """Return each of OVERALL: the difference over the same clips.

    drawn: both resampled with the same seed, so that every resample has the same clips for both.
    """
    values = overall(first), overall(second)
    compared = {}
    for metric in OVERALL:
        differences = None
        if drawn[0] is not None and drawn[1] is not None:
            differences = drawn[0].overall[metric] - drawn[1].overall[metric]
        p = float("nan") if differences is None else bootstrap_p(differences)
        compared[metric] = Compared(values[0][metric] - values[1][metric], *interval(differences), p)
    return compared


def better_clips(first: Items, second: Items) -> tuple[int, int, float]:
    """Compare two predictions clip by clip.

    Returns the clips of which the first got a larger share of the weight right than the second, the clips where it is
    the other way round, and the exact two-sided p of the sign test on them.

    Items that are clips make it McNemar's exact test; on windows that test would take dependent ones for independent.
    """
    shares = [_share_right(items) for items in (first, second)]
    ahead, behind = shares[0] > shares[1] + 1e-12, shares[1] > shares[0] + 1e-12
    return mcnemar_exact(ahead, behind)


def _share_right(items: Items) -> np.ndarray:
    right = np.bincount(items.clip, items.weight * (items.true == items.predicted), len(items.clips))
    return right / np.bincount(items.clip, items.weight, len(items.clips))
