"""Which movements there are: those of `exercises_*.py` and `idle.py`, and those that other packages add."""

from __future__ import annotations

import re
from functools import cache, lru_cache

import numpy as np

from racctl.contracts import BACKGROUND
from racctl.errors import UsageError
from racctl.synth.base import EXERCISES
from racctl.synth.invented import invent
from racctl.synth.movement import GESTURE, INVENTED, Movement


@cache
def catalog() -> dict[str, Movement]:
    """Return every movement by name; none of the project's own is hidden by another package's.

    Raises UsageError for another package's entry that cannot be loaded, or is no movement.
    """
    movements: dict[str, Movement] = {}
    for name in EXERCISES.names():
        entry = EXERCISES.load(name)
        for movement in (entry,) if isinstance(entry, Movement) else entry:
            movements.setdefault(_checked(movement, name).name, movement)
    return movements


def _checked(movement: object, name: str) -> Movement:
    if not isinstance(movement, Movement):
        raise UsageError(f"the exercise '{name}' ({EXERCISES.targets[name]}) is no racctl.synth.movement.Movement")
    return movement


def exercises() -> dict[str, Movement]:
    """Return the movements that are not idle."""
    return {name: movement for name, movement in catalog().items() if movement.kind != BACKGROUND}


@lru_cache(maxsize=64)
def movement_named(name: str) -> Movement:
    """Return the movement of that name, or for "invented_A_B" and "gesture_A_B" one that is drawn from these numbers.

    Raises UsageError listing what there is.
    """
    known = catalog()
    if drawn := re.fullmatch(rf"({INVENTED}|{GESTURE})_(\d+)_(\d+)", name):
        rng = np.random.Generator(np.random.PCG64([int(drawn[2]), int(drawn[3]), 14]))
        return invent(name, rng, counted=drawn[1] == INVENTED)
    if name not in known:
        raise UsageError(f"no such movement '{name}'; expected one of {', '.join(known)}")
    return known[name]
