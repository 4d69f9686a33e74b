"""MediaPipe's own pipeline of BlazePose, the reference for racctl's: 33 landmarks of one person, frame after frame.

The wheel of mediapipe 0.10.21 holds the graph and the network "full"; newer ones take a .task file, as "lite" and
"heavy" do. MediaPipe and its models are Apache-2.0.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from racctl.errors import DataError, UsageError
from racctl.estimators import workers
from racctl.estimators.download import fetch, weights_record
from racctl.estimators.model_files import MEDIAPIPE_LICENCE, MODEL_FILES, TASK_FILES
from racctl.skeleton.topology import TOPOLOGIES

BLAZEPOSE_JOINTS = len(TOPOLOGIES["blazepose33"].joints)

Landmarks = tuple[np.ndarray, np.ndarray, np.ndarray]  # xyz (M, 33, 3) px, world (M, 33, 3) m, score (M, 33)


class MediaPipeModel:
    """mediapipe, mediapipe-lite or mediapipe-heavy."""

    topology = "blazepose33"
    warm_up = workers.WARM_UP

    def __init__(self, name: str, download: bool) -> None:
        folder = _mediapipe_folder()
        variant = name.removeprefix("mediapipe").removeprefix("-") or "full"
        in_wheel = folder.parent / MODEL_FILES[variant].member
        self.graph = variant == "full" and in_wheel.is_file()
        self.file = in_wheel if self.graph else _task_file(variant, download)

    @classmethod
    def claims(cls, path: Path) -> bool:
        """Return False: racctl's own pipeline reads .task files."""
        del path
        return False

    def record(self) -> dict[str, str]:
        record = weights_record(self.file, MEDIAPIPE_LICENCE)
        return {**record, "name": f"mediapipe {record['name']}"}

    def start(self, people: int) -> MediaPipeGraph | MediaPipeTask:
        """Return the estimator. Raises DataError when MediaPipe cannot start, UsageError for several people."""
        if people > 1:
            raise UsageError("MediaPipe's pipeline finds one person; '--model full' finds several")
        try:
            return MediaPipeGraph() if self.graph else MediaPipeTask(str(self.file))
        except ImportError as error:
            raise DataError(
                f"mediapipe cannot be imported ({error}); pip install --force-reinstall mediapipe"
            ) from None


def _mediapipe_folder() -> Path:
    """Return where mediapipe is, without importing it, which takes a second."""
    spec = importlib.util.find_spec("mediapipe")
    if spec is None or not spec.submodule_search_locations:
        raise UsageError("mediapipe is not installed; pip install 'racctl[mediapipe]', or use '--model full'")
    return Path(next(iter(spec.submodule_search_locations)))


def _task_file(variant: str, download: bool) -> Path:
    bundle = TASK_FILES[variant]
    if bundle.is_cached:
        return bundle.cached
    if not download:
        raise UsageError(f"MediaPipe's pose model '{variant}' is not here; use '--download' or '--model full'")
    return fetch(bundle)


class MediaPipeGraph:
    """The graph and the network "full" inside the mediapipe 0.10.21 wheel."""

    def __init__(self) -> None:
        from mediapipe.python.solutions.pose import Pose

        self._pose = Pose(model_complexity=1)

    def reset(self) -> None:
        """Forget the tracked person and the smoothing; the next frame starts with a detection."""
        self._pose.reset()

    def __call__(self, rgb: np.ndarray, _time: float) -> Landmarks:
        """rgb: (H, W, 3) uint8, upright. A person who is not found is NaN with score 0."""
        person = self._pose.process(rgb)
        if person.pose_landmarks is None:
            return _landmarks(None, None, rgb.shape)
        return _landmarks(person.pose_landmarks.landmark, person.pose_world_landmarks.landmark, rgb.shape)


class MediaPipeTask:
    """A .task file through MediaPipe's Tasks interface."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._landmarker: Any = None
        self.reset()

    def reset(self) -> None:
        """Forget the tracked person and the smoothing; the next frame starts with a detection."""
        from mediapipe.tasks.python import vision
        from mediapipe.tasks.python.core.base_options import BaseOptions

        if self._landmarker is not None:
            self._landmarker.close()
        options = vision.PoseLandmarkerOptions(
            base_options=BaseOptions(model_asset_path=self._path), running_mode=vision.RunningMode.VIDEO
        )
        try:
            self._landmarker = vision.PoseLandmarker.create_from_options(options)
        except (RuntimeError, ValueError) as error:
            first_line = str(error).splitlines()[0]
            raise DataError(f"'{self._path}' is not a pose model that mediapipe accepts ({first_line})") from None
        self._last = -1

    def __call__(self, rgb: np.ndarray, time: float) -> Landmarks:
        """rgb: (H, W, 3) uint8, upright.  time: seconds, ascending."""
        import mediapipe as mp

        self._last = max(self._last + 1, round(time * 1000))  # milliseconds, strictly ascending
        people = self._landmarker.detect_for_video(mp.Image(image_format=mp.ImageFormat.SRGB, data=rgb), self._last)
        if not people.pose_landmarks:
            return _landmarks(None, None, rgb.shape)
        return _landmarks(people.pose_landmarks[0], people.pose_world_landmarks[0], rgb.shape)


def _landmarks(image: Any, world: Any, shape: tuple[int, ...]) -> Landmarks:
    height, width = shape[:2]
    xyz = np.full((1, BLAZEPOSE_JOINTS, 3), np.nan, np.float32)
    metres = xyz.copy()
    score = np.zeros((1, BLAZEPOSE_JOINTS), np.float32)
    if image is not None:
        xyz[0] = [(point.x * width, point.y * height, point.z * width) for point in image]
        metres[0] = [(point.x, point.y, point.z) for point in world]
        score[0] = np.clip([point.visibility for point in image], 0, 1)
    return xyz, metres, score
