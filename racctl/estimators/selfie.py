"""MediaPipe's selfie segmenter (Apache-2.0, made for video calls), run by LiteRT.

It looks at the whole picture in 256 x 256 pixels and marks everybody near; people are told apart here, by what hangs
together.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from racctl.estimators.blazepose.networks import Runner
from racctl.estimators.download import weights_record
from racctl.estimators.model_files import MEDIAPIPE_LICENCE, selfie_path
from racctl.estimators.silhouettes import nearest

SMALL = 112  # pixels of either side, at most, on which people are told apart
BRIDGED = 3  # pixels there: gaps up to twice as wide are a limb cut by a bar or a strap, not another person
SPECK = 0.02  # of the largest piece; smaller ones are nobody
MAX_SELFIE_PEOPLE = 8  # people in a picture


class SelfieModel:
    """The selfie segmenter in the mediapipe wheel."""

    tells_apart = True
    has_threshold = True
    warm_up = 0

    def __init__(self, name: str = "selfie", download: bool = False) -> None:
        del name  # there is one
        self.path = selfie_path(download)

    @classmethod
    def claims(cls, path: Path) -> bool:
        del path
        return False

    def record(self) -> dict[str, str]:
        return weights_record(self.path, MEDIAPIPE_LICENCE)

    def start(self, threshold: float) -> Selfie:
        return Selfie(self.path.read_bytes(), threshold)


class Selfie:
    """Everybody whom the selfie segmenter marks, told apart by what hangs together."""

    def __init__(self, model: bytes, threshold: float) -> None:
        """model: a TFLite file. threshold: probability from which a pixel is a person's."""
        self._network = Runner(model)
        self._threshold = threshold

    def reset(self) -> None:
        """Nothing is carried from one frame to the next."""

    def __call__(self, rgb: np.ndarray, _time: float, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """rgb: (H, W, 3) uint8, upright. rows: (h,), columns: (w,) which pixels are asked for. Returns (K, h, w) bool,
        one mask for each person."""
        height, width = rgb.shape[:2]
        square = self._network.input[0]
        image = Image.fromarray(rgb).resize(square.shape[1::-1], Image.Resampling.BILINEAR, reducing_gap=2.0)
        np.multiply(np.asarray(image), np.float32(1 / 255), out=square)
        (probability,) = self._network()
        whole = Image.fromarray(probability[0, :, :, 0].copy()).resize((width, height), Image.Resampling.BILINEAR)
        return apart(np.asarray(whole) > self._threshold, rows, columns)


def apart(mask: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return (K, h, w) bool, at rows (h,) and columns (w,) of a mask (H, W) bool, for each piece that hangs together.

    The largest first, at most MAX_SELFIE_PEOPLE. Which pieces there are does not depend on the rows and columns.
    """
    height, width = mask.shape
    grid = min(SMALL, height), min(SMALL, width)
    small = mask[np.ix_(nearest(height, grid[0]), nearest(width, grid[1]))]
    grown = ndimage.binary_dilation(small, iterations=BRIDGED) if small.any() else small
    pieces, count = ndimage.label(grown, np.ones((3, 3)))
    sizes = np.bincount((pieces * small).ravel(), minlength=count + 1)[1:]
    order = [k + 1 for k in np.argsort(-sizes, kind="stable")[:MAX_SELFIE_PEOPLE] if sizes[k] > SPECK * sizes.max()]
    cell_rows = ((rows + 0.5) * grid[0] / height).astype(int)
    cell_columns = ((columns + 0.5) * grid[1] / width).astype(int)
    places = pieces[np.ix_(cell_rows, cell_columns)]
    sampled = mask[np.ix_(rows, columns)]
    return np.array([sampled & (places == k) for k in order], bool).reshape(-1, *sampled.shape)
