"""Parquet tables with the racctl meta document in their schema metadata."""

from __future__ import annotations

from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from racctl.contracts import TABLES, Meta, dump_meta, known_schema, load_meta
from racctl.errors import DataError

MAX_BYTES = 8 << 30
BOMB_RATIO = 1000  # run-length encoding of constant columns is legitimately strong
BOMB_FLOOR = 256 << 20

TYPES = {
    "string": pa.string(), "int64": pa.int64(), "float64": pa.float64(), "list<float32>": pa.list_(pa.float32()),
}  # fmt: skip


def table_from_rows(schema: str, rows: list[dict[str, Any]], meta: Meta | None = None) -> pa.Table:
    """Rows (dicts keyed by column) as a table of `schema`; optional columns that no row has are left out."""
    fields = []
    for name, kind in TABLES[schema].items():
        if kind.endswith("?") and not any(row.get(name) is not None for row in rows):
            continue
        fields.append(pa.field(name, TYPES[kind.rstrip("?")]))
    document = {b"racctl": dump_meta({**(meta or {}), "schema": schema})}
    return pa.Table.from_pylist(rows, schema=pa.schema(fields, metadata=document))


def write_table(target: IO[bytes], table: pa.Table) -> None:
    """Write Parquet; equal tables give equal bytes under one version of Arrow."""
    pq.write_table(table, target, compression="zstd")


def table_meta(table: pa.Table, where: str) -> Meta:
    """The racctl meta document of a table; DataError when it has none or an unknown schema."""
    raw = (table.schema.metadata or {}).get(b"racctl")
    if raw is None:
        raise DataError(f"'{where}' is Parquet without a racctl meta document")
    meta = load_meta(raw, where)
    known_schema(meta.get("schema"), where)
    return meta


def read_table(source: IO[bytes], where: str) -> tuple[Meta, pa.Table]:
    """Read any racctl table and check its columns. Extra columns are kept; unsafe or cut files are DataErrors."""
    try:
        source.seek(0)
        file = pq.ParquetFile(source, pre_buffer=False)  # with it, its threads and torch's abort some exits
        size = source.seek(0, 2)
        _refuse_bombs(file, size, where)
        table = file.read()
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise DataError(f"'{where}' is not a whole Parquet file ({str(error).splitlines()[0].lower()})") from None
    meta = table_meta(table, where)
    if meta["schema"] not in TABLES:
        raise DataError(f"'{where}' is Parquet that claims to hold {meta['schema']}, which is not a table schema")
    return meta, _check_columns(table, meta["schema"], where)


def _refuse_bombs(file: pq.ParquetFile, size: int, where: str) -> None:
    groups = (file.metadata.row_group(i) for i in range(file.metadata.num_row_groups))
    total = sum(group.total_byte_size for group in groups)
    total = max(total, 8 * file.metadata.num_rows)  # a constant column can claim rows that cost it no bytes
    if total > MAX_BYTES or (total > BOMB_FLOOR and total > BOMB_RATIO * size):
        raise DataError(f"'{where}' would unpack {size} bytes to {total}; refusing (decompression bomb?)")


def _check_columns(table: pa.Table, schema: str, where: str) -> pa.Table:
    for name, kind in TABLES[schema].items():
        if name not in table.column_names:
            if kind.endswith("?"):
                continue
            raise DataError(f"'{where}' lacks the column '{name}' of {schema}")
        wanted = TYPES[kind.rstrip("?")]
        if table.schema.field(name).type != wanted:
            raise DataError(f"'{where}': column '{name}' is {table.schema.field(name).type}, {schema} wants {wanted}")
    return table
