"""What `import racctl` offers gives exactly what the commands give."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from clips import bouncing, write_clip
from commands import in_process

import racctl
from racctl.counters.result import counts_table
from racctl.errors import UsageError
from racctl.io.npz import read_features, read_mask, read_pose

REAL = Path(os.environ.get("RACCTL_TEST_DATA", "/nowhere")) / "clips"


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("api") / "bounce.mp4", bouncing(120, 24))


def command(capsys, *words: object) -> None:
    code, printed = in_process(capsys, *words)
    assert code == 0, printed


def real_clips() -> list[Path]:
    if not REAL.is_dir():
        return []
    return sorted(REAL.glob("*.mp4"), key=lambda path: path.stat().st_size)[:1]


@pytest.mark.parametrize("path", [None, *real_clips()], ids=lambda path: path.stem if path else "drawn")
def test_counts_are_those_of_the_command(clip, tmp_path, capsys, path):
    source = path or clip
    command(capsys, "count", source, "-o", tmp_path / "c.parquet")
    expected = pq.read_table(tmp_path / "c.parquet")
    counts = racctl.count(str(source))
    assert counts_table(counts).to_pylist() == expected.to_pylist()
    assert counts_table(counts).schema.metadata == {**expected.schema.metadata}
    (count,) = counts
    assert count.repetitions == len(count.start) and count.low <= count.repetitions <= count.high


def test_labels_are_those_of_the_command(clip, tmp_path, capsys):
    command(capsys, "classify", clip, "--whole", "--format", "json", "-o", tmp_path / "l.json")
    assert racctl.classify(clip, unit="clip") == json.loads((tmp_path / "l.json").read_text())


def test_tokens_are_those_of_the_command(clip, tmp_path, capsys):
    command(capsys, "encode", clip, "--stop", "2", "-o", tmp_path / "f.npz")
    with open(tmp_path / "f.npz", "rb") as file:
        expected = read_features(file, "f.npz")
    features = racctl.encode(clip, stop=2.0)
    assert {**features.meta, "schema": "racctl.features/1"} == expected.meta
    np.testing.assert_array_equal(features.pose, expected.pose)
    np.testing.assert_array_equal(features.video, expected.video)


def test_poses_and_masks_are_those_of_the_commands(clip, tmp_path, capsys):
    command(capsys, "pose", clip, "--stop", "1", "-o", tmp_path / "p.npz")
    pose = racctl.estimate_pose(clip, stop=1.0)
    with open(tmp_path / "p.npz", "rb") as file:
        expected = read_pose(file, "p.npz")
    np.testing.assert_array_equal(pose.xyz, expected.xyz)
    assert {**pose.meta, "schema": "racctl.pose/1"} == expected.meta
    np.testing.assert_array_equal(racctl.read_pose(str(tmp_path / "p.npz")).xyz, expected.xyz)
    command(capsys, "mask", clip, "--stop", "1", "-o", tmp_path / "m.npz")
    with open(tmp_path / "m.npz", "rb") as file:
        np.testing.assert_array_equal(racctl.estimate_mask(clip, stop=1.0).mask, read_mask(file, "m.npz").mask)


def test_a_setting_that_the_counter_does_not_have_is_one_line(clip):
    with pytest.raises(UsageError, match="'periodicity' has no such setting"):
        racctl.count(clip, "periodicity", self_exemplars=2)
    with pytest.raises(AttributeError, match="has no attribute 'recount'"):
        _ = racctl.recount


def test_what_is_public_is_importable():
    for name in racctl.__all__:
        assert getattr(racctl, name) is not None
