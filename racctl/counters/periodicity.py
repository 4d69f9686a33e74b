"""The counter without weights: any motion that repeats, whatever the exercise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from racctl.errors import UsageError
from racctl.kinds import setting

if TYPE_CHECKING:
    from racctl.contracts import Meta, Pose
    from racctl.counters.recurrence import Repetitions
    from racctl.counters.result import Count
    from racctl.estimators.open_clip import Clip


@dataclass(frozen=True)
class PeriodicitySettings:
    """alternating: "each" counts a movement that left and right do in turn once per side, "pair" once per two sides."""

    alternating: str = setting(
        "each", "Count each side of a movement that left and right do in turn, or pairs.", "each|pair"
    )

    def __post_init__(self) -> None:
        if self.alternating not in ("each", "pair"):
            raise UsageError(f"invalid value '{self.alternating}' for '--alternating'; expected each or pair")


class Periodicity:
    """Counts cycles that come back to where they began and look alike; see `racctl.counters.recurrence`."""

    Settings = PeriodicitySettings
    reads: ClassVar[tuple[str, ...]] = ("pose", "video")
    mask_size = 0

    def __init__(self, settings: PeriodicitySettings, model: str = "", device: str = "", threads: int = 0) -> None:
        del model, device, threads  # it has no network
        self.settings = settings

    def uses_video(self, kind: str) -> bool:
        del kind
        return False

    def check(self) -> None:
        """It counts any pose."""

    def record(self, trained: bool = False) -> Meta:
        """Return the settings and constants, for provenance."""
        del trained
        from racctl.counters import cycles, recurrence, signals
        from racctl.io.up_to_date import constants_digest

        return {
            "args": {"alternating": self.settings.alternating},
            "constants": constants_digest(cycles, recurrence, signals),
        }

    def count(self, clip: Clip, people: list[int]) -> list[Count]:
        return [self.count_person(clip, person) for person in people]

    def count_person(self, clip: Clip, person: int) -> Count:
        """Count one person, by index on axis M."""
        from racctl.counters.result import MOTION, Count

        pose = clip.pose
        reading = self.read(pose, person)
        return Count(
            clip=clip.name,
            person=int(pose.track[person]),
            count=float(len(reading.start)),
            low=reading.low,
            high=reading.high,
            start=reading.start,
            stop=reading.stop,
            frame=pose.frame,
            time=pose.time,
            signal=reading.signal,
            unit=MOTION,
        )

    def read(self, pose: Pose, person: int) -> Repetitions:
        """Return the repetitions in one person's motion."""
        from racctl.counters.recurrence import count_repetitions
        from racctl.skeleton.remap import topology_of

        topology = topology_of(pose)
        sides = tuple((topology.index(left), topology.index(right)) for left, right in topology.symmetries)
        return count_repetitions(
            pose.xyz[:, person], pose.score[:, person], pose.time, sides, alternating=self.settings.alternating
        )
