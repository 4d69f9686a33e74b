"""A count to look at: the signal over time with its repetitions marked, as PNG, SVG or a page of HTML."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, Locator, MaxNLocator, MultipleLocator, NullLocator

from racctl.errors import UsageError
from racctl.io.figures import TEXT_COLOUR, figure_bytes, plain_style
from racctl.io.output import write_bytes

PLOT_SUFFIXES = (".png", ".svg", ".html")
WIDTH, PANEL = 10.0, 2.7  # inches
DPI = 144
MOST_PANELS = 100  # in one picture; as many pixels as most viewers open
POINTS = 3000  # drawn of a curve; more than there are pixels
TITLE = 70  # characters of a clip's name
ROUND = (1, 2, 5, 10)  # steps of the ticks
CLOCK_FROM = 120  # s; a longer clip has its times in minutes

# Okabe and Ito's, told apart with any colour vision
LINE, SECOND, BANDS = "#0072b2", "#d55e00", ("#d3e6f3", "#f6e7c1")
GAP = "#d9d9d9"


@dataclass(frozen=True)
class Curve:
    """What is drawn of one count. time: (T,) seconds, ascending. signal, second: (T,), NaN where unknown. starts,
    stops: (R,) seconds. low, high: other readings of the count. label, second_label: of the y axes. part: (R,) which
    part of the clip each repetition is of, () where that is not known. doubt: about the count, in words."""

    clip: str
    time: np.ndarray
    signal: np.ndarray
    starts: np.ndarray
    stops: np.ndarray
    count: float
    low: float
    high: float
    label: str = "motion signal"
    second: np.ndarray | None = None
    second_label: str = ""
    part: Sequence[int] = ()
    doubt: str = ""


def plot_kind(target: str | Path) -> str:
    """The suffix that says how to draw, in lower case; UsageError for one that is not in KINDS."""
    suffix = Path(target).suffix.lower()
    if suffix not in PLOT_SUFFIXES:
        raise UsageError(f"'{target}' is not a plot's file name; end it in .png, .svg or .html")
    return suffix


def plot_count(target: str | Path, curve: Curve) -> None:
    """Draw one curve; see `plot_counts`."""
    plot_counts(target, [curve])


def plot_counts(target: str | Path, curves: Sequence[Curve]) -> None:
    """Write a plot of `curves`, one below the other, of the kind that the suffix of `target` says.

    Equal curves give equal bytes. Raises UsageError for another suffix, no curve or more than a picture holds,
    DataError when `target` cannot be written.
    """
    kind = plot_kind(target)
    if not curves:
        raise UsageError(f"'{target}': there is nothing to plot")
    if len(curves) > MOST_PANELS and kind != ".html":
        raise UsageError(f"'{target}' would hold {len(curves)} clips, at most {MOST_PANELS} fit; use .html")
    content = _page(curves) if kind == ".html" else _picture(curves, kind[1:])
    write_bytes(target, content)


def _picture(curves: Sequence[Curve], kind: str, titled: bool = True) -> bytes:
    """A figure with a panel for each curve, as "png" or "svg"."""
    with plain_style(boxed=False):
        figure = Figure(
            figsize=(WIDTH, PANEL * len(curves)), dpi=DPI, layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1)
        )
        for axes, curve in zip(figure.subplots(len(curves), squeeze=False)[:, 0], curves, strict=True):
            _draw(axes, curve)
            if titled:
                axes.set_title(_short(_printable(curve.clip)), loc="left", fontsize=10, fontweight="bold")
                axes.set_title(summary(curve), loc="right", fontsize=10)
                if curve.doubt:
                    axes.set_xlabel(f"{axes.get_xlabel()}\n{curve.doubt}")
        return figure_bytes(figure, kind)


def _draw(axes: Axes, curve: Curve) -> None:
    begin, end = _span(curve)
    axes.set_xlim(begin, end)
    axes.set_xlabel("time (s)" if end - begin <= CLOCK_FROM else "time")
    axes.xaxis.set_major_locator(_ticks(end - begin))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda time, _: clock(time, end - begin)))
    for number, (start, stop) in enumerate(zip(curve.starts, curve.stops, strict=True)):
        axes.axvspan(start, stop, color=BANDS[number % 2], linewidth=0, zorder=0)
    _draw_gaps(axes, curve, end - begin)
    _draw_numbers(axes, curve, end - begin)
    _draw_parts(axes, curve)
    _draw_line(axes, curve.time, curve.signal, curve.label, LINE if curve.second is not None else TEXT_COLOUR)
    if curve.second is not None:
        twin = axes.twinx()
        twin.spines["right"].set_visible(True)
        _draw_line(twin, curve.time, curve.second, curve.second_label, SECOND)


def _draw_line(axes: Axes, time: np.ndarray, signal: np.ndarray, label: str, colour: str) -> None:
    known = signal[np.isfinite(signal)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    room = (high - low) or max(abs(high), 1.0)
    axes.set_ylim(low - 0.08 * room, high + 0.25 * room)  # the numbers stand above
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=ROUND) if len(known) else NullLocator())
    axes.set_ylabel(label, color=colour)
    axes.plot(*_thinned(time, signal), color=LINE if colour == TEXT_COLOUR else colour, linewidth=1.3, zorder=3)


def _draw_gaps(axes: Axes, curve: Curve, length: float) -> None:
    """Grey where the signal is unknown; no hatching, which some viewers of SVG paint black."""
    known = np.concatenate([[True], np.isfinite(curve.signal), [True]])
    edges = np.flatnonzero(np.diff(known))
    for first, after in edges.reshape(-1, 2):
        start, stop = curve.time[max(first - 1, 0)], curve.time[min(after, len(curve.time) - 1)]
        axes.axvspan(start, stop, color=GAP, alpha=0.8, linewidth=0, zorder=1)
        if stop - start > 0.1 * length:
            where: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "ha": "center", "va": "center"}
            axes.text((start + stop) / 2, 0.45, "no signal", color=TEXT_COLOUR, zorder=2, **where)


def _draw_numbers(axes: Axes, curve: Curve, length: float) -> None:
    """Number the repetitions above their bands: all of them, or every 2nd, 5th, ... where they would collide."""
    if not len(curve.starts):
        return
    middles = (curve.starts + curve.stops) / 2
    apart = 650 / length * (float(np.median(np.diff(middles))) if len(middles) > 1 else length)  # points, about
    needed = 5.5 * len(str(len(middles))) + 3
    step = next(n for n in (1, 2, 5, 10, 20, 50, 100, 10**9) if n * apart >= needed)
    where: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "ha": "center", "va": "top"}
    for number, middle in enumerate(middles, 1):
        if number % step == 0:
            axes.text(middle, 0.975, str(number), fontsize=8, zorder=4, clip_on=True, **where)


def _draw_parts(axes: Axes, curve: Curve) -> None:
    """Draw a line where another part of the clip begins, half way between its first repetition and the one before."""
    for k in np.flatnonzero(np.diff(curve.part)):
        axes.axvline(
            (curve.stops[k] + curve.starts[k + 1]) / 2, color=TEXT_COLOUR, linewidth=1, linestyle="--", zorder=2
        )


def _span(curve: Curve) -> tuple[float, float]:
    times = np.concatenate([curve.time, curve.starts, curve.stops])
    begin, end = (float(times.min()), float(times.max())) if len(times) else (0.0, 0.0)
    return begin, max(end, begin + 0.1)


def _thinned(time: np.ndarray, signal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A long curve by its lowest and highest value in each of POINTS / 2 parts, in their order; gaps stay."""
    if len(time) <= POINTS:
        return time, signal
    rows = []
    for part in np.array_split(np.arange(len(time)), POINTS // 2):
        values = signal[part]
        unknown = part[np.isnan(values)]
        if len(unknown) < len(part):
            rows += [part[np.nanargmin(values)], part[np.nanargmax(values)]]
        rows += unknown[:1].tolist()
    index = np.unique(rows)
    return time[index], signal[index]


def _ticks(length: float) -> Locator:
    if length <= CLOCK_FROM:
        return MaxNLocator(10, steps=ROUND)
    steps = (15, 30, 60, 120, 300, 600, 900, 1800)
    return MultipleLocator(next((step for step in steps if length / step <= 10), 3600 * max(1, round(length / 36000))))


def clock(time: float, length: float) -> str:
    """A time in seconds as people read it in a clip of `length` seconds: 3.5, 2:05 or 1:02:05."""
    if length <= CLOCK_FROM:
        return f"{time:g}"
    minutes, seconds = divmod(round(time), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if length >= 3600 else f"{60 * hours + minutes}:{seconds:02}"


def summary(curve: Curve) -> str:
    """The count in words, with the other readings where there are any."""
    count, low, high = (f"{round(float(value), 2):g}" for value in (curve.count, curve.low, curve.high))
    words = f"{count} repetition{'' if count == '1' else 's'}"
    sizes = np.unique(curve.part, return_counts=True)[1]
    parts = f" = {' + '.join(map(str, sizes))}" if len(sizes) > 1 else ""
    return words + parts if low == high == count else f"{words}{parts} ({low} to {high})"


def _printable(name: str) -> str:
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name)


def _short(name: str) -> str:
    return name if len(name) <= TITLE else f"{name[: TITLE - 20]}…{name[-19:]}"


def _page(curves: Sequence[Curve]) -> bytes:
    """One page that needs nothing else: no scripts, no requests."""
    title = _printable(curves[0].clip) if len(curves) == 1 else f"{len(curves)} clips"
    sections = "".join(_section(number, curve) for number, curve in enumerate(curves, 1))
    return PAGE.format(title=html.escape(title), style=STYLE, sections=sections).encode()


def _section(number: int, curve: Curve) -> str:
    name = html.escape(_printable(curve.clip))
    words = html.escape("; ".join(filter(None, [summary(curve), curve.doubt])))
    svg = _picture([curve], "svg", titled=False).decode()
    svg = re.sub(r' xmlns:xlink="[^"]*"', "", svg[svg.index("<svg") :]).replace(" xlink:href=", " href=")
    svg = re.sub(r'((?: id| href)="#?|url\(#)', rf"\g<1>c{number}-", svg)  # ids of one page must differ
    svg = svg.replace("<svg ", f'<svg role="img" aria-label="{name}: {words}" ', 1)
    rows = "".join(
        f"<tr><td>{rep}</td><td>{start:.2f}</td><td>{stop:.2f}</td><td>{stop - start:.2f}</td></tr>\n"
        for rep, (start, stop) in enumerate(zip(curve.starts, curve.stops, strict=True), 1)
    )
    return SECTION.format(name=name, words=words, svg=svg, table=TABLE.format(rows=rows) if rows else "")


STYLE = """
body { margin: 2rem auto; max-width: 64rem; padding: 0 1rem; font: 16px/1.4 system-ui, sans-serif; color: #222; }
h2 { margin: 2rem 0 0; font-size: 1.2rem; overflow-wrap: anywhere; } p { margin: 0.2rem 0; }
svg { width: 100%; height: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 0.1rem 1.2rem 0.1rem 0; text-align: right; } thead th { border-bottom: 1px solid #767676; }
"""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{sections}</body>
</html>
"""

SECTION = """<section>
<h2>{name}</h2>
<p>{words}</p>
{svg}{table}</section>
"""

TABLE = """<table>
<thead><tr><th>rep</th><th>start (s)</th><th>stop (s)</th><th>seconds</th></tr></thead>
<tbody>
{rows}</tbody>
</table>
"""
