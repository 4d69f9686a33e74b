"""What is trained: a model with its batches, its loss, its validation and the header of its checkpoint."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from racctl import __version__
from racctl.contracts import Meta, step
from racctl.errors import DataError
from racctl.models.catalog import Config, as_dict

Batch = dict[str, Tensor]


class Objective(nn.Module):
    """A batch to its loss. model: the network whose weights are written."""

    model: nn.Module


@dataclass(frozen=True)
class Origin:
    """Where a model comes from.

    seed: of everything random.
    licence: of the weights.
    data: which clips it learns from, for the header.
    """

    seed: int = 0
    licence: str = "unstated"
    data: Meta = field(default_factory=dict)


@dataclass(frozen=True)
class EarlierWeights:
    """Weights of another run that a model begins with."""

    file: str
    tensors: dict[str, Tensor]
    header: Meta
    sha256: str

    def size_error(self) -> DataError:
        """Return the error for weights that do not fit the model."""
        return DataError(f"'{self.file}' has another size than what is to be trained; leave out the options for it")


class Task(ABC):
    """Something to train; `racctl.training.loop.fit` trains it.

    name, config: of the model.
    leaves_parameters_out: whether some parameters have no part in some steps.
    """

    leaves_parameters_out: ClassVar[bool] = False

    name: str
    config: Config
    objective: Objective
    origin: Origin

    @property
    @abstractmethod
    def items(self) -> int:
        """How many items an epoch goes through."""

    @property
    @abstractmethod
    def classes(self) -> list[str]:
        """The labels that the model tells apart."""

    @abstractmethod
    def batches(self, epoch: int, size: int, rank: int, world: int) -> Iterable[Batch]:
        """Yield one epoch of this process, the same number of batches in every process."""

    @abstractmethod
    def evaluate(self, device: torch.device) -> dict[str, float]:
        """Return metrics on the validation part, "score" the one to maximise; {} without such a part."""

    @abstractmethod
    def begin_with(self, weights: Sequence[EarlierWeights]) -> str:
        """Take over weights of other runs; return what a user should know of it, or "".

        Raises DataError for weights that do not fit.
        """

    @abstractmethod
    def summary(self) -> str:
        """Say in a few words what the model learns from."""

    @abstractmethod
    def input_contract(self) -> Meta:
        """Return what the model has to be fed with, for the header."""

    @abstractmethod
    def training_record(self) -> Meta:
        """Return how the model is trained, for the header; the loop adds the recipe."""

    def steps(self, size: int, world: int) -> int:
        """Return how many batches `batches` yields."""
        return steps_of(self.items, size, world)

    def header(self) -> Meta:
        """Return the header of the checkpoint."""
        return {
            "model": self.name,
            "config": as_dict(self.config),
            "classes": self.classes,
            "input": self.input_contract(),
            "training": self.training_record(),
            "data": self.origin.data,
            "licence": self.origin.licence,
            "steps": [step("train", __version__, model=self.name, seed=self.origin.seed)],
        }


def steps_of(count: int, size: int, world: int) -> int:
    """Return how many batches `shares_of` makes of so many items."""
    return -(-count // size) if world == 1 else count // (size * world)


def shares_of(order: Tensor, size: int, rank: int, world: int) -> Iterator[Tensor]:
    """Yield the batches of this rank from one epoch's order of items.

    Every rank gets as many; what does not fill a batch on each rank is left out, unless there is only one process.
    """
    if world == 1:
        yield from order.split(size)
        return
    even = len(order) // (size * world) * size * world
    for chunk in order[:even].split(size * world):
        yield chunk[rank * size : (rank + 1) * size]
