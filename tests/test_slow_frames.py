"""Clips with fewer frames per second than the models look at: each frame is shown for several ticks."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from racctl.recognisers.classify_clip import Classification, ClassifyOptions, labels_table
from racctl.recognisers.inputs import Look, Streams
from racctl.windows import resampled


@pytest.mark.parametrize("fps", [5, 12, 15, 24, 30, 50])
@pytest.mark.parametrize("smooth", [0.0, 1.0])
def test_segments_meet_and_never_overlap(fps, smooth):
    rng = np.random.default_rng(fps)
    time = np.arange(20 * fps) / fps
    rows = resampled(time)
    look = Look(0, window=16, stride=8, topology="d2stx25", mask=False)
    streams = Streams(np.zeros((len(rows), 0, 0), np.uint8), None, rows, time[rows], len(time), 20.0)
    windows = look.windows.rows(look.windows.starts(len(rows)), len(rows))
    probs = rng.dirichlet(np.full(3, 0.3), len(windows)).astype(np.float32)
    clip = Classification("a", look, probs, windows, streams, ["x", "y"], {"steps": []}, np.zeros(len(probs)))
    segments = labels_table([clip], ClassifyOptions(smooth=smooth)).to_pylist()
    assert len(segments) > 3
    for row, following in pairwise(segments):
        assert row["start"] < row["stop"] == following["start"], (row, following)
        assert row["stop_s"] == following["start_s"]
