"""Which of the people in a clip exercises: by their size and place, and how much and how regularly they move."""

from __future__ import annotations

import numpy as np

from racctl.estimators.blazepose.networks import BODY_JOINTS, JOINTS
from racctl.estimators.blazepose.tracks import PersonTrack

RATE = 10.0  # Hz at which movements are compared
CALM_MOVEMENT = 0.002  # of the body's size; what the joints of somebody who stands still move
PERIODS = (0.4, 6.0)  # s, of what counts as a regular movement
STRETCHES = (4.0, 8.0)  # s in which a movement is regular, or is not
EDGE_WEIGHT = 0.5  # of somebody at the picture's edge
MUCH_EXERCISE = 0.01  # of the body's size; of two who move more, size and place tell
IRREGULAR_WEIGHT = 0.05  # of movements that do not repeat themselves


def ranked(tracks: list[PersonTrack], time: np.ndarray, picture: tuple[int, int]) -> list[PersonTrack]:
    """Return the people in the order in which they are the one who exercises. picture: width and height, pixels."""
    return sorted(tracks, key=lambda track: -prominence(track, time, picture))


def prominence(track: PersonTrack, time: np.ndarray, picture: tuple[int, int]) -> float:
    """Return how much somebody is the one whom the clip is about; only a comparison has a meaning."""
    size = float(np.median(track.size)) / max(picture)
    offset = np.abs(np.median(track.hips[:, 0]) / picture[0] - 0.5) * 2
    central = 1 - (1 - EDGE_WEIGHT) * min(1.0, float(offset))
    presence = len(track) / len(time)
    amount = exercise_amount(track, time)
    return np.sqrt(size) * central * (CALM_MOVEMENT * presence + amount / (1 + amount / MUCH_EXERCISE))


def exercise_amount(track: PersonTrack, time: np.ndarray) -> float:
    """Return how much the body moves in itself, in its sizes, over the clip, weighted by how regularly.

    The mean over stretches of the clip, short ones or long ones; those without the person count as none.
    """
    when = time[track.frame]
    means = []
    for stretch in STRETCHES:
        begins = np.arange(0, max(time[-1] - time[0] - stretch / 2, 0) + 1e-9, stretch / 4) + time[0]
        parts = [slice(*np.searchsorted(when, [begin, begin + stretch])) for begin in begins]
        means.append(np.mean([_exercise_within(track.part(part), when[part]) for part in parts]) / stretch)
    return float(max(means))


def _exercise_within(track: PersonTrack, when: np.ndarray) -> float:
    """Return the spread of the joints about the hips, in body sizes, weighted by its regularity, times seconds."""
    if not len(when):
        return 0.0
    steps = int((when[-1] - when[0]) * RATE) + 1
    if steps < 2 * PERIODS[0] * RATE:
        return 0.0
    size = np.median(track.size)
    joints = (track.points[:, BODY_JOINTS, :2] - track.points[:, None, JOINTS, :2]).reshape(len(track), -1) / size
    grid = when[0] + np.arange(steps) / RATE
    even = np.stack([np.interp(grid, when, column) for column in joints.T], 1)
    even -= even.mean(0)
    amount = float(np.sqrt((even**2).mean()))
    return amount * (IRREGULAR_WEIGHT + regularity(even) ** 2) * float(when[-1] - when[0])


def regularity(even: np.ndarray) -> float:
    """Return the highest autocorrelation, 0..1, of movements (T, C), after the lag at which they are unlike."""
    count = len(even)
    spectrum = np.fft.rfft(even, 2 * count, axis=0)
    correlation = np.fft.irfft((np.abs(spectrum) ** 2).sum(1))[:count]
    correlation = correlation / max(float(correlation[0]), 1e-12) * count / np.arange(count, 0, -1)
    low = int(PERIODS[0] * RATE)
    high = min(int(PERIODS[1] * RATE), count * 2 // 3)
    unlike = np.flatnonzero(correlation[:high] < 0.3)
    begin = max(low, int(unlike[0])) if len(unlike) else high
    return float(np.clip(correlation[begin:high].max(), 0, 1)) if begin < high else 0.0
