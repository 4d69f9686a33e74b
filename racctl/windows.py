"""Fixed windows over a clip: which frames at which rate, where windows begin, and which label one carries.

Mask Cross-Attention Transformer paper, section 4.2: T = 16 frames at 30 frames/s, stride 8, and the label of the frame
in the middle ("smart-middle", frame floor(T / 2) = 8 counted from 0).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from racctl.errors import DataError
from racctl.progress import tell

FRAME_RATE = 30.0  # frames per second
MAX_TICKS = 1 << 25  # ticks of one clip: 12 days at 30 frames/s
MAX_GAP = 10.0  # s between two frames that the first one is shown for; in a longer gap there is nothing to look at


@dataclass(frozen=True)
class Windows:
    """Windows of fixed length over a clip.

    length, stride: frames at `rate` frames per second.
    """

    length: int = 16
    stride: int = 8
    rate: float = FRAME_RATE

    @property
    def middle(self) -> int:
        return self.length // 2

    def starts(self, frames: int) -> np.ndarray:
        """Return (S,) int64: first frame of every whole window of a clip.

        A clip shorter than one window has one, whose missing frames repeat the last (see `rows`).
        """
        return np.arange(0, max(frames - self.length, 0) + 1, self.stride) if frames else np.zeros(0, np.int64)

    def rows(self, starts: np.ndarray, frames: int) -> np.ndarray:
        """Return (S, length) int64: the frames of each window."""
        return np.minimum(starts[:, None] + np.arange(self.length), frames - 1)


def resampled(time: np.ndarray, rate: float = FRAME_RATE) -> np.ndarray:
    """Return the frame nearest in time, (N,) int64, for every tick of a clock at `rate`.

    The clock runs from the first frame to the last.

    time: (T,) ascending seconds.

    Frames are repeated or left out, never blended: a blend of two postures is a posture that nobody took. Of two
    equally near, the earlier. A gap of more than MAX_GAP seconds between two frames has no ticks: the clock goes on at
    the frame after it.
    """
    if not len(time):
        return np.zeros(0, np.int64)
    return np.concatenate([first + _nearest(part, rate) for first, part in unbroken(time)])


def unbroken(time: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Return the parts of (T,) ascending seconds that hold no gap of more than MAX_GAP, each after its first index."""
    breaks = np.flatnonzero(np.diff(time) > MAX_GAP) + 1
    return list(zip([0, *breaks.tolist()], np.split(time, breaks), strict=True))


def _nearest(time: np.ndarray, rate: float) -> np.ndarray:
    if (time[-1] - time[0]) * rate > MAX_TICKS:
        raise DataError(f"the clip's times span {time[-1] - time[0]:g} s; refusing")
    ticks = time[0] + np.arange(int((time[-1] - time[0]) * rate + 0.49) + 1) / rate
    after = np.searchsorted(time, ticks).clip(0, len(time) - 1)
    before = (after - 1).clip(0)
    return np.where(ticks - time[before] <= time[after] - ticks + 1e-9, before, after)


def frame_duration(time: np.ndarray, otherwise: float) -> float:
    """Return how long a frame is shown, seconds: the last one too, as far as anybody knows.

    otherwise: of a single one.
    """
    return float(np.median(np.diff(time))) if len(time) > 1 else otherwise


def mean_rate(time: np.ndarray) -> float:
    """Return the mean frames per second of (T,) ascending seconds; of less than two frames FRAME_RATE."""
    return (len(time) - 1) / float(time[-1] - time[0]) if len(time) > 1 else FRAME_RATE


def frame_step(frame: np.ndarray) -> int:
    """Return the median step between frames; above 1 if frames were skipped."""
    return max(1, int(np.median(np.diff(frame)))) if len(frame) > 1 else 1


def retimed(middle: np.ndarray, tempo: np.ndarray, length: int, frames: np.ndarray) -> np.ndarray:
    """Return (n, length) int64: windows about `middle` frames, played `tempo` times as fast; both (n,).

    Beyond the ends of a clip of `frames` (n,) frames the first or last is repeated. Tempo 1 gives plain windows.
    """
    offsets = (np.arange(length) - length // 2) * np.asarray(tempo)[:, None]
    return (np.asarray(middle)[:, None] + np.rint(offsets).astype(np.int64)).clip(0, np.asarray(frames)[:, None] - 1)


def tell_gaps(clip: str, time: np.ndarray) -> None:
    """Tell in one line where (T,) ascending seconds jump by more than MAX_GAP: nothing is looked at there."""
    jumps = np.diff(time)
    long = np.flatnonzero(jumps > MAX_GAP)
    if len(long):
        first = time[long[0]]
        more = f", and {len(long) - 1} more gaps" if len(long) > 1 else ""
        tell(f"the clock of clip '{clip}' jumps by {jumps[long[0]]:g} s at {first:.2f} s{more}; nothing lies between")


def at_or_before(known: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Return the rows of `known` frames: for each of `frames` the last at or before it."""
    return (np.searchsorted(known, frames, side="right") - 1).clip(0)
