"""Parquet tables with the racctl meta document in their schema metadata."""

from __future__ import annotations

from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyarrow.types as pt

from racctl.contracts import TABLE_COLUMNS, Meta, dump_meta, known_schema, load_meta
from racctl.errors import DataError
from racctl.io.bounds import file_size, refuse_bomb, refuse_large

TABLE_BOMB_RATIO = 1000  # run-length encoding of constant columns is legitimately strong
TABLE_BOMB_FLOOR = 64 << 20
PYTHON_ROW_BYTES = 400  # of one row as Python objects, which is how tables are read
HEAD_BYTES = 4096  # of a column that is opened and not decoded
LEVEL_BYTES = 8  # of each value in a list: where its list and its row begin, while it is decoded
WIDTHS = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 12, "FLOAT": 4, "DOUBLE": 8}

TYPES = {
    "string": pa.string(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "list<float32>": pa.list_(pa.float32()),
}


def table_from_rows(schema: str, rows: list[dict[str, Any]], meta: Meta | None = None) -> pa.Table:
    """Make a table of `schema` from rows (dicts keyed by column), without optional columns that no row has."""
    fields = []
    for name, kind in TABLE_COLUMNS[schema].items():
        if kind.endswith("?") and not any(row.get(name) is not None for row in rows):
            continue
        fields.append(pa.field(name, TYPES[kind.rstrip("?")]))
    document = {b"racctl": dump_meta({**(meta or {}), "schema": schema})}
    return pa.Table.from_pylist(rows, schema=pa.schema(fields, metadata=document))


def table_from_columns(schema: str, columns: dict[str, Any], meta: Meta | None = None) -> pa.Table:
    """Make a table of `schema` from columns of equal length: arrays, or one value for all rows. Of floats, NaN is null.

    Columns that are not there are left out, which only optional ones may be.
    """
    length = next(len(column) for column in columns.values() if isinstance(column, np.ndarray))
    arrays = {}
    for name, kind in TABLE_COLUMNS[schema].items():
        if name in columns or not kind.endswith("?"):
            column = columns[name]
            values = column if isinstance(column, np.ndarray) else [column] * length
            arrays[name] = pa.array(values, TYPES[kind.rstrip("?")], from_pandas=True)
    fields = [pa.field(name, array.type) for name, array in arrays.items()]
    document = {b"racctl": dump_meta({**(meta or {}), "schema": schema})}
    return pa.Table.from_arrays(list(arrays.values()), schema=pa.schema(fields, metadata=document))


def joined_tables(tables: list[pa.Table]) -> pa.Table:
    """Return the rows of tables of one schema, each of one clip; their provenance under the clips' names."""
    if len(tables) == 1:
        return tables[0]
    metas = [load_meta(table.schema.metadata[b"racctl"], "table") for table in tables]
    clips = {meta["clip"]: {key: meta[key] for key in ("source", "steps") if key in meta} for meta in metas}
    if len(clips) < len(metas):
        raise DataError("two inputs say that they are the same clip; use '-o DIR/' or one at a time")
    document = {b"racctl": dump_meta({"schema": metas[0]["schema"], "clips": clips})}
    return pa.concat_tables(tables, promote_options="default").replace_schema_metadata(document)


def write_table(target: IO[bytes], table: pa.Table) -> None:
    """Write Parquet; equal tables give equal bytes under one version of Arrow."""
    pq.write_table(table, target, compression="zstd")


def read_table(source: IO[bytes], where: str) -> tuple[Meta, pa.Table]:
    """Read any racctl table and check its columns.

    Extra columns are kept; unsafe or cut files are DataErrors.

    The meta document comes first, then what the columns will take, then the columns. Strings are read as references
    into their dictionaries, for a few bytes of those can stand for as many strings as there are rows.
    """
    try:
        size = file_size(source)
        plain = _opened(source, buffer_size=HEAD_BYTES)
        meta = _table_meta(plain.schema_arrow, where)
        names = plain.schema_arrow.names
        if len(set(names)) != len(names):
            raise DataError(f"'{where}' has the column '{next(n for n in names if names.count(n) > 1)}' twice")
        _open_columns(plain)
        before = _memory(plain, where)
        refuse_large(before, where)
        refuse_bomb(before, size, where, TABLE_BOMB_RATIO, TABLE_BOMB_FLOOR)
        strings = [field.name for field in plain.schema_arrow if _is_text(field.type)]
        table = _opened(source, strings).read()
        texts = sum(_text_bytes(chunk) for column in table.columns for chunk in column.chunks)
        refuse_large(before + texts, where)
        refuse_bomb(texts, size, where, TABLE_BOMB_RATIO, TABLE_BOMB_FLOOR)
        table = table.cast(plain.schema_arrow)
        table.validate(full=True)  # Arrow takes any bytes for strings until somebody looks
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        reason = (str(error).splitlines() or ["damaged"])[0].lower()
        raise DataError(f"'{where}' is not a whole Parquet file ({reason})") from None
    return meta, _check_columns(table, meta["schema"], where)


def _opened(source: IO[bytes], dictionaries: list[str] | None = None, buffer_size: int = 0) -> pq.ParquetFile:
    """Open a Parquet file. buffer_size: bytes of a column that are read at a time, 0 for all of it."""
    source.seek(0)
    # with pre_buffer, its threads and torch's abort some exits
    return pq.ParquetFile(source, pre_buffer=False, read_dictionary=dictionaries, buffer_size=buffer_size)


def _open_columns(file: pq.ParquetFile) -> None:
    """Open every column and decode nothing, which raises where the description of one is damaged.

    Arrow 26 checks that description, and ends the process where it is wrong and `_memory` asks for it.
    """
    for group in range(file.metadata.num_row_groups):
        batches = file.reader.iter_batches(0, row_groups=[group], use_threads=False)
        next(batches, None)  # opens them, and ends: there is no batch of 0 rows


def _table_meta(schema: pa.Schema, where: str) -> Meta:
    """Return the racctl meta document.

    Raises DataError when there is none, or one of something else than a table.
    """
    raw = (schema.metadata or {}).get(b"racctl")
    if raw is None:
        raise DataError(f"'{where}' is Parquet without a racctl meta document")
    meta = load_meta(raw, where)
    if known_schema(meta.get("schema"), where) not in TABLE_COLUMNS:
        raise DataError(f"'{where}' is Parquet that claims to hold {meta['schema']}, which is not a table schema")
    return meta


def _memory(file: pq.ParquetFile, where: str) -> int:
    """Return the bytes that the columns take once decoded, strings as references."""
    groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
    total = file.metadata.num_rows * PYTHON_ROW_BYTES
    for place in range(file.metadata.num_columns):
        leaf = file.schema.column(place)
        values = sum(group.column(place).num_values for group in groups)
        encoded = sum(group.column(place).total_uncompressed_size for group in groups)
        in_list = leaf.max_repetition_level > 0
        if leaf.physical_type == "BYTE_ARRAY":
            total += encoded + values * 4
            if "." in leaf.path:
                refuse_large(values * encoded, where, f"its column '{leaf.path}'")  # no dictionary to be had of these
        else:
            total += values * (WIDTHS.get(leaf.physical_type) or leaf.length)
        total += values * LEVEL_BYTES * in_list
    return total


def _is_text(kind: pa.DataType) -> bool:
    return any(test(kind) for test in (pt.is_string, pt.is_large_string, pt.is_binary, pt.is_large_binary))


def _text_bytes(chunk: pa.Array) -> int:
    """Return the bytes of the strings that a dictionary's references stand for; 0 of any other column."""
    if not pt.is_dictionary(chunk.type) or not _is_text(chunk.type.value_type):
        return 0
    lengths = pc.cast(pc.binary_length(chunk.dictionary), pa.int64())
    return pc.sum(pc.take(lengths, chunk.indices)).as_py() or 0


def _check_columns(table: pa.Table, schema: str, where: str) -> pa.Table:
    for name, kind in TABLE_COLUMNS[schema].items():
        if name not in table.column_names:
            if kind.endswith("?"):
                continue
            raise DataError(f"'{where}' lacks the column '{name}' of {schema}")
        expected = TYPES[kind.rstrip("?")]
        if table.schema.field(name).type != expected:
            raise DataError(f"'{where}': column '{name}' is {table.schema.field(name).type}, {schema} needs {expected}")
    return table
