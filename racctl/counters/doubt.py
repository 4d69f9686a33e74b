"""What is doubtful about a count, in words: pairs of sides, halves and doubles, and too little to see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from racctl.contracts import Pose
    from racctl.counters.recurrence import Repetitions

HALF_OF, TWICE_OF = (0.42, 0.6), (1.7, 2.4)  # shares of the count that another reading's is half, or twice of
SECONDS_TO_TELL = 2.5  # that somebody must be in view
JOINTS_TO_TELL = 0.4  # share of the joints that must be
SURE_SCORE = 0.5  # of a joint that is in view
STILL = 0.1  # body sizes; who moves no more repeats nothing
USUAL_SECONDS = 2.0  # of a repetition


@dataclass(frozen=True)
class Sight:
    """How much of somebody is seen.

    seconds: in view.  length: of the clip, s.  joints: share of the joints in view, in the usual frame.
    moved: how far from the usual posture, body sizes.
    """

    seconds: float
    length: float
    joints: float
    moved: float

    @property
    def is_enough(self) -> bool:
        """Whether it is enough to tell that nothing repeats."""
        return self.seconds >= SECONDS_TO_TELL and self.joints >= JOINTS_TO_TELL


def sight_of(pose: Pose, person: int) -> Sight:
    """Return how much a pose shows of a person, by index on axis M."""
    xy = pose.xyz[:, person, :, :2]
    seen = np.isfinite(xy).all(2).any(1)
    interval = float(np.median(np.diff(pose.time))) if len(pose.time) > 1 else 0.0
    length = len(seen) * interval
    if seen.sum() < 2:
        return Sight(0.0, length, 0.0, 0.0)
    joints = float(np.median((pose.score[seen, person] > SURE_SCORE).mean(1)))
    body = np.nan_to_num(xy[seen] - np.nanmedian(xy[seen], axis=0))
    size = float(np.nanmedian(np.linalg.norm(np.nanmax(xy[seen], 1) - np.nanmin(xy[seen], 1), axis=1))) + 1e-9
    moved = np.sqrt((np.linalg.norm(body, axis=2) ** 2).mean(1)) / size
    return Sight(float(seen.sum()) * interval, length, joints, float(np.percentile(moved, 95)))


def most_unseen(sight: Sight) -> int:
    """Return how many repetitions there may be where none is found."""
    if not sight.is_enough:
        return max(1, round(sight.length / USUAL_SECONDS))
    return int(sight.moved > STILL)


def doubt_in_words(reading: Repetitions, sight: Sight, alternating: str) -> str:
    """Return what is doubtful, "" for nothing; alternating: "each" or "pair", what was counted of sides."""
    count = reading.count
    remarks = []
    if alternating == "each" and reading.alternating and count > 1:
        remarks.append(f"or {count // 2} {'pairs' if count > 3 else 'pair'} of left and right")
    elif halves := [rival for rival in reading.rivals if _is_within(rival, count, HALF_OF)]:
        remarks.append(f"or {max(halves)}, if two movements are one repetition")
    if doubles := [rival for rival in reading.rivals if _is_within(rival, count, TWICE_OF)]:
        remarks.append(f"or {min(doubles)}, if each is two")
    if not count and not sight.is_enough:
        remarks.append(_little(sight))
    elif not count and sight.moved > STILL:
        remarks.append("or 1: what is done once cannot be told from getting into position")
    return "; ".join(remarks)


def _little(sight: Sight) -> str:
    if sight.seconds < SECONDS_TO_TELL:
        return f"too little to tell: the person is in view for {sight.seconds:.1f} of {sight.length:.1f} s"
    return f"too little to tell: {sight.joints:.0%} of the joints are in view"


def _is_within(rival: int, count: int, shares: tuple[float, float]) -> bool:
    return shares[0] * count <= rival <= shares[1] * count and rival != count
