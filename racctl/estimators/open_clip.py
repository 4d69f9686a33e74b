"""One clip and what a pipeline needs of it: brought by the user, or estimated when it is first asked for."""

from __future__ import annotations

import copy
import io
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import IO

from racctl.contracts import Features, Mask, Meta, Pose
from racctl.errors import DataError, UsageError
from racctl.estimators.mask import PackedMasks
from racctl.estimators.on_demand import Estimates, Estimators, given_pose, refuse_other_clip, refuse_other_source
from racctl.estimators.pose_features import refuse_no_inner_features
from racctl.io.escounts_layout import TOKEN_STRIDE, TOKEN_WINDOW, holds_tokens, import_tokens
from racctl.io.npz import pose_bytes, read_features, read_mask, read_pose
from racctl.io.sniff import kind_phrase, sniff
from racctl.io.spool import clip_name, display_name, open_input, sha256
from racctl.io.up_to_date import document
from racctl.progress import Report, silent
from racctl.video.decode import Frame, Video, frames, probe
from racctl.video.losses import Losses
from racctl.video.span import Span, told
from racctl.windows import mean_rate

SCHEMAS = {"pose": "racctl.pose/1", "mask": "racctl.mask/1", "features": "racctl.features/1"}
ANONYMOUS = ("", "stdin")  # clip names that say nothing


@dataclass
class Clip:
    """One clip, open.

    source: the input, a path or "-".  file: its bytes.
    kind: what the input is, "video", "pose", "mask", "features" or "tokens" (a token file of ESCounts or D2-STX).
    reads: the kinds that this pipeline takes.
    video_file, video_name: the video, where there is one: the input itself, or the one named beside it.
    pose_path, mask_path: files that stand in for an estimate, "" for none.
    span: what of it is looked at.  estimators: of its pose and masks.  report: progress of estimation.
    """

    source: str
    file: IO[bytes]
    kind: str
    reads: Collection[str]
    video_file: IO[bytes] | None
    video_name: str
    pose_path: str
    mask_path: str
    span: Span
    estimators: Estimators
    report: Report

    @property
    def where(self) -> str:
        """How messages name the input."""
        return display_name(self.source)

    @property
    def video_where(self) -> str:
        """How messages name the video."""
        return display_name(self.video_name)

    @cached_property
    def digest(self) -> str:
        """The sha256 of the input's bytes."""
        return sha256(self.file)

    @cached_property
    def name(self) -> str:
        """What tables call the clip: what the input says of itself, else the name of its file."""
        declared = ""
        if self.kind in ("features", "tokens"):
            declared = self.features.clip
        elif self.kind == "pose" or self.pose_path:
            declared = self.pose.clip
        return clip_name(self.video_name or self.source) if declared in ANONYMOUS else declared

    @cached_property
    def pose(self) -> Pose:
        """The pose: the input, the file that the user named, or an estimate.

        Raises DataError where it cannot be read, or is of another clip than the video.
        """
        if self.kind == "pose":
            pose = self._read_pose()
            if self.video_name:
                refuse_other_clip(pose.clip, self.video_name)
            return pose
        if self.pose_path and self.kind == "features":
            pose = given_pose(self.pose_path, "-")
            _refuse_other_features(pose, self.features, self.where)
            return pose
        if self.pose_path:
            return given_pose(self.pose_path, self.video_name)
        return self._estimated_pose[0]

    @property
    def has_inner_features(self) -> bool:
        """Whether `inner_features` can be had."""
        return self.kind == "features" or (self.shows_picture and self.estimators.estimates.features)

    @cached_property
    def inner_features(self) -> Features:
        """The inner features of the pose network, of the main person, a window for each frame: the input, or of the
        pass over the video that estimates the pose.

        Raises DataError for an input that holds other features, or a pose of another video.
        """
        if self.kind == "features":
            refuse_no_inner_features(self.features, self.where)
            return self.features
        if self.kind == "pose":
            self.refuse_other_source(self.pose)
        features = self._estimated_pose[1]
        if features is None:
            raise ValueError("inner features are estimated where 'Estimates.features' says so before the pass")
        return features

    @cached_property
    def _estimated_pose(self) -> tuple[Pose, Features | None]:
        """The pose and, where the pipeline uses them, the inner features, of one pass over the video."""
        return self.estimators.pose(self.picture, self.video_name, self.sampling, self.report)

    @cached_property
    def mask(self) -> Mask | PackedMasks:
        """The masks, as `pose` is."""
        if self.kind == "mask":
            mask = read_mask(self.file, self.where)
        elif self.mask_path:
            with open_input(self.mask_path) as file:
                mask = read_mask(file, display_name(self.mask_path))
        else:
            return self.estimators.mask(self.picture, self.video_name, self.sampling, self.report)
        refuse_other_clip(mask.clip, self.video_name)
        return mask

    @cached_property
    def features(self) -> Features:
        """The features that the input is."""
        if self.kind == "tokens":
            return import_tokens([(self.file, self.where)], clip_name(self.source), TOKEN_WINDOW, TOKEN_STRIDE)
        return read_features(self.file, self.where)

    @cached_property
    def video(self) -> Video:
        """What the video's headers say."""
        return probe(self.picture, self.video_where)

    @cached_property
    def sampling(self) -> Span:
        """The span, with the stride that its rate makes in this clip: the video, or a pose that is the input."""
        if self.span.rate is None or self.kind in ("features", "tokens"):
            return self.span
        return self.span.at(mean_rate(self.pose.time) if self.kind == "pose" else self.video.fps)

    @property
    def shows_picture(self) -> bool:
        return self.video_file is not None

    def frames(self, losses: Losses) -> Iterator[Frame]:
        """Yield the frames between the span's start and stop, upright as the video has them; after the last one a note
        says what was missing."""
        source = frames(self.picture, self.video_where, self.span.start, self.span.stop, losses=losses)
        return told(source, losses, self.video_where)

    def with_pose(self, pose: Pose) -> Clip:
        """Return the same clip with this pose instead of its own."""
        clip = copy.copy(self)
        clip.pose = pose
        return clip

    def joints_only(self) -> Clip:
        """Return the same clip as its pose alone, without the picture."""
        clip = self.with_pose(self.pose)
        clip.name = self.name
        if self.kind != "pose":
            clip.digest = ""  # of a file that there is not
        clip.kind, clip.video_file, clip.video_name = "pose", None, ""
        return clip

    def recorded_steps(self) -> list[Meta]:
        """Return the provenance that the input carries; [] for a video."""
        return list(document(self.file, self.where).get("steps", [])) if self.kind != "video" else []

    def refuse_other_source(self, part: Mask | PackedMasks | Pose) -> None:
        """Raise DataError when a mask or pose was made of other bytes than the video, or has no frame."""
        refuse_other_source(part, self.video, self.video_where)

    @property
    def picture(self) -> IO[bytes]:
        """The video's bytes; UsageError where there is none."""
        if self.video_file is None:
            raise UsageError(f"'{self.where}' is a {self.kind}; name its video with '--video FILE'")
        return self.video_file

    def _read_pose(self) -> Pose:
        try:
            pose = read_pose(self.file, self.where)
        except DataError as error:
            raise DataError(str(error).replace(f"expected {Pose.schema}", f"expected {expected(self.reads)}")) from None
        if pose.clip in ANONYMOUS:
            pose.meta = {**pose.meta, "clip": clip_name(self.video_name or self.source)}
        return pose


@contextmanager
def open_clip(
    source: str,
    *,
    video: str = "",
    pose: str = "",
    mask: str = "",
    span: Span | None = None,
    reads: Collection[str] = ("video", "pose"),
    estimators: Estimators | None = None,
    report: Report = silent,
) -> Iterator[Clip]:
    """Open a clip: the one way in for whatever counts, classifies or encodes.

    source: a path, or "-" for stdin.  video: the clip's video where the source is its pose or mask.
    pose, mask: files that are used instead of estimating.  reads: the kinds of input that the caller takes.
    Raises DataError for an input of another kind, UsageError for files that do not go with it.
    """
    with ExitStack() as stack:
        file = stack.enter_context(open_input(source))
        kind = _kind_of(file, display_name(source), reads)
        _refuse_idle_files(kind, display_name(source), video, pose, mask)
        video_file, video_name = (file, source) if kind == "video" else (None, "")
        if video:
            video_file, video_name = stack.enter_context(open_input(video)), video
        if estimators is None:
            estimators = stack.enter_context(Estimators(Estimates()))
        part = (span or Span()).check()
        yield Clip(source, file, kind, reads, video_file, video_name, pose, mask, part, estimators, report)


@contextmanager
def open_pose(pose: Pose, span: Span | None = None, estimators: Estimators | None = None) -> Iterator[Clip]:
    """Open a pose that is in memory, as if it was a file."""
    file = io.BytesIO(pose_bytes(pose))
    lane = estimators or Estimators(Estimates())
    yield Clip(pose.clip, file, "pose", ("pose",), None, "", "", "", (span or Span()).check(), lane, silent)


def expected(reads: Collection[str]) -> str:
    """Return how messages name the kinds of input: "racctl.pose/1 or a video"."""
    names = [SCHEMAS[kind] for kind in reads if kind in SCHEMAS] + (["a video"] if "video" in reads else [])
    return " or ".join([", ".join(names[:-1]), names[-1]] if names[:-1] else names)


def _kind_of(file: IO[bytes], where: str, reads: Collection[str]) -> str:
    sniffed = sniff(file)
    if sniffed in ("video", "unknown") and "video" in reads:
        return "video"
    if "tokens" in reads and holds_tokens(file):
        return "tokens"
    if sniffed == "npz":
        schema = document(file, where).get("schema")
        arrays = {SCHEMAS[kind]: kind for kind in reads if kind in SCHEMAS}
        if isinstance(schema, str) and schema.startswith("racctl.") and schema.rpartition("/")[0] not in _kinds(arrays):
            tool = "mask" if "mask" in reads else "pose"
            raise DataError(f"'{where}' holds {schema}, expected {expected(reads)}; run 'racctl {tool}' first")
        return arrays.get(str(schema)) or next(iter(arrays.values()))  # whose reader says what is wrong
    hint = "; 'racctl remap-joints' reads other poses" if "pose" in reads else ""
    raise DataError(f"'{where}' is {kind_phrase(sniffed)}, expected {expected(reads)}{hint}")


def _kinds(schemas: Collection[str]) -> set[str]:
    """Return schemas without their versions: racctl.pose for racctl.pose/1."""
    return {schema.rpartition("/")[0] for schema in schemas}


def _refuse_idle_files(kind: str, where: str, video: str, pose: str, mask: str) -> None:
    """Raise UsageError for a file that has no effect beside this kind of input."""
    if kind == "video" and video:
        raise UsageError(f"'--video' names the clip of a pose or mask, and '{where}' is a video itself; leave it out")
    for option, path in (("pose", pose), ("mask", mask)):
        if path and kind == option:
            raise UsageError(f"'{where}' is a {option} itself; leave out '--{option}'")


def _refuse_other_features(pose: Pose, features: Features, where: str) -> None:
    """Raise DataError when a pose was made of another clip than these inner features."""
    if features.clip not in ANONYMOUS:
        refuse_other_clip(pose.clip, features.clip)
    digests = [part.meta.get("source", {}).get("sha256") for part in (pose, features)]
    if all(digests) and digests[0] != digests[1]:
        raise DataError(f"the pose given with '{where}' was made of another video than the features")


def of_person(pose: Pose, person: int) -> Pose:
    """Return the pose of one person, by index on axis M."""
    index = [person]
    world = None if pose.world is None else pose.world[:, index]
    return replace(pose, xyz=pose.xyz[:, index], score=pose.score[:, index], track=pose.track[index], world=world)
