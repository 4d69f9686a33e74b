"""racctl train: labelled clips to a model.

DATA
A folder that 'racctl synth' wrote, MM-Fit's folder with your own videos (--videos), or a CSV of segments with columns
clip, start, stop, label and perhaps split, beside its videos. Masks and poses come with synth's sets; for others make
them first and name their folders: 'racctl mask -o masks/ *.mp4', 'racctl pose -o poses/ *.mp4'. Without a split, 15 %
of the clips are kept apart for validation. A counter learns from features instead; see racctl-train-counter(1). Where a
table has counts alone, its repetitions are taken to fill the clip evenly, as Countix' published ones do.

WHAT IS WRITTEN
DIR/model.safetensors, the weights of the epoch with the best score on the validation clips (of the last epoch where
there are none), with everything in its header that 'racctl classify --model', 'racctl encode --weights' or 'racctl
count --model' needs. DIR/resume.pt, history.json, TensorBoard logs (with racctl[train]) and the cache of decoded clips.
The same command goes on with a run that was interrupted, and ends with the same weights as one that was not.

SEVERAL GPUS OR MACHINES
torchrun --nproc-per-node 4 -m racctl train recogniser DATA -o DIR
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from racctl.cli.app import ToolGroup
from racctl.cli.choices import refuse_typed
from racctl.cli.options import Device, Threads
from racctl.cli.settings import with_members, with_settings
from racctl.training.train_settings import (
    TRAINABLE_COUNTERS,
    TRAINABLE_ENCODERS,
    TRAINABLE_RECOGNISERS,
    CounterSettings,
    Recipe,
    RecogniserSettings,
    TrainingSettings,
)

Data = Annotated[str, typer.Argument(metavar="DATA", show_default=False, help="Labelled clips: a folder or a table.")]
Counted = Annotated[
    str,
    typer.Argument(metavar="DATA", show_default=False, help="Counted clips: a folder of 'racctl synth', or a table."),
]
Out = Annotated[
    str, typer.Option("-o", "--output", metavar="DIR", show_default=False, help="Write model, logs and state here.")
]
Recogniser = Annotated[
    str, typer.Option("--model", metavar="|".join(TRAINABLE_RECOGNISERS.names()), help="Choose the model.")
]
Encoder = Annotated[
    str, typer.Option("--model", metavar="|".join(TRAINABLE_ENCODERS.names()), help="Choose the model.")
]
Counter = Annotated[
    str, typer.Option("--model", metavar="|".join(TRAINABLE_COUNTERS.names()), help="Choose the model.")
]


@with_settings(recipe=Recipe)
@with_members(TRAINABLE_RECOGNISERS, choose="model")
def recogniser(
    context: typer.Context,
    data: Data,
    output: Out,
    model: Recogniser = "mcat",
    device: Device = "auto",
    threads: Threads = 0,
    recipe: Any = None,
    settings: Any = None,
) -> None:
    """Train an exercise recogniser for 'racctl classify'.

    mcat is the Mask Cross-Attention Transformer; --input, --fusion and --layers are its paper's ablations. mlp, lstm,
    tcn, transformer and vivit are the paper's baselines. --pose gives mcat the joints as a second prior, --tempo plays
    windows faster and slower, --crop person cuts out the person first: these three are not in the paper. With --input
    pose, --layouts and --flat take joints and depth away, as other skeletons do, and --patch puts several frames into
    one token.

    Clips with the label 'invented' or 'unknown' (--outliers) are learned as what is none of the exercises. With them or
    without, the model is calibrated on the validation clips, so that 'racctl classify' can say 'unknown'.

    The defaults are the paper's: windows of 16 frames of 112x112 pixels, AdamW, 30 epochs, classes weighted by their
    effective number. The weights with the best macro-F1 are kept.

    Example: racctl train recogniser clips -o run --epochs 30
    """
    _refuse_idle_of_recogniser(context, settings)
    _check_files(data, output, settings, [settings.videos, settings.masks, settings.poses])
    from racctl.training.train_recogniser import RecogniserTraining

    _train(RecogniserTraining(data, model, settings), recipe, output, device, threads)


@with_settings(recipe=Recipe)
@with_members(TRAINABLE_ENCODERS, choose="model")
def encoder(
    context: typer.Context,
    data: Data,
    output: Out,
    model: Encoder = "ctrgcn",
    device: Device = "auto",
    threads: Threads = 0,
    recipe: Any = None,
    settings: Any = None,
) -> None:
    """Train an encoder of joints or pictures for 'racctl encode'.

    ctrgcn (joints) and silhouette (a person cut out of the picture, grayscale and mask) give tokens of windows of 64
    frames at 30 frames/s. They learn to name the exercise, to count (--objective), or both; counting needs a set of
    'racctl synth', which says when each repetition is. --width is 256 in the CTR-GCN paper.

    The weights with the best mean of macro-F1 and of the correlation of true and predicted repetitions are kept.

    Example: racctl train encoder clips -o encoder --model silhouette
    """
    del context
    _check_files(data, output, settings, [settings.videos, settings.masks, settings.poses])
    from racctl.training.train_encoder import EncoderTraining

    _train(EncoderTraining(data, model, settings), recipe, output, device, threads)


@with_settings(recipe=Recipe)
@with_members(TRAINABLE_COUNTERS, choose="model")
def counter(
    context: typer.Context,
    data: Counted,
    output: Out,
    model: Counter = "d2stx",
    device: Device = "auto",
    threads: Threads = 0,
    recipe: Any = None,
    settings: Any = None,
) -> None:
    """Train a repetition counter for 'racctl count'.

    It learns from features: --features names the folder that 'racctl encode -o DIR/' filled. DATA is a set of 'racctl
    synth', or an annotation table with --val-data for the table to validate on. --preset paper has the sizes of the
    model's paper and takes tokens of 8 frames, small is what two cores can train and takes 4.

    d2stx is the dual-branch counter. Its branches learn first, then the fusion on branches that stand still; --joint
    trains all at once. Branches that were trained by themselves (--branches pose, on a larger set perhaps) are fused by
    naming both with --init: only the fusion learns then. A branch that is not among them begins with the decoder of the
    other. --guide, --decision fixed and --fusion coupled are the paper's comparisons.

    escounts, transrac and skimfocus are the systems it is compared with, on the tokens of the video or, with --branches
    pose, of the joints. --similarity, --matrix-drop, --neighbours and --scale-fusion add HTRM-Net's parts to transrac.

    The weights with the best OBO less MAE are kept.

    Example: racctl train counter clips --features features -o counter
    """
    _refuse_idle_of_counter(context, settings)
    _check_files(data, output, settings, [settings.features, settings.val_data, settings.val_features])
    from racctl.training.train_counter import CounterTraining

    _train(CounterTraining(data, model, settings), recipe, output, device, threads)


def _refuse_idle_of_recogniser(context: typer.Context, settings: RecogniserSettings) -> None:
    """Raise UsageError for an option on the command line that has no effect beside the others."""
    of_pictures = ["--size", "--crop", "--fusion", "--pose"]
    refuse_typed(context, settings.input == "pose", of_pictures, "'--input pose' looks at the joints alone")
    refuse_typed(context, not settings.has_joints, ["--minmax"], "the model sees no joints")


def _refuse_idle_of_counter(context: typer.Context, settings: CounterSettings) -> None:
    """Raise UsageError for an option on the command line that has no effect beside the others."""
    branch = settings.branches
    of_fusion = ["--fusion", "--guide", "--decision"]
    refuse_typed(context, branch != "both", of_fusion, f"one branch, '{branch}', has nothing to be fused with")


def _check_files(data: str, output: str, settings: TrainingSettings, named: list[str]) -> None:
    """Raise DataError for a file that is not there, UsageError for one that would be read and overwritten."""
    from pathlib import Path

    from racctl.cli.clip_plan import check_there
    from racctl.cli.targets import refuse_overwriting

    check_there(data, *named, *settings.init)
    refuse_overwriting(settings.init, *(str(Path(output, name)) for name in ("model.safetensors", "resume.pt")))


def _train(training: Any, recipe: Recipe, output: str, device: str, threads: int) -> None:
    """Train and write, with progress bars."""
    from pathlib import Path

    from racctl.cli.batch import network_threads
    from racctl.cli.console import note, progress
    from racctl.training.train_model import Reports, RunSettings, train_model

    run = RunSettings(Path(output), device, network_threads(threads))
    with progress("reading", "clips") as reading, progress("training", "batches") as learning:
        train_model(training, recipe, run, Reports(note, reading, learning))


def new_form(words: list[str]) -> str:
    """Return the command that a command line without the kind of model stands for."""
    commands = dict.fromkeys(TRAINABLE_ENCODERS.names(), "encoder") | dict.fromkeys(
        TRAINABLE_COUNTERS.names(), "counter"
    )
    models = [word.removeprefix("--model=") for word in words]
    command = next((commands[model] for model in models if model in commands), "recogniser")
    return f"racctl train {command} DATA -o DIR"


train = ToolGroup(
    """Train an exercise recogniser, an encoder, or a repetition counter.

    A run that was interrupted goes on where it stopped.

    Example: racctl train recogniser clips -o run --epochs 30
    """,
    {"recogniser": recogniser, "encoder": encoder, "counter": counter},
    new_form,
)
