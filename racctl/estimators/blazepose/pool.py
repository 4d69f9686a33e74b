"""Trackers in threads: a clip is cut into chunks, which are tracked side by side.

LiteRT computes without Python's lock, so threads share the cores as processes would, without the time that these take
to start and to be handed frames. The cuts depend on the clip alone, so the result is the same for any number of
threads.
"""

from __future__ import annotations

import bisect
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Empty, Full, Queue
from typing import Self

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from racctl.errors import DataError
from racctl.estimators.blazepose.region import CropSource
from racctl.estimators.blazepose.tracker import PeopleTracker, Sighting, tracker_time
from racctl.estimators.blazepose.tracks import PersonTrack, chunk_tracks
from racctl.estimators.workers import RING_BYTES, cuts, working_image
from racctl.progress import Report, silent
from racctl.video.decode import Frame

SHARED_FRAMES = 8  # frames that two chunks share: a tracker has settled on the person then
POLL = 0.1  # s


class TrackerPool:
    """Threads, each with a tracker; use as a context manager."""

    def __init__(self, build: Callable[[], PeopleTracker], count: int) -> None:
        """build: makes a tracker. count: of the threads."""
        self.count = max(1, count)
        self._build = build
        self._idle: list[PeopleTracker] = []
        self._lock = threading.Lock()
        self._aborted = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._idle.clear()

    def abort(self) -> None:
        """End a run in another thread at once; it fails with a DataError."""
        self._aborted.set()

    @contextmanager
    def tracker(self) -> Iterator[PeopleTracker]:
        """Lend a tracker that has seen nobody yet."""
        with self._lock:
            tracker = self._idle.pop() if self._idle else None
        tracker = tracker or self._build()
        tracker.reset()
        yield tracker
        with self._lock:
            self._idle.append(tracker)

    def run(
        self, frames: Iterable[Frame], total: int, rotation: int = 0, report: Report = silent
    ) -> list[list[PersonTrack]]:
        """Return the tracks of each chunk; chunks share a few frames. Arguments as in `Workers.run`."""
        run = _Run(self, cuts(total), rotation)
        try:
            count = 0
            for count, frame in enumerate(frames, 1):
                run.send(count - 1, frame)
                report(min(run.done, total), total)
            if not count:
                raise DataError("no frame to estimate on")
            return run.finish(lambda: report(min(run.done, total), total))
        finally:
            run.close()

    def check(self) -> None:
        """Raise DataError where the run was aborted."""
        if self._aborted.is_set():
            raise DataError("the estimation was stopped")


class PoolOfClips:
    """What looks at whole clips with a pool of trackers; use as a context manager."""

    def __init__(self, pool: TrackerPool) -> None:
        self._pool = pool

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._pool.__exit__(*exc)

    def abort(self) -> None:
        """End a run in another thread at once; it fails with a DataError."""
        self._pool.abort()


@dataclass
class _Chunk:
    """A chunk on its way. begin: the place of its first frame, with those that it shares with the one before."""

    begin: int
    frames: list[list[Sighting]]


class _Run:
    """One clip on its way through the threads."""

    def __init__(self, pool: TrackerPool, begins: list[int], rotation: int) -> None:
        self._pool = pool
        self._begins = begins
        self._rotation = rotation
        self._recent: deque[tuple[av.VideoFrame, float]] = deque(maxlen=SHARED_FRAMES)
        self._reformatter = VideoReformatter()
        self._chunks: dict[int, list[PersonTrack]] = {}
        self._error: BaseException | None = None
        self._threads: list[_Worker] = []
        self.done = 0

    def send(self, index: int, frame: Frame) -> None:
        """Hand a frame to the thread of its chunk; a chunk that begins here first sees the last ones before."""
        image = working_image(frame.image, self._reformatter)
        chunk = bisect.bisect_right(self._begins, index) - 1
        if not self._threads:
            self._start(image)
        if chunk and index == self._begins[chunk]:
            for place, (earlier, time) in enumerate(self._recent, index - len(self._recent)):
                self._put(chunk, place, earlier, time)
        self._put(chunk, index, image, tracker_time(frame.number))
        self._recent.append((image, tracker_time(frame.number)))

    def finish(self, wait: Callable[[], None]) -> list[list[PersonTrack]]:
        for worker in self._threads:
            self._hand(worker, None)
        for worker in self._threads:
            while worker.thread.is_alive():
                worker.thread.join(POLL)
                self._check()
                wait()
        self._check()
        wait()
        return [self._chunks[number] for number in sorted(self._chunks)]

    def close(self) -> None:
        """End the threads, whatever they do."""
        for worker in self._threads:
            worker.stop.set()
        for worker in self._threads:
            worker.thread.join()

    def _start(self, image: av.VideoFrame) -> None:
        size = image.width * image.height * 3 // 2
        room = max(2, RING_BYTES // self._pool.count // size)
        longest = max(np.diff([*self._begins, self._begins[-1] + 4096])) + SHARED_FRAMES
        count = min(self._pool.count, len(self._begins))
        slots = 8 if count == 1 else min(int(longest), room)
        self._threads = [_Worker(self, slots) for _ in range(count)]

    def _put(self, chunk: int, place: int, image: av.VideoFrame, time: float) -> None:
        self._hand(self._threads[chunk % len(self._threads)], (chunk, place, image, time))

    def _hand(self, worker: _Worker, parcel: tuple[int, int, av.VideoFrame, float] | None) -> None:
        while True:
            self._check()
            try:
                worker.queue.put(parcel, timeout=POLL)
                return
            except Full:
                continue

    def _check(self) -> None:
        self._pool.check()
        if self._error is not None:
            raise self._error

    def work(self, worker: _Worker) -> None:
        """Track what comes, until the end."""
        try:
            with self._pool.tracker() as tracker:
                self._track(worker, tracker)
        except BaseException as error:
            self._error = error

    def _track(self, worker: _Worker, tracker: PeopleTracker) -> None:
        reformatter = VideoReformatter()
        chunk = _Chunk(0, [])
        current = -1
        for number, place, image, time in worker.parcels():
            if number != current:
                self._keep(current, chunk)
                tracker.reset()
                current = number
                chunk = _Chunk(place, [])
            chunk.frames.append(tracker(CropSource(image, reformatter, self._rotation), time))
            self.done += 1
        self._keep(current, chunk)

    def _keep(self, number: int, chunk: _Chunk) -> None:
        if number >= 0:
            self._chunks[number] = chunk_tracks(chunk.begin, chunk.frames)


class _Worker:
    """A thread and what waits for it."""

    def __init__(self, run: _Run, slots: int) -> None:
        self.queue: Queue[tuple[int, int, av.VideoFrame, float] | None] = Queue(slots)
        self.stop = threading.Event()
        self.thread = threading.Thread(target=run.work, args=(self,), daemon=True)
        self.thread.start()

    def parcels(self) -> Iterator[tuple[int, int, av.VideoFrame, float]]:
        """Yield chunk, place, picture and time of what comes, until the end or the stop."""
        while not self.stop.is_set():
            try:
                parcel = self.queue.get(timeout=POLL)
            except Empty:
                continue
            if parcel is None:
                return
            yield parcel
