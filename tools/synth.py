"""racctl synth: labelled exercise clips from a generator.

WHAT IS WRITTEN
In the directory named with --out:

  video/CLIP.mp4        H.264, with the timestamps that the truth is given in
  pose/CLIP.npz         racctl.pose/1, the 33 landmarks: pixels, metres, score 1 for what is seen, 0.2 for what
                        is behind something and 0 for what lies outside the picture (coordinates are known there too)
  joints25/CLIP.npz     the same as the 25 joints of D2-STX
  mask/CLIP.npz         racctl.mask/1, the person's pixels
  parameters/CLIP.json  everything that was drawn: person, clothes, camera (per frame where it moves), room, picture,
                        each repetition with its tempo and depth, aborted ones too; a digest, by which a clip is known
  manifest.parquet, reps.parquet, labels.parquet

A repetition that was turned back early is in parameters only; shallow ones count. With --pose-only there is no video
and no mask.

Landmarks are the truth; with --pose-only, or --errors blazepose, what BlazePose would find, after a model of its
errors. --errors varied has few errors in some clips and many in others, takes other people for the person, and half of
the clips are without scores, as a counter should be trained on.

Two classes are for counters to learn from, what a repetition is and not which exercises there are: "invented" gives
each clip a movement of its own that nobody does (beside other classes, every second clip); "background" shows idle
motions and gestures of which none is counted (every eighth).

THE PROTOCOL
With --protocol: long sessions, one person each, 16 exercises and background; a slow training set, a test set at twice
its tempo with shallow, aborted and uneven repetitions, and test sets at 0.5, 1, 1.5, 3 and 4 times the training
tempo. The distribution of classes is printed; few or short sessions cannot come near it.

The first run on a machine takes two minutes more, in which anny prepares its data.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from racctl.cli.options import Jobs, Seed
from racctl.synth.base import EXERCISES

ADDED = [name for name in EXERCISES.names() if name not in EXERCISES.builtin]  # by other packages

Out = Annotated[
    str,
    typer.Option(
        "--out", metavar="DIR", show_default=False, help="Write the data set here; what is there already is kept."
    ),
]
Clips = Annotated[
    int,
    typer.Option(
        "--clips", metavar="N", min=1, max=100_000, help="Draw N clips; with --protocol, N sessions in each split."
    ),
]
Classes = Annotated[
    str,
    typer.Option(
        "--classes",
        metavar="|".join(["A,B,...", *ADDED]),
        help="Draw these movements, or 'all', 'invented', 'background'; see --list.",
    ),
]
Split = Annotated[
    str, typer.Option("--split", metavar="NAME=SHARE,...", help="Divide the clips into splits by these shares.")
]
Speed = Annotated[
    str, typer.Option("--speed", metavar="slow|fast|mixed|any|wide", help="Choose the tempo of the movements.")
]
Size = Annotated[
    str,
    typer.Option(
        "--size",
        metavar="WIDTHxHEIGHT",
        show_default=False,
        help="Set the size of the picture. Default: each clip its own, with --protocol 304x400.",
    ),
]
Fps = Annotated[
    float | None,
    typer.Option(
        "--fps",
        metavar="N",
        show_default=False,
        help="Set the frames per second. Default: each clip its own, 15 to 50, with --protocol 30.",
    ),
]
Reps = Annotated[str, typer.Option("--reps", metavar="LOW-HIGH", help="Draw so many repetitions in a clip.")]
Clean = Annotated[
    bool, typer.Option("--clean", help="Draw full, even repetitions only, and nothing before or after the set.")
]
PoseOnly = Annotated[
    bool, typer.Option("--pose-only", help="Draw no pictures, only landmarks as BlazePose would find them.")
]
Errors = Annotated[
    str,
    typer.Option(
        "--errors",
        metavar="none|blazepose|varied",
        show_default=False,
        help="Choose the errors of the landmarks in pose/. Default: blazepose with --pose-only, else none.",
    ),
]
Protocol = Annotated[
    bool, typer.Option("--protocol", help="Draw the 17-class speed-shift protocol: slow training, fast test sets.")
]
Seconds = Annotated[
    float, typer.Option("--seconds", metavar="S", min=1, help="Set the length of a session with --protocol.")
]
List = Annotated[bool, typer.Option("--list", help="Print the movements and what counts as one repetition, and exit.")]


def synth(
    context: typer.Context,
    out: Out = "",
    clips: Clips = 20,
    classes: Classes = "all",
    split: Split = "train=0.7,val=0.1,test=0.2",
    speed: Speed = "any",
    size: Size = "",
    fps: Fps = None,
    reps: Reps = "3-10",
    clean: Clean = False,
    pose_only: PoseOnly = False,
    errors: Errors = "",
    protocol: Protocol = False,
    seconds: Seconds = 120.0,
    listing: List = False,
    seed: Seed = 0,
    jobs: Jobs = 0,
) -> None:
    """Make a data set of people exercising, with exact truth: repetitions, classes, landmarks, masks, camera.

    Writes video/, pose/, joints25/, mask/ and parameters/ with one file for each clip, and manifest, reps and labels as
    Parquet. Everything follows from --seed; a run that was interrupted goes on where it stopped. Needs racctl[synth].

    Example: racctl synth --out clips --clips 200 --classes squat,push_up --speed slow
    """
    from racctl.cli.batch import cores
    from racctl.cli.choices import refuse_typed, typed_options
    from racctl.cli.console import note, progress
    from racctl.errors import UsageError
    from racctl.synth.ask import listed, read_request

    refuse_typed(
        context, listing, typed_options(context).keys() - {"--list", "-q", "--debug"}, "'--list' makes nothing"
    )
    drawn = ["--classes", "--split", "--speed", "--reps", "--clean"]
    refuse_typed(context, protocol, drawn, "'--protocol' settles it")
    refuse_typed(context, not protocol, ["--seconds"], "it is an option of '--protocol'")
    if listing:
        print(listed())
        return
    if not out:
        raise UsageError("where to? name a directory with '--out DIR'")
    request = read_request(classes, split, size, reps, pose_only, errors, protocol, fps)
    clip_jobs, remarks = request.jobs(clips, seed, speed=speed, clean=clean, seconds=seconds)
    for line in remarks:
        note(line)
    from racctl.synth.dataset import generate

    with progress("synth", "clips") as report:
        summaries = generate(clip_jobs, Path(out), jobs or cores(), report)
    note(f"{len(summaries)} clips, {sum(row['frames'] for row in summaries)} frames in '{out}'")
