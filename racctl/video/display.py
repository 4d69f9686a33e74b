"""Pictures as players show them: with square pixels, of one size, mirrored where the file asks for it.

Turning them upright is left to `racctl.video.decode.upright`: it costs least on what a reader makes of a picture.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import av
from av.filter import Graph
from av.sidedata.sidedata import Type as SideData
from av.video.reformatter import Interpolation, VideoReformatter

MAX_PIXELS = 1 << 27  # of one frame; 16k x 8k
SQUARE = Fraction(1)
# Share by which a shape may be off and still be the same: encoders state pixels of 1281:1280 where they round a side.
SAME_SHAPE = 0.02
MAX_ASPECT = 4  # long by short side of a pixel, at most; 2 is the most that cameras and discs have
FALLBACK_CLOCK = Fraction(1, 90_000)  # s, of a picture without one

Dimensions = tuple[int, int]


@dataclass(frozen=True)
class Orientation:
    """How a decoded picture is put upright.

    mirrored: whether left and right are changed over first.
    rotation: degrees counter-clockwise that it is turned then: 0, 90, 180 or 270.
    """

    rotation: int
    mirrored: bool


def orientation_of(image: av.VideoFrame) -> Orientation:
    """Return the orientation that the display matrix of a picture asks for, to the nearest 90 degrees."""
    matrix = image.side_data.get(SideData.DISPLAYMATRIX)  # type: ignore[call-overload]  # PyAV declares names alone
    if matrix is None:
        return Orientation(0, False)
    a, b, _, c, d = struct.unpack("=5i", bytes(matrix)[:20])
    # (c, d) is where the image's "down" goes, which mirroring leaves alone.
    return Orientation(90 * round(math.degrees(math.atan2(c, d)) / 90) % 360, a * d < b * c)


class PixelAspects:
    """The shape of a stream's pixels where decoding is: width by height.

    The container's word goes before that of the codec, as in FFmpeg and the players built on it. The codec's may change
    in the middle of a stream, at a key frame.
    """

    def __init__(self, stream: av.VideoStream) -> None:
        """Look at a stream of which nothing is decoded yet."""
        self._context = stream.codec_context
        by_stream = stream.sample_aspect_ratio  # the container's, else the codec's
        self._by_container = by_stream if by_stream != self._context.sample_aspect_ratio else None
        self._by_codec: Fraction | None = None

    def of(self, image: av.VideoFrame) -> Fraction:
        """Return the shape of the pixels of a picture, the last that was decoded."""
        if self._by_container:
            return self._by_container
        if self._by_codec is None or image.key_frame:
            self._by_codec = self._context.sample_aspect_ratio or SQUARE
        return self._by_codec


@dataclass(frozen=True)
class Decoded:
    """A picture as the decoder gives it.

    pixel_aspect: width by height of its pixels, as the file states it.
    """

    image: av.VideoFrame
    pixel_aspect: Fraction

    @property
    def stored(self) -> Dimensions:
        """Width and height as coded."""
        return self.image.width, self.image.height

    @cached_property
    def size(self) -> Dimensions:
        """Width and height with square pixels, before the picture is turned."""
        width, height = self.stored
        if self.pixel_aspect == SQUARE or _is_same_shape(self.pixel_aspect, SQUARE) or not self.is_plausible:
            return width, height
        return _even(width * self.pixel_aspect), height

    @property
    def is_plausible(self) -> bool:
        """Whether pixels can have this shape, and the picture with square ones is not too large."""
        width, height = self.stored
        if not 1 <= self.pixel_aspect * MAX_ASPECT <= MAX_ASPECT * MAX_ASPECT:
            return False
        return width * height * self.pixel_aspect <= MAX_PIXELS

    @property
    def remarks(self) -> tuple[str, ...]:
        """Clauses about a shape that is not believed."""
        if self.is_plausible:
            return ()
        return (f"its pixels are said to be {ratio(self.pixel_aspect)}, which is not believed; taken for square",)


class Screen:
    """Shows all pictures of a clip at the size of the first one.

    size: width and height, before the picture is turned.
    """

    def __init__(self, first: Decoded) -> None:
        self.size = first.size
        self.mirrored = orientation_of(first.image).mirrored
        self._reformatter = VideoReformatter()
        self._graph: tuple[tuple[str, int, int], Graph] | None = None

    def has_bars(self, picture: Decoded) -> bool:
        """Return whether the picture leaves a part of the screen black."""
        return _fitted(picture.size, self.size) != self.size

    def show(self, picture: Decoded) -> av.VideoFrame:
        """Return the picture in square pixels, with black bars where its shape is another than that of the first."""
        image = picture.image
        width, height = _fitted(picture.size, self.size)
        if (width, height) != picture.stored:
            image = self._reformatter.reformat(image, width, height, interpolation=Interpolation.AREA, threads=1)
        if self.mirrored or (width, height) != self.size:
            image = self._filtered(image)
        return image

    def _filtered(self, image: av.VideoFrame) -> av.VideoFrame:
        key = (image.format.name, image.width, image.height)
        if self._graph is None or self._graph[0] != key:
            self._graph = key, self._new_graph(image)
        graph = self._graph[1]
        graph.vpush(image)
        return graph.vpull()

    def _new_graph(self, image: av.VideoFrame) -> Graph:
        """Return the filters that put pictures like this one in the middle of the screen and mirror them."""
        graph = Graph()
        clock = image.time_base or FALLBACK_CLOCK
        nodes = [graph.add_buffer(width=image.width, height=image.height, format=image.format, time_base=clock)]
        if (image.width, image.height) != self.size:
            width, height = self.size
            nodes.append(graph.add("pad", f"{width}:{height}:(ow-iw)/2:(oh-ih)/2:black"))
        if self.mirrored:
            nodes.append(graph.add("hflip"))
        graph.link_nodes(*nodes, graph.add("buffersink")).configure()
        return graph


def ratio(aspect: Fraction) -> str:
    """Return 4:3 of four thirds."""
    return f"{aspect.numerator}:{aspect.denominator}"


def _fitted(size: Dimensions, screen: Dimensions) -> Dimensions:
    """Return the size of a picture on a screen, of which it fills the width or the height."""
    width, height = size
    if size == screen or _is_same_shape(Fraction(width, height), Fraction(*screen)):
        return screen
    scale = min(Fraction(screen[0], width), Fraction(screen[1], height))
    return min(screen[0], _even(width * scale)), min(screen[1], _even(height * scale))


def _is_same_shape(aspect: Fraction, like: Fraction) -> bool:
    return abs(aspect / like - 1) <= SAME_SHAPE


def _even(length: Fraction) -> int:
    """Return a length in pixels, even as the usual colour formats have it."""
    return max(2, 2 * round(length / 2))
