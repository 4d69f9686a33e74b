"""What a user may ask of a recogniser."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LabelledSet:
    """A labelled data set to classify.

    path, split: the set, and which of its clips, "" for all.
    videos, masks, poses: their folders, None for where the set has them, see `read_labelled`.
    cache: where decoded clips are kept, "" for nowhere.
    """

    path: str
    split: str = ""
    videos: str | None = None
    masks: str | None = None
    poses: str | None = None
    cache: str = ""
