"""Follows the people in a run of frames, each in a region of their own.

As MediaPipe's tracking: the landmarks of a frame place the region of the next. Beyond it: several people; a region in
which the person is lost is tried again before the detector looks for them; the detector looks at the picture turned,
and at parts of it, where it finds nobody.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from racctl.estimators.blazepose.networks import (
    BODY_JOINTS,
    JOINTS,
    LANDMARK_SIDE,
    LandmarkNetwork,
    PersonDetector,
    SeenBody,
)
from racctl.estimators.blazepose.region import BODY_MARGIN, CropSource, Region
from racctl.estimators.blazepose.smoothing import OneEuro, region_filter
from racctl.skeleton.topology import BLAZEPOSE33

MIN_PRESENCE = 0.5  # of a body in its region, MediaPipe's own
# From which a region is tried again when its body is lost, and a body is believed that was found by a turned look.
GOOD_PRESENCE = 0.8
HELD = 3.0  # s that a region is tried again
EVERY_FRAME = 0.5  # s of these in every frame, then at LOST_INTERVAL
LOST_INTERVAL = 0.1  # s between two tries, and between two looks where nobody is in view
MISSING_INTERVAL = 0.3  # s between two looks where somebody is in view and somebody is lost
LOOK_INTERVAL = 1.0  # s between two looks for newcomers
BOX_MARGIN = 0.05  # of the body's size, about the joints
MAX_FOLLOWED = 4  # people followed at a time, bystanders too
NOMINAL_RATE = 30  # frames/s that MediaPipe takes every video to have, which its filters are made for
SAME_BODY = 0.2  # of the body's size: joints of two people as near as this on average are one person's

_AT = BLAZEPOSE33.index

# Places on the body whose colours tell people apart, as pairs of joints and the share of the way between them.
_PLACES = {
    "head": [("nose", "left_ear", 0.5), ("nose", "right_ear", 0.5)],
    "trunk": [
        (f"{side}_shoulder", f"{opposite}_hip", share)
        for side, opposite in (("left", "right"), ("right", "left"), ("left", "left"), ("right", "right"))
        for share in (0.2, 0.4, 0.6, 0.8)
    ],
    "arms": [(f"{side}_shoulder", f"{side}_elbow", share) for side in ("left", "right") for share in (0.3, 0.5, 0.7)],
    "thighs": [(f"{side}_hip", f"{side}_knee", share) for side in ("left", "right") for share in (0.3, 0.5, 0.7)],
    "shanks": [(f"{side}_knee", f"{side}_ankle", share) for side in ("left", "right") for share in (0.3, 0.5, 0.7)],
}
_ROWS = [(_AT(a), _AT(b), share) for places in _PLACES.values() for a, b, share in places]
_FROM = np.array([row[0] for row in _ROWS])
_TO = np.array([row[1] for row in _ROWS])
_SHARE = np.array([[row[2]] for row in _ROWS], np.float32)
_GROUPS = np.cumsum([0, *(len(places) for places in _PLACES.values())])


@dataclass(frozen=True)
class Sighting:
    """A person in a frame.

    track: whom the tracker takes it for.
    points: (35, 3) float32 pixels of the picture, not smoothed; the joints, then hips and end of the circle.
    score: (33,) as in `SeenBody`.  world: (33, 3) metres.
    presence: 0..1.  region: in which it was seen.
    colours: (5, 3) float32 0..1 of head, trunk, arms, thighs and shanks.
    extra: what else was made of it, see `PeopleTracker`.
    """

    track: int
    points: np.ndarray
    score: np.ndarray
    world: np.ndarray
    presence: float
    region: Region
    colours: np.ndarray
    extra: Any = None

    @property
    def size(self) -> float:
        """Pixels, the circle about the body across."""
        return float(body_size(self.points))

    @property
    def box(self) -> np.ndarray:
        """(4,) left, top, right and bottom of the body, pixels, with a margin."""
        margin = BOX_MARGIN * self.size
        joints = self.points[:JOINTS, :2]
        return np.concatenate([joints.min(0) - margin, joints.max(0) + margin])


@dataclass
class _Track:
    """A person who is followed. region: for the next frame.  good: the last in which they were seen well."""

    number: int
    region: Region
    good: Region
    last_seen: float
    last_try: float
    is_lost: bool = False
    filter: OneEuro = field(default_factory=region_filter)

    def lose(self) -> None:
        """Hold the region in which the person was last seen well."""
        self.is_lost = True
        self.region = self.good
        self.filter = region_filter()


Extra = Callable[[SeenBody, Region, CropSource], Any]


class PeopleTracker:
    """Follows people frame after frame."""

    def __init__(self, landmarks: LandmarkNetwork, detector: PersonDetector, extra: Extra | None = None) -> None:
        """extra: makes something else of every sighting, such as a mask."""
        self._network = landmarks
        self._detector = detector
        self._extra = extra
        self.reset()

    def reset(self) -> None:
        """Forget everybody: another clip, or another part of it, begins."""
        self._tracks: list[_Track] = []
        self._count = 0
        self._last_look = -math.inf
        self._turned_looks = 0

    def begin(self, region: Region, time: float) -> None:
        """Expect somebody in a region of the next frame, who is held like one who was lost."""
        self._add(region, time)

    @property
    def is_idle(self) -> bool:
        """Whether nobody is followed."""
        return not self._tracks

    def __call__(self, picture: CropSource, time: float, look: bool = True) -> list[Sighting]:
        """Return everybody in the next frame, at `time`, see `tracker_time`. look: whether the detector may run."""
        sightings: dict[int, Sighting] = {}
        for track in self._tracks:
            if self._is_due(track, time):
                sighting = self._try(picture, track, time)
                if sighting:
                    sightings[track.number] = sighting
        self._drop_doubles(sightings)
        self._tracks = [track for track in self._tracks if time - track.last_seen <= HELD]
        if look:
            self._look(picture, time, sightings)
        return list(sightings.values())

    def _is_due(self, track: _Track, time: float) -> bool:
        return not track.is_lost or time - track.last_seen < EVERY_FRAME or time - track.last_try >= LOST_INTERVAL

    def _add(self, region: Region, time: float) -> _Track:
        track = _Track(self._count, region, region, time, time)
        self._count += 1
        self._tracks.append(track)
        return track

    def _try(self, picture: CropSource, track: _Track, time: float, least: float = MIN_PRESENCE) -> Sighting | None:
        """Look for the person in the region; place the region of the next frame."""
        track.last_try = time
        body = self._network(picture, track.region)
        if body.presence < least:
            track.lose()
            return None
        sighting = sight(track.number, body, track.region, self._network.pixels)
        if self._extra is not None:
            sighting = replace(sighting, extra=self._extra(body, track.region, picture))
        ends = track.filter(sighting.points[JOINTS:, :2], time, 1 / max(sighting.size, 1e-6))
        if body.presence >= GOOD_PRESENCE:
            track.good = track.region
        track.region = Region.about(*ends)
        track.is_lost = False
        track.last_seen = time
        return sighting

    def _drop_doubles(self, sightings: dict[int, Sighting]) -> None:
        """Where two tracks see the same body, keep the older one's sighting; the newer one is lost."""
        for track in list(self._tracks):
            sighting = sightings.get(track.number)
            older = [earlier for number, earlier in sightings.items() if number < track.number]
            if sighting and any(is_same_body(sighting.points, earlier.points) for earlier in older):
                del sightings[track.number]
                track.lose()

    def _look(self, picture: CropSource, time: float, sightings: dict[int, Sighting]) -> None:
        """Run the detector where it is time to, and follow the people whom it finds."""
        lost = len(sightings) < len(self._tracks)
        first = self._last_look == -math.inf
        if sightings:
            interval = MISSING_INTERVAL if lost else LOOK_INTERVAL
        else:
            newest = max((track.last_seen for track in self._tracks), default=-math.inf)
            interval = 0.0 if time - newest < EVERY_FRAME or first else LOST_INTERVAL
        if time - self._last_look < interval - 1e-6:
            return
        self._last_look = time
        self._follow(picture, time, picture.whole(), MIN_PRESENCE, sightings)
        self._look_beside(picture, time, sightings)
        if not sightings:
            squares = list(turned_squares(picture))
            self._follow(picture, time, squares[self._turned_looks % len(squares)], GOOD_PRESENCE, sightings)
            self._turned_looks += 1

    def _look_beside(self, picture: CropSource, time: float, sightings: dict[int, Sighting]) -> None:
        """Look for whom the detector overlooks beside those who are in view, with these painted over."""
        seen = 0
        while seen < len(sightings) < MAX_FOLLOWED:
            seen = len(sightings)
            hidden = [sighting.box for sighting in sightings.values()]
            self._follow(picture, time, picture.whole(), GOOD_PRESENCE, sightings, hidden)

    def _follow(
        self,
        picture: CropSource,
        time: float,
        square: Region,
        least: float,
        sightings: dict[int, Sighting],
        hidden: Sequence[np.ndarray] = (),
    ) -> None:
        for _, region in self._detector(picture, square, hidden):
            if any(is_about(region, sighting) for sighting in sightings.values()):
                continue
            if len(sightings) >= MAX_FOLLOWED:
                return
            track = self._add(region, time)
            sighting = self._try(picture, track, time, least)
            if sighting is None or any(is_same_body(sighting.points, earlier.points) for earlier in sightings.values()):
                self._tracks.remove(track)
                continue
            sightings[track.number] = sighting
            self._end_lost(track, sighting)

    def _end_lost(self, track: _Track, sighting: Sighting) -> None:
        """End the lost track of somebody who is where a new one begins: the new one knows better where they are."""
        for lost in list(self._tracks):
            near = math.hypot(lost.good.x - sighting.points[JOINTS, 0], lost.good.y - sighting.points[JOINTS, 1])
            if lost.is_lost and lost is not track and near < 0.5 * lost.good.side / BODY_MARGIN:
                self._tracks.remove(lost)


def tracker_time(number: Any) -> Any:
    """Return the time, seconds, that a tracker and its filters take for that of a frame of the video, or of several."""
    return number / NOMINAL_RATE


def turned_squares(picture: CropSource) -> Iterator[Region]:
    """Yield what else to look at where the detector finds nobody: the picture turned by a quarter, and parts of it."""
    yield picture.whole(math.pi / 2)
    yield picture.whole(-math.pi / 2)
    side = min(picture.width, picture.height)
    for share in (0.0, 0.5, 1.0):
        x = side / 2 + share * (picture.width - side)
        y = side / 2 + share * (picture.height - side)
        yield Region(x, y, side, 0.0)


def sight(track: int, body: SeenBody, region: Region, pixels: np.ndarray) -> Sighting:
    """Return a body of a region in pixels of the picture. pixels: (256, 256, 3) the region's."""
    seen = body.points[: JOINTS + 2]
    points = np.empty_like(seen)
    points[:, :2] = region.to_picture(seen[:, :2] / LANDMARK_SIDE)
    points[:, 2] = seen[:, 2] * (region.side / LANDMARK_SIDE)
    cosine = math.cos(region.angle)
    sine = math.sin(region.angle)
    world = body.world @ np.array([[cosine, sine, 0], [-sine, cosine, 0], [0, 0, 1]], np.float32)
    return Sighting(track, points, body.score, world, body.presence, region, colours_of(seen, pixels))


def colours_of(points: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Return (5, 3) the median colours of the body's parts. points: (35, 3) pixels of the square `pixels`."""
    places = points[_FROM, :2] + _SHARE * (points[_TO, :2] - points[_FROM, :2])
    column, row = np.clip(places, 0, LANDMARK_SIDE - 1).astype(np.intp).T
    samples = pixels[row, column]
    return np.array([np.median(samples[a:b], 0) for a, b in itertools.pairwise(_GROUPS)], np.float32)


def body_size(points: np.ndarray) -> np.ndarray:
    """Return (...) pixels, the circle about a body across. points: (..., 35, 3)."""
    return 2 * np.linalg.norm(points[..., JOINTS, :2] - points[..., JOINTS + 1, :2], axis=-1)


def body_gap(points: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return (...) how far apart the trunk and limbs of two bodies are, in halves of the larger one's size.

    points, second: (..., 35, 3) pixels.
    """
    gap = np.linalg.norm(points[..., BODY_JOINTS, :2] - second[..., BODY_JOINTS, :2], axis=-1).mean(-1)
    return gap / np.maximum(np.maximum(body_size(points), body_size(second)) / 2, 1e-6)


def is_same_body(points: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return (...) whether two bodies in a frame, (..., 35, 3) each, are one person's."""
    return body_gap(points, second) < SAME_BODY


def is_about(region: Region, sighting: Sighting) -> bool:
    """Whether a region that the detector gives is about a person who is in view already."""
    hips = sighting.points[JOINTS, :2]
    size = region.side / BODY_MARGIN
    near = math.hypot(region.x - hips[0], region.y - hips[1]) < 0.25 * max(size, sighting.size)
    return near and 0.4 < size / max(sighting.size, 1e-6) < 2.5
