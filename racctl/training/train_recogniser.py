"""Train an exercise recogniser: windows of labelled clips, the class-weighted loss.

Mask Cross-Attention Transformer paper, section 4.2.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from racctl.contracts import BACKGROUND, UNKNOWN_LABEL, Meta
from racctl.data.class_names import exercise
from racctl.data.labelled import LabelledClip
from racctl.errors import UsageError
from racctl.kinds import Kind
from racctl.models.catalog import Config, configured
from racctl.progress import Report
from racctl.recognisers.cache import StoredClip
from racctl.recognisers.inputs import Look
from racctl.recognisers.recogniser import pictures
from racctl.recognisers.rejection import Rejection, ScoredWindows, fit_rejection
from racctl.training.augment import Augmentation
from racctl.training.clip_windows import WindowSet, with_outliers
from racctl.training.lacking_joints import tells_little
from racctl.training.task import Batch, Origin
from racctl.training.train_model import Loaded, RunSettings
from racctl.training.train_settings import TRAINABLE_RECOGNISERS, RecogniserSettings
from racctl.training.window_task import ClipTraining, WindowObjective, WindowPredictions, WindowTask

RECOGNISER_JOINTS = "d2stx25"


class RecogniserObjective(WindowObjective):
    """A batch of packed windows to the class-weighted cross-entropy; augments while training.

    outlier, background: the classes of what is unknown and of no exercise, -1 where there is none. A window of an
    exercise whose moving joints the augmentation took away is learned as unknown: nobody could tell.
    """

    outlier = -1
    background = -1

    def forward(self, batch: Batch) -> Tensor:
        gray, mask, joints = self.streams(batch)
        label = batch["label"]
        if self.outlier >= 0 and joints is not None and self.augmentation.layouts:
            little = tells_little(batch["joints"], joints) & (label != self.background)
            label = torch.where(little, self.outlier, label)
        logits: Tensor = self.model(gray, mask, joints)
        return F.cross_entropy(logits.float(), label, self.weights)

    def streams(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return gray, mask and joints of a batch, varied while training."""
        gray, mask = pictures(batch["packed"], self.look.size)
        joints = batch.get("joints")
        if self.training:
            gray, mask, joints = self.augmentation(gray, mask, joints, self.mirror, self.tables)
        return gray, mask, joints

    def logits(self, batch: Batch) -> Tensor:
        """Return (b, classes)."""
        logits: Tensor = self.model(*self.streams(batch))
        return logits

    def heads(self, batch: Batch) -> tuple[Tensor | None, Tensor | None]:
        return self.logits(batch).float(), None


class RecogniserTask(WindowTask):
    """Learn to name the exercise of a window's middle frame."""

    OBJECTIVE: ClassVar[type[WindowObjective]] = RecogniserObjective
    objective: RecogniserObjective
    LABEL_METRICS: ClassVar[dict[str, str]] = {**WindowTask.LABEL_METRICS, "val_auc": "macro_auc"}

    def __init__(
        self,
        name: str,
        config: Config,
        train: WindowSet,
        val: WindowSet | None,
        augmentation: Augmentation,
        origin: Origin,
    ) -> None:
        super().__init__(name, config, train, val, augmentation, origin)
        number = {label: k for k, label in enumerate(train.classes)}
        self.objective.outlier = number.get(UNKNOWN_LABEL, -1)
        self.objective.background = number.get(BACKGROUND, -1)
        self.rejection: Rejection | None = None

    def calibrate(self, val: WindowSet, predictions: WindowPredictions) -> None:
        if predictions.logits is not None:
            self.rejection = fit_rejection(ScoredWindows(predictions.logits, val.label, val.clip, val.classes))

    def header(self) -> Meta:
        header = super().header()
        return header if self.rejection is None else {**header, "rejection": self.rejection.header()}


class RecogniserTraining(ClipTraining):
    """From a set of labelled clips to a recogniser."""

    KIND: ClassVar[Kind] = TRAINABLE_RECOGNISERS
    TASK: ClassVar[type[WindowTask]] = RecogniserTask

    settings: RecogniserSettings

    @property
    def look(self) -> Look:
        """What the model is fed."""
        chosen = self.settings
        joints_alone = chosen.input == "pose"
        return Look(
            size=0 if joints_alone else chosen.size,
            rate=chosen.fps,
            window=chosen.window,
            stride=chosen.stride,
            crop=chosen.crop,
            topology=RECOGNISER_JOINTS if chosen.has_joints else "",
            mask=chosen.input in ("both", "mask"),
            inside=joints_alone,
        )

    def load(self, rows: list[LabelledClip], run: RunSettings, report: Report) -> Loaded[StoredClip]:
        loaded = super().load(rows, run, report)
        outliers = [exercise(label) for label in self.settings.outlier_labels]
        return Loaded({name: with_outliers(clip, outliers) for name, clip in loaded.clips.items()}, loaded.failures)

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
            "body": chosen.input == "pose",
            "patch": chosen.patch,
            "size": self.look.size,
            "window": chosen.window,
        }
        try:
            return configured(self.model, values)
        except ValueError as error:
            raise UsageError(str(error)) from None
