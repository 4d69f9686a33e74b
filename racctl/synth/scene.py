"""What stands in the picture besides the person: room, gear, clutter, a second person, something in the way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from racctl.synth import shapes
from racctl.synth.body import Body
from racctl.synth.camera import CameraView
from racctl.synth.ground import BENCH, HELD_AT, Placed
from racctl.synth.plan import Room, generator
from racctl.synth.shapes import Mesh

TEXTURE = 192  # pixels of a side
CEILING = 3.4  # m
MAT = 0.012


@dataclass(frozen=True)
class Surroundings:
    """textures (3, S, S, 3), the metres they span (3,), half the room's width in m, and what never moves."""

    textures: np.ndarray
    metres: np.ndarray
    half: float
    still: Mesh
    seed: int


def furnish(room: Room, view: CameraView, props: tuple[str, ...], placed: Placed, body: Body) -> Surroundings:
    """Return the room of a clip, at least as large as the camera needs."""
    rng = generator(room.texture)
    half = max(room.size / 2, np.abs(view.places[0, :2]).max() + 0.4)
    middle = placed.places[:, 0].mean(0)
    meshes = [shapes.clutter(rng, 2 * half, room.clutter, view.places[0, :2] - middle[:2])] if room.clutter else []
    if "bench" in props:
        meshes.append(shapes.bench(placed.places[:, body.bones.joint["pelvis"]].mean(0), BENCH - 0.005, 0.0))
    if "mat" in props:
        colour = tuple(rng.uniform(0.1, 0.7, 3))
        meshes.append(
            shapes.box((middle[0] - 0.4, middle[1] - 1.0, 0), (middle[0] + 0.4, middle[1] + 1.0, MAT), colour)
        )
    grips = [np.median(placed.places[:, body.bones.joint[f"{side}_fingers"]], 0) for side in ("left", "right")]
    if "bar" in props:
        meshes.append(shapes.pull_up_bar((grips[0] + grips[1]) / 2, HELD_AT["bar"]))
    if "horse" in props:
        meshes.append(shapes.horse(grips[0], grips[1], HELD_AT["horse"]))
    if room.occluders:
        meshes.append(_in_the_way(rng, view, middle))
    textures = np.stack(
        [
            _texture(rng, room.floor, room.style, "floor"),
            _texture(rng, room.wall, room.style, "wall"),
            np.full((TEXTURE, TEXTURE, 3), 0.9),
        ]
    )
    return Surroundings(textures, np.array([2.0, 3.4, 2.0]), float(half), shapes.merge_meshes(meshes), room.texture)


def _in_the_way(rng: np.random.Generator, view: CameraView, middle: np.ndarray) -> Mesh:
    """Return a box or a post between the camera and the person, low or narrow."""
    toward = view.places[0, :2] - middle[:2]
    at = middle[:2] + toward * rng.uniform(0.35, 0.6) + np.array([-toward[1], toward[0]]) * rng.uniform(-0.1, 0.1)
    wide, high = (rng.uniform(0.15, 0.4), rng.uniform(0.25, 0.5)) if rng.random() < 0.6 else (0.04, 2.2)
    return shapes.box(
        (at[0] - wide, at[1] - wide, 0), (at[0] + wide, at[1] + wide, high), tuple(rng.uniform(0.1, 0.8, 3))
    )


def _texture(rng: np.random.Generator, colour: tuple[float, ...], style: str, kind: str) -> np.ndarray:
    """Return (S, S, 3): one colour with soft unevenness; tiles, boards, bricks or stripes where the style has them."""
    noise = rng.standard_normal((TEXTURE, TEXTURE))
    soft = gaussian_filter(noise, 12, mode="wrap")
    value = 1 + 0.05 * soft / soft.std() + 0.015 * noise
    if style != "plain":
        pattern = int(rng.integers(4))
        row, column = np.mgrid[:TEXTURE, :TEXTURE]
        cell = TEXTURE // int(rng.integers(4, 12))
        shifted = column + (row // cell % 2) * (cell // 2) * (pattern == 1)
        lines = {
            0: (row % cell < 2) | (column % cell < 2),
            1: (row % cell < 2) | (shifted % (2 * cell) < 2),
            2: column % cell < cell // 2,
            3: row % cell < 2,
        }[pattern]
        tones = rng.normal(1, 0.06, (TEXTURE // cell + 2, 2 * TEXTURE // cell + 2))
        value = value * tones[row // cell, shifted // cell] * np.where(lines, rng.uniform(0.7, 0.92), 1)
    out = np.clip(value[..., None] * np.array(colour), 0, 1)
    if style == "gym" and kind == "wall":
        for _ in range(int(rng.integers(1, 4))):  # posters and windows
            top, left = rng.integers(20, 90), rng.integers(0, TEXTURE - 50)
            out[top : top + rng.integers(20, 60), left : left + rng.integers(20, 50)] = rng.uniform(0.05, 1, 3)
    return out


@dataclass(frozen=True)
class Gear:
    """What the hands hold, or have laid down, over a clip.

    props: (T,) what. places (T, N, 3) m of the bones.
    """

    props: list[tuple[str, ...]]
    body: Body
    places: np.ndarray

    def at(self, t: int, offset: float) -> Mesh:
        """Return what is held at `offset` frames from frame t, between its neighbours' places."""
        neighbour = min(max(t + int(np.sign(offset)), 0), len(self.places) - 1)
        places = self.places[t] + abs(offset) * (self.places[neighbour] - self.places[t])
        meshes = [gear(self.props[t], self.body, places)]
        held = [k for k, props in enumerate(self.props) if "dumbbells" in props]
        if "dumbbells_down" in self.props[t] and held:
            meshes.append(_laid_down(self.body, self.places[min(held, key=lambda k: abs(k - t))]))
        return shapes.merge_meshes(meshes)


def _laid_down(body: Body, places: np.ndarray) -> Mesh:
    """Return dumbbells on the floor below the hands as they were when they took hold or let go."""
    meshes = []
    for side in ("left", "right"):
        at, along = _grip(body, side, places)
        meshes.append(shapes.dumbbell(np.array([at[0], at[1], shapes.DISC]), along * [1, 1, 0] + [0, 1e-6, 0]))
    return shapes.merge_meshes(meshes)


def gear(props: tuple[str, ...], body: Body, places: np.ndarray) -> Mesh:
    """Return what the hands hold in one frame. places (N, 3) m of the bones in the world."""
    meshes = []
    hands = {side: _grip(body, side, places) for side in ("left", "right")}
    if "dumbbells" in props:
        meshes += [shapes.dumbbell(at, along) for at, along in hands.values()]
    if "barbell" in props:
        (left, _), (right, _) = hands.values()
        meshes.append(shapes.barbell((left + right) / 2, left - right + np.array([1e-6, 0, 0])))
    if "cup" in props:
        at, _ = hands["left"]
        meshes.append(shapes.rod(at - np.array([0, 0, 0.08]), at + np.array([0, 0, 0.12]), 0.035, (0.2, 0.5, 0.8)))
    return shapes.merge_meshes(meshes)


def _grip(body: Body, side: str, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where a fist holds a bar, and the direction of the bar: across the knuckles."""
    letter, names = side[0].upper(), body.bones.names
    index, little, tip = (places[names.index(f"{bone}.{letter}")] for bone in ("finger2-1", "finger5-1", "finger3-2"))
    return 0.5 * (index + little) * 0.5 + 0.5 * tip, index - little


def passer_by(seed: int, time: float, half: float, view: CameraView, middle: np.ndarray) -> Mesh:
    """Return a coloured thing that crosses the background, as people and balls do."""
    rng = generator(seed, 9)
    away = middle[:2] - view.places[0, :2]
    away /= np.linalg.norm(away) + 1e-9
    side = np.array([-away[1], away[0]])
    start, speed, far = rng.uniform(-3, -1), rng.uniform(0.4, 1.4), rng.uniform(1.5, 2.6)
    at = middle[:2] + away * min(far, half) + side * (start + (speed * time) % 6)
    high, wide = rng.uniform(0.3, 1.7), rng.uniform(0.1, 0.3)
    return shapes.box(
        (at[0] - wide, at[1] - wide, 0.0), (at[0] + wide, at[1] + wide, high), tuple(rng.uniform(0.05, 0.9, 3))
    )
