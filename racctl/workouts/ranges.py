"""How far each joint goes in each repetition, how fast, and how unlike left and right are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from racctl.skeleton.angles import JOINT_ANGLES, JointCurves
from racctl.skeleton.topology import SIDES

LEAST_KNOWN = 0.6  # share of a repetition's frames in which an angle has to be known
MOST_WIDENED = 0.25  # of a repetition's length, on either side: counters trim the ends off, where it moves little
LEAST_RANGE = 15.0  # degrees; less is within the error of the angles


@dataclass(frozen=True)
class AngleRange:
    """One angle in one repetition.

    name: of the angle, such as "knee_flexion".  side: "left", "right" or "".
    low, high: degrees.
    peak_velocity: the greatest speed, degrees per second.
    """

    name: str
    side: str
    low: float
    high: float
    peak_velocity: float

    @property
    def extent(self) -> float:
        """The range of motion, degrees."""
        return self.high - self.low


def widened(spans: list[tuple[int, int]], frames: int) -> list[tuple[int, int]]:
    """Return repetitions, half-open among `frames`, with the turning points between them: to the middle of the gap to
    the next, or by `MOST_WIDENED` of their length."""
    wide = []
    for k, (start, stop) in enumerate(spans):
        most = round(MOST_WIDENED * (stop - start))
        before = (spans[k - 1][1] + start) // 2 if k else 0
        after = (stop + spans[k + 1][0] + 1) // 2 if k + 1 < len(spans) else frames
        wide.append((max(start - most, min(before, start)), min(stop + most, max(after, stop))))
    return wide


def ranges_of(angles: JointCurves, velocity: dict[str, np.ndarray], start: int, stop: int) -> list[AngleRange]:
    """Return the ranges of all angles that are known in the frames start..stop-1."""
    ranges = []
    for angle in JOINT_ANGLES:
        for column, side in zip(angle.columns, SIDES if angle.sided else ("",), strict=True):
            values = angles.degrees.get(column)
            if values is None:
                continue
            part = values[start:stop]
            known = np.isfinite(part)
            if known.sum() < max(2, LEAST_KNOWN * len(part)):
                continue
            speed = np.abs(velocity[column][start:stop])
            peak = float(np.nanmax(speed)) if np.isfinite(speed).any() else float("nan")
            ranges.append(AngleRange(angle.name, side, float(part[known].min()), float(part[known].max()), peak))
    return ranges


def difference(ranges: list[AngleRange], name: str) -> tuple[float, float]:
    """Return how much further the left side goes than the right: degrees, and percent of the mean of both.

    NaN where one side is not known, or both together go nowhere.
    """
    extent = {entry.side: entry.extent for entry in ranges if entry.name == name}
    if not {"left", "right"} <= extent.keys():
        return float("nan"), float("nan")
    apart = extent["left"] - extent["right"]
    mean = (extent["left"] + extent["right"]) / 2
    return apart, 100 * apart / mean if mean > 0 else float("nan")


def widest(by_repetition: list[list[AngleRange]]) -> str:
    """Return the name of the angle that usually goes furthest, on the side where it does; "" below `LEAST_RANGE`."""
    extents: dict[tuple[str, str], list[float]] = {}
    for ranges in by_repetition:
        for entry in ranges:
            extents.setdefault((entry.name, entry.side), []).append(entry.extent)
    usual = {key: float(np.median(values)) for key, values in extents.items() if 2 * len(values) >= len(by_repetition)}
    if not usual:
        return ""
    best = max(usual, key=lambda key: usual[key])
    return best[0] if usual[best] >= LEAST_RANGE else ""


def extent_of(ranges: list[AngleRange], name: str) -> float:
    """Return how far an angle goes, degrees, on the side where it goes further; NaN where it is not known."""
    return max((entry.extent for entry in ranges if entry.name == name), default=float("nan"))
