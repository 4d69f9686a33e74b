"""Clips changed in ways that change no repetition: encoded anew, smaller, darker, at another speed, another camera."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import IO

import av
import numpy as np
from PIL import Image

from racctl.io.output import write_file
from racctl.video.decode import Video, frames, probe, upright

RECIPE = 1  # of the variants; with another number, clips are changed and counted anew
CLOCK = Fraction(1, 90_000)
SHAKE, SHAKE_RATE = 0.04, 1.5  # share of the picture that it sways to either side, Hz
PAN = 0.1  # of the width, over the clip
ZOOM = 1.25  # at the clip's end
GAMMA, GAIN, NOISE = 1.6, 0.45, 0.025  # of a dark picture; the noise is a standard deviation, white is 1

Shots = Iterator[tuple[float, np.ndarray]]  # seconds from the first frame, (H, W, 3) uint8 RGB


@dataclass(frozen=True)
class Encoding:
    """codec: FFmpeg's name.  container: of the file, and its suffix.  options: of the codec."""

    codec: str
    container: str
    options: dict[str, str]


def h264(crf: int) -> Encoding:
    return Encoding("libx264", "mp4", {"crf": str(crf), "preset": "veryfast"})


GOOD = h264(18)
HEVC = Encoding("libx265", "mp4", {"crf": "28", "preset": "superfast", "x265-params": "log-level=error:pools=1"})
VP9 = Encoding("libvpx-vp9", "webm", {"crf": "34", "deadline": "realtime", "cpu-used": "8"})


def at_rate(shots: Shots, video: Video, rate: float) -> Shots:
    """Show at even times, up to that of the last picture, what was to be seen then."""
    del video
    ticks = (number / rate for number in itertools.count())
    tick = next(ticks)
    latest: np.ndarray | None = None
    for time, picture in shots:
        while latest is not None and tick < time:
            yield tick, latest
            tick = next(ticks)
        latest = picture
    if latest is not None and tick <= time:
        yield tick, latest


def resized(shots: Shots, video: Video, width: int) -> Shots:
    for time, picture in shots:
        height = max(2, round(video.height * width / video.width / 2) * 2)
        yield time, np.asarray(Image.fromarray(picture).resize((width, height)))


def half_size(shots: Shots, video: Video) -> Shots:
    return resized(shots, video, round(video.width / 4) * 2)


def mirrored(shots: Shots, video: Video) -> Shots:
    del video
    for time, picture in shots:
        yield time, picture[:, ::-1]


def dark(shots: Shots, video: Video) -> Shots:
    """Show a dark picture with grain: the same grain in every picture, but not at the same place."""
    rng = np.random.default_rng(0)
    curve = (255 * GAIN * (np.arange(256) / 255) ** GAMMA).round().astype(np.int16)
    grain = (255 * NOISE * rng.standard_normal((video.height, video.width, 1))).round().astype(np.int16)
    for time, picture in shots:
        places = rng.integers(video.height), rng.integers(video.width)
        yield time, (curve[picture] + np.roll(grain, places, (0, 1))).clip(0, 255).astype(np.uint8)


def at_speed(shots: Shots, video: Video, factor: float) -> Shots:
    del video
    for time, picture in shots:
        yield time / factor, picture


def seen_by(shots: Shots, video: Video, aim: Callable[[float, float], tuple[float, float, float]]) -> Shots:
    """Show the part of each picture that a camera sees, as large as the whole was.

    aim: (s, share of the clip that is over) -> the part's size, and its left and upper border, shares of the picture.
    """
    for time, picture in shots:
        height, width = picture.shape[:2]
        size, left, top = aim(time, min(1.0, time / max(video.duration, 1e-9)))
        box = (left * width, top * height, (left + size) * width, (top + size) * height)
        yield time, np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR, box))


def shaking(time: float, over: float) -> tuple[float, float, float]:
    del over
    turn = 2 * math.pi * SHAKE_RATE * time
    return 1 - 2 * SHAKE, SHAKE * (1 + math.sin(turn)), SHAKE * (1 + math.sin(turn + 1) / 2)


def panning(time: float, over: float) -> tuple[float, float, float]:
    del time
    return 1 - PAN, PAN * over, PAN / 2


def zooming(time: float, over: float) -> tuple[float, float, float]:
    del time
    size = 1 / (1 + (ZOOM - 1) * over)
    return size, (1 - size) / 2, (1 - size) / 2


def unchanged(shots: Shots, video: Video) -> Shots:
    del video
    return shots


Change = Callable[[Shots, Video], Shots]
ENCODINGS: dict[str, tuple[Change, Encoding]] = {
    "h264-crf18": (unchanged, GOOD),
    "h264-crf32": (unchanged, h264(32)),
    "hevc": (unchanged, HEVC),
    "vp9": (unchanged, VP9),
    "15-per-s": (partial(at_rate, rate=15), GOOD),
    "half-size": (half_size, GOOD),
}
VARIANTS = ENCODINGS | {
    "8-per-s": (partial(at_rate, rate=8), GOOD),
    "160-wide": (partial(resized, width=160), GOOD),
    "mirrored": (mirrored, GOOD),
    "dark": (dark, h264(24)),
    "half-speed": (partial(at_speed, factor=0.5), GOOD),
    "double-speed": (partial(at_speed, factor=2), GOOD),
    "shaking": (partial(seen_by, aim=shaking), GOOD),
    "panning": (partial(seen_by, aim=panning), GOOD),
    "zooming": (partial(seen_by, aim=zooming), GOOD),
}


def shots_of(file: IO[bytes], name: str, rotation: int) -> Shots:
    begin: float | None = None
    for frame in frames(file, name):
        begin = frame.time if begin is None else begin
        yield frame.time - begin, upright(frame.image.to_ndarray(format="rgb24"), rotation)


def write_shots(out: IO[bytes], shots: Shots, encoding: Encoding, fps: float) -> None:
    with av.open(out, "w", format=encoding.container) as container:
        stream = container.add_stream(
            encoding.codec, rate=Fraction(fps).limit_denominator(1001), options=encoding.options
        )
        stream.pix_fmt, stream.bit_rate = "yuv420p", 0  # the quality says how many bits
        stream.codec_context.time_base = stream.time_base = CLOCK
        stream.codec_context.thread_count = 1
        for number, (time, picture) in enumerate(shots):
            height, width = picture.shape[0] // 2 * 2, picture.shape[1] // 2 * 2
            if not number:
                stream.width, stream.height = width, height
            image = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture[:height, :width]), "rgb24")
            image.pts, image.time_base = round(time / CLOCK), CLOCK
            container.mux(stream.encode(image))
        container.mux(stream.encode())


def change_clip(source: Path, target: Path, change: Change, encoding: Encoding) -> None:
    with source.open("rb") as file:
        video = probe(file, str(source))
        shots = change(shots_of(file, str(source), video.rotation), video)
        write_file(target, lambda out: write_shots(out, shots, encoding, video.fps))
