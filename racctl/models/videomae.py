"""The encoder of a masked autoencoder of video, as a plain vision transformer over tubelets: all of them are seen.

Feichtenhofer, Fan, Li, He, "Masked Autoencoders As Spatiotemporal Learners" (NeurIPS 2022). The names of the layers are
those of PySlowFast's and the authors' checkpoints: queries, keys and values apart, positions in space and in time
learned apart, a class token (which is left out of the result).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, nn

EPSILON = 1e-6  # of the layer normalisations


@dataclass(frozen=True)
class VideoMAEConfig:
    """The defaults are ViT-B, 16 frames."""

    frames: int = 16
    side: int = 224  # pixels
    tubelet: tuple[int, int] = (2, 16)  # frames, pixels
    width: int = 768
    layers: int = 12
    heads: int = 12
    expansion: int = 4

    @property
    def grid(self) -> tuple[int, int]:
        """Tubelets in time, and along each side of the picture."""
        return self.frames // self.tubelet[0], self.side // self.tubelet[1]


class Tubelets(nn.Module):
    """Clips (b, 3, t, h, w) to tokens (b, t' h' w', width), time the slowest."""

    def __init__(self, config: VideoMAEConfig) -> None:
        super().__init__()
        frames, side = config.tubelet
        self.proj = nn.Conv3d(3, config.width, (frames, side, side), (frames, side, side))

    def forward(self, clips: Tensor) -> Tensor:
        return rearrange(self.proj(clips), "b d t h w -> b (t h w) d")


class SelfAttention(nn.Module):
    """Multi-head self-attention of (b, n, width)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.proj = (nn.Linear(width, width) for _ in range(4))

    def forward(self, tokens: Tensor) -> Tensor:
        q, k, v = (rearrange(layer(tokens), "b n (h d) -> b h n d", h=self.heads) for layer in (self.q, self.k, self.v))
        return self.proj(rearrange(F.scaled_dot_product_attention(q, k, v), "b h n d -> b n (h d)"))


class VideoMAEFeedForward(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(tokens)))


class VideoMAEBlock(nn.Module):
    """Pre-norm self-attention and MLP, each with its residual."""

    def __init__(self, config: VideoMAEConfig) -> None:
        super().__init__()
        width = config.width
        self.norm1, self.attn = nn.LayerNorm(width, eps=EPSILON), SelfAttention(width, config.heads)
        self.norm2, self.mlp = nn.LayerNorm(width, eps=EPSILON), VideoMAEFeedForward(width, config.expansion * width)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.attn(self.norm1(tokens))
        return tokens + self.mlp(self.norm2(tokens))


class VideoMAE(nn.Module):
    """Clips (b, 3, frames, side, side) of the config's size to features (b, width, t', h', w'), layer-normalised."""

    def __init__(self, config: VideoMAEConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or VideoMAEConfig()
        steps, cells = c.grid
        self.patch_embed = Tubelets(c)
        self.cls_token, self.pos_embed_class = (nn.Parameter(torch.zeros(1, 1, c.width)) for _ in range(2))
        self.pos_embed_spatial = nn.Parameter(torch.zeros(1, cells * cells, c.width))
        self.pos_embed_temporal = nn.Parameter(torch.zeros(1, steps, c.width))
        self.blocks = nn.Sequential(*(VideoMAEBlock(c) for _ in range(c.layers)))
        self.norm = nn.LayerNorm(c.width, eps=EPSILON)
        for learned in (self.cls_token, self.pos_embed_class, self.pos_embed_spatial, self.pos_embed_temporal):
            nn.init.trunc_normal_(learned, std=0.02)

    def forward(self, clips: Tensor) -> Tensor:
        steps, cells = self.config.grid
        in_time = repeat(self.pos_embed_temporal, "1 t d -> 1 (t n) d", n=cells * cells)
        tokens = self.patch_embed(clips) + in_time + self.pos_embed_spatial.repeat(1, steps, 1)
        first = repeat(self.cls_token + self.pos_embed_class, "1 1 d -> b 1 d", b=len(clips))
        tokens = self.norm(self.blocks(torch.cat([first, tokens], dim=1)))
        return rearrange(tokens[:, 1:], "b (t h w) d -> b d t h w", t=steps, h=cells)
