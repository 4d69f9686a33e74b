"""Train a model, from a data set to a checkpoint: the story that all kinds of models have in common."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import torch

from racctl.contracts import Meta
from racctl.device import set_threads
from racctl.errors import DataError
from racctl.models.d2stx import parameters
from racctl.progress import Report, silent
from racctl.training.loop import Row, TrainingProcess, fit, open_process
from racctl.training.task import EarlierWeights, Origin, Task
from racctl.training.train_settings import Recipe, TrainingSettings
from racctl.weights.load import load_trained


class SetClip(Protocol):
    """A clip as a data set names it."""

    @property
    def clip(self) -> str: ...

    @property
    def split(self) -> str: ...


VAL_SHARE = 0.15  # of the clips are validated on where the data set has no splits

RowT = TypeVar("RowT", bound=SetClip)
ClipT = TypeVar("ClipT")


@dataclass(frozen=True)
class RunSettings:
    """Where a run writes, and what it runs on. device: as `racctl.device.pick_device`."""

    out: Path
    device: str = "auto"
    threads: int = 1


@dataclass(frozen=True)
class Reports:
    """Who is told what: notes, how much is read, how much is learned."""

    say: Callable[[str], None] = print
    reading: Report = silent
    learning: Report = silent

    def of_process(self, process: TrainingProcess) -> Reports:
        """Return these reports for the main process, silent ones for another."""
        return self if process.is_main else Reports(ignore)


def ignore(line: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class Loaded(Generic[ClipT]):
    """Clips by name, and those that cannot be used: (clip, reason)."""

    clips: dict[str, ClipT]
    failures: list[tuple[str, str]]


class Training(ABC, Generic[RowT, ClipT]):
    """What is particular to one kind of model: how its clips are read, and what is learned from them.

    RowT: a clip as the data set names it.  ClipT: a clip as the model sees it.
    """

    data: str
    settings: TrainingSettings

    @abstractmethod
    def read_splits(self, seed: int) -> tuple[list[RowT], list[RowT]]:
        """Return the clips to train on and those to validate on."""

    @abstractmethod
    def load(self, rows: list[RowT], run: RunSettings, report: Report) -> Loaded[ClipT]:
        """Read the clips as the model sees them."""

    @abstractmethod
    def digest_text(self, clip: ClipT) -> str:
        """Return what a clip is: its name, length and labels."""

    @abstractmethod
    def data_record(self, train: list[ClipT]) -> Meta:
        """Return what the header says of the data beside the number of clips and their digest."""

    @abstractmethod
    def task(self, train: list[ClipT], val: list[ClipT], origin: Origin, epochs: int) -> Task:
        """Return the model with its fresh weights, its batches and its validation."""

    def warnings(self, task: Task) -> list[str]:
        """Return what a user should know of the data."""
        del task
        return []


def train_model(
    training: Training[RowT, ClipT], recipe: Recipe, run: RunSettings, reports: Reports | None = None
) -> list[Row]:
    """Train and write model.safetensors into the run's folder; see `racctl.training.loop.fit` for what else is written.

    Returns the metrics of each epoch. Raises DataError for a data set that cannot be used.
    """
    set_threads(run.threads)
    with open_process(run.device) as process:
        tell = (reports or Reports()).of_process(process)
        train, val = _load(training, recipe.seed, run, tell)
        data = _data_record(training, train, val)
        torch.manual_seed(recipe.seed)  # of the first weights
        task = training.task(train, val, Origin(recipe.seed, training.settings.licence, data), recipe.epochs)
        if training.settings.init:
            _begin_with(task, training.settings.init, tell.say)
        for line in training.warnings(task):
            tell.say(line)
        tell.say(f"{task.name}: {parameters(task.objective.model) / 1e6:.2f} M parameters, {task.summary()}")
        history = fit(task, recipe, run.out, process, tell.say, tell.learning)
        tell.say(f"'{run.out / 'model.safetensors'}' holds the weights")
        return history


def split_by_name(rows: Iterable[RowT], names: tuple[str, str], data: str) -> tuple[list[RowT], list[RowT]]:
    """Return the clips of the split to train on and of the one to validate on; DataError without any to train on."""
    rows = list(rows)
    train, val = ([row for row in rows if row.split == name] for name in names)
    if not train:
        splits = ", ".join(sorted({row.split for row in rows}))
        raise DataError(f"'{data}' has no clip in the split '{names[0]}'; it has {splits}")
    return train, val


def _load(
    training: Training[RowT, ClipT], seed: int, run: RunSettings, reports: Reports
) -> tuple[list[ClipT], list[ClipT]]:
    """Read the clips to train on and to validate on; those that cannot be used are said and left out."""
    train, val = training.read_splits(seed)
    loaded = training.load([*train, *val], run, reports.reading)
    if not loaded.clips:
        reason = loaded.failures[0][1]
        raise DataError(f"not one clip of '{training.data}' can be used; the first: {reason}")
    for clip, reason in loaded.failures:
        reports.say(f"left out: {clip}: {reason}")
    return _clips_of(train, loaded), _clips_of(val, loaded)


def _clips_of(rows: Iterable[RowT], loaded: Loaded[ClipT]) -> list[ClipT]:
    return [loaded.clips[row.clip] for row in rows if row.clip in loaded.clips]


def _data_record(training: Training[RowT, ClipT], train: list[ClipT], val: list[ClipT]) -> Meta:
    """Return what the header says of the data."""
    digest = hashlib.sha256()
    for clip in [*train, *val]:
        digest.update(training.digest_text(clip).encode())
    counts = {"clips": len(train), "val_clips": len(val)}
    return {**counts, "digest": digest.hexdigest()[:16], **training.data_record(train)}


def _begin_with(task: Task, files: Sequence[str], say: Callable[[str], None]) -> None:
    """Take over the weights of other runs, and note their digests in the record of the data."""
    weights = []
    for file in files:
        network, header, record = load_trained(Path(file), (task.name,))
        weights.append(EarlierWeights(file, network.state_dict(), header, record["sha256"]))
    note = task.begin_with(weights)
    digests = [earlier.sha256 for earlier in weights]
    task.origin.data["begun_with"] = digests[0] if len(digests) == 1 else digests
    if note:
        say(note)
