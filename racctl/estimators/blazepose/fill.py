"""Track people where their chunk did not: on from the chunk before, and back from where they were seen again."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from av.video.reformatter import VideoReformatter

from racctl.estimators.blazepose.region import CropSource, Region
from racctl.estimators.blazepose.tracker import PeopleTracker, Sighting, is_same_body
from racctl.estimators.blazepose.tracks import MET, PersonTrack, merged
from racctl.estimators.workers import working_image
from racctl.video.decode import Frame

REACH = 10.0  # s into a hole, from either side
BLOCK = 90  # frames in memory at a time

Reread = Callable[[int, int], Iterator[Frame]]  # the frames of a clip from one place to another


class HoleFiller:
    """Looks once more where somebody is not seen, in the region next to the hole."""

    def __init__(
        self,
        tracker: PeopleTracker,
        reread: Reread,
        time: np.ndarray,
        rotation: int,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """reread: decodes a part again.  time: (T,) as the tracker counts it.  check: raises what is to end it."""
        self._tracker = tracker
        self._reread = reread
        self._time = time
        self._rotation = rotation
        self._check = check
        self._reformatter = VideoReformatter()

    def carry(self, track: PersonTrack, chunk: Sequence[PersonTrack], end: int) -> PersonTrack | None:
        """Return what there is of a track after its last frame, up to the frame `end`, or to where it has become the
        body of one of the chunk's tracks for a while."""
        begin = int(track.frame[-1]) + 1
        if begin >= end:
            return None
        self._start(track, len(track) - 1, float(self._time[begin - 1]))
        seen = []
        met = 0
        for place, sighting in self._seen(enumerate(self._reread(begin, end), begin), 1.0):
            seen.append((place, sighting))
            met = met + 1 if _is_somebody(sighting, place, chunk) else 0
            if met == MET:
                break
        return _track_of(seen)

    def fill(self, track: PersonTrack, everybody: Sequence[PersonTrack], borders: Sequence[int]) -> PersonTrack:
        """Return the track with what more there is of it.

        everybody: the people of the clip, no other of whom it must become.  borders: where chunks end; only at these
        has the tracker not tried to go on already.
        """
        neighbours = [person for person in everybody if person is not track]
        for begin, end in holes(track.frame, len(self._time)):
            before = int(np.searchsorted(track.frame, begin)) - 1
            if before >= 0 and any(begin - 2 <= border <= end for border in borders):
                seen = self._forward(track, before, end, neighbours)
                track = merged([track, seen]) if seen else track
                begin = int(seen.frame[-1]) + 1 if seen else begin
            if end < len(self._time) and begin < end:
                seen = self._backward(track, int(np.searchsorted(track.frame, end)), begin, neighbours)
                track = merged([track, seen]) if seen else track
        return track

    def _forward(
        self, track: PersonTrack, place: int, end: int, neighbours: Sequence[PersonTrack]
    ) -> PersonTrack | None:
        begin = int(track.frame[place]) + 1
        end = min(end, int(np.searchsorted(self._time, self._time[begin] + REACH)))
        self._start(track, place, float(self._time[begin - 1]))
        seen = self._seen(enumerate(self._reread(begin, end), begin), 1.0)
        return _track_of(list(_until_somebody(seen, neighbours)))

    def _backward(
        self, track: PersonTrack, place: int, begin: int, neighbours: Sequence[PersonTrack]
    ) -> PersonTrack | None:
        end = int(track.frame[place])
        begin = max(begin, int(np.searchsorted(self._time, self._time[end] - REACH)))
        self._start(track, place, -float(self._time[end]))
        seen = self._seen(self._reversed(begin, end), -1.0)
        return _track_of(list(_until_somebody(seen, neighbours))[::-1])

    def _start(self, track: PersonTrack, place: int, time: float) -> None:
        self._tracker.reset()
        self._tracker.begin(Region(*track.region[place].tolist()), time)

    def _reversed(self, begin: int, end: int) -> Iterator[tuple[int, Frame]]:
        """Yield the frames from the last to the first, a block of them in memory."""
        for last in range(end, begin, -BLOCK):
            first = max(begin, last - BLOCK)
            yield from reversed(list(enumerate(self._reread(first, last), first)))

    def _seen(self, frames: Iterable[tuple[int, Frame]], sign: float) -> Iterator[tuple[int, Sighting]]:
        """Yield place and sighting of each frame in which the tracker sees the person, until it gives up.

        sign: of the tracker's time, which runs backward in frames that do.
        """
        for place, frame in frames:
            self._check()
            picture = CropSource(working_image(frame.image, self._reformatter), self._reformatter, self._rotation)
            sightings = self._tracker(picture, sign * float(self._time[place]), look=False)
            if self._tracker.is_idle:
                return
            if sightings:
                yield place, sightings[0]


def _is_somebody(sighting: Sighting, place: int, people: Iterable[PersonTrack]) -> bool:
    """Whether a sighting is of the body of one of these people in that frame."""
    bodies = (person.points_at(place) for person in people)
    return any(points is not None and bool(is_same_body(sighting.points, points)) for points in bodies)


def _until_somebody(
    seen: Iterable[tuple[int, Sighting]], people: Sequence[PersonTrack]
) -> Iterator[tuple[int, Sighting]]:
    """Yield places and sightings up to the first that is of the body of one of these people."""
    return itertools.takewhile(lambda row: not _is_somebody(row[1], row[0], people), seen)


def _track_of(seen: Sequence[tuple[int, Sighting]]) -> PersonTrack | None:
    """Return the track of sightings in ascending frames, None of none."""
    return PersonTrack.of([place for place, _ in seen], [sighting for _, sighting in seen]) if seen else None


def holes(frame: np.ndarray, total: int) -> list[tuple[int, int]]:
    """Return the runs of frames, half-open, that are not in `frame`, (N,) ascending, of `total`."""
    edges = np.concatenate([[-1], frame, [total]])
    return [(int(a) + 1, int(b)) for a, b in itertools.pairwise(edges) if b - a > 1]
