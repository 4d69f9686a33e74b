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
from commands import RACCTL, in_process, one_line, racctl

from racctl.contracts import Mask
from racctl.errors import DataError, UsageError
from racctl.io.checkpoint import model_meta
from racctl.io.npz import write_mask
from racctl.io.output import write_file
from racctl.training.train_model import RunSettings, train_model
from racctl.training.train_recogniser import RecogniserTraining
from racctl.training.train_settings import TRAINABLE_RECOGNISERS, Recipe

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
    return racctl("train", "recogniser", folder, "-o", out, "--masks", folder / "masks", *SMALL, *words)


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    done = train(folder, out, "--epochs", "6", "--rate", "3e-3", "--licence", "CC0-1.0")
    assert done.returncode == 0, done.stderr.decode()
    return out, done


def test_a_folder_with_a_table_of_segments(run):
    out, done = run
    notes = done.stderr.decode()
    assert done.stdout == b""
    assert "3 classes, 24 windows of 4 clips, 12 to validate on" in notes
    assert "epoch 6/6" in notes
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
    metrics = {row["metric"]: row["value"] for row in json.loads(scored.stdout)}
    history = json.loads((out / "history.json").read_text())
    best = max(history, key=lambda row: row["score"])
    assert metrics["accuracy"] == pytest.approx(best["val_accuracy"])  # as measured while training
    assert metrics["macro_f1"] == pytest.approx(best["score"])


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
    words = ("-o", tmp_path / "run", "--masks", folder / "masks", *SMALL, "--epochs", "1")
    done = racctl("train", "recogniser", broken, *words)
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
    done = racctl("train", "recogniser", tmp_path / "mm", "-o", tmp_path / "run", *words, "--no-null")
    assert done.returncode == 0, done.stderr.decode()
    assert model_meta(tmp_path / "run/model.safetensors")["classes"] == ["push_up", "squat"]
    assert "w14" not in done.stderr.decode()


def test_an_interrupted_run_goes_on(folder, tmp_path):
    words = [folder, "-o", tmp_path / "run", "--masks", folder / "masks", *SMALL, "--epochs", "400"]
    started = subprocess.Popen([RACCTL, "train", "recogniser", *map(str, words)], stderr=subprocess.PIPE)
    end = time.monotonic() + 120
    while not (tmp_path / "run/resume.pt").is_file() and time.monotonic() < end:
        time.sleep(0.1)
    started.send_signal(signal.SIGINT)
    notes = started.communicate(timeout=60)[1].decode()
    assert started.returncode == 130, notes
    assert "Traceback" not in notes
    assert not [path for path in (tmp_path / "run").iterdir() if path.suffix == ".tmp"]
    state = torch.load(tmp_path / "run/resume.pt", weights_only=True)["state"]
    assert 0 < state["epoch"] < 400


def training(folder, model="mcat", **options) -> RecogniserTraining:
    """A recogniser of small pictures."""
    settings = TRAINABLE_RECOGNISERS.load(model).Settings
    return RecogniserTraining(str(folder), model, settings(**{"masks": str(folder / "masks"), "size": 16, **options}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "resnet"}, "no such recogniser 'resnet'"),
        ({"fusion": "none"}, "fusion 'none' takes one stream"),
        ({"fusion": "sum"}, "invalid value 'sum' for '--fusion'; expected one of cross, concat, add, none"),
        ({"input": "rgb"}, "invalid value 'rgb' for '--input'; expected one of both, raw, mask, pose"),
        ({"size": 20}, "invalid value '20' for '--size'; expected a multiple of 8"),
        ({"crop": "tight"}, "invalid value 'tight' for '--crop'; expected one of frame, person"),
        ({"width": 36}, "invalid value '36' for '--width'; expected a multiple of 8"),
        ({"model": "mlp", "input": "pose"}, "invalid value 'pose' for '--input'; expected one of both, raw, mask"),
        ({"input": "pose", "pose": True}, "no second prior"),
        ({"val_split": "train"}, "'--val-split train' is what is trained on"),
        ({"init": ("a", "b")}, "begins with one file"),
    ],
)
def test_settings_that_mean_nothing_are_said_before_the_work(options, message, folder):
    with pytest.raises(UsageError, match=message):
        training(folder, **options)


def test_the_settings_of_another_model_are_refused(folder):
    settings = TRAINABLE_RECOGNISERS.load("mcat").Settings()
    with pytest.raises(UsageError, match="invalid settings for 'mlp'; expected RecogniserSettings"):
        RecogniserTraining(str(folder), "mlp", settings)
    with pytest.raises(TypeError, match="layers"):
        TRAINABLE_RECOGNISERS.load("mlp").Settings(layers=9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train_split": "holdout"}, "no clip in the split 'holdout'"),
        ({"masks": "/nowhere"}, "/nowhere"),
        ({"pose": True}, "has no pose"),
    ],
)
def test_data_that_lacks_something(options, message, folder, tmp_path):
    with pytest.raises(DataError, match=message):
        train_model(training(folder, **options), Recipe(epochs=1), RunSettings(tmp_path / "run", "cpu"))


def test_what_the_command_refuses(folder, tmp_path):
    for words, message in (
        (["--tempo", "2-1"], "invalid value '2-1' for '--tempo'; expected LOW-HIGH"),
        (["--device", "tpu"], "invalid value 'tpu' for '--device'"),
        (["--rate", "nan"], "invalid value 'nan' for '--rate'; expected a positive number"),
    ):
        assert message in one_line(racctl("train", "recogniser", folder, "-o", tmp_path / "run", *words), 2)


@pytest.mark.parametrize(
    ("words", "form"),
    [
        (["set", "-o", "run", "--model", "d2stx"], "racctl train counter DATA -o DIR"),
        (["--model=ctrgcn", "set", "-o", "run"], "racctl train encoder DATA -o DIR"),
        (["set", "-o", "run", "--model", "mlp"], "racctl train recogniser DATA -o DIR"),
        (["recognizer", "set"], "racctl train recogniser DATA -o DIR"),
    ],
)
def test_a_command_line_without_the_kind_of_model_is_told_the_command(capsys, words, form):
    code, message = in_process(capsys, "train", *words)
    assert code == 2 and len(message.splitlines()) == 1
    assert message.startswith(f"racctl train: no such command '{words[0]}' of 'racctl train'; expected recogniser, ")
    assert f"as in '{form}'" in message


def test_no_data_set(tmp_path):
    assert "does not exist" in one_line(racctl("train", "recogniser", tmp_path / "none", "-o", tmp_path), 1)


def test_the_defaults_are_the_papers():
    """Section 4.2: AdamW at 3e-4 with decay 1e-4 and betas 0.9, 0.999, 30 epochs of batches of 32."""
    recipe = Recipe()
    assert (recipe.rate, recipe.weight_decay, recipe.betas) == (3e-4, 1e-4, (0.9, 0.999))
    assert (recipe.epochs, recipe.batch) == (30, 32)
    look = RecogniserTraining("set", "mcat", TRAINABLE_RECOGNISERS.load("mcat").Settings()).look
    assert (look.size, look.rate, look.window, look.stride, look.crop) == (112, 30.0, 16, 8, "frame")
