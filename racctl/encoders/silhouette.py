"""The project's own video encoder: a person cut out of the picture, grayscale and mask. It runs offline; it is no
replacement for weights of Kinetics."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from einops import rearrange
from PIL import Image
from torch import Tensor, nn

from racctl.contracts import Mask, Meta
from racctl.encoders.base import EncodeOptions
from racctl.encoders.kinetics import FrozenVideoEncoder
from racctl.errors import DataError, UsageError
from racctl.estimators.mask import PackedMasks
from racctl.io.npz import Frames
from racctl.models.silhouette import SAMPLED, SilhouetteConfig, SilhouetteNet
from racctl.video.crop import PersonCrop, crop_picture
from racctl.video.decode import Frame, Video, upright
from racctl.weights import embedded
from racctl.weights.load import load_trained
from racctl.windows import at_or_before

SILHOUETTE = "silhouette"
SIDE = 112  # pixels
TRAINED_RATE = 30.0  # frames per second


@dataclass(frozen=True)
class SilhouetteLook:
    """Frames are (side, side, 2) uint8: grayscale 0 to 255, and the mask, 0 or 1, as `Cutter` gives them."""

    side: int = SIDE
    frames: int = SAMPLED
    rate: float = TRAINED_RATE
    kind: str = SILHOUETTE
    needs_mask: ClassVar[bool] = True
    windows_at_once: ClassVar[int] = 8

    def header(self) -> Meta:
        return {"kind": self.kind, "side": self.side, "frames": self.frames, "rate": self.rate}

    def normalise(self, clips: Tensor) -> Tensor:
        """(S, frames, side, side, 2) uint8 to (S, 2, frames, side, side) float32 in 0..1."""
        gray, mask = clips[..., 0].float() / 255, clips[..., 1].float()
        return rearrange([gray, mask], "c s t h w -> s c t h w")

    def pictures(self, video: Video, masks: Mask | PackedMasks | None) -> Cutter:
        """Return what cuts the person out of a clip's frames."""
        assert masks is not None, "this look needs masks"
        return Cutter(masks.mask, masks.frame, video, self.side)

    def blank(self) -> np.ndarray:
        return np.zeros((self.side, self.side, 2), np.uint8)


class Cutter:
    """Cuts the person out of a clip's frames, steadily, as `racctl.video.crop` does it for training."""

    def __init__(self, masks: Frames, number: np.ndarray, video: Video, side: int = SIDE) -> None:
        """masks: (T, H, W), of the frames (T,) `number`."""
        self._masks, self._number, self._side, self._rotation = masks, number, side, video.rotation
        self._cut = PersonCrop.of(masks, number, video)

    def __call__(self, frame: Frame) -> np.ndarray:
        """(side, side, 2) uint8 of one frame."""
        whole = upright(frame.image.reformat(format="gray", threads=1).to_ndarray(), self._rotation)
        at = int(at_or_before(self._number, np.array([frame.number]))[0])
        outline, number = self._masks[at], int(self._number[at])
        gray = crop_picture(whole, self._side, self._cut.box(frame.number, whole.shape), Image.Resampling.BILINEAR)
        person = crop_picture(outline, self._side, self._cut.box(number, outline.shape), Image.Resampling.NEAREST)
        return np.stack([gray, person], axis=-1)


class _Tokens(nn.Module):
    """The network without its heads."""

    def __init__(self, network: SilhouetteNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, clips: Tensor) -> Tensor:
        return self.network.tokens(clips)


class SilhouetteMember:
    """The project's own encoder; it has one look."""

    looks_at_masks = SilhouetteLook.needs_mask
    takes: ClassVar[tuple[str, ...]] = ()

    @staticmethod
    def open(options: EncodeOptions, device: torch.device) -> FrozenVideoEncoder:
        """Return the encoder with the weights that the options name."""
        return silhouette_encoder(options.weights, options.random, device, options.seed)


def silhouette_encoder(
    weights: str = "", random: bool = False, device: torch.device | str = "cpu", seed: int = 0
) -> FrozenVideoEncoder:
    """weights: a file of `racctl train encoder`, "" for the embedded ones.  random: no training at all.

    Raises UsageError when there are none, DataError when they do not fit."""
    look = SilhouetteLook()
    if random:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network, record = SilhouetteNet(SilhouetteConfig()), {"name": SILHOUETTE, "random": True, "seed": seed}
    else:
        path = Path(weights) if weights else embedded(SILHOUETTE)
        if path is None:
            raise UsageError(f"no weights of '{SILHOUETTE}' are embedded; use '--weights FILE' or '--random-weights'")
        loaded, _, record = load_trained(path, [SILHOUETTE])
        if not isinstance(loaded, SilhouetteNet):
            raise DataError(f"'{path}' holds another network than the silhouette encoder's")
        network = loaded
    cells = look.side
    for _ in range(5):
        cells = -(-cells // 2)
    shape = (8 * network.config.base, look.frames // 2, cells, cells)
    return FrozenVideoEncoder(SILHOUETTE, look, _Tokens(network), shape, record, device)
