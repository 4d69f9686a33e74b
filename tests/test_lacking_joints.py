"""Joints as other skeletons and cameras give them: what training takes away, and what a model makes of it."""

import numpy as np
import pytest
import torch
from poses import swinging_pose

from racctl.models.mcat import MCAT, BodyTokens, MCATConfig
from racctl.skeleton.normalise import joint_tokens, within_picture
from racctl.skeleton.remap import remap, unknown_joints
from racctl.skeleton.topology import D2STX25
from racctl.training.augment import Augmentation
from racctl.training.lacking_joints import (
    LACKING,
    flattened,
    joint_motion,
    layout_tables,
    tells_little,
    tilted,
    within_cut,
    without_joints,
)


def windows(count: int = 64, frames: int = 48) -> torch.Tensor:
    tokens = joint_tokens(remap(swinging_pose(frames), "d2stx25"))
    return torch.from_numpy(tokens)[None].repeat(count, 1, 1, 1)


@pytest.mark.parametrize("layout", ["coco17", "openpose25"])
def test_a_layout_lacks_what_the_skeleton_lacks(layout):
    present, share = layout_tables(D2STX25)
    missing = unknown_joints(remap(remap(swinging_pose(8), layout), "d2stx25"))
    row = list(LACKING).index(layout)
    assert [joint for joint, here in zip(D2STX25.joints, present[row], strict=True) if not here] == missing
    assert share.sum() == pytest.approx(1) and present.any(1).all()


def test_half_of_the_windows_lack_joints():
    torch.manual_seed(0)
    present, share = layout_tables(D2STX25)
    joints = windows(400)
    left = without_joints(joints, 0.5, (torch.from_numpy(present), torch.from_numpy(share)))
    whole = (left == joints).flatten(1).all(1)
    assert 0.4 < whole.float().mean() < 0.65
    assert torch.equal(left, joints * (left[..., 3:] > 0))  # what is there is as it was


def test_a_cut_takes_one_side():
    torch.manual_seed(1)
    joints = windows(200)
    seen = within_cut(joints)
    assert seen.any(-1).any(-1).all() and not seen.all(-1).all(-1).any()


def test_no_depth_and_a_camera_that_leans():
    torch.manual_seed(0)
    joints = windows(300)
    joints[..., 2] = 1.0
    flat = flattened(joints, 0.4)
    assert 0.3 < (flat[..., 2] == 0).all(-1).all(-1).float().mean() < 0.5
    assert torch.equal(flat[..., [0, 1, 3]], joints[..., [0, 1, 3]])
    moved = tilted(joints)
    assert torch.equal(moved[..., 2:], joints[..., 2:]) and (moved[..., :2] - joints[..., :2]).abs().max() < 1.0


def test_joints_that_stand_still_tell_little():
    joints = torch.rand(1, 1, 25, 4).repeat(2, 48, 1, 1) + 0.1
    wrist = D2STX25.index("left_wrist")
    joints[:, :, wrist, 1] += torch.sin(torch.arange(48) / 5)
    left = joints.clone()
    left[0, :, wrist] = 0
    left[1, :, D2STX25.index("left_knee")] = 0
    assert tells_little(joints, left).tolist() == [True, False]
    still = joints[:, :1].repeat(1, 48, 1, 1)
    assert joint_motion(still).max() < 1e-3 and not tells_little(still, left * 0).any()


def test_training_varies_joints_by_all_of_it():
    torch.manual_seed(0)
    present, share = layout_tables(D2STX25)
    nothing = torch.zeros(64, 0, 0, 0)
    vary = Augmentation(flip=0, layouts=1.0, flat=1.0, minmax=0.5, tilt=True)
    tables = (torch.from_numpy(present), torch.from_numpy(share))
    joints = vary(nothing, nothing, windows(), torch.arange(25), tables)[2]
    assert joints.isfinite().all() and (joints[..., 2] == 0).all() and (joints[..., 3] == 0).flatten(1).any(1).all()


def test_body_tokens_do_not_depend_on_place_or_size():
    torch.manual_seed(0)
    tokens = BodyTokens(25, 32, 2)
    joints = windows(2)
    joints[:, :, 3] = 0
    seen = joints[..., 3:] > 0
    moved = torch.cat([joints[..., :2] * 3 + 5, joints[..., 2:3] * 3, joints[..., 3:]], -1) * seen
    assert torch.allclose(tokens(joints), tokens(moved), atol=1e-4)
    assert tokens(joints).shape == (2, 24, 32) and tokens(joints[:, :47]).shape == (2, 24, 32)
    features = tokens.features(joints)
    assert (features[:, :, 3] == 0).all() and features.isfinite().all()
    assert tokens(torch.zeros(1, 5, 25, 4)).isfinite().all()


@pytest.mark.parametrize("wrong", [{"body": True}, {"patch": 2}, {"input": "pose", "fusion": "none", "patch": 2}])
def test_sizes_that_do_not_go_together(wrong):
    with pytest.raises(ValueError, match=r"expected patch 1|are of input"):
        MCATConfig(**wrong).check()


def test_a_model_of_before_has_the_tokens_of_before():
    old = {"classes": 3, "input": "pose", "fusion": "none", "layers": 1, "width": 32, "heads": 4}
    assert type(MCAT(MCATConfig(**old)).pose).__name__ == "PoseTokens"


def test_joints_beyond_the_picture_are_unseen():
    pose = swinging_pose(16)
    pose.meta["source"] = {**pose.meta.get("source", {}), "width": 640, "height": 480}
    pose.xyz[..., 0, :2] = 10, 500
    pose.xyz[..., 1, :2] = 10, 485  # within the margin
    inside = within_picture(pose)
    assert np.isnan(inside.xyz[..., 0, :]).all() and (inside.score[..., 0] == 0).all()
    np.testing.assert_array_equal(inside.xyz[..., 1, :], pose.xyz[..., 1, :])
    pose.meta["source"] = {}
    assert within_picture(pose) is pose
