"""BlazePose's networks for the tests: as files of their own, and as a .task file."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

from racctl.estimators.model_files import MODEL_FILES, BlazePoseFiles, blazepose_files, blazepose_paths


def networks() -> BlazePoseFiles:
    """Return the person detector and the landmark network "full"."""
    return blazepose_files("full", download=False)


def fill_cache(cache: Path) -> Path:
    """Copy the networks into an empty cache, as '--download' leaves them there; return it."""
    cache.mkdir()
    paths = blazepose_paths("full", download=False)
    if paths.detector is None:
        shutil.copy(paths.landmarks, cache)
    else:
        shutil.copy(paths.detector, cache / MODEL_FILES["detector"].cached.name)
        shutil.copy(paths.landmarks, cache / MODEL_FILES["full"].cached.name)
    return cache


def write_task(path: Path) -> Path:
    """Write a .task file of the networks."""
    files = networks()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("pose_detector.tflite", files.detector)
        archive.writestr("pose_landmarks_detector.tflite", files.landmarks)
    return path
