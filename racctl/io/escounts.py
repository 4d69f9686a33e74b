"""Token files as ESCounts and D2-STX name and shape them: one .npz for each clip, its array under the key `arr_0`.

`saved_<model>tokens_<dataset>/<clip>.npz` holds a clip's windows and `exemplar_<model>tokens_<dataset>/<clip>.npz` its
repetitions: video (S, C, T', H', W'), pose (S, C, T', V, 1). racctl puts its meta document beside the array, which
their loaders do not look at.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO

import numpy as np

from racctl.contracts import Features
from racctl.errors import DataError
from racctl.io.npz import read_arrays, write_npz

MODELS = {"swin3d_t": "swin", "videomae_vit_b": "VideoMAE", "resnext3d_101": "resnext", "r2plus1d_18": "r2plus1d"}
KEY = "arr_0"


def token_files(folder: Path, features: Features, dataset: str = "") -> dict[Path, np.ndarray]:
    """Where each branch's tokens go, and they. dataset: its name, "" for none."""
    start = "exemplar" if features.meta.get("span") == "repetitions" else "saved"
    found = {}
    for branch in ("video", "pose"):
        tokens = getattr(features, branch)
        if tokens is not None:
            name = features.meta[branch]["encoder"]
            kind = f"{start}_{MODELS.get(name, name)}tokens" + (f"_{dataset}" if dataset else "")
            found[folder / kind / f"{features.clip}.npz"] = tokens
    return found


def write_tokens(target: IO[bytes], features: Features, tokens: np.ndarray) -> None:
    """One branch's tokens as float32, as the published files are."""
    write_npz(target, "", features.meta, {KEY: tokens.astype(np.float32)})


def read_tokens(file: IO[bytes], where: str) -> np.ndarray:
    """The array of a token file, float32, five axes; DataError when it is none."""
    arrays = read_arrays(file, where)
    tokens = arrays.get(KEY)
    if tokens is None or tokens.ndim != 5 or tokens.dtype.kind != "f":
        held = ", ".join(f"'{name}' {array.shape}" for name, array in arrays.items()) or "nothing"
        raise DataError(f"'{where}' holds {held}; expected tokens under '{KEY}', (S, C, T, H, W)")
    if not np.isfinite(tokens).all():
        raise DataError(f"'{where}' holds values that are not finite")
    return tokens.astype(np.float32)
