"""To add one of a kind is to add one file: each kind gets a member from a package of its own, and uses it."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest
from commands import one_line, racctl
from plugins import documented, install


def shown_help(tool: str, environment: dict[str, str]) -> str:
    """Return a tool's help, on lines long enough for any metavar."""
    done = racctl(tool, "--help", env={**environment, "COLUMNS": "300"})
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def succeed(*words: object, environment: dict[str, str], **options) -> bytes:
    """Run a command that has to succeed; return what it writes to stdout."""
    done = racctl(*words, env=environment, **options)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


KICK = '"""An exercise: the front kick."""'


def test_an_exercise_is_one_file(tmp_path):
    pytest.importorskip("anny", reason="the clip is drawn; needs racctl[synth]")
    environment = install(tmp_path, "kicks", documented(KICK), "racctl.exercises", front_kick="FRONT_KICK")
    assert "|front_kick" in shown_help("synth", environment)
    assert b"\nfront_kick " in succeed("synth", "--list", environment=environment)
    drawn = ["--clips", 1, "--pose-only", "--clean", "--reps", "2-2", "--fps", 10, "--jobs", 1]
    succeed("synth", "--out", tmp_path / "look", "--classes", "front_kick", *drawn, environment=environment)
    (row,) = pq.read_table(tmp_path / "look" / "manifest.parquet").to_pylist()
    assert (row["label"], row["count"]) == ("front_kick", 2)


def test_an_entry_point_that_is_no_exercise_is_named(tmp_path):
    environment = install(tmp_path, "kicks", "FRONT_KICK = (1, 2)", "racctl.exercises", front_kick="FRONT_KICK")
    line = one_line(racctl("synth", "--list", env=environment), 2)
    assert "'front_kick' (kicks:FRONT_KICK) is no racctl.synth.movement.Movement" in line
