"""The metrics by hand, their properties, the bootstrap's coverage, and McNemar against scipy."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from racctl.errors import DataError
from racctl.scoring import count_metrics as metrics
from racctl.scoring.count_metrics import (
    TERMS,
    bootstrap_interval,
    mae,
    mae_eps,
    mcnemar_exact,
    obo,
    obz,
    paired_bootstrap,
    relative_error,
    rmse,
    round_half_up,
    squared_error,
    value,
    within_one,
)

TRUE = np.array([2.0, 5.0, 0.0, 10.0])
PREDICTED = np.array([2.0, 6.0, 1.0, 5.0])

counts = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=30
).map(lambda pairs: np.array(pairs, float).T)  # fmt: skip


def test_golden_values():
    assert mae(PREDICTED, TRUE) == pytest.approx((0 + 1 / 5 + 5 / 10) / 3)  # the zero-truth clip is not in it
    assert mae_eps(PREDICTED, TRUE) == pytest.approx((0 + 1 / 5.1 + 1 / 0.1 + 5 / 10.1) / 4)
    assert rmse(PREDICTED, TRUE) == pytest.approx(math.sqrt((0 + 1 + 1 + 25) / 4))
    assert obo(PREDICTED, TRUE) == 3 / 4
    assert obz(PREDICTED, TRUE) == 1 / 4


def test_mae_is_undefined_when_every_true_count_is_0():
    assert math.isnan(mae(np.array([1.0]), np.array([0.0])))
    assert obo(np.array([1.0]), np.array([0.0])) == 1


def test_ties_round_up_not_to_even():
    counts = np.array([0.5, 1.5, 2.5, 8.5, 0.49999999999999994, 2.4999, 7.0, -0.2])
    assert round_half_up(counts).tolist() == [1, 2, 3, 9, 0, 2, 7, 0]


@pytest.mark.parametrize(
    ("predicted", "true", "message"),
    [
        ([1.0, 2.0], [1.0], "shapes"),
        ([[1.0]], [[1.0]], "shapes"),
        ([], [], "no clips"),
        ([math.nan], [1.0], "not a finite number"),
        ([1.0], [math.inf], "not a finite number"),
        ([1.0], [-1.0], "below 0"),
        ([1e308], [1.0], "beyond"),
        ([-1e308], [1.0], "beyond"),
        ([1.0], [1e308], "beyond"),
    ],
)
@pytest.mark.parametrize("metric", [mae, mae_eps, rmse, obo, obz])
def test_unsound_counts_are_refused(metric, predicted, true, message):
    with pytest.raises(DataError, match=message):
        metric(np.array(predicted), np.array(true))


@given(counts)
def test_exact_is_harder_than_within_one(pair):
    assert 0 <= obz(*pair) <= obo(*pair) <= 1


@given(counts, st.randoms())
def test_the_order_of_clips_does_not_matter(pair, random):
    shuffled = list(range(pair.shape[1]))
    random.shuffle(shuffled)
    for metric in (mae, mae_eps, rmse, obo, obz):
        assert metric(*pair[:, shuffled]) == pytest.approx(metric(*pair), nan_ok=True)


@given(counts)
def test_the_eps_variant_is_kinder_wherever_both_are_defined(pair):
    predicted, true = pair[:, pair[1] > 0]
    if len(true):
        assert mae_eps(predicted, true) <= mae(predicted, true)


@given(counts)
def test_a_perfect_counter_is_perfect(pair):
    assert (mae_eps(pair[1], pair[1]), rmse(pair[1], pair[1]), obo(pair[1], pair[1]), obz(pair[1], pair[1])) == (
        0,
        0,
        1,
        1,
    )


@settings(max_examples=20)
@given(counts, st.integers(0, 9))
def test_an_interval_repeats_with_its_seed_and_is_ordered(pair, seed):
    for metric, per_clip in TERMS.items():
        terms = per_clip(*pair)
        low, high = bootstrap_interval(metric, terms, resamples=200, seed=seed)
        again = bootstrap_interval(metric, terms, resamples=200, seed=seed)
        assert (low, high) == pytest.approx(again, nan_ok=True)
        defined = terms[~np.isnan(terms)]
        assert math.isnan(low) if len(defined) < 2 else low <= high


def test_no_interval_from_one_clip_or_without_resamples():
    assert all(math.isnan(x) for x in bootstrap_interval("OBO", np.array([1.0]), resamples=100, seed=0))
    assert all(math.isnan(x) for x in bootstrap_interval("OBO", np.array([1.0, 0.0]), resamples=0, seed=0))
    assert math.isnan(paired_bootstrap("OBO", np.ones(2), np.ones(2), resamples=0, seed=0).p)


def test_memory_blocks_do_not_change_an_interval(monkeypatch):
    terms = squared_error(np.arange(50.0), np.ones(50))
    whole = bootstrap_interval("RMSE", terms, resamples=300, seed=3)
    monkeypatch.setattr(metrics, "MAX_INDICES_AT_ONCE", 170)
    assert bootstrap_interval("RMSE", terms, resamples=300, seed=3) == whole


def test_the_interval_is_the_percentiles_of_resampled_metrics():
    terms = squared_error(np.array([1.0, 5.0, 9.0]), np.zeros(3))
    drawn = np.random.default_rng(7).integers(3, size=(400, 3))
    by_hand = np.quantile(np.sqrt(terms[drawn].mean(1)), [0.025, 0.975])
    assert bootstrap_interval("RMSE", terms, resamples=400, seed=7) == pytest.approx(by_hand)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(0)
    covered = {"OBO": 0, "MAE": 0, "RMSE": 0}
    trials = 200
    for trial in range(trials):
        true = np.full(120, 10.0)
        predicted = true + rng.normal(0, 2, 120)
        ideal = {"OBO": math.erf(1 / (2 * math.sqrt(2))), "MAE": 0.2 * math.sqrt(2 / math.pi), "RMSE": 2.0}
        for metric in covered:
            low, high = bootstrap_interval(metric, TERMS[metric](predicted, true), resamples=300, seed=trial)
            covered[metric] += low <= ideal[metric] <= high
    assert all(0.88 <= hits / trials <= 0.99 for hits in covered.values()), covered


def test_a_counter_does_not_differ_from_itself():
    terms = relative_error(PREDICTED, TRUE)
    result = paired_bootstrap("MAE", terms, terms, resamples=200, seed=0)
    assert (result.value, result.low, result.high, result.p, result.n) == (0, 0, 0, 1, 3)


def test_pairing_finds_a_difference_that_separate_intervals_hide():
    rng = np.random.default_rng(1)
    hard = rng.gamma(1, 1, 80)  # some clips are hard for both
    first, second = hard + rng.normal(0.05, 0.02, 80), hard
    result = paired_bootstrap("MAE", first, second, resamples=999, seed=0)
    assert 0 < result.low < result.value < result.high
    assert result.p == pytest.approx(2 / 1000)  # no resample crossed 0
    apart = [bootstrap_interval("MAE", terms, resamples=999, seed=0) for terms in (first, second)]
    assert apart[0][0] < apart[1][1]  # the separate intervals overlap


def test_a_p_value_leaves_undefined_resamples_out():
    assert math.isnan(metrics.bootstrap_p(np.array([np.nan])))
    assert metrics.bootstrap_p(np.array([1.0, 2.0, np.nan, 3.0])) == 2 / 4
    assert metrics.percentiles(np.array([np.nan, 1.0])) == (1, 1)


def test_swapping_the_counters_swaps_the_sign():
    a, b = squared_error(PREDICTED, TRUE), squared_error(PREDICTED + 1, TRUE)
    present, back = (paired_bootstrap("RMSE", *order, resamples=500, seed=2) for order in ((a, b), (b, a)))
    assert present.value == pytest.approx(value("RMSE", a) - value("RMSE", b))
    assert (present.value, present.p) == (-back.value, back.p)
    assert (present.low, present.high) == pytest.approx((-back.high, -back.low))


def test_unpaired_terms_are_refused():
    with pytest.raises(DataError, match="cannot pair"):
        paired_bootstrap("MAE", np.ones(2), np.ones(3), resamples=10, seed=0)
    with pytest.raises(DataError, match="cannot pair"):
        mcnemar_exact(np.ones(2), np.ones(3))


@pytest.mark.parametrize(
    ("only_first", "only_second"), [(0, 0), (1, 0), (5, 1), (7, 7), (40, 22), (3, 300), (600, 700)]
)
def test_mcnemar_is_the_binomial_test_of_the_discordant_clips(only_first, only_second):
    first = np.array([1] * only_first + [0] * only_second + [1, 0], float)
    second = np.array([0] * only_first + [1] * only_second + [1, 0], float)
    n = only_first + only_second
    expected = binomtest(only_first, n, 0.5).pvalue if n else 1.0
    assert mcnemar_exact(first, second) == (only_first, only_second, pytest.approx(expected, rel=1e-9))


def test_mcnemar_takes_terms_of_obo():
    true = np.full(12, 5.0)
    assert mcnemar_exact(within_one(true, true), within_one(true + 2, true)) == (12, 0, 2 / 2**12)
