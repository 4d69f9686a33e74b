"""racctl demo, but for the chain itself, which tests/test_examples.py runs: what fails, and what lacks."""

from __future__ import annotations

import os

import pytest
import typer
from commands import afresh, one_line

from racctl.cli.chain import run_chain
from racctl.tools.demo import CHAIN


def test_what_fails_ends_the_chain_with_its_code(tmp_path, capfd):
    with pytest.raises(typer.Exit) as stop:
        run_chain(["racctl --version", f"racctl count '{tmp_path}/a b.mp4'", "racctl --help"])
    assert stop.value.exit_code == 1
    shown = capfd.readouterr()
    assert shown.out.splitlines()[0] == "$ racctl --version" and "--help" not in shown.out
    assert "a b.mp4' does not exist" in shown.err


def test_the_chain_is_of_racctl_alone():
    assert all(line.startswith("racctl ") for line in CHAIN)
    with pytest.raises(ValueError, match="no command of racctl"):
        run_chain(["ls"])


def test_the_missing_extra_is_named(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['anny'] = None\n")
    done = afresh("demo", "-o", tmp_path / "out", env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert "pip install 'racctl[synth]'" in one_line(done, 1)
    assert not (tmp_path / "out").exists()
