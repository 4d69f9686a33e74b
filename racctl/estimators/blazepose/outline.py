"""BlazePose's outline of the person who exercises, from the same pass as the landmarks."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Self

import numpy as np
from PIL import Image

from racctl.estimators.base import ClipFrames
from racctl.estimators.blazepose import model
from racctl.estimators.blazepose.model import ClipPeople, build_tracker
from racctl.estimators.blazepose.networks import SeenBody
from racctl.estimators.blazepose.pool import TrackerPool
from racctl.estimators.blazepose.region import CropSource, Region
from racctl.estimators.model_files import blazepose_paths
from racctl.estimators.silhouettes import Parcel, Size, pack
from racctl.io.up_to_date import constants_digest
from racctl.progress import Report, silent

# The constants of all that makes a mask, for provenance; see `constants_digest`.
OUTLINING = constants_digest(model)


class BlazePoseMaskModel:
    """BlazePose's own outline, by the name of its variant, or a .task file."""

    tells_apart = False
    has_threshold = True

    def __init__(self, name: str, download: bool) -> None:
        variant = "full" if name == "blazepose" else name.removeprefix("blazepose-")
        self.paths = blazepose_paths(variant, download)

    @classmethod
    def claims(cls, path: Path) -> bool:
        return path.suffix.lower() == ".task"

    def record(self) -> dict[str, str]:
        return self.paths.record()

    def open(self, size: Size | None, threshold: float, jobs: int) -> BlazePoseMasks:
        """Return what cuts the person out. size, threshold: as for `Silhouettes`."""
        extra = partial(outline_parcel, size=size, threshold=threshold)
        return BlazePoseMasks(TrackerPool(partial(build_tracker, self.paths, extra, True, False), jobs))


class BlazePoseMasks:
    """Cuts the person who exercises out of the frames of a clip; use as a context manager."""

    def __init__(self, pool: TrackerPool) -> None:
        self._pool = pool

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._pool.__exit__(*exc)

    def abort(self) -> None:
        self._pool.abort()

    def run(self, clip: ClipFrames, report: Report = silent) -> np.ndarray:
        """Return (T,) of parcels, with one mask where the person is seen, else with none."""
        people = ClipPeople.of(self._pool, clip, 1, report)
        parcels = np.empty(len(people.time), object)
        parcels[:] = [((0, 1, 1), pack(np.zeros((0, 1, 1), bool))[1])] * len(parcels)
        for track in people.tracks:
            parcels[track.frame] = track.extra
        return parcels


def outline_parcel(body: SeenBody, region: Region, picture: CropSource, size: Size | None, threshold: float) -> Parcel:
    """Return the mask (1, H, W) of a body in the whole picture, at `size`."""
    height, width = size or (picture.height, picture.width)
    assert body.outline is not None
    scale = np.array([width / picture.width, height / picture.height])
    corners = region.corners() * scale
    left, top = np.maximum(np.floor(corners.min(0)), 0).astype(int)
    right, bottom = np.minimum(np.ceil(corners.max(0)), [width, height]).astype(int)
    mask = np.zeros((1, height, width), bool)
    if left < right and top < bottom:
        # Pillow takes the middle of a new pixel, in new pixels from the corner, to where it is in the outline.
        inverse = np.linalg.inv(region.axes) * len(body.outline)
        matrix = inverse / scale
        shift = inverse @ (np.array([left, top]) / scale - (region.x, region.y)) + len(body.outline) / 2
        image = Image.fromarray(body.outline.astype(np.float32)).transform(
            (int(right - left), int(bottom - top)),
            Image.Transform.AFFINE,
            tuple(np.column_stack([matrix, shift]).ravel()),
            Image.Resampling.BILINEAR,
        )
        mask[0, top:bottom, left:right] = np.asarray(image) > threshold
    return pack(mask)
