"""Video in: what a file holds, and its frames with their right numbers and times.

Frame numbers count the pictures of the stream in presentation order, from 0, those that cannot be decoded too. Times
are the container's own timestamps in seconds (so a stream whose first timestamp is 1.4 s begins at 1.4 s); number / fps
only for a raw stream, which has none.
Pictures come as players show them, with square pixels and mirrored where the file asks for it (`racctl.video.display`),
but not turned: rotation is reported, and `upright` turns an image.
"""

from __future__ import annotations

import heapq
import math
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO

import av
import numpy as np

from racctl.contracts import Meta
from racctl.errors import DataError, UsageError, reason
from racctl.io.spool import sha256
from racctl.video.display import MAX_PIXELS, SQUARE, Decoded, Dimensions, PixelAspects, Screen, orientation_of, ratio
from racctl.video.ending import WHOLE, Ending, ending_of, rounded_down
from racctl.video.index import Index, PacketClock, read_index
from racctl.video.losses import Gap, Losses
from racctl.video.opening import open_container

MOST_LATE = 4  # places that a picture may be late and still be put right


@dataclass(frozen=True)
class Video:
    """What a clip is.

    width, height: pixels as displayed: square, after rotation.
    frames: as the container or its packets say.
    fps: mean frames per second.
    start_time: first timestamp, seconds.
    rotation: degrees counter-clockwise that a frame's image must be turned to stand upright (0, 90, 180, 270).
    ending: what the file lacks at its end.
    mirrored: whether the file asks for left and right to be changed over; in the frames that is done.
    stored: width and height of the pictures as coded, where the pixels of these are not square.
    pixel_aspect: width by height of the pixels as coded.
    remarks: clauses about what the file leaves open or states wrongly, but for its end.
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
    mirrored: bool = False
    stored: Dimensions | None = None
    pixel_aspect: Fraction = SQUARE
    remarks: tuple[str, ...] = ()

    def source(self) -> Meta:
        """Return the `source` part of a meta document."""
        keep = ("name", "sha256", "fps", "frames", "width", "height", "start_time")
        source = {key: value for key, value in asdict(self).items() if key in keep}
        if self.stored:
            width, height = self.stored
            source |= {"stored_width": width, "stored_height": height, "pixel_aspect": ratio(self.pixel_aspect)}
        if self.rotation:
            source["rotation"] = self.rotation
        if self.mirrored:
            source["mirrored"] = True
        return source


@dataclass(frozen=True)
class Frame:
    """One decoded frame.

    number: in the source video;
    time: seconds;
    image: as players show it, but for `Video.rotation` (not yet upright).
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
    first = _first_picture(file, name)
    orientation = orientation_of(first.image)
    width, height = first.size if orientation.rotation % 180 == 0 else first.size[::-1]
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
        rotation=orientation.rotation,
        audio=audio,
        ending=ending,
        mirrored=orientation.mirrored,
        stored=None if first.size == first.stored else first.stored,
        pixel_aspect=first.pixel_aspect,
        remarks=(*index.remarks, *first.remarks),
    )


def frames(
    file: IO[bytes],
    name: str,
    start: float | None = None,
    stop: float | None = None,
    stride: int = 1,
    losses: Losses | None = None,
) -> Iterator[Frame]:
    """Yield every `stride`-th frame with start <= time < stop, in order, all of the size of the video's first.

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
    losses.remarks = (*losses.remarks, *index.remarks)
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


def _first_picture(file: IO[bytes], name: str) -> Decoded:
    with _open(file, name) as container:
        for picture in _decoded(container, _video_stream(container, name), name):
            return picture
    raise DataError(f"'{name}' has a video stream, but no frame of it can be decoded")


def _numbered(file: IO[bytes], name: str, index: Index, start: float | None, losses: Losses) -> Iterator[Frame]:
    """Yield all frames, or at least those from `start` seconds on, in order and as they are shown.

    A picture that comes after a later one, which damage can do to a decoder, is put in its place, or left out where
    that has gone by.
    """
    seeks = index.key_before(start) is not None  # else the first picture is the video's first
    screen = _screen(_first_picture(file, name), losses) if seeks else None
    number, last, newest = -1, None, -math.inf
    slack = 0 if index.exact else 1 / index.rate / index.unit
    for picture in _in_order(_pictures(file, name, index, start), index.exact):
        screen = screen or _screen(picture, losses)
        image = picture.image
        if index.timed and image.pts is not None and image.pts < newest - slack:
            continue
        number, tick = index.place(image.pts, number + 1)
        newest = max(newest, tick)
        last = tick if last is None or tick > last else last + 1
        frame = Frame(number, index.seconds(last), screen.show(picture))
        if picture.size != losses.now:
            losses.now = picture.size
            losses.resized.append((frame.number, frame.time))
            losses.has_bars |= screen.has_bars(picture)
        yield frame


def _screen(first: Decoded, losses: Losses) -> Screen:
    """Return what shows all pictures as the video's first; what is odd about that one is noted."""
    screen = Screen(first)
    losses.size = losses.now = screen.size
    losses.remarks = (*losses.remarks, *first.remarks)
    return screen


def _in_order(pictures: Iterator[Decoded], exact: bool) -> Iterator[Decoded]:
    """Yield pictures by their stamps where these tell, so that one that is a few places late is put right."""
    held: list[tuple[int, int, Decoded]] = []
    for order, picture in enumerate(pictures):
        if not exact or picture.image.pts is None:
            yield picture
            continue
        heapq.heappush(held, (picture.image.pts, order, picture))
        if len(held) > MOST_LATE:
            yield heapq.heappop(held)[2]
    while held:
        yield heapq.heappop(held)[2]


def _pictures(file: IO[bytes], name: str, index: Index, start: float | None) -> Iterator[Decoded]:
    """Decode from the key frame before `start` seconds, or all where seeking does not lead there."""
    key = index.key_before(start)
    if key is not None:
        with _open(file, name) as container:
            stream = _video_stream(container, name)
            pictures = _decoded(container, stream, name)
            try:
                container.seek(key[1], stream=stream)
                first = next(pictures, None)
            except (av.FFmpegError, DataError):
                first = None
            if first is not None and first.image.pts is not None and first.image.pts <= key[0]:
                yield first
                yield from pictures
                return
    with _open(file, name) as container:
        yield from _decoded(container, _video_stream(container, name), name)


def _decoded(container: av.container.InputContainer, stream: av.VideoStream, name: str) -> Iterator[Decoded]:
    """Yield pictures as they come.

    A damaged packet is passed over; a file that breaks off is a DataError.
    """
    decoded, last = 0, 0.0
    aspects = PixelAspects(stream)
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
            yield Decoded(image, aspects.of(image))
