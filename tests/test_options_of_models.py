"""An option that the chosen model does not have is refused by name, also where it is given its default value."""

from __future__ import annotations

import pytest
import typer.main
from commands import in_process
from poses import swinging_pose

from racctl.cli import app
from racctl.io.npz import pose_bytes
from racctl.models.catalog import MODELS
from racctl.tools import train

VALUES = {  # of each option a value that its model takes
    "--input": "both", "--fusion": "cross", "--layers": "4", "--width": "256", "--objective": "both", "--crop": "frame",
    "--size": "112",
    "--window": "16", "--stride": "8", "--tempo": "1-1", "--drop": "0", "--videos": "v", "--masks": "m",
    "--poses": "p", "--cache": "c", "--features": "f", "--val-data": "d", "--val-features": "f", "--preset": "small",
    "--branches": "both", "--guide": "both", "--decision": "learned", "--shots": "2", "--chain": "1", "--minmax": "0",
}  # fmt: skip
FLAGS = ("--pose", "--null", "--joint")
FOREIGN = [(model, option) for option, models in train.OWNERS.items() for model in MODELS if model not in models]


def test_the_tables_name_what_there_is():
    command = typer.main.get_command(app.build({"train": train.train})).commands["train"]
    options = {parameter.opts[0] for parameter in command.params}
    assert set(train.OWNERS) <= options and set(train.OWNERS) == {*VALUES, *FLAGS}
    assert {*train.RECOGNISERS, *train.ENCODERS, *train.COUNTER} == set(MODELS)


@pytest.mark.parametrize(("model", "option"), FOREIGN)
def test_train_refuses_an_option_of_another_model(tmp_path, capsys, model, option):
    value = [] if option in FLAGS else [VALUES[option]]
    words = ["train", tmp_path, "-o", tmp_path / "run", "--model", model, option, *value]
    code, said = in_process(capsys, *words)
    assert code == 2 and f"'--model {model}' has no option '{option}'" in said
    assert len(said.splitlines()) == 1 and not (tmp_path / "run").exists()


def test_the_negative_of_a_flag_is_the_same_option(tmp_path, capsys):
    code, said = in_process(capsys, "train", tmp_path, "-o", tmp_path / "run", "--model", "d2stx", "--no-null")
    assert code == 2 and "has no option '--null'" in said


@pytest.mark.parametrize("model", ["combined", "periodicity"])
def test_count_refuses_a_video_that_nothing_looks_at(tmp_path, capsys, model):
    pose = tmp_path / "p.npz"
    pose.write_bytes(pose_bytes(swinging_pose()))
    code, said = in_process(capsys, "count", pose, "--model", model, "--video", pose)
    assert code == 2 and "looks at the pose alone" in said
