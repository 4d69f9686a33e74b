"""What joints and axes mean is told by the bodies in them, never by a length."""

from __future__ import annotations

import json

import numpy as np
import pytest
from poses import standing_body

from racctl.errors import DataError
from racctl.io.poses.formats import load_pose
from racctl.io.poses.layouts import BODY_25B_JOINTS
from racctl.skeleton.topology import BLAZEPOSE33, COCO17, D2STX25, NTU25, OPENPOSE18, OPENPOSE25


def clip(joints, frames=12, third=0.9, seed=0):
    """(T, V, 3): somebody who moves a little; third is a confidence or a depth."""
    body = standing_body(joints, seed) + 20
    moves = np.linspace(0, 12, frames)[:, None, None] * np.array([1.0, 0.3])
    return np.concatenate([body + moves, np.full((frames, len(joints), 1), third)], -1)


def load(tmp_path, array, **options):
    np.save(tmp_path / "a.npy", array)
    notes = []
    return load_pose(str(tmp_path / "a.npy"), note=notes.append, **options), notes


@pytest.mark.parametrize(
    ("joints", "topology"),
    [
        (NTU25.joints, "ntu25"), (D2STX25.joints, "d2stx25"), (OPENPOSE25.joints, "openpose25"),
        (BODY_25B_JOINTS, "openpose25"),
    ],
    ids=["kinect", "d2stx", "body25", "body25b"],
)  # fmt: skip
@pytest.mark.parametrize("flat", [True, False])
def test_25_joints_are_told_apart(tmp_path, joints, topology, flat):
    array = clip(joints)
    pose, notes = load(tmp_path, array.reshape(len(array), -1) if flat else array)
    assert pose.topology == topology
    assert any("--from" in note for note in notes)
    if topology == "openpose25":
        assert pose.meta["dims"] == 2
        np.testing.assert_allclose(pose.score, 0.9, rtol=1e-6)
    for joint in ("left_ankle", "right_wrist", "left_knee"):
        place = pose.xyz[:, 0, {"ntu25": NTU25, "d2stx25": D2STX25, "openpose25": OPENPOSE25}[topology].index(joint)]
        np.testing.assert_allclose(place[:, :2], array[:, list(joints).index(joint), :2], rtol=1e-6)


def test_body_25b_gets_the_neck_and_hip_of_body_25(tmp_path):
    array = clip(BODY_25B_JOINTS)
    pose, _ = load(tmp_path, array, layout="openpose25b")
    shoulders = [BODY_25B_JOINTS.index(f"{side}_shoulder") for side in ("left", "right")]
    np.testing.assert_allclose(pose.xyz[:, 0, OPENPOSE25.index("neck"), :2], array[:, shoulders, :2].mean(1), rtol=1e-6)
    assert pose.meta["steps"][0]["args"]["layout"] == "BODY_25B"


@pytest.mark.parametrize("joints", [25, 33])
def test_bones_that_fit_no_order_are_refused_and_from_reads_them(tmp_path, joints):
    ordered = NTU25.joints if joints == 25 else BLAZEPOSE33.joints
    array = clip(ordered)[:, np.random.default_rng(1).permutation(joints)]
    with pytest.raises(DataError, match=r"the bones fit no order of them that racctl knows; .* '--from"):
        load(tmp_path, array)
    layout = "kinect" if joints == 25 else "poserac"
    assert load(tmp_path, array, layout=layout)[0].xyz.shape == (12, 1, joints, 3)


def test_all_x_then_all_y_is_not_x_y_z_of_each_joint(tmp_path):
    depths = np.random.default_rng(0).uniform(-60, 60, 33)
    array = clip(BLAZEPOSE33.joints)
    array[..., 2] = depths
    planar = array.swapaxes(1, 2).reshape(12, 99)
    with pytest.raises(DataError, match="the bones fit no order"):
        load(tmp_path, planar)
    (tmp_path / "a.csv").write_text("\n".join(",".join(map(str, row)) for row in planar))
    with pytest.raises(DataError, match="columns without names whose numbers are not x, y, z"):
        load_pose(str(tmp_path / "a.csv"))


def test_triples_of_17_and_18_joints_need_to_be_named(tmp_path):
    for joints, layout, topology in ((COCO17.joints, "coco", "coco17"), (OPENPOSE18.joints, "openpose", "openpose18")):
        for array in (clip(joints), clip(joints).reshape(12, -1)):
            with pytest.raises(DataError, match="holds an array of shape"):
                load(tmp_path, array)
            assert load(tmp_path, array, layout=layout)[0].topology == topology
    with pytest.raises(DataError, match="has 18 joints, but '--from coco' has 17"):
        load(tmp_path, clip(OPENPOSE18.joints), layout="coco")


def test_joints_without_confidence_are_missing(tmp_path):
    array = clip(OPENPOSE25.joints)
    array[:, OPENPOSE25.index("left_wrist")] = 0
    pose, _ = load(tmp_path, array)
    assert np.isnan(pose.xyz[:, 0, OPENPOSE25.index("left_wrist")]).all()


def test_scores_that_are_percentages_are_refused(tmp_path):
    with pytest.raises(DataError, match="scores up to 90; expected confidences of 0 to 1"):
        load(tmp_path, clip(OPENPOSE25.joints, third=90.0), layout="openpose")


def test_y_that_points_down_is_not_turned(tmp_path):
    fractions = clip(NTU25.joints, third=0.1) / 400
    pose, _ = load(tmp_path, fractions)
    assert pose.meta["scale"] == "normalized"
    np.testing.assert_allclose(pose.xyz[:, 0], fractions, rtol=1e-5)
    assert load(tmp_path, fractions * [1, -1, 1])[0].meta["scale"] == "metres"


@pytest.mark.parametrize("people", [1, 2])
def test_people_before_frames_are_told_by_their_movement(tmp_path, people):
    bodies = np.stack([clip(NTU25.joints, seed=k) + np.array([400 * k, 0, 0]) for k in range(people)])  # (M, T, V, 3)
    pose, notes = load(tmp_path, bodies)
    usual, quiet = load(tmp_path, bodies.swapaxes(0, 1))
    assert pose.xyz.shape == (12, people, 25, 3)
    np.testing.assert_array_equal(pose.xyz, usual.xyz)
    assert any(f"read as {people} people in 12 frames" in note for note in notes)
    assert not any("people in" in note for note in quiet)


def test_axes_that_cannot_be_told_are_refused(tmp_path):
    with pytest.raises(DataError, match="which of the first two axes are frames cannot be told"):
        load(tmp_path, np.random.default_rng(0).uniform(0, 500, (3, 4, 25, 3)))


def openpose(tmp_path, joints, order=None):
    folder = tmp_path / "clip"
    folder.mkdir()
    for t, points in enumerate(clip(joints)):
        points = points if order is None else points[order]
        people = [{"person_id": [-1], "pose_keypoints_2d": points.round(3).reshape(-1).tolist()}]
        (folder / f"clip_{t:012d}_keypoints.json").write_text(json.dumps({"version": 1.3, "people": people}))
    return str(folder)


@pytest.mark.parametrize("joints", [OPENPOSE25.joints, BODY_25B_JOINTS], ids=["body25", "body25b"])
def test_75_numbers_of_openpose_are_told_apart(tmp_path, joints):
    pose = load_pose(openpose(tmp_path, joints), fps=10)
    for joint in ("left_eye", "left_ankle", "right_knee"):
        place = pose.xyz[:, 0, OPENPOSE25.index(joint), :2]
        np.testing.assert_allclose(place, clip(joints)[:, list(joints).index(joint), :2], atol=0.01)
    assert np.isfinite(pose.xyz).all()


def test_75_numbers_in_another_order_are_refused_and_from_reads_them(tmp_path):
    folder = openpose(tmp_path, OPENPOSE25.joints, np.random.default_rng(0).permutation(25))
    with pytest.raises(
        DataError, match=r"the bones do not tell their order; .* '--from openpose' or '--from openpose25b'"
    ):
        load_pose(folder)
    assert load_pose(folder, layout="openpose").topology == "openpose25"
    assert load_pose(folder, layout="openpose25b").topology == "openpose25"


def test_17_keypoints_without_names_need_the_bones_of_coco(tmp_path):
    for order, sound in ((np.arange(17), True), (np.random.default_rng(3).permutation(17), False)):
        result = [
            {"image_id": t, "category_id": 1, "score": 1, "keypoints": points[order].reshape(-1).tolist()}
            for t, points in enumerate(clip(COCO17.joints))
        ]
        (tmp_path / "r.json").write_text(json.dumps(result))
        if sound:
            assert load_pose(str(tmp_path / "r.json")).topology == "coco17"
        else:
            with pytest.raises(DataError, match="17 keypoints without names, and their bones are not those of COCO's"):
                load_pose(str(tmp_path / "r.json"))
        assert load_pose(str(tmp_path / "r.json"), layout="coco").topology == "coco17"


PARTS = {"legs": ("hip", "knee", "ankle", "heel", "foot"), "arms": ("shoulder", "elbow", "wrist"), "side": ("left",)}


@pytest.mark.parametrize("part", PARTS)
def test_who_is_seen_in_part_is_not_refused(tmp_path, part):
    def seen(joints):
        hidden = [not any(word in joint for word in PARTS[part]) for joint in joints]
        people = clip(joints)
        people[:, hidden] = np.nan
        return people

    assert load(tmp_path, seen(BLAZEPOSE33.joints))[0].topology == "blazepose33"
    keypoints = [np.nan_to_num(person).reshape(-1).tolist() for person in seen(COCO17.joints)]
    result = [{"image_id": t, "category_id": 1, "keypoints": numbers} for t, numbers in enumerate(keypoints)]
    (tmp_path / "r.json").write_text(json.dumps(result))
    pose = load_pose(str(tmp_path / "r.json"))
    assert np.isfinite(pose.xyz[..., 0]).sum() == np.isfinite(seen(COCO17.joints)[..., 0]).sum() > 0


@pytest.mark.parametrize(
    ("step", "name", "seconds"),
    [(0.04, "time", 0.04), (40, "time", 0.04), (40_000, "t", 0.04), (4, "timestamp_ms", 0.004), (4, "time_s", 4.0)],
)
def test_a_clock_without_a_unit_has_the_only_one_that_fits(tmp_path, step, name, seconds):
    rows = "".join(f"{step * t},{t},2\n" for t in range(5))
    (tmp_path / "c.csv").write_text(f"{name},nose_x,nose_y\n{rows}")
    assert np.diff(load_pose(str(tmp_path / "c.csv")).time)[0] == pytest.approx(seconds)


@pytest.mark.parametrize("step", [1, 4, 4000, 6, 0.0005])
def test_a_clock_that_could_have_two_units_is_refused(tmp_path, step):
    rows = "".join(f"{step * t},{t},2\n" for t in range(5))
    (tmp_path / "c.csv").write_text(f"time,nose_x,nose_y\n{rows}")
    expected = r"in 'time', which could be seconds or a fraction of them; call the column 'timestamp_s'"
    if step == 6:  # 6 ms, for 6 s are no frame
        assert np.diff(load_pose(str(tmp_path / "c.csv")).time)[0] == pytest.approx(0.006)
        return
    with pytest.raises(DataError, match=expected):
        load_pose(str(tmp_path / "c.csv"))
