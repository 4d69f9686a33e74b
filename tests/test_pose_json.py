"""OpenPose folders and COCO keypoint JSON: layouts, several people, and hostile documents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from poses import standing_body

from racctl.errors import DataError, RacctlError
from racctl.io.poses.formats import load_pose
from racctl.io.poses.people import MAX_PEOPLE, follow_people
from racctl.skeleton.remap import remap
from racctl.skeleton.topology import COCO17, OPENPOSE18, OPENPOSE25, Topology


def body(topology: Topology, x: float, seed: int = 0) -> np.ndarray:
    """(V, 3): x, y, confidence of somebody about 200 pixels tall at x."""
    points = standing_body(topology.joints, seed) + np.array([x, 50])
    return np.concatenate([points.round(2), np.full((len(points), 1), 0.8)], 1)


def person(points: np.ndarray, **keys: Any) -> dict[str, Any]:
    return {"pose_keypoints_2d": points.reshape(-1).tolist(), "face_keypoints_2d": [], **keys}


def write_frame(folder: Path, number: int, people: list[dict[str, Any]], name: str = "clip2_{:012d}_keypoints") -> None:
    folder.mkdir(exist_ok=True)
    document = {"version": 1.3, "people": people}
    (folder / f"{name.format(number)}.json").write_text(json.dumps(document))


def write(path: Path, document: Any) -> str:
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return str(path)


# --- OpenPose ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("topology", [OPENPOSE25, OPENPOSE18], ids=lambda t: t.name)
def test_openpose_folder(tmp_path: Path, topology: Topology) -> None:
    folder = tmp_path / "jacks"
    for number in (0, 1, 3):  # frame 2 is not there, frame 3 shows nobody
        write_frame(folder, number, [person(body(topology, 100))] if number < 3 else [])
    (folder / "notes.txt").write_text("not JSON")
    (folder / ".hidden.json").write_text("{")
    pose = load_pose(str(folder), fps=10)
    assert (pose.topology, pose.meta["scale"], pose.meta["dims"], pose.clip) == (topology.name, "pixels", 2, "jacks")
    assert pose.frame.tolist() == [0, 1, 3]
    np.testing.assert_allclose(pose.time, [0, 0.1, 0.3])
    np.testing.assert_allclose(pose.xyz[0, 0, :, :2], body(topology, 100)[:, :2], rtol=1e-6)
    assert (pose.xyz[0, 0, :, 2] == 0).all()
    np.testing.assert_allclose(pose.score[0], 0.8)
    assert np.isnan(pose.xyz[2]).all()
    assert pose.meta["source"] == {"name": "jacks", "frames": 4, "fps": 10}


def test_openpose_joint_at_zero_is_missing(tmp_path: Path) -> None:
    points = body(OPENPOSE25, 100)
    points[OPENPOSE25.index("left_wrist")] = 0
    write_frame(tmp_path / "c", 0, [person(points)])
    pose = load_pose(str(tmp_path / "c"))
    missing = np.isnan(pose.xyz[0, 0]).any(-1)
    assert [joint for joint, m in zip(OPENPOSE25.joints, missing, strict=True) if m] == ["left_wrist"]
    assert pose.score[0, 0, OPENPOSE25.index("left_wrist")] == 0
    assert np.isnan(remap(pose, "coco17").xyz[0, 0, COCO17.index("left_wrist")]).all()


def test_openpose_people_are_followed_however_the_file_sorts_them(tmp_path: Path) -> None:
    for t in range(6):
        left, right = body(OPENPOSE25, 100 + 3 * t, 1), body(OPENPOSE25, 500 - 3 * t, 2)
        people = [person(left), person(right)] if t % 2 else [person(right), person(left)]
        write_frame(tmp_path / "c", t, people if t != 3 else [person(right)])
    pose = load_pose(str(tmp_path / "c"))
    assert pose.xyz.shape == (6, 2, 25, 3)
    neck = pose.xyz[:, :, OPENPOSE25.index("neck"), 0]
    assert (neck[:, 0] > 400).all()  # seen in every frame, so first
    assert np.isnan(neck[3, 1])
    assert (neck[[0, 1, 2, 4, 5], 1] < 200).all()


def test_openpose_ids_are_believed_where_all_have_one(tmp_path: Path) -> None:
    for t in range(3):
        a, b = person(body(OPENPOSE25, 100), person_id=[7]), person(body(OPENPOSE25, 500), person_id=[4])
        write_frame(tmp_path / "c", t, [a, b] if t else [b, a])
    pose = load_pose(str(tmp_path / "c"))
    assert pose.track.tolist() == [4, 7]
    assert (pose.xyz[:, 0, 0, 0] > 400).all()


def test_one_openpose_file_and_the_old_key(tmp_path: Path) -> None:
    points = body(OPENPOSE18, 10).reshape(-1).tolist()
    pose = load_pose(write(tmp_path / "f.json", {"version": 0.1, "people": [{"pose_keypoints": points}]}))
    assert (pose.topology, pose.xyz.shape) == ("openpose18", (1, 1, 18, 3))


def test_openpose_keypoint_scales(tmp_path: Path) -> None:
    fractions = np.tile([0.25, 0.5, 0.9], (25, 1)) + np.linspace(0, 0.3, 25)[:, None] * [1, 1, 0]
    size = (640, 480)
    write_frame(tmp_path / "a", 0, [person(fractions)])
    np.testing.assert_allclose(load_pose(str(tmp_path / "a"), size=size).xyz[0, 0, 0, :2], [160, 240], rtol=1e-6)
    write_frame(tmp_path / "b", 0, [person(fractions * [2, 2, 1] - [1, 1, 0])])
    same = [load_pose(str(tmp_path / name), size=size).xyz for name in ("a", "b")]
    np.testing.assert_allclose(*same, rtol=1e-6)


def test_openpose_names_without_numbers_go_by_order(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        write_frame(tmp_path / "c", 0, [person(body(OPENPOSE25, ord(name)))], name)
    pose = load_pose(str(tmp_path / "c"))
    assert pose.frame.tolist() == [0, 1, 2]
    assert (np.diff(pose.xyz[:, 0, 0, 0]) > 0).all()


def test_openpose_names_the_file_that_is_wrong(tmp_path: Path) -> None:
    write_frame(tmp_path / "c", 0, [person(body(OPENPOSE25, 0))])
    bad = tmp_path / "c" / "clip2_000000000001_keypoints.json"
    for document, message in [
        ({"people": {}}, "expected an object with a list 'people'"),
        ([1], "expected an object"),
        ({"people": [1]}, "expected an object"),
        ({"people": [{"pose_keypoints_2d": "x"}]}, "not a flat list of numbers"),
        ({"people": [{"pose_keypoints_2d": [[1, 2, 3]]}]}, "not a flat list"),
        ({"people": [{"pose_keypoints_2d": [True] * 75}]}, "not a flat list"),
        ({"people": [{"pose_keypoints_2d": [1] * 45}]}, "45 and 75 numbers per person; expected 75"),
        ({"people": [person(body(OPENPOSE18, 0))]}, "54 and 75 numbers per person"),
        ('{"people": [{"pose_keypoints_2d": [1e999' + ",1" * 74 + "]}]}", "beyond"),
        ('{"people": [{"pose_keypoints_2d": [1' + "0" * 400 + ",1" * 74 + "]}]}", "beyond"),
        ("{" * 3, "not whole JSON"),
        ('{"people":' + "[" * 100_000, "not whole JSON"),
    ]:
        write(bad, document)
        with pytest.raises(DataError, match=message) as caught:
            load_pose(str(tmp_path / "c"))
        assert "clip2_000000000001_keypoints.json" in str(caught.value)


def test_two_clips_in_one_folder_are_refused(tmp_path: Path) -> None:
    write_frame(tmp_path / "c", 0, [], "a_{:012d}_keypoints")
    write_frame(tmp_path / "c", 0, [], "b_{:012d}_keypoints")
    with pytest.raises(DataError, match="two pictures for the same frame number; expected one clip"):
        load_pose(str(tmp_path / "c"))


def test_of_a_crowd_the_most_seen_are_kept(tmp_path: Path) -> None:
    for t in range(2):
        crowd = [person(body(OPENPOSE25, 1000 * i)) for i in range(20)]
        write_frame(tmp_path / "c", t, crowd if t else crowd[::-1])
    notes: list[str] = []
    pose = load_pose(str(tmp_path / "c"), note=notes.append)
    assert pose.xyz.shape[1] == MAX_PEOPLE
    assert any("shows 20 people; keeping the 16 seen most" in note for note in notes)


def test_following_meets_partial_views_and_ends_somewhere() -> None:
    whole = body(COCO17, 0)[:, :2]
    upper, lower = whole.copy(), whole.copy()
    upper[8:], lower[:9] = np.nan, np.nan
    far = whole + 1000
    assert follow_people([[whole, far], [far, upper], [lower, far]], "c") == [[0, 1], [1, 0], [0, 1]]
    assert follow_people([[whole], [], [far]], "c") == [[0], [], [0]]
    with pytest.raises(DataError, match="more than 1024 people"):
        follow_people([[whole + 1e3 * i for i in range(600)], [whole - 1e3 * i for i in range(1, 600)]], "c")


# --- COCO -------------------------------------------------------------------------------------------------------------


def coco(frames: int = 3) -> dict[str, Any]:
    annotations = []
    for t in range(frames):
        points = body(COCO17, 100 + t)
        points[:, 2] = 2
        points[COCO17.index("left_eye"), 2] = 1
        points[COCO17.index("right_ear")] = 0
        annotations.append({"id": t, "image_id": 10 + t, "category_id": 1, "keypoints": points.reshape(-1).tolist()})
    names = {10 + t: f"v/frame_{t:05d}.jpg" for t in range(frames + 1)}
    images = [{"id": key, "file_name": name, "width": 640, "height": 480} for key, name in names.items()]
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "keypoints": list(COCO17.joints)}]}


def test_coco_annotations(tmp_path: Path) -> None:
    pose = load_pose(write(tmp_path / "a.json", coco()))
    assert (pose.topology, pose.meta["scale"], pose.meta["dims"]) == ("coco17", "pixels", 2)
    assert pose.frame.tolist() == [0, 1, 2, 3]  # from the file names; the last shows nobody
    assert np.isnan(pose.xyz[3]).all()
    assert (pose.meta["source"]["width"], pose.meta["source"]["height"]) == (640, 480)
    score = dict(zip(COCO17.joints, pose.score[0, 0].tolist(), strict=True))
    assert (score["nose"], score["left_eye"], score["right_ear"]) == (1, 0.5, 0)
    assert np.isnan(pose.xyz[0, 0, COCO17.index("right_ear")]).all()
    np.testing.assert_allclose(pose.xyz[1, 0, 0, :2], body(COCO17, 101)[0, :2], rtol=1e-6)


def test_coco_joints_go_by_name(tmp_path: Path) -> None:
    document = coco()
    order = list(COCO17.flip[::-1])
    document["categories"][0]["keypoints"] = ["tail"] + [COCO17.joints[i] for i in order]
    for annotation in document["annotations"]:
        rows = np.array(annotation["keypoints"]).reshape(-1, 3)
        annotation["keypoints"] = [9, 9, 2, *rows[order].reshape(-1).tolist()]
    same = load_pose(write(tmp_path / "a.json", document)).xyz
    np.testing.assert_array_equal(same, load_pose(write(tmp_path / "b.json", coco())).xyz)


def results(frames: int = 3, confidence: float = 0.6) -> list[dict[str, Any]]:
    out = []
    for t in range(frames):
        points = body(COCO17, 100 + t)
        points[:, 2] = confidence
        out.append({"image_id": t, "category_id": 1, "keypoints": points.reshape(-1).tolist(), "score": 0.9})
    return out


def test_coco_results(tmp_path: Path) -> None:
    pose = load_pose(write(tmp_path / "a.json", results()), fps=50)
    assert pose.frame.tolist() == [0, 1, 2]
    np.testing.assert_allclose(pose.score, 0.6)
    np.testing.assert_allclose(pose.time, [0, 0.02, 0.04])
    assert (load_pose(write(tmp_path / "b.json", results(confidence=1))).score == 1).all()
    assert (load_pose(write(tmp_path / "c.json", results(confidence=4.2))).score == 1).all()
    named = [{**entry, "image_id": f"{entry['image_id'] + 5}.jpg"} for entry in results()]
    assert load_pose(write(tmp_path / "d.json", named)).frame.tolist() == [5, 6, 7]


def test_coco_unknown_joints_may_be_null_or_nan(tmp_path: Path) -> None:
    document = results()
    document[0]["keypoints"][:6] = [None, None, None, float("nan"), 3, 1]
    pose = load_pose(write(tmp_path / "a.json", document))
    assert np.isnan(pose.xyz[0, 0, :2]).all()
    assert np.isfinite(pose.xyz[0, 0, 2:]).all()


def test_coco_several_people_by_track_id(tmp_path: Path) -> None:
    document = [
        {**entry, "track_id": 3 + far, "keypoints": (body(COCO17, 100 + 600 * far)).reshape(-1).tolist()}
        for entry in results() for far in ((0, 1) if entry["image_id"] else (1,))
    ]  # fmt: skip
    pose = load_pose(write(tmp_path / "a.json", document))
    assert pose.track.tolist() == [4, 3]
    assert np.isnan(pose.xyz[0, 1]).all()
    document[1]["track_id"] = document[2]["track_id"]
    with pytest.raises(DataError, match="names the same person twice in one frame"):
        load_pose(write(tmp_path / "a.json", document))


ANNOTATIONS = [{"image_id": 1, "keypoints": [1] * 51}]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "has no annotations with 'keypoints'"),
        ([1], "expected 'annotations' to be a list of objects"),
        ([{"image_id": 1, "bbox": [1, 2, 3, 4]}], "has no annotations with 'keypoints'"),
        ({"annotations": 3}, "expected 'annotations' to be a list"),
        ([{"image_id": 1, "keypoints": [1, 2, 3]}], "3 numbers per person; expected 51"),
        ([{"image_id": 1, "keypoints": {"a": 1}}], "not a flat list of numbers"),
        ([{"image_id": None, "keypoints": [1] * 51}], "'image_id' is None"),
        ([{"image_id": [1], "keypoints": [1] * 51}], "'image_id' is"),
        ([{"image_id": -4, "keypoints": [1] * 51}], "below 0"),
        ([{"image_id": 10**30, "keypoints": [1] * 51}], "beyond 2"),
        ({"annotations": ANNOTATIONS, "images": [{"id": 2}]}, "not in its 'images'"),
        ({"annotations": ANNOTATIONS, "images": [{"id": 1}, {"id": 1}]}, "same frame"),
        ({"annotations": ANNOTATIONS, "categories": [{"keypoints": ["a"]}]}, "other keypoints"),
        ({"annotations": ANNOTATIONS, "categories": "x"}, "expected 'categories'"),
    ],
)  # fmt: skip
def test_other_coco_documents_are_refused(tmp_path: Path, document: Any, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        load_pose(write(tmp_path / "a.json", document))
    assert "a.json" in str(caught.value)


def test_from_names_the_kind_of_json(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", results())
    assert load_pose(path, layout="coco").topology == "coco17"
    with pytest.raises(DataError, match="is coco JSON, not '--from openpose'"):
        load_pose(path, layout="openpose")


KEYS = st.sampled_from(["people", "annotations", "images", "categories", "keypoints", "pose_keypoints_2d", "image_id",
                        "id", "file_name", "person_id", "track_id", "width", "height"])  # fmt: skip
NUMBERS = st.lists(st.floats(allow_nan=True, width=16), min_size=51, max_size=51) | st.just([1.5] * 75)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | NUMBERS
TREES = st.recursive(LEAVES, lambda t: st.lists(t, max_size=3) | st.dictionaries(KEYS, t, max_size=4), max_leaves=12)


@given(TREES)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_document_is_read_or_refused(tmp_path: Path, tree: Any) -> None:
    wrapped = [{"people": [tree]}, [{"image_id": 1, "keypoints": tree}], {"annotations": tree, "images": tree}]
    for document in (tree, *wrapped):
        try:
            load_pose(write(tmp_path / "f.json", document)).check("f")
        except RacctlError as error:
            assert "\n" not in str(error)
