"""The masks of every backend against the exact masks of `racctl synth` clips, and what they make of real clips.

python tests/benchmarks/mask_iou.py [--clips DIR] [--jobs N] [--real CLIP...] [--model MODEL...]
Makes ten clips (needs racctl[synth]; --clips: where they are, or are to be kept) and prints for every backend: IoU,
the mean over all frames where the person is in the picture; the clip with the lowest; coverage and empty-mask ratio,
beside the true ones; frames/s of whole runs, decoding included. The YOLO model in $RACCTL_TEST_DATA/weights takes part
where it is there. --real: videos without truth, for which coverage, empty ratio and IoU with the default backend are
printed; 'all': those in $RACCTL_TEST_DATA/clips.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from racctl.cli.batch import cores
from racctl.contracts import Mask
from racctl.estimators.mask import MaskOptions, mask_lanes, mask_source
from racctl.io.npz import read_mask

CLASSES = (
    "squat", "push_up", "sit_up", "jump_jack", "lunge", "burpee", "bicep_curl", "pull_up", "glute_bridge", "deadlift",
)  # fmt: skip
DATA = os.environ.get("RACCTL_TEST_DATA", "")


def made_clips(folder: Path) -> list[Path]:
    """Two repetitions of each class, always the same."""
    from racctl.synth.dataset import generate, plans

    generate(
        plans(list(CLASSES), len(CLASSES), {"test": 1.0}, 4, speed="fast", clean=True, repetitions=(2, 2)), folder, 1
    )
    return sorted((folder / "video").glob("*.mp4"))


def backends(names: list[str]) -> list[str]:
    yolo = Path(DATA, "weights", "yolov8n-seg_int8.tflite")
    return names or ["blazepose", "selfie", *([str(yolo)] if DATA and yolo.is_file() else [])]


def overlap(mask: Mask, second: Mask) -> np.ndarray:
    """(T,) IoU, NaN where both are empty."""
    both = (mask.mask & second.mask).sum((1, 2), dtype=np.int64)
    either = (mask.mask | second.mask).sum((1, 2), dtype=np.int64)
    return np.where(either > 0, both / np.maximum(either, 1), np.nan)


def against_truth(model: str, clips: list[Path], jobs: int) -> None:
    options, each, filled, true, frames, took = MaskOptions(model, size="full").check(), {}, [], [], 0, 0.0
    with mask_lanes(options, 1, jobs) as (workers,):
        mask_source(str(clips[0]), workers, options=options)  # starts the processes
        for clip in clips:
            began = time.perf_counter()
            result = mask_source(str(clip), workers, options=options)
            took += time.perf_counter() - began
            with open(clip.parent.parent / "mask" / f"{clip.stem}.npz", "rb") as file:
                truth = read_mask(file, clip.stem)
            seen = truth.mask.any((1, 2))
            each[clip.stem] = overlap(result.unpacked(), truth)[seen]
            filled.append(result.filled)
            true.append(truth.mask.mean((1, 2)))
            frames += len(result.frame)
    iou, worst = np.concatenate(list(each.values())), min(each, key=lambda name: each[name].mean())
    covered, covers = np.concatenate(filled), np.concatenate(true)
    print(
        f"{Path(model).name:26} IoU {np.nanmean(iou):.3f}  worst {worst} {each[worst].mean():.3f}  "
        f"coverage {covered.mean():6.2%} (true {covers.mean():.2%})  empty {(covered == 0).mean():6.2%} "
        f"(true {(covers == 0).mean():.2%})  {frames / took:5.1f} frames/s"
    )
    print("   " + "  ".join(f"{name.rsplit('_', 1)[0]} {value.mean():.3f}" for name, value in each.items()))


def on_real(models: list[str], clips: list[Path], jobs: int) -> None:
    print(f"{'clip':28}" + "".join(f"{Path(model).name[:24]:>32}" for model in models))
    runs = [MaskOptions(model).check() for model in models]
    figures: dict[str, list[np.ndarray]] = {model: [] for model in models}
    for clip in clips:
        line, first = f"{clip.stem:28}", None
        for options in runs:
            with mask_lanes(options, 1, jobs) as (workers,):
                film = mask_source(str(clip), workers, options=options)
            first = first or film.unpacked()
            figures[options.model].append(film.filled)
            agree = np.nanmean(overlap(film.unpacked(), first))
            line += f"{film.filled.mean():14.1%} {(film.filled == 0).mean():8.1%} {agree:8.2f}"
        print(line, flush=True)
    totals = [np.concatenate(figures[model]) for model in models]
    print(f"{'all frames':28}" + "".join(f"{t.mean():14.1%} {(t == 0).mean():8.1%} {'':8}" for t in totals))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path)
    parser.add_argument("--jobs", type=int, default=cores())
    parser.add_argument("--real", nargs="*", default=[])
    parser.add_argument("--model", nargs="*", default=[])
    requested = parser.parse_args()
    real = (
        sorted(Path(DATA, "clips").glob("*.mp4"))
        if requested.real == ["all"]
        else [Path(name) for name in requested.real]
    )
    if real:
        on_real(backends(requested.model), real, requested.jobs)
        return
    with tempfile.TemporaryDirectory() as scratch:
        clips = made_clips(requested.clips or Path(scratch))
        for model in backends(requested.model):
            against_truth(model, clips, requested.jobs)


if __name__ == "__main__":
    main()
