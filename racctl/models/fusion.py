"""Cross-attention between the pose and the video of a clip: decoupled in space and time, and coupled to compare with.

D2-STX, supplement 6.3, Algorithms 1 to 4. Their loops over t, over the joints and over the places of the picture share
one set of weights each, so they are folded into the batch here; nothing else differs. Letters: T tokens in time,
J joints, P = H W places of the picture, C channels.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn

from racctl.models.layers import Attention, sinusoidal


class SpatialAttention(nn.Module):
    """Within each moment, one stream's places ask the other's.

    Algorithm 1 (`guide` the pose), Algorithm 3 (the video).

    The video carries the code E_spatial of its places, also as the values (lines 5, 6); `code_values=False` leaves the
    values without, as the authors' release does.
    """

    def __init__(self, width: int, heads: int, guide: str, code_values: bool = True) -> None:
        super().__init__()
        self.guide, self.code_values = guide, code_values
        self.attention, self.norm = Attention(width, heads), nn.LayerNorm(width)

    def forward(self, pose: Tensor, video: Tensor, place: Tensor, joint: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the guiding stream, fused, and the weights, averaged over the heads.

        The weights are (b, T, J, P); guided by the video, (b, T, P, J).

        pose: (b, T, J, C).
        video: (b, T, P, C).
        place: E_spatial (P, C).
        joint: the code of the joints (J, C), or None.
        """
        b, t = pose.shape[:2]
        joints, places = (rearrange(x, "b t n c -> (b t) n c") for x in (pose, video))
        coded_joints = joints if joint is None else joints + joint
        coded_places = places + place
        if self.guide == "pose":
            values = coded_places if self.code_values else places
            out, weights = self.attention.with_weights(coded_joints, coded_places, values)
            fused = self.norm(joints + out)
        else:
            out, weights = self.attention.with_weights(coded_places, coded_joints, joints)
            fused = self.norm(places + out)
        return rearrange(fused, "(b t) n c -> b t n c", b=b, t=t), rearrange(weights, "(b t) n m -> b t n m", b=b, t=t)


class TemporalAttention(nn.Module):
    """Each joint asks over time what the picture showed where it looked; Algorithm 2.

    Guided by the video, each place asks what the joints did that it looked at; Algorithm 4.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention, self.norm = Attention(width, heads), nn.LayerNorm(width)

    def forward(self, guide: Tensor, guided: Tensor, weights: Tensor, valid: Tensor | None = None) -> Tensor:
        """Return the guide, fused, (b, T, N, C).

        guide: (b, T, N, C).
        guided: (b, T, M, C).
        weights: (b, T, N, M) from the spatial stage.
        valid: (b, T), False where the clip has ended; None for no padding.
        """
        b, t, n, c = guide.shape
        looked_at = weights @ guided
        code = sinusoidal(t, c, guide)
        queries, keys = (rearrange(x, "b t n c -> (b n) t c") for x in (guide, looked_at))
        bias = None if valid is None else padding(valid).repeat_interleave(n, 0)
        out = self.attention(queries + code, keys + code, bias=bias)
        return rearrange(self.norm(queries + out), "(b n) t c -> b t n c", b=b)


class CoupledAttention(nn.Module):
    """The conventional fusion of Fig. 5(a).

    All joints at all times ask all places at all times, or the reverse, or both.
    """

    def __init__(self, width: int, heads: int, guides: tuple[str, ...]) -> None:
        super().__init__()
        self.attention = nn.ModuleDict({guide: Attention(width, heads) for guide in guides})
        self.norm = nn.ModuleDict({guide: nn.LayerNorm(width) for guide in guides})

    def forward(self, pose: Tensor, video: Tensor, place: Tensor, valid: Tensor | None) -> dict[str, Tensor]:
        """Return the guides after both stages.

        pose: (b, T, J, C).
        video: (b, T, P, C).
        """
        t = pose.shape[1]
        code = sinusoidal(t, pose.shape[-1], pose)[:, None]
        joints, places = (rearrange(x, "b t n c -> b (t n) c") for x in (pose + code, video + code + place))
        streams = {"pose": (joints, places, pose), "video": (places, joints, video)}
        fused = {}
        for guide, attention in self.attention.items():
            queries, keys, residual = streams[guide]
            bias = None if valid is None else padding(valid.repeat_interleave(keys.shape[1] // t, 1))
            out = rearrange(attention(queries, keys, bias=bias), "b (t n) c -> b t n c", t=t)
            fused[guide] = self.norm[guide](residual + out)
        return fused


def padding(valid: Tensor) -> Tensor:
    """Return (b, 1, 1, s) to add to attention scores: 0 where valid (b, s), minus infinity where not."""
    return torch.zeros_like(valid, dtype=torch.float32).masked_fill(~valid, -torch.inf)[:, None, None]


def place_code(height: int, width: int, channels: int, like: Tensor) -> Tensor:
    """Return E_spatial, (height * width, channels).

    Sine and cosine of the row in the first half, of the column in the second, frequencies from 1 to 1/10000.
    """
    quarter = channels // 4
    rate = torch.exp(-torch.arange(quarter, device=like.device) * (torch.log(torch.tensor(10000.0)).item() / quarter))
    rows = torch.arange(height, device=like.device).repeat_interleave(width)[:, None] * rate
    columns = torch.arange(width, device=like.device).repeat(height)[:, None] * rate
    return torch.cat([rows.sin(), rows.cos(), columns.sin(), columns.cos()], dim=1).to(like.dtype)


class Fusion(nn.Module):
    """Both streams in, one density out; the spatial stage first, then the temporal one.

    guide: "pose", "video" or "both" (bidirectional).
    coupled: Fig. 5(a) instead.
    decision: of the two densities where both guide: "learned", one weight, begun at 0.5; "fixed" at 0.5 (Table 7).
    release: what the authors' release does where it departs from the algorithms, for its checkpoints: learnt codes of
        25 joints, values without the places' code.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        guide: str = "both",
        coupled: bool = False,
        decision: str = "learned",
        release: bool = False,
    ) -> None:
        super().__init__()
        self.guides = ("pose", "video") if guide == "both" else (guide,)
        self.norm = nn.ModuleDict({name: nn.LayerNorm(width) for name in ("pose", "video")})
        self.project = nn.ModuleDict({name: nn.Linear(width, width) for name in ("pose", "video")})
        self.coupled = CoupledAttention(width, heads, self.guides) if coupled else None
        if not coupled:
            self.spatial = nn.ModuleDict({g: SpatialAttention(width, heads, g, not release) for g in self.guides})
            self.temporal = nn.ModuleDict({g: TemporalAttention(width, heads) for g in self.guides})
        self.head = nn.ModuleDict({g: DensityHead(width) for g in self.guides})
        self.joint = nn.Parameter(0.02 * torch.randn(25, width)) if release else None
        if guide == "both":
            self.share = nn.Parameter(torch.tensor(0.5), requires_grad=decision == "learned")
        self.apply(_init_weights)

    def forward(self, pose: Tensor, video: Tensor, valid: Tensor | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the density (b, T), and each guide's own.

        pose: (b, T, J, C).
        video: (b, T, H, W, C).
        """
        h, w, c = video.shape[2:]
        pose = self.project["pose"](self.norm["pose"](pose))
        video = self.project["video"](self.norm["video"](rearrange(video, "b t h w c -> b t (h w) c")))
        fused = self.fused(pose, video, place_code(h, w, c, video), valid)
        each = {guide: self.head[guide](tokens) for guide, tokens in fused.items()}
        if len(each) == 1:
            return next(iter(each.values())), each
        return self.share * each["pose"] + (1 - self.share) * each["video"], each

    def fused(self, pose: Tensor, video: Tensor, place: Tensor, valid: Tensor | None) -> dict[str, Tensor]:
        """Return the guiding streams after both stages, (b, T, N, C) each."""
        if self.coupled is not None:
            return self.coupled(pose, video, place, valid)
        guided = {}
        for guide in self.guides:
            tokens, weights = self.spatial[guide](pose, video, place, self.joint)
            guided[guide] = self.temporal[guide](tokens, video if guide == "pose" else pose, weights, valid)
        return guided


class DensityHead(nn.Sequential):
    """Tokens (b, T, N, C) to a density (b, T): two layers, averaged over the N places."""

    def __init__(self, width: int) -> None:
        super().__init__(nn.Linear(width, width // 2), nn.ReLU(), nn.Linear(width // 2, 1))

    def forward(self, tokens: Tensor) -> Tensor:
        return super().forward(tokens).squeeze(-1).mean(-1)


def _init_weights(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)
