"""What the library leaves as it is in the process that uses it."""

from __future__ import annotations

import csv
import os
import stat
import subprocess
import sys

import pytest
from clips import bouncing, write_clip

from racctl.io.output import write_bytes, write_file
from racctl.io.text import read_cells


def test_reading_long_cells_changes_no_limit_of_the_csv_module(tmp_path):
    path = tmp_path / "counts.csv"
    path.write_text(f"clip,count,density\na,2,{'0.5 ' * 50_000}\n")  # a density curve in one cell
    limit = csv.field_size_limit()
    with path.open("rb") as file:
        cells = read_cells(file, "counts.csv")
        next(cells)
        assert csv.field_size_limit() == limit  # while the table is being read, too
        assert len(next(cells)[1][2]) == 200_000
    assert csv.field_size_limit() == limit < 200_000


def test_writing_a_file_never_changes_the_umask(tmp_path, monkeypatch):
    before = os.umask(0o027)
    try:
        monkeypatch.setattr("os.umask", lambda mask: pytest.fail("the umask belongs to the whole process"))
        write_bytes(tmp_path / "new", b"new")
        (tmp_path / "old").write_bytes(b"old")
        (tmp_path / "old").chmod(0o604)
        write_file(tmp_path / "old", lambda file: file.write(b"newer"))
    finally:
        monkeypatch.undo()
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "old").stat().st_mode) == 0o604
    assert (tmp_path / "old").read_bytes() == b"newer"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "old"]


SCRIPT = """
import os
import sys

import racctl

before = dict(os.environ)
(count,) = racctl.count({clip!r})
assert dict(os.environ) == before, set(os.environ) ^ set(before)
assert "cv2" not in sys.modules and sys.modules["__main__"].__file__ == __file__
print(count.repetitions, len(count.frame))
"""


def test_a_plain_script_counts_once_and_stays_as_it_is(tmp_path):
    """Workers do not run the caller's script again, and what they need of the environment stays with them."""
    clip = write_clip(tmp_path / "clip.mp4", bouncing(120, 24))
    (tmp_path / "script.py").write_text(SCRIPT.format(clip=str(clip)))
    process = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert process.returncode == 0, process.stderr
    repetitions, frames = map(int, process.stdout.split())  # printed once
    assert repetitions in (4, 5) and frames == 120


def test_compiling_an_encoder_leaves_the_settings_of_torch_as_they_are(monkeypatch):
    import torch
    import torch._inductor.config as inductor

    from racctl.encoders.kinetics import _translated

    seen = []
    monkeypatch.setattr(
        torch, "compile", lambda network: lambda clips: seen.append(inductor.freezing) or network(clips)
    )
    before = inductor.freezing
    run = _translated(torch.nn.Identity())
    assert inductor.freezing == before
    run(torch.zeros(1))
    assert seen == [True] and inductor.freezing == before
