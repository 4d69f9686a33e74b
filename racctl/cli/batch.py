"""Many clips in one command: several at a time, on past a bad one, with a table of what failed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager, contextmanager
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

from racctl.cli import console
from racctl.errors import DataError, DiskFullError, PartialError, RacctlError
from racctl.io.output import NO_ROOM
from racctl.progress import Report, silent

Failures = list[tuple[str, str]]  # (input, one-line reason)
LaneT = TypeVar("LaneT", bound="Lane")


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def network_threads(threads: int) -> int:
    """Return how many threads networks use: these, or for 0 what OMP_NUM_THREADS says, else one per core."""
    environment = os.environ.get("OMP_NUM_THREADS", "")
    return threads or (int(environment) if environment.isdecimal() else 0) or cores()


class Lane(Protocol):
    """What works on one clip at a time: estimators, in threads or in processes."""

    def abort(self) -> None: ...


class NoLane:
    """For work that needs neither."""

    def abort(self) -> None: ...


@contextmanager
def no_lanes(width: int, each: int) -> Iterator[list[NoLane]]:
    """Yield `width` lanes for work that needs no estimators."""
    del each
    yield [NoLane()] * width


def run_clips(
    label: str,
    sources: list[str],
    jobs: int,
    open_lanes: Callable[[int, int], AbstractContextManager[list[LaneT]]],
    work: Callable[[str, LaneT, Report], Any],
) -> tuple[dict[str, Any], Failures]:
    """Call work(source, lane, report) for every clip, several at a time; the loop of every tool that takes clips.

    open_lanes: (clips at a time, workers for each) -> one lane for each clip at a time.
    Returns what `work` returned, in the order of the sources, and what failed.
    """
    width, each = lanes(jobs, len(sources))
    results: dict[str, Any] = {}
    with open_lanes(width, each) as opened:

        def work_in_lane(source: str, lane: int, report: Report) -> None:
            results[source] = work(source, opened[lane], report)

        def abort() -> None:
            for lane in opened:
                lane.abort()

        failures = run_batch(sources, work_in_lane, width, label, abort)
    return {source: results[source] for source in sources if source in results}, failures


def lanes(jobs: int, inputs: int) -> tuple[int, int]:
    """(clips at a time, workers for each) of `jobs` workers, threads or processes (0: one per core)."""
    jobs = jobs or cores()
    clips = max(1, min(jobs, inputs))
    return clips, max(1, jobs // clips)


def run_batch(
    sources: list[str],
    work: Callable[[str, int, Report], None],
    width: int,
    label: str,
    stop: Callable[[], None] = lambda: None,
) -> Failures:
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

    def attempt(source: str) -> str | None:
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
        futures = {pool.submit(attempt, source): source for source in sources}
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
