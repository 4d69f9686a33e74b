"""Token files as ESCounts and D2-STX name and shape them: one .npz for each clip, its array under the key `arr_0`.

`saved_<model>tokens_<dataset>/<clip>.npz` holds a clip's windows and `exemplar_<model>tokens_<dataset>/<clip>.npz` its
repetitions: video (S, C, T', H', W'), pose (S, C, T', V, 1). racctl puts its meta document beside the array, which
their loaders do not look at.
"""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from racctl import __version__
from racctl.contracts import Features, Meta, load_meta, step
from racctl.errors import DataError
from racctl.io.npz import read_arrays, read_npy, write_npz
from racctl.io.sniff import sniff
from racctl.io.spool import sha256

TOKEN_MODEL_NAMES = {
    "swin3d_t": "swin",
    "videomae_vit_b": "VideoMAE",
    "resnext3d_101": "resnext",
    "r2plus1d_18": "r2plus1d",
}
KEY = "arr_0"
TOKEN_WINDOW, TOKEN_STRIDE = 64, 16  # frames; as D2-STX makes its tokens (supplement, 6.2)


def token_file(folder: Path, clip: str, encoder: str, span: str, dataset: str = "") -> Path:
    """Return where the tokens of one branch go.

    span: "windows" or "repetitions".
    dataset: its name, "" for none.
    """
    start = "exemplar" if span == "repetitions" else "saved"
    kind = f"{start}_{TOKEN_MODEL_NAMES.get(encoder, encoder)}tokens" + (f"_{dataset}" if dataset else "")
    return folder / kind / f"{clip}.npz"


def encoder_names(features: Features) -> dict[str, str]:
    """Return the encoder of each branch that these features have."""
    branches = [branch for branch in ("video", "pose") if getattr(features, branch) is not None]
    return {branch: features.meta[branch]["encoder"] for branch in branches}


def write_tokens(target: IO[bytes], features: Features, tokens: np.ndarray) -> None:
    """Return one branch's tokens as float32, as the published files are."""
    write_npz(target, "", features.meta, {KEY: tokens.astype(np.float32)})


def holds_tokens(file: IO[bytes]) -> bool:
    """Return whether a file is a token file and nothing of racctl's own; the position is kept."""
    position = file.tell()
    try:
        if sniff(file) == "npy":
            version = np.lib.format.read_magic(file)
            read_header = getattr(np.lib.format, f"read_array_header_{version[0]}_{version[1]}")
            return len(read_header(file)[0]) == 5
        if sniff(file) == "npz":
            with zipfile.ZipFile(file) as archive:
                return f"{KEY}.npy" in archive.namelist()
    except (ValueError, AttributeError, OSError, zipfile.BadZipFile):
        pass
    finally:
        file.seek(position)
    return False


def import_tokens(files: list[tuple[IO[bytes], str]], clip: str, window: int, stride: int) -> Features:
    """Read one branch's token file, or both branches', as the racctl.features/1 of a clip.

    files: each open, and its name in messages.
    window, stride: frames, where the files do not say so themselves; the tokens are of every frame then, and the last
        window ends with the clip.

    Raises DataError where the files are of different clips, or of one branch.
    """
    branches: dict[str, np.ndarray] = {}
    about: Meta = {}
    for file, where in files:
        tokens = read_tokens(file, where)
        branch = "pose" if tokens.shape[-1] == 1 else "video"  # (S, C, T', V, 1), (S, C, T', H', W')
        if branch in branches:
            raise DataError(f"'{where}' holds {branch} tokens, as the file before it does; expected one of each branch")
        if branches and len(next(iter(branches.values()))) != len(tokens):
            raise DataError(f"'{where}' has {len(tokens)} windows, unlike the other branch; are both of '{clip}'?")
        branches[branch] = tokens.astype(np.float16)
        about = {**_foreign(branch, tokens, window), **about, **_recorded(file, where)}
    count = len(next(iter(branches.values())))
    about = {"span": "windows", "window": window, "stride": stride, "rate": 0.0, "ticks": count * stride, **about}
    start = np.arange(count, dtype=np.int64) * int(about["stride"])
    entry = step("encode", __version__, layout="escounts", window=about["window"], stride=about["stride"])
    entry["inputs"] = [sha256(file) for file, _ in files]
    meta = {**about, "clip": clip, "steps": [*about.get("steps", []), entry]}
    stop = np.minimum(start + int(about["window"]), max(int(about["ticks"]), int(start[-1]) + 1))
    return Features(start, stop, meta, branches.get("video"), branches.get("pose")).check(files[0][1])


def _foreign(branch: str, tokens: np.ndarray, window: int) -> Meta:
    """Return what is known of tokens when their file says nothing: nothing of their encoder."""
    known = {"encoder": "unknown", "weights": {"name": "unknown", "licence": "unknown"}}
    return {branch: {**known, "frames_per_token": window / tokens.shape[2]}}


def _recorded(file: IO[bytes], where: str) -> Meta:
    """Return the meta document that racctl writes beside the tokens; {} in a file of somebody else's."""
    file.seek(0)
    if sniff(file) != "npz":
        return {}
    raw = read_arrays(file, where).get("meta")
    return {} if raw is None or raw.dtype != np.uint8 else load_meta(raw.tobytes(), where)


def read_tokens(file: IO[bytes], where: str) -> np.ndarray:
    """Return the array of a token file, float32, five axes.

    Raises DataError when it is none.
    """
    arrays = {KEY: _plain(file, where)} if sniff(file) == "npy" else read_arrays(file, where)
    tokens = arrays.get(KEY)
    if tokens is None or tokens.ndim != 5 or tokens.dtype.kind != "f":
        held = ", ".join(f"'{name}' {array.shape}" for name, array in arrays.items()) or "nothing"
        raise DataError(f"'{where}' holds {held}; expected tokens under '{KEY}', (S, C, T, H, W)")
    if not np.isfinite(tokens).all():
        raise DataError(f"'{where}' holds values that are not finite")
    if not len(tokens):
        raise DataError(f"'{where}' holds no window")
    return tokens.astype(np.float32)


def _plain(file: IO[bytes], where: str) -> np.ndarray:
    length = file.seek(0, os.SEEK_END)
    file.seek(0)
    return read_npy(file, length, where)
