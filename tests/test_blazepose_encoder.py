"""racctl encode --encoder blazepose: inner features of the pose network, from the pose's pass or from a file."""

from __future__ import annotations

import importlib.util
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from clips import bouncing, plain, write_clip
from commands import in_process, racctl

pytest.importorskip("torch", reason="encoders need PyTorch")

import racctl as library
from racctl.contracts import Features, Pose
from racctl.device import pick_device
from racctl.encoders.base import EncodeOptions
from racctl.encoders.blazepose import HeldFeatures, blazepose_tokens, held_rows
from racctl.encoders.encode_clip import encode_clip
from racctl.encoders.pair import load_encoders
from racctl.encoders.reading import Part
from racctl.encoders.tokens import fed_by, sequence
from racctl.errors import DataError, UsageError
from racctl.estimators import workers
from racctl.estimators.blazepose.pool import TrackerPool
from racctl.estimators.on_demand import Estimates, Estimators
from racctl.estimators.open_clip import open_clip
from racctl.estimators.pose_features import estimate_pose_features
from racctl.io.npz import read_features, read_pose, write_features, write_pose
from racctl.io.parquet import table_from_rows, write_table
from racctl.video.span import Span

SEEN = 16  # frames with somebody, of FRAMES
FRAMES = 26
RATE = 25  # frames per second
OPTIONS = EncodeOptions("blazepose")
INNER = "clip.inner.npz"
ALONE = ("--encoder", "blazepose", "--pose-encoder", "none")


def save(path, part: Pose | Features) -> None:
    with path.open("wb") as file:
        (write_pose if isinstance(part, Pose) else write_features)(file, part)


def load(path) -> Features:
    with path.open("rb") as file:
        return read_features(file, str(path))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """clip.mp4 with somebody in its first frames, then nobody; its pose and inner features, of one pass."""
    path = tmp_path_factory.mktemp("blazepose")
    images = bouncing(SEEN, 12)
    height, width = images[0].shape[:2]
    write_clip(path / "clip.mp4", images + plain(FRAMES - SEEN, width, height), fps=RATE)
    pose, features = estimate_pose_features(path / "clip.mp4")
    save(path / "clip.pose.npz", pose)
    save(path / INNER, features)
    return path


@contextmanager
def opened(source, span: Span | None = None, pose: str = ""):
    """A clip as the encoder needs it: a video or inner features."""
    with Estimators(Estimates(pose=True, features=True)) as estimators:
        reads = ("pose", "video", "features")
        with open_clip(str(source), span=span, pose=str(pose), reads=reads, estimators=estimators) as clip:
            yield clip


def encoded(source, options: EncodeOptions = OPTIONS, span: Span | None = None, part: Part | None = None, pose=""):
    with opened(source, span, pose) as clip:
        return encode_clip(clip, load_encoders(options, pick_device("cpu")), options, part)


def same_tokens(first: Features, second: Features) -> None:
    """Assert that two files hold the same of both branches, and would feed the same model."""
    for name, array in first.arrays().items():
        slack = 4e-3 if name == "pose" else 0  # the network of the joints rounds by how many threads it has
        np.testing.assert_allclose(array, second.arrays()[name], atol=slack, rtol=slack, err_msg=name)
    assert fed_by(first.meta, "both", "first") == fed_by(second.meta, "both", "second")
    assert first.meta["source"] == second.meta["source"]
    assert first.meta["ticks"] == second.meta["ticks"]


@pytest.fixture(scope="module")
def of_video(folder) -> Features:
    return encoded(folder / "clip.mp4")


# The tokens.


def naive_tokens(features: np.ndarray) -> np.ndarray:
    count, channels = len(features) // 4, features.shape[1]
    tokens = np.zeros((count, 2 * channels, 4, 4))
    for n in range(count):
        for y in range(4):
            for x in range(4):
                places = features[4 * n : 4 * n + 4, :, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2].astype(float)
                tick = places.mean((2, 3))
                tokens[n, :channels, y, x] = tick.mean(0) / 25
                tokens[n, channels:, y, x] = (tick[2:].mean(0) - tick[:2].mean(0)) / 25
    return tokens


def test_a_token_is_the_mean_of_four_ticks_and_how_they_change():
    features = (25 * np.random.default_rng(0).normal(size=(14, 144, 8, 8))).astype(np.float16)
    tokens = blazepose_tokens(features)
    assert tokens.shape == (3, 288, 4, 4) and tokens.dtype == np.float32
    np.testing.assert_allclose(tokens, naive_tokens(features), atol=1e-5)
    assert blazepose_tokens(features[:3]).shape == (0, 288, 4, 4)


def test_who_is_not_seen_stays_as_last_seen():
    video = np.zeros((7, 2, 1, 2, 2), np.float16)
    video[2], video[4] = 1, 2
    assert held_rows(video).tolist() == [2, 2, 2, 2, 4, 4, 4]
    assert held_rows(video[:2]).tolist() == [0, 1]
    start = np.arange(10, 24, 2)
    held = HeldFeatures(Features(start, start + 2, {"video": {}}, video))
    assert held.at(np.array([5, 10, 17, 18, 30]))[:, 0, 0, 0].tolist() == [1, 1, 1, 2, 2]


# From a video and from a file.


def test_a_video_becomes_tokens_of_four_ticks(folder, of_video):
    result = of_video
    assert result.video.shape == (2, 288, 16, 4, 4) and result.pose.shape == (2, 128, 16, 25, 1)
    about = result.meta["video"]
    assert (about["encoder"], about["sampled"], about["frames_per_token"]) == ("blazepose", 64, 4.0)
    assert about["look"]["frames"] == 64 and about["look"]["deviation"] == 25.0
    inner = load(folder / INNER)
    assert about["weights"] == inner.meta["video"]["weights"]
    assert {"name", "sha256", "licence"} == set(about["weights"])
    assert [entry["tool"] for entry in result.meta["steps"]] == ["pose", "encode"]  # of one pass, noted once
    ticks = np.rint(np.arange(result.meta["ticks"]) * RATE / 30 - 1e-6).astype(int)
    seen = np.minimum(ticks, np.flatnonzero(inner.video.any((1, 2, 3, 4)))[-1])
    expected = blazepose_tokens(inner.video[seen, :, 0])
    tokens = sequence(result, 4).video
    np.testing.assert_allclose(tokens[: len(expected)], expected, atol=2e-3, rtol=1e-3)
    gone = expected[-1]
    assert np.abs(gone[:144]).max() > 0.1  # the person as last seen,
    assert not gone[144:].any()  # who does not move


def test_a_file_of_inner_features_gives_the_same_as_the_video(folder, of_video):
    same_tokens(of_video, encoded(folder / INNER, pose=folder / "clip.pose.npz"))


@pytest.mark.parametrize("span", [Span(stride=2), Span(rate=12), Span(start=0.2, stop=0.7)], ids=str)
def test_so_do_files_of_a_part_or_of_fewer_frames(folder, tmp_path, span):
    arguments = {"start": span.start, "stop": span.stop, "stride": span.stride, "rate": span.rate}
    pose, features = estimate_pose_features(folder / "clip.mp4", **arguments)
    save(tmp_path / "p.npz", pose)
    save(tmp_path / "f.npz", features)
    assert len(pose.frame) <= FRAMES / 2 + 1
    same_tokens(encoded(folder / "clip.mp4", span=span), encoded(tmp_path / "f.npz", pose=tmp_path / "p.npz"))


def test_a_part_of_a_file_is_encoded(folder):
    options = replace(OPTIONS, rate=0.0, pose_encoder="none")
    whole, part = encoded(folder / INNER, options), encoded(folder / INNER, options, Span(0.16, 0.8))
    assert part.meta["ticks"] == 16 and (part.start[0], part.stop[0]) == (4, 20)
    np.testing.assert_array_equal(part.video[0, :, 0], whole.video[0, :, 1])
    with pytest.raises(DataError, match="has no frame in the part asked for"):
        encoded(folder / INNER, options, Span(start=60.0))


def test_repetitions_and_any_number_of_jobs_give_the_same(folder, tmp_path):
    rows = [
        {"clip": "clip", "person": 0, "rep": 0, "start": 2, "stop": 14, "start_s": 0.08, "stop_s": 0.56, "label": ""}
    ]
    with (tmp_path / "reps.parquet").open("wb") as file:
        write_table(file, table_from_rows("racctl.reps/1", rows, {}))
    words = ["encode", folder / "clip.mp4", "--encoder", "blazepose", "--reps", tmp_path / "reps.parquet", "-q"]
    done = racctl(*words, "--jobs", 2, "-o", tmp_path / "e.npz")
    assert done.returncode == 0 and not done.stderr, done.stderr
    result = load(tmp_path / "e.npz")
    assert result.video.shape == (1, 288, 16, 4, 4) and result.start.tolist() == [2]
    part = Part(np.array([[2, 14]]))
    from_file = encoded(folder / INNER, part=part, pose=folder / "clip.pose.npz")
    np.testing.assert_array_equal(result.video, from_file.video)
    np.testing.assert_allclose(result.pose, from_file.pose, atol=4e-3, rtol=4e-3)
    assert result.video[0, 144:].any()


def test_the_end_is_padded_with_nothing_where_a_layout_says_so(folder):
    options = replace(OPTIONS, pose_encoder="none").for_layout("escounts")
    result = encoded(folder / INNER, options)
    assert result.meta["ticks"] == FRAMES
    assert result.video[0, :144, 6].any() and not result.video[0, :, 7:].any()


def test_the_library_encodes_both(folder):
    from_video = library.encode(folder / "clip.mp4", encoder="blazepose", pose_encoder="none", rate=0.0)
    from_file = library.encode(folder / INNER, encoder="blazepose", pose_encoder="none", rate=0.0)
    np.testing.assert_array_equal(from_video.video, from_file.video)


# One pass.


@pytest.fixture
def passes(monkeypatch) -> list[int]:
    """Grows by one with every pass of the trackers over a clip."""
    calls: list[int] = []
    run = TrackerPool.run
    monkeypatch.setattr(TrackerPool, "run", lambda *args: calls.append(1) or run(*args))
    return calls


def test_pose_and_features_are_of_one_pass(folder, passes):
    encoded(folder / "clip.mp4")
    assert len(passes) == 1
    with opened(folder / "clip.mp4") as clip:
        features = clip.inner_features
        np.testing.assert_array_equal(clip.pose.frame, features.start)
        assert clip.with_pose(clip.pose).inner_features is features
    assert len(passes) == 2
    encoded(folder / INNER, pose=folder / "clip.pose.npz")
    assert len(passes) == 2  # none of a file


def test_a_pose_beside_the_video_is_what_the_joints_are_of(folder, passes, of_video):
    """The pass is for the features alone then."""
    with (folder / "clip.pose.npz").open("rb") as file:
        pose = read_pose(file, "clip")
    result = encoded(folder / "clip.mp4", pose=folder / "clip.pose.npz")
    assert len(passes) == 1
    same_tokens(result, of_video)
    assert len(result.meta["steps"]) == len(pose.meta["steps"]) + 1


def test_who_does_not_use_features_does_not_pay_for_them(folder, monkeypatch):
    def refuse(*_: object) -> None:
        raise AssertionError("the model is opened with features")

    monkeypatch.setattr("racctl.estimators.on_demand.feature_lanes", refuse)
    with (
        Estimators(Estimates(pose=True)) as estimators,
        open_clip(str(folder / "clip.mp4"), estimators=estimators) as clip,
    ):
        assert len(clip.pose.frame) == FRAMES
        with pytest.raises(ValueError, match=r"'Estimates.features'"):
            _ = clip.inner_features


def test_a_file_needs_no_pose_model(folder, monkeypatch):
    """As on a machine that trains on features: the record of the weights is the file's."""

    def missing(*_: object) -> None:
        raise UsageError("no model here")

    monkeypatch.setattr("racctl.estimators.blazepose.model.blazepose_paths", missing)
    result = library.encode(folder / INNER, encoder="blazepose", pose_encoder="none")
    assert result.meta["video"]["weights"]["name"].startswith("pose_landmark")
    with pytest.raises(UsageError, match="no model here"):
        library.encode(folder / "clip.mp4", encoder="blazepose", pose_encoder="none")


def test_features_of_another_model_do_not_feed_the_same_counter(folder, tmp_path):
    features = load(folder / INNER)
    features.meta["video"] |= {"weights": {"name": "pose_landmark_lite.tflite", "sha256": "0" * 64, "licence": "x"}}
    save(tmp_path / "f.npz", features)
    options = replace(OPTIONS, pose_encoder="none")
    fed = [fed_by(encoded(path, options).meta, "video", "f") for path in (folder / INNER, tmp_path / "f.npz")]
    assert fed[0] != fed[1]


# The command.


def test_many_files_are_encoded_into_a_folder_and_left_there(folder, tmp_path, capsys, of_video):
    for name in ("inner", "poses", "out"):
        (tmp_path / name).mkdir()
    for name in ("a", "b"):
        (tmp_path / f"inner/{name}.features.npz").write_bytes((folder / INNER).read_bytes())
        (tmp_path / f"poses/{name}.pose.npz").write_bytes((folder / "clip.pose.npz").read_bytes())
    words = ["encode", *sorted((tmp_path / "inner").iterdir()), "--encoder", "blazepose", "--pose", tmp_path / "poses"]
    words += ["-q", "-o", f"{tmp_path}/out/"]
    assert in_process(capsys, *words) == (0, "")
    targets = [tmp_path / f"out/{name}.features.npz" for name in ("a", "b")]
    assert [load(path).clip for path in targets] == ["a", "b"]
    same_tokens(load(targets[0]), of_video)
    times = [path.stat().st_mtime_ns for path in targets]
    assert in_process(capsys, *words) == (0, "")
    assert [path.stat().st_mtime_ns for path in targets] == times
    features = load(folder / INNER)
    features.video[3] += 1
    save(tmp_path / "inner/a.features.npz", features)
    assert in_process(capsys, *words) == (0, "")
    again = [path.stat().st_mtime_ns for path in targets]
    assert again[0] != times[0] and again[1] == times[1]


@pytest.mark.parametrize("encoder", ["blazepose", "none", "silhouette"])
def test_what_another_pose_pass_would_make_otherwise_is_made_again(folder, tmp_path, capsys, monkeypatch, encoder):
    words = ["encode", folder / "clip.mp4", "--encoder", encoder, "-q", "--stop", 0.3, "-o", f"{tmp_path}/"]
    target = tmp_path / "clip.features.npz"
    assert in_process(capsys, *words) == (0, "")
    first = target.stat().st_mtime_ns
    assert in_process(capsys, *words) == (0, "")
    assert target.stat().st_mtime_ns == first
    monkeypatch.setattr(workers, "WARM_UP", 9)  # a constant of what estimates poses and masks
    assert in_process(capsys, *words) == (0, "")
    assert target.stat().st_mtime_ns != first


@pytest.fixture(scope="module")
def misfits(folder):
    """The folder, with files that do not go with the clip."""
    with (folder / "clip.pose.npz").open("rb") as file:
        pose = read_pose(file, "clip")
    save(folder / "other.npz", replace(pose, meta={**pose.meta, "clip": "other"}))
    save(folder / "changed.npz", replace(pose, meta={**pose.meta, "source": {"sha256": "0" * 64}}))
    arrays = {name: array[:5] for name, array in pose.arrays().items() if name != "track"}
    save(folder / "short.npz", replace(pose, **arrays))
    tokens = load(folder / INNER)
    save(folder / "tokens.npz", replace(tokens, meta={**tokens.meta, "window": 64, "video": {"encoder": "silhouette"}}))
    return folder


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ((INNER, "--encoder", "blazepose"), 2, "holds inner features alone; name the pose with '--pose FILE'"),
        ((INNER, *ALONE, "--video", "clip.mp4"), 2, "leave out '--video'"),
        ((INNER, *ALONE, "--pose-model", "lite"), 2, "'--pose-model' has no effect here: the input is no video"),
        ((INNER, *ALONE, "--pose", "clip.pose.npz"), 2, "there is no pose encoder; leave out '--pose'"),
        ((INNER,), 1, "holds racctl.features/1, expected racctl.pose/1 or a video"),
        ((INNER, "--encoder", "none"), 1, "holds racctl.features/1, expected racctl.pose/1 or a video"),
        (("tokens.npz", *ALONE), 1, "holds tokens of 'silhouette', not a pose network's inner features"),
        ((INNER, "--encoder", "blazepose", "--pose", "other.npz"), 1, "'clip' is not the clip 'other'"),
        ((INNER, "--encoder", "blazepose", "--pose", "changed.npz"), 1, "was made of another video than the features"),
        ((INNER, "--encoder", "blazepose", "--pose", "short.npz"), 1, f"covers frames 0 to 4 of 0 to {FRAMES - 1}"),
        (("clip.pose.npz", *ALONE), 2, "is a pose; name its video with '--video FILE'"),
        (("clip.mp4", *ALONE, "--mask", INNER), 2, "'blazepose' looks at no mask; leave out '--mask'"),
        (("clip.mp4", *ALONE, "--weights", INNER), 2, "has the weights of '--pose-model'; leave out '--weights'"),
        (("clip.mp4", *ALONE, "--random-weights"), 2, "is never untrained; leave out '--random-weights'"),
        (("clip.mp4", *ALONE, "--preset", "escounts"), 2, "'--encoder blazepose' has no option '--preset'"),
        (("clip.mp4", *ALONE, "--pose-model", "mediapipe"), 2, "'mediapipe' gives no inner features; choose one"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_line(misfits, capsys, monkeypatch, words, code, message):
    if "mediapipe" in words and not importlib.util.find_spec("mediapipe"):
        pytest.skip("MediaPipe is not installed")
    monkeypatch.chdir(misfits)
    returned, text = in_process(capsys, "encode", *words, "-o", "e.npz")
    assert message in text
    assert (returned, text.count("\n")) == (code, 1)
    assert not (misfits / "e.npz").exists()


def test_a_pose_with_its_video_takes_the_features_from_there(folder, of_video):
    words = ["encode", "clip.pose.npz", "--video", "clip.mp4", "--encoder", "blazepose", "--pose-model", "full", "-q"]
    done = racctl(*words, "-o", "joined.npz", cwd=folder)
    assert done.returncode == 0, done.stderr
    same_tokens(load(folder / "joined.npz"), of_video)
