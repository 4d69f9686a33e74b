"""A clip as its encoders read it: the frames on whose clock windows are cut, and what else they look at."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, cast

import numpy as np

from racctl.contracts import Features, Mask, Meta, Pose
from racctl.encoders.base import EncodeOptions, FeatureLook, FeatureVideoEncoder
from racctl.encoders.pair import Encoders
from racctl.estimators.mask import PackedMasks
from racctl.estimators.open_clip import Clip
from racctl.io.up_to_date import document
from racctl.video.decode import Frame
from racctl.video.losses import Losses
from racctl.video.span import refuse_cut_short
from racctl.windows import FRAME_RATE, frame_duration, frame_step

NO_PICTURE: Any = None  # of a frame of which only the pose or its features are known


@dataclass(frozen=True)
class Part:
    """Which part of a clip.

    cycles: (R, 2) repetitions in source frames, for exemplars; None for windows.
    segment: source frames to keep to, half-open; None for all.
    """

    cycles: np.ndarray | None = None
    segment: tuple[int, int] | None = None

    @property
    def span(self) -> str:
        return "windows" if self.cycles is None else "repetitions"


@dataclass
class ClipReading:
    """A clip as its encoders read it: with its pose, masks and inner features, checked against the video.

    encoders: see `encoders_of`.
    losses: what of the video could not be decoded, once it was read.
    """

    clip: Clip
    encoders: Encoders
    options: EncodeOptions
    part: Part = field(default_factory=Part)
    losses: Losses = field(default_factory=Losses)

    @cached_property
    def pose(self) -> Pose | None:
        return self.clip.pose if self.encoders.pose or not self._has_clock else None

    @cached_property
    def mask(self) -> Mask | PackedMasks | None:
        return self.clip.mask if looks_at_masks(self.encoders) and self.clip.shows_picture else None

    @cached_property
    def inner_features(self) -> Features | None:
        return self.clip.inner_features if looks_at_inner_features(self.encoders) else None

    @property
    def _has_clock(self) -> bool:
        """Whether the frames are known without the pose."""
        return self.clip.shows_picture or looks_at_inner_features(self.encoders)

    @property
    def decodes(self) -> bool:
        """Whether the video is read; not where its inner features say all that is looked at."""
        return self.clip.shows_picture and not looks_at_inner_features(self.encoders)

    @property
    def name(self) -> str:
        return self.clip.name

    @property
    def where(self) -> str:
        return self.clip.video_where if self.clip.shows_picture else self.clip.where

    @property
    def clock(self) -> tuple[np.ndarray, np.ndarray]:
        """Frames and seconds, (T,) each, of the inner features or, without them, of the pose."""
        if self.inner_features is None:
            return self.clip.pose.frame, self.clip.pose.time
        assert self.inner_features.start_s is not None, "inner features have seconds"
        return self.inner_features.start, self.inner_features.start_s

    @property
    def end(self) -> tuple[int, float]:
        """One past its last frame, and where that ends, seconds."""
        if self.decodes and self.encoders.video:
            video = self.clip.video
            return video.frames, video.start_time + video.duration + 1 / video.fps
        frame, time = self.clock
        return int(frame[-1]) + frame_step(frame), float(time[-1]) + frame_duration(time, 1 / FRAME_RATE)

    def expected(self) -> int:
        """How many frames there are, about."""
        pictures = self.decodes and self.encoders.video
        return self.clip.video.frames if pictures else len(self.clock[0])

    def check(self) -> ClipReading:
        """Raise DataError for a video that is cut short, or a pose or masks that were made of another one."""
        if not self.clip.shows_picture:
            return self
        refuse_cut_short(self.clip.video, self.clip.span.start, self.clip.span.stop, self.where)
        self.losses.remarks = self.clip.video.ending.remarks
        for estimate in (self.pose, self.mask):  # the pose first, which takes longer to fail
            if estimate is not None:
                self.clip.refuse_other_source(estimate)
        return self

    def meta(self, entry: Meta) -> Meta:
        """Return what the document of the features says of where they come from. entry: the step that makes them."""
        parts = (self.mask, self.inner_features, self.pose)
        documents = [part.meta for part in parts if part is not None]
        if self.decodes:
            source = {"source": {**self.clip.video.source(), **(self.losses.record() if self.losses else {})}}
        else:
            source = {"source": documents[0]["source"]} if "source" in documents[0] else {}
        steps: list[Meta] = []
        for document_of_part in documents:  # the pose and its inner features may be of one pass
            steps += [earlier for earlier in document_of_part.get("steps", []) if earlier not in steps]
        return {**source, "clip": self.name, "steps": [*steps, entry]}

    def frames(self) -> Iterator[Frame]:
        """Yield the frames of the part, from the video or (without pictures) from the clock of what is known of it."""
        if self.decodes:
            source = self.clip.frames(self.losses)
        else:
            begin, end = self.clip.span.bounds
            clock = zip(*self.clock, strict=True)
            source = (Frame(int(number), float(time), NO_PICTURE) for number, time in clock if begin <= time < end)
        low, high = self.part.segment or (0, np.inf)
        return itertools.takewhile(lambda f: f.number < high, itertools.dropwhile(lambda f: f.number < low, source))


def looks_at_masks(encoders: Encoders) -> bool:
    """Return whether masks have to be there, or estimated, before a video can be encoded."""
    return encoders.video is not None and encoders.video.look.needs_mask


def looks_at_inner_features(encoders: Encoders) -> bool:
    """Return whether the pose network's inner features have to be there, or estimated."""
    return encoders.video is not None and isinstance(encoders.video.look, FeatureLook)


def encoders_of(clip: Clip, encoders: Encoders) -> Encoders:
    """Return the encoders with the weights of the pose network whose inner features a clip has, where they look at
    those; a video gets them from the pose model of its estimators."""
    if encoders.video is None or not looks_at_inner_features(encoders):
        return encoders
    if clip.kind == "features":
        weights = document(clip.file, clip.where).get("video", {}).get("weights", {})
    else:
        weights = clip.estimators.pose_step(clip.sampling)["weights"][0]
    return replace(encoders, video=cast(FeatureVideoEncoder, encoders.video).with_weights(weights))
