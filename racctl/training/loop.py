"""The training loop: epochs, checkpoints, resume, early stopping, mixed precision, several processes under torchrun.

What is trained is a `racctl.training.task.Task`; this file knows nothing about it. Every epoch draws its random numbers
from (seed, epoch, rank) alone, so a run that was interrupted ends with the weights of one that was not.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR

from racctl.contracts import Meta
from racctl.device import pick_device
from racctl.errors import DataError, UsageError
from racctl.io.checkpoint import write_model
from racctl.io.output import make_folder, write_file
from racctl.io.prefetch import prefetch
from racctl.progress import Report, silent
from racctl.training.task import Batch, Task
from racctl.training.train_settings import Recipe

Row = dict[str, float]  # an epoch's metrics
FINGERPRINT = ("model", "config", "classes", "input", "data", "training")


@dataclass(frozen=True)
class TrainingProcess:
    """This process: its rank among `world` processes (torchrun's environment), and the device that it trains on."""

    rank: int
    world: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        return self.rank == 0


@contextmanager
def open_process(device: str) -> Iterator[TrainingProcess]:
    """Give this process, with the process group open where torchrun started several. device: as `pick_device`."""
    rank = int(os.environ.get("RANK", 0))
    world = int(os.environ.get("WORLD_SIZE", 1))
    chosen = pick_device(device)
    if chosen.type == "cuda" and world > 1:
        chosen = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        torch.cuda.set_device(chosen)
    if world > 1:
        dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield TrainingProcess(rank, world, chosen)
    finally:
        if world > 1:
            dist.destroy_process_group()


@dataclass
class State:
    """How far a run is.

    epoch: how many are over.
    best: the best score.
    since: epochs since the best.
    """

    epoch: int = 0
    best: float = -math.inf
    since: int = 0
    history: list[Row] = field(default_factory=list)

    def is_over(self, recipe: Recipe) -> bool:
        return self.epoch >= recipe.epochs or bool(recipe.patience and self.since >= recipe.patience)

    def add(self, row: Row) -> bool:
        """Take an epoch in; return whether its weights are the best so far."""
        self.epoch += 1
        self.history.append(row)
        score = row.get("score")
        better = score is None or score > self.best
        if better and score is not None:
            self.best = score
        self.since = 0 if better else self.since + 1
        return better


@dataclass
class Learner:
    """What an epoch changes: the task's objective, its optimizer and its learning rate.

    whole: the objective with its gradients averaged over the processes.
    """

    task: Task
    recipe: Recipe
    process: TrainingProcess

    def __post_init__(self) -> None:
        objective = self.task.objective.to(self.process.device)
        self.optimizer = AdamW(
            objective.parameters(), self.recipe.rate, self.recipe.betas, weight_decay=self.recipe.weight_decay
        )
        self.schedule = CosineAnnealingLR(self.optimizer, self.recipe.epochs)
        self.whole: nn.Module = objective

    def share_gradients(self) -> None:
        """Average the gradients over the processes, where there are several."""
        if self.process.world > 1:
            self.whole = nn.parallel.DistributedDataParallel(
                self.task.objective, find_unused_parameters=self.task.leaves_parameters_out
            )

    @property
    def steps(self) -> int:
        """How many batches an epoch has."""
        return self.task.steps(self.recipe.batch, self.process.world)

    @property
    def halves(self) -> bool:
        """Whether it computes in bf16."""
        automatic = self.recipe.precision == "auto" and self.process.device.type == "cuda"
        return self.recipe.precision == "bf16" or automatic

    def states(self) -> Meta:
        return {
            "objective": self.task.objective.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
        }

    def load_states(self, states: Meta) -> None:
        self.task.objective.load_state_dict(states["objective"])
        self.optimizer.load_state_dict(states["optimizer"])
        self.schedule.load_state_dict(states["schedule"])


def fit(
    task: Task,
    recipe: Recipe,
    out: Path,
    process: TrainingProcess,
    say: Callable[[str], None] = print,
    report: Report = silent,
    stop_after: int = 0,
) -> list[Row]:
    """Train until the recipe's last epoch or its patience ends; return the metrics of each epoch.

    Writes out/model.safetensors (of the best epoch, or the last where nothing is validated), out/resume.pt after every
    epoch, out/history.json, and TensorBoard logs where tensorboard is installed. A directory that holds an unfinished
    run with the same settings is gone on with; other settings are a UsageError.

    stop_after: epochs of this call, 0 for all.
    """
    make_folder(out)
    if not task.steps(recipe.batch, process.world):
        raise DataError(f"there are too few windows for {process.world} processes with batches of {recipe.batch}")
    learner = Learner(task, recipe, process)
    fingerprint = _fingerprint(task, recipe, process.world)
    state = _resume(out / "resume.pt", fingerprint, learner)
    learner.share_gradients()
    log = _log(out, process)
    started = time.monotonic()
    first = state.epoch
    while not state.is_over(recipe):
        if stop_after and state.epoch - first >= stop_after:
            break
        row = _epoch(learner, state.epoch, report)
        learner.schedule.step()
        row |= task.evaluate(process.device) if process.is_main else {}
        better = state.add(row)
        if process.is_main:
            log(row, state.epoch)
            _save(out, learner, state, fingerprint, better)
            left = (time.monotonic() - started) / (state.epoch - first) * (recipe.epochs - state.epoch)
            say(f"epoch {state.epoch}/{recipe.epochs}  {_shown(row)}  {left / 60:.1f} min left at most")
        _agree(state, process)
    return state.history


def _epoch(learner: Learner, epoch: int, report: Report) -> Row:
    """Go through the training items once; return the mean loss."""
    recipe, process = learner.recipe, learner.process
    learner.whole.train()
    torch.manual_seed((recipe.seed * 100_003 + epoch) * 1009 + process.rank)
    total = torch.zeros((), device=process.device)
    count = 0
    for batch in prefetch(learner.task.batches(epoch, recipe.batch, process.rank, process.world)):
        loss = _step(learner, batch)
        total = total + loss
        count += 1
        report(epoch * learner.steps + count, recipe.epochs * learner.steps)
    mean = float(total) / max(count, 1)
    if not math.isfinite(mean):
        raise DataError(f"the loss is not finite in epoch {epoch + 1}; lower '--rate'")
    return {"epoch": epoch + 1, "loss": mean, "rate": learner.optimizer.param_groups[0]["lr"]}


def _step(learner: Learner, batch: Batch) -> torch.Tensor:
    """Learn from one batch; return its loss."""
    device = learner.process.device
    batch = {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}
    with torch.autocast(device.type, torch.bfloat16, enabled=learner.halves):
        loss: torch.Tensor = learner.whole(batch)
    learner.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    learner.optimizer.step()
    return loss.detach()


def _agree(state: State, process: TrainingProcess) -> None:
    """Tell all processes when to stop: the main one alone validates."""
    if process.world > 1:
        since = torch.tensor([state.since], device=process.device)
        dist.broadcast(since, 0)
        state.since = int(since)


def _fingerprint(task: Task, recipe: Recipe, world: int) -> Meta:
    """Return what has to be the same for a run to go on: settings, data, number of processes."""
    header = {key: value for key, value in task.header().items() if key in FINGERPRINT}
    return json.loads(json.dumps({"recipe": asdict(recipe), "processes": world, **header}))


def _resume(path: Path, fingerprint: Meta, learner: Learner) -> State:
    if not path.is_file():
        return State()
    try:
        stored = torch.load(path, map_location=learner.process.device, weights_only=True)
        earlier = json.loads(stored["about"])
        state = State(**stored["state"])
    except Exception as error:  # torch.load raises whatever the damage leads to
        raise DataError(f"'{path}' is damaged ({type(error).__name__}); delete it to begin anew") from None
    if earlier != fingerprint:
        changed = _differences(earlier, fingerprint)
        raise UsageError(f"'{path.parent}' holds a run with other settings ({changed}); name another directory")
    learner.load_states(stored)
    return state


def _differences(old: Meta, new: Meta) -> str:
    """Return the names of the settings that differ."""
    parts = ("recipe", "config", "input", "training")
    flat = [{key: value for part in parts for key, value in doc.get(part, {}).items()} | doc for doc in (old, new)]
    for doc in flat:
        for part in parts:
            doc.pop(part, None)
    names = [key for key in {**flat[0], **flat[1]} if flat[0].get(key) != flat[1].get(key)]
    return ", ".join(names[:4]) or "of another version"


def _save(out: Path, learner: Learner, state: State, fingerprint: Meta, better: bool) -> None:
    stored = {"about": json.dumps(fingerprint), "state": asdict(state), **learner.states()}
    if better:
        record = {**fingerprint["recipe"], "epoch": state.epoch, "metrics": state.history[-1]}
        header = learner.task.header()
        header["training"] = {**header["training"], **json.loads(json.dumps(record))}
        weights = learner.task.objective.model.state_dict()
        write_file(out / "model.safetensors", lambda file: write_model(file, header, weights))
    history = json.dumps(state.history, indent=1).encode()
    write_file(out / "resume.pt", lambda file: torch.save(stored, file))
    write_file(out / "history.json", lambda file: file.write(history) and None)


def _log(out: Path, process: TrainingProcess) -> Callable[[Row, int], None]:
    """Return what writes one epoch's numbers for TensorBoard; nothing where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return lambda row, epoch: None
    if not process.is_main:
        return lambda row, epoch: None

    def write(row: Row, epoch: int) -> None:
        with SummaryWriter(str(out / "tensorboard"), filename_suffix=f".{epoch}") as writer:
            for name, value in row.items():
                writer.add_scalar(name, value, epoch)

    return write


def _shown(row: Row) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in itertools.islice(row.items(), 1, None) if name != "rate")
