"""Video to pose: the estimator on a picture with a person, the same answer on any number of workers."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import urllib.request
import zipfile

import numpy as np
import pytest
from clips import bouncing, plain, write_clip
from commands import one_line, racctl
from networks import fill_cache, write_task

from racctl.errors import DataError, UsageError
from racctl.estimators import workers
from racctl.estimators.pose import PoseWorkers, estimate_pose, pose_of_video, pose_step, save_pose
from racctl.io.npz import read_pose
from racctl.skeleton.topology import TOPOLOGIES

BLAZEPOSE = TOPOLOGIES["blazepose33"]


def estimate(path, jobs=1, **part):
    made_by = pose_step("full", 1, part.get("start"), part.get("stop"), part.get("stride", 1))
    with PoseWorkers("full", 1, jobs) as pool, open(path, "rb") as file:
        return pose_of_video(file, str(path), pool, made_by)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("pose") / "bounce.mp4", bouncing(140, 28))


@pytest.fixture(scope="module")
def pose(clip):
    return estimate(clip)


def test_shapes_clock_and_provenance(pose):
    assert pose.xyz.shape == pose.world.shape == (140, 1, 33, 3)
    assert pose.frame.tolist() == list(range(140))
    np.testing.assert_allclose(pose.time, np.arange(140) / 25, atol=1e-6)
    assert pose.clip == "bounce"
    assert pose.topology == "blazepose33"
    (step,) = pose.meta["steps"]
    assert step["weights"][0]["licence"] == "Apache-2.0"
    assert len(step["weights"][0]["sha256"]) == 64


def test_the_face_is_where_it_is(pose):
    """In matplotlib's portrait the nose is at 0.53 of the width and 0.38 of the height."""
    nose = pose.xyz[:, 0, BLAZEPOSE.index("nose"), :2]
    width, height = pose.meta["source"]["width"], pose.meta["source"]["height"]
    drop = 0.12 * height * (1 - np.cos(2 * np.pi * np.arange(140) / 28)) / 2
    np.testing.assert_allclose(nose[:, 0], 0.53 * width, atol=0.04 * width)
    np.testing.assert_allclose(nose[:, 1], 0.38 * height + drop, atol=0.05 * height)
    left, right = (pose.xyz[:, 0, BLAZEPOSE.index(f"{side}_shoulder"), 0].mean() for side in ("left", "right"))
    assert left > right  # she faces the camera: her left is on the picture's right


def test_any_number_of_workers_gives_the_same_bytes(clip, pose):
    for jobs in (2, 3):
        again = estimate(clip, jobs)
        assert again.xyz.tobytes() == pose.xyz.tobytes()
        assert again.world.tobytes() == pose.world.tobytes()
        assert again.score.tobytes() == pose.score.tobytes()


def test_start_stop_stride(clip):
    part = estimate(clip, start=1.0, stop=2.0, stride=5)
    assert part.frame.tolist() == [25, 30, 35, 40, 45]
    assert part.meta["steps"][0]["args"] == {
        "model": "pose_landmark_full.tflite", "people": 1, "start": 1.0, "stop": 2.0, "stride": 5,
    }  # fmt: skip
    with pytest.raises(DataError, match="no frame in the part asked for"):
        estimate(clip, start=100.0)


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_turned_clip_gives_the_upright_pose(tmp_path, pose, rotation):
    pictures = [np.rot90(image, -rotation // 90) for image in bouncing(12, 28)]
    turned = estimate(write_clip(tmp_path / "turned.mp4", pictures, rotation=rotation))
    assert turned.meta["source"]["width"] == pose.meta["source"]["width"]
    gap = np.linalg.norm(turned.xyz[:, 0, :11, :2] - pose.xyz[:12, 0, :11, :2], axis=-1)  # the face's landmarks
    assert gap.mean() < 0.03 * pose.meta["source"]["height"]


def test_a_frame_without_a_person_is_nan_with_score_0(tmp_path):
    present = bouncing(10, 28)
    height, width = present[0].shape[:2]
    nobody = plain(60, width, height)
    pose = estimate(write_clip(tmp_path / "leaves.mp4", present + nobody))
    result = (pose.score[:, 0] > 0).all(1)
    assert result[:10].all()
    assert not result[-30:].any()
    assert np.isnan(pose.xyz[~result]).all()
    assert np.isnan(pose.world[~result]).all()


@pytest.mark.parametrize("side", [202, 203, 206, 240])
def test_any_width(tmp_path, side):
    """The rows of a converted picture are longer than the picture where its width is no multiple of eight."""
    pictures = [image[:, :side] for image in bouncing(4, 28, height=300)]
    part = estimate(write_clip(tmp_path / "odd.mp4", pictures, pixels="yuv444p"))
    height = 300
    nose = part.xyz[:, 0, BLAZEPOSE.index("nose"), :2]
    np.testing.assert_allclose(nose[0], [0.53 * 256, 0.38 * height], atol=0.05 * height)


def test_nobody_at_all_is_an_error(tmp_path):
    path = write_clip(tmp_path / "empty.mp4", plain(5, 128, 96))
    with pytest.raises(DataError, match="shows no person in any of its 5 frames"):
        estimate(path)


def test_a_saved_pose_is_skipped_while_current(tmp_path, clip):
    made_by = pose_step("full", 1, None, 0.2, 1)
    with PoseWorkers("full", 1, 1) as pool:
        save_pose(str(clip), pool, folder=tmp_path, entry=made_by)
        target = tmp_path / "bounce.pose.npz"
        first = target.stat().st_mtime_ns
        save_pose(str(clip), pool, folder=tmp_path, entry=made_by)
        assert target.stat().st_mtime_ns == first
        save_pose(str(clip), pool, folder=tmp_path, entry=pose_step("full", 1, None, 0.3, 1))
        assert target.stat().st_mtime_ns != first


def test_cuts_cover_the_clip_and_do_not_depend_on_workers():
    for total in (1, 5, 119, 120, 359, 360, 1000, 108_000):
        begins = workers.cuts(total)
        assert begins[0] == 0
        assert begins == sorted(set(begins))
        longest = max(np.diff([*begins, total]))
        assert longest <= 2 * workers.CHUNK_FRAMES


def test_a_machine_without_graphics_libraries_and_without_mediapipe(tmp_path, clip):
    """OpenCV's wheel, which MediaPipe drags in, needs libGL; a pose takes neither."""
    target = tmp_path / "p.npz"
    code = f"""
import sys
sys.modules["cv2"] = sys.modules["mediapipe"] = None
from racctl.cli.app import run
status = run(["pose", {str(clip)!r}, "--stop", "0.2", "-o", {str(target)!r}])
print(*sorted({{name.split(".")[0] for name in sys.modules}} & {{"jax", "tensorflow", "torch", "matplotlib"}}))
sys.exit(status)
"""
    environment = {**os.environ, "RACCTL_CACHE": str(fill_cache(tmp_path / "cache"))}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "\n"
    with open(target, "rb") as file:
        assert read_pose(file, "p").score.all()


def test_a_model_that_is_not_here(monkeypatch, tmp_path):
    monkeypatch.setenv("RACCTL_CACHE", str(tmp_path))
    with pytest.raises(UsageError, match="'heavy' does not come with the installation"):
        pose_step("heavy", 1, None, None, 1)
    with pytest.raises(UsageError, match="no such pose model 'huge'; expected full, lite, heavy"):
        pose_step("huge", 1, None, None, 1, download=True)


def test_a_download_that_is_not_the_pinned_file_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("RACCTL_CACHE", str(tmp_path))
    monkeypatch.setattr(shutil, "which", lambda name: None)  # there is no npm, which has the network in a package
    monkeypatch.setattr(urllib.request, "urlopen", lambda *a, **k: io.BytesIO(b"something else"))
    with pytest.raises(DataError, match="is not the file that was pinned"):
        pose_step("lite", 1, None, None, 1, download=True)
    assert not list(tmp_path.iterdir())


def test_a_task_file_of_the_same_networks_gives_the_same_pose(tmp_path, clip):
    task = write_task(tmp_path / "mine.task")
    result = estimate_pose(clip, str(task), stop=0.4)
    assert result.meta["steps"][0]["weights"][0]["name"] == "mine.task"
    assert result.meta["steps"][0]["weights"][0]["licence"] == "unknown"
    again = estimate_pose(clip, stop=0.4)
    assert len(result.frame) == 10
    assert result.xyz.tobytes() == again.xyz.tobytes()
    assert result.world.tobytes() == again.world.tobytes()


def test_a_task_file_of_something_else_is_one_line(tmp_path, clip):
    task = tmp_path / "mine.task"
    task.write_bytes(b"nothing of the kind")
    assert f"'{task}' is not a .task file of a pose model" in one_line(racctl("pose", clip, "--model", task), 1)
    with zipfile.ZipFile(task, "w") as archive:
        archive.writestr("pose_detector.tflite", b"no network")
        archive.writestr("pose_landmarks_detector.tflite", b"no network either")
    assert "is not a TFLite file" in one_line(racctl("pose", clip, "--model", task), 1)
