"""racctl compare: several counters' predictions beside each other, with paired tests and a picture."""

from __future__ import annotations

from typing import Annotated

import typer

from racctl.cli import console, options

Predictions = Annotated[
    list[str], typer.Argument(metavar="FILE", show_default=False, help="Compare these, each of one counter.")
]
Truth = Annotated[
    str,
    typer.Option(
        "--truth", metavar="FILE|DIR", show_default=False, help="The true counts, as 'racctl score' takes them."
    ),
]
Missing = Annotated[
    str,
    typer.Option(
        "--missing",
        metavar="error|skip|zero",
        help="Skip clips of the truth without a prediction, or take them as 0; the table says how many.",
    ),
]
Plot = Annotated[
    str,
    typer.Option(
        "--plot",
        metavar="FILE",
        show_default=False,
        help="Draw the errors here (.png, .svg): against the count, against the tempo where repetitions are marked, "
        "and for each exercise where the truth names them.",
    ),
]


def compare(
    predictions: Predictions,
    truth: Truth,
    missing: Missing = "error",
    plot: Plot = "",
    resamples: options.Resamples = 2000,
    seed: options.Seed = 0,
    output: options.Output = "-",
    form: options.Format = "",
) -> None:
    """Put the counts of several counters beside each other.

    Each FILE is one counter: a table of 'racctl count', of counts or with --reps of repetitions, or anybody's CSV with
    a clip and a count column. A row tells MAE (also the +0.1 variant), RMSE, OBO and OBZ with 95 % bootstrap intervals,
    over how many clips, how many of them had no prediction and how many a true count of 0, which MAE leaves out; where
    repetitions are marked, also their F1 and how far their borders lie apart. Each counter but the first is tested
    against the first.

    Example: racctl compare --truth test.csv ours.parquet theirs.csv --plot errors.png
    """
    from racctl.cli.clip_plan import check_there
    from racctl.cli.streams import emit_table, table_format
    from racctl.cli.targets import check_writable, refuse_overwriting
    from racctl.errors import UsageError

    table_format(output, form)  # a wrong format is said before the work
    if len(predictions) < 2:
        raise UsageError("there is nothing to compare with; name two files or more, or use 'racctl score'")
    check_writable(plot)
    check_there(truth, *predictions)
    refuse_overwriting([truth, *predictions], output, plot)
    from racctl.scoring.compare import compare_files
    from racctl.scoring.counts import CountScoreOptions

    settings = CountScoreOptions(resamples=resamples, seed=seed, missing=missing)
    if plot:
        from racctl.scoring.confusion import confusion_kind

        confusion_kind(plot)
    comparison = compare_files(truth, predictions, settings)
    if plot:
        from racctl.scoring.comparison_plot import plot_comparison

        plot_comparison(plot, comparison.pairs)
    for line in comparison.notes:
        console.note(line)
    for_a_person = table_format(output, form) == "table"
    emit_table(comparison.shown() if for_a_person else comparison.table(), output, form)
