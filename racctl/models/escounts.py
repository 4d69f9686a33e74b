"""ESCounts: the counter that both branches of D2-STX are, by itself.

Sinha et al., "Every Shot Counts: Using Exemplars for Repetition Counting in Videos", ACCV 2024; see
`racctl.models.branch`. Its checkpoints are read by `racctl.models.release.branch`.
"""

from __future__ import annotations

from dataclasses import dataclass

from racctl.models.d2stx import D2STXConfig


@dataclass(frozen=True)
class ESCountsConfig(D2STXConfig):
    """ESCounts' values, with ViT-B: of 14 x 14 places 40 % to each side."""

    branches: str = "video"
    grid: int = 6

    def check(self) -> ESCountsConfig:
        """Raise ValueError for invalid values; returns self."""
        super().check()
        if self.branches == "both":
            raise ValueError("branches is one of video, pose")
        return self


SMALL_ESCOUNTS = ESCountsConfig(video=288, pose=128, parts="d2stx25", grid=2, width=96, heads=4, shot_tokens=16)
