"""Repetitions to density: what goes in comes out as area."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from racctl.density import density

CYCLES = st.lists(st.tuples(st.floats(0, 200), st.floats(0.1, 60)), max_size=12)


@settings(deadline=None)
@given(CYCLES, st.sampled_from([0.0, 0.5, 8.0]), st.sampled_from([1, 4, 8]))
def test_the_area_is_the_number_of_repetitions_in_the_clip(cycles, sigma, step):
    cycles = np.array([(a, a + b) for a, b in cycles]).reshape(-1, 2)
    edges = np.arange(0, 241, step)
    inside = int((cycles.mean(1) <= edges[-1]).sum())
    result = density(cycles, edges, sigma)
    assert result.shape == (len(edges) - 1,) and (result >= 0).all()
    assert result.sum() == pytest.approx(inside)


def test_each_stands_where_it_is_and_as_wide_as_it_is():
    result = density(np.array([[10, 22]]), np.arange(0, 41))
    assert result.argmax() in (15, 16) and result[15] == pytest.approx(result[16])
    assert result[14:18].sum() == pytest.approx(0.6827, abs=1e-3)  # two frames to either side are one deviation
    assert density(np.array([[16, 16]]), np.arange(0, 41))[16] == 1
    assert not density(np.array([[50, 60]]), np.arange(0, 41)).any()
    assert density(np.zeros((0, 2)), np.zeros(1)).shape == (0,)
