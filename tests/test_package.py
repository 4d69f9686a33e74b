"""The distributions: the source runs its own tests, and both say who made what under which licence."""

from __future__ import annotations

import email
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.message import Message
from pathlib import Path

import pytest

import racctl
from racctl.tools.demo import CHAIN

ROOT = Path(__file__).parent.parent
FOLDERS = ("racctl", "tools", "tests", "man", "completions", "docs", ".ci")
DOCUMENTS = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "CITATION.cff", "LICENSE")
FILES = (*DOCUMENTS, "pyproject.toml", "MANIFEST.in", "Makefile")
CLUTTER = shutil.ignore_patterns("__pycache__", "*.pyc", "*.egg-info")


def build(source: Path, hook: str) -> Path:
    """Run one hook of the build backend in a folder and return what it built."""
    code = f"from setuptools import build_meta; build_meta.{hook}('dist')"
    done = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr.decode()
    (built,) = (source / "dist").glob("*.tar.gz" if hook == "build_sdist" else "*.whl")
    return built


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory) -> Path:
    """The source distribution of a clean checkout, unpacked."""
    checkout, target = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("unpacked")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, checkout / name, ignore=CLUTTER)
    for name in FILES:
        shutil.copy(ROOT / name, checkout / name)
    with tarfile.open(build(checkout, "build_sdist")) as archive:
        archive.extractall(target, filter="data")
    (folder,) = target.iterdir()
    return folder


@pytest.fixture(scope="module")
def wheel(unpacked) -> Path:
    """The wheel that is built from the source distribution."""
    return build(unpacked, "build_wheel")


@pytest.fixture(scope="module")
def metadata(wheel) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return email.message_from_bytes(archive.read(name))


def files_in(folder: Path) -> set[str]:
    paths = (path for name in FOLDERS for path in (folder / name).rglob("*") if path.is_file())
    names = {str(path.relative_to(folder)) for path in paths}
    return {name for name in names if "__pycache__" not in name and ".egg-info" not in name}


def test_the_source_distribution_holds_every_file(unpacked):
    assert files_in(ROOT) - files_in(unpacked) == set()
    assert {name for name in FILES if not (unpacked / name).is_file()} == set()


def test_the_source_distribution_holds_nothing_made_by_running(unpacked):
    assert not [path for path in unpacked.rglob("*") if path.suffix == ".pyc" or path.name == "__pycache__"]


def test_the_tests_of_the_source_distribution_are_collected_against_the_wheel(unpacked, wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    # -P: the working folder's racctl, which lacks racctl.tools, must not stand before the wheel's.
    python = [sys.executable, "-P"]
    environment = {"cwd": unpacked, "env": {**os.environ, "PYTHONPATH": str(tmp_path)}, "text": True, "timeout": 280}
    place = subprocess.check_output([*python, "-c", "import racctl.tools as t; print(t.__file__)"], **environment)
    assert Path(place.strip()).is_relative_to(tmp_path)
    collect = ["-m", "pytest", "--collect-only", "-qq", "-n", "0", "-p", "no:cacheprovider", "tests"]
    done = subprocess.run([*python, *collect], capture_output=True, check=False, **environment)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    collected = {line.split(":")[0].split("/")[-1] for line in done.stdout.splitlines() if ": " in line}
    assert {path.name for path in (ROOT / "tests").glob("test_*.py")} <= collected


def test_the_wheel_holds_the_library_its_weights_its_types_and_its_manual(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    library = {name for name in files_in(ROOT) if name.startswith("racctl/")}
    tools = {f"racctl/{name}" for name in files_in(ROOT) if name.startswith("tools/")}
    assert library | tools <= names
    assert "racctl/py.typed" in names
    assert {"racctl-count.1", "racctl-formats.5", "racctl-pipelines.7"} <= {name.split("/")[-1] for name in names}


def test_the_metadata_says_who_what_and_under_which_licence(metadata):
    assert metadata["Name"] == "racctl"
    assert metadata["Author"] == "The racctl authors"
    assert metadata["License-Expression"] == "MIT"
    assert metadata["License-File"] == "LICENSE"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert "repetition counting" in metadata["Keywords"]
    classifiers = metadata.get_all("Classifier")
    assert "Typing :: Typed" in classifiers
    assert "Topic :: Multimedia :: Video" in classifiers
    assert not [line for line in classifiers if line.startswith("License ::")], "the expression says it"


def test_the_version_stands_in_one_place(metadata):
    assert metadata["Version"] == racctl.__version__
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "version" not in project
    assert not re.search(r"^version:", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert f"## {racctl.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_pictures_of_the_readme_are_small_and_show_the_clip_of_the_demo():
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", (ROOT / "README.md").read_text())
    assert pictures == ["docs/overlay.png", "docs/plot.svg"]
    for name in pictures:
        assert (ROOT / name).stat().st_size < 150_000, name
    script = (ROOT / "docs" / "pictures.py").read_text()
    (drawing,) = re.findall(r'^DRAWING = "(.+)"$', script, re.MULTILINE)
    assert f"racctl synth --out {{out}} {drawing} --quiet" == CHAIN[0]
    assert "```sh\nracctl demo\n```" in (ROOT / "README.md").read_text()
