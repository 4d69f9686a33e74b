"""MM-Fit: a made-up folder in its published form; its labels, splits and poses."""

import numpy as np
import pytest

from racctl.contracts import BACKGROUND
from racctl.data.labelled import Interval, labels_at, read_labelled
from racctl.data.mmfit import ACTIVITIES, MMFIT_CLASSES, MMFIT_SPLITS, mmfit_pose
from racctl.errors import DataError
from racctl.io.npz import pose_bytes
from racctl.skeleton.remap import remap
from racctl.skeleton.topology import NTU25, OPENPOSE18


def mmfit(root, name="w01", rows="100,400,10,squats\n600,700,5,jumping_jacks\n", pose=None):
    folder = root / name
    folder.mkdir(parents=True)
    (folder / f"{name}_labels.csv").write_text(rows)
    if pose is not None:
        np.save(folder / f"{name}_pose_2d.npy", pose)
    return folder


def pose_2d(n=5):
    array = np.random.default_rng(0).uniform(1, 500, (2, n, 19))
    array[:, :, 0] = np.arange(n) + 3
    return array


def test_mmfit_as_published(tmp_path):
    for name in ("w00", "w01", "w14", "w09"):
        mmfit(tmp_path, name, pose=pose_2d() if name == "w01" else None)
    clips = {clip.clip: clip for clip in read_labelled(tmp_path)}
    assert {name: clip.split for name, clip in clips.items()} == {
        "w00": "unseen_test", "w01": "train", "w14": "val", "w09": "test",
    }  # fmt: skip
    assert clips["w01"].intervals[0] == Interval(100 / 30, 400 / 30, 100, 400, "squat")
    assert clips["w01"].pose.name == "w01_pose_2d.npy" and clips["w00"].pose is None and clips["w01"].video is None
    assert labels_at(clips["w00"], np.array([99, 100, 399, 400]), None).tolist() == [
        BACKGROUND, "squat", "squat", BACKGROUND,
    ]  # fmt: skip
    assert (
        sum(map(len, MMFIT_SPLITS.values())) == 21 == len({name for names in MMFIT_SPLITS.values() for name in names})
    )
    assert MMFIT_CLASSES[-1] == BACKGROUND and len(set(MMFIT_CLASSES)) == len(ACTIVITIES) == 11


def test_mmfit_with_the_users_own_videos(tmp_path):
    mmfit(tmp_path / "mm")
    videos = tmp_path / "videos"
    videos.mkdir()
    with pytest.raises(DataError, match="clip 'w01' has no video in"):
        read_labelled(tmp_path / "mm", videos=videos, need=["video"])
    (videos / "w01.MKV").touch()
    assert read_labelled(tmp_path / "mm", videos=videos, need=["video"])[0].video == videos / "w01.MKV"
    (videos / "w01.mp4").touch()
    with pytest.raises(DataError, match="has two files of clip 'w01'"):
        read_labelled(tmp_path / "mm", videos=videos)
    with pytest.raises(DataError, match="cannot look for clips in"):
        read_labelled(tmp_path / "mm", videos=tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("1,9,3,swimming\n", r"line 1, has the activity 'swimming'; expected one of MM-Fit's"),
        ("9,1,3,squats\n", "line 1, stops at 1, not after its start at 9"),
        ("1,9,3,squats\n5,20,3,lunges\n", "line 2, labels clip 'w01' 'lunge' from 5, while 'squat' lasts until 9"),
        ("1,,3,squats\n", "line 1, lacks a start or an end frame"),
        ("1.5,9,3,squats\n", "line 1, has '1.5' in column 'start_frame', expected a whole frame number"),
        ("1,9,3,squats,2\n", "line 1, has 5 cells"),
        ("", "is empty"),
    ],
)
def test_unsound_mmfit_labels_are_refused_by_line(tmp_path, rows, message):
    mmfit(tmp_path, rows=rows)
    with pytest.raises(DataError, match=message):
        read_labelled(tmp_path)


def test_mmfit_in_parts(tmp_path):
    mmfit(tmp_path)
    (tmp_path / "w02").mkdir()
    with pytest.raises(DataError, match=r"lacks its labels, 'w02_labels\.csv'"):
        read_labelled(tmp_path)
    (tmp_path / "w02").rename(tmp_path / "w21")
    with pytest.raises(DataError, match="not a workout of MM-Fit, which has w00 to w20"):
        read_labelled(tmp_path)


def test_the_2d_pose_of_mmfit_is_openposes(tmp_path):
    array = pose_2d()
    array[:, 2, 1 + OPENPOSE18.index("left_knee")] = 0  # not found
    np.save(tmp_path / "w03_pose_2d.npy", array)
    pose = mmfit_pose(tmp_path / "w03_pose_2d.npy")
    assert (pose.topology, pose.clip, pose.meta["scale"]) == ("openpose18", "w03", "pixels")
    assert pose.frame.tolist() == [3, 4, 5, 6, 7] and pose.time[0] == pytest.approx(0.1)
    nose = array[:, 0, 1]
    assert pose.xyz[0, 0, OPENPOSE18.index("nose")].tolist() == pytest.approx([*nose, 0])
    knee = OPENPOSE18.index("left_knee")
    assert np.isnan(pose.xyz[2, 0, knee]).all() and pose.score[2, 0, knee] == 0 and pose.score.sum() == 5 * 18 - 1
    assert remap(pose, "coco17").xyz.shape == (5, 1, 17, 3)
    assert len(pose_bytes(pose)) > 0


def test_the_3d_pose_of_mmfit_is_upright_metres(tmp_path):
    array = np.zeros((3, 4, 18))
    array[:, :, 0] = np.arange(4)
    array[:, :3, 1:] = 50.0  # mm: x, depth, height
    array[2, :3, 1 + 10] = 900.0  # the top of the head
    array[2, :3, 1 + 9] = 700.0  # the nose
    array[0, :3, 1 + 2] = -300.0  # the right knee
    np.save(tmp_path / "w03_pose_3d.npy", array)
    pose = mmfit_pose(tmp_path / "w03_pose_3d.npy")
    assert (pose.topology, pose.meta["scale"], pose.meta["dims"]) == ("ntu25", "metres", 3)
    assert pose.world[0, 0, NTU25.index("head")].tolist() == pytest.approx([0, -0.75, 0])  # up is negative
    assert pose.xyz[0, 0, NTU25.index("right_knee")].tolist() == pytest.approx([-0.3, -0.05, 0.05])
    lacking = {"left_hand", "right_hand", "left_hand_tip", "right_hand_tip", "left_thumb", "right_thumb",
               "left_foot", "right_foot"}  # fmt: skip
    assert {NTU25.joints[k] for k in np.flatnonzero(pose.score[0, 0] == 0)} == lacking
    assert np.isnan(pose.xyz[3]).all() and (pose.score[3] == 0).all()  # nobody


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 5, 19)), r"float64 \(3, 5, 19\); expected MM-Fit's \(2, N, 19\) or \(3, N, 18\)"),
        (np.zeros((2, 5, 17)), "expected MM-Fit's"),
        (np.zeros((2, 0, 19)), "has no frames"),
        (np.zeros((2, 5, 19)), "no ascending frame numbers"),
        (np.where(np.arange(19) == 4, np.nan, pose_2d()), "not finite"),
        (np.zeros((2, 5, 19), bool), "expected MM-Fit's"),
    ],
)
def test_other_arrays_are_no_pose_of_mmfit(tmp_path, array, message):
    np.save(tmp_path / "w03_pose_2d.npy", array)
    with pytest.raises(DataError, match=message):
        mmfit_pose(tmp_path / "w03_pose_2d.npy")
