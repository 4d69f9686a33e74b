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
from racctl.errors import DataError, PartialError, RacctlError, UsageError
from racctl.io.output import make_folder
from racctl.io.spool import clip_name
from racctl.progress import Report, silent

Failures = list[tuple[str, str]]  # (input, one-line reason)


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def folder_target(output: str, sources: list[str]) -> Path | None:
    """The directory that `-o OUTPUT` means (one file per clip), made if need be; None when it means one file.

    It is a directory when it ends in a slash, is one already, or takes several inputs and has no suffix."""
    if output == "-" or not (
        output.endswith(("/", os.sep)) or Path(output).is_dir() or (len(sources) > 1 and not Path(output).suffix)
    ):
        return None
    return make_folder(output)


def one_of(sources: list[str], kind: str) -> str:
    """The only input; UsageError when there are several, since one `kind` file holds one clip."""
    if len(sources) > 1:
        raise UsageError(f"several inputs make several {kind} files; name a directory with '-o DIR/'")
    return sources[0]


def refuse_overwriting(sources: Iterable[str], *targets: str) -> None:
    """UsageError when a target is one of the files that are read, or two targets are one file."""
    named = [target for target in targets if target not in ("", "-")]
    for target in named:
        for source in sources:
            with contextlib.suppress(OSError):
                if source not in ("", "-") and Path(target).is_file() and os.path.samefile(source, target):
                    raise UsageError(f"'{target}' is the input itself; write somewhere else")
    paths = [os.path.realpath(target) for target in named]
    if len(set(paths)) != len(paths):
        raise UsageError(f"'{named[0]}' is named for two outputs; they need a file each")


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
    twice = [name for name, times in Counter(map(clip_name, sources)).items() if times > 1]
    if twice:
        raise UsageError(f"two inputs are both called '{twice[0]}'; clip names must differ within a command")
    return sources


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
    only, and the bar counts clips. An interrupt calls `stop`, which should make the work under way fail soon.
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
        except RacctlError as error:
            return str(error)
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
