"""Following people through the frames of a file that does not say who is who."""

from __future__ import annotations

import numpy as np

from racctl.errors import DataError
from racctl.io.poses.landmarks import Note

MAX_TRACKS = 1024  # in one clip, false detections included; beyond, matching takes longer than the clip is worth
MAX_PEOPLE = 16  # kept of them, the most seen first
MAX_MATCH_DISTANCE = 1.0  # of the body's extent: a person found further away than this is another one


def follow_people(frames: list[list[np.ndarray]], source: str) -> list[list[int]]:
    """Give each detection a track number, first come first numbered.

    frames: per frame the people in it, each (V, 2) with NaN where a joint is unknown.

    In each frame the closest pairs of a track's last position and a person go together, measured by the mean distance
    of the joints both have over the extent of the body. Where no frame holds two people there is one track, however far
    it jumps. Raises DataError beyond MAX_TRACKS.
    """
    if max((len(people) for people in frames), default=0) <= 1:
        return [[0] * len(people) for people in frames]
    last: list[np.ndarray] = []
    tracks = []
    for people in frames:
        chosen = _match(last, people)
        for person, track in enumerate(chosen):
            if track < 0:
                chosen[person] = track = len(last)
                last.append(people[person])
            # a joint that is hidden now stays where it was seen, so that partial views still meet
            last[track] = np.where(np.isnan(people[person]), last[track], people[person])
        if len(last) > MAX_TRACKS:
            raise DataError(f"'{source}' seems to show more than {MAX_TRACKS} people; expected one clip of a few")
        tracks.append(chosen)
    return tracks


def _match(last: list[np.ndarray], people: list[np.ndarray]) -> list[int]:
    """Return the track of each person, -1 for a new one: the closest pair first, each track and person once."""
    chosen = [-1] * len(people)
    if not last or not people or len(people) > MAX_TRACKS:
        return chosen
    cost = _distances(np.stack(last), np.stack(people))
    for flat in np.argsort(cost, axis=None, kind="stable"):
        track, person = (int(i) for i in np.unravel_index(flat, cost.shape))
        if not cost[track, person] <= MAX_MATCH_DISTANCE:
            break
        if chosen[person] < 0 and track not in chosen:
            chosen[person] = track
    return chosen


def _distances(last: np.ndarray, people: np.ndarray) -> np.ndarray:
    """Return (K, V, 2), (P, V, 2) -> (K, P).

    Mean joint distance over body extent, infinite where no joint is shared.
    """
    gap = np.linalg.norm(last[:, None] - people[None], axis=-1)
    shared = np.isfinite(gap)
    total = np.where(shared, gap, 0).sum(-1)
    extent = np.maximum(_extent(last)[:, None], _extent(people)[None])
    mean = np.divide(total, shared.sum(-1), out=np.full(total.shape, np.inf), where=shared.any(-1))
    return mean / np.maximum(extent, 1e-9)


def _extent(people: np.ndarray) -> np.ndarray:
    """Return (P, V, 2) -> (P,): the diagonal of the box around the known joints."""
    low = np.where(np.isnan(people), np.inf, people).min(1)
    high = np.where(np.isnan(people), -np.inf, people).max(1)
    box = np.where(high >= low, high - low, 0)
    return np.linalg.norm(box, axis=-1)


def stack_people(
    frames: list[list[np.ndarray]], tracks: list[list[int]], joints: int, source: str, note: Note
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (T, M, V, 2) positions, (T, M, V) scores and (M,) track numbers from per-frame people, each (V, 3).

    X, y, score.

    NaN where somebody is not. The person with most known joints over the clip comes first; of many, the first
    MAX_PEOPLE are kept (the others are mostly false detections), which `note` is told. A track twice in one frame is a
    DataError.
    """
    seen: dict[int, int] = {}
    for people, chosen in zip(frames, tracks, strict=True):
        if len(set(chosen)) != len(chosen):
            raise DataError(f"'{source}' names the same person twice in one frame; expected one clip, one id each")
        for person, track in zip(people, chosen, strict=True):
            seen[track] = seen.get(track, 0) + int(np.isfinite(person[:, 0]).sum())
    order = sorted(seen, key=lambda track: (-seen[track], track)) or [0]
    if len(order) > MAX_PEOPLE:
        note(f"'{source}' shows {len(order)} people; keeping the {MAX_PEOPLE} seen most")
    place = {track: m for m, track in enumerate(order[:MAX_PEOPLE])}
    out = np.full((len(frames), len(place), joints, 3), np.nan)
    for t, (people, chosen) in enumerate(zip(frames, tracks, strict=True)):
        for person, track in zip(people, chosen, strict=True):
            if track in place:
                out[t, place[track]] = person
    return out[..., :2], out[..., 2], np.array(list(place))
