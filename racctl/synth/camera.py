"""Where the camera stands and what it makes of a point in the world."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from racctl.synth.plan import Camera, PictureSettings, generator
from racctl.synth.rotate import X, Y, Z, about, apply

NEAREST = 1.0  # m
LENS_CLEARANCE = 0.4  # m that the lens keeps from the nearest part of the person


@dataclass(frozen=True)
class CameraView:
    """The camera of every frame.

    turns: (T, 3, 3) world to camera (x right, y down, z away).
    places: (T, 3) m.
    focal: pixels.
    size: width and height in pixels.
    """

    turns: np.ndarray
    places: np.ndarray
    focal: float
    size: tuple[int, int]

    @property
    def still(self) -> bool:
        """Whether every frame is seen from the same place in the same direction."""
        return bool(np.ptp(self.turns, axis=0).max() == 0)

    def see(self, points: np.ndarray) -> np.ndarray:
        """Project points (T, P, 3) m of the world to (T, P, 3): x, y in pixels, depth in metres."""
        seen = np.einsum("tij,tpj->tpi", self.turns, points - self.places[:, None])
        depth = np.maximum(seen[..., 2:], 1e-3)
        middle = np.array(self.size) / 2
        return np.concatenate([seen[..., :2] / depth * self.focal + middle, seen[..., 2:]], -1)


def set_up(
    camera: Camera,
    picture: PictureSettings,
    points: np.ndarray,
    fps: float,
    seed: tuple[int, int],
    framed: np.ndarray | None = None,
) -> CameraView:
    """Place the camera so that `points` (T, P, 3), the person in all frames, fill the picture as planned.

    framed: (T,) bool, the frames that count for that; all of them where it is None.
    """
    shown = points if framed is None else points[framed]
    low, high = shown.min((0, 1)), shown.max((0, 1))
    aim = (low + high) / 2
    size = (picture.width, picture.height)
    focal = camera.focal * picture.height
    every = shown[:: max(1, len(shown) // 60)]
    distance, nearest = 3.0, max(NEAREST, LENS_CLEARANCE + _toward(camera, every - aim))
    for _ in range(8):
        view = _view(camera, aim, distance, focal, size, np.zeros((len(every), 3)))
        seen = view.see(every)[..., :2] - np.array(size) / 2
        spread = (np.quantile(np.abs(seen), 0.995, axis=(0, 1)) / (np.array(size) / 2)).max()
        distance = max(nearest, distance * float(np.clip(spread / camera.fill, 0.4, 2.5)))
    return _view(camera, aim, distance, focal, size, _unrest(camera, len(points), fps, seed))


def _toward(camera: Camera, points: np.ndarray) -> float:
    """Return how far the person reaches towards the camera, m."""
    azimuth = np.deg2rad(camera.azimuth)
    return float((points @ np.array([np.sin(azimuth), -np.cos(azimuth), 0])).max())


def _view(
    camera: Camera, aim: np.ndarray, distance: float, focal: float, size: tuple[int, int], unrest: np.ndarray
) -> CameraView:
    azimuth = np.deg2rad(camera.azimuth)
    rise = np.clip(camera.height - aim[2], -0.85 * distance, 0.85 * distance)
    flat = np.sqrt(distance**2 - rise**2)
    place = aim + np.array([np.sin(azimuth) * flat, -np.cos(azimuth) * flat, rise])
    place[2] = max(place[2], 0.1)
    ahead = (aim - place) / np.linalg.norm(aim - place)
    right = np.cross(ahead, [0, 0, 1.0])
    right /= np.linalg.norm(right)
    still = np.stack([right, np.cross(ahead, right), ahead])
    tilt = about(X, camera.shift[1] * size[1] / focal) @ about(Y, camera.shift[0] * size[0] / focal)
    turns = (
        about(Z, unrest[:, 2] + np.deg2rad(camera.roll))
        @ about(X, unrest[:, 1])
        @ about(Y, unrest[:, 0])
        @ tilt
        @ still
    )
    return CameraView(turns, np.tile(place, (len(unrest), 1)), focal, size)


def _unrest(camera: Camera, frames: int, fps: float, seed: tuple[int, int]) -> np.ndarray:
    """Return (T, 3) radians of pan, tilt and roll: a slow swing there and back, and an unsteady hand."""
    time = np.arange(frames) / fps
    out = np.zeros((frames, 3))
    period = 12.0
    out[:, 0] = np.deg2rad(camera.pan) * period / (2 * np.pi) * np.sin(2 * np.pi * time / period)
    if camera.shake:
        rng = generator(*seed, 6)
        for axis in range(3):
            for hertz in (0.4, 1.1, 2.7, 5.3):
                swing = rng.normal(0, 0.5 / hertz**0.7)
                out[:, axis] += np.deg2rad(camera.shake) * swing * np.sin(2 * np.pi * (hertz * time + rng.random()))
    return out


def hip_centred(view: CameraView, points: np.ndarray, hips: np.ndarray) -> np.ndarray:
    """Turn points (T, P, 3) of the world into metres in the camera's axes around the middle of the hips.

    hips is (T, 3). BlazePose's world landmarks are like that.
    """
    return apply(view.turns[:, None], points - hips[:, None])
