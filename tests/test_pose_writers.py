"""racctl convert of poses: what is written is read again, by racctl and by others."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from commands import one_line, racctl
from poses import swinging_pose

from racctl.data.exchange.poses import over_joints
from racctl.errors import DataError
from racctl.io.npz import pose_bytes
from racctl.io.poses.formats import load_pose
from racctl.io.poses.writers import POSE_WRITERS


def a_pose(frames=12):
    """Two people at uneven times, one of whom leaves; a frame is missing."""
    pose = swinging_pose(frames)
    rows = np.delete(np.arange(frames), 5)
    xyz = np.repeat(pose.xyz[rows], 2, 1) + np.array([[[0, 0, 0]], [[90, 0, 0]]], np.float32)
    score = np.repeat(pose.score[rows], 2, 1) * np.float32(0.75)
    xyz[7:, 1], score[7:, 1] = np.nan, 0
    time = pose.time[rows] + 0.004 * (np.arange(len(rows)) % 3)
    world = np.where(np.isnan(xyz), np.nan, xyz / 400).astype(np.float32)
    return replace(pose, xyz=xyz, score=score, frame=pose.frame[rows], time=time, track=np.array([3, 8], np.int32),
                   world=world)  # fmt: skip


@pytest.fixture
def source(tmp_path):
    (tmp_path / "p.npz").write_bytes(pose_bytes(a_pose()))
    return tmp_path / "p.npz"


def same_plane(a, b, tolerance):
    assert np.allclose(a.xyz[..., :2], b.xyz[..., :2], atol=tolerance, equal_nan=True)
    assert np.allclose(a.score, b.score, atol=1e-3)
    assert a.frame.tolist() == b.frame.tolist()


def test_csv_there_and_back(source, tmp_path):
    assert racctl("convert", source, "--to", "csv", "-o", tmp_path / "p.csv").returncode == 0
    pose, back = a_pose(), load_pose(tmp_path / "p.csv")
    assert back.topology == pose.topology and back.track.tolist() == [3, 8]
    same_plane(back, pose, 1e-2)
    assert np.allclose(back.time, pose.time, atol=1e-6)
    assert np.allclose(back.world, pose.world, atol=1e-5, equal_nan=True)


def test_coco_there_and_back(source, tmp_path):
    assert racctl("convert", source, "--to", "coco", "-o", tmp_path / "p.json").returncode == 0
    pose, back = over_joints(a_pose(), "coco17"), load_pose(tmp_path / "p.json")
    assert np.allclose(back.xyz[..., :2], pose.xyz[..., :2], atol=1e-2, equal_nan=True)
    assert back.frame.tolist() == pose.frame.tolist() and np.allclose(back.time, pose.time, atol=1e-6)
    document = json.loads((tmp_path / "p.json").read_text())
    assert document["annotations"][0]["keypoint_scores"][0] == pytest.approx(0.75)
    document["images"][1]["time"] = 0.0
    (tmp_path / "bad.json").write_text(json.dumps(document))
    assert "does not ascend" in one_line(racctl("remap-joints", tmp_path / "bad.json", "-o", tmp_path / "x.npz"), 1)


def test_openpose_there_and_back(source, tmp_path):
    assert racctl("convert", source, "--to", "openpose", "-o", f"{tmp_path}/op/").returncode == 0
    assert len(list((tmp_path / "op").iterdir())) == 11
    pose, back = over_joints(a_pose(), "openpose25"), load_pose(tmp_path / "op", layout="openpose", fps=30)
    assert back.topology == "openpose25" and back.track.tolist() == [3, 8]
    same_plane(back, pose, 1e-2)
    assert "'-o DIR/'" in one_line(racctl("convert", source, "--to", "openpose", "-o", tmp_path / "one.json"), 2)


def test_several_clips_are_several_files(source, tmp_path):
    second = replace(a_pose(), meta={**a_pose().meta, "clip": "second"})
    (tmp_path / "q.npz").write_bytes(pose_bytes(second))
    for name, expected in (("trc", {"second.trc", "swing.trc"}), ("openpose", {"second", "swing"})):
        done = racctl("convert", source, tmp_path / "q.npz", "--to", name, "-o", f"{tmp_path}/{name}/")
        assert done.returncode == 0, done.stderr.decode()
        assert {path.name for path in (tmp_path / name).iterdir()} == expected


def test_mmpose_has_instances_of_every_frame(source, tmp_path):
    assert racctl("convert", source, "--to", "mmpose", "-o", tmp_path / "p.json").returncode == 0
    document = json.loads((tmp_path / "p.json").read_text())
    rows = document["instance_info"]
    assert [row["frame_id"] for row in rows] == (a_pose().frame + 1).tolist()
    assert [len(row["instances"]) for row in rows] == [2] * 7 + [1] * 4
    assert np.array(rows[0]["instances"][0]["keypoints"]).shape == (17, 2)
    assert document["meta_info"]["keypoint_id2name"]["0"] == "nose"


def test_trc_has_every_marker_in_millimetres(source, tmp_path):
    assert racctl("convert", source, "-o", tmp_path / "p.trc").returncode == 0
    lines = (tmp_path / "p.trc").read_text().splitlines()
    header = dict(zip(lines[1].split("\t"), lines[2].split("\t"), strict=True))
    assert (header["NumFrames"], header["NumMarkers"], header["Units"]) == ("11", "33", "mm")
    names = [name for name in lines[3].split("\t")[2:] if name]
    row = lines[6].split("\t")
    pose = a_pose()
    place = names.index("left_wrist")
    x, y, z = (pose.world[0, 0, place] * 1000).tolist()
    assert [float(cell) for cell in row[2 + 3 * place : 5 + 3 * place]] == pytest.approx([x, -y, -z], abs=2e-3)
    assert [float(line.split("\t")[1]) for line in lines[6:]] == pytest.approx(pose.time.tolist(), abs=1e-6)
    assert all(len(line.split("\t")) == 2 + 3 * 33 for line in lines[6:])


def test_c3d_is_read_by_ezc3d(tmp_path):
    ezc3d = pytest.importorskip("ezc3d")
    pose = swinging_pose(20)
    pose = replace(pose, world=(pose.xyz / 400).astype(np.float32))
    pose.world[4, 0, 0] = np.nan
    pose.score[4, 0, 0] = 0
    (tmp_path / "even.npz").write_bytes(pose_bytes(pose))
    assert racctl("convert", tmp_path / "even.npz", "-o", tmp_path / "p.c3d").returncode == 0
    read = ezc3d.c3d(str(tmp_path / "p.c3d"))
    assert read["parameters"]["POINT"]["LABELS"]["value"][0] == "nose"
    assert read["parameters"]["POINT"]["RATE"]["value"][0] == pytest.approx(30, abs=1e-3)
    points = read["data"]["points"]
    assert points.shape == (4, 33, 20) and np.isnan(points[0, 0, 4])
    assert points[:3, 15, 7] == pytest.approx(pose.world[7, 0, 15] * [1000, -1000, -1000], rel=1e-4)


def test_what_cannot_be_written_is_one_line(source, tmp_path):
    uneven = racctl("convert", source, "-o", tmp_path / "p.c3d")
    assert "write '--to trc'" in one_line(uneven, 1)
    (tmp_path / "flat.npz").write_bytes(pose_bytes(replace(a_pose(), world=None)))
    assert "no world landmarks" in one_line(racctl("convert", tmp_path / "flat.npz", "-o", tmp_path / "p.trc"), 1)
    assert "with '--to'" in one_line(racctl("convert", source, "-o", tmp_path / "p.json"), 2)
    (tmp_path / "r.parquet").write_bytes(b"PAR1")
    assert racctl("convert", tmp_path / "r.parquet", "-o", tmp_path / "p.trc").returncode == 1
    assert not (tmp_path / "p.trc").exists()


@pytest.mark.parametrize("name", POSE_WRITERS.names())
def test_a_clip_of_nobody_is_written(name):
    pose = a_pose()
    pose.xyz[:], pose.score[:], pose.world[:] = np.nan, 0, np.nan
    pose.time = np.arange(len(pose.frame)) / 30
    if name == "c3d":
        pytest.importorskip("ezc3d")
    writer = POSE_WRITERS.load(name)
    assert writer.write(over_joints(pose, writer.topology))


def test_fractions_and_nobody_are_refused(tmp_path):
    scaled = replace(a_pose(), meta={**a_pose().meta, "scale": "minmax"})
    (tmp_path / "m.npz").write_bytes(pose_bytes(scaled))
    done = racctl("convert", tmp_path / "m.npz", "--to", "coco", "-o", tmp_path / "m.json")
    assert "in fractions" in one_line(done, 1)
    empty = a_pose()
    empty = replace(empty, xyz=empty.xyz[:0], score=empty.score[:0], world=empty.world[:0], frame=empty.frame[:0],
                    time=empty.time[:0])  # fmt: skip
    for name in ("trc", "c3d"):
        with pytest.raises(DataError, match="has no frame"):
            POSE_WRITERS.load(name).write(empty)
