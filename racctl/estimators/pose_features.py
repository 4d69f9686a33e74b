"""Video to pose and, in the same pass, the pose network's inner features of the person who exercises."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np

from racctl.contracts import Features, Meta, Pose
from racctl.errors import DataError, UsageError
from racctl.estimators.base import (
    POSE_ESTIMATORS,
    ClipFeatures,
    ClipFrames,
    FeaturePoseModel,
    pose_model,
    pose_model_class,
)
from racctl.estimators.pose import PoseWorkers, pose_step, step_of_clip, whole_pose, with_stride
from racctl.estimators.reread import clip_frames
from racctl.estimators.workers import lanes_of
from racctl.io.npz import MAX_STORED, write_features, write_pose
from racctl.io.output import write_file
from racctl.io.spool import clip_name, display_name, open_input, sha256
from racctl.io.up_to_date import is_current
from racctl.progress import Report, silent
from racctl.video.decode import probe
from racctl.video.span import Span, part_of
from racctl.windows import FRAME_RATE, frame_duration, frame_step


class FeatureWorkers(PoseWorkers):
    """What estimates poses with inner features; UsageError for a model without."""

    model: FeaturePoseModel
    _runner: ClipFeatures

    def __init__(self, model: str, people: int, jobs: int, side: int = 0) -> None:
        """side: rows and columns that the features are averaged to, 0 to keep them as they are."""
        self._side = side
        super().__init__(model, people, jobs)

    def _open(self, name: str, people: int, jobs: int) -> ClipFeatures:
        return _with_features(self.model, name).open_with_features(people, jobs, self._side)

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """C, H and W of a frame's features, as they are kept."""
        channels, *sides = self.model.feature_shape
        return (channels, *(self._side or side for side in sides))

    def run_with_features(
        self, clip: ClipFrames, report: Report
    ) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], np.ndarray]:
        """Return xyz, world and score of a clip, and its features, see `ClipFeatures`."""
        return self._runner.run_with_features(clip, report)


def feature_model(name: str, download: bool = False) -> FeaturePoseModel:
    """Return the pose model called `name`, as `racctl.estimators.base.pose_model` does; UsageError for one that gives
    no inner features."""
    return _with_features(pose_model(name, download), name)


def _with_features(model: object, name: str) -> FeaturePoseModel:
    if not isinstance(model, FeaturePoseModel):
        raise UsageError(f"'{name}' gives no inner features; choose one of {', '.join(models_with_features())}")
    return model


def models_with_features() -> list[str]:
    """Return the names of the pose models whose inner features can be had."""
    return [name for name in POSE_ESTIMATORS.names() if gives_features(name)]


def gives_features(name: str) -> bool:
    """Return whether a pose model, by name or file, gives inner features; UsageError for a name that is none."""
    return hasattr(pose_model_class(name), "open_with_features")


def feature_lanes(
    model: str, people: int, lanes: int, each: int, side: int = 0
) -> AbstractContextManager[list[FeatureWorkers]]:
    """Open `lanes` sets of estimators on `each` cores. side: see `FeatureWorkers`."""
    return lanes_of(partial(FeatureWorkers, model, people, each, side), lanes)


def estimate_pose_features(
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
) -> tuple[Pose, Features]:
    """Find the body in every frame of a video, with the network's inner features, as `racctl pose --features` does.

    The arguments are those of `estimate_pose`, and so is the pose. The features are the first person's, a window for
    each frame, 0 in frames where they are not seen.
    Raises `racctl.errors.RacctlError` with one line that says what is wrong.
    """
    Span(start, stop, stride, rate).check()
    entry = pose_step(model, people, start, stop, stride, download, rate)
    with feature_lanes(model, people, 1, jobs) as (workers,):
        return features_source(str(source), workers, entry=entry)


def features_source(
    source: str, workers: FeatureWorkers, report: Report = silent, *, entry: Meta
) -> tuple[Pose, Features]:
    """Run `features_of_video` on a path, or "-" for stdin."""
    with open_input(source) as file:
        return features_of_video(file, source, workers, entry, report)


def save_pose_and_features(
    source: str, workers: FeatureWorkers, report: Report = silent, *, folder: Path, features: Path, entry: Meta
) -> None:
    """Write FOLDER/<clip>.pose.npz and FEATURES/<clip>.features.npz unless both are there, made of the same bytes the
    same way."""
    pose_target = folder / f"{clip_name(source)}.pose.npz"
    features_target = features / f"{clip_name(source)}.features.npz"
    with open_input(source) as file:
        entry = step_of_clip(entry, file, source)
        digest = sha256(file)
        if is_current(pose_target, digest, [entry]) and is_current(features_target, digest, [entry]):
            return
        pose, tokens = features_of_video(file, source, workers, entry, report)
        write_file(features_target, lambda out: write_features(out, tokens))
        write_file(pose_target, lambda out: write_pose(out, pose))


def features_of_video(
    file: IO[bytes], name: str, workers: FeatureWorkers, entry: Meta, report: Report = silent
) -> tuple[Pose, Features]:
    """Estimate on every frame that `entry`, made by `pose_step`, asks for.

    Raises what `pose_of_video` does, and DataError where there are more frames than one file of features may hold.
    """
    where = display_name(name)
    video = probe(file, where)
    entry = with_stride(entry, video)
    part = part_of(file, video, entry["args"], where)
    _refuse_too_many(part.expected, workers.feature_shape, where)
    landmarks, tokens = workers.run_with_features(clip_frames(file, where, video, part), report)
    pose = whole_pose(name, video, part, entry, workers.model, landmarks)
    return pose, _features_of(pose, tokens, workers.model).check(where)


def refuse_no_inner_features(features: Features, where: str) -> None:
    """Raise DataError for features that are not of a pose network's backbone, a window for each frame."""
    about = features.meta.get("video", {})
    tokens = features.video
    is_inner = (
        (features.meta.get("window"), features.meta.get("stride")) == (1, 1)
        and isinstance(about.get("weights"), dict)
        and tokens is not None
        and len(tokens) > 0
        and tokens.shape[2] == 1
        and features.start_s is not None
    )
    if not is_inner:
        raise DataError(
            f"'{where}' holds tokens of '{about.get('encoder', 'no video encoder')}', not a pose network's inner "
            "features; 'racctl pose --features' writes them"
        )
    if (np.diff(features.start) <= 0).any():
        raise DataError(f"'{where}' has frames that are not in ascending order")


def _refuse_too_many(frames: int, shape: tuple[int, ...], where: str) -> None:
    size = math.prod(shape) * np.dtype(np.float16).itemsize
    if frames * size > MAX_STORED:
        raise DataError(
            f"'{where}' has about {frames} frames, whose features are more than one file may hold "
            f"({MAX_STORED // size} frames); use '--rate' or '--stop'"
        )


def _features_of(pose: Pose, tokens: np.ndarray, model: FeaturePoseModel) -> Features:
    """Return the tokens (T, C, H, W) of a pose's frames, a window for each."""
    frame = np.append(pose.frame, pose.frame[-1] + frame_step(pose.frame))
    time = np.append(pose.time, pose.time[-1] + frame_duration(pose.time, 1 / FRAME_RATE))
    unseen = int((~(pose.score[:, 0] > 0).any(1)).sum())
    windows = {"span": "windows", "window": 1, "stride": 1, "rate": 0.0, "ticks": len(pose.frame)}
    branch = {
        "encoder": model.encoder,
        "weights": model.record(),
        "sampled": 1,
        "frames_per_token": 1.0,
        "person": int(pose.track[0]),
        "unseen": unseen,
    }
    about = {key: pose.meta[key] for key in ("clip", "source", "steps")}
    return Features(
        start=frame[:-1],
        stop=frame[1:],
        start_s=time[:-1],
        stop_s=time[1:],
        video=tokens[:, :, None],
        meta={**about, **windows, "video": branch},
    )
