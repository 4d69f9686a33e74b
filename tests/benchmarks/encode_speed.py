"""racctl encode against the plain loop on one clip: how much faster, and whether the tokens are the same.

The plain loop decodes and prepares every frame of the clip, keeps them all, and encodes one window at a time; it is
given the mask too, and takes the network as it was published. Run alone:

python tests/benchmarks/encode_speed.py CLIP [--encoders silhouette,r2plus1d_18] [--seconds 10] [--compile]

Seconds are of processor time, all threads together, so that a busy machine can be measured on.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import numpy as np
import torch

from racctl.encoders.base import EncodeOptions
from racctl.encoders.encode_clip import ClipReading, _prepare, encode_clip
from racctl.encoders.pair import Encoders, load_encoders
from racctl.encoders.silhouette import SILHOUETTE
from racctl.estimators.on_demand import Estimates, Estimators
from racctl.estimators.open_clip import Clip, open_clip
from racctl.video.losses import Losses
from racctl.video.span import Span


def plain(clip: Clip, encoders: Encoders, options: EncodeOptions) -> np.ndarray:
    """(S, C, T', h, w) float16."""
    reading = ClipReading(clip, encoders, options).check()
    prepare = _prepare(reading, encoders.video)
    shown = [prepare(frame) for frame in reading.frames()]
    offsets = np.linspace(0, options.window, encoders.video.frames + 1)[:-1].astype(int)
    network, tokens = encoders.video.network, []
    for start in range(0, len(shown), options.stride):
        window = np.stack([shown[min(start + k, len(shown) - 1)] for k in offsets])
        with torch.no_grad():
            result = network(encoders.video.look.normalise(torch.from_numpy(window[None])).contiguous())
        tokens.append(result[0].to(torch.float16).numpy())
    return np.stack(tokens)


def measured(path: Path, name: str, seconds: float, compiled: bool) -> None:
    options = EncodeOptions(encoder=name, pose_encoder="none", random=True, rate=0.0, compiled=compiled)
    encoders = load_encoders(options, torch.device("cpu"))
    with Estimators(Estimates(256)) as lane, open_clip(str(path), span=Span(stop=seconds), estimators=lane) as clip:
        if name == SILHOUETTE:
            len(clip.mask.frame)  # estimated before the clock starts
        took = []
        for _ in range(2):  # the first warms up
            began = time.process_time()
            ours = encode_clip(clip, encoders, options).video
            middle = time.process_time()
            theirs = plain(clip, encoders, options)
            took.append((middle - began, time.process_time() - middle))
        decoding = time.process_time()
        count = sum(1 for _ in clip.frames(Losses()))
        decoding = time.process_time() - decoding
    fast, slow = took[-1]
    apart = np.abs(np.asarray(ours, np.float32) - theirs).max() / np.abs(theirs).max()
    print(f"{name:16} {count:5} frames {len(ours):4} windows  {fast:7.2f} s  plain {slow:7.2f} s  {slow / fast:5.2f}x  "
          f"decoding alone {decoding:5.2f} s  largest difference {apart:.1e}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clip", type=Path)
    parser.add_argument("--encoders", default="silhouette,r2plus1d_18,swin3d_t,resnext3d_101,videomae_vit_b")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    requested = parser.parse_args()
    torch.set_num_threads(requested.threads)
    for name in requested.encoders.split(","):
        measured(requested.clip, name, requested.seconds, requested.compile)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MiB")


if __name__ == "__main__":
    main()
