"""The options that several tools share, each a named object: one spelling and one help text for all of them."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from racctl.kinds import Kind

Source = Annotated[
    str, typer.Argument(metavar="FILE", show_default=False, help="Read this file; '-', the default, is stdin.")
]

Sources = Annotated[  # a tool that has it gets FilesFrom too
    list[str],
    typer.Argument(
        metavar="FILE|DIR",
        show_default=False,
        help="Read these files, or all clips of a folder; '-' or none is stdin.",
    ),
]

Tables = Annotated[
    list[str],
    typer.Argument(metavar="FILE", show_default=False, help="Read these files; '-' or none is stdin."),
]

FilesFrom = Annotated[
    str,
    typer.Option(
        "--files-from",
        metavar="FILE",
        show_default=False,
        help="Read the names of more inputs from this file, one in each line; '-' is stdin.",
    ),
]

Output = Annotated[
    str,
    typer.Option("-o", "--output", metavar="FILE", show_default=False, help="Write here instead of stdout ('-')."),
]

OutputMany = Annotated[
    str,
    typer.Option(
        "-o",
        "--output",
        metavar="FILE|DIR",
        show_default=False,
        help="Write here instead of stdout ('-'). With several inputs: a directory, one file per clip; "
        "what is there and up to date is skipped.",
    ),
]

Format = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="table|parquet|csv|json",
        show_default=False,
        help="Choose how to write the table. Default: a table on a terminal, Parquet into a pipe or file.",
    ),
]

TextFormat = Annotated[str, typer.Option("--format", metavar="text|json", help="Choose how to write it.")]

Jobs = Annotated[
    int,
    typer.Option(
        "--jobs",
        metavar="N",
        min=0,
        show_default=False,
        help="Run N workers side by side; default: one per core. The output does not depend on it.",
    ),
]

Start = Annotated[
    float | None, typer.Option("--start", metavar="SECONDS", help="Begin here; the video's own timestamps.")
]
Stop = Annotated[
    float | None, typer.Option("--stop", metavar="SECONDS", help="End before here; the video's own timestamps.")
]
Stride = Annotated[int, typer.Option("--stride", metavar="N", min=1, help="Take every Nth frame only.")]
Rate = Annotated[
    float | None,
    typer.Option(
        "--rate",
        metavar="HZ",
        show_default=False,
        help="Take as few frames as leave HZ a second, evenly: every Nth of the clip's own mean rate.",
    ),
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Set the seed of everything random.")]

Device = Annotated[
    str, typer.Option("--device", metavar="auto|cpu|cuda|mps", help="Choose where networks run, if any do.")
]
Threads = Annotated[
    int,
    typer.Option(
        "--threads",
        metavar="N",
        min=0,
        show_default=False,
        help="Use N threads for networks; default: OMP_NUM_THREADS, or one per core.",
    ),
]


def pose_model_option(option: str, models: Kind) -> Any:
    """Return the option that chooses a pose model. models: those there are."""
    return typer.Option(
        option,
        metavar="|".join([*models.names(), "FILE.task"]),
        help="Choose the pose model. 'full' comes with the installation, except where the mediapipe package has no "
        "models or none for this Python; then, as 'lite' and 'heavy', it needs --download. 'mediapipe' and those like "
        "it run MediaPipe's own pipeline.",
    )


AngleSpace = Annotated[
    str,
    typer.Option(
        "--space",
        metavar="auto|3d|2d",
        help="Tell angles in space, from world landmarks, or in the picture plane; auto: in space where it can.",
    ),
]

Download = Annotated[
    bool, typer.Option("--download", help="Allow fetching a model that is not here; its sha256 is checked.")
]

Resamples = Annotated[
    int, typer.Option("--resamples", metavar="N", min=0, help="Draw N bootstrap resamples; 0: no intervals.")
]
