"""The baselines of the Mask Cross-Attention Transformer paper (section 4.2): MLP, LSTM, TCN, Transformer, ViViT.

Each takes grayscale, mask, or both as channels of one picture. All but ViViT share the paper's frame encoder. The paper
gives what stands in the comments; the rest (hidden size of the MLP, TCN's channels and residuals, ViViT's size) is
filled in here and named.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor, nn

from racctl.models.layers import FrameTokens, SelfAttentionBlock
from racctl.models.mcat import MCAT, MCATConfig

BASELINE_INPUTS = ("both", "raw", "mask")


@dataclass(frozen=True)
class BaselineConfig:
    """Sizes of a baseline; the paper's values where it gives them.

    input: "raw", "mask", or "both" concatenated as two channels.
    """

    classes: int = 17
    input: str = "both"
    base: int = 16
    width: int = 256  # 4.2: the transformers' model dimension and the LSTM's hidden size
    heads: int = 8
    layers: int = 4  # 4.2: of TCN, Transformer; taken for ViViT
    expansion: float = 4.0
    dropout: float = 0.1
    size: int = 112  # ViViT's positions depend on it
    window: int = 16  # and on the number of frames
    tubelet: tuple[int, int] = (2, 16)  # ViViT: frames, pixels; 16x16x2 is that paper's choice (ViViT-B/16x2)

    def check(self) -> BaselineConfig:
        """Raise ValueError for invalid values; returns self."""
        if self.input not in BASELINE_INPUTS:
            raise ValueError(f"input is one of {', '.join(BASELINE_INPUTS)}")
        return self

    @property
    def channels(self) -> int:
        return 2 if self.input == "both" else 1


def baseline_input(chosen: str, gray: Tensor, mask: Tensor) -> Tensor:
    """Return the clip that a baseline sees: (b, t, c, h, w), c = 2 for "both"."""
    if chosen == "both":
        return torch.stack([gray, mask], dim=2)
    return (gray if chosen == "raw" else mask)[:, :, None]


class Baseline(nn.Module):
    """Frame tokens, then `over_time` (b, t, width) -> (b, features), then a classifier."""

    def __init__(self, config: BaselineConfig) -> None:
        super().__init__()
        self.config = config.check()
        self.classify: nn.Module = nn.Identity()  # every baseline brings its own
        self.tokens = FrameTokens(config.channels, config.base, config.width)

    def forward(self, gray: Tensor, mask: Tensor, joints: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Return logits (b, classes) of clips.

        gray, mask: (b, t, h, w) in 0..1.
        """
        return self.classify(self.over_time(self.tokens(baseline_input(self.config.input, gray, mask))))

    def over_time(self, tokens: Tensor) -> Tensor:
        raise NotImplementedError


class MLP(Baseline):
    """Mean over time, then a 2-layer MLP; its hidden size is the tokens' width."""

    def __init__(self, config: BaselineConfig) -> None:
        super().__init__(config)
        w = config.width
        hidden = nn.Sequential(nn.Linear(w, w), nn.ReLU(), nn.Dropout(config.dropout))
        self.classify = nn.Sequential(hidden, nn.Linear(w, config.classes))

    def over_time(self, tokens: Tensor) -> Tensor:
        return tokens.mean(1)


class LSTM(Baseline):
    """One bidirectional layer, hidden size 256; its outputs are averaged over time."""

    def __init__(self, config: BaselineConfig) -> None:
        super().__init__(config)
        self.lstm = nn.LSTM(config.width, config.width, batch_first=True, bidirectional=True)
        self.classify = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(2 * config.width, config.classes))

    def over_time(self, tokens: Tensor) -> Tensor:
        return self.lstm(tokens)[0].mean(1)


class TCN(Baseline):
    """Four convolutions over time, kernel 3, dilations 1, 2, 4, 8, each with a residual; averaged over time."""

    def __init__(self, config: BaselineConfig) -> None:
        super().__init__(config)
        self.layers = nn.ModuleList(self._layer(config, 2**k) for k in range(config.layers))
        self.classify = nn.Linear(config.width, config.classes)

    @staticmethod
    def _layer(config: BaselineConfig, dilation: int) -> nn.Module:
        w = config.width
        convolution = nn.Conv1d(w, w, 3, padding=dilation, dilation=dilation)
        return nn.Sequential(convolution, nn.BatchNorm1d(w), nn.ReLU(), nn.Dropout(config.dropout))

    def over_time(self, tokens: Tensor) -> Tensor:
        sequence = rearrange(tokens, "b t d -> b d t")
        for layer in self.layers:
            sequence = sequence + layer(sequence)
        return sequence.mean(2)


def transformer(config: BaselineConfig) -> MCAT:
    """Return the standard temporal transformer: the Mask Cross-Attention Transformer without its cross-attention.

    The paper's Table 3 agrees: its rows "none" and "channel concatenation" are Table 2's Transformer RAW and BOTH.
    """
    c = config.check()
    fusion = "concat" if c.input == "both" else "none"
    return MCAT(MCATConfig(c.classes, c.input, fusion, c.base, c.width, c.heads, c.layers, c.expansion, c.dropout))


class ViViTConfig(BaselineConfig):
    """Sizes of ViViT, whose tubelets have to fill the clip."""

    def check(self) -> ViViTConfig:
        super().check()
        frames, side = self.tubelet
        if self.window % frames or self.size % side:
            raise ValueError(
                f"tubelets of {frames}x{side}x{side} do not fill {self.window} frames of {self.size} pixels"
            )
        return self


class ViViT(nn.Module):
    """Tubelets of the clip as tokens of one transformer (ViViT, model 1).

    Attention is over space and time together, positions are learned, and the mean of the tokens is the clip's feature.
    """

    def __init__(self, config: BaselineConfig) -> None:
        super().__init__()
        self.config = c = config.check()
        frames, side = c.tubelet
        self.embed = nn.Conv3d(c.channels, c.width, (frames, side, side), (frames, side, side))
        self.position = nn.Parameter(torch.randn(c.window // frames * (c.size // side) ** 2, c.width) * 0.02)
        self.blocks = nn.Sequential(
            *(SelfAttentionBlock(c.width, c.heads, c.expansion, c.dropout) for _ in range(c.layers))
        )
        self.norm, self.classify = nn.LayerNorm(c.width), nn.Linear(c.width, c.classes)

    def forward(self, gray: Tensor, mask: Tensor, joints: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Return logits (b, classes) of clips.

        gray, mask: (b, t, h, w) in 0..1 of the config's window and size.
        """
        clip = rearrange(baseline_input(self.config.input, gray, mask), "b t c h w -> b c t h w")
        tokens = rearrange(self.embed(clip), "b d t h w -> b (t h w) d") + self.position
        return self.classify(self.norm(self.blocks(tokens)).mean(1))
