"""Weights from the network: only what is pinned by size and sha256, only when asked for, kept in a cache."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from racctl.errors import DataError


@dataclass(frozen=True)
class Bundle:
    """A published file of weights: where it is, and what it must be."""

    url: str
    size: int
    sha256: str

    @property
    def cached(self) -> Path:
        """Where it lies once fetched."""
        return cache_folder() / Path(self.url).name

    @property
    def is_cached(self) -> bool:
        return self.cached.is_file() and self.cached.stat().st_size == self.size


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
            data = answer.read(bundle.size + 1)
    except OSError as error:
        raise DataError(f"cannot fetch '{bundle.url}' ({error})") from None
    if len(data) != bundle.size or hashlib.sha256(data).hexdigest() != bundle.sha256:
        raise DataError(f"'{bundle.url}' is not the file that was pinned (size or sha256 differ); nothing was kept")
    bundle.cached.parent.mkdir(parents=True, exist_ok=True)
    write_file(bundle.cached, lambda file: file.write(data) and None)
    return bundle.cached


def weights_record(path: Path, licence: str) -> dict[str, str]:
    """Name, sha256 and licence of a file of weights, for provenance."""
    return {"name": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "licence": licence}
