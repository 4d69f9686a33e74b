"""A clip that plays the same several times in a row."""

from __future__ import annotations

import numpy as np
import pytest

from racctl.counters.loops import differences, pass_length
from racctl.counters.recurrence import count_repetitions


def a_set(count: int, seed: int = 0, fps: float = 30.0) -> np.ndarray:
    """Joints (T, 6, 3) that go up and down, never twice the same: lengths, heights and drift differ."""
    rng = np.random.default_rng(seed)
    phase = [np.linspace(0, 2 * np.pi, int(fps * rng.uniform(1.2, 1.8)), endpoint=False) for _ in range(count)]
    height = np.concatenate([rng.uniform(0.85, 1.15) * (1 - np.cos(angle)) for angle in phase])
    still = np.concatenate([np.zeros(20), height, np.zeros(25)])
    body = np.stack([np.arange(6) % 2, np.arange(6) / 6.0, np.zeros(6)], 1)
    moves = np.array([0, 0, 0.1, 0.3, 0.5, 0.5])
    xyz = np.repeat(body[None], len(still), 0)
    xyz[:, :, 1] += still[:, None] * moves
    return (xyz + rng.normal(0, 0.01, xyz.shape)).astype(np.float32)


def seconds(frames: int) -> np.ndarray:
    return np.arange(frames) / 30.0


def test_passes_are_found_whatever_their_number_and_little_missing():
    once = a_set(5)
    for passes in (2, 3, 5):
        clip = np.concatenate([once] * passes)
        assert pass_length(clip, seconds(len(clip))) == len(once)
        assert pass_length(clip[:-3], seconds(len(clip) - 3)) == len(once)


def test_a_pass_that_was_encoded_anew_is_the_same_and_another_set_is_not():
    once, rng = a_set(5), np.random.default_rng(1)
    clip = np.concatenate([once, once + rng.normal(0, 0.01, once.shape).astype(np.float32)])
    assert pass_length(clip, seconds(len(clip))) == len(once)
    assert pass_length(once, seconds(len(once))) == 0
    two_sets = np.concatenate([once, a_set(5, seed=3)])
    assert pass_length(two_sets, seconds(len(two_sets))) == 0


@pytest.mark.parametrize("empty", [np.full((40, 3, 3), np.nan), np.zeros((3, 2, 3)), np.full((90, 2, 3), 5.0)])
def test_nothing_to_see_is_no_loop(empty):
    assert pass_length(empty, seconds(len(empty))) == 0


def test_where_nobody_is_seen_in_one_pass_they_are_not_in_the_next():
    once = a_set(6)
    once[30:50] = np.nan
    clip = np.concatenate([once, once])
    assert pass_length(clip, seconds(len(clip))) == len(once)


def test_the_count_of_a_loop_is_that_of_its_pass_so_many_times():
    once = a_set(7, seed=5)
    clip = np.concatenate([once] * 3)
    first = count_repetitions(once, np.ones(once.shape[:2]), seconds(len(once)), ())
    loop = count_repetitions(clip, np.ones(clip.shape[:2]), seconds(len(clip)), ())
    assert first.count == 7 and loop.count == 21
    assert np.abs(loop.start[7:14] - len(once) - loop.start[:7]).max() <= 2 and loop.stop[-1] <= len(clip)
    cut = count_repetitions(clip[:-4], np.ones(clip[:-4].shape[:2]), seconds(len(clip) - 4), ())
    assert cut.count == 21 and cut.stop[-1] <= len(clip) - 4 and len(cut.signal) == len(clip) - 4
    assert np.isfinite(loop.signal[len(once) + 40 : 2 * len(once) - 40]).all()
    assert loop.low <= 21 <= loop.high


def test_one_repetition_again_and_again_is_counted_as_it_is():
    once = a_set(1, seed=2)
    clip = np.concatenate([once] * 6)
    assert count_repetitions(clip, np.ones(clip.shape[:2]), seconds(len(clip)), ()).count == 6


def test_differences_are_those_of_rows():
    rows = np.random.default_rng(0).normal(size=(50, 3))
    expected = [((rows[lag:] - rows[: 50 - lag]) ** 2).sum(1).mean() for lag in range(50)]
    assert np.allclose(differences(rows), expected)
