"""How long work tells what it has done; `racctl.cli.console` turns it into a bar."""

from __future__ import annotations

import logging
from collections.abc import Callable

LOG = logging.getLogger("racctl")
LOG.addHandler(logging.NullHandler())

Report = Callable[[int, "int | None"], None]  # (done, total or None where unknown)


def silent(done: int, total: int | None) -> None:
    """Return the Report that says nothing."""


def tell(message: str) -> None:
    """Say in one line what a user should know of a clip although it was processed: what is missing or in doubt.

    A warning of the logger "racctl"; the commands print it on stderr, and a program that does not listen to the logger
    prints nothing.
    """
    LOG.warning("%s", message)
