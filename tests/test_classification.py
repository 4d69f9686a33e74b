"""The metrics of labels: by hand, against scikit-learn, their properties, and the bootstrap over clips."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, roc_auc_score

from racctl.scoring import label_metrics as classification
from racctl.scoring.label_metrics import (
    Items,
    aucs,
    better_clips,
    compare_labels,
    interval,
    overall,
    per_class,
    resample_clips,
)

NAMES = ["background", "lunge", "squat", "plank"]


def items(true, predicted, clip=None, probs=None, weight=None):
    """Items of the classes NAMES; clip: which clip each is of (default: one clip each)."""
    clip = np.arange(len(true)) if clip is None else np.array(clip)
    return Items(
        NAMES, [f"c{k}" for k in range(clip.max() + 1)], clip, np.array(true), np.array(predicted),
        np.ones(len(true)) if weight is None else np.array(weight, float), None if probs is None else np.array(probs),
    )  # fmt: skip


def random_items(seed=0, n=120, clips=6):
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.ones(4), n)
    probs = np.round(probs, 2)  # with ties
    return items(rng.integers(0, 3, n), rng.integers(0, 4, n), np.arange(n) % clips, probs, rng.integers(1, 9, n))


def test_golden_values():
    probs = [[0.6, 0.2, 0.1, 0.1], [0.5, 0.3, 0.1, 0.1], [0.1, 0.5, 0.2, 0.2], [0.1, 0.2, 0.7, 0.0]]
    result = items([0, 1, 1, 2], [0, 0, 1, 3], probs=probs)
    # background: tp 1 fp 1 fn 0, F1 2/3; lunge: tp 1 fp 0 fn 1, F1 2/3; squat: F1 0; plank is never true
    assert overall(result) == {
        "accuracy": 0.5, "macro_f1": pytest.approx((2 / 3 + 2 / 3 + 0) / 3), "macro_auc": pytest.approx(1),
        "top3_accuracy": 1.0,
    }  # fmt: skip
    values = per_class(result)
    assert values["precision"] == {0: 0.5, 1: 1.0, 2: pytest.approx(math.nan, nan_ok=True)}  # squat: never predicted
    assert values["recall"] == {0: 1.0, 1: 0.5, 2: 0.0}
    assert values["f1"] == {0: pytest.approx(2 / 3), 1: pytest.approx(2 / 3), 2: 0.0}


def test_weights_are_repeats():
    weighted = items([0, 1, 1], [0, 0, 1], weight=[3, 1, 2])
    repeated = items([0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 1, 1])
    assert overall(weighted)["accuracy"] == overall(repeated)["accuracy"] == pytest.approx(5 / 6)
    assert overall(weighted)["macro_f1"] == pytest.approx(overall(repeated)["macro_f1"])


def test_the_macro_mean_is_over_the_classes_in_the_truth():
    result = random_items()
    expected = f1_score(result.true, result.predicted, labels=[0, 1, 2], average="macro", sample_weight=result.weight)
    assert overall(result)["macro_f1"] == pytest.approx(expected)
    auc = [roc_auc_score(result.true == k, result.probs[:, k], sample_weight=result.weight) for k in range(3)]
    assert overall(result)["macro_auc"] == pytest.approx(np.mean(auc))


def test_what_is_undefined_is_nan():
    without = overall(items([0, 1], [0, 1]))
    assert math.isnan(without["macro_auc"]) and math.isnan(without["top3_accuracy"])
    alone = overall(items([1, 1], [1, 0], probs=[[0.1, 0.9, 0, 0], [0.8, 0.2, 0, 0]]))
    assert math.isnan(alone["macro_auc"]) and alone["top3_accuracy"] == 1
    unknown = items([0, 1, 3], [0, 1, 1], probs=[[0.9, 0.1, 0, 0], [0.2, 0.8, 0, 0], [0.5, 0.5, 0, 0]])
    assert aucs(unknown)[3] == 0.5  # a class that the model does not know


def test_ties_count_against_the_top_3():
    assert overall(items([0], [0], probs=[[0.25, 0.25, 0.25, 0.25]]))["top3_accuracy"] == 0
    assert overall(items([0], [0], probs=[[0.25, 0.25, 0.25, 0.24]]))["top3_accuracy"] == 1
    assert overall(items([0], [1], probs=[[0.0, 1.0, 0.0, 0.0]]))["top3_accuracy"] == 0


def test_choosing_items_leaves_out_empty_clips():
    result = items([0, 0, 1, 2], [0, 0, 1, 1], clip=[0, 0, 1, 2]).where(np.array([False, False, True, True]))
    assert (result.clips, result.clip.tolist(), result.present) == (["c1", "c2"], [0, 1], [1, 2])


@settings(max_examples=30)
@given(st.integers(0, 1000), st.randoms())
def test_the_order_of_items_does_not_matter(seed, random):
    result = random_items(seed, 40)
    order = list(range(40))
    random.shuffle(order)
    shuffled = Items(
        result.classes,
        result.clips,
        result.clip[order],
        result.true[order],
        result.predicted[order],
        result.weight[order],
        result.probs[order],
    )
    assert overall(shuffled) == pytest.approx(overall(result))
    first, second = resample_clips(result, 20, 1), resample_clips(shuffled, 20, 1)
    for metric in first.overall:
        assert second.overall[metric] == pytest.approx(first.overall[metric], rel=1e-5)


@settings(max_examples=30)
@given(st.integers(0, 1000))
def test_metrics_stay_within_0_and_1_and_a_perfect_prediction_is_perfect(seed):
    result = random_items(seed, 30)
    assert all(0 <= value <= 1 for value in overall(result).values())
    perfect = items(result.true, result.true, result.clip, np.eye(4)[result.true])
    assert set(overall(perfect).values()) == {1.0}


def by_hand(items, drawn):
    """The metrics over the clips `drawn`, by putting their items together."""
    where = np.concatenate([np.flatnonzero(items.clip == clip) for clip in drawn])
    chosen = Items(
        items.classes, items.clips, items.clip[where], items.true[where], items.predicted[where], items.weight[where],
        items.probs[where],
    )  # fmt: skip
    return overall(chosen), per_class(chosen)


def test_a_resample_is_the_metric_of_the_drawn_clips():
    result = random_items(3)
    drawn = resample_clips(result, 25, 7)
    counts = np.random.default_rng(7).multinomial(6, np.full(6, 1 / 6), size=25)
    for draw in range(25):
        expected, classes = by_hand(result, np.repeat(np.arange(6), counts[draw]))
        for metric, value in expected.items():
            assert drawn.overall[metric][draw] == pytest.approx(value, rel=1e-5), metric
        for metric, values in classes.items():
            for k, value in values.items():
                assert drawn.per_class[metric][k][draw] == pytest.approx(value, rel=1e-5, nan_ok=True), (metric, k)


def test_binned_probabilities_hardly_move_an_auc(monkeypatch):
    rng = np.random.default_rng(0)
    true = rng.integers(0, 2, 4000)
    score = rng.normal(0, 1, 4000) + true
    single = 1 / (1 + np.exp(-score))
    result = items(true, true, np.arange(4000) % 40, np.stack([1 - single, single, 0 * single, 0 * single], 1))
    fine = resample_clips(result, 50, 0).overall["macro_auc"]
    monkeypatch.setattr(classification, "BINS", (128, 128))
    coarse = resample_clips(result, 50, 0).overall["macro_auc"]
    assert np.abs(fine - coarse).max() < 1e-3
    assert np.median(fine) == pytest.approx(overall(result)["macro_auc"], abs=0.01)


def test_memory_blocks_do_not_change_an_interval(monkeypatch):
    result = random_items()
    whole = resample_clips(result, 40, 0)
    monkeypatch.setattr(classification, "MAX_INDICES_AT_ONCE", 30)
    parts = resample_clips(result, 40, 0)
    assert parts.overall["accuracy"] == pytest.approx(whole.overall["accuracy"])


def test_no_interval_from_one_clip_or_without_resamples():
    assert resample_clips(items([0, 1], [0, 1], clip=[0, 0]), 100, 0) is None
    assert resample_clips(random_items(), 0, 0) is None
    assert all(math.isnan(end) for end in interval(None))


def test_clips_are_resampled_and_not_windows():
    """100 copies of a clip's one window add nothing to what is known."""
    rng = np.random.default_rng(0)
    true, predicted = rng.integers(0, 2, 12), rng.integers(0, 2, 12)
    clip = np.repeat(np.arange(12), 100)
    few = resample_clips(items(true, predicted), 500, 0).overall["accuracy"]
    many = resample_clips(items(np.repeat(true, 100), np.repeat(predicted, 100), clip), 500, 0).overall["accuracy"]
    assert interval(many) == pytest.approx(interval(few))


def test_a_class_that_a_resample_lacks_is_left_out_of_its_mean():
    result = items([0, 0, 1], [0, 0, 0], clip=[0, 1, 2])
    drawn = resample_clips(result, 200, 0).overall
    lacking = drawn["accuracy"] == 1
    assert lacking.any() and (drawn["macro_f1"][lacking] == 1).all()


def test_a_prediction_does_not_differ_from_itself():
    result = random_items()
    drawn = resample_clips(result, 50, 0)
    for metric, apart in compare_labels(result, result, (drawn, drawn)).items():
        assert (apart.value, apart.low, apart.high, apart.p) == (0, 0, 0, 1), metric
    assert better_clips(result, result) == (0, 0, 1)


def test_a_better_prediction_is_found_and_swapping_changes_the_sign():
    rng = np.random.default_rng(0)
    true, clip = rng.integers(0, 3, 600), np.arange(600) % 10
    first = items(true, np.where(rng.random(600) < 0.8, true, 3), clip)
    second = items(true, np.where(rng.random(600) < 0.6, true, 3), clip)
    drawn = resample_clips(first, 400, 0), resample_clips(second, 400, 0)
    present, back = compare_labels(first, second, drawn), compare_labels(second, first, drawn[::-1])
    assert 0 < present["accuracy"].low < present["accuracy"].value < present["accuracy"].high
    assert present["accuracy"].p == pytest.approx(2 / 401) and present["macro_f1"].p < 0.05
    assert back["accuracy"].value == -present["accuracy"].value
    assert math.isnan(present["macro_auc"].value)
    assert better_clips(first, second)[:2] == better_clips(second, first)[1::-1]
    assert better_clips(first, second)[2] < 0.05


def test_the_sign_test_of_clip_labels_is_mcnemars():
    first = items([0] * 12, [0] * 12)
    second = items([0] * 12, [1] * 10 + [0] * 2)
    assert better_clips(first, second) == (10, 0, 2 / 2**10)
