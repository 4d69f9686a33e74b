"""How well counts agree with the truth: MAE, RMSE, OBO and OBZ, their uncertainty, and tests between two counters.

`predicted` and `true` are (n,) repetition counts of the same n clips, in the same order, finite, true >= 0. Nothing
here rounds by itself: `round_half_up` once, before every metric, is what published tables mean by a count. Equations
are those of the D2-STX supplement. All functions raise DataError for arrays that do not fit this description.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from racctl.errors import DataError

CONFIDENCE_LEVEL = 0.95  # of every interval
MAX_COUNT = 1e12  # repetitions; nobody does as many, and their square is still a number
MAX_INDICES_AT_ONCE = 4 << 20  # resampled indices held at once; bounds the memory of a bootstrap over many clips


def round_half_up(count: np.ndarray | float) -> np.ndarray:
    """Round to whole repetitions, ties up: 8.5 -> 9.

    (numpy and torch round ties to even, so 8.5 -> 8 but 9.5 -> 10.)
    """
    count = np.asarray(count, np.float64)
    whole = np.floor(count)
    return whole + (count - whole >= 0.5)  # floor(count + 0.5) would make 1 of the largest double below 0.5


def relative_error(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Return (n,) |p - g| / g; NaN where g is 0, for Eq. 16 is undefined there."""
    predicted, true = _checked(predicted, true)
    return np.where(true > 0, np.abs(predicted - true) / np.where(true > 0, true, 1.0), np.nan)


def smoothed_relative_error(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Return (n,) |p - g| / (g + 0.1): what TransRAC, ESCounts, RACnet and the released D2-STX code call MAE."""
    predicted, true = _checked(predicted, true)
    return np.abs(predicted - true) / (true + 0.1)


def squared_error(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Return (n,) (p - g)^2, repetitions squared."""
    predicted, true = _checked(predicted, true)
    return (predicted - true) ** 2


def within_one(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Return (n,) 1.0 where |p - g| <= 1, else 0.0."""
    predicted, true = _checked(predicted, true)
    return (np.abs(predicted - true) <= 1).astype(np.float64)


def exact(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Return (n,) 1.0 where |p - g| = 0, else 0.0."""
    predicted, true = _checked(predicted, true)
    return (predicted == true).astype(np.float64)


TERMS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "MAE": relative_error,
    "MAE@0.1": smoothed_relative_error,
    "RMSE": squared_error,
    "OBO": within_one,
    "OBZ": exact,
}  # the per-clip terms of each metric; a metric is their mean over the clips that have one (RMSE: the root of it)


def mae(predicted: np.ndarray, true: np.ndarray) -> float:
    """Return the mean absolute error relative to the true count, Eq. 16.

    Clips with a true count of 0 are left out; NaN when no other clip is left.
    """
    return value("MAE", relative_error(predicted, true))


def mae_eps(predicted: np.ndarray, true: np.ndarray) -> float:
    """Return the MAE variant with 0.1 added to the denominator; defined, and harsh, at a true count of 0."""
    return value("MAE@0.1", smoothed_relative_error(predicted, true))


def rmse(predicted: np.ndarray, true: np.ndarray) -> float:
    """Return the root mean square error in repetitions, Eq. 18."""
    return value("RMSE", squared_error(predicted, true))


def obo(predicted: np.ndarray, true: np.ndarray) -> float:
    """Return the off-by-one accuracy, Eq. 17: the share of clips with |p - g| <= 1."""
    return value("OBO", within_one(predicted, true))


def obz(predicted: np.ndarray, true: np.ndarray) -> float:
    """Return the off-by-zero accuracy, Eq. 19: the share of clips with |p - g| = 0."""
    return value("OBZ", exact(predicted, true))


def value(metric: str, terms: np.ndarray) -> float:
    """Return the metric from its per-clip `terms` (n,); NaN when no clip has one."""
    defined = terms[~np.isnan(terms)]
    return float(_finish(metric, defined.mean())) if len(defined) else float("nan")


def bootstrap_interval(metric: str, terms: np.ndarray, *, resamples: int, seed: int) -> tuple[float, float]:
    """Return the 95 % percentile interval of a metric, from `resamples` draws of its clips with replacement.

    terms: (n,) per-clip terms, NaN ones are left out.

    Needs 2 clips and 1 resample, else (NaN, NaN). The order of the clips and `seed` settle the result.
    """
    defined = terms[~np.isnan(terms)]
    if len(defined) < 2 or resamples < 1:
        return float("nan"), float("nan")
    return percentiles(_finish(metric, resampled_means(defined[None], resamples, seed)[0]))


@dataclass(frozen=True)
class Difference:
    """A metric of the first counter minus that of the second: value, 95 % interval, two-sided p-value, clips used."""

    value: float
    low: float
    high: float
    p: float
    n: int


def paired_bootstrap(metric: str, first: np.ndarray, second: np.ndarray, *, resamples: int, seed: int) -> Difference:
    """Compare two counters on the same clips: every resample draws clips, and takes both counters' terms of each.

    first, second: (n,) terms of one metric, in the same order of clips.

    The p-value is `bootstrap_p`'s. Interval and p are NaN with fewer than 2 clips or without resamples.
    """
    if first.shape != second.shape or first.ndim != 1:
        raise DataError(f"cannot pair terms of shapes {first.shape} and {second.shape}; both must be (n,)")
    both = np.stack([first, second])
    both = both[:, ~np.isnan(both).any(0)]
    n = both.shape[1]
    observed = value(metric, both[0]) - value(metric, both[1])
    if n < 2 or resamples < 1:
        return Difference(observed, float("nan"), float("nan"), float("nan"), n)
    means = _finish(metric, resampled_means(both, resamples, seed))
    differences = means[0] - means[1]
    low, high = percentiles(differences)
    return Difference(observed, low, high, bootstrap_p(differences), n)


def bootstrap_p(differences: np.ndarray) -> float:
    """Return the two-sided p-value of a difference from its (R,) resampled values.

    Twice the smaller share on either side of 0, counting the observed one (Davison and Hinkley 1997, 4.2), so it is
    never 0.

    NaN without resamples; NaN ones are left out.
    """
    defined = differences[~np.isnan(differences)]
    if not len(defined):
        return float("nan")
    side = min(int((defined <= 0).sum()), int((defined >= 0).sum()))
    return min(1.0, 2 * (side + 1) / (len(defined) + 1))


def resampled_means(terms: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Return (K, resamples) means of K rows of terms (K, n) over clips drawn with replacement.

    The draws are the same for each row.
    """
    rng = np.random.default_rng(seed)
    k, n = terms.shape
    means = np.empty((k, resamples))
    step = max(1, MAX_INDICES_AT_ONCE // n)
    for start in range(0, resamples, step):
        stop = min(start + step, resamples)
        drawn = rng.integers(n, size=(stop - start, n))
        means[:, start:stop] = [row[drawn].mean(1) for row in terms]
    return means


def mcnemar_exact(first: np.ndarray, second: np.ndarray) -> tuple[int, int, float]:
    """Return McNemar's exact test on two counters' hits: clips only the first got right, only the second, two-sided p.

    first, second: (n,) true or 1.0 where that counter is right.

    Under the null hypothesis the discordant clips fall on either side like a fair coin's tosses; p is exact (integer
    arithmetic) and 1 without discordant clips.
    """
    first, second = np.asarray(first, bool), np.asarray(second, bool)
    if first.shape != second.shape or first.ndim != 1:
        raise DataError(f"cannot pair hits of shapes {first.shape} and {second.shape}; both must be (n,)")
    only_first, only_second = int((first & ~second).sum()), int((~first & second).sum())
    tosses = only_first + only_second
    tail = term = 1
    for i in range(min(only_first, only_second)):
        term = term * (tosses - i) // (i + 1)  # the next binomial coefficient
        tail += term
    return only_first, only_second, min(1.0, 2 * tail / 2**tosses)


def _finish(metric: str, means: np.ndarray) -> np.ndarray:
    return np.sqrt(means) if metric == "RMSE" else means


def percentiles(values: np.ndarray) -> tuple[float, float]:
    """Return the 95 % interval of (R,) resampled values; NaN ones are left out, (NaN, NaN) when nothing remains."""
    defined = values[~np.isnan(values)]
    if not len(defined):
        return float("nan"), float("nan")
    low, high = np.quantile(defined, [(1 - CONFIDENCE_LEVEL) / 2, (1 + CONFIDENCE_LEVEL) / 2])
    return float(low), float(high)


def _checked(predicted: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    predicted, true = np.asarray(predicted, np.float64), np.asarray(true, np.float64)
    if predicted.shape != true.shape or predicted.ndim != 1:
        raise DataError(f"predicted and true counts have shapes {predicted.shape} and {true.shape}; both must be (n,)")
    if not len(true):
        raise DataError("there are no clips to score")
    if not (np.isfinite(predicted).all() and np.isfinite(true).all()):
        raise DataError("a predicted or true count is not a finite number; count those clips again or take them out")
    if max(np.abs(predicted).max(), true.max()) > MAX_COUNT:
        raise DataError(f"a predicted or true count is beyond {MAX_COUNT:.0e}; count that clip again or take it out")
    if (true < 0).any():
        raise DataError("a true count is below 0")
    return predicted, true
