"""What the recognisers share: the frame encoder, the pre-norm attention block, the sinusoidal positions."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn


class FrameEncoder(nn.Sequential):
    """Pictures (n, c, h, w) to features (n, 4 * base).

    Eq. 1-4 of the Mask Cross-Attention Transformer paper.

    Three 3x3 convolutions with batch normalisation and ReLU, channels in -> 16 -> 32 -> 64; the first two halve the
    picture, the third is averaged over it.
    """

    def __init__(self, channels: int = 1, base: int = 16) -> None:
        def block(into: int, out: int, pool: nn.Module) -> list[nn.Module]:
            return [nn.Conv2d(into, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU(inplace=True), pool]

        super().__init__(
            *block(channels, base, nn.MaxPool2d(2)),
            *block(base, 2 * base, nn.MaxPool2d(2)),
            *block(2 * base, 4 * base, nn.AdaptiveAvgPool2d(1)),
            nn.Flatten(),
        )
        # The same sums, a third faster on a CPU; torch does not declare this form of `to`.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.features = 4 * base


class FrameTokens(nn.Module):
    """Clips (b, t, c, h, w) to one token per frame (b, t, width): the frame encoder, then W_proj (section 3.3)."""

    def __init__(self, channels: int, base: int, width: int) -> None:
        super().__init__()
        self.encoder = FrameEncoder(channels, base)
        self.project = nn.Linear(self.encoder.features, width)

    def forward(self, clips: Tensor) -> Tensor:
        b = clips.shape[0]
        features = self.encoder(rearrange(clips, "b t c h w -> (b t) c h w"))
        return self.project(rearrange(features, "(b t) f -> b t f", b=b))


class Attention(nn.Module):
    """Multi-head attention of queries (b, t, d) over keys and values (b, s, d), Eq. 5-7.

    Dropout on the attention weights.

    With `self.keep` set, the weights of the last call are kept in `self.weights`, (b, heads, t, s).
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads, self.dropout, self.keep = heads, dropout, False
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)
        self.weights: Tensor | None = None

    def forward(
        self, queries: Tensor, keys: Tensor, values: Tensor | None = None, bias: Tensor | None = None
    ) -> Tensor:
        """Return (b, t, d): the values mixed for each query.

        values: the keys where they are None.
        bias: added to the scores, broadcast to (b, heads, t, s).
        """
        q, k, v = self.projected(queries, keys, keys if values is None else values)
        if self.keep:
            self.weights = self.attended(q, k, bias)
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, dropout_p=dropout)
        return self.out(rearrange(mixed, "b h t d -> b t (h d)"))

    def with_weights(self, queries: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return the output, and the weights averaged over the heads, (b, t, s)."""
        q, k, v = self.projected(queries, keys, values)
        weights = self.attended(q, k)
        return self.out(rearrange(weights @ v, "b h t d -> b t (h d)")), weights.mean(1)

    def projected(self, *inputs: Tensor) -> list[Tensor]:
        """Project queries, keys and values by head, each (b, heads, tokens, d / heads)."""
        layers = (self.query, self.key, self.value)
        return [
            rearrange(layer(x), "b t (h d) -> b h t d", h=self.heads) for layer, x in zip(layers, inputs, strict=True)
        ]

    @staticmethod
    def attended(q: Tensor, k: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return (b, heads, t, s) softmax of the scaled scores."""
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        return (scores if bias is None else scores + bias).softmax(-1)


class FeedForward(nn.Sequential):
    """Two linear layers with GELU between, hidden size `expansion` times the width; dropout on the output."""

    def __init__(self, width: int, expansion: float, dropout: float) -> None:
        hidden = int(width * expansion)
        super().__init__(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width), nn.Dropout(dropout))


class SelfAttentionBlock(nn.Module):
    """Pre-norm self-attention and feed-forward, each with its residual (section 3.5)."""

    def __init__(self, width: int, heads: int, expansion: float, dropout: float) -> None:
        super().__init__()
        self.norm, self.attention = nn.LayerNorm(width), Attention(width, heads, dropout)
        self.feed = nn.Sequential(nn.LayerNorm(width), FeedForward(width, expansion, dropout))

    def forward(self, tokens: Tensor) -> Tensor:
        normed = self.norm(tokens)
        tokens = tokens + self.attention(normed, normed)
        return tokens + self.feed(tokens)


class CrossBlock(nn.Module):
    """Queries (b, t, d) conditioned on another stream (b, s, d), section 3.4.

    Z + Attn + MLP(LN(Z + Attn)), where Z is not normalised and only the attention's inputs are.
    """

    def __init__(self, width: int, heads: int, expansion: float, dropout: float) -> None:
        super().__init__()
        self.norm_queries, self.norm_keys = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads, dropout)
        self.feed = nn.Sequential(nn.LayerNorm(width), FeedForward(width, expansion, dropout))

    def forward(self, queries: Tensor, keys: Tensor) -> Tensor:
        fused = queries + self.attention(self.norm_queries(queries), self.norm_keys(keys))
        return fused + self.feed(fused)


def sinusoidal(length: int, width: int, like: Tensor) -> Tensor:
    """Return (length, width) positions.

    Sine in the even, cosine in the odd places (Eq. 9), on `like`'s device and dtype.
    """
    place = torch.arange(length, dtype=torch.float32, device=like.device)[:, None]
    rate = torch.exp(-math.log(10000.0) * torch.arange(0, width, 2, dtype=torch.float32, device=like.device) / width)
    angle = place * rate
    return torch.stack([angle.sin(), angle.cos()], dim=-1).reshape(length, width).to(like.dtype)
