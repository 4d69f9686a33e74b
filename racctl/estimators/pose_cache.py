"""Estimated poses, kept from one command to the next where the user names a folder for them.

A pose is found again by the bytes of its video, the clip's name, and the provenance entry of its estimation: model,
weights, options, constants. With inner features these lie beside it. The folder stays below a bound; what was not used
for longest goes first.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from racctl.contracts import Features, Meta, Pose
from racctl.errors import DataError, RacctlError, UsageError
from racctl.io.npz import read_features, read_pose, write_features, write_pose
from racctl.io.output import make_folder, write_file
from racctl.io.spool import clip_name, sha256
from racctl.progress import tell

FOLDER_VARIABLE, BOUND_VARIABLE = "RACCTL_POSE_CACHE", "RACCTL_POSE_CACHE_MIB"
USUAL_BOUND_MIB = 2048
OWN_NAME = re.compile(r"[0-9a-f]{32}(\.pose|-(None|\d+)\.features)\.npz")  # of the files that are the cache's


@dataclass(frozen=True)
class PoseCache:
    """A folder of poses. bound: bytes that the files in it may take together."""

    folder: Path
    bound: int

    def read(self, key: str, side: int | None) -> tuple[Pose, Features | None] | None:
        """Return the pose of a key, see `cache_key`, and its inner features; None where they are not there, whole.

        side: of the features, see `Estimates.feature_side`, or None without them.
        """
        pose_path, features_path = self._paths(key, side)
        features = None
        try:
            with open(pose_path, "rb") as file:
                pose = read_pose(file, str(pose_path))
            if side is not None:
                with open(features_path, "rb") as file:
                    features = read_features(file, str(features_path))
        except (OSError, RacctlError):
            return None
        for path in (pose_path, *([features_path] if side is not None else [])):
            with contextlib.suppress(OSError):  # a folder that others wrote is read all the same
                os.utime(path)  # used now
        return pose, features

    def write(self, key: str, side: int | None, pose: Pose, features: Features | None) -> None:
        """Keep a pose, unless frames of its video are missing, which is to be said every time.

        A folder that cannot be written is said, and is no error.
        """
        if "losses" in pose.meta.get("source", {}):
            return
        pose_path, features_path = self._paths(key, side)
        try:
            make_folder(self.folder)
            write_file(pose_path, partial(write_pose, pose=pose))
            if features is not None:
                write_file(features_path, partial(write_features, features=features))
        except DataError as error:
            tell(f"the pose is not kept: {error}")
        self._forget()

    def _paths(self, key: str, side: int | None) -> tuple[Path, Path]:
        return self.folder / f"{key}.pose.npz", self.folder / f"{key}-{side}.features.npz"

    def _forget(self) -> None:
        """Remove what was not used for longest until the rest fits the bound."""
        files = []
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            if not OWN_NAME.fullmatch(path.name):
                continue  # somebody else's
            with contextlib.suppress(OSError):
                about = path.stat()
                files.append((about.st_mtime_ns, about.st_size, path))
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total <= self.bound:
                return
            path.unlink(missing_ok=True)
            total -= size


def pose_cache() -> PoseCache | None:
    """Return the cache that the environment names, None for none; UsageError for a bound that is no number."""
    folder = os.environ.get(FOLDER_VARIABLE, "")
    if not folder:
        return None
    text = os.environ.get(BOUND_VARIABLE, str(USUAL_BOUND_MIB))
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"invalid value '{text}' of {BOUND_VARIABLE}; expected a number of MiB")
    return PoseCache(Path(folder), int(text) << 20)


def cache_key(file: IO[bytes], name: str, entry: Meta) -> str:
    """Return what a pose is found again by.

    file, name: of the video.
    entry: of the estimation, see `racctl.estimators.pose.pose_step`.
    """
    about = [sha256(file), clip_name(name), entry]
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:32]
