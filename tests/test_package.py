"""The source distribution: whoever unpacks it can run the tests that are in it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HELD = ("racctl", "tools", "tests", "man", "completions")
ALONE = ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "Makefile")


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    """What is in the source distribution, by path from its top."""
    folder = tmp_path_factory.mktemp("sdist")
    clutter = shutil.ignore_patterns("__pycache__", "*.pyc", "*.egg-info")
    for name in HELD:
        shutil.copytree(ROOT / name, folder / name, ignore=clutter)
    for name in (*ALONE, "MANIFEST.in"):
        shutil.copy(ROOT / name, folder / name)
    code = "from setuptools import build_meta; print(build_meta.build_sdist('dist'))"
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr.decode()
    (archive,) = (folder / "dist").glob("*.tar.gz")
    with tarfile.open(archive) as file:
        return {name.partition("/")[2] for name in file.getnames()}


def test_the_source_distribution_holds_what_its_tests_need(members):
    files = {str(path.relative_to(ROOT)) for name in HELD for path in (ROOT / name).rglob("*") if path.is_file()}
    files = {name for name in files if "__pycache__" not in name and ".egg-info" not in name}
    assert files | set(ALONE) <= members


def test_the_source_distribution_holds_nothing_made_by_running(members):
    assert not [name for name in members if "__pycache__" in name or name.endswith(".pyc")]
