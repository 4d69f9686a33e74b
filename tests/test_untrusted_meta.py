"""Meta documents and tables of strangers: whatever a key holds, one line says what is wrong."""

from __future__ import annotations

import io
import json

import numpy as np
import pyarrow as pa
import pytest

from racctl.contracts import dump_meta, known_schema, load_meta
from racctl.data.predictions import read_predictions
from racctl.errors import DataError
from racctl.io.npz import read_npz
from racctl.io.parquet import read_table, table_from_rows, write_table


def npz(meta):
    out = io.BytesIO()
    np.savez(out, meta=np.frombuffer(json.dumps(meta).encode(), np.uint8))
    return out


def table(meta, **columns):
    row = {"clip": "a", "person": 0, "count": 1.0, "low": 1.0, "high": 1.0, "frames": 9}
    result = table_from_rows("racctl.counts/1", [row])
    for name, column in columns.items():
        result = result.append_column(name, column)
    out = io.BytesIO()
    write_table(out, result.replace_schema_metadata({b"racctl": dump_meta(meta)}))
    return out


@pytest.mark.parametrize("schema", [{}, [], ["racctl.pose/1"], {"a": 1}, 3, 1.5, True, None, "", "racctl.poses/1"])
def test_a_schema_may_be_anything(schema):
    with pytest.raises(DataError, match="'x' has no schema that racctl knows"):
        known_schema(schema, "x")
    for read in (lambda: read_npz(npz({"schema": schema}), "x"), lambda: read_table(table({"schema": schema}), "x")):
        with pytest.raises(DataError, match="'x' has no schema that racctl knows"):
            read()


@pytest.mark.parametrize(
    ("key", "value"),
    [("fps", "30"), ("fps", [30]), ("frames", 1.5), ("width", {}), ("height", True), ("sha256", 3), ("name", [])],
)
def test_what_is_said_of_the_video_are_words_and_numbers(key, value):
    for meta in ({"source": {key: value}}, {"clips": {"a": {"source": {key: value}}}}):
        with pytest.raises(DataError, match=f"'source' has .* as '{key}'"):
            load_meta(dump_meta(meta), "x")
    assert load_meta(dump_meta({"source": {key: None, "other": value}}), "x")


def test_strings_that_are_no_text_are_no_whole_table():
    broken = pa.StringArray.from_buffers(1, pa.py_buffer(np.array([0, 3], np.int32)), pa.py_buffer(b"a\xffb"))
    with pytest.raises(DataError, match=r"is not a whole Parquet file .*utf8"):
        read_table(table({"schema": "racctl.counts/1"}, note=broken), "x")


def test_a_column_that_is_there_twice_is_named():
    with pytest.raises(DataError, match="has the column 'clip' twice"):
        read_table(table({"schema": "racctl.counts/1"}, clip=pa.array(["b"])), "x")


def test_the_meta_document_comes_before_the_data():
    out = io.BytesIO()
    write_table(out, pa.table({"clip": ["a"]}))
    raw = bytearray(out.getvalue())
    raw[4:40] = bytes(36)  # the data of the only column
    with pytest.raises(DataError, match="is Parquet without a racctl meta document"):
        read_table(io.BytesIO(raw), "x")


@pytest.mark.parametrize("count", [-1, -0.5])
def test_nobody_predicts_fewer_than_no_repetitions(tmp_path, count):
    (tmp_path / "p.csv").write_text(f"clip,count\na,2\nb,{count}\n")
    with pytest.raises(DataError, match=f"has a count of {count:g} for clip 'b'; expected 0 or more"):
        read_predictions([str(tmp_path / "p.csv")])
