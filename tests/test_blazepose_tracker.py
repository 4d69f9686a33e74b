"""The tracker of people in a run of frames, on made-up networks, and what fills the holes that it leaves."""

from __future__ import annotations

import itertools
import math
from types import SimpleNamespace

import av
import numpy as np
import pytest
from sightings import SHAPE, person, sighting

from racctl.estimators.blazepose import fill
from racctl.estimators.blazepose.fill import HoleFiller, holes
from racctl.estimators.blazepose.networks import JOINTS, LANDMARK_SIDE, SeenBody
from racctl.estimators.blazepose.region import CropSource, Region
from racctl.estimators.blazepose.tracker import HELD, LOOK_INTERVAL, PeopleTracker
from racctl.estimators.blazepose.tracks import MET

PICTURE = CropSource.of(np.zeros((240, 320, 3), np.uint8))
STEP = 1 / 30  # s


class Body:
    """Somebody in the picture. presence: what the landmark network says of them where their region is looked at."""

    def __init__(self, x, y, size=80.0, presence=0.95):
        self.x = x
        self.y = y
        self.size = size
        self.presence = presence

    @property
    def points(self):
        """(39, 2) pixels of the picture."""
        points = np.full((39, 2), (self.x, self.y), float)
        points[:JOINTS] += self.size * SHAPE
        points[JOINTS + 1, 1] -= self.size / 2
        return points

    @property
    def region(self):
        points = self.points
        return Region.about(points[JOINTS], points[JOINTS + 1])


class Networks:
    """Both networks: they see the bodies that there are, and note down where they looked.

    bodies: in the picture.  detected: those that the detector sees.  least_angle: of squares in which it sees them.
    sees_one: whether the detector sees the first of them alone, of those not painted over.
    """

    def __init__(self, *bodies):
        self.bodies = list(bodies)
        self.detected = list(bodies)
        self.least_angle = 0.0
        self.sees_one = False
        self.squares = []
        self.regions = []
        self.pixels = np.zeros((LANDMARK_SIDE, LANDMARK_SIDE, 3), np.float32)

    def tracker(self, extra=None):
        return PeopleTracker(self.landmarks(), self.detect, extra)

    def landmarks(self):
        def look(_picture, region):
            self.regions.append(region)
            gaps = [math.hypot(body.x - region.x, body.y - region.y) for body in self.bodies]
            body = self.bodies[int(np.argmin(gaps))]
            points = np.zeros((39, 3), np.float32)
            offset = (body.points - (region.x, region.y)) @ np.linalg.inv(region.axes).T
            points[:, :2] = (offset + 0.5) * LANDMARK_SIDE
            presence = body.presence if min(gaps) < body.size / 2 else 0.01
            zeros = np.zeros((JOINTS, 3), np.float32)
            return SeenBody(presence, points, np.ones(JOINTS, np.float32), zeros, None, None)

        look.pixels = self.pixels
        return look

    def detect(self, _picture, square, hidden=()):
        if not len(hidden):
            self.squares.append(square)
        if abs(square.angle) < self.least_angle:
            return []
        shown = [body for body in self.detected if not any(self.is_in(body, box) for box in hidden)]
        return [(0.9, body.region) for body in (shown[:1] if self.sees_one else shown)]

    @staticmethod
    def is_in(body, box):
        left, top, right, bottom = box
        return left < body.x < right and top < body.y < bottom


def run(tracker, count, begin=0, each=lambda frame: None):
    """Run over so many frames; return the sightings in each. each: is called before every frame."""
    seen = []
    for frame in range(begin, begin + count):
        each(frame)
        seen.append(tracker(PICTURE, frame * STEP))
    return seen


def test_who_is_overlooked_beside_somebody_is_found_when_these_are_painted_over():
    networks = Networks(Body(100, 120), Body(400, 120), Body(250, 130))
    networks.sees_one = True
    (seen,) = run(networks.tracker(), 1)
    assert sorted(round(float(person.points[JOINTS, 0])) for person in seen) == [100, 250, 400]


def test_landmarks_place_the_region_of_the_next_frame():
    body = Body(100, 120)
    networks = Networks(body)

    def walk(frame):
        body.x = 100 + 4 * frame

    seen = run(networks.tracker(), 40, each=walk)
    assert [len(people) for people in seen] == [1] * 40
    assert {people[0].track for people in seen} == {0}
    np.testing.assert_allclose([people[0].points[JOINTS, 0] for people in seen], 100 + 4 * np.arange(40), atol=1e-3)
    assert len(networks.squares) == 1 + int(39 * STEP / LOOK_INTERVAL), "the detector runs when it has no need to"
    assert networks.regions[-1].x == pytest.approx(body.x, abs=12)
    assert seen[0][0].size == pytest.approx(80, rel=1e-4)


def test_a_region_is_held_while_the_network_misses_the_person():
    """The detector sees them in the first frame alone."""
    body = Body(100, 120)
    networks = Networks(body)
    tracker = networks.tracker()
    run(tracker, 10)
    networks.detected = []
    good = networks.regions[-1]
    looked = len(networks.regions)
    body.presence = 0.1
    lost = run(tracker, 40, 10)
    assert not any(lost)
    assert not tracker.is_idle
    tries = networks.regions[looked + 1 :]
    assert 15 < len(tries) < 30, "at first in every frame, then less often"
    assert {(region.x, region.y, region.side) for region in tries} == {(good.x, good.y, good.side)}
    body.presence = 0.9
    again = run(tracker, 5, 50)
    assert again[-1] and again[-1][0].track == 0


def test_nobody_is_held_for_ever():
    body = Body(100, 120)
    networks = Networks(body)
    tracker = networks.tracker()
    run(tracker, 3)
    networks.detected = []
    body.presence = 0.1
    run(tracker, int(HELD / STEP) + 5, 3)
    assert tracker.is_idle
    body.presence = 0.9
    assert not any(run(tracker, 10, 200))


def test_somebody_expected_is_tried_where_they_are_expected_and_no_detector_runs():
    body = Body(100, 120)
    networks = Networks(body)
    tracker = networks.tracker()
    tracker.begin(body.region, 0.0)
    (seen,) = tracker(PICTURE, STEP, look=False)
    assert seen.points[JOINTS, 0] == pytest.approx(100, abs=1e-3)
    assert networks.squares == []


def test_two_tracks_on_one_body_become_one():
    first = Body(80, 120)
    second = Body(220, 120)

    def come_near(frame):
        second.x = max(83, 220 - 6 * frame)

    seen = run(Networks(first, second).tracker(), 40, each=come_near)
    numbers = [[sighting_.track for sighting_ in people] for people in seen]
    assert numbers[:20] == [[0, 1]] * 20
    assert numbers[-16:] == [[0]] * 16


def test_a_newcomer_is_seen_within_a_second_and_has_a_number_of_their_own():
    first = Body(80, 120)
    networks = Networks(first)
    tracker = networks.tracker()
    run(tracker, 30)
    newcomer = Body(220, 120)
    networks.bodies.append(newcomer)
    networks.detected.append(newcomer)
    seen = run(tracker, 31, 30)
    assert [sighting_.track for sighting_ in seen[-1]] == [0, 1]
    assert seen[-1][1].points[JOINTS, 0] == pytest.approx(220, abs=1e-3)


@pytest.mark.parametrize(("presence", "is_believed"), [(0.6, False), (0.9, True)])
def test_a_body_that_only_a_turned_look_shows_must_be_a_sure_one(presence, is_believed):
    networks = Networks(Body(100, 120, presence=presence))
    networks.least_angle = 1.0
    seen = run(networks.tracker(), 12)
    assert any(seen) == is_believed
    assert any(abs(square.angle) > 1 for square in networks.squares)


def test_the_search_where_nobody_is_takes_little_of_the_time():
    networks = Networks(Body(100, 120))
    networks.detected = []
    run(networks.tracker(), 90)
    assert 40 <= len(networks.squares) <= 70, "two looks in each of the 30 tenths of a second"
    kinds = {(square.x, square.y, square.side, square.angle) for square in networks.squares}
    assert len(kinds) == 6, "the whole picture, turned both ways, and its parts"


def test_what_else_is_made_of_a_sighting_goes_with_it():
    networks = Networks(Body(100, 120))
    tracker = networks.tracker(lambda body, region, picture: (body.presence, region, picture))
    ((seen,),) = run(tracker, 1)
    assert seen.extra == (0.95, seen.region, PICTURE)


# Holes.


class BlindTracker:
    """A tracker that sees somebody, who does not move, in some places of the clip.

    visible: the places.  runs: where each run began: region and time, and the times that it was shown.
    """

    def __init__(self, visible, seen=None):
        self._visible = set(visible)
        self._seen = seen or sighting()
        self.runs = []
        self.is_idle = True

    def reset(self):
        self.is_idle = True

    def begin(self, region, time):
        self.runs.append((region, time, []))
        self.is_idle = False

    def __call__(self, picture, time, look=True):
        assert not look
        assert picture.width == 64
        self.runs[-1][2].append(time)
        place = round(abs(time) / STEP)
        self.is_idle = place not in self._visible
        return [] if self.is_idle else [self._seen]


def filler(tracker, total):
    image = av.VideoFrame(64, 48, "yuv420p")
    rereads = []

    def reread(begin, end):
        rereads.append((begin, end))
        return (SimpleNamespace(image=image, time=place * STEP, number=place) for place in range(begin, end))

    return HoleFiller(tracker, reread, np.arange(total) * STEP, 0), rereads


def seen_places(track):
    return sorted(set(track.frame.tolist()))


def test_a_hole_at_a_chunk_border_is_filled_from_both_sides():
    track = person([*range(30), *range(60, 90)], x=lambda frame: 100 + frame)
    tracker = BlindTracker([*range(30, 45), *range(50, 60)])
    fill_holes, _ = filler(tracker, 90)
    filled = fill_holes.fill(track, [track], borders=[30])
    assert seen_places(filled) == [*range(45), *range(50, 90)]
    (onward, began, times), (back, ended, backward) = tracker.runs
    assert (onward.x, began) == (129, pytest.approx(29 * STEP))
    assert (back.x, ended) == (160, pytest.approx(-60 * STEP))
    assert times == sorted(times) and times[0] == pytest.approx(30 * STEP)
    assert backward == sorted(backward) and backward[0] == pytest.approx(-59 * STEP)
    assert filled.frame.tolist() == sorted(filled.frame.tolist())


def test_tracking_goes_on_over_a_border_only():
    """Where no chunk began, the tracker has tried to go on already."""
    track = person([*range(30), *range(60, 90)])
    tracker = BlindTracker(range(30, 60))
    fill_holes, _ = filler(tracker, 90)
    assert seen_places(fill_holes.fill(track, [track], borders=[])) == list(range(90))
    assert len(tracker.runs) == 1 and tracker.runs[0][1] < 0


def test_the_beginning_of_a_clip_is_filled_and_its_end_is_let_be():
    track = person(range(30, 60))
    tracker = BlindTracker(range(90))
    fill_holes, rereads = filler(tracker, 90)
    assert seen_places(fill_holes.fill(track, [track], borders=[])) == list(range(60))
    assert rereads == [(0, 30)]


def test_nobody_becomes_somebody_else():
    track = person([*range(30), *range(60, 90)])
    bystander = person(range(40, 50), x=250)
    tracker = BlindTracker(range(30, 60), sighting(x=250))
    fill_holes, _ = filler(tracker, 90)
    filled = fill_holes.fill(track, [track, bystander], borders=[30])
    assert seen_places(filled) == [*range(40), *range(50, 90)]


def test_who_is_carried_on_ends_where_they_have_been_one_of_the_chunks_tracks_for_a_while():
    passing = person([*range(32, 36), *range(50, 80)], x=250)
    tracker = BlindTracker(range(30, 80), sighting(x=250))
    fill_holes, _ = filler(tracker, 90)
    carried = fill_holes.carry(person(range(30)), [passing], 90)
    assert carried.frame.tolist() == list(range(30, 50 + MET))
    assert fill_holes.carry(person(range(30)), [passing], 30) is None


def test_a_long_hole_costs_a_bounded_time_and_memory(monkeypatch):
    monkeypatch.setattr(fill, "BLOCK", 40)
    total = 1200
    track = person([*range(30), *range(1170, total)])
    tracker = BlindTracker(range(total))
    fill_holes, rereads = filler(tracker, total)
    filled = fill_holes.fill(track, [track], borders=[30])
    reach = round(fill.REACH / STEP)
    assert seen_places(filled) == [*range(30 + reach), *range(1170 - reach, total)]
    forward, *backward = rereads
    assert forward == (30, 30 + reach)
    assert all(end - begin <= 40 for begin, end in backward)
    assert all(earlier[0] == later[1] for earlier, later in itertools.pairwise(backward))


def test_holes_are_the_runs_without_a_sighting():
    assert holes(np.array([2, 3, 6]), 9) == [(0, 2), (4, 6), (7, 9)]
    assert holes(np.arange(4), 4) == []
