"""Rotation matrices for whole clips at once. All angles are radians here, all matrices (..., 3, 3), float64."""

from __future__ import annotations

import numpy as np

X, Y, Z = range(3)


def about(axis: int, angle: np.ndarray | float) -> np.ndarray:
    """Return rotations by `angle` (...) about a coordinate axis: (..., 3, 3)."""
    angle = np.asarray(angle, np.float64)
    first, second = (axis + 1) % 3, (axis + 2) % 3
    out = np.zeros((*angle.shape, 3, 3))
    out[..., axis, axis] = 1
    out[..., first, first] = out[..., second, second] = np.cos(angle)
    out[..., second, first] = np.sin(angle)
    out[..., first, second] = -np.sin(angle)
    return out


def about_vector(axis: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Return rotations by `angle` (...) about unit vectors `axis` (..., 3) (Rodrigues)."""
    x, y, z = np.moveaxis(axis, -1, 0)
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*x.shape, 3, 3)
    sin, cos = np.sin(angle)[..., None, None], np.cos(angle)[..., None, None]
    return np.eye(3) + sin * cross + (1 - cos) * (cross @ cross)


def between(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the least rotations that turn the vectors `first` (..., 3) into the directions `second` (..., 3)."""
    a, b = unit(first), unit(second)
    cross = np.cross(a, b)
    size = np.linalg.norm(cross, axis=-1)
    axis = np.where(size[..., None] > 1e-9, cross / np.maximum(size, 1e-12)[..., None], np.array([1.0, 0, 0]))
    return about_vector(axis, np.arctan2(size, (a * b).sum(-1)))


def unit(vector: np.ndarray) -> np.ndarray:
    """Scale vectors (..., 3) to length 1; a zero vector stays zero."""
    return vector / np.maximum(np.linalg.norm(vector, axis=-1, keepdims=True), 1e-12)


def apply(rotations: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Return (..., 3, 3) on (..., 3)."""
    return np.einsum("...ij,...j->...i", rotations, vector)


MIRROR = np.array([-1.0, 1.0, 1.0])


def mirrored(rotations: np.ndarray) -> np.ndarray:
    """Return the rotations seen in a mirror that swaps left and right."""
    return rotations * MIRROR[:, None] * MIRROR
