"""Clips as sequences of tokens with their repetitions, parts of them, chains of them, and batches."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch

from racctl.contracts import Meta
from racctl.density import density, overwritten_map
from racctl.encoders.tokens import shown
from racctl.training.task import Batch

STREAMS = ("video", "pose")


@dataclass
class TokenClip:
    """A clip of N tokens.

    video: (N, C, H, W) float16 or None.
    pose: (N, C, V) float16 or None.
    edges: (N + 1,) source frames of the tokens' borders.
    cycles: (R, 2) source frames of the repetitions.
    count: repetitions.
    made_by: what made the tokens, as a checkpoint's header names it.
    spread: whether its repetitions are spread evenly over it, since only their count is known.
    """

    name: str
    video: np.ndarray | None
    pose: np.ndarray | None
    edges: np.ndarray
    cycles: np.ndarray
    count: float
    made_by: Meta = field(default_factory=dict)
    spread: bool = False

    def __len__(self) -> int:
        return len(self.edges) - 1

    def stream(self, name: str) -> np.ndarray | None:
        """Return the tokens of "video" or "pose"."""
        return self.video if name == "video" else self.pose

    def target(self, sigma: float) -> np.ndarray:
        """Return (N,) repetitions in each token's span. sigma: tokens."""
        return density(self.cycles, self.edges, sigma * float(np.median(np.diff(self.edges))))

    def count_of_map(self, bins: int) -> float:
        """Return the sum of the map that `racctl.density.overwritten_map` draws, rounded.

        bins: of the clip; 0 for one in every four frames.
        """
        frames = float(self.edges[-1] - self.edges[0])
        return float(np.rint(overwritten_map(self.cycles, self.edges, bins or max(1, int(frames) // 4)).sum()))

    def exemplars(self, count: int, draw: float) -> list[np.ndarray]:
        """Return the tokens of so many of the repetitions. draw: in 0..1, settles which."""
        if not count:
            return []
        chosen = np.random.default_rng(int(draw * 2**32)).choice(len(self.cycles), count, replace=False)
        return [shown(self.cycles[k], self.edges) for k in chosen]


def batch_of(clips: list[TokenClip], parts: list[slice], sigma: float, exemplars: list[list[np.ndarray]]) -> Batch:
    """Return clips, or parts of them, padded to the longest.

    exemplars: of each clip the tokens of its exemplars, equally many.

    video (b, T, C, H, W), pose (b, T, C, V), valid and target (b, T), video_shots and pose_shots (b, k, SHOT, C, ...).
    """
    longest = max(part.stop - part.start for part in parts)
    batch: Batch = {}
    for name in STREAMS:
        streams = [stream for clip in clips if (stream := clip.stream(name)) is not None]
        if not streams:
            continue
        batch[name] = _stacked([stream[part] for stream, part in zip(streams, parts, strict=True)], longest)
        if exemplars[0]:
            tokens = [np.stack([stream[k] for k in rows]) for stream, rows in zip(streams, exemplars, strict=True)]
            batch[f"{name}_shots"] = torch.from_numpy(np.stack(tokens))
    targets = [clip.target(sigma)[part] for clip, part in zip(clips, parts, strict=True)]
    batch["target"] = _stacked(targets, longest).float()
    lengths = torch.tensor([part.stop - part.start for part in parts])
    batch["valid"] = torch.arange(longest)[None] < lengths[:, None]
    return batch


def _stacked(parts: list[np.ndarray], longest: int) -> torch.Tensor:
    """Return (b, longest, ...), zeros after the end of each part."""
    padded = [np.concatenate([p, np.zeros((longest - len(p), *p.shape[1:]), p.dtype)]) for p in parts]
    return torch.from_numpy(np.stack(padded))


def joined(clips: list[TokenClip], only_first: bool = False) -> TokenClip:
    """Return clips one after the other as one. only_first: the others have no repetition that counts."""
    if len(clips) == 1:
        return clips[0]
    begins = np.cumsum([0, *(clip.edges[-1] - clip.edges[0] for clip in clips)])
    shifts = [begin - clip.edges[0] for begin, clip in zip(begins, clips, strict=False)]
    edges = [clip.edges[:-1] + shift for clip, shift in zip(clips, shifts, strict=True)]
    counting = clips[:1] if only_first else clips
    return TokenClip(
        clips[0].name,
        _joined_streams(clips, "video"),
        _joined_streams(clips, "pose"),
        np.append(np.concatenate(edges), begins[-1]),
        np.concatenate([clip.cycles + shift for clip, shift in zip(counting, shifts, strict=False)]),
        sum(clip.count for clip in counting),
    )


def jittered(clip: TokenClip, draw: float, spread: float) -> TokenClip:
    """Return a clip whose tokens are noisy and have channels of other scales, so that it is not learnt by heart.

    draw: in 0..1, settles how.
    spread: deviation of a channel's scale, as a logarithm, and of the noise as a share of the tokens' own.
    """
    rng = np.random.default_rng(int(draw * 2**32))

    def changed(tokens: np.ndarray | None) -> np.ndarray | None:
        if tokens is None:
            return None
        scale = np.exp(spread * rng.standard_normal((1, tokens.shape[1], *[1] * (tokens.ndim - 2)), np.float32))
        noise = spread * tokens.std(dtype=np.float32) * rng.standard_normal(tokens.shape, np.float32)
        return (tokens * scale + noise).astype(np.float16)

    return replace(clip, video=changed(clip.video), pose=changed(clip.pose))


def _joined_streams(clips: list[TokenClip], name: str) -> np.ndarray | None:
    streams = [stream for clip in clips if (stream := clip.stream(name)) is not None]
    return np.concatenate(streams) if streams else None
