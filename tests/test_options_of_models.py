"""An option that the chosen model does not have is refused by name, also where it is given its default value."""

from __future__ import annotations

from typing import Any

import pytest
import typer.main
from clips import plain, write_clip
from commands import in_process
from poses import swinging_pose

from racctl.cli import app
from racctl.cli.choices import refuse_unknown_word
from racctl.cli.settings import option_fields, option_name
from racctl.cli.streams import FORMATS
from racctl.counters.count_clip import count
from racctl.data.base import DATA_SETS
from racctl.data.published import SPLIT_SPELLINGS
from racctl.encoders.base import LAYOUTS, NONE, POSE_ENCODERS, VIDEO_ENCODERS
from racctl.errors import UsageError
from racctl.estimators.base import MASK_ESTIMATORS, POSE_ESTIMATORS
from racctl.estimators.mask import PERSONS
from racctl.io.npz import pose_bytes
from racctl.kinds import load_target
from racctl.models.catalog import ENCODER_MODELS, MODELS, RECOGNISER_MODELS
from racctl.models.d2stx import D2STX_BRANCHES, D2STX_FUSIONS, DECISIONS, GUIDES
from racctl.models.mcat import MCAT_FUSIONS, MCAT_INPUTS
from racctl.recognisers.inputs import CROPS
from racctl.training.train_counter import PRESETS
from racctl.training.train_settings import TRAINABLE_COUNTERS, TRAINABLE_ENCODERS, TRAINABLE_RECOGNISERS, Recipe

COMMANDS = {"recogniser": TRAINABLE_RECOGNISERS, "encoder": TRAINABLE_ENCODERS, "counter": TRAINABLE_COUNTERS}
SETTINGS = {(command, model): kind.load(model).Settings for command, kind in COMMANDS.items() for model in kind.names()}


def options_of(settings: type) -> dict[str, list[str]]:
    """Return a dataclass's options, each as it is typed with its own default, or with some word."""
    return {
        option_name(entry): [] if isinstance(entry.default, bool) else [_typed(entry.default)]
        for entry in option_fields(settings)
    }


def _typed(default: object) -> str:
    return str(default) if isinstance(default, int | float) or default else "word"


OPTIONS = {key: options_of(settings) for key, settings in SETTINGS.items()}
FOREIGN = sorted(
    (command, model, option)
    for command, model in OPTIONS
    for option in set().union(*OPTIONS.values()) - set(OPTIONS[command, model])
)


def command_of(*words: str) -> Any:
    """Return the click command that these words name."""
    command: Any = typer.main.get_command(app.build({words[0]: load_target(app.find_tools()[words[0]])}))
    for word in words:
        command = command.commands[word]
    return command


def test_every_model_can_be_trained():
    assert [model for _, model in SETTINGS] == list(MODELS)
    assert len(FOREIGN) > 100 and ("counter", "d2stx", "--layers") in FOREIGN
    assert ("recogniser", "mlp", "--layers") in FOREIGN and ("encoder", "silhouette", "--minmax") in FOREIGN


@pytest.mark.parametrize(("command", "model"), SETTINGS)
def test_each_command_has_the_options_of_its_models_only(command, model):
    options = {parameter.opts[0] for parameter in command_of("train", command).params}
    assert set(OPTIONS[command, model]) <= options
    of_all = {option for key, names in OPTIONS.items() if key[0] == command for option in names}
    shared = {"data", "--output", "--model", "--device", "--threads", "--quiet", "--debug", *options_of(Recipe)}
    assert options - {"-o", "-q"} <= of_all | shared


@pytest.mark.parametrize(("command", "model", "option"), FOREIGN)
def test_train_refuses_an_option_of_another_model(tmp_path, capsys, command, model, option):
    owners = [key for key in OPTIONS if option in OPTIONS[key]]
    value = OPTIONS[min(owners, key=lambda key: key[0] != command)][option]
    words = ["-o", tmp_path / "run", "--model", model, option, *value]
    code, message = in_process(capsys, "train", command, tmp_path, *words)
    assert code == 2 and f"{option}" in message
    assert "has no option" in message or "no such option" in message, message
    assert len(message.splitlines()) == 1 and not (tmp_path / "run").exists()


def test_the_negative_of_a_flag_is_the_same_option(tmp_path, capsys):
    (null,) = [parameter for parameter in command_of("train", "encoder").params if parameter.name == "null"]
    assert (null.opts, null.secondary_opts, null.default) == (["--null"], ["--no-null"], True)
    code, message = in_process(capsys, "train", "counter", tmp_path, "-o", tmp_path / "run", "--no-null")
    assert code == 2 and "no such option: --no-null" in message


def test_a_pair_is_one_option_and_a_list_may_come_several_times():
    parameters = {parameter.name: parameter for parameter in command_of("train", "recogniser").params}
    assert not parameters["tempo"].multiple and parameters["init"].multiple


@pytest.mark.parametrize("model", ["combined", "periodicity"])
def test_count_refuses_a_video_that_nothing_looks_at(tmp_path, capsys, model):
    pose = tmp_path / "p.npz"
    pose.write_bytes(pose_bytes(swinging_pose()))
    code, message = in_process(capsys, "count", pose, "--model", model, "--video", pose, "--branches", "pose")
    assert code == 2 and "looks at the pose alone" in message


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
    ("count p.npz --model d2stx --branches pose --video a.mp4", "--video"),
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
    ("encode p.npz --encoder none --split test -o o.npz", "--split"),
    ("encode p.npz --encoder none --exclude-known-bad -o o.npz", "--exclude-known-bad"),
    ("classify p.npz --cache .", "--cache"),
    ("encode --dataset repcount --root . --split test --exemplars --rate 15 -o out", "--rate"),
    ("synth --list --clips 3", "--clips"),
    ("synth --protocol --classes squat --out s", "--classes"),
    ("synth --seconds 9 --out s", "--seconds"),
    ("train recogniser segments.csv -o run --input pose --size 64", "--size"),
    ("train recogniser segments.csv -o run --input pose --masks .", "--masks"),
    ("train recogniser segments.csv -o run --minmax 0.5", "--minmax"),
    ("train counter . -o run --features . --branches pose --guide video", "--guide"),
    ("train counter . -o run --features . --branches video --decision fixed", "--decision"),
]


@pytest.mark.usefixtures("desk")
@pytest.mark.parametrize(("line", "option"), IDLE)
def test_an_option_without_effect_is_refused_by_name(capsys, line, option):
    code, message = in_process(capsys, *line.split())
    assert code == 2 and f"'{option}'" in message, message
    assert len(message.splitlines()) == 1


@pytest.mark.usefixtures("desk")
def test_features_are_of_one_person_and_need_no_video(capsys):
    assert in_process(capsys, *["encode", "p.npz", "--encoder", "none", "--rate", "15", "-o", "f.npz"])[0] == 0
    for words in (("--person", "3"), ("--video", "a.mp4")):
        code, message = in_process(capsys, "count", "f.npz", "--model", "d2stx", *words)
        assert code == 2 and words[0] in message, message


@pytest.mark.usefixtures("desk")
def test_the_library_refuses_a_video_that_nothing_looks_at():
    for model, settings in (
        ("combined", {"branches": "pose"}),
        ("periodicity", {"branches": "pose"}),
        ("d2stx", {"branches": "pose"}),
    ):
        with pytest.raises(UsageError, match="looks at the pose alone"):
            count("p.npz", model, video="a.mp4", **settings)


ACCEPTED = {  # what the library takes, which the command line must let through
    ("mask", "--model"): MASK_ESTIMATORS.names(),
    ("mask", "--person"): PERSONS,
    ("mask", "--size"): ["full", "112x112"],
    ("pose", "--model"): POSE_ESTIMATORS.names(),
    ("count", "--pose-model"): POSE_ESTIMATORS.names(),
    ("encode", "--encoder"): [*VIDEO_ENCODERS.names(), NONE],
    ("encode", "--pose-encoder"): [NONE, *POSE_ENCODERS.names()],
    ("encode", "--layout"): LAYOUTS,
    ("encode", "--dataset"): DATA_SETS.names(),
    ("encode", "--split"): [name for names in SPLIT_SPELLINGS.values() for name in names],
    ("encode", "--mask-model"): MASK_ESTIMATORS.names(),
    ("train recogniser", "--model"): RECOGNISER_MODELS,
    ("train recogniser", "--crop"): CROPS,
    ("train recogniser", "--fusion"): MCAT_FUSIONS,
    ("train recogniser", "--input"): MCAT_INPUTS,
    ("train encoder", "--model"): ENCODER_MODELS,
    ("train counter", "--preset"): PRESETS["d2stx"],
    ("train counter", "--branches"): D2STX_BRANCHES,
    ("train counter", "--guide"): GUIDES,
    ("train counter", "--fusion"): D2STX_FUSIONS,
    ("train counter", "--decision"): DECISIONS,
    ("train counter", "--device"): ["auto", "cpu", "cuda", "cuda:1", "mps"],
    ("score", "--format"): FORMATS,
}


@pytest.mark.parametrize(("tool", "option"), ACCEPTED)
def test_every_value_that_the_library_takes_is_let_through(tool, option):
    (parameter,) = [parameter for parameter in command_of(*tool.split()).params if option in parameter.opts]
    for value in ACCEPTED[tool, option]:
        refuse_unknown_word(parameter, value)
