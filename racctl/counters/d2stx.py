"""The trained counter: D2-STX on tokens of the joints and, where it has that branch, of the picture."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, ClassVar

from racctl.counters.base import BRANCHES_HELP, check_branches
from racctl.errors import UsageError
from racctl.kinds import setting

if TYPE_CHECKING:
    from racctl.contracts import Meta
    from racctl.counters.result import Count
    from racctl.counters.trained_counter import TrainedCounter
    from racctl.estimators.open_clip import Clip

MAX_EXEMPLARS = 8


def seconds_range(text: str) -> tuple[float, float]:
    """Read "1.5-3" as (1.5, 3.0), and "1:02.5-1:04" as (62.5, 64.0); UsageError for anything else."""
    start, _, stop = text.partition("-")
    try:
        return _seconds(start), _seconds(stop)
    except ValueError:
        raise UsageError(
            f"invalid value '{text}' for '--exemplar'; expected START-STOP, such as 1.5-3.2 or 1:02-1:04.5"
        ) from None


def _seconds(text: str) -> float:
    """Read seconds, m:s or h:m:s; ValueError for anything else."""
    *longer, seconds = text.split(":")
    minutes = [int(part) for part in longer]
    if len(minutes) > 2 or any(part < 0 for part in minutes) or (minutes and not 0 <= float(seconds) < 60):
        raise ValueError(text)
    return sum(part * 60**power for power, part in enumerate(reversed(minutes), 1)) + float(seconds)


@dataclass(frozen=True)
class D2STXSettings:
    """exemplars: (start, stop) in seconds of repetitions to count the likes of.
    self_exemplars: so many of the repetitions of a first pass are the exemplars of a second.
    explain: a folder for pictures of what the counter looks at.
    branches: "pose" reads the joints, "video" the picture of the main person, "both" what the model is made for: the
        embedded one the joints where they are seen well, and both elsewhere.
    """

    exemplars: tuple[tuple[float, float], ...] = setting(
        (),
        "Count what looks like these seconds, which show one repetition. May be given several times.",
        "START-STOP",
        option="--exemplar",
        parse=seconds_range,
        one_clip=True,
    )
    self_exemplars: int = setting(
        0,
        "Count in two passes, with N repetitions of the first as exemplars in the second.",
        "N",
        option="--shots",
        at_least=0,
        at_most=MAX_EXEMPLARS,
    )
    explain: str = setting(
        "",
        "Write attribution images for joints and image regions to DIR (both branches).",
        "DIR",
        one_clip=True,
    )

    branches: str = setting("both", BRANCHES_HELP, "both|pose|video")

    def __post_init__(self) -> None:
        check_branches(self.branches)
        if self.explain and self.branches != "both":
            raise UsageError(f"'--explain' shows how both are fused; leave out '--branches {self.branches}'")
        if any(not 0 <= start < stop for start, stop in self.exemplars) or len(self.exemplars) > MAX_EXEMPLARS:
            raise UsageError(f"'--exemplar' takes START-STOP in seconds, at most {MAX_EXEMPLARS} times")
        if self.exemplars and self.self_exemplars:
            raise UsageError("'--shots' chooses exemplars itself; leave it out where '--exemplar' names them")


@dataclass
class D2STXCounter:
    """Loads its network, and the encoders that feed it, when it first counts: PyTorch takes seconds to import."""

    Settings: ClassVar[type] = D2STXSettings
    reads: ClassVar[tuple[str, ...]] = ("pose", "features", "tokens", "video")

    settings: D2STXSettings
    model: str = "d2stx"
    device: str = "auto"
    threads: int = 0
    _lock: Lock = field(default_factory=Lock, repr=False)

    @property
    def trained(self) -> TrainedCounter:
        """The network with its encoders. Raises as `TrainedCounter` does, at the first use."""
        with self._lock:
            return self._load

    @cached_property
    def _load(self) -> TrainedCounter:
        from racctl.counters.trained_counter import TrainedCounter
        from racctl.device import pick_device, set_threads

        if self.threads:
            set_threads(self.threads)
        return TrainedCounter(self.model, pick_device(self.device), self.settings)

    @property
    def mask_size(self) -> int:
        return self.trained.mask_size

    def looks_at_features(self, pose_model: str) -> bool:
        return self.settings.branches != "pose" and self.trained.looks_at_features(pose_model)

    def uses_video(self, kind: str) -> bool:
        if kind in ("features", "tokens"):
            return bool(self.settings.explain)
        return self.trained.sees_video and self.settings.branches != "pose"

    def check(self) -> None:
        """Raise DataError when only features can be counted."""
        self.trained.check_encoders()

    def record(self, trained: bool = True) -> Meta:
        """Return settings, constants, weights and the shares of the fusion, for provenance."""
        del trained
        return self.trained.record()

    def count(self, clip: Clip, people: list[int]) -> list[Count]:
        """Count people; UsageError where the picture, which is of the main one, is to be looked at for others."""
        return [self.trained.count(clip, person) for person in people]
