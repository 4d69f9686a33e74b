"""Poses from anywhere, told apart by content: npy and npz arrays, options, and what is refused.

JSON has its own tests in test_pose_json.py, CSV in test_pose_csv.py."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from poses import standing_body

from racctl.contracts import Pose
from racctl.errors import DataError, RacctlError, UsageError
from racctl.io.npz import pose_bytes, read_pose, write_npz
from racctl.io.poses.formats import load_pose, picture_size
from racctl.io.poses.landmarks import scale_of
from racctl.skeleton.remap import remap
from racctl.skeleton.topology import BLAZEPOSE33, D2STX25, NTU25, TOPOLOGIES


def minmax(frames: int = 5, seed: int = 0) -> np.ndarray:
    """(T, 99) as PoseRAC writes it: each axis of each frame from 0 to 1."""
    rng = np.random.default_rng(seed)
    depth = rng.uniform(0, 60, (33, 1))
    body = np.concatenate([standing_body(BLAZEPOSE33.joints, seed), depth], 1)
    points = (body + rng.normal(size=(frames, 33, 3))).astype(np.float32)
    low, high = points.min(1, keepdims=True), points.max(1, keepdims=True)
    return ((points - low) / (high - low)).reshape(frames, 99)


REACH = {"shoulder": 0.2, "elbow": 0.25, "wrist": 0.3, "hand": 0.32, "hand_tip": 0.36, "thumb": 0.3}
DROP = {"shoulder": 0.5, "elbow": 0.2, "wrist": 0.0, "hand": -0.1, "hand_tip": -0.15, "thumb": -0.08, "knee": -0.4,
        "ankle": -0.8, "foot": -0.85}  # fmt: skip


def standing(frames: int = 3) -> np.ndarray:
    """(T, 25, 3) in NTU order: an upright person two metres from a Kinect, metres, y up."""
    height = {"head": 0.8, "neck": 0.6, "spine_shoulder": 0.5, "spine_mid": 0.2, "spine_base": 0.0}
    out = np.zeros((frames, 25, 3))
    for joint in NTU25.joints:
        side = -1 if joint.startswith("left") else 1 if joint.startswith("right") else 0
        part = joint.removeprefix("left_").removeprefix("right_")
        out[:, NTU25.index(joint)] = [side * REACH.get(part, 0.1), height.get(part, DROP.get(part, 0)), 2.0]
    return out + np.linspace(0, 0.01, frames)[:, None, None]


def save(path: Path, array: np.ndarray) -> str:
    np.save(path, array)
    return str(path)


class Notes(list):
    """What the importer says, to look at."""

    def __call__(self, message: str) -> None:
        self.append(message)


# --- arrays -----------------------------------------------------------------------------------------------------------


def test_poserac_array(tmp_path: Path) -> None:
    array = minmax()
    array[2] = 0
    notes = Notes()
    pose = load_pose(save(tmp_path / "squat7.npy", array), note=notes)
    assert (pose.topology, pose.meta["scale"], pose.clip) == ("blazepose33", "minmax", "squat7")
    assert pose.xyz.shape == (5, 1, 33, 3)
    assert np.isnan(pose.xyz[2]).all()
    assert (pose.score[2] == 0).all()
    np.testing.assert_array_equal(pose.xyz[3, 0].reshape(-1), array[3])
    assert (pose.score[[0, 1, 3, 4]] == 1).all()
    np.testing.assert_allclose(pose.time, np.arange(5) / 30)
    assert pose.meta["source"] == {"name": "squat7.npy", "frames": 5, "fps": 30.0}
    step = pose.meta["steps"][0]
    assert (step["tool"], step["args"]["format"]) == ("import", "poserac")
    assert step["args"]["time"] == "frame/fps, fps assumed"
    assert any("assuming 30 frames per second" in note for note in notes)


def test_a_single_joint_at_zero_is_no_missing_joint(tmp_path: Path) -> None:
    array = minmax().reshape(5, 33, 3)
    array[0, BLAZEPOSE33.index("nose")] = 0  # the top left corner of the box in front: legitimate in min-max
    pose = load_pose(save(tmp_path / "a.npy", array))
    assert (pose.xyz[0, 0, BLAZEPOSE33.index("nose")] == 0).all()


@pytest.mark.parametrize("shape", [(5, 99), (5, 33, 3)])
def test_suffix_and_container_do_not_matter(tmp_path: Path, shape: tuple[int, ...]) -> None:
    array = minmax().reshape(shape)
    plain = load_pose(save(tmp_path / "a.npy", array), fps=25)
    np.savez(tmp_path / "b.npz", poses=array, label=np.array(3))
    np.savez_compressed(tmp_path / "c.npz", array)
    (tmp_path / "a.npy").rename(tmp_path / "a.csv")
    for name in ("a.csv", "b.npz", "c.npz"):
        pose = load_pose(str(tmp_path / name), fps=25)
        np.testing.assert_array_equal(pose.xyz, plain.xyz)
        assert pose.meta["source"]["fps"] == 25


def test_visibility_is_the_fourth_number(tmp_path: Path) -> None:
    array = np.concatenate([minmax().reshape(5, 33, 3) * 400 + 7, np.full((5, 33, 1), 0.25)], -1)
    for name, shaped in (("a.npy", array), ("b.npy", array.reshape(5, 132))):
        pose = load_pose(save(tmp_path / name, shaped))
        assert (pose.score == 0.25).all()
        assert pose.meta["scale"] == "pixels"


def test_kinect_array_turns_y_down_and_gives_hip_centred_metres(tmp_path: Path) -> None:
    array = standing()
    pose = load_pose(save(tmp_path / "k.npy", array))
    assert (pose.topology, pose.meta["scale"]) == ("ntu25", "metres")
    np.testing.assert_allclose(pose.xyz[:, 0], array * [1, -1, 1], atol=1e-6)
    assert pose.xyz[0, 0, NTU25.index("head"), 1] < pose.xyz[0, 0, NTU25.index("left_foot"), 1]
    assert (pose.world[:, :, NTU25.index("spine_base")] == 0).all()
    assert remap(pose, "d2stx25").world.shape == (3, 1, 25, 3)


def test_several_kinect_bodies_and_the_padding_is_left_out(tmp_path: Path) -> None:
    bodies = np.stack([standing(), np.zeros((3, 25, 3)), standing() + np.array([1, 0, 0])], 1)
    bodies[1, 2] = 0
    pose = load_pose(save(tmp_path / "k.npy", bodies))
    assert pose.xyz.shape == (3, 2, 25, 3)
    assert np.isnan(pose.xyz[1, 1]).all()
    assert pose.track.tolist() == [0, 1]
    np.testing.assert_array_equal(load_pose(save(tmp_path / "f.npy", standing().reshape(3, 75))).xyz, pose.xyz[:, :1])


def test_the_order_of_25_joints_is_told_by_the_bones_or_by_the_option(tmp_path: Path) -> None:
    ntu = standing()
    d2stx = (ntu * [1, -1, 1])[:, NTU25.permutation(D2STX25)] * 200 + 300
    notes = Notes()
    result = load_pose(save(tmp_path / "d.npy", d2stx), note=notes)
    assert (result.topology, result.meta["scale"]) == ("d2stx25", "pixels")
    np.testing.assert_allclose(result.xyz[:, 0], d2stx, rtol=1e-6)
    assert any("in the order of d2stx25" in note and "--from kinect" in note for note in notes)
    assert load_pose(save(tmp_path / "n.npy", ntu)).topology == "ntu25"
    assert load_pose(str(tmp_path / "n.npy"), layout="d2stx").topology == "d2stx25"
    assert load_pose(str(tmp_path / "d.npy"), layout="kinect").topology == "ntu25"
    same = [remap(load_pose(str(tmp_path / name)), "ntu25") for name in ("n.npy", "d.npy")]
    np.testing.assert_allclose(same[0].xyz * 200 + 300, same[1].xyz * [1, 1, 1], rtol=1e-4)


def test_nobody_in_the_whole_clip_is_a_clip_all_the_same(tmp_path: Path) -> None:
    pose = load_pose(save(tmp_path / "z.npy", np.zeros((4, 99))))
    assert pose.xyz.shape == (4, 1, 33, 3)
    assert np.isnan(pose.xyz).all()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((5, 98)), r"holds an array of shape \(5, 98\); expected \(T, 99\)"),
        (np.zeros((5, 24, 3)), r"shape \(5, 24, 3\)"),
        (np.zeros(99), r"shape \(99,\)"),
        (np.zeros((2, 2, 5, 25, 3)), "shape"),
        (np.zeros((0, 99)), "empty array"),
        (np.ones((2, 300, 25, 3)), "which of the first two axes are frames"),
        (np.full((2, 99), "x"), "expected numbers"),
        (np.full((2, 99), 1j), "expected numbers"),
        (np.full((2, 99), np.inf), "infinite"),
        (np.full((2, 99), 1e30), "beyond 1e"),
        (np.full((2, 25, 3), 1e200), "beyond 1e"),
    ],
)  # fmt: skip
def test_other_arrays_are_refused(tmp_path: Path, array: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_pose(save(tmp_path / "a.npy", array))


def test_pickles_are_refused_and_never_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple:
            return os.mkdir, (str(tmp_path / "ran"),)

    np.save(tmp_path / "a.npy", np.array([Bomb()], object), allow_pickle=True)
    np.savez(tmp_path / "b.npz", pose=np.array({"pose": Bomb()}, object))
    for name in ("a.npy", "b.npz"):
        with pytest.raises(DataError, match="pickled Python objects"):
            load_pose(str(tmp_path / name))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("shape", ["(-1, 99)", "(-2, -99)", "(10**12, 99)", "(1000000000000, 99)", "(3, 99)", "'x'"])
def test_sizes_that_the_file_does_not_hold_are_refused(tmp_path: Path, shape: str) -> None:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (118 - len(header) - 1) + b"\n"
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(792))
    with pytest.raises(DataError, match=r"'.*a\.npy'"):
        load_pose(str(tmp_path / "a.npy"))


def test_an_npz_must_hold_one_pose(tmp_path: Path) -> None:
    np.savez(tmp_path / "two.npz", a=minmax(), b=minmax())
    np.savez(tmp_path / "none.npz", a=np.zeros(3))
    with pytest.raises(DataError, match=r"several poses \(a \(5, 99\), b \(5, 99\)\)"):
        load_pose(str(tmp_path / "two.npz"))
    with pytest.raises(DataError, match=r"no pose \(a \(3,\)\)"):
        load_pose(str(tmp_path / "none.npz"))


# --- racctl's own -----------------------------------------------------------------------------------------------------


def own_pose() -> Pose:
    xyz = np.random.default_rng(3).uniform(0, 99, (4, 1, 33, 3)).astype(np.float32)
    time = np.array([0, 0.04, 0.09, 0.2])
    meta = {"clip": "c", "source": {"name": "c.mp4"}, "steps": [], "topology": "blazepose33"}
    return Pose(xyz, np.ones((4, 1, 33), np.float32), np.arange(4), time, np.zeros(1, np.int32), meta)


def test_own_poses_come_back_unchanged(tmp_path: Path) -> None:
    (tmp_path / "p.bin").write_bytes(pose_bytes(own_pose()))
    assert pose_bytes(load_pose(str(tmp_path / "p.bin"))) == pose_bytes(own_pose())
    for options in ({"fps": 30.0}, {"layout": "poserac"}, {"size": (640, 480)}):
        with pytest.raises(UsageError, match="is racctl's own and takes no '--from'"):
            load_pose(str(tmp_path / "p.bin"), **options)


def test_own_poses_come_from_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(pose_bytes(own_pose())))
    monkeypatch.setattr(sys, "stdin", stdin)
    out = remap(load_pose("-"), "d2stx25")
    np.testing.assert_array_equal(out.time, own_pose().time)
    assert out.meta["source"] == {"name": "c.mp4"}


def test_plain_arrays_come_from_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    np.save(buffer, minmax())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(buffer.getvalue())))
    pose = load_pose("-")
    assert pose.clip == pose.meta["source"]["name"] == "stdin"


def test_another_schema_is_named(tmp_path: Path) -> None:
    arrays = {"mask": np.zeros((2, 4, 4), np.uint8), "frame": np.arange(2), "time": np.arange(2.0)}
    with open(tmp_path / "m.npz", "wb") as file:
        write_npz(file, "racctl.mask/1", {"steps": []}, arrays)
    with pytest.raises(DataError, match=r"holds racctl.mask/1, expected racctl.pose/1"):
        load_pose(str(tmp_path / "m.npz"))


# --- what is not a pose, and options ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\x00\x01\x02\x03" * 9, "is of no known kind; expected a racctl.pose/1 npz"),
        (b"\x00\x00\x00\x18ftypmp42" + bytes(40), "is video; .* run 'racctl pose' first"),
        (b"PAR1" + bytes(40), "is parquet; expected"),
        (b"PK\x03\x04" + bytes(40), "is not a whole npz file"),
        (b"\x93NUMPY\x01\x00", "is not a whole npy array"),
        (b"hello world\n", "is no CSV of landmarks"),
        (b'{"a": 1}', "is json of no known format; expected a racctl.pose/1 npz"),
        (b"[1, 2", "is not whole JSON"),
    ],
)
def test_what_cannot_be_recognised_is_one_clear_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        load_pose(str(tmp_path / "x.npy"))
    assert "\n" not in str(caught.value)
    assert not str(caught.value).endswith(".")


def test_a_missing_file_and_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        load_pose(str(tmp_path / "no"))
    with pytest.raises(DataError, match="holds no OpenPose JSON files"):
        load_pose(str(tmp_path))


def test_options_that_do_not_fit(tmp_path: Path) -> None:
    array = save(tmp_path / "a.npy", minmax())
    with pytest.raises(UsageError, match="no such pose format 'alphapose'; expected one of poserac, kinect"):
        load_pose(array, layout="alphapose")
    with pytest.raises(DataError, match="is npy, but '--from mediapipe' comes as text"):
        load_pose(array, layout="mediapipe")
    with pytest.raises(DataError, match="has 33 joints, but '--from kinect' has 25"):
        load_pose(array, layout="kinect")
    with pytest.raises(DataError, match="is folder, but '--from kinect' comes as npy or npz"):
        load_pose(str(tmp_path), layout="kinect")
    with pytest.raises(UsageError, match="is in minmax"):
        load_pose(array, size=(640, 480))
    for fps in (0, -1, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="--fps"):
            load_pose(array, fps=fps)


def test_picture_size() -> None:
    assert picture_size("640x480") == (640, 480)
    for text in ("640", "0x480", "640x-1", "640x480x3", "axb", "999999x1", ""):
        with pytest.raises(UsageError, match="expected WIDTHxHEIGHT"):
            picture_size(text)


def test_fractions_of_the_picture_become_pixels(tmp_path: Path) -> None:
    array = minmax().reshape(5, 33, 3) * 0.5 + 0.2
    notes = Notes()
    pose = load_pose(save(tmp_path / "a.npy", array), note=notes)
    assert pose.meta["scale"] == "normalized"
    assert any("--size" in note for note in notes)
    pose = load_pose(str(tmp_path / "a.npy"), size=(640, 480))
    np.testing.assert_allclose(pose.xyz[:, 0], array * [640, 480, 640], rtol=1e-5)
    assert (pose.meta["scale"], pose.meta["source"]["width"], pose.meta["source"]["height"]) == ("pixels", 640, 480)


def test_scale_of_whole_clip_stretching() -> None:
    xyz = np.random.default_rng(0).uniform(-1, 1, (6, 1, 25, 3))
    assert scale_of(xyz) == "normalized"
    xyz[0, 0, 0], xyz[1, 0, 1] = -1, 1
    assert scale_of(xyz) == "minmax"
    assert scale_of(np.full((2, 1, 25, 3), np.nan)) == "normalized"


@given(st.binary(max_size=300), st.sampled_from([b"", b"\x93NUMPY\x01\x00", b"PK\x03\x04", b"{", b"[", b"x0,y0\n"]))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_read_or_refused(tmp_path: Path, content: bytes, magic: bytes) -> None:
    (tmp_path / "f").write_bytes(magic + content)
    try:
        load_pose(str(tmp_path / "f")).check("f")
    except RacctlError as error:
        assert "\n" not in str(error)


@given(st.data())
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_files_are_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    buffer = io.BytesIO()
    if data.draw(st.booleans()):
        np.save(buffer, minmax(2))
    else:
        np.savez(buffer, minmax(2))
    content = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, min(len(content) - 1, 300)))] = data.draw(st.integers(0, 255))
    (tmp_path / "f").write_bytes(content[: data.draw(st.integers(1, len(content)))])
    try:
        load_pose(str(tmp_path / "f")).check("f")
    except RacctlError as error:
        assert "\n" not in str(error)


# --- real data --------------------------------------------------------------------------------------------------------

REAL = Path(os.environ.get("RACCTL_TEST_DATA", "/nonexistent")) / "poses"


@pytest.mark.skipif(not REAL.is_dir(), reason="needs real pose sequences; set RACCTL_TEST_DATA")
def test_real_poserac_sequences() -> None:
    paths = sorted(REAL.glob("*.npy"))
    assert paths
    for path in paths:
        raw = np.load(path)
        pose = load_pose(str(path))
        nobody = (raw == 0).all(1)
        assert (pose.meta["scale"], pose.topology) == ("minmax", "blazepose33")
        assert (np.isnan(pose.xyz).all((1, 2, 3)) == nobody).all()
        assert np.isfinite(pose.xyz[~nobody]).all()
        out = remap(pose, "d2stx25").check(path.name)
        assert out.xyz.shape == (len(raw), 1, 25, 3)
        assert np.nanmin(out.xyz) >= 0
        assert np.nanmax(out.xyz) <= 1
        assert (read_pose(io.BytesIO(pose_bytes(out)), "again").score == out.score).all()


@pytest.mark.skipif(not REAL.is_dir(), reason="needs real pose sequences; set RACCTL_TEST_DATA")
def test_the_bones_of_real_bodies_tell_the_order(tmp_path: Path) -> None:
    for path in sorted(REAL.glob("*.npy")):
        pose = load_pose(str(path))
        for to, layout in (("d2stx25", "d2stx25"), ("ntu25", "ntu25")):
            save(tmp_path / "a.npy", np.nan_to_num(remap(pose, to).xyz[:, 0]))
            assert load_pose(str(tmp_path / "a.npy")).topology == layout, path.name
    assert set(TOPOLOGIES) >= {"d2stx25", "ntu25"}
