"""The counter without weights: any motion that repeats, whatever the exercise."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from racctl.counters.base import BRANCHES_HELP, check_branches
from racctl.errors import UsageError
from racctl.kinds import setting

if TYPE_CHECKING:
    from racctl.contracts import Meta, Pose
    from racctl.counters.recurrence import Repetitions
    from racctl.counters.result import Count
    from racctl.estimators.open_clip import Clip

ALTERNATING = ("each", "pair")
# Of the frames; of a person who is visible in fewer, the picture is read, which shows them where the joints are lost.
MIN_VISIBLE_SHARE = 0.7


@dataclass(frozen=True)
class PeriodicitySettings:
    """alternating: "each" counts a movement that left and right do in turn once per side, "pair" once per two sides.

    branches: "pose" reads the joints, "video" what the pose network sees in the picture, "both" the one that serves.
    """

    alternating: str = setting(
        "each", "Count each side of a movement that left and right do in turn, or pairs.", "each|pair"
    )
    branches: str = setting("both", BRANCHES_HELP, "both|pose|video")

    def __post_init__(self) -> None:
        check_branches(self.branches)
        if self.alternating not in ALTERNATING:
            raise UsageError(f"invalid value '{self.alternating}' for '--alternating'; expected each or pair")


class Periodicity:
    """Counts cycles that come back to where they began and look alike; see `racctl.counters.recurrence`.

    It reads them in the joints or, where the person is seen little and the picture is there, in its inner features.
    """

    Settings = PeriodicitySettings
    reads: ClassVar[tuple[str, ...]] = ("pose", "video")
    mask_size = 0

    def __init__(self, settings: PeriodicitySettings, model: str = "", device: str = "", threads: int = 0) -> None:
        del model, device, threads  # it has no network
        self.settings = settings

    def looks_at_features(self, pose_model: str) -> bool:
        if self.settings.branches == "both":
            from racctl.estimators.pose_features import gives_features

            return gives_features(pose_model)
        return self.settings.branches == "video"

    def uses_video(self, kind: str) -> bool:
        return kind in ("pose", "video") and self.settings.branches != "pose"

    def check(self) -> None:
        """It counts any pose."""

    def record(self, trained: bool = False) -> Meta:
        """Return the settings and constants, for provenance."""
        del trained
        import sys

        from racctl.counters import appearance, cycles, doubt, loops, paces, parts, recurrence, signals
        from racctl.io.up_to_date import constants_digest

        return {
            "args": {"alternating": self.settings.alternating, "branches": self.settings.branches},
            "constants": constants_digest(
                sys.modules[__name__], appearance, cycles, doubt, loops, paces, parts, recurrence, signals
            ),
        }

    def count(self, clip: Clip, people: list[int]) -> list[Count]:
        return [self.count_person(clip, person) for person in people]

    def count_person(self, clip: Clip, person: int) -> Count:
        """Count one person, by index on axis M; raises as `branch_read` does."""
        return (
            self._count_features(clip, person)
            if self.branch_read(clip, person) == "video"
            else self._count_pose(clip, person)
        )

    def branch_read(self, clip: Clip, person: int) -> str:
        """Return whether "pose" or "video" is read to count a person.

        UsageError where the picture is to be read and does not show them.
        """
        branches = self.settings.branches
        is_shown = clip.has_inner_features and [person] == clip.pose.chosen("main")
        if branches == "both":
            return "video" if is_shown and is_seen_little(clip.pose, person) else "pose"
        if branches == "video" and not is_shown:
            raise UsageError(
                "'--branches video' reads the picture, of the main person: it needs the video, and no '--person'"
            )
        return branches

    def _count_pose(self, clip: Clip, person: int) -> Count:
        from racctl.counters.recurrence import count_repetitions
        from racctl.skeleton.remap import topology_of

        pose = clip.pose
        topology = topology_of(pose)
        sides = tuple((topology.index(left), topology.index(right)) for left, right in topology.symmetries)
        reading = count_repetitions(
            pose.xyz[:, person], pose.score[:, person], pose.time, sides, alternating=self.settings.alternating
        )
        return self._as_count(reading, clip, person)

    def _count_features(self, clip: Clip, person: int) -> Count:
        from racctl.counters.appearance import appearance
        from racctl.counters.recurrence import count_appearance
        from racctl.counters.result import APPEARANCE

        features = clip.inner_features
        assert features.start_s is not None, "inner features have seconds"
        paths = appearance(features)
        reading = count_appearance(paths, features.start_s, alternating=self.settings.alternating)
        count = self._as_count(reading, clip, person)
        return replace(count, frame=features.start, time=features.start_s, unit=APPEARANCE)

    def _as_count(self, reading: Repetitions, clip: Clip, person: int) -> Count:
        """Return what was read on the clock of the pose as a count."""
        from racctl.counters.doubt import doubt_in_words, most_unseen, sight_of
        from racctl.counters.result import MOTION, Count

        pose = clip.pose
        sight = sight_of(pose, person)
        return Count(
            clip=clip.name,
            person=int(pose.track[person]),
            count=float(reading.count),
            low=reading.low,
            high=reading.high if reading.count else most_unseen(sight),
            start=reading.start,
            stop=reading.stop,
            frame=pose.frame,
            time=pose.time,
            signal=reading.signal,
            unit=MOTION,
            part=reading.part,
            confidence=reading.confidence,
            doubt=doubt_in_words(reading, sight, self.settings.alternating),
        )


def is_seen_little(pose: Pose, person: int) -> bool:
    """Whether a person, by index on axis M, is visible in so few frames that the joints tell little."""
    from racctl.counters.signals import visible_share

    return visible_share(pose, person) < MIN_VISIBLE_SHARE
