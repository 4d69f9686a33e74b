"""Made-up people in the pictures of a clip: sightings and tracks without a network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from racctl.estimators.blazepose.networks import JOINTS
from racctl.estimators.blazepose.region import Region
from racctl.estimators.blazepose.tracker import Sighting
from racctl.estimators.blazepose.tracks import PersonTrack

RED = (0.8, 0.2, 0.2)
BLUE = (0.1, 0.2, 0.9)
SHAPE = np.random.default_rng(33).uniform(-0.4, 0.4, (JOINTS, 2))  # of the joints about the hips, in sizes


def sighting(x=100.0, y=100.0, size=80.0, colour=RED, bend=0.0, track=0, presence=0.95) -> Sighting:
    """Return somebody upright. x, y: of the hips.  size: of the circle about the body.  bend: of the joints, sizes."""
    points = np.zeros((JOINTS + 2, 3), np.float32)
    points[:, :2] = x, y
    points[:JOINTS, :2] += size * SHAPE
    points[1:JOINTS:2, 1] += size * bend
    points[JOINTS + 1, 1] -= size / 2
    return Sighting(
        track=track,
        points=points,
        score=np.ones(JOINTS, np.float32),
        world=np.zeros((JOINTS, 3), np.float32),
        presence=presence,
        region=Region.about(points[JOINTS, :2], points[JOINTS + 1, :2]),
        colours=np.tile(np.float32(colour), (5, 1)),
    )


def person(frames: Sequence[int], x=100.0, y=100.0, size=80.0, colour=RED, bend=0.0) -> PersonTrack:
    """Return a track over these frames. x, y, size, bend: numbers, or functions of the frame."""

    def at(quantity, frame):
        return quantity(frame) if callable(quantity) else quantity

    return PersonTrack.of(
        list(frames),
        [sighting(at(x, f), at(y, f), at(size, f), colour, at(bend, f)) for f in frames],
    )
