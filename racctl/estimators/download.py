"""Weights from the network: only what is pinned by size and sha256, only when asked for, kept in a cache."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from racctl.errors import DataError


@dataclass(frozen=True)
class Bundle:
    """A published file of weights: where it is, and what it must be.

    sha256: as many of its first hex digits as its publisher states.  rounding: bytes that `size` may be off by, where
    the publisher states it rounded.
    """

    url: str
    size: int
    sha256: str
    rounding: int = 0

    @property
    def cached(self) -> Path:
        """Where it lies once fetched."""
        return cache_folder() / Path(self.url).name

    @property
    def is_cached(self) -> bool:
        return self.cached.is_file() and self.fits(self.cached.stat().st_size)

    def fits(self, size: int) -> bool:
        return abs(size - self.size) <= self.rounding


def cache_folder() -> Path:
    """Where downloaded models are kept: $RACCTL_CACHE, else $XDG_CACHE_HOME/racctl, else ~/.cache/racctl."""
    if "RACCTL_CACHE" in os.environ:
        return Path(os.environ["RACCTL_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "racctl"


def fetch(bundle: Bundle) -> Path:
    """Download into the cache; DataError unless size and sha256 are the pinned ones."""
    import urllib.request

    from racctl.io.output import write_file

    try:
        with urllib.request.urlopen(bundle.url, timeout=60) as answer:
            data = answer.read(bundle.size + bundle.rounding + 1)
    except OSError as error:
        raise DataError(f"cannot fetch '{bundle.url}' ({error})") from None
    if not bundle.fits(len(data)) or not hashlib.sha256(data).hexdigest().startswith(bundle.sha256):
        raise DataError(f"'{bundle.url}' is not the file that was pinned (size or sha256 differ); nothing was kept")
    bundle.cached.parent.mkdir(parents=True, exist_ok=True)
    write_file(bundle.cached, lambda file: file.write(data) and None)
    return bundle.cached


def weights_record(path: Path, licence: str) -> dict[str, str]:
    """Name, sha256 and licence of a file of weights, for provenance."""
    return {"name": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "licence": licence}
