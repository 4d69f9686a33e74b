"""Training a recogniser: windows, weights, augmentation, resume, early stopping, several processes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from poses import swinging_pose
from recognisers import LOOK, a_set, moving, unpacked

from racctl.device import pick_device
from racctl.errors import DataError, UsageError
from racctl.io.checkpoint import read_model
from racctl.io.prefetch import prefetch
from racctl.models.catalog import configured
from racctl.recognisers.recogniser import Recogniser, pictures
from racctl.skeleton.normalise import joint_tokens
from racctl.skeleton.remap import minmax, remap
from racctl.training.augment import Augmentation, minmaxed
from racctl.training.clip_windows import WindowSet, class_list, class_weights, with_outliers
from racctl.training.loop import TrainingProcess, fit
from racctl.training.task import Origin, shares_of
from racctl.training.train_recogniser import RecogniserTask
from racctl.training.train_settings import Recipe, tempo_range

CPU = TrainingProcess(0, 1, torch.device("cpu"))


def task(name: str = "transformer", seed: int = 0, **more) -> RecogniserTask:
    train, val = a_set(6), a_set(3, "val", 100)
    classes = class_list(train)
    windows = [WindowSet(part, LOOK, classes) for part in (train, val)]
    torch.manual_seed(seed)
    config = configured(name, {"classes": len(classes), "size": 16, "layers": 1, "width": 32, "heads": 4, **more})
    origin = Origin(seed, "CC0-1.0", {"clips": 6})
    return RecogniserTask(name, config, *windows, Augmentation(flip=0), origin)


def test_a_window_has_the_label_of_its_middle_frame():
    clip = moving("a", "sway", 32)
    clip.labels[:8] = "bob"
    windows = WindowSet([clip], LOOK, ["background", "bob", "sway"])
    assert windows.middle.tolist() == [8, 16, 24]
    assert windows.label.tolist() == [2, 2, 2]
    clip.labels[8] = "bob"
    assert WindowSet([clip], LOOK, ["background", "bob", "sway"]).label.tolist() == [1, 2, 2]


def test_without_the_null_class_its_windows_are_left_out():
    clips = a_set(3)
    assert len(WindowSet(clips, LOOK, class_list(clips), null=True)) == 21
    assert len(WindowSet(clips, LOOK, ["bob", "sway"], null=False)) == 14


def test_effective_numbers():
    weights = class_weights(np.array([1, 1000, 0]))
    assert weights[0] == pytest.approx(1.0)
    assert weights[1] == pytest.approx((1 - 0.999) / (1 - 0.999**1000))
    assert weights[2] == 0


def test_packed_windows_unpack_alike_in_numpy_and_torch():
    batch = WindowSet(a_set(2), LOOK, ["background", "bob", "sway"]).batch(np.array([0, 9]))
    gray, mask = pictures(batch["packed"], 16)
    other_gray, other_mask = unpacked(batch["packed"].numpy(), 16)
    assert gray.shape == mask.shape == (2, 16, 16, 16)
    assert (gray.numpy() * 255).round().astype(int).tolist() == other_gray.tolist()
    assert mask.numpy().tolist() == other_mask.tolist()


def test_augmentation_moves_picture_and_mask_together_and_is_the_same_for_all_frames():
    torch.manual_seed(0)
    picture = (torch.rand(8, 1, 32, 32) > 0.5).float().repeat_interleave(4, 1)
    gray, mask, _ = Augmentation(light=(1, 1))(picture, picture, None, None)
    assert torch.equal(gray[:, 0], gray[:, 3])
    assert torch.equal(mask[:, 0], mask[:, 3])
    assert not torch.equal(mask[0], mask[1])
    assert ((gray > 0.5).float() - mask).abs().mean() < 0.12  # bilinear against nearest, at the squares' edges
    assert set(mask.unique().tolist()) <= {0.0, 1.0}


def test_light_changes_pictures_only():
    torch.manual_seed(0)
    still = Augmentation(flip=0, scale=(1, 1), aspect=(1, 1))
    gray, mask = torch.rand(4, 2, 16, 16), torch.ones(4, 2, 16, 16)
    lit, masks, _ = still(gray, mask, None, None)
    assert torch.equal(masks, mask)
    assert not torch.allclose(lit, gray)
    assert lit.min() >= 0 and lit.max() <= 1


def test_a_flip_mirrors_pictures_and_joints():
    mirror = torch.tensor([1, 0, 2])
    gray = torch.arange(16.0).view(1, 1, 1, 16).expand(1, 1, 16, 16) / 16
    joints = torch.tensor([[[[1.0, 2, 7, 0.5], [-3, 4, 8, 0.9], [0, 0, 0, 1]]]])
    flip = Augmentation(flip=1, scale=(1, 1), aspect=(1, 1), light=(1, 1))
    turned, _, moved = flip(gray, gray, joints, mirror)
    assert torch.allclose(turned, gray.flip(3), atol=1e-5)
    assert torch.allclose(moved, torch.tensor([[[[3.0, 4, 8, 0.9], [-1, 2, 7, 0.5], [0, 0, 0, 1]]]]))


def test_joints_scaled_in_training_are_those_of_a_scaled_pose():
    pose = remap(swinging_pose(64), "d2stx25")
    pose.xyz[9], pose.score[9] = np.nan, 0
    expected = joint_tokens(minmax(pose))
    tokens = minmaxed(torch.from_numpy(joint_tokens(pose))[None])[0].numpy()
    assert np.abs(tokens - expected).max() < 1e-3
    half = Augmentation(flip=0, minmax=0.5)
    torch.manual_seed(0)
    nothing = torch.zeros(32, 0, 0, 0)
    varied = half(nothing, nothing, torch.from_numpy(joint_tokens(pose))[None].repeat(32, 1, 1, 1), torch.arange(25))[2]
    scaled = [np.abs(window.numpy() - expected).max() < 1e-3 for window in varied]
    assert 6 < sum(scaled) < 26


def test_training_learns_and_writes_a_model_with_all_it_needs(tmp_path):
    lines = []
    history = fit(task(), Recipe(epochs=12, batch=8, rate=3e-3), tmp_path, CPU, lines.append)
    assert history[-1]["loss"] < history[0]["loss"]
    assert max(row["val_accuracy"] for row in history) > 0.8
    assert len(lines) == 12 and "epoch 12/12" in lines[-1]
    with open(tmp_path / "model.safetensors", "rb") as file:
        meta, tensors = read_model(file, "model")
    assert meta["classes"] == ["background", "bob", "sway"]
    assert meta["input"]["size"] == 16
    assert meta["licence"] == "CC0-1.0"
    assert meta["training"]["metrics"]["score"] == max(row["score"] for row in history)
    assert set(tensors) == set(task().objective.model.state_dict())
    assert json.loads((tmp_path / "history.json").read_text()) == history
    assert list((tmp_path / "tensorboard").iterdir())


def test_a_model_says_unknown_by_its_validation_windows(tmp_path):
    fit(task(), Recipe(epochs=4, batch=8, rate=3e-3), tmp_path, CPU, _silent)
    learned = Recogniser(str(tmp_path / "model.safetensors"), CPU.device)
    assert learned.rejection is None  # 14 windows of exercises are too few to settle it
    many = task()
    many.val = WindowSet(a_set(12, "val", 100), LOOK, many.classes)
    fit(many, Recipe(epochs=4, batch=8, rate=3e-3), tmp_path / "many", CPU, _silent)
    learned = Recogniser(str(tmp_path / "many/model.safetensors"), CPU.device)
    assert learned.rejection.chosen["known_windows"] == 56 and learned.rejection.constant is not None


def test_a_looped_window_goes_round_in_its_set():
    clip = moving("a", "sway", 96)
    clip.labels[:20] = "background"
    clip.labels[66:] = "background"
    windows = WindowSet([clip], LOOK, ["background", "sway"], loop=1.0)
    (last,) = np.flatnonzero(windows.middle == 64)
    assert windows.run[last].tolist() == [20, 66] and windows.looped[last]
    ticks = windows._looped_rows(np.array([last]), np.array([2.0]))[0]
    assert ticks.tolist() == [48, 50, 52, 54, 56, 58, 60, 62, 64, 20, 22, 24, 26, 28, 30, 32]
    batch = windows.batch(np.array([last]), np.array([2.0]))
    assert (batch["packed"][0].numpy() == np.asarray(clip.packed)[ticks]).all()
    assert not WindowSet([clip], LOOK, ["background", "sway"]).looped.any()


def test_outliers_are_learned_as_unknown():
    train = [with_outliers(clip, ["bob"]) for clip in a_set(3)]
    assert class_list(train) == ["background", "sway", "unknown"]
    assert class_list(a_set(3)) == ["background", "bob", "sway"]
    windows = WindowSet(train, LOOK, class_list(train))
    config = configured("transformer", {"classes": 3, "size": 16, "layers": 1, "width": 32, "heads": 4})
    learning = RecogniserTask("transformer", config, windows, windows, Augmentation(flip=0), Origin(0, "CC0-1.0", {}))
    assert (learning.objective.outlier, learning.objective.background) == (2, 0)
    learning.val = WindowSet([with_outliers(clip, ["bob"]) for clip in a_set(12)], LOOK, windows.classes)
    learning.evaluate(CPU.device)
    chosen = learning.header()["rejection"]
    assert chosen["constant"] is None and chosen["chosen"]["outlier_windows"] == chosen["chosen"]["known_windows"] == 28


def test_a_resumed_run_ends_with_the_same_weights(tmp_path):
    recipe = Recipe(epochs=4, batch=8)
    fit(task(), recipe, _folder(tmp_path / "whole"), CPU, _silent)
    for _ in range(4):
        fit(task(), recipe, _folder(tmp_path / "parts"), CPU, _silent, stop_after=1)
    first, second = (
        torch.load(tmp_path / name / "resume.pt", weights_only=True)["objective"] for name in ("whole", "parts")
    )
    assert all(torch.equal(first[name], second[name]) for name in first)
    whole, parts = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "parts"))
    assert whole == parts


def test_a_finished_run_is_not_trained_again(tmp_path):
    fit(task(), Recipe(epochs=1), tmp_path, CPU, _silent)
    lines = []
    assert len(fit(task(), Recipe(epochs=1), tmp_path, CPU, lines.append)) == 1
    assert lines == []


def test_other_settings_do_not_go_on_with_a_run(tmp_path):
    fit(task(), Recipe(epochs=1), tmp_path, CPU, _silent)
    with pytest.raises(UsageError, match="holds a run with other settings \\(epochs\\)"):
        fit(task(), Recipe(epochs=2), tmp_path, CPU, _silent)


def test_a_damaged_state_is_one_line(tmp_path):
    (tmp_path / "resume.pt").write_bytes(b"no state")
    with pytest.raises(DataError, match="is damaged"):
        fit(task(), Recipe(epochs=1), tmp_path, CPU, _silent)


def test_other_data_or_augmentation_do_not_go_on_with_a_run(tmp_path):
    fit(task(), Recipe(epochs=2), tmp_path, CPU, _silent, stop_after=1)
    faster = task()
    faster.augmentation = Augmentation(flip=0, tempo=(0.5, 4))
    with pytest.raises(UsageError, match="augmentation"):
        fit(faster, Recipe(epochs=2), tmp_path, CPU, _silent)
    with pytest.raises(UsageError, match="processes"):
        fit(task(), Recipe(epochs=2, batch=4), tmp_path, TrainingProcess(0, 2, CPU.device), _silent)


def test_a_validation_set_of_one_class(tmp_path):
    bobbing = task()
    bobbing.val = WindowSet([moving("v", "bob", split="val")], LOOK, bobbing.train.classes)
    history = fit(bobbing, Recipe(epochs=1), tmp_path, CPU, _silent)
    assert "val_auc" not in history[0] and "score" in history[0]
    assert (tmp_path / "model.safetensors").is_file()


def test_too_few_windows_for_all_processes(tmp_path):
    with pytest.raises(DataError, match="too few windows for 9 processes"):
        fit(task(), Recipe(epochs=1), tmp_path, TrainingProcess(0, 9, CPU.device), _silent)


def test_many_clips_need_few_open_files(tmp_path):
    from racctl.recognisers.cache import Rows

    maps = []
    for k in range(300):
        np.save(tmp_path / f"{k}.npy", np.full((4, 2, 2), k % 256, np.uint8))
        maps.append(Rows(tmp_path / f"{k}.npy"))
    assert len(list(Path("/proc/self/fd").iterdir())) < 250
    assert [int(rows[1:3].max()) for rows in maps] == [k % 256 for k in range(300)]


def test_patience_ends_a_run_that_gets_no_better(tmp_path):
    history = fit(task(), Recipe(epochs=20, batch=8, rate=1e-9, patience=2), tmp_path, CPU, _silent)
    assert len(history) == 3


def test_a_loss_that_is_not_finite_is_an_error(tmp_path):
    with pytest.raises(DataError, match="lower '--rate'"):
        fit(task(), Recipe(epochs=2, batch=4, rate=1e30), tmp_path, CPU, _silent)


@pytest.mark.parametrize(
    "wrong", [{"epochs": 0}, {"batch": 0}, {"rate": -1.0}, {"rate": float("nan")}, {"precision": "8"}]
)
def test_recipes_that_mean_nothing(wrong):
    with pytest.raises(UsageError):
        Recipe(**wrong)


def test_ranges():
    assert tempo_range("0.5-4") == (0.5, 4.0)
    assert tempo_range("1") == (1.0, 1.0)
    for text in ("", "a-b", "2-1", "0-1", "1-inf"):
        with pytest.raises(UsageError):
            tempo_range(text)


def test_every_rank_gets_as_many_batches_and_no_window_twice():
    order = torch.arange(50)
    parts = [list(shares_of(order, 8, rank, 2)) for rank in (0, 1)]
    assert [len(part) for part in parts] == [3, 3]
    seen = torch.cat([torch.cat(part) for part in parts])
    assert len(seen.unique()) == len(seen) == 48
    assert torch.cat(list(shares_of(order, 8, 0, 1))).tolist() == list(range(50))


def test_batches_come_in_order_and_errors_come_through():
    assert list(prefetch(iter(range(10)))) == list(range(10))

    def failing():
        yield 1
        raise DataError("bad clip")

    with pytest.raises(DataError, match="bad clip"):
        list(prefetch(failing()))


def test_a_device_that_is_not_there():
    assert pick_device("cpu").type == "cpu"
    with pytest.raises(UsageError, match="no such device 'tpu'"):
        pick_device("tpu")
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="'--device cuda'"):
            pick_device("cuda")


TWO = """
import sys, torch
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_training import task
from racctl.training.loop import fit, open_process
from racctl.training.train_settings import Recipe
with open_process("cpu") as process:
    torch.set_num_threads(1)
    mlp = task("mlp")
    fit(mlp, Recipe(epochs=2, batch=4), Path({out!r}), process, lambda line: None)
    torch.save(mlp.objective.state_dict(), f"{out}/rank{{process.rank}}.pt")
"""


def test_two_processes_train_one_model(tmp_path):
    """As torchrun starts them: both end with the same weights, one writes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = TWO.format(tests=str(Path(__file__).parent), out=str(tmp_path))
    base = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    started = [
        subprocess.Popen([sys.executable, "-c", code], env={**base, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in (0, 1)
    ]
    assert [process.wait(200) for process in started] == [0, 0]
    first, second = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    learnt = [name for name in first if "running" not in name and "num_batches" not in name]
    assert learnt and all(torch.allclose(first[name], second[name], atol=1e-6) for name in learnt)
    assert (tmp_path / "model.safetensors").is_file()


def _folder(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


def _silent(line: str) -> None:
    pass
