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
LARGEST = 1e7  # no coordinate in pixels, metres or fractions gets there, and float32 still tells pixels apart
HIGHEST_SCORE = 2.0  # heat maps exceed 1 a little (COCO results of some networks much: they are cut off at 1)
SPREAD = 3.0  # fractions of a picture may lie outside it, but not this far


@dataclass(frozen=True)
class Landmarks:
    """Landmarks as a file gives them.

    xyz: (T, M, V, 3) float64, y down, NaN where missing, in the unit that `scale` names: "pixels", "normalized"
    (fractions of the picture's width and height), "minmax" (each axis stretched to 0..1 in each frame, or to -1..1
    over the clip) or "metres".
    score: (T, M, V) or None where the format has none.  frame: (T,) ascending.  time: (T,) s or None.
    track: (M,) or None.  world: (T, M, V, 3) metres or None.  dims: 2 where the file has no depth (z is 0 then).
    args: what the provenance should say besides the format.  size: (width, height) of the picture where known.
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


def scale_of(xyz: np.ndarray) -> str:
    """ "minmax", "normalized" or "pixels", from the x and y of (..., V, 3) with NaN where missing. Coordinates that
    span exactly 0..1 in every frame (PoseRAC), or exactly -1..1 over the clip (D²-STX), were stretched to that; a
    wide scatter is pixels."""
    plane = xyz[..., :2].reshape(-1, xyz.shape[-2], 2)
    plane = plane[np.isfinite(plane).all((1, 2))]
    known = xyz[..., :2][np.isfinite(xyz[..., :2])]
    if len(plane):
        low, high = plane.min(1), plane.max(1)
        every_frame = np.allclose(low, 0, rtol=0, atol=1e-6) and np.allclose(high, 1, rtol=0, atol=1e-6)
        if every_frame or np.allclose([low.min(0), high.max(0)], [[-1, -1], [1, 1]], rtol=0, atol=1e-6):
            return "minmax"
    if known.size == 0 or np.percentile(np.abs(known), 95) <= SPREAD:
        return "normalized"
    return "pixels"


def check_range(coordinates: np.ndarray, where: str) -> None:
    """DataError for values that no coordinate has; NaN is allowed."""
    if (np.abs(coordinates) > LARGEST).any():
        raise DataError(f"'{where}' holds coordinates beyond {LARGEST:.0e}; expected pixels, metres or fractions")


def to_pose(found: Landmarks, source: str, fps: float | None, size: tuple[int, int] | None, note: Note) -> Pose:
    """The checked Pose of one clip. `fps` makes the time axis where the file has none (30 otherwise, said in meta and
    through `note`); `size` (width, height) turns fractions of the picture into pixels.

    Raises DataError for values no coordinate can have and UsageError for options that contradict the file."""
    found = _in_pixels(found, size or found.size, source, note) if found.scale == "normalized" else found
    if size is not None and found.scale in ("minmax", "metres"):
        raise UsageError(f"'{source}' is in {found.scale}, which a picture size cannot turn into pixels; omit '--size'")
    for array in (found.xyz, found.world):
        if array is not None:
            check_range(array, source)
    percent = found.score is not None and found.format != "coco" and np.nanmax(found.score, initial=0) > HIGHEST_SCORE
    if percent:
        raise DataError(f"'{source}' has scores up to {np.nanmax(found.score):g}; expected confidences of 0 to 1")
    found = _without_ghosts(found)
    missing = np.isnan(found.xyz).any(-1)
    xyz = np.where(missing[..., None], np.nan, found.xyz)
    score = np.ones(missing.shape) if found.score is None else np.nan_to_num(found.score, nan=0.0).clip(0, 1)
    frames, people = missing.shape[:2]
    frame = np.arange(frames) if found.frame is None else found.frame
    time, clock = _clock(found, frame, fps, source, note)
    pose = Pose(
        xyz=xyz.astype(np.float32),
        score=np.where(missing, 0, score).astype(np.float32),
        frame=frame.astype(np.int64),
        time=time.astype(np.float64),
        track=(np.arange(people) if found.track is None else found.track).astype(np.int32),
        world=None if found.world is None else found.world.astype(np.float32),
        meta=_meta(found, source, frame, clock, size or found.size),
    )
    return pose.check(source)


def _in_pixels(found: Landmarks, size: tuple[int, int] | None, source: str, note: Note) -> Landmarks:
    if size is None:
        note(f"'{source}' is in fractions of the picture; '--size WIDTHxHEIGHT' makes them pixels")
        return found
    width, height = size
    return replace(found, xyz=found.xyz * np.array([width, height, width]), scale="pixels")  # z is on the scale of x


def _without_ghosts(found: Landmarks) -> Landmarks:
    """Leave out people who are found in no frame (padding), but keep one row for a clip in which nobody is."""
    alive = np.isfinite(found.xyz).all(-1).any((0, 2))
    if not alive.any():
        alive[:1] = True
    keep = {name: getattr(found, name) for name in ("xyz", "score", "world")}
    cut = {name: None if array is None else array[:, alive] for name, array in keep.items()}
    return replace(found, **cut, track=None if found.track is None else found.track[alive])


def _clock(found: Landmarks, frame: np.ndarray, fps: float | None, source: str, note: Note) -> tuple[np.ndarray, Meta]:
    """Seconds (T,) and what the provenance says of them."""
    if fps is not None and not 0 < fps <= 10_000:
        raise UsageError(f"'--fps {fps:g}' makes no sense; expected a number of frames per second above 0")
    if found.time is None:
        if fps is None:
            note(f"'{source}' has no timestamps; assuming {DEFAULT_FPS:g} frames per second ('--fps' says otherwise)")
        rate = fps or DEFAULT_FPS
        return frame / rate, {"fps": rate, "time": "frame/fps" if fps else "frame/fps, fps assumed"}
    if fps is not None:
        raise UsageError(f"'{source}' has timestamps of its own; omit '--fps'")
    if len(found.time) < 2:
        return found.time, {"time": "timestamps"}
    period = float(np.median(np.diff(found.time) / np.diff(frame)))
    return found.time, {"time": "timestamps"} | ({"fps": round(1 / period, 3)} if period > 0 else {})


def _meta(found: Landmarks, source: str, frame: np.ndarray, clock: Meta, size: tuple[int, int] | None) -> Meta:
    name = Path(source).name or Path(source).resolve().name  # '.' is a folder too
    origin: Meta = {"name": "stdin" if source == "-" else name, "frames": int(frame[-1]) + 1}
    if "fps" in clock:
        origin["fps"] = clock["fps"]
    if size is not None:
        origin["width"], origin["height"] = size
    meta: Meta = {
        "schema": Pose.schema, "clip": clip_name(source) or name, "source": origin,
        "topology": found.topology.name, "scale": found.scale, "dims": found.dims,
    }  # fmt: skip
    return with_step(meta, step("import", __version__, format=found.format, **found.args, **clock))
