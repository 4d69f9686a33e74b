"""Where networks run: the device and the number of threads."""

from __future__ import annotations

import torch

from racctl.errors import UsageError


def pick_device(name: str) -> torch.device:
    """Return the device called `name`; auto is CUDA, else MPS, else the CPU.

    Raises UsageError for a device that is not available.
    """
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device("cuda" if available["cuda"] else "mps" if available["mps"] else "cpu")
    kind, _, number = name.partition(":")
    if kind not in available or (number and not number.isdecimal()):
        raise UsageError(f"no such device '{name}'; expected auto, cpu, cuda or mps")
    if not available[kind]:
        raise UsageError(f"'--device {name}': this machine or this build of torch has none; '--device cpu' works")
    return torch.device(name)


def set_threads(count: int) -> None:
    """Return how many threads torch may use in one operation."""
    torch.set_num_threads(max(1, count))
