"""Training an encoder, a network whose tokens others build upon: to tell exercises apart, to count, or both at once.

Windows are 64 frames at 30 frames/s. From the tokens of each, one head tells the exercise of its middle frame, another
how many repetitions lie in each token's span of time; only the tokens are of use later.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from racctl import __version__
from racctl.contracts import Meta, step
from racctl.density import density
from racctl.errors import DataError, UsageError
from racctl.models.catalog import Config, as_dict, built, configured
from racctl.models.silhouette import SAMPLED
from racctl.recognisers.inputs import Look
from racctl.recognisers.recogniser import pictures
from racctl.scoring.label_metrics import Items, overall
from racctl.training.augment import Augmentation
from racctl.training.loop import Batch, steps_of
from racctl.training.recognise import Augmented, WindowSet, class_weights, drawn
from racctl.windows import FRAME_RATE, retimed

OBJECTIVES = ("label", "density", "both")
WINDOW, STRIDE = 64, 16  # frames
SIZE = 112  # pixels of the square about the person
TOKENS = {"ctrgcn": 16, "silhouette": 8}  # in a window, over time
JOINTS = "d2stx25"
SMOOTH = 0.067  # s, of the joints; found landmarks tremble and jump more the worse the film is
BALANCE = 2.0  # how much the density counts beside the cross-entropy


def encoder_look(name: str, stride: int = 0) -> Look:
    """What an encoder sees, 64 frames at a time; of the silhouette encoder, see also `sampled`. stride: frames, 0 for
    its own."""
    if name == "ctrgcn":
        return Look(0, FRAME_RATE, WINDOW, stride or STRIDE, topology=JOINTS, mask=False, smooth=SMOOTH)
    return Look(SIZE, FRAME_RATE, WINDOW, stride or STRIDE, crop="person")


def encoder_config(name: str, classes: int, width: int, objective: str) -> Config:
    """Of an encoder with tokens of `width` channels and the heads that the objective needs.

    Raises UsageError for values that it cannot have."""
    share = {"ctrgcn": 4, "silhouette": 8}[name]  # of the base
    if objective not in OBJECTIVES:
        raise UsageError(f"'--objective {objective}' means nothing; expected one of {', '.join(OBJECTIVES)}")
    if width % (8 * share):
        raise UsageError(f"'--width {width}' does not fit {name}; expected a multiple of {8 * share}")
    given = {"classes": classes if objective != "density" else 0, "density": objective != "label"}
    if name == "ctrgcn":
        given |= {"people": 1, "channels": 4, "topology": JOINTS}
    return configured(name, {**given, "base": width // share})


def sampled(name: str, look: Look) -> int:
    """How many frames of a window an encoder looks at, every so many from the first on."""
    return SAMPLED if name == "silhouette" else look.window


@dataclass
class EncoderWindows(WindowSet):
    """Windows with the repetitions in each token's span.

    name: of the encoder.  cycles: (R, 2) seconds of each clip's repetitions, or None where they are not learnt; a clip
    that is not named has none.
    """

    name: str = "ctrgcn"
    cycles: dict[str, np.ndarray] | None = None
    ticks: list[np.ndarray] = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        none = np.zeros((0, 2))
        begins = [0.0 if clip.time is None else clip.time[0] for clip in self.clips]
        self.ticks = [
            ((self.cycles or {}).get(clip.name, none) - begin) * self.look.rate
            for clip, begin in zip(self.clips, begins, strict=True)
        ]

    def batch(self, chosen: np.ndarray, tempo: np.ndarray | None = None) -> Batch:
        """joints: (b, T, V, 4), or packed: (b, frames looked at, size, size + size / 8) uint8.  label: (b,).
        density: (b, tokens) float32, where it is learnt.

        tempo: (b,) how many times as fast each window is played; None: as it is."""
        clips = [self.clips[k] for k in self.clip[chosen]]
        tempo = np.ones(len(chosen)) if tempo is None else tempo
        rows = retimed(self.middle[chosen], tempo, self.look.window, np.array([len(clip) for clip in clips]))
        rows = rows[:, :: self.look.window // sampled(self.name, self.look)]
        part = "packed" if self.look.needs_picture else "joints"
        seen = np.stack([getattr(clip, part)[own] for clip, own in zip(clips, rows, strict=True)])
        made = {part: torch.from_numpy(seen), "label": torch.from_numpy(self.label[chosen])}
        if self.cycles is not None:
            made["density"] = torch.from_numpy(self.repetitions(chosen, tempo)).float()
        return made

    def repetitions(self, chosen: np.ndarray, tempo: np.ndarray) -> np.ndarray:
        """(b, tokens) float64: repetitions in each token's span; a window's sum is the number of those whose middle is
        in it."""
        borders = np.linspace(0, self.look.window, TOKENS[self.name] + 1) - self.look.windows.middle
        edges = self.middle[chosen][:, None] + borders * tempo[:, None]
        return np.stack([density(self.ticks[k], own) for k, own in zip(self.clip[chosen], edges, strict=True)])


class EncoderObjective(Augmented):
    """A batch to the loss: class-weighted cross-entropy, and smooth L1 of the density in repetitions per window (so
    that it does not depend on how many tokens a window has), `BALANCE` times; augments while training."""

    def forward(self, batch: Batch) -> Tensor:
        logits, found = self.heads(batch)
        loss = torch.zeros((), device=self.weights.device)
        if logits is not None:
            loss = loss + F.cross_entropy(logits, batch["label"], self.weights)
        if found is not None:
            tokens = found.shape[1]
            loss = loss + BALANCE * F.smooth_l1_loss(tokens * found, tokens * batch["density"])
        return loss

    def heads(self, batch: Batch) -> tuple[Tensor | None, Tensor | None]:
        """Logits (b, classes) and density (b, tokens), float32, each None where the model has no such head."""
        tokens, config = self.model.tokens(self.seen(batch)), self.model.config
        logits = self.model.classify(tokens).float() if config.classes else None
        return logits, self.model.repetitions(tokens).float() if config.density else None

    def seen(self, batch: Batch) -> Tensor:
        """What the model's `tokens` takes."""
        if "joints" in batch:
            joints = batch["joints"]
            if self.training:
                nothing = joints.new_zeros(len(joints), 0, 0, 0)
                joints = self.augmentation(nothing, nothing, joints, self.mirror)[2]
            return rearrange(joints, "b t v c -> b c t v 1")
        gray, mask = pictures(batch["packed"], self.look.size)
        if self.training:
            gray, mask, _ = self.augmentation(gray, mask, None, None)
        return torch.stack([gray, mask], dim=1)


class EncoderTraining:
    """The `Task` of `racctl.training.loop` for an encoder."""

    def __init__(
        self, name: str, config: Config, train: EncoderWindows, val: EncoderWindows | None, augmentation: Augmentation,
        about: Meta,
    ) -> None:  # fmt: skip
        if not len(train):
            raise DataError("there is no window to train on")
        self.name, self.config, self.train, self.val, self.about = name, config, train, val, about
        self.look, self.augmentation = train.look, augmentation
        weights = class_weights(np.bincount(train.label, minlength=len(train.classes)))
        self.objective = EncoderObjective(built(name, config), self.look, weights, augmentation)

    def steps(self, size: int, world: int) -> int:
        return steps_of(len(self.train), size, world)

    def batches(self, epoch: int, size: int, rank: int, world: int) -> Iterator[Batch]:
        """Every window once; see `drawn`."""
        share = (size, rank, world)
        return drawn(self.train, self.augmentation.tempo, self.about.get("seed", 0), epoch, *share)

    def evaluate(self, device: torch.device) -> dict[str, float]:
        """On the validation windows: accuracy and macro-F1 of the exercise; of the repetitions in a window the mean
        absolute error and the correlation. The score to keep weights by is the mean of macro-F1 and correlation."""
        if self.val is None or not len(self.val):
            return {}
        probs, counts = evaluated(self.objective, self.val, device)
        shown, score = {}, []
        if probs is not None:
            names, one = [clip.name for clip in self.val.clips], np.ones(len(probs))
            items = Items(self.val.classes, names, self.val.clip, self.val.label, probs.argmax(1), one, probs)
            found = overall(items)
            shown |= {"val_accuracy": found["accuracy"], "val_f1": found["macro_f1"]}
            score.append(found["macro_f1"])
        if counts is not None:
            shown["val_count_error"] = float(np.abs(counts[0] - counts[1]).mean())
            shown["val_count_correlation"] = correlation(*counts)
            score.append(shown["val_count_correlation"])
        return {**shown, "score": float(np.mean(score))}

    def header(self) -> Meta:
        learnt = {"objective": self.about.get("objective", "both"), "augmentation": asdict(self.augmentation)}
        return {
            "model": self.name, "config": as_dict(self.config),
            "classes": self.train.classes if self.config.classes else [],
            "input": {**self.look.header(), "sampled": sampled(self.name, self.look)},
            "training": {**learnt, "windows": len(self.train)},
            "data": self.about.get("data", {}), "licence": self.about.get("licence", "unstated"),
            "steps": [step("train", __version__, model=self.name, seed=self.about.get("seed", 0))],
        }  # fmt: skip


@torch.no_grad()
def evaluated(
    objective: EncoderObjective, windows: EncoderWindows, device: torch.device, size: int = 64
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Every window's class probabilities (S, K) and its true and found repetitions (2, S); None without such a head."""
    objective.eval()
    probs, counts = [], []
    for chosen in np.array_split(np.arange(len(windows)), -(-len(windows) // size)):
        batch = {name: tensor.to(device) for name, tensor in windows.batch(chosen).items()}
        logits, found = objective.heads(batch)
        if logits is not None:
            probs.append(logits.softmax(-1).cpu().numpy().astype(np.float64))
        if found is not None:
            counts.append(torch.stack([batch["density"].sum(1), found.sum(1)]).cpu().numpy().astype(np.float64))
    return np.concatenate(probs) if probs else None, np.concatenate(counts, 1) if counts else None


def correlation(true: np.ndarray, found: np.ndarray) -> float:
    """Pearson's, of two (S,); 0 where one of them is the same throughout."""
    if not len(true) or min(np.ptp(true), np.ptp(found)) < 1e-9:
        return 0.0
    return float(np.corrcoef(true, found)[0, 1])
