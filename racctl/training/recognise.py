"""Training an exercise recogniser: windows of labelled clips, the class-weighted loss, validation.

Mask Cross-Attention Transformer paper, section 4.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from racctl import __version__
from racctl.contracts import BACKGROUND, Meta, step
from racctl.errors import DataError
from racctl.models.catalog import as_dict, built
from racctl.recognisers.cache import StoredClip
from racctl.recognisers.inputs import Look
from racctl.recognisers.recogniser import pictures
from racctl.scoring.label_metrics import Items, overall
from racctl.skeleton.topology import TOPOLOGIES
from racctl.training.augment import Augmentation
from racctl.training.loop import Batch, shares_of, steps_of
from racctl.windows import retimed

BETA = 0.999  # of the effective number of samples


def class_list(clips: list[StoredClip]) -> list[str]:
    """The labels of these clips, the background first, the others by name."""
    labels = {str(label) for clip in clips for label in np.unique(clip.labels.astype(str))}
    return [*([BACKGROUND] if BACKGROUND in labels else []), *sorted(labels - {BACKGROUND})]


def class_weights(counts: np.ndarray, beta: float = BETA) -> np.ndarray:
    """(K,) float: (1 - beta) / (1 - beta^n), the effective-number weights of section 4.2; 0 for a class without
    samples. Their scale does not matter: the loss is a weighted mean."""
    counts = np.asarray(counts, np.float64)
    return np.where(counts > 0, (1 - beta) / np.maximum(1 - beta ** np.maximum(counts, 1), 1e-12), 0.0)


@dataclass
class WindowSet:
    """Windows of clips, each with the class of its middle frame.

    clip: (S,) index into `clips`.  middle: (S,) tick.  label: (S,) int64 class.  unknown: how many windows were left
    out because their label is none of the classes.
    """

    clips: list[StoredClip]
    look: Look
    classes: list[str]
    null: bool = True
    clip: np.ndarray = field(init=False)
    middle: np.ndarray = field(init=False)
    label: np.ndarray = field(init=False)
    unknown: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        number = {name: k for k, name in enumerate(self.classes)}
        places, middles, labels = [], [], []
        for k, clip in enumerate(self.clips):
            middle = self.look.windows.starts(len(clip)) + self.look.windows.middle
            label = np.array([number.get(name, -1) for name in clip.labels[middle.clip(0, len(clip) - 1)]], np.int64)
            names = clip.labels[middle.clip(0, len(clip) - 1)]
            self.unknown += int(((label < 0) & (names != BACKGROUND)).sum())
            keep = (label >= 0) if self.null else (label >= 0) & (label != number.get(BACKGROUND, -1))
            places.append(np.full(keep.sum(), k))
            middles.append(middle[keep])
            labels.append(label[keep])
        self.clip, self.middle, self.label = (np.concatenate(rows or [np.zeros(0)]).astype(np.int64) for rows in
                                              (places, middles, labels))  # fmt: skip

    def __len__(self) -> int:
        return len(self.clip)

    def batch(self, chosen: np.ndarray, tempo: np.ndarray | None = None) -> Batch:
        """packed: (b, T, size, size + size / 8) uint8, joints: (b, T, V, 4) where there are any, label: (b,).

        tempo: (b,) how many times as fast each window is played; None: as it is."""
        lengths = np.array([len(self.clips[k]) for k in self.clip[chosen]])
        tempo = np.ones(len(chosen)) if tempo is None else tempo
        rows = retimed(self.middle[chosen], tempo, self.look.window, lengths)
        clips = [self.clips[k] for k in self.clip[chosen]]
        made = {
            "packed": torch.from_numpy(
                np.stack([_taken(clip.packed, own) for clip, own in zip(clips, rows, strict=True)])
            )
        }
        if clips[0].joints is not None:
            joints = np.stack([clip.joints[own] for clip, own in zip(clips, rows, strict=True)])
            made["joints"] = torch.from_numpy(joints)
        return {**made, "label": torch.from_numpy(self.label[chosen])}


def _taken(packed: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Rows of a memory map; one read of what lies between the first and the last is faster than one read for each."""
    low = int(rows.min())
    return np.asarray(packed[low : int(rows.max()) + 1])[rows - low]


class Augmented(nn.Module):
    """What objectives on windows share: the model, what it sees, how that is varied while training, class weights."""

    def __init__(self, model: nn.Module, look: Look, weights: np.ndarray, augmentation: Augmentation) -> None:
        super().__init__()
        self.model, self.look, self.augmentation = model, look, augmentation
        self.register_buffer("weights", torch.tensor(weights, dtype=torch.float32), persistent=False)
        mirror = TOPOLOGIES[look.topology].flip if look.topology else np.zeros(0, np.int64)
        self.register_buffer("mirror", torch.from_numpy(mirror), persistent=False)


class Objective(Augmented):
    """A batch of packed windows to the class-weighted cross-entropy; augments while training."""

    def forward(self, batch: Batch) -> Tensor:
        logits = self.logits(batch)
        return F.cross_entropy(logits.float(), batch["label"], self.weights)

    def logits(self, batch: Batch) -> Tensor:
        gray, mask = pictures(batch["packed"], self.look.size)
        joints = batch.get("joints")
        if self.training:
            gray, mask, joints = self.augmentation(gray, mask, joints, self.mirror)
        return self.model(gray, mask, joints)


def drawn(
    windows: WindowSet, tempo: tuple[float, float], seed: int, epoch: int, size: int, rank: int, world: int
) -> Iterator[Batch]:
    """Every window once, in an order that (seed, epoch) settles; tempo is drawn for each, evenly in its log."""
    rng = np.random.default_rng([seed, epoch])
    order = torch.from_numpy(rng.permutation(len(windows)))
    tempi = np.exp(rng.uniform(*np.log(tempo), len(windows)))
    for chosen in shares_of(order, size, rank, world):
        yield windows.batch(chosen.numpy(), tempi[chosen.numpy()])


class Recognition:
    """The `Task` of `racctl.training.loop` for a recogniser."""

    def __init__(
        self, name: str, config, look: Look, train: WindowSet, val: WindowSet | None, augmentation: Augmentation,
        about: Meta,
    ) -> None:  # fmt: skip
        if not len(train):
            raise DataError("there is no window to train on")
        self.name, self.config, self.look, self.train, self.val, self.about = name, config, look, train, val, about
        self.augmentation = augmentation
        weights = class_weights(np.bincount(train.label, minlength=len(train.classes)))
        self.objective = Objective(built(name, config), look, weights, augmentation)

    def steps(self, size: int, world: int) -> int:
        return steps_of(len(self.train), size, world)

    def batches(self, epoch: int, size: int, rank: int, world: int) -> Iterator[Batch]:
        """Every window once; see `drawn`."""
        share = (size, rank, world)
        return drawn(self.train, self.augmentation.tempo, self.about.get("seed", 0), epoch, *share)

    def evaluate(self, device: torch.device) -> dict[str, float]:
        """Accuracy, macro-F1 and macro ROC-AUC on the validation windows; the score to keep weights by is macro-F1,
        which the paper puts first."""
        if self.val is None or not len(self.val):
            return {}
        items = evaluated(self.objective, self.val, device)
        found = overall(items)
        named = {"val_accuracy": "accuracy", "val_f1": "macro_f1", "val_auc": "macro_auc"}
        shown = {name: found[metric] for name, metric in named.items() if np.isfinite(found[metric])}
        return {**shown, "score": found["macro_f1"]}

    def header(self) -> Meta:
        return {
            "model": self.name, "config": as_dict(self.config), "classes": self.train.classes,
            "input": self.look.header(),
            "training": {"augmentation": asdict(self.augmentation), "windows": len(self.train)},
            "data": self.about.get("data", {}), "licence": self.about.get("licence", "unstated"),
            "steps": [step("train", __version__, model=self.name, seed=self.about.get("seed", 0))],
        }  # fmt: skip


@torch.no_grad()
def evaluated(objective: Objective, windows: WindowSet, device: torch.device, size: int = 64) -> Items:
    """Every window's true class and probabilities."""
    objective.eval()
    probs = []
    for chosen in np.array_split(np.arange(len(windows)), -(-len(windows) // size)):
        batch = {name: tensor.to(device) for name, tensor in windows.batch(chosen).items()}
        probs.append(objective.logits(batch).float().softmax(-1).cpu().numpy())
    found = np.concatenate(probs).astype(np.float64)
    names = [clip.name for clip in windows.clips]
    return Items(windows.classes, names, windows.clip, windows.label, found.argmax(1), np.ones(len(found)), found)
