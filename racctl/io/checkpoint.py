"""racctl.model/1: weights in safetensors, with everything that is needed to use them in the header."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import IO, TYPE_CHECKING

from racctl.contracts import Meta, dump_meta, load_meta
from racctl.errors import DataError
from racctl.io.bounds import file_size, json_memory, refuse_large

if TYPE_CHECKING:
    from torch import Tensor

MODEL_SCHEMA = "racctl.model/1"
HEADER_KEYS = {"model": str, "config": dict, "classes": list, "input": dict}


def write_model(target: IO[bytes], meta: Meta, tensors: dict[str, Tensor]) -> None:
    """Write weights and their header; equal input gives equal bytes.

    meta: model (a name), config (what builds it), classes, input (its input requirements), training, licence, steps.
    """
    from safetensors.torch import save

    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    target.write(save(whole, {"racctl": dump_meta({**meta, "schema": MODEL_SCHEMA}).decode()}))


def read_model(file: IO[bytes], where: str) -> tuple[Meta, dict[str, Tensor]]:
    """Return the header and the weights of a model file.

    Raises DataError when the file is cut short, is no racctl.model/1, or lacks a part of it.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    size = file_size(file)
    refuse_large(2 * size, where)  # the bytes and the tensors made of them
    raw = file.read(size)
    try:
        tensors = load(raw)
        header = _header(raw)
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        reason = str(error).splitlines()[0].lower()
        raise DataError(f"'{where}' is not a whole safetensors file ({reason})") from None
    return check_model(header, where), tensors


def model_meta(path: str | Path) -> Meta:
    """Return the header alone, without reading the weights.

    Raises DataError where it is none.
    """
    try:
        with open(path, "rb") as file:
            size = file_size(file)
            length = int.from_bytes(file.read(8), "little")
            header = _header(length.to_bytes(8, "little") + file.read(min(length, size)))
    except (ValueError, KeyError, AttributeError) as error:
        reason = str(error).splitlines()[0].lower()
        raise DataError(f"'{path}' is not a whole safetensors file ({reason})") from None
    return check_model(header, str(path))


def digest(tensors: dict[str, Tensor]) -> str:
    """Return the sha256 over names, shapes and values, which does not change with the header."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        total.update(f"{name} {tuple(tensors[name].shape)} {tensors[name].dtype}".encode())
        total.update(tensors[name].detach().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()


def _header(raw: bytes) -> Meta:
    import json

    length = int.from_bytes(raw[:8], "little")
    text = raw[8 : 8 + length]
    refuse_large(json_memory(text), "the header")
    document = json.loads(text)
    about = document.get("__metadata__", {}).get("racctl")
    return load_meta(about.encode(), "the header") if about else {}


def check_model(meta: Meta, where: str) -> Meta:
    """Raise DataError unless this is the header of a racctl.model/1; returns it."""
    if not meta:
        raise DataError(f"'{where}' holds weights without a racctl header; expected {MODEL_SCHEMA} from 'racctl train'")
    if meta.get("schema") != MODEL_SCHEMA:
        raise DataError(f"'{where}' holds {meta.get('schema')}, this version reads {MODEL_SCHEMA}")
    for key, kind in HEADER_KEYS.items():
        if not isinstance(meta.get(key), kind):
            raise DataError(f"'{where}' has a damaged header: '{key}' is not a {kind.__name__}")
    return meta
