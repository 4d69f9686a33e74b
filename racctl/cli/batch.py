"""Many clips in one command: several at a time, on past a bad one, with a table of what failed."""

from __future__ import annotations

import contextlib
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from queue import SimpleQueue

from racctl.cli import console
from racctl.errors import DataError, DiskFullError, PartialError, RacctlError, UsageError
from racctl.io.output import NO_ROOM
from racctl.io.spool import clip_name
from racctl.progress import Report, silent

Failures = list[tuple[str, str]]  # (input, one-line reason)


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def refuse_several(sources: list[str], folder: Path | None, options: dict[str, object]) -> None:
    """UsageError for an option that is about one clip when several are given or each goes into a directory."""
    for option, value in options.items():
        if value and (len(sources) > 1 or folder):
            raise UsageError(f"'{option}' takes one clip and no output directory")


def refuse_with(mode: object, options: dict[str, object], why: str) -> None:
    """UsageError, for the reason `why`, when `mode` is on and one of the `options`, name -> value, was given."""
    for option, value in options.items():
        if mode and value not in ("", None, []):
            raise UsageError(
                f"'{option}' does not go with this: {why}" if option.startswith("-") else f"{why}; leave out {option}"
            )


def check_sources(sources: list[str]) -> list[str]:
    """The inputs, "-" for none; UsageError when two of them would share a clip name or stdin is one of many."""
    sources = sources or ["-"]
    if len(sources) > 1 and "-" in sources:
        raise UsageError("'-' (stdin) carries one clip, it cannot be one of several inputs")
    if name := _repeated(map(clip_name, sources)):
        raise UsageError(f"two inputs are both called '{name}'; clip names must differ within a command")
    if not any(source == "-" or os.path.lexists(source) for source in sources):
        raise _missing(sources)
    return sources


def check_there(*paths: str) -> None:
    """DataError for a file or folder that an option names and that does not exist; "" and "-" are passed over."""
    for path in paths:
        if path not in ("", "-") and not os.path.exists(path):
            raise DataError(f"'{path}' does not exist")


def _missing(sources: list[str]) -> RacctlError:
    if len(sources) == 1:
        return DataError(f"'{sources[0]}' does not exist")
    return DataError(f"none of the {len(sources)} inputs exists, neither '{sources[0]}' nor the others")


def any_video(sources: Iterable[str]) -> bool:
    """Whether one of the files may be a video; stdin, which can be read once, is not looked at."""
    return any(_kind(source) in ("video", "unknown") for source in sources)


def shows_video(sources: Iterable[str]) -> bool:
    """Whether one of the files is a video beyond doubt."""
    return any(_kind(source) == "video" for source in sources)


def _kind(source: str) -> str:
    from racctl.io.sniff import sniff

    if os.path.isfile(source):
        with contextlib.suppress(OSError), open(source, "rb") as file:
            return sniff(file)
    return ""


def refuse_same_clips(sources: list[str]) -> None:
    """DataError when two of the inputs say that they are the same clip: one table cannot tell them apart."""
    if len(sources) < 2:
        return
    from racctl.io.up_to_date import recorded_meta

    names = []
    for source in sources:
        recorded = recorded_meta(source).get("clip", "")
        names.append(clip_name(source) if recorded in ("", "stdin") else recorded)
    if name := _repeated(names):
        raise DataError(f"two inputs are both called '{name}' by their own account; use '-o DIR/' or one at a time")


def _repeated(names: Iterable[str]) -> str | None:
    return next((name for name, times in Counter(names).items() if times > 1), None)


def lanes(jobs: int, inputs: int) -> tuple[int, int]:
    """(clips at a time, worker processes for each) on `jobs` processes (0: one per core)."""
    jobs = jobs or cores()
    clips = max(1, min(jobs, inputs))
    return clips, max(1, jobs // clips)


def run_batch(
    sources: list[str], work: Callable[[str, int, Report], None], width: int, label: str,
    stop: Callable[[], None] = lambda: None,
) -> Failures:  # fmt: skip
    """Call work(source, lane, report) for every source, `width` at a time; a lane in 0..width-1 serves one at a time.

    A single source gets a progress bar of its own and its error is raised; of several, a RacctlError fails its clip
    only, unless the disk is full, and the bar counts clips. An interrupt calls `stop`, which should make the work under
    way fail soon.
    """
    if len(sources) == 1:
        with console.progress(label) as report:
            work(sources[0], 0, report)
        return []
    free: SimpleQueue[int] = SimpleQueue()
    for lane in range(width):
        free.put(lane)

    def one(source: str) -> str | None:
        lane = free.get()
        try:
            work(source, lane, silent)
            return None
        except DiskFullError:
            raise  # of every clip that follows, too
        except RacctlError as error:
            return str(error)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            if error.errno in NO_ROOM:
                raise DiskFullError(f"cannot write temporary files: {reason}") from None
            return reason
        except Exception as error:
            return f"internal error ({type(error).__name__}: {error}); run it alone with '--debug' and report it"
        finally:
            free.put(lane)

    failures: Failures = []
    with ThreadPoolExecutor(width) as pool, console.progress(label, "clips") as report:
        futures = {pool.submit(one, source): source for source in sources}
        try:
            for done, future in enumerate(as_completed(futures), 1):
                if reason := future.result():
                    failures.append((futures[future], reason))
                report(done, len(sources))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            stop()
            raise
    return sorted(failures)


def report_failures(failures: Failures, total: int) -> None:
    """Print the table of what failed and raise: PartialError for some, DataError for all. Nothing for none."""
    if not failures:
        return
    width = max(len(source) for source, _ in failures)
    for source, reason in failures:
        print(console.plain(f"  {source:{width}}  {reason}"), file=sys.stderr)
    if len(failures) == total:
        raise DataError(f"all {total} inputs failed")
    raise PartialError(f"{len(failures)} of {total} inputs failed, the others are done")
