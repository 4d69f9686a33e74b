"""A network of tokens as it counts: those of a clip to densities, whatever its length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from racctl.contracts import Features, Meta
from racctl.counters.base import COUNTERS
from racctl.density import repetitions
from racctl.encoders.tokens import Tokens, fed_by, sequence, shown
from racctl.errors import DataError, UsageError
from racctl.models.catalog import COUNTER_MODELS
from racctl.models.d2stx import SCALE
from racctl.scoring.count_metrics import round_half_up
from racctl.weights import embedded
from racctl.weights.load import load_trained

CHUNK_TOKENS, SHARED_TOKENS = 144, 72  # tokens of a long clip read together, and those that neighbours have in common
BRANCHES = ("video", "pose")
MOST_CORRECTED = 2.0  # times that an exemplar may make a count larger or smaller


@dataclass(frozen=True)
class TokenDensities:
    """Repetitions in each of N tokens' spans, (N,) float64 each. final: the count is its sum, rounded.  alone: what
    "video" and "pose" say by themselves, and the two "guides" of the fusion under "fused by pose" and "... video"."""

    final: np.ndarray
    alone: dict[str, np.ndarray]

    @property
    def count(self) -> int:
        return max(int(round_half_up(self.final.sum())), 0)

    @property
    def interval(self) -> tuple[int, int]:
        """The lowest and highest count that a branch or the whole would give. The guides of a fusion learned together,
        and count nothing each by itself."""
        branches = [curve for name, curve in self.alone.items() if name in BRANCHES]
        counts = round_half_up(np.array([curve.sum() for curve in (self.final, *branches)]))
        return max(int(counts.min()), 0), max(int(counts.max()), 0)


class DensityReader:
    """A trained counter of tokens, ready to be fed.

    record: of its weights, for provenance.
    fed: what its features must be made by, see `racctl.encoders.tokens.fed_by`.
    step: ticks for a token.
    stride: of the windows that it was trained on, ticks; 0 where it was trained on moments of whole clips.
    enough_seen: share of the frames that a person has to be visible in for the joints alone to be read; infinite for
        models that read both wherever they can.
    """

    def __init__(self, name: str, device: torch.device) -> None:
        """name: a file, or embedded weights. UsageError for a name that is neither, DataError for another file."""
        path = Path(name) if Path(name).is_file() else embedded(name)
        if path is None:
            raise UsageError(_no_weights(name))
        network, meta, self.record = load_trained(path, COUNTER_MODELS)
        self.network: Any = network
        try:
            self.enough_seen = float(meta.get("enough_seen", np.inf))
            self.step = int(meta["input"]["step"])
            self.stride = int(meta["input"]["stride"] or 0)
            self.fed = fed_by(meta["input"], meta["config"]["branches"], str(path))
        except (KeyError, TypeError, ValueError):
            raise DataError(f"'{path}' has a damaged header: it does not say what it is fed with") from None
        self.network.to(device)
        self.device = device

    @property
    def shares(self) -> Meta:
        """How much each guide of the fusion has to say, where both have."""
        share = getattr(getattr(self.network, "fusion", None), "share", None)
        if share is None:
            return {}
        of_pose = float(share.detach())
        return {"pose": round(of_pose, 4), "video": round(1 - of_pose, 4)}

    def tokens(self, features: Features, where: str, read: str = "both") -> Tokens:
        """The tokens of a clip's features; DataError when they are not what the model was trained on.

        read: "video" or "pose" to have those alone.
        """
        branches = self.network.config.branches
        available = [name for name in BRANCHES if name in features.meta and branches in (name, "both")]
        if not available:
            needed = f"{branches} features" if branches != "both" else "features"
            raise DataError(f"'{where}' lacks the {needed} that the counter looks at; 'racctl encode' makes them")
        tokens = sequence(features, self.step, where)
        for name, signature in fed_by(features.meta, available[0] if len(available) == 1 else "both", where).items():
            if signature != self.fed.get(name):
                raise DataError(
                    f"'{where}' is made by another {name} than the counter was trained with: {_short(signature)} "
                    f"instead of {_short(self.fed.get(name))}"
                )
        chosen = [name for name in available if read in (name, "both")]
        if not chosen:
            raise DataError(f"'{where}' lacks the {read} features that '--branches {read}' reads")
        video = tokens.video if "video" in chosen else None
        pose = tokens.pose if "pose" in chosen else None
        return Tokens(video, pose, tokens.frame, tokens.time)

    @torch.no_grad()
    def densities(self, tokens: Tokens, shots: list[np.ndarray] | None = None) -> TokenDensities:
        """shots: of each exemplar the rows of `tokens` that show it. A long clip is read in chunks that overlap; where
        they do, each counts the more the deeper a token lies in it."""
        n = len(tokens)
        curves: dict[str, np.ndarray] = {}
        weights = np.zeros(n)
        for part, _ in chunks(n):
            rows = np.arange(part.stop - part.start)
            deep = np.minimum(rows, rows[::-1]) + 1.0
            weights[part] += deep
            for name, curve in self._read(tokens, part, shots or []).items():
                curves.setdefault(name, np.zeros(n))[part] += deep * curve
        curves = {name: curve / weights for name, curve in curves.items()}
        return TokenDensities(curves.pop("final"), curves)

    def inputs(self, tokens: Tokens, part: slice, shots: list[np.ndarray]) -> dict[str, Any]:
        """What the network is called with."""
        streams: dict[str, Any] = {}
        for name in BRANCHES:
            if (whole := getattr(tokens, name)) is not None:
                streams[name] = self._placed(whole[part])
                streams[f"{name}_shots"] = [self._placed(whole[rows]) for rows in shots]
        return streams

    def _read(self, tokens: Tokens, part: slice, shots: list[np.ndarray]) -> dict[str, np.ndarray]:
        output = self.network(**self.inputs(tokens, part, shots))
        curves = {"final": output.final, "video": output.video, "pose": output.pose}
        curves |= {f"fused by {guide}": curve for guide, curve in (output.guides or {}).items()}
        return {name: values[0].double().cpu().numpy() / SCALE for name, values in curves.items() if values is not None}

    def _placed(self, rows: np.ndarray) -> Tensor:
        return torch.from_numpy(np.asarray(rows, np.float32)).to(self.device)[None]


def chunks(n: int) -> list[tuple[slice, slice]]:
    """What is read together of n tokens, and what of it is kept: parts of `CHUNK` that share `SHARED` with the next."""
    parts = [slice(0, n)]
    if n > CHUNK_TOKENS:
        count = -(-(n - SHARED_TOKENS) // (CHUNK_TOKENS - SHARED_TOKENS))
        starts = np.linspace(0, n - CHUNK_TOKENS, count).round().astype(int)
        parts = [slice(start, start + CHUNK_TOKENS) for start in starts.tolist()]
    seams = [0, *((before.stop + after.start) // 2 for before, after in pairwise(parts)), n]
    return [(part, slice(*seam)) for part, seam in zip(parts, pairwise(seams), strict=True)]


def exemplars(tokens: Tokens, spans: Sequence[tuple[float, float]]) -> list[np.ndarray]:
    """The tokens that show what is between start and stop, seconds; UsageError for a span outside the clip."""
    shots = []
    for start, stop in spans:
        first, last = tokens.time[[0, -1]]
        if not first - 0.5 <= start < stop <= last + 0.5:
            raise UsageError(f"'--exemplar {start:g}-{stop:g}' is not within the clip, {first:.2f} to {last:.2f} s")
        shots.append(shown(np.array([start, stop]), tokens.time))
    return shots


def calibrated(densities: TokenDensities, tokens: Tokens, spans: Sequence[tuple[float, float]]) -> TokenDensities:
    """Scale densities so that each span that shows one repetition, seconds, holds one on average, at most by 2."""
    reached = np.concatenate([[0.0], np.cumsum(densities.final)])
    begin, end = np.interp(np.array(spans).T, tokens.time, reached)
    factor = 1 / np.clip((end - begin).mean(), 1 / MOST_CORRECTED, MOST_CORRECTED)
    alone = {name: factor * curve for name, curve in densities.alone.items()}
    return TokenDensities(factor * densities.final, alone)


def clearest(densities: TokenDensities, tokens: Tokens, most: int) -> list[np.ndarray]:
    """The tokens that show the repetitions whose length is most usual, up to `most` of them."""
    spans = repetitions(densities.final, tokens.time, densities.count)
    if not len(spans):
        return []
    length = spans[:, 1] - spans[:, 0]
    order = np.argsort(np.abs(length - np.median(length)), kind="stable")
    return [shown(spans[k], tokens.time) for k in order[:most]]


def _short(part: object) -> str:
    """A part of a meta document in few words."""
    if isinstance(part, dict):
        weights = part.get("weights") or {}
        return f"{part.get('encoder')} {str(weights.get('sha256', ''))[:8]}".strip()
    return str(part)


def _no_weights(name: str) -> str:
    """The error for a name without weights."""
    if name in COUNTER_MODELS:
        return f"no weights of '{name}' ship; train them with 'racctl train counter --model {name}', and name the file"
    return f"no such counter '{name}'; expected {', '.join(COUNTERS.names())} or a file of 'racctl train'"
