"""BlazePose's outline of the person who exercises, from the same pass as the landmarks."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from racctl.estimators.base import ClipFrames
from racctl.estimators.blazepose import model
from racctl.estimators.blazepose.model import ClipPeople, build_tracker
from racctl.estimators.blazepose.networks import SeenBody
from racctl.estimators.blazepose.pool import PoolOfClips, TrackerPool
from racctl.estimators.blazepose.region import CropSource, Region
from racctl.estimators.model_files import blazepose_paths
from racctl.estimators.silhouettes import Parcel, Size, nearest, pack
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
        return BlazePoseMasks(TrackerPool(partial(build_tracker, self.paths, extra, outline=True), jobs))


class BlazePoseMasks(PoolOfClips):
    """Cuts the person who exercises out of the frames of clips."""

    def run(self, clip: ClipFrames, report: Report = silent) -> np.ndarray:
        """Return (T,) of parcels, with one mask where the person is seen, else with none."""
        people = ClipPeople.of(self._pool, clip, 1, report)
        parcels = np.empty(len(people.time), object)
        parcels[:] = [((0, 1, 1), pack(np.zeros((0, 1, 1), bool))[1])] * len(parcels)
        for track in people.tracks:
            parcels[track.frame] = track.extra
        return parcels


def outline_parcel(body: SeenBody, region: Region, picture: CropSource, size: Size | None, threshold: float) -> Parcel:
    """Return the mask (1, H, W) of a body in the whole picture, at `size`.

    A smaller mask has some of the pixels of a larger one, to the bit.
    """
    height, width = size or (picture.height, picture.width)
    rows = nearest(picture.height, height)
    columns = nearest(picture.width, width)
    mask = np.zeros((1, height, width), bool)
    assert body.outline is not None
    likely = body.outline > threshold
    if likely.any():
        (left, top), (right, bottom) = _box(likely, region)
        high = slice(*np.searchsorted(rows, [top, bottom]))
        wide = slice(*np.searchsorted(columns, [left, right]))
        mask[0, high, wide] = outlined(body.outline, region, rows[high], columns[wide], threshold)
    return pack(mask)


def _box(likely: np.ndarray, region: Region) -> tuple[np.ndarray, np.ndarray]:
    """Return the corners, (2,) pixels of the picture each, of what an outline's cells (N, N) can make the body's."""
    row = np.flatnonzero(likely.any(1))
    column = np.flatnonzero(likely.any(0))
    left, right = column[0] - 0.5, column[-1] + 1.5  # a cell has a say as far as its neighbours' middles
    top, bottom = row[0] - 0.5, row[-1] + 1.5
    cells = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    corners = region.to_picture(cells / len(likely))
    return np.floor(corners.min(0)), np.ceil(corners.max(0)) + 1


def outlined(
    outline: np.ndarray, region: Region, rows: np.ndarray, columns: np.ndarray, threshold: float
) -> np.ndarray:
    """Return (h, w) bool: where an outline (N, N) of a region is above the threshold, at rows (h,) and columns (w,).

    It is interpolated between the middles of its cells; beyond the region it falls to 0 within a cell. Each pixel is
    worked out by itself: what others there are does not change it.
    """
    side = len(outline)
    padded = np.zeros((side + 2, side + 2), np.float32)
    padded[1:-1, 1:-1] = outline
    inverse = np.linalg.inv(region.axes) * side
    shift = side / 2 + 0.5 - inverse @ (region.x, region.y)
    x = _along(inverse[0], shift[0], rows, columns, side)
    y = _along(inverse[1], shift[1], rows, columns, side)
    column = x.astype(np.int32)
    row = y.astype(np.int32)
    corners = _corners_above(padded, threshold).take(row * np.int32(side + 1) + column)
    mask = corners == 4
    edge = np.nonzero((corners > 0) & ~mask)
    mask[edge] = _between(padded, row[edge], column[edge], y[edge], x[edge]) > threshold
    return mask


def _along(axis: np.ndarray, shift: float, rows: np.ndarray, columns: np.ndarray, side: int) -> np.ndarray:
    """Return (h, w) float32: where the middles of pixels are along an axis of a padded outline, in its cells."""
    across = (axis[0] * (columns + 0.5)).astype(np.float32)
    down = (axis[1] * (rows + 0.5) + shift).astype(np.float32)
    return np.clip(down[:, None] + across, 0, np.float32(side + 0.999))


def _corners_above(padded: np.ndarray, threshold: float) -> np.ndarray:
    """Return (N - 1, N - 1) uint8 how many of the four cells about each place between cells (N, N) are above it."""
    above = (padded > threshold).astype(np.uint8)
    return above[:-1, :-1] + above[:-1, 1:] + above[1:, :-1] + above[1:, 1:]


def _between(padded: np.ndarray, row: np.ndarray, column: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return (n,) float32, interpolated at y and x, whose cells are `row` and `column`, all (n,)."""
    down = y - row
    across = x - column
    upper = padded[row, column] + (padded[row, column + 1] - padded[row, column]) * across
    lower = padded[row + 1, column] + (padded[row + 1, column + 1] - padded[row + 1, column]) * across
    return upper + (lower - upper) * down
