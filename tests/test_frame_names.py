"""Frame numbers out of the names of pictures: the number that counts, or one clear line."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from poses import standing_body

from racctl.errors import DataError
from racctl.io.poses.formats import load_pose
from racctl.io.poses.frame_names import numbered_names
from racctl.skeleton.topology import COCO17

HASHES = [hashlib.md5(str(t).encode()).hexdigest() for t in range(40)]


@pytest.mark.parametrize(
    "name",
    [
        lambda t: f"frame_{t:06d}", lambda t: f"{t}", lambda t: f"squat_{t:04d}_720p",
        lambda t: f"clip2_{t:012d}_keypoints",
        lambda t: f"squat_{t:04d}_jpg.rf.{HASHES[t]}", lambda t: f"{HASHES[t][:8]}-frame_{t:05d}",
        lambda t: f"2024-01-05_cam2_{t}_1920x1080", lambda t: f"v12_{t:05d}_{33 * t:06d}ms",
    ],
)  # fmt: skip
def test_the_number_that_counts_is_found(name):
    names = [name(t) for t in range(40)]
    assert numbered_names(names, "x", list(range(40))) == list(range(40))
    order = np.random.default_rng(0).permutation(40)  # as Roboflow shuffles its pictures
    assert numbered_names([names[t] for t in order], "x", list(range(40))) == order.tolist()


def test_gaps_and_steps_are_kept():
    assert numbered_names(["a_0000_x", "a_0010_x", "a_0030_x"], "x") == [0, 10, 30]
    assert numbered_names(["a9", "a10", "a7"], "x") == [9, 10, 7]


@pytest.mark.parametrize("name", [lambda t: f"frame_{t:05d}", lambda t: f"frame_{t:05d}_jpg.rf.{HASHES[t % 40]}"])
def test_a_few_frames_of_a_long_clip_in_any_order(name):
    frames = [949, 4991, 125, 1900, 1894, 4534, 3705]
    assert numbered_names([name(t) for t in frames], "x") == frames


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a_0001", "b_0001", "a_0002", "b_0002"], "two pictures for the same frame number"),
        (["walk_720p", "run_720p"], "two pictures for the same frame number"),
        ([f"{value}x" for value in HASHES[:5]], "hold no number that counts frames"),
        (["img_9000000_7", "img_12_9", "img_70000_8"], None),
        (["3_a", "b_9"], "hold no number that counts frames"),
        (["1-50", "2-40", "3-10"], None),
        ([f"2024-01-05_14-{22 + t // 60}-{t % 60:02d}" for t in range(50, 80)], "hold no number that counts frames"),
        (
            [f"t_{t // 30}.{t % 30:03d}" for t in range(60)],
            "two pictures for the same frame number; .*named 000001",
        ),
        (["5-50", "9-40", "7-10"], "have two numbers that could be the frame's"),
    ],
)
def test_names_that_do_not_count_are_refused(names, message):
    if message is None:
        numbers = numbered_names(names, "x")
        assert numbers in ([7, 9, 8], [1, 2, 3])
        return
    with pytest.raises(DataError, match=message) as caught:
        numbered_names(names, "x")
    assert "\n" not in str(caught.value)


def test_names_without_digits_have_no_number():
    assert numbered_names(["a", "b"], "x") is None


def coco(tmp_path, images):
    keypoints = [value for point in standing_body(COCO17.joints).tolist() for value in (*point, 2)]
    annotations = [{"image_id": image["id"], "keypoints": keypoints} for image in images]
    path = tmp_path / "c.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations}))
    return str(path)


def test_a_files_own_frame_numbers_come_first(tmp_path):
    for key in ("frame_id", "frame_number", "frame_index", "frame"):
        images = [{"id": 40 + t, "file_name": f"{HASHES[t]}.jpg", key: 3 * t} for t in range(5)]
        assert load_pose(coco(tmp_path, images)).frame.tolist() == [0, 3, 6, 9, 12]


def test_pictures_without_numbers_go_by_their_ids(tmp_path):
    images = [{"id": number, "file_name": f"{letter}.jpg"} for number, letter in ((4, "a"), (2, "b"), (3, "c"))]
    assert load_pose(coco(tmp_path, images)).frame.tolist() == [2, 3, 4]


def test_hashed_and_sized_names_of_an_export(tmp_path):
    for name in ("squat_{:04d}_jpg.rf.{}.jpg", "squat_{:04d}_720p.jpg", "{1:.8}-squat_{0:04d}.png"):
        images = [{"id": 7 * t, "file_name": name.format(39 - t, HASHES[t])} for t in range(40)]
        assert load_pose(coco(tmp_path, images)).frame.tolist() == list(range(40))


@pytest.mark.parametrize(
    "image",
    [
        lambda t: {"file_name": f"{'squat' if t < 3 else 'lunge'}/{t:06d}.jpg"},
        lambda t: {"file_name": f"data\\clip{t // 3}\\{t:06d}.jpg"},
        lambda t: {"file_name": f"{t:06d}.jpg", "video_id": t // 3, "frame_id": t},
    ],
)
def test_frame_numbers_that_go_on_do_not_hide_two_clips(tmp_path, image):
    with pytest.raises(DataError, match=r"has pictures of 2 (folders|videos) .*; expected one clip, split it"):
        load_pose(coco(tmp_path, [{"id": t, **image(t)} for t in range(6)]))
    assert len(load_pose(coco(tmp_path, [{"id": t, **image(t)} for t in range(3)])).frame) == 3
    alone = [{"id": t, "file_name": f"{t}/a_{t}.jpg"} for t in range(6)]
    assert load_pose(coco(tmp_path, alone)).frame.tolist() == list(range(6))
