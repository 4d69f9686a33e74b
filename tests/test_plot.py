"""Plots of counts: readable in every kind, the same bytes every time, safe and self-contained as a page."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
from PIL import Image

from racctl.counters.plot import BANDS, DPI, GAP, PANEL, WIDTH, Curve, clock, plot_count, plot_counts, summary
from racctl.errors import DataError, UsageError

SVG = "{http://www.w3.org/2000/svg}"


def curve(reps=5, seconds=10.0, rate=20, begin=0.0, name="clip", **another):
    """`reps` cosine bumps over the whole clip."""
    time = begin + np.arange(int(seconds * rate)) / rate
    edges = begin + np.linspace(0, seconds, reps + 1)
    signal = 1 - np.cos(2 * np.pi * reps * (time - begin) / seconds)
    return replace(Curve(name, time, signal, edges[:-1], edges[1:], reps, reps, reps), **another)


def words(path):
    """The texts of an SVG file."""
    return ["".join(text.itertext()) for text in ElementTree.parse(path).iter(f"{SVG}text")]


def curve_path(path):
    """The connected parts of the longest line of an SVG file."""
    line = max(re.findall(r' d="([^"]*)"', path.read_text()), key=len)
    return [" ".join(part.split()) for part in line.split("M")[1:]]


def in_colour(path, colour):
    """Pixels of a PNG in the colour "#rrggbb"."""
    expected = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    with Image.open(path) as image:
        return int((np.asarray(image.convert("RGB")) == expected).all(-1).sum())


def test_png_has_a_band_for_every_repetition(tmp_path):
    plot_count(tmp_path / "a.png", curve(5))
    plot_count(tmp_path / "b.png", curve(0))
    with Image.open(tmp_path / "a.png") as image:
        assert np.abs(np.subtract(image.size, (WIDTH * DPI, PANEL * DPI))).max() < 1
    assert in_colour(tmp_path / "a.png", BANDS[0]) > in_colour(tmp_path / "a.png", BANDS[1]) > 10_000
    assert in_colour(tmp_path / "b.png", BANDS[0]) == 0


def test_svg_says_name_count_and_numbers(tmp_path):
    plot_count(tmp_path / "a.svg", curve(5, name="squats"))
    assert {"squats", "5 repetitions", "motion signal", "time (s)"} <= set(words(tmp_path / "a.svg"))
    assert set("12345") <= set(words(tmp_path / "a.svg"))


def test_parts_and_doubt_are_shown(tmp_path):
    several = curve(5, part=[1, 1, 1, 2, 2], doubt="or 2 pairs of left and right")
    plot_count(tmp_path / "a.svg", several)
    assert "5 repetitions = 3 + 2" in words(tmp_path / "a.svg")
    assert "or 2 pairs of left and right" in words(tmp_path / "a.svg")
    plot_count(tmp_path / "a.html", several)
    assert "5 repetitions = 3 + 2; or 2 pairs of left and right</p>" in (tmp_path / "a.html").read_text()
    plot_count(tmp_path / "b.svg", curve(5, part=[1] * 5))
    assert "5 repetitions" in words(tmp_path / "b.svg") and " = " not in words(tmp_path / "b.svg")
    dashes = [(tmp_path / f"{name}.svg").read_text().count("stroke-dasharray") for name in "ab"]
    assert dashes[0] == dashes[1] + 1


@pytest.mark.parametrize("kind", ["png", "svg", "html"])
def test_equal_curves_give_equal_bytes_and_the_users_settings_do_not_matter(tmp_path, kind):
    plot_count(tmp_path / f"a.{kind}", curve())
    with matplotlib.rc_context({"axes.facecolor": "black", "svg.hashsalt": "other", "font.size": 20}):
        plot_count(str(tmp_path / f"b.{kind.upper()}"), curve())
        assert matplotlib.rcParams["font.size"] == 20
    assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind.upper()}").read_bytes()


def test_page_is_self_contained_and_escapes_names(tmp_path):
    trouble = "<script>alert('1')</script> & \"x\" $y$"
    plot_counts(tmp_path / "a.html", [curve(3, name=trouble), curve(2, name="other", label="<script>")])
    page = (tmp_path / "a.html").read_text()
    assert "<script" not in page and page.count("&lt;script&gt;alert(&#x27;1&#x27;)") == 2
    assert page.count("http") == page.count("http-equiv") + page.count('xmlns="http://www.w3.org/2000/svg"')
    assert "default-src 'none'" in page
    assert page.count("<tr>") == 2 + 3 + 2
    assert "<td>1</td><td>0.00</td><td>3.33</td><td>3.33</td>" in page


def test_ids_of_a_page_are_unique_and_every_reference_has_its_target(tmp_path):
    with_gap = curve(3)
    with_gap.signal[20:60] = np.nan
    plot_counts(tmp_path / "a.html", [with_gap] * 3)
    page = (tmp_path / "a.html").read_text()
    ids = re.findall(r'\sid="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    references = re.findall(r'(?:url\(#|href="#)([^)"]*)', page)
    assert references and set(references) <= set(ids)


@pytest.mark.parametrize(("reps", "seconds"), [(1, 2), (60, 90), (60, 3600), (700, 3600)])
def test_numbers_never_collide(tmp_path, reps, seconds):
    plot_count(tmp_path / "a.svg", curve(reps, seconds))
    places = {
        int(text.text): float(text.get("x"))
        for text in ElementTree.parse(tmp_path / "a.svg").iter(f"{SVG}text")
        if text.text.isdecimal() and "font-size: 8px" in text.get("style")
    }
    assert places and list(places) == sorted(places)
    apart = np.diff(list(places.values()))
    assert (apart > 5 * len(str(reps))).all()
    assert 100 > len(places) >= min(reps, 10)


def test_gaps_are_grey_and_not_bridged(tmp_path):
    gap = curve(4, 12)
    gap.signal[100:160] = np.nan
    plot_count(tmp_path / "gap.svg", gap)
    assert "no signal" in words(tmp_path / "gap.svg")
    assert f"fill: {GAP}" in (tmp_path / "gap.svg").read_text()
    assert len(curve_path(tmp_path / "gap.svg")) == 2
    plot_count(tmp_path / "whole.svg", curve(4, 12))
    assert f"fill: {GAP}" not in (tmp_path / "whole.svg").read_text()
    assert len(curve_path(tmp_path / "whole.svg")) == 1


@pytest.mark.parametrize(
    "odd",
    [
        curve(0, signal=np.full(200, np.nan)),
        curve(0, signal=np.zeros(200)),
        curve(0, seconds=0.05),
        curve(0, seconds=0),
        curve(0, 7200, rate=30),
        curve(3, name="日本\n\udcff" + "x" * 300),
        curve(3, second=np.linspace(0, 1, 200), second_label="density"),
    ],
    ids=["nobody", "still", "one frame", "empty", "two hours", "name", "two curves"],
)
@pytest.mark.parametrize("kind", ["png", "svg", "html"])
def test_unusual_curves_can_be_drawn(tmp_path, odd, kind):
    plot_count(tmp_path / f"a.{kind}", odd)
    data = (tmp_path / f"a.{kind}").read_bytes()
    assert 5_000 < len(data) < 400_000
    if kind == "svg":
        ElementTree.fromstring(data)


def test_a_spike_survives_thinning(tmp_path):
    long = curve(0, 3600, rate=30, signal=np.zeros(108_000))
    long.signal[54_321] = 1e6
    plot_count(tmp_path / "a.svg", long)
    (part,) = curve_path(tmp_path / "a.svg")
    heights = [float(y) for y in re.findall(r" (\S+) *(?:L|$)", part)]
    assert max(heights) - min(heights) > 50


def test_words():
    assert summary(curve(1)) == "1 repetition"
    assert summary(curve(7, count=7.26, low=6, high=9)) == "7.26 repetitions (6 to 9)"
    assert [clock(3.5, 60), clock(125, 600), clock(3725, 7200)] == ["3.5", "2:05", "1:02:05"]


@pytest.mark.parametrize("name", ["a.pdf", "a", "a.png.txt", "png"])
def test_other_suffixes_are_refused(tmp_path, name):
    with pytest.raises(UsageError, match=r"end it in \.png, \.svg or \.html") as error:
        plot_count(tmp_path / name, curve())
    assert "\n" not in str(error.value) and not list(tmp_path.iterdir())


def test_too_many_clips_or_none_are_refused(tmp_path):
    with pytest.raises(UsageError, match="nothing to plot"):
        plot_counts(tmp_path / "a.png", [])
    with pytest.raises(UsageError, match=r"101 clips.*\.html"):
        plot_counts(tmp_path / "a.png", [curve()] * 101)


def test_folder_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="cannot write"):
        plot_count(tmp_path / "no" / "a.png", curve())
    assert not list(tmp_path.iterdir())
