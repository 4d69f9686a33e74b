"""racctl score: predicted counts (MAE, RMSE, OBO, OBZ) or labels (accuracy, macro-F1, AUC), with intervals."""

from __future__ import annotations

from typing import Annotated

import typer

from racctl.cli import console, options

Truth = Annotated[
    str,
    typer.Option(
        "--truth",
        metavar="FILE|DIR",
        show_default=False,
        help="The truth. Counts: a RepCount, Countix or UCFRep annotation as published, any CSV or TSV with a clip and "
        "a count column, or racctl's own Parquet. Labels: a folder of 'racctl synth' or its manifest, MM-Fit's folder, "
        "a CSV of segments (clip, start and stop in seconds, label; without times a label is about the whole clip), or "
        "racctl's own labels.",
    ),
]
Against = Annotated[
    str,
    typer.Option(
        "--against",
        metavar="FILE",
        show_default=False,
        help="A second set of predictions, to compare with: paired bootstrap over clips; for counts McNemar's exact "
        "test on OBO, for labels the exact sign test on the clips that either gets better (McNemar's for clip labels).",
    ),
]
PerClass = Annotated[
    bool,
    typer.Option("--per-class", help="Also score each label of the truth; for labels precision, recall, F1 and AUC."),
]
Round = Annotated[
    bool | None,
    typer.Option(
        "--round/--no-round",
        show_default=False,
        help="Counts: round predictions half up, once, before every metric; the default.",
    ),
]
ExcludeKnownBad = Annotated[
    bool, typer.Option("--exclude-known-bad", help="Counts: leave out clips known to be labelled wrong, and say which.")
]
Missing = Annotated[
    str,
    typer.Option(
        "--missing",
        metavar="error|skip|zero",
        help="Counts: skip clips of the truth without a prediction, or take them as 0; both are said.",
    ),
]
NoNull = Annotated[
    bool,
    typer.Option(
        "--no-null",
        help="Labels: leave out what is background in the truth; background predicted for the rest is an error.",
    ),
]
Null = Annotated[
    str,
    typer.Option("--null", metavar="LABEL", help="Labels: this label means background too, in truth and predictions."),
]
Split = Annotated[
    str,
    typer.Option(
        "--split",
        metavar="NAME",
        show_default=False,
        help="Labels: score against this split of the truth alone, such as 'test'.",
    ),
]
Confusion = Annotated[
    str,
    typer.Option(
        "--confusion",
        metavar="FILE",
        show_default=False,
        help="Labels: write the confusion matrix here, a picture (.png, .svg): a row for each class of the truth, "
        "coloured by its shares, with the counts in its cells.",
    ),
]


def score(
    truth: Truth,
    sources: options.Tables = ["-"],  # noqa: B006 (typer copies it)
    against: Against = "",
    per_class: PerClass = False,
    rounding: Round = None,
    exclude_known_bad: ExcludeKnownBad = False,
    missing: Missing = "error",
    no_null: NoNull = False,
    null: Null = "background",
    split: Split = "",
    confusion: Confusion = "",
    resamples: options.Resamples = 2000,
    seed: options.Seed = 0,
    output: options.Output = "-",
    form: options.Format = "",
) -> None:
    """Score predicted counts or labels against the truth.

    Counts, from 'racctl count' or any table with a clip and a count column: MAE (also the +0.1 variant), RMSE, OBO and
    OBZ. Where truth and predictions mark the repetitions ('racctl count --reps'): how many are the same, by a temporal
    intersection over union of 0.5 or more, and how far the borders of these lie apart. Labels, from 'racctl classify'
    or a CSV: accuracy, F1 and ROC-AUC (one class against the rest), both averaged over the classes in the truth, and
    top-3 accuracy, the last two where there are probabilities. The label 'unknown' is an error in all of these; where
    it occurs, coverage is the share that is answered, and accuracy_answered the accuracy of that. A window counts by
    the label at its middle frame, a segment by its frames.

    Each metric comes with its 95 % bootstrap interval, which resamples clips, because the windows of one clip are not
    independent, and with the number of clips, windows or frames it is over. Clips are matched by name without folder
    and suffix; missing (but for --missing), extra and repeated ones are errors. 'racctl compare' puts the predictions
    of several counters beside each other.

    Example: racctl score --truth test.csv counts.parquet
    """
    from racctl.cli.clip_plan import check_there
    from racctl.cli.streams import emit_table, table_format

    table_format(output, form)  # a wrong format is said before the work
    from racctl.cli.targets import check_writable, refuse_overwriting

    check_writable(confusion)
    check_there(truth, against, *sources)
    from racctl.data.predictions import read_predictions
    from racctl.scoring.counts import CountScoreOptions, check_streams, refuse_options, score_counts

    refuse_overwriting([truth, against, *sources], output, confusion)
    check_streams(truth, sources, against)
    predictions, second = read_predictions(sources), read_predictions([against]) if against else None
    if predictions.labels is None:
        refuse_options(
            "counts", {"--no-null": no_null, "--null": null != "background", "--split": split, "--confusion": confusion}
        )
        settings = CountScoreOptions(per_class, rounding is not False, exclude_known_bad, resamples, seed, missing)
        scores = score_counts(truth, predictions, second, settings)
    else:
        from racctl.scoring.confusion import confusion_kind, plot_confusion
        from racctl.scoring.labels import LabelScoreOptions, score_labels

        of_counts = {"--round": rounding is not None, "--exclude-known-bad": exclude_known_bad}
        refuse_options("labels", {**of_counts, "--missing": missing != "error"})
        if confusion:
            confusion_kind(confusion)
        scores = score_labels(
            truth, predictions, second, LabelScoreOptions(per_class, no_null, null, split, resamples, seed)
        )
        if confusion:
            plot_confusion(confusion, scores.items)
    for line in scores.notes:
        console.note(line)
    emit_table(scores.table(), output, form)
