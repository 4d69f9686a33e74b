"""The table of `d2stx.mk`: branches and fusions of D2-STX beside the counter without weights, one metric, one run.

python tests/benchmarks/d2stx_table.py OUT [--data DIR] [--csv FILE]

Counts are rounded; intervals are 95 % bootstraps over the clips. M parameters are those of the counter, GFLOP those of
its forward pass on a clip of `TOKENS` tokens (10 s), without the encoders; ms its median time on one thread of this
machine.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from counting import truth_of, without_half
from d2stx_cost import gigaflops

from racctl.contracts import Features, Pose
from racctl.counters.count_clip import count as count_pose
from racctl.counters.reader import DensityReader
from racctl.encoders.base import EncodeOptions as EncodeOptions
from racctl.encoders.encode_clip import encode_clip
from racctl.encoders.pair import Encoders, load_encoders
from racctl.estimators.open_clip import open_pose
from racctl.io.npz import read_features, read_pose
from racctl.io.poses.formats import load_pose
from racctl.models.d2stx import parameters
from racctl.scoring.count_metrics import TERMS, bootstrap_interval, round_half_up, value

NAMES = {
    "weight-free": "counter without weights", "pose": "pose branch", "video": "video branch",
    "pose_guided": "pose-guided", "video_guided": "video-guided", "fixed": "bidirectional, fixed 0.5",
    "learned": "bidirectional, learned", "coupled": "coupled attention", "joint": "bidirectional, learned jointly",
}  # fmt: skip
METRICS = ("OBO", "MAE", "OBZ")
TOKENS = 75
CPU = torch.device("cpu")
JOINTS = EncodeOptions("none", stride=32)


@dataclass
class Trial:
    """A set to count. true: clip -> count.  pose, features: clip -> what is counted, None where a clip has none."""

    name: str
    true: dict[str, float]
    pose: Callable[[str], Pose]
    features: Callable[[str], Features]
    video: bool = True


def trials(out: Path, data: Path | None) -> list[Trial]:
    rows = [row for row in pq.read_table(out / "drawn/manifest.parquet").to_pylist() if row["split"] == "test"]
    drawn = {row["clip"]: float(row["count"]) for row in rows}
    ours = lambda clip: stored(out / f"drawn/pose/{clip}.npz", read_pose)  # noqa: E731
    encoders = load_encoders(JOINTS, CPU)
    usual = lambda clip: stored(out / f"features/{clip}.features.npz", read_features)  # noqa: E731
    poor = lambda clip: without_half(ours(clip), clip)  # noqa: E731
    result = [
        Trial("drawn", drawn, ours, usual),
        Trial("drawn, 2x", drawn, lambda clip: twice_as_fast(ours(clip)),
              lambda clip: at_usual_rate(stored(out / f"fast/{clip}.features.npz", read_features))),
        Trial("drawn, pose lost half the time", drawn, poor, lambda clip: with_pose(usual(clip), poor(clip), encoders)),
    ]  # fmt: skip
    if data:
        result.append(Trial("real clips", truth(data / "clips.tsv"),
                           lambda clip: stored(out / f"real-pose/{clip}.pose.npz", read_pose),
                           lambda clip: stored(out / f"real/{clip}.features.npz", read_features)))  # fmt: skip
        poses = lambda clip: load_pose(str(data / f"poses/{clip}.npy"))  # noqa: E731
        result.append(Trial("real poses", truth(data / "poses.tsv"), poses,
                           lambda clip: encoded(poses(clip), encoders),
                           video=False))  # fmt: skip
    return result


def with_pose(features: Features, pose: Pose, encoders: Encoders) -> Features:
    """The features with tokens of another pose."""
    return replace(features, pose=encoded(pose, encoders).pose)


def stored(path: Path, read: Callable):
    with open(path, "rb") as file:
        return read(file, str(path))


def truth(table: Path) -> dict[str, float]:
    return {clip: float(count) for clip, (count, _) in truth_of(table).items()}


def encoded(pose: Pose, encoders: Encoders) -> Features:
    with open_pose(pose) as clip:
        return encode_clip(clip, encoders, JOINTS)


def twice_as_fast(pose: Pose) -> Pose:
    return replace(pose, time=pose.time / 2)


def at_usual_rate(features: Features) -> Features:
    """Features taken at half the rate, as if it were the whole: the film runs twice as fast."""
    half = replace(features, start_s=features.start_s / 2, stop_s=features.stop_s / 2)
    half.meta = {**features.meta, "rate": 2 * features.meta["rate"]}
    return half


def weight_free(trial: Trial, clip: str) -> float:
    return float(count_pose(trial.pose(clip), "periodicity")[0].count)


def scored(trial: Trial, count: Callable[[str], float]) -> dict[str, tuple[float, float, float]]:
    """Metric -> value, low, high."""
    result = np.array([max(float(round_half_up(np.array(count(clip)))), 0.0) for clip in trial.true])
    true = np.array(list(trial.true.values()))
    cells = {}
    for metric in METRICS:
        terms = TERMS[metric](result, true)
        cells[metric] = (value(metric, terms), *bootstrap_interval(metric, terms, resamples=2000, seed=0))
    return cells


def cost(counter: DensityReader) -> tuple[float, float, float]:
    """M parameters, GFLOP and ms for a clip of `TOKENS` tokens."""
    network, c = counter.network.eval(), counter.network.config
    video = torch.randn(1, TOKENS, c.video, 4, 4) if c.branches != "pose" else None
    pose = torch.randn(1, TOKENS, c.pose, c.joints) if c.branches != "video" else None
    flop = gigaflops(lambda: network(video, pose))["Global"][0]
    chosen = []
    with torch.no_grad():
        for _ in range(7):
            begin = time.perf_counter()
            network(video, pose)
            chosen.append(time.perf_counter() - begin)
    return parameters(network) / 1e6, flop, 1e3 * statistics.median(chosen[1:])


def table(out: Path, data: Path | None) -> list[dict]:
    sets, rows = trials(out, data), []
    for name in NAMES:
        file = out / f"runs/{name}/model.safetensors"
        if name != "weight-free" and not file.is_file():
            continue
        counter = None if name == "weight-free" else DensityReader(str(file), CPU)
        row: dict = {"model": NAMES[name]}
        row |= dict(zip(("params M", "GFLOP", "ms"), cost(counter) if counter else (0.0, 0.0, None), strict=True))
        for trial in sets:
            if counter is None:
                count = lambda clip, t=trial: weight_free(t, clip)  # noqa: E731
            elif trial.video or counter.network.config.branches == "pose":
                count = lambda clip, t=trial, c=counter: c.densities(c.tokens(t.features(clip), clip)).final.sum()  # noqa: E731
            else:
                continue  # sequences without a video
            for metric, cell in scored(trial, count).items():
                row[f"{trial.name} {metric}"] = cell
        rows.append(row)
    return rows


def shown(cell) -> str:
    if cell is None:
        return "–"
    if isinstance(cell, tuple):
        return f"{cell[0]:.2f} [{cell[1]:.2f}, {cell[2]:.2f}]"
    return cell if isinstance(cell, str) else f"{cell:.3g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--csv", type=Path)
    requested = parser.parse_args()
    torch.set_num_threads(1)
    rows = table(requested.out, requested.data)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for row in rows:
        print(f"| {' | '.join(shown(row.get(key)) for key in columns)} |")
    if requested.csv:
        with requested.csv.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows([[shown(row.get(key)) for key in columns] for row in rows])


if __name__ == "__main__":
    main()
