"""The default counter: the one without weights, and the trained one where a pose without its video shows little."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from racctl.counters.base import Counter, open_counter
from racctl.counters.periodicity import Periodicity, PeriodicitySettings, is_seen_little

if TYPE_CHECKING:
    from racctl.contracts import Meta
    from racctl.counters.result import Count
    from racctl.estimators.open_clip import Clip

MIN_VISIBLE_SHARE_TO_COUNT = 0.2  # in fewer of the frames than this there is too little for the second counter too


class Combined:
    """Counts with `first`; asks `second`, which is loaded only then, where the joints show the person little and the
    picture is not there.

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
    ) -> None:
        """second: a counter that gives densities; D2-STX by default."""
        del model
        self.first = Periodicity(settings)
        self.second = second or open_counter("d2stx", None, device, threads)

    def looks_at_features(self, pose_model: str) -> bool:
        return self.first.looks_at_features(pose_model)

    def uses_video(self, kind: str) -> bool:
        return self.first.uses_video(kind)  # the second counter is asked by the pose alone

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
        doubtful = [k for k, person in enumerate(people) if self._asks_second(clip, person)]
        if doubtful:
            from racctl.counters.result import taken_from

            second = self.second.count(clip.joints_only(), [people[k] for k in doubtful])
            for k, trained in zip(doubtful, second, strict=True):
                counts[k] = taken_from(counts[k], trained)
        return counts

    def _asks_second(self, clip: Clip, person: int) -> bool:
        from racctl.counters.signals import visible_share

        if self.first.branch_read(clip, person) == "video" or not is_seen_little(clip.pose, person):
            return False
        return visible_share(clip.pose, person) >= MIN_VISIBLE_SHARE_TO_COUNT
