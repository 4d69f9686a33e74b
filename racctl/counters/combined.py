"""The default counter: the one without weights, and the trained one where the person is rarely seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from racctl.counters.base import Counter, open_counter
from racctl.counters.periodicity import Periodicity, PeriodicitySettings

if TYPE_CHECKING:
    from racctl.contracts import Meta, Pose
    from racctl.counters.result import Count
    from racctl.estimators.open_clip import Clip

# Chosen on the project's development sequences (racctl/weights/d2stx.md), not cross-validated.
MIN_VISIBLE_SHARE = 0.7  # of the frames; if the person is visible in fewer, the second counter counts alone
MIN_VISIBLE_SHARE_TO_COUNT = 0.2  # in fewer frames than this there is too little for the second counter too


@dataclass(frozen=True)
class Thresholds:
    """When the second counter is asked; see the constants of this module."""

    visible: float = MIN_VISIBLE_SHARE
    visible_to_count: float = MIN_VISIBLE_SHARE_TO_COUNT


class Combined:
    """Counts with `first`; asks `second`, which is loaded only then, where the person is rarely seen.

    Pairs of sides are counted by the first alone.
    """

    Settings = PeriodicitySettings
    reads: ClassVar[tuple[str, ...]] = ("pose", "video")
    mask_size = 0

    def __init__(
        self,
        settings: PeriodicitySettings,
        model: str = "",
        device: str = "auto",
        threads: int = 0,
        second: Counter | None = None,
        thresholds: Thresholds | None = None,
    ) -> None:
        """second: a counter that gives densities; D2-STX by default."""
        del model
        self.first = Periodicity(settings)
        self.second = second or open_counter("d2stx", None, device, threads)
        self.thresholds = thresholds or Thresholds()

    def uses_video(self, kind: str) -> bool:
        del kind
        return False  # the second counter is asked by the pose alone

    def check(self) -> None:
        """It counts any pose."""

    def record(self, trained: bool = False) -> Meta:
        """Return settings, constants and, where the second counter had a say, its weights, for provenance."""
        import sys

        from racctl.io.up_to_date import constants_digest

        first, constants = self.first.record(), constants_digest(sys.modules[__name__])
        if not trained:
            return {**first, "constants": f"{first['constants']} {constants}"}
        second = self.second.record(trained=True)
        return {**second, **first, "constants": f"{first['constants']} {second['constants']} {constants}"}

    def count(self, clip: Clip, people: list[int]) -> list[Count]:
        counts = self.first.count(clip, people)
        if self.first.settings.alternating == "pair":
            return counts
        doubtful = [k for k, person in enumerate(people) if self._is_rarely_seen(clip.pose, person)]
        if doubtful:
            from racctl.counters.result import taken_from

            second = self.second.count(clip.joints_only(), [people[k] for k in doubtful])
            for k, trained in zip(doubtful, second, strict=True):
                counts[k] = taken_from(counts[k], trained)
        return counts

    def _is_rarely_seen(self, pose: Pose, person: int) -> bool:
        from racctl.counters.signals import visible_share

        return self.thresholds.visible_to_count <= visible_share(pose, person) < self.thresholds.visible
