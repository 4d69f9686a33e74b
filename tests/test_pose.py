"""Video to pose: the estimator on a picture with a person, the same answer on any number of workers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from clips import bouncing, plain, portrait, write_clip

from racctl.errors import DataError, UsageError
from racctl.estimators import blazepose, workers
from racctl.estimators.pose import PoseWorkers, pose_of_video, pose_step, save_pose
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
    height, width = portrait().shape[:2]
    present = bouncing(10, 28)
    height, width = present[0].shape[:2]
    nobody = plain(60, width, height)
    pose = estimate(write_clip(tmp_path / "leaves.mp4", present + nobody))
    result = (pose.score[:, 0] > 0).all(1)
    assert result[:10].all()
    assert not result[-30:].any()
    assert np.isnan(pose.xyz[~result]).all()
    assert np.isnan(pose.world[~result]).all()


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


def test_a_machine_without_graphics_libraries():
    """OpenCV's wheel needs libGL; BlazePose must run where that is missing."""
    code = """
import importlib.abc, sys
class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "cv2":
            raise ImportError("libGL.so.1: cannot open shared object file")
sys.meta_path.insert(0, Missing())
sys.path.insert(0, sys.argv[1])
import numpy as np
from clips import portrait
from racctl.estimators import workers
from racctl.estimators.blazepose import BlazePose
workers._prepare_process()
assert (BlazePose()(portrait(), 0.0)[2] > 0).all()
"""
    done = subprocess.run([sys.executable, "-c", code, str(Path(__file__).parent)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_model_that_is_not_here(monkeypatch, tmp_path):
    monkeypatch.setenv("RACCTL_CACHE", str(tmp_path))
    with pytest.raises(UsageError, match="'heavy' does not come with the installation"):
        blazepose.model_file("heavy", download=False)
    with pytest.raises(UsageError, match="no such pose model 'huge'"):
        blazepose.model_file("huge", download=True)


def test_a_download_that_is_not_the_pinned_file_is_refused(monkeypatch, tmp_path):
    import io
    import urllib.request

    monkeypatch.setenv("RACCTL_CACHE", str(tmp_path))
    monkeypatch.setattr(urllib.request, "urlopen", lambda *a, **k: io.BytesIO(b"something else"))
    with pytest.raises(DataError, match="is not the file that was pinned"):
        blazepose.model_file("lite", download=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_task_file_gives_the_same_person(tmp_path, clip, pose):
    """The wheel's own models, bundled as a .task file, go through MediaPipe's other interface."""
    bundle = _bundle(tmp_path)
    with PoseWorkers(str(bundle), 2, 1) as pool, open(clip, "rb") as file:
        result = pose_of_video(file, str(clip), pool, pose_step(str(bundle), 2, None, 0.4, 1))
    assert result.meta["steps"][0]["weights"][0]["licence"] == "unknown"
    gap = np.linalg.norm(result.xyz[:, 0, :11, :2] - pose.xyz[:10, 0, :11, :2], axis=-1)
    assert gap.mean() < 0.03 * pose.meta["source"]["height"]


def _bundle(folder):
    """A .task file made of the models in the mediapipe wheel, with the metadata that the Tasks interface wants."""
    import zipfile

    writer = pytest.importorskip("mediapipe.tasks.python.metadata.metadata_writers.metadata_writer")
    modules = blazepose._wheel_model().parents[1]
    parts = {
        "pose_detector.tflite": (modules / "pose_detection" / "pose_detection.tflite", 127.5, 127.5),
        "pose_landmarks_detector.tflite": (blazepose._wheel_model(), 0.0, 255.0),
    }
    path = folder / "own.task"
    with zipfile.ZipFile(path, "w") as archive:
        for name, (model, mean, std) in parts.items():
            output = writer.MetadataWriter.create(bytearray(model.read_bytes()))
            output.add_image_input([mean], [std])
            for _ in range(2 if name == "pose_detector.tflite" else 5):
                output.add_feature_output()
            archive.writestr(name, bytes(output.populate()[0]))
    return path
