"""Training D2-STX: targets, batches, stages, learning, resume, and the command on features of two made-up encoders."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import one_line, racctl

from racctl.contracts import Features
from racctl.data.counted import read_counted
from racctl.encoders.tokens import shown
from racctl.errors import DataError, UsageError
from racctl.io.checkpoint import digest, read_model, write_model
from racctl.io.npz import write_features
from racctl.io.parquet import table_from_rows, write_table
from racctl.models.catalog import built, configured
from racctl.models.d2stx import D2STXConfig, counted
from racctl.training.loop import TrainingProcess, fit
from racctl.training.task import Origin
from racctl.training.token_batches import TokenClip, batch_of, joined
from racctl.training.train_counter import CounterTask, CounterTraining, Teaching, counting_loss, predict_counts
from racctl.training.train_model import RunSettings
from racctl.training.train_settings import D2STXTrainingSettings, Recipe

CPU = torch.device("cpu")
CONFIG = D2STXConfig(video=6, pose=5, joints=3, grid=2, width=16, heads=2, layers=1, window_layers=1, shot_tokens=2,
                     window=(4, 3, 3))  # fmt: skip


def a_clip(name: str = "a", tokens: int = 40, period: float = 10, seed: int = 0, both: bool = True) -> TokenClip:
    """Every channel swings once for each repetition; tokens of 8 frames."""
    rng = np.random.default_rng(seed)
    phase = 2 * np.pi * (np.arange(tokens) + 0.5) / period
    wave = np.stack([np.sin(phase), np.cos(phase), np.cos(phase) ** 8], 1).repeat(2, 1)
    video = (wave[:, :, None, None] + rng.normal(0, 0.1, (tokens, 6, 2, 2))).astype(np.float16) if both else None
    pose = (wave[:, :5, None] + rng.normal(0, 0.1, (tokens, 5, 3))).astype(np.float16)
    starts = np.arange(0, tokens - period + 1, period)
    cycles = np.stack([starts, starts + period], 1) * 8
    return TokenClip(name, video, pose, np.arange(tokens + 1) * 8.0, cycles.astype(np.int64), float(len(cycles)))


def counting(clips: list[TokenClip], epochs: int = 4, config: D2STXConfig = CONFIG, **teaching) -> CounterTask:
    torch.manual_seed(0)
    return CounterTask("d2stx", config, clips, clips[:1], Teaching(**teaching), epochs, Origin())


@pytest.mark.parametrize("sigma", [0.5, 1.0])
def test_a_target_holds_every_repetition(sigma):
    clip = a_clip()
    target = clip.target(sigma)
    assert target.shape == (40,) and target.sum() == pytest.approx(4)
    assert np.flatnonzero(target > 0.8 * target.max()).tolist() == [4, 5, 14, 15, 24, 25, 34, 35]


def test_an_exemplar_is_shown_from_within_its_repetition():
    clip = a_clip()
    assert shown(np.array([80, 160]), clip.edges).tolist() == [11, 13, 16, 18]
    assert shown(np.array([312, 330]), clip.edges).max() == 39


def test_a_batch_is_padded_and_says_where():
    clips = [a_clip(tokens=40), a_clip(tokens=25)]
    shots = [[shown(clip.cycles[0], clip.edges)] for clip in clips]
    batch = batch_of(clips, [slice(0, 40), slice(5, 25)], 1.0, shots)
    assert batch["video"].shape == (2, 40, 6, 2, 2) and batch["pose"].shape == (2, 40, 5, 3)
    assert batch["valid"].sum(1).tolist() == [40, 20] and not batch["target"][1, 20:].any()
    assert batch["video_shots"].shape == (2, 1, 4, 6, 2, 2) and batch["pose_shots"].shape == (2, 1, 4, 5, 3)
    assert torch.equal(batch["target"][1, :20], torch.from_numpy(clips[1].target(1.0)[5:]).float())


def test_the_loss_is_nought_for_the_target_and_ignores_padding():
    batch = batch_of([a_clip(tokens=40), a_clip(tokens=25)], [slice(0, 40), slice(0, 25)], 1.0, [[], []])
    perfect = 100 * batch["target"] + 999 * ~batch["valid"]
    assert counting_loss(perfect, batch["target"], batch["valid"], False) == pytest.approx(0, abs=1e-5)
    off = perfect + 100 * (torch.arange(40) == 3)
    expected = (100**2 / 40 + 100**2 / 25) / 2 + (1 / 4.1 + 1 / 2.1) / 2
    assert float(counting_loss(off, batch["target"], batch["valid"], False)) == pytest.approx(expected, rel=1e-4)


def test_parts_and_exemplars_are_drawn_within_the_clip():
    task = counting([a_clip(str(k), 30 + 10 * k, seed=k) for k in range(6)], longest=35, shots=2)
    seen = set()
    for epoch in range(30):
        for batch in task.batches(epoch, 3, 0, 1):
            assert batch["valid"].sum(1).max() <= 35
            seen.add(batch["pose_shots"].shape[1] if "pose_shots" in batch else 0)
    assert seen == {0, 1, 2}
    again = [batch["target"] for batch in task.batches(3, 3, 0, 1)]
    assert all(torch.equal(a, b["target"]) for a, b in zip(again, task.batches(3, 3, 0, 1), strict=True))


def test_clips_in_a_chain_are_one_after_the_other():
    clips = [a_clip("a", 40), a_clip("b", 25, 5)]
    whole, first = joined(clips), joined(clips, only_first=True)
    assert len(whole) == 65 and whole.count == 9 and first.count == 4
    assert np.allclose(whole.target(1.0), np.concatenate([clip.target(1.0) for clip in clips]), atol=0.02)
    assert first.target(1.0)[45:].max() < 1e-9 and first.target(1.0).sum() == pytest.approx(4)
    assert np.array_equal(whole.pose[40:], clips[1].pose) and whole.edges[-1] == 65 * 8
    assert joined(clips[:1]) is clips[0]


def test_chains_count_all_but_with_exemplars_only_the_first():
    task = counting([a_clip(str(k), 20, 5, seed=k) for k in range(9)], chain=3, shots=1)
    assert task.steps(3, 1) == 1
    seen = {True: set(), False: set()}
    for epoch in range(40):
        (batch,) = task.batches(epoch, 3, 0, 1)
        for length, count in zip(batch["valid"].sum(1).tolist(), batch["target"].sum(1).tolist(), strict=True):
            seen["pose_shots" in batch].add((length, round(count)))
    assert seen[False] == {(20, 4), (40, 8), (60, 12)}
    assert seen[True] == {(20, 4), (40, 4), (60, 4)}


def test_stages_move_the_branches_first_and_then_the_fusion_alone():
    task = counting([a_clip()], epochs=8)
    model = task.objective.model

    def moved(epoch: int) -> set[str]:
        task.objective.train()
        batch = next(iter(task.batches(epoch, 1, 0, 1)))
        model.zero_grad(set_to_none=True)
        task.objective(batch).backward()
        return {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}

    assert [task.teaching.fusing(epoch, 8) for epoch in range(8)] == [False] * 5 + [True] * 3
    assert moved(0) == {"branches"} and moved(7) == {"fusion"}
    task.teaching = dataclasses.replace(task.teaching, staged=False)
    task.objective.staged = task.objective.fusing = False
    assert moved(0) == {"branches", "fusion"}


@pytest.mark.parametrize("both", [True, False])
def test_it_learns_one_clip_by_heart(tmp_path, both):
    config = dataclasses.replace(CONFIG, branches="both" if both else "pose")
    clip = a_clip(both=both)
    task = counting([clip] * 4, 60, config, staged=False, shots=0)
    fit(task, Recipe(60, 2, 1e-2, 0.0, precision="32"), tmp_path, TrainingProcess(0, 1, CPU), lambda line: None)
    assert predict_counts(task.objective, [clip], CPU)[0] == pytest.approx(4, abs=0.5)


def test_a_run_that_was_interrupted_ends_the_same(tmp_path):
    recipe, process = Recipe(4, 2, 1e-3, 0.0, precision="32"), TrainingProcess(0, 1, CPU)
    clips = [a_clip(str(k), seed=k) for k in range(3)]
    fit(counting(clips), recipe, tmp_path / "whole", process, lambda line: None)
    fit(counting(clips), recipe, tmp_path / "cut", process, lambda line: None, stop_after=2)
    fit(counting(clips), recipe, tmp_path / "cut", process, lambda line: None)
    assert (tmp_path / "whole" / "model.safetensors").read_bytes() == (tmp_path / "cut/model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def a_set(tmp_path_factory) -> Path:
    """Six clips as racctl synth and racctl encode leave them, with made-up tokens."""
    folder = tmp_path_factory.mktemp("counted")
    (folder / "features").mkdir()
    manifest, reps = [], []
    for k in range(6):
        clip = a_clip(f"c{k}", 32, 8, seed=k)
        windows = [slice(start, start + 8) for start in range(0, 32, 8)]
        meta = {
            "clip": clip.name, "span": "windows", "window": 64, "stride": 64, "ticks": 256, "rate": 0.0,
            "video": {"encoder": "v", "weights": {"sha256": "1"}},
            "pose": {"encoder": "p", "weights": {"sha256": "2"}, "topology": "coco17"},
        }  # fmt: skip
        pose = np.repeat(clip.pose[:, :, :1], 17, 2)
        features = Features(
            np.arange(4) * 64, np.arange(1, 5) * 64, meta, np.stack([clip.video[w].swapaxes(0, 1) for w in windows]),
            np.stack([pose[w].swapaxes(0, 1) for w in windows])[..., None],
        )  # fmt: skip
        with open(folder / "features" / f"{clip.name}.features.npz", "wb") as file:
            write_features(file, features)
        row = {"clip": clip.name, "split": "val" if k > 3 else "train", "count": clip.count, "label": ""}
        manifest.append(dict.fromkeys(("video", "pose", "mask", "features", "speed")) | row)
        reps += [{"clip": clip.name, "person": 0, "rep": r + 1, "start": int(s), "stop": int(e), "start_s": s / 30,
                  "stop_s": e / 30, "label": ""} for r, (s, e) in enumerate(clip.cycles)]  # fmt: skip
    for name, rows in (("manifest", manifest), ("reps", reps)):
        with open(folder / f"{name}.parquet", "wb") as file:
            write_table(file, table_from_rows(f"racctl.{name}/1", rows, {}))
    return folder


def test_the_command_trains_and_its_checkpoint_builds_the_model(a_set, tmp_path):
    words = ["train", "counter", a_set, "-o", tmp_path, "--features", a_set / "features", "--epochs", 2,
             "--batch", 2, "--threads", 1]  # fmt: skip
    done = racctl(*words)
    assert done.returncode == 0, done.stderr.decode()
    assert "16 repetitions in 4 clips, 2 to validate on" in done.stderr.decode()
    with open(tmp_path / "model.safetensors", "rb") as file:
        meta, tensors = read_model(file, "model")
    assert meta["model"] == "d2stx" and meta["input"]["step"] == 4
    assert meta["input"]["pose"]["topology"] == "coco17" and meta["input"]["video"]["encoder"] == "v"
    model = built("d2stx", configured("d2stx", meta["config"]))
    model.load_state_dict(tensors)
    assert torch.isfinite(counted(model.eval()(torch.randn(1, 9, 6, 2, 2), torch.randn(1, 9, 5, 17)).final)).all()


def test_a_run_may_begin_with_the_weights_of_another(a_set, tmp_path):
    words = ["train", "counter", a_set, "--features", a_set / "features", "--batch", 2, "--threads", 1]
    assert racctl(*words, "-o", tmp_path / "a", "--epochs", 2).returncode == 0
    first = tmp_path / "a/model.safetensors"
    assert racctl(*words, "-o", tmp_path / "b", "--epochs", 1, "--rate", 1e-12, "--init", first).returncode == 0
    with open(first, "rb") as before, open(tmp_path / "b/model.safetensors", "rb") as after:
        (_, begun), (meta, ended) = read_model(before, "a"), read_model(after, "b")
    assert all(torch.allclose(begun[name], ended[name], atol=1e-6) for name in begun)
    assert meta["data"]["begun_with"] == digest(begun)
    words += ["--epochs", 1, "--rate", 1e-12, "--init", first]
    assert "has another size" in one_line(racctl(*words, "-o", tmp_path / "c", "--guide", "pose"), 1)
    assert racctl(*words, "-o", tmp_path / "pose", "--branches", "pose").returncode == 0
    with open(tmp_path / "pose/model.safetensors", "rb") as file:
        alone = read_model(file, "pose")[1]  # one branch of it
    assert all(torch.allclose(begun[name], value, atol=1e-6) for name, value in alone.items())


def test_branches_that_learned_by_themselves_are_fused_and_stand_still(a_set, tmp_path):
    words = ["train", "counter", a_set, "--features", a_set / "features", "--batch", 2, "--threads", 1,
             "--epochs", 2]  # fmt: skip
    alone = [tmp_path / name / "model.safetensors" for name in ("video", "pose")]
    for file in alone:
        assert racctl(*words, "-o", file.parent, "--branches", file.parent.name, "--joint").returncode == 0
    begin = [word for file in alone for word in ("--init", file)]
    done = racctl(*words, "-o", tmp_path / "both", *begin)
    assert done.returncode == 0 and b"the branches stand still" in done.stderr

    def weights(file):
        with open(file, "rb") as opened:
            return read_model(opened, str(file))

    (meta, both), branches = weights(tmp_path / "both/model.safetensors"), [weights(file)[1] for file in alone]
    for tensors in branches:
        assert all(torch.equal(both[name], value) for name, value in tensors.items())
    assert meta["data"]["begun_with"] == [digest(tensors) for tensors in branches]
    assert meta["training"]["teaching"]["ready"]
    assert {name.split(".")[0] for name in both.keys() - branches[0].keys() - branches[1].keys()} == {"fusion"}
    begun = racctl(*words, "-o", tmp_path / "one", "--init", alone[1])  # the other branch learns with it
    assert begun.returncode == 0 and b"stand still" not in begun.stderr
    lent = racctl(*words, "-o", tmp_path / "lent", "--init", alone[1], "--branches", "video", "--rate", 1e-12)
    assert lent.returncode == 0  # a branch begins with the other's decoder
    (_, video), pose = weights(tmp_path / "lent/model.safetensors"), branches[1]
    shared = {key: pose[key.replace("video", "pose")] for key in video if ".embed." not in key}
    assert all(torch.allclose(video[key], value, atol=1e-6) for key, value in shared.items()) and len(shared) > 20
    header, tensors = weights(alone[0])
    header["input"]["video"]["weights"] = {"sha256": "9"}
    with open(tmp_path / "other.safetensors", "wb") as file:
        write_model(file, header, tensors)
    failed = racctl(*words, "-o", tmp_path / "no", "--init", tmp_path / "other.safetensors")
    assert "tokens of another video encoder" in one_line(failed, 1)


def test_a_table_of_annotations_is_a_set_too(a_set, tmp_path):
    (tmp_path / "train.csv").write_text("type,name,count,L1,L2\nsquat,c0.mp4,1,0,64\nsquat,lost.mp4,1,0,9\n")
    (tmp_path / "valid.csv").write_text("type,name,count,L1,L2\nsquat,c5.mp4,1,0,64\n")
    (row,) = read_counted(str(tmp_path / "train.csv"), str(a_set / "features"), "train")
    assert row.clip == "c0" and row.cycles.tolist() == [[0, 64]] and row.split == "train"
    words = ["train", "counter", tmp_path / "train.csv", "-o", tmp_path / "run", "--features",
             a_set / "features", "--val-data", tmp_path / "valid.csv", "--branches", "pose", "--epochs", 1]  # fmt: skip
    assert "1 repetitions in 1 clips, 1 to validate on" in racctl(*words).stderr.decode()


def test_features_that_do_not_belong_together_are_left_out_and_said(a_set, tmp_path):
    training = CounterTraining(str(a_set), "d2stx", D2STXTrainingSettings(features=str(a_set / "features")))
    rows = read_counted(training.data, training.settings.features)
    (tmp_path / "bad.npz").write_bytes(b"no features")
    rows[1] = dataclasses.replace(rows[1], features=tmp_path / "bad.npz")
    loaded = training.load(rows, RunSettings(tmp_path), lambda done, total: None)
    clips = loaded.clips
    assert len(clips) == 5 and [clip for clip, _ in loaded.failures] == ["c1"]
    assert clips["c0"].pose.shape == (64, 5, 5)  # five parts of the body, tokens of 4 frames
    assert clips["c0"].made_by["step"] == 4


def test_what_cannot_be_trained_is_one_line(a_set, tmp_path):
    base = ["train", "counter", a_set, "-o", tmp_path]
    for words, code, message in (
        (base, 2, "name their folder with '--features DIR'"),
        ([*base, "--features", tmp_path / "none"], 1, "does not exist"),
        ([*base, "--features", tmp_path], 1, "none of the 6 clips"),
        ([*base, "--features", a_set / "features", "--preset", "huge"], 2, "invalid value 'huge' for '--preset'"),
        ([*base, "--features", a_set / "features", "--fusion", "cross"], 2, "expected one of decoupled, coupled"),
        ([*base, "--features", a_set / "features", "--model", "transrac", "--compat", "x"], 2, "'--compat'"),
        ([*base, "--features", a_set / "features", "--compat", "release"], 2, "--compat"),
        ([*base, "--features", a_set / "features", "--val-split", "train"], 2, "is what is trained on"),
        ([*base, "--features", a_set / "features", "--val-features", a_set], 2, "goes with '--val-data'"),
    ):
        assert message in one_line(racctl(*words), code)
    with pytest.raises(DataError, match="no clip to train on"):
        CounterTask("d2stx", CONFIG, [], [], Teaching(), 1, Origin())
    with pytest.raises(UsageError):
        D2STXTrainingSettings(features="y", branches="none")
