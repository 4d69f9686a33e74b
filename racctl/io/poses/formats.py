"""Poses from anywhere: racctl's own npz and what users of the field have, told apart by content, never by suffix.

* poserac: npy or npz of shape (T, 99) or (T, 33, 3), or with visibility; a frame of zeros is nobody. blazepose33
* kinect: npy or npz of shape (T, 25, 3), (T, 75) or (T, M, 25, 3); metres with y up, as Kinect has it. ntu25
* d2stx: the same shapes in the order of D²-STX. d2stx25
* openpose: a folder of JSON files, one per frame, or one of them; several people. openpose25, openpose18. Or npy or npz
  of x, y, confidence: (T, 25, 3), (T, 75), (T, M, 25, 3), and with '--from' those of 18 joints
* openpose25b: the same of BODY_25B, whose neck and middle of the hips become those of openpose25
* coco: COCO keypoint JSON, annotations or a list of results; several people. coco17. With '--from' (T, 17, 3) and
  (T, 51) arrays of x, y, confidence
* mediapipe: CSV of landmarks in the ways that `csv_tables` describes. blazepose33

What has no name is told by the bones; where they fit nothing, or two things, it is refused and '--from' asked for.
"""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import IO

from racctl.contracts import Pose
from racctl.errors import DataError, UsageError
from racctl.io.npz import read_pose
from racctl.io.poses.base import POSE_FORMATS, Content, PoseFormat, format_named
from racctl.io.poses.landmarks import Note, to_pose
from racctl.io.sniff import kind_phrase, sniff
from racctl.io.spool import display_name, open_input, sha256


def _silent(message: str) -> None:
    """Ignore the note."""


def load_pose(
    source: str | Path,
    *,
    layout: str | None = None,
    fps: float | None = None,
    size: tuple[int, int] | None = None,
    note: Note = _silent,
) -> Pose:
    """Return the pose in `source`: a file, "-" for stdin, or a folder.

    layout: the name of a format where the content leaves a choice.
    fps: frames per second, for files without timestamps (30 if None).
    size: (width, height) in pixels, for coordinates in fractions of the picture.
    note: told what was assumed.

    The pose's meta names the topology, the scale ("pixels", "normalized", "minmax", "metres"), dims (2 or 3) and, in
    the step "import", format and clock; racctl's own files come back unchanged and take no options. Raises DataError
    for what cannot be recognised or is damaged, UsageError for options that do not fit.
    """
    source = str(source)
    named = None if layout is None else format_named(layout)
    if source != "-" and Path(source).is_dir():
        content = Content(source, "folder")
        pose_format = _chosen(content, named, layout, note)
        return to_pose(pose_format.read(content, layout, note), source, fps, size, note)
    with open_input(source) as file:
        name, kind = display_name(source), sniff(file)
        if kind == "npz" and _is_racctl(file):
            if (layout, fps, size) != (None, None, None):
                raise UsageError(f"'{name}' is racctl's own and takes no '--from', '--fps' or '--size'; omit them")
            return read_pose(file, name)
        digest = sha256(file)
        content = Content(name, kind, file)
        landmarks = _chosen(content, named, layout, note).read(content, layout, note)
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


def _chosen(content: Content, named: PoseFormat | None, layout: str | None, note: Note) -> PoseFormat:
    """Return the format that the user named, or the first that claims the content."""
    if named is not None and content.kind in named.kinds:
        return named
    formats = _formats(note)
    if content.kind not in {kind for pose_format in formats for kind in pose_format.kinds}:
        what = "of no known kind" if content.kind == "unknown" else kind_phrase(content.kind)
        hint = "; run 'racctl pose' first" if content.kind == "video" else ""
        raise DataError(f"'{content.where}' is {what}; expected {_accepted(formats)}{hint}")
    if named is not None:
        comes_as = " or ".join(named.kinds)
        raise DataError(f"'{content.where}' is {content.kind}, but '--from {layout}' comes as {comes_as}")
    for pose_format in formats:
        if content.kind in pose_format.kinds and pose_format.claims(content):
            return pose_format
    raise DataError(f"'{content.where}' is {content.kind} of no known format; expected {_accepted(formats)}")


def _formats(note: Note) -> list[PoseFormat]:
    """Return the formats, those of other packages first: the project's own claim whatever looks like an array or table.

    One that cannot be loaded takes nothing from the others.
    """
    formats = []
    for name in sorted(POSE_FORMATS.names(), key=lambda name: name in POSE_FORMATS.builtin):
        try:
            formats.append(format_named(name))
        except UsageError as error:
            note(str(error))
    return formats


def _accepted(formats: list[PoseFormat]) -> str:
    phrases = list(dict.fromkeys(pose_format.accepts for pose_format in formats))
    return f"a racctl.pose/1 npz, {', '.join(phrases[:-1])}, or {phrases[-1]}"


def _is_racctl(file: IO[bytes]) -> bool:
    """Return whether this npz begins with racctl's meta document; a damaged one is for the array reader to explain."""
    try:
        with zipfile.ZipFile(file) as archive:
            return "meta.npy" in archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError):
        return False
    finally:
        file.seek(0)
