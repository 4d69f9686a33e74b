"""A picture of several counters' errors: against the count, against the tempo, and for each exercise."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from racctl.io.figures import figure_bytes, plain_style
from racctl.io.output import write_bytes
from racctl.scoring.confusion import confusion_kind
from racctl.scoring.count_metrics import relative_error
from racctl.scoring.counts import CountPairs

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999")  # Okabe and Ito
GROUPS = 5  # of as many clips each, that a curve is drawn through
MOST_EXERCISES = 24  # in a picture, those with the most clips
PANEL_SIZE = (5.0, 3.2)  # inches


def plot_comparison(target: str, pairs: dict[str, CountPairs]) -> None:
    """Write the picture as the suffix of `target` says, .png or .svg.

    pairs: of each counter. Raises UsageError for another suffix, DataError when `target` cannot be written.
    """
    kind = confusion_kind(target)
    first = next(iter(pairs.values()))
    seconds = {name: seconds_of(pair) for name, pair in pairs.items()}
    panels = ["count"]
    panels += ["tempo"] if any(np.isfinite(some).any() for some in seconds.values()) else []
    panels += ["exercise"] if any(first.label) else []
    with plain_style(boxed=False):
        size = (PANEL_SIZE[0] * len(panels), PANEL_SIZE[1] + 0.3)
        figure = Figure(figsize=size, dpi=144, layout="constrained")
        axes = dict(zip(panels, figure.subplots(1, len(panels), squeeze=False)[0], strict=True))
        for colour, (name, pair) in zip(_colours(len(pairs)), pairs.items(), strict=True):
            error = relative_error(pair.predicted, pair.true)
            _curve(axes["count"], pair.true, error, colour, name)
            if "tempo" in axes:
                _curve(axes["tempo"], 1 / seconds[name], error, colour, name)
        _label(axes["count"], "true repetitions")
        if "tempo" in axes:
            _label(axes["tempo"], "true repetitions per second")
        if "exercise" in axes:
            _exercises(axes["exercise"], pairs)
        axes["count"].legend(frameon=False, fontsize=8)
        content = figure_bytes(figure, kind[1:])
    write_bytes(target, content)


def seconds_of(pairs: CountPairs) -> np.ndarray:
    """Return (n,) how long a true repetition of each clip usually takes, s, NaN where that is not told."""
    if not pairs.cycles:
        return np.full(len(pairs.clip), np.nan)
    return np.array(
        [np.median(true[:, 1] - true[:, 0]) / fps if len(true) and fps else np.nan for true, _, fps in pairs.cycles]
    )


def _colours(count: int) -> list[str]:
    return [COLOURS[k % len(COLOURS)] for k in range(count)]


def _curve(axes: Axes, place: np.ndarray, error: np.ndarray, colour: str, name: str) -> None:
    """Draw a dot for every clip, and the mean error of groups of as many clips."""
    usable = np.isfinite(place) & np.isfinite(error)
    order = np.flatnonzero(usable)[np.argsort(place[usable], kind="stable")]
    if not len(order):
        return
    axes.scatter(place[order], error[order], s=7, color=colour, alpha=0.35, linewidths=0)
    groups = [group for group in np.array_split(order, GROUPS) if len(group)]
    middles, means = [place[group].mean() for group in groups], [error[group].mean() for group in groups]
    axes.plot(middles, means, color=colour, marker="o", markersize=3.5, linewidth=1.4, label=name)


def _label(axes: Axes, name: str) -> None:
    axes.set(xlabel=name, ylabel="error / true count", xscale="log", ylim=(0, None))
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda tick, _: f"{tick:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _exercises(axes: Axes, pairs: dict[str, CountPairs]) -> None:
    """Draw a bar for every exercise and counter: the mean error."""
    first = next(iter(pairs.values()))
    labels = sorted(set(first.label), key=lambda label: (-first.label.count(label), label))[:MOST_EXERCISES]
    width = 0.8 / len(pairs)
    for k, (colour, pair) in enumerate(zip(_colours(len(pairs)), pairs.values(), strict=True)):
        error = relative_error(pair.predicted, pair.true)
        means = [_mean(error[[one_label == label for one_label in pair.label]]) for label in labels]
        axes.bar(np.arange(len(labels)) + (k + 0.5) * width - 0.4, means, width, color=colour)
    shown = [f"{label or '(no label)'} ({first.label.count(label)})" for label in labels]
    axes.set_xticks(np.arange(len(labels)), shown, rotation=90, fontsize=7)
    axes.set_ylabel("mean error / true count")


def _mean(values: np.ndarray) -> float:
    defined = values[np.isfinite(values)]
    return float(defined.mean()) if len(defined) else 0.0
