"""How well a recogniser tells what it does not know, on drawn clips: exercises left out of training, and its own.

    racctl synth --out set --pose-only --clips 6000 --classes all,background,invented --reps 1-3 --errors varied ...
    racctl synth --out test --pose-only --clips 720 --classes all,background,invented --split test=1 --seed 77
    python tests/benchmarks/unknown.py calibration run/model.safetensors --calibrate model.safetensors
    python tests/benchmarks/unknown.py test model.safetensors
    python tests/benchmarks/unknown.py test --train set --folds 3 --work DIR

With a model: the share of windows and clips of known exercises that it answers with 'unknown', of invented movements
and idle clips that it does not call an exercise, its accuracy where it answers, and its calibration. With --train
models are trained, each without a third of the exercises by families, and the same is said of what they never saw.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from racctl.contracts import BACKGROUND, UNKNOWN_LABEL
from racctl.data.labelled import read_labelled
from racctl.io.checkpoint import read_model, write_model
from racctl.io.npz import read_pose
from racctl.progress import Report
from racctl.recognisers.cache import StoredClip
from racctl.recognisers.inputs import gather_joints
from racctl.recognisers.recogniser import Recogniser
from racctl.recognisers.rejection import Evidence, ScoredWindows, calibration_error, fit_rejection
from racctl.recognisers.timeline import clip_label, clip_weights
from racctl.training.train_model import Loaded, RunSettings, train_model
from racctl.training.train_recogniser import RecogniserTraining
from racctl.training.train_settings import MCATSettings, Recipe

# Exercises that are variants of each other are left out together: a wide push-up that is called a push-up is no error
# of this kind.
FAMILIES = (
    ("push_up", "wide_push_up", "diamond_push_up", "knee_push_up", "pike_push_up"),
    ("squat", "sumo_squat", "jump_squat"),
    ("lunge", "reverse_lunge", "side_lunge"),
    ("sit_up", "crunch"),
    ("plank", "mountain_climber"),
    ("bench_pressing", "chest_fly"),
    ("lateral_shoulder_raise", "front_raise"),
    ("deadlift", "dumbbell_row", "upright_row"),
    ("pull_up", "hanging_leg_raise"),
    ("torso_twist", "side_bend"),
    ("leg_raise", "glute_bridge"),
    ("dumbbell_shoulder_press", "tricep_extension"),
    ("jump_jack", "burpee"),
    ("high_knees",),
    ("calf_raise",),
    ("bicep_curl",),
    ("pommel_horse",),
)
SETTINGS = {
    "input": "pose", "window": 36, "stride": 12, "fps": 15.0, "patch": 2, "width": 128, "layers": 3,
    "tempo": (0.6, 2.0), "loop": 0.8, "layouts": 0.4, "flat": 0.25, "minmax": 0.1,
}  # fmt: skip


@dataclass
class WithoutTraining(RecogniserTraining):
    """Training without some exercises: no clip of theirs is read."""

    without: tuple[str, ...] = field(default=(), kw_only=True)

    def load(self, rows: list, run: RunSettings, report: Report) -> Loaded[StoredClip]:
        rows_left = [row for row in rows if not {interval.label for interval in row.intervals} & set(self.without)]
        return super().load(rows_left, run, report)


@dataclass(frozen=True)
class Judged:
    """What a model says of drawn windows.

    joint: (S, K + 1).  energy: (S,).  logits: (S, columns).  label: (S,) names.  clip: (S,) numbers.
    """

    joint: np.ndarray
    energy: np.ndarray
    logits: np.ndarray
    label: np.ndarray
    clip: np.ndarray


def judge(recogniser: Recogniser, data: str) -> Judged:
    """Return what the model says of every window of a data set's test clips."""
    judgements, logits, label, number = [], [], [], []
    for k, row in enumerate(read_labelled(data, need=["pose"], lenient=True)):
        with open(row.pose, "rb") as file:
            streams = gather_joints(read_pose(file, str(row.pose)), recogniser.look)
        judgements.append(recogniser.judge(streams))
        logits.append(recogniser.logits(streams)[0])
        middle = streams.frame[judgements[-1].rows[:, judgements[-1].rows.shape[1] // 2]]
        names = [next((i.label for i in row.intervals if i.start <= frame < i.stop), BACKGROUND) for frame in middle]
        label += names
        number += [k] * len(names)
    joint, energy = (np.concatenate([getattr(part, name) for part in judgements]) for name in ("joint", "energy"))
    return Judged(joint, energy, np.concatenate(logits), np.array(label, object), np.array(number))


def calibrate(source: str, judged: Judged, target: Path) -> None:
    """Write the model with the rejection that these windows call for; what it does not know counts as unknown."""
    with open(source, "rb") as file:
        meta, tensors = read_model(file, source)
    number = {name: k for k, name in enumerate(meta["classes"])}
    label = np.array([number.get(name, number.get(UNKNOWN_LABEL, -1)) for name in judged.label])
    known = label >= 0
    windows = ScoredWindows(judged.logits[known], label[known], judged.clip[known], meta["classes"])
    rejection = fit_rejection(windows)
    assert rejection is not None
    with open(target, "wb") as file:
        write_model(file, {**meta, "rejection": rejection.header()}, tensors)
    print(f"'{target}' holds the model with its rejection: {rejection.chosen}")


def report(recogniser: Recogniser, judged: Judged, title: str) -> None:
    """Print shares of windows and of clips, by what they are."""
    rejection = recogniser.rejection
    assert rejection is not None
    classes = [*recogniser.classes, UNKNOWN_LABEL]
    null = recogniser.classes.index(BACKGROUND) if BACKGROUND in recogniser.classes else None
    names = judged.label.astype(str)
    kind = np.where(np.isin(names, classes), "known", np.where(names == "invented", "invented", "left out"))
    kind = np.where(names == BACKGROUND, "idle", kind)
    rows = zip(judged.joint, judged.energy, strict=True)
    labels = [rejection.decide(Evidence(row, energy), int(row.argmax()), null) for row, energy in rows]
    answers = np.array(classes)[labels]
    silent = np.isin(answers, [UNKNOWN_LABEL, BACKGROUND])
    print(f"\n{title}: windows")
    for name in ("known", "left out", "invented", "idle"):
        if (kind == name).any():
            print(f"  {name:10} {silent[kind == name].mean():.3f} called no exercise, n {(kind == name).sum()}")
    answered = (kind == "known") & ~silent
    print(f"  accuracy where it answers {(answers == names)[answered].mean():.3f}, n {answered.sum()}")
    index = np.array([classes.index(name) if name in classes else len(classes) - 1 for name in names])
    sound = np.isin(kind, ["known", "idle"])
    of_known = calibration_error(judged.joint[sound], index[sound])
    print(f"  calibration error: known and idle {of_known:.3f}, all {calibration_error(judged.joint, index):.3f}")
    _report_clips(recogniser, judged, kind, title)


def _report_clips(recogniser: Recogniser, judged: Judged, kind: np.ndarray, title: str) -> None:
    classes = [*recogniser.classes, UNKNOWN_LABEL]
    null = recogniser.classes.index(BACKGROUND) if BACKGROUND in recogniser.classes else None
    rows: dict[str, list[tuple[bool, bool]]] = {}
    by_name: dict[str, list[bool]] = {}
    for k in np.unique(judged.clip):
        mine = judged.clip == k
        of_kind = next((name for name in ("known", "left out", "invented") if (kind[mine] == name).any()), "idle")
        label, probs = clip_label(judged.joint[mine], null)
        energy = float(np.average(judged.energy[mine], weights=clip_weights(judged.joint[mine], null)))
        answer = classes[recogniser.rejection.decide(Evidence(probs, energy, int(mine.sum())), label, null)]
        truth = next((str(n) for n, k in zip(judged.label[mine], kind[mine], strict=True) if k == of_kind), "")
        rows.setdefault(of_kind, []).append((answer in (UNKNOWN_LABEL, BACKGROUND), answer == truth))
        if of_kind == "left out":
            by_name.setdefault(truth, []).append(answer in (UNKNOWN_LABEL, BACKGROUND))
    print(f"{title}: clips")
    for name, results in rows.items():
        silent = np.array(results)[:, 0]
        right = np.array(results)[~silent, 1].mean() if name == "known" and (~silent).any() else np.nan
        shown = f"  {name:10} {silent.mean():.3f} called no exercise, n {len(results)}"
        print(shown + (f"; right where it answers {right:.3f}" if name == "known" else ""))
    if by_name:
        print("  left out, by name: " + ", ".join(f"{n} {sum(v)}/{len(v)}" for n, v in sorted(by_name.items())))


def folds(arguments: argparse.Namespace) -> None:
    """Train a model without each part of the families, and judge it on all test clips."""
    parts = [[name for family in FAMILIES[k :: arguments.folds] for name in family] for k in range(arguments.folds)]
    settings = MCATSettings(**SETTINGS, cache=str(arguments.work / "cache"))
    for k in arguments.only or range(arguments.folds):
        without = parts[k]
        run = RunSettings(arguments.work / f"fold{k}", threads=1)
        training = WithoutTraining(arguments.train, "mcat", settings, without=tuple(without))
        train_model(training, Recipe(epochs=arguments.epochs, batch=32, rate=1e-3, seed=k), run)
        recogniser = Recogniser(str(run.out / "model.safetensors"), torch.device("cpu"))
        report(recogniser, judge(recogniser, arguments.test), f"fold {k}, without {', '.join(without)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("test")
    parser.add_argument("model", nargs="?")
    parser.add_argument("--calibrate", type=Path, help="write the model with the rejection that these clips call for")
    parser.add_argument("--train")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--only", type=int, action="append", help="this fold alone; several times for more")
    parser.add_argument("--epochs", type=int, default=11)
    parser.add_argument("--work", type=Path, default=Path("unknown"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.model:
        recogniser = Recogniser(arguments.model, torch.device("cpu"))
        judged = judge(recogniser, arguments.test)
        if arguments.calibrate:
            calibrate(arguments.model, judged, arguments.calibrate)
        else:
            report(recogniser, judged, arguments.model)
    if arguments.train:
        folds(arguments)


if __name__ == "__main__":
    main()
