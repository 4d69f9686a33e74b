"""SkimFocusNet: a clip is skimmed for the moments that matter, and counted in blocks with these in mind.

Zhao et al., "Skim then Focus: Integrating Contextual and Fine-grained Views for Repetitive Action Counting", IJCV 133
(2025). Tokens take the place of the frames and of the first stage of the encoder that the published system skims.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from einops import rearrange, repeat
from torch import Tensor, nn

from racctl.models.d2stx import BranchDensities
from racctl.models.transrac import (
    COMPAT,
    ONE_STREAM,
    Correlation,
    Later,
    MomentFeatures,
    MomentHead,
    TransRACConfig,
    as_branch,
    stream_of,
)


@dataclass(frozen=True)
class SkimFocusConfig:
    """The paper's values.

    branches, video, pose, joints, parts, grid: see `racctl.models.transrac.TransRACConfig`.
    skimmed: channels of what is skimmed, 0 for the tokens themselves; 192 for the first stage of Swin-T.
    skim_width: of the skim branch.
    context: moments that are skimmed.  chosen: of them, by score.
    block: moments that are counted together.
    layers, expansion: of the long and short attention, and how many times as wide its feed-forward layer is.
    compat: "release" for what the authors' code does: the chosen moments in the order of their scores, a short clip's
        context repeated from its start, and TransRAC's.
    """

    branches: str = "video"
    video: int = 768
    pose: int = 256
    joints: int = 25
    parts: str = ""
    grid: int = 0
    skimmed: int = 0
    skim_width: int = 128
    context: int = 256
    chosen: int = 32
    block: int = 64
    width: int = 512
    heads: int = 4
    matrices: int = 32
    layers: int = 3
    expansion: int = 8
    dropout: float = 0.25
    compat: str = "paper"

    def check(self) -> SkimFocusConfig:
        """Raise ValueError for invalid values; returns self."""
        if self.branches not in ONE_STREAM or self.compat not in COMPAT:
            raise ValueError(f"branches is one of {', '.join(ONE_STREAM)}, compat of {', '.join(COMPAT)}")
        if self.width % 8 or self.skim_width % 4 or min(self.context, self.chosen, self.block, self.layers) < 1:
            raise ValueError("width is a multiple of 8, skim_width of 4, and there are moments and layers")
        self.of_focus.check()
        return self

    @property
    def channels(self) -> int:
        return self.video if self.branches == "video" else self.pose

    @property
    def of_focus(self) -> TransRACConfig:
        """What is taken over from TransRAC, at one scale."""
        return TransRACConfig(
            bins=self.block,
            scales=(4,),
            width=self.width,
            heads=self.heads,
            matrices=self.matrices,
            dropout=self.dropout,
            compat=self.compat,
        )


# The size that is trained on the tokens of racctl's own encoders.
SMALL_SKIMFOCUS = SkimFocusConfig(
    video=288, pose=128, parts="d2stx25", grid=2, skim_width=32, width=64, matrices=16, layers=2, expansion=4
)


class SkimFocus(nn.Module):
    """Tokens of a clip to densities."""

    def __init__(self, config: SkimFocusConfig) -> None:
        super().__init__()
        self.config = c = config.check()
        self.skim = Skim(c.skimmed or c.channels, c.skim_width, c.dropout)
        self.frames = MomentFeatures(c.channels, c.width)
        self.gate = Gate(2 * c.width, c.width, c.dropout)
        self.mixing = LongShort(2 * c.width, c.width, c.layers, c.expansion)
        self.correlation = Correlation(c.of_focus)
        self.head = MomentHead(c.width, c.dropout)

    def forward(
        self,
        video: Tensor | None = None,
        pose: Tensor | None = None,
        valid: Tensor | None = None,
        context: Tensor | None = None,
        **_unused: object,
    ) -> BranchDensities:
        """Return the density of clips, times `racctl.models.d2stx.SCALE`, and `skimmed`, how much each moment matters.

        video: (b, T, C, H, W), below which in the channels those to skim may stand.  pose: (b, T, C, J).  valid: (b,
        T), False after a clip's end.  context: (b, T, C', H', W'), what is skimmed, where it is None the channels to
        skim, or the tokens. Exemplars have no say.
        """
        tokens = stream_of(self.config, video, pose)
        if context is None and tokens.shape[2] > self.config.channels:
            tokens, context = tokens.split([self.config.channels, self.config.skimmed], 2)
        valid = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device) if valid is None else valid
        tokens = held(tokens, valid)
        scores = self.skim((tokens if context is None else context)[:, : self.config.context])
        important = self.important(tokens, scores, valid)
        density = self.focus(tokens, important)
        skimmed = nn.functional.pad(scores, (0, tokens.shape[1] - scores.shape[1]))
        return replace(as_branch(self.config.branches, density), skimmed=skimmed)

    def important(self, tokens: Tensor, scores: Tensor, valid: Tensor) -> Tensor:
        """Return (b, width): the largest features of the moments with the best scores."""
        c = self.config
        ranked = scores.masked_fill(~valid[:, : c.context], -torch.inf)
        rows = ranked.topk(min(c.chosen, ranked.shape[1]), 1).indices
        if c.compat != "release":
            rows = rows.sort(1).values
        chosen = tokens[torch.arange(len(tokens), device=tokens.device)[:, None], rows]
        return self.frames(chosen).amax(1)

    def focus(self, tokens: Tensor, important: Tensor) -> Tensor:
        """Return the density (b, T) of tokens that are counted block by block."""
        (b, t), block = tokens.shape[:2], self.config.block
        beyond = tokens[:, -1:].expand(-1, -t % block, -1, -1, -1)
        blocks = rearrange(torch.cat([tokens, beyond], 1), "b (n k) c h w -> (b n) k c h w", k=block)
        count = len(blocks) // b
        features = self.frames(blocks)
        whole = repeat(important, "b c -> (b n) k c", n=count, k=block)
        features = self.mixing(self.gate(torch.cat([features, whole], -1)))
        return rearrange(self.head(self.correlation([features])), "(b n) k -> b (n k)", b=b)[:, :t]


def held(tokens: Tensor, valid: Tensor) -> Tensor:
    """Return tokens (b, T, ...) whose last valid one is repeated to the end."""
    rows = torch.arange(tokens.shape[1], device=tokens.device)[None].minimum(
        valid.sum(1, keepdim=True).clamp(min=1) - 1
    )
    return tokens[torch.arange(len(tokens), device=tokens.device)[:, None], rows]


class Skim(nn.Module):
    """Tokens (b, T, C, H, W) to how much each moment matters, (b, T), 0 or more."""

    def __init__(self, channels: int, width: int, dropout: float) -> None:
        super().__init__()
        self.frames = MomentFeatures(channels, width)
        self.later = Later(width, width)
        self.head = MomentHead(width, dropout, ends_in_relu=True)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.later(self.frames(tokens)))


class Gate(nn.Module):
    """Features (b, T, C) that settle how much more each of their own channels has to say."""

    def __init__(self, channels: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(channels, hidden),
            nn.LayerNorm(hidden),
            nn.Dropout(dropout),
            nn.ReLU(),
            nn.Linear(hidden, channels),
            nn.Sigmoid(),
        )

    def forward(self, features: Tensor) -> Tensor:
        return features + features * self.layers(features)


class LongShort(nn.Module):
    """Features (b, T, C) to (b, T, width): attention over all moments, and convolutions over neighbours.

    Dai et al., "MS-TCT: Multi-Scale Temporal ConvTransformer for Action Detection", CVPR 2022.
    """

    def __init__(self, channels: int, width: int, layers: int, expansion: int) -> None:
        super().__init__()
        self.begin, self.norm_begin = nn.Conv1d(channels, width, 3, padding=1), nn.LayerNorm(width)
        self.blocks = nn.ModuleList(LongShortBlock(width, expansion) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, features: Tensor) -> Tensor:
        x = self.norm_begin(rearrange(self.begin(rearrange(features, "b t c -> b c t")), "b c t -> b t c"))
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class LongShortBlock(nn.Module):
    """Attention, then a feed-forward layer with a convolution over time inside; each about a residual."""

    def __init__(self, width: int, expansion: int) -> None:
        super().__init__()
        self.norm, self.attention = nn.LayerNorm(width), nn.MultiheadAttention(width, 8, batch_first=True)
        self.norm_feed, self.wide = nn.LayerNorm(width), nn.Linear(width, expansion * width)
        self.neighbours = nn.Conv1d(expansion * width, expansion * width, 3, padding=1, groups=expansion * width)
        self.narrow = nn.Linear(expansion * width, width)

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm(x)
        x = x + self.attention(normed, normed, normed, need_weights=False)[0]
        wide = rearrange(self.wide(self.norm_feed(x)), "b t c -> b c t")
        return x + self.narrow(nn.functional.gelu(rearrange(self.neighbours(wide), "b c t -> b t c")))
