"""People by YOLO segmentation models: .tflite through LiteRT with the decoding here, .pt and .onnx through Ultralytics.

Ultralytics' code and weights are AGPL-3.0. The package is imported here alone, and only for a .pt or .onnx model, with
its network access, telemetry, installing of packages and unpickling of code turned off before the import. A .tflite
model needs neither it nor torch.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from racctl.errors import DataError, UsageError
from racctl.estimators.download import Bundle, cache_folder, fetch, weights_record

YOLO_LICENCE = "AGPL-3.0"
CONFIDENCE = 0.25  # from which a detection is one; Ultralytics' default
OVERLAP = 0.7  # IoU of two boxes from which they are the same person; Ultralytics' default
MAX_YOLO_PEOPLE = 8  # people in a picture
PERSON = 0  # COCO's first class
COEFFICIENTS = 32
GREY = 114  # what a picture is padded with

_HOST = "https://github.com/ultralytics/assets/releases/download/v0.0.0"
WEIGHTS = {
    "yolov8n-seg": Bundle(
        f"{_HOST}/yolov8n-seg.pt", 7054355, "d39e867b2c3a5dbc1aa764411544b475cb14727bf6af1ec46c238f8bb1351ab9"
    ),
    "yolov8s-seg": Bundle(
        f"{_HOST}/yolov8s-seg.pt", 23897299, "c035c6c5f9c48ee962518ef648854c2cc5e60fa404fac443e17d306fdda16543"
    ),
    "yolov8m-seg": Bundle(
        f"{_HOST}/yolov8m-seg.pt", 54899779, "f9fc740ca0824e14b44681d491dc601efa664ec6ecea9a870acf876053826448"
    ),
}


class YoloModel:
    """A YOLO segmentation model: one of Ultralytics' by name, or a .tflite, .onnx or .pt file."""

    tells_apart = True
    warm_up = 0

    def __init__(self, name: str, download: bool) -> None:
        self.file = Path(name)
        if name not in WEIGHTS:
            return
        bundle = WEIGHTS[name]
        if not bundle.is_cached and not download:
            raise UsageError(f"the model '{name}' (AGPL-3.0) is not here; use '--download' or the path of a file")
        self.file = bundle.cached if bundle.is_cached else fetch(bundle)

    @classmethod
    def claims(cls, path: Path) -> bool:
        return _is_tflite(path) or path.suffix.lower() in (".onnx", ".pt")

    @property
    def has_threshold(self) -> bool:
        """Whether this is a .tflite file; Ultralytics cuts at 0.5."""
        return _is_tflite(self.file)

    def record(self) -> dict[str, str]:
        # YOLO weights are Ultralytics' or were trained with its code, which its licence takes to be derived work.
        return weights_record(self.file, YOLO_LICENCE)

    def start(self, threshold: float) -> LiteYolo | Ultralytics:
        return LiteYolo(str(self.file), threshold) if _is_tflite(self.file) else Ultralytics(str(self.file))


def _is_tflite(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(8)[4:] == b"TFL3"


class LiteYolo:
    """A YOLO segmentation model as TensorFlow Lite file, COCO classes."""

    def __init__(self, path: str, threshold: float) -> None:
        """threshold: probability from which a pixel is the person's. Raises DataError for a file that is no such
        model, or when LiteRT cannot be imported."""
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise DataError(
                f"ai_edge_litert cannot be imported ({error}); pip install --force-reinstall ai-edge-litert"
            ) from None
        try:
            self._net = Interpreter(path, num_threads=1)
            self._net.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise DataError(f"'{path}' is not a model that LiteRT reads ({str(error).splitlines()[0]})") from None
        (self._in,), outs = self._net.get_input_details(), self._net.get_output_details()
        flat = [out for out in outs if len(out["shape"]) == 3]
        deep = [out for out in outs if len(out["shape"]) == 4]
        shape = self._in["shape"]
        if len(flat) != 1 or len(deep) != 1 or len(shape) != 4 or 3 not in (shape[1], shape[3]):
            raise DataError(f"'{path}' is not a YOLO segmentation model: its outputs are not boxes and prototypes")
        self._boxes, self._prototypes, self._threshold = flat[0], deep[0], threshold
        self._first = shape[1] == 3  # channels first
        height, width = shape[2:] if self._first else shape[1:3]
        self._side = (int(height), int(width))

    def reset(self) -> None:
        """Nothing is carried from one frame to the next."""

    def __call__(self, rgb: np.ndarray, _time: float, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """rgb: (H, W, 3) uint8, upright. rows: (h,), columns: (w,) which pixels are asked for. Returns (K, h, w) bool,
        one mask for each person, the surest first."""
        image, scale, top, left = letterbox(rgb, self._side)
        detections, prototypes = self._run(image)
        boxes, weights = people(detections, self._side)
        y, x = (rows + 0.5) * scale + top, (columns + 0.5) * scale + left  # in pixels of the model's input
        return outlines(boxes, weights, prototypes, self._side, y, x, self._threshold)

    def _run(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(A, 4 + classes + 32) anchors and (32, h, w) prototypes."""
        batch = image.transpose(2, 0, 1)[None] if self._first else image[None]
        self._net.set_tensor(self._in["index"], _quantised(batch / np.float32(255), self._in))
        self._net.invoke()
        detections, prototypes = (
            _plain(self._net.get_tensor(out["index"]), out)[0] for out in (self._boxes, self._prototypes)
        )
        if detections.shape[0] < detections.shape[1]:
            detections = detections.T
        return detections, prototypes if prototypes.shape[0] == COEFFICIENTS else prototypes.transpose(2, 0, 1)


def _quantised(values: np.ndarray, tensor: dict[str, Any]) -> np.ndarray:
    kind, (scale, zero) = tensor["dtype"], tensor["quantization"]
    if not scale:
        return values.astype(kind)
    limits = np.iinfo(kind)
    return np.clip(np.round(values / scale) + zero, limits.min, limits.max).astype(kind)


def _plain(values: np.ndarray, tensor: dict[str, Any]) -> np.ndarray:
    scale, zero = tensor["quantization"]
    return (values.astype(np.float32) - zero) * scale if scale else values.astype(np.float32)


def letterbox(rgb: np.ndarray, side: tuple[int, int]) -> tuple[np.ndarray, float, int, int]:
    """The picture in the middle of a grey one of `side` (height, width), and the scale, top and left that took it
    there."""
    height, width = rgb.shape[:2]
    scale = min(side[0] / height, side[1] / width)
    inner = max(1, round(height * scale)), max(1, round(width * scale))
    top, left = (side[0] - inner[0]) // 2, (side[1] - inner[1]) // 2
    padded = np.full((*side, 3), GREY, np.uint8)
    small = Image.fromarray(rgb).resize(inner[::-1], Image.Resampling.BILINEAR, reducing_gap=2.0)
    padded[top : top + inner[0], left : left + inner[1]] = small
    return padded, scale, top, left


def people(detections: np.ndarray, side: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The people among anchors (A, 4 + classes + 32): boxes (K, 4) x0, y0, x1, y1 in pixels of the model's input, and
    mask coefficients (K, 32), the surest first. An anchor whose box overlaps that of a surer one is dropped."""
    score = detections[:, 4 + PERSON]
    sure = np.flatnonzero((score > CONFIDENCE) & (score >= detections[:, 4:-COEFFICIENTS].max(1)))
    sure = sure[np.argsort(-score[sure], kind="stable")][:300]
    centre, size = detections[sure, :2], detections[sure, 2:4]
    if len(sure) and size.max() <= 2:  # some exports give shares of the picture
        centre, size = centre * side[::-1], size * side[::-1]
    boxes = np.concatenate([centre - size / 2, centre + size / 2], 1)
    best: list[int] = []
    for k in range(len(sure)):
        if len(best) < MAX_YOLO_PEOPLE and all(_iou(boxes[k], boxes[rival]) < OVERLAP for rival in best):
            best.append(k)
    return boxes[best], detections[sure[best], -COEFFICIENTS:]


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    inner = np.prod(np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0))
    outer = np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - inner
    return float(inner / max(outer, 1e-9))


def outlines(
    boxes: np.ndarray,
    weights: np.ndarray,
    prototypes: np.ndarray,
    side: tuple[int, int],
    y: np.ndarray,
    x: np.ndarray,
    threshold: float,
) -> np.ndarray:
    """(K, h, w) bool at the places y (h,), x (w,) of the model's input: prototypes (32, ., .) weighted by (K, 32),
    sampled bilinearly, cut at each person's box."""
    _, high, wide = prototypes.shape
    logits = (weights @ prototypes.reshape(len(prototypes), -1)).reshape(-1, high, wide)
    sampled = logits_at(logits, y * high / side[0], x * wide / side[1])
    inside_y = (boxes[:, 1, None] <= y) & (y <= boxes[:, 3, None])
    inside_x = (boxes[:, 0, None] <= x) & (x <= boxes[:, 2, None])
    return (sampled > np.log(threshold / (1 - threshold))) & inside_y[:, :, None] & inside_x[:, None, :]


def logits_at(logits: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return (K, h, w), sampled bilinearly at places y (h,) and x (w,) of (K, H, W); cell k's value stands at k + 0.5.

    Each place is worked out by itself: what others there are does not change a bit of it.
    """
    row, down = _cells(y, logits.shape[1])
    column, across = _cells(x, logits.shape[2])
    lines = logits[:, row] + (logits[:, row + 1] - logits[:, row]) * down[:, None]
    return lines[:, :, column] + (lines[:, :, column + 1] - lines[:, :, column]) * across


def _cells(at: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Return for places `at` (n,) the cell before each, and (n,) how far it is to the next."""
    middle = np.clip(at - 0.5, 0, length - 1)
    cell = np.minimum(middle.astype(int), length - 2)
    return cell, middle - cell


class Ultralytics:
    """A YOLO segmentation model through the package ultralytics: .pt, .onnx and whatever else it reads."""

    def __init__(self, path: str) -> None:
        """Raises UsageError when the package is missing, DataError for a file that is no segmentation model of it or
        knows no people."""
        self._model = _ultralytics(path)
        names = {number: str(name) for number, name in self._model.names.items()}
        people = [number for number, name in names.items() if name == "person"] or list(names)[: len(names) == 1]
        if self._model.task != "segment" or not people:
            raise DataError(f"'{path}' is not a model that outlines people (task {self._model.task})")
        self._person = people[0]

    def reset(self) -> None:
        """Nothing is carried from one frame to the next."""

    def __call__(self, rgb: np.ndarray, _time: float, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """As `LiteYolo`."""
        try:
            (detections,) = self._model.predict(
                np.ascontiguousarray(rgb[..., ::-1]),
                classes=[self._person],
                conf=CONFIDENCE,
                iou=OVERLAP,
                max_det=MAX_YOLO_PEOPLE,
                retina_masks=True,
                verbose=False,
                save=False,
                device="cpu",
            )
        except (RuntimeError, ImportError) as error:
            raise _told(error, "ultralytics failed") from None
        if detections.masks is None:
            return np.zeros((0, len(rows), len(columns)), bool)
        return detections.masks.data.cpu().numpy()[:, rows][:, :, columns] > 0


def _ultralytics(path: str) -> Any:
    """The loaded model."""
    _prepare_import()
    try:
        import torch
        from ultralytics import YOLO
        from ultralytics.utils import SETTINGS
    except ImportError:
        raise UsageError(f"'{path}' needs Ultralytics (AGPL-3.0); pip install 'racctl[yolo]'") from None
    SETTINGS["sync"] = False  # telemetry; beside YOLO_OFFLINE, which should do
    torch.set_num_threads(1)  # processes use the cores
    try:
        model = YOLO(path)
        model.names  # noqa: B018 (what is not .pt is loaded here)
        return model
    except Exception as error:  # of many kinds, from torch, onnxruntime and pickle
        raise _told(error, f"'{path}' is not a model that ultralytics loads") from None


def _prepare_import() -> None:
    """No network, no telemetry, no installing of packages, no unpickling of code; settings in a folder of our own."""
    os.environ |= {"YOLO_OFFLINE": "1", "YOLO_AUTOINSTALL": "false", "ULTRALYTICS_SAFE_LOAD": "1"}
    os.environ |= {"YOLO_VERBOSE": "false", "YOLO_CONFIG_DIR": str(cache_folder() / "ultralytics")}


def _told(error: Exception, what: str) -> DataError:
    if "torchvision" in str(error):
        return DataError("torchvision does not fit this torch; install both from the same index")
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
    return DataError(f"{what} ({reason})")
