"""What a model is shown of somebody else's skeleton, or of one scaled out of proportion, is said."""

from __future__ import annotations

import json

import numpy as np
import pytest
from commands import in_process
from poses import swinging_pose
from recognisers import joints_model

from racctl.io.npz import write_pose
from racctl.skeleton.remap import minmax, remap


def saved(tmp_path, pose):
    path = tmp_path / "p.npz"
    with open(path, "wb") as file:
        write_pose(file, pose)
    return path


def notes(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("note: ")]


@pytest.mark.parametrize(("topology", "missing"), [("openpose25", "6 of the 25"), ("coco17", "of the 25")])
@pytest.mark.parametrize(
    "words", [("classify", "--whole"), ("count", "--model", "d2stx"), ("encode", "--encoder", "none")]
)
def test_missing_joints_are_named_in_one_line(tmp_path, capsys, topology, missing, words):
    path = saved(tmp_path, remap(swinging_pose(), topology))
    tool, *options = words
    code, message = in_process(capsys, tool, path, *options, "-o", tmp_path / "out")
    assert code == 0, message
    (line,) = notes(message)
    assert missing in line and "left_hand_tip" in line
    assert ("less is left to tell by" if tool == "classify" else "unreliable") in line
    assert in_process(capsys, tool, path, *options, "-o", tmp_path / "out2", "-q") == (0, "")


def test_a_flat_pose_is_said(tmp_path, capsys):
    pose = swinging_pose()
    pose.xyz[..., 2] = 0
    code, message = in_process(capsys, "classify", saved(tmp_path, pose), "-o", tmp_path / "out")
    assert code == 0 and "lacks depth" in notes(message)[0]


def test_a_whole_pose_says_nothing(tmp_path, capsys):
    for tool in ("classify", "count"):
        assert in_process(capsys, tool, saved(tmp_path, swinging_pose()), "-o", tmp_path / f"{tool}.csv") == (0, "")


def test_the_counter_without_weights_needs_no_joint_in_particular(tmp_path, capsys):
    path = saved(tmp_path, remap(swinging_pose(), "coco17"))
    code, message = in_process(capsys, "count", path, "--format", "json", "-o", tmp_path / "c.json")
    assert (code, message) == (0, "")
    assert json.loads((tmp_path / "c.json").read_text())[0]["count"] == 5


def test_a_pose_out_of_proportion_needs_a_model_that_knows_such_poses(tmp_path, capsys):
    path = saved(tmp_path, minmax(swinging_pose()))
    plain = joints_model(tmp_path / "plain.safetensors")
    code, message = in_process(capsys, "classify", path, "--model", plain, "-o", tmp_path / "out")
    assert code == 1 and "needs the body's proportions" in message
    assert not (tmp_path / "out").exists()
    used = joints_model(tmp_path / "used.safetensors", training={"augmentation": {"minmax": 0.1}})
    assert in_process(capsys, "classify", path, "--model", used, "-o", tmp_path / "out")[0] == 0


def test_depth_that_is_unknown_is_no_depth_of_zero(tmp_path, capsys):
    pose = swinging_pose()
    pose.xyz[..., 2] = np.nan
    code, message = in_process(capsys, "classify", saved(tmp_path, pose), "-o", tmp_path / "out")
    assert code == 0 and "lacks depth" in notes(message)[0]
