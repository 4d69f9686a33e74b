"""Where a tool's data goes: stdout or files, whole or not at all, and never binary onto a terminal."""

from __future__ import annotations

import json
import math
import os
import sys
import unicodedata
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from racctl.cli.console import plain
from racctl.cli.targets import check_output, refuse_terminal
from racctl.errors import DataError, UsageError
from racctl.io.output import copy_whole, write_file

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS = ("table", "parquet", "csv", "json")
FORMAT_VARIABLE = "RACCTL_FORMAT"  # of tables on stdout, unless an option says
DECIMALS = 3  # of numbers that people read
PROBABILITIES = "probs"  # the column of racctl.labels/1, a list in each row


def emit(output: str, build: Callable[[IO[bytes]], None]) -> None:
    """Build the whole payload, then put it on stdout ("-") or, atomically, in the file `output`."""
    if output != "-":
        write_file(output, build)
        return
    try:
        copy_whole(build, sys.stdout.buffer)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise DataError(f"cannot write to stdout: {(error.strerror or str(error)).lower()}") from None


def refuse_unknown(chosen: str, formats: tuple[str, ...]) -> None:
    """UsageError unless `chosen` is one of `formats`."""
    if chosen not in formats:
        raise UsageError(f"no such format '{chosen}'; expected one of {', '.join(formats)}")


def outline(about: object, depth: int = 0) -> str:
    """Nested dicts and lists as indented `key: value` lines."""
    pad = "  " * depth
    if depth > 20:
        return f"{pad}...\n"
    if isinstance(about, dict):
        width = max((len(str(key)) for key, value in about.items() if not isinstance(value, dict | list)), default=0)
        lines = []
        for key, value in about.items():
            if isinstance(value, dict | list) and value:
                lines.append(f"{pad}{key}:\n{outline(value, depth + 1)}")
            elif not isinstance(value, dict | list):
                lines.append(f"{pad}{key:{width}}  {plain(str(value))}\n")
        return "".join(lines)
    if isinstance(about, list):
        return "".join(f"{pad}- {outline(entry, depth + 1).lstrip()}" for entry in about)
    return f"{pad}{plain(str(about))}\n"


def table_format(output: str, chosen: str) -> str:
    """Return the format of a table: the chosen one, else by the target: .csv or .json, RACCTL_FORMAT for stdout, a
    terminal, or anything else.

    Raises as `racctl.cli.targets.check_output` does where the table cannot be written there."""
    check_output(output, "table", any_suffix=bool(chosen))
    if chosen:
        refuse_unknown(chosen, FORMATS)
        if chosen == "parquet" and output == "-":
            refuse_terminal("parquet")
        return chosen
    suffix = Path(output).suffix.lower().lstrip(".")
    if suffix in ("csv", "json"):
        return suffix
    usual = os.environ.get(FORMAT_VARIABLE, "")
    if usual and output == "-":
        if usual not in FORMATS:
            raise UsageError(f"invalid value '{usual}' of {FORMAT_VARIABLE}; expected one of {', '.join(FORMATS)}")
        return usual
    return "table" if output == "-" and sys.stdout.isatty() else "parquet"


def emit_table(table: pa.Table, output: str = "-", chosen: str = "", title: str = "") -> None:
    """Write a table to `output` in the format that `table_format` settles on."""
    kind = table_format(output, chosen)
    if kind == "parquet":
        from racctl.io.parquet import write_table

        emit(output, lambda file: write_table(file, table))
    else:
        text = {"csv": _csv, "json": _json, "table": lambda t: _pretty(t, title)}[kind](table)
        emit(output, partial(_write_text, text=text))


def _write_text(file: IO[bytes], text: str) -> None:
    file.write(text.encode("utf-8"))


def _csv(table: pa.Table) -> str:
    import csv
    import io

    classes = _classes(table)
    plain_columns = [name for name in table.column_names if not (classes and name == PROBABILITIES)]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*plain_columns, *(f"prob_{_safe_text(name)}" for name in classes)])
    for row in table.to_pylist():
        each = row[PROBABILITIES] if classes else []
        writer.writerow([*(_cell(row[name]) for name in plain_columns), *(f"{value:.6g}" for value in each)])
    return out.getvalue()


def _classes(table: pa.Table) -> list[str]:
    """Return the names of the classes that probabilities are of, [] where no row has them or nobody names them."""
    if PROBABILITIES not in table.column_names:
        return []
    classes = json.loads((table.schema.metadata or {}).get(b"racctl", b"{}")).get("classes", [])
    lengths = {len(values) for values in table.column(PROBABILITIES).to_pylist() if values is not None}
    return [str(name) for name in classes] if lengths == {len(classes)} else []


def _cell(value: object) -> object:
    if isinstance(value, list):
        return " ".join(f"{v:.6g}" if isinstance(v, float | int) else _safe_text(str(v)) for v in value)
    return _safe_text(value) if isinstance(value, str) else "" if value is None else value


def _safe_text(text: str) -> str:
    """A cell that neither a spreadsheet runs as a formula (some look behind white space) nor a terminal as commands."""
    visible = _visible(text, "\t\r\n")
    is_formula = visible.lstrip()[:1] in ("=", "+", "-", "@") or visible[:1] in ("\t", "\r")
    return "'" + visible if visible and is_formula else visible


def _visible(text: str, keep: str = "") -> str:
    """The text with control characters as their numbers, which also JSON's strings may hold."""
    return "".join(f"\\u{ord(c):04x}" if unicodedata.category(c) == "Cc" and c not in keep else c for c in text)


def _json(table: pa.Table) -> str:
    """One object per line would stream better, but a table is small and users paste it into tools that want JSON."""
    rows = [{k: None if isinstance(v, float) and v != v else v for k, v in row.items()} for row in table.to_pylist()]
    return _visible(json.dumps(rows, indent=1, ensure_ascii=False), "\n") + "\n"


def _pretty(table: pa.Table, title: str) -> str:
    import io

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    lists = [field.name for field in table.schema if str(field.type).startswith("list")]
    table = table.drop_columns(lists)  # nobody reads 37 probabilities in a cell
    grid = Table(title=title or None)
    for name in table.column_names:
        numeric = str(table.schema.field(name).type) in ("int64", "double")
        grid.add_column(name, justify="right" if numeric else "left", overflow="fold")
    columns = [_aligned(table.column(name).to_pylist()) for name in table.column_names]
    for row in zip(*columns, strict=True):
        grid.add_row(*map(Text, row))
    out = io.StringIO()
    terminal = sys.stdout.isatty()
    width = None if terminal else 120
    Console(file=out, force_terminal=terminal, width=width).print(grid)
    return out.getvalue()


def _aligned(values: list[Any]) -> list[str]:
    """Return the cells of a column; its numbers have equally many decimals, no more than one of them needs."""
    shown = [_short(value) for value in values]
    numbers = [k for k, value in enumerate(values) if isinstance(value, float) and math.isfinite(value)]
    decimals = max((len(shown[k].partition(".")[2]) for k in numbers), default=0)
    for k in numbers:
        shown[k] = f"{values[k]:.{decimals}f}"
    return shown


def _short(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.{DECIMALS}f}".rstrip("0").rstrip(".") if value == value else "-"
    return plain(str(value))
