"""The errors of the library; `racctl.cli.app` turns each into one line and an exit code."""

from __future__ import annotations


def reason(error: BaseException) -> str:
    """Return why something failed, as messages say it: the system's words where it has some, in lower case."""
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()


class RacctlError(Exception):
    """Base of every error that is a message to the user rather than a bug.

    The text is one line: what is wrong, what was expected, the way out; lower case, no full stop, the subject in single
    quotes. It stays one line whatever it quotes: line ends, as cells and file names may have them, become spaces.
    """

    exit_code = 1

    def __init__(self, message: str = "") -> None:
        super().__init__(" ".join(message.splitlines()))


class DataError(RacctlError):
    """Bad data, or nothing usable in it."""


class DiskFullError(DataError):
    """No room on the disk that is written to: no fault of one clip, so it ends the whole run."""


class UsageError(RacctlError):
    """The command line (or the arguments of a library call) are invalid."""

    exit_code = 2


class PartialError(RacctlError):
    """Some of many inputs failed; what worked was written."""

    exit_code = 3
