"""D2-STX: repetitions from video and pose tokens, with spatial and temporal cross-attention decoupled.

The two branches and the fusion of "D2-STX: Decoupling Spatial-temporal Cross-attention for Dual-branch Repetitive
Action Counting" (only its supplement is public). Everything works with one branch too: the other is absent then, not
zero.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from einops import rearrange, reduce
from torch import Tensor, nn

from racctl.models.branch import Branch, BranchConfig
from racctl.models.fusion import Fusion
from racctl.skeleton.topology import Topology, topology_named

D2STX_BRANCHES = ("both", "video", "pose")
GUIDES = ("both", "pose", "video")
D2STX_FUSIONS = ("decoupled", "coupled")
DECISIONS = ("learned", "fixed")
SCALE = 100.0  # densities are learnt a hundred times as large (ESCounts)


@dataclass(frozen=True)
class D2STXConfig:
    """Sizes and parts of the model.

    video, pose: channels of the tokens.
    joints: of the pose.
    grid: places that a picture is averaged to on each side before anything else, 0 for none.
    centred: whether the clip's mean is taken from its video tokens first: what somebody looks like says nothing of how
        often they move, and is learnt by heart from few clips. The paper's are not.
    guide: which branch supplies the queries: the pose, the video, or both (bidirectional).

    The defaults are the paper's, with Swin-T and CTR-GCN; 768 channels of the pose are those of the authors' files.
    """

    branches: str = "both"
    video: int = 768  # Swin-T
    pose: int = 256  # CTR-GCN
    joints: int = 25
    parts: str = ""  # a topology whose parts of the body the joints are averaged to before anything else
    grid: int = 3  # 7 * 0.4, rounded up
    centred: bool = False
    width: int = 512
    heads: int = 8
    layers: int = 2
    window_layers: int = 3
    window: tuple[int, int, int] = (4, 7, 7)
    shot_tokens: int = 1568
    guide: str = "both"
    fusion: str = "decoupled"
    decision: str = "learned"
    dropout: float = 0.0
    release: bool = False

    def check(self) -> D2STXConfig:
        """Raise ValueError for invalid values; returns self."""
        for name, known in (
            ("branches", D2STX_BRANCHES),
            ("guide", GUIDES),
            ("fusion", D2STX_FUSIONS),
            ("decision", DECISIONS),
        ):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is one of {', '.join(known)}")
        if self.width % 4 or self.width % self.heads:
            raise ValueError("width is a multiple of 4 and of heads")
        if min(self.video, self.pose, self.joints, self.layers + 1, self.window_layers + 1) < 1 or self.grid < 0:
            raise ValueError("channels and joints are positive")
        return self

    def branch(self, name: str) -> BranchConfig:
        of_video = self.grid**2 if self.release else 0
        of_pose = len(topology_named(self.parts).parts) if self.parts else self.joints
        channels, places = (self.video, of_video) if name == "video" else (self.pose, of_pose)
        return BranchConfig(
            channels,
            places,
            self.width,
            self.heads,
            self.layers,
            self.window_layers,
            self.window,
            shot_tokens=self.shot_tokens,
            dropout=self.dropout,
            release=self.release,
            stretched=self.release and name == "pose",
        )


# The embedded model's: tokens of racctl's own two encoders.
SMALL_D2STX = D2STXConfig(video=192, pose=128, parts="d2stx25", grid=2, centred=True, width=96, heads=4, shot_tokens=16)


@dataclass
class BranchDensities:
    """Repetitions in each token's span, times `SCALE`, each (b, T) or None where a branch is absent.

    What the branches say alone, the fusion, and the guides of the fusion before its decision.

    skimmed: how much each token matters, of a model that skims a clip first.
    """

    video: Tensor | None = None
    pose: Tensor | None = None
    fused: Tensor | None = None
    guides: dict[str, Tensor] | None = None
    skimmed: Tensor | None = None

    @property
    def final(self) -> Tensor:
        """The fusion where both branches are there, else the one that is."""
        return next(density for density in (self.fused, self.pose, self.video) if density is not None)


class D2STX(nn.Module):
    """Tokens of a clip to densities; `Densities.final.sum(1) / SCALE` is the count."""

    def __init__(self, config: D2STXConfig) -> None:
        super().__init__()
        self.config = c = config.check()
        names = ("video", "pose") if c.branches == "both" else (c.branches,)
        self.branches = nn.ModuleDict({name: Branch(c.branch(name)) for name in names})
        if c.branches == "both":
            self.fusion = Fusion(c.width, c.heads, c.guide, c.fusion == "coupled", c.decision, c.release)

    def forward(
        self,
        video: Tensor | None = None,
        pose: Tensor | None = None,
        valid: Tensor | None = None,
        video_shots: list[Tensor] | None = None,
        pose_shots: list[Tensor] | None = None,
        still: bool = False,
    ) -> BranchDensities:
        """Return the densities of clips.

        video: (b, T, C, H, W).  pose: (b, T, C, J); either may be None.  valid: (b, T), False after a clip's end.
            video_shots, pose_shots: exemplars, (b, T', C, H, W) and (b, T', C, J) each; none for zero-shot.  still: the
            fusion learns and the branches do not.
        """
        densities, features = BranchDensities(), {}
        if video is not None and "video" in self.branches:
            if self.config.centred:
                mean = clip_mean(video, valid)
                video, video_shots = video - mean, [shot - mean for shot in video_shots or []]
            shots = [rearrange(shot, "b t c h w -> b (t h w) c") for shot in video_shots or []]
            places = rearrange(pooled(video, self.config.grid), "b t c h w -> b t h w c")
            densities.video, features["video"] = self.branches["video"](places, shots, valid)
        if pose is not None and "pose" in self.branches:
            shots = [rearrange(grouped(shot, self.config.parts), "b t c j -> b (t j) c") for shot in pose_shots or []]
            joints = rearrange(grouped(pose, self.config.parts), "b t c j -> b t j 1 c")
            densities.pose, features["pose"] = self.branches["pose"](joints, shots, valid)
        if not features:
            raise ValueError(f"this model looks at {self.config.branches}; it was given neither")
        if len(features) == 2:
            if still:
                features = {name: tokens.detach() for name, tokens in features.items()}
            densities.fused, densities.guides = self.fusion(features["pose"].squeeze(3), features["video"], valid)
        return densities


def clip_mean(video: Tensor, valid: Tensor | None) -> Tensor:
    """Return (b, 1, C, H, W): of video (b, T, C, H, W) the mean over the tokens that are valid (b, T)."""
    if valid is None:
        return video.mean(1, keepdim=True)
    weights = valid[:, :, None, None, None].to(video.dtype)
    return (video * weights).sum(1, keepdim=True) / weights.sum(1, keepdim=True)


def pooled(video: Tensor, grid: int) -> Tensor:
    """Return (b, T, C, H, W) averaged to (b, T, C, grid, grid), where it is larger and grid is not 0.

    Exemplars are not.
    """
    t, h, w = video.shape[1], *video.shape[3:]
    if not grid or max(h, w) <= grid:
        return video
    small = nn.functional.adaptive_avg_pool2d(
        rearrange(video, "b t c h w -> (b t) c h w"), (min(grid, h), min(grid, w))
    )
    return rearrange(small, "(b t) c h w -> b t c h w", t=t)


def grouped(pose: Tensor, topology: str) -> Tensor:
    """Return (b, T, C, J) averaged to (b, T, C, parts of the body) of a topology, "" for none.

    What is that already stays.
    """
    known = topology_named(topology) if topology else None
    if known is None or pose.shape[-1] == len(known.parts):
        return pose
    return pose @ torch.from_numpy(part_weights(known)).to(pose)


def part_weights(topology: Topology) -> np.ndarray:
    """Return (J, parts) float32: what averages joints to parts of the body."""
    weights = np.zeros((len(topology), len(topology.parts)), np.float32)
    for k, joints in enumerate(topology.parts.values()):
        weights[topology.indices(joints), k] = 1 / len(joints)
    return weights


def counted(density: Tensor, valid: Tensor | None = None) -> Tensor:
    """Return (b,) repetitions of a density (b, T) as the model gives it."""
    return reduce(density if valid is None else density * valid, "b t -> b", "sum") / SCALE


def release(config: D2STXConfig) -> D2STXConfig:
    """Return the config for the authors' own checkpoints.

    768 channels of the pose, and their departures from the paper.
    """
    return replace(config, pose=768, release=True)


def parameters(model: nn.Module) -> int:
    """Return how many numbers can be learnt."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
