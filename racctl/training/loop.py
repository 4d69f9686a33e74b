"""The training loop: epochs, checkpoints, resume, early stopping, mixed precision, several processes under torchrun.

What is trained is a `Task`; this file knows nothing about it. Every epoch draws its random numbers from (seed, epoch,
rank) alone, so a run that was interrupted ends with the weights of one that was not.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn

from racctl.contracts import Meta
from racctl.device import pick_device
from racctl.errors import DataError, UsageError
from racctl.io.checkpoint import write_model
from racctl.io.output import make_folder, write_file
from racctl.io.prefetch import prefetch

Batch = dict[str, Tensor]
FINGERPRINT = ("model", "config", "classes", "input", "data", "training")


@dataclass(frozen=True)
class Recipe:
    """How to train. The defaults are those of the Mask Cross-Attention Transformer paper, section 4.2."""

    epochs: int = 30
    batch: int = 32
    rate: float = 3e-4  # AdamW, cosine annealing to 0 over all epochs, no warm-up
    weight_decay: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.999)
    seed: int = 0
    patience: int = 0  # epochs without a better score before it stops; 0: never
    precision: str = "auto"  # "32", "bf16"; auto: bf16 on CUDA

    def check(self) -> Recipe:
        """UsageError for a number that means nothing; returns self."""
        for name, least in (("epochs", 1), ("batch", 1), ("patience", 0)):
            if getattr(self, name) < least:
                raise UsageError(f"'--{name} {getattr(self, name)}' is too small; expected {least} or more")
        for name in ("rate", "weight_decay"):
            value = getattr(self, name)
            if not math.isfinite(value) or value < 0 or (name == "rate" and value == 0):
                raise UsageError(f"'--{name.replace('_', '-')} {value}' means nothing; expected a positive number")
        if self.precision not in ("auto", "32", "bf16"):
            raise UsageError(f"'--precision {self.precision}' is unknown; expected auto, 32 or bf16")
        return self


class Task(Protocol):
    """Something to train."""

    objective: nn.Module  # forward(batch) -> loss; its `model` is what is kept

    def batches(self, epoch: int, size: int, rank: int, world: int) -> Iterable[Batch]:
        """One epoch of this process, the same number of batches in every process."""

    def steps(self, size: int, world: int) -> int:
        """How many batches `batches` gives."""

    def evaluate(self, device: torch.device) -> dict[str, float]:
        """Metrics on the validation part, "score" the one to maximise; {} without such a part."""

    def header(self) -> Meta:
        """Of the model's checkpoint."""


@dataclass(frozen=True)
class Place:
    """Where this process trains: its rank among `world` processes (torchrun's environment), and the device."""

    rank: int
    world: int
    device: torch.device

    @property
    def leads(self) -> bool:
        return self.rank == 0


@contextmanager
def placed(device: str) -> Iterator[Place]:
    """This process's place, with the process group open where torchrun started several. device: as `pick_device`."""
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    chosen = pick_device(device)
    if chosen.type == "cuda" and world > 1:
        chosen = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        torch.cuda.set_device(chosen)
    if world > 1:
        dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield Place(rank, world, chosen)
    finally:
        if world > 1:
            dist.destroy_process_group()


@dataclass
class State:
    """How far a run is."""

    epoch: int = 0  # finished
    best: float = -math.inf
    since: int = 0  # epochs since the best
    history: list[dict[str, float]] | None = None


def fit(
    task: Task, recipe: Recipe, out: Path, place: Place, say: Callable[[str], None] = print,
    report: Callable[[int, int], None] = lambda done, total: None, stop_after: int = 0,
) -> list[dict[str, float]]:  # fmt: skip
    """Train until the recipe's last epoch or its patience ends; returns one row of metrics for each epoch.

    Writes out/model.safetensors (of the best epoch, or the last where nothing is validated), out/resume.pt after every
    epoch, out/history.json, and TensorBoard logs where tensorboard is installed. A directory that holds an unfinished
    run with the same settings is gone on with; other settings are a UsageError. stop_after: epochs of this call, 0 all.
    """
    recipe.check()
    make_folder(out)
    if not task.steps(recipe.batch, place.world):
        raise DataError(f"there are too few windows for {place.world} processes with batches of {recipe.batch}")
    objective = task.objective.to(place.device)
    optimizer = torch.optim.AdamW(objective.parameters(), recipe.rate, recipe.betas, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, recipe.epochs)
    about = _fingerprint(task, recipe, place.world)
    state = _resume(out / "resume.pt", about, objective, optimizer, schedule, place)
    whole = _shared(objective, task) if place.world > 1 else objective
    steps, log, began = task.steps(recipe.batch, place.world), _log(out, place), time.monotonic()
    first = state.epoch
    while state.epoch < recipe.epochs and not (recipe.patience and state.since >= recipe.patience):
        if stop_after and state.epoch - first >= stop_after:
            break
        done = state.epoch * steps
        row = _epoch(
            task, whole, optimizer, recipe, state.epoch, place, lambda k, d=done: report(d + k, recipe.epochs * steps)
        )
        schedule.step()
        row |= task.evaluate(place.device) if place.leads else {}
        better = _note(state, row)
        if place.leads:
            log(row, state.epoch)
            _save(out, task, objective, optimizer, schedule, state, about, better)
            left = (time.monotonic() - began) / (state.epoch - first) * (recipe.epochs - state.epoch)
            say(f"epoch {state.epoch}/{recipe.epochs}  {_shown(row)}  {left / 60:.1f} min left at most")
        _agree(state, place)
    return state.history or []


def _shared(objective: nn.Module, task: Task) -> nn.Module:
    """The objective with its gradients averaged over the processes."""
    return nn.parallel.DistributedDataParallel(objective, find_unused_parameters=getattr(task, "partial", False))


def _epoch(
    task: Task, whole: nn.Module, optimizer: torch.optim.Optimizer, recipe: Recipe, epoch: int, place: Place,
    report: Callable[[int], None],
) -> dict[str, float]:  # fmt: skip
    """One pass; returns its mean loss."""
    whole.train()
    torch.manual_seed((recipe.seed * 100_003 + epoch) * 1009 + place.rank)
    half = recipe.precision == "bf16" or (recipe.precision == "auto" and place.device.type == "cuda")
    total, count = torch.zeros((), device=place.device), 0
    for batch in prefetch(task.batches(epoch, recipe.batch, place.rank, place.world)):
        batch = {name: tensor.to(place.device, non_blocking=True) for name, tensor in batch.items()}
        with torch.autocast(place.device.type, torch.bfloat16, enabled=half):
            loss = whole(batch)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        total, count = total + loss.detach(), count + 1
        report(count)
    mean = float(total) / max(count, 1)
    if not math.isfinite(mean):
        raise DataError(f"the loss is not finite in epoch {epoch + 1}; lower '--rate'")
    return {"epoch": epoch + 1, "loss": mean, "rate": optimizer.param_groups[0]["lr"]}


def steps_of(count: int, size: int, world: int) -> int:
    """How many batches `shares_of` makes of so many items."""
    return -(-count // size) if world == 1 else count // (size * world)


def shares_of(order: Tensor, size: int, rank: int, world: int) -> Iterator[Tensor]:
    """Batches of this rank from one epoch's order of items: every rank gets as many, what does not fill a batch on each
    rank is left out, unless there is only one process."""
    if world == 1:
        yield from order.split(size)
        return
    even = len(order) // (size * world) * size * world
    for chunk in order[:even].split(size * world):
        yield chunk[rank * size : (rank + 1) * size]


def _note(state: State, row: dict[str, float]) -> bool:
    """Take the epoch into the state; True when its weights are to be kept."""
    state.epoch += 1
    state.history = [*(state.history or []), row]
    score = row.get("score")
    better = score is None or score > state.best
    state.best = state.best if score is None or not better else score
    state.since = 0 if better else state.since + 1
    return better


def _agree(state: State, place: Place) -> None:
    """The leader alone validates; all take its word for when to stop."""
    if place.world > 1:
        word = torch.tensor([state.since], device=place.device)
        dist.broadcast(word, 0)
        state.since = int(word)


def _fingerprint(task: Task, recipe: Recipe, world: int) -> Meta:
    """What has to be the same for a run to go on: settings, data, number of processes."""
    header = {key: value for key, value in task.header().items() if key in FINGERPRINT}
    return json.loads(json.dumps({"recipe": asdict(recipe), "processes": world, **header}))


def _resume(path: Path, now: Meta, objective: nn.Module, optimizer, schedule, place: Place) -> State:
    if not path.is_file():
        return State(history=[])
    try:
        kept = torch.load(path, map_location=place.device, weights_only=True)
        about, state = json.loads(kept["about"]), State(**kept["state"])
    except Exception as error:  # torch.load raises whatever the damage leads to
        raise DataError(f"'{path}' is damaged ({type(error).__name__}); delete it to begin anew") from None
    if about != now:
        changed = _differences(about, now)
        raise UsageError(f"'{path.parent}' holds a run with other settings ({changed}); name another directory")
    objective.load_state_dict(kept["objective"])
    optimizer.load_state_dict(kept["optimizer"])
    schedule.load_state_dict(kept["schedule"])
    return state


def _differences(old: Meta, new: Meta) -> str:
    parts = ("recipe", "config", "input", "training")
    flat = [{key: value for part in parts for key, value in doc.get(part, {}).items()} | doc for doc in (old, new)]
    for doc in flat:
        for part in parts:
            doc.pop(part, None)
    names = [key for key in {**flat[0], **flat[1]} if flat[0].get(key) != flat[1].get(key)]
    return ", ".join(names[:4]) or "of another version"


def _save(
    out: Path, task: Task, objective: nn.Module, optimizer, schedule, state: State, about: Meta, better: bool
) -> None:
    kept = {
        "about": json.dumps(about), "state": asdict(state), "objective": objective.state_dict(),
        "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict(),
    }  # fmt: skip
    if better:
        record = {**about["recipe"], "epoch": state.epoch, "metrics": state.history[-1]}
        header = task.header()
        header["training"] = {**header.get("training", {}), **json.loads(json.dumps(record))}
        write_file(out / "model.safetensors", lambda file: write_model(file, header, objective.model.state_dict()))
    write_file(out / "resume.pt", lambda file: torch.save(kept, file))
    write_file(out / "history.json", lambda file: file.write(json.dumps(state.history, indent=1).encode()) and None)


def _log(out: Path, place: Place) -> Callable[[dict[str, float], int], None]:
    """What writes one epoch's numbers for TensorBoard; nothing where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return lambda row, epoch: None
    if not place.leads:
        return lambda row, epoch: None

    def write(row: dict[str, float], epoch: int) -> None:
        with SummaryWriter(str(out / "tensorboard"), filename_suffix=f".{epoch}") as writer:
            for name, value in row.items():
                writer.add_scalar(name, value, epoch)

    return write


def _shown(row: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in itertools.islice(row.items(), 1, None) if name != "rate")
