"""Frames on a clock and the windows cut from them, held against index arithmetic on the whole clip."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from racctl.video.decode import Frame
from racctl.video.sampling import TickClock, WindowSampling, batched, cut_windows, on_clock
from racctl.windows import resampled


def frames(times, numbers=None) -> list[Frame]:
    numbers = range(len(times)) if numbers is None else numbers
    return [Frame(int(n), float(t), None) for n, t in zip(numbers, times, strict=True)]


def windows(total: int, shots: WindowSampling, blank=None) -> tuple[np.ndarray, list[int]]:
    """The windows of a clip whose pictures are their frame numbers, and the frames that were prepared."""
    prepared = []

    def prepare(frame: Frame) -> np.ndarray:
        prepared.append(frame.number)
        return np.array(frame.number)

    result = list(cut_windows(frames(np.arange(total) / 30), shots, prepare, TickClock([], []), blank))
    return np.array(result), prepared


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.floats(0.001, 0.5), min_size=1, max_size=60), st.sampled_from([5.0, 15.0, 30.0, 60.0]),
    st.floats(-2, 100),
)  # fmt: skip
def test_the_clock_is_that_of_the_whole_clip(gaps, rate, start):
    times = start + np.cumsum(gaps)
    assert [f.number for f in on_clock(frames(times), rate)] == resampled(times, rate).tolist()


def test_every_frame_number_is_a_tick():
    ticks = on_clock(frames([0, 1, 2, 3], [3, 4, 7, 8]), 0)
    assert [f.number for f in ticks] == [3, 4, 4, 4, 7, 8]


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 200), st.integers(2, 70), st.integers(1, 80), st.integers(1, 16))
def test_windows_are_those_of_index_arithmetic(total, window, stride, sampled):
    result, prepared = windows(total, WindowSampling(window, stride, sampled))
    starts = np.arange(0, total, stride)
    offsets = np.linspace(0, window, sampled + 1)[:-1].astype(int)
    assert np.array_equal(result, np.minimum(starts[:, None] + offsets, total - 1))
    assert len(prepared) - len(set(prepared)) <= 1  # the last once more, to fill up with


def test_the_papers_windows_show_every_fourth_frame_and_convert_no_other():
    result, prepared = windows(200, WindowSampling(64, 16, 16))
    assert result[1].tolist() == list(range(16, 80, 4)) and len(result) == 13
    assert set(prepared) == set(range(0, 200, 4)) | {199}


def test_beyond_the_end_is_the_last_frame_or_nothing():
    assert windows(5, WindowSampling(8, 16, 8))[0].tolist() == [[0, 1, 2, 3, 4, 4, 4, 4]]
    assert windows(5, WindowSampling(8, 16, 8), np.array(-1))[0].tolist() == [[0, 1, 2, 3, 4, -1, -1, -1]]
    assert windows(1, WindowSampling(64, 16, 4))[0].tolist() == [[0, 0, 0, 0]]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 90), st.integers(1, 60)), min_size=1, max_size=8))
def test_each_repetition_is_shown_evenly_from_within(spans):
    cycles = np.array(sorted((start, min(start + length, 100)) for start, length in spans))
    result, _ = windows(100, WindowSampling(64, 16, 16, cycles))
    assert result.shape == (len(cycles), 16)
    for (start, stop), shown in zip(cycles, result, strict=True):
        assert shown.tolist() == [start + (stop - start) * k // 16 for k in range(16)]
        assert shown[0] == start and shown[-1] < stop


def test_memory_holds_one_window_of_a_long_clip():
    class Counting:
        alive = most = 0

        def __init__(self) -> None:
            Counting.alive += 1
            Counting.most = max(Counting.most, Counting.alive)

        def __array__(self, dtype=None, copy=None):
            return np.zeros(1)

        def __del__(self) -> None:
            Counting.alive -= 1

    for _ in cut_windows(
        frames(np.arange(5000) / 30), WindowSampling(64, 16, 16), lambda frame: Counting(), TickClock([], [])
    ):
        pass
    assert Counting.most <= 20


def test_spans_are_source_frames_and_seconds():
    clock = TickClock([10, 11, 13, 14], [1.0, 1.1, 1.3, 1.4])
    start, stop, start_s, stop_s = clock.spans(np.array([0, 2]), np.array([2, 9]))
    assert (start.tolist(), stop.tolist()) == ([10, 13], [13, 15])
    assert start_s.tolist() == [1.0, 1.3] and stop_s == pytest.approx([1.3, 1.5])


def test_batches_keep_order_and_rest():
    assert [b.tolist() for b in batched(map(np.array, range(5)), 2)] == [[0, 1], [2, 3], [4]]
