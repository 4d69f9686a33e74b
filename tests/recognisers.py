"""Made-up clips for the recognisers: a white square that moves left and right, up and down, or rests."""

from __future__ import annotations

import numpy as np

from racctl.recognisers.cache import StoredClip
from racctl.recognisers.inputs import Look

LOOK = Look(size=16)


def unpacked(packed: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Grayscale and mask, both (..., size, size) uint8 (mask 0 or 1, all 0 where none was packed)."""
    gray = packed[..., :size]
    if packed.shape[-1] == size:
        return gray, np.zeros_like(gray)
    return gray, np.unpackbits(packed[..., size:], axis=-1, count=size)


def moving(name: str, label: str, frames: int = 64, split: str = "train", seed: int = 0) -> StoredClip:
    """A clip of one label in noise: "sway", "bob" or "background"."""
    rng = np.random.default_rng(seed)
    gray = rng.integers(0, 60, (frames, 16, 16)).astype(np.uint8)
    mask = np.zeros((frames, 16, 16), np.uint8)
    phase = rng.uniform(0, 6.28)
    for t in range(frames):
        away = round(4 * np.sin(phase + t / 3))
        x, y = (5 + away, 5) if label == "sway" else (5, 5 + away) if label == "bob" else (5, 5)
        gray[t, y : y + 5, x : x + 5] = 220
        mask[t, y : y + 5, x : x + 5] = 1
    packed = np.concatenate([gray, np.packbits(mask, axis=-1)], axis=2)
    return StoredClip(name, split, packed, None, np.full(frames, label, object))


def a_set(clips: int = 6, split: str = "train", seed: int = 0) -> list[StoredClip]:
    labels = ["sway", "bob", "background"]
    return [moving(f"{split}{k}", labels[k % 3], split=split, seed=seed + k) for k in range(clips)]


def joints_model(path, classes=("background", "lunge", "squat"), **more):
    """A file of a recogniser of joints alone with random weights; more: of its header."""
    import torch

    from racctl.io.checkpoint import write_model
    from racctl.models.catalog import as_dict, built, configured

    torch.manual_seed(0)
    sizes = {"classes": len(classes), "layers": 1, "width": 32, "heads": 4, "input": "pose", "fusion": "none"}
    config = configured("mcat", {**sizes, "body": True, "patch": 2})
    look = Look(0, 15.0, 16, 8, topology="d2stx25", mask=False, inside=True)
    meta = {"model": "mcat", "config": as_dict(config), "classes": list(classes), "input": look.header(), **more}
    with open(path, "wb") as file:
        write_model(file, meta, built("mcat", config).state_dict())
    return path
