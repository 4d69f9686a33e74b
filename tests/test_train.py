"""The train command, and classify and score behind it, on data sets of each kind that the tests make for themselves."""

from __future__ import annotations

import json
import signal
import subprocess
import time

import numpy as np
import pytest
import torch
from clips import write_clip
from commands import RACCTL, one_line, racctl

from racctl.contracts import Mask
from racctl.errors import DataError, UsageError
from racctl.io.checkpoint import model_meta
from racctl.io.npz import write_mask
from racctl.io.output import write_file
from racctl.recognisers.inputs import Look
from racctl.training.augment import Augmentation
from racctl.training.loop import Recipe
from racctl.training.run import Wanted, train_model

SMALL = ("--size", "16", "--layers", "1", "--width", "32", "--batch", "8", "--threads", "1")


def square(k: int, label: str) -> tuple[int, int]:
    """Left and top of the square in frame k."""
    away = round(12 * np.sin(k / 3))
    return (20 + away, 20) if label == "sway" else (20, 20 + away)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six clips of a square that sways or bobs, with masks and a table of segments: the first second is nothing."""
    root = tmp_path_factory.mktemp("set")
    (root / "masks").mkdir()
    rows = ["clip,start,stop,label,split"]
    for number in range(6):
        label, images = ("sway", "bob")[number % 2], []
        masks = np.zeros((60, 64, 64), np.uint8)
        for k in range(60):
            x, y = square(max(k - 20, 0), label)
            image = np.full((64, 64, 3), 20 + number, np.uint8)
            image[y : y + 20, x : x + 20] = 230
            masks[k, y : y + 20, x : x + 20] = 1
            images.append(image)
        write_clip(root / f"c{number}.mp4", images, fps=30)
        mask = Mask(masks, np.arange(60), np.arange(60) / 30, {"clip": f"c{number}"})
        write_file(root / "masks" / f"c{number}.mask.npz", lambda file, mask=mask: write_mask(file, mask))
        rows.append(f"c{number},0.66,2,{label},{'train' if number < 4 else 'val'}")
    (root / "segments.csv").write_text("\n".join(rows) + "\n")
    return root


def train(folder, out, *words):
    return racctl("train", folder, "-o", out, "--masks", folder / "masks", *SMALL, *words)


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    done = train(folder, out, "--epochs", "6", "--rate", "3e-3", "--licence", "CC0-1.0")
    assert done.returncode == 0, done.stderr.decode()
    return out, done


def test_a_folder_with_a_table_of_segments(run):
    out, done = run
    said = done.stderr.decode()
    assert done.stdout == b""
    assert "3 classes, 24 windows of 4 clips, 12 to validate on" in said
    assert "epoch 6/6" in said
    meta = model_meta(out / "model.safetensors")
    assert meta["classes"] == ["background", "bob", "sway"]
    assert meta["input"] == {
        "size": 16, "rate": 30.0, "window": 16, "stride": 8, "crop": "frame", "topology": "", "mask": True,
    }  # fmt: skip
    assert meta["licence"] == "CC0-1.0"
    assert meta["training"]["epochs"] == 6


def test_equal_seeds_give_equal_models_and_others_do_not(folder, tmp_path):
    files = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        words = ("--epochs", "1", "--seed", seed, "--cache", tmp_path / "cache")
        assert train(folder, tmp_path / name, *words).returncode == 0
        files.append((tmp_path / name / "model.safetensors").read_bytes())
    assert files[0] == files[1]
    assert files[0] != files[2]


def test_what_is_done_is_not_done_again(run, folder):
    out, _ = run
    before = (out / "model.safetensors").read_bytes()
    done = train(folder, out, "--epochs", "6", "--rate", "3e-3", "--licence", "CC0-1.0")
    assert "epoch" not in done.stderr.decode()
    assert (out / "model.safetensors").read_bytes() == before


def test_classify_and_score_the_set(run, folder):
    out, _ = run
    words = ("classify", "--dataset", folder, "--masks", folder / "masks", "--split", "val")
    done = racctl(*words, "--model", out / "model.safetensors", "--windows")
    assert done.returncode == 0, done.stderr.decode()
    scored = racctl("score", "--truth", folder, "--split", "val", "--format", "json", stdin=done.stdout)
    assert scored.returncode == 0, scored.stderr.decode()
    found = {row["metric"]: row["value"] for row in json.loads(scored.stdout)}
    history = json.loads((out / "history.json").read_text())
    best = max(history, key=lambda row: row["score"])
    assert found["accuracy"] == pytest.approx(best["val_accuracy"])  # as measured while training
    assert found["macro_f1"] == pytest.approx(best["score"])


def test_the_cache_serves_several_runs(folder, tmp_path):
    for name in ("one", "two"):
        assert train(folder, tmp_path / name, "--epochs", "1", "--cache", tmp_path / "cache").returncode == 0
    files = sorted(path.name for path in (tmp_path / "cache").iterdir())
    assert len(files) == 12  # two for each clip
    assert not (tmp_path / "one" / "cache").exists()


def test_a_clip_that_cannot_be_read_is_left_out(folder, tmp_path):
    broken = tmp_path / "set"
    broken.mkdir()
    for path in folder.iterdir():
        if path.suffix in (".mp4", ".csv"):
            (broken / path.name).write_bytes(path.read_bytes() if path.name != "c1.mp4" else b"no video")
    done = racctl("train", broken, "-o", tmp_path / "run", "--masks", folder / "masks", *SMALL, "--epochs", "1")
    assert done.returncode == 0, done.stderr.decode()
    assert "left out: c1:" in done.stderr.decode()
    assert "of 3 clips" in done.stderr.decode()


def test_mmfit_without_videos_trains_on_its_poses(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("w01", "w14"):
        (tmp_path / "mm" / name).mkdir(parents=True)
        (tmp_path / "mm" / name / f"{name}_labels.csv").write_text("30,120,5,squats\n150,240,5,pushups\n")
        pose = rng.uniform(1, 500, (2, 300, 19))
        pose[:, :, 0] = np.arange(300)
        np.save(tmp_path / "mm" / name / f"{name}_pose_2d.npy", pose)
    words = ("--input", "pose", "--window", "32", "--layers", "1", "--width", "32", "--epochs", "1")
    done = racctl("train", tmp_path / "mm", "-o", tmp_path / "run", *words, "--no-null")
    assert done.returncode == 0, done.stderr.decode()
    assert model_meta(tmp_path / "run/model.safetensors")["classes"] == ["push_up", "squat"]
    assert "w14" not in done.stderr.decode()


def test_an_interrupted_run_goes_on(folder, tmp_path):
    words = [RACCTL, "train", str(folder), "-o", str(tmp_path / "run"), "--masks", str(folder / "masks"), *SMALL]
    started = subprocess.Popen([*words, "--epochs", "400"], stderr=subprocess.PIPE)
    end = time.monotonic() + 120
    while not (tmp_path / "run/resume.pt").is_file() and time.monotonic() < end:
        time.sleep(0.1)
    started.send_signal(signal.SIGINT)
    said = started.communicate(timeout=60)[1].decode()
    assert started.returncode == 130, said
    assert "Traceback" not in said
    assert not [path for path in (tmp_path / "run").iterdir() if path.suffix == ".tmp"]
    state = torch.load(tmp_path / "run/resume.pt", weights_only=True)["state"]
    assert 0 < state["epoch"] < 400


def asked(folder, **given) -> Wanted:
    return Wanted(str(folder), **{"masks": str(folder / "masks"), "look": Look(16), **given})


def attempt(wanted, tmp_path, device="cpu", **recipe):
    return train_model(wanted, Recipe(epochs=1, **recipe), Augmentation(), tmp_path, device, 1, print)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"model": "resnet"}, "no such model 'resnet'"),
        ({"fusion": "none"}, "fusion 'none' takes one stream"),
        ({"input": "rgb"}, "input is one of"),
        ({"look": Look(20)}, "a multiple of 8"),
        ({"look": Look(16, crop="tight")}, "--crop tight"),
        ({"width": 36}, "a multiple of 8"),
        ({"model": "mlp", "pose": True}, "options of mcat"),
        ({"input": "pose", "pose": True}, "no second prior"),
    ],
)
def test_settings_that_mean_nothing_are_said_before_the_work(given, message, folder, tmp_path):
    with pytest.raises(UsageError, match=message):
        attempt(asked(folder, **given), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"train": "holdout"}, "no clip in the split 'holdout'"),
        ({"masks": "/nowhere"}, "/nowhere"),
        ({"look": Look(16, topology="d2stx25"), "pose": True}, "has no pose"),
    ],
)
def test_data_that_lacks_something(given, message, folder, tmp_path):
    with pytest.raises(DataError, match=message):
        attempt(asked(folder, **given), tmp_path / "run")


def test_what_the_command_refuses(folder, tmp_path):
    for words, message in (
        (["--tempo", "2-1"], "is no range"),
        (["--device", "tpu"], "invalid value 'tpu' for '--device'"),
    ):
        assert message in one_line(racctl("train", folder, "-o", tmp_path / "run", *words), 2)


def test_no_data_set(tmp_path):
    assert "does not exist" in one_line(racctl("train", tmp_path / "none", "-o", tmp_path), 1)


def test_the_defaults_are_the_papers():
    """Section 4.2: AdamW at 3e-4 with decay 1e-4 and betas 0.9, 0.999, 30 epochs of batches of 32."""
    recipe, wanted = Recipe(), Wanted("set")
    assert (recipe.rate, recipe.weight_decay, recipe.betas) == (3e-4, 1e-4, (0.9, 0.999))
    assert (recipe.epochs, recipe.batch) == (30, 32)
    look = wanted.look
    assert (look.size, look.rate, look.window, look.stride, look.crop) == (112, 30.0, 16, 8, "frame")
