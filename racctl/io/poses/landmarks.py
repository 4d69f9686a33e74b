"""What every pose importer ends in: landmarks as found in a file, made into a checked racctl.pose/1."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from racctl import __version__
from racctl.contracts import Meta, Pose, step, with_step
from racctl.errors import DataError, UsageError
from racctl.io.spool import clip_name
from racctl.skeleton.topology import Topology

Note = Callable[[str], None]

DEFAULT_FPS = 30.0
MAX_COORDINATE = 1e7  # no coordinate in pixels, metres or fractions gets there, and float32 still tells pixels apart
MAX_SCORE = 2.0  # heat maps exceed 1 a little (COCO results of some networks much: they are cut off at 1)
MAX_FRACTION = 3.0  # fractions of a picture may lie outside it, but not this far


@dataclass(frozen=True)
class ImportedLandmarks:
    """Landmarks as a file gives them.

    xyz: (T, M, V, 3) float64, y down, NaN where missing, in the unit that `scale` names: "pixels", "normalized"
        (fractions of the picture's width and height), "minmax" (each axis stretched to 0..1 in each frame, or to -1..1
        over the clip) or "metres".
    score: (T, M, V) or None where the format has none.
    frame: (T,) ascending.
    time: (T,) s or None.
    track: (M,) or None.
    world: (T, M, V, 3) metres or None.
    dims: 2 where the file has no depth (z is 0 then).
    args: what the provenance should say besides the format.
    size: (width, height) of the picture where known.
    is_heat_map: the scores are heights of a heat map's peaks, which may exceed 1 by much and are cut off.
    """

    format: str
    topology: Topology
    xyz: np.ndarray
    scale: str
    score: np.ndarray | None = None
    frame: np.ndarray | None = None
    time: np.ndarray | None = None
    track: np.ndarray | None = None
    world: np.ndarray | None = None
    dims: int = 3
    args: Meta = field(default_factory=dict)
    size: tuple[int, int] | None = None
    is_heat_map: bool = False


def scale_of(xyz: np.ndarray) -> str:
    """Return "minmax", "normalized" or "pixels", from the x and y of (..., V, 3) with NaN where missing.

    Coordinates that span exactly 0..1 in every frame (PoseRAC), or exactly -1..1 over the clip (D²-STX), were stretched
    to that; a wide scatter is pixels.
    """
    plane = xyz[..., :2].reshape(-1, xyz.shape[-2], 2)
    plane = plane[np.isfinite(plane).all((1, 2))]
    known = xyz[..., :2][np.isfinite(xyz[..., :2])]
    if len(plane):
        low, high = plane.min(1), plane.max(1)
        every_frame = np.allclose(low, 0, rtol=0, atol=1e-6) and np.allclose(high, 1, rtol=0, atol=1e-6)
        if every_frame or np.allclose([low.min(0), high.max(0)], [[-1, -1], [1, 1]], rtol=0, atol=1e-6):
            return "minmax"
    if known.size == 0 or np.percentile(np.abs(known), 95) <= MAX_FRACTION:
        return "normalized"
    return "pixels"


def check_range(coordinates: np.ndarray, where: str) -> None:
    """Raise DataError for values that no coordinate has; NaN is allowed."""
    if (np.abs(coordinates) > MAX_COORDINATE).any():
        raise DataError(
            f"'{where}' holds coordinates beyond {MAX_COORDINATE:.0e}; expected pixels, metres or fractions"
        )


def to_pose(
    landmarks: ImportedLandmarks, source: str, fps: float | None, size: tuple[int, int] | None, note: Note
) -> Pose:
    """Return the checked Pose of one clip.

    `fps` makes the time axis where the file has none (30 otherwise, said in meta and through `note`); `size` (width,
    height) turns fractions of the picture into pixels.

    Raises DataError for values no coordinate can have and UsageError for options that contradict the file.
    """
    landmarks = (
        _in_pixels(landmarks, size or landmarks.size, source, note) if landmarks.scale == "normalized" else landmarks
    )
    if size is not None and landmarks.scale in ("minmax", "metres"):
        raise UsageError(
            f"'{source}' is in {landmarks.scale}, which a picture size cannot turn into pixels; omit '--size'"
        )
    for array in (landmarks.xyz, landmarks.world):
        if array is not None:
            check_range(array, source)
    highest = 0.0 if landmarks.score is None else float(np.nanmax(landmarks.score, initial=0))
    if not landmarks.is_heat_map and highest > MAX_SCORE:
        raise DataError(f"'{source}' has scores up to {highest:g}; expected confidences of 0 to 1")
    landmarks = _without_ghosts(landmarks)
    missing = np.isnan(landmarks.xyz).any(-1)
    xyz = np.where(missing[..., None], np.nan, landmarks.xyz)
    score = np.ones(missing.shape) if landmarks.score is None else np.nan_to_num(landmarks.score, nan=0.0).clip(0, 1)
    frames, people = missing.shape[:2]
    frame = np.arange(frames) if landmarks.frame is None else landmarks.frame
    time, clock = _clock(landmarks, frame, fps, source, note)
    pose = Pose(
        xyz=xyz.astype(np.float32),
        score=np.where(missing, 0, score).astype(np.float32),
        frame=frame.astype(np.int64),
        time=time.astype(np.float64),
        track=(np.arange(people) if landmarks.track is None else landmarks.track).astype(np.int32),
        world=None if landmarks.world is None else landmarks.world.astype(np.float32),
        meta=_meta(landmarks, source, frame, clock, size or landmarks.size),
    )
    return pose.check(source)


def _in_pixels(
    landmarks: ImportedLandmarks, size: tuple[int, int] | None, source: str, note: Note
) -> ImportedLandmarks:
    if size is None:
        note(f"'{source}' is in fractions of the picture; '--size WIDTHxHEIGHT' makes them pixels")
        return landmarks
    width, height = size
    return replace(
        landmarks, xyz=landmarks.xyz * np.array([width, height, width]), scale="pixels"
    )  # z is on the scale of x


def _without_ghosts(landmarks: ImportedLandmarks) -> ImportedLandmarks:
    """Leave out people who are found in no frame (padding), but keep one row for a clip in which nobody is."""
    alive = np.isfinite(landmarks.xyz).all(-1).any((0, 2))
    if not alive.any():
        alive[:1] = True

    def of_living(array: np.ndarray | None) -> np.ndarray | None:
        return None if array is None else array[:, alive]

    return replace(
        landmarks,
        xyz=landmarks.xyz[:, alive],
        score=of_living(landmarks.score),
        world=of_living(landmarks.world),
        track=None if landmarks.track is None else landmarks.track[alive],
    )


def _clock(
    landmarks: ImportedLandmarks, frame: np.ndarray, fps: float | None, source: str, note: Note
) -> tuple[np.ndarray, Meta]:
    """Return the seconds (T,) and what the provenance says of them."""
    if fps is not None and not 0 < fps <= 10_000:
        raise UsageError(f"invalid value '{fps:g}' for '--fps'; expected frames per second above 0")
    if landmarks.time is None:
        if fps is None:
            note(f"'{source}' has no timestamps; assuming {DEFAULT_FPS:g} frames per second ('--fps' says otherwise)")
        rate = fps or DEFAULT_FPS
        return frame / rate, {"fps": rate, "time": "frame/fps" if fps else "frame/fps, fps assumed"}
    if fps is not None:
        raise UsageError(f"'{source}' has timestamps of its own; omit '--fps'")
    if len(landmarks.time) < 2:
        return landmarks.time, {"time": "timestamps"}
    period = float(np.median(np.diff(landmarks.time) / np.diff(frame)))
    return landmarks.time, {"time": "timestamps"} | ({"fps": round(1 / period, 3)} if period > 0 else {})


def _meta(
    landmarks: ImportedLandmarks, source: str, frame: np.ndarray, clock: Meta, size: tuple[int, int] | None
) -> Meta:
    name = Path(source).name or Path(source).resolve().name  # '.' is a folder too
    origin: Meta = {"name": "stdin" if source == "-" else name, "frames": int(frame[-1]) + 1}
    if "fps" in clock:
        origin["fps"] = clock["fps"]
    if size is not None:
        origin["width"], origin["height"] = size
    meta: Meta = {
        "schema": Pose.schema,
        "clip": clip_name(source) or name,
        "source": origin,
        "topology": landmarks.topology.name,
        "scale": landmarks.scale,
        "dims": landmarks.dims,
    }
    return with_step(meta, step("import", __version__, format=landmarks.format, **landmarks.args, **clock))
