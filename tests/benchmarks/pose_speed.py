"""Frames per second of `racctl pose` against the plain loop over MediaPipe in one process, in turn, same clips.

python tests/benchmarks/pose_speed.py [CLIP...] [--rounds N] [--jobs N ...]
Without a clip it makes one: 900 frames at 1280x720 of a person who moves. The plain loop decodes with PyAV's own
threads and calls mediapipe.solutions.pose on every frame; both times are of whole processes, start-up included.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

PLAIN = """
import sys, av
from mediapipe.python.solutions.pose import Pose
with Pose(model_complexity=1) as pose, av.open(sys.argv[1]) as clip:
    clip.streams.video[0].thread_type = "AUTO"
    for image in clip.decode(video=0):
        pose.process(image.to_ndarray(format="rgb24"))
"""


def made_clip(folder: Path) -> Path:
    import numpy as np
    from clips import bouncing, write_clip

    pictures = bouncing(30, 30, height=720)
    pad = (1280 - pictures[0].shape[1]) // 2
    wide = [np.pad(picture, ((0, 0), (pad, pad), (0, 0)), mode="edge") for picture in pictures]
    return write_clip(folder / "made.mp4", wide * 30, gop=250)


def seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def count_frames(clip: str) -> int:
    import av

    with av.open(clip) as container:
        return sum(1 for _ in container.decode(video=0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="*")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, nargs="*", default=[1, os.cpu_count() or 1])
    requested = parser.parse_args()
    racctl = str(Path(sys.executable).with_name("racctl"))
    with tempfile.TemporaryDirectory() as folder:
        clips = requested.clips or [str(made_clip(Path(folder)))]
        for clip in clips:
            frames = count_frames(clip)
            commands = {"plain loop": [sys.executable, "-c", PLAIN, clip]}
            for jobs in requested.jobs:
                ours = [racctl, "pose", clip, "--jobs", str(jobs), "-o", f"{folder}/p"]
                commands[f"racctl pose --jobs {jobs}"] = ours
            took: dict[str, list[float]] = {name: [] for name in commands}
            for _ in range(requested.rounds):
                for name, command in commands.items():
                    took[name].append(seconds(command))
            print(f"{Path(clip).name}: {frames} frames")
            for name, times in took.items():
                ratio = statistics.median(a / b for a, b in zip(took["plain loop"], times, strict=True))
                print(f"  {name:22} {frames / statistics.median(times):7.1f} frames/s   {ratio:5.2f} x the plain loop")


if __name__ == "__main__":
    main()
