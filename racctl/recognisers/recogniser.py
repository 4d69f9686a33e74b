"""A trained recogniser, ready to be fed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from racctl.errors import DataError, UsageError
from racctl.models.catalog import recognisers
from racctl.recognisers.inputs import Look, Streams
from racctl.weights import embedded, names
from racctl.weights.load import load_trained

WINDOWS_AT_ONCE = 64  # windows in a batch


class Recogniser:
    """A trained model, ready to be fed. classes: K names.  look: what it wants to see.  record: for provenance.
    knows_scaled: it was trained on poses that are scaled in every frame too."""

    def __init__(self, name: str, device: torch.device) -> None:
        """name: a file, or embedded weights. Raises DataError for a file that is no recogniser's, UsageError for a
        name that is neither."""
        path = Path(name) if Path(name).is_file() else embedded(name)
        if path is None:
            raise UsageError(f"no such model '{name}'; expected a file or one of {', '.join(names()) or 'none here'}")
        self.model, meta, self.record = load_trained(path, recognisers())
        self.look, self.classes, self.device = Look.of(meta["input"], str(path)), meta["classes"], device
        config: Any = self.model.config
        if len(self.classes) != config.classes or not all(isinstance(name, str) for name in self.classes):
            raise DataError(f"'{path}' has a damaged header: its classes are not those of its weights")
        augmentation = meta.get("training", {}).get("augmentation", {})
        self.knows_scaled = bool(augmentation.get("minmax"))
        self.model.to(device)

    @torch.no_grad()
    def probabilities(self, streams: Streams) -> tuple[np.ndarray, np.ndarray]:
        """(S, K) float32 of every window, and the windows' ticks (S, T)."""
        windows = self.look.windows
        rows = windows.rows(windows.starts(len(streams.packed)), len(streams.packed))
        batches = []
        for chosen in np.array_split(rows, -(-len(rows) // WINDOWS_AT_ONCE)):
            batches.append(self.model(*self.inputs(streams, chosen)).float().softmax(-1).cpu().numpy())
        return np.concatenate(batches), rows

    def inputs(self, streams: Streams, rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """What the model is called with for windows of these ticks (S, T)."""
        gray, mask = pictures(torch.from_numpy(streams.packed[rows]).to(self.device), self.look.size)
        joints = None if streams.joints is None else torch.from_numpy(streams.joints[rows]).to(self.device)
        return gray, mask, joints


def pictures(packed: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Grayscale and mask (..., size, size) float32 in 0..1 of packed windows, unpacked on their own device."""
    gray = packed[..., :size].float() / 255
    bits = packed[..., size:]
    if not bits.shape[-1]:
        return gray, torch.zeros_like(gray)
    place = torch.arange(7, -1, -1, device=packed.device, dtype=torch.uint8)
    mask = (bits[..., None] >> place) & 1
    return gray, mask.flatten(-2)[..., :size].float()
