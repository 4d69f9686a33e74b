"""Draw, train and test the Mask Cross-Attention Transformer and its rivals on one GPU, in minutes.

python tests/benchmarks/gpu/mcat.py --part exercises|tables --out DIR [--budget SECONDS] [--bodies FILE]

See the README beside this file.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(tempfile.gettempdir(), "racctl-numba")))

import numpy as np
import torch

from racctl import __version__
from racctl.classification import Items, overall
from racctl.contracts import step
from racctl.data.labels import BACKGROUND
from racctl.io.checkpoint import write_model
from racctl.models.catalog import as_dict, built, configured
from racctl.streams import Look
from racctl.synth.movements import exercises
from racctl.training.augment import Augmentation
from racctl.training.recognise import Objective, class_weights

sys.path.insert(0, str(Path(__file__).parent))
import scenes
from studio import Producers, Shelf, Studio, read_or_make_bodies, stocked

BEGAN = time.monotonic()
TEMPI = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
SEED = 21


@dataclass(frozen=True)
class Scale:
    """side: pixels.  train: clips or sessions.  tests: of them for each tempo.  frames: that the shelves hold, in all.
    points: on a body."""

    side: int
    train: int
    tests: int
    seconds: float
    frames: int
    batch: int
    points: int = scenes.POINTS


SCALES = {
    ("exercises", "full"): Scale(112, 24_000, 74, 10.0, 2_200_000, 256),
    ("tables", "full"): Scale(112, 800, 30, 30.0, 1_300_000, 256),
    ("exercises", "tiny"): Scale(32, 16, 1, 3.0, 4_000, 8, 5_000),
    ("tables", "tiny"): Scale(32, 8, 1, 6.0, 6_000, 8, 5_000),
}


@dataclass(frozen=True)
class Run:
    """A model to train. share: of the time for training.  tempo: range of the augmentation."""

    name: str
    model: str
    config: dict
    share: float
    tempo: tuple[float, float] = (1.0, 1.0)
    augmentation: dict = field(default_factory=dict)
    kept: bool = False


HARD = {"light": (0.6, 1.4), "scale": (0.7, 1.0), "aspect": (0.85, 1.18)}
EXERCISES = [
    Run("mcat", "mcat", {}, 6, (0.8, 1.25), {**HARD, "drop": 0.1}, True),
    Run("mcat_mask", "mcat", {"input": "mask"}, 2.5, (0.8, 1.25), HARD, True),
    Run("mcat_pose", "mcat", {"pose": True}, 4, (0.8, 1.25), {**HARD, "drop": 0.2}, True),
    Run("mcat_raw", "mcat", {"input": "raw"}, 1.5, (0.8, 1.25), HARD, True),
]
WIDE = (0.5, 5.0)
TABLES = [
    Run("mcat_both", "mcat", {}, 2),
    Run("mcat_tempo", "mcat", {}, 2, WIDE),
    Run("mcat_mask", "mcat", {"input": "mask"}, 2),
    Run("mcat_raw", "mcat", {"input": "raw"}, 2),
    Run("transformer_both", "transformer", {}, 1),
    Run("mcat_add", "mcat", {"fusion": "add"}, 2),
    Run("tcn_both", "tcn", {}, 1),
    Run("transformer_raw", "transformer", {"input": "raw"}, 1),
    Run("transformer_mask", "transformer", {"input": "mask"}, 1),
    Run("tcn_mask", "tcn", {"input": "mask"}, 1),
    Run("lstm_both", "lstm", {}, 1),
    Run("mlp_both", "mlp", {}, 1),
    Run("vivit_both", "vivit", {}, 1),
    Run("vivit_mask", "vivit", {"input": "mask"}, 1),
    Run("lstm_mask", "lstm", {"input": "mask"}, 1),
    Run("mlp_mask", "mlp", {"input": "mask"}, 1),
]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=("exercises", "tables"), default="exercises")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--budget", type=float, default=300, help="seconds in all")
    parser.add_argument("--drawing", type=float, default=0.45, help="share of them for drawing")
    parser.add_argument("--bodies", default="", help="a file of bodies.py, where anny is not installed")
    parser.add_argument("--scale", choices=("full", "tiny"), default="full")
    parser.add_argument("--jobs", type=int, default=max(1, (os.cpu_count() or 2) - 1))
    parser.add_argument("--only", default="", help="names of models, comma-separated")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    torch.backends.cudnn.benchmark = True
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    scale = SCALES[given.part, given.scale]
    say(f"{device} {torch.cuda.get_device_name() if device.type == 'cuda' else ''}, torch {torch.__version__}")
    work(given, scale, device)


def say(text: str) -> None:
    print(f"[{time.monotonic() - BEGAN:6.1f} s] {text}", flush=True)


def exercise_orders(scale: Scale, joints: bool = True) -> tuple[list, list[str], Look]:
    """Clips of every exercise, at all tempi, framed and lit in all ways; test clips first, as a few are needed."""
    names = [*exercises(), BACKGROUND]
    classes = [BACKGROUND, *sorted({movement.kind for movement in exercises().values()})]
    look = Look(scale.side, 10.0, 16, 4, "person", "d2stx25" if joints else "")
    orders = []
    for factor in TEMPI:
        for k in range(scale.tests):
            plan = {"seed": SEED + 1, "number": k + 1000 * round(10 * factor), "movement": names[k % len(names)],
                    "tempo": factor, "fps": 30.0, "repetitions": (2, 8)}  # fmt: skip
            orders.append(scenes.Order(f"{factor:g}_{k}", f"test_{factor:g}x", plan, 3, scale.seconds, True, joints))
    for k in range(scale.train):
        plan = {"seed": SEED, "number": k, "movement": names[k % len(names)], "speed": "any" if k % 2 else "wide",
                "fps": 30.0, "repetitions": (2, 6)}  # fmt: skip
        orders.append(scenes.Order(f"{k}", "train", plan, 3, scale.seconds, True, joints))
    return sampled_first(orders), classes, look


def sampled_first(orders: list) -> list:
    """In the same order, but with one of each test set and a handful to learn from at the head, for the self-check."""
    tests = list(dict.fromkeys(order.split for order in orders if order.split != "train"))
    head = [next(order for order in orders if order.split == name) for name in tests]
    head += [order for order in orders if order.split == "train"][:8]
    return head + [order for order in orders if order not in head]


def protocol_orders(scale: Scale) -> tuple[list, list[str], Look]:
    """The sessions of the paper's protocol: slow ones to learn from, tests at 0.5 to 4 times their tempo."""
    from racctl.synth.protocol import CLASSES, SLOW, _sessions

    orders = []
    sets = [("train", SLOW, False, scale.train)]
    sets = [*((f"test_{f:g}x", SLOW * f, True, scale.tests) for f in TEMPI), *sets]
    for place, (split, tempo, test, count) in enumerate(sets):
        plans, _ = _sessions(count, scale.seconds, (SEED, place), tempo, test, (304, 400), 30.0)
        orders += [scenes.Order(str(k), split, plan, 1, scale.seconds, False, False) for k, plan in enumerate(plans)]
    return sampled_first(orders), list(CLASSES), Look(scale.side, 30.0, 16, 8, "person")


def work(given, scale: Scale, device: torch.device) -> None:
    """Draw, check everything at toy size, draw on, train, test, write."""
    orders, classes, look = (exercise_orders if given.part == "exercises" else protocol_orders)(scale)
    say(f"{len(orders)} clips planned, {len(classes)} classes, {given.jobs} processes")
    shared = scenes.surface(read_or_make_bodies(given.bodies, 1)[0], scale.points)
    studio = Studio(shared, scale.side, device, SEED)
    tests = sorted({order.split for order in orders} - {"train"})
    room = {name: scale.frames // 5 // len(tests) for name in tests} | {"train": scale.frames * 4 // 5}
    joints = 25 if look.topology else 0
    shelves = {name: Shelf(count, scale.side, joints, classes, device) for name, count in room.items()}
    table = EXERCISES if given.part == "exercises" else TABLES
    runs = [run for run in table if not given.only or run.name in given.only.split(",")]
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        producers = Producers(orders, given.bodies, Path(folder), given.jobs)
        try:
            stocked(producers, studio, shelves, BEGAN + 0.4 * given.budget, len(tests) + given.jobs)
            say(f"self-check on { {name: len(shelf) for name, shelf in shelves.items()} }; failed: {producers.failed[:3]}")
            some = next((name for name in tests if len(shelves[name])), None)
            if some is None or not len(shelves["train"]):
                raise SystemExit("too little was drawn in time for the self-check")
            for run in runs:
                report = {"drawn": {}, "seed": SEED}
                objective, row = trained(run, scale, shelves["train"], look, classes, device, 0.0)
                row["results"] = {some: tested(objective, shelves[some], look, classes)}
                keep(Path(folder) / "check.safetensors", run, objective, look, classes, report, row)
                say(f"self-check: {run.name} trains and is written")
            stocked(producers, studio, shelves, BEGAN + given.drawing * given.budget, len(orders))
        finally:
            producers.close()
    drawn = {name: {"clips": len(shelf), "frames": shelf.filled} for name, shelf in shelves.items()}
    say(f"drawn: {drawn}; failed: {len(producers.failed)} {producers.failed[:3]}")
    if not all(len(shelf) for shelf in shelves.values()) or len(producers.failed) > 0.02 * len(orders):
        raise SystemExit("some sets are empty, or too many scenes failed")
    save_pictures(shelves["train"], given.out / f"{given.part}.npz")
    report = {
        "part": given.part, "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "torch": torch.__version__, "version": __version__, "look": look.header(), "classes": classes, "drawn": drawn,
        "drawing_seconds": round(time.monotonic() - BEGAN, 1), "seed": SEED, "models": {},
    }  # fmt: skip
    evaluating = 0.0
    for k, run in enumerate(runs):
        left = BEGAN + given.budget - time.monotonic() - 5 - 1.2 * evaluating * (len(runs) - k)
        seconds = left * run.share / sum(each.share for each in runs[k:])
        if seconds < 2:
            say(f"no time left for {run.name}")
            break
        objective, row = trained(run, scale, shelves["train"], look, classes, device, seconds)
        now = time.monotonic()
        row["results"] = {name: tested(objective, shelves[name], look, classes) for name in tests}
        evaluating = max(evaluating, time.monotonic() - now)
        report["models"][run.name] = row
        shown = "  ".join(f"{name[5:]} {result['accuracy']:.3f}" for name, result in row["results"].items())
        say(f"{run.name}: {row['windows_seen']} windows in {row['seconds']} s, loss {row['loss']:.3f}; {shown}")
        (given.out / f"{given.part}.json").write_text(json.dumps(report, indent=1))
        if run.kept:
            keep(given.out / f"{run.name}.safetensors", run, objective, look, classes, report, row)


def trained(run: Run, scale: Scale, shelf: Shelf, look: Look, classes: list[str], device, seconds: float):
    """Train for `seconds`, two steps at least: AdamW at 1e-3, warmed up and then annealed over that time; windows are drawn at random."""
    torch.manual_seed(SEED)
    clip, middle, label = shelf.middles(look.window, 1)
    weights = class_weights(np.bincount(label, minlength=len(classes)))
    given = {"classes": len(classes), **run.config}
    if run.model != "mcat":
        given |= {"size": look.size, "window": look.window}
    config = configured(run.model, given)
    look = replace(look, topology=look.topology if run.config.get("pose") else "")
    augmentation = Augmentation(**{**run.augmentation, "tempo": run.tempo})
    objective = Objective(built(run.model, config), look, weights, augmentation).to(device).train()
    optimizer = torch.optim.AdamW(objective.parameters(), 1e-3, weight_decay=1e-4, fused=device.type == "cuda")
    rng, began, steps, losses = np.random.default_rng(SEED), time.monotonic(), 0, []
    while (done := (time.monotonic() - began) / max(seconds, 1e-3)) < 1 or steps < 2:
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * min(1.0, (steps + 1) / 200) * 0.5 * (1 + math.cos(math.pi * min(done, 1)))
        chosen = rng.integers(0, len(clip), scale.batch)
        tempo = np.exp(rng.uniform(*np.log(run.tempo), scale.batch))
        batch = shelf.batch(clip[chosen], middle[chosen], label[chosen], tempo, look)
        with torch.autocast(device.type, torch.bfloat16):
            loss = objective(batch)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(objective.parameters(), 1.0)
        optimizer.step()
        steps += 1
        if steps % 20 == 0 or steps < 3:
            losses.append(float(loss.detach()))  # waits for the device, so that the clock tells the truth
    row = {
        "model": run.model, "config": as_dict(config), "tempo": run.tempo, "steps": steps, "batch": scale.batch,
        "windows_seen": steps * scale.batch, "windows": len(clip), "seconds": round(time.monotonic() - began, 1),
        "loss": float(np.mean(losses[-10:])), "parameters": sum(p.numel() for p in objective.parameters()),
    }  # fmt: skip
    return objective, row


@torch.no_grad()
def tested(objective: Objective, shelf: Shelf, look: Look, classes: list[str]) -> dict[str, float]:
    """Accuracy, macro-F1 and macro-AUC over the windows of a test set."""
    objective.eval()
    clip, middle, label = shelf.middles(look.window, look.stride)
    probs = []
    for chosen in np.array_split(np.arange(len(clip)), max(1, len(clip) // 512)):
        batch = shelf.batch(clip[chosen], middle[chosen], label[chosen], np.ones(len(chosen)), objective.look)
        with torch.autocast(shelf.device.type, torch.bfloat16):
            probs.append(objective.logits(batch).float().softmax(-1))
    found = torch.cat(probs).cpu().numpy().astype(np.float64)
    found /= found.sum(1, keepdims=True)
    items = Items(classes, [str(k) for k in range(len(shelf))], clip, label, found.argmax(1), np.ones(len(found)), found)
    scores = {name: float(value) if np.isfinite(value) else None for name, value in overall(items).items()}
    return {**scores, "windows": len(found)}


def keep(path: Path, run: Run, objective: Objective, look: Look, classes: list[str], report: dict, row: dict) -> None:
    """The weights, in half precision, as `racctl classify --model` reads them."""
    look = replace(look, topology=look.topology if run.config.get("pose") else "")
    training = {"augmentation": asdict(objective.augmentation), "windows": row["windows"], "seed": SEED}
    training |= {name: row[name] for name in ("steps", "batch", "windows_seen", "seconds")} | {"metrics": row["results"]}
    header = {
        "model": run.model, "config": row["config"], "classes": classes, "input": look.header(),
        "training": json.loads(json.dumps(training)), "data": report["drawn"], "licence": "MIT",
        "steps": [step("train", __version__, model=run.model, seed=SEED)],
    }  # fmt: skip
    tensors = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in objective.model.state_dict().items()
    }
    with open(path, "wb") as file:
        write_model(file, header, tensors)


def save_pictures(shelf: Shelf, path: Path) -> None:
    """A few clips to look at: eight frames of each of twenty-four."""
    clips = np.linspace(0, len(shelf) - 1, 24).astype(int)
    rows = [shelf.first[k] + np.linspace(0, shelf.length[k] - 1, 8).astype(int) for k in clips]
    names = {number: name for name, number in shelf.number.items()}
    np.savez_compressed(
        path, packed=shelf.packed[torch.from_numpy(np.stack(rows)).to(shelf.device)].cpu().numpy(),
        label=np.array([names[int(np.bincount(shelf.label[k]).argmax())] for k in clips]),
    )  # fmt: skip


if __name__ == "__main__":
    main()
