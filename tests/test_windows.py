"""Fixed windows: starts, the resampled clock, retimed windows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from racctl.windows import Windows, resampled, retimed


def test_the_paper_has_windows_of_16_every_8_with_the_label_of_frame_8():
    windows = Windows()
    assert (windows.length, windows.stride, windows.rate, windows.middle) == (16, 8, 30.0, 8)
    assert windows.starts(40).tolist() == [0, 8, 16, 24]
    assert windows.rows(np.array([24]), 40).tolist() == [list(range(24, 40))]


@pytest.mark.parametrize(("frames", "starts"), [(0, []), (1, [0]), (15, [0]), (16, [0]), (23, [0]), (24, [0, 8])])
def test_short_clips_have_one_window(frames, starts):
    assert Windows().starts(frames).tolist() == starts


def test_a_short_clip_repeats_its_last_frame():
    assert Windows(4, 2).rows(np.array([0]), 2).tolist() == [[0, 1, 1, 1]]


def test_resampling_takes_the_nearest_frame():
    assert resampled(np.arange(60) / 60).tolist() == list(range(0, 60, 2))
    assert resampled(np.arange(5) / 15).tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4]
    assert resampled(np.array([2.0])).tolist() == [0]
    assert resampled(np.zeros(0)).tolist() == []


@given(st.lists(st.floats(0.001, 0.5), min_size=1, max_size=60), st.floats(1, 120))
def test_no_other_frame_is_nearer(gaps, rate):
    time = np.cumsum(gaps)
    rows = resampled(time, rate)
    ticks = time[0] + np.arange(len(rows)) / rate
    distance = np.abs(time[rows] - ticks)
    assert (distance <= np.abs(time[None] - ticks[:, None]).min(1) + 1e-6).all()
    assert (np.diff(rows) >= 0).all()
    assert rows[0] == 0


def test_retimed_windows_skip_and_repeat_about_their_middle():
    assert retimed([8], [1.0], 16, [100])[0].tolist() == list(range(16))
    assert retimed([50], [2.0], 4, [100])[0].tolist() == [46, 48, 50, 52]
    assert retimed([50], [0.5], 4, [100])[0].tolist() == [49, 50, 50, 50]  # rint: halves to even
    assert retimed([1], [4.0], 4, [6])[0].tolist() == [0, 0, 1, 5]
