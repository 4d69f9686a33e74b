"""Video in: what a file holds, and its frames with their right numbers and times.

Frame numbers count the frames that the decoder gives, in presentation order, from 0. Times are the container's own
timestamps in seconds (so a stream whose first timestamp is 1.4 s begins at 1.4 s), never number / fps.
Rotation metadata is reported, not applied: `upright` turns an image.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
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


def probe(file: IO[bytes], name: str) -> Video:
    """Look at a video file; DataError when it is not one, is cut short, or holds no picture."""
    digest = sha256(file)
    with _open(file, name) as container:
        stream = _video_stream(container, name)
        stamps, missing = _timestamps(container, stream, name)
        first = _first_frame(container, stream, name)
        rotation = first.rotation % 360
        width, height = (first.width, first.height) if rotation % 180 == 0 else (first.height, first.width)
        start, duration = stamps[0], stamps[-1] - stamps[0]
        fps = (len(stamps) - 1) / duration if duration > 0 else float(stream.average_rate or 30)
        audio = bool(container.streams.audio)
    return Video(
        Path(name).name, digest, round(fps, 4), len(stamps), width, height, start, duration, rotation, audio, missing
    )  # fmt: skip


def frames(
    file: IO[bytes], name: str, start: float | None = None, stop: float | None = None, stride: int = 1
) -> Iterator[Frame]:
    """Every `stride`-th frame with start <= time < stop, in order, at the size it was coded in.

    Numbers and times are those of the whole video whatever is asked for; times ascend, by a tick where the container
    gives two frames the same. Frames that the decoder cannot give are missing from the sequence, a stream that ends
    in an error is a DataError that says where.
    """
    if start is not None and stop is not None and stop <= start:
        raise UsageError(f"'--stop {stop:g}' is not after '--start {start:g}'")
    with _open(file, name) as container:
        stream = _video_stream(container, name)
        number = _skip_to(container, stream, start) if start is not None else 0
        taken = 0
        last = -math.inf
        for image in _decoded(container, stream, name):
            time = last = max(_time(image, stream, number), last + float(stream.time_base))
            if stop is not None and time >= stop:
                return
            if start is None or time >= start:
                if taken % stride == 0:
                    yield Frame(number, time, image)
                taken += 1
            number += 1


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
    stream = pictures[0]
    if stream.codec_context is None:
        raise DataError(f"'{name}' is coded in a format that this installation cannot decode")
    if stream.codec_context.width * stream.codec_context.height > MAX_PIXELS:
        raise DataError(f"'{name}' claims frames of {stream.width}x{stream.height} pixels; refusing")
    stream.thread_type = "AUTO"
    stream.codec_context.thread_count = min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2, 8)
    return stream


def _timestamps(
    container: av.container.InputContainer, stream: av.VideoStream, name: str
) -> tuple[list[float], float]:
    """Presentation times of all pictures, sorted, seconds; and the seconds missing at the end. Nothing is decoded."""
    stamps, unit, last = [], float(stream.time_base), -math.inf
    try:
        for packet in container.demux():
            stamp = packet.pts if packet.pts is not None else packet.dts
            if packet.size and stamp is not None:
                last = max(last, float((stamp + (packet.duration or 0)) * packet.time_base))
            if packet.size and packet.stream is stream and not packet.is_discard:
                stamps.append(stamp * unit if stamp is not None else len(stamps) / float(stream.average_rate or 30))
    except av.FFmpegError as error:
        if not stamps:
            raise DataError(f"'{name}' holds no readable video packets ({_reason(error)})") from None
    if not stamps:
        raise DataError(f"'{name}' has a video stream without frames")
    return sorted(stamps), _missing(container, last)


def _missing(container: av.container.InputContainer, last: float) -> float:
    """Seconds between the last packet and the end that the container announces; 0 when they are about the same."""
    if not container.duration or not math.isfinite(last):
        return 0.0
    announced = container.duration / av.time_base
    missing = (container.start_time or 0) / av.time_base + announced - last
    return round(missing, 3) if missing > max(1.0, 0.05 * announced) else 0.0


def _first_frame(container: av.container.InputContainer, stream: av.VideoStream, name: str) -> av.VideoFrame:
    container.seek(0)
    for image in _decoded(container, stream, name):
        return image
    raise DataError(f"'{name}' has a video stream, but no frame of it can be decoded")


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


def _time(image: av.VideoFrame, stream: av.VideoStream, number: int) -> float:
    return float(image.time) if image.time is not None else number / float(stream.average_rate or 30)


def _skip_to(container: av.container.InputContainer, stream: av.VideoStream, start: float) -> int:
    """Seek to the key frame before `start` seconds; the number of the frame there. Without timestamps: 0, no seek."""
    target = int(start / float(stream.time_base))
    stamps, keys = [], []
    for packet in container.demux(stream):
        if packet.size and not packet.is_discard:
            if packet.pts is None:
                container.seek(0)
                return 0
            stamps.append(packet.pts)
            if packet.is_keyframe and packet.pts <= target:
                keys.append(packet.pts)
    container.seek(keys[-1] if keys else 0, stream=stream)
    return sum(stamp < keys[-1] for stamp in stamps) if keys else 0
