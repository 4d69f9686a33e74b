"""How far racctl's own BlazePose pipeline is from MediaPipe's, clip by clip, and whether they count the same.

python tests/benchmarks/pose_parity.py CLIP... [--truth TSV...] [--jobs N] [--folder DIR]
MediaPipe looks at each clip once, from the first frame to the last, as its own loop does. The distance is that of a
joint, in percent of the body's size (twice the way from the hips to the farthest joint), the median over joints and the
frames in which both hold the same person (joints nearer than a quarter of the size); "whole" is the same with the clip
tracked in one piece instead of chunks. Counts are those of `racctl count` from the two poses; --truth: tables with the
columns clip and count. --folder keeps the poses for a rerun.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np

from racctl.contracts import Pose
from racctl.errors import RacctlError
from racctl.io.npz import read_pose, write_pose
from racctl.io.output import write_file
from racctl.skeleton.topology import BLAZEPOSE33

SAME_PERSON = 0.25  # of the body's size


def poses_of(clip: Path, folder: Path, jobs: int) -> dict[str, Pose | None]:
    """Return the clip's poses by way of estimating: racctl's, racctl's in one piece, MediaPipe's in one piece."""
    from racctl import estimate_pose
    from racctl.estimators import workers
    from racctl.estimators.blazepose import model, pool

    whole = [mock.patch.object(module, "cuts", lambda _: [0]) for module in (workers, pool, model)]
    poses: dict[str, Pose | None] = {}
    for name, weights, in_one_piece in (
        ("racctl", "full", False), ("whole", "full", True), ("mediapipe", "mediapipe", True)
    ):  # fmt: skip
        stored = folder / f"{clip.stem}.{name}.npz"
        if not stored.exists():
            for patch in whole if in_one_piece else ():
                patch.start()
            try:
                pose = estimate_pose(clip, weights, jobs=jobs)
            except RacctlError:
                poses[name] = None
                continue
            finally:
                mock.patch.stopall()
            write_file(stored, lambda file, pose=pose: write_pose(file, pose))
        with open(stored, "rb") as file:
            poses[name] = read_pose(file, clip.name)
    return poses


def distance(pose: Pose | None, reference: Pose | None) -> tuple[float, float]:
    """Return the median distance of the joints, percent of the body's size, and the share of frames with one person."""
    if pose is None or reference is None:
        return np.nan, 0.0
    x = pose.xyz[:, 0, :, :2]
    y = reference.xyz[:, 0, :, :2]
    both = np.isfinite(x[:, 0, 0]) & np.isfinite(y[:, 0, 0])
    if not both.any():
        return np.nan, 0.0
    hips = y[both][:, BLAZEPOSE33.indices(["left_hip", "right_hip"])].mean(1)
    size = 2 * np.linalg.norm(y[both] - hips[:, None], axis=-1).max(1)
    gap = np.linalg.norm(x[both] - y[both], axis=-1) / size[:, None]
    same = np.median(gap, 1) < SAME_PERSON
    return 100 * float(np.median(gap[same])) if same.any() else np.nan, float(same.mean())


def seen(pose: Pose | None) -> float:
    """Return the share of frames in which somebody is seen."""
    return 0.0 if pose is None else float((pose.score[:, 0] > 0).any(1).mean())


def counted(pose: Pose | None) -> float:
    """Return what the default counter counts; 0 where nobody is seen."""
    from racctl import count

    return 0.0 if pose is None else float(count(pose)[0].count)


def truth_of(tables: list[Path]) -> dict[str, float]:
    """Return the true counts by clip."""
    rows = [row for table in tables for row in csv.DictReader(table.read_text().splitlines(), delimiter="\t")]
    return {Path(row["clip"]).stem: float(row["count"]) for row in rows}


def lines(clips: list[Path], truth: dict[str, float], folder: Path, jobs: int) -> Iterator[tuple]:
    for clip in clips:
        poses = poses_of(clip, folder, jobs)
        apart, same = distance(poses["racctl"], poses["mediapipe"])
        whole, _ = distance(poses["whole"], poses["mediapipe"])
        counts = counted(poses["racctl"]), counted(poses["mediapipe"])
        yield (
            clip.stem,
            apart,
            whole,
            same,
            seen(poses["racctl"]),
            seen(poses["mediapipe"]),
            *counts,
            truth.get(clip.stem),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--truth", nargs="*", type=Path, default=[])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=None)
    options = parser.parse_args()
    print(f"{'clip':45} distance   whole  same  seen: racctl mediapipe  counts: racctl mediapipe true")
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for row in lines(options.clips, truth_of(options.truth), folder, options.jobs):
            rows.append(row)
            name, apart, whole, same, ours_seen, reference, ours, theirs, true = row
            print(
                f"{name:45} {apart:7.2f}% {whole:6.2f}% {same:5.2f} {ours_seen:12.3f} {reference:9.3f} "
                f"{ours:15.0f} {theirs:9.0f} {'' if true is None else f'{true:4.0f}'}",
                flush=True,
            )
    table = np.array([row[1:8] for row in rows], float)
    print(f"median of the distances {np.nanmedian(table[:, 0]):.2f}%, whole {np.nanmedian(table[:, 1]):.2f}%")
    print(f"clips above 0.5%: {(table[:, 0] > 0.5).sum()}, whole {(table[:, 1] > 0.5).sum()}, of {len(rows)}")
    known = [row for row in rows if row[8] is not None]
    if known:
        for name, place in (("racctl", 6), ("mediapipe", 7)):
            error = np.array([abs(round(row[place]) - row[8]) for row in known])
            print(f"{name}: exact {(error == 0).sum()}, within one {(error <= 1).sum()} of {len(known)}")
        worse = [row[0] for row in known if abs(round(row[6]) - row[8]) > abs(round(row[7]) - row[8])]
        print("counted worse by racctl:", *worse)


if __name__ == "__main__":
    main()
