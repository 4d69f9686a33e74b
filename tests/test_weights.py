"""The weights that ship: small, sound, with a card that names them, and usable without anything else."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from clips import bouncing, write_clip
from commands import racctl

from racctl.io.checkpoint import digest, read_model
from racctl.io.parquet import read_table
from racctl.models.catalog import ENCODER_MODELS, built, configured
from racctl.training.train_encoder import encoder_look, frames_shown
from racctl.weights import FOLDER, embedded, names


@pytest.mark.parametrize("name", names())
def test_every_file_has_a_card_that_names_its_digest_and_how_it_was_made(name):
    path = embedded(name)
    with open(path, "rb") as file:
        meta, tensors = read_model(file, name)
    card = (FOLDER / f"{name}.md").read_text()
    assert digest(tensors) in card
    for part in ("## Data", "## Training", "## Measured", "## Licence", "racctl train", "racctl synth", "--seed"):
        assert part in card, part
    assert meta["licence"] == "MIT"
    assert path.stat().st_size < 10 << 20
    model = built(meta["model"], configured(meta["model"], meta["config"]))
    model.load_state_dict(tensors)


@pytest.mark.parametrize("name", [name for name in names() if name in ENCODER_MODELS])
def test_an_encoder_is_fed_as_its_header_says_and_counts(name):
    with open(embedded(name), "rb") as file:
        meta, tensors = read_model(file, name)
    look = replace(encoder_look(name, meta["input"]["stride"]), smooth=meta["input"].get("smooth", 0.0))
    assert meta["input"] == {**look.header(), "sampled": frames_shown(name, look)}
    assert meta["config"]["density"] and {"background", "squat"} < set(meta["classes"])
    assert all(tensor.isfinite().all() for tensor in tensors.values())
    if name == "silhouette":
        assert "no replacement for Kinetics weights" in (FOLDER / f"{name}.md").read_text()


def test_nothing_is_embedded_without_weights():
    assert embedded("nothing") is None
    assert {path.stem for path in FOLDER.glob("*.md")} == set(names())


def test_a_pose_through_a_pipe(tmp_path):
    clip = write_clip(tmp_path / "bounce.mp4", bouncing(60, 20), fps=30)
    pose = racctl("pose", clip)
    done = racctl("classify", stdin=pose.stdout)
    assert done.returncode == 0, done.stderr.decode()
    meta, table = read_table(io.BytesIO(done.stdout), "out")
    assert "squat" in meta["classes"] and meta["clip"] == "bounce"
    assert table.column("start").to_pylist()[0] == 0
    assert table.column("stop").to_pylist()[-1] == 60


def test_weights_are_in_the_provenance(tmp_path):
    clip = write_clip(tmp_path / "bounce.mp4", bouncing(40, 20), fps=30)
    done = racctl("classify", clip, "--format", "json")
    assert done.returncode == 0, done.stderr.decode()
    assert all(0 <= row["prob"] <= 1 for row in json.loads(done.stdout))
