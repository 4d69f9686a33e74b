"""racctl check-labels: what is wrong with an annotation file, row by row, and with the videos it is about."""

from __future__ import annotations

from typing import Annotated

import typer

from racctl.cli import console, options

Table = Annotated[
    str,
    typer.Argument(
        metavar="TABLE|DIR",
        show_default=False,
        help="A RepCount, Countix or UCFRep annotation as published, UCFRep's folder of .mat files, any CSV or TSV "
        "with a clip and a count column, or racctl's own Parquet; '-', the default, is stdin.",
    ),
]
Videos = Annotated[
    str,
    typer.Argument(
        metavar="VIDEO_DIR",
        show_default=False,
        help="Also look at the videos, found by clip name in this folder and those below it.",
    ),
]
ExcludeKnownBad = Annotated[
    bool, typer.Option("--exclude-known-bad", help="Leave out the clips that are known to be labelled wrong.")
]
KnownBad = Annotated[
    bool,
    typer.Option(
        "--known-bad", help="Only list the labels that are known to be wrong, and name the people who reported them."
    ),
]


def check_labels(
    table: Table = "-",
    videos: Videos = "",
    exclude_known_bad: ExcludeKnownBad = False,
    known_bad: KnownBad = False,
    output: options.Output = "-",
    form: options.Format = "",
) -> None:
    """Check every row of an annotation file.

    Prints one row per problem: clip, line in the file, kind, what. Of the labels: no count, a count that the marked
    repetitions disagree with, repetitions of zero length, running backwards, overlapping or past the end, repeated
    rows, labels that are known to be wrong. Of the videos, when their folder is given: missing, empty, corrupt, damaged
    (they are decoded: pictures that are lost), cut short, shorter than their labels, of another length or rate than the
    table says. Frames count from 0, also where the file counts from 1.

    Exits with 1 when there are problems, as when the file cannot be read at all, and with 0 when there are none.

    Example: racctl check-labels test.csv videos
    """
    from racctl.cli.streams import emit_table, table_format

    table_format(output, form)
    from racctl.cli.clip_plan import refuse_with
    from racctl.cli.targets import refuse_overwriting
    from racctl.data.check import check_labels, known_bad_table

    if known_bad:
        arguments: dict[str, object] = {
            "TABLE": "" if table == "-" else table,
            "VIDEO_DIR": videos,
            "--exclude-known-bad": exclude_known_bad or None,
        }
        refuse_with(known_bad, arguments, "'--known-bad' lists what is known and checks nothing")
        emit_table(known_bad_table(), output, form)
        return
    refuse_overwriting([table, videos], output)
    with console.progress("checking", "clips") as report:
        check = check_labels(table, videos, exclude_known_bad, report)
    emit_table(check.table(), output, form)
    console.note(check.summary())
    if check.problems:
        raise typer.Exit(1)
