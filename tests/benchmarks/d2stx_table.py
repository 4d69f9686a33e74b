"""The tables of `d2stx.mk` and `systems.mk`: parts of D2-STX, or other systems, beside the counter without weights.

python tests/benchmarks/d2stx_table.py OUT [--data DIR] [--rows parts|systems] [--without ROW,...] [--csv FILE]

Counts are rounded; intervals are 95 % bootstraps over the clips. M parameters are those of the counter, GFLOP those
of its forward pass on a clip of `TOKENS` tokens (10 s), without the encoders; ms its median time on one thread of
this machine, MiB what its first pass adds to the resident memory (Linux). "systems" are D2-STX and what it is compared
with. Below the table: D2-STX against the others, by McNemar's test on OBO and a paired bootstrap of MAE.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from counting import truth_of, without_half
from d2stx_cost import gigaflops, resident
from d2stx_set import RATE, TESTED_VERSIONS, versions

from racctl.contracts import Features, Pose
from racctl.counters.appearance import appearance
from racctl.counters.count_clip import count as count_pose
from racctl.counters.periodicity import is_seen_little
from racctl.counters.reader import DensityReader
from racctl.counters.recurrence import count_appearance
from racctl.encoders.base import EncodeOptions as EncodeOptions
from racctl.encoders.encode_clip import encode_clip
from racctl.encoders.pair import Encoders, load_encoders
from racctl.estimators.open_clip import open_pose
from racctl.io.npz import read_features, read_pose
from racctl.io.poses.formats import load_pose
from racctl.models.d2stx import parameters
from racctl.scoring.count_metrics import (
    TERMS,
    bootstrap_interval,
    mcnemar_exact,
    paired_bootstrap,
    round_half_up,
    value,
)

PICTURE, SWITCHED = "without weights: picture", "without weights: both"
PARTS = {
    "joints": "without weights: joints", "picture": PICTURE, "switched": SWITCHED,
    "pose": "pose branch", "video": "video branch",
    "pose_guided": "pose-guided", "video_guided": "video-guided", "fixed": "bidirectional, fixed 0.5",
    "learned": "bidirectional, learned", "coupled": "coupled attention", "joint": "bidirectional, learned jointly",
}  # fmt: skip
SYSTEMS = {
    "joints": "without weights: joints", "picture": PICTURE, "switched": SWITCHED,
    "learned": "D2-STX", "pose": "D2-STX, pose branch", "escounts": "ESCounts", "transrac": "TransRAC",
    "htrm": "TransRAC, after HTRM-Net", "skimfocus": "SkimFocusNet",
}  # fmt: skip
ROWS = {"parts": PARTS, "systems": SYSTEMS}
WEIGHT_FREE = ("joints", "picture", "switched")
BOTH = "learned"  # that is tested against the branches
METRICS = {"parts": ("OBO", "MAE", "OBZ"), "systems": ("OBO", "MAE", "MAE@0.1", "RMSE", "OBZ")}
TOKENS = 75
RESAMPLES = 2000
CPU = torch.device("cpu")
JOINTS = EncodeOptions("none", stride=32, rate=RATE)
TITLES = {
    "": "drawn",
    "-fast": "drawn, faster",
    "-lost": "drawn, pose lost half the time",
    "-slow": "drawn, half the speed",
}
COST = ("params M", "GFLOP", "ms", "MiB")


@dataclass
class Trial:
    """A set to count. true: clip -> count.  pose, inner, tokens: clip -> what is counted; the latter two are of the
    picture, None without videos."""

    name: str
    true: dict[str, float]
    pose: Callable[[str], Pose]
    tokens: Callable[[str], Features]
    inner: Callable[[str], Features] | None = None


def trials(out: Path, data: Path | None) -> list[Trial]:
    rows = pq.read_table(out / "set/manifest.parquet").to_pylist()
    tested = [row["clip"] for row in rows if row["split"] == "test"]
    count = {row["clip"]: float(row["count"]) for row in rows}
    result = []
    for ending in TESTED_VERSIONS:
        clips = [c for c in tested if (out / f"estimated/{c.removesuffix(ending)}.pose.npz").exists()]
        clips = [c for c in clips if next((e for e in TESTED_VERSIONS[1:] if c.endswith(e)), "") == ending]
        tokens = lambda clip: stored(out / f"set/features/{clip}.features.npz", read_features)  # noqa: E731
        pose, inner = (partial(version, out, ending=ending, part=part) for part in (1, 2))
        result.append(Trial(TITLES[ending], {clip: count[clip] for clip in clips}, pose, tokens, inner))
    return [*result, *two_people(out), *(real_trials(out, data) if data else [])]


def two_people(out: Path) -> list[Trial]:
    """The drawn clips with a second person in the picture, whose exerciser is to be counted."""
    true = {}
    for record in sorted(out.glob("people-drawn/*.json")):
        true[f"{record.stem}.both"] = float(json.loads(record.read_text())["counts"][0])
    pose = lambda clip: stored(out / f"people-pose/{clip}.pose.npz", read_pose)  # noqa: E731
    inner = lambda clip: stored(out / f"people-inner/{clip}.features.npz", read_features)  # noqa: E731
    tokens = lambda clip: stored(out / f"people/{clip}.features.npz", read_features)  # noqa: E731
    true = {clip: count for clip, count in true.items() if (out / f"people/{clip}.features.npz").exists()}
    return [Trial("drawn, two people", true, pose, tokens, inner)] if true else []


def version(out: Path, clip: str, ending: str, part: int) -> Pose | Features:
    """The pose, part 1, or the inner features, 2, of a version of a drawn clip."""
    drawn = clip.removesuffix(ending)
    pose = stored(out / f"estimated/{drawn}.pose.npz", read_pose)
    inner = stored(out / f"inner/{drawn}.features.npz", read_features)
    return next(row for row in versions(pose, inner, drawn) if row[0] == clip)[part]


def real_trials(out: Path, data: Path) -> list[Trial]:
    encoders, result = load_encoders(JOINTS, CPU), []
    for title, folder in (("real clips", "clips"), ("further clips", "clips2")):
        pose = lambda clip, at=out / f"{folder}-pose": stored(at / f"{clip}.pose.npz", read_pose)  # noqa: E731
        inner = lambda clip, at=out / f"{folder}-inner": stored(at / f"{clip}.features.npz", read_features)  # noqa: E731
        tokens = lambda clip, at=out / folder: stored(at / f"{clip}.features.npz", read_features)  # noqa: E731
        true = {c: n for c, n in truth(data / f"{folder}.tsv").items() if (out / folder / f"{c}.features.npz").exists()}
        lost = lambda clip, pose=pose: without_half(pose(clip), clip)  # noqa: E731
        poor = lambda clip, tokens=tokens, lost=lost: with_pose(tokens(clip), lost(clip), encoders)  # noqa: E731
        result.append(Trial(title, true, pose, tokens, inner))
        result.append(Trial(f"{title}, pose lost half the time", true, lost, poor, inner))
    sequence = lambda clip: load_pose(str(data / f"poses/{clip}.npy"))  # noqa: E731
    encoded_sequence = lambda clip: encoded(sequence(clip), encoders)  # noqa: E731
    return [*result, Trial("real sequences", truth(data / "poses.tsv"), sequence, encoded_sequence)]


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


def weight_free(name: str, trial: Trial, clip: str) -> float:
    """Count by the joints, by the picture, or by the one that `racctl count` reads of the two."""
    pose = trial.pose(clip)
    people = pose.chosen("main")
    if name == "picture" or (name == "switched" and trial.inner and people and is_seen_little(pose, people[0])):
        assert trial.inner is not None, "the picture is there"
        features = trial.inner(clip)
        assert features.start_s is not None, "inner features have seconds"
        return float(count_appearance(appearance(features), features.start_s).count)
    return float(count_pose(pose, "periodicity")[0].count) if people else 0.0


def scored(counts: np.ndarray, true: np.ndarray, metrics: tuple[str, ...]) -> dict[str, tuple[float, float, float]]:
    """Metric -> value, low, high."""
    cells = {}
    for metric in metrics:
        terms = TERMS[metric](counts, true)
        cells[metric] = (value(metric, terms), *bootstrap_interval(metric, terms, resamples=RESAMPLES, seed=0))
    return cells


def cost(model: Path) -> tuple[float, float, float, float]:
    """M parameters, GFLOP, ms and MiB for a clip of `TOKENS` tokens; in a process of its own."""
    torch.set_num_threads(1)
    network = DensityReader(str(model), CPU).network.eval()
    c = network.config
    video = torch.randn(1, TOKENS, c.video, 4, 4) if c.branches != "pose" else None
    pose = torch.randn(1, TOKENS, c.pose, c.joints) if c.branches != "video" else None
    seconds = []
    with torch.no_grad():
        Path("/proc/self/clear_refs").write_text("5")  # VmHWM begins again from now
        before = resident("VmRSS")
        network(video, pose)
        peak = (resident("VmHWM") - before) / 1024
        for _ in range(7):
            begin = time.perf_counter()
            network(video, pose)
            seconds.append(time.perf_counter() - begin)
    flop = gigaflops(lambda: network(video, pose))["Global"][0]
    return parameters(network) / 1e6, flop, 1e3 * statistics.median(seconds[1:]), peak


def cost_apart(model: Path) -> tuple[float, float, float, float]:
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(cost, model).result()


def counter_of(name: str, out: Path) -> tuple[DensityReader | None, bool]:
    """The trained counter of a row, None for those without weights, and whether it needs the picture."""
    if name in WEIGHT_FREE:
        return None, name == "picture"
    counter = DensityReader(str(model_of(name, out)), CPU)
    return counter, counter.network.config.branches != "pose"


def model_of(name: str, out: Path) -> Path:
    return out / f"runs/{name}/model.safetensors"


def counts_of(name: str, counter: DensityReader | None, trial: Trial) -> np.ndarray:
    def count_of(clip: str) -> float:
        if counter is None:
            return weight_free(name, trial, clip)
        return float(counter.densities(counter.tokens(trial.tokens(clip), clip)).final.sum())

    return np.maximum(round_half_up(np.array([count_of(clip) for clip in trial.true])), 0.0)


def table(out: Path, data: Path | None, kind: str, without: list[str]) -> tuple[list[dict], list[str]]:
    """Return the rows of "parts" or "systems", and lines about D2-STX against the others."""
    sets, rows = trials(out, data), []
    counts: dict[tuple[str, str], np.ndarray] = {}
    for name, shown_name in ROWS[kind].items():
        if name in without or (name not in WEIGHT_FREE and not model_of(name, out).is_file()):
            continue
        counter, needs_picture = counter_of(name, out)
        row: dict = {"model": shown_name}
        row |= dict(zip(COST, cost_apart(model_of(name, out)) if counter else (0.0, 0.0, None, None), strict=True))
        for trial in sets:
            if trial.inner is None and needs_picture:
                continue  # sequences without a video
            counts[name, trial.name] = counts_of(name, counter, trial)
            true = np.array(list(trial.true.values()))
            cells = scored(counts[name, trial.name], true, METRICS[kind])
            row |= {f"{trial.name} {metric}": cell for metric, cell in cells.items()}
        rows.append(row)
    rivals = ("pose", "video", "switched") if kind == "parts" else [name for name in SYSTEMS if name != BOTH]
    return rows, [compared(counts, trial, ROWS[kind], rival) for trial in sets for rival in rivals
                  if (rival, trial.name) in counts and (BOTH, trial.name) in counts]  # fmt: skip


def compared(counts: dict[tuple[str, str], np.ndarray], trial: Trial, names: dict[str, str], rival: str) -> str:
    """Return the paired tests of both branches against another counter on one set, in words."""
    true = np.array(list(trial.true.values()))
    pair = counts[BOTH, trial.name], counts[rival, trial.name]
    hits = [TERMS["OBO"](some, true) for some in pair]
    ahead, behind, p = mcnemar_exact(*hits)
    terms = [TERMS["MAE"](some, true) for some in pair]
    change = paired_bootstrap("MAE", *terms, resamples=RESAMPLES, seed=0)
    return (
        f"{trial.name} (n = {len(true)}): {names[BOTH]} against {names[rival]}: within one the first alone {ahead}, "
        f"the second alone {behind} (p = {p:.3f}); MAE {change.value:+.3f} [{change.low:+.3f}, {change.high:+.3f}]"
    )


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
    parser.add_argument("--without", type=lambda text: text.split(","), default=[], help="rows, by their short names")
    parser.add_argument("--rows", choices=ROWS, default="parts")
    requested = parser.parse_args()
    torch.set_num_threads(1)
    rows, lines = table(requested.out, requested.data, requested.rows, requested.without)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for row in rows:
        print(f"| {' | '.join(shown(row.get(key)) for key in columns)} |")
    print("\n" + "\n".join(lines))
    if requested.csv:
        with requested.csv.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows([[shown(row.get(key)) for key in columns] for row in rows])


if __name__ == "__main__":
    main()
