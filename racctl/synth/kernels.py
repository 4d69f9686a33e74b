"""The inner loops around the rasteriser: bones, skinning whole clips, light, projection, and halving a picture."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)
def skin_clip(  # pragma: no cover (compiled)
    vertices: np.ndarray,
    bones: np.ndarray,
    weights: np.ndarray,
    turns: np.ndarray,
    places: np.ndarray,
    heads: np.ndarray,
) -> np.ndarray:
    """Move P points with their bones over T frames (linear blend skinning); returns (T, P, 3).

    vertices: (P, 3) at rest.
    bones: (P, B) int32.
    weights: (P, B).
    turns: (T, N, 3, 3).
    places: (T, N, 3).
    heads: (N, 3).
    """
    out = np.zeros((turns.shape[0], vertices.shape[0], 3))
    for t in range(turns.shape[0]):
        for v in range(vertices.shape[0]):
            for k in range(bones.shape[1]):
                w = weights[v, k]
                if w > 0.0:
                    b = bones[v, k]
                    x, y, z = vertices[v, 0] - heads[b, 0], vertices[v, 1] - heads[b, 1], vertices[v, 2] - heads[b, 2]
                    for i in range(3):
                        out[t, v, i] += w * (
                            turns[t, b, i, 0] * x + turns[t, b, i, 1] * y + turns[t, b, i, 2] * z + places[t, b, i]
                        )
    return out


@njit(cache=True)
def scale(  # pragma: no cover (compiled)
    turn: np.ndarray,
    share: float,
) -> None:
    """Make a rotation (3, 3) a share of itself, about the same axis, in place."""
    x, y, z = turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]
    size = np.sqrt(x * x + y * y + z * z)
    angle = share * np.arctan2(size, turn[0, 0] + turn[1, 1] + turn[2, 2] - 1.0)
    size = max(size, 1e-12)
    x, y, z = x / size, y / size, z / size
    sin, versine = np.sin(angle), 1.0 - np.cos(angle)
    turn[0, 0], turn[1, 1] = 1.0 - versine * (y * y + z * z), 1.0 - versine * (x * x + z * z)
    turn[2, 2] = 1.0 - versine * (x * x + y * y)
    turn[0, 1], turn[1, 0] = versine * x * y - sin * z, versine * x * y + sin * z
    turn[0, 2], turn[2, 0] = versine * x * z + sin * y, versine * x * z - sin * y
    turn[1, 2], turn[2, 1] = versine * y * z - sin * x, versine * y * z + sin * x


@njit(cache=True)
def blend(  # pragma: no cover (compiled)
    whole: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    share: np.ndarray,
) -> np.ndarray:
    """Blend the rotations between those of two segments; returns (T, N, 3, 3).

    whole: (T, S, 3, 3).
    first, second: (N,) segments.
    share: (N,) of the way from one to the other.
    """
    out = np.empty((whole.shape[0], first.shape[0], 3, 3))
    like = np.arange(first.shape[0])  # the bones of a hand turn alike: each such rotation is worked out once
    for n in range(len(like)):
        for m in range(n):
            if first[m] == first[n] and second[m] == second[n] and share[m] == share[n]:
                like[n] = m
                break
    turn = np.empty((3, 3))
    for t in range(whole.shape[0]):
        for n in range(len(like)):
            if like[n] < n:
                out[t, n] = out[t, like[n]]
            elif share[n] >= 1.0:
                out[t, n] = whole[t, second[n]]
            else:
                for i in range(3):
                    for j in range(3):
                        a, b = whole[t, first[n]], whole[t, second[n]]
                        turn[i, j] = a[0, i] * b[0, j] + a[1, i] * b[1, j] + a[2, i] * b[2, j]
                scale(turn, share[n])
                for i in range(3):
                    for j in range(3):
                        a = whole[t, first[n]]
                        out[t, n, i, j] = a[i, 0] * turn[0, j] + a[i, 1] * turn[1, j] + a[i, 2] * turn[2, j]
    return out


@njit(cache=True)
def chain(  # pragma: no cover (compiled)
    turns: np.ndarray,
    heads: np.ndarray,
    parents: np.ndarray,
) -> np.ndarray:
    """Return where bones begin, (T, N, 3), the root's at 0.

    turns: (T, N, 3, 3).
    heads: (N, 3) at rest.
    parents: (N,).
    """
    places = np.zeros((turns.shape[0], turns.shape[1], 3))
    for t in range(turns.shape[0]):
        for n in range(1, turns.shape[1]):
            p = parents[n]
            x, y, z = heads[n, 0] - heads[p, 0], heads[n, 1] - heads[p, 1], heads[n, 2] - heads[p, 2]
            for i in range(3):
                turned = turns[t, p, i, 0] * x + turns[t, p, i, 1] * y + turns[t, p, i, 2] * z
                places[t, n, i] = places[t, p, i] + turned
    return places


@njit(cache=True)
def project(  # pragma: no cover (compiled)
    points: np.ndarray,
    turn: np.ndarray,
    place: np.ndarray,
    focal: float,
    width: int,
    height: int,
) -> np.ndarray:
    """Project points (V, 3) of the world to x, y in pixels and depth in metres; see `camera.CameraView`."""
    out = np.empty_like(points)
    for v in range(points.shape[0]):
        x, y, z = points[v, 0] - place[0], points[v, 1] - place[1], points[v, 2] - place[2]
        depth = turn[2, 0] * x + turn[2, 1] * y + turn[2, 2] * z
        scale = focal / (depth if abs(depth) > 1e-6 else 1e-6)
        out[v, 0] = (turn[0, 0] * x + turn[0, 1] * y + turn[0, 2] * z) * scale + width / 2
        out[v, 1] = (turn[1, 0] * x + turn[1, 1] * y + turn[1, 2] * z) * scale + height / 2
        out[v, 2] = depth
    return out


@njit(cache=True)
def lit(  # pragma: no cover (compiled)
    colours: np.ndarray,
    outward: np.ndarray,
    light: np.ndarray,
    strength: float,
    ambient: float,
    both: bool,
) -> np.ndarray:
    """Return colours (V, 3) under a lamp in the direction `light` and a sky.

    both: surfaces are lit from either side.
    """
    out = np.empty_like(colours)
    for v in range(colours.shape[0]):
        facing = outward[v, 0] * light[0] + outward[v, 1] * light[1] + outward[v, 2] * light[2]
        facing = abs(facing) if both else max(facing, 0.0)
        shade = ambient * (0.825 + 0.175 * outward[v, 2]) + strength * facing
        for k in range(3):
            out[v, k] = colours[v, k] * shade
    return out


@njit(cache=True)
def shrunk(  # pragma: no cover (compiled)
    image: np.ndarray,
    labels: np.ndarray,
    label: int,
    factor: int,
    gain: float,
    curve: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Shrink a picture, and mark which of its pixels show mostly `label`.

    Returns (H', W', 3) float32 and (H', W') uint8.

    image: (H, W, 3) 0..1, averaged over squares of `factor` pixels, brightened by `gain` and put through `curve`.
    curve: a table over 0..1.
    """
    height, width = labels.shape[0] // factor, labels.shape[1] // factor
    out, mask = np.empty((height, width, 3), np.float32), np.zeros((height, width), np.uint8)
    last, area = curve.shape[0] - 1, factor * factor
    for row in range(height):
        for column in range(width):
            red, green, blue, seen = 0.0, 0.0, 0.0, 0
            for i in range(row * factor, row * factor + factor):
                for j in range(column * factor, column * factor + factor):
                    red, green, blue = red + image[i, j, 0], green + image[i, j, 1], blue + image[i, j, 2]
                    seen += labels[i, j] == label
            out[row, column, 0] = curve[min(last, int(red / area * gain * last))]
            out[row, column, 1] = curve[min(last, int(green / area * gain * last))]
            out[row, column, 2] = curve[min(last, int(blue / area * gain * last))]
            mask[row, column] = 2 * seen >= area
    return out, mask


@njit(cache=True)
def darken(  # pragma: no cover (compiled)
    image: np.ndarray,
    depth: np.ndarray,
    dark: np.ndarray,
    turn: np.ndarray,
    height_of_camera: float,
    focal: float,
    strength: float,
) -> None:
    """Darken the pixels of the floor (those near height zero) by a soft shadow mask (H, W), in place."""
    height, width = depth.shape
    for row in range(height):
        v = (row + 0.5 - height / 2) / focal
        for column in range(width):
            if dark[row, column] > 0.0:
                u = (column + 0.5 - width / 2) / focal
                up = turn[0, 2] * u + turn[1, 2] * v + turn[2, 2]
                if abs(height_of_camera + depth[row, column] * up) < 0.03:
                    shade = 1.0 - strength * dark[row, column]
                    for k in range(3):
                        image[row, column, k] *= shade
