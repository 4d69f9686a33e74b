"""Training encoders: what a window's tokens are to learn, that they learn it, and the command on a made-up set."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from commands import one_line, racctl

from racctl.data.repetitions import read_repetitions
from racctl.errors import DataError, UsageError
from racctl.io.checkpoint import digest, model_meta, read_model
from racctl.io.parquet import table_from_rows
from racctl.models.catalog import built, configured
from racctl.recognisers.cache import StoredClip
from racctl.skeleton.topology import D2STX25
from racctl.training.augment import Augmentation
from racctl.training.loop import TrainingProcess, fit
from racctl.training.task import EarlierWeights, Origin
from racctl.training.train_encoder import EncoderTask, EncoderTraining, EncoderWindows, encoder_config, encoder_look
from racctl.training.train_settings import TRAINABLE_ENCODERS, Recipe
from racctl.training.window_task import correlation, predict

CPU = TrainingProcess(0, 1, torch.device("cpu"))
CLASSES = ["bob", "sway"]
STILL = Augmentation(flip=0, scale=(1, 1), aspect=(1, 1), light=(1, 1))


def clip(name: str, label: str, period: int, seed: int = 0, ticks: int = 160) -> tuple[StoredClip, np.ndarray]:
    """Joints that go up and down, or left and right, once in `period` ticks, and when (seconds, from 7 s on)."""
    rng = np.random.default_rng(seed)
    joints = np.zeros((ticks, 25, 4), np.float32)
    joints[..., :3] = rng.normal(0, 0.5, (1, 25, 3)) + rng.normal(0, 0.02, (ticks, 25, 3))
    joints[..., 3] = 1
    joints[:, :12, 1 if label == "bob" else 0] += 1 - np.cos(2 * np.pi * np.arange(ticks) / period)[:, None]
    starts = np.arange(0, ticks - period + 1, period)
    time = 7 + np.arange(ticks) / 30
    cycles = 7 + np.stack([starts, starts + period], 1) / 30
    packed = np.zeros((ticks, 0, 0), np.uint8)
    return StoredClip(name, "train", packed, joints, np.full(ticks, label, object), None, time), cycles


def joint_windows(stride: int = 16) -> EncoderWindows:
    clips = [clip(f"{label}{k}", label, 20 + 14 * k, k) for label in CLASSES for k in range(3)]
    cycles = {stored.name: seconds for stored, seconds in clips}
    stored_clips = [stored for stored, _ in clips]
    return EncoderWindows(stored_clips, encoder_look("ctrgcn", stride), CLASSES, name="ctrgcn", cycles=cycles)


def task(objective: str = "both", augmentation: Augmentation = STILL, stride: int = 16) -> EncoderTask:
    torch.manual_seed(0)
    windows, config = joint_windows(stride), encoder_config("ctrgcn", 2, 32, objective)
    if objective == "label":
        windows.cycles = None
    return EncoderTask("ctrgcn", config, windows, windows, augmentation, Origin())


def test_what_encoders_see():
    joints, pictures = encoder_look("ctrgcn"), encoder_look("silhouette", 32)
    assert (joints.window, joints.rate, joints.stride, joints.topology, joints.files) == (
        64,
        30,
        16,
        "d2stx25",
        ["pose"],
    )
    assert (pictures.window, pictures.size, pictures.crop, pictures.stride) == (64, 112, "person", 32)
    assert pictures.files == ["video", "mask"]


def test_one_repetition_in_the_middle_of_a_window():
    stored, _ = clip("a", "bob", 64)
    cycles = {"a": np.array([[7.0, 7 + 64 / 30]])}
    windows = EncoderWindows([stored], encoder_look("ctrgcn", 64), CLASSES, cycles=cycles)
    target = windows.batch(np.array([0]))["density"][0].numpy()
    assert target.shape == (16,)
    assert target.sum() == pytest.approx(1)
    assert target == pytest.approx(target[::-1])
    assert target.argmax() in (7, 8) and (np.diff(target[:8]) > 0).all()


@pytest.mark.parametrize("name", ["ctrgcn", "silhouette"])
def test_a_windows_density_is_the_number_of_repetitions_whose_middle_is_in_it(name):
    windows, rng = joint_windows(), np.random.default_rng(1)
    windows.name = name
    every = np.arange(len(windows))
    for tempo in (np.ones(len(every)), rng.uniform(0.5, 2.5, len(every))):
        target = windows.repetitions(every, tempo)
        assert target.shape == (len(every), {"ctrgcn": 16, "silhouette": 8}[name])
        reach = 32 * tempo
        for k in every:
            middles = windows.ticks[windows.clip[k]].mean(1)
            inside = np.abs(middles - windows.middle[k]) <= reach[k]
            assert target[k].sum() == pytest.approx(inside.sum())
    assert windows.repetitions(every, 2.5 * np.ones(len(every))).sum() > target.sum()


def test_played_twice_as_fast_a_window_shows_twice_as_many():
    stored, cycles = clip("a", "bob", 16, ticks=320)
    windows = EncoderWindows([stored], encoder_look("ctrgcn", 32), CLASSES, cycles={"a": cycles})
    middle = np.array([4])  # far from both ends
    slow, fast = (windows.batch(middle, np.array([tempo])) for tempo in (1.0, 2.0))
    assert slow["density"].sum() == pytest.approx(4, abs=0.01)
    assert fast["density"].sum() == pytest.approx(8, abs=0.01)


def test_a_mirrored_window_swaps_the_sides_and_keeps_its_repetitions():
    mirroring = task(augmentation=Augmentation(flip=1, scale=(1, 1), aspect=(1, 1), light=(1, 1)))
    batch = mirroring.train.batch(np.array([0, 9]))
    before = batch["density"].clone()
    plain, mirrored = mirroring.objective.eval().shown(batch), mirroring.objective.train().shown(batch)
    assert plain.shape == (2, 4, 64, 25, 1)
    left, right = D2STX25.indices(["left_wrist", "right_wrist"])
    assert torch.equal(mirrored[:, 0, :, left], -plain[:, 0, :, right])
    assert torch.equal(mirrored[:, 1:, :, left], plain[:, 1:, :, right])
    assert torch.equal(batch["density"], before)


def test_it_learns_both_and_the_header_builds_it_again(tmp_path):
    history = fit(task(), Recipe(epochs=10, batch=7, rate=5e-3), tmp_path, CPU, _silent)
    last = history[-1]
    assert last["loss"] < history[0]["loss"] / 3
    best = max(history, key=lambda row: row["score"])
    assert best["val_accuracy"] > 0.9 and best["val_count_correlation"] > 0.8 and best["val_count_error"] < 0.5
    assert best["score"] == pytest.approx((best["val_f1"] + best["val_count_correlation"]) / 2)
    with open(tmp_path / "model.safetensors", "rb") as file:
        meta, tensors = read_model(file, "model")
    assert meta["classes"] == CLASSES and meta["training"]["objective"] == "both"
    assert meta["input"] == {**encoder_look("ctrgcn").header(), "sampled": 64}
    again = task()
    again.objective.model = built(meta["model"], configured(meta["model"], meta["config"]))
    again.objective.model.load_state_dict(tensors)
    assert again.evaluate(CPU.device)["score"] == pytest.approx(best["score"])


@pytest.mark.parametrize("objective", ["label", "density"])
def test_one_objective_alone(objective, tmp_path):
    (row,) = fit(task(objective, stride=64), Recipe(epochs=1), tmp_path, CPU, _silent)
    meta = model_meta(tmp_path / "model.safetensors")
    assert meta["classes"] == (CLASSES if objective == "label" else [])
    assert meta["config"]["density"] == (objective == "density")
    assert ("val_f1" in row, "val_count_error" in row) == (objective == "label", objective == "density")
    assert row["score"] == row["val_f1" if objective == "label" else "val_count_correlation"]


def test_a_resumed_run_ends_with_the_same_weights(tmp_path):
    recipe, faster = Recipe(epochs=2, batch=8), Augmentation(tempo=(0.5, 2.5))
    fit(task(augmentation=faster, stride=64), recipe, tmp_path / "whole", CPU, _silent)
    for _ in range(2):
        fit(task(augmentation=faster, stride=64), recipe, tmp_path / "parts", CPU, _silent, stop_after=1)
    whole, parts = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "parts"))
    assert whole == parts


def test_pictures_are_every_fourth_of_the_window():
    number = np.arange(80, dtype=np.uint8)[:, None, None]
    stored = StoredClip("a", "train", np.broadcast_to(number, (80, 112, 126)), None, np.full(80, "bob", object))
    windows = EncoderWindows([stored], encoder_look("silhouette"), CLASSES, name="silhouette", cycles={})
    batch = windows.batch(np.arange(2))
    assert batch["packed"][:, :, 0, 0].tolist() == [list(range(0, 64, 4)), list(range(16, 80, 4))]
    assert batch["density"].shape == (2, 8) and not batch["density"].any()
    torch.manual_seed(0)
    config = encoder_config("silhouette", 2, 64, "both")
    pictures = EncoderTask("silhouette", config, windows, windows, STILL, Origin())
    assert pictures.objective.shown(batch).shape == (2, 2, 16, 112, 112)
    pictures.objective(batch).backward()
    assert pictures.header()["input"] == {**encoder_look("silhouette").header(), "sampled": 16}
    predictions = predict(pictures.objective, windows, CPU.device)
    assert predictions.probs.shape == (2, 2) and predictions.counts.shape == (2, 2)
    assert pictures.evaluate(CPU.device)["val_count_correlation"] == 0  # nothing to correlate


def test_correlation():
    assert correlation(np.array([0.0, 1, 2]), np.array([1.0, 3, 5])) == pytest.approx(1)
    assert correlation(np.array([0.0, 1, 2]), np.zeros(3)) == 0


@pytest.fixture(scope="module")
def poses(tmp_path_factory):
    folder = tmp_path_factory.mktemp("set") / "poses"
    words = ("--classes", "squat,jump_jack", "--split", "train=0.5,val=0.5", "--reps", "2-2", "--clean", "--fps", "30")
    done = racctl("synth", "--out", folder, "--pose-only", "--clips", "4", "--jobs", "1", *words)
    assert done.returncode == 0, done.stderr.decode()
    return folder


SMALL = ("--model", "ctrgcn", "--width", "32", "--stride", "32", "--epochs", "1", "--threads", "1")


def test_the_command_and_what_classify_says_of_its_model(poses, tmp_path):
    words = (*SMALL, "--tempo", "0.5-2.5", "--licence", "CC0-1.0")
    done = racctl("train", "encoder", poses, "-o", tmp_path / "run", *words)
    notes = done.stderr.decode()
    assert done.returncode == 0, notes
    assert "ctrgcn: 0.05 M parameters, 2 classes" in notes and "val_count_error" in notes
    meta = model_meta(tmp_path / "run/model.safetensors")
    assert (meta["model"], meta["classes"], meta["licence"]) == ("ctrgcn", ["jump_jack", "squat"], "CC0-1.0")
    assert meta["data"]["repetitions"] == 4 and meta["training"]["augmentation"]["tempo"] == [0.5, 2.5]
    json.dumps(meta)
    pose = next((poses / "pose").iterdir())
    message = one_line(racctl("classify", pose, "--model", tmp_path / "run/model.safetensors"), 1)
    assert "is a model of kind 'ctrgcn'; expected mcat" in message


def test_a_set_without_repetitions_teaches_labels_only(poses, tmp_path):
    bare = tmp_path / "bare"
    shutil.copytree(poses, bare, ignore=shutil.ignore_patterns("reps.parquet"))
    for words in ((), ("--objective", "density")):
        message = one_line(racctl("train", "encoder", bare, "-o", tmp_path / "run", *SMALL, *words), 1)
        assert "has no reps.parquet" in message and "'--objective label'" in message
    assert not (tmp_path / "run").exists()
    done = racctl("train", "encoder", bare, "-o", tmp_path / "run", *SMALL, "--objective", "label")
    assert done.returncode == 0, done.stderr.decode()
    assert "repetitions" not in model_meta(tmp_path / "run/model.safetensors")["data"]


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("ctrgcn", {"objective": "count"}, "expected one of label, density, both"),
        ("ctrgcn", {"width": 40}, "invalid value '40' for '--width'; expected a multiple of 32"),
        ("silhouette", {"width": 96}, "expected a multiple of 64"),
        ("mcat", {}, "no such encoder 'mcat'; expected one of ctrgcn, silhouette"),
    ],
)
def test_settings_that_mean_nothing(model, options, message):
    kind = TRAINABLE_ENCODERS.load(model if model in TRAINABLE_ENCODERS.names() else "ctrgcn")
    with pytest.raises(UsageError, match=message):
        EncoderTraining("set", model, kind.Settings(**options))


def test_repetitions_of_a_set(poses, tmp_path):
    repetitions = read_repetitions(poses)
    assert len(repetitions) == 4
    assert all(cycles.shape == (2, 2) and (np.diff(cycles) > 0).all() for cycles in repetitions.values())
    assert read_repetitions(poses / "manifest.parquet").keys() == repetitions.keys()
    row = {"clip": "a", "person": 0, "rep": 0, "start": 0, "stop": 9, "start_s": 1.0, "stop_s": 0.5, "label": "squat"}
    pq.write_table(table_from_rows("racctl.reps/1", [row]), tmp_path / "reps.parquet")
    with pytest.raises(DataError, match=r"row 0, is a repetition from 1\.0 to 0\.5 s"):
        read_repetitions(tmp_path)
    with pytest.raises(DataError, match="so nothing to count"):
        read_repetitions("-")


def _silent(line: str) -> None:
    pass


def test_what_tells_classes_apart_is_learnt_anew_where_they_are_others(tmp_path):
    fit(task(stride=64), Recipe(epochs=1), tmp_path, CPU, _silent)
    first = str(tmp_path / "model.safetensors")
    with open(first, "rb") as file:
        header, tensors = read_model(file, first)
    for others, learnt_anew in ((CLASSES, set()), (CLASSES[::-1], {"fc.weight", "fc.bias"})):
        fresh = task()
        model = fresh.objective.model
        fresh.train.classes = others
        torch.nn.init.ones_(model.fc.weight)
        torch.nn.init.ones_(model.fc.bias)
        fresh.begin_with([EarlierWeights(first, tensors, header, "")])
        changed = {name for name, value in model.state_dict().items() if not torch.equal(value, tensors[name])}
        assert changed == learnt_anew


def test_what_a_run_began_with_is_in_its_header(poses, tmp_path):
    assert racctl("train", "encoder", poses, "-o", tmp_path / "a", *SMALL).returncode == 0
    first = tmp_path / "a/model.safetensors"
    assert racctl("train", "encoder", poses, "-o", tmp_path / "b", *SMALL, "--init", first).returncode == 0
    with open(first, "rb") as file:
        _, tensors = read_model(file, str(first))
    assert model_meta(tmp_path / "b/model.safetensors")["data"]["begun_with"] == digest(tensors)
    failed = racctl("train", "encoder", poses, "-o", tmp_path / "c", *SMALL, "--width", "64", "--init", first)
    assert "has another size" in one_line(failed, 1)
