"""CSV and JSON that a spreadsheet does not run and a terminal does not obey."""

from __future__ import annotations

import csv
import io
import json

import pyarrow as pa
import pytest

from racctl.cli.streams import _csv, _json
from racctl.contracts import clip_stem
from racctl.data.tables import read_text
from racctl.errors import DataError, UsageError


def cell(value):
    return next(iter(csv.reader(io.StringIO(_csv(pa.table({"clip": [value]})).partition("\n")[2]))), [""])[0]


@pytest.mark.parametrize("start", ["", " ", "\n", "\r\n", "\u00a0", "\t", " \t "])
@pytest.mark.parametrize("formula", ["=1+1", "+1", "-x", "@SUM(A1)"])
def test_formulas_are_quoted_behind_white_space_too(start, formula):
    assert cell(start + formula) == f"'{start}{formula}"
    assert clip_stem(cell(start + formula)) == formula  # and racctl's own readers take the quote away


@pytest.mark.parametrize("text", ["squat", "a-b", "a=b", "", " a", "3", "'a", "ä€😀", "line\nfeed"])
def test_other_text_stays_as_it_is(text):
    assert cell(text) == text


@pytest.mark.parametrize("control", ["\x1b", "\x00", "\x07", "\x7f", "\x9b", "\x08"])
def test_control_characters_are_made_visible(control):
    for text in (_csv(pa.table({"a": [f"{control}[31m"]})), _json(pa.table({"a": [f"{control}[31m"]}))):
        assert control not in text
        assert f"\\u{ord(control):04x}[31m" in text or "\\b[31m" in text
    assert json.loads(_json(pa.table({"a": [f"{control}[31m"]}))) == [{"a": f"{control}[31m"}]
    assert cell(f"{control}=1") != f"{control}=1"


def test_lists_of_anything_are_cells():
    table = pa.table({"a": [[1.5, None]], "b": [[["=1"]]], "c": pa.array([["=1+1", "x"]])})
    assert _csv(table).splitlines()[1] == "1.5 None,['=1'],'=1+1 x"


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\u2028", "\x85", "\v"])
def test_a_message_is_one_line_whatever_it_quotes(end):
    for error in (DataError, UsageError):
        assert str(error(f"'a{end}b' is bad")) == "'a b' is bad"
    with pytest.raises(DataError) as caught:
        read_text(io.BytesIO(f'"a{end}b","a{end}b"\n1,2\n'.encode()), "t")
    assert str(caught.value) == "'t' has the column 'a b' twice"
