"""racctl train: labelled clips to a model.

DATA
A folder that 'racctl synth' wrote, MM-Fit's folder with your own videos (--videos), or a CSV of segments with columns
clip, start, stop, label and perhaps split, beside its videos. Masks and poses come with synth's sets; for others make
them first and name their folders: 'racctl mask -o masks/ *.mp4', 'racctl pose -o poses/ *.mp4'. Without a split, 15 %
of the clips are kept apart for validation.

WHAT IS WRITTEN
DIR/model.safetensors, the weights of the epoch with the best macro-F1 on the validation clips (of the last epoch where
there are none), with everything in its header that 'racctl classify --model' or 'racctl encode --weights' needs.
DIR/resume.pt, history.json, TensorBoard logs (with racctl[train]) and the cache of decoded clips. The same command goes
on with a run that was interrupted, and ends with the same weights as one that was not.

RECOGNISERS
mcat is the Mask Cross-Attention Transformer; --input, --fusion and --layers are its paper's ablations. mlp, lstm, tcn,
transformer and vivit are the paper's baselines. --pose gives mcat the joints as a second prior, --tempo plays windows
faster and slower, --crop person cuts out the person first: these three are not in the paper.

ENCODERS
ctrgcn (joints) and silhouette (a person cut out of the picture, grayscale and mask) give tokens, for 'racctl encode':
windows of 64 frames at 30 frames/s. They learn to name the exercise, to count (--objective), or both; counting needs
a set of 'racctl synth', which says when each repetition is. --width is of the tokens, 256 in the CTR-GCN paper. The
score to keep weights by is the mean of macro-F1 and of the correlation of true and found repetitions per window.

THE COUNTER
d2stx learns to count from features: --features names the folder that 'racctl encode DATA -o DIR/' filled. DATA is a set
of 'racctl synth' or an annotation table, with --val-data for the table to validate on. --preset paper is 512 wide and
takes tokens of 8 frames, small is the embedded one's size and takes 4. The branches learn first, then the fusion on
branches that stand still; --joint trains all at once. Branches that were trained by themselves (--branches pose, on a
larger set perhaps) are fused by naming both with --init: only the fusion learns then. --guide, --decision fixed and
--fusion coupled are the paper's comparisons. The score to keep weights by is OBO less MAE.

SEVERAL GPUS OR MACHINES
torchrun --nproc-per-node 4 -m racctl.cli train DATA -o DIR
"""

from __future__ import annotations

from typing import Annotated

import typer

from racctl.cli.choices import read_range, refuse_options_of_others, refuse_typed
from racctl.cli.options import Device, Seed, Threads

RECOGNISERS = ("mcat", "mlp", "lstm", "tcn", "transformer", "vivit")
ENCODERS = ("ctrgcn", "silhouette")
COUNTER = ("d2stx",)
OWNERS = {
    "--input": RECOGNISERS,
    "--fusion": ("mcat", *COUNTER),
    "--layers": ("mcat", "tcn", "transformer", "vivit"),
    "--pose": ("mcat",),
    "--minmax": ("mcat", "ctrgcn"),
    "--objective": ENCODERS,
    **dict.fromkeys(("--crop", "--size", "--window"), RECOGNISERS),
    **dict.fromkeys(
        ("--width", "--stride", "--tempo", "--drop", "--null", "--videos", "--masks", "--poses", "--cache"),
        (*RECOGNISERS, *ENCODERS),
    ),
    **dict.fromkeys(
        (
            "--features", "--val-data", "--val-features", "--preset", "--branches", "--guide", "--decision", "--shots",
            "--chain", "--joint",
        ),
        COUNTER,
    ),
}  # fmt: skip

FUSIONS = {"mcat": ("cross", "concat", "add", "none"), "d2stx": ("decoupled", "coupled")}

Data = Annotated[str, typer.Argument(metavar="DATA", show_default=False, help="Labelled clips: a folder or a table.")]
Out = Annotated[
    str, typer.Option("-o", "--output", metavar="DIR", show_default=False, help="Write model, logs and state here.")
]
Model = Annotated[
    str,
    typer.Option(
        "--model", metavar="NAME", help="mcat, mlp, lstm, tcn, transformer, vivit; ctrgcn, silhouette; d2stx."
    ),
]
Input = Annotated[str, typer.Option("--input", metavar="both|raw|mask|pose", help="Grayscale and mask, or one alone.")]
Fusion = Annotated[
    str,
    typer.Option(
        "--fusion", metavar="NAME", show_default="cross; decoupled",
        help="How streams are joined: cross, concat, add or none by mcat, decoupled or coupled by d2stx.",
    ),
]  # fmt: skip
Layers = Annotated[int, typer.Option("--layers", metavar="N", min=1, max=64, help="Transformer or TCN layers.")]
Width = Annotated[int, typer.Option("--width", metavar="N", min=8, help="Of the tokens; a multiple of 8.")]
Pose = Annotated[bool, typer.Option("--pose", help="Joints as a second prior.")]
Objective = Annotated[
    str, typer.Option("--objective", metavar="label|density|both", help="What an encoder learns from.")
]
Crop = Annotated[
    str,
    typer.Option(
        "--crop", metavar="frame|person", show_default="frame", help="The whole picture, or about the person."
    ),
]
Size = Annotated[int, typer.Option("--size", metavar="PIXELS", help="Side of the square pictures.")]
Window = Annotated[
    int | None, typer.Option("--window", metavar="N", min=2, max=512, show_default="16", help="Frames in a window.")
]
Stride = Annotated[
    int | None,
    typer.Option("--stride", metavar="N", min=1, show_default="8; 16 for encoders", help="Frames between windows."),
]
Tempo = Annotated[
    str, typer.Option("--tempo", metavar="LOW-HIGH", help="Play training windows this many times as fast.")
]
Drop = Annotated[float, typer.Option("--drop", metavar="P", min=0, max=1, help="Chance that a stream is blank.")]
TrainSplit = Annotated[str, typer.Option("--train-split", metavar="NAME", help="Split to train on.")]
ValSplit = Annotated[str, typer.Option("--val-split", metavar="NAME", help="Split to validate on.")]
Null = Annotated[bool, typer.Option("--null/--no-null", help="Background as a class, or left out.")]
Epochs = Annotated[int, typer.Option("--epochs", metavar="N", min=1, help="Passes over the windows.")]
Batch = Annotated[int, typer.Option("--batch", metavar="N", min=1, help="Windows in a batch, of each process.")]
Rate = Annotated[float, typer.Option("--rate", metavar="X", help="Learning rate at the start, then a cosine.")]
Decay = Annotated[float, typer.Option("--weight-decay", metavar="X", help="Of AdamW.")]
Patience = Annotated[
    int, typer.Option("--patience", metavar="N", min=0, help="Stop after N epochs no better; 0: never.")
]
Precision = Annotated[str, typer.Option("--precision", metavar="auto|32|bf16", help="auto: bf16 on CUDA.")]
Videos = Annotated[
    str, typer.Option("--videos", metavar="DIR", show_default=False, help="Where the clips' videos are.")
]
Masks = Annotated[str, typer.Option("--masks", metavar="DIR", show_default=False, help="Where their masks are.")]
Poses = Annotated[str, typer.Option("--poses", metavar="DIR", show_default=False, help="Where their poses are.")]
Cache = Annotated[
    str, typer.Option("--cache", metavar="DIR", show_default=False, help="Keep decoded clips here, for several runs.")
]
Features = Annotated[
    str, typer.Option("--features", metavar="DIR", show_default=False, help="Of d2stx: where DATA's features are.")
]
ValData = Annotated[
    str, typer.Option("--val-data", metavar="TABLE", show_default=False, help="Of d2stx: clips to validate on.")
]
ValFeatures = Annotated[
    str, typer.Option("--val-features", metavar="DIR", show_default=False, help="Of d2stx: theirs, if elsewhere.")
]
Preset = Annotated[str, typer.Option("--preset", metavar="small|paper", help="Of d2stx: its size.")]
Branches = Annotated[str, typer.Option("--branches", metavar="both|video|pose", help="Of d2stx.")]
Guide = Annotated[str, typer.Option("--guide", metavar="both|video|pose", help="Of d2stx: who asks in its fusion.")]
Decision = Annotated[
    str, typer.Option("--decision", metavar="learned|fixed", help="Of d2stx: the weights of its two densities.")
]
Shots = Annotated[int, typer.Option("--shots", metavar="N", min=0, max=8, help="Of d2stx: exemplars, up to so many.")]
Chain = Annotated[
    int, typer.Option("--chain", metavar="N", min=1, max=16, help="Of d2stx: up to so many clips one after the other.")
]
Joint = Annotated[bool, typer.Option("--joint", help="Of d2stx: train everything at once, not in stages.")]
Licence = Annotated[str, typer.Option("--licence", metavar="NAME", help="Of the weights, for their header.")]

Init = Annotated[
    list[str] | None,
    typer.Option(
        "--init", metavar="FILE", show_default=False,
        help="Begin with these weights, to go on from; of d2stx also once for each branch, to learn their fusion.",
    ),
]  # fmt: skip
Minmax = Annotated[
    float,
    typer.Option(
        "--minmax", metavar="SHARE", min=0, max=1,
        help="Of joints: windows scaled to the body's box in every frame, as PoseRAC's poses are.",
    ),
]  # fmt: skip


def train(
    context: typer.Context,
    data: Data,
    output: Out,
    model: Model = "mcat",
    inputs: Input = "both",
    fusion: Fusion = "",
    layers: Layers = 4,
    width: Width = 256,
    pose: Pose = False,
    objective: Objective = "both",
    crop: Crop = "",
    size: Size = 112,
    window: Window = None,
    stride: Stride = None,
    tempo: Tempo = "1-1",
    drop: Drop = 0.0,
    train_split: TrainSplit = "train",
    val_split: ValSplit = "val",
    null: Null = True,
    epochs: Epochs = 30,
    batch: Batch = 32,
    rate: Rate = 3e-4,
    weight_decay: Decay = 1e-4,
    patience: Patience = 0,
    precision: Precision = "auto",
    videos: Videos = "",
    masks: Masks = "",
    poses: Poses = "",
    cache: Cache = "",
    features: Features = "",
    val_data: ValData = "",
    val_features: ValFeatures = "",
    preset: Preset = "small",
    branches: Branches = "both",
    guide: Guide = "both",
    decision: Decision = "learned",
    shots: Shots = 2,
    chain: Chain = 1,
    joint: Joint = False,
    init: Init = None,
    minmax: Minmax = 0.0,
    licence: Licence = "unstated",
    seed: Seed = 0,
    device: Device = "auto",
    threads: Threads = 0,
) -> None:
    """Train an exercise recogniser, an encoder, or a repetition counter.

    The defaults are those of the Mask Cross-Attention Transformer paper: windows of 16 frames of 112x112 pixels, AdamW,
    30 epochs, classes weighted by their effective number. A run that was interrupted goes on where it stopped.

    Example: racctl train clips -o run --epochs 30
    """
    from pathlib import Path

    from racctl.cli.batch import cores
    from racctl.cli.clip_plan import check_there
    from racctl.cli.console import note, progress
    from racctl.cli.targets import refuse_overwriting
    from racctl.errors import UsageError

    if model not in (*RECOGNISERS, *ENCODERS, *COUNTER):
        raise UsageError(f"no such model '{model}'; expected one of {', '.join((*RECOGNISERS, *ENCODERS, *COUNTER))}")
    refuse_options_of_others(context, model, OWNERS)
    _refuse_idle(context, model, inputs, pose, branches)
    speeds = read_range(tempo)
    if fusion and fusion not in FUSIONS[model]:
        raise UsageError(f"'--fusion {fusion}' means nothing; '{model}' takes one of {', '.join(FUSIONS[model])}")
    if model == "d2stx" and not features:
        raise UsageError("'--model d2stx' learns from features; name their folder with '--features DIR'")
    if val_features and not val_data:
        raise UsageError("'--val-features' are those of '--val-data'")
    if model != "d2stx" and len(init or []) > 1:
        raise UsageError(f"'--init' is given {len(init)} times; '{model}' begins with one file")
    check_there(data, features, val_data, val_features, videos, masks, poses, *(init or []))
    refuse_overwriting(init or [], *(str(Path(output, name)) for name in ("model.safetensors", "resume.pt")))
    from racctl.training.augment import Augmentation
    from racctl.training.count_run import CounterWanted, train_counter
    from racctl.training.counting import Teaching
    from racctl.training.loop import Recipe
    from racctl.training.run import Wanted, look_for, train_model

    recipe = Recipe(epochs, batch, rate, weight_decay, seed=seed, patience=patience, precision=precision)
    where = (Path(output), device, threads or cores(), note)
    with progress("reading", "clips") as reading, progress("training", "batches") as training:
        if model == "d2stx":
            counter = CounterWanted(
                data, features, val_data, val_features, preset, branches, guide, fusion or "decoupled", decision,
                train_split, val_split, Teaching(chain=chain, shots=shots, staged=not joint), licence,
                tuple(init or ()),
            )  # fmt: skip
            train_counter(counter, recipe, *where, reading, training)
            return
        look = look_for(model, inputs, pose, crop, size, window or 0, stride or 0)
        wanted = Wanted(
            data, model, inputs, fusion or "cross", layers, width, pose, objective, look, train_split, val_split, null,
            videos or None, masks or None, poses or None, cache or None, licence, init[0] if init else "",
        )  # fmt: skip
        augmentation = Augmentation(tempo=speeds, drop=drop, minmax=minmax)
        train_model(wanted, recipe, augmentation, *where, reading, training)


def _refuse_idle(context: typer.Context, model: str, inputs: str, pose: bool, branches: str) -> None:
    """UsageError for an option that has no effect beside the others."""
    of_pictures = ["--size", "--crop", "--fusion", "--pose"]
    of_fusion = ["--fusion", "--guide", "--decision"]
    refuse_typed(context, inputs == "pose", of_pictures, "'--input pose' looks at the joints alone")
    refuse_typed(context, model == "mcat" and inputs != "pose" and not pose, ["--minmax"], "there are no joints")
    refuse_typed(context, branches != "both", of_fusion, f"one branch, '{branches}', has nothing to be fused with")
