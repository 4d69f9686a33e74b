"""MediaPipe's segmentation of people: BlazePose's own outline of the body, and the selfie segmenter.

BlazePose cuts the person out and looks at them closely, so it sees a whole body far from the camera, standing or
lying, and follows that one person. The selfie segmenter (Apache-2.0, made for video calls) looks at the whole picture
in 256 x 256 pixels and marks everybody near; people are told apart here, by what hangs together.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
from scipy import ndimage

from racctl.errors import DataError, UsageError
from racctl.estimators.blazepose import (
    BLAZEPOSE_LICENCE,
    BlazePose,
    BlazePoseModel,
    model_file,
    model_record,
)
from racctl.estimators.download import weights_record

SMALL = 112  # pixels of the short side on which people are told apart
BRIDGED = 3  # pixels there: gaps up to twice as wide are a limb cut by a bar or a strap, not another person
SPECK = 0.02  # of the largest piece; smaller ones are nobody
MAX_SELFIE_PEOPLE = 8  # people in a picture


class BlazePoseMaskModel:
    """BlazePose's own outline, by the name of its variant, or a .task file."""

    tells_apart = False
    has_threshold = True
    warm_up = BlazePoseModel.warm_up

    def __init__(self, name: str, download: bool) -> None:
        variant = "full" if name == "blazepose" else name.removeprefix("blazepose-")
        self.file = model_file(variant, download)

    @classmethod
    def claims(cls, path: Path) -> bool:
        return path.suffix.lower() == ".task"

    def record(self) -> dict[str, str]:
        return model_record(self.file)

    def start(self, threshold: float) -> BlazePoseOutline:
        return BlazePoseOutline(self.file, threshold)


class BlazePoseOutline:
    """The person whom BlazePose follows."""

    def __init__(self, model: str, threshold: float) -> None:
        """model: as for BlazePose. threshold: probability from which a pixel is the person's."""
        self._pose, self._threshold = BlazePose(model, outline=True), threshold

    def reset(self) -> None:
        self._pose.reset()

    def __call__(self, rgb: np.ndarray, time: float, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """rgb: (H, W, 3) uint8, upright. time: seconds, ascending. rows: (h,), columns: (w,) which pixels are asked
        for. Returns (K, h, w) bool, one mask for each person, K = 0 or 1."""
        probability = self._pose.probability(rgb, time)
        if probability is None:
            return np.zeros((0, len(rows), len(columns)), bool)
        return (probability[np.ix_(rows, columns)] > self._threshold)[None]


class SelfieModel:
    """The selfie segmenter in the mediapipe wheel."""

    tells_apart = True
    has_threshold = True
    warm_up = 0

    def __init__(self, name: str = "", download: bool = False) -> None:
        del name, download  # there is one, and it comes with MediaPipe
        self.file = selfie_file()

    @classmethod
    def claims(cls, path: Path) -> bool:
        del path
        return False

    def record(self) -> dict[str, str]:
        return weights_record(self.file, BLAZEPOSE_LICENCE)

    def start(self, threshold: float) -> Selfie:
        return Selfie(threshold)


class Selfie:
    """Everybody whom the selfie segmenter marks, told apart by what hangs together."""

    def __init__(self, threshold: float) -> None:
        """threshold: probability from which a pixel is a person's. Raises DataError when MediaPipe cannot start."""
        try:
            from mediapipe.python.solutions.selfie_segmentation import SelfieSegmentation
        except ImportError as error:
            raise DataError(f"mediapipe cannot be imported ({error}); use mediapipe 0.10.21") from None
        self._segmenter, self._threshold = SelfieSegmentation(model_selection=0), threshold

    def reset(self) -> None:
        """Nothing is carried from one frame to the next."""

    def __call__(self, rgb: np.ndarray, _time: float, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """As `BlazePoseOutline`, with several people."""
        probability = self._segmenter.process(rgb).segmentation_mask
        return apart(probability[np.ix_(rows, columns)] > self._threshold)


def apart(mask: np.ndarray) -> np.ndarray:
    """(H, W) bool to (K, H, W) bool: one mask for each piece that hangs together, largest first, at most MOST."""
    step = max(1, min(mask.shape) // SMALL)
    small = mask[::step, ::step]
    grown = ndimage.binary_dilation(small, iterations=BRIDGED) if small.any() else small
    pieces, count = ndimage.label(grown, np.ones((3, 3)))
    sizes = np.bincount((pieces * small).ravel(), minlength=count + 1)[1:]
    order = [k + 1 for k in np.argsort(-sizes, kind="stable")[:MAX_SELFIE_PEOPLE] if sizes[k] > SPECK * sizes.max()]
    places = pieces.repeat(step, 0).repeat(step, 1)[: mask.shape[0], : mask.shape[1]]
    return np.array([mask & (places == k) for k in order], bool).reshape(-1, *mask.shape)


def selfie_file() -> Path:
    """The selfie segmenter inside the mediapipe wheel; UsageError where the wheel carries none."""
    spec = importlib.util.find_spec("mediapipe")
    if spec is None or not spec.submodule_search_locations:
        raise DataError("mediapipe is not installed; pip install 'mediapipe==0.10.21' (Python 3.11, 3.12)")
    folder = Path(next(iter(spec.submodule_search_locations)), "modules", "selfie_segmentation")
    if not (folder / "selfie_segmentation.tflite").is_file():
        raise UsageError("this mediapipe carries no selfie segmenter; use mediapipe 0.10.21 or '--model blazepose'")
    return folder / "selfie_segmentation.tflite"
