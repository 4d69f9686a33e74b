"""SilhouetteNet, a small video encoder: a person cut out of grayscale video, and the mask, to tokens or classes.

The project's own network, small enough to train and to run on a CPU. Every convolution over space and time is two, one
over space and one over time, as in R(2+1)D (Tran et al., "A Closer Look at Spatiotemporal Convolutions for Action
Recognition", CVPR 2018); the picture is made small at once. It is no replacement for weights of Kinetics: it has seen
far less and holds far less.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from torch import Tensor, nn

SAMPLED = 16  # frames of a window that are looked at
INITIAL_DENSITY_BIAS = -3.0  # bias of the density before training: softplus of it is a repetition in some 20 tokens


@dataclass(frozen=True)
class SilhouetteConfig:
    """Sizes and heads of the network.

    classes: 0 for no such head.
    channels: of the input, grayscale and mask.
    base: channels of the first block; the tokens have eight times as many.
    density: a head that gives repetitions for each token.
    """

    classes: int = 0
    channels: int = 2
    base: int = 24
    density: bool = False

    def check(self) -> SilhouetteConfig:
        """Raise ValueError for invalid values; returns self."""
        if self.classes < 0 or self.channels < 1 or self.base < 8 or self.base % 8:
            raise ValueError("classes and channels are positive and base is a multiple of 8")
        return self


class SilhouetteNet(nn.Module):
    """Clips (b, channels, t, h, w) in 0..1 to class logits (b, classes); `tokens` stops before the pooling."""

    def __init__(self, config: SilhouetteConfig) -> None:
        super().__init__()
        self.config = c = config.check()
        b = c.base
        self.stem = nn.Sequential(nn.Conv2d(c.channels, b, 7, 4, 3, bias=False), nn.BatchNorm2d(b), nn.ReLU())
        self.blocks = nn.Sequential(
            SpaceTimeBlock(b, b),
            SpaceTimeBlock(b, 2 * b, stride=2),
            SpaceTimeBlock(2 * b, 2 * b),
            SpaceTimeBlock(2 * b, 4 * b, stride=2, step=2),
            SpaceTimeBlock(4 * b, 4 * b),
            SpaceTimeBlock(4 * b, 8 * b, stride=2),
            SpaceTimeBlock(8 * b, 8 * b),
        )
        if c.classes:
            self.fc = nn.Linear(8 * b, c.classes)
        if c.density:
            self.density = nn.Linear(8 * b, 1)
            nn.init.constant_(self.density.bias, INITIAL_DENSITY_BIAS)
        # The same sums, faster on a CPU; torch does not declare this form of `to`.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def tokens(self, clips: Tensor) -> Tensor:
        """Return (b, channels, t, h, w) to (b, 8 * base, t', h', w'): t' is ceil(t / 2), so 16 frames give 8.

        H' is h halved five times, rounded up each time, so 112 pixels give 4.
        """
        b = clips.shape[0]
        frames = rearrange(clips, "b c t h w -> (b t) c h w").contiguous(memory_format=torch.channels_last)
        x = rearrange(self.stem(frames), "(b t) c h w -> b c t h w", b=b)
        return self.blocks(x)

    def forward(self, clips: Tensor) -> Tensor:
        return self.classify(self.tokens(clips))

    def classify(self, tokens: Tensor) -> Tensor:
        """Return (b, classes) logits from `tokens`."""
        return self.fc(reduce(tokens, "b c t h w -> b c", "mean"))

    def repetitions(self, tokens: Tensor) -> Tensor:
        """Return (b, t') repetitions within each token's span, 0 or more."""
        return F.softplus(self.density(reduce(tokens, "b c t h w -> b t c", "mean"))).squeeze(-1)


class SpaceTimeBlock(nn.Module):
    """A 3x3 convolution over space, one of 3 over time, and a residual about both; (b, c, t, h, w) in and out.

    stride: in space.
    step: in time.
    """

    def __init__(self, into: int, out: int, stride: int = 1, step: int = 1) -> None:
        super().__init__()
        self.step = step
        self.space = nn.Sequential(nn.Conv2d(into, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU())
        self.time = nn.Sequential(nn.Conv2d(out, out, (3, 1), (step, 1), (1, 0), bias=False), nn.BatchNorm2d(out))
        plain = into == out and stride == step == 1
        self.short = (
            nn.Identity() if plain else nn.Sequential(nn.Conv2d(into, out, 1, stride, bias=False), nn.BatchNorm2d(out))
        )

    def forward(self, x: Tensor) -> Tensor:
        b = x.shape[0]
        spread = self.space(rearrange(x, "b c t h w -> (b t) c h w"))
        # one axis for both sides of the picture: a convolution in 2-D, which a CPU does much faster than one in 3-D
        moved = self.time(rearrange(spread, "(b t) c h w -> b c t (h w)", b=b))
        short = self.short(rearrange(x[:, :, :: self.step], "b c t h w -> (b t) c h w"))
        y = rearrange(moved, "b c t (h w) -> b c t h w", h=spread.shape[2])
        return (y + rearrange(short, "(b t) c h w -> b c t h w", b=b)).relu()
