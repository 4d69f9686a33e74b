"""The decoder of one branch: tokens of a clip, and of exemplars, to a density over time and to features for fusion.

ESCounts (Sinha et al., "Every Shot Counts: Using Exemplars for Repetition Counting in Videos", ACCV 2024), which D2-STX
takes over for both of its branches. Letters: T tokens in time, P places (H W of the picture, or joints), C channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import torch
from einops import rearrange, repeat
from torch import Tensor, nn

from racctl.models.fusion import padding, place_code
from racctl.models.layers import Attention, FeedForward, sinusoidal


@dataclass(frozen=True)
class BranchConfig:
    """ESCounts' values.

    channels: of the tokens that come in.
    places: how many have a learnt code, the joints of a pose; 0 for a picture of any size, whose rows and columns are
        coded.
    release: what the authors' code does where it departs from the figures, for its checkpoints: no residuals about the
        windowed blocks, relative positions of a shrunk window read as if it were whole, padding that is attended to,
        and joints whose codes are stretched over the whole clip (`stretched`).
    """

    channels: int = 768
    places: int = 0
    width: int = 512
    heads: int = 8
    layers: int = 2  # of cross-attention to the exemplars
    window_layers: int = 3
    window: tuple[int, int, int] = (4, 7, 7)  # tokens in time, rows, columns
    expansion: float = 4.0
    shot_tokens: int = 1568  # that stand for an exemplar where there is none
    dropout: float = 0.0
    release: bool = False
    stretched: bool = False


class Branch(nn.Module):
    """Tokens (b, T, H, W, C) to a density (b, T) and to features (b, T, H, W, width)."""

    def __init__(self, config: BranchConfig) -> None:
        super().__init__()
        self.config = c = config
        self.embed = nn.Linear(c.channels, c.width)
        self.place = nn.Parameter(0.02 * torch.randn(c.places, c.width)) if c.places else None
        self.shot = nn.Parameter(0.02 * torch.randn(c.shot_tokens, c.width))
        self.blocks = nn.ModuleList(ExemplarBlock(c) for _ in range(c.layers))
        self.norm = nn.LayerNorm(c.width)
        half = (c.window[0] // 2, c.window[1] // 2, c.window[2] // 2)
        shifts = [half if k % 2 else (0, 0, 0) for k in range(c.window_layers)]
        self.windows = nn.ModuleList(WindowBlock(c, shift) for shift in shifts)
        self.map = nn.Linear(c.width, 1)
        self.apply(_init_weights)

    def forward(
        self, tokens: Tensor, exemplars: list[Tensor] | None = None, valid: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the density (b, T) and the features (b, T, H, W, width).

        exemplars: tokens of each shot, (b, n, C); none or None: the learnt stand-in.  valid: (b, T), False where a
            clip has ended; None for no padding.
        """
        t, h, w = tokens.shape[1:4]
        x = self.embed(tokens) + self.positions(t, h, w, tokens)
        x = rearrange(x, "b t h w c -> b (t h w) c")
        shots = [self.embed(shot) for shot in exemplars or []] or [repeat(self.shot, "n c -> b n c", b=len(x))]
        bias = None if valid is None else padding(valid.repeat_interleave(h * w, 1))
        for block in self.blocks:
            x = block(x, shots, bias)
        x = rearrange(self.norm(x), "b (t h w) c -> b t h w c", t=t, h=h)
        for block in self.windows:
            x = block(x, valid)
        return self.map(x).squeeze(-1).mean((2, 3)), x

    def positions(self, t: int, h: int, w: int, like: Tensor) -> Tensor:
        """Return the (T, H, W, width) code of times and places.

        Time has sine and cosine, a joint a learnt code, a place of the picture a fixed one.
        """
        width = self.config.width
        time = sinusoidal(t, width, like)[:, None, None]
        if self.config.stretched and self.place is not None:
            long = nn.functional.interpolate(self.place.T[None], t * h * w, mode="linear")[0].T
            return time + rearrange(long, "(t h w) c -> t h w c", t=t, h=h)
        place = place_code(h, w, width, like) if self.place is None else self.place
        return time + rearrange(place, "(h w) c -> h w c", h=h)


class ExemplarBlock(nn.Module):
    """Self-attention over the clip, cross-attention to the exemplars, and a feed-forward layer.

    Cross-attention goes to each exemplar and is averaged over them. Each part is about a residual.

    The exemplars are not normalised, as in ESCounts.
    """

    def __init__(self, c: BranchConfig) -> None:
        super().__init__()
        self.norm_self, self.itself = nn.LayerNorm(c.width), Attention(c.width, c.heads, c.dropout)
        self.norm_cross, self.cross = nn.LayerNorm(c.width), Attention(c.width, c.heads, c.dropout)
        self.norm_feed, self.feed = nn.LayerNorm(c.width), FeedForward(c.width, c.expansion, c.dropout)

    def forward(self, x: Tensor, shots: list[Tensor], bias: Tensor | None) -> Tensor:
        """Return the clip's tokens after the block.

        x: (b, n, width).
        shots: (b, m, width) each.
        bias: on the clip's own tokens, see `Attention`.
        """
        normed = self.norm_self(x)
        x = x + self.itself(normed, normed, bias=bias)
        normed = self.norm_cross(x)
        x = x + torch.stack([self.cross(normed, shot) for shot in shots]).mean(0)
        return x + self.feed(self.norm_feed(x))


class WindowBlock(nn.Module):
    """Self-attention within windows over time, rows and columns, then a feed-forward layer, both about a residual.

    Every other block shifts its windows by half their size (Liu et al., "Video Swin Transformer", CVPR 2022). An axis
    that is not longer than its window is one window, and is not shifted.
    """

    def __init__(self, c: BranchConfig, shift: tuple[int, int, int]) -> None:
        super().__init__()
        self.window, self.shift, self.heads, self.release = c.window, shift, c.heads, c.release
        self.norm, self.attention = nn.LayerNorm(c.width), Attention(c.width, c.heads, c.dropout)
        self.norm_feed, self.feed = nn.LayerNorm(c.width), FeedForward(c.width, c.expansion, c.dropout)
        apart = [2 * size - 1 for size in c.window]
        self.relative = nn.Parameter(torch.zeros(apart[0] * apart[1] * apart[2], c.heads))
        nn.init.trunc_normal_(self.relative, std=0.02)

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Return the tokens after the block.

        x: (b, T, H, W, width).
        valid: (b, T).
        """
        mixed = self.mixed(self.norm(x), valid)
        if self.release:
            return self.feed(self.norm_feed(mixed))
        x = x + mixed
        return x + self.feed(self.norm_feed(x))

    def mixed(self, x: Tensor, valid: Tensor | None) -> Tensor:
        """Return each window's tokens mixed with one another."""
        b, shape = x.shape[0], x.shape[1:4]
        size = [min(length, side) for length, side in zip(shape, self.window, strict=True)]
        shift = [0 if length <= side else s for length, side, s in zip(shape, self.window, self.shift, strict=True)]
        short = [-length % side for length, side in zip(shape, size, strict=True)]
        region = self.regions(shape, size, shift, short, valid, x)  # (b or 1, windows, n)
        x = nn.functional.pad(x, (0, 0, 0, short[2], 0, short[1], 0, short[0]))
        x = x.roll([-s for s in shift], (1, 2, 3))
        apart = region[..., :, None] != region[..., None, :]
        bias = torch.zeros_like(apart, dtype=x.dtype).masked_fill(apart, -1e4)  # finite: a window may be all padding
        bias = bias.expand(b, *bias.shape[1:]).flatten(0, 1)[:, None] + self.positions(size)
        windows = into_windows(x, size)
        windows = self.attention(windows, windows, bias=bias)
        x = from_windows(windows, size, x.shape[1:4]).roll(shift, (1, 2, 3))
        return x[:, : shape[0], : shape[1], : shape[2]]

    def regions(
        self,
        shape: torch.Size,
        size: list[int],
        shift: list[int],
        short: list[int],
        valid: Tensor | None,
        like: Tensor,
    ) -> Tensor:
        """Return (b or 1, windows, n) which part of the clip each token belongs to.

        Only tokens of one part see each other.

        What the shift brought together from both ends is apart, and so is padding.
        """
        inside = (
            torch.ones(1, *shape, 1, device=like.device)
            if valid is None
            else valid[:, :, None, None, None].float().expand(-1, -1, *shape[1:], -1)
        )
        inside = nn.functional.pad(inside, (0, 0, 0, short[2], 0, short[1], 0, short[0]), value=float(self.release))
        part = torch.zeros_like(inside[:1])
        for axis, s in enumerate(shift):
            if s:
                wrapped = torch.arange(part.shape[axis + 1], device=like.device) < s
                part = part + wrapped.view([-1 if a == axis else 1 for a in range(3)])[None, ..., None] * 2**axis
        marked = torch.where(inside > 0, part, torch.full_like(part, 8.0))
        windows = into_windows(marked.roll([-s for s in shift], (1, 2, 3)), size)
        return rearrange(windows, "(b k) n 1 -> b k n", b=len(inside))

    def positions(self, size: list[int]) -> Tensor:
        """Return (heads, n, n) learnt bias of how far apart two tokens of a window are."""
        spans = self.window if self.release else size
        grid = torch.tensor(list(product(*map(range, spans))), device=self.relative.device)
        if self.release:  # the authors take the first n places of the whole window's table, whatever the shape
            grid = grid[: size[0] * size[1] * size[2]]
        away = grid[:, None] - grid[None] + torch.tensor([side - 1 for side in self.window], device=grid.device)
        rows, columns = 2 * self.window[1] - 1, 2 * self.window[2] - 1
        return rearrange(self.relative[(away[..., 0] * rows + away[..., 1]) * columns + away[..., 2]], "n m h -> h n m")


def into_windows(x: Tensor, size: list[int]) -> Tensor:
    """Return (b, T, H, W, c) to (b * windows, t * h * w, c)."""
    t, h, w = size
    return rearrange(x, "b (d t) (e h) (f w) c -> (b d e f) (t h w) c", t=t, h=h, w=w)


def from_windows(windows: Tensor, size: list[int], shape: tuple[int, ...]) -> Tensor:
    """Return `into_windows` undone, for a (b, T, H, W, c) of T, H, W = shape."""
    (t, h, w), (d, e, f) = size, [length // side for length, side in zip(shape, size, strict=True)]
    return rearrange(windows, "(b d e f) (t h w) c -> b (d t) (e h) (f w) c", d=d, e=e, f=f, t=t, h=h, w=w)


def _init_weights(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
