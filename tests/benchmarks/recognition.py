"""Top-1 and top-3 of a recogniser on real clips whose exercise it knows, each clip as a whole.

RACCTL_TEST_DATA=... python tests/benchmarks/recognition.py [--model NAME|FILE] [--set clips|clips2] [--work DIR]

The data are clips/ and clips.tsv with the columns clip and exercise, or clips2. Nothing is trained on them.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from racctl.io.checkpoint import model_meta
from racctl.io.parquet import read_table
from racctl.weights import embedded

# The exercise that a clip is filed under -> the classes that are right for it, the first one strictly.
RIGHT = {
    "glute_bridge": ["glute_bridge"], "push_up_close_grip": ["diamond_push_up", "push_up"], "push_up": ["push_up"],
    "squat": ["squat"], "squat_assisted": ["squat"], "sit_up": ["sit_up"], "plank": ["plank"],
    "calf_raise": ["calf_raise"], "deadlift_romanian": ["deadlift"], "split_squat_lunge": ["lunge", "reverse_lunge"],
    "jumping_jack": ["jump_jack"], "squat_thrust_burpee": ["burpee"], "burpee_jump": ["burpee"],
    "split_squat": ["lunge", "reverse_lunge"], "side_lunge": ["side_lunge"], "biceps_curl": ["bicep_curl"],
    "lateral_raise": ["lateral_shoulder_raise"], "bench_press": ["bench_pressing"], "front_raise": ["front_raise"],
    "shoulder_press_barbell": ["dumbbell_shoulder_press"], "shoulder_press_kettlebell": ["dumbbell_shoulder_press"],
    "squat_barbell": ["squat"], "squat_goblet": ["squat"], "squat_jump": ["jump_squat"], "crunch": ["crunch"],
    "burpee": ["burpee"], "deadlift": ["deadlift"], "lunge_alternating": ["reverse_lunge", "lunge"],
    "pull_up": ["pull_up"], "leg_raise": ["leg_raise"],
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="joints")
    parser.add_argument("--set", default="clips")
    parser.add_argument("--work", type=Path, help="where poses are kept from run to run")
    requested = parser.parse_args()
    data = Path(os.environ["RACCTL_TEST_DATA"])
    with open(data / f"{requested.set}.tsv") as file:
        exercise = {row["clip"].rsplit(".", 1)[0]: row["exercise"] for row in csv.DictReader(file, delimiter="\t")}
    with tempfile.TemporaryDirectory() as scratch:
        work = requested.work or Path(scratch)
        videos = [str(data / requested.set / f"{clip}.mp4") for clip in exercise]
        racctl = str(Path(sys.executable).with_name("racctl"))
        sources = videos
        if not needs_picture(requested.model):
            subprocess.run([racctl, "pose", *videos, "-o", f"{work}/"], check=True)
            sources = [f"{work}/{clip}.pose.npz" for clip in exercise]
        result = work / "labels.parquet"
        subprocess.run([racctl, "classify", *sources, "--whole", "--model", requested.model, "-o", result], check=True)
        with open(result, "rb") as file:
            meta, table = read_table(file, str(result))
    report(meta["classes"], {row["clip"]: row for row in table.to_pylist()}, exercise)


def needs_picture(model: str) -> bool:
    """Whether a recogniser, embedded or in a file, looks at more than joints."""
    path = Path(model) if Path(model).is_file() else embedded(model)
    if path is None:
        raise SystemExit(f"no such model '{model}'")
    return model_meta(path)["input"]["size"] > 0


def report(classes: list[str], rows: dict[str, dict], exercise: dict[str, str]) -> None:
    strict, lenient, third = [], [], []
    for clip, name in exercise.items():
        order = [classes[k] for k in np.argsort(rows[clip]["probs"])[::-1]]
        label, right = rows[clip]["label"], RIGHT.get(name, [])
        best = ", ".join(f"{single} {rows[clip]['probs'][classes.index(single)]:.2f}" for single in order[:3])
        verdict = "" if not right else "right" if label in right else "WRONG"
        print(f"{clip:28}{name:24}{label:24}{verdict:8}{best}")
        if right:
            strict.append(label == right[0])
            lenient.append(label in right)
            third.append(any(name in right for name in [label, *order][:3]))
    n = len(strict)
    shown = {"top-1": lenient, "top-3": third, "top-1 by the first name only": strict}
    figures = ", ".join(f"{name} {np.mean(hits):.2f} ({sum(hits)}/{n})" for name, hits in shown.items())
    print(f"\n{n} clips of known exercises: {figures}")


if __name__ == "__main__":
    main()
