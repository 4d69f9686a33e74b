"""When a recogniser says "unknown": calibration, thresholds, the header that holds them, labels, and how they score."""

import json

import numpy as np
import pytest
import torch
from commands import racctl
from poses import swinging_pose
from recognisers import joints_model
from scipy.special import logsumexp

from racctl.errors import DataError, UsageError
from racctl.io.npz import write_pose
from racctl.recognisers.recogniser import Recogniser
from racctl.recognisers.rejection import (
    LOST_RATES,
    USUAL_LOSS,
    Evidence,
    Rejection,
    ScoredWindows,
    best_temperature,
    calibration_error,
    exercise_energy,
    fit_rejection,
    read_unknown,
)
from racctl.recognisers.timeline import Segment, joined_to_neighbours, relabelled

CPU = torch.device("cpu")
KNOWN = ["background", "lunge", "squat"]
OPEN = [*KNOWN, "unknown"]


def scored(outliers: bool, windows: int = 4000, seed: int = 0) -> ScoredWindows:
    """Windows of a recogniser that is mostly right and twice as sure as it should be."""
    rng = np.random.default_rng(seed)
    classes = [*KNOWN, "unknown"] if outliers else KNOWN
    label = rng.integers(len(classes), size=windows)
    true = rng.normal(size=(windows, len(classes))) + 2.5 * np.eye(len(classes))[label]
    return ScoredWindows(2 * true, label, np.arange(windows) // 8, classes)


def test_the_temperature_undoes_what_makes_probabilities_too_sure():
    rng = np.random.default_rng(1)
    logits = 2 * rng.normal(size=(20000, 4))
    probs = np.exp(logits - logsumexp(logits, axis=1, keepdims=True))
    label = (probs.cumsum(1) < rng.random((20000, 1))).sum(1).clip(0, 3)
    assert best_temperature(3 * logits, label) == pytest.approx(3, rel=0.05)
    assert calibration_error(probs, label) < 0.02 < calibration_error(Rejection().joint(3 * logits), label)


@pytest.mark.parametrize("outliers", [True, False])
def test_thresholds_lose_the_share_of_the_known_that_they_stand_for(outliers):
    windows = scored(outliers)
    rejection = fit_rejection(windows)
    assert (rejection.constant is None) == outliers
    joint = rejection.joint(windows.logits)
    assert joint.shape == (4000, 4) and joint.sum(1) == pytest.approx(1)
    sure = exercise_energy(windows.logits, windows.classes)[windows.known]
    for rate in (0.02, USUAL_LOSS, 0.2):
        assert (sure < rejection.least("windows", rate)).mean() == pytest.approx(rate, abs=0.003)
    assert rejection.least("windows") == rejection.least("windows", USUAL_LOSS)
    rows = zip(joint[windows.known], sure, strict=True)
    lost = [rejection.decide(Evidence(row, energy), int(row.argmax()), 0) == 3 for row, energy in rows]
    assert np.mean(lost) == pytest.approx(USUAL_LOSS, abs=0.03)


def test_outliers_and_what_is_far_from_everything_are_rejected():
    windows = scored(True)
    rejection = fit_rejection(windows)
    outliers = windows.logits[windows.label == 3]
    rows = zip(rejection.joint(outliers), exercise_energy(outliers, windows.classes), strict=True)
    assert np.mean([rejection.decide(Evidence(row, energy), 1, 0) == 3 for row, energy in rows]) > 0.3
    without = fit_rejection(scored(False))
    low = np.full((1, 3), -6.0)  # a window about which all logits are low
    (nothing,) = without.joint(low)
    (energy,) = exercise_energy(low, KNOWN)
    assert nothing[-1] > 0.9 and without.decide(Evidence(nothing, energy), 1, 0) == 3


def test_the_background_stays_and_too_few_windows_settle_nothing():
    rejection = fit_rejection(scored(True))
    assert rejection.decide(Evidence(np.array([0.4, 0.2, 0.2, 0.2]), -99.0), 0, 0) == 0
    assert (
        rejection.decide(Evidence(np.array([0.1, 0.3, 0.2, 0.4]), 99.0), 3, 0) == 1
    )  # it has the energy of a known one
    assert fit_rejection(scored(True, windows=16)) is None


def test_a_header_comes_back_as_it_was():
    rejection = fit_rejection(scored(False))
    again = Rejection.of(json.loads(json.dumps(rejection.header())), "m")
    assert again == rejection and again.rates == LOST_RATES


@pytest.mark.parametrize(
    "damage",
    [
        "text", {"temperature": 0}, {"temperature": "hot"}, {"temperature": float("nan")}, {"rates": [0.1]},
        {"rates": [0.1, 0.2], "windows": [0.3, 0.2], "spans": [0, 1]}, {"rate": 2}, {"constant": "high"},
        {"windows": "abc"},
    ],
)  # fmt: skip
def test_a_damaged_header_is_refused(damage):
    with pytest.raises(DataError, match="'m' has a damaged header: its rejection cannot be used"):
        Rejection.of(damage, "m")


def test_what_the_option_takes():
    assert (read_unknown("auto"), read_unknown("off"), read_unknown("0.1")) == (None, 0.0, 0.1)
    for text in ("", "on", "0.9", "nan", "0", "-1"):
        with pytest.raises(UsageError, match=r"expected auto, off, or the share of known exercises to lose, 0\.01 to"):
            read_unknown(text)


def test_neighbours_that_are_both_unknown_become_one():
    spans = [Segment(k, k + 1, k, np.array([k, 1.0]), *rows) for k, rows in enumerate([(0, 1), (1, 3), (3, 6)])]
    joined = relabelled(spans, lambda span: 9 if span.label else 0)
    assert [(s.start, s.stop, s.label, s.first, s.last) for s in joined] == [(0, 1, 0, 0, 1), (1, 3, 9, 1, 6)]
    assert joined[1].probs == pytest.approx([(2 * 1 + 3 * 2) / 5, 1])


@pytest.fixture
def pose(tmp_path):
    with open(tmp_path / "p.npz", "wb") as file:
        write_pose(file, swinging_pose(128))
    return tmp_path / "p.npz"


def rejection(least: float, **more) -> dict:
    table = {"rates": [0.01, 0.5], "windows": [least, least], "spans": [least, least]}
    return {"rejection": Rejection(**{**table, **more}).header()}


def labels(*words) -> list[dict]:
    done = racctl("classify", *words, "--format", "json")
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


@pytest.mark.parametrize("unit", [(), ("--windows",), ("--whole",)])
def test_what_is_not_sure_enough_is_unknown(unit, pose, tmp_path):
    file = joints_model(tmp_path / "m.safetensors", OPEN, **rejection(50.0))
    for row in labels(pose, "--model", file, *unit):
        assert row["label"] in ("unknown", "background") and row["unknown"] is not None
        assert len(row["probs"]) == 3 and sum(row["probs"]) == pytest.approx(1, abs=1e-5)
        assert len(row["top"].split(", ")) == 3
    for row in labels(pose, "--model", file, *unit, "--unknown", "off"):
        assert row["label"] in KNOWN and row.get("unknown") is None
        assert row["prob"] == pytest.approx(row["probs"][KNOWN.index(row["label"])])
    easy = joints_model(tmp_path / "easy.safetensors", OPEN, **rejection(-50.0))
    assert all(row["label"] in KNOWN for row in labels(pose, "--model", easy, *unit))


def test_a_segment_of_unknown_is_one(pose, tmp_path):
    file = joints_model(tmp_path / "m.safetensors", ("lunge", "squat", "unknown"), **rejection(50.0))
    (row,) = labels(pose, "--model", file, "--smooth", "0")
    assert (row["label"], row["start"], row["stop"]) == ("unknown", 0, 128)


def test_files_without_a_rejection_load(tmp_path):
    plain = Recogniser(str(joints_model(tmp_path / "m.safetensors", KNOWN)), CPU)
    assert plain.rejection is None and plain.classes == KNOWN
    learned = Recogniser(str(joints_model(tmp_path / "n.safetensors", OPEN)), CPU)
    assert learned.classes == KNOWN
    likely = np.array([0.1, 0.2, 0.3, 0.4])
    assert [learned.rejection.decide(Evidence(likely, 0.0), label, 0) for label in (3, 2)] == [3, 2]


@pytest.mark.parametrize(
    ("classes", "more"),
    [
        (["unknown", "squat", "lunge"], {}),
        (KNOWN, rejection(0.0)),
        ([*KNOWN, "unknown"], rejection(0.0, constant=1.0)),
        (KNOWN, {"rejection": 3}),
    ],
)
def test_a_rejection_that_does_not_fit_its_model_is_refused(classes, more, pose, tmp_path):
    done = racctl("classify", pose, "--model", joints_model(tmp_path / "m.safetensors", classes, **more))
    assert done.returncode == 1 and b"has a damaged header" in done.stderr and done.stderr.count(b"\n") == 1


def test_a_wrong_value_of_the_option(pose):
    done = racctl("classify", pose, "--unknown", "often")
    assert done.returncode == 2 and b"invalid value 'often' for '--unknown'" in done.stderr


def test_what_is_unknown_beside_the_same_exercise_is_that_exercise():
    def segment(place, label, *probs):
        return Segment(10 * place, 10 * place + 10, label, np.array(probs), place, place + 1)

    background, squat, lunge, unknown = range(4)
    squats = segment(1, squat, 0.1, 0.7, 0.1, 0.1)
    doubtful = [0.2, 0.5, 0.2, 0.1]
    (segment_of_both,) = joined_to_neighbours([segment(0, unknown, *doubtful), squats], unknown, background)
    assert (segment_of_both.label, segment_of_both.start, segment_of_both.stop) == (squat, 0, 20)
    assert segment_of_both.probs.tolist() == pytest.approx([0.15, 0.6, 0.15, 0.1])
    (segment_of_both,) = joined_to_neighbours([squats, segment(2, unknown, 0.5, 0.3, 0.1, 0.1)], unknown, background)
    assert segment_of_both.label == squat  # the background is no exercise
    apart = [segment(0, lunge, 0.1, 0.1, 0.7, 0.1), segment(1, unknown, *doubtful), segment(2, background, 1, 0, 0, 0)]
    assert [span.label for span in joined_to_neighbours(apart, unknown, background)] == [lunge, unknown, background]
    alone = [segment(0, unknown, *doubtful)]
    assert [span.label for span in joined_to_neighbours(alone, unknown, None)] == [unknown]
