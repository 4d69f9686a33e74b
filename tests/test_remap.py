"""One topology to another, joint by joint and by name."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from poses import swinging_pose

from racctl.contracts import Pose
from racctl.errors import DataError, UsageError
from racctl.io.npz import pose_bytes
from racctl.skeleton.remap import FORMULAS, formulas, minmax, remap, topology_of, unknown_joints
from racctl.skeleton.topology import TOPOLOGIES

ALL_PAIRS = [(a, b) for a in TOPOLOGIES for b in TOPOLOGIES]
LIMBS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
BODY = [f"{side}_{joint}" for side in ("left", "right") for joint in LIMBS]


def make_pose(topology: str, xyz: np.ndarray, score: np.ndarray | None = None, world: bool = False) -> Pose:
    frames, people = xyz.shape[:2]
    score = np.where(np.isnan(xyz).any(-1), 0, 0.5).astype(np.float32) if score is None else score
    return Pose(
        xyz.astype(np.float32), score, np.arange(frames), np.arange(frames) / 25, np.arange(people, dtype=np.int32),
        {"clip": "c", "source": {}, "steps": [{"tool": "pose", "version": "0", "args": {}}], "topology": topology},
        (xyz / 100).astype(np.float32) if world else None,
    ).check("c")  # fmt: skip


def random_pose(topology: str, frames: int = 4, people: int = 2, seed: int = 0, world: bool = False) -> Pose:
    random = np.random.default_rng(seed)
    size = (frames, people, len(TOPOLOGIES[topology]))
    score = random.uniform(0.1, 1, size).astype(np.float32)
    return make_pose(topology, random.uniform(0, 640, (*size, 3)), score, world)


def at(pose: Pose, joint: str) -> np.ndarray:
    return pose.xyz[:, :, TOPOLOGIES[pose.topology].index(joint)]


def score_at(pose: Pose, joint: str) -> np.ndarray:
    return pose.score[:, :, TOPOLOGIES[pose.topology].index(joint)]


def same(a: np.ndarray, b: np.ndarray) -> None:
    np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-3)


@pytest.mark.parametrize("to", ["d2stx25", "ntu25"])
def test_every_one_of_the_25_joints_from_blazepose(to: str) -> None:
    pose = random_pose("blazepose33")
    out = remap(pose, to)
    for joint in [*BODY, "left_thumb", "right_thumb"]:
        assert (at(out, joint) == at(pose, joint)).all(), joint
    for side in ("left", "right"):
        same(at(out, f"{side}_hand"), (at(pose, f"{side}_pinky") + at(pose, f"{side}_index")) / 2)
        same(at(out, f"{side}_hand_tip"), at(pose, f"{side}_index"))
        same(at(out, f"{side}_foot"), at(pose, f"{side}_foot_index"))
    shoulders = (at(pose, "left_shoulder") + at(pose, "right_shoulder")) / 2
    hips = (at(pose, "left_hip") + at(pose, "right_hip")) / 2
    mouth = (at(pose, "mouth_left") + at(pose, "mouth_right")) / 2
    same(at(out, "head"), at(pose, "nose"))
    same(at(out, "spine_shoulder"), shoulders)
    same(at(out, "spine_base"), hips)
    same(at(out, "spine_mid"), (shoulders + hips) / 2)
    same(at(out, "neck"), (shoulders + mouth) / 2)
    assert not np.isnan(out.xyz).any()
    assert unknown_joints(out) == []


def test_score_is_the_minimum_of_the_sources() -> None:
    pose = random_pose("blazepose33")
    out = remap(pose, "d2stx25")
    shoulders = np.minimum(score_at(pose, "left_shoulder"), score_at(pose, "right_shoulder"))
    hips = np.minimum(score_at(pose, "left_hip"), score_at(pose, "right_hip"))
    assert (score_at(out, "spine_shoulder") == shoulders).all()
    assert (score_at(out, "spine_mid") == np.minimum(shoulders, hips)).all()
    assert (score_at(out, "left_hand") == np.minimum(score_at(pose, "left_pinky"), score_at(pose, "left_index"))).all()
    assert (score_at(out, "left_knee") == score_at(pose, "left_knee")).all()


def test_a_missing_source_makes_only_its_targets_missing() -> None:
    xyz = random_pose("blazepose33").xyz.copy()
    xyz[1, 0, TOPOLOGIES["blazepose33"].index("left_hip")] = np.nan
    out = remap(make_pose("blazepose33", xyz), "d2stx25")
    lost = {"left_hip", "spine_base", "spine_mid"}
    for joint in TOPOLOGIES["d2stx25"].joints:
        missing = np.isnan(at(out, joint)).any(-1)
        assert missing[1, 0] == (joint in lost)
        assert missing.sum() == (joint in lost)
        assert ((score_at(out, joint) == 0) == missing).all()
    out.check("out")


def test_nobody_stays_nobody() -> None:
    out = remap(make_pose("blazepose33", np.full((3, 1, 33, 3), np.nan)), "d2stx25")
    assert np.isnan(out.xyz).all()
    assert (out.score == 0).all()
    assert unknown_joints(out) == []


def test_ntu_order_is_a_pure_permutation() -> None:
    pose = random_pose("d2stx25", world=True)
    out = remap(pose, "ntu25")
    order = [22, 24, 23, 0, 1, 3, 5, 7, 2, 4, 6, 8, 13, 15, 17, 19, 14, 16, 18, 20, 21, 9, 11, 10, 12]
    assert (out.xyz == pose.xyz[:, :, order]).all()
    assert (out.world == pose.world[:, :, order]).all()
    assert (out.score == pose.score[:, :, order]).all()


def test_world_is_remapped_alike_and_the_clock_is_kept() -> None:
    pose = random_pose("blazepose33", world=True)
    out = remap(pose, "d2stx25")
    np.testing.assert_allclose(out.world, out.xyz / 100, rtol=1e-5)
    for name in ("frame", "time", "track"):
        assert (getattr(out, name) == getattr(pose, name)).all()


def test_meta_says_what_was_done_and_the_input_is_untouched() -> None:
    pose = random_pose("blazepose33")
    before = pose_bytes(pose)
    out = remap(pose, "d2stx25")
    assert out.topology == "d2stx25"
    assert [step["tool"] for step in out.meta["steps"]] == ["pose", "remap-joints"]
    assert out.meta["steps"][-1]["args"] == {"to": "d2stx25"}
    assert pose_bytes(pose) == before
    assert pose_bytes(remap(pose, "d2stx25")) == pose_bytes(out)


@pytest.mark.parametrize(("source", "to"), ALL_PAIRS)
def test_every_pair_keeps_the_limbs_where_they_are(source: str, to: str) -> None:
    pose = random_pose(source)
    out = remap(pose, to).check(f"{source} to {to}")
    for joint in BODY:
        assert (at(out, joint) == at(pose, joint)).all()
        assert (score_at(out, joint) == score_at(pose, joint)).all()


@pytest.mark.parametrize(("source", "to"), ALL_PAIRS)
def test_formulas_are_means_of_known_joints_and_symmetric(source: str, to: str) -> None:
    table, a, b = formulas(source, to), TOPOLOGIES[source], TOPOLOGIES[to]
    mirror_a = dict(zip(a.joints, np.array(a.joints)[a.flip], strict=True))
    mirror_b = dict(zip(b.joints, np.array(b.joints)[b.flip], strict=True))
    for joint, formula in table.items():
        assert b.index(joint) >= 0
        assert a.indices(formula)
        assert sum(formula.values()) == pytest.approx(1)
        assert table[mirror_b[joint]] == {mirror_a[name]: weight for name, weight in formula.items()}


def test_every_pair_has_a_table() -> None:
    assert set(FORMULAS) == {(a, b) for a, b in ALL_PAIRS if a != b}


@pytest.mark.parametrize(("source", "to"), ALL_PAIRS)
def test_mirroring_before_or_after_is_the_same(source: str, to: str) -> None:
    pose = random_pose(source)
    flipped = make_pose(source, pose.xyz[:, :, TOPOLOGIES[source].flip], pose.score[:, :, TOPOLOGIES[source].flip])
    a, b = remap(flipped, to), remap(pose, to)
    np.testing.assert_allclose(a.xyz, b.xyz[:, :, TOPOLOGIES[to].flip], rtol=1e-6)
    assert (a.score == b.score[:, :, TOPOLOGIES[to].flip]).all()


def test_unknown_joints_are_nan_and_listed() -> None:
    out = remap(random_pose("coco17"), "d2stx25")
    unknown = [f"{side}_{joint}" for joint in ("hand", "hand_tip", "thumb") for side in ("left", "right")]
    assert unknown_joints(out) == [*unknown, "left_foot", "right_foot"]
    for joint in unknown_joints(out):
        assert np.isnan(at(out, joint)).all()
        assert (score_at(out, joint) == 0).all()


def test_openpose_neck_is_the_middle_of_the_shoulders() -> None:
    pose = random_pose("openpose25")
    out = remap(pose, "ntu25")
    same(at(out, "spine_shoulder"), at(pose, "neck"))
    same(at(out, "spine_base"), at(pose, "mid_hip"))
    same(at(out, "left_foot"), at(pose, "left_big_toe"))
    same(at(remap(random_pose("blazepose33"), "openpose18"), "neck"),
         at(remap(random_pose("blazepose33"), "d2stx25"), "spine_shoulder"))  # fmt: skip


def test_back_to_blazepose_fills_what_exists() -> None:
    pose = random_pose("blazepose33")
    back = remap(remap(pose, "d2stx25"), "blazepose33")
    ends = [f"{side}_{joint}" for side in ("left", "right") for joint in ("thumb", "index", "foot_index")]
    remaining = [*BODY, *ends, "nose"]
    for joint in TOPOLOGIES["blazepose33"].joints:
        assert (at(back, joint) == at(pose, joint)).all() if joint in remaining else np.isnan(at(back, joint)).all()


ARRAYS = hnp.arrays(
    np.float32,
    st.tuples(st.integers(0, 3), st.integers(1, 2), st.just(25), st.just(3)),
    elements=st.floats(-1e4, 1e4, width=32) | st.just(np.nan),
)


@given(ARRAYS)
@settings(max_examples=40, deadline=None)
def test_d2stx_there_and_back_is_the_identity(xyz: np.ndarray) -> None:
    pose = make_pose("d2stx25", xyz)
    present = remap(pose, "ntu25").check("there")
    back = remap(present, "d2stx25").check("back")
    np.testing.assert_array_equal(back.xyz, pose.xyz)
    np.testing.assert_array_equal(back.score, pose.score * ~np.isnan(pose.xyz[..., :2]).any(-1))
    assert [step["args"]["to"] for step in back.meta["steps"][1:]] == ["ntu25", "d2stx25"]


@given(st.sampled_from(ALL_PAIRS), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_the_way_back_restores_every_joint_that_was_only_renamed(pair: tuple[str, str], seed: int) -> None:
    source, to = pair
    pose = random_pose(source, seed=seed)
    back = remap(remap(pose, to), source)
    out = formulas(source, to)
    for joint, formula in formulas(to, source).items():
        if len(formula) == 1 and out.get(next(iter(formula))) == {joint: 1.0}:
            assert (at(back, joint) == at(pose, joint)).all()


def test_wrong_requests_are_errors() -> None:
    pose = random_pose("coco17")
    with pytest.raises(UsageError, match="no such topology 'coco'"):
        remap(pose, "coco")
    pose.meta["topology"] = "h36m"
    with pytest.raises(DataError, match="'c' has the topology 'h36m'; expected one of"):
        remap(pose, "d2stx25")
    pose.meta["topology"] = ["coco17"]
    with pytest.raises(DataError, match="has the topology"):
        topology_of(pose)
    pose.meta["topology"] = "ntu25"
    with pytest.raises(DataError, match="'c' has 17 joints, but its topology ntu25 has 25"):
        remap(pose, "d2stx25")


def test_minmax_runs_from_0_to_1_in_every_frame() -> None:
    pose = swinging_pose(30)
    pose.xyz[3], pose.score[3] = np.nan, 0
    pose.xyz[5, 0, 4] = np.nan
    result = minmax(pose)
    seen = np.delete(result.xyz, 3, 0)
    assert np.allclose(np.nanmin(seen, 2), 0) and np.allclose(np.nanmax(seen, 2), 1)
    assert np.array_equal(np.isnan(result.xyz), np.isnan(pose.xyz)) and np.array_equal(result.score, pose.score)
    assert result.meta["scale"] == "minmax" and result.world is None
    assert result.meta["steps"][-1]["args"] == {"minmax": True}
