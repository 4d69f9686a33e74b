"""BlazePose through MediaPipe: 33 landmarks of one person (or several, with a .task model) from an RGB image.

Bazarevsky et al., BlazePose: On-device Real-time Body Pose Tracking, 2020. MediaPipe and its models are Apache-2.0.
The model "full" lies in the mediapipe 0.10.21 wheel; "lite" and "heavy" are .task files that MediaPipe publishes.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from racctl.errors import DataError, UsageError
from racctl.estimators import workers
from racctl.estimators.download import Bundle, fetch, weights_record
from racctl.skeleton.topology import TOPOLOGIES

BLAZEPOSE_JOINTS = len(TOPOLOGIES["blazepose33"].joints)
BLAZEPOSE_LICENCE = "Apache-2.0"

Landmarks = tuple[np.ndarray, np.ndarray, np.ndarray]  # xyz (M, 33, 3) px, world (M, 33, 3) m, score (M, 33)


_HOST = "https://storage.googleapis.com/mediapipe-models/pose_landmarker"
BUNDLES = {
    "lite": Bundle(
        f"{_HOST}/pose_landmarker_lite/float16/1/pose_landmarker_lite.task",
        5777746,
        "59929e1d1ee95287735ddd833b19cf4ac46d29bc7afddbbf6753c459690d574a",
    ),
    "full": Bundle(
        f"{_HOST}/pose_landmarker_full/float16/latest/pose_landmarker_full.task",
        9398198,
        "4eaa5eb7a98365221087693fcc286334cf0858e2eb6e15b506aa4a7ecdcec4ad",
    ),
    "heavy": Bundle(
        f"{_HOST}/pose_landmarker_heavy/float16/1/pose_landmarker_heavy.task",
        30664242,
        "64437af838a65d18e5ba7a0d39b465540069bc8aae8308de3e318aad31fcbc7b",
    ),
}


class BlazePoseModel:
    """One of MediaPipe's models, by name, or a .task file."""

    topology = "blazepose33"
    warm_up = workers.WARM_UP

    def __init__(self, name: str, download: bool) -> None:
        self.file = model_file(name, download)

    @classmethod
    def claims(cls, path: Path) -> bool:
        """Return True: only MediaPipe can tell whether a file is a model of its own."""
        return path.is_file()

    def record(self) -> dict[str, str]:
        return model_record(self.file)

    def start(self, people: int) -> BlazePose:
        return BlazePose(self.file, people)


class BlazePose:
    """Landmarks frame after frame; the person is tracked from one frame to the next until `reset`."""

    def __init__(self, model: str = "full", people: int = 1, outline: bool = False) -> None:
        """model: a name whose file is here, or the path of a .task file. people: at most so many; several need a
        .task file. outline: `probability` will be asked for. Raises DataError when MediaPipe cannot start, UsageError
        for an unknown model."""
        model = model_file(model, download=False)
        in_wheel = model == "full" and people == 1 and wheel_has_full()
        try:
            self._backend = _Wheel(outline) if in_wheel else _Task(model, people, outline)
        except ImportError as error:
            raise DataError(
                f"mediapipe cannot be imported ({error}); pip install --force-reinstall mediapipe"
            ) from None

    def reset(self) -> None:
        """Forget the tracked person and the smoothing; the next frame starts with a detection."""
        self._backend.reset()

    def __call__(self, rgb: np.ndarray, time: float) -> Landmarks:
        """rgb: (H, W, 3) uint8, upright. time: seconds, ascending. People not found are NaN with score 0."""
        return self._backend(rgb, time)

    def probability(self, rgb: np.ndarray, time: float) -> np.ndarray | None:
        """(H, W) float32 in 0..1, where the person is; None when nobody is found. Arguments as in a call."""
        return self._backend.probability(rgb, time)


def wheel_has_full() -> bool:
    """Whether the installed mediapipe carries the pose model itself (0.10.21 does, 0.10.30 and later do not)."""
    return _wheel_model().is_file()


def _wheel_model() -> Path:
    """Where the wheel keeps "full"; found without importing mediapipe, which takes a second."""
    spec = importlib.util.find_spec("mediapipe")
    if spec is None or not spec.submodule_search_locations:
        raise DataError("mediapipe is not installed; pip install 'mediapipe==0.10.21' (Python 3.11, 3.12)")
    return Path(next(iter(spec.submodule_search_locations)), "modules", "pose_landmark", "pose_landmark_full.tflite")


class _Wheel:
    """The graph and model "full" inside the mediapipe 0.10.21 wheel."""

    def __init__(self, outline: bool) -> None:
        from mediapipe.python.solutions.pose import Pose

        self._pose = Pose(model_complexity=1, enable_segmentation=outline, smooth_segmentation=False)

    def reset(self) -> None:
        self._pose.reset()

    def __call__(self, rgb: np.ndarray, _time: float) -> Landmarks:
        person = self._pose.process(rgb)
        if person.pose_landmarks is None:
            return _stack([], [], 1, rgb.shape)
        return _stack([person.pose_landmarks.landmark], [person.pose_world_landmarks.landmark], 1, rgb.shape)

    def probability(self, rgb: np.ndarray, _time: float) -> np.ndarray | None:
        return self._pose.process(rgb).segmentation_mask


class _Task:
    """A .task bundle through MediaPipe's Tasks interface."""

    def __init__(self, model: str, people: int, outline: bool) -> None:
        if not Path(model).is_file():
            several = f"looking for {people} people takes a .task FILE: 'full' from the wheel finds one"
            raise UsageError(several if people > 1 else _missing(model))
        self._path, self._people, self._outline = model, people, outline
        self._mark: Any = None
        self.reset()

    def reset(self) -> None:
        from mediapipe.tasks.python import vision
        from mediapipe.tasks.python.core.base_options import BaseOptions

        if self._mark is not None:
            self._mark.close()
        options = vision.PoseLandmarkerOptions(
            base_options=BaseOptions(model_asset_path=self._path),
            running_mode=vision.RunningMode.VIDEO,
            num_poses=self._people,
            output_segmentation_masks=self._outline,
        )
        try:
            self._mark, self._last = vision.PoseLandmarker.create_from_options(options), -1
        except (RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise DataError(f"'{self._path}' is not a pose model that mediapipe accepts ({reason})") from None

    def _detect(self, rgb: np.ndarray, time: float) -> Any:
        import mediapipe as mp

        self._last = max(self._last + 1, round(time * 1000))  # milliseconds, strictly ascending
        image = mp.Image(image_format=mp.ImageFormat.SRGB, data=rgb)
        return self._mark.detect_for_video(image, self._last)

    def __call__(self, rgb: np.ndarray, time: float) -> Landmarks:
        people = self._detect(rgb, time)
        return _stack(people.pose_landmarks, people.pose_world_landmarks, self._people, rgb.shape)

    def probability(self, rgb: np.ndarray, time: float) -> np.ndarray | None:
        masks = self._detect(rgb, time).segmentation_masks
        # MediaPipe 1.x gives the mask a channel axis, 0.10 does not.
        return masks[0].numpy_view().reshape(rgb.shape[:2]).copy() if masks else None


def _missing(model: str) -> str:
    if model == "full":
        return "this mediapipe carries no pose model; use '--download', a .task FILE, or mediapipe 0.10.21"
    if model in BUNDLES:
        return f"the pose model '{model}' does not come with the installation; use '--download' or a .task file"
    return f"no such pose model '{model}'; expected full, lite, heavy or a .task file"


def _stack(image: list, world: list, people: int, shape: tuple[int, ...]) -> Landmarks:
    height, width = shape[:2]
    xyz = np.full((people, BLAZEPOSE_JOINTS, 3), np.nan, np.float32)
    metres, score = xyz.copy(), np.zeros((people, BLAZEPOSE_JOINTS), np.float32)
    for m, (marks, points) in enumerate(zip(image, world, strict=True)):
        xyz[m] = [(p.x * width, p.y * height, p.z * width) for p in marks]
        metres[m] = [(p.x, p.y, p.z) for p in points]
        score[m] = np.clip([p.visibility for p in marks], 0, 1)
    return xyz, metres, score


def model_file(model: str, download: bool) -> str:
    """What to hand to BlazePose for the name or path `model`: "full", or a .task file, fetched if `download`.

    Raises UsageError when the model is neither here nor allowed to be fetched."""
    if model == "full" and wheel_has_full():
        return model
    if Path(model).is_file():
        return str(Path(model))
    if model not in BUNDLES:
        raise UsageError(_missing(model))
    bundle = BUNDLES[model]
    if not bundle.is_cached and not download:
        raise UsageError(_missing(model))
    return str(bundle.cached if bundle.is_cached else fetch(bundle))


def model_record(model: str) -> dict[str, str]:
    """Name, sha256 and licence of the weights, for provenance. model: what `model_file` returned."""
    path = _wheel_model() if model == "full" else Path(model)
    record = weights_record(path, BLAZEPOSE_LICENCE)
    known = any(bundle.sha256 == record["sha256"] for bundle in BUNDLES.values()) or model == "full"
    return record if known else {**record, "licence": "unknown"}
