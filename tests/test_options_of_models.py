"""An option that the chosen model does not have is refused by name, also where it is given its default value."""

from __future__ import annotations

import pytest
import typer.main
from clips import plain, write_clip
from commands import in_process
from poses import swinging_pose

from racctl.cli import app
from racctl.cli.choices import refuse_unknown_word
from racctl.cli.streams import FORMATS
from racctl.counters.count_clip import count
from racctl.data.base import DATA_SETS
from racctl.data.published import SPLIT_SPELLINGS
from racctl.encoders.base import NONE, POSE_ENCODERS, VIDEO_ENCODERS
from racctl.encoders.encode_set import LAYOUTS
from racctl.errors import UsageError
from racctl.estimators import silhouettes, yolo
from racctl.estimators.blazepose import BUNDLES
from racctl.estimators.mask import PERSONS
from racctl.io.npz import pose_bytes
from racctl.kinds import load_target
from racctl.models.catalog import MODELS
from racctl.recognisers.inputs import CROPS
from racctl.tools import train
from racctl.training.count_run import PRESETS
from racctl.training.encoders import OBJECTIVES

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


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "a.mp4", plain(10, 64, 48))
    write_clip(tmp_path / "b.mp4", plain(10, 64, 48))
    (tmp_path / "p.npz").write_bytes(
        pose_bytes(swinging_pose(60, meta={"clip": "a", "topology": "blazepose33", "steps": []}))
    )
    (tmp_path / "q.npz").write_bytes(pose_bytes(swinging_pose(60)))
    (tmp_path / "segments.csv").write_text("clip,start,stop,label\na,0,1,squat\n")
    return tmp_path


IDLE = [
    ("count p.npz --pose-model lite", "--pose-model"),
    ("count a.mp4 --overlay o.mp4 --video b.mp4", "--video"),
    ("count p.npz --model d2stx --video a.mp4", "--video"),
    ("classify p.npz --windows --smooth 2", "--smooth"),
    ("classify p.npz --whole --smooth 1", "--smooth"),
    ("classify p.npz --mask-model selfie", "--mask-model"),
    ("classify p.npz --pose q.npz", "--pose"),
    ("classify --dataset segments.csv --mask-model selfie", "--mask-model"),
    ("classify --dataset segments.csv --masks .", "--masks"),
    ("encode p.npz --encoder none --seed 1 -o o.npz", "--seed"),
    ("encode p.npz --encoder none --mask-model selfie -o o.npz", "--mask-model"),
    ("encode p.npz --encoder none --pose-model lite -o o.npz", "--pose-model"),
    ("encode a.mp4 --pose-encoder none --pose-model full -o o.npz", "--pose-model"),
    ("encode p.npz --encoder none --reps segments.csv --window 32 -o o.npz", "--window"),
    ("encode --dataset repcount --root . --split test --exemplars --rate 15 -o out", "--rate"),
    ("synth --list --clips 3", "--clips"),
    ("synth --protocol --classes squat --out s", "--classes"),
    ("synth --seconds 9 --out s", "--seconds"),
    ("train segments.csv -o run --input pose --size 64", "--size"),
    ("train segments.csv -o run --input pose --masks .", "--masks"),
    ("train segments.csv -o run --minmax 0.5", "--minmax"),
    ("train . -o run --model d2stx --features . --branches pose --guide video", "--guide"),
    ("train . -o run --model d2stx --features . --branches video --decision fixed", "--decision"),
]


@pytest.mark.usefixtures("desk")
@pytest.mark.parametrize(("line", "option"), IDLE)
def test_an_option_without_effect_is_refused_by_name(capsys, line, option):
    code, said = in_process(capsys, *line.split())
    assert code == 2 and f"'{option}'" in said, said
    assert len(said.splitlines()) == 1


@pytest.mark.usefixtures("desk")
def test_features_are_of_one_person_and_need_no_video(capsys):
    assert in_process(capsys, *["encode", "p.npz", "--encoder", "none", "--rate", "15", "-o", "f.npz"])[0] == 0
    for words in (("--person", "3"), ("--video", "a.mp4")):
        code, said = in_process(capsys, "count", "f.npz", "--model", "d2stx", *words)
        assert code == 2 and words[0] in said, said


@pytest.mark.usefixtures("desk")
def test_the_library_refuses_a_video_that_nothing_looks_at():
    for model in ("combined", "periodicity", "d2stx"):
        with pytest.raises(UsageError, match="looks at the pose alone"):
            count("p.npz", model, video="a.mp4")


ACCEPTED = {  # what the library takes, which the command line must let through
    ("mask", "--model"): [*silhouettes.MASK_MODEL_KINDS, "selfie", *yolo.WEIGHTS],
    ("mask", "--person"): PERSONS,
    ("mask", "--size"): ["full", "112x112"],
    ("pose", "--model"): BUNDLES,
    ("count", "--pose-model"): BUNDLES,
    ("encode", "--encoder"): [*VIDEO_ENCODERS.names(), NONE],
    ("encode", "--pose-encoder"): [NONE, *POSE_ENCODERS.names()],
    ("encode", "--layout"): LAYOUTS,
    ("encode", "--dataset"): DATA_SETS.names(),
    ("encode", "--split"): [name for names in SPLIT_SPELLINGS.values() for name in names],
    ("encode", "--mask-model"): [*silhouettes.MASK_MODEL_KINDS, "selfie"],
    ("train", "--model"): MODELS,
    ("train", "--objective"): OBJECTIVES,
    ("train", "--crop"): CROPS,
    ("train", "--preset"): PRESETS,
    ("train", "--device"): ["auto", "cpu", "cuda", "cuda:1", "mps"],
    ("score", "--format"): FORMATS,
}


@pytest.mark.parametrize(("tool", "option"), ACCEPTED)
def test_every_value_that_the_library_takes_is_let_through(tool, option):
    function = load_target(app.find_tools()[tool])
    command = typer.main.get_command(app.build({tool: function})).commands[tool]
    (parameter,) = [parameter for parameter in command.params if option in parameter.opts]
    for value in ACCEPTED[tool, option]:
        refuse_unknown_word(parameter, value)
