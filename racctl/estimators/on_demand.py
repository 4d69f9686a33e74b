"""The mask and the pose of a clip, where a pipeline needs them and the user did not bring them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from typing import IO

from racctl.contracts import Features, Mask, Meta, Pose
from racctl.errors import DataError
from racctl.estimators.base import ClipMasks
from racctl.estimators.mask import MaskOptions as MaskOptions
from racctl.estimators.mask import PackedMasks, mask_lanes, masks_of_video
from racctl.estimators.pose import PoseWorkers, pose_lanes, pose_of_video, pose_step
from racctl.estimators.pose_cache import cache_key, pose_cache
from racctl.estimators.pose_features import FeatureWorkers, feature_lanes, feature_model, features_of_video
from racctl.io.npz import read_pose
from racctl.io.spool import clip_name, display_name, open_input
from racctl.progress import Report, silent
from racctl.video.decode import Video
from racctl.video.span import Span


@dataclass(frozen=True)
class Estimates:
    """What to estimate of a video.

    mask: width and height of the masks in pixels, 0 for none.
    pose: whether the pose too.
    features: whether the pose network's inner features too, which come with the pose.
    feature_side: rows and columns that these are averaged to, 0 to keep them as they are.
    mask_model: of `racctl mask`.  pose_model: of `racctl pose`.  download: whether they may be fetched.
    """

    mask: int = 0
    pose: bool = False
    mask_model: str = "blazepose"
    pose_model: str = "full"
    download: bool = False
    features: bool = False
    feature_side: int = 0


class Estimators:
    """The mask and pose models and their workers; the models are looked for, and started, when first used."""

    def __init__(self, estimates: Estimates, jobs: int = 1) -> None:
        self.estimates = estimates
        self._jobs = jobs
        self._stack = ExitStack()
        self._workers: list[ClipMasks | PoseWorkers] = []

    @cache  # noqa: B019 (there are as many of these as lanes, for the length of a command)
    def _mask_options(self, span: Span) -> MaskOptions:
        size = f"{self.estimates.mask}x{self.estimates.mask}"
        return MaskOptions(
            self.estimates.mask_model,
            size,
            start=span.start,
            stop=span.stop,
            stride=span.stride,
            download=self.estimates.download,
        ).check()

    @cached_property
    def _mask(self) -> ClipMasks:
        (workers,) = self._stack.enter_context(mask_lanes(self._mask_options(Span()), 1, self._jobs))
        self._workers.append(workers)
        return workers

    @cached_property
    def _pose(self) -> PoseWorkers:
        (workers,) = self._stack.enter_context(pose_lanes(self.estimates.pose_model, 1, 1, self._jobs))
        self._workers.append(workers)
        return workers

    @cached_property
    def _pose_and_features(self) -> FeatureWorkers:
        lanes = feature_lanes(self.estimates.pose_model, 1, 1, self._jobs, self.estimates.feature_side)
        (workers,) = self._stack.enter_context(lanes)
        self._workers.append(workers)
        return workers

    def mask_step(self, span: Span) -> Meta:
        """Return the provenance entry of the masks that these make."""
        return self._mask_options(span).step

    @cache  # noqa: B019
    def pose_step(self, span: Span) -> Meta:
        """Return the provenance entry of the poses that these make; UsageError where the model is not here."""
        estimates = self.estimates
        return pose_step(
            estimates.pose_model, 1, span.start, span.stop, span.stride, estimates.download, rate=span.rate
        )

    def mask(self, file: IO[bytes], name: str, span: Span, report: Report = silent) -> PackedMasks:
        """Estimate the masks of an open video; `name` is its path, or "-"."""
        return masks_of_video(file, name, self._mask_options(span), self._mask, report)

    def pose(self, file: IO[bytes], name: str, span: Span, report: Report = silent) -> tuple[Pose, Features | None]:
        """Estimate the pose in an open video and, where `estimates` say so, the inner features, in one pass.

        Those that an earlier command left in the pose cache are read from there.

        name: its path, or "-".
        """
        cache = pose_cache()
        if cache is None:
            return self._estimate_pose(file, name, span, report)
        side = self.estimates.feature_side if self.estimates.features else None
        key = cache_key(file, name, self.pose_step(span))
        pair = cache.read(key, side)
        if pair is None:
            pair = self._estimate_pose(file, name, span, report)
            cache.write(key, side, *pair)
        return pair

    def _estimate_pose(self, file: IO[bytes], name: str, span: Span, report: Report) -> tuple[Pose, Features | None]:
        entry = self.pose_step(span)
        if self.estimates.features:
            return features_of_video(file, name, self._pose_and_features, entry, report)
        return pose_of_video(file, name, self._pose, entry, report), None

    def check(self) -> None:
        """Raise UsageError where a model that is needed is neither here nor allowed to be fetched, or does not give
        what is needed."""
        if self.estimates.mask:
            self.mask_step(Span())
        if self.estimates.features:
            feature_model(self.estimates.pose_model, self.estimates.download)
        if self.estimates.pose or self.estimates.features:
            self.pose_step(Span())

    def abort(self) -> None:
        for workers in self._workers:
            workers.abort()

    def close(self) -> None:
        self._stack.close()

    def __enter__(self) -> Estimators:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


@contextmanager
def estimator_lanes(estimates: Estimates, lanes: int, each: int, check: bool = True) -> Iterator[list[Estimators]]:
    """Yield `lanes` sets of estimators of `each` workers. check: look for the models now, for the first clip
    will need them; otherwise when one does."""
    with ExitStack() as stack:
        estimators = [stack.enter_context(Estimators(estimates, each)) for _ in range(lanes)]
        if check:
            estimators[0].check()
        yield estimators


def given_pose(path: str, video: str) -> Pose:
    """The pose in a file; DataError when it was made of another clip than `video`."""
    with open_input(path) as file:
        pose = read_pose(file, display_name(path))
    refuse_other_clip(pose.clip, video)
    return pose


def refuse_other_clip(clip: str, video: str) -> None:
    """DataError when a mask or pose says that it is of another clip than this video."""
    if clip not in ("", "stdin", clip_name(video)) and video != "-":
        raise DataError(f"'{display_name(video)}' is not the clip '{clip}' that the mask or pose was made of")


def refuse_other_source(part: Mask | PackedMasks | Pose, video: Video, where: str) -> None:
    """DataError when a mask or pose was made of other bytes than this video, or has no frame."""
    kind = "pose" if isinstance(part, Pose) else "mask"
    digest = part.meta.get("source", {}).get("sha256")
    if digest and digest != video.sha256:
        raise DataError(f"the {kind} given with '{where}' was made of another file of that name")
    if not len(part.frame):
        raise DataError(f"the {kind} given with '{where}' has no frame")
