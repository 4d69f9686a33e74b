"""Windows of labelled clips: what recognisers and encoders learn from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from racctl.contracts import BACKGROUND, UNKNOWN_LABEL
from racctl.recognisers.cache import Rows, StoredClip
from racctl.recognisers.inputs import Look
from racctl.training.task import Batch, shares_of
from racctl.windows import retimed

BETA = 0.999  # of the effective number of samples
LEAST_LOOP = 1.5  # s; what is shorter is not played again


def class_list(clips: list[StoredClip]) -> list[str]:
    """Return the labels of these clips, the background first, the others by name, what is unknown last."""
    labels = {str(label) for clip in clips for label in np.unique(clip.labels.astype(str))}
    first, last = ([name] if name in labels else [] for name in (BACKGROUND, UNKNOWN_LABEL))
    return [*first, *sorted(labels - {BACKGROUND, UNKNOWN_LABEL}), *last]


def with_outliers(clip: StoredClip, outliers: list[str]) -> StoredClip:
    """Return the clip with these labels of it as `UNKNOWN_LABEL`."""
    labels = np.where(np.isin(clip.labels.astype(str), outliers), UNKNOWN_LABEL, clip.labels).astype(object)
    return replace(clip, labels=labels)


def class_weights(counts: np.ndarray, beta: float = BETA) -> np.ndarray:
    """Return (K,) float: (1 - beta) / (1 - beta^n), the effective-number weights; 0 for a class without samples.

    Mask Cross-Attention Transformer paper, section 4.2. Their scale does not matter: the loss is a weighted mean.
    """
    counts = np.asarray(counts, np.float64)
    return np.where(counts > 0, (1 - beta) / np.maximum(1 - beta ** np.maximum(counts, 1), 1e-12), 0.0)


@dataclass
class WindowSet:
    """Windows of clips, each with the class of its middle frame.

    null: whether windows of background are in.
    loop: share of the windows that stay within what they show: where the set ends, it begins again, as a long one does.
    clip: (S,) index into `clips`.
    middle: (S,) tick.
    label: (S,) int64 class.
    looped: (S,) bool.
    run: (S, 2) ticks that a looped window stays within.
    unknown: how many windows were left out because their label is none of the classes.
    """

    clips: list[StoredClip]
    look: Look
    classes: list[str]
    null: bool = True
    loop: float = 0.0
    clip: np.ndarray = field(init=False)
    middle: np.ndarray = field(init=False)
    label: np.ndarray = field(init=False)
    looped: np.ndarray = field(init=False)
    run: np.ndarray = field(init=False)
    unknown: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        number = {name: k for k, name in enumerate(self.classes)}
        background = -1 if self.null else number.get(BACKGROUND, -1)
        parts = []
        for k, clip in enumerate(self.clips):
            middle = self.look.windows.starts(len(clip)) + self.look.windows.middle
            names = clip.labels[middle.clip(0, len(clip) - 1)]
            label = np.array([number.get(name, -1) for name in names], np.int64)
            self.unknown += int(((label < 0) & (names != BACKGROUND)).sum())
            keep = (label >= 0) & (label != background)
            parts.append(np.stack([np.full(keep.sum(), k), middle[keep], label[keep]]))
        self.clip, self.middle, self.label = np.concatenate(parts or [np.zeros((3, 0))], axis=1).astype(np.int64)
        self.looped = np.random.default_rng(0).random(len(self.clip)) < self.loop
        runs = [label_runs(clip.labels) for clip in self.clips] if self.loop else []
        self.run = np.zeros((len(self.clip), 2), np.int64)
        for row in np.flatnonzero(self.looped):
            edges = runs[self.clip[row]]
            last = int(np.searchsorted(edges, self.middle[row], side="right"))
            self.run[row] = edges[last - 1], edges[min(last, len(edges) - 1)]
        self.looped &= np.diff(self.run)[:, 0] >= LEAST_LOOP * self.look.rate

    def __len__(self) -> int:
        return len(self.clip)

    @property
    def every(self) -> int:
        """Of a window every so many frames are shown, from the first on."""
        return 1

    def batch(self, chosen: np.ndarray, tempo: np.ndarray | None = None) -> Batch:
        """Return packed (b, T, size, size + size / 8) uint8, joints (b, T, V, 4) if the model sees any, label (b,).

        tempo: (b,) how many times as fast each window is played; None: as it is.
        """
        clips = [self.clips[k] for k in self.clip[chosen]]
        lengths = np.array([len(clip) for clip in clips])
        tempo = np.ones(len(chosen)) if tempo is None else tempo
        rows = retimed(self.middle[chosen], tempo, self.look.window, lengths)
        if self.looped[chosen].any():
            rows = np.where(self.looped[chosen][:, None], self._looped_rows(chosen, tempo), rows)
        rows = rows[:, :: self.every]
        packed = np.stack([_read_rows(clip.packed, ticks) for clip, ticks in zip(clips, rows, strict=True)])
        batch = {"packed": torch.from_numpy(packed), "label": torch.from_numpy(self.label[chosen])}
        joints = [clip.joints[ticks] for clip, ticks in zip(clips, rows, strict=True) if clip.joints is not None]
        if joints:
            batch["joints"] = torch.from_numpy(np.stack(joints))
        return batch

    def _looped_rows(self, chosen: np.ndarray, tempo: np.ndarray) -> np.ndarray:
        """Return (b, T) the ticks of windows that go round in their runs."""
        offsets = (np.arange(self.look.window) - self.look.window // 2) * tempo[:, None]
        begin, end = self.run[chosen].T[..., None]
        ticks = self.middle[chosen][:, None] + np.rint(offsets).astype(np.int64)
        return begin + (ticks - begin) % np.maximum(end - begin, 1)


def label_runs(labels: np.ndarray) -> np.ndarray:
    """Return the ticks at which the label changes, with the first and one past the last."""
    names = labels.astype(str)
    return np.array([0, *(np.flatnonzero(names[1:] != names[:-1]) + 1), len(names)], np.int64)


def _read_rows(packed: Rows | np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Read rows of a memory map; one read of all between the first and the last is faster than one for each."""
    low = int(rows.min())
    return np.asarray(packed[low : int(rows.max()) + 1])[rows - low]


def draw_batches(
    windows: WindowSet, tempo: tuple[float, float], seed: int, epoch: int, share: tuple[int, int, int]
) -> Iterator[Batch]:
    """Yield every window once, in an order that (seed, epoch) settles; tempo is drawn for each, evenly in its log.

    share: size of a batch, rank, number of processes.
    """
    rng = np.random.default_rng([seed, epoch])
    order = torch.from_numpy(rng.permutation(len(windows)))
    low, high = np.log(tempo)
    tempi = np.exp(rng.uniform(low, high, len(windows)))
    for chosen in shares_of(order, *share):
        yield windows.batch(chosen.numpy(), tempi[chosen.numpy()])
