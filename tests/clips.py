"""Clips that the tests make for themselves: any timing, size, rotation, sound; and one with a person in it."""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

MILLISECOND = Fraction(1, 1000)


def write_clip(
    path: Path, images: Iterable[np.ndarray], stamps: Sequence[int] | None = None, *, fps: int = 25,
    audio: bool = False, rotation: int = 0, codec: str = "libx264", pixels: str = "yuv420p", gop: int = 12,
    faststart: bool = False, b_frames: int = 0, pixel_aspect: Fraction | None = None,
) -> Path:  # fmt: skip
    """images: (H, W, 3) uint8 RGB each. stamps: presentation times in ms; default k / fps. rotation: degrees
    counter-clockwise that a player turns the picture, written into an MP4's track header. pixel_aspect: width by height
    of the pixels, as the codec and the container state it."""
    images = list(images)
    stamps = [round(1000 * k / fps) for k in range(len(images))] if stamps is None else list(stamps)
    flags = {"movflags": "faststart"} if faststart else {}
    with av.open(str(path), "w", options=flags) as container:
        stream = container.add_stream(codec, rate=fps)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt, stream.gop_size = pixels, gop
        if pixel_aspect:
            stream.codec_context.sample_aspect_ratio = pixel_aspect
        if b_frames:
            stream.codec_context.max_b_frames = b_frames
        stream.codec_context.time_base = stream.time_base = MILLISECOND
        sound = container.add_stream("aac", rate=16000) if audio else None
        for image, stamp in zip(images, stamps, strict=True):
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            frame.pts, frame.time_base = stamp, MILLISECOND
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if sound:
            _write_sound(container, sound, stamps[-1] / 1000 + 1 / fps)
    if rotation:
        rotate(path, rotation)
    return path


def _write_sound(container: av.container.OutputContainer, stream: av.AudioStream, seconds: float) -> None:
    count = int(16000 * seconds)
    tone = (0.2 * np.sin(2 * np.pi * 440 * np.arange(count) / 16000)).astype(np.float32)
    for begin in range(0, count, 1024):
        frame = av.AudioFrame.from_ndarray(tone[None, begin : begin + 1024], "fltp", "mono")
        frame.sample_rate, frame.pts, frame.time_base = 16000, begin, Fraction(1, 16000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


def write_sound_only(path: Path) -> Path:
    """An MP4 with sound and no picture."""
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def rotate(path: Path, rotation: int) -> None:
    """Put a rotation of 90, 180 or 270 degrees counter-clockwise into the first track header of an MP4."""
    set_display_matrix(path, {90: (0, -1, 1, 0), 180: (-1, 0, 0, -1), 270: (0, 1, -1, 0)}[rotation])


def set_display_matrix(path: Path, matrix: tuple[float, float, float, float]) -> None:
    """Put a, b, c, d into the first track header of an MP4: a pixel x, y is shown at a x + c y, b x + d y."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 44  # version 0: four words, duration, reserved, layer, group, volume
    a, b, c, d = (round(value * (1 << 16)) for value in matrix)
    struct.pack_into(">9i", data, at, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(bytes(data))


def plain(count: int, width: int = 64, height: int = 48) -> list[np.ndarray]:
    """`count` different pictures without anybody in them."""
    ramp = np.linspace(0, 200, width, dtype=np.uint8)
    return [np.dstack([np.tile(np.roll(ramp, 3 * k), (height, 1))] * 3) for k in range(count)]


@functools.cache
def portrait() -> np.ndarray:
    """(600, 512, 3) uint8, a person from the waist up: Grace Hopper, public domain, from matplotlib's sample data."""
    from matplotlib.cbook import get_sample_data
    from PIL import Image

    with get_sample_data("grace_hopper.jpg") as file:
        return np.array(Image.open(file).convert("RGB"))


def bouncing(count: int, period: int, height: int = 240, rise: float = 0.12) -> list[np.ndarray]:
    """`count` pictures of the portrait moving down and up, one cycle per `period` pictures."""
    from PIL import Image

    width = 2 * round(height * 512 / 600 / 2)
    person = np.array(Image.fromarray(portrait()).resize((width, height)))
    tall = np.concatenate([np.repeat(person[:1], height, 0), person, np.repeat(person[-1:], height, 0)])
    shift = (rise * height * (1 - np.cos(2 * np.pi * np.arange(count) / period)) / 2).round().astype(int)
    return [tall[height - s : 2 * height - s] for s in shift]
