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
    body: bool = False  # with input "pose": tokens by `BodyTokens` in place of `PoseTokens`; not in the paper
    patch: int = 1  # with body: frames in one token

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
        if self.body and self.input != "pose":
            raise ValueError("body tokens are of input 'pose'")
        if self.patch < 1 or (self.patch > 1 and not self.body):
            raise ValueError("several frames in one token are of body tokens; expected patch 1")
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
            self.pose = BodyTokens(c.joints, c.width, c.patch) if c.body else PoseTokens(c.joints, c.width)
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


class BodyTokens(nn.Module):
    """Joints (b, t, v, 4) to one token for every `patch` frames, (b, ceil(t / patch), width).

    Channels of a joint in a frame: its place in the window, its place about the middle of the body in that frame, z,
    how far it moved since the frame before, its score, and whether it is seen. Places are centred and scaled by what is
    seen in the window itself, so a skeleton that lacks joints is not displaced or enlarged. An unseen joint is all
    zeros.
    """

    CHANNELS = 9
    QUICK = 4.0  # factor on movements, which are smaller than places

    def __init__(self, joints: int, width: int, patch: int) -> None:
        super().__init__()
        self.patch = patch
        inputs = self.CHANNELS * joints * patch
        self.layers = nn.Sequential(nn.Linear(inputs, width), nn.GELU(), nn.Linear(width, width))

    def forward(self, joints: Tensor) -> Tensor:
        b, t = joints.shape[:2]
        features = self.features(joints).flatten(2)
        missing = -t % self.patch
        if missing:  # the last frame again
            features = torch.cat([features, features[:, -1:].expand(-1, missing, -1)], dim=1)
        return self.layers(features.reshape(b, (t + missing) // self.patch, -1))

    def features(self, joints: Tensor) -> Tensor:
        """Return (b, t, v, CHANNELS)."""
        score = joints[..., 3:]
        seen = (score > 0).to(joints.dtype)
        place, body, unit = body_frame(joints[..., :2], seen)
        moved = torch.zeros_like(place)
        moved[:, 1:] = (place[:, 1:] - place[:, :-1]) * seen[:, 1:] * seen[:, :-1]
        z = joints[..., 2:3] / unit * seen
        return torch.cat([place, body, z, self.QUICK * moved, score, seen], dim=-1).clamp(-8, 8)


def body_frame(xy: Tensor, seen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return places in the window and about the middle of each frame, (b, t, v, 2), and the unit (b, 1, 1, 1).

    xy: (b, t, v, 2).  seen: (b, t, v, 1), 1 or 0. The unit is the root mean square of the distance of a seen joint from
    the middle of its frame's.
    """
    count = seen.sum(2, keepdim=True)
    middle = (xy * seen).sum(2, keepdim=True) / count.clamp(min=1)
    body = (xy - middle) * seen
    total = seen.sum((1, 2), keepdim=True).clamp(min=1)
    unit = (body.square().sum((1, 2, 3), keepdim=True) / total).sqrt().clamp(min=1e-3)
    centre = (middle * count).sum(1, keepdim=True) / total
    return (xy - centre) * seen / unit, body / unit, unit


def streams(chosen: str, gray: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return the two streams that a model is fed: with one input alone, that one twice."""
    return {"both": (gray, mask), "raw": (gray, gray), "mask": (mask, mask)}[chosen]
