"""A clip with its analysis drawn in: skeleton, running count, progress; timing and sound are the source's own."""

from __future__ import annotations

import contextlib
import itertools
import os
from pathlib import Path
from typing import IO, Protocol

import av
import numpy as np

from racctl.contracts import Pose
from racctl.errors import DataError, UsageError, reason
from racctl.io.output import write_file
from racctl.progress import Report, silent
from racctl.skeleton.topology import topology_named
from racctl.video.decode import Video, frames, probe
from racctl.video.draw import CountRing, Planes, Skeleton, TimeLine, yuv_matrix
from racctl.video.mp4 import Picture, mp4, sound_of
from racctl.video.opening import open_container, second_reader

SOUND_AHEAD = 1.0  # s that sound is written ahead of the picture


def check_target(target: str | Path, name: str = "") -> None:
    """Raise UsageError unless `target` ends in .mp4 and is another file than the clip `name`."""
    if Path(target).suffix.lower() != ".mp4":
        raise UsageError(f"'{target}' is not a file name for an overlay, which is an MP4; end it in .mp4")
    with contextlib.suppress(OSError):
        if os.path.samefile(target, name):
            raise UsageError(f"'{target}' is the clip itself; give the overlay another name")


def write_overlay(
    source: IO[bytes],
    name: str,
    target: str | Path,
    pose: Pose,
    starts: np.ndarray,
    stops: np.ndarray,
    report: Report = silent,
) -> None:
    """Write the video `source` (called `name` in messages) with `pose` and its repetitions drawn in, as MP4.

    starts, stops: (R,) int64 source frames, half-open.

    Every frame keeps its timestamp, the first audio stream is copied (made AAC where MP4 cannot hold it), the picture
    stands upright and has square pixels; an odd side gets one more line of them. A pose with a stride is held until the
    next one. The file appears whole or not at all.

    Raises UsageError for a `target` that is no .mp4 or the clip itself, DataError for a video that cannot be read, a
    pose that is not in pixels and a file that cannot be written.
    """
    check_target(target, name)
    scale = pose.meta.get("scale", "pixels")
    if scale != "pixels":
        raise DataError(f"the pose of '{name}' is in units of '{scale}', expected pixels; make one with 'racctl pose'")
    video = probe(source, name)
    scene = Scene(pose, video, np.asarray(starts, np.int64), np.asarray(stops, np.int64))
    write_scene(source, name, target, scene, report)


def write_scene(source: IO[bytes], name: str, target: str | Path, scene: Drawing, report: Report = silent) -> None:
    """Write the video `source` with `scene` drawn in; as `write_overlay`."""

    def write_video(out: IO[bytes]) -> None:
        try:
            _write_film(out, source, name, scene, report)
        except av.FFmpegError as error:
            raise DataError(f"cannot write '{target}' ({reason(error)})") from None

    write_file(target, write_video)


class Drawing(Protocol):
    """What `write_scene` draws: made ready for a picture, then drawn onto the planes of its frames."""

    video: Video

    def prepare(self, picture: Picture) -> None: ...

    def draw(self, planes: Planes, number: int, time: float) -> None: ...


class Scene:
    """What is to be seen in every frame.

    starts, stops: (R,) source frames.
    """

    def __init__(self, pose: Pose, video: Video, starts: np.ndarray, stops: np.ndarray) -> None:
        self.video, self.pose, self.starts, self.stops = video, pose, starts, stops
        self.topology = topology_named(pose.topology)
        self.xy = pose.xyz[..., :2] * resized(pose, video)
        self.frame = pose.frame
        self.stride = int(np.median(np.diff(pose.frame))) if len(pose.frame) > 1 else 1
        self.end = int(pose.frame[-1]) + self.stride if len(pose.frame) else 0

    def prepare(self, picture: Picture) -> None:
        """Make ready to draw on the planes of `picture`."""
        look = picture.width, picture.height, yuv_matrix(picture.bt709, picture.full_range)
        begin, length = self.video.start_time, self.video.duration + 1 / self.video.fps
        analysed = self.seconds(np.array([self.frame[0], self.end])) if len(self.frame) else None
        repetitions = np.stack([self.seconds(self.starts), self.seconds(self.stops)], axis=1)
        self.skeleton, self.ring = Skeleton(self.topology, *look), CountRing(*look)
        self.line = TimeLine(*look, (begin, begin + length), analysed, repetitions)

    def seconds(self, frame: np.ndarray) -> np.ndarray:
        """Return the times of frame numbers, also of those that the pose does not cover."""
        if not len(self.frame):
            return self.video.start_time + frame / self.video.fps
        outside = np.minimum(frame - self.frame[0], 0) + np.maximum(frame - self.frame[-1], 0)
        return np.interp(frame, self.frame, self.pose.time) + outside / self.video.fps

    def progress(self, number: int) -> tuple[int, float]:
        """Return how many repetitions are completed with frame `number`, and 0..1 how far the current one is."""
        completed = int((self.stops <= number + 1).sum())
        now = np.flatnonzero((self.starts <= number) & (number < self.stops))
        if not len(now):
            return completed, 0.0
        start, stop = self.starts[now[-1]], self.stops[now[-1]]
        return completed, float((number + 1 - start) / (stop - start))

    def draw(self, planes: Planes, number: int, time: float) -> None:
        """Draw onto source frame `number`, shown at `time` seconds."""
        latest = int(np.searchsorted(self.frame, number, "right")) - 1
        if latest >= 0 and number - self.frame[latest] < self.stride:
            for layer in self.skeleton.layers(self.xy[latest], self.pose.score[latest]):
                layer.onto(planes)
        analysed = bool(len(self.frame)) and self.frame[0] <= number < self.end
        for layer in (*self.ring.layers(*self.progress(number), analysed), *self.line.layers(time)):
            layer.onto(planes)


def resized(pose: Pose, video: Video) -> np.ndarray:
    """Return (2,) from the pixels that the pose was found in to those of `video`.

    Perhaps another size of the same clip.
    """
    factors = []
    for axis, side in (("width", video.width), ("height", video.height)):
        before = pose.meta.get("source", {}).get(axis)
        factors.append(side / before if isinstance(before, int | float) and before > 0 else 1.0)
    return np.array(factors, np.float32)


def _write_film(out: IO[bytes], source: IO[bytes], name: str, scene: Drawing, report: Report) -> None:
    decoded = frames(second_reader(source), name)
    first = next(decoded)  # `probe` has seen it
    with mp4(out, first.image) as container, open_container(second_reader(source)) as opened:
        picture = Picture(container, first.image, scene.video)
        sound = sound_of(opened, container, picture.shift)
        scene.prepare(picture)
        for done, frame in enumerate(itertools.chain([first], decoded), 1):
            canvas, planes = picture.canvas(frame)
            scene.draw(planes, frame.number, frame.time)
            container.mux(picture.stream.encode(canvas))
            container.mux(list(sound.until(frame.time + picture.shift + SOUND_AHEAD)))
            report(min(done, scene.video.frames), scene.video.frames)
        container.mux(picture.stream.encode(None))
        for packet in sound.until(np.inf):
            container.mux(packet)
