"""Networks that `racctl train` made, from their files or from the weights that ship."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from torch import nn

from racctl.contracts import Meta
from racctl.errors import DataError, UsageError, reason
from racctl.io.checkpoint import digest, read_model
from racctl.models.catalog import built, configured


def load_trained(path: Path, kinds: Collection[str]) -> tuple[nn.Module, Meta, Meta]:
    """Load the network in a racctl.model/1 of one of these kinds.

    Returns it in eval mode, its header, and for provenance its name, sha256 and licence.

    Raises DataError when the file cannot be read, holds another kind, or does not fit its own header.
    """
    try:
        with open(path, "rb") as file:
            meta, tensors = read_model(file, str(path))
    except OSError as error:
        raise DataError(f"cannot open '{path}': {reason(error)}") from None
    if meta["model"] not in kinds:
        raise DataError(f"'{path}' is a model of kind '{meta['model']}'; expected {', '.join(kinds)}")
    try:
        network = built(meta["model"], configured(meta["model"], meta["config"]))
        network.load_state_dict(tensors)
    except (ValueError, TypeError, RuntimeError, UsageError) as error:
        raise DataError(f"'{path}' has weights that do not fit its header ({str(error).splitlines()[0]})") from None
    record = {"name": path.name, "sha256": digest(tensors), "licence": str(meta.get("licence", "unstated"))}
    return network.eval(), meta, record
