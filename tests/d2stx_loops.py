"""Algorithms 1 to 4 of the D2-STX supplement as their loops over t, j and s stand there.

The tests hold the folded stages of `racctl.models.fusion` against them, tests/benchmarks/d2stx_cost.py times both.
Letters: B clips, T tokens in time, J joints, H W places of the picture, C channels.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from racctl.models.fusion import Fusion, SpatialAttention, TemporalAttention
from racctl.models.layers import Attention, sinusoidal

Attend = Callable[[Attention, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


def by_head(layer: Attention, queries: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Multi-head attention head by head: output (B, Q, C) and the mean weights (B, Q, K)."""
    q, k, v = layer.query(queries), layer.key(keys), layer.value(values)
    size, outs, weights = q.shape[-1] // layer.heads, [], []
    for head in range(layer.heads):
        part = slice(head * size, (head + 1) * size)
        scores = torch.einsum("bqc,bkc->bqk", q[..., part], k[..., part]) / math.sqrt(size)
        weights.append(scores.exp() / scores.exp().sum(-1, keepdim=True))
        outs.append(torch.einsum("bqk,bkc->bqc", weights[-1], v[..., part]))
    return layer.out(torch.cat(outs, -1)), sum(weights) / layer.heads


def algorithm_1(
    layer: SpatialAttention, pose: Tensor, video: Tensor, code: Tensor, attend: Attend = by_head
) -> tuple[Tensor, Tensor]:
    """pose (B, T, J, C), video (B, T, H, W, C), code (H W, C). Returns (B, T, J, C) and the weights (B, T, J, H W)."""
    fused, attended = [], []
    for t in range(pose.shape[1]):
        pose_t, video_t = pose[:, t], video[:, t].flatten(1, 2)
        video_pos = video_t + code
        out, weights = attend(layer.attention, pose_t, video_pos, video_pos)
        fused.append(layer.norm(pose_t + out))
        attended.append(weights)
    return torch.stack(fused, 1), torch.stack(attended, 1)


def algorithm_2(
    layer: TemporalAttention, pose: Tensor, video: Tensor, spatial: Tensor, attend: Attend = by_head
) -> Tensor:
    """spatial: the weights of `algorithm_1`. Returns (B, T, J, C)."""
    video_joint = spatial @ video.flatten(2, 3)
    code, fused = sinusoidal(pose.shape[1], pose.shape[3], pose), []
    for j in range(pose.shape[2]):
        pose_pos, video_pos = pose[:, :, j] + code, video_joint[:, :, j] + code
        out, _ = attend(layer.attention, pose_pos, video_pos, video_pos)
        fused.append(layer.norm(pose[:, :, j] + out))
    return torch.stack(fused, 2)


def algorithm_3(
    layer: SpatialAttention, pose: Tensor, video: Tensor, code: Tensor, attend: Attend = by_head
) -> tuple[Tensor, Tensor]:
    """As `algorithm_1`, guided by the video: (B, T, H, W, C) and the weights (B, T, H W, J)."""
    fused, attended = [], []
    for t in range(video.shape[1]):
        pose_t, video_t = pose[:, t], video[:, t].flatten(1, 2)
        out, weights = attend(layer.attention, video_t + code, pose_t, pose_t)
        fused.append(layer.norm(video_t + out).unflatten(1, video.shape[2:4]))
        attended.append(weights)
    return torch.stack(fused, 1), torch.stack(attended, 1)


def algorithm_4(
    layer: TemporalAttention, pose: Tensor, video: Tensor, spatial: Tensor, attend: Attend = by_head
) -> Tensor:
    """spatial: the weights of `algorithm_3`. Returns (B, T, H, W, C)."""
    pose_pixel, flat = spatial @ pose, video.flatten(2, 3)
    code, fused = sinusoidal(pose.shape[1], pose.shape[3], pose), []
    for s in range(flat.shape[2]):
        video_pos, pose_pos = flat[:, :, s] + code, pose_pixel[:, :, s] + code
        out, _ = attend(layer.attention, video_pos, pose_pos, pose_pos)
        fused.append(layer.norm(flat[:, :, s] + out))
    return torch.stack(fused, 2).unflatten(2, video.shape[2:4])


class LoopedFusion(Fusion):
    """`Fusion`, decoupled and without padding, its stages as the loops are written. attend: how an attention of theirs
    is computed, all heads at once or one by one."""

    attend: Attend = staticmethod(Attention.with_weights)

    def fused(self, pose: Tensor, video: Tensor, place: Tensor, valid: Tensor | None) -> dict[str, Tensor]:
        if valid is not None:
            raise ValueError("the algorithms know no padding")
        picture, fused_by = video.unsqueeze(3), {}  # H W places in one column
        for guide in self.guides:
            spatial, temporal = (algorithm_1, algorithm_2) if guide == "pose" else (algorithm_3, algorithm_4)
            tokens, weights = spatial(self.spatial[guide], pose, picture, place, self.attend)
            streams = (tokens, picture) if guide == "pose" else (pose, tokens)
            fused = temporal(self.temporal[guide], *streams, weights, self.attend)
            fused_by[guide] = fused if guide == "pose" else fused.squeeze(3)
        return fused_by
