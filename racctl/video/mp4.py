"""Video out: an MP4 that keeps the timestamps, the colours and the sound of the clip it is made from."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from fractions import Fraction
from typing import IO, cast

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from racctl.video.decode import Frame, Video, upright
from racctl.video.display import FALLBACK_CLOCK, SQUARE

# H.264 by whichever encoder is there, else MPEG-4 part 2; and the encoder's options.
VIDEO_CODECS: dict[str, dict[str, str]] = {
    "libx264": {"preset": "superfast", "crf": "22"},
    "libopenh264": {},
    "h264_videotoolbox": {},
    "mpeg4": {},
}
BITS_PER_PIXEL = 0.15  # where an encoder knows no constant quality
COARSEST, FINEST = 10_000, 65_535  # ticks a second of an MP4's clock; MPEG-4 part 2 allows no more than FINEST
COPIED = ("aac", "mp3", "ac3", "eac3", "alac", "opus")  # sound that MP4 holds and players expect in it
AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
BT709, BT2020, UNKNOWN = 1, 9, 2  # FFmpeg's AVColorSpace
HIGH_DEFINITION = 720  # lines from which players take an unmarked picture for BT.709

Planes = tuple[np.ndarray, np.ndarray, np.ndarray]  # Y (H, W), U and V (H/2, W/2), uint8


@contextlib.contextmanager
def mp4(out: IO[bytes], first: av.VideoFrame) -> Iterator[av.container.OutputContainer]:
    """Open an MP4 on the seekable file `out`.

    Its clock hits the timestamps of a clip that begins with `first`.

    After an error nothing is said about the state of the file.
    """
    ticks = _clock(first).denominator
    while ticks < COARSEST:
        ticks *= 2
    container = av.open(out, "w", format="mp4", container_options={"movie_timescale": str(ticks)})
    try:
        yield container
    except BaseException:  # the trailer may fail too, and must not hide why
        with contextlib.suppress(Exception):
            container.close()
        raise
    container.close()


class Picture:
    """The picture of an MP4.

    width, height: even, of the upright picture.
    bt709, full_range: its colours' YUV.
    """

    def __init__(self, container: av.container.OutputContainer, first: av.VideoFrame, video: Video) -> None:
        """Open the stream of the picture.

        first: an image of the clip `video`.
        """
        self.rotation, self.reformatter = video.rotation, VideoReformatter()
        self.shift = max(0.0, -video.start_time)  # MP4 hides what is before 0
        self.last = -1
        turned = video.rotation % 180 != 0
        width, height = (first.height, first.width) if turned else (first.width, first.height)
        self.width, self.height = width + width % 2, height + height % 2
        self.is_rgb = first.format.is_rgb or first.format.has_palette
        guess = Colorspace.ITU709 if height >= HIGH_DEFINITION else Colorspace.ITU601
        self.rgb_space = guess if self.is_rgb else None
        image = self._yuv420p(first)
        self.bt709 = image.colorspace in (BT709, BT2020) or (image.colorspace == UNKNOWN and height >= HIGH_DEFINITION)
        self.full_range = image.color_range == ColorRange.JPEG or image.format.name == "yuvj420p"
        self.stream = self._stream(container, image, video.fps)
        self.stream.codec_context.sample_aspect_ratio = SQUARE

    def _stream(self, container: av.container.OutputContainer, image: av.VideoFrame, fps: float) -> av.VideoStream:
        encoder = next(name for name in VIDEO_CODECS if _encodes(name))
        rate = Fraction(max(fps, 0.01)).limit_denominator(1001)
        stream = cast("av.VideoStream", container.add_stream(encoder, rate=rate, options=VIDEO_CODECS[encoder]))
        stream.width = self.width
        stream.height = self.height
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        clock = _clock(image)
        self.clock = clock if encoder != "mpeg4" or clock.denominator <= FINEST else Fraction(1, FINEST)
        context.time_base = stream.time_base = self.clock
        context.gop_size = max(1, min(250, round(2 * fps)))  # a key frame every 2 s, to scrub through
        if not VIDEO_CODECS[encoder]:
            stream.bit_rate = round(BITS_PER_PIXEL * self.width * self.height * max(fps, 10))
        context.color_range = ColorRange.JPEG if self.full_range else image.color_range
        context.colorspace = image.colorspace
        if hasattr(image, "color_trc"):  # PyAV 14 to 16 do not tell it
            context.color_trc = image.color_trc
            context.color_primaries = image.color_primaries
        return stream

    def canvas(self, frame: Frame) -> tuple[av.VideoFrame, Planes]:
        """Return a new, upright picture with the pixels and the timestamp of `frame`, and its planes to draw on."""
        canvas = av.VideoFrame(self.width, self.height, "yuv420p")
        y, u, v = canvas.planes
        planes = (_pixels(y), _pixels(u), _pixels(v))
        for plane, target in zip(self._yuv420p(frame.image).planes, planes, strict=True):
            pixels = upright(_pixels(plane), self.rotation)
            height, width = pixels.shape
            target[:height, :width] = pixels
            target[height:] = target[height - 1]
            target[:, width:] = target[:, width - 1 : width]
        self._stamp(canvas, frame)
        return canvas, planes

    def _stamp(self, canvas: av.VideoFrame, frame: Frame) -> None:
        image = frame.image
        stamp = frame.time if image.pts is None else image.pts * (image.time_base or FALLBACK_CLOCK)
        ticks = round((stamp + Fraction(self.shift)) / self.clock)
        canvas.pts = self.last = max(ticks, self.last + 1)  # a container may say the same time twice
        canvas.time_base = self.clock
        if image.pts is not None and hasattr(image, "duration"):  # PyAV 14 does not tell it
            canvas.duration = round(image.duration * (image.time_base or FALLBACK_CLOCK) / self.clock)

    def _yuv420p(self, image: av.VideoFrame) -> av.VideoFrame:
        if image.format.name in ("yuv420p", "yuvj420p"):
            return image
        colour_range = ColorRange.MPEG if self.is_rgb else image.color_range
        return self.reformatter.reformat(
            image, format="yuv420p", dst_colorspace=self.rgb_space, dst_color_range=colour_range, threads=1
        )


class Sound:
    """The sound of a source, to be written in step with the picture."""

    def __init__(self, packets: Iterator[tuple[float, av.Packet]]) -> None:
        self._packets = packets
        self._next = next(packets, None)

    def until(self, seconds: float) -> Iterator[av.Packet]:
        """Yield the packets that begin up to `seconds` and were not given yet."""
        while self._next and self._next[0] <= seconds:
            yield self._next[1]
            self._next = next(self._packets, None)


def sound_of(opened: av.container.InputContainer, container: av.container.OutputContainer, shift: float) -> Sound:
    """Give `container` a stream for the first audio of `opened` that can be read, if any.

    Its packets come `shift` seconds later: copied where MP4 can hold them, else made AAC.
    """
    readable = (s for s in opened.streams.audio if s.codec_context is not None and s.codec_context.sample_rate)
    stream = next(readable, None)
    if stream is None:
        return Sound(iter(()))
    codec = stream.codec_context.codec
    if getattr(codec, "canonical_name", codec.name) in COPIED:  # PyAV 14 knows the decoder's name alone
        target, packets = container.add_stream_from_template(stream), _copied
    else:
        target, packets = _aac_stream(container, stream), _encoded
    return Sound(_ascending(packets(opened, stream, target, Fraction(shift))))


def _aac_stream(container: av.container.OutputContainer, stream: av.AudioStream) -> av.AudioStream:
    rate = stream.codec_context.sample_rate
    target = container.add_stream("aac", rate=rate if rate in AAC_RATES else 48000)
    target.codec_context.layout = "mono" if stream.codec_context.channels == 1 else "stereo"
    target.codec_context.time_base = Fraction(1, target.codec_context.sample_rate)
    return target


def _copied(
    opened: av.container.InputContainer, stream: av.AudioStream, target: av.AudioStream, shift: Fraction
) -> Iterator[av.Packet]:
    for packet in _packets(opened, stream):
        if packet.size and packet.dts is not None and packet.pts is not None:
            delay = round(shift / (packet.time_base or 1))
            packet.pts += delay
            packet.dts += delay
            packet.stream = target
            yield packet


def _encoded(
    opened: av.container.InputContainer, stream: av.AudioStream, target: av.AudioStream, shift: Fraction
) -> Iterator[av.Packet]:
    for packet in _packets(opened, stream):
        try:
            pieces = cast("list[av.AudioFrame]", packet.decode())
        except av.FFmpegError:
            continue  # as a player does
        for piece in pieces:
            if piece.pts is not None:
                piece.pts += round(shift / (piece.time_base or 1))
            yield from target.encode(piece)
    yield from target.encode(None)


def _packets(opened: av.container.InputContainer, stream: av.AudioStream) -> Iterator[av.Packet]:
    with contextlib.suppress(av.FFmpegError):  # where the file breaks off the picture says so
        yield from opened.demux(stream)


def _ascending(packets: Iterator[av.Packet]) -> Iterator[tuple[float, av.Packet]]:
    """Yield packets with their times, without those that go back in time: MP4 has no place for them."""
    latest = -math.inf
    for packet in packets:
        if packet.dts is not None and packet.dts > latest:
            latest = packet.dts
            yield float(packet.dts * (packet.time_base or 1)), packet


def _clock(image: av.VideoFrame) -> Fraction:
    return image.time_base or FALLBACK_CLOCK


def _encodes(name: str) -> bool:
    try:
        av.Codec(name, "w")
    except av.codec.codec.UnknownCodecError:
        return False
    return True


def _pixels(plane: av.video.plane.VideoPlane) -> np.ndarray:
    """Return (H, W) uint8 view of a plane, without the padding of its lines."""
    return np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]
