"""Where the networks of MediaPipe lie, and getting them: BlazePose's two, and the selfie segmenter.

They are Apache-2.0. The wheel of mediapipe 0.10.21 carries the person detector, the landmark network "full" and the
selfie segmenter; later ones carry none. "lite" and "heavy" are published in npm's @mediapipe/pose and as .task files.
Nothing here imports mediapipe, and only `read` and `record` open what is large.
"""

from __future__ import annotations

import hashlib
import importlib.machinery
import importlib.util
import io
import shutil
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from racctl.errors import DataError, UsageError, reason
from racctl.estimators.download import (
    Bundle,
    Package,
    PackedFile,
    fetch,
    fetch_packed,
    weights_record,
)
from racctl.io.bounds import refuse_large

MEDIAPIPE_LICENCE = "Apache-2.0"

_MODULES = "mediapipe/modules"  # of the wheel
MODEL_FILES = {
    "detector": PackedFile(
        f"{_MODULES}/pose_detection/pose_detection.tflite",
        2959046,
        "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
    ),
    "full": PackedFile(
        f"{_MODULES}/pose_landmark/pose_landmark_full.tflite",
        6440512,
        "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
    ),
    "selfie": PackedFile(
        f"{_MODULES}/selfie_segmentation/selfie_segmentation.tflite",
        249505,
        "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c",
    ),
    "lite": PackedFile(
        "package/pose_landmark_lite.tflite",
        2819824,
        "f17bfbecadb61c3be1baa8b8d851cc6619c870a87167b32848ad20db306b9d61",
    ),
    "heavy": PackedFile(
        "package/pose_landmark_heavy.tflite",
        27709200,
        "59e42d71bcd44cbdbabc419f0ff76686595fd265419566bd4009ef703ea8e1fe",
    ),
}
_IN_WHEEL = ("detector", "full", "selfie")

MEDIAPIPE_WHEEL = Package("mediapipe", "0.10.21", 36)
MEDIAPIPE_NPM = Package("@mediapipe/pose", "0.5.1675469404", 41)

_HOST = "https://storage.googleapis.com/mediapipe-models/pose_landmarker"
TASK_FILES = {
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
_TASK_DETECTOR = "pose_detector.tflite"
_TASK_LANDMARKS = "pose_landmarks_detector.tflite"


@dataclass(frozen=True)
class BlazePoseFiles:
    """The two networks of BlazePose.

    name: what provenance calls them, e.g. pose_landmark_full.tflite or the .task file's name.
    detector: the TFLite file of the person detector.
    landmarks: the TFLite file of the landmark network (lite, full or heavy).
    record: name, sha256 and licence of the landmark network's file, or of the .task file.
    """

    name: str
    detector: bytes
    landmarks: bytes
    record: dict[str, str]


@dataclass(frozen=True)
class BlazePosePaths:
    """Where the two networks of BlazePose lie.

    detector: the TFLite file of the person detector; None where `landmarks` is a .task file, which holds both.
    landmarks: the TFLite file of the landmark network, or a .task file.
    """

    landmarks: Path
    detector: Path | None = None

    @property
    def name(self) -> str:
        """What provenance calls them."""
        return self.landmarks.name

    def record(self) -> dict[str, str]:
        """Return name, sha256 and licence of the file with the landmark network, for provenance."""
        return _network_record(self.landmarks)

    def read(self) -> BlazePoseFiles:
        """Return the networks; DataError where a file is damaged."""
        if self.detector is None:
            detector, landmarks = _read_task(self.landmarks)
        else:
            detector = _read_checked(self.detector)
            landmarks = _read_checked(self.landmarks)
        return BlazePoseFiles(self.name, detector, landmarks, self.record())


def blazepose_files(name: str, download: bool) -> BlazePoseFiles:
    """Return the networks of the pose model `name`: full, lite, heavy, or the path of a .task file.

    Raises UsageError when it is unknown, or neither here nor allowed to be fetched; DataError where it is damaged or
    cannot be fetched.
    """
    return blazepose_paths(name, download).read()


def blazepose_paths(name: str, download: bool) -> BlazePosePaths:
    """Return where the networks of the pose model `name` lie, fetched if need be and `download`; as `blazepose_files`.

    Reads none of them: quick enough for the start of a command.
    """
    if name not in TASK_FILES:
        return _task_paths(name)
    paths = _paths_here(name)
    if paths is None and download:
        _fetch_pose_model(name)
        paths = _paths_here(name)
    if paths is None:
        raise UsageError(_not_here(name))
    return paths


def selfie_model(download: bool) -> tuple[bytes, dict[str, str]]:
    """Return the selfie segmenter's TFLite file, and its name, sha256 and licence; errors as `blazepose_files`."""
    path = selfie_path(download)
    return _read_checked(path), _network_record(path)


def selfie_path(download: bool) -> Path:
    """Return where the selfie segmenter lies, fetched if need be and `download`; errors as `blazepose_files`."""
    path = _network_here("selfie")
    if path is None and download:
        if not _has_pip():
            raise DataError("getting the selfie segmenter takes pip, which this Python lacks; python -m ensurepip")
        _fetch_from_wheel()
        path = _network_here("selfie")
    if path is None:
        raise UsageError(
            "the selfie segmenter is not here: of MediaPipe only 0.10.21 carries it; use '--download' "
            f"(about {MEDIAPIPE_WHEEL.megabytes} MB) or '--model blazepose'"
        )
    return path


def _task_paths(name: str) -> BlazePosePaths:
    path = Path(name)
    if not path.is_file():
        raise UsageError(f"no such pose model '{name}'; expected full, lite, heavy or a .task file")
    return BlazePosePaths(path)


def _paths_here(name: str) -> BlazePosePaths | None:
    """Return where a pose model lies on this machine: single networks before a .task file, or None."""
    detector = _network_here("detector")
    landmarks = _network_here(name)
    if detector is not None and landmarks is not None:
        return BlazePosePaths(landmarks, detector)
    task = TASK_FILES[name]
    return BlazePosePaths(task.cached) if task.is_cached else None


def _network_here(name: str) -> Path | None:
    """Return where a network lies: in an installed mediapipe, else in the cache, else None."""
    network = MODEL_FILES[name]
    folder = _mediapipe_folder()
    if folder is not None and (folder.parent / network.member).is_file():
        return folder.parent / network.member
    return network.cached if network.is_cached else None


def _mediapipe_folder() -> Path | None:
    """Return where mediapipe is installed, without importing it, which takes a second; None where it is not."""
    try:
        spec = importlib.util.find_spec("mediapipe")
    except ValueError:  # a module without a specification has been put in its place
        return None
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def _not_here(name: str) -> str:
    if name == "full":
        size = f"about {MEDIAPIPE_WHEEL.megabytes} MB"
        return (
            "BlazePose's networks are not here: of MediaPipe only 0.10.21 carries them; "
            f"use '--download' ({size}) or a .task FILE"
        )
    return f"the pose model '{name}' does not come with the installation; use '--download' or a .task FILE"


def _fetch_pose_model(name: str) -> None:
    """Get what a pose model lacks into the cache: out of a package where its client is here, else the .task file."""
    if name == "full":
        if _has_pip():
            _fetch_from_wheel()
        else:
            fetch(TASK_FILES[name])
        return
    detector_here = _network_here("detector") is not None
    if shutil.which("npm") is None or not (detector_here or _has_pip()):
        fetch(TASK_FILES[name])
        return
    if _network_here(name) is None:
        fetch_packed(MEDIAPIPE_NPM, [MODEL_FILES[name]])
    if not detector_here:
        _fetch_from_wheel()


def _has_pip() -> bool:
    # The path alone: setuptools has a hook on the usual way, which takes its distutils from who compiles later.
    return importlib.machinery.PathFinder.find_spec("pip") is not None


def _fetch_from_wheel() -> None:
    """Get all that mediapipe's wheel carries, since the whole of it has to come."""
    fetch_packed(MEDIAPIPE_WHEEL, [MODEL_FILES[name] for name in _IN_WHEEL])


def _read_checked(path: Path) -> bytes:
    """Return the bytes of a file; DataError where the cache no longer holds what was put there."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read '{path}': {reason(error)}") from None
    for item in _published():
        if path == item.cached and hashlib.sha256(content).hexdigest() != item.sha256:
            raise DataError(f"'{path}' is damaged; delete it and use '--download'")
    return content


def _read_task(path: Path) -> tuple[bytes, bytes]:
    """Return the detector and the landmark network of a .task file."""
    try:
        with zipfile.ZipFile(io.BytesIO(_read_checked(path))) as archive:
            return _read_member(archive, _TASK_DETECTOR, path), _read_member(archive, _TASK_LANDMARKS, path)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error) as error:
        raise DataError(f"'{path}' is not a .task file of a pose model ({reason(error)})") from None


def _read_member(archive: zipfile.ZipFile, member: str, path: Path) -> bytes:
    if member not in archive.namelist():
        raise DataError(f"'{path}' is not a .task file of a pose model: it holds no '{member}'")
    refuse_large(archive.getinfo(member).file_size, str(path), f"'{member}' in it")
    return archive.read(member)


def _network_record(path: Path) -> dict[str, str]:
    """Return name, sha256 and licence of a network; MediaPipe's licence where it is one that it publishes."""
    record = weights_record(path, MEDIAPIPE_LICENCE)
    known = any(record["sha256"] == item.sha256 for item in _published())
    return record if known else {**record, "licence": "unknown"}


def _published() -> list[PackedFile | Bundle]:
    """Return all files of MediaPipe that may come into the cache."""
    return [*MODEL_FILES.values(), *TASK_FILES.values()]
