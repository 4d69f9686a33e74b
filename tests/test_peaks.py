"""Peaks and prominences, against scipy's."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.signal import find_peaks

from racctl.counters.peaks import prominent_peaks

LEVELS = st.integers(-4, 4).map(float)  # few, so that there are plateaus and equal heights


@settings(max_examples=400, deadline=None)
@given(arrays(np.float64, st.integers(1, 40), elements=LEVELS), st.sampled_from([0.0, 1.0, 2.5]))
def test_peaks_are_scipys(signal, least):
    places, prominences = prominent_peaks(signal, least)
    expected, properties = find_peaks(signal, prominence=least)
    assert places.tolist() == expected.tolist()
    assert prominences.tolist() == properties["prominences"].tolist()


def test_peaks_of_a_long_signal_are_scipys():
    signal = np.cumsum(np.random.default_rng(3).standard_normal(20_000))
    places, prominences = prominent_peaks(signal, 0.5)
    expected, properties = find_peaks(signal, prominence=0.5)
    assert np.array_equal(places, expected) and np.array_equal(prominences, properties["prominences"])


def test_counting_does_not_import_scipys_signals():
    code = "import sys, racctl.counters.count_clip, racctl.counters.periodicity; print('scipy.signal' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "False\n"
