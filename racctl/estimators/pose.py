"""Video to pose: decode, estimate, and put the landmarks on the source's pixels, frames and times."""

from __future__ import annotations

import functools
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Self

import numpy as np

from racctl import __version__
from racctl.contracts import Meta, Pose, step
from racctl.errors import DataError
from racctl.estimators import workers as workers_module
from racctl.estimators.base import ClipFrames, ClipPoseModel, ClipPoses, PoseModel, pose_model
from racctl.estimators.reread import clip_frames
from racctl.estimators.workers import Workers, lanes_of, working_size
from racctl.io.npz import write_pose
from racctl.io.output import write_file
from racctl.io.spool import clip_name, display_name, open_input, sha256
from racctl.io.up_to_date import constants_digest, is_current
from racctl.progress import Report, silent
from racctl.video import display, index
from racctl.video.decode import Video, probe
from racctl.video.span import Span, VideoPart, check_part, part_of, stride_at


class PoseWorkers:
    """What estimates poses, started when it first has something to do; use as a context manager.

    model: that it runs.
    """

    def __init__(self, name: str, people: int, jobs: int) -> None:
        """name: of a model, or a file. people: at most so many. jobs: cores."""
        self.model = pose_model(name, download=False)
        self._runner = self._open(name, people, jobs)

    def _open(self, name: str, people: int, jobs: int) -> ClipPoses:
        del name
        if isinstance(self.model, ClipPoseModel):
            return self.model.open(people, jobs)
        return _FrameByFrame(self.model, people, jobs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._runner.__exit__(*exc)

    def abort(self) -> None:
        self._runner.abort()

    def run(self, clip: ClipFrames, report: Report) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return xyz, world and score of a clip, see `ClipPoses`."""
        return self._runner.run(clip, report)


class _FrameByFrame(Workers):
    """A pose model that looks at one frame after the other, in processes."""

    def __init__(self, model: PoseModel, people: int, jobs: int) -> None:
        super().__init__(functools.partial(model.start, people), jobs, model.warm_up)

    def run(  # type: ignore[override]
        self, clip: ClipFrames, report: Report = silent
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        xyz, world, score = super().run(clip.frames, clip.expected, clip.video.rotation, report)
        return xyz, world, score


def pose_lanes(model: str, people: int, lanes: int, each: int) -> AbstractContextManager[list[PoseWorkers]]:
    """Open `lanes` sets of `each` workers, threads or processes, which start when they first have something to do."""
    return lanes_of(functools.partial(PoseWorkers, model, people, each), lanes)


def estimate_pose(
    source: str | Path,
    model: str = "full",
    *,
    people: int = 1,
    start: float | None = None,
    stop: float | None = None,
    stride: int = 1,
    rate: float | None = None,
    download: bool = False,
    jobs: int = 1,
) -> Pose:
    """Find the body in every frame of a video, exactly as `racctl pose` does; the arguments are its options.

    Raises `racctl.errors.RacctlError` with one line that says what is wrong.
    """
    Span(start, stop, stride, rate).check()
    entry = pose_step(model, people, start, stop, stride, download, rate)
    with pose_lanes(model, people, 1, jobs) as (workers,):
        return pose_source(str(source), workers, entry=entry)


def pose_source(source: str, workers: PoseWorkers, report: Report = silent, *, entry: Meta) -> Pose:
    """Run `pose_of_video` on a path, or "-" for stdin."""
    with open_input(source) as file:
        return pose_of_video(file, source, workers, entry, report)


def save_pose(source: str, workers: PoseWorkers, report: Report = silent, *, folder: Path, entry: Meta) -> None:
    """Write FOLDER/<clip>.pose.npz for one video unless it is there already, made of the same bytes the same way."""
    target = folder / f"{clip_name(source)}.pose.npz"
    with open_input(source) as file:
        entry = step_of_clip(entry, file, source)
        if not is_current(target, sha256(file), [entry]):
            pose = pose_of_video(file, source, workers, entry, report)
            write_file(target, lambda out: write_pose(out, pose))


def pose_step(
    model: str,
    people: int,
    start: float | None,
    stop: float | None,
    stride: int,
    download: bool = False,
    rate: float | None = None,
) -> Meta:
    """Return the provenance entry of a pose made with these options; the model is fetched if need be and `download`.

    Where there is a rate, `step_of_clip` puts in the stride that it makes.
    """
    check_part(start, stop)
    estimator = pose_model(model, download)
    record = estimator.record()
    sampling = {"start": start, "stop": stop, "stride": stride, "rate": rate}
    entry = step("pose", __version__, model=record["name"], people=people, **sampling)
    return {
        **entry,
        "constants": constants_digest(sys.modules[type(estimator).__module__], workers_module, display, index),
        "weights": [record],
    }


def step_of_clip(entry: Meta, file: IO[bytes], name: str) -> Meta:
    """Return the provenance entry of a pose of this video: where it has a rate, with the stride that this makes."""
    return with_stride(entry, probe(file, display_name(name))) if "rate" in entry["args"] else entry


def with_stride(entry: Meta, video: Video) -> Meta:
    """Return the provenance entry with the stride that its rate, if it has one, makes of a video."""
    args = entry["args"]
    if "rate" not in args:
        return entry
    return {**entry, "args": {**args, "stride": stride_at(video.fps, args["rate"])}}


def pose_of_video(file: IO[bytes], name: str, workers: PoseWorkers, entry: Meta, report: Report = silent) -> Pose:
    """Estimate on every frame that `entry`, made by `pose_step`, asks for.

    Returns a Pose with xyz in pixels of the upright video. Raises DataError when the file is no video or nobody is
    found in any frame.
    """
    where = display_name(name)
    video = probe(file, where)
    entry = with_stride(entry, video)
    part = part_of(file, video, entry["args"], where)
    landmarks = workers.run(clip_frames(file, where, video, part), report)
    return whole_pose(name, video, part, entry, workers.model, landmarks)


def whole_pose(
    name: str,
    video: Video,
    part: VideoPart,
    entry: Meta,
    model: PoseModel | ClipPoseModel,
    landmarks: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> Pose:
    """Return the pose of a part of a video. landmarks: xyz, world and score, see `ClipPoses`; changed."""
    where = display_name(name)
    xyz, world, score = landmarks
    xyz *= _to_source(video)
    keep = _people_seen(score)
    if not keep.any():
        raise DataError(f"'{where}' shows no person in any of its {len(part.clock)} frames")
    meta: Meta = {
        "clip": clip_name(name),
        "source": part.source(video),
        "steps": [entry],
        "topology": model.topology,
        "scale": "pixels",
    }
    track = np.arange(keep.sum(), dtype=np.int32)
    if isinstance(model, ClipPoseModel) and len(track) > 1:
        meta["main"] = 0  # such a model gives the one first whom the clip is about
    return Pose(
        xyz=xyz[:, keep],
        world=world[:, keep],
        score=score[:, keep],
        frame=np.array([number for number, _ in part.clock], np.int64),
        time=np.array([time for _, time in part.clock]),
        track=track,
        meta=meta,
    ).check(where)


def _to_source(video: Video) -> np.ndarray:
    """(3,) factors from the working image (see estimators.workers) to the pixels of the source; z goes with x."""
    width, height = working_size(video)
    return np.array([video.width / width, video.height / height, video.width / width], np.float32)


def _people_seen(score: np.ndarray) -> np.ndarray:
    """(M,) which of the people slots were ever filled."""
    return (score > 0).any(axis=(0, 2))
