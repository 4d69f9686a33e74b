"""Estimators that look at one frame after the other, in processes of their own, fed through shared memory.

Such an estimator, MediaPipe's pipeline for one, runs on one thread and carries state from frame to frame, so a clip is
cut into chunks; every chunk starts afresh and warms up on the frames before it. The cuts depend on the clip alone, so
the result is the same for any number of workers. The parent decodes (once, in order), the workers convert and estimate.
"""

from __future__ import annotations

import bisect
import contextlib
import multiprocessing
import os
import secrets
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.shared_memory import SharedMemory
from types import ModuleType
from typing import Any, Self, TypeVar

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from racctl.errors import DataError, RacctlError
from racctl.progress import Report, silent
from racctl.video.decode import Frame, Video, upright

WARM_UP = 8  # frames that the tracker sees before those of its chunk, to have settled on the person
CHUNK_FRAMES = 120  # frames, about
LONG_SIDE = 1280  # pixels; larger frames are reduced to this before they are estimated on
RING_BYTES = 1 << 30  # of frames in flight, over all workers

T = TypeVar("T")
ConvertedFrame = tuple[np.ndarray, tuple[str, int, int], float]  # pixels, their format and colours, seconds
Build = Callable[[], Callable[[np.ndarray, float], tuple[np.ndarray, ...]]]


def cuts(total: int) -> list[int]:
    """First frames of the chunks of a clip of `total` frames: one, two, or a multiple of four about CHUNK long, so that
    the usual numbers of cores share them evenly."""
    count = (
        1 if total < CHUNK_FRAMES else 2 if total < 3 * CHUNK_FRAMES else 4 * max(1, round(total / (4 * CHUNK_FRAMES)))
    )
    return [total * c // count for c in range(count)]


def working_size(video: Video) -> tuple[int, int]:
    """Return width and height, upright, of what is estimated on: even, and at most LONG_SIDE."""
    return _reduced(video.width, video.height)


def _reduced(width: int, height: int) -> tuple[int, int]:
    scale = min(1.0, LONG_SIDE / max(width, height))
    return max(2, 2 * round(width * scale / 2)), max(2, 2 * round(height * scale / 2))


def working_image(image: av.VideoFrame, reformatter: VideoReformatter) -> av.VideoFrame:
    """Return it as yuv420p with even sides, at most LONG_SIDE: half the memory of RGB, no work for the usual video."""
    width, height = _reduced(image.width, image.height)
    if image.format.name in ("yuv420p", "yuvj420p") and (width, height) == (image.width, image.height):
        return image
    return reformatter.reformat(
        image, width, height, "yuv420p", interpolation=Interpolation.AREA, dst_color_range=image.color_range, threads=1
    )


@contextmanager
def lanes_of(make: Callable[[], AbstractContextManager[T]], lanes: int) -> Iterator[list[T]]:
    """Yield so many of what `make` gives, each entered; they end together."""
    with ExitStack() as stack:
        yield [stack.enter_context(make()) for _ in range(lanes)]


class Workers:
    """`count` processes, each with the estimator that `build` makes; use as a context manager. warm_up: frames that an
    estimator sees before those of its chunk; 0 for one that carries nothing from frame to frame."""

    def __init__(self, build: Build, count: int, warm_up: int = WARM_UP) -> None:
        self._build, self._count, self.warm_up = build, max(1, count), warm_up
        self._links: list[_Link] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for link in self._links:
            link.close()

    def abort(self) -> None:
        """End the processes at once; a run in another thread fails with a DataError."""
        for link in self._links:
            link.process.terminate()

    def run(
        self, frames: Iterable[Frame], total: int, rotation: int = 0, report: Report = silent
    ) -> tuple[np.ndarray, ...]:
        """Estimate on every frame; the estimator's arrays, each stacked to (T, ...).

        total: how many frames are expected (it decides the cuts; more or fewer are fine). rotation: as in Video.
        Raises DataError when there is no frame, or a worker fails.
        """
        run = _Run(self, cuts(total), rotation, total, report)
        try:
            for index, frame in enumerate(frames):
                run.send(index, frame)
            return run.finish()
        except BaseException:
            for link in self._links:  # what is in flight is of no use to the next run
                link.close()
            self._links.clear()
            raise
        finally:
            run.release()

    def links(self, count: int) -> list[_Link]:
        """The first `wanted` workers, started when first asked for."""
        while len(self._links) < min(count, self._count):
            self._links.append(_Link(self._build))
        return self._links[:count]


STARTING = threading.Lock()


class _Link:
    """The parent's end of one worker."""

    def __init__(self, build: Build) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, build), daemon=True)
        with _without_main():
            self.process.start()
        theirs.close()

    def close(self) -> None:
        self.process.terminate()
        self.process.join(5)
        self.pipe.close()


class _Run:
    """One clip on its way through the workers."""

    def __init__(self, workers: Workers, begins: list[int], rotation: int, total: int, report: Report) -> None:
        self.links = workers.links(len(begins))
        self.begins, self.rotation, self.total, self.report = begins, rotation, total, report
        self.memory: list[SharedMemory] = []
        self.sent, self.busy = [0] * len(self.links), [0] * len(self.links)
        self.chunks: dict[int, tuple[np.ndarray, ...]] = {}
        self.recent: deque[ConvertedFrame] = deque(maxlen=workers.warm_up)
        self.done = self.results = 0
        self.reformatter = VideoReformatter()

    def send(self, index: int, frame: Frame) -> None:
        """Hand a frame to the chunk it belongs to; a chunk that begins here first warms up on the frames before."""
        image = working_image(frame.image, self.reformatter)
        colour = (image.format.name, int(image.colorspace), int(image.color_range))
        shot = (image.to_ndarray(), colour, frame.time)
        if not self.memory:
            self._allocate(shot[0])
        chunk = bisect.bisect_right(self.begins, index) - 1
        if chunk and index == self.begins[chunk]:
            self._tell((chunk - 1) % len(self.links), ("end", chunk - 1))
            for earlier in self.recent:
                self._put(chunk, earlier, keep=False)
        self._put(chunk, shot, keep=True)
        self.results = index + 1
        self.recent.append(shot)

    def finish(self) -> tuple[np.ndarray, ...]:
        if not self.results:
            raise DataError("no frame to estimate on")
        last = bisect.bisect_left(self.begins, self.results) - 1
        self._tell(last % len(self.links), ("end", last))
        while len(self.chunks) <= last:
            self._receive(self.links)
        return tuple(np.concatenate(parts) for parts in zip(*(self.chunks[c] for c in range(last + 1)), strict=True))

    def release(self) -> None:
        for memory in self.memory:
            memory.close()
            memory.unlink()

    def _allocate(self, pixels: np.ndarray) -> None:
        longest = max(np.diff([*self.begins, max(self.total, self.begins[-1] + 1)])) + WARM_UP
        room = min(RING_BYTES, _free_shared_memory() // 2) // len(self.links) // pixels.nbytes
        self.slots = int(max(2, min(8 if len(self.links) == 1 else longest, room)))
        for _ in self.links:
            self.memory.append(_shared_memory(self.slots * pixels.nbytes))
        self.shape = pixels.shape

    def _put(self, chunk: int, shot: ConvertedFrame, keep: bool) -> None:
        pixels, colour, time = shot
        worker = chunk % len(self.links)
        while self.busy[worker] >= self.slots:
            self._receive([self.links[worker]])
        slot = self.sent[worker] % self.slots
        self.sent[worker] += 1
        np.ndarray(self.shape, np.uint8, self.memory[worker].buf, slot * pixels.nbytes)[:] = pixels
        self._tell(worker, ("frame", self.memory[worker].name, self.shape, slot, colour, self.rotation, time, keep))
        self.busy[worker] += 1
        self._receive([], block=False)

    def _tell(self, worker: int, message: tuple) -> None:
        with contextlib.suppress(BrokenPipeError):  # its last words are in the pipe
            self.links[worker].pipe.send(message)

    def _receive(self, links: list[_Link], block: bool = True) -> None:
        """Take what the workers have to say; wait for one of `links` if `block`."""
        ready = wait([link.pipe for link in links]) if block else wait([link.pipe for link in self.links], 0)
        for worker, link in enumerate(self.links):
            if link.pipe in ready:
                self._hear(worker, _next_message(link.pipe, link))

    def _hear(self, worker: int, message: tuple) -> None:
        if message[0] == "frame":
            self.busy[worker] -= 1
            self.done += 1
            self.report(min(self.done, self.total), self.total)
        elif message[0] == "chunk":
            self.chunks[message[1]] = message[2]
        elif isinstance(message[1], Exception):
            raise message[1]


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Keep a process that starts now from running the caller's script again, as multiprocessing would have it do.

    A script that counts a clip in its first line, without `if __name__ == "__main__"`, would start workers without end.
    """
    with STARTING:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


def _free_shared_memory() -> int:
    """Bytes; Linux keeps shared memory in a file system of its own, which containers make small."""
    try:
        about = os.statvfs("/dev/shm")
    except OSError:
        return 2 * RING_BYTES
    return about.f_bavail * about.f_frsize


def _shared_memory(size: int) -> SharedMemory:
    """`size` bytes that are really there: without the claim a full /dev/shm would kill the process on a later write."""
    try:
        name = f"racctl-{os.getpid()}-{secrets.token_hex(4)}"  # tells whose it is; macOS takes 30 characters
        memory = SharedMemory(name, create=True, size=size)
        try:
            if sys.platform == "linux":
                os.posix_fallocate(memory._fd, 0, size)  # type: ignore[attr-defined]
        except OSError:
            memory.close()
            memory.unlink()
            raise
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DataError(
            f"cannot get {size >> 20} MiB of shared memory ({reason}); free some or use '--jobs 1'"
        ) from None
    return memory


def _next_message(pipe: Connection, link: _Link) -> tuple:
    try:
        return pipe.recv()
    except (EOFError, ConnectionResetError):
        link.process.join(5)
        raise DataError(f"the estimator's process died (exit status {link.process.exitcode})") from None


def _work(pipe: Connection, build: Build) -> None:
    """A worker's life: frames in, one message per frame and one per chunk out."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends us
    _prepare_process()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # MediaPipe's remarks are for its developers
    try:
        _serve(pipe, build())
    except RacctlError as error:
        pipe.send(("error", error))
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        pass
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0]
        pipe.send(("error", DataError(f"the estimator failed ({type(error).__name__}: {reason})")))


def _prepare_process() -> None:
    """Make `import mediapipe` quiet, and independent of the system's graphics libraries; in a worker only."""
    os.environ.setdefault("GLOG_minloglevel", "3")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # MediaPipe 0.10.35 and later report usage over https when a task closes, without a switch; a proxy that leads
    # nowhere is the only way to stop it. The process that estimates does nothing else on the network.
    os.environ["https_proxy"] = os.environ["HTTPS_PROXY"] = "http://127.0.0.1:9"
    try:
        import cv2  # noqa: F401
    except ImportError:
        # MediaPipe imports OpenCV for its drawing functions alone, and OpenCV's wheel wants libGL, which a bare
        # machine has not: an empty module in its place is all that estimating needs.
        sys.modules["cv2"] = ModuleType("cv2")


def _serve(pipe: Connection, estimator: Any) -> None:
    memory: SharedMemory | None = None
    results: list[tuple[np.ndarray, ...]] = []
    reformatter, fresh = VideoReformatter(), True
    while True:
        message = pipe.recv()
        if message[0] == "end":
            stacked = tuple(np.stack(part) for part in zip(*results, strict=True))
            pipe.send(("chunk", message[1], stacked))
            results, fresh = [], True
            continue
        _, name, shape, slot, colour, rotation, time, keep = message
        if memory is None or memory.name != name:
            memory = SharedMemory(name)
        if fresh:
            estimator.reset()
            fresh = False
        pixels: np.ndarray = np.ndarray(shape, np.uint8, memory.buf, slot * int(np.prod(shape)))
        rgb = np.ascontiguousarray(upright(_to_rgb(reformatter, pixels, colour), rotation))
        landmarks = estimator(rgb, time)
        if keep:
            results.append(landmarks)
        pipe.send(("frame",))


def _to_rgb(reformatter: VideoReformatter, pixels: np.ndarray, colour: tuple[str, int, int]) -> np.ndarray:
    image = av.VideoFrame.from_ndarray(pixels, colour[0])
    image.colorspace, image.color_range = colour[1], colour[2]
    return reformatter.reformat(image, format="rgb24", threads=1).to_ndarray()
