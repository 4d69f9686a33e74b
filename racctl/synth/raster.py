"""Triangles to pixels with a depth buffer, on the processor, compiled by numba.

Camera coordinates: x right, y down, z away from the camera, metres. Pixel (0, 0) is the top left one and its centre
lies at (0.5, 0.5). No fast-math anywhere: the same input gives the same masks on every machine.
"""

from __future__ import annotations

import numpy as np
from numba import njit

MIN_DEPTH = 0.05  # m; a triangle with a corner nearer than this is left out


@njit(cache=True)
def skin(  # pragma: no cover (compiled)
    vertices: np.ndarray,
    bones: np.ndarray,
    weights: np.ndarray,
    turns: np.ndarray,
    shifts: np.ndarray,
    out: np.ndarray,
) -> None:
    """Move vertices with their bones (linear blend skinning) and write them to `out` (V, 3).

    vertices: (V, 3) at rest.
    bones: (V, B) int.
    weights: (V, B).
    turns: (N, 3, 3).
    shifts: (N, 3).
    """
    for v in range(vertices.shape[0]):
        x, y, z = 0.0, 0.0, 0.0
        for k in range(bones.shape[1]):
            w = weights[v, k]
            if w > 0.0:
                r, s = turns[bones[v, k]], shifts[bones[v, k]]
                x += w * (r[0, 0] * vertices[v, 0] + r[0, 1] * vertices[v, 1] + r[0, 2] * vertices[v, 2] + s[0])
                y += w * (r[1, 0] * vertices[v, 0] + r[1, 1] * vertices[v, 1] + r[1, 2] * vertices[v, 2] + s[1])
                z += w * (r[2, 0] * vertices[v, 0] + r[2, 1] * vertices[v, 1] + r[2, 2] * vertices[v, 2] + s[2])
        out[v, 0], out[v, 1], out[v, 2] = x, y, z


@njit(cache=True)
def normals(  # pragma: no cover (compiled)
    vertices: np.ndarray,
    faces: np.ndarray,
    out: np.ndarray,
) -> None:
    """Compute unit normals (V, 3) of a mesh, the mean of the faces around each vertex weighted by their area."""
    out[:] = 0.0
    for f in range(faces.shape[0]):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        ux, uy, uz = vertices[b, 0] - vertices[a, 0], vertices[b, 1] - vertices[a, 1], vertices[b, 2] - vertices[a, 2]
        vx, vy, vz = vertices[c, 0] - vertices[a, 0], vertices[c, 1] - vertices[a, 1], vertices[c, 2] - vertices[a, 2]
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for v in (a, b, c):
            out[v, 0] += nx
            out[v, 1] += ny
            out[v, 2] += nz
    for v in range(out.shape[0]):
        length = np.sqrt(out[v, 0] ** 2 + out[v, 1] ** 2 + out[v, 2] ** 2) + 1e-12
        out[v, 0] /= length
        out[v, 1] /= length
        out[v, 2] /= length


@njit(cache=True)
def _area(points: np.ndarray, a: int, b: int, c: int) -> float:  # pragma: no cover (compiled)
    """Return twice the signed area of a triangle in the picture, 0 where a corner is too near to be drawn."""
    if points[a, 2] < MIN_DEPTH or points[b, 2] < MIN_DEPTH or points[c, 2] < MIN_DEPTH:
        return 0.0
    wide, deep = points[b, 0] - points[a, 0], points[c, 1] - points[a, 1]
    return float(wide * deep - (points[b, 1] - points[a, 1]) * (points[c, 0] - points[a, 0]))


@njit(cache=True)
def _pixels(a: float, b: float, c: float, size: int) -> tuple[int, int]:  # pragma: no cover (compiled)
    """Return the first and the last pixel, of `size`, whose centres lie between three coordinates."""
    return max(0, int(np.ceil(min(a, b, c) - 0.5))), min(size - 1, int(np.floor(max(a, b, c) - 0.5)))


@njit(cache=True)
def _weights(  # pragma: no cover (compiled)
    points: np.ndarray,
    a: int,
    b: int,
    c: int,
    x: float,
    y: float,
    area: float,
) -> tuple[float, float]:
    """Return the shares of corners a and b at a place in the picture; that of c is what they leave."""
    ax, ay = points[a, 0], points[a, 1]
    bx, by = points[b, 0], points[b, 1]
    cx, cy = points[c, 0], points[c, 1]
    u = ((bx - x) * (cy - y) - (by - y) * (cx - x)) / area
    v = ((cx - x) * (ay - y) - (cy - y) * (ax - x)) / area
    return u, v


@njit(cache=True)
def fill(  # pragma: no cover (compiled)
    points: np.ndarray,
    faces: np.ndarray,
    colours: np.ndarray,
    label: int,
    depth: np.ndarray,
    image: np.ndarray,
    labels: np.ndarray,
) -> None:
    """Draw a mesh.

    points (V, 3): x, y pixels and z metres; colours (V, 3) 0..1, interpolated;
    label: what `labels` (H, W) says where this mesh is in front. depth (H, W), image (H, W, 3) and labels are written
        in place.
    """
    height, width = depth.shape
    for f in range(faces.shape[0]):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        area = _area(points, a, b, c)
        if area == 0.0:
            continue
        left, right = _pixels(points[a, 0], points[b, 0], points[c, 0], width)
        top, low = _pixels(points[a, 1], points[b, 1], points[c, 1], height)
        for row in range(top, low + 1):
            for column in range(left, right + 1):
                u, v = _weights(points, a, b, c, column + 0.5, row + 0.5, area)
                w = 1.0 - u - v
                if u < 0.0 or v < 0.0 or w < 0.0:
                    continue
                z = 1.0 / (u / points[a, 2] + v / points[b, 2] + w / points[c, 2])
                if z < depth[row, column]:
                    depth[row, column] = z
                    labels[row, column] = label
                    for k in range(3):
                        image[row, column, k] = u * colours[a, k] + v * colours[b, k] + w * colours[c, k]


@njit(cache=True)
def backdrop(  # pragma: no cover (compiled)
    turn: np.ndarray,
    place: np.ndarray,
    focal: float,
    half: float,
    top: float,
    textures: np.ndarray,
    metres: np.ndarray,
    depth: np.ndarray,
    image: np.ndarray,
) -> None:
    """Return an empty room seen from inside, before anything else is drawn.

    Depth (H, W) and image (H, W, 3) are overwritten.

    turn: (3, 3) world to camera.
    place: (3,) of the camera, m.
    focal: pixels.
    half, top: the room reaches from -half to half and from 0 to top, m.
    textures: (3, S, S, 3) floor, walls, ceiling.
    metres: (3,) that a texture spans.
    """
    height, width = depth.shape
    size = textures.shape[1]
    for row in range(height):
        for column in range(width):
            u, v = (column + 0.5 - width / 2) / focal, (row + 0.5 - height / 2) / focal
            x = turn[0, 0] * u + turn[1, 0] * v + turn[2, 0]
            y = turn[0, 1] * u + turn[1, 1] * v + turn[2, 1]
            z = turn[0, 2] * u + turn[1, 2] * v + turn[2, 2]
            tx = (half - place[0]) / x if x > 1e-9 else ((-half - place[0]) / x if x < -1e-9 else 1e9)
            ty = (half - place[1]) / y if y > 1e-9 else ((-half - place[1]) / y if y < -1e-9 else 1e9)
            tz = (top - place[2]) / z if z > 1e-9 else (-place[2] / z if z < -1e-9 else 1e9)
            t = min(tx, ty, tz)
            hx, hy, hz = place[0] + t * x, place[1] + t * y, place[2] + t * z
            if t == tz:
                kind, a, b = (0 if z < 0 else 2), hx, hy
            elif t == tx:
                kind, a, b = 1, hy, top - hz
            else:
                kind, a, b = 1, hx, top - hz
            shade = 1.0 if kind == 0 else 0.88 if t == tx else 0.97
            i, j = int(np.floor(b / metres[kind] * size)) % size, int(np.floor(a / metres[kind] * size)) % size
            depth[row, column] = t
            for k in range(3):
                image[row, column, k] = shade * textures[kind, i, j, k]


@njit(cache=True)
def shadow(  # pragma: no cover (compiled)
    points: np.ndarray,
    faces: np.ndarray,
    mask: np.ndarray,
) -> None:
    """Mark the pixels (H, W) that the projected triangles cover; points as in `fill`."""
    height, width = mask.shape
    for f in range(faces.shape[0]):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        area = _area(points, a, b, c)
        if area == 0.0:
            continue
        left, right = _pixels(points[a, 0], points[b, 0], points[c, 0], width)
        top, low = _pixels(points[a, 1], points[b, 1], points[c, 1], height)
        for row in range(top, low + 1):
            for column in range(left, right + 1):
                u, v = _weights(points, a, b, c, column + 0.5, row + 0.5, area)
                if u >= 0.0 and v >= 0.0 and u + v <= 1.0:
                    mask[row, column] = 1.0
