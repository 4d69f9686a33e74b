"""The landmark network's inner features of the people in a clip: the last layer of its backbone.

They are kept in a temporary file on the way, for whose they are is known at the end of the clip alone.
"""

from __future__ import annotations

import threading
from typing import Self

import numpy as np
from einops import reduce

from racctl.estimators.blazepose.networks import SeenBody
from racctl.estimators.blazepose.region import CropSource, Region
from racctl.io.spool import ArraySpool

ROWS_TOGETHER = 256  # frames whose features are in memory at a time


class FeatureStore:
    """Features of a clip's sightings, numbered as they come from any thread; use as a context manager."""

    def __init__(self, side: int = 0) -> None:
        """side: rows and columns that they are averaged to, 0 to keep them as they are."""
        self._side = side
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._spool = ArraySpool()
        self._count = 0
        return self

    def __exit__(self, *exc: object) -> None:
        self._spool.__exit__(*exc)

    def add(self, body: SeenBody, _region: Region, _picture: CropSource) -> int:
        """Store a sighting's features, return their number; what a `PeopleTracker` makes of it."""
        assert body.features is not None
        row = body.features.transpose(2, 0, 1).astype(np.float16)
        if self._side:
            whole = row.astype(np.float32)
            row = reduce(whole, "c (h y) (w x) -> c h w", "mean", h=self._side, w=self._side).astype(np.float16)
        with self._lock:
            self._spool.add(row[None])
            self._count += 1
            return self._count - 1

    def rows(self, frame: np.ndarray, number: np.ndarray, frames: int) -> np.ndarray:
        """Return (T, C, H, W) float16, a memory map: those with a `number` (N,) at their `frame` (N,), 0 elsewhere."""
        stored = self._spool.array()
        numbers = np.full(frames, -1)
        numbers[frame] = number
        with ArraySpool() as spool:
            for begin in range(0, frames, ROWS_TOGETHER):
                block = numbers[begin : begin + ROWS_TOGETHER]
                rows = np.zeros((len(block), *stored.shape[1:]), np.float16)
                rows[block >= 0] = stored[block[block >= 0]]
                spool.add(rows)
            return spool.array()
