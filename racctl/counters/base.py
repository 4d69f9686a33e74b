"""What a counter is, and which there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from racctl.errors import UsageError
from racctl.kinds import Kind

if TYPE_CHECKING:
    from racctl.contracts import Meta
    from racctl.counters.result import Count
    from racctl.estimators.open_clip import Clip

COUNTERS = Kind(
    "counter",
    "racctl.counters",
    {
        "combined": "racctl.counters.combined:Combined",
        "periodicity": "racctl.counters.periodicity:Periodicity",
        "d2stx": "racctl.counters.d2stx:D2STXCounter",
        "escounts": "racctl.counters.escounts:ESCountsCounter",
        "transrac": "racctl.counters.transrac:TransRACCounter",
        "skimfocus": "racctl.counters.skimfocus:SkimFocusCounter",
    },
    of_file="racctl.weights:kind_of_file",
)


BRANCHES_HELP = "Read the joints, the picture of the main person, or whichever shows them better."
BRANCHES_READ = ("both", "pose", "video")


def check_branches(value: str) -> None:
    """Raise UsageError for a value that '--branches' does not have."""
    if value not in BRANCHES_READ:
        raise UsageError(f"invalid value '{value}' for '--branches'; expected both, pose or video")


class Counter(Protocol):
    """A way to count repetitions. It is one file; `racctl.counters.periodicity` is the shortest example.

    Settings: a frozen dataclass of `racctl.kinds.setting` fields, what a user may choose.
    reads: of "video", "pose", "features" and "tokens", the kinds of input that it takes.
    mask_size: side in pixels of the masks that it looks at, 0 for none.
    """

    Settings: ClassVar[type]
    reads: ClassVar[tuple[str, ...]]

    def __init__(self, settings: Any, model: str, device: str, threads: int) -> None:
        """Take the settings, and what the user called the counter: its name, or a file of its weights.

        device: as `racctl.device.pick_device` takes it.  threads: of its networks, 0 to leave them as they are.
        Nothing heavy is loaded before it is needed.
        """

    @property
    def mask_size(self) -> int: ...

    def looks_at_features(self, pose_model: str) -> bool:
        """Whether it looks at the inner features of this pose model, by name or file, in the picture."""

    def uses_video(self, kind: str) -> bool:
        """Whether it looks at the picture of an input of this kind; a counter of poses reads videos too."""

    def check(self) -> None:
        """Raise a RacctlError where it cannot count poses, before one is estimated, which takes long."""

    def record(self, trained: bool) -> Meta:
        """Return what provenance says of this counter: "args" (its settings), "constants" and, with them, "weights".

        trained: whether its weights had a say, for a counter that need not ask them.
        """

    def count(self, clip: Clip, people: list[int]) -> list[Count]:
        """Count people in a clip, by index on axis M of its pose, in that order."""


def open_counter(model: str = "combined", settings: Any = None, device: str = "auto", threads: int = 0) -> Counter:
    """Return a counter by name, or the one that a file of weights is for.

    settings: an instance of its `Settings`; None for the defaults. UsageError for a name that is none.
    """
    counter = COUNTERS.load(COUNTERS.member(model))
    return counter(counter.Settings() if settings is None else settings, model, device, threads)
