"""A confusion matrix to look at: rows are the truth, columns what was predicted, colours the share of the row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from sklearn.metrics import confusion_matrix

from racctl.errors import UsageError
from racctl.io.figures import AXIS_COLOUR, TEXT_COLOUR, figure_bytes, plain_style
from racctl.io.output import write_bytes
from racctl.scoring.label_metrics import Items

CONFUSION_SUFFIXES = (".png", ".svg")
CONFUSION_DPI = 144
CELL = 0.46  # inches
MAX_CLASSES = 150  # in one picture
MAX_NUMBERED_CLASSES = 40  # classes; with more, the cells are too small for numbers
MAX_NAME_LENGTH = 28  # characters of a class's name
SHADES = LinearSegmentedColormap.from_list("shades", ["#ffffff", "#d3e6f3", "#5ba3d0", "#0072b2", "#003f63"])


def confusion_kind(target: str) -> str:
    """Return the suffix that says how to draw, in lower case.

    Raises UsageError for one that is not in CONFUSION_SUFFIXES.
    """
    suffix = Path(target).suffix.lower()
    if suffix not in CONFUSION_SUFFIXES:
        raise UsageError(f"'{target}' is not a file name for a confusion matrix; end it in .png or .svg")
    return suffix


def confusion(items: Items) -> tuple[np.ndarray, list[str], list[str]]:
    """Return (R, K) weights of the items, the R classes in the truth, and the K of the columns.

    Those, then what is only predicted.
    """
    rows = items.present
    columns = [*rows, *sorted({int(k) for k in np.unique(items.predicted)} - set(rows))]
    whole = confusion_matrix(items.true, items.predicted, labels=columns, sample_weight=items.weight)
    return whole[: len(rows)], [items.classes[k] for k in rows], [items.classes[k] for k in columns]


def plot_confusion(target: str, items: Items, title: str = "") -> None:
    """Write the confusion matrix as the suffix of `target` says.

    Equal items give equal bytes. Raises UsageError for another suffix or too many classes, DataError when `target`
    cannot be written.
    """
    kind = confusion_kind(target)
    counts, rows, columns = confusion(items)
    if len(columns) > MAX_CLASSES:
        raise UsageError(f"'{target}' would hold {len(columns)} classes, at most {MAX_CLASSES} fit in a picture")
    content = _picture(counts, rows, columns, kind[1:], title)
    write_bytes(target, content)


def _picture(counts: np.ndarray, rows: list[str], columns: list[str], kind: str, title: str) -> bytes:
    with plain_style():
        size = (2.9 + CELL * len(columns), 2.3 + CELL * len(rows))
        figure = Figure(figsize=(max(size[0], 4.5), size[1]), dpi=CONFUSION_DPI, layout="constrained")
        _draw(figure, figure.subplots(), counts, rows, columns)
        if title:
            figure.suptitle(title, fontsize=10, fontweight="bold")
        return figure_bytes(figure, kind)


def _draw(figure: Figure, axes: Axes, counts: np.ndarray, rows: list[str], columns: list[str]) -> None:
    share = counts / counts.sum(1, keepdims=True)
    mesh = axes.pcolormesh(share, cmap=SHADES, vmin=0, vmax=1, edgecolors="white", linewidth=0.5)
    axes.set_aspect("equal")
    axes.invert_yaxis()
    axes.set_xticks(np.arange(len(columns)) + 0.5, [_short(name) for name in columns], rotation=90)
    axes.set_yticks(np.arange(len(rows)) + 0.5, [_short(name) for name in rows])
    axes.tick_params(length=0)
    axes.set_xlabel("predicted")
    axes.set_ylabel("truth")
    if len(columns) > len(rows):
        axes.axvline(len(rows), color=AXIS_COLOUR, linewidth=1.2)  # to its right: never in the truth
    if len(columns) <= MAX_NUMBERED_CLASSES:
        for (row, column), count in np.ndenumerate(counts):
            if count:
                colour = "white" if share[row, column] > 0.45 else TEXT_COLOUR
                text, small = _number(count), 5.5 if count >= 10_000 else 6.5 if count >= 1000 else 7.5
                axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", color=colour, fontsize=small)
    bar = figure.colorbar(mesh, ax=axes, shrink=0.6, aspect=18, pad=0.02)
    bar.set_label("share of the class in the truth")
    bar.outline.set_visible(False)


def _number(count: float) -> str:
    """Return a count in at most five characters."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if count >= 100 * size:
            return f"{count / size:.0f}{letter}"
    return f"{count:.0f}"


def _short(name: str) -> str:
    printable = "".join(letter if letter.isprintable() else "?" for letter in name)
    return printable if len(printable) <= MAX_NAME_LENGTH else printable[: MAX_NAME_LENGTH - 1] + "…"
