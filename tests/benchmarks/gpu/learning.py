"""Training and testing recognisers on clips that lie on the device, each against the clock."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from studio import Shelf
from torch import Tensor

from racctl import __version__
from racctl.contracts import step
from racctl.io.checkpoint import read_model, write_model
from racctl.models.catalog import as_dict, built, configured
from racctl.models.layers import FrameEncoder
from racctl.recognisers.inputs import Look
from racctl.scoring.label_metrics import Items, overall
from racctl.training.augment import Augmentation
from racctl.training.clip_windows import class_weights
from racctl.training.train_recogniser import RecogniserObjective

RATE = 1e-3  # of AdamW, at its peak
WARM_UP = 200  # steps
TIMED = 6  # steps that tell how fast a way of training is


@dataclass(frozen=True)
class Run:
    """A model to train. share: of the time for training.  tempo: range of the augmentation.  kept: whether its weights
    are written."""

    name: str
    model: str
    config: dict
    share: float = 1
    tempo: tuple[float, float] = (1.0, 1.0)
    augmentation: dict = field(default_factory=dict)
    remaining: bool = False


@dataclass
class Teacher:
    """What all runs share. compiled: whether frame encoders are compiled."""

    look: Look
    classes: list[str]
    batch: int
    seed: int
    device: torch.device
    compiled: bool = False

    def seen_by(self, run: Run) -> Look:
        """Joints are looked at by the runs with a pose alone."""
        return replace(self.look, topology=self.look.topology if run.config.get("pose") else "")

    def objective(self, run: Run, weights: np.ndarray) -> RecogniserObjective:
        """The untrained model in its loss."""
        torch.manual_seed(self.seed)
        config = {"classes": len(self.classes), **run.config}
        if run.model != "mcat":
            config |= {"size": self.look.size, "window": self.look.window}
        model = built(run.model, configured(run.model, config))
        if self.compiled:
            for module in model.modules():
                if isinstance(module, FrameEncoder):
                    module.forward = compiled(module)
        augmentation = Augmentation(**{**run.augmentation, "tempo": run.tempo})
        return RecogniserObjective(model, self.seen_by(run), weights, augmentation).to(self.device)

    def trained(self, run: Run, shelf: Shelf, seconds: float, start: dict[str, Tensor] | None = None, least: int = 2):
        """Train for `seconds`, `least` steps at least: AdamW, warmed up and then annealed over that time; windows begin
        at any frame and are drawn at random. start: weights to begin with. Returns the objective and what was done."""
        clip, middle, label = shelf.middles(self.look.window, 1)
        objective = self.objective(run, class_weights(np.bincount(label, minlength=len(self.classes)))).train()
        if start is not None:
            objective.model.load_state_dict(start)
        fused = self.device.type == "cuda"
        optimizer = torch.optim.AdamW(objective.parameters(), RATE, weight_decay=1e-4, fused=fused)
        rng, began, steps, losses = np.random.default_rng(self.seed), time.monotonic(), 0, []
        while (done := (time.monotonic() - began) / max(seconds, 1e-3)) < 1 or steps < least:
            rate = RATE * min(1.0, (steps + 1) / WARM_UP) * 0.5 * (1 + math.cos(math.pi * min(done, 1)))
            for group in optimizer.param_groups:
                group["lr"] = rate
            chosen = rng.integers(0, len(clip), self.batch)
            tempo = np.exp(rng.uniform(*np.log(run.tempo), self.batch))
            batch = shelf.batch(clip[chosen], middle[chosen], label[chosen], tempo, objective.look)
            loss = self.step(objective, optimizer, batch)
            steps += 1
            if steps % 20 == 0 or steps < 3:
                losses.append(float(loss))  # waits for the device, so that the clock tells the truth
        row = {
            "model": run.model, "config": as_dict(objective.model.config), "tempo": run.tempo, "steps": steps,
            "batch": self.batch, "windows_seen": steps * self.batch, "windows": len(clip),
            "seconds": round(time.monotonic() - began, 1), "loss": float(np.mean(losses[-10:])),
            "parameters": sum(p.numel() for p in objective.parameters()),
        }  # fmt: skip
        return objective, row

    def step(self, objective: RecogniserObjective, optimizer: torch.optim.Optimizer, batch: dict) -> Tensor:
        """One step; returns its loss."""
        with torch.autocast(self.device.type, torch.bfloat16):
            loss = objective(batch)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(objective.parameters(), 1.0)
        optimizer.step()
        return loss.detach()

    @torch.no_grad()
    def tested(self, objective: RecogniserObjective, shelf: Shelf) -> dict[str, float | None]:
        """Accuracy, macro-F1 and macro-AUC over the windows of a test set."""
        objective.eval()
        clip, middle, label = shelf.middles(self.look.window, self.look.stride)
        probs = []
        with torch.compiler.set_stance("force_eager"):  # the last batch has a size of its own
            for chosen in np.array_split(np.arange(len(clip)), max(1, len(clip) // 512)):
                as_it_is = np.ones(len(chosen))
                batch = shelf.batch(clip[chosen], middle[chosen], label[chosen], as_it_is, objective.look)
                with torch.autocast(self.device.type, torch.bfloat16):
                    probs.append(objective.logits(batch).float().softmax(-1))
        rows = torch.cat(probs).cpu().numpy().astype(np.float64)
        rows /= rows.sum(1, keepdims=True)
        names = [str(k) for k in range(len(shelf))]
        items = Items(self.classes, names, clip, label, rows.argmax(1), np.ones(len(rows)), rows)
        scores = {name: float(value) if np.isfinite(value) else None for name, value in overall(items).items()}
        return {**scores, "windows": len(rows)}

    def keep(self, path: Path, run: Run, objective: RecogniserObjective, row: dict, drawn: dict) -> None:
        """The weights, in half precision, as `racctl classify --model` reads them."""
        training = {"augmentation": asdict(objective.augmentation), "windows": row["windows"], "seed": self.seed}
        training |= {name: row[name] for name in ("steps", "batch", "windows_seen", "seconds")}
        training["metrics"] = row["results"]
        header = {
            "model": run.model, "config": row["config"], "classes": self.classes,
            "input": self.seen_by(run).header(), "training": json.loads(json.dumps(training)), "data": drawn,
            "licence": "MIT", "steps": [step("train", __version__, model=run.model, seed=self.seed)],
        }  # fmt: skip
        tensors = {
            name: tensor.half() if tensor.is_floating_point() else tensor
            for name, tensor in objective.model.state_dict().items()
        }
        with open(path, "wb") as file:
            write_model(file, header, tensors)


def compiled(encoder: FrameEncoder) -> Callable[[Tensor], Tensor]:
    """Its forward pass, compiled. `Module.compile` passes over an nn.Sequential without a word, so the layers are
    called from a function of this file."""
    layers = tuple(encoder)

    def through(pictures: Tensor) -> Tensor:
        for layer in layers:
            pictures = layer(pictures)
        return pictures

    return torch.compile(through, dynamic=False)


def weights_of(folder: Path, name: str) -> dict[str, Tensor] | None:
    """The weights of that name which an earlier call left in a folder; None without any."""
    path = folder / f"{name}.safetensors"
    if not path.is_file():
        return None
    with open(path, "rb") as file:
        return read_model(file, str(path))[1]


def quickest(teacher: Teacher, run: Run, shelf: Shelf, say: Callable[[str], None]) -> dict[str, float | str]:
    """Choose how to train by timing a few steps: as it is, with cuDNN's search for convolutions, and with compiled
    frame encoders too. Only on CUDA is there a choice. Returns seconds a step of each way, and the way taken."""
    if teacher.device.type != "cuda":
        return {"taken": "plain"}
    ways = {"plain": (False, False), "searched": (True, False), "compiled": (True, True)}
    seconds: dict[str, float | str] = {}
    for name, (searched, compiled) in ways.items():
        torch.backends.cudnn.benchmark, teacher.compiled = searched, compiled
        try:
            teacher.trained(run, shelf, 0.0, least=2)  # plans, compiles
            seconds[name] = teacher.trained(run, shelf, 0.0, least=TIMED)[1]["seconds"] / TIMED
        except Exception as error:  # a compiler that is not there or fails; said, and in the report
            seconds[name] = f"{type(error).__name__}: {str(error)[:200]}"
        say(f"a step, {name}: {seconds[name]}")
    chosen = min((name for name in ways if isinstance(seconds[name], float)), key=lambda name: seconds[name])
    torch.backends.cudnn.benchmark, teacher.compiled = ways[chosen]
    return {**seconds, "taken": chosen}
