"""The repetition counter on made-up people whose true counts are known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from racctl.counters.recurrence import count_repetitions
from racctl.counters.signals import LONGEST_GAP, motion

# head, then shoulder, elbow, wrist, hip, knee, ankle of the left and of the right
LEFT_RIGHT = tuple((joint, joint + 6) for joint in range(1, 7))
LEFT_WRIST, RIGHT_WRIST, LEFT_ELBOW, RIGHT_ELBOW = 3, 9, 2, 8


def cycle(n):
    """One cycle 0 -> 1 -> 0 in n frames."""
    return np.sin(np.pi * np.arange(n) / n) ** 2


def person(depth, x=0.0):
    """depth: (T,) 0 standing .. 1 squatting -> (T, 13, 3) pixels, some 180 tall."""
    hip = 100 + 60 * depth
    pose = np.zeros((len(depth), 13, 3))
    pose[:, 0, 1] = hip - 90
    for first, side in ((1, -1), (7, 1)):
        pose[:, first : first + 6, 0] = side * np.array([20, 25, 25, 12, 14, 14])
        pose[:, first + 4, 0] += side * 25 * depth
        heights = [hip - 60, hip - 30 - 30 * depth, hip - 60 * depth, hip, hip / 2 + 100, np.full(len(depth), 200.0)]
        pose[:, first : first + 6, 1] = np.stack(heights, axis=1)
    pose[..., 0] += np.broadcast_to(x, len(depth))[:, None]
    return pose


def raising(left, right):
    """left, right: (T,) 0..1 height of the arms."""
    pose = person(np.zeros(len(left)))
    for elbow, wrist, height in ((LEFT_ELBOW, LEFT_WRIST, left), (RIGHT_ELBOW, RIGHT_WRIST, right)):
        pose[:, elbow, 1] -= 40 * height
        pose[:, wrist, 1] -= 80 * height
    return pose


def count(pose, fps=30.0, noise=0.4, seed=0, **options):
    pose = pose + np.random.default_rng(seed).normal(size=pose.shape) * noise
    time = np.arange(len(pose)) / fps
    return count_repetitions(pose.astype(np.float32), np.ones(pose.shape[:2], np.float32), time, LEFT_RIGHT, **options)


still = np.zeros


@pytest.mark.parametrize("repetitions", [1, 2, 3, 10])
def test_counts_cycles_between_rests(repetitions):
    result = count(person(np.concatenate([still(60), np.tile(cycle(60), repetitions), still(60)])))
    assert len(result.start) == repetitions
    assert result.low <= len(result.start) <= result.high


def test_repetitions_lie_where_the_movement_is():
    result = count(person(np.concatenate([still(90), np.tile(cycle(60), 4), still(90)])))
    turns = 90 + 30 + 60 * np.arange(4)
    assert (result.start < turns).all() and (turns < result.stop).all()
    assert (result.start[1:] >= result.stop[:-1]).all()
    assert result.start[0] >= 90 and result.stop[-1] <= 90 + 240
    assert result.period == pytest.approx(2.0, rel=0.05)
    assert result.start.dtype == result.stop.dtype == np.int64


sitting_down = np.concatenate([still(100), np.linspace(0, 1, 30), np.ones(100)])


@pytest.mark.parametrize(
    "depth",
    [still(300), np.full(300, 0.5), np.linspace(0, 0.3, 300), sitting_down],
    ids=["standing", "holding", "sinking", "sitting down"],
)
@pytest.mark.parametrize("noise", [0.1, 1.0])
def test_nothing_repeated_is_zero(depth, noise):
    result = count(person(depth), noise=noise)
    assert len(result.start) == 0 and result.low == 0 and len(result.start) == len(result.stop) == 0
    assert np.isnan(result.period) and result.explained == 0


@pytest.mark.parametrize("lengths", [(100, 33), (30, 90)], ids=["faster", "slower"])
def test_tempo_may_change_threefold(lengths):
    assert count(person(np.concatenate([cycle(int(n)) for n in np.linspace(*lengths, 12)]))).count == 12


def test_pauses_are_no_repetitions():
    assert count(person(np.concatenate([np.append(cycle(45), still(n)) for n in (1, 90, 30, 150, 10, 60)]))).count == 6


def test_walking_in_and_out_is_not_counted():
    x = np.concatenate([np.linspace(-300, 0, 90), still(360), np.linspace(0, 300, 90)])
    assert count(person(np.concatenate([still(90), np.tile(cycle(60), 6), still(90)]), x)).count == 6


@pytest.mark.parametrize("seen, counted", [(10, 5), (18, 5), (22, 5), (45, 6), (60, 6)])
@pytest.mark.parametrize("end", ["first", "last"])
def test_a_repetition_that_is_cut_off_counts_if_it_is_seen_to_turn_and_come_back(seen, counted, end):
    body = np.tile(cycle(60), 5)
    part = [cycle(60)[-seen:], body, still(30)] if end == "first" else [still(30), body, cycle(60)[:seen]]
    result = count(person(np.concatenate(part)))
    assert len(result.start) == counted
    assert result.low <= counted <= result.high
    assert (np.diff(result.start) > 0).all() and (result.stop[:-1] <= result.start[1:]).all()


@pytest.mark.parametrize("seconds", [0.25, 0.33, 0.6, 1.0, 4.0, 9.0, 20.0])
def test_any_tempo_is_counted(seconds):
    fps, repetitions = 30.0 if seconds > 0.5 else 60.0, 8
    depth = np.concatenate([still(20), np.tile(cycle(round(seconds * fps)), repetitions), still(20)])
    result = count(person(depth), fps=fps)
    assert len(result.start) == repetitions
    assert result.period == pytest.approx(seconds, rel=0.1)


@pytest.mark.parametrize("repetitions, frames", [(7, 12), (4, 40), (9, 90)])
def test_a_clip_shown_twice_has_twice_as_many(repetitions, frames):
    turns = np.random.default_rng(repetitions).uniform(0.75, 1, repetitions)  # no two are equal, but the halves are
    part = np.concatenate([still(6), *(turn * cycle(frames) for turn in turns), still(6)])
    wobble = np.random.default_rng(1).normal(size=(len(part), 13, 3)) * 0.4
    pose = person(part) + wobble
    assert count(np.concatenate([pose, pose]), noise=0).count == 2 * repetitions


def test_a_repetition_that_looks_different_counts_between_others():
    depth = np.tile(cycle(60), 7)
    pose = person(depth)
    odd = slice(180, 240)
    pose[odd, LEFT_ELBOW : LEFT_WRIST + 1] += 50 * cycle(60)[:, None, None] * [1, 1, 0]  # waves meanwhile
    pose[odd, RIGHT_ELBOW : RIGHT_WRIST + 1] -= 45 * cycle(60)[:, None, None] * [1, 0, 0]
    assert count(pose).count == 7


def test_another_movement_at_the_end_is_no_repetition():
    x = np.concatenate([np.zeros(330), np.linspace(0, 200, 30)])
    assert count(person(np.concatenate([still(30), np.tile(cycle(60), 5), np.linspace(0, 1, 30)]), x)).count == 5


@pytest.mark.parametrize("sides, expected", [("each", 8), ("pair", 4)])
def test_alternating_sides(sides, expected):
    left = np.tile(np.append(cycle(60), still(60)), 4)
    result = count(raising(left, np.roll(left, 60)), alternating=sides)
    assert result.alternating
    assert len(result.start) == expected == len(result.start)
    assert result.low <= expected <= result.high


def test_both_sides_together_do_not_alternate():
    arms = np.tile(cycle(60), 6)
    result = count(raising(arms, arms), alternating="pair")
    assert not result.alternating and len(result.start) == 6


def test_unknown_convention_is_refused():
    with pytest.raises(ValueError, match="'both', expected 'each' or 'pair'"):
        count(person(still(60)), alternating="both")


@pytest.mark.parametrize("fps", [15, 24, 60])
def test_frame_rate_does_not_matter(fps):
    assert count(person(np.tile(cycle(2 * fps), 7)), fps=fps).count == 7


def test_scaled_per_frame_and_axis():
    """PoseRAC's scaling takes place, size and proportions away in every frame."""
    pose = person(np.tile(cycle(60), 6))
    low, high = pose.min(1, keepdims=True), pose.max(1, keepdims=True)
    assert count((pose - low) / np.maximum(high - low, 1e-9), noise=0.003).count == 6


def test_missing_frames_and_exchanged_sides():
    pose = person(np.tile(cycle(60), 6))
    chance = np.random.default_rng(3).random(len(pose))
    pose[chance < 0.1] = np.nan
    swapped = np.flatnonzero(chance > 0.97)
    order = [0, *range(7, 13), *range(1, 7)]
    pose[swapped] = pose[swapped][:, order]
    assert count(pose).count == 6


def test_signal_is_unknown_in_a_long_gap():
    pose = person(np.tile(cycle(60), 8))
    pose[200:280] = np.nan
    result = count(pose)
    assert len(result.signal) == len(pose)
    assert np.isnan(result.signal[205:275]).all() and np.isfinite(result.signal[:195]).all()
    assert 6 <= len(result.start) <= 8
    assert not ((result.start >= 205) & (result.stop <= 275)).any()


@pytest.mark.parametrize("frames", [0, 1, 2, 5, 90])
def test_nobody_or_hardly_anything(frames):
    empty = count(np.full((frames, 13, 3), np.nan))
    assert empty.count == 0 and len(empty.signal) == frames and np.isnan(empty.signal).all()
    assert count(person(still(frames))).count == 0


def test_joint_never_seen_does_not_blind_the_rest():
    pose = person(np.tile(cycle(60), 5))
    pose[:, 6] = np.nan
    assert count(pose).count == 5


def test_minutes_are_read_in_windows():
    result = count(person(np.tile(cycle(60), 100)))  # 200 s
    assert abs(len(result.start) - 100) <= 1
    assert (result.start[1:] >= result.stop[:-1]).all()


def test_two_exercises_apart():
    arms = np.tile(cycle(45), 20)
    result = count(np.concatenate([person(np.tile(cycle(60), 15)), raising(arms, arms)]))
    assert abs(len(result.start) - 35) <= 1


def test_parts_are_numbered_by_what_is_done():
    arms = np.tile(cycle(60), 5)
    result = count(np.concatenate([person(np.tile(cycle(60), 6)), person(still(60)), raising(arms, arms)]))
    assert result.count == 11
    assert result.part.tolist() == [1] * 6 + [2] * 5
    assert count(person(np.tile(cycle(60), 6))).part.tolist() == [1] * 6


def test_exercises_follow_one_another_after_cuts():
    """8 squats, 6 raises of one arm, 12 of both, each filmed from elsewhere."""
    left, both = np.tile(cycle(45), 6), np.tile(cycle(30), 12)
    parts = [person(np.tile(cycle(60), 8)), raising(left, still(270)) + 400, raising(both, both) - [300, 0, 0]]
    result = count(np.concatenate(parts))
    assert result.count == 26
    assert np.bincount(result.part)[1:].tolist() == [8, 18]  # arms, one or both, are much alike


@pytest.mark.parametrize("depth, counted", [(still(360), 0), (np.tile(cycle(60), 6), 6)], ids=["standing", "squatting"])
@pytest.mark.parametrize("rate", [0.7, 1.5])
def test_a_swaying_camera_is_not_counted(depth, counted, rate):
    sway = 25 * np.sin(2 * np.pi * rate * np.arange(360) / 30)
    pose = person(depth, sway)
    pose[..., 1] += 0.6 * sway[:, None]
    assert count(pose).count == counted


def test_there_and_back_are_one_repetition_though_each_looks_like_the_next_but_one():
    """A pause in the middle of the way makes the ways there and back two bumps of a distance from that posture."""
    half = cycle(60)[:30]
    stop = int(np.argmax(half > 0.5))
    whole = np.concatenate(
        [half[:stop], np.full(8, 0.5), half[stop:], half[::-1][: 30 - stop], np.full(8, 0.5), half[::-1][30 - stop :]]
    )
    result = count(person(np.concatenate([np.full(20, 0.5), np.tile(np.roll(whole, -stop), 6), np.full(20, 0.5)])))
    assert result.count == 6


def test_a_repetition_that_looks_different_is_less_sure():
    pose = person(np.tile(cycle(60), 7))
    pose[180:240, LEFT_ELBOW : LEFT_WRIST + 1] += 50 * cycle(60)[:, None, None] * [1, 1, 0]
    pose[180:240, RIGHT_ELBOW : RIGHT_WRIST + 1] -= 45 * cycle(60)[:, None, None] * [1, 0, 0]
    result = count(pose)
    assert result.count == 7 and np.argmin(result.confidence) == 3
    assert ((result.confidence > 0) & (result.confidence < 1)).all()


def test_the_less_of_the_motion_is_explained_the_more_may_be_missed():
    wild = np.random.default_rng(0).normal(size=(600, 13, 3)).cumsum(0) * 1.5
    pose = person(np.tile(cycle(60), 10))
    clear, doubtful = count(pose), count(pose + wild)
    assert clear.high - clear.low < doubtful.high - doubtful.low
    assert doubtful.explained < clear.explained


def test_motion_fills_short_gaps_only():
    pose = person(np.tile(cycle(60), 3)).astype(np.float32)
    pose[20:25] = pose[100:150] = np.nan
    moving = motion(pose, np.ones(pose.shape[:2]), np.arange(180) / 30, LEFT_RIGHT)
    dark = moving.time[~moving.known]
    assert dark.min() >= 99 / 30 and dark.max() <= 150 / 30 and np.ptp(dark) > LONGEST_GAP
    assert all(np.isfinite(twin).all() for twin in moving.twins)
    front = moving.twins[1]
    np.testing.assert_allclose(front[:, 1, 0], -moving.twins[0][:, 7, 0])


@settings(max_examples=15, deadline=None)
@given(st.integers(2, 9), st.integers(24, 90), st.integers(0, 60), st.integers(0, 10**6))
def test_any_count_tempo_and_rest(repetitions, frames, others, seed):
    depth = np.concatenate(
        [still(others + 15), np.tile(np.append(cycle(frames), still(others)), repetitions), still(30)]
    )
    assert count(person(depth), seed=seed).count == repetitions


@settings(max_examples=10, deadline=None)
@given(st.floats(0.2, 5.0), st.floats(-500, 500), st.booleans(), st.booleans())
def test_scale_place_mirror_and_time_reversal(scale, shift, mirrored, reversed_):
    pose = scale * person(np.concatenate([still(30), np.tile(cycle(50), 5), still(40)])) + shift
    if mirrored:
        pose[..., 0] *= -1
    result = count(pose[::-1] if reversed_ else pose, noise=0.4 * scale)
    assert len(result.start) == 5


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.0, 1.5))
def test_noise_alone_is_never_a_repetition(seed, noise):
    assert count(person(np.full(240, 0.3)), noise=noise, seed=seed).count == 0
