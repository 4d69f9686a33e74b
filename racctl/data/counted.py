"""Clips with the moments of their repetitions and the files of their features, for training a counter."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from racctl.contracts import clip_stem
from racctl.data.clips import ClipTruth, as_cycles
from racctl.data.file_names import MANIFEST_FILE, REPS_FILE
from racctl.data.truth import read_truth
from racctl.errors import DataError
from racctl.io.parquet import read_table

FEATURES = (".features.npz", ".npz")


@dataclass(frozen=True, eq=False)
class CountedClip:
    """One clip to train a counter on.

    cycles: (R, 2) int64 source frames of its repetitions.
    count: repetitions.
    features: a racctl.features/1.
    """

    clip: str
    split: str
    cycles: np.ndarray
    count: float
    features: Path


def read_counted(data: str, features: str, split: str = "") -> list[CountedClip]:
    """Return the clips of a set that `racctl synth` wrote (a folder), or of an annotation table, that have features.

    features: the folder of their files, <clip>.features.npz.
    split: of a table's clips, which has none of its own.

    Raises DataError when there are no clips, or not one of them has features.
    """
    rows = _of_folder(Path(data)) if Path(data).is_dir() else [(row, split) for row in read_truth(data)]
    folder = Path(features)
    if not folder.is_dir():
        raise DataError(f"'{features}' is not a directory; 'racctl encode -o DIR/' fills one")
    files = {clip_stem(path.name): path for ending in FEATURES[::-1] for path in sorted(folder.glob(f"*{ending}"))}
    counted: dict[str, CountedClip] = {}
    for row, clip_split in rows:
        cycles = as_cycles([]) if row.cycles is None else row.cycles
        sound = cycles[cycles[:, 1] > cycles[:, 0]]
        if row.clip in files and np.isfinite(row.count):
            counted.setdefault(row.clip, CountedClip(row.clip, clip_split, sound, float(row.count), files[row.clip]))
    if not counted:
        raise DataError(f"none of the {len(rows)} clips of '{data}' has features in '{features}'")
    return list(counted.values())


def _of_folder(folder: Path) -> list[tuple[ClipTruth, str]]:
    """Return every clip of a manifest with its repetitions and its split."""
    manifest, reps = folder / MANIFEST_FILE, folder / REPS_FILE
    if not manifest.is_file() or not reps.is_file():
        raise DataError(
            f"'{folder}' lacks {MANIFEST_FILE} or {REPS_FILE}; expected a set of 'racctl synth', or a table"
        )
    cycles = {row.clip: row.cycles for row in read_truth(str(reps))}
    with open(manifest, "rb") as file:
        _, table = read_table(file, str(manifest))
    return [
        (ClipTruth(clip_stem(row["clip"]), row["count"], cycles=cycles.get(clip_stem(row["clip"]))), row["split"] or "")
        for row in table.select(["clip", "count", "split"]).to_pylist()
    ]


def held_apart(rows: list[CountedClip], share: float, seed: int) -> tuple[list[CountedClip], list[CountedClip]]:
    """Return the clips to train on, and this share of them, drawn by the seed, to validate on instead."""
    order = np.random.default_rng(seed).permutation(len(rows))
    count = min(max(1, round(share * len(rows))), len(rows) - 1) if share else 0
    chosen = set(order[:count].tolist())
    train = [row for k, row in enumerate(rows) if k not in chosen]
    return train, [row for k, row in enumerate(rows) if k in chosen]


def evenly_spread(count: float, edges: np.ndarray) -> np.ndarray:
    """Return (R, 2) int64 frames of so many repetitions, rounded, that fill a clip evenly, one after the other.

    So the published tables of Countix have them, whose annotators counted and marked no repetition.

    edges: (N + 1,) frames, of which the first and the last are the clip's borders.
    """
    borders = np.rint(np.linspace(edges[0], edges[-1], max(1, int(count + 0.5)) + 1)).astype(int)
    return np.stack([borders[:-1], borders[1:]], axis=1)
