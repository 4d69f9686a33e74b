"""Draw, train and test the Mask Cross-Attention Transformer and its rivals on one GPU, in minutes.

python tests/benchmarks/gpu/mcat.py --part exercises|tables --out DIR [--budget SECONDS] [--bodies FILE]

See the README beside this file.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(tempfile.gettempdir(), "racctl-numba")))

import numpy as np
import scenes
import torch
from learning import Run, Teacher, quickest, weights_of
from studio import Producers, Shelf, Studio, read_or_make_bodies, stocked

from racctl import __version__
from racctl.contracts import BACKGROUND
from racctl.recognisers.inputs import Look
from racctl.synth.movements import exercises
from racctl.synth.protocol import PROTOCOL_CLASSES, SLOW, _sessions

BEGAN = time.monotonic()
TEMPI = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
CHECKED = 0.2  # share of the budget after which the self-check has to have something to work with
CLOSING = 5.0  # s that are kept for writing


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
HARD = {"light": (0.6, 1.4), "scale": (0.7, 1.0), "aspect": (0.85, 1.18)}
NEAR, WIDE = (0.8, 1.25), (0.5, 5.0)  # tempo augmentation
EXERCISES = [
    Run("mcat", "mcat", {}, 6, NEAR, {**HARD, "drop": 0.1}, True),
    Run("mcat_mask", "mcat", {"input": "mask"}, 2.5, NEAR, HARD, True),
    Run("mcat_pose", "mcat", {"pose": True}, 4, NEAR, {**HARD, "drop": 0.2}, True),
    Run("mcat_raw", "mcat", {"input": "raw"}, 1.5, NEAR, HARD, True),
]
TABLES = [
    Run("mcat_both", "mcat", {}, 2),
    Run("mcat_tempo", "mcat", {}, 2, WIDE),
    Run("mcat_mask", "mcat", {"input": "mask"}, 2),
    Run("mcat_raw", "mcat", {"input": "raw"}, 2),
    Run("transformer_both", "transformer", {}),
    Run("mcat_add", "mcat", {"fusion": "add"}, 2),
    Run("tcn_both", "tcn", {}),
    Run("transformer_raw", "transformer", {"input": "raw"}),
    Run("transformer_mask", "transformer", {"input": "mask"}),
    Run("tcn_mask", "tcn", {"input": "mask"}),
    Run("lstm_both", "lstm", {}),
    Run("mlp_both", "mlp", {}),
    Run("vivit_both", "vivit", {}),
    Run("vivit_mask", "vivit", {"input": "mask"}),
    Run("lstm_mask", "lstm", {"input": "mask"}),
    Run("mlp_mask", "mlp", {"input": "mask"}),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=("exercises", "tables"), default="exercises")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--budget", type=float, default=540, help="seconds in all")
    parser.add_argument("--drawing", type=float, default=0.35, help="share of them for drawing")
    parser.add_argument("--bodies", default="", help="a file of bodies.py, where anny is not installed")
    parser.add_argument("--scale", choices=("full", "tiny"), default="full")
    parser.add_argument("--jobs", type=int, default=max(1, (os.cpu_count() or 2) - 1))
    parser.add_argument("--only", default="", help="names of models, comma-separated")
    parser.add_argument("--init", type=Path, help="a folder of an earlier call, whose weights are trained further")
    parser.add_argument("--seed", type=int, default=21)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    Session(options, torch.device("cuda" if torch.cuda.is_available() else "cpu")).run()


def say(text: str) -> None:
    print(f"[{time.monotonic() - BEGAN:6.1f} s] {text}", flush=True)


def exercise_orders(scale: Scale, seed: int) -> tuple[list, list[str], Look]:
    """Clips of every exercise, at all tempi, framed and lit in all ways, beside tests at each tempo."""
    names = [*exercises(), BACKGROUND]
    classes = [BACKGROUND, *sorted({movement.kind for movement in exercises().values()})]
    orders = []
    for factor in TEMPI:
        for k in range(scale.tests):
            plan = {"seed": seed + 1, "number": k + 1000 * round(10 * factor), "movement": names[k % len(names)]}
            plan |= {"tempo": factor, "fps": 30.0, "repetitions": (2, 8)}
            orders.append(scenes.Order(f"{factor:g}_{k}", f"test_{factor:g}x", plan, 3, scale.seconds, True, True))
    for k in range(scale.train):
        plan = {"seed": seed, "number": k, "movement": names[k % len(names)], "speed": "any" if k % 2 else "wide"}
        plan |= {"fps": 30.0, "repetitions": (2, 6)}
        orders.append(scenes.Order(f"{k}", "train", plan, 3, scale.seconds, True, True))
    return sampled_first(orders), classes, Look(scale.side, 10.0, 16, 4, "person", "d2stx25")


def protocol_orders(scale: Scale, seed: int) -> tuple[list, list[str], Look]:
    """The sessions of the paper's protocol: slow ones to learn from, tests at 0.5 to 4 times their tempo."""
    orders = []
    sets = [*((f"test_{factor:g}x", SLOW * factor, True, scale.tests) for factor in TEMPI)]
    for place, (split, tempo, test, count) in enumerate([*sets, ("train", SLOW, False, scale.train)]):
        plans, _ = _sessions(count, scale.seconds, (seed, place), tempo, test, (304, 400), 30.0)
        orders += [scenes.Order(str(k), split, plan, 1, scale.seconds, False, False) for k, plan in enumerate(plans)]
    return sampled_first(orders), list(PROTOCOL_CLASSES), Look(scale.side, 30.0, 16, 8, "person")


def sampled_first(orders: list) -> list:
    """In the same order, but with one of each test set and a handful to learn from at the head, for the self-check."""
    tests = list(dict.fromkeys(order.split for order in orders if order.split != "train"))
    head = [next(order for order in orders if order.split == name) for name in tests]
    head += [order for order in orders if order.split == "train"][:8]
    return head + [order for order in orders if order not in head]


class Session:
    """One call: draw, check everything on a little, draw on, train, test, write."""

    def __init__(self, options: argparse.Namespace, device: torch.device) -> None:
        self.options, self.device = options, device
        self.scale = SCALES[options.part, options.scale]
        plan = exercise_orders if options.part == "exercises" else protocol_orders
        self.orders, self.classes, self.look = plan(self.scale, options.seed)
        self.tests = sorted({order.split for order in self.orders} - {"train"})
        chosen = options.only.split(",") if options.only else []
        runs = EXERCISES if options.part == "exercises" else TABLES
        self.runs = [run for run in runs if not chosen or run.name in chosen]
        self.shelves = self._shelves()
        self.teacher = Teacher(self.look, self.classes, self.scale.batch, options.seed, device)
        name = torch.cuda.get_device_name() if device.type == "cuda" else "cpu"
        self.report = {
            "part": options.part, "device": name, "torch": torch.__version__, "version": __version__,
            "seed": options.seed, "look": self.look.header(), "classes": self.classes, "models": {},
        }  # fmt: skip
        say(f"{name}, torch {torch.__version__}; {len(self.orders)} clips planned, {len(self.classes)} classes")

    def _shelves(self) -> dict[str, Shelf]:
        room = {name: self.scale.frames // 5 // len(self.tests) for name in self.tests}
        room["train"] = self.scale.frames * 4 // 5
        joints = 25 if self.look.topology else 0
        return {name: Shelf(count, self.scale.side, joints, self.classes, self.device) for name, count in room.items()}

    def run(self) -> None:
        began = time.monotonic()
        self.draw()
        drawn = {name: {"clips": len(shelf), "frames": shelf.filled} for name, shelf in self.shelves.items()}
        self.report |= {"drawn": drawn, "drawing_seconds": round(time.monotonic() - began, 1)}
        say(f"drawn: {drawn}")
        if not all(len(shelf) for shelf in self.shelves.values()):
            raise SystemExit("some sets are empty")
        save_pictures(self.shelves["train"], self.options.out / f"{self.options.part}.npz")
        self.train()

    def draw(self) -> None:
        """Fill the shelves until the time for drawing is over, with the self-check on the way."""
        options = self.options
        body = read_or_make_bodies(options.bodies, 1)[0]
        studio = Studio(scenes.surface(body, self.scale.points), self.scale.side, self.device, options.seed)
        with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
            producers = Producers(self.orders, options.bodies, Path(folder), options.jobs)
            try:
                stocked(producers, studio, self.shelves, BEGAN + CHECKED * options.budget, 120)
                self.check(Path(folder))
                stocked(producers, studio, self.shelves, BEGAN + options.drawing * options.budget, len(self.orders))
            finally:
                producers.close()
        if producers.failed:
            say(f"{len(producers.failed)} clips could not be made: {producers.failed[:3]}")
            if len(producers.failed) > 0.02 * len(self.orders):
                raise SystemExit("too many")

    def check(self, folder: Path) -> None:
        """Train every model for two steps and write it, so that what is broken shows at once; and see how steps are
        quickest."""
        test = next((name for name in self.tests if len(self.shelves[name])), None)
        if test is None or not len(self.shelves["train"]):
            raise SystemExit("too little was drawn in time for the self-check")
        self.report["steps"] = quickest(self.teacher, self.runs[0], self.shelves["train"], say)
        for run in self.runs:
            objective, row = self.teacher.trained(run, self.shelves["train"], 0.0)
            row["results"] = {test: self.teacher.tested(objective, self.shelves[test])}
            self.teacher.keep(folder / "check.safetensors", run, objective, row, {})
        say(f"self-check passed by {len(self.runs)} models")

    def train(self) -> None:
        """Every model in its share of the time that is left; what is known is written after each."""
        options, evaluating = self.options, 0.0
        for k, run in enumerate(self.runs):
            left = BEGAN + options.budget - time.monotonic() - CLOSING - 1.2 * evaluating * (len(self.runs) - k)
            seconds = left * run.share / sum(each.share for each in self.runs[k:])
            if seconds < 2:
                say(f"no time left for {run.name}")
                break
            start = weights_of(options.init, run.name) if options.init else None
            objective, row = self.teacher.trained(run, self.shelves["train"], seconds, start)
            now = time.monotonic()
            row["results"] = {name: self.teacher.tested(objective, self.shelves[name]) for name in self.tests}
            evaluating = max(evaluating, time.monotonic() - now)
            self.report["models"][run.name] = row
            shown = "  ".join(f"{name[5:]} {result['accuracy']:.3f}" for name, result in row["results"].items())
            say(f"{run.name}: {row['windows_seen']} windows in {row['seconds']} s, loss {row['loss']:.3f}; {shown}")
            (options.out / f"{options.part}.json").write_text(json.dumps(self.report, indent=1))
            if run.kept:
                self.teacher.keep(options.out / f"{run.name}.safetensors", run, objective, row, self.report["drawn"])


def save_pictures(shelf: Shelf, path: Path) -> None:
    """A few clips to look at: eight frames of each of twenty-four."""
    clips = np.linspace(0, len(shelf) - 1, 24).astype(int)
    rows = [shelf.first[k] + np.linspace(0, shelf.length[k] - 1, 8).astype(int) for k in clips]
    names = {number: name for name, number in shelf.number.items()}
    labels = [names[int(np.bincount(shelf.label[k]).argmax())] for k in clips]
    packed = shelf.packed[torch.from_numpy(np.stack(rows)).to(shelf.device)].cpu().numpy()
    np.savez_compressed(path, packed=packed, label=np.array(labels))


if __name__ == "__main__":
    main()
