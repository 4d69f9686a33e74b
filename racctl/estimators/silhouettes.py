"""Frames to people's silhouettes, whichever model looks: the model's name, and its masks made small.

A worker sends all the people of a frame, at the size asked for, as deflated bits; whose mask is taken is decided where
the whole clip is seen in order (racctl/estimators/mask.py), so that it does not
depend on how the clip was cut for the workers.
"""

from __future__ import annotations

import functools
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from racctl.errors import UsageError
from racctl.estimators import blazepose, selfie, yolo
from racctl.estimators.download import fetch, weights_record
from racctl.estimators.workers import WARM_UP, Workers

MASK_MODEL_KINDS = {"blazepose": "full", "blazepose-lite": "lite", "blazepose-heavy": "heavy"}

Size = tuple[int, int]  # height, width
Parcel = tuple[tuple[int, ...], bytes]  # shape (K, H, W); its bits along W, deflated


@dataclass(frozen=True)
class MaskModel:
    """A model that is here. kind: blazepose, selfie, litert or ultralytics.  file: what it takes: a path, or "full"."""

    kind: str
    file: str

    @property
    def tells_apart(self) -> bool:
        """Whether it gives several people, each with a mask."""
        return self.kind != "blazepose"

    def record(self) -> dict[str, str]:
        """Name, sha256 and licence of the weights, for provenance."""
        if self.kind == "blazepose":
            return blazepose.model_record(self.file)
        if self.kind == "selfie":
            return weights_record(Path(self.file), blazepose.BLAZEPOSE_LICENCE)
        # YOLO weights are Ultralytics' or were trained with its code, which its licence takes to be derived work.
        return weights_record(Path(self.file), yolo.YOLO_LICENCE)


def mask_model(name: str, download: bool) -> MaskModel:
    """The model called `name`, or the file of that path; fetched if need be and `download`.

    Raises UsageError when the model is unknown, or neither here nor allowed to be fetched."""
    if name in MASK_MODEL_KINDS:
        return MaskModel("blazepose", blazepose.model_file(MASK_MODEL_KINDS[name], download))
    if name == "selfie":
        return MaskModel("selfie", str(selfie.selfie_file()))
    if name in yolo.WEIGHTS:
        bundle = yolo.WEIGHTS[name]
        if not bundle.is_cached and not download:
            raise UsageError(f"the model '{name}' (AGPL-3.0) is not here; use '--download' or the path of a file")
        return MaskModel("ultralytics", str(bundle.cached if bundle.is_cached else fetch(bundle)))
    kind = _kind_of_file(Path(name))
    if kind is None:
        known = ", ".join([*MASK_MODEL_KINDS, "selfie", *yolo.WEIGHTS])
        raise UsageError(f"no such mask model '{name}'; expected {known}, or a .task, .tflite, .onnx or .pt file")
    return MaskModel(kind, name)


def _kind_of_file(path: Path) -> str | None:
    if not path.is_file():
        return None
    with open(path, "rb") as file:
        if file.read(8)[4:] == b"TFL3":
            return "litert"
    return {".task": "blazepose", ".onnx": "ultralytics", ".pt": "ultralytics"}.get(path.suffix.lower())


def mask_workers(model: MaskModel, size: Size | None, threshold: float, jobs: int) -> Workers:
    """Worker processes that make parcels; see `Silhouettes`."""
    build = functools.partial(Silhouettes, model, size, threshold)
    return Workers(build, jobs, WARM_UP if model.kind == "blazepose" else 0)


class Silhouettes:
    """An estimator for `Workers`: one parcel for each frame, as a 0-d object array."""

    def __init__(self, model: MaskModel, size: Size | None, threshold: float) -> None:
        """size: of the masks, taken from the picture by nearest neighbour; None: all its pixels. threshold:
        probability from which a pixel is the person's. Raises as the model's own class does."""
        self._size = size
        if model.kind == "blazepose":
            self._outline = selfie.BlazePoseOutline(model.file, threshold)
        elif model.kind == "selfie":
            self._outline = selfie.Selfie(threshold)
        elif model.kind == "litert":
            self._outline = yolo.LiteYolo(model.file, threshold)
        else:
            self._outline = yolo.Ultralytics(model.file)

    def reset(self) -> None:
        self._outline.reset()

    def __call__(self, rgb: np.ndarray, time: float) -> tuple[np.ndarray]:
        """rgb: (H, W, 3) uint8, upright. time: seconds, ascending."""
        height, width = self._size or rgb.shape[:2]
        rows, columns = nearest(rgb.shape[0], height), nearest(rgb.shape[1], width)
        cell = np.empty((), object)
        cell[()] = pack(self._outline(rgb, time, rows, columns))
        return (cell,)


def nearest(length: int, size: int) -> np.ndarray:
    """(wanted,) of `length` pixels, those whose middle is nearest to the middle of each new one."""
    return ((np.arange(size) + 0.5) * length / size).astype(int)


def pack(masks: np.ndarray) -> Parcel:
    """(K, H, W) bool, deflated."""
    return masks.shape, zlib.compress(np.packbits(masks, axis=-1).tobytes(), 1)


def unpack(parcel: Parcel) -> np.ndarray:
    """(K, H, W) uint8 of 0 and 1, from `pack`."""
    count, height, width = parcel[0]
    bits = np.frombuffer(zlib.decompress(parcel[1]), np.uint8).reshape(count, height, -(-width // 8))
    return np.unpackbits(bits, axis=-1, count=width)
