"""Simple coloured meshes: boxes, cylinders, and the gear made of them.

Vertices are (V, 3) m, faces (F, 3), colours (V, 3).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from racctl.synth.rotate import between, unit


@dataclass(frozen=True)
class Mesh:
    """vertices (V, 3) m, faces (F, 3) int32, colours (V, 3) 0..1."""

    vertices: np.ndarray
    faces: np.ndarray
    colours: np.ndarray


def merge_meshes(meshes: list[Mesh]) -> Mesh:
    """Merge several meshes into one."""
    if not meshes:
        return Mesh(np.zeros((0, 3)), np.zeros((0, 3), np.int32), np.zeros((0, 3)))
    offsets = np.cumsum([0, *(len(m.vertices) for m in meshes[:-1])])
    return Mesh(
        np.concatenate([m.vertices for m in meshes]),
        np.concatenate([m.faces + k for m, k in zip(meshes, offsets, strict=True)]).astype(np.int32),
        np.concatenate([m.colours for m in meshes]),
    )


def box(low: tuple[float, float, float], high: tuple[float, float, float], colour: tuple[float, ...]) -> Mesh:
    """Return an upright box from one corner to the other.

    Every side has vertices of its own, so its edges stay sharp.
    """
    vertices: list[list[float]] = []
    faces: list[list[int]] = []
    for axis in range(3):
        for side in (low, high):
            corners = []
            for a, b in ((0, 0), (1, 0), (1, 1), (0, 1)):
                point = [0.0, 0.0, 0.0]
                point[axis] = side[axis]
                point[(axis + 1) % 3] = (low, high)[a][(axis + 1) % 3]
                point[(axis + 2) % 3] = (low, high)[b][(axis + 2) % 3]
                corners.append(point)
            if side is low:
                corners.reverse()
            faces += [
                [len(vertices), len(vertices) + 1, len(vertices) + 2],
                [len(vertices), len(vertices) + 2, len(vertices) + 3],
            ]
            vertices += corners
    return Mesh(np.array(vertices), np.array(faces, np.int32), np.tile(np.array(colour, float), (len(vertices), 1)))


def rod(first: np.ndarray, last: np.ndarray, radius: float, colour: tuple[float, ...], sides: int = 10) -> Mesh:
    """Return a closed cylinder between two points."""
    turn = between(np.array([0.0, 0, 1]), unit(last - first))
    angle = np.arange(sides) * 2 * np.pi / sides
    ring = np.stack([np.cos(angle), np.sin(angle), np.zeros(sides)], 1) * radius @ turn.T
    vertices = np.concatenate([first + ring, last + ring, [first], [last]])
    here = np.arange(sides)
    after = (here + 1) % sides
    faces = np.concatenate(
        [
            np.stack([here, after, here + sides], 1),
            np.stack([after, after + sides, here + sides], 1),
            np.stack([after, here, np.full(sides, 2 * sides)], 1),
            np.stack([here + sides, after + sides, np.full(sides, 2 * sides + 1)], 1),
        ]
    )
    return Mesh(vertices, faces.astype(np.int32), np.tile(np.array(colour, float), (len(vertices), 1)))


DISC = 0.055  # m, radius of a dumbbell's discs


def dumbbell(middle: np.ndarray, along: np.ndarray) -> Mesh:
    """Return a dumbbell at `middle`, its bar in the direction `along`."""
    along = unit(along)
    ends = [
        rod(middle + along * a, middle + along * b, DISC, (0.12, 0.12, 0.13)) for a, b in ((-0.15, -0.07), (0.07, 0.15))
    ]
    return merge_meshes([rod(middle - along * 0.15, middle + along * 0.15, 0.015, (0.6, 0.6, 0.62)), *ends])


def barbell(middle: np.ndarray, along: np.ndarray) -> Mesh:
    """Return two metres of bar with plates."""
    along = unit(along)
    plates = [
        rod(middle + along * a, middle + along * b, 0.2, (0.1, 0.1, 0.12), 16)
        for a, b in ((-0.82, -0.74), (0.74, 0.82))
    ]
    return merge_meshes([rod(middle - along * 1.0, middle + along * 1.0, 0.014, (0.62, 0.62, 0.65)), *plates])


def bench(middle: np.ndarray, height: float, heading: float) -> Mesh:
    """Return a padded bench along the body, its top at `height`."""
    mesh = merge_meshes(
        [
            box((-0.14, -0.25, height - 0.08), (0.14, 0.95, height), (0.12, 0.12, 0.14)),
            box((-0.05, -0.1, 0), (0.05, 0.0, height - 0.08), (0.5, 0.5, 0.5)),
            box((-0.05, 0.8, 0), (0.05, 0.9, height - 0.08), (0.5, 0.5, 0.5)),
        ]
    )
    cos, sin = np.cos(heading), np.sin(heading)
    turned = mesh.vertices @ np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
    return Mesh(turned + np.array([middle[0], middle[1], 0]), mesh.faces, mesh.colours)


def horse(left: np.ndarray, right: np.ndarray, height: float) -> Mesh:
    """Return a pommel horse, lengthwise to the person's left and right.

    `left`, `right`: where its two pommels are held.
    """
    x, y = (left + right)[:2] / 2
    body = box((x - 0.8, y - 0.18, height - 0.45), (x + 0.8, y + 0.18, height - 0.1), (0.55, 0.35, 0.2))
    legs = [
        rod(np.array([x + a, y, 0]), np.array([x + a, y, height - 0.45]), 0.04, (0.4, 0.4, 0.4)) for a in (-0.5, 0.5)
    ]
    pommels = [
        rod(np.array([x + a, y - 0.1, height - 0.02]), np.array([x + a, y + 0.1, height - 0.02]), 0.02, (0.8, 0.8, 0.8))
        for a in (left[0] - x, right[0] - x)
    ]
    return merge_meshes([body, *legs, *pommels])


def pull_up_bar(middle: np.ndarray, height: float) -> Mesh:
    """Return two posts and a bar."""
    x, y = middle[:2]
    posts = [rod(np.array([x + a, y, 0]), np.array([x + a, y, height]), 0.03, (0.35, 0.35, 0.37)) for a in (-0.8, 0.8)]
    return merge_meshes(
        [*posts, rod(np.array([x - 0.85, y, height]), np.array([x + 0.85, y, height]), 0.016, (0.7, 0.7, 0.7))]
    )


def clutter(rng: np.random.Generator, room: float, number: int, clear: np.ndarray) -> Mesh:
    """Put boxes, racks and posts along the walls.

    They are away from the middle and from the direction `clear` (2,) of the camera.
    """
    parts = []
    for _ in range(number):
        angle, distance = np.arctan2(*clear) + np.pi + rng.uniform(-2.1, 2.1), rng.uniform(0.3, 0.46) * room
        at = np.array([np.sin(angle), np.cos(angle)]) * distance
        colour, kind = tuple(rng.uniform(0.05, 0.8, 3)), rng.random()
        wide, high = rng.uniform(0.15, 0.7), rng.uniform(0.3, 1.9)
        if kind < 0.6:
            parts.append(box((at[0] - wide, at[1] - wide, 0), (at[0] + wide, at[1] + wide, high), colour))
        elif kind < 0.8:
            parts.append(rod(np.array([*at, 0]), np.array([*at, high]), 0.5 * wide, colour))
        else:
            shelf = [
                box((at[0] - wide, at[1] - 0.2, z), (at[0] + wide, at[1] + 0.2, z + 0.05), (0.3, 0.3, 0.3))
                for z in (0.3, 0.7)
            ]
            weights = [
                dumbbell(np.array([at[0] + d, at[1], 0.42 + z]), np.array([0.0, 1, 0]))
                for d in (-0.2, 0.1)
                for z in (0, 0.4)
            ]
            parts += [*shelf, *weights]
    return merge_meshes(parts)
