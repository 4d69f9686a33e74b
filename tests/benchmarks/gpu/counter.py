"""Draw pose sequences and train D2-STX on one GPU, in minutes: the pose branch and, from a set's tokens, the rest.

python tests/benchmarks/gpu/counter.py --out DIR [--budget SECONDS] [--set SET] [--init FILE] [--jobs N] [--seed N]
    [--drawing SHARE] [--least N]
Worker processes draw sequences with BlazePose's errors, lose the person for some of the time in every third, and encode
them with the embedded `ctrgcn`; the pose branch learns from these. --set is what d2stx_set.py wrote, whose tokens of
`blazepose` and `ctrgcn` need video and are made elsewhere (the features of 1,300 clips in three versions are 5.5 GB; of
the first 400 clips, without the others, 0.5 GB): from it the video branch learns, which begins with the decoder of the
pose branch, and then the fusion. --init: a model whose branches these begin with. The time is shared 4 : 2 : 1. Every
model is written as soon as it has learned, with a line in counter.json.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import time
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from racctl.contracts import BACKGROUND, Pose
from racctl.device import pick_device
from racctl.encoders.base import EncodeOptions
from racctl.encoders.encode_clip import encode_clip
from racctl.encoders.pair import load_encoders
from racctl.encoders.tokens import fed_by, sequence
from racctl.estimators.open_clip import open_pose
from racctl.io.checkpoint import write_model
from racctl.models.d2stx import SMALL_D2STX, grouped
from racctl.synth.movements import exercises
from racctl.synth.sequence import sequences
from racctl.training.task import EarlierWeights, Origin
from racctl.training.token_batches import TokenClip
from racctl.training.train_counter import CounterTask, CounterTraining, Teaching
from racctl.training.train_model import RunSettings
from racctl.training.train_settings import D2STXTrainingSettings
from racctl.weights.load import load_trained

BEGAN = time.monotonic()
RATE, BATCH, WARM_UP = 1e-3, 32, 100  # of AdamW, and of its warm-up in steps
JOINTS = EncodeOptions("none", stride=32, rate=15)
COUNTED = ("full", "partial")
KINDS: dict[str, Any] = {"shapes": 2, "errors": "varied", "speed": "wide", "repetitions": (2, 12)}
TOGETHER = 8  # sequences of a task
LOST = (0.1, 0.6)  # share of the time that the person is lost, in every third sequence
SHARES = {"pose": 4, "video": 2, "both": 1}
CLOSING = 15.0  # s that are left for writing


def drawn(task: tuple[int, int]) -> list[TokenClip]:
    """Return the tokens of sequences. task: the seed, and which of its tasks."""
    torch.set_num_threads(1)
    encoders, rng = load_encoders(JOINTS, torch.device("cpu")), np.random.default_rng(task)
    movements = [name for name, movement in exercises().items() if movement.repeats]
    classes = rng.permutation([*movements, *["invented"] * len(movements), *[BACKGROUND] * 6])[:TOGETHER].tolist()
    seed = int(rng.integers(2**31))
    clips = []
    for clip in islice(sequences(classes, seed, **KINDS), TOGETHER):
        pose = lost(clip.pose, rng) if len(clips) % 3 == 2 else clip.pose
        with open_pose(pose) as opened:
            features = encode_clip(opened, encoders, JOINTS)
        tokens = sequence(features, 4, clip.name)
        assert tokens.pose is not None, "joints were encoded"
        parts = grouped(torch.from_numpy(tokens.pose).float()[None], SMALL_D2STX.parts)[0].half().numpy()
        cycles = np.array([(a, b) for a, b, *_, kind in clip.reps if kind in COUNTED], np.int64).reshape(-1, 2)
        made_by = {**fed_by(features.meta, "pose", clip.name), "stride": JOINTS.stride, "step": 4}
        name = f"{seed}-{clip.name}"
        clips.append(TokenClip(name, None, parts, tokens.frame, cycles, float(clip.count), made_by))
    return clips


def lost(pose: Pose, rng: np.random.Generator) -> Pose:
    """Lose the person for some of the time, half a second to two at once."""
    beat, share = float(np.median(np.diff(pose.time))), rng.uniform(*LOST)
    gone = np.zeros(len(pose.frame), bool)
    while gone.mean() < share:
        begin = rng.integers(len(gone))
        gone[begin : begin + max(1, round(rng.uniform(0.5, 2.0) / beat))] = True
    xyz, score = pose.xyz.copy(), pose.score.copy()
    xyz[gone], score[gone] = np.nan, 0
    return replace(pose, xyz=xyz, score=score, world=None)


def draw(seconds: float, least: int, jobs: int, seed: int) -> list[TokenClip]:
    """Return what is drawn in so many seconds, `least` sequences at least."""
    clips: list[TokenClip] = []
    for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(threads, "1")  # of the workers
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        for some in pool.imap_unordered(drawn, ((seed, k) for k in range(10**6))):
            clips += some
            if time.monotonic() - BEGAN > seconds and len(clips) >= least:
                pool.terminate()
                return clips
    return clips


def read(folder: Path, branches: str) -> tuple[list[TokenClip], list[TokenClip]]:
    """Return the clips of a set to train on and to validate on, with the tokens that a model of it looks at."""
    training = CounterTraining(
        str(folder), "d2stx", D2STXTrainingSettings(features=str(folder / "features"), branches=branches)
    )
    train, val = training.read_splits(0)
    clips = training.load([*train, *val], RunSettings(folder), lambda done, total: None).clips
    return tuple([clips[row.clip] for row in rows if row.clip in clips] for rows in (train, val))  # type: ignore


def learn(task: CounterTask, seconds: float, device: torch.device, seed: int) -> dict[str, float]:
    """Train for so long, one step at least, the rate warmed up and then annealed over that time."""
    torch.manual_seed(seed)
    objective = task.objective.to(device).train()
    optimizer = torch.optim.AdamW(objective.parameters(), RATE, weight_decay=1e-2, fused=device.type == "cuda")
    began, step, epoch, losses = time.monotonic(), 0, 0, [0.0]
    while step == 0 or time.monotonic() - began < seconds:
        for batch in task.batches(epoch, BATCH, 0, 1):
            done = min((time.monotonic() - began) / max(seconds, 1e-3), 1.0)
            for group in optimizer.param_groups:
                group["lr"] = RATE * min(1.0, (step + 1) / WARM_UP) * 0.5 * (1 + math.cos(math.pi * done))
            with torch.autocast(device.type, torch.bfloat16):
                loss = objective({name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()})
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(objective.parameters(), 1.0)
            optimizer.step()
            step += 1
            losses = [*losses[-50:], loss.item()] if step % 10 == 1 else losses
            if done >= 1:
                break
        epoch += 1
    return {"steps": step, "passes": epoch, "loss": float(np.mean(losses)), **task.evaluate(device)}


def keep(task: CounterTask, path: Path, row: dict[str, float]) -> EarlierWeights:
    """Write a model in half precision, as `racctl count --model` reads it; return it to begin others with."""
    state = {name: tensor.half() for name, tensor in task.objective.model.state_dict().items()}
    with open(path, "wb") as file:
        write_model(file, {**task.header(), "training": {"teaching": asdict(task.teaching), "metrics": row}}, state)
    return earlier(path)


def earlier(path: Path) -> EarlierWeights:
    network, header, record = load_trained(path, ("d2stx",))
    return EarlierWeights(str(path), network.state_dict(), header, record["sha256"])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--budget", type=float, default=540)
    parser.add_argument("--drawing", type=float, default=0.4, help="share of the time")
    parser.add_argument("--least", type=int, default=200, help="sequences")
    parser.add_argument("--set", type=Path)
    parser.add_argument("--init", type=Path)
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seed", type=int, default=31)
    requested = parser.parse_args()
    requested.out.mkdir(parents=True, exist_ok=True)
    device, rows = pick_device("auto"), {}
    sets = {"pose": draw(requested.drawing * requested.budget, requested.least, requested.jobs, requested.seed)}
    print(f"{len(sets['pose'])} sequences after {time.monotonic() - BEGAN:.0f} s, {device}", flush=True)
    splits = {"pose": (sets["pose"][20:], sets["pose"][:20]) if len(sets["pose"]) < 400 else
              (sets["pose"][200:], sets["pose"][:200])}  # fmt: skip
    if requested.set:
        splits |= {branches: read(requested.set, branches) for branches in ("video", "both")}
    weights = [earlier(requested.init)] if requested.init else []
    for k, (branches, (train, val)) in enumerate(splits.items()):
        left = BEGAN + requested.budget - CLOSING * (len(splits) - k) - time.monotonic()
        seconds = left * SHARES[branches] / sum(SHARES[name] for name in list(splits)[k:])
        first = train[0]
        sizes = {} if first.video is None else {"video": first.video.shape[1]}
        sizes |= {} if first.pose is None else {"pose": first.pose.shape[1], "joints": first.pose.shape[2]}
        teaching = Teaching(chain=3 if branches == "pose" else 2, staged=False)
        origin = Origin(requested.seed, "MIT", {"clips": len(train)})
        task = CounterTask("d2stx", replace(SMALL_D2STX, branches=branches, **sizes), train, val, teaching, 1, origin)
        note = task.begin_with(weights) if weights else ""
        rows[branches] = learn(task, max(seconds, 0.0), device, requested.seed)
        weights.append(keep(task, requested.out / f"{branches}.safetensors", rows[branches]))
        print(f"{branches}: {rows[branches]} {note}", flush=True)
        (requested.out / "counter.json").write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
