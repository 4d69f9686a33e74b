"""What is doubtful about a count, in words and in its interval."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from poses import swinging_pose

from racctl.counters.base import open_counter
from racctl.counters.count_clip import CountOptions, count_clip
from racctl.counters.doubt import Sight, doubt_in_words, most_unseen, sight_of
from racctl.counters.recurrence import Repetitions
from racctl.counters.result import counts_table, reps_table
from racctl.estimators.open_clip import open_pose

PLAIN = Sight(seconds=20.0, length=20.0, joints=1.0, moved=0.5)


def reading(count: int, *rivals: int, alternating: bool = False) -> Repetitions:
    frames = np.arange(count)
    return Repetitions(
        start=frames,
        stop=frames + 1,
        low=count,
        high=count,
        rivals=rivals,
        part=np.ones(count, np.int64),
        confidence=np.ones(count),
        signal=np.zeros(count + 1),
        period=1.0,
        explained=0.8,
        alternating=alternating,
    )


@pytest.mark.parametrize(
    "result, words",
    [
        (reading(8, 7, 8, 9), ""),
        (reading(7, alternating=True), "or 3 pairs of left and right"),
        (reading(2, alternating=True), "or 1 pair of left and right"),
        (reading(10, 10, 5), "or 5, if two movements are one repetition"),
        (reading(5, 10), "or 10, if each is two"),
        (reading(6, 3, 12), "or 3, if two movements are one repetition; or 12, if each is two"),
        (reading(10, 8, 12), ""),
    ],
)
def test_halves_doubles_and_pairs_are_named(result, words):
    assert doubt_in_words(result, PLAIN, "each") == words


def test_pairs_that_were_counted_are_no_doubt():
    assert doubt_in_words(reading(4, alternating=True), PLAIN, "pair") == ""


@pytest.mark.parametrize(
    "sight, most, words",
    [
        (Sight(20.0, 20.0, 1.0, 0.02), 0, ""),
        (Sight(20.0, 20.0, 1.0, 0.5), 1, "or 1: what is done once cannot be told from getting into position"),
        (Sight(1.2, 10.0, 1.0, 0.5), 5, "too little to tell: the person is in view for 1.2 of 10.0 s"),
        (Sight(9.0, 10.0, 0.3, 0.5), 5, "too little to tell: 30% of the joints are in view"),
        (Sight(0.0, 1.0, 0.0, 0.0), 1, "too little to tell: the person is in view for 0.0 of 1.0 s"),
    ],
)
def test_nothing_found_is_not_always_nothing_done(sight, most, words):
    assert most_unseen(sight) == most
    assert doubt_in_words(reading(0), sight, "each") == words


def counted(pose):
    with open_pose(pose) as clip:
        return count_clip(clip, open_counter("periodicity"), CountOptions("periodicity"))


def standing(frames: int = 150):
    pose = swinging_pose(frames)
    return replace(pose, xyz=np.repeat(pose.xyz[:1], frames, 0))


def test_how_much_is_seen():
    pose = standing()
    pose.score[:, 0, 10:] = 0.2
    pose.xyz[60:] = np.nan
    sight = sight_of(pose, 0)
    assert sight.seconds == pytest.approx(2.0) and sight.length == pytest.approx(5.0)
    assert sight.joints == pytest.approx(10 / 33) and sight.moved == pytest.approx(0, abs=1e-6)
    assert sight_of(replace(pose, xyz=np.full_like(pose.xyz, np.nan)), 0) == Sight(0.0, pytest.approx(5.0), 0.0, 0.0)


def test_the_tables_tell_of_doubt_parts_and_confidence():
    still = standing(60)
    (unseen,) = counted(still)
    assert (unseen.count, unseen.low, unseen.high) == (0, 0, 1)
    assert counts_table([unseen])["doubt"].to_pylist() == ["too little to tell: the person is in view for 2.0 of 2.0 s"]
    (clear,) = counted(swinging_pose(300))
    assert "doubt" not in counts_table([clear]).column_names or not clear.doubt
    rows = reps_table([clear]).to_pylist()
    assert len(rows) == 10
    assert {row["part"] for row in rows} == {1} and all(0 < row["confidence"] < 1 for row in rows)
