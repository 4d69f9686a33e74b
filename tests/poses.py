"""Made-up poses."""

from __future__ import annotations

import numpy as np

from racctl.contracts import Pose


def swinging_pose(frames=150, period=30, meta=None):
    """Somebody whose every joint goes up and down by a third of the body, `frames / period` times."""
    rng = np.random.default_rng(0)
    body = rng.uniform(0, 300, (33, 3)).astype(np.float32)
    phase = (1 - np.cos(2 * np.pi * np.arange(frames) / period)) / 2
    way = rng.normal(0, 60, (33, 3))
    xyz = (body + phase[:, None, None] * way).astype(np.float32)[:, None]
    return Pose(
        xyz=xyz, score=np.ones(xyz.shape[:3], np.float32), frame=np.arange(frames), time=np.arange(frames) / 30,
        track=np.zeros(1, np.int32), meta=meta or {"clip": "swing", "topology": "blazepose33", "steps": []},
    )  # fmt: skip
