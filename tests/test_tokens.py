"""Windows that overlap become one sequence, each token from where it lies best."""

from __future__ import annotations

import numpy as np
import pytest

from racctl.contracts import Features
from racctl.encoders.tokens import sequence
from racctl.errors import DataError


def features(ticks: int, window: int = 64, stride: int = 16, video: int = 8, pose: int = 16) -> Features:
    """Tokens whose first channel is the window and whose second is the tick at their middle."""
    starts = np.arange(0, ticks, stride)

    def tokens(each: int, *more: int) -> np.ndarray:
        middle = starts[:, None] + (np.arange(each) + 0.5) * window / each
        both = np.stack([np.broadcast_to(np.arange(len(starts))[:, None], middle.shape), middle], 1)
        return np.broadcast_to(both[(...,) + (None,) * len(more)], (*both.shape, *more)).astype(np.float16)

    stops = np.minimum(starts + window, ticks)
    meta = {"clip": "c", "span": "windows", "window": window, "stride": stride, "ticks": ticks, "rate": 30.0}
    return Features(starts * 2, stops * 2, meta, tokens(video, 2, 2), tokens(pose, 3, 1), starts / 30, stops / 30)


@pytest.mark.parametrize("ticks", [1, 7, 64, 65, 100, 300])
@pytest.mark.parametrize("step", [4, 8])
def test_the_sequence_runs_through_the_clip(ticks, step):
    result = sequence(features(ticks), step)
    count = -(-ticks // step)
    assert len(result) == count and result.video.shape == (count, 2, 2, 2) and result.pose.shape == (count, 2, 3)
    assert result.time[0] == 0 and result.time[-1] == pytest.approx(ticks / 30)
    assert result.frame == pytest.approx(np.minimum(np.arange(count + 1) * step, ticks) * 2)
    if step == 4:
        assert result.pose[:, 1, 0].tolist() == [4 * k + 2 for k in range(count)]
        assert result.video[:, 1, 0, 0].tolist() == [8 * (k // 2) + 4 for k in range(count)]
    else:  # the pose's tokens, averaged in pairs
        whole = count - (ticks % 8 in (1, 2, 3, 4))
        assert result.pose[:whole, 1, 0].tolist() == [8 * k + 4 for k in range(whole)]


def test_each_token_comes_from_the_middle_of_a_window():
    result = sequence(features(640), 4)
    away = np.abs(result.pose[:, 1, 0] - (result.pose[:, 0, 0] * 16 + 32))
    inner = slice(8, -8)
    assert away[inner].max() <= 8 and away.max() <= 32


def test_what_does_not_fit_is_one_line():
    for change, message in (
        ({"span": "repetitions"}, "does not hold a clip's windows"), ({"ticks": 500}, "not as many as it says"),
        ({"stride": 80}, "leave gaps"),
    ):  # fmt: skip
        wrong = features(100)
        wrong.meta |= change
        with pytest.raises(DataError, match=message):
            sequence(wrong, 8)
    with pytest.raises(DataError, match="fit neither"):
        sequence(features(100, stride=10), 8)
    with pytest.raises(DataError, match="fit neither"):
        sequence(features(100), 6)
