"""Figures of matplotlib as files: the same bytes every time, whatever the user's own settings."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib
from matplotlib.figure import Figure

TEXT_COLOUR, AXIS_COLOUR = "#222222", "#767676"
STAMPS = {"png": ("Software",), "svg": ("Creator", "Date", "Format", "Type")}  # left out of a file


@contextmanager
def plain_style(boxed: bool = True) -> Iterator[None]:
    """Draw as matplotlib does by itself, names in any script. boxed: with lines at the top and the right of axes."""
    with matplotlib.rc_context(), without_font_warnings():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(
            {
                "svg.hashsalt": "racctl",
                "svg.fonttype": "none",
                "text.parse_math": False,
                "font.size": 9,
                "font.sans-serif": ["DejaVu Sans"],
                "text.color": TEXT_COLOUR,
                "axes.labelcolor": TEXT_COLOUR,
                "axes.edgecolor": AXIS_COLOUR,
                "xtick.color": TEXT_COLOUR,
                "ytick.color": TEXT_COLOUR,
                "axes.spines.top": boxed,
                "axes.spines.right": boxed,
            }
        )
        yield


@contextmanager
def without_font_warnings() -> Iterator[None]:
    """Draw a letter that the font lacks as a box, without a warning."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        yield


def figure_bytes(figure: Figure, kind: str = "png", dpi: float | None = None) -> bytes:
    """Return the figure as a "png" or "svg" without the date or the name of what drew it."""
    out = io.BytesIO()
    figure.savefig(out, format=kind, dpi=dpi or "figure", metadata=dict.fromkeys(STAMPS[kind]))
    return out.getvalue()
