"""A trained recogniser, ready to be fed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from racctl.contracts import UNKNOWN_LABEL, Meta
from racctl.errors import DataError, UsageError
from racctl.models.catalog import recognisers
from racctl.recognisers.inputs import Look, Streams
from racctl.recognisers.rejection import Rejection, exercise_energy
from racctl.weights import embedded, names
from racctl.weights.load import load_trained

WINDOWS_AT_ONCE = 64  # windows in a batch


@dataclass(frozen=True)
class Judgement:
    """What a model says of S windows.

    joint: (S, K + 1) float64 probabilities, of the classes and of everything else, which is 0 where the model cannot
        tell.
    energy: (S,) float64.
    rows: (S, T) the windows' ticks.
    """

    joint: np.ndarray
    energy: np.ndarray
    rows: np.ndarray


class Recogniser:
    """A trained model, ready to be fed. classes: K names.  look: what it wants to see.  record: for provenance.
    knows_scaled, knows_lacking: it was trained on poses that are scaled in every frame too, or that lack joints.
    rejection: when it says "unknown", None
    where its file does not tell."""

    def __init__(self, name: str, device: torch.device) -> None:
        """name: a file, or embedded weights. Raises DataError for a file that is no recogniser's, UsageError for a
        name that is neither."""
        path = Path(name) if Path(name).is_file() else embedded(name)
        if path is None:
            raise UsageError(f"no such model '{name}'; expected a file or one of {', '.join(names()) or 'none here'}")
        self.model, meta, self.record = load_trained(path, recognisers())
        self.look, self.device = Look.of(meta["input"], str(path)), device
        columns = self.columns = meta["classes"]
        config: Any = self.model.config
        if len(columns) != config.classes or not all(isinstance(name, str) for name in columns):
            raise DataError(f"'{path}' has a damaged header: its classes are not those of its weights")
        self.rejection = rejection_of(meta, str(path))
        self.classes = [name for name in columns if name != UNKNOWN_LABEL]
        augmentation = meta.get("training", {}).get("augmentation", {})
        self.knows_scaled = bool(augmentation.get("minmax"))
        self.knows_lacking = bool(augmentation.get("layouts"))
        self.model.to(device)

    def judge(self, streams: Streams) -> Judgement:
        """What the model says of every window."""
        logits, rows = self.logits(streams)
        rejection = self.rejection or Rejection(constant=-np.inf)
        return Judgement(rejection.joint(logits), exercise_energy(logits, self.columns), rows)

    @torch.no_grad()
    def logits(self, streams: Streams) -> tuple[np.ndarray, np.ndarray]:
        """(S, columns) float32 of every window, that of what is unknown last where there is one; and ticks (S, T)."""
        windows = self.look.windows
        rows = windows.rows(windows.starts(len(streams.packed)), len(streams.packed))
        batches = []
        for chosen in np.array_split(rows, -(-len(rows) // WINDOWS_AT_ONCE)):
            batches.append(self.model(*self.inputs(streams, chosen)).float().cpu().numpy())
        return np.concatenate(batches), rows

    def inputs(self, streams: Streams, rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """What the model is called with for windows of these ticks (S, T)."""
        gray, mask = pictures(torch.from_numpy(streams.packed[rows]).to(self.device), self.look.size)
        joints = None if streams.joints is None else torch.from_numpy(streams.joints[rows]).to(self.device)
        return gray, mask, joints


def rejection_of(meta: Meta, where: str) -> Rejection | None:
    """Return when a model with this header says "unknown": as it was calibrated, where what is unknown is the most
    probable if it was not, and never if it did not learn what is unknown either."""
    learned = UNKNOWN_LABEL in meta["classes"]
    if learned and meta["classes"][-1] != UNKNOWN_LABEL:
        raise DataError(f"'{where}' has a damaged header: '{UNKNOWN_LABEL}' is not its last class")
    if "rejection" not in meta:
        return Rejection() if learned else None
    rejection = Rejection.of(meta["rejection"], where)
    if learned == (rejection.constant is not None):
        raise DataError(f"'{where}' has a damaged header: its rejection is not that of its classes")
    return rejection


def pictures(packed: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Grayscale and mask (..., size, size) float32 in 0..1 of packed windows, unpacked on their own device."""
    gray = packed[..., :size].float() / 255
    bits = packed[..., size:]
    if not bits.shape[-1]:
        return gray, torch.zeros_like(gray)
    place = torch.arange(7, -1, -1, device=packed.device, dtype=torch.uint8)
    mask = (bits[..., None] >> place) & 1
    return gray, mask.flatten(-2)[..., :size].float()
