"""TransRAC: repetitions from how alike the moments of a clip are, at several scales; with the parts of HTRM-Net.

Hu et al., "TransRAC: Encoding Multi-scale Temporal Correlation with Transformers for Repetitive Action Counting", CVPR
2022. The switches `similarity`, `matrix_drop`, `neighbours` and `scale_fusion` are after HTRM-Net ("A Hybrid Temporal
Relationship Modeling Network for Repetitive Action Counting", IEEE TMM 2025), whose inner sizes are not public, so that
this is not HTRM-Net. Letters: T bins in time, S scales, C channels, h heads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from einops import rearrange, reduce
from torch import Tensor, nn

from racctl.models.d2stx import BranchDensities, grouped, pooled
from racctl.models.layers import sinusoidal

SIMILARITIES = ("self", "joint")
SCALE_FUSIONS = ("concat", "gate")
COMPAT = ("paper", "release")
ONE_STREAM = ("video", "pose")
EARLY = 2  # moments: the authors pad for the third scale the clip that they padded for the second


@dataclass(frozen=True)
class TransRACConfig:
    """The paper's values.

    branches: whether it looks at the tokens of the "video" or of the "pose", whose joints are its places then.
    video, pose: channels of the tokens.  joints: of the pose.  parts, grid: see `racctl.models.d2stx.D2STXConfig`.
    bins: moments that a clip is seen in.
    scales: bins that a window spans; the windows' features are tokens averaged over them.
    stacked: whether there is a token for each bin that holds the scales already, one after the other in its channels,
        of which `video` counts all: the features of `racctl encode --moments`.
    similarity: "self", attention weights; or "joint", the dual-softmax weights of further queries and keys beside them.
    matrix_drop: share of the similarity matrices that are dropped in training, whole.
    neighbours: moments of the features that are added to the rows of the matrices, 0 for none.
    scale_fusion: of the matrices, "concat", or "gate", their sum with weights that they settle.
    compat: "release" for what the authors' code does: the score divided by the root of 64 whatever the heads' width, a
        layer that is never used, and windows of the third scale that begin `EARLY` too early.
    """

    branches: str = "video"
    video: int = 768  # Swin-T
    pose: int = 256  # CTR-GCN
    joints: int = 25
    parts: str = ""
    grid: int = 0
    bins: int = 64
    scales: tuple[int, ...] = (1, 4, 8)
    stacked: bool = False
    width: int = 512
    heads: int = 4
    matrices: int = 32
    dropout: float = 0.25
    similarity: str = "self"
    matrix_drop: float = 0.0
    neighbours: int = 0
    scale_fusion: str = "concat"
    compat: str = "paper"

    def check(self) -> TransRACConfig:
        """Raise ValueError for invalid values; returns self."""
        for name, known in (
            ("branches", ONE_STREAM),
            ("similarity", SIMILARITIES),
            ("scale_fusion", SCALE_FUSIONS),
            ("compat", COMPAT),
        ):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is one of {', '.join(known)}")
        if self.width % 2 or self.width % self.heads or not self.scales or min(self.scales) < 1 or self.bins < 4:
            raise ValueError("width is a multiple of 2 and of heads, and there are scales and bins")
        if self.stacked and (self.branches == "pose" or self.video % len(self.scales)):
            raise ValueError("stacked scales are of the video, whose channels are a multiple of them")
        if not 0 <= self.matrix_drop < 1 or self.neighbours < 0 or (self.neighbours and not self.neighbours % 2):
            raise ValueError("matrix_drop is a share, and neighbours an odd number or 0")
        return self

    @property
    def channels(self) -> int:
        """Of what a convolution sees at one scale."""
        if self.branches == "pose":
            return self.pose
        return self.video // len(self.scales) if self.stacked else self.video


# The size that is trained on the tokens of racctl's own encoders.
SMALL_TRANSRAC = TransRACConfig(video=288, pose=128, parts="d2stx25", grid=2, width=96, matrices=16)


class TransRAC(nn.Module):
    """Tokens of a clip to densities."""

    def __init__(self, config: TransRACConfig) -> None:
        super().__init__()
        self.config = c = config.check()
        self.frames = MomentFeatures(c.channels, c.width)
        self.correlation = Correlation(c)
        self.head = MomentHead(c.width, c.dropout)

    def forward(
        self, video: Tensor | None = None, pose: Tensor | None = None, valid: Tensor | None = None, **_unused: object
    ) -> BranchDensities:
        """Return the density of clips, times `racctl.models.d2stx.SCALE`.

        video: (b, T, C, H, W).  pose: (b, T, C, J).  valid: (b, T), False after a clip's end. Exemplars have no say.
        """
        tokens = stream_of(self.config, video, pose)
        if self.config.stacked:
            return BranchDensities(video=self.density(self.unstacked(tokens)))
        spread = bins_of(tokens, valid, self.config.bins)
        binned = torch.einsum("bkt,btchw->bkchw", spread, tokens)
        third = EARLY if self.config.compat == "release" else 0
        scales = [
            windowed(binned, scale, third if place > 1 else 0) for place, scale in enumerate(self.config.scales)
        ]
        density = self.density(scales)
        return as_branch(self.config.branches, torch.einsum("bkt,bk->bt", spread, density))

    def unstacked(self, tokens: Tensor) -> list[Tensor]:
        """Return the tokens (b, bins, C, H, W) of each scale; ValueError for others than one for each bin."""
        if tokens.shape[1] != self.config.bins:
            raise ValueError(f"this model looks at {self.config.bins} moments, not at {tokens.shape[1]}")
        return list(tokens.chunk(len(self.config.scales), 2))

    def density(self, scales: list[Tensor]) -> Tensor:
        """Return (b, bins) of features at every scale, (b, bins, C, H, W) each."""
        features = [self.frames(scale) for scale in scales]
        return self.head(self.correlation(features))


def stream_of(config: Any, video: Tensor | None, pose: Tensor | None) -> Tensor:
    """Return the tokens that a model of one stream looks at, (b, T, C, H, W); ValueError without them.

    config: with `branches`, `grid` and `parts`.
    """
    if config.branches == "video" and video is not None:
        return pooled(video, config.grid)
    if config.branches == "pose" and pose is not None:
        return rearrange(grouped(pose, config.parts), "b t c j -> b t c j 1")
    raise ValueError(f"this model looks at {config.branches}; it was not given it")


def as_branch(branch: str, density: Tensor) -> BranchDensities:
    """Return what a model of one stream says."""
    return BranchDensities(video=density) if branch == "video" else BranchDensities(pose=density)


def bins_of(tokens: Tensor, valid: Tensor | None, bins: int) -> Tensor:
    """Return (b, bins, T), rows that sum to 1: how much of a bin each token (b, T, ...) fills.

    The bins share the valid tokens (b, T) evenly. What a bin counts is spread over its tokens by the same shares.
    """
    b, t = tokens.shape[:2]
    lengths = torch.full((b,), t, device=tokens.device) if valid is None else valid.sum(1).clamp(min=1)
    edges = torch.linspace(0, 1, bins + 1, device=tokens.device)[None] * lengths[:, None]
    begin = torch.arange(t, device=tokens.device)
    low = torch.maximum(edges[:, :-1, None], begin)
    high = torch.minimum(edges[:, 1:, None], begin + 1)
    shares = (high - low).clamp(min=0)
    return (shares / shares.sum(2, keepdim=True)).to(tokens.dtype)


def windowed(binned: Tensor, scale: int, early: int = 0) -> Tensor:
    """Return (b, T, C, H, W), each the mean of `scale` moments about its own, or `early` before, 0 beyond the ends."""
    if scale == 1:
        return binned
    b, _, _, h, _ = binned.shape
    lines = rearrange(binned, "b t c h w -> b (c h w) t")
    padded = nn.functional.pad(lines, ((scale - 1) // 2 + early, scale // 2 - early))
    return rearrange(
        nn.functional.avg_pool1d(padded, scale, 1), "b (c h w) t -> b t c h w", b=b, h=h, c=binned.shape[2]
    )


class MomentFeatures(nn.Module):
    """Tokens (b, T, C, H, W) to features (b, T, width): a convolution that looks three moments to either side."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.convolution = nn.Conv3d(channels, width, 3, padding=(3, 1, 1), dilation=(3, 1, 1))
        self.norm = nn.BatchNorm3d(width)

    def forward(self, tokens: Tensor) -> Tensor:
        """The features are the largest over all places."""
        maps = self.norm(self.convolution(rearrange(tokens, "b t c h w -> b c t h w"))).relu()
        return reduce(maps, "b c t h w -> b t c", "max")


class Similarity(nn.Module):
    """Features (b, T, width) to h matrices (b, h, T, T) of how alike two moments are, rows that sum to 1.

    dual: the softmax over the rows times that over the columns instead (HTRM-Net).
    compat: see `TransRACConfig`.
    """

    def __init__(self, width: int, heads: int, compat: str = "paper", dual: bool = False) -> None:
        super().__init__()
        self.heads, self.dual = heads, dual
        self.per_head = 64 if compat == "release" else width // heads
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        if compat == "release":
            self.value = nn.Linear(width, width)  # of the authors' checkpoints; nothing uses it

    def forward(self, features: Tensor) -> Tensor:
        q, k = (rearrange(f(features), "b t (h d) -> b h t d", h=self.heads) for f in (self.query, self.key))
        scores = q @ k.transpose(-1, -2) / self.per_head**0.5
        return scores.softmax(-1) * scores.softmax(-2) if self.dual else scores.softmax(-1)


class Correlation(nn.Module):
    """Features at several scales (b, T, width) to what each moment's likeness to the others tells, (b, T, width)."""

    def __init__(self, c: TransRACConfig) -> None:
        super().__init__()
        kinds = (False,) if c.similarity == "self" else (False, True)
        self.similarities = nn.ModuleList(Similarity(c.width, c.heads, c.compat, dual) for dual in kinds)
        per_scale = c.heads * len(kinds)
        channels = per_scale * (len(c.scales) if c.scale_fusion == "concat" else 1)
        self.gate = nn.Linear(per_scale, 1) if c.scale_fusion == "gate" else None
        self.matrix_drop = nn.Dropout2d(c.matrix_drop)
        self.convolution, self.norm = nn.Conv2d(channels, c.matrices, 3, padding=1), nn.BatchNorm2d(c.matrices)
        self.dropout = nn.Dropout(c.dropout)
        self.rows = nn.Sequential(nn.Linear(c.matrices * c.bins, c.width), nn.ReLU(), nn.LayerNorm(c.width))
        self.context = (
            nn.Conv1d(c.width, c.width, c.neighbours, padding="same", groups=c.width) if c.neighbours else None
        )
        self.later = Later(c.width, c.width)

    def forward(self, features: list[Tensor]) -> Tensor:
        each = [torch.cat([similarity(scale) for similarity in self.similarities], 1).relu() for scale in features]
        matrices = self.matrix_drop(
            torch.cat(each, 1) if self.gate is None else self.mixed(torch.stack(each), self.gate)
        )
        maps = self.dropout(self.norm(self.convolution(matrices)).relu())
        rows = self.rows(rearrange(maps, "b m t s -> b t (m s)"))
        if self.context is not None:
            rows = rows + rearrange(self.context(rearrange(sum(features), "b t c -> b c t")), "b c t -> b t c")
        return self.later(rows)

    @staticmethod
    def mixed(matrices: Tensor, gate: nn.Linear) -> Tensor:
        """Return (b, h, T, T): the matrices of the scales (S, b, h, T, T), each with the weight that it settles."""
        strength = reduce(matrices, "s b h t u -> s b h t", "max").mean(-1)
        return (gate(strength).softmax(0)[..., None, None] * matrices).sum(0)


class Later(nn.Module):
    """One post-norm transformer layer over time, (b, T, width), with positions."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.1)
        layer = nn.TransformerEncoderLayer(width, 4, hidden, 0.2, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 1, nn.LayerNorm(width), enable_nested_tensor=False)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.layers(self.dropout(tokens + sinusoidal(tokens.shape[1], tokens.shape[2], tokens)))


class MomentHead(nn.Sequential):
    """(b, T, width) to (b, T): three layers; the density may be below zero."""

    def __init__(self, width: int, dropout: float, ends_in_relu: bool = False) -> None:
        super().__init__(
            nn.Linear(width, width),
            nn.LayerNorm(width),
            nn.Dropout(dropout),
            nn.ReLU(),
            nn.Linear(width, width // 2),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(width // 2, 1),
            *([nn.ReLU()] if ends_in_relu else []),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        return super().forward(tokens).squeeze(-1)
