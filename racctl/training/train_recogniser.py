"""Train an exercise recogniser: windows of labelled clips, the class-weighted loss.

Mask Cross-Attention Transformer paper, section 4.2.
"""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from racctl.errors import UsageError
from racctl.kinds import Kind
from racctl.models.catalog import Config, configured
from racctl.recognisers.inputs import Look
from racctl.recognisers.recogniser import pictures
from racctl.training.task import Batch
from racctl.training.train_settings import TRAINABLE_RECOGNISERS, RecogniserSettings
from racctl.training.window_task import ClipTraining, WindowObjective, WindowTask
from racctl.windows import FRAME_RATE

RECOGNISER_JOINTS = "d2stx25"


class RecogniserObjective(WindowObjective):
    """A batch of packed windows to the class-weighted cross-entropy; augments while training."""

    def forward(self, batch: Batch) -> Tensor:
        return F.cross_entropy(self.logits(batch).float(), batch["label"], self.weights)

    def logits(self, batch: Batch) -> Tensor:
        """Return (b, classes)."""
        gray, mask = pictures(batch["packed"], self.look.size)
        joints = batch.get("joints")
        if self.training:
            gray, mask, joints = self.augmentation(gray, mask, joints, self.mirror)
        logits: Tensor = self.model(gray, mask, joints)
        return logits

    def heads(self, batch: Batch) -> tuple[Tensor | None, Tensor | None]:
        return self.logits(batch).float(), None


class RecogniserTask(WindowTask):
    """Learn to name the exercise of a window's middle frame."""

    OBJECTIVE: ClassVar[type[WindowObjective]] = RecogniserObjective
    LABEL_METRICS: ClassVar[dict[str, str]] = {**WindowTask.LABEL_METRICS, "val_auc": "macro_auc"}


class RecogniserTraining(ClipTraining):
    """From a set of labelled clips to a recogniser."""

    KIND: ClassVar[Kind] = TRAINABLE_RECOGNISERS
    TASK: ClassVar[type[WindowTask]] = RecogniserTask

    settings: RecogniserSettings

    @property
    def look(self) -> Look:
        """What the model is fed, at the paper's 30 frames/s."""
        chosen = self.settings
        joints_alone = chosen.input == "pose"
        return Look(
            size=0 if joints_alone else chosen.size,
            rate=FRAME_RATE,
            window=chosen.window,
            stride=chosen.stride,
            crop=chosen.crop,
            topology=RECOGNISER_JOINTS if chosen.has_joints else "",
            mask=chosen.input in ("both", "mask"),
        )

    def config(self, classes: int) -> Config:
        chosen = self.settings
        default_of_joints = chosen.input == "pose" and chosen.fusion == "cross"  # one stream has nothing to be fused
        values = {
            "classes": classes,
            "input": chosen.input,
            "layers": chosen.layers,
            "width": chosen.width,
            "fusion": "none" if default_of_joints else chosen.fusion,
            "pose": chosen.pose,
            "size": self.look.size,
            "window": chosen.window,
        }
        try:
            return configured(self.model, values)
        except ValueError as error:
            raise UsageError(str(error)) from None
