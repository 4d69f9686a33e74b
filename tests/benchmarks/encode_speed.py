"""racctl encode against the plain loop on one clip: how much faster, and whether the tokens are the same.

The plain loop decodes and prepares every frame of the clip, keeps them all, and encodes one window at a time; it is
given the pose and mask too, so both do the same work but for that. Run alone:

python tests/benchmarks/encode_speed.py CLIP [--encoders silhouette,r2plus1d_18] [--seconds 10] [--threads 2]
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import numpy as np
import torch

from racctl.encode import Clip, Encoders, Options, _prepare, encode_clip, load_encoders
from racctl.encoders.silhouette import SILHOUETTE
from racctl.estimation import Estimates, Estimators
from racctl.video.decode import frames, probe


def plain(clip: Clip, encoders: Encoders, options: Options) -> np.ndarray:
    """(S, C, T', h, w) float16."""
    prepare = _prepare(clip, encoders.video)
    shown = [prepare(frame) for frame in clip.frames(options)]
    offsets = np.linspace(0, options.window, encoders.video.frames + 1)[:-1].astype(int)
    tokens = []
    for start in range(0, len(shown), options.stride):
        window = np.stack([shown[min(start + k, len(shown) - 1)] for k in offsets])
        tokens.append(encoders.video(torch.from_numpy(window[None]))[0].to(torch.float16).numpy())
    return np.stack(tokens)


def measured(path: Path, name: str, seconds: float) -> None:
    options = Options(encoder=name, pose_encoder="none", random=True, rate=0.0, stop=seconds)
    encoders = load_encoders(options, torch.device("cpu"))
    with open(path, "rb") as file:
        video = probe(file, path.name)
        mask = None
        if name == SILHOUETTE:
            estimators = Estimators(Estimates(256, stop=seconds), 1)
            mask = estimators.mask(file, str(path))
            estimators.close()
        clip = Clip(path.stem, path.name, file, video, mask=mask)
        took = []
        for _ in range(2):  # the first warms up
            began = time.perf_counter()
            ours = encode_clip(clip, encoders, options).video
            middle = time.perf_counter()
            theirs = plain(clip, encoders, options)
            took.append((middle - began, time.perf_counter() - middle))
        decoding = time.perf_counter()
        count = sum(1 for _ in frames(file, path.name, stop=seconds))
        decoding = time.perf_counter() - decoding
    fast, slow = took[-1]
    apart = np.abs(np.asarray(ours, np.float32) - theirs).max() / np.abs(theirs).max()
    print(f"{name:16} {count:5} frames {len(ours):4} windows  {fast:7.2f} s  plain {slow:7.2f} s  {slow / fast:5.2f}x  "
          f"decoding alone {decoding:5.2f} s  largest difference {apart:.1e}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clip", type=Path)
    parser.add_argument("--encoders", default="silhouette,r2plus1d_18,swin3d_t,resnext3d_101,videomae_vit_b")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    for name in asked.encoders.split(","):
        measured(asked.clip, name, asked.seconds)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MiB")


if __name__ == "__main__":
    main()
