"""From what is seen in chunks of a clip to its people: continued, split, joined, ranked. No network is needed."""

from __future__ import annotations

import numpy as np
import pytest
from sightings import BLUE, RED, person, sighting

from racctl.estimators.blazepose.model import _smooth_runs
from racctl.estimators.blazepose.prominence import exercise_amount, ranked
from racctl.estimators.blazepose.tracks import (
    chain_chunks,
    chunk_tracks,
    distance,
    join_tracks,
    merged,
    split,
    whole_tracks,
    without_doubles,
)

TIME = np.arange(400) / 30
PICTURE = (640, 360)


def frames_of(tracks):
    """Return the frames of each track, as runs."""
    return [(int(track.frame[0]), int(track.frame[-1]), len(track)) for track in tracks]


# Chunks.


def test_a_chunk_gives_a_track_for_each_person_with_the_frames_in_which_they_are_seen():
    left = [sighting(x=50, track=4) for _ in range(6)]
    right = [sighting(x=250, track=7) for _ in range(6)]
    frames = [[left[0]], [left[1], right[1]], [], [right[3], left[3]], [right[4]], [left[5]]]
    tracks = chunk_tracks(100, frames)
    assert [track.frame.tolist() for track in tracks] == [[100, 101, 103, 105], [101, 103, 104]]
    assert [track.hips[:, 0].tolist() for track in tracks] == [[50] * 4, [250] * 3]
    assert tracks[1].points_at(102) is None
    assert tracks[1].points_at(103)[0, 0] == right[3].points[0, 0]


def test_people_go_on_over_the_borders_of_chunks_by_where_they_are():
    first = [person(range(30), x=100), person(range(30), x=300)]
    second = [person(range(27, 60), x=300), person(range(27, 60), x=100), person(range(40, 60), x=500)]
    third = [person(range(57, 90), x=300)]
    tracks = chain_chunks([first, second, third])
    spans = {int(track.hips[0, 0]): (int(track.frame[0]), int(track.frame[-1]), len(track)) for track in tracks}
    assert spans == {100: (0, 59, 60), 300: (0, 89, 90), 500: (40, 59, 20)}
    assert len(tracks) == 3
    for track in tracks:
        assert np.ptp(track.hips[:, 0]) == 0


def test_who_is_not_seen_in_the_frames_that_two_chunks_share_is_not_continued():
    tracks = chain_chunks([[person(range(20))], [person(range(27, 60))]])
    assert frames_of(tracks) == [(0, 19, 20), (27, 59, 33)]
    assert distance(*tracks) == np.inf


def test_the_earlier_chunk_has_the_frames_that_two_share():
    (track,) = chain_chunks([[person(range(30), x=100)], [person(range(27, 50), x=101)]])
    assert track.hips[:30, 0].tolist() == [100] * 30
    assert track.hips[30:, 0].tolist() == [101] * 20
    assert merged([track, track]).frame.tolist() == list(range(50))


def crossing():
    """Return chunks in which the exerciser, red at x 200, is passed by somebody in blue just where the second begins.

    There the tracker saw the blue one alone at first, and was on the red one when they had parted.
    """
    exerciser = person(range(30), x=200)
    passer = person(range(15, 30), x=lambda f: 350 - 5 * (f - 15), colour=BLUE)
    before = person(range(22, 40), x=lambda f: 350 - 5 * (f - 15), colour=BLUE)
    after = person(range(40, 80), x=200)
    return [[exerciser, passer], [merged([before, after])]]


def test_who_is_carried_over_a_border_gets_their_body_back_from_a_track_that_took_it():
    def carry(track, chunk):
        return person(range(30, 52), x=200) if chunk == 1 and track.hips[-1, 0] == 200 else None

    tracks = chain_chunks(crossing(), carry)
    spans = {"red" if track.colours[0, 0, 0] > 0.5 else "blue": frames_of([track])[0] for track in tracks}
    assert spans["red"] == (0, 79, 80)
    assert spans["blue"][0] == 15 and spans["blue"][1] < 45
    assert len(chain_chunks(crossing())) == 2  # without being carried, one of the two ends at the border


def test_who_is_carried_onto_somebody_of_other_colours_does_not_get_their_body():
    bystander = person(range(30), x=120, colour=BLUE)
    exerciser = person(range(22, 80), x=200)

    def carry(_track, chunk):  # the region slid onto the exerciser
        return person(range(30, 50), x=200, colour=RED) if chunk == 1 else None

    tracks = chain_chunks([[bystander], [exerciser]], carry)
    spans = sorted(frames_of(tracks))
    assert (22, 79, 58) in spans
    assert spans[0][0] == 0 and spans[0][1] < 45


# Jumps to another body.


def leap(colour, x=300.0, size=80.0):
    """Return a track that is at 100 for 30 frames, and then elsewhere, of another size, in another colour."""
    return merged([person(range(30)), person(range(30, 60), x=x, size=size, colour=colour)])


def test_a_leap_to_other_colours_is_a_jump_to_another_body():
    assert frames_of(split(leap(BLUE), TIME)) == [(0, 29, 30), (30, 59, 30)]


def test_two_jumps_are_two_cuts():
    there_and_back = merged([leap(BLUE), person(range(60, 90))])
    assert frames_of(split(there_and_back, TIME)) == [(0, 29, 30), (30, 59, 30), (60, 89, 30)]


def test_a_jump_while_nobody_is_seen_is_one():
    """Longer than the window in which appearances are compared, as at two pictures in a second."""
    gap = merged([person(range(30)), person(range(60, 90), x=300, colour=BLUE)])
    assert frames_of(split(gap, TIME)) == [(0, 29, 30), (60, 89, 30)]
    assert frames_of(split(leap(BLUE), np.arange(60) / 2)) == [(0, 29, 30), (30, 59, 30)]


def test_growing_at_once_into_other_colours_is_a_jump():
    assert frames_of(split(leap(BLUE, x=100.0, size=160.0), TIME)) == [(0, 29, 30), (30, 59, 30)]


@pytest.mark.parametrize(
    ("colour", "x"), [(RED, 300.0), (BLUE, 101.0)], ids=["a leap in one's own colours", "other colours, no leap"]
)
def test_what_is_no_jump(colour, x):
    assert frames_of(split(leap(colour, x), TIME)) == [(0, 59, 60)]


def test_a_fast_exercise_is_no_jump():
    fast = person(range(90), y=lambda frame: 150 + 60 * np.sin(2 * np.pi * frame / 15), size=90)
    assert frames_of(split(fast, TIME)) == [(0, 89, 90)]


# One person, one track.


def test_who_was_lost_and_comes_back_nearby_is_one_person():
    tracks = [person(range(40, 100), x=110), person(range(30))]
    assert frames_of(join_tracks(tracks, TIME)) == [(0, 99, 90)]


@pytest.mark.parametrize(
    "second",
    [
        person(range(40, 100), x=110, colour=BLUE),
        person(range(20, 100), x=110),
        person(range(33, 100), x=500),
        person(range(33, 100), x=110, size=400),
    ],
    ids=["other colours", "both in view", "too far at once", "too large at once"],
)
def test_who_cannot_be_one_person_stays_two(second):
    tracks = join_tracks([person(range(30)), second], TIME)
    assert frames_of(tracks) == frames_of([second, person(range(30))])  # the longest first


def test_the_likelier_of_two_is_joined():
    first = person(range(30), x=100)
    near = person(range(40, 80), x=110)
    farther = person(range(40, 100), x=190)
    tracks = join_tracks([first, farther, near], TIME)
    assert frames_of(tracks) == [(0, 79, 70), (40, 99, 60)]


def test_two_tracks_on_one_body_are_one():
    long = person(range(90))
    inside = person(range(20, 50), x=102)
    walks_off = person(range(60, 100), x=lambda frame: 100 if frame < 70 else 400)
    tracks = without_doubles([inside, walks_off, long])
    assert frames_of(tracks) == [(0, 89, 90), (70, 99, 30)]


def test_the_people_of_a_clip_from_its_chunks():
    """Two people in three chunks: one jumps to the other's place and back, and one is lost for a second."""
    walker = [person(range(30), x=400, colour=BLUE), person(range(60, 93), x=380, colour=BLUE)]
    stands = [person(range(30)), person(range(27, 63)), person(range(60, 120))]
    chunks = [[walker[0], stands[0]], [stands[1]], [stands[2], walker[1]]]
    tracks = whole_tracks(chunks, TIME)
    assert frames_of(tracks) == [(0, 119, 120), (0, 92, 63)]
    assert [track.colours[0, 0, 2] for track in tracks] == [np.float32(RED[2]), np.float32(BLUE[2])]


def test_a_glimpse_is_nobody_but_in_a_clip_of_a_single_frame():
    assert whole_tracks([[person([7])]], TIME) == []
    assert frames_of(whole_tracks([[person([0])]], TIME[:1])) == [(0, 0, 1)]


# Who exercises.


def swings(frame):
    return 0.15 * np.sin(2 * np.pi * frame / 45)


def test_the_one_who_exercises_comes_before_a_larger_bystander():
    exerciser = person(range(300), x=320, y=180, size=120, bend=swings)
    bystander = person(range(300), x=320, y=180, size=200, bend=lambda frame: 0.002 * (frame % 2))
    assert ranked([bystander, exerciser], TIME[:300], PICTURE) == [exerciser, bystander]
    assert exercise_amount(exerciser, TIME[:300]) > 20 * exercise_amount(bystander, TIME[:300])


@pytest.mark.parametrize(
    "second",
    [
        person(range(100), x=320, y=180, size=160, bend=swings),
        person(range(300), x=320, y=180, size=40, bend=swings),
        person(range(300), x=620, y=180, size=120, bend=swings),
        person(range(300), x=320, y=180, size=120, bend=lambda frame: swings(frame) / 6),
    ],
    ids=["seen for a third", "in the background", "at the edge", "moves little"],
)
def test_of_two_who_exercise_the_more_prominent_one_comes_first(second):
    first = person(range(300), x=320, y=180, size=120, bend=swings)
    assert ranked([second, first], TIME[:300], PICTURE) == [first, second]


def test_regular_movement_comes_before_a_little_more_without_a_period():
    noise = np.convolve(np.random.default_rng(2).normal(0, 1, 340), np.ones(12) / 12, "valid")
    noise *= 1.3 * 0.15 / np.sqrt(2) / noise.std()
    regular = person(range(300), x=320, y=180, size=120, bend=swings)
    irregular = person(range(300), x=320, y=180, size=120, bend=lambda frame: noise[frame])
    assert ranked([irregular, regular], TIME[:300], PICTURE) == [regular, irregular]


def test_somebody_seen_for_a_moment_has_a_rank():
    glimpse = person([3, 4], x=320)
    assert exercise_amount(glimpse, TIME) == 0
    assert len(ranked([glimpse, person(range(300), bend=swings)], TIME, PICTURE)) == 2


def test_smoothing_begins_anew_after_a_gap():
    track = merged([person(range(30), x=100), person(range(60, 90), x=300)])
    _smooth_runs(track, TIME)
    assert track.hips[30, 0] == 300
    assert track.points[30, 0, 0] == person([60], x=300).points[0, 0, 0]
    close = merged([person(range(30), x=100), person(range(30, 60), x=103)])
    _smooth_runs(close, TIME)
    shift = close.points[30, 0, 0] - close.points[29, 0, 0]
    assert 0 < shift < 2.9
