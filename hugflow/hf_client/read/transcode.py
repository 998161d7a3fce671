"""Any shard becomes parquet: what workers read is always the same, whatever the dataset's files are.

A fetched file of another format (JSON, CSV, text, Arrow, a webdataset tar) is read once, front to back, by the reader
that `datasets` has for it, and written to scratch as parquet with small row groups. That counts its rows, gives random
access for slices and resumes, and keeps memory flat.
"""

from __future__ import annotations

import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard
from datasets.exceptions import DatasetsError

from hugflow.hf_client.http import HUB_ERRORS, Answer
from hugflow.model.errors import HugflowError, Terminal
from hugflow.storage.disk import faults

GROUP_ROWS = 1000
GROUP_BYTES = 32 << 20

# What the readers of many libraries raise for the content of broken files; pyarrow's errors are among them.
UNREADABLE = (
    ArithmeticError,
    DatasetsError,
    EOFError,
    LookupError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    lzma.LZMAError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    zstandard.ZstdError,
)


def transcode(doing: str, tables: Callable[[], Iterator[pa.Table]], target: Path) -> None:
    """Write the rows of `tables()` as parquet; it is called again where a later row widened a column's type.

    Raises Terminal when the rows cannot be read or have no common types, StorageFault when the disk is full.
    """
    temporary = target.with_name(f".{target.name}.tmp")
    schema, wanted = None, None
    while True:
        with readable(doing), _GroupWriter(temporary) as writer:
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
    with faults(doing):
        temporary.replace(target)


class _GroupWriter:
    """Writes tables as row groups of a bounded number of rows and bytes: the same rows always give the same groups."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: pq.ParquetWriter | None = None
        self._tables: list[pa.Table] = []
        self._rows = self._bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def add(self, table: pa.Table, schema: pa.Schema) -> None:
        """Take the rows of a table, as `schema` has them."""
        for start in range(0, table.num_rows, GROUP_ROWS):
            part = table.slice(start, GROUP_ROWS)
            if self._tables and (self._rows + part.num_rows > GROUP_ROWS or self._bytes + part.nbytes > GROUP_BYTES):
                self._flush(schema)
            fitted = pa.concat_tables([schema.empty_table(), part], promote_options="permissive")
            self._tables.append(fitted.select(schema.names))
            self._rows += part.num_rows
            self._bytes += part.nbytes

    def finish(self, schema: pa.Schema) -> None:
        """Write what is left, and the file's end."""
        self._flush(schema)
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _flush(self, schema: pa.Schema) -> None:
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, schema, compression="zstd")
        if self._tables:
            self._writer.write_table(pa.concat_tables(self._tables), row_group_size=GROUP_ROWS)
        self._tables, self._rows, self._bytes = [], 0, 0


def _storable(table: pa.Table) -> pa.Table:
    """A table that parquet can hold and Arrow can join to others.

    Objects without any key become null. Extension types become what stores them: the JSON of values that have no
    common type, as `datasets` keeps them, becomes its text.
    """
    for i, field in enumerate(table.schema):
        kind = _storable_type(field.type)
        if kind != field.type:
            values = [_without_empty(value, field.type) for value in table.column(i).to_pylist()]
            table = table.set_column(i, field.name, pa.array(values, kind))
    return table


def _storable_type(kind: pa.DataType) -> pa.DataType:
    if isinstance(kind, pa.BaseExtensionType):
        return _storable_type(kind.storage_type)
    if pa.types.is_struct(kind):
        fields = [pa.field(field.name, _storable_type(field.type)) for field in kind]
        changed = any(ours.type != theirs.type for ours, theirs in zip(fields, kind, strict=True))
        return pa.null() if not fields else pa.struct(fields) if changed else kind
    if pa.types.is_list(kind):
        inner = _storable_type(kind.value_type)
        return kind if inner == kind.value_type else pa.list_(inner)
    return kind


def _without_empty(value: Any, kind: pa.DataType) -> Any:
    """A value of this type without the objects that have no key."""
    if value is None:
        return None
    if pa.types.is_struct(kind):
        return {field.name: _without_empty(value[field.name], field.type) for field in kind} or None
    if pa.types.is_list(kind):
        return [_without_empty(item, kind.value_type) for item in value]
    return value


def _wider(known: pa.Schema | None, other: pa.Schema) -> pa.Schema:
    """The schema that holds the rows of both."""
    other = other.remove_metadata()
    return other if known is None else pa.unify_schemas([known, other], promote_options="permissive")


@contextmanager
def readable(doing: str) -> Iterator[None]:
    """What readers raise for a file's content, as one error; the troubles of disk and network stay what they are."""
    try:
        yield
    except (HugflowError, MemoryError, *HUB_ERRORS):
        raise
    except OSError as error:
        if error.errno is not None:
            with faults(doing):
                raise
        raise _unreadable(doing, error) from error
    except UNREADABLE as error:
        raise _unreadable(doing, error) from error


def read_ranges(doing: str, read: Callable[[], Answer]) -> Answer:
    """What `read` makes of ranges of a file on the Hub; read anew where they make no sense.

    A range has no hash that would tell whether it arrived as it was. Raises Terminal where it stays unreadable.
    """
    try:
        with readable(doing):
            return read()
    except Terminal as error:
        if error.reason != "unreadable":
            raise
    with readable(doing):
        return read()


def _unreadable(doing: str, error: Exception) -> Terminal:
    lines = str(error.__cause__ or error).strip().splitlines() or [type(error).__name__]
    return Terminal(
        doing, f"its rows cannot be read: {lines[0][:300]}", "Report it to the dataset's owners.", reason="unreadable"
    )
