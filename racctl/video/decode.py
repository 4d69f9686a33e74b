"""Video in: what a file holds, and its frames with their right numbers and times.

Frame numbers count the pictures of the stream in presentation order, from 0, those that cannot be decoded too. Times
are the container's own timestamps in seconds (so a stream whose first timestamp is 1.4 s begins at 1.4 s); number / fps
only for a raw stream, which has none.
Rotation metadata is reported, not applied: `upright` turns an image.
"""

from __future__ import annotations

import heapq
import math
import os
import struct
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO

import av
import numpy as np
from av.sidedata.sidedata import Type as SideData
from av.video.reformatter import Interpolation, VideoReformatter

from racctl.errors import DataError, UsageError, reason
from racctl.io.spool import sha256
from racctl.video.ending import WHOLE, Ending, ending_of, rounded_down
from racctl.video.index import Index, PacketClock, read_index
from racctl.video.losses import Gap, Losses
from racctl.video.opening import open_container

MAX_PIXELS = 1 << 27  # of one frame; 16k x 8k
MOST_LATE = 4  # places that a picture may be late and still be put right


@dataclass(frozen=True)
class Video:
    """What a clip is.

    width, height: pixels as displayed, after rotation.
    frames: as the container or its packets say.
    fps: mean frames per second.
    start_time: first timestamp, seconds.
    rotation: degrees counter-clockwise that the decoded image must be turned to stand upright (0, 90, 180, 270).
    ending: what the file lacks at its end.
    """

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
    ending: Ending = WHOLE

    def source(self) -> dict[str, object]:
        """Return the `source` part of a meta document."""
        keep = ("name", "sha256", "fps", "frames", "width", "height", "start_time", "rotation")
        return {key: value for key, value in asdict(self).items() if key in keep and (value or key != "rotation")}


@dataclass(frozen=True)
class Frame:
    """One decoded frame.

    number: in the source video;
    time: seconds;
    image: as decoded (not yet upright).
    """

    number: int
    time: float
    image: av.VideoFrame


def probe(file: IO[bytes], name: str) -> Video:
    """Look at a video file.

    Raises DataError when it is not one or holds no picture that can be decoded.
    """
    digest = sha256(file)
    with _open(file, name) as container:
        stream = _video_stream(container, name)
        index = read_index(container, stream, name)
        ending = ending_of(file, container, stream, index)
        audio = bool(container.streams.audio)
    first = _first_frame(file, name)
    rotation = _rotation(first)
    width, height = _size(first) if rotation % 180 == 0 else _size(first)[::-1]
    count, start = len(index.stamps), index.seconds(index.stamps[0])
    duration = index.seconds(index.stamps[-1]) - start
    fps = (count - 1) / duration if duration > 0 else float(index.rate)
    return Video(
        name=Path(name).name,
        sha256=digest,
        fps=round(fps, 4),
        frames=count,
        width=width,
        height=height,
        start_time=start,
        duration=duration,
        rotation=rotation,
        audio=audio,
        ending=ending,
    )


def frames(
    file: IO[bytes],
    name: str,
    start: float | None = None,
    stop: float | None = None,
    stride: int = 1,
    losses: Losses | None = None,
) -> Iterator[Frame]:
    """Yield every `stride`-th frame with start <= time < stop, in order, all of the size that the first was coded in.

    Numbers and times are those of the whole video whatever is asked for; times ascend, by a tick where the container
    gives two frames the same, and go on where the file's clock starts over. Frames that the decoder cannot give are
    missing from the sequence, and are told in `losses`, complete when the last frame is taken. A stream that ends in an
    error is a DataError that says where.
    """
    if start is not None and stop is not None and stop <= start:
        raise UsageError(f"'--stop {stop:g}' is not after '--start {start:g}'")
    with _open(file, name) as container:
        index = read_index(container, _video_stream(container, name), name)
    losses = Losses() if losses is None else losses
    tally = _Tally(index, losses, start, stop)
    for frame in _numbered(file, name, index, start, losses):
        if stop is not None and frame.time >= stop:
            break
        if start is None or frame.time >= start:
            if tally.count % stride == 0:
                yield frame
            tally.add(frame)
    tally.close()


class _Tally:
    """Which pictures of a part were taken; the others go into `losses`."""

    def __init__(self, index: Index, losses: Losses, start: float | None, stop: float | None) -> None:
        self.index, self.losses, self.count = index, losses, 0
        self.whole = start is None and stop is None
        self._next = 0 if start is None else index.first_from(start)
        self._stop = index.first_from(stop)
        self._fields = False
        losses.frames = self._stop - self._next
        losses.leaps = [leap for leap in index.leaps if self._next < leap.number < self._stop]
        places = ((index.first_from(index.seconds(tick)), index.seconds(tick)) for tick in index.restarts)
        losses.restarts = [(number, time) for number, time in places if self._next <= number < self._stop]

    def add(self, frame: Frame) -> None:
        self._fields = frame.image.interlaced_frame
        self._lack(frame.number)
        self.count += 1
        self._next = frame.number + 1

    def close(self) -> None:
        """Note that no frame is to come."""
        self._lack(self._stop)
        if not self.index.exact and self.whole:
            self.losses.uncounted = max(0, self.losses.frames - self.count)

    def _lack(self, number: int) -> None:
        """Note down the pictures before `number` that did not come; the two fields of one may be two packets."""
        lost = number - self._next
        if not self.index.exact or lost < 1 or (lost == 1 and self._fields):
            return
        begin, end = (self.index.seconds(self.index.tick(place)) for place in (self._next, number))
        self.losses.gaps.append(Gap(self._next, number, begin, end))


def upright(image: np.ndarray, rotation: int) -> np.ndarray:
    """Turn an (H, W, ...) array by the `rotation` of its video."""
    return np.rot90(image, rotation // 90) if rotation else image


def _open(file: IO[bytes], name: str) -> av.container.InputContainer:
    file.seek(0)
    try:
        return open_container(file)
    except (av.FFmpegError, ValueError, OSError) as error:
        raise DataError(f"'{name}' is not a video that can be read, or is cut short ({reason(error)})") from None


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


def _first_frame(file: IO[bytes], name: str) -> av.VideoFrame:
    with _open(file, name) as container:
        for image in _decoded(container, _video_stream(container, name), name):
            return image
    raise DataError(f"'{name}' has a video stream, but no frame of it can be decoded")


def _rotation(image: av.VideoFrame) -> int:
    """Return the degrees counter-clockwise, to the nearest 90, that the image must be turned to stand upright.

    Mirroring is left out.
    """
    matrix = image.side_data.get(SideData.DISPLAYMATRIX)  # type: ignore[call-overload]  # PyAV declares names alone
    if matrix is None:
        return 0
    *_, x, y = struct.unpack("=5i", bytes(matrix)[:20])  # where the image's "down" goes
    return 90 * round(math.degrees(math.atan2(x, y)) / 90) % 360


def _numbered(file: IO[bytes], name: str, index: Index, start: float | None, losses: Losses) -> Iterator[Frame]:
    """Yield all frames, or at least those from `start` seconds on, in order and of one size.

    A picture that comes after a later one, which damage can do to a decoder, is put in its place, or left out where
    that has gone by.
    """
    if index.key_before(start) is not None:  # else the first picture is the video's first
        losses.size = _size(_first_frame(file, name))
    number, last, newest = -1, None, -math.inf
    slack = 0 if index.exact else 1 / index.rate / index.unit
    reformatter = VideoReformatter()
    for image in _in_order(_images(file, name, index, start), index.exact):
        if index.timed and image.pts is not None and image.pts < newest - slack:
            continue
        number, tick = index.place(image.pts, number + 1)
        newest = max(newest, tick)
        last = tick if last is None or tick > last else last + 1
        frame = Frame(number, index.seconds(last), image)
        yield _one_size(frame, losses, reformatter)


def _in_order(images: Iterator[av.VideoFrame], exact: bool) -> Iterator[av.VideoFrame]:
    """Yield pictures by their stamps where these tell, so that one that is a few places late is put right."""
    held: list[tuple[int, int, av.VideoFrame]] = []
    for order, image in enumerate(images):
        if not exact or image.pts is None:
            yield image
            continue
        heapq.heappush(held, (image.pts, order, image))
        if len(held) > MOST_LATE:
            yield heapq.heappop(held)[2]
    while held:
        yield heapq.heappop(held)[2]


def _size(image: av.VideoFrame) -> tuple[int, int]:
    return image.width, image.height


def _one_size(frame: Frame, losses: Losses, reformatter: VideoReformatter) -> Frame:
    """Return the frame, scaled where it has another size than the first; where that changes is noted."""
    if losses.size == (0, 0):
        losses.size = _size(frame.image)
    size = _size(frame.image)
    if size != losses.now:
        losses.now = size
        if size != losses.size or losses.resized:
            losses.resized.append((frame.number, frame.time))
    if size == losses.size:
        return frame
    image = reformatter.reformat(frame.image, *losses.size, interpolation=Interpolation.AREA, threads=1)
    return Frame(frame.number, frame.time, image)


def _images(file: IO[bytes], name: str, index: Index, start: float | None) -> Iterator[av.VideoFrame]:
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
    """Yield frames as they come.

    A damaged packet is passed over; a file that breaks off is a DataError.
    """
    decoded, last = 0, 0.0
    clock = PacketClock(Fraction(stream.time_base or 1))
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except av.FFmpegError as error:
            raise DataError(
                f"'{name}' breaks off after {decoded} frames, at {last:.3f} s ({reason(error)}); "
                f"'--stop {rounded_down(last)}' takes what is before"
            ) from None
        clock.set(packet)
        try:
            images = packet.decode()
        except av.FFmpegError:
            continue
        for image in images:
            decoded, last = decoded + 1, float(image.time or last)
            yield image
