"""What a foreign pose format is, and which there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import IO, TYPE_CHECKING, Any

from racctl.errors import UsageError
from racctl.kinds import Kind

if TYPE_CHECKING:
    from racctl.io.poses.landmarks import ImportedLandmarks, Note

POSE_FORMATS = Kind(
    "pose format",
    "racctl.pose_formats",
    {
        "poserac": "racctl.io.poses.arrays:POSERAC",
        "kinect": "racctl.io.poses.arrays:KINECT",
        "d2stx": "racctl.io.poses.arrays:D2STX_FORMAT",
        "openpose": "racctl.io.poses.json_documents:OPENPOSE",
        "openpose25b": "racctl.io.poses.json_documents:OPENPOSE25B",
        "coco": "racctl.io.poses.json_documents:COCO",
        "mediapipe": "racctl.io.poses.csv_tables:MEDIAPIPE",
    },
)


@dataclass
class Content:
    """What a file or a folder holds, as the formats look at it, one after the other.

    where: its path, or how messages call it.
    kind: as `racctl.io.sniff.sniff` tells it, or "folder".
    file: None for a folder.
    """

    where: str
    kind: str
    file: IO[bytes] | None = None

    def opened(self) -> IO[bytes]:
        """Return the file, at its start."""
        assert self.file is not None, "a folder is not opened"
        self.file.seek(0)
        return self.file

    @cached_property
    def document(self) -> Any:
        """The JSON document, parsed once; DataError when it is damaged or too large."""
        from racctl.io.poses.json_documents import load_json

        return load_json(self.opened(), self.where)


@dataclass(frozen=True)
class PoseFormat:
    """A way in which poses are kept in files.

    kinds: of content that it comes in, see `Content`.
    accepts: what is read, as a message lists it after "expected".
    claims: whether this content, of one of the kinds, is of this format. It looks at the content, never at the name.
    read: the landmarks in the content. Its second argument is the name that `--from` gives, None where the content told
        the format; its third takes remarks for the user. DataError for damaged content.
    """

    kinds: tuple[str, ...]
    accepts: str
    claims: Callable[[Content], bool]
    read: Callable[[Content, str | None, Note], ImportedLandmarks]


def format_named(name: str) -> PoseFormat:
    """Return a format by name. UsageError for a name that is none's, and for one that cannot be loaded."""
    pose_format = POSE_FORMATS.load(name)
    if not isinstance(pose_format, PoseFormat):
        target = POSE_FORMATS.targets[name]
        raise UsageError(f"the pose format '{name}' ({target}) is no racctl.io.poses.base.PoseFormat")
    return pose_format
