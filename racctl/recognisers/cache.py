"""Clips as a recogniser sees them, decoded once and kept as packed uint8, so that decoding never starves the training.

One file per clip: (N, size, size + size / 8) uint8 at the look's rate, grayscale and the mask's bits side by side, read
through a memory map; windows that overlap share its frames. It is made again when video, mask, pose or look change.
"""

from __future__ import annotations

import functools
import hashlib
import json
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from racctl.contracts import Pose
from racctl.data.intervals import LabelledClip, labels_at
from racctl.data.mmfit import mmfit_pose
from racctl.errors import DataError, DiskFullError, RacctlError
from racctl.io.npz import read_mask, read_pose, write_arrays
from racctl.io.output import make_folder, write_file
from racctl.io.sniff import sniff
from racctl.progress import Report, silent
from racctl.recognisers.inputs import Look, Streams, gather, gather_joints

FORMAT = 3  # of the cache; another number makes everything again


@functools.lru_cache(128)
def _mapped(path: Path) -> np.ndarray:
    return np.load(path, mmap_mode="r", allow_pickle=False)


class Rows:
    """The array in a .npy file, read through a memory map that is opened when it is needed: a process may have no more
    than a thousand files open, and a data set has more clips."""

    def __init__(self, path: Path) -> None:
        self.path, self.shape = path, _mapped(path).shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        return np.asarray(_mapped(self.path)[rows])


@dataclass
class StoredClip:
    """packed: (N, size, size + size / 8) uint8, in its file.  joints: (N, V, 4) float32 or None.  labels: (N,) str
    objects at each tick.  frame, time: (N,) of the source.  end: one past its last frame, and its end in seconds."""

    name: str
    split: str
    packed: Rows | np.ndarray
    joints: np.ndarray | None
    labels: np.ndarray
    frame: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    time: np.ndarray = field(default_factory=lambda: np.zeros(0))
    end: tuple[int, float] = (0, 0.0)

    def __len__(self) -> int:
        return len(self.packed)

    @property
    def streams(self) -> Streams:
        return Streams(self.packed, self.joints, self.frame, self.time, *self.end)


def store(
    clips: list[LabelledClip],
    folder: Path,
    look: Look,
    threads: int,
    report: Report = silent,
    skipped: Callable[[str, str], None] | None = None,
) -> list[StoredClip]:
    """Every clip from the cache in `folder`, made first where it is not there.

    A clip that cannot be read is a DataError, or with `skipped` is left out and told to it, (clip, reason). A full disk
    is no clip's fault, and always a DiskFullError.
    """
    make_folder(folder)
    stored: dict[str, StoredClip] = {}
    with ThreadPoolExecutor(threads) as pool:
        futures = {pool.submit(_stored, clip, folder, look): clip for clip in clips}
        try:
            for done, future in enumerate(as_completed(futures), 1):
                clip = futures[future]
                try:
                    stored[clip.clip] = future.result()
                except RacctlError as error:
                    if skipped is None or isinstance(error, DiskFullError):
                        raise
                    skipped(clip.clip, str(error))
                report(done, len(clips))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [stored[clip.clip] for clip in clips if clip.clip in stored]


def _stored(clip: LabelledClip, folder: Path, look: Look) -> StoredClip:
    base = folder / f"{clip.clip}.{_key(clip, look)}"
    pictures, arrays_file = base.with_name(base.name + ".npy"), base.with_name(base.name + ".npz")
    if not (pictures.is_file() and arrays_file.is_file()):
        streams = _read(clip, look)
        arrays = {"frame": streams.frame, "time": streams.time, "end": np.array([streams.stop, streams.stop_s])}
        arrays |= {} if streams.joints is None else {"joints": streams.joints}
        write_file(pictures, lambda file: np.save(file, np.asarray(streams.packed), allow_pickle=False))
        write_file(arrays_file, lambda file: write_arrays(file, arrays))
    try:
        packed = Rows(pictures) if look.needs_picture else np.load(pictures, allow_pickle=False)
        with np.load(arrays_file, allow_pickle=False) as rows:
            frame, time, end, joints = rows["frame"], rows["time"], rows["end"], rows.get("joints")
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"'{base}' is a damaged cache file ({str(error).lower()}); delete it") from None
    labels, last = labels_at(clip, frame, time), (int(end[0]), float(end[1]))
    return StoredClip(clip.clip, clip.split, packed, joints, labels, frame, time, last)


def _key(clip: LabelledClip, look: Look) -> str:
    """Of the files' names, sizes and times of change, and of the look; as Make would."""
    files = [getattr(clip, kind) if kind in look.files else None for kind in ("video", "mask", "pose")]
    stats = [
        [path.name, path.stat().st_size, path.stat().st_mtime_ns] if path and path.exists() else None for path in files
    ]
    shape = {key: value for key, value in look.header().items() if key not in ("window", "stride")}
    return hashlib.sha256(json.dumps([FORMAT, stats, shape], sort_keys=True).encode()).hexdigest()[:16]


def _read(clip: LabelledClip, look: Look) -> Streams:
    mask = pose = None
    if look.needs_mask:
        mask = _part(clip.mask, clip, "mask", read_mask)
    if look.topology:
        pose = _part(clip.pose, clip, "pose", read_pose if clip.source != "MM-Fit" else _published_pose)
    if not look.needs_picture and pose is not None:
        return gather_joints(pose, look)
    if clip.video is None:
        raise DataError(f"clip '{clip.clip}' has no video")
    with _opened(clip.video) as file:
        return gather(file, str(clip.video), look, mask, pose)


def _part(path: Path | None, clip: LabelledClip, kind: str, read: Callable[[IO[bytes], str], Any]) -> Any:
    if path is None:
        raise DataError(
            f"clip '{clip.clip}' has no {kind}; 'racctl {kind} -o DIR' makes them, '--{kind}s DIR' names them"
        )
    with _opened(path) as file:
        return read(file, str(path))


def _published_pose(file: IO[bytes], where: str) -> Pose:
    """MM-Fit's own arrays, or a pose of ours in their place."""
    return read_pose(file, where) if sniff(file) == "npz" else mmfit_pose(Path(where))


def _opened(path: Path) -> IO[bytes]:
    try:
        return open(path, "rb")
    except OSError as error:
        raise DataError(f"cannot open '{path}': {(error.strerror or str(error)).lower()}") from None
