"""racctl pose beyond the pose: fewer frames by --rate, the network's inner features, MediaPipe's own pipeline."""

from __future__ import annotations

import importlib.util
import io

import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from clips import bouncing, plain, write_clip
from commands import one_line, racctl
from hypothesis import given
from hypothesis import strategies as st
from poses import swinging_pose

import racctl as library
from racctl.contracts import Features, Pose
from racctl.errors import DataError, UsageError
from racctl.estimators import pose_features
from racctl.estimators.base import POSE_ESTIMATORS, backend_model
from racctl.estimators.blazepose.features import FeatureStore
from racctl.estimators.blazepose.graph import cut_graph, output_tensors
from racctl.estimators.blazepose.model import build_tracker
from racctl.estimators.blazepose.networks import LandmarkNetwork, PersonDetector, feature_tensor
from racctl.estimators.blazepose.region import CropSource
from racctl.estimators.blazepose.tracker import PeopleTracker
from racctl.estimators.model_files import blazepose_paths
from racctl.estimators.pose import pose_lanes, pose_step, save_pose
from racctl.estimators.pose_features import estimate_pose_features, feature_lanes, save_pose_and_features
from racctl.io.npz import pose_bytes, read_features, read_pose, write_features
from racctl.io.up_to_date import recorded_meta
from racctl.video.decode import frames
from racctl.video.span import Span, stride_at

SEEN = 16  # frames with somebody, of FRAMES
FRAMES = 44


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """25 frames/s; somebody in the first frames, then nobody."""
    images = bouncing(SEEN, 12)
    height, width = images[0].shape[:2]
    return write_clip(tmp_path_factory.mktemp("options") / "leaves.mp4", images + plain(FRAMES - SEEN, width, height))


@pytest.fixture(scope="module")
def both(clip) -> tuple[Pose, Features]:
    return estimate_pose_features(clip)


def feature_bytes(features: Features) -> bytes:
    out = io.BytesIO()
    write_features(out, features)
    return out.getvalue()


# Fewer frames.


@pytest.mark.parametrize(
    ("fps", "rate", "stride"),
    [
        (30, 30, 1), (30, 20, 1), (30, 15, 2), (30, 12, 2), (30, 10, 3), (29.97, 15, 2), (23.976, 12, 2),
        (23.976, 10, 2), (25, 15, 1), (25, 10, 2), (60, 10, 6), (10, 30, 1), (24.08, 1, 24),
    ],
)  # fmt: skip
def test_a_rate_is_a_stride_that_leaves_as_much(fps, rate, stride):
    assert stride_at(fps, rate) == stride
    assert Span(rate=rate).at(fps) == Span(stride=stride, rate=rate)


@given(st.floats(1, 240), st.floats(0.1, 240))
def test_no_larger_stride_would_leave_the_rate(fps, rate):
    stride = stride_at(fps, rate)
    assert stride == 1 or fps / stride >= 0.99 * rate * (1 - 1e-9)
    assert fps / (stride + 1) < rate


def test_a_pose_at_a_rate_is_that_of_its_stride(clip):
    slow = library.estimate_pose(clip, rate=10)
    (step,) = slow.meta["steps"]
    assert (step["args"]["rate"], step["args"]["stride"]) == (10, 2)
    assert slow.frame.tolist() == list(range(0, FRAMES, 2))
    strided = library.estimate_pose(clip, stride=2)
    np.testing.assert_array_equal(slow.xyz, strided.xyz)
    assert "rate" not in strided.meta["steps"][0]["args"]


def test_a_clip_with_a_varying_rate_is_read_evenly_in_frames(tmp_path):
    """Its mean is 20 frames/s: 10 are every second frame, however long each is shown."""
    stamps = [*range(0, 400, 20), *range(400, 1240, 84)]
    pose = library.estimate_pose(write_clip(tmp_path / "uneven.mp4", bouncing(len(stamps), 12), stamps), rate=10)
    assert pose.frame.tolist() == list(range(0, len(stamps), 2))
    np.testing.assert_allclose(pose.time, np.array(stamps[::2]) / 1000, atol=1e-6)


def test_a_saved_pose_is_made_anew_at_another_rate(tmp_path, clip):
    target = tmp_path / "leaves.pose.npz"

    def save(rate):
        with pose_lanes("full", 1, 1, 1) as (workers,):
            save_pose(str(clip), workers, folder=tmp_path, entry=pose_step("full", 1, None, 0.4, 1, rate=rate))
        return target.stat().st_mtime_ns

    first = save(10)
    assert save(10) == first
    assert recorded_meta(target)["steps"][0]["args"]["stride"] == 2
    assert save(5) != first
    assert recorded_meta(target)["steps"][0]["args"]["stride"] == 5


def test_count_takes_a_rate_of_videos_and_poses(tmp_path):
    video = write_clip(tmp_path / "bounce.mp4", bouncing(78, 26))
    (count,) = library.count(video, "periodicity", rate=10)
    assert count.repetitions == 3
    steps = count.meta["steps"]
    assert [step["args"]["stride"] for step in steps] == [2, 2]
    assert [step["args"]["rate"] for step in steps] == [10, 10]
    pose = swinging_pose(120)
    fps = (len(pose.time) - 1) / (pose.time[-1] - pose.time[0])
    (thinned,) = library.count(pose, "periodicity", rate=fps / 3)
    (strided,) = library.count(pose, "periodicity", stride=3)
    assert thinned.count == strided.count
    assert thinned.meta["steps"][-1]["args"]["stride"] == 3


def test_a_count_at_a_rate_is_up_to_date(tmp_path):
    video = write_clip(tmp_path / "bounce.mp4", bouncing(52, 26))
    words = ["count", video, "-q", "--jobs", "1", "-o", f"{tmp_path}/out/"]
    target = tmp_path / "out" / "bounce.counts.parquet"
    assert racctl(*words, "--rate", "12.5").returncode == 0
    first = target.stat().st_mtime_ns
    assert racctl(*words, "--rate", "12.5").returncode == 0
    assert target.stat().st_mtime_ns == first
    assert racctl(*words, "--rate", "8").returncode == 0
    assert target.stat().st_mtime_ns != first


@pytest.mark.parametrize("tool", ["pose", "count"])
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--rate", "10", "--stride", "2"), "'--rate' and '--stride' both say which frames are read"),
        (("--rate", "0"), "invalid value '0' for '--rate'"),
        (("--rate", "-3"), "invalid value '-3' for '--rate'"),
        (("--rate", "nan"), "invalid value 'nan' for '--rate'"),
    ],
)
def test_a_rate_that_cannot_be_is_one_line(tmp_path, clip, tool, words, message):
    output = tmp_path / ("x.npz" if tool == "pose" else "x.parquet")
    assert message in one_line(racctl(tool, clip, *words, "-o", output), 2)
    assert not output.exists()


# Inner features.


def test_there_is_a_window_for_every_frame(both):
    pose, features = both
    features.check("features")
    assert features.video is not None
    assert features.video.shape == (FRAMES, 144, 1, 8, 8)
    np.testing.assert_array_equal(features.start, pose.frame)
    np.testing.assert_array_equal(features.stop, pose.frame + 1)
    assert features.start_s is not None and features.stop_s is not None
    np.testing.assert_allclose(features.start_s, pose.time)
    np.testing.assert_allclose(features.stop_s[:-1], pose.time[1:])
    assert features.meta["steps"] == pose.meta["steps"]
    assert features.meta["source"] == pose.meta["source"]
    about = features.meta["video"]
    assert about["encoder"] == "blazepose-full"
    assert about["weights"] == pose.meta["steps"][0]["weights"][0]
    assert (features.meta["window"], features.meta["ticks"]) == (1, FRAMES)


def test_a_frame_without_the_person_is_zero(both):
    pose, features = both
    seen = (pose.score[:, 0] > 0).any(1)
    assert SEEN <= seen.sum() < FRAMES
    np.testing.assert_array_equal(features.video.any((1, 2, 3, 4)), seen)
    assert features.meta["video"]["unseen"] == (~seen).sum()
    assert len(np.unique(features.video[seen].reshape(seen.sum(), -1), axis=0)) == seen.sum()


def test_they_are_the_networks_own(clip, both):
    """Those of the first frame, from the network itself in the region that its tracker gives."""
    files = blazepose_paths("full", download=False).read()
    network = LandmarkNetwork(files.landmarks, features=True)
    with clip.open("rb") as file:
        picture = CropSource(next(frames(file, "clip")).image, VideoReformatter())
    (sighting,) = PeopleTracker(network, PersonDetector(files.detector))(picture, 0.0)
    expected = network(picture, sighting.region).features
    assert expected is not None and expected.shape == (8, 8, 144)
    np.testing.assert_array_equal(both[1].video[0, :, 0], expected.transpose(2, 0, 1).astype(np.float16))


def test_the_pose_is_the_same_without_them_and_with_any_number_of_jobs(clip, both):
    assert pose_bytes(library.estimate_pose(clip)) == pose_bytes(both[0])
    pose, features = library.estimate_pose_features(clip, jobs=3)
    assert pose_bytes(pose) == pose_bytes(both[0])
    assert feature_bytes(features) == feature_bytes(both[1])


def test_a_pool_begins_anew_with_every_clip(tmp_path, clip, both):
    entry = pose_step("full", 1, None, None, 1)
    second = write_clip(tmp_path / "second.mp4", bouncing(6, 12))
    with feature_lanes("full", 1, 1, 1) as (workers,):
        pose_features.features_source(str(second), workers, entry=entry)
        _, features = pose_features.features_source(str(clip), workers, entry=entry)
    assert feature_bytes(features) == feature_bytes(both[1])


def test_features_that_are_averaged_are_a_quarter_as_large(monkeypatch, clip, both):
    monkeypatch.setattr(pose_features, "MAX_STORED", 50 * 144 * 16 * 2)
    with feature_lanes("full", 1, 1, 1, 4) as (workers,):
        entry = pose_step("full", 1, None, None, 1)
        _, features = pose_features.features_source(str(clip), workers, entry=entry)
    whole = both[1].video.astype(np.float32)
    assert features.video.shape == (*whole.shape[:3], 4, 4)
    averaged = whole.reshape(*whole.shape[:3], 4, 2, 4, 2).mean((4, 6))
    np.testing.assert_allclose(features.video, averaged, atol=0.05, rtol=2e-3)


def test_without_them_the_network_has_no_more_to_give(monkeypatch):
    """The graph that runs then has the outputs of the landmarks alone."""
    cut = []
    monkeypatch.setattr(
        "racctl.estimators.blazepose.networks.cut_graph",
        lambda model, outputs: cut.append(outputs) or cut_graph(model, outputs),
    )
    paths = blazepose_paths("full", download=False)
    build_tracker(paths)
    build_tracker(paths, FeatureStore().add, features=True)
    model = paths.read().landmarks
    tensor = feature_tensor(model, output_tensors(model))
    plain_outputs, more = (outputs for outputs in cut if len(outputs) > 1)
    assert len(plain_outputs) == 4
    assert more == [*plain_outputs, tensor]


def test_strided_windows_end_where_the_next_begins(clip):
    _, features = estimate_pose_features(clip, stop=0.5, stride=5)
    assert features.start.tolist() == [0, 5, 10]
    assert features.stop.tolist() == [5, 10, 15]


def test_more_than_a_file_may_hold_is_refused_before_the_work(monkeypatch, clip):
    monkeypatch.setattr(pose_features, "MAX_STORED", 40 * 144 * 64 * 2)
    with pytest.raises(DataError, match=r"about 44 frames, whose features .* \(40 frames\); use '--rate' or '--stop'"):
        estimate_pose_features(clip)
    estimate_pose_features(clip, rate=10)


def test_both_files_are_made_or_left_together(tmp_path, clip):
    targets = [tmp_path / "leaves.pose.npz", tmp_path / "f" / "leaves.features.npz"]
    (tmp_path / "f").mkdir()
    entry = pose_step("full", 1, None, 0.2, 1)

    def save() -> list[int]:
        with feature_lanes("full", 1, 1, 1) as (workers,):
            save_pose_and_features(str(clip), workers, folder=tmp_path, features=tmp_path / "f", entry=entry)
        return [target.stat().st_mtime_ns for target in targets]

    first = save()
    assert save() == first
    targets[1].unlink()
    assert save()[1] != first[1]


def test_the_command_writes_them_beside_the_pose(tmp_path, clip, both):
    done = racctl("pose", clip, "-q", "--features", tmp_path / "f.npz")
    assert done.returncode == 0, done.stderr
    assert done.stdout == pose_bytes(both[0])
    assert (tmp_path / "f.npz").read_bytes() == feature_bytes(both[1])
    assert racctl("pose", clip, "-q", "--features", f"{tmp_path}/g/", "-o", f"{tmp_path}/p/").returncode == 0
    assert (tmp_path / "g" / "leaves.features.npz").read_bytes() == feature_bytes(both[1])
    assert (tmp_path / "p" / "leaves.pose.npz").read_bytes() == done.stdout


def test_what_else_reads_them_does_so_or_says_why_not(tmp_path, both):
    path = tmp_path / "leaves.features.npz"
    path.write_bytes(feature_bytes(both[1]))
    with path.open("rb") as file:
        assert read_features(file, "f").meta["video"]["unseen"] == both[1].meta["video"]["unseen"]
    about = racctl("info", path).stdout.decode()
    assert "blazepose-full" in about and "racctl.features/1" in about
    assert "the counter 'combined' reads pose, video" in one_line(racctl("count", path), 1)
    with path.open("rb") as file, pytest.raises(DataError, match="expected racctl"):
        read_pose(file, "f")


def test_models_on_pytorch_say_what_they_lack(tmp_path, both):
    pytest.importorskip("torch", reason="the trained counter and encoders need PyTorch")
    path = tmp_path / "leaves.features.npz"
    path.write_bytes(feature_bytes(both[1]))
    assert "another window than the counter" in one_line(racctl("count", path, "--model", "d2stx"), 1)
    refused = one_line(racctl("encode", path, "-o", tmp_path / "e.npz"), 1)
    assert "holds racctl.features/1, expected racctl.pose/1 or a video" in refused


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--features", "-", "-o", "p.npz"), "'--features' needs the name of a file"),
        (("--features", "p.npz", "-o", "p.npz"), "'p.npz' is named for two outputs"),
        (("--features", "f/", "-o", "p.npz"), "'--features f/' is a directory; it goes with '-o DIR/'"),
        (("--features", "file.npz", "-o", "p/"), "makes one for each clip; use '--features DIR/'"),
        (("--features", "f.csv", "-o", "p.npz"), "'f.csv' would hold an npz"),
        (("--features", "leaves.mp4", "-o", "p.npz"), "'leaves.mp4'"),
        (("--features", "f.npz", "-o", "p.npz", "--model", "mediapipe"), "'mediapipe' gives no inner features"),
        (("--features", "f.npz", "-o", "p.npz", "--backend", "mediapipe"), "'mediapipe' gives no inner features"),
    ],
)
def test_features_that_cannot_be_are_one_line(tmp_path, clip, words, message):
    (tmp_path / "file.npz").write_bytes(b"")
    (tmp_path / "leaves.mp4").write_bytes(clip.read_bytes())
    if "mediapipe" in words and not importlib.util.find_spec("mediapipe"):
        pytest.skip("MediaPipe is not installed")
    assert message in one_line(racctl("pose", "leaves.mp4", *words, cwd=tmp_path), 2)
    assert not (tmp_path / "p.npz").exists()


# Whose pipeline.


def test_a_backend_stands_for_a_model():
    assert [backend_model(name, "racctl") for name in ("full", "a.task")] == ["full", "a.task"]
    expected = {"full": "mediapipe", "lite": "mediapipe-lite", "heavy": "mediapipe-heavy", "mediapipe": "mediapipe"}
    for name, model in expected.items():
        assert backend_model(name, "mediapipe") == model
        assert model in POSE_ESTIMATORS.targets
    with pytest.raises(UsageError, match=r"'--backend mediapipe' runs full, lite or heavy, not 'a.task'; leave"):
        backend_model("a.task", "mediapipe")
    with pytest.raises(UsageError, match="no such backend 'onnx'; expected one of racctl, mediapipe"):
        backend_model("full", "onnx")


def test_a_file_does_not_go_with_mediapipe(tmp_path, clip):
    (tmp_path / "own.task").write_bytes(b"PK")
    words = ["pose", clip, "--backend", "mediapipe", "--model", tmp_path / "own.task", "-o", tmp_path / "p.npz"]
    assert "'--backend mediapipe' runs full, lite or heavy, not '" in one_line(racctl(*words), 2)


@pytest.mark.skipif(not importlib.util.find_spec("mediapipe"), reason="MediaPipe is not installed")
def test_mediapipes_pipeline_estimates_where_it_is_asked_for(tmp_path, clip, both):
    words = ["pose", clip, "--stop", "0.4", "-q", "--jobs", "1", "-o", tmp_path / "p.npz"]
    done = racctl(*words, "--backend", "mediapipe")
    if b"use '--download'" in done.stderr:
        pytest.skip("this MediaPipe has no models")
    assert done.returncode == 0, done.stderr
    with (tmp_path / "p.npz").open("rb") as file:
        pose = read_pose(file, "p")
    assert pose.meta["steps"][0]["weights"][0]["name"].startswith("mediapipe ")
    gap = np.linalg.norm(pose.xyz[:, 0, 11:13, :2] - both[0].xyz[: len(pose.frame), 0, 11:13, :2], axis=-1)
    assert np.nanmedian(gap) < 10  # pixels; the shoulders
    assert "finds one person" in one_line(racctl(*words, "--backend", "mediapipe", "--people", "2"), 2)
