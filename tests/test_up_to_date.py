"""An output is made again when anything that shaped it has changed: input, options, thresholds, weights."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
from clips import bouncing, write_clip
from commands import in_process
from poses import swinging_pose

from racctl.contracts import with_step
from racctl.counters import cycles, paces
from racctl.estimators import selfie, workers
from racctl.estimators.pose import pose_step
from racctl.io.npz import pose_bytes
from racctl.io.up_to_date import constants_digest
from racctl.skeleton import normalise
from racctl.weights import embedded


def times(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


@pytest.fixture
def pose(tmp_path):
    path = tmp_path / "p.npz"
    path.write_bytes(pose_bytes(swinging_pose(meta={"clip": "p", "topology": "blazepose33", "steps": []})))
    return path


@pytest.mark.parametrize(
    ("tool", "module", "name"),
    [("count", cycles, "CHANCE"), ("count", paces, "TEMPI"), ("classify", normalise, "GLITCH")],
)
def test_a_changed_threshold_is_seen(pose, tmp_path, capsys, monkeypatch, tool, module, name):
    words = (tool, pose, "-o", f"{tmp_path / 'out'}/")
    assert in_process(capsys, *words)[0] == 0
    first = times(tmp_path / "out")
    assert len(first) == 1
    assert in_process(capsys, *words)[0] == 0
    assert times(tmp_path / "out") == first
    value = getattr(module, name)
    changed = (*value, 0.1) if isinstance(value, tuple) else value * 1.01
    monkeypatch.setattr(module, name, changed)
    assert in_process(capsys, *words)[0] == 0
    assert times(tmp_path / "out") != first


def test_other_options_are_seen_by_classify(pose, tmp_path, capsys):
    words = ("classify", pose, "-o", f"{tmp_path / 'out'}/")
    assert in_process(capsys, *words)[0] == 0
    first = times(tmp_path / "out")
    assert in_process(capsys, *words, "--smooth", "0.5")[0] == 0
    second = times(tmp_path / "out")
    assert second != first
    pose.write_bytes(pose_bytes(swinging_pose(140, meta={"clip": "p", "topology": "blazepose33", "steps": []})))
    assert in_process(capsys, *words, "--smooth", "0.5")[0] == 0
    assert times(tmp_path / "out") != second


def test_classified_videos_are_skipped(tmp_path, capsys):
    clip = write_clip(tmp_path / "a.mp4", bouncing(40, 20))
    words = ("classify", clip, "-o", f"{tmp_path / 'out'}/")
    code, message = in_process(capsys, *words)
    assert code == 0, message
    first = times(tmp_path / "out")
    assert in_process(capsys, *words)[0] == 0
    assert times(tmp_path / "out") == first


def test_estimates_carry_what_made_them(monkeypatch):
    before = pose_step("full", 1, None, None, 1)
    monkeypatch.setattr(workers, "WARM_UP", 9)
    assert pose_step("full", 1, None, None, 1) != before


STEPS = """
import racctl.estimators.blazepose.{module} as changed
changed.{name} = {value}
from racctl.estimators.mask import MaskOptions
from racctl.estimators.pose import pose_step
print(pose_step("full", 1, None, None, 1)["constants"], MaskOptions().step["constants"])
"""


def test_a_changed_threshold_of_the_tracking_makes_poses_and_masks_anew():
    """The digest is made when the modules are imported."""
    digests = [
        subprocess.run([sys.executable, "-c", STEPS.format(module=module, name=name, value=value)], capture_output=True)
        .stdout.decode()
        .split()
        for module, name, value in (
            ("tracks", "NOTHING", "None"),
            ("tracks", "STRANGER", 0.31),
            ("tracker", "HELD", 2.9),
            ("fill", "REACH", 9.0),
            ("prominence", "AT_EDGE", 0.4),
        )
    ]
    poses, masks = zip(*digests, strict=True)
    assert len(set(poses)) == len(set(masks)) == len(digests)


def test_a_digest_is_of_constants_alone(monkeypatch):
    before = constants_digest(selfie, workers)
    monkeypatch.setattr(workers, "lower", 3, raising=False)
    assert constants_digest(selfie, workers) == before == constants_digest(workers, selfie)
    monkeypatch.setattr(workers, "UPPER", 3, raising=False)
    assert constants_digest(selfie, workers) != before


def test_changed_weights_are_seen(tmp_path, capsys):
    """A count in which the trained counter had a say names its weights; other weights make it again."""
    doubtful = swinging_pose(360, meta={"clip": "p", "topology": "blazepose33", "steps": []})
    doubtful.xyz[np.arange(360) % 60 < 39] = np.nan
    path = tmp_path / "p.npz"
    path.write_bytes(pose_bytes(doubtful))
    words = ("count", path, "-o", f"{tmp_path / 'out'}/")
    assert in_process(capsys, *words)[0] == 0
    target = tmp_path / "out" / "p.counts.parquet"
    table = pq.read_table(target)
    meta = json.loads(table.schema.metadata[b"racctl"])
    assert len(meta["steps"][-1]["weights"]) == 3  # of the network and of both encoders
    first = times(tmp_path / "out")
    assert in_process(capsys, *words)[0] == 0
    assert times(tmp_path / "out") == first
    *steps, last = meta["steps"]
    last["weights"][0]["sha256"] = "of older weights"
    older = with_step({**meta, "steps": steps}, last)
    pq.write_table(table.replace_schema_metadata({b"racctl": json.dumps(older)}), target)
    second = times(tmp_path / "out")
    assert in_process(capsys, *words)[0] == 0
    assert times(tmp_path / "out") != second


def test_imported_tokens_are_skipped(pose, tmp_path, capsys):
    words = ("encode", pose, "--encoder", "none", "--layout", "escounts", "-o", tmp_path / "tokens")
    assert in_process(capsys, *words)[0] == 0
    (tokens,) = (tmp_path / "tokens").rglob("*.npz")
    words = ("encode", tokens, "-o", f"{tmp_path / 'out'}/")
    assert in_process(capsys, *words)[0] == 0
    first = times(tmp_path / "out")
    assert in_process(capsys, *words)[0] == 0
    assert times(tmp_path / "out") == first
    code, message = in_process(capsys, *words, "--start", "1")
    assert code == 2 and "leave out '--start'" in message


def test_where_the_weights_lie_is_no_part_of_the_result(pose, tmp_path, capsys):
    written = []
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        shutil.copy(embedded("d2stx"), tmp_path / folder / "counter.safetensors")
        target = tmp_path / folder / "c.parquet"
        code, message = in_process(
            capsys, "count", pose, "--model", tmp_path / folder / "counter.safetensors", "-o", target
        )
        assert code == 0, message
        written.append(target.read_bytes())
    assert written[0] == written[1] and str(tmp_path).encode() not in written[0]
