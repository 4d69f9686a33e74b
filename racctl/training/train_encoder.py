"""Train an encoder, a network whose tokens others build upon: to tell exercises apart, to count, or both at once.

Windows are 64 frames at 30 frames/s. From the tokens of each, one head tells the exercise of its middle frame, another
how many repetitions lie in each token's span of time; only the tokens are of use later.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from racctl.contracts import Meta
from racctl.data.labelled import LabelledClip
from racctl.data.repetitions import read_repetitions
from racctl.density import density
from racctl.errors import UsageError
from racctl.kinds import Kind
from racctl.models.catalog import ENCODER_MODELS, Config, configured
from racctl.models.ctrgcn import CTRGCNConfig
from racctl.models.silhouette import SAMPLED, SilhouetteConfig
from racctl.recognisers.cache import StoredClip
from racctl.recognisers.inputs import Look
from racctl.recognisers.recogniser import pictures
from racctl.training.clip_windows import WindowSet
from racctl.training.task import Batch
from racctl.training.train_settings import TRAINABLE_ENCODERS, EncoderSettings, refuse_value
from racctl.training.window_task import ClipTraining, WindowObjective, WindowTask
from racctl.windows import FRAME_RATE

ENCODER_WINDOW = 64  # frames
ENCODER_STRIDE = 16
SIZE = 112  # pixels of the square about the person
TOKENS_IN_WINDOW = {"ctrgcn": 16, "silhouette": 8}  # over time
BASES = {"ctrgcn": 4, "silhouette": 8}  # the width of the tokens is so many times the base of the network
ENCODER_JOINTS = "d2stx25"
SMOOTH = 0.067  # s, of the joints; estimated landmarks tremble and jump more the worse the video is
BALANCE = 2.0  # how much the density counts beside the cross-entropy


def encoder_look(name: str, stride: int = ENCODER_STRIDE) -> Look:
    """Return what an encoder sees, 64 frames at a time; of the silhouette encoder, see also `frames_shown`."""
    if name == "ctrgcn":
        return Look(0, FRAME_RATE, ENCODER_WINDOW, stride, topology=ENCODER_JOINTS, mask=False, smooth=SMOOTH)
    return Look(SIZE, FRAME_RATE, ENCODER_WINDOW, stride, crop="person")


def encoder_config(name: str, classes: int, width: int, objective: str) -> Config:
    """Return the config of an encoder with tokens of `width` channels and the heads that the objective needs.

    Raises UsageError for a width that it cannot have.
    """
    if name not in ENCODER_MODELS:
        raise UsageError(f"no network is called '{name}'; expected one of {', '.join(ENCODER_MODELS)}")
    if width % (8 * BASES[name]):
        refuse_value("--width", width, f"a multiple of {8 * BASES[name]} for {name}")
    values: dict[str, Any] = {
        "classes": classes if objective != "density" else 0,
        "density": objective != "label",
        "base": width // BASES[name],
    }
    if name == "ctrgcn":
        values |= {"people": 1, "channels": 4, "topology": ENCODER_JOINTS}
    return configured(name, values)


def frames_shown(name: str, look: Look) -> int:
    """Return how many frames of a window an encoder looks at, every so many from the first on."""
    return SAMPLED if name == "silhouette" else look.window


@dataclass
class EncoderWindows(WindowSet):
    """Windows with the repetitions in each token's span.

    name: of the encoder.
    cycles: (R, 2) seconds of each clip's repetitions, none of a clip that is not named; None where they are not learnt.
    ticks: (R, 2) of each clip's repetitions.
    """

    name: str = "ctrgcn"
    cycles: dict[str, np.ndarray] | None = None
    ticks: list[np.ndarray] = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        nothing = np.zeros((0, 2))
        begins = [clip.time[0] if len(clip.time) else 0.0 for clip in self.clips]
        self.ticks = [
            ((self.cycles or {}).get(clip.name, nothing) - begin) * self.look.rate
            for clip, begin in zip(self.clips, begins, strict=True)
        ]

    @property
    def every(self) -> int:
        return self.look.window // frames_shown(self.name, self.look)

    def batch(self, chosen: np.ndarray, tempo: np.ndarray | None = None) -> Batch:
        """Return what `WindowSet.batch` does, and density (b, tokens) float32, where it is learnt."""
        batch = super().batch(chosen, tempo)
        if self.cycles is not None:
            tempo = np.ones(len(chosen)) if tempo is None else tempo
            batch["density"] = torch.from_numpy(self.repetitions(chosen, tempo)).float()
        return batch

    def repetitions(self, chosen: np.ndarray, tempo: np.ndarray) -> np.ndarray:
        """Return (b, tokens) float64: repetitions in each token's span.

        A window's sum is the number of those whose middle is in it.
        """
        borders = np.linspace(0, self.look.window, TOKENS_IN_WINDOW[self.name] + 1) - self.look.windows.middle
        edges = self.middle[chosen][:, None] + borders * tempo[:, None]
        return np.stack([density(self.ticks[k], spans) for k, spans in zip(self.clip[chosen], edges, strict=True)])


class EncoderObjective(WindowObjective):
    """A batch to the loss; augments while training.

    The loss is the class-weighted cross-entropy, and `BALANCE` times the smooth L1 of the density in repetitions per
    window, so that it does not depend on how many tokens a window has.
    """

    def forward(self, batch: Batch) -> Tensor:
        logits, predicted = self.heads(batch)
        loss = torch.zeros((), device=self.weights.device)
        if logits is not None:
            loss = loss + F.cross_entropy(logits, batch["label"], self.weights)
        if predicted is not None:
            tokens = predicted.shape[1]
            loss = loss + BALANCE * F.smooth_l1_loss(tokens * predicted, tokens * batch["density"])
        return loss

    def heads(self, batch: Batch) -> tuple[Tensor | None, Tensor | None]:
        model: Any = self.model
        tokens = model.tokens(self.shown(batch))
        logits = model.classify(tokens).float() if model.config.classes else None
        return logits, model.repetitions(tokens).float() if model.config.density else None

    def shown(self, batch: Batch) -> Tensor:
        """Return what the model's `tokens` takes."""
        if "joints" in batch:
            joints = batch["joints"]
            if self.training:
                nothing = joints.new_zeros(len(joints), 0, 0, 0)
                _, _, varied = self.augmentation(nothing, nothing, joints, self.mirror)
                joints = joints if varied is None else varied
            return rearrange(joints, "b t v c -> b c t v 1")
        gray, mask = pictures(batch["packed"], self.look.size)
        if self.training:
            gray, mask, _ = self.augmentation(gray, mask, None, None)
        return torch.stack([gray, mask], dim=1)


class EncoderTask(WindowTask):
    """Learn tokens that tell the exercise, the repetitions, or both."""

    OBJECTIVE: ClassVar[type[WindowObjective]] = EncoderObjective

    config: CTRGCNConfig | SilhouetteConfig

    @property
    def classes(self) -> list[str]:
        return self.train.classes if self.config.classes else []

    def input_contract(self) -> Meta:
        return {**super().input_contract(), "sampled": frames_shown(self.name, self.train.look)}

    def training_record(self) -> Meta:
        return {"objective": self.learnt, **super().training_record()}

    @property
    def learnt(self) -> str:
        """What it learns: label, density or both."""
        if not self.config.density:
            return "label"
        return "both" if self.config.classes else "density"


class EncoderTraining(ClipTraining):
    """From a set of labelled clips, with their repetitions, to an encoder."""

    KIND: ClassVar[Kind] = TRAINABLE_ENCODERS
    TASK: ClassVar[type[WindowTask]] = EncoderTask

    settings: EncoderSettings
    cycles: dict[str, np.ndarray] | None = None  # of each clip, once they are read

    @property
    def look(self) -> Look:
        return encoder_look(self.model, self.settings.stride)

    def config(self, classes: int) -> Config:
        return encoder_config(self.model, classes, self.settings.width, self.settings.objective)

    def read_splits(self, seed: int) -> tuple[list[LabelledClip], list[LabelledClip]]:
        """Read the clips, and their repetitions where they are learnt; DataError for a set that does not name them."""
        splits = super().read_splits(seed)
        if self.settings.counts:
            self.cycles = read_repetitions(self.data)
        return splits

    def data_record(self, train: list[StoredClip]) -> Meta:
        record = super().data_record(train)
        if self.cycles is not None:
            record["repetitions"] = sum(len(self.cycles.get(clip.name, ())) for clip in train)
        return record

    def windows(self, clips: list[StoredClip], classes: list[str]) -> EncoderWindows:
        return EncoderWindows(clips, self.look, classes, self.settings.null, name=self.model, cycles=self.cycles)
