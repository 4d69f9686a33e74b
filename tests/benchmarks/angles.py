"""How far the angles of estimated poses are from those of the drawn people, by joint and by where the camera stands.

python tests/benchmarks/angles.py SET...
Each SET is a folder of `racctl synth`, with poses that `racctl pose SET/video/*.mp4 -o SET/est/` estimated. Frames of
the exercises alone are compared, of clips in which the estimated person is the drawn one (half of the joints within
half a torso's length in the median frame). "3d" compares world landmarks, "2d" the picture plane, each with the true
angle in space. Scores are at least `--min-score`. A view is by the camera's direction from the person's front: to 30
degrees, to 60, to 120, beyond. A range is that of one true repetition. Errors: the median and the 90th percentile.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
from outcomes import markdown

from racctl.contracts import Pose
from racctl.io.npz import read_pose
from racctl.io.parquet import read_table
from racctl.skeleton.angles import JOINT_ANGLES, joint_angles
from racctl.skeleton.topology import BLAZEPOSE33

VIEWS = {"front": 30.0, "oblique": 60.0, "side": 120.0, "behind": 181.0}
SPACES = ("3d", "2d")
FEWEST_FRAMES = 5  # of a repetition in which both angles are known

Errors = dict[tuple[str, str, str], list[np.ndarray]]  # (angle, space, view)


def view_of(parameters: Path) -> str:
    azimuth = abs((json.loads(parameters.read_text())["plan"]["camera"]["azimuth"] + 180) % 360 - 180)
    return next(view for view, most in VIEWS.items() if azimuth <= most)


def read(path: Path) -> Pose:
    with open(path, "rb") as file:
        return read_pose(file, str(path))


def is_the_drawn_one(estimated: Pose, true: Pose, rows: tuple[np.ndarray, np.ndarray]) -> bool:
    shoulder, hip = BLAZEPOSE33.index("left_shoulder"), BLAZEPOSE33.index("left_hip")
    drawn = true.xyz[rows[1], 0]
    torso = np.linalg.norm((drawn[:, shoulder] - drawn[:, hip])[:, :2], axis=1)
    apart = np.linalg.norm((estimated.xyz[rows[0], 0] - drawn)[..., :2], axis=2)
    seen = np.isfinite(apart).any(1)
    if not seen.any():
        return False
    shares = np.nanmedian(apart[seen], 1) / np.maximum(torso, np.median(torso))[seen]
    return bool(np.median(shares) < 0.5)


def compare(
    folder: Path, name: str, reps: list[tuple[int, int]], min_score: float, curves: Errors, ranges: Errors
) -> bool:
    estimated, true = read(folder / "est" / f"{name}.pose.npz"), read(folder / "pose" / f"{name}.npz")
    if not estimated.xyz.size:
        return False
    _, *rows = np.intersect1d(estimated.frame, true.frame, return_indices=True)
    if not is_the_drawn_one(estimated, true, (rows[0], rows[1])):
        return False
    view = view_of(folder / "parameters" / f"{name}.json")
    truth = joint_angles(true, 0, "3d").degrees
    frames = true.frame[rows[1]]
    inside = np.any([(frames >= start) & (frames < stop) for start, stop in reps], axis=0)
    for space in SPACES:
        degrees = joint_angles(estimated, 0, space, min_score).degrees
        for angle in JOINT_ANGLES:
            for column in angle.columns:
                values, exact = degrees[column][rows[0]], truth[column][rows[1]]
                known = inside & np.isfinite(values)
                curves[angle.name, space, view].append(np.abs(values - exact)[known])
                for start, stop in reps:
                    part = known & (frames >= start) & (frames < stop)
                    if part.sum() >= max(FEWEST_FRAMES, 0.6 * (stop - start)):
                        error = np.ptp(values[part]) - np.ptp(exact[part])
                        ranges[angle.name, space, view].append(np.abs([error]))
    return True


def table(errors: Errors) -> str:
    rows = []
    for angle in JOINT_ANGLES:
        for space in SPACES:
            row: dict[str, object] = {"angle": angle.name, "space": space}
            for view in (*VIEWS, "all"):
                parts = [part for view_of_part in (VIEWS if view == "all" else (view,))
                         for part in errors[angle.name, space, view_of_part]]  # fmt: skip
                values = np.concatenate(parts) if parts else np.zeros(0)
                shown = f"{np.median(values):.0f} ({np.percentile(values, 90):.0f})" if len(values) else "–"
                row[view] = f"{shown}, n = {len(values)}" if view == "all" else shown
            rows.append(row)
    return markdown(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", type=Path, nargs="+")
    parser.add_argument("--min-score", type=float, default=0.5)
    requested = parser.parse_args()
    curves: Errors = defaultdict(list)
    ranges: Errors = defaultdict(list)
    compared = clips = 0
    for folder in requested.sets:
        with open(folder / "reps.parquet", "rb") as file:
            _, repetitions = read_table(file, str(folder))
        by_clip = defaultdict(list)
        for row in repetitions.to_pylist():
            by_clip[row["clip"]].append((row["start"], row["stop"]))
        for name, reps in sorted(by_clip.items()):
            if (folder / "est" / f"{name}.pose.npz").exists():
                clips += 1
                compared += compare(folder, name, reps, requested.min_score, curves, ranges)
    print(f"{compared} of {clips} clips show the drawn person\n\nAngles, frame by frame:\n\n{table(curves)}")
    print(f"\nRanges of repetitions:\n\n{table(ranges)}")


if __name__ == "__main__":
    main()
