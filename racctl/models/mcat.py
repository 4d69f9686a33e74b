"""The Mask Cross-Attention Transformer: an exercise recogniser on grayscale video and person masks.

Warchol and Kwolek, "Mask Cross-Attention Transformer for Robust Exercise Recognition Under Execution-Speed Domain
Shift", section 3. Where the paper leaves a choice open, it is named beside the code. With `pose=True` body joints join
the masks as a second spatial prior: that is this project's addition (the paper names it as future work).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from racctl.models.layers import CrossBlock, FrameTokens, SelfAttentionBlock, sinusoidal

MCAT_INPUTS = ("both", "raw", "mask", "pose")
MCAT_FUSIONS = ("cross", "concat", "add", "none")


@dataclass(frozen=True)
class MCATConfig:
    """The paper's values; sections in the comments.

    input: "both" (grayscale and mask), or one stream alone: "raw", "mask" (Table 2), "pose" (not in the paper).
    fusion (Table 3): "cross"; "concat" of the channels before one encoder; "add" of the tokens; "none", one stream.
    """

    classes: int = 17  # 3.5: background and 16 exercises; 11 for MM-Fit
    input: str = "both"
    fusion: str = "cross"
    base: int = 16  # 3.3: channels 1 -> 16 -> 32 -> 64
    width: int = 256  # 3.3, 4.2: d, d_m
    heads: int = 8  # 3.4: H
    layers: int = 4  # 3.5: L; Table 4 also 2, 6, 8
    expansion: float = 4.0  # 3.4, 3.5: hidden 4d
    dropout: float = 0.1  # 3.5: on attention weights and feed-forward outputs
    pose: bool = False  # joints as a second prior; not in the paper
    joints: int = 25  # with pose: how many, (x, y, z, score) each

    def check(self) -> MCATConfig:
        """Raise ValueError for an invalid combination; returns self."""
        if self.input not in MCAT_INPUTS or self.fusion not in MCAT_FUSIONS:
            raise ValueError(f"input is one of {', '.join(MCAT_INPUTS)} and fusion one of {', '.join(MCAT_FUSIONS)}")
        if self.fusion == "none" and self.input == "both":
            raise ValueError("fusion 'none' takes one stream; expected input raw or mask")
        if self.fusion in ("concat", "add") and self.input != "both":
            raise ValueError(f"fusion '{self.fusion}' joins two streams; expected input both")
        if self.input == "pose" and (self.fusion != "none" or self.pose):
            raise ValueError("input 'pose' is one stream; expected fusion none, and no second prior")
        if self.pose and self.fusion != "cross":
            raise ValueError("pose is a prior of fusion 'cross'")
        return self


class MCAT(nn.Module):
    """Grayscale and mask clips to class logits.

    "Structurally identical" encoders are read as separate weights for each stream, and likewise W_proj: this gives the
    4.03 M parameters that the paper's Table 4 has at L = 4. With one stream and fusion "cross" (RAW and MASK rows of
    Table 2) that stream feeds both encoders, so the architecture and its size stay the same.
    """

    def __init__(self, config: MCATConfig) -> None:
        super().__init__()
        self.config = c = config.check()
        if c.input == "pose":
            self.pose = PoseTokens(c.joints, c.width)
        else:
            self.tokens = FrameTokens(2 if c.fusion == "concat" else 1, c.base, c.width)
        if c.fusion in ("cross", "add"):
            self.prior = FrameTokens(1, c.base, c.width)
        if c.fusion == "cross":
            self.cross = CrossBlock(c.width, c.heads, c.expansion, c.dropout)
        if c.pose:
            self.pose = PoseTokens(c.joints, c.width)
        self.blocks = nn.ModuleList(
            SelfAttentionBlock(c.width, c.heads, c.expansion, c.dropout) for _ in range(c.layers)
        )
        self.norm, self.classify = nn.LayerNorm(c.width), nn.Linear(c.width, c.classes)

    def forward(self, gray: Tensor, mask: Tensor, joints: Tensor | None = None) -> Tensor:
        """Return logits (b, classes) of clips.

        gray, mask: (b, t, h, w) in 0..1.
        joints: (b, t, v, 4) as `PoseTokens` takes them.
        """
        tokens = self.fuse(gray, mask, joints)
        t, d = tokens.shape[1:]
        tokens = tokens + sinusoidal(t, d, tokens)  # Eq. 8
        for block in self.blocks:
            tokens = block(tokens)
        return self.classify(self.norm(tokens).mean(1))  # Eq. 10

    def fuse(self, gray: Tensor, mask: Tensor, joints: Tensor | None) -> Tensor:
        """Return one token per frame, (b, t, width)."""
        if self.config.input == "pose":
            return self.pose(joints)
        first, second = streams(self.config.input, gray, mask)
        if self.config.fusion == "concat":
            return self.tokens(torch.stack([first, second], dim=2))
        queries = self.tokens(first[:, :, None])
        if self.config.fusion == "none":
            return queries
        keys = self.prior(second[:, :, None])
        if self.config.fusion == "add":
            return queries + keys
        if self.config.pose:
            keys = torch.cat([keys, self.pose(joints)], dim=1)
        return self.cross(queries, keys)


class PoseTokens(nn.Module):
    """Joints (b, t, v, 4) to one token per frame (b, t, width).

    Channels: x, y, z in units of the body, and the score; an unseen joint is all zeros.

    x and y are taken from the middle of all that is seen in the window, so that where the person stands does not matter
    and how the body moves within the window does.
    """

    def __init__(self, joints: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4 * joints, width), nn.GELU(), nn.Linear(width, width))

    def forward(self, joints: Tensor) -> Tensor:
        xy, z, score = joints[..., :2], joints[..., 2:3], joints[..., 3:]
        seen = (score > 0).to(xy.dtype)
        middle = (xy * seen).sum((1, 2), keepdim=True) / seen.sum((1, 2), keepdim=True).clamp(min=1)
        return self.layers(torch.cat([(xy - middle) * seen, z, score], dim=-1).flatten(2))


def streams(chosen: str, gray: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return the two streams that a model is fed: with one input alone, that one twice."""
    return {"both": (gray, mask), "raw": (gray, gray), "mask": (mask, mask)}[chosen]
