"""Weights that one branch of D2-STX begins with where only the other has learned."""

from __future__ import annotations

from torch import Tensor

from racctl.training.token_batches import STREAMS

OF_INPUT = ("embed", "place")  # of a branch's weights, those that belong to what it is fed with


def decoder_lent(tensors: dict[str, Tensor], fresh: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return what a branch without weights begins with: the other's blocks, and what follows them.

    tensors: the weights of a model with one branch.
    fresh: those of the model that is to be trained; nothing is lent where sizes differ.
    """
    lent = {}
    for branch, lender in (STREAMS, STREAMS[::-1]):
        for key in fresh:
            value = tensors.get(key.replace(f"branches.{branch}", f"branches.{lender}"))
            if model_part(key) == f"branches.{branch}" and value is not None and key.split(".")[2] not in OF_INPUT:
                lent[key] = value
    lent = {key: value for key, value in lent.items() if model_part(key) not in map(model_part, tensors)}
    return lent if all(fresh[key].shape == value.shape for key, value in lent.items()) else {}


def model_part(key: str) -> str:
    """Return the part of the model that a weight is of: a branch, or the fusion."""
    return ".".join(key.split(".")[: 2 if key.startswith("branches.") else 1])
