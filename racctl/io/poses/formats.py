"""Poses from anywhere: racctl's own npz and what users of the field have, told apart by content, never by suffix.

* poserac: npy or npz of shape (T, 99) or (T, 33, 3), or with visibility; a frame of zeros is nobody. blazepose33
* kinect: npy or npz of shape (T, 25, 3), (T, 75) or (T, M, 25, 3); metres with y up, as Kinect has it. ntu25
* d2stx: the same shapes in the order of D²-STX. d2stx25
* openpose: a folder of JSON files, one per frame, or one of them; several people. openpose25, openpose18. Or npy or npz
  of x, y, confidence: (T, 25, 3), (T, 75), (T, M, 25, 3), and with '--from' those of 18 joints
* openpose25b: the same of BODY_25B, whose neck and middle of the hips become those of openpose25
* coco: COCO keypoint JSON, annotations or a list of results; several people. coco17. With '--from' (T, 17, 3) and
  (T, 51) arrays of x, y, confidence

What has no name is told by the bones; where they fit nothing, or two things, it is refused and '--from' asked for.
* mediapipe: CSV of landmarks in the ways that `pose_csv` describes. blazepose33
"""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import IO

from racctl.contracts import Pose
from racctl.errors import DataError, UsageError
from racctl.io.npz import read_pose
from racctl.io.poses.arrays import read_array
from racctl.io.poses.csv_tables import read_csv
from racctl.io.poses.json_documents import load_json, read_coco, read_openpose, read_openpose_folder
from racctl.io.poses.landmarks import ImportedLandmarks, Note, to_pose
from racctl.io.sniff import kind_phrase, sniff
from racctl.io.spool import display_name, open_input, sha256

# name for '--from' -> the kinds of file (see `sniff`) it comes in
POSE_FORMATS: dict[str, tuple[str, ...]] = {
    "poserac": ("npy", "npz"),
    "kinect": ("npy", "npz"),
    "d2stx": ("npy", "npz"),
    "openpose": ("json", "folder", "npy", "npz"),
    "openpose25b": ("json", "folder", "npy", "npz"),
    "coco": ("json", "npy", "npz"),
    "mediapipe": ("text",),
}

ACCEPTED = (
    "a racctl.pose/1 npz, an npy or npz array of shape (T, 99), (T, 33, 3) or (T, 25, 3), a folder or file of OpenPose "
    "JSON, COCO keypoint JSON, or CSV of MediaPipe landmarks"
)


def _silent(message: str) -> None:
    """Ignore the note."""


def load_pose(
    source: str,
    *,
    layout: str | None = None,
    fps: float | None = None,
    size: tuple[int, int] | None = None,
    note: Note = _silent,
) -> Pose:
    """Return the pose in `source`: a file, "-" for stdin, or a folder.

    layout: a name of POSE_FORMATS where the content leaves a choice.
    fps: frames per second, for files without timestamps (30 if None).
    size: (width, height) in pixels, for coordinates in fractions of the picture.
    note: told what was assumed.

    The pose's meta names the topology, the scale ("pixels", "normalized", "minmax", "metres"), dims (2 or 3) and, in
    the step "import", format and clock; racctl's own files come back unchanged and take no options. Raises DataError
    for what cannot be recognised or is damaged, UsageError for options that do not fit.
    """
    if layout is not None and layout not in POSE_FORMATS:
        raise UsageError(f"no such format '{layout}'; expected one of {', '.join(POSE_FORMATS)}")
    if source != "-" and Path(source).is_dir():
        _check_layout(layout, "folder", source)
        return to_pose(read_openpose_folder(source, note, layout), source, fps, size, note)
    with open_input(source) as file:
        name, kind = display_name(source), sniff(file)
        if kind == "npz" and _is_racctl(file):
            if (layout, fps, size) != (None, None, None):
                raise UsageError(f"'{name}' is racctl's own and takes no '--from', '--fps' or '--size'; omit them")
            return read_pose(file, name)
        digest = sha256(file)
        landmarks = _read(file, kind, name, layout, note)
    landmarks.args["sha256"] = digest
    return to_pose(landmarks, source, fps, size, note)


def picture_size(text: str) -> tuple[int, int]:
    """Return (width, height) from "640x480".

    Raises UsageError otherwise.
    """
    match = re.fullmatch(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})", text)
    if match is None:
        raise UsageError(f"invalid value '{text}' for '--size'; expected WIDTHxHEIGHT in pixels, such as 640x480")
    return int(match[1]), int(match[2])


def _read(file: IO[bytes], kind: str, name: str, layout: str | None, note: Note) -> ImportedLandmarks:
    if kind not in {kind for kinds in POSE_FORMATS.values() for kind in kinds}:
        what = "of no known kind" if kind == "unknown" else kind_phrase(kind)
        hint = "; run 'racctl pose' first" if kind == "video" else ""
        raise DataError(f"'{name}' is {what}; expected {ACCEPTED}{hint}")
    _check_layout(layout, kind, name)
    if kind in ("npy", "npz"):
        return read_array(file, kind, name, layout, note)
    if kind == "text":
        return read_csv(file, name, note)
    document = load_json(file, name)
    dialect = "openpose" if isinstance(document, dict) and "people" in document else "coco"
    if dialect == "coco" and not (isinstance(document, list) or "annotations" in document):
        raise DataError(f"'{name}' is JSON without 'people', 'annotations' or a list of results; expected {ACCEPTED}")
    if layout not in (None, dialect) and (dialect, layout) != ("openpose", "openpose25b"):
        raise DataError(f"'{name}' is {dialect} JSON, not '--from {layout}'")
    if dialect == "openpose":
        return read_openpose(document, name, note, layout)
    return read_coco(document, name, note, layout)


def _check_layout(layout: str | None, kind: str, name: str) -> None:
    if layout is not None and kind not in POSE_FORMATS[layout]:
        raise DataError(f"'{name}' is {kind}, but '--from {layout}' comes as {' or '.join(POSE_FORMATS[layout])}")


def _is_racctl(file: IO[bytes]) -> bool:
    """Return whether this npz begins with racctl's meta document; a damaged one is for the array reader to explain."""
    try:
        with zipfile.ZipFile(file) as archive:
            return "meta.npy" in archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError):
        return False
    finally:
        file.seek(0)
