"""One clip of an annotated data set, whichever file it came from, and what can be wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from racctl.contracts import clip_stem
from racctl.errors import DataError


@dataclass(frozen=True, eq=False)
class ClipTruth:
    """What a data set says about one clip.

    clip: its name without folder and media suffix.  name: the name as the file spells it.
    count: repetitions; NaN where the file gives none.  label: exercise, see `racctl.data.labels`; "" where unknown.
    cycles: (N, 2) int64 first frame and the frame after the last of each repetition, counted from 0 in the clip's
    video; None where the file marks none.  segment: the part that the count is about, in the same frames, or None.
    fps: frames/s.  num_frames: of the whole video.  Both None where unknown.
    problems: what is wrong with the annotation, for a person to read.  variant: the kind of file.
    """

    clip: str
    count: float
    label: str = ""
    cycles: np.ndarray | None = None
    segment: tuple[int, int] | None = None
    fps: float | None = None
    num_frames: int | None = None
    problems: tuple[str, ...] = ()
    variant: str = ""
    name: str = ""


def as_cycles(pairs: Sequence[tuple[int, int]]) -> np.ndarray:
    """(N, 2) int64 from start, stop pairs, also for none."""
    return np.array(pairs, np.int64).reshape(-1, 2)


def cycle_problems(count: float, cycles: np.ndarray, segment: tuple[int, int] | None) -> list[str]:
    """What is wrong with the `cycles` (N, 2) of a clip with this count, annotated within `segment` (None: unknown)."""
    start, stop = cycles[:, 0], cycles[:, 1]
    first, last = segment if segment else (0, np.iinfo(np.int64).max)
    found = [
        (int((stop == start).sum()), "of zero length"),
        (int((stop < start).sum()), "running backwards"),
        (int((start[1:] < stop[:-1]).sum()), "overlapping the one before"),
        (int(((start < first) | (stop > last)).sum()), "outside the video"),
    ]
    problems = [f"{n} {'cycle' if n == 1 else 'cycles'} {what}" for n, what in found if n]
    if np.isfinite(count) and count != len(cycles):
        problems.insert(0, f"count {count:g}, cycles {len(cycles)}")
    return problems


def count_problems(count: float) -> list[str]:
    """What is wrong with a true count by itself."""
    if np.isnan(count):
        return ["no count"]
    return [] if np.isfinite(count) and count >= 0 else [f"count {count:g} is not a number of repetitions"]


def quoted(names: Sequence[str], most: int = 3) -> str:
    """A few names for a message: 'a', 'b', 'c' and 4 more."""
    shown = ", ".join(f"'{name}'" for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def whole_video(num_frames: int | None) -> tuple[int, int] | None:
    """The segment of a clip that is annotated from its first frame to its last; None for an unknown length."""
    return None if num_frames is None else (0, num_frames)


def checked_stem(name: str, where: str) -> str:
    """`clip_stem`, refusing names that come out empty."""
    stem = clip_stem(name)
    if not stem:
        raise DataError(f"{where} has no clip name (found '{name}')")
    return stem
