"""Video in: what a file holds, and its frames with their right numbers and times.

Frame numbers count the pictures of the stream in presentation order, from 0, those that cannot be decoded too. Times
are the container's own timestamps in seconds (so a stream whose first timestamp is 1.4 s begins at 1.4 s); number / fps
only for a raw stream, which has none.
Rotation metadata is reported, not applied: `upright` turns an image.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import struct
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO

import av
import numpy as np

from racctl.errors import DataError, UsageError
from racctl.io.spool import sha256

# Titles in broken encodings must not make a video unreadable; PyAV 19 reads them leniently by itself.
LENIENT = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
MAX_PIXELS = 1 << 27  # of one frame; 16k x 8k


@dataclass(frozen=True)
class Video:
    """What a clip is. width, height: pixels as displayed, after rotation. frames: as the container or its packets
    say. fps: mean frames per second. start_time: first timestamp, seconds. rotation: degrees counter-clockwise
    that the decoded image must be turned to stand upright (0, 90, 180, 270). missing: seconds that the container
    announces and the file does not hold, 0 for a whole file."""

    name: str
    sha256: str
    fps: float
    frames: int
    width: int
    height: int
    start_time: float
    duration: float
    rotation: int
    audio: bool
    missing: float = 0.0

    def source(self) -> dict[str, object]:
        """The `source` part of a meta document."""
        keep = ("name", "sha256", "fps", "frames", "width", "height", "start_time", "rotation")
        return {key: value for key, value in asdict(self).items() if key in keep and (value or key != "rotation")}


@dataclass(frozen=True)
class Frame:
    """One decoded frame. number: in the source video; time: seconds; image: as decoded (not yet upright)."""

    number: int
    time: float
    image: av.VideoFrame


@dataclass(frozen=True)
class _Index:
    """The pictures of a stream as its packets tell of them, times in ticks of `unit` seconds.

    stamps: of all pictures, sorted. timed: False for a raw stream, its stamps are made up at `rate` pictures per
    second. exact: a stamp tells which picture it is; otherwise pictures can only be counted from the first one.
    keys: (presented, earliest stamp) of the key frames where decoding may begin, sorted. end: of the last packet of
    any stream, seconds."""

    stamps: list[int]
    unit: Fraction
    rate: Fraction
    timed: bool
    exact: bool
    keys: list[tuple[int, int]]
    end: float

    def seconds(self, tick: int) -> float:
        return tick * self.unit.numerator / self.unit.denominator

    def place(self, pts: int | None, following: int) -> tuple[int, int]:
        """Number and tick of a decoded picture. following: the number after that of the picture before it."""
        number = max(following, bisect_left(self.stamps, pts)) if self.exact and pts is not None else following
        if self.timed and pts is not None:
            return number, pts
        return number, self.stamps[number] if number < len(self.stamps) else round(number / self.rate / self.unit)

    def key_before(self, start: float | None) -> tuple[int, int] | None:
        """The last key frame that is not after `start` seconds; None where decoding has to begin with the file."""
        before = [key for key in self.keys if start is not None and self.seconds(key[0]) <= start]
        return before[-1] if before and before[-1][0] > self.stamps[0] else None


def probe(file: IO[bytes], name: str) -> Video:
    """Look at a video file; DataError when it is not one, is cut short, or holds no picture."""
    digest = sha256(file)
    with _open(file, name) as container:
        stream = _video_stream(container, name)
        index = _index(container, stream, name)
        missing = _missing(container, index.end)
        audio = bool(container.streams.audio)
    first = _first_frame(file, name)
    rotation = _rotation(first)
    width, height = (first.width, first.height) if rotation % 180 == 0 else (first.height, first.width)
    count, start = len(index.stamps), index.seconds(index.stamps[0])
    duration = index.seconds(index.stamps[-1]) - start
    fps = (count - 1) / duration if duration > 0 else float(index.rate)
    return Video(
        Path(name).name, digest, round(fps, 4), count, width, height, start, duration, rotation, audio, missing
    )  # fmt: skip


def frames(
    file: IO[bytes], name: str, start: float | None = None, stop: float | None = None, stride: int = 1
) -> Iterator[Frame]:
    """Every `stride`-th frame with start <= time < stop, in order, at the size it was coded in.

    Numbers and times are those of the whole video whatever is asked for; times ascend, by a tick where the container
    gives two frames the same. Frames that the decoder cannot give are missing from the sequence. A stream that ends
    in an error, or whose times start over, is a DataError that says where.
    """
    if start is not None and stop is not None and stop <= start:
        raise UsageError(f"'--stop {stop:g}' is not after '--start {start:g}'")
    with _open(file, name) as container:
        index = _index(container, _video_stream(container, name), name)
    taken = 0
    for frame in _numbered(file, name, index, start):
        if stop is not None and frame.time >= stop:
            return
        if start is None or frame.time >= start:
            if taken % stride == 0:
                yield frame
            taken += 1


def upright(image: np.ndarray, rotation: int) -> np.ndarray:
    """Turn an (H, W, ...) array by the `rotation` of its video."""
    return np.rot90(image, rotation // 90) if rotation else image


def _open(file: IO[bytes], name: str) -> av.container.InputContainer:
    file.seek(0)
    try:
        return av.open(file, "r", **LENIENT)
    except (av.FFmpegError, ValueError, OSError) as error:
        raise DataError(f"'{name}' is not a video that can be read, or is cut short ({_reason(error)})") from None


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()


def _video_stream(container: av.container.InputContainer, name: str) -> av.VideoStream:
    pictures = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not pictures:
        raise DataError(f"'{name}' has no video stream{' (audio only)' if container.streams.audio else ''}")
    best = container.streams.best("video")
    stream = best if best in pictures else pictures[0]
    if stream.codec_context is None:
        raise DataError(f"'{name}' is coded in a format that this installation cannot decode")
    if stream.codec_context.width * stream.codec_context.height > MAX_PIXELS:
        raise DataError(f"'{name}' claims frames of {stream.width}x{stream.height} pixels; refusing")
    stream.thread_type = "AUTO"
    stream.codec_context.thread_count = min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2, 8)
    return stream


def _index(container: av.container.InputContainer, stream: av.VideoStream, name: str) -> _Index:
    """Read all packets; nothing is decoded."""
    packets, end = [], -math.inf
    try:
        for packet in container.demux():
            stamp = packet.pts if packet.pts is not None else packet.dts
            if packet.size and stamp is not None:
                end = max(end, float((stamp + (packet.duration or 0)) * packet.time_base))
            if packet.size and packet.stream is stream and not packet.is_discard:
                packets.append((packet.pts, packet.dts, packet.is_keyframe))
    except av.FFmpegError as error:
        if not packets:
            raise DataError(f"'{name}' holds no readable video packets ({_reason(error)})") from None
    if not packets:
        raise DataError(f"'{name}' has a video stream without frames")
    rate, unit = Fraction(stream.average_rate or 30), Fraction(stream.time_base)
    stamps = [pts if pts is not None else dts for pts, dts, _ in packets]
    timed = None not in stamps
    stamps = sorted(stamps) if timed else [round(k / rate / unit) for k in range(len(packets))]
    decoding = [dts for _, dts, _ in packets if dts is not None]
    exact = all(pts is not None for pts, _, _ in packets) and len(set(stamps)) == len(stamps)
    exact = exact and all(a <= b for a, b in itertools.pairwise(decoding))  # else they start over
    seekable = exact and container.duration is not None  # a raw stream loses its times when it is entered midway
    keys = sorted((pts, pts if dts is None else min(pts, dts)) for pts, dts, key in packets if key and seekable)
    return _Index(stamps, unit, rate, timed, exact, keys, end)


def _missing(container: av.container.InputContainer, last: float) -> float:
    """Seconds between the last packet and the end that the container announces; 0 when they are about the same."""
    if not container.duration or not math.isfinite(last):
        return 0.0
    announced, start = container.duration / av.time_base, (container.start_time or 0) / av.time_base
    # MP4 announces a length; in Matroska and others it may as well be the time of the end.
    end = start + announced if "mp4" in container.format.name else min(announced, start + announced)
    return round(end - last, 3) if end - last > max(1.0, 0.05 * announced) else 0.0


def _first_frame(file: IO[bytes], name: str) -> av.VideoFrame:
    with _open(file, name) as container:
        for image in _decoded(container, _video_stream(container, name), name):
            return image
    raise DataError(f"'{name}' has a video stream, but no frame of it can be decoded")


def _rotation(image: av.VideoFrame) -> int:
    """Degrees counter-clockwise to the nearest 90 that the top of the image must be turned; mirroring is left out."""
    for side in image.side_data:
        with contextlib.suppress(ValueError):  # a kind that PyAV has no name for
            if side.type.name == "DISPLAYMATRIX":
                *_, x, y = struct.unpack("=5i", bytes(side)[:20])  # where the image's "down" goes
                return 90 * round(math.degrees(math.atan2(x, y)) / 90) % 360
    return 0


def _numbered(file: IO[bytes], name: str, index: _Index, start: float | None) -> Iterator[Frame]:
    """All frames, or at least those from `start` seconds on."""
    number, last, newest, size = -1, None, -math.inf, None
    for image in _images(file, name, index, start):
        number, tick = index.place(image.pts, number + 1)
        before, size = size, (image.width, image.height)
        if newest - tick > 1 / index.rate / index.unit and size == before:  # of another size, the taker refuses it
            raise DataError(f"'{name}' has timestamps that start over at frame {number}; remux it")
        newest = max(newest, tick)
        last = tick if last is None or tick > last else last + 1
        yield Frame(number, index.seconds(last), image)


def _images(file: IO[bytes], name: str, index: _Index, start: float | None) -> Iterator[av.VideoFrame]:
    """Decode from the key frame before `start` seconds, or all where seeking does not lead there."""
    key = index.key_before(start)
    if key is not None:
        with _open(file, name) as container:
            stream = _video_stream(container, name)
            images = _decoded(container, stream, name)
            try:
                container.seek(key[1], stream=stream)
                first = next(images, None)
            except (av.FFmpegError, DataError):
                first = None
            if first is not None and first.pts is not None and first.pts <= key[0]:
                yield first
                yield from images
                return
    with _open(file, name) as container:
        yield from _decoded(container, _video_stream(container, name), name)


def _decoded(container: av.container.InputContainer, stream: av.VideoStream, name: str) -> Iterator[av.VideoFrame]:
    """Frames as they come. A damaged packet is passed over; a file that breaks off is a DataError."""
    given, last = 0, 0.0
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except av.FFmpegError as error:
            raise DataError(
                f"'{name}' breaks off after {given} frames, at {last:.3f} s ({_reason(error)}); "
                f"'--stop {last:.3f}' takes what is before"
            ) from None
        try:
            images = packet.decode()
        except av.FFmpegError:
            continue
        for image in images:
            given, last = given + 1, float(image.time or last)
            yield image
