"""A recogniser on real clips, each as a whole: exercises that it knows, others, and 12 drawn ones as other skeletons.

RACCTL_TEST_DATA=... python tests/benchmarks/recognition.py [--model NAME|FILE] [--set clips --set clips2] [--work DIR]

The data are clips/ and clips.tsv with the columns clip and exercise, and clips2. Nothing is trained on them. With
--poses DIR the clips' poses are taken from there and not estimated.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from racctl.contracts import BACKGROUND, UNKNOWN_LABEL
from racctl.data import class_names
from racctl.io.checkpoint import model_meta
from racctl.io.parquet import read_table
from racctl.recognisers.rejection import ECE_BINS
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
# Variants of one exercise: with the family counted, each is right for each.
FAMILY = {
    **dict.fromkeys(["push_up", "wide_push_up", "diamond_push_up", "knee_push_up", "pike_push_up"], "push_up"),
    **dict.fromkeys(["squat", "sumo_squat", "jump_squat"], "squat"),
    **dict.fromkeys(["lunge", "reverse_lunge"], "lunge"),
}
# Neither known nor unknown: a part of the clip, or a near variant, is what the model knows.
NEAR = {
    "get_up", "lunge_step_up", "rowing_sit_up", "v_sit_crunch", "elbow_flexion_arms_out", "plank_leg_raise",
    "arm_raise_overhead", "hollow_hold",
}  # fmt: skip
DRAWN = (
    "squat", "jump_jack", "push_up", "lunge", "bicep_curl", "sit_up", "deadlift", "pull_up", "lateral_shoulder_raise",
    "burpee", "glute_bridge", "dumbbell_shoulder_press",
)  # fmt: skip


@dataclass(frozen=True)
class Answers:
    """Whole clips' rows of racctl.labels/1 by clip, with rejection and without, and the classes."""

    usual: dict[str, dict]
    forced: dict[str, dict]
    classes: list[str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="joints")
    parser.add_argument("--set", action="append", help="clips or clips2; both unless named")
    parser.add_argument("--poses", type=Path, help="where the clips' poses are")
    parser.add_argument("--work", type=Path, help="where poses are kept from run to run")
    parser.add_argument("--sequences", action="store_true", help="also poses/ and poses_repcount/")
    parser.add_argument("--no-drawn", action="store_true", help="leave out the drawn clips")
    requested = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        work = requested.work or Path(scratch)
        exercise, sources = real_clips(requested.set or ["clips", "clips2"], requested.poses)
        if not needs_picture(requested.model) and not requested.poses:
            subprocess.run([command(), "pose", *sources, "-o", f"{work}/"], check=True)
            sources = [f"{work}/{clip}.pose.npz" for clip in exercise]
        report(classified(sources, requested.model, work), exercise)
        if requested.sequences:
            report_sequences(requested.model, work)
        if not requested.no_drawn and not needs_picture(requested.model):
            report_skeletons(requested.model, work)


def command() -> str:
    """Return the path of racctl."""
    return str(Path(sys.executable).with_name("racctl"))


def real_clips(sets: list[str], poses: Path | None) -> tuple[dict[str, str], list[str]]:
    """Return the exercise of each clip, and the files to classify."""
    data = Path(os.environ["RACCTL_TEST_DATA"])
    exercise: dict[str, str] = {}
    sources = []
    for name in sets:
        with open(data / f"{name}.tsv") as file:
            rows = {row["clip"].rsplit(".", 1)[0]: row["exercise"] for row in csv.DictReader(file, delimiter="\t")}
        exercise |= rows
        sources += [str(poses / f"{clip}.pose.npz") if poses else str(data / name / f"{clip}.mp4") for clip in rows]
    return exercise, sources


def classified(sources: list[str], model: str, work: Path) -> Answers:
    """Return what `racctl classify --whole` says of files, with rejection and without."""
    tables = []
    for unknown in ("auto", "off"):
        result = work / f"labels.{unknown}.parquet"
        words = [command(), "classify", "-q", *sources, "--whole", "--model", model, "--unknown", unknown]
        subprocess.run([*words, "-o", result], check=True)
        with open(result, "rb") as file:
            meta, table = read_table(file, str(result))
        tables.append({row["clip"]: row for row in table.to_pylist()})
    return Answers(*tables, meta["classes"])


def needs_picture(model: str) -> bool:
    """Whether a recogniser, embedded or in a file, looks at more than joints."""
    path = Path(model) if Path(model).is_file() else embedded(model)
    if path is None:
        raise SystemExit(f"no such model '{model}'")
    return model_meta(path)["input"]["size"] > 0


def report(answers: Answers, exercise: dict[str, str]) -> None:
    """Print each clip, then the known ones by source, then those of something else."""
    known = [clip for clip, name in exercise.items() if name in RIGHT]
    for clip, name in exercise.items():
        row, right = answers.usual[clip], RIGHT.get(name, [])
        verdict = verdict_of(row["label"], right) if right else "near" if name in NEAR else ""
        forced = answers.forced[clip]["label"]
        print(f"{clip:34.34} {name:24} {row['label']:24}{row['prob']:5.2f} {verdict:8} {row['top']}  [{forced}]")
    print("\nknown exercises by source")
    for source in dict.fromkeys(clip.split("_")[0] for clip in known):
        print(f"  {source:12} {counts(answers, [c for c in known if c.split('_')[0] == source], exercise)}")
    print(f"  {'all':12} {counts(answers, known, exercise)}")
    others = [clip for clip, name in exercise.items() if name not in RIGHT]
    strict = [clip for clip in others if exercise[clip] not in NEAR]
    for title, chosen in (("something else", strict), ("near variants of known ones", [*set(others) - set(strict)])):
        silent = [answers.usual[clip]["label"] in (UNKNOWN_LABEL, BACKGROUND) for clip in chosen]
        before = [answers.forced[clip]["label"] == BACKGROUND for clip in chosen]
        print(f"{title}: no exercise named {sum(silent)}/{len(silent)}, without rejection {sum(before)}/{len(before)}")


def verdict_of(label: str, right: list[str]) -> str:
    """Return whether a label is right, a variant of what is right, missing or wrong."""
    if label in right:
        return "right"
    if label in FAMILY and FAMILY[label] in {FAMILY.get(name) for name in right}:
        return "variant"
    return "lost" if label in (UNKNOWN_LABEL, BACKGROUND) else "WRONG"


def counts(answers: Answers, clips: list[str], exercise: dict[str, str]) -> str:
    """Return the figures of clips of known exercises, in a line."""
    right = [RIGHT[exercise[clip]] for clip in clips]
    usual, forced = ([rows[clip] for clip in clips] for rows in (answers.usual, answers.forced))
    n = len(clips)
    verdicts = [verdict_of(row["label"], names) for row, names in zip(usual, right, strict=True)]
    plain = [verdict_of(row["label"], names) for row, names in zip(forced, right, strict=True)]
    first = sum(row["label"] == names[0] for row, names in zip(forced, right, strict=True))
    top3 = 0
    for row, names in zip(forced, right, strict=True):
        order = [answers.classes[k] for k in np.argsort(row["probs"])[::-1]]
        top3 += any(name in names for name in [row["label"], *order][:3])
    hits = [verdict == "right" for verdict in verdicts]
    answered = n - verdicts.count("lost")
    gap = calibration([row["prob"] for row in usual if row["label"] != UNKNOWN_LABEL], hits, usual)
    return (
        f"n {n}: answered {answered}, right {sum(hits)}, family {sum(hits) + verdicts.count('variant')}; without "
        f"rejection right {plain.count('right')}, family {plain.count('right') + plain.count('variant')}, "
        f"first name only {first}, top-3 {top3}; calibration error {gap:.2f}"
    )


def calibration(sure: list[float], hits: list[bool], rows: list[dict]) -> float:
    """Return the expected calibration error of the answers."""
    right = [hit for hit, row in zip(hits, rows, strict=True) if row["label"] != UNKNOWN_LABEL]
    if not right:
        return float("nan")
    place = np.minimum((np.array(sure) * ECE_BINS).astype(int), ECE_BINS - 1)
    gaps = [abs(np.array(sure)[place == k].sum() - np.array(right)[place == k].sum()) for k in range(ECE_BINS)]
    return float(sum(gaps) / len(right))


def report_sequences(model: str, work: Path) -> None:
    """Print the same of published pose sequences, which are scaled to the body's box in every frame."""
    data = Path(os.environ["RACCTL_TEST_DATA"])
    for name in ("poses", "poses_repcount"):
        with open(data / f"{name}.tsv") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        truth = {row["sequence"].removesuffix(".npy"): class_names.exercise(row["exercise"]) for row in rows}
        folder = work / name
        files = [str(data / name / row["sequence"]) for row in rows]
        subprocess.run([command(), "remap-joints", "-q", *files, "--fps", "30", "-o", f"{folder}/"], check=True)
        answers = classified(sorted(map(str, folder.glob("*.npz"))), model, work)
        known = {clip: label for clip, label in truth.items() if label in answers.classes}
        verdicts = [verdict_of(answers.usual[clip]["label"], [label]) for clip, label in known.items()]
        forced = [verdict_of(answers.forced[clip]["label"], [label]) for clip, label in known.items()]
        others = [answers.usual[clip]["label"] in (UNKNOWN_LABEL, BACKGROUND) for clip in truth.keys() - known.keys()]
        print(
            f"{name}: n {len(known)}, right {verdicts.count('right')}, variant {verdicts.count('variant')}, unknown "
            f"{verdicts.count('lost')}; without rejection right {forced.count('right')}; of {len(others)} of something "
            f"else no exercise named {sum(others)}"
        )


def report_skeletons(model: str, work: Path) -> None:
    """Print how many drawn clips are right as they are drawn, and as other layouts, with depth and without it."""
    drawn = work / "drawn"
    words = ["--out", drawn, "--pose-only", "--clips", 5 * len(DRAWN), "--classes", ",".join(DRAWN), "--clean"]
    subprocess.run([command(), "synth", "-q", *map(str, words), "--reps", "4-4", "--seed", "5"], check=True)
    poses = sorted(str(path) for path in (drawn / "pose").glob("*.npz"))
    first = {f"{name}_{k:05d}" for k, name in enumerate(DRAWN)}
    print(f"\ndrawn clips, one of each of {len(DRAWN)} exercises, and five of each")
    for topology in ("blazepose33", "coco17", "openpose25", "coco17 without depth", "openpose25 without depth"):
        folder = work / topology.replace(" ", "-")
        to = ["--to", topology.split()[0], "-o", f"{folder}/"]
        subprocess.run([command(), "remap-joints", "-q", *poses, *to], check=True)
        files = sorted(folder.glob("*.npz"))
        if "without" in topology:
            for file in files:
                flatten(file)
        answers = classified([str(file) for file in files], model, work)
        verdict = {clip: verdict_of(row["label"], [clip.rsplit("_", 1)[0]]) for clip, row in answers.usual.items()}
        few = [value for clip, value in verdict.items() if clip in first]
        every = list(verdict.values())
        shown = "; ".join(
            f"n {len(v)}: right {v.count('right')}, variant {v.count('variant')}, unknown {v.count('lost')}, "
            f"wrong {v.count('WRONG')}"
            for v in (few, every)
        )
        print(f"  {topology:26} {shown}")


def flatten(path: Path) -> None:
    """Take the depth out of a pose file."""
    from dataclasses import replace

    from racctl.io.npz import read_pose, write_pose

    with open(path, "rb") as file:
        pose = read_pose(file, str(path))
    xyz = pose.xyz.copy()
    xyz[..., 2] = np.where(np.isnan(xyz[..., 2]), np.nan, 0)
    with open(path, "wb") as file:
        write_pose(file, replace(pose, xyz=xyz, world=None))


if __name__ == "__main__":
    main()
