"""Low-pass filters over time for joints and angles: which there are, and how one is applied to a clip with gaps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from racctl.errors import UsageError
from racctl.kinds import Kind, setting

if TYPE_CHECKING:  # numpy and scipy are imported where they are used, for '--help' reads the settings here
    import numpy as np

FILTERS = Kind(
    "filter",
    "racctl.filters",
    {
        "none": "racctl.skeleton.filters:Unfiltered",
        "butterworth": "racctl.skeleton.filters:Butterworth",
        "savitzky-golay": "racctl.skeleton.filters:SavitzkyGolay",
    },
)
MAX_BRIDGED_GAP = 0.25  # s; a longer one separates what is filtered
PASSES = 2  # forwards and backwards, so that nothing is delayed


class Filter(Protocol):
    """A filter of evenly sampled values.

    Settings: a frozen dataclass of `racctl.kinds.setting` fields.
    """

    Settings: ClassVar[type]

    def __init__(self, settings: object) -> None: ...

    def __call__(self, values: np.ndarray, rate: float) -> np.ndarray:
        """Return (N, C) of (N, C) sampled at `rate` Hz, N >= 1, all known; UsageError for settings that do not fit."""


@dataclass(frozen=True)
class UnfilteredSettings:
    """Nothing to choose."""


class Unfiltered:
    """Leaves values as they are."""

    Settings = UnfilteredSettings

    def __init__(self, settings: UnfilteredSettings) -> None:
        del settings

    def __call__(self, values: np.ndarray, rate: float) -> np.ndarray:
        del rate
        return values


@dataclass(frozen=True)
class ButterworthSettings:
    """cutoff: Hz, where the power is halved by both passes together.

    order: of both passes together.
    """

    cutoff: float = setting(6.0, "Keep what is slower than this.", "HZ", at_least=0.01)
    order: int = setting(4, "Use a filter of this order; even, for it runs forwards and backwards.", "N", at_least=2)

    def __post_init__(self) -> None:
        if self.order % PASSES or not 2 <= self.order <= 16:
            raise UsageError(f"invalid value '{self.order}' for '--order'; expected an even number from 2 to 16")


class Butterworth:
    """A Butterworth filter without delay: scipy's, forwards and backwards.

    The cutoff of each pass is raised so that both together have the one that was asked for (Winter, Biomechanics and
    Motor Control of Human Movement, 4th edition, section 3.4.4.2).
    """

    Settings = ButterworthSettings

    def __init__(self, settings: ButterworthSettings) -> None:
        self.settings = settings

    def __call__(self, values: np.ndarray, rate: float) -> np.ndarray:
        from scipy.signal import butter, sosfiltfilt

        order = self.settings.order // PASSES
        cutoff = self.settings.cutoff / (2 ** (1 / PASSES) - 1) ** (1 / (2 * order))
        if cutoff >= rate / 2:
            raise UsageError(
                f"invalid value '{self.settings.cutoff:g}' for '--cutoff'; at {rate:.3g} frames/s it has to be below "
                f"{rate / 2 * self.settings.cutoff / cutoff:.3g} Hz"
            )
        sections = butter(order, cutoff, fs=rate, output="sos")
        padding = min(3 * (2 * len(sections) + 1), len(values) - 1)
        return sosfiltfilt(sections, values, axis=0, padlen=padding)


@dataclass(frozen=True)
class SavitzkyGolaySettings:
    """window: s that each polynomial is fitted over.

    polynomial: its degree.
    """

    window: float = setting(0.3, "Fit each polynomial over this long.", "SECONDS", at_least=0.001, at_most=3600)
    polynomial: int = setting(3, "Fit polynomials of this degree.", "N", at_least=0, at_most=10)


class SavitzkyGolay:
    """A Savitzky-Golay filter: scipy's. What is shorter than the window is left as it is."""

    Settings = SavitzkyGolaySettings

    def __init__(self, settings: SavitzkyGolaySettings) -> None:
        self.settings = settings

    def __call__(self, values: np.ndarray, rate: float) -> np.ndarray:
        from scipy.signal import savgol_filter

        frames = 2 * (round(self.settings.window * rate) // 2) + 1
        if frames <= self.settings.polynomial:
            raise UsageError(
                f"invalid value '{self.settings.window:g}' for '--window'; at {rate:.3g} frames/s it holds {frames} "
                f"frames, and a polynomial of degree {self.settings.polynomial} needs more"
            )
        if len(values) < frames:
            return values
        return savgol_filter(values, frames, self.settings.polynomial, axis=0)


def filtered(places: np.ndarray, time: np.ndarray, smoothing: Filter) -> np.ndarray:
    """Return (T, V, D) filtered joint by joint; NaN stays NaN.

    A joint that is not seen for up to `MAX_BRIDGED_GAP` is bridged while the filter runs; longer gaps separate what
    is filtered. time: (T,) ascending s; values are filtered on an even clock at the clip's median rate.
    """
    import numpy as np

    result = places.astype(np.float64)
    if len(time) < 2 or isinstance(smoothing, Unfiltered):
        return result
    interval = float(np.median(np.diff(time)))
    for joint in range(places.shape[1]):
        known = np.flatnonzero(np.isfinite(places[:, joint]).all(1))
        breaks = np.flatnonzero(np.diff(time[known]) > max(MAX_BRIDGED_GAP, 1.5 * interval)) + 1
        for rows in np.split(known, breaks):
            if len(rows) > 1:
                result[rows, joint] = _filtered_run(result[rows, joint], time[rows], interval, smoothing)
    return result


def _filtered_run(values: np.ndarray, time: np.ndarray, interval: float, smoothing: Filter) -> np.ndarray:
    """Return (N, D) of a run without long gaps, filtered at the steps of an even clock."""
    import numpy as np

    steps = max(round(float(time[-1] - time[0]) / interval), 1)
    even = np.linspace(time[0], time[-1], steps + 1)
    columns = [np.interp(even, time, column) for column in values.T]
    smooth = smoothing(np.stack(columns, axis=1), 1 / interval)
    return np.stack([np.interp(time, even, column) for column in smooth.T], axis=1)
