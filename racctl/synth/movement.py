"""What a movement is; `racctl.synth.movements` has them all. racctl-synth-movements(7) explains fields and angles."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from racctl.errors import DataError
from racctl.synth.channels import Angles, pose_vector

CONTACT_GROUPS = {
    name: (f"left_{part}", f"right_{part}")
    for name, part in {
        "feet": "foot",
        "toes": "toes",
        "hands": "hand",
        "elbows": "elbow",
        "knees": "knee",
        "grips": "grip",
    }.items()
}
CONTACTS = {*CONTACT_GROUPS, *(contact for pair in CONTACT_GROUPS.values() for contact in pair), "body"}
PROPS = {"dumbbells", "dumbbells_down", "barbell", "bench", "bar", "mat", "horse", "cup"}
INVENTED, GESTURE = "invented", "gesture"  # drawn movements: a class, and what is done once and not counted
STANCES = {"standing", "prone", "supine", "bench", "bar", "horse"}


@dataclass(frozen=True)
class Step:
    """One key pose.

    seconds: to get there from the pose before.
    angles: what differs from the movement's start.
    hold: seconds to stay.
    touch: contacts on the way there and while holding;
    props: what is held then. None for those of the movement.
    """

    seconds: float
    angles: Angles = field(default_factory=dict)
    hold: float = 0.0
    touch: tuple[str, ...] | None = None
    props: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Movement:
    """An exercise, or an idle motion.

    start: angles of the pose that a repetition begins and ends in, over standing at ease (see `channels`).
    steps: the key poses of one repetition; the last one leads back to the start.
    counts: what one repetition is, in words.
    joints: those that do the work.
    touch: what stays in contact, the first being what the body is placed by.
    stance: what the body is held up by.
    alternating: every second repetition is the mirror image.
    level: two contacts between which the whole body is tilted until both reach the floor.
    props: what is held, hung from or lain on.
    repeats: False for a pose that is held, whose count is 0.
    label: the class, the name unless given ("background" for idle motion).
    arms: free to be held in any of the styles that `styles` lists for the stance; as written in some of the bouts.
    """

    name: str
    start: Angles
    steps: tuple[Step, ...]
    counts: str
    joints: tuple[str, ...] = ()
    touch: tuple[str, ...] = ("feet",)
    stance: str = "standing"
    alternating: bool = False
    level: tuple[str, str] | None = None
    props: tuple[str, ...] = ()
    repeats: bool = True
    label: str = ""
    arms: bool = False

    def __post_init__(self) -> None:
        touched = {*self.touch, *(name for step in self.steps for name in step.touch or ()), *(self.level or ())}
        props = {*self.props, *(name for step in self.steps for name in step.props or ())}
        for kind, named, known in (("contact", touched, CONTACTS), ("prop", props, PROPS)):
            if named - known:
                raise DataError(
                    f"movement '{self.name}' names the {kind} '{min(named - known)}'; expected {sorted(known)}"
                )
        if self.stance not in STANCES or not self.steps:
            raise DataError(f"movement '{self.name}' needs steps and one of the stances {', '.join(sorted(STANCES))}")
        if self.arms and self.stance not in ("standing", "supine"):
            raise DataError(f"movement '{self.name}' cannot have free arms: the stance is '{self.stance}'")
        self.keys()

    @property
    def kind(self) -> str:
        """The class label."""
        return self.label or self.name

    def keys(self) -> np.ndarray:
        """Return (1 + steps, C) degrees: the start and every key pose."""
        start = pose_vector(self.start)
        return np.stack([start, *(pose_vector(step.angles, start) for step in self.steps)])

    def seconds(self) -> float:
        """Return how long one repetition lasts at the written tempo."""
        return sum(step.seconds + step.hold for step in self.steps)


def sides(contacts: tuple[str, ...]) -> tuple[str, ...]:
    """Return contact names with the groups spelled out: "feet" is left_foot and right_foot."""
    return tuple(contact for name in contacts for contact in CONTACT_GROUPS.get(name, (name,)))
