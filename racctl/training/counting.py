"""Training D2-STX: clips as sequences of tokens, the densities that they should give, the losses, validation.

Targets, masking and losses are ESCounts' (Sinha et al., ACCV 2024), which D2-STX takes over.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from racctl import __version__
from racctl.contracts import Meta, step
from racctl.density import density
from racctl.encoders.tokens import shown
from racctl.errors import DataError
from racctl.models.catalog import as_dict
from racctl.models.d2stx import D2STX, SCALE, BranchDensities, D2STXConfig, counted
from racctl.scoring.count_metrics import exact, mae, round_half_up, within_one
from racctl.training.loop import Batch, shares_of, steps_of

KEPT = 0.8  # share of the tokens whose loss counts, drawn anew each time (ESCounts)
BRANCHES = ("video", "pose")


@dataclass(frozen=True)
class Teaching:
    """How to train. longest: tokens of a clip in a batch, a part of a longer one is drawn.  chain: clips one after the
    other, one to so many; with exemplars of the first, only its repetitions count.  shots: exemplars, 0 to so many.
    sigma: width of a repetition in the target, in tokens.  staged: first the branches, each by its own loss, then the
    fusion on branches that stand still (the paper); otherwise all at once.  ready: the branches have learned."""

    longest: int = 150
    chain: int = 1
    shots: int = 2
    sigma: float = 1.0
    staged: bool = True
    ready: bool = False

    def fusing(self, epoch: int, epochs: int) -> bool:
        """Whether this epoch trains the fusion alone."""
        return self.ready or (
            self.staged and epoch >= max(1, (epochs * 5) // 8)
        )  # 50 and 35 epochs of branches, 50 of fusion


@dataclass
class TokenClip:
    """video: (N, C, H, W) float16 or None.  pose: (N, C, V) float16 or None.  edges: (N + 1,) source frames of the
    tokens' borders.  cycles: (R, 2) source frames.  count: repetitions."""

    name: str
    video: np.ndarray | None
    pose: np.ndarray | None
    edges: np.ndarray
    cycles: np.ndarray
    count: float

    def __len__(self) -> int:
        return len(self.edges) - 1

    def target(self, sigma: float) -> np.ndarray:
        """(N,) repetitions in each token's span. sigma: tokens."""
        return density(self.cycles, self.edges, sigma * float(np.median(np.diff(self.edges))))


def batch_of(clips: list[TokenClip], parts: list[slice], sigma: float, shots: list[list[np.ndarray]]) -> Batch:
    """Clips, or parts of them, padded to the longest. shots: of each clip the tokens of its exemplars, equally many.

    video (b, T, C, H, W), pose (b, T, C, V), valid and target (b, T), video_shots and pose_shots (b, k, SHOT, C, ...).
    """
    longest = max(part.stop - part.start for part in parts)
    made: Batch = {}
    for name in BRANCHES:
        whole = [getattr(clip, name) for clip in clips]
        if whole[0] is None:
            continue
        made[name] = torch.from_numpy(np.stack([_padded(w[p], longest) for w, p in zip(whole, parts, strict=True)]))
        if shots[0]:
            taken = [np.stack([w[rows] for rows in own]) for w, own in zip(whole, shots, strict=True)]
            made[f"{name}_shots"] = torch.from_numpy(np.stack(taken))
    targets = [clip.target(sigma)[part] for clip, part in zip(clips, parts, strict=True)]
    made["target"] = torch.from_numpy(np.stack([_padded(t, longest) for t in targets])).float()
    lengths = torch.tensor([part.stop - part.start for part in parts])
    made["valid"] = torch.arange(longest)[None] < lengths[:, None]
    return made


def joined(clips: list[TokenClip], only_first: bool = False) -> TokenClip:
    """Clips one after the other as one. only_first: the others have no repetition that counts."""
    if len(clips) == 1:
        return clips[0]
    begins = np.cumsum([0, *(clip.edges[-1] - clip.edges[0] for clip in clips)])
    moved = [begin - clip.edges[0] for begin, clip in zip(begins, clips, strict=False)]
    edges = [clip.edges[:-1] + by for clip, by in zip(clips, moved, strict=True)]
    counted = clips[:1] if only_first else clips
    streams = [None if getattr(clips[0], name) is None else np.concatenate([getattr(clip, name) for clip in clips])
               for name in BRANCHES]  # fmt: skip
    cycles = np.concatenate([clip.cycles + by for clip, by in zip(counted, moved, strict=False)])
    count = sum(clip.count for clip in counted)
    return TokenClip(clips[0].name, *streams, np.append(np.concatenate(edges), begins[-1]), cycles, count)


def _padded(rows: np.ndarray, longest: int) -> np.ndarray:
    return np.concatenate([rows, np.zeros((longest - len(rows), *rows.shape[1:]), rows.dtype)])


class CountingObjective(nn.Module):
    """A batch to its loss: of each branch by itself, and of the fusion; see `loss`."""

    def __init__(self, model: D2STX, staged: bool) -> None:
        super().__init__()
        self.model, self.staged, self.fusing = model, staged, False

    def forward(self, batch: Batch) -> Tensor:
        found = self.densities(batch)
        both = found.fused is not None
        alone = [getattr(found, name) for name in BRANCHES if getattr(found, name) is not None]
        if both and self.staged:
            learnt = [found.fused] if self.fusing else alone
        else:
            learnt = [*alone, found.fused] if both else alone
        return sum(loss(one, batch["target"], batch["valid"], self.training) for one in learnt)

    def densities(self, batch: Batch) -> BranchDensities:
        shots = {
            f"{name}_shots": list(batch[f"{name}_shots"].float().unbind(1)) if f"{name}_shots" in batch else None
            for name in BRANCHES
        }
        video, pose = (batch[name].float() if name in batch else None for name in BRANCHES)
        return self.model(video, pose, batch["valid"], still=self.staged and self.fusing, **shots)


def loss(found: Tensor, target: Tensor, valid: Tensor, training: bool) -> Tensor:
    """Mean over tokens of the squared difference of a density (b, T) from `SCALE` times the target, a share of the
    tokens left out; and the relative error of the count, |c' - c| / (c + 0.1)."""
    kept = valid * (torch.rand_like(found) < KEPT) if training else valid
    squared = ((found - SCALE * target) ** 2 * kept).sum(1) / valid.sum(1)
    count = target.sum(1)
    return squared.mean() + ((counted(found, valid) - count).abs() / (count + 0.1)).mean()


class Counting:
    """The `Task` of `racctl.training.loop` for D2-STX."""

    partial = True  # not every parameter has a part in every step

    def __init__(
        self, config: D2STXConfig, train: list[TokenClip], val: list[TokenClip], teaching: Teaching, epochs: int,
        about: Meta,
    ) -> None:  # fmt: skip
        if not train:
            raise DataError("there is no clip to train on")
        self.config, self.train, self.val, self.teaching, self.epochs, self.about = (
            config, train, val, teaching, epochs, about,
        )  # fmt: skip
        self.objective = CountingObjective(D2STX(config), teaching.staged)

    def fuse_only(self) -> None:
        """The branches have learned and stand still."""
        self.teaching, self.objective.staged = replace(self.teaching, staged=True, ready=True), True

    def steps(self, size: int, world: int) -> int:
        return steps_of(self._items(), size, world)

    def batches(self, epoch: int, size: int, rank: int, world: int) -> Iterator[Batch]:
        """Every clip once, in an order that (seed, epoch) settles, with a part of it and exemplars drawn likewise; of
        clips in a chain not all may come."""
        self.objective.fusing = self.teaching.fusing(epoch, self.epochs)
        rng = np.random.default_rng([self.about.get("seed", 0), epoch])
        order = rng.permutation(len(self.train))
        items = self._items()
        draws = rng.random((items, 3))
        for chosen in shares_of(torch.arange(items), size, rank, world):
            yield self._batch([self._chain(order, k, draws[k, 2]) for k in chosen.tolist()], draws[chosen.numpy()])

    def _items(self) -> int:
        return -(-len(self.train) // self.teaching.chain)

    def _chain(self, order: np.ndarray, item: int, draw: float) -> list[TokenClip]:
        whole = order[item * self.teaching.chain : (item + 1) * self.teaching.chain]
        return [self.train[k] for k in whole[: 1 + int(draw * len(whole))]]

    def _batch(self, chains: list[list[TokenClip]], draws: np.ndarray) -> Batch:
        """As many exemplars for each item as the first draw says and the first clip with the fewest has."""
        firsts = [chain[0] for chain in chains]
        count = min(int(draws[0, 1] * (self.teaching.shots + 1)), min(len(clip.cycles) for clip in firsts))
        clips = [joined(chain, only_first=count > 0) for chain in chains]
        parts = [self._part(clip, draw) for clip, draw in zip(clips, draws[:, 0], strict=True)]
        shots = [self._shots(clip, count, draw) for clip, draw in zip(firsts, draws[:, 1], strict=True)]
        return batch_of(clips, parts, self.teaching.sigma, shots)

    def _part(self, clip: TokenClip, draw: float) -> slice:
        spare = max(len(clip) - self.teaching.longest, 0)
        start = int(draw * (spare + 1))
        return slice(start, start + min(len(clip), self.teaching.longest))

    def _shots(self, clip: TokenClip, count: int, draw: float) -> list[np.ndarray]:
        if not count:
            return []
        chosen = np.random.default_rng(int(draw * 2**32)).choice(len(clip.cycles), count, replace=False)
        return [shown(clip.cycles[k], clip.edges) for k in chosen]

    def evaluate(self, device: torch.device) -> dict[str, float]:
        """On the validation clips, whole and without exemplars: MAE, OBO and OBZ of the rounded counts; the score to
        keep weights by is OBO less MAE. Before the fusion has begun to learn there is none to compare."""
        if not self.val:
            return {}
        found = round_half_up(evaluated(self.objective, self.val, device).clip(0))
        true = np.array([clip.count for clip in self.val])
        shown = {"val_mae": mae(found, true), "val_obo": float(within_one(found, true).mean()),
                 "val_obz": float(exact(found, true).mean())}  # fmt: skip
        if self.objective.staged and self.config.branches == "both" and not self.objective.fusing:
            return shown
        return {**shown, "score": shown["val_obo"] - float(np.nan_to_num(shown["val_mae"]))}

    def header(self) -> Meta:
        return {
            "model": "d2stx", "config": as_dict(self.config), "classes": [],
            "input": self.about.get("input", {}), "training": {"teaching": asdict(self.teaching)},
            "data": self.about.get("data", {}), "licence": self.about.get("licence", "unstated"),
            "steps": [step("train", __version__, model="d2stx", seed=self.about.get("seed", 0))],
        }  # fmt: skip


@torch.no_grad()
def evaluated(objective: CountingObjective, clips: list[TokenClip], device: torch.device) -> np.ndarray:
    """(n,) counts, unrounded, of whole clips."""
    objective.eval()
    counts = []
    for clip in clips:
        batch = batch_of([clip], [slice(0, len(clip))], 1.0, [[]])
        found = objective.densities({name: tensor.to(device) for name, tensor in batch.items()})
        counts.append(float(counted(found.final)))
    return np.array(counts)
