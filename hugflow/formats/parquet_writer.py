"""Tables written as parquet with small row groups, so that workers can begin at any row in flat memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Self

import pyarrow as pa
import pyarrow.parquet as pq

from hugflow.formats.json_values import JSON, decoded, to_array
from hugflow.storage.disk import new_file, open_folder, remove_temporaries, temporary_name

GROUP_ROWS = 1000
GROUP_BYTES = 32 << 20


def write_rows(tables: Callable[[], Iterator[pa.Table]], target: Path) -> None:
    """Write the rows of `tables()` as parquet; it is called again where a later row widened a column's type.

    Raises what `tables` raises, ArrowInvalid and ArrowTypeError where the rows have no common types, OSError.
    """
    with open_folder(target.parent) as folder:
        remove_temporaries(target.name, folder)
        temporary = temporary_name(target.name)
        descriptor = new_file(temporary, folder)
        with open(descriptor, "wb") as file:  # noqa: PTH123 - of a descriptor
            _write_groups(tables, file)
        os.replace(temporary, target.name, src_dir_fd=folder, dst_dir_fd=folder)


def _write_groups(tables: Callable[[], Iterator[pa.Table]], file: BinaryIO) -> None:
    schema, wanted = None, None
    while True:
        file.seek(0)
        file.truncate()
        with _GroupWriter(file) as writer:
            for table in map(_storable, tables()):
                schema = _wider(schema, table.schema)
                wanted = schema if wanted is None else wanted
                if schema == wanted:
                    writer.add(table, wanted)
            schema = schema or pa.schema([])
            if wanted in (None, schema):
                writer.finish(schema)
                break
        wanted = schema


class _GroupWriter:
    """Writes tables as row groups of a bounded number of rows and bytes: the same rows always give the same groups."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._writer: pq.ParquetWriter | None = None
        self._tables: list[pa.Table] = []
        self._rows = self._bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def add(self, table: pa.Table, schema: pa.Schema) -> None:
        """Add the rows of a table, converted to `schema`."""
        for start in range(0, table.num_rows, GROUP_ROWS):
            part = table.slice(start, GROUP_ROWS)
            if self._tables and (self._rows + part.num_rows > GROUP_ROWS or self._bytes + part.nbytes > GROUP_BYTES):
                self._flush(schema)
            part = part.replace_schema_metadata(None)
            if not part.schema.equals(schema):
                empty = pa.table([pa.nulls(0, kind) for kind in schema.types], schema=schema)
                part = pa.concat_tables([empty, part], promote_options="permissive").select(schema.names)
            self._tables.append(part)
            self._rows += part.num_rows
            self._bytes += part.nbytes

    def finish(self, schema: pa.Schema) -> None:
        """Write the rows that are left, and the footer."""
        self._flush(schema)
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _flush(self, schema: pa.Schema) -> None:
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._file, schema, compression="zstd")
        if self._tables:
            self._writer.write_table(pa.concat_tables(self._tables), row_group_size=GROUP_ROWS)
        self._tables, self._rows, self._bytes = [], 0, 0


def _storable(table: pa.Table) -> pa.Table:
    """Return a table that parquet can hold and Arrow can join to others.

    Objects without any key become JSON, as parquet has no such type; extension types but JSON become their storage.
    """
    for i, field in enumerate(table.schema):
        kind = _storable_type(field.type)
        if kind != field.type:
            values = [decoded(value, field.type) for value in table.column(i).to_pylist()]
            table = table.set_column(i, field.name, to_array(values, kind))
    return table


def _storable_type(kind: pa.DataType) -> pa.DataType:
    if isinstance(kind, pa.JsonType):
        return kind
    if isinstance(kind, pa.BaseExtensionType):
        return _storable_type(kind.storage_type)
    if pa.types.is_struct(kind):
        fields = [pa.field(field.name, _storable_type(field.type)) for field in kind]
        changed = any(ours.type != theirs.type for ours, theirs in zip(fields, kind, strict=True))
        return JSON if not fields else pa.struct(fields) if changed else kind
    if pa.types.is_list(kind):
        inner = _storable_type(kind.value_type)
        return kind if inner == kind.value_type else pa.list_(inner)
    return kind


def _wider(known: pa.Schema | None, other: pa.Schema) -> pa.Schema:
    """Return the schema that holds the rows of both."""
    other = other.remove_metadata()
    return other if known is None else pa.unify_schemas([known, other], promote_options="permissive")
