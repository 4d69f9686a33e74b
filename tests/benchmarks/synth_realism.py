"""How real the generated clips are to real tools: BlazePose and the weight-free counter on a fixed sample of
clips with one person and nothing in the way (a second person is as often the one that BlazePose finds).

    python tests/benchmarks/synth_realism.py [--clips 100] [--folder DIR] [--keep]

Prints for every movement and in all: in how many frames BlazePose finds the person (of those in which at least 80 % of
the body is in view), how far the visible joints are from the truth in percent of the torso, and how the counter does on
clips of clean repetitions, from the true landmarks and from BlazePose's.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from racctl.contracts import Pose
from racctl.io.npz import read_pose
from racctl.skeleton.topology import BLAZEPOSE33

IN_VIEW = 0.8  # share of the landmarks that must be visible or hidden by the own body only
BODY = [
    j for j in BLAZEPOSE33.joints if any(part in j for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle"))
]


def compare(true: Pose, estimated: Pose) -> dict[str, float]:
    """Frames in view, frames found, and the mean error of visible joints over the torso's length."""
    joints = BLAZEPOSE33.indices(BODY)
    in_view = (true.score[:, 0] > 0).mean(1) >= IN_VIEW
    seen = (true.score[:, 0, joints] > 0.5) & in_view[:, None]
    in_view &= (true.score[:, 0] > 0.5).mean(1) >= 0.45  # not behind something
    detected = estimated.score[:, 0].max(1) > 0
    gap = np.linalg.norm(estimated.xyz[:, 0, joints, :2] - true.xyz[:, 0, joints, :2], axis=-1)
    error = gap / torso(true)[:, None]
    use = seen & in_view[:, None] & detected[:, None]
    return {"view": in_view.sum(), "found": (in_view & detected).sum(), "error": error[use].sum(), "joints": use.sum()}


def torso(pose: Pose) -> np.ndarray:
    """(T,) the length of the trunk as it would be seen from the side: metres turned to pixels at the hips' distance."""
    at = BLAZEPOSE33.index
    world = pose.world[:, 0]
    trunk = world[:, [at("left_shoulder"), at("right_shoulder")]].mean(1) - world[
        :, [at("left_hip"), at("right_hip")]
    ].mean(1)
    pairs = [(a, b) for a, b in BLAZEPOSE33.edges if "knee" in a or "hip" in a]
    flat = sum(np.linalg.norm(pose.xyz[:, 0, at(a)] - pose.xyz[:, 0, at(b)], axis=-1) for a, b in pairs)
    solid = sum(np.linalg.norm(world[:, at(a)] - world[:, at(b)], axis=-1) for a, b in pairs)
    return np.linalg.norm(trunk, axis=-1) * flat / solid


def main() -> None:
    from racctl.estimators.pose import pose_lanes, pose_step, save_pose
    from racctl.synth.dataset import generate, plans
    from racctl.synth.movements import exercises

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--fps", type=float, default=20.0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="")
    parser.add_argument("--model", default="full", help="pose model, such as mediapipe")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        names = options.only.split(",") if options.only else list(exercises())
        more = {"fps": options.fps, "repetitions": (3, 6), "clean": True, "alone": True}
        jobs = plans(names, options.clips, {"test": 1.0}, 20, **more)
        summaries = generate(jobs, folder, options.jobs)
        results = folder / options.model
        results.mkdir(exist_ok=True)
        made_by = pose_step(options.model, 1, None, None, 1)
        with pose_lanes(options.model, 1, 1, options.jobs) as lanes:
            for row in summaries:
                try:
                    save_pose(str(folder / f"video/{row['clip']}.mp4"), lanes[0], folder=results, entry=made_by)
                except Exception as error:
                    print(f"{row['clip']}: {error}")
        report(summaries, folder, results)


def report(summaries: list[dict], folder: Path, results: Path) -> None:
    """Print the table."""
    rows: dict[str, list[dict[str, float]]] = {}
    for summary in summaries:
        with open(folder / f"pose/{summary['clip']}.npz", "rb") as file:
            true = read_pose(file, summary["clip"])
        path = results / f"{summary['clip']}.pose.npz"
        row = {"view": 0.0, "found": 0.0, "error": 0.0, "joints": 0.0}
        if path.exists():
            with open(path, "rb") as file:
                result = read_pose(file, summary["clip"])
            row = compare(true, result)
            row["count"] = hit(result, summary["count"])
        row["truth"] = hit(true, summary["count"])
        rows.setdefault(summary["label"], []).append(row)
    print(f"{'movement':24} clips  found   error  OBO on truth  OBO on BlazePose")
    every = [row for some in rows.values() for row in some]
    for name, some in [*sorted(rows.items()), ("all", every)]:
        total = {key: sum(row.get(key, 0.0) for row in some) for key in ("view", "found", "error", "joints")}
        obo = [np.mean([row.get(key, 0.0) for row in some]) for key in ("truth", "count")]
        print(
            f"{name:24} {len(some):5}  {100 * total['found'] / max(total['view'], 1):5.1f}%  "
            f"{100 * total['error'] / max(total['joints'], 1):5.1f}%  {obo[0]:12.2f}  {obo[1]:12.2f}"
        )


def hit(pose: Pose, count: float) -> float:
    """1.0 where the weight-free counter is at most one off."""
    from racctl.counters.recurrence import count_repetitions

    pairs = [tuple(BLAZEPOSE33.indices(pair)) for pair in BLAZEPOSE33.symmetries]
    result = count_repetitions(pose.xyz[:, 0], pose.score[:, 0], pose.time, pairs)
    return float(abs(result.count - count) <= 1)


if __name__ == "__main__":
    main()
