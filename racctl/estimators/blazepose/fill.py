"""Track people where their chunk lost them: on from the chunk before, and back from where they were seen again."""

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

    def fill(self, track: PersonTrack, everybody: list[PersonTrack], borders: list[int]) -> PersonTrack:
        """Return the track with what more there is of it. everybody: the other people of the clip too, whom it must not
        become.  borders: first frames of the chunks, in which tracking began anew."""
        for begin, end in holes(track.frame, len(self._time)):
            before = int(np.searchsorted(track.frame, begin)) - 1
            if before >= 0 and any(begin - 2 <= border <= end for border in borders):
                seen = self._forward(track, before, end, everybody)
                track = merged([track, seen]) if seen else track
                begin = int(seen.frame[-1]) + 1 if seen else begin
            if end < len(self._time) and begin < end:
                seen = self._backward(track, int(np.searchsorted(track.frame, end)), begin, everybody)
                track = merged([track, seen]) if seen else track
        return track

    def carry(self, track: PersonTrack, chunk: Sequence[PersonTrack], end: int) -> PersonTrack | None:
        """Return what there is of a track after its last frame, up to the frame `end`, or to where it has become the
        body of one of the chunk's tracks for a while."""
        begin = int(track.frame[-1]) + 1
        if begin >= end:
            return None
        self._start(track, len(track) - 1, float(self._time[begin - 1]))
        return self._follow(enumerate(self._reread(begin, end), begin), 1.0, track, list(chunk), MET)

    def _forward(self, track: PersonTrack, place: int, end: int, everybody: list[PersonTrack]) -> PersonTrack | None:
        begin = int(track.frame[place]) + 1
        end = min(end, int(np.searchsorted(self._time, self._time[begin] + REACH)))
        self._start(track, place, float(self._time[begin - 1]))
        return self._follow(enumerate(self._reread(begin, end), begin), 1.0, track, everybody)

    def _backward(self, track: PersonTrack, place: int, begin: int, everybody: list[PersonTrack]) -> PersonTrack | None:
        end = int(track.frame[place])
        begin = max(begin, int(np.searchsorted(self._time, self._time[end] - REACH)))
        self._start(track, place, -float(self._time[end]))
        return self._follow(self._reversed(begin, end), -1.0, track, everybody)

    def _start(self, track: PersonTrack, place: int, time: float) -> None:
        self._tracker.reset()
        self._tracker.begin(Region(*track.region[place].tolist()), time)

    def _reversed(self, begin: int, end: int) -> Iterator[tuple[int, Frame]]:
        """Yield the frames from the last to the first, a block of them in memory."""
        for last in range(end, begin, -BLOCK):
            first = max(begin, last - BLOCK)
            yield from reversed(list(enumerate(self._reread(first, last), first)))

    def _follow(
        self,
        frames: Iterable[tuple[int, Frame]],
        sign: float,
        track: PersonTrack,
        everybody: list[PersonTrack],
        met: int = 1,
    ) -> PersonTrack | None:
        """Return what the tracker sees until it gives up, or comes to somebody else. met: frames in which it must be
        somebody else's body."""
        places: list[int] = []
        sightings: list[Sighting] = []
        meetings = 0
        for place, frame in frames:
            self._check()
            picture = CropSource(working_image(frame.image, self._reformatter), self._reformatter, self._rotation)
            seen = self._tracker(picture, sign * float(self._time[place]), look=False)
            if seen:
                meetings = meetings + 1 if self._is_somebody_else(seen[0], place, track, everybody) else 0
            if self._tracker.is_idle or (met == 1 and meetings):
                break
            if seen:
                places.append(place)
                sightings.append(seen[0])
            if meetings >= met:
                break
        order = np.argsort(places)
        return PersonTrack.of([places[k] for k in order], [sightings[k] for k in order]) if places else None

    def _is_somebody_else(
        self, sighting: Sighting, place: int, track: PersonTrack, everybody: list[PersonTrack]
    ) -> bool:
        neighbours = (person.sighting(place) for person in everybody if person is not track)
        return any(seen is not None and is_same_body(sighting, seen) for seen in neighbours)


def holes(frame: np.ndarray, total: int) -> list[tuple[int, int]]:
    """Return the runs of frames, half-open, that are not in `frame`, (N,) ascending, of `total`."""
    edges = np.concatenate([[-1], frame, [total]])
    return [(int(a) + 1, int(b)) for a, b in itertools.pairwise(edges) if b - a > 1]
