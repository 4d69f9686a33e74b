"""A planned clip as pictures, masks and what is visible in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, uniform_filter

from racctl.synth import kernels, raster, scene
from racctl.synth.body import Body
from racctl.synth.camera import View
from racctl.synth.ground import Placed
from racctl.synth.plan import Picture, Plan, generator
from racctl.synth.shapes import Mesh
from racctl.synth.wardrobe import dress

NOTHING, PERSON, OTHER, THING = range(4)
FINE = 360  # pictures with a shorter side than this are drawn at twice the size and averaged
SHADOW = 0.42  # how much darker


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
    """One frame. image: (H, W, 3) uint8.  mask: (H, W) uint8 {0, 1}, the person.  front: (P,) metres from the camera to
    what is in front at each point asked for, inf outside the picture.  by: (P,) whose surface that is."""

    image: np.ndarray
    mask: np.ndarray
    front: np.ndarray
    by: np.ndarray


def actor(body: Body, placed: Placed, person, label: int) -> Actor:
    """Dress a body for its scene."""
    vertices, colours = dress(body, person)
    return Actor(body, placed, vertices, colours, label)


def shots(
    plan: Plan, actors: list[Actor], view: View, props: list[tuple[str, ...]], points: np.ndarray
) -> Iterator[Shot]:
    """Every frame of a clip. points: (T, P, 3) as `View.see` gives them. props: (T,) what the person holds."""
    factor = 2 if min(view.size) <= FINE else 1
    width, height = view.size[0] * factor, view.size[1] * factor
    main = actors[0]
    held = tuple(dict.fromkeys(name for frame in props for name in frame))
    around = scene.furnish(plan.room, view, held, main.placed, main.body)
    stage = _Stage(plan, view, around, factor)
    rng = generator(plan.seed, plan.number, 8)
    curve = np.linspace(0, 1, 4096) ** (0.8 * plan.picture.gamma)
    for t in range(len(points)):
        depth, image, labels = stage.empty(t)
        gear = scene.gear(props[t], main.body, main.placed.places[t])
        if plan.room.distractors:
            moving = scene.passer_by(
                around.seed, t / plan.picture.fps, around.half, view, main.placed.places[:, 0].mean(0)
            )
            stage.draw_mesh(t, moving, THING, depth, image, labels)
        stage.shade_floor(t, actors, depth, image)
        for one in actors:
            stage.draw_actor(t, one, depth, image, labels)
        stage.draw_mesh(t, gear, THING, depth, image, labels)
        front, by = _in_front(points[t] * [factor, factor, 1], depth, labels, width, height)
        small, mask = kernels.shrunk(image, labels, PERSON, factor, plan.picture.gain, curve)
        yield Shot(_develop(small, plan.picture, rng), mask, front, by)


class _Stage:
    """The buffers and constants of one clip."""

    def __init__(self, plan: Plan, view: View, around: scene.Surroundings, factor: int) -> None:
        self.view, self.around, self.factor = view, around, factor
        self.shape = (view.size[1] * factor, view.size[0] * factor)
        azimuth, elevation, self.strength, self.ambient = plan.room.light
        azimuth, elevation = np.deg2rad(azimuth), np.deg2rad(elevation)
        self.light = np.array(
            [np.sin(azimuth) * np.cos(elevation), -np.cos(azimuth) * np.cos(elevation), np.sin(elevation)]
        )
        self.background: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None

    def empty(self, t: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Depth, image and labels of the room with what never moves in it."""
        if self.background is None or not self.view.still:
            depth, image, labels = np.empty(self.shape), np.empty((*self.shape, 3)), np.zeros(self.shape, np.uint8)
            raster.backdrop(
                self.view.turns[t], self.view.places[t], self.view.focal * self.factor, self.around.half, scene.CEILING,
                self.around.textures, self.around.metres, depth, image,
            )  # fmt: skip
            image *= self.ambient + self.strength * 0.75
            self.draw_mesh(t, self.around.still, THING, depth, image, labels)
            self.background = depth, image, labels
        depth, image, labels = self.background
        return depth.copy(), image.copy(), labels.copy()

    def project(self, t: int, vertices: np.ndarray) -> np.ndarray:
        """World (V, 3) -> pixels and depth."""
        height, width = self.shape
        return kernels.project(
            vertices, self.view.turns[t], self.view.places[t], self.view.focal * self.factor, width, height
        )

    def lit(self, colours: np.ndarray, outward: np.ndarray, both: bool = False) -> np.ndarray:
        """Colours (V, 3) of surfaces that face `outward`."""
        return kernels.lit(colours, outward, self.light, self.strength, self.ambient, both)

    def draw_mesh(
        self, t: int, mesh: Mesh, label: int, depth: np.ndarray, image: np.ndarray, labels: np.ndarray
    ) -> None:
        if not len(mesh.faces):
            return
        outward = np.empty_like(mesh.vertices)
        raster.normals(mesh.vertices, mesh.faces, outward)
        raster.fill(
            self.project(t, mesh.vertices),
            mesh.faces,
            self.lit(mesh.colours, outward, True),
            label,
            depth,
            image,
            labels,
        )

    def posed(self, t: int, one: Actor) -> np.ndarray:
        turns, places = one.placed.turns[t], one.placed.places[t]
        out = np.empty_like(one.vertices)
        shifts = places - np.einsum("nij,nj->ni", turns, one.body.bones.head)
        raster.skin(one.vertices, one.body.skin, one.body.weights, np.ascontiguousarray(turns), shifts, out)
        return out

    def draw_actor(self, t: int, one: Actor, depth: np.ndarray, image: np.ndarray, labels: np.ndarray) -> None:
        vertices = self.posed(t, one)
        outward = np.empty_like(vertices)
        raster.normals(vertices, one.body.faces, outward)
        raster.fill(
            self.project(t, vertices), one.body.faces, self.lit(one.colours, outward), one.label, depth, image, labels
        )

    def shade_floor(self, t: int, actors: list[Actor], depth: np.ndarray, image: np.ndarray) -> None:
        """Soft shadows of the people on the floor."""
        dark = np.zeros(self.shape)
        for one in actors:
            vertices = self.posed(t, one)
            vertices -= self.light * (vertices[:, 2:] / self.light[2])
            raster.shadow(self.project(t, vertices), one.body.faces, dark)
        rows = np.flatnonzero(dark.any(1))
        if len(rows):
            part = slice(max(0, rows[0] - 12), rows[-1] + 13)
            dark[part] = uniform_filter(dark[part], 5 * self.factor)
            turn, focal = self.view.turns[t], self.view.focal * self.factor
            kernels.darken(image, depth, dark, turn, self.view.places[t, 2], focal, SHADOW)


def _in_front(
    points: np.ndarray, depth: np.ndarray, labels: np.ndarray, width: int, height: int
) -> tuple[np.ndarray, np.ndarray]:
    column, row = np.floor(points[:, 0]).astype(int), np.floor(points[:, 1]).astype(int)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height) & (points[:, 2] > raster.NEAR)
    column, row = np.clip(column, 0, width - 1), np.clip(row, 0, height - 1)
    return np.where(inside, depth[row, column], np.inf), np.where(inside, labels[row, column], NOTHING)


def _develop(image: np.ndarray, picture: Picture, rng: np.random.Generator) -> np.ndarray:
    """Blur and noise; (H, W, 3) float32 0..1 -> uint8."""
    if picture.blur > 0.3:
        image = gaussian_filter(image, (picture.blur, picture.blur, 0), truncate=2.5)
    if picture.noise > 0.004:
        image = image + rng.standard_normal(image.shape, np.float32) * np.float32(picture.noise)
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
