"""How many threads networks use: as the command line says, else the environment, else one per core."""

from __future__ import annotations

import pytest
from commands import warm_process
from poses import swinging_pose

from racctl.cli.batch import cores
from racctl.io.npz import pose_bytes

CODE = """
import sys
from racctl.cli.app import run
code = run(sys.argv[1:])
import torch
print(code, torch.get_num_threads(), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("words", "environment", "expected"),
    [
        ("count --model d2stx --threads 2", "3", 2), ("count --model d2stx", "3", 3),
        ("count --model d2stx", "4,2", cores()), ("classify", "3", 3), ("encode --encoder none", "3", 3),
    ],
)  # fmt: skip
def test_threads_of_networks(words, environment, expected, tmp_path, monkeypatch):
    (tmp_path / "p.npz").write_bytes(pose_bytes(swinging_pose(70)))
    monkeypatch.setenv("OMP_NUM_THREADS", environment)
    done = warm_process().run(CODE, ["racctl", *words.split(), str(tmp_path / "p.npz")])
    assert done.stderr.decode().split() == ["0", str(expected)]
