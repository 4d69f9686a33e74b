"""racctl score: MAE, RMSE, OBO and OBZ of predicted counts, with intervals."""

from __future__ import annotations

from typing import Annotated

import typer

from racctl.cli import console, options
from racctl.cli.streams import emit_table, table_format

Truth = Annotated[
    str,
    typer.Option(
        "--truth", metavar="FILE", show_default=False,
        help="True counts: a RepCount, Countix or UCFRep annotation as published, any CSV or TSV with a clip and a "
        "count column, or racctl's own Parquet.",
    ),
]  # fmt: skip
Against = Annotated[
    str,
    typer.Option(
        "--against", metavar="FILE", show_default=False,
        help="A second set of predictions, to compare with: paired bootstrap, and McNemar's exact test on OBO.",
    ),
]  # fmt: skip
PerClass = Annotated[bool, typer.Option("--per-class", help="Also score each exercise label of the truth.")]
Round = Annotated[
    bool, typer.Option("--round/--no-round", help="Round predictions half up, once, before every metric.")
]
ExcludeKnownBad = Annotated[
    bool, typer.Option("--exclude-known-bad", help="Leave out clips with a label known to be wrong, and say which.")
]
Resamples = Annotated[
    int, typer.Option("--resamples", metavar="N", min=0, help="Bootstrap resamples; 0: no intervals.")
]


def score(
    truth: Truth,
    sources: options.Sources = ["-"],  # noqa: B006 (typer copies it)
    against: Against = "",
    per_class: PerClass = False,
    rounding: Round = True,
    exclude_known_bad: ExcludeKnownBad = False,
    resamples: Resamples = 2000,
    seed: options.Seed = 0,
    output: options.Output = "-",
    form: options.Format = "",
) -> None:
    """Score predicted counts against the truth.

    MAE (also the +0.1 variant), RMSE, OBO and OBZ, each with its 95 % bootstrap interval and the number of clips it
    is over.

    Predictions are counts or repetitions from 'racctl count', or any table with a clip and a count column. Clips are
    matched by name without folder and suffix; missing, extra and repeated ones are errors.

    Example: racctl score --truth test.csv counts.parquet
    """
    table_format(output, form)  # a wrong format is said before the work
    from racctl.cli.batch import refuse_overwriting
    from racctl.score import Options, score_files

    refuse_overwriting([truth, against, *sources], output)

    asked = Options(per_class, rounding, exclude_known_bad, resamples, seed)
    scores = score_files(truth, sources, against, asked)
    for line in scores.notes:
        console.note(line)
    emit_table(scores.table(), output, form)
