"""Everything that is said to a person: progress bars, notes and warnings, all on stderr."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from racctl.progress import Report, silent

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

QUIET = False


def plain(text: str) -> str:
    """The text with control characters made visible: what comes from a file must not reach the terminal as commands."""
    return "".join(c if c.isprintable() else "?" for c in text)


def note(message: str) -> None:
    """A line of information; silent with -q."""
    if not QUIET:
        print(plain(message), file=sys.stderr)


def warn(message: str) -> None:
    """A line that the user should see even with -q."""
    print(plain(f"warning: {message}"), file=sys.stderr)


def print_notes() -> None:
    """Print on stderr, a line each and each once (a clip may be read several times), what the library tells of clips
    (see `racctl.progress.tell`); silent with -q."""
    printed: set[str] = set()

    class _Notes(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            message = record.getMessage()
            if message not in printed:
                printed.add(message)
                note(f"note: {message}")

    logger = logging.getLogger("racctl")
    logger.handlers = [_Notes()]
    logger.propagate = False


@contextmanager
def progress(label: str, unit: str = "frames") -> Iterator[Report]:
    """Yield a callback that draws a bar on stderr: done, rate, time left. It appears after one second of work,
    and not at all when stderr is not a terminal or with -q."""
    if QUIET or not sys.stderr.isatty():
        yield silent
        return
    bar = _DelayedBar(label, unit)
    try:
        yield bar.update
    finally:
        bar.close()


class _DelayedBar:
    def __init__(self, label: str, unit: str) -> None:
        self.label = label
        self.unit = unit
        self.began = time.monotonic()
        self.bar: Progress | None = None
        self.task: TaskID | None = None

    def update(self, done: int, total: int | None) -> None:
        if self.bar is None or self.task is None:
            if time.monotonic() - self.began < 1:
                return
            self.bar, self.task = self._start(total)
        elapsed = max(time.monotonic() - self.began, 1e-9)
        self.bar.update(self.task, completed=done, total=total, rate=f"{done / elapsed:.1f} {self.unit}/s")

    def _start(self, total: int | None) -> tuple[Progress, TaskID]:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
        )
        bar = Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True)
        bar.start()
        return bar, bar.add_task(self.label, total=total, rate="")

    def close(self) -> None:
        if self.bar is not None:
            self.bar.stop()
