"""racctl encode --moments: a whole clip at several scales, as TransRAC looks at it, and the counter that learns it."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch
from clips import bouncing, write_clip
from commands import in_process, one_line, racctl
from torch import nn

from racctl.encoders.base import EncodeOptions
from racctl.encoders.encode_clip import encode_clip
from racctl.encoders.kinetics import NETWORKS, KineticsLook
from racctl.encoders.moments import SCALES
from racctl.encoders.pair import load_encoders
from racctl.encoders.tokens import sequence
from racctl.estimators.open_clip import open_clip
from racctl.io.npz import read_features
from racctl.video.losses import Losses

MOMENTS = 16
LOOK = KineticsLook((64, 64), 64, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), turned=True)
OPTIONS = EncodeOptions("swin3d_t", "none", random=True, moments=MOMENTS)
WORDS = ("encode", "--encoder", "swin3d_t", "--pose-encoder", "none", "--random-weights", "--moments", MOMENTS)


class Patches(nn.Module):
    """Stands for Swin-T: a token for two frames, frames of nothing after an odd number."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv3d(3, 6, (2, 32, 32), (2, 32, 32))

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        odd = clips.shape[2] % 2
        return self.embed(nn.functional.pad(clips, (0, 0, 0, 0, 0, odd)))


@pytest.fixture
def small_swin(monkeypatch):
    facts = replace(NETWORKS["swin3d_t"], build=Patches, presets={"small": LOOK}, channels=6)
    monkeypatch.setitem(NETWORKS, "swin3d_t", facts)


def encoded(path, options=OPTIONS):
    with open_clip(str(path)) as clip:
        return encode_clip(clip, load_encoders(options, torch.device("cpu")), options)


@pytest.mark.usefixtures("small_swin")
def test_every_scale_has_a_map_for_every_moment(tmp_path):
    video = write_clip(tmp_path / "a.mp4", bouncing(50, 10, 64))
    features = encoded(video)
    assert features.video.shape == (len(SCALES), 6, MOMENTS, 2, 2)
    assert features.start.tolist() == [0] * 3 and features.stop.tolist() == [50] * 3
    assert features.meta["span"] == "moments" and features.meta["scales"] == list(SCALES)
    with open_clip(str(video)) as clip:
        shown = [LOOK.pictures(clip.video, None)(frame) for frame in clip.frames(Losses())]
    seen = np.stack([shown[k * 50 // MOMENTS] for k in range(MOMENTS)])  # TransRAC's frames[i * L // 64]
    encoder = load_encoders(OPTIONS, torch.device("cpu")).video
    single = torch.cat([encoder(torch.from_numpy(seen[k : k + 1])[None]) for k in range(MOMENTS)], 2)[0]
    assert np.allclose(features.video[0], single, atol=2e-3)
    window = encoder(torch.from_numpy(seen[:8])[None])[0]  # of scale 8, the second begins with the first moment
    assert np.allclose(features.video[2][:, 4:8], window, atol=2e-3)
    blank = np.stack([LOOK.blank()] * 2)
    first = encoder(torch.from_numpy(np.concatenate([blank, seen[:2]]))[None])[0]
    assert np.allclose(features.video[1][:, :2], first, atol=1e-2)


@pytest.mark.usefixtures("small_swin")
def test_the_authors_preset_begins_the_third_scale_early(tmp_path, monkeypatch):
    facts = NETWORKS["swin3d_t"]
    monkeypatch.setitem(NETWORKS, "swin3d_t", replace(facts, presets={**facts.presets, "transrac": LOOK}))
    video = write_clip(tmp_path / "a.mp4", bouncing(50, 10, 64))
    clean, released = encoded(video).video, encoded(video, replace(OPTIONS, preset="transrac")).video
    assert np.array_equal(clean[:2], released[:2])
    clean, released = (tokens[2].reshape(6, MOMENTS // 4, 4, 2, 2) for tokens in (clean, released))  # by window
    assert np.allclose(clean[:, :, :-1], released[:, :, 1:], atol=2e-3)  # two moments are one token


def test_rows_and_columns_change_over_where_the_authors_do_it():
    upright = replace(LOOK, turned=False)
    assert "turned" not in upright.header() and LOOK.header()["turned"] is True


@pytest.mark.usefixtures("small_swin")
def test_the_tokens_of_moments_are_a_sequence(tmp_path):
    features = encoded(write_clip(tmp_path / "a.mp4", bouncing(9, 10, 64)))  # fewer frames than moments
    tokens = sequence(features, 4)
    assert tokens.video.shape == (MOMENTS, 18, 2, 2) and tokens.frame[[0, -1]].tolist() == [0, 9]
    assert np.array_equal(tokens.video[5].reshape(3, 6, 2, 2), features.video[:, :, 5])
    assert tokens.time[-1] == pytest.approx(9 / 25)


@pytest.mark.usefixtures("small_swin")
def test_a_counter_learns_from_moments_and_counts_them(tmp_path, capsys):
    for k in range(4):
        write_clip(tmp_path / f"c{k}.mp4", bouncing(40, 10 + 2 * k, 64))
    (tmp_path / "counts.csv").write_text("clip,count\n" + "".join(f"c{k},{4 - k % 2}\n" for k in range(4)))
    code, message = in_process(capsys, *WORDS, *sorted(tmp_path.glob("*.mp4")), "-o", f"{tmp_path}/f/")
    assert code == 0, message
    run = ("train", "counter", tmp_path / "counts.csv", "--features", tmp_path / "f", "--epochs", 1, "-o")
    assert racctl(*run, tmp_path / "run", "--model", "transrac").returncode == 0
    model = tmp_path / "run/model.safetensors"
    done = racctl("count", *sorted((tmp_path / "f").iterdir()), "--model", model, "--format", "csv")
    assert [row["clip"] for row in csv.DictReader(done.stdout.decode().splitlines())] == ["c0", "c1", "c2", "c3"]
    assert "for '--model transrac'" in one_line(racctl(*run, tmp_path / "no", "--model", "skimfocus"), 2)
    chained = racctl(*run, tmp_path / "no", "--model", "transrac", "--chain", 2)
    assert "without '--chain'" in one_line(chained, 2)
    windows = racctl("encode", tmp_path / "c0.mp4", "--pose-encoder", "none", "-o", tmp_path / "w.features.npz")
    assert windows.returncode == 0
    assert "made by another" in one_line(racctl("count", tmp_path / "w.features.npz", "--model", model), 1)
    with open(tmp_path / "f/c0.features.npz", "rb") as file:
        assert read_features(file, "c0").meta["steps"][-1]["args"]["moments"] == MOMENTS


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--moments", 6), "a multiple of 4"),
        (("--moments", 64, "--pose-encoder", "ctrgcn"), "add '--pose-encoder none'"),
        (("--moments", 64, "--encoder", "silhouette"), "has no option '--moments'"),
        (("--moments", 64, "--stride", 8), "'--stride'"),
        (("--moments", 64, "--layout", "escounts"), "'--layout'"),
        (("--moments", 64, "--reps", "r.parquet"), "'--reps'"),
        (("--moments", -4), "'--moments'"),
    ],
)
def test_what_goes_with_moments(tmp_path, words, message):
    base = {"--encoder": "swin3d_t", "--pose-encoder": "none"} | dict(zip(words[::2], words[1::2], strict=True))
    random = ("--random-weights",) if base["--encoder"] == "swin3d_t" else ()
    options = [word for pair in base.items() for word in pair]
    write_clip(tmp_path / "a.mp4", bouncing(9, 10, 64))
    (tmp_path / "r.parquet").touch()
    done = racctl("encode", tmp_path / "a.mp4", *options, *random, "-o", tmp_path / "f.npz", cwd=tmp_path)
    assert message in one_line(done, 2)
