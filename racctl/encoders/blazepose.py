"""A video encoder that stands on the pose: the inner features of BlazePose's landmark network, four ticks to a token.

They come from the pass that estimates the pose, so that the picture is looked at once; or from a file that `racctl pose
--features` wrote. They tell how a body moves where the landmarks are lost.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from einops import reduce

from racctl.contracts import Features, Meta
from racctl.encoders.base import EncodeOptions
from racctl.errors import UsageError
from racctl.estimators.pose_features import feature_model
from racctl.video.decode import Frame
from racctl.windows import FRAME_RATE, at_or_before

BLAZEPOSE = "blazepose"
TICKS_SHOWN = 64  # that a window is shown in, whatever its length
TOKEN_TICKS = 4
TOKEN_PLACES = 4  # to either side of a token's map
FEATURE_DEVIATION = 25.0  # about the standard deviation of the features of 'full'


def blazepose_tokens(features: np.ndarray) -> np.ndarray:
    """Return the tokens (N // 4, 2 C, 4, 4) float32 of inner features (N, C, H, W) at N ticks.

    The first C channels are the mean over a token's ticks, the others the change: the mean of the later half of the
    ticks less that of the earlier half. Both are averaged over the places that make one of 4 x 4, and divided by 25.
    A person who is not seen has to be held before, see `held_rows`: zeros are a jump.
    """
    count = len(features) // TOKEN_TICKS
    whole = features[: count * TOKEN_TICKS].astype(np.float32)
    pattern = "(n t) c (h y) (w x) -> n t c h w"
    ticks = reduce(whole, pattern, "mean", t=TOKEN_TICKS, h=TOKEN_PLACES, w=TOKEN_PLACES)
    half = TOKEN_TICKS // 2
    change = ticks[:, half:].mean(1) - ticks[:, :half].mean(1)
    return np.concatenate([ticks.mean(1), change], axis=1) / np.float32(FEATURE_DEVIATION)


def held_rows(video: np.ndarray) -> np.ndarray:
    """Return (S,) int64: for every frame the last with the person, before the first of them that one.

    video: (S, C, 1, H, W) inner features, 0 throughout where the person is not seen.
    """
    seen = np.fromiter((np.asarray(row).any() for row in video), bool, len(video))
    if not seen.any():
        return np.arange(len(video))
    last = np.maximum.accumulate(np.where(seen, np.arange(len(video)), -1))
    return np.where(last < 0, seen.argmax(), last)


class HeldFeatures:
    """The inner features of a clip, frame by frame; where the person is not seen, those of when they last were."""

    def __init__(self, features: Features) -> None:
        """features: as `racctl.estimators.open_clip.Clip.inner_features` gives them."""
        assert features.video is not None, "inner features have a video branch"
        self._video = features.video
        self._frame = features.start
        self._rows = held_rows(features.video)

    def at(self, frames: np.ndarray) -> np.ndarray:
        """Return (N, C, H, W) float16: for each of the source frames (N,) the features at or before it."""
        return np.asarray(self._video[self._rows[at_or_before(self._frame, frames)], :, 0])

    def __call__(self, frame: Frame) -> np.ndarray:
        """Return (C, H, W) float16 of a frame."""
        return self.at(np.array([frame.number]))[0]

    def blank(self) -> np.ndarray:
        return np.zeros_like(self._video[0, :, 0])


@dataclass(frozen=True)
class BlazePoseLook:
    """Frames are (C, H, W) float16, the inner features of the main person."""

    frames: int = TICKS_SHOWN
    rate: float = FRAME_RATE
    kind: str = "inner features"
    needs_mask: ClassVar[bool] = False
    windows_at_once: ClassVar[int] = 8

    def header(self) -> Meta:
        return {
            "kind": self.kind,
            "frames": self.frames,
            "rate": self.rate,
            "token_ticks": TOKEN_TICKS,
            "side": TOKEN_PLACES,
            "deviation": FEATURE_DEVIATION,
        }

    def of_features(self, features: Features) -> HeldFeatures:
        """Return what gives a frame's inner features."""
        return HeldFeatures(features)


@dataclass(frozen=True)
class BlazePoseEncoder:
    """Turns inner features into tokens; the network itself has run before, in the pose estimator.

    pose_model: of `racctl pose`.  download: whether it may be fetched.
    weights: the record of its network, where that is known; otherwise the model is looked for when somebody asks.
    """

    pose_model: str
    download: bool
    device: torch.device
    weights: Meta | None = None
    name: str = BLAZEPOSE
    look: BlazePoseLook = BlazePoseLook()

    @property
    def record(self) -> Meta:
        return self.weights or dict(feature_model(self.pose_model, self.download).record())

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return self.channels, self.steps, TOKEN_PLACES, TOKEN_PLACES

    @property
    def channels(self) -> int:
        return 2 * feature_model(self.pose_model, self.download).feature_shape[0]

    @property
    def frames(self) -> int:
        return self.look.frames

    @property
    def steps(self) -> int:
        return self.look.frames // TOKEN_TICKS

    def with_weights(self, record: Meta) -> BlazePoseEncoder:
        """Return the encoder of the features that the pose model with this record gives."""
        return replace(self, weights=record)

    def __call__(self, clips: torch.Tensor) -> torch.Tensor:
        """Turn (S, frames, C, H, W) float16 into tokens (S, 2 C, T', 4, 4) float32."""
        tokens = blazepose_tokens(clips.flatten(0, 1).cpu().numpy())
        return torch.from_numpy(tokens).unflatten(0, (len(clips), self.steps)).transpose(1, 2).to(self.device)


class BlazePoseEncoderMember:
    """The encoder on a pose model's inner features: which model, `options.pose_model` says."""

    looks_at_masks = BlazePoseLook.needs_mask
    takes: ClassVar[tuple[str, ...]] = ("pose_model",)

    @staticmethod
    def open(options: EncodeOptions, device: torch.device) -> BlazePoseEncoder:
        """Return the encoder. UsageError for options about weights: the pose model brings them."""
        if options.weights:
            raise UsageError(f"'--encoder {BLAZEPOSE}' has the weights of '--pose-model'; leave out '--weights'")
        if options.random:
            raise UsageError(f"'--encoder {BLAZEPOSE}' is never untrained; leave out '--random-weights'")
        return BlazePoseEncoder(options.pose_model, options.download, device)
