"""What training a recogniser and training an encoder have in common: from a labelled data set to a task on windows."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from scipy.special import softmax
from torch import Tensor, nn

from racctl.contracts import BACKGROUND, Meta
from racctl.data.labelled import LabelledClip, read_labelled, split_clips
from racctl.errors import DataError, UsageError
from racctl.kinds import Kind
from racctl.models.catalog import Config, built, configured
from racctl.progress import Report
from racctl.recognisers.cache import StoredClip, store
from racctl.recognisers.inputs import Look
from racctl.scoring.label_metrics import Items, overall
from racctl.skeleton.topology import TOPOLOGIES
from racctl.training.augment import Augmentation
from racctl.training.clip_windows import WindowSet, class_list, class_weights, draw_batches
from racctl.training.lacking_joints import layout_tables
from racctl.training.task import Batch, EarlierWeights, Objective, Origin, Task
from racctl.training.train_model import VAL_SHARE, Loaded, RunSettings, Training, split_by_name
from racctl.training.train_settings import ClipSettings

VALIDATED = 64  # windows at a time


class WindowObjective(Objective):
    """A batch of windows to its loss; augments while training."""

    weights: Tensor
    mirror: Tensor

    def __init__(self, model: nn.Module, look: Look, weights: np.ndarray, augmentation: Augmentation) -> None:
        """weights: (K,) of the classes."""
        super().__init__()
        self.model = model
        self.look = look
        self.augmentation = augmentation
        self.register_buffer("weights", torch.tensor(weights, dtype=torch.float32), persistent=False)
        mirror = TOPOLOGIES[look.topology].flip if look.topology else np.zeros(0, np.int64)
        self.register_buffer("mirror", torch.from_numpy(mirror), persistent=False)
        self.tables: tuple[Tensor, Tensor] | None = None
        if look.topology and augmentation.layouts:
            present, chance = layout_tables(TOPOLOGIES[look.topology])
            self.tables = (torch.from_numpy(present), torch.from_numpy(chance))

    def heads(self, batch: Batch) -> tuple[Tensor | None, Tensor | None]:
        """Return logits (b, classes) and density (b, tokens), float32, each None where the model has no such head."""
        raise NotImplementedError


@dataclass(frozen=True)
class WindowPredictions:
    """What a model says of S windows.

    logits: (S, K) of the classes, None without such a head.
    counts: (2, S) true and predicted repetitions, None without such a head.
    """

    logits: np.ndarray | None
    counts: np.ndarray | None

    @property
    def probs(self) -> np.ndarray | None:
        """(S, K) float64 of the classes."""
        return None if self.logits is None else softmax(self.logits, axis=1)


@torch.no_grad()
def predict(objective: WindowObjective, windows: WindowSet, device: torch.device) -> WindowPredictions:
    """Return what the model says of every window."""
    objective.eval()
    named, counts = [], []
    for chosen in np.array_split(np.arange(len(windows)), -(-len(windows) // VALIDATED)):
        batch = {name: tensor.to(device) for name, tensor in windows.batch(chosen).items()}
        logits, density = objective.heads(batch)
        if logits is not None:
            named.append(logits.cpu().numpy().astype(np.float64))
        if density is not None:
            counts.append(torch.stack([batch["density"].sum(1), density.sum(1)]).cpu().numpy().astype(np.float64))
    return WindowPredictions(
        np.concatenate(named) if named else None,
        np.concatenate(counts, axis=1) if counts else None,
    )


def label_metrics(windows: WindowSet, probs: np.ndarray) -> dict[str, float]:
    """Return the metrics of windows that are classified. probs: (S, K)."""
    names = [clip.name for clip in windows.clips]
    present = np.ones(len(probs))
    return overall(Items(windows.classes, names, windows.clip, windows.label, probs.argmax(1), present, probs))


def correlation(true: np.ndarray, predicted: np.ndarray) -> float:
    """Return Pearson's correlation of two (S,); 0 where one of them is the same throughout."""
    if not len(true) or min(np.ptp(true), np.ptp(predicted)) < 1e-9:
        return 0.0
    return float(np.corrcoef(true, predicted)[0, 1])


class WindowTask(Task):
    """A model of windows to train.

    LABEL_METRICS: the name of each metric of classification in the history -> its name among all.
    """

    OBJECTIVE: ClassVar[type[WindowObjective]]
    LABEL_METRICS: ClassVar[dict[str, str]] = {"val_accuracy": "accuracy", "val_f1": "macro_f1"}

    objective: WindowObjective

    def __init__(
        self,
        name: str,
        config: Config,
        train: WindowSet,
        val: WindowSet | None,
        augmentation: Augmentation,
        origin: Origin,
    ) -> None:
        if not len(train):
            raise DataError("there is no window to train on")
        self.name = name
        self.config = config
        self.train = train
        self.val = val
        self.augmentation = augmentation
        self.origin = origin
        weights = class_weights(np.bincount(train.label, minlength=len(train.classes)))
        self.objective = self.OBJECTIVE(built(name, config), train.look, weights, augmentation)

    @property
    def items(self) -> int:
        return len(self.train)

    @property
    def classes(self) -> list[str]:
        return self.train.classes

    def batches(self, epoch: int, size: int, rank: int, world: int) -> Iterator[Batch]:
        """Yield every window once; see `draw_batches`."""
        return draw_batches(self.train, self.augmentation.tempo, self.origin.seed, epoch, (size, rank, world))

    def evaluate(self, device: torch.device) -> dict[str, float]:
        """Return the metrics of the exercise's name and of the repetitions, of what the model learns.

        The score to keep weights by is the mean of macro-F1, which the paper puts first, and of the correlation of true
        and predicted repetitions in a window.
        """
        if self.val is None or not len(self.val):
            return {}
        predictions = predict(self.objective, self.val, device)
        metrics: dict[str, float] = {}
        scores = []
        self.calibrate(self.val, predictions)
        if predictions.probs is not None:
            labels = label_metrics(self.val, predictions.probs)
            shown = {name: labels[metric] for name, metric in self.LABEL_METRICS.items()}
            metrics |= {name: value for name, value in shown.items() if np.isfinite(value)}
            scores.append(labels["macro_f1"])
        if predictions.counts is not None:
            true, predicted = predictions.counts
            metrics["val_count_error"] = float(np.abs(true - predicted).mean())
            metrics["val_count_correlation"] = correlation(true, predicted)
            scores.append(metrics["val_count_correlation"])
        return {**metrics, "score": float(np.mean(scores))}

    def calibrate(self, val: WindowSet, predictions: WindowPredictions) -> None:
        """Take in what the model says of the windows to validate on, for its header."""

    def begin_with(self, weights: Sequence[EarlierWeights]) -> str:
        """Take over the weights of one run; where that one knows other classes, what tells them apart is new."""
        (earlier,) = weights
        model = self.objective.model
        tensors = dict(earlier.tensors)
        if earlier.header["classes"] and self.classes and earlier.header["classes"] != self.classes:
            config = {**earlier.header["config"], "classes": len(earlier.header["classes"]) + 1}
            wider = built(self.name, configured(self.name, config)).state_dict()
            heads = {key for key, value in tensors.items() if value.shape != wider[key].shape}
            tensors |= {key: value for key, value in model.state_dict().items() if key in heads}
        try:
            model.load_state_dict(tensors)
        except RuntimeError:
            raise earlier.size_error() from None
        return ""

    def summary(self) -> str:
        validated = 0 if self.val is None else len(self.val)
        return (
            f"{len(self.train.classes)} classes, {len(self.train)} windows of {len(self.train.clips)} clips, "
            f"{validated} to validate on"
        )

    def input_contract(self) -> Meta:
        return self.train.look.header()

    def training_record(self) -> Meta:
        return {"augmentation": asdict(self.augmentation), "windows": len(self.train)}


@dataclass
class ClipTraining(Training[LabelledClip, StoredClip]):
    """From a set of labelled clips to a model of windows.

    data: as `read_labelled` takes it.
    model: a name of `KIND`.
    settings: of the class that the model has.
    """

    KIND: ClassVar[Kind]
    TASK: ClassVar[type[WindowTask]]

    data: str
    model: str
    settings: ClipSettings

    def __post_init__(self) -> None:
        expected = self.KIND.load(self.model).Settings
        if type(self.settings) is not expected:
            raise UsageError(f"invalid settings for '{self.model}'; expected {expected.__name__}")
        self.config(2)

    @property
    @abstractmethod
    def look(self) -> Look:
        """What the model is fed."""

    @abstractmethod
    def config(self, classes: int) -> Config:
        """Return the config of the model; UsageError for values that do not go together."""

    @property
    def augmentation(self) -> Augmentation:
        chosen = self.settings
        return Augmentation(
            tempo=chosen.tempo,
            drop=chosen.drop,
            minmax=chosen.minmax,
            layouts=chosen.layouts,
            flat=chosen.flat,
            tilt=chosen.layouts > 0,
        )

    def read_splits(self, seed: int) -> tuple[list[LabelledClip], list[LabelledClip]]:
        names = (self.settings.train_split, self.settings.val_split)
        clips = read_labelled(
            self.data,
            need=self.look.files,
            lenient=True,
            videos=self.settings.videos or None,
            masks=self.settings.masks or None,
            poses=self.settings.poses or None,
        )
        if not any(clip.split for clip in clips):
            clips = split_clips(clips, {names[0]: 1 - VAL_SHARE, names[1]: VAL_SHARE}, seed)
        return split_by_name(clips, names, self.data)

    def load(self, rows: list[LabelledClip], run: RunSettings, report: Report) -> Loaded[StoredClip]:
        cache = Path(self.settings.cache) if self.settings.cache else run.out / "cache"
        failures: list[tuple[str, str]] = []
        clips = store(rows, cache, self.look, run.threads, report, lambda *failure: failures.append(failure))
        return Loaded({clip.name: clip for clip in clips}, failures)

    def digest_text(self, clip: StoredClip) -> str:
        return f"{clip.name} {clip.split} {len(clip)} {' '.join(clip.labels)}"

    def data_record(self, train: list[StoredClip]) -> Meta:
        del train
        return {"null": self.settings.null}

    def windows(self, clips: list[StoredClip], classes: list[str]) -> WindowSet:
        """Return the windows of clips."""
        return WindowSet(clips, self.look, classes, self.settings.null, self.settings.loop)

    def task(self, train: list[StoredClip], val: list[StoredClip], origin: Origin, epochs: int) -> Task:
        del epochs
        classes = [name for name in class_list(train) if self.settings.null or name != BACKGROUND]
        config = self.config(len(classes))
        windows = self.windows(train, classes)
        validated = self.windows(val, classes)
        return self.TASK(self.model, config, windows, validated, self.augmentation, origin)

    def warnings(self, task: Task) -> list[str]:
        unknown = task.val.unknown if isinstance(task, WindowTask) and task.val is not None else 0
        if not unknown:
            return []
        return [f"left out: {unknown} windows to validate on, of classes that are not in the training clips"]
