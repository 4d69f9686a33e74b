"""What there is to encode with, and what a user may choose of it."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from racctl.data.base import DATA_SETS
from racctl.errors import UsageError
from racctl.kinds import Kind, setting

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import torch

    from racctl.contracts import Features, Mask, Meta, Pose
    from racctl.estimators.mask import PackedMasks
    from racctl.video.decode import Frame, Video

NONE = "none"
SKIMMED = {"swin3d_t_skim": 192}  # of encoders that skim too: the last of their channels, which are for skimming
LAYOUTS = ("racctl", "escounts")  # of the files that are written
VIDEO_ENCODERS = Kind(
    "video encoder",
    "racctl.video_encoders",
    {
        "silhouette": "racctl.encoders.silhouette:SilhouetteMember",
        "blazepose": "racctl.encoders.blazepose:BlazePoseEncoderMember",
        "r2plus1d_18": "racctl.encoders.kinetics:KineticsMember",
        "swin3d_t": "racctl.encoders.kinetics:SwinMember",
        "swin3d_t_skim": "racctl.encoders.kinetics:KineticsMember",
        "resnext3d_101": "racctl.encoders.kinetics:KineticsMember",
        "videomae_vit_b": "racctl.encoders.kinetics:KineticsMember",
    },
)
POSE_ENCODERS = Kind("pose encoder", "racctl.pose_encoders", {"ctrgcn": "racctl.encoders.ctrgcn:open_ctrgcn"})


class VideoLook(Protocol):
    """What a network wants to see of a video.

    frames: into the network, for each window.  rate: of its windows, frames per second, 0 for the video's own.
    needs_mask: whether masks have to be there, or estimated.
    windows_at_once: that a CPU encodes fastest, unless the user says.
    """

    needs_mask: ClassVar[bool]
    windows_at_once: ClassVar[int]

    @property
    def frames(self) -> int: ...

    @property
    def rate(self) -> float: ...

    def header(self) -> Meta:
        """Return what the features say of it."""

    def pictures(self, video: Video, masks: Mask | PackedMasks | None) -> Callable[[Frame], np.ndarray]:
        """Return what turns a clip's decoded frames into pictures, uint8. masks: of the clip, where it needs them."""

    def blank(self) -> np.ndarray:
        """Return the picture that stands for no frame."""


class FeatureFrames(Protocol):
    """A clip's inner features, frame by frame."""

    def __call__(self, frame: Frame) -> np.ndarray:
        """Return a frame's features, (C, H, W) float16."""

    def blank(self) -> np.ndarray:
        """Return what stands for no frame."""


@runtime_checkable
class FeatureLook(Protocol):
    """What a network wants to see that looks at the pose network's inner features, not at pictures.

    The rest, but for `pictures` and `blank`, is as in `VideoLook`.
    """

    def of_features(self, features: Features) -> FeatureFrames:
        """Return what gives a frame's features.

        features: as `racctl.estimators.open_clip.Clip.inner_features` gives them.
        """


class VideoEncoder(Protocol):
    """A frozen network that is ready; `racctl.encoders.kinetics.FrozenVideoEncoder` makes one of a torch module.

    shape: C, T', h, w of a window's tokens.  steps: T'.  frames: into the network, for each window.
    record: of its weights, for provenance: name, sha256 and licence, or name, "random": True and "seed".
    """

    name: str
    look: Any
    shape: tuple[int, int, int, int]
    record: Meta
    device: torch.device

    @property
    def channels(self) -> int: ...

    @property
    def frames(self) -> int: ...

    @property
    def steps(self) -> int: ...

    def __call__(self, clips: torch.Tensor) -> torch.Tensor:
        """Turn (S, frames, ...) uint8 as `look.pictures` gives them into tokens (S, C, T', h, w) float32."""


class FeatureVideoEncoder(VideoEncoder, Protocol):
    """An encoder of the pose network's inner features; its look is a `FeatureLook`."""

    def with_weights(self, record: Meta) -> VideoEncoder:
        """Return the encoder of features that were made with these weights. record: of the pose model."""


class VideoEncoderMember(Protocol):
    """How a video encoder is opened, and what is known before.

    looks_at_masks: as its look does.
    takes: of "preset", "compiled", "moments" and "pose_model", which options mean something to it; with the last of
        them its look is a `FeatureLook`.
    """

    looks_at_masks: ClassVar[bool]
    takes: ClassVar[tuple[str, ...]]

    @staticmethod
    def open(options: EncodeOptions, device: torch.device) -> VideoEncoder:
        """Return it with the weights that the options name: a file, published ones if fetched or random ones."""


class PoseEncoder(Protocol):
    """A frozen network of joints that is ready; a member is a function of options and device that returns it.

    topology: of the joints that it sees, and of its tokens.  frames: that a window is shown in.  steps: tokens in time.
    rate: frames per second that it was trained at, 0 where that is unknown.  record: as of a `VideoEncoder`.
    """

    name: str
    record: Meta
    device: torch.device
    rate: float

    @property
    def topology(self) -> str: ...

    @property
    def channels(self) -> int: ...

    @property
    def frames(self) -> int: ...

    @property
    def steps(self) -> int: ...

    def seen(self, pose: Pose, rate: float = 0.0) -> np.ndarray:
        """Return (T, V, C) float32 of the main person on the pose's clock, zeros where nobody is seen.

        rate: frames per second that the windows will have, 0 for that of the training.
        """

    def __call__(self, joints: np.ndarray) -> torch.Tensor:
        """Turn (S, frames, V, C), as `seen` gives them, into tokens (S, C', steps, V, 1) float32."""


@dataclass(frozen=True)
class EncodeOptions:
    """Which encoders, and what they are shown.

    encoder, pose_encoder: names, "none" for a branch that is left out.
    weights, pose_weights: files, "" for the embedded or the downloaded ones.  download: whether they may be fetched.
    preset: of the video encoder.  random, seed: untrained weights.  compiled: see `VideoEncoder`.
    window, stride: ticks.  rate: ticks per second; 0: every frame; None: what the encoders were trained at.
    batch: windows at a time, 0 for what is fastest.
    moments: spread over the whole clip, to be encoded instead of windows, see `racctl.encoders.moments`; 0: windows.
    zeros: fill windows beyond the end with nothing, as ESCounts does, instead of with the last frame.
    pose_model: of `racctl pose`, for a video encoder that looks at its inner features.
    """

    PANEL: ClassVar[str] = "Options of the encoders"

    encoder: str = setting(
        "silhouette",
        "Choose the encoder of the video; none leaves the picture out.",
        "|".join([*VIDEO_ENCODERS.names(), NONE]),
    )
    pose_encoder: str = setting(
        "ctrgcn",
        "Choose the encoder of the pose; none leaves the joints out.",
        "|".join([*POSE_ENCODERS.names(), NONE]),
    )
    weights: str = setting("", "Take the video encoder's weights from FILE instead of its own.", "FILE")
    pose_weights: str = setting("", "Take the pose encoder's weights from FILE instead of its own.", "FILE")
    random: bool = setting(
        False, "Use untrained networks, to try things out; the output says so.", option="--random-weights"
    )
    preset: str = setting("", "Choose how frames are prepared for the video encoder.", "NAME")
    window: int = setting(64, "Set the frames in a window.", "N")
    stride: int = setting(16, "Set the frames from one window to the next.", "N")
    rate: float | None = setting(
        None, "Take windows at this rate; 0: every frame. Default: the rate that the encoders were trained at.", "FPS"
    )
    moments: int = setting(
        0, "Encode N moments of the whole clip at scales of 1, 4 and 8 of them, as TransRAC does; 0: windows.", "N",
        at_least=0, at_most=1024,
    )
    batch: int = setting(0, "Encode N windows at a time; 0: what is fastest.", "N", at_least=0)
    compiled: bool = setting(
        False, "Compile the video network first; for long clips and data sets.", option="--compile"
    )
    download: bool = setting(False, "Allow fetching a model that is not here; its sha256 is checked.")
    seed: int = setting(0, "Set the seed of untrained weights.", "N", at_least=0)
    zeros: bool = False
    pose_model: str = "full"

    def for_layout(self, layout: str) -> EncodeOptions:
        """Return these options as a layout of the output wants them: ESCounts takes every frame, and pads with 0."""
        if layout != "escounts":
            return self
        return replace(self, zeros=True, rate=0.0 if self.rate is None else self.rate)

    def check(self) -> EncodeOptions:
        """Raise UsageError for a value that no encoder takes, or that has no effect beside another; return self."""
        if not 1 <= self.stride <= 1 << 20 or not 2 <= self.window <= 4096:
            raise UsageError(
                f"invalid windows of {self.window} every {self.stride} frames; expected 2 to 4096, every 1 or more"
            )
        if self.rate is not None and not 0 <= self.rate <= 1000:
            raise UsageError(
                f"invalid value '{self.rate:g}' for '--rate'; expected frames per second, 0 for every frame"
            )
        if self.encoder == self.pose_encoder == NONE:
            raise UsageError("with neither '--encoder' nor '--pose-encoder' there is nothing to encode")
        self._refuse_ignored()
        return self

    def _refuse_ignored(self) -> None:
        for on, without, why in (
            (self.encoder == NONE, (self.weights, self.preset, self.compiled), "there is no video encoder"),
            (self.pose_encoder == NONE, (self.pose_weights,), "there is no pose encoder"),
            (self.random, (self.weights, self.pose_weights), "'--random-weights' takes no others"),
        ):
            if on and any(without):
                raise UsageError(f"{why}; leave out the options for it")
        if self.moments % 4:
            raise UsageError(f"invalid value '{self.moments}' for '--moments'; expected a multiple of 4")
        if self.moments and self.pose_encoder != NONE:
            raise UsageError("'--moments' encodes the picture alone; add '--pose-encoder none'")
        for name, option in (("preset", "--preset"), ("compiled", "--compile"), ("moments", "--moments")):
            if getattr(self, name) and name not in self.video_member().takes:
                raise UsageError(f"'--encoder {self.encoder}' has no option '{option}'; leave it out")

    def video_member(self) -> VideoEncoderMember:
        """Return the chosen video encoder, imported."""
        return VIDEO_ENCODERS.load(self.encoder)

    @property
    def looks_at_masks(self) -> bool:
        """Whether the chosen video encoder does; it is imported to tell."""
        return self.encoder != NONE and self.video_member().looks_at_masks

    @property
    def looks_at_inner_features(self) -> bool:
        """Whether the chosen video encoder looks at the pose network's inner features, not at the picture."""
        return self.encoder != NONE and "pose_model" in self.video_member().takes

    def refuse_idle_files(self, files: Files) -> None:
        """Raise UsageError for a mask or pose that these encoders do not look at."""
        if files.mask and not self.looks_at_masks:
            none = "there is no video encoder" if self.encoder == NONE else f"'{self.encoder}' looks at no mask"
            raise UsageError(f"{none}; leave out '--mask'")
        if files.pose and self.pose_encoder == NONE:
            raise UsageError("there is no pose encoder; leave out '--pose'")


@dataclass(frozen=True)
class Files:
    """What the user brings of a clip, or of all in folders: paths, "" for nothing."""

    video: str = ""
    mask: str = ""
    pose: str = ""

    def of_one_clip(self) -> dict[str, str]:
        """Return the options that name one clip's file, not a folder, and their values."""
        options = {"--video": self.video, "--mask": self.mask, "--pose": self.pose}
        return {option: path for option, path in options.items() if not os.path.isdir(path)}


@dataclass(frozen=True)
class SetOptions:
    """A published data set to encode. exemplars: its repetitions, not windows."""

    PANEL: ClassVar[str] = "Options of a data set"
    LED_BY: ClassVar[str] = "dataset"

    dataset: str = setting("", "Encode all of a published data set.", "|".join(DATA_SETS.names()))
    root: str = setting("", "Find the data set's videos, and its table, here.", "DIR")
    split: str = setting("", "Choose the split: train, val or test.", "NAME")
    annotations: str = setting("", "Read the table from FILE, if it is not under --root.", "FILE")
    exemplars: bool = setting(False, "Encode the annotated repetitions, not windows.")
    exclude_known_bad: bool = setting(False, "Leave out clips that are known to be annotated wrongly.")

    def check(self) -> SetOptions:
        """Raise UsageError for a data set without its folder and split; return self."""
        if self.dataset and not (self.root and self.split):
            raise UsageError("'--dataset' needs '--root DIR' and '--split train|val|test'")
        return self
