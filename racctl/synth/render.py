"""A planned clip as pictures, masks and what is visible in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, uniform_filter

from racctl.synth import kernels, raster, scene
from racctl.synth.body import Body
from racctl.synth.camera import CameraView
from racctl.synth.ground import Placed
from racctl.synth.plan import Person, PictureSettings, Plan, generator
from racctl.synth.shapes import Mesh
from racctl.synth.wardrobe import dress

Buffers = tuple[np.ndarray, np.ndarray, np.ndarray]  # depth (H, W), image (H, W, 3), labels (H, W)

NOTHING_LABEL, PERSON_LABEL, BYSTANDER_LABEL, THING_LABEL = range(4)
FINE = 360  # pictures with a shorter side than this are drawn at twice the size and averaged
SHADOW = 0.42  # how much darker
STREAK = 1.5  # pixels of motion while the shutter is open for which one more exposure is averaged
EXPOSURES = 5  # at most, in one frame; odd, so that one of them is the middle


@dataclass(frozen=True)
class Actor:
    """A dressed body and its motion."""

    body: Body
    placed: Placed
    vertices: np.ndarray
    colours: np.ndarray
    label: int


@dataclass(frozen=True)
class Shot:
    """One frame.

    image: (H, W, 3) uint8.
    mask: (H, W) uint8 {0, 1}, the person.
    front: (P,) metres from the camera to what is in front at each point asked for, inf outside the picture.
    by: (P,) whose surface that is.
    """

    image: np.ndarray
    mask: np.ndarray
    front: np.ndarray
    by: np.ndarray


def actor(body: Body, placed: Placed, person: Person, label: int) -> Actor:
    """Dress a body for its scene."""
    vertices, colours = dress(body, person)
    return Actor(body, placed, vertices, colours, label)


def shots(
    plan: Plan, actors: list[Actor], view: CameraView, props: list[tuple[str, ...]], points: np.ndarray
) -> Iterator[Shot]:
    """Yield every frame of a clip.

    points: (T, P, 3) as `View.see` gives them.
    props: (T,) what the person holds.

    What moves is blurred over the time that the shutter is open; mask, front and by are those of the middle of it.
    """
    factor = 2 if min(view.size) <= FINE else 1
    width, height = view.size[0] * factor, view.size[1] * factor
    main = actors[0]
    held = tuple(dict.fromkeys(name for frame in props for name in frame))
    around = scene.furnish(plan.room, view, held, main.placed, main.body)
    stage, gear = _Stage(plan, view, around, factor), scene.Gear(props, main.body, main.placed.places)
    rng = generator(plan.seed, plan.number, 8)
    curve = np.linspace(0, 1, 4096) ** (0.8 * plan.picture.gamma)
    for t in range(len(points)):
        depth, image, labels = stage.empty(t)
        if plan.room.distractors:
            moving = scene.passer_by(
                around.seed, t / plan.picture.fps, around.half, view, main.placed.places[:, 0].mean(0)
            )
            stage.draw_mesh(t, moving, THING_LABEL, depth, image, labels)
        stage.shade_floor(t, actors, depth, image)
        stage.expose(t, actors, gear, (depth, image, labels))
        front, by = _in_front(points[t] * [factor, factor, 1], depth, labels, width, height)
        small, mask = kernels.shrunk(image, labels, PERSON_LABEL, factor, plan.picture.gain, curve)
        yield Shot(_develop(small, plan.picture, rng), mask, front, by)


class _Stage:
    """The buffers and constants of one clip."""

    def __init__(self, plan: Plan, view: CameraView, around: scene.Surroundings, factor: int) -> None:
        self.view, self.around, self.factor = view, around, factor
        self.shape = (view.size[1] * factor, view.size[0] * factor)
        azimuth, elevation, self.strength, self.ambient = plan.room.light
        azimuth, elevation = np.deg2rad(azimuth), np.deg2rad(elevation)
        self.light = np.array(
            [np.sin(azimuth) * np.cos(elevation), -np.cos(azimuth) * np.cos(elevation), np.sin(elevation)]
        )
        self.shutter = plan.picture.shutter
        self.background: Buffers | None = None
        self.known: dict[tuple[int, int], np.ndarray] = {}  # posed bodies of this frame and its neighbours

    def empty(self, t: int) -> Buffers:
        """Return the depth, image and labels of the room with what never moves in it."""
        if self.background is None or not self.view.still:
            depth, image, labels = np.empty(self.shape), np.empty((*self.shape, 3)), np.zeros(self.shape, np.uint8)
            raster.backdrop(
                self.view.turns[t],
                self.view.places[t],
                self.view.focal * self.factor,
                self.around.half,
                scene.CEILING,
                self.around.textures,
                self.around.metres,
                depth,
                image,
            )
            image *= self.ambient + self.strength * 0.75
            self.draw_mesh(t, self.around.still, THING_LABEL, depth, image, labels)
            self.background = depth, image, labels
        depth, image, labels = self.background
        return depth.copy(), image.copy(), labels.copy()

    def project(self, t: int, vertices: np.ndarray) -> np.ndarray:
        """Project points (V, 3) of the world to pixels and depth."""
        height, width = self.shape
        return kernels.project(
            vertices, self.view.turns[t], self.view.places[t], self.view.focal * self.factor, width, height
        )

    def lit(self, colours: np.ndarray, outward: np.ndarray, both: bool = False) -> np.ndarray:
        """Return colours (V, 3) of surfaces that face `outward`."""
        return kernels.lit(colours, outward, self.light, self.strength, self.ambient, both)

    def draw_mesh(
        self, t: int, mesh: Mesh, label: int, depth: np.ndarray, image: np.ndarray, labels: np.ndarray
    ) -> None:
        if not len(mesh.faces):
            return
        lit = self.lit(mesh.colours, self.outward(mesh.vertices, mesh.faces), True)
        raster.fill(self.project(t, mesh.vertices), mesh.faces, lit, label, depth, image, labels)

    def posed(self, t: int, figure: Actor) -> np.ndarray:
        """Return (V, 3) m, in the room; not to be changed."""
        if (t, figure.label) not in self.known:
            self.known = {key: vertices for key, vertices in self.known.items() if key[0] >= t - 2}
            turns, places = figure.placed.turns[t], figure.placed.places[t]
            out = np.empty_like(figure.vertices)
            shifts = places - np.einsum("nij,nj->ni", turns, figure.body.bones.head)
            raster.skin(
                figure.vertices, figure.body.skin, figure.body.weights, np.ascontiguousarray(turns), shifts, out
            )
            self.known[t, figure.label] = out
        return self.known[t, figure.label]

    def moment(self, t: int, offset: float, figure: Actor) -> np.ndarray:
        """Return (V, 3) m at `offset` frames from t, between the neighbours' places."""
        here = self.posed(t, figure)
        if offset == 0:
            return here
        neighbour = self.posed(min(max(t + (1 if offset > 0 else -1), 0), len(figure.placed.turns) - 1), figure)
        return here + abs(offset) * (neighbour - here)

    def offsets(self, t: int, actors: list[Actor]) -> np.ndarray:
        """Return when the frame is exposed, in frames from t: as often as the motion needs, the middle one being 0."""
        reach = 0.0
        for figure in actors if self.shutter else ():
            ends = [self.project(t, self.moment(t, s * self.shutter / 2, figure)[figure.body.hull]) for s in (-1, 1)]
            reach = max(reach, float(np.abs(ends[0] - ends[1])[:, :2].max()) / self.factor)
        number = int(np.clip(np.ceil(reach / STREAK), 1, EXPOSURES)) | 1
        return (np.arange(number) - number // 2) / number * self.shutter

    def expose(self, t: int, actors: list[Actor], gear: scene.Gear, buffers: Buffers) -> None:
        """Draw what moves, averaged over the exposures; depth and labels become those of the middle one."""
        offsets = self.offsets(t, actors)
        shades = [self.lit(figure.colours, self.outward(self.posed(t, figure), figure.body.faces)) for figure in actors]
        moments = []
        for offset in offsets:
            drawn = [
                (self.project(t, self.moment(t, offset, figure)), figure.body.faces, shade, figure.label)
                for figure, shade in zip(actors, shades, strict=True)
            ]
            held = gear.at(t, offset)
            lit = self.lit(held.colours, self.outward(held.vertices, held.faces), True)
            moments.append([*drawn, (self.project(t, held.vertices), held.faces, lit, THING_LABEL)])
        corner, box = _box([points for moment in moments for points, *_ in moment], self.shape)
        clean = [buffer[box] for buffer in buffers]
        total = np.zeros(1)
        for offset, moment in zip(offsets, moments, strict=True):
            work = tuple(np.ascontiguousarray(part) if len(offsets) == 1 else part.copy() for part in clean)
            for points, faces, shade, label in moment:
                raster.fill(points - corner, faces, shade, label, *work)
            total = total + work[1]
            if offset == 0:
                middle = work
        buffers[0][box], buffers[1][box], buffers[2][box] = middle[0], total / len(offsets), middle[2]

    def outward(self, vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
        """Return unit normals (V, 3)."""
        out = np.empty_like(vertices)
        raster.normals(vertices, faces, out)
        return out

    def shade_floor(self, t: int, actors: list[Actor], depth: np.ndarray, image: np.ndarray) -> None:
        """Draw soft shadows of the people on the floor."""
        dark = np.zeros(self.shape)
        for figure in actors:
            vertices = self.posed(t, figure)
            vertices = vertices - self.light * (vertices[:, 2:] / self.light[2])
            raster.shadow(self.project(t, vertices), figure.body.faces, dark)
        rows = np.flatnonzero(dark.any(1))
        if len(rows):
            part = slice(max(0, rows[0] - 12), rows[-1] + 13)
            dark[part] = uniform_filter(dark[part], 5 * self.factor)
            turn, focal = self.view.turns[t], self.view.focal * self.factor
            kernels.darken(image, depth, dark, turn, self.view.places[t, 2], focal, SHADOW)


def _box(points: list[np.ndarray], shape: tuple[int, int]) -> tuple[np.ndarray, tuple[slice, slice]]:
    """Return the rectangle of the picture that holds all `points` (V, 3).

    Its corner (x, y, 0), its rows and columns.
    """
    near = np.concatenate([part[part[:, 2] > raster.MIN_DEPTH, :2] for part in points])
    low, high = (near.min(0), near.max(0)) if len(near) else (np.zeros(2), np.zeros(2))
    left, top = (int(v) for v in np.clip(np.floor(low) - 1, 0, np.array(shape[::-1]) - 1))
    right, foot = (int(v) for v in np.clip(np.ceil(high) + 1, (left + 1, top + 1), shape[::-1]))
    return np.array([left, top, 0.0]), (slice(top, foot), slice(left, right))


def _in_front(
    points: np.ndarray, depth: np.ndarray, labels: np.ndarray, width: int, height: int
) -> tuple[np.ndarray, np.ndarray]:
    column, row = np.floor(points[:, 0]).astype(int), np.floor(points[:, 1]).astype(int)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height) & (points[:, 2] > raster.MIN_DEPTH)
    column, row = np.clip(column, 0, width - 1), np.clip(row, 0, height - 1)
    return np.where(inside, depth[row, column], np.inf), np.where(inside, labels[row, column], NOTHING_LABEL)


def _develop(image: np.ndarray, picture: PictureSettings, rng: np.random.Generator) -> np.ndarray:
    """Blur and noise; (H, W, 3) float32 0..1 -> uint8."""
    if picture.blur > 0.3:
        image = gaussian_filter(image, (picture.blur, picture.blur, 0), truncate=2.5)
    if picture.noise > 0.004:
        image = image + rng.standard_normal(image.shape, np.float32) * np.float32(picture.noise)
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
