"""Drawing on video frames: skeleton, running count and time line, laid straight onto the planes of a yuv420p picture.

Only the parts of a frame that change are touched, and nothing goes through RGB, so the rest of the picture stays as
it was. Shapes are drawn finer than the frame and reduced, which smooths their edges. Sizes go with the short side.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeVar

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from racctl.skeleton.topology import Topology
from racctl.video.mp4 import Planes

Matrix = tuple[float, ...]
Colour = tuple[int, int, int]
Seconds = TypeVar("Seconds", float, np.ndarray)

FINER = 2  # how much finer shapes are drawn than the frame
FINEST_PIXELS = 1 << 22  # of a frame; larger ones hide their jagged edges well enough

# Okabe and Ito's colours, told apart with any colour vision; the light ones first
PEOPLE: tuple[Colour, ...] = (
    (86, 180, 233),
    (240, 228, 66),
    (230, 159, 0),
    (204, 121, 167),
    (0, 158, 115),
    (213, 94, 0),
)
DARK, LIGHT, ACCENT = (16, 18, 22), (255, 255, 255), (240, 228, 66)
REPETITION_COLOURS: tuple[Colour, ...] = ((86, 180, 233), (0, 114, 178))
PLATE = 205  # opacity, of 255, of the dark ground under text and signs

FULL_OPACITY_SCORE = 0.5  # score from which a joint is drawn in full
MIN_JOINT_OPACITY = 0.3  # opacity of a joint with score 0


def yuv_matrix(bt709: bool, full_range: bool) -> Matrix:
    """Return the 3 x 4 matrix from RGB to Y, U, V that `Image.convert` takes."""
    red, blue = (0.2126, 0.0722) if bt709 else (0.299, 0.114)
    luma = np.array([red, 1 - red - blue, blue])
    u, v = (np.array([0, 0, 1]) - luma) / (2 - 2 * blue), (np.array([1, 0, 0]) - luma) / (2 - 2 * red)
    y_scale, y_zero, uv_scale = (1.0, 0, 1.0) if full_range else (219 / 255, 16, 224 / 255)
    rows = ([*luma * y_scale, y_zero], [*u * uv_scale, 128], [*v * uv_scale, 128])
    return tuple(float(value) for row in rows for value in row)


def ink(colour: Colour, matrix: Matrix) -> Colour:
    """Return (Y, U, V) of an RGB colour."""
    y, u, v = Image.new("RGB", (1, 1), colour).convert("RGB", matrix).tobytes()
    return y, u, v


@dataclass(frozen=True)
class Layer:
    """Something to lay onto a frame.

    left, top: even pixels.
    colours: Y, U, V, each one value or an "L" image.
    alpha, half: opacity at the size of Y and of U, V.
    """

    left: int
    top: int
    colours: tuple[Image.Image | int, ...]
    alpha: Image.Image
    half: Image.Image

    def onto(self, planes: Planes) -> None:
        """Blend into `planes`, in place; what lies outside is left out."""
        alphas = (self.alpha, self.half, self.half)
        for plane, colour, alpha, scale in zip(planes, self.colours, alphas, (1, 2, 2), strict=True):
            top, left = self.top // scale, self.left // scale
            part = plane[top : top + alpha.height, left : left + alpha.width]
            if not part.size:
                continue
            blended = Image.fromarray(part.copy())
            blended.paste(colour, (0, 0), alpha)
            part[:] = np.asarray(blended)

    def columns(self, start: int, stop: int) -> Layer:
        """Return the pixel columns start..stop-1 (even numbers) of this layer."""

        def crop(image: Image.Image, scale: int) -> Image.Image:
            return image.crop((start // scale, 0, stop // scale, image.height))

        def crop_colour(colour: Image.Image | int, scale: int) -> Image.Image | int:
            return colour if isinstance(colour, int) else crop(colour, scale)

        y, u, v = self.colours
        return replace(
            self,
            left=self.left + start,
            colours=(crop_colour(y, 1), crop_colour(u, 2), crop_colour(v, 2)),
            alpha=crop(self.alpha, 1),
            half=crop(self.half, 2),
        )


def picture_layer(fine: Image.Image, left: int, top: int, matrix: Matrix) -> Layer:
    """Return a layer from an RGBA image drawn `FINER` than the frame, of a size that 2 * FINER divides."""
    full, half = fine.reduce(FINER), fine.reduce(2 * FINER)
    y = full.convert("RGB").convert("RGB", matrix).getchannel(0)
    _, u, v = half.convert("RGB").convert("RGB", matrix).split()
    return Layer(left, top, (y, u, v), full.getchannel("A"), half.getchannel("A"))


def mask_layer(fine: Image.Image, finer: int, left: int, top: int, colour: Colour) -> Layer:
    """Return a layer of one `colour` (Y, U, V) from an "L" image of opacities drawn `finer` than the frame."""
    return Layer(left, top, colour, fine.reduce(finer) if finer > 1 else fine, fine.reduce(2 * finer))


def over_dark(colour: Colour, share: float) -> tuple[int, ...]:
    """Return RGBA of `colour` laid over the plate; Pillow's drawing replaces what is there, opacity and all."""
    mixed = (round(share * c + (1 - share) * d) for c, d in zip(colour, DARK, strict=True))
    return (*mixed, round(PLATE + (255 - PLATE) * share))


def even(length: float) -> int:
    """Return `length` as a whole, even number of pixels, at least 2."""
    return max(2, 2 * round(length / 2))


@lru_cache(maxsize=32)
def font(size: int) -> ImageFont.FreeTypeFont:
    """Return Pillow's own font, so that no system font is needed."""
    loaded = ImageFont.load_default(size)
    assert isinstance(loaded, ImageFont.FreeTypeFont)  # Pillow is built with FreeType wherever it has wheels
    return loaded


@dataclass(frozen=True)
class DrawnPerson:
    """One person to draw, in pixels of the mask.

    ends: (E, 2, 2) x, y of the limbs' ends, surest limb last; width,
    opacity: (E,).
    joints: (J, 2), those between long limbs;
    trust: (J,) opacity.
    """

    ends: np.ndarray
    width: np.ndarray
    opacity: np.ndarray
    joints: np.ndarray
    trust: np.ndarray

    def limbs(self, size: tuple[int, int], wider: float, strength: float) -> Image.Image:
        """Return opacities of all limbs, each made `wider`."""
        mask = Image.new("L", size)
        draw = ImageDraw.Draw(mask)
        for ends, width, opacity in zip(self.ends.tolist(), self.width + wider, self.opacity, strict=True):
            fill = round(255 * strength * opacity)
            draw.line([tuple(end) for end in ends], fill=fill, width=max(1, round(width)))
            for end in ends:
                draw.ellipse(_around(end, width / 2), fill=fill)
        return mask

    def dots(self, size: tuple[int, int], radius: float) -> Image.Image:
        """Return opacities of a dot on every joint."""
        mask = Image.new("L", size)
        draw = ImageDraw.Draw(mask)
        for joint, trust in zip(self.joints.tolist(), self.trust, strict=True):
            draw.ellipse(_around(joint, radius), fill=round(255 * trust))
        return mask


def _around(point: list[float], radius: float) -> tuple[float, ...]:
    x, y = point
    return (x - radius, y - radius, x + radius, y + radius)


class Skeleton:
    """Draws people on frames of `width` x `height` pixels."""

    def __init__(self, topology: Topology, width: int, height: int, matrix: Matrix) -> None:
        self.edges = np.array([topology.indices(edge) for edge in topology.edges])
        self.size = np.array([width, height])
        self.thick = max(1.8, min(width, height) * 0.0065)
        self.rim = max(1.0, 0.25 * self.thick)
        self.finer = FINER if width * height <= FINEST_PIXELS else 1
        self.inks = [ink(colour, matrix) for colour in PEOPLE]
        self.dark, self.light = ink(DARK, matrix), ink(LIGHT, matrix)

    def layers(self, xy: np.ndarray, score: np.ndarray) -> Iterator[Layer]:
        """Yield the layers of every person: a dark rim, the limbs, the joints.

        xy: (M, V, 2) pixels, NaN where unknown;
        score: (M, V).
        """
        near = (np.abs(xy - self.size / 2) < 2 * self.size).all(-1)  # a joint far off can only be a mistake
        for person, (joints, known, trust) in enumerate(zip(xy, near, score, strict=True)):
            edges = self.edges[known[self.edges].all(1)]
            if not len(edges):
                continue
            left, top, right, bottom = (int(side) for side in self._box(joints[edges].reshape(-1, 2)))
            if left >= right or top >= bottom:
                continue
            body = self._body((joints - (left, top)) * self.finer, trust, edges)
            size = (right - left) * self.finer, (bottom - top) * self.finer
            rim = body.limbs(size, 2 * self.rim * self.finer, 0.6)
            dots = body.dots(size, 0.42 * self.thick * self.finer)
            colour = self.inks[person % len(self.inks)]
            for mask, paint in ((rim, self.dark), (body.limbs(size, 0, 1), colour), (dots, self.light)):
                yield mask_layer(mask, self.finer, left, top, paint)

    def _box(self, joints: np.ndarray) -> np.ndarray:
        """Return (4,) left, top, right, bottom around `joints`, even, inside the frame."""
        margin = self.thick + self.rim + 2
        corners = np.stack([np.floor((joints.min(0) - margin) / 2), np.ceil((joints.max(0) + margin) / 2)])
        return np.clip(2 * corners.astype(int), 0, self.size).ravel()

    def _body(self, points: np.ndarray, trust: np.ndarray, edges: np.ndarray) -> DrawnPerson:
        thick = self.thick * self.finer
        length = np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1)
        width = np.clip(0.25 * length, min(1.4 * self.finer, thick), thick)  # face and hands must not become blots
        opacity = np.clip(
            MIN_JOINT_OPACITY + (1 - MIN_JOINT_OPACITY) * trust / FULL_OPACITY_SCORE, MIN_JOINT_OPACITY, 1
        )
        order = np.argsort(opacity[edges].min(1), kind="stable")  # sure limbs over faint ones
        edges, width = edges[order], width[order]
        joints = np.unique(edges[width == thick])
        return DrawnPerson(points[edges], width, opacity[edges].min(1), points[joints], opacity[joints])


class CountRing:
    """The running count in the top left corner, in a ring that fills as the current repetition goes on."""

    def __init__(self, width: int, height: int, matrix: Matrix) -> None:
        short = min(width, height)
        self.matrix, self.margin = matrix, even(0.03 * short)
        self.side = even(max(28, 0.18 * short))
        self.drawn: tuple[tuple[int, int], Layer] | None = None
        self.unknown = self._note("not analysed", max(9, round(0.035 * short)))

    def layers(self, count: int, phase: float, analysed: bool) -> Iterator[Layer]:
        """Yield the ring with the count, and a note where nothing was analysed.

        count: repetitions completed.
        phase: 0..1 through the current one, 0 between repetitions.
        """
        key = (count, round(phase * 120))
        if self.drawn is None or self.drawn[0] != key:
            self.drawn = key, self._ring(count, phase)
        yield self.drawn[1]
        if not analysed:
            yield self.unknown

    def _ring(self, count: int, phase: float) -> Layer:
        side = self.side * FINER
        fine = Image.new("RGBA", (side, side))
        draw, stroke, text = ImageDraw.Draw(fine), round(0.09 * side), str(count)
        draw.ellipse((0, 0, side - 1, side - 1), fill=(*DARK, PLATE))
        inner = (0.04 * side, 0.04 * side, 0.96 * side - 1, 0.96 * side - 1)
        draw.arc(inner, 0, 360, fill=over_dark(LIGHT, 0.28), width=stroke)
        if phase > 0:
            draw.arc(inner, -90, -90 + 360 * min(phase, 1), fill=(*ACCENT, 255), width=stroke)
        size = round(side * {1: 0.6, 2: 0.52, 3: 0.37}.get(len(text), 1.1 / len(text)))
        draw.text((side / 2, side / 2), text, (*LIGHT, 255), font(size), anchor="mm")
        return picture_layer(fine, self.margin, self.margin, self.matrix)

    def _note(self, text: str, size: int) -> Layer:
        box = font(size * FINER).getbbox(text)
        width, height = even(box[2] / FINER + size), even(1.8 * size)
        fine = Image.new("RGBA", (width * FINER, height * FINER))
        draw = ImageDraw.Draw(fine)
        draw.rounded_rectangle((0, 0, fine.width - 1, fine.height - 1), fine.height / 2, fill=(*DARK, PLATE))
        draw.text((fine.width / 2, fine.height / 2), text, (*LIGHT, 255), font(size * FINER), anchor="mm")
        return picture_layer(fine, self.margin, self.margin + even(self.side + 0.4 * size), self.matrix)


class TimeLine:
    """The whole clip along the bottom: the repetitions, what was not analysed, and where we are."""

    def __init__(
        self,
        width: int,
        height: int,
        matrix: Matrix,
        clip: tuple[float, float],
        analysed: np.ndarray | None,
        repetitions: np.ndarray,
    ) -> None:
        """Draw the strip of a clip once, as it looks before and after the current time.

        clip, analysed: begin and end, seconds (None: nothing is).
        repetitions: (R, 2) begin and end, seconds.
        """
        short = min(width, height)
        self.clip, self.width = clip, width - width % 2
        self.bar, self.margin = even(max(6, 0.032 * short)), even(0.03 * short)
        self.tall = even(self.bar + max(6, 0.024 * short))
        self.top = max(0, height - height % 2 - self.tall)
        self.passed, self.ahead = (self._strip(matrix, analysed, repetitions, share) for share in (1.0, 0.6))
        self.thick = even(max(2, 0.006 * short))
        line = Image.new("L", (self.thick, self.tall), 255)
        self.cursor = mask_layer(line, 1, 0, self.top, ink(LIGHT, matrix))

    def layers(self, now: float) -> Iterator[Layer]:
        """Yield the strip as it looks at a time.

        now: seconds.
        """
        at = min(max(2 * round(self._column(now) / 2), 0), self.width)
        if at:
            yield self.passed.columns(0, at)
        if at < self.width:
            yield self.ahead.columns(at, self.width)
        yield replace(self.cursor, left=min(max(at - 2 * round(self.thick / 4), 0), self.width - self.thick))

    def _column(self, time: Seconds) -> Seconds:
        begin, end = self.clip
        return self.margin + (self.width - 2 * self.margin) * (time - begin) / max(end - begin, 1e-9)

    def _strip(self, matrix: Matrix, analysed: np.ndarray | None, repetitions: np.ndarray, share: float) -> Layer:
        fine = Image.new("RGBA", (self.width * FINER, self.tall * FINER), (*DARK, PLATE))
        draw, middle = ImageDraw.Draw(fine), self.tall * FINER / 2
        thin, half = max(1.0, 0.06 * self.bar * FINER), self.bar * FINER / 2
        left, right = (self._column(t) * FINER for t in self.clip)
        for x in np.arange(left, right, 6 * thin):  # dots, where nobody looked
            draw.rectangle((x, middle - thin, x + thin, middle + thin), fill=over_dark(LIGHT, 0.5 * share))
        if analysed is not None:
            begin, end = self._column(analysed) * FINER
            draw.rectangle((begin, middle - 2 * thin, end, middle + 2 * thin), fill=(*DARK, PLATE))
            draw.rectangle((begin, middle - thin, end, middle + thin), fill=over_dark(LIGHT, share))
        ends = self._column(repetitions) * FINER
        letters = self._letters(ends)
        for number, (begin, end) in enumerate(ends.tolist(), 1):
            end = max(end - FINER, begin + 1)  # a seam between neighbours
            corner = min(half, (end - begin) / 2) / 2
            fill = over_dark(REPETITION_COLOURS[number % 2], share)
            draw.rounded_rectangle((begin, middle - half, end, middle + half), corner, fill=fill)
            if letters and letters.getlength(str(number)) < end - begin:
                colour = (*DARK, 255) if share == 1 and number % 2 == 0 else over_dark(LIGHT, 0.4 + 0.6 * share)
                draw.text(((begin + end) / 2, middle), str(number), colour, letters, anchor="mm")
        return picture_layer(fine, 0, self.top, matrix)

    def _letters(self, ends: np.ndarray) -> ImageFont.FreeTypeFont | None:
        """Return the font for the repetitions' numbers, unless the bar is too low or most bands too narrow."""
        size = round(0.72 * self.bar * FINER)
        if size < 9 * FINER or not len(ends):
            return None
        room = float(np.median(ends[:, 1] - ends[:, 0]))
        return font(size) if font(size).getlength(str(len(ends))) < 0.85 * room else None
