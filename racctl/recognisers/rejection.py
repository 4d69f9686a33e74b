"""When a recogniser says "unknown": its probabilities made honest, and the least confidence that it needs.

What is accepted is settled by the energy of a window, the log of the sum of the exponentials of the exercises' logits
(Liu et al., "Energy-based Out-of-distribution Detection", 2020): it is high where any of them is likely. How high it
has to be follows from the share of known exercises that is lost, never from a number that has no meaning to anybody.

A temperature (Guo et al., "On Calibration of Modern Neural Networks", 2017) turns logits into probabilities. They are
joint here, (..., K + 1): those of the K classes, then that of everything else. A recogniser that learned outliers has a
logit for these. Any other gets a constant in its place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp, softmax

from racctl.contracts import BACKGROUND, UNKNOWN_LABEL, Meta
from racctl.errors import DataError, UsageError

LOST_RATES = (0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5)  # of the known, that thresholds are noted for
USUAL_LOSS = 0.05  # of the known, where the user does not say
MIN_KNOWN = 20  # windows of known exercises, below which no threshold can be settled
ECE_BINS = 15


@dataclass(frozen=True)
class Evidence:
    """What a recogniser says of windows in a row, on average.

    joint: (K + 1,).
    windows: how many.
    """

    joint: np.ndarray
    energy: float
    windows: int = 1


@dataclass(frozen=True)
class Rejection:
    """The `rejection` part of a model's header.

    temperature: the logits are divided by it.
    constant: the logit of what is unknown after that, None where the model has one of its own.
    rate: share of the known that the model loses unless the user says otherwise.
    rates: shares of the known; windows, spans: the least energy that a window, or several in a row on average, need
        for each of them.
    chosen: how, in words, and on how much.
    """

    temperature: float = 1.0
    constant: float | None = None
    rate: float = USUAL_LOSS
    rates: tuple[float, ...] = ()
    windows: tuple[float, ...] = ()
    spans: tuple[float, ...] = ()
    chosen: Any = None

    @classmethod
    def of(cls, header: object, where: str) -> Rejection:
        """Read the part of a header; DataError for one that is damaged."""
        known = {entry.name for entry in fields(cls)}
        try:
            values = {key: value for key, value in dict(header).items() if key in known}  # type: ignore[call-overload]
            for name in ("rates", "windows", "spans"):
                values[name] = tuple(float(value) for value in values.get(name, ()))
            rejection = cls(**values)
            sound = rejection.is_sound
        except (TypeError, ValueError):
            sound = False
        if not sound:
            raise DataError(f"'{where}' has a damaged header: its rejection cannot be used")
        return rejection

    @property
    def is_sound(self) -> bool:
        """Whether all numbers are finite, in range and as many as they should be."""
        tables = (self.rates, self.windows, self.spans)
        numbers = [self.temperature, self.rate, *(value for table in tables for value in table)]
        numbers += [] if self.constant is None else [self.constant]
        return (
            bool(np.isfinite(np.array(numbers, np.float64)).all())
            and self.temperature > 0
            and 0 < self.rate < 1
            and len({len(table) for table in tables}) == 1
            and all(np.all(np.diff(table) >= 0) for table in tables)
        )

    def header(self) -> Meta:
        """Return what a header holds."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    def joint(self, logits: np.ndarray) -> np.ndarray:
        """Return (S, K + 1) float64 probabilities.

        logits: (S, K + 1) of a model with a logit of what is unknown, else (S, K).
        """
        scaled = logits.astype(np.float64) / self.temperature
        if self.constant is not None:
            scaled = np.concatenate([scaled, np.full((len(scaled), 1), self.constant)], axis=1)
        return softmax(scaled, axis=1)

    def least(self, unit: str, rate: float | None = None) -> float:
        """Return the energy that known exercises have but for a share `rate`; the usual one where None.

        unit: "windows", or "spans" for the mean of several.
        """
        table = self.windows if unit == "windows" else self.spans
        if not table:
            return -math.inf
        return float(np.interp(self.rate if rate is None else rate, self.rates, table))

    def decide(self, evidence: Evidence, label: int, background: int | None, rate: float | None = None) -> int:
        """Return the label of windows in a row: an exercise, or K for what is unknown; the background stays.

        label: the most probable of the K + 1.  rate: see `least`.
        """
        unknown = len(evidence.joint) - 1
        if label == background or (label == unknown and not self.rates):
            return label
        if evidence.energy < self.least("windows" if evidence.windows == 1 else "spans", rate):
            return unknown
        if label != unknown:
            return label
        exercises = evidence.joint[:-1].copy()
        if background is not None:
            exercises[background] = -1
        return int(exercises.argmax())


def exercise_energy(logits: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """Return (S,) float64 the energy of windows: of all logits (S, columns) but those of what is no exercise."""
    exercises = [k for k, name in enumerate(classes) if name not in (BACKGROUND, UNKNOWN_LABEL)]
    return (
        np.asarray(logsumexp(logits[:, exercises].astype(np.float64), axis=1)) if exercises else np.zeros(len(logits))
    )


def read_unknown(text: str) -> float | None:
    """Read "auto" as None, "off" as 0 and a share of the known as itself; UsageError for anything else."""
    if text in ("auto", "off"):
        return None if text == "auto" else 0.0
    try:
        rate = float(text)
    except ValueError:
        rate = -1.0
    if not LOST_RATES[0] <= rate <= LOST_RATES[-1]:
        raise UsageError(
            f"invalid value '{text}' for '--unknown'; expected auto, off, or the share of known exercises to lose, "
            f"{LOST_RATES[0]:g} to {LOST_RATES[-1]:g}"
        )
    return rate


@dataclass(frozen=True)
class ScoredWindows:
    """What a recogniser says of windows whose truth is known.

    logits: (S, K) or, where the model learned outliers, (S, K + 1).  label: (S,) the true class.  clip: (S,) number of
    the clip.  classes: names of the columns.
    """

    logits: np.ndarray
    label: np.ndarray
    clip: np.ndarray
    classes: Sequence[str]

    @property
    def has_outliers(self) -> bool:
        return bool(self.classes) and self.classes[-1] == UNKNOWN_LABEL

    @property
    def known(self) -> np.ndarray:
        """(S,) bool: windows of exercises that the model learned."""
        empty = [k for k, name in enumerate(self.classes) if name in (BACKGROUND, UNKNOWN_LABEL)]
        return ~np.isin(self.label, empty)


def fit_rejection(windows: ScoredWindows) -> Rejection | None:
    """Return the rejection that validation windows call for; None where they are too few."""
    known = windows.known
    if known.sum() < MIN_KNOWN:
        return None
    temperature = best_temperature(windows.logits, windows.label)
    constant = None
    if not windows.has_outliers:
        scaled = logsumexp(windows.logits[known].astype(np.float64) / temperature, axis=1)
        constant = float(np.quantile(scaled, USUAL_LOSS))
    joint = Rejection(temperature, constant).joint(windows.logits)
    energy = exercise_energy(windows.logits, windows.classes)
    spans = _span_energy(energy, windows, known)
    rejected: Meta = {}
    outlier = windows.label == len(windows.classes) - 1 if windows.has_outliers else np.zeros(len(joint), bool)
    if outlier.any():
        least = np.quantile(energy[known], USUAL_LOSS)
        rejected = {"outlier_windows_rejected": float((energy[outlier] < least).mean())}
    chosen = {
        "how": "the temperature by the likelihood of validation windows; thresholds are quantiles of the energy of "
        "known exercises among them",
        "known_windows": int(known.sum()),
        "known_spans": len(spans),
        "outlier_windows": int(outlier.sum()),
        "calibration_error": calibration_error(joint, windows.label),
        **rejected,
    }
    return Rejection(
        temperature,
        constant,
        USUAL_LOSS,
        LOST_RATES,
        tuple(map(float, np.quantile(energy[known], LOST_RATES))),
        tuple(map(float, np.quantile(spans, LOST_RATES))),
        chosen,
    )


def _span_energy(energy: np.ndarray, windows: ScoredWindows, chosen: np.ndarray) -> np.ndarray:
    """Return the mean energy of each label in each clip; only of chosen windows (S,)."""
    pairs = np.stack([windows.clip, windows.label], axis=1)[chosen]
    _, place = np.unique(pairs, axis=0, return_inverse=True)
    return np.bincount(place.ravel(), energy[chosen]) / np.bincount(place.ravel())


def best_temperature(logits: np.ndarray, label: np.ndarray) -> float:
    """Return the temperature with which logits (S, C) explain labels (S,) best."""
    logits = logits.astype(np.float64)
    rows = np.arange(len(label))

    def loss(power: float) -> float:
        scaled = logits / np.exp(power)
        return float((logsumexp(scaled, axis=1) - scaled[rows, label]).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-2.5, 2.5), method="bounded").x))


def calibration_error(probs: np.ndarray, label: np.ndarray) -> float:
    """Return the expected calibration error of the most probable class, over `ECE_BINS` bins of equal width.

    probs: (S, C).  label: (S,). NaN without any.
    """
    if not len(label):
        return float("nan")
    sure, right = probs.max(1), probs.argmax(1) == label
    place = np.minimum((sure * ECE_BINS).astype(int), ECE_BINS - 1)
    gaps = [abs(sure[place == k].sum() - right[place == k].sum()) for k in range(ECE_BINS)]
    return float(sum(gaps) / len(label))
