"""What a user may ask of a recogniser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from racctl.kinds import setting


@dataclass(frozen=True)
class LabelledSet:
    """A labelled data set to classify, see `racctl.data.labelled.read_labelled`. split: "" for all of it."""

    PANEL: ClassVar[str] = "Options of a data set"
    LED_BY: ClassVar[str] = "dataset"

    dataset: str = setting("", "Classify a labelled data set, with its masks and poses.", "DATA")
    split: str = setting("", "Classify the clips of this split; default: all.", "NAME")
    videos: str = setting("", "Find the videos here, not where the data set has them.", "DIR")
    masks: str = setting("", "Find the masks here, not where the data set has them.", "DIR")
    poses: str = setting("", "Find the poses here, not where the data set has them.", "DIR")
    cache: str = setting("", "Keep the decoded clips here, for several runs.", "DIR")

    @property
    def folders(self) -> dict[str, str | None]:
        """The folders of videos, masks and poses; None for where the data set has them."""
        return {"videos": self.videos or None, "masks": self.masks or None, "poses": self.poses or None}
