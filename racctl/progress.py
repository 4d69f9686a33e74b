"""How long work tells what it has done; `racctl.cli.console` turns it into a bar."""

from __future__ import annotations

from collections.abc import Callable

Report = Callable[[int, "int | None"], None]  # (done, total or None where unknown)


def silent(done: int, total: int | None) -> None:
    """The Report that says nothing."""
