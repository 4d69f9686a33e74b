"""The two branches of D2-STX as a pair of frozen encoders: what may be asked for, and the networks it names."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from racctl.encoders.ctrgcn import PoseEncoder, pose_encoder
from racctl.encoders.kinetics import VIDEO_ENCODERS, VideoEncoder, video_encoder
from racctl.encoders.silhouette import SILHOUETTE, silhouette_encoder
from racctl.errors import UsageError
from racctl.video.span import check_part

NONE = "none"


@dataclass(frozen=True)
class Options:
    """What to encode, and how.

    encoder, pose_encoder: names, "none" for a branch that is not wanted.  weights, pose_weights: files, "" for the
    embedded or the downloaded ones.  preset: of the video encoder.  random: untrained weights.  window, stride: ticks.
    rate: ticks per second; 0: every frame; None: what the encoders were trained at.  batch: windows at a time, 0 for
    what is fastest.
    zeros: fill windows beyond the end with nothing, as ESCounts does, instead of with the last frame.
    start, stop: seconds.  video, mask, pose: files of the clip that are there already.  compiled: see `VideoEncoder`.
    """

    encoder: str = SILHOUETTE
    pose_encoder: str = "ctrgcn"
    weights: str = ""
    pose_weights: str = ""
    preset: str = ""
    random: bool = False
    window: int = 64
    stride: int = 16
    rate: float | None = None
    batch: int = 0
    zeros: bool = False
    start: float | None = None
    stop: float | None = None
    video: str = ""
    mask: str = ""
    pose: str = ""
    mask_model: str = "blazepose"
    pose_model: str = "full"
    download: bool = False
    seed: int = 0
    compiled: bool = False

    def check(self) -> Options:
        """UsageError for a value that means nothing; returns self."""
        check_part(self.start, self.stop)
        if not 1 <= self.stride <= 1 << 20 or not 2 <= self.window <= 4096:
            raise UsageError(f"windows of {self.window} every {self.stride} frames mean nothing; the paper has 64, 16")
        if self.rate is not None and not 0 <= self.rate <= 1000:
            raise UsageError(f"'--rate {self.rate:g}' means nothing; expected frames per second, 0 for every frame")
        if self.encoder == self.pose_encoder == NONE:
            raise UsageError("with neither '--encoder' nor '--pose-encoder' there is nothing to encode")
        self._refuse_ignored()
        return self

    def _refuse_ignored(self) -> None:
        """UsageError for an option that would have no effect beside another."""
        default = Options.mask_model, Options.pose_model
        for on, without, why in (
            (self.encoder == NONE, (self.weights, self.preset, self.mask, self.compiled), "there is no video encoder"),
            (self.pose_encoder == NONE, (self.pose, self.pose_weights), "there is no pose encoder"),
            (self.random, (self.weights, self.pose_weights), "'--random-weights' takes no others"),
            (self.encoder != SILHOUETTE, (self.mask,), "only the silhouette encoder looks at masks"),
            (self.mask, (self.mask_model != default[0],), "'--mask' is there already"),
            (self.pose, (self.pose_model != default[1],), "'--pose' is there already"),
            (self.encoder == SILHOUETTE, (self.preset, self.compiled), "the silhouette encoder has one look"),
        ):
            if on and any(without):
                raise UsageError(f"{why}; leave out the options for it")


@dataclass(frozen=True)
class Encoders:
    """The frozen networks of the two branches; None for one that is not wanted."""

    video: VideoEncoder | None
    pose: PoseEncoder | None

    def rate(self, options: Options) -> float:
        """Ticks per second of the windows, 0 for every frame."""
        if options.rate is not None:
            return options.rate
        return max(self.video.look.rate if self.video else 0.0, self.pose.rate if self.pose else 0.0)

    def notes(self) -> list[str]:
        """Weights that are not racctl's own, with their licence."""
        records = [branch.record for branch in (self.video, self.pose) if branch and "random" not in branch.record]
        return [f"weights '{one['name']}': {one['licence']}" for one in records if one["licence"] != "MIT"]


def load_encoders(options: Options, device: torch.device) -> Encoders:
    """The two networks that the options name; see `video_encoder` and `pose_encoder` for what is raised."""
    video = pose = None
    if options.encoder not in (SILHOUETTE, NONE, *VIDEO_ENCODERS):
        known = ", ".join((SILHOUETTE, *VIDEO_ENCODERS, NONE))
        raise UsageError(f"no such video encoder '{options.encoder}'; expected one of {known}")
    if options.encoder == SILHOUETTE:
        video = silhouette_encoder(options.weights, options.random, device, options.seed)
    elif options.encoder != NONE:
        fetch = options.download and not options.weights and not options.random
        video = video_encoder(
            options.encoder, options.weights, fetch, options.random, device, options.preset, options.seed,
            options.compiled,
        )  # fmt: skip
    if options.pose_encoder != NONE:
        untrained = options.random and not options.pose_weights
        pose = pose_encoder(options.pose_encoder, options.pose_weights, untrained, device, options.seed)
    return Encoders(video, pose)
