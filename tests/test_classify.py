"""Video to a timeline: smoothing, segments, whole clips, the command on a real picture of a person."""

from __future__ import annotations

import io
import itertools
import json

import numpy as np
import pytest
import torch
from clips import bouncing, plain, write_clip
from commands import one_line, racctl
from hypothesis import given
from hypothesis import strategies as st

from racctl.errors import DataError
from racctl.io.checkpoint import digest, model_meta, read_model, write_model
from racctl.io.parquet import read_table
from racctl.models.catalog import as_dict, built, configured
from racctl.recognisers.classify_clip import Classification, ClassifyOptions, labels_table
from racctl.recognisers.inputs import Look, Streams
from racctl.recognisers.timeline import clip_label, segments, smoothed
from racctl.windows import resampled


def one_hot(labels, classes=3):
    return np.eye(classes, dtype=np.float32)[list(labels)]


def test_no_smoothing_changes_nothing():
    probs = one_hot([0, 1, 2, 0])
    for windows in (0, 1):
        assert smoothed(probs, windows) is probs


def test_smoothing_takes_out_a_single_window():
    probs = one_hot([1, 1, 1, 2, 1, 1, 1])
    assert smoothed(probs, 3).argmax(1).tolist() == [1] * 7
    assert smoothed(probs, 3)[3].tolist() == pytest.approx([0, 2 / 3, 1 / 3])  # weights 1/3, 2/3, 1, 2/3, 1/3


@given(st.lists(st.integers(0, 2), min_size=1, max_size=40), st.integers(0, 9))
def test_smoothed_probabilities_add_up_to_1(labels, windows):
    assert np.allclose(smoothed(one_hot(labels), windows).sum(1), 1)


@given(st.lists(st.integers(0, 2), min_size=1, max_size=40), st.integers(0, 9))
def test_segments_cover_the_clip_without_a_gap(labels, windows):
    probs = one_hot(labels)
    middle = 8 + 8 * np.arange(len(labels))
    result = segments(probs, smoothed(probs, windows), middle, 8 * len(labels) + 8)
    assert result[0].start == 0 and result[-1].stop == 8 * len(labels) + 8
    assert all(a.stop == b.start and a.label != b.label for a, b in itertools.pairwise(result))


def test_segments_meet_half_way():
    probs = one_hot([0, 0, 1])
    first, second = segments(probs, probs, np.array([8, 16, 24]), 32)
    assert (first.start, first.stop, second.start, second.stop) == (0, 20, 20, 32)
    assert first.probs.tolist() == [1, 0, 0]


def test_a_clip_is_what_is_done_in_it_and_not_the_rest_between():
    probs = np.array([[0.9, 0.1, 0], [0.9, 0.1, 0], [0.2, 0.7, 0.1]])
    assert clip_label(probs, 0)[0] == 1
    assert clip_label(probs, None)[0] == 0
    assert clip_label(probs[:2], 0)[0] == 0


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A recogniser with random weights."""
    torch.manual_seed(0)
    config = configured("mcat", {"classes": 3, "layers": 1, "width": 32, "heads": 4, "pose": True})
    meta = {
        "model": "mcat", "config": as_dict(config), "classes": ["background", "squat", "push_up"],
        "input": Look(size=32, topology="d2stx25", crop="person").header(), "training": {}, "licence": "CC0-1.0",
        "steps": [],
    }  # fmt: skip
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    with open(path, "wb") as file:
        write_model(file, meta, built("mcat", config).state_dict())
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("clip") / "bounce.mp4", bouncing(60, 20), fps=30)


def rows(done) -> list[dict]:
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def test_the_command_gives_segments_windows_and_a_whole(model, clip):
    timeline = rows(racctl("classify", clip, "--model", model, "--format", "json"))
    assert (timeline[0]["start"], timeline[-1]["stop"]) == (0, 60)
    windows = rows(racctl("classify", clip, "--model", model, "--windows", "--format", "json"))
    assert [(row["start"], row["stop"]) for row in windows] == [(k, k + 16) for k in range(0, 45, 8)]
    for row in windows:
        assert row["prob"] == pytest.approx(max(row["probs"])) and sum(row["probs"]) == pytest.approx(1, abs=1e-4)
    (item,) = rows(racctl("classify", clip, "--model", model, "--whole", "--format", "json"))
    assert (item["start"], item["stop"], item["clip"]) == (0, 60, "bounce")


def test_a_mask_on_stdin_gives_the_same(model, clip):
    mask = racctl("mask", clip, "--size", "256x256")
    words = ("classify", "--model", model, "--windows", "--format", "json")
    assert rows(racctl(*words, "--video", clip, stdin=mask.stdout)) == rows(racctl(*words, clip))


def test_a_pose_that_is_there_is_taken(model, clip, tmp_path):
    assert racctl("pose", clip, "-o", tmp_path / "p.npz").returncode == 0
    words = ("classify", clip, "--model", model, "--windows", "--format", "json")
    assert rows(racctl(*words, "--pose", tmp_path / "p.npz")) == rows(racctl(*words))


def test_a_model_of_joints_alone_takes_poses(clip, tmp_path):
    torch.manual_seed(0)
    config = configured("mcat", {"classes": 3, "layers": 1, "width": 32, "heads": 4, "input": "pose", "fusion": "none"})
    meta = {
        "model": "mcat", "config": as_dict(config), "classes": ["background", "squat", "push_up"],
        "input": Look(size=0, topology="d2stx25", mask=False).header(),
    }  # fmt: skip
    with open(tmp_path / "joints.safetensors", "wb") as file:
        write_model(file, meta, built("mcat", config).state_dict())
    words = ("classify", "--model", tmp_path / "joints.safetensors", "--windows", "--format", "json")
    pose = racctl("pose", clip)
    assert rows(racctl(*words, stdin=pose.stdout)) == rows(racctl(*words, clip))


def test_the_table_says_what_made_it(model, clip):
    done = racctl("classify", clip, "--model", model)
    meta, table = read_table(io.BytesIO(done.stdout), "out")
    assert meta["schema"] == "racctl.labels/1"
    assert (meta["classes"], meta["unit"]) == (["background", "squat", "push_up"], "segment")
    assert [entry["tool"] for entry in meta["steps"]] == ["mask", "pose", "classify"]
    assert meta["steps"][-1]["weights"][0]["licence"] == "CC0-1.0"
    assert table.column("clip").to_pylist()[0] == "bounce"


def test_pictures_that_explain(model, clip, tmp_path):
    assert racctl("classify", clip, "--model", model, "--explain", tmp_path / "why").returncode == 0
    names = sorted(path.name for path in (tmp_path / "why").iterdir())
    assert len(names) == 12 and names[0].startswith("bounce-attention-")
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in (tmp_path / "why").iterdir())


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--model", "nothing"], 2, "invalid value 'nothing' for '--model'"),
        (["--windows", "--whole"], 2, "choose one"),
        (["--smooth", "nan"], 2, "--smooth"),
        (["--video", "CLIP"], 2, "is a video itself"),
        (["--pose", "CLIP"], 1, "is not a whole npz file"),
        (["--model", "CLIP"], 1, "is not a whole safetensors file"),
        (["--mask-model", "none"], 2, "invalid value 'none' for '--mask-model'"),
        (["--split", "val"], 2, "an option of '--dataset'"),
        (["--dataset", "set"], 2, "leave out a file"),
    ],
)
def test_what_cannot_be(words, code, message, model, clip):
    words = [str(clip) if word == "CLIP" else word for word in words]
    given_model = [] if "--model" in words else ["--model", model]
    assert message in one_line(racctl("classify", clip, *given_model, *words), code)


@pytest.mark.parametrize("fps", [8, 12, 25])
def test_slow_clips_are_smoothed_over_the_same_time(fps):
    frame = np.arange(4 * fps)
    streams = Streams(np.zeros((0, 0, 0)), None, frame[resampled(frame / fps)], (frame / fps)[resampled(frame / fps)],
                      len(frame), 4.0)  # fmt: skip
    look = Look(size=0, topology="d2stx25")
    rows_of = look.windows.rows(look.windows.starts(len(streams.frame)), len(streams.frame))
    probs = np.pad(one_hot([1] * 6 + [2] + [1] * (len(rows_of) - 7)), ((0, 0), (0, 1)))
    classes, energy = ["background", "squat", "push_up"], np.zeros(len(probs))
    result = Classification("slow", look, probs, rows_of, streams, classes, {"steps": []}, energy)
    for unit in ("segment", "window", "clip"):
        table = labels_table([result], ClassifyOptions(unit=unit)).to_pylist()
        assert all(row["stop"] > row["start"] and row["stop_s"] > row["start_s"] for row in table)
        assert unit == "window" or table[-1]["stop"] == len(frame)
    assert len(labels_table([result], ClassifyOptions()).to_pylist()) == 1
    assert len(labels_table([result], ClassifyOptions(smooth=0)).to_pylist()) == 3


def test_nobody_in_the_picture(model, tmp_path):
    path = write_clip(tmp_path / "empty.mp4", plain(30, 160, 120))
    assert "shows no person" in one_line(racctl("classify", path, "--model", model), 1)


def test_damaged_models(model, tmp_path):
    whole_file = model.read_bytes()
    for name, data in {"cut": whole_file[:-100], "noise": b"x" * 500, "empty": b""}.items():
        path = tmp_path / name
        path.write_bytes(data)
        with open(path, "rb") as file, pytest.raises(DataError, match="is not a whole safetensors file"):
            read_model(file, name)


def test_a_model_file_is_the_same_whenever_it_is_written(model):
    with open(model, "rb") as file:
        meta, tensors = read_model(file, "model")
    again = io.BytesIO()
    write_model(again, meta, tensors)
    assert again.getvalue() == model.read_bytes()
    assert model_meta(model) == meta
    another = {**tensors, "norm.weight": tensors["norm.weight"] + 1}
    assert digest(tensors) != digest(another)


def test_weights_without_a_header(tmp_path):
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(2)}, tmp_path / "bare")
    with open(tmp_path / "bare", "rb") as file, pytest.raises(DataError, match="without a racctl header"):
        read_model(file, "bare")


def test_weights_that_do_not_fit_their_header(model, clip, tmp_path):
    with open(model, "rb") as file:
        meta, tensors = read_model(file, "model")
    path = tmp_path / "odd.safetensors"
    with open(path, "wb") as file:
        write_model(file, {**meta, "config": {**meta["config"], "layers": 2}}, tensors)
    assert "weights that do not fit its header" in one_line(racctl("classify", clip, "--model", path), 1)
