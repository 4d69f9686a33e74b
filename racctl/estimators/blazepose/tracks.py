"""People over a whole clip: sightings become tracks, tracks that jump are split, those of one person are joined.

What a worker sees of a chunk depends on nothing outside of it and of the few frames before it, so the tracks do not
depend on the number of workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from racctl.estimators.blazepose.networks import JOINTS
from racctl.estimators.blazepose.tracker import Sighting, body_gap, body_size, is_same_body

SHORTEST = 2  # frames; who is seen in fewer is nobody
JUMP_WINDOW = 0.4  # s on either side of a jump whose appearances are compared
MIN_LEAP = 0.5  # of the body's size: a way of the hips within JUMP_WINDOW that may be a jump to another body
MIN_GROWTH = 1.35  # times the size, likewise
OTHER_COLOURS = 0.10  # mean difference of the colours (0..1), from which a leap is one to another body
MET = 10  # frames in which two tracks are the same body, from which they remain so; passing takes less
NEAR_BODY = 0.6  # of the body's size: joints as near as this on average may be one person's, where nobody is nearer
MAX_COST = 3.0  # of joining two tracks, which three times OTHER_COLOURS reach wherever they are
CALM = 1.0  # s of a gap in which a person may go as far as the body's size at the cost of 1
SHARED = 8  # frames that two tracks of one person may both have: those that two chunks share


Carry = Callable[["PersonTrack", int], "PersonTrack | None"]  # a track, and the number of the chunk to carry it into


@dataclass(eq=False)
class PersonTrack:
    """A person over some frames.

    frame: (N,) places in the clip, ascending.
    points: (N, 35, 3) pixels, raw.  score: (N, 33).  world: (N, 33, 3) metres.
    region: (N, 4) x, y, side, angle.  colours: (N, 5, 3).
    extra: (N,) objects, what else was made of each sighting.
    """

    frame: np.ndarray
    points: np.ndarray
    score: np.ndarray
    world: np.ndarray
    region: np.ndarray
    colours: np.ndarray
    extra: np.ndarray

    @classmethod
    def of(cls, frame: Sequence[int], sightings: Sequence[Sighting]) -> PersonTrack:
        """Return the track of these sightings."""
        regions = [(s.region.x, s.region.y, s.region.side, s.region.angle) for s in sightings]
        extra = np.empty(len(sightings), object)
        extra[:] = [s.extra for s in sightings]
        return cls(
            frame=np.array(frame),
            points=np.stack([s.points for s in sightings]),
            score=np.stack([s.score for s in sightings]),
            world=np.stack([s.world for s in sightings]),
            region=np.array(regions),
            colours=np.stack([s.colours for s in sightings]),
            extra=extra,
        )

    def __len__(self) -> int:
        return len(self.frame)

    def part(self, which: np.ndarray | slice) -> PersonTrack:
        """Return the track of some of its sightings."""
        return PersonTrack(*(getattr(self, name)[which] for name in self.__dataclass_fields__))

    def points_at(self, place: int) -> np.ndarray | None:
        """Return (35, 3) pixels of the sighting in a frame, or None."""
        n = int(np.searchsorted(self.frame, place))
        return self.points[n] if n < len(self) and self.frame[n] == place else None

    @property
    def hips(self) -> np.ndarray:
        """(N, 2) pixels."""
        return self.points[:, JOINTS, :2]

    @property
    def size(self) -> np.ndarray:
        """(N,) pixels, the circle about the body across."""
        return body_size(self.points)


def merged(tracks: Iterable[PersonTrack]) -> PersonTrack:
    """Return one track of several; of two sightings in a frame the first track's."""
    tracks = list(tracks)
    joined = PersonTrack(
        *(np.concatenate([getattr(t, name) for t in tracks]) for name in PersonTrack.__dataclass_fields__)
    )
    _, first = np.unique(joined.frame, return_index=True)
    return joined.part(first)


def chunk_tracks(begin: int, frames: Sequence[Sequence[Sighting]]) -> list[PersonTrack]:
    """Return the tracks in a chunk. begin: the place of its first frame.  frames: who was seen in each."""
    people: dict[int, tuple[list[int], list[Sighting]]] = {}
    for place, sightings in enumerate(frames, begin):
        for sighting in sightings:
            numbers, seen = people.setdefault(sighting.track, ([], []))
            numbers.append(place)
            seen.append(sighting)
    return [PersonTrack.of(numbers, seen) for numbers, seen in people.values()]


def whole_tracks(
    chunks: Sequence[Sequence[PersonTrack]], time: np.ndarray, carry: Carry | None = None
) -> list[PersonTrack]:
    """Return the people of a clip. chunks: their tracks in each, which share a few frames.  time: (T,) seconds.
    carry: see `chain_chunks`."""
    shortest = min(SHORTEST, len(time))
    tracks = chain_chunks(chunks, carry)
    tracks = [part for track in tracks for part in split(track, time) if len(part) >= shortest]
    return join_tracks(without_doubles(tracks, shortest), time)


def chain_chunks(chunks: Sequence[Sequence[PersonTrack]], carry: Carry | None = None) -> list[PersonTrack]:
    """Continue tracks over the borders of chunks: who is in one place in the frames that both saw is one person.

    carry: tracks somebody on into a chunk whose own tracker did not see them at its beginning, for the detector missed
    them or somebody else was before them.
    """
    ended: list[PersonTrack] = []
    running: list[PersonTrack] = []
    for number, chunk in enumerate(chunks):
        tracks = list(chunk)
        followers = _followers(running, tracks)
        border = max((int(track.frame[-1]) for track in running), default=-1)
        for a, track in enumerate(running):
            if carry and a not in followers and track.frame[-1] == border:
                more = carry(track, number)
                if more is not None:
                    running[a] = merged([track, more])
                    _take_over(a, running, tracks, followers)
        continued = [merged([running[a], tracks[b]]) for a, b in followers.items()]
        ended += [track for a, track in enumerate(running) if a not in followers]
        running = continued + [track for b, track in enumerate(tracks) if b not in followers.values() and len(track)]
    return ended + running


def _take_over(a: int, running: list[PersonTrack], tracks: list[PersonTrack], followers: dict[int, int]) -> None:
    """Where somebody who was carried on comes to be the body of a track of the chunk, give that body to one of the two.

    The one whose colours it has; the track's end is theirs, and its beginning remains a track.
    """
    carried = running[a]
    for b, track in enumerate(tracks):
        meeting = _meeting(carried, track)
        if meeting is None:
            continue
        before = track.part(track.frame < meeting)
        after = track.part(track.frame >= meeting)
        past = [running[key] for key, value in followers.items() if value == b] + [before]
        rival = np.concatenate([person.colours for person in past])
        if len(rival) >= SHORTEST and _unlike(rival, after.colours) < _unlike(carried.colours, after.colours):
            running[a] = carried.part(carried.frame < meeting)
            return
        tracks[b] = before
        tracks.append(after)
        followers[a] = len(tracks) - 1
        return


def _meeting(track: PersonTrack, second: PersonTrack) -> int | None:
    """Return the frame from which on two tracks are the same body until one of them ends; None where they are not."""
    doubled = _doubled(track, second)
    shared = np.isin(track.frame, second.frame)
    apart = np.flatnonzero(shared & ~doubled)
    begin = int(apart[-1]) + 1 if len(apart) else 0
    return int(track.frame[begin:][doubled[begin:]][0]) if doubled[begin:].sum() >= MET else None


def _followers(tracks: Sequence[PersonTrack], later: Sequence[PersonTrack]) -> dict[int, int]:
    """Return which of the later tracks goes on with which, the nearest pair first."""
    gaps = sorted((distance(track, second), a, b) for a, track in enumerate(tracks) for b, second in enumerate(later))
    followers: dict[int, int] = {}
    for gap, a, b in gaps:
        if gap < NEAR_BODY and a not in followers and b not in followers.values():
            followers[a] = b
    return followers


def distance(track: PersonTrack, second: PersonTrack) -> float:
    """Return how far apart the joints of two people are in the frames that both have, in halves of the body's size.

    The median over the frames; infinite where they have none.
    """
    _, a, b = np.intersect1d(track.frame, second.frame, assume_unique=True, return_indices=True)
    if not len(a):
        return np.inf
    return float(np.median(body_gap(track.points[a], second.points[b])))


def without_doubles(tracks: list[PersonTrack], shortest: int = SHORTEST) -> list[PersonTrack]:
    """Leave out the shorter of two tracks wherever both are on the same body. shortest: frames of those that remain."""
    chosen: list[PersonTrack] = []
    for track in sorted(tracks, key=lambda t: (-len(t), int(t.frame[0]))):
        for longer in chosen:
            track = track.part(~_doubled(track, longer))
        if len(track) >= shortest:
            chosen.append(track)
    return chosen


def _doubled(track: PersonTrack, longer: PersonTrack) -> np.ndarray:
    """(N,) which sightings of a track are of the body that another one has in that frame."""
    doubled = np.zeros(len(track), bool)
    _, a, b = np.intersect1d(track.frame, longer.frame, assume_unique=True, return_indices=True)
    doubled[a] = is_same_body(track.points[a], longer.points[b])
    return doubled


def split(track: PersonTrack, time: np.ndarray) -> list[PersonTrack]:
    """Cut a track where it jumps to another body: far, or to another size, and to other colours that last."""
    when = time[track.frame]
    cuts = []
    t = 1
    while t < len(track):
        if not _is_jump(track, when, t):
            t += 1
            continue
        cut = _sharpest_change(track, when, t)
        cuts.append(cut)
        t = int(np.searchsorted(when, when[cut] + JUMP_WINDOW))
    return [track.part(slice(a, b)) for a, b in zip([0, *cuts], [*cuts, len(track)], strict=True)]


def _is_jump(track: PersonTrack, when: np.ndarray, t: int) -> bool:
    before, after = _about(when, t)
    size = np.median(track.size[before])
    way = np.linalg.norm(track.hips[t] - track.hips[t - 1]) / size
    growth = np.median(track.size[after]) / size
    gone = np.linalg.norm(np.median(track.hips[after], 0) - np.median(track.hips[before], 0)) / size
    if max(way, gone) < MIN_LEAP and max(growth, 1 / growth) < MIN_GROWTH:
        return False
    return _unlike(track.colours[before], track.colours[after]) > OTHER_COLOURS


def _about(when: np.ndarray, t: int) -> tuple[slice, slice]:
    """Return the places within the window before t and from t on; at least one, however long nobody was seen."""
    begin = int(np.searchsorted(when, when[t] - JUMP_WINDOW))
    return slice(min(begin, t - 1), t), slice(t, int(np.searchsorted(when, when[t] + JUMP_WINDOW)))


def _sharpest_change(track: PersonTrack, when: np.ndarray, t: int) -> int:
    """Return the place from t on, within the window, where the colours change most: medians see a jump before it."""
    changes = []
    for place in range(t, int(np.searchsorted(when, when[t] + JUMP_WINDOW))):
        before, after = _about(when, place)
        changes.append(float(np.abs(track.colours[after].mean(0) - track.colours[before].mean(0)).mean()))
    return t + int(np.argmax(changes))


def _unlike(colours: np.ndarray, others: np.ndarray) -> float:
    """Return the mean difference, 0..1, of the median colours of two people's parts, (N, 5, 3) each."""
    return float(np.abs(np.median(colours, 0) - np.median(others, 0)).mean())


def join_tracks(tracks: list[PersonTrack], time: np.ndarray) -> list[PersonTrack]:
    """Join tracks that may be one person: never in view at one time, of like colours, and near in place and size.

    The cheapest pair is joined first. Returns them the longest first.
    """
    people = [[track] for track in tracks]
    costs = {(a, b): _cost(people[a], people[b], time) for a in range(len(people)) for b in range(a)}
    while costs:
        pair = min(costs, key=lambda key: (costs[key], key))
        if costs[pair] >= MAX_COST:
            break
        a, b = pair
        people[b] = sorted(people[a] + people[b], key=lambda t: int(t.frame[0]))
        people[a] = []
        costs = {key: cost for key, cost in costs.items() if a not in key and b not in key}
        for c in range(len(people)):
            if c != b and people[c]:
                costs[max(b, c), min(b, c)] = _cost(people[b], people[c], time)
    return sorted((merged(parts) for parts in people if parts), key=lambda t: (-len(t), int(t.frame[0])))


def _cost(person: list[PersonTrack], second: list[PersonTrack], time: np.ndarray) -> float:
    """Return the cost of taking two people for one; infinite where they cannot be."""
    if any(len(np.intersect1d(a.frame, b.frame)) > SHARED for a in person for b in second):
        return np.inf
    unlike = _unlike(
        np.concatenate([track.colours for track in person]), np.concatenate([track.colours for track in second])
    )
    nearest = min((_gap_cost(a, b, time) for a in person for b in second), default=np.inf)
    return unlike / OTHER_COLOURS + nearest


def _gap_cost(track: PersonTrack, neighbour: PersonTrack, time: np.ndarray) -> float:
    """Return how far and how much bigger or smaller somebody would have become between two tracks; less with time."""
    first, second = sorted((track, neighbour), key=lambda person: int(person.frame[0]))
    ease = 1 + max(0.0, float(time[second.frame[0]] - time[first.frame[-1]])) / CALM
    size = float(np.median(first.size[-5:]))
    growth = abs(np.log(float(np.median(second.size[:5])) / max(size, 1e-6)))
    way = float(np.linalg.norm(np.median(second.hips[:5], 0) - np.median(first.hips[-5:], 0))) / max(size, 1e-6)
    return (way + growth / np.log(MIN_GROWTH)) / ease
