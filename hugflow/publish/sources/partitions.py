"""Columns from the names of folders, as Hive, Spark and pandas write tables: `year=2024/part-0.parquet`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

import pyarrow as pa

from hugflow.hf_client.features import features_of
from hugflow.publish.sources.features import Columns
from hugflow.publish.sources.files import DataFile
from hugflow.publish.sources.formats import FileTable
from hugflow.publish.sources.text_types import TextColumn, from_text

_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"

Values = Mapping[DataFile, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Partitioned:
    """Files with the columns that their folders name; a column that the files have themselves is theirs."""

    table: FileTable
    columns: Columns
    values: Values

    @property
    def rows(self) -> Mapping[DataFile, int]:
        """The rows of each file."""
        return self.table.rows

    @property
    def notes(self) -> tuple[str, ...]:
        """Those of the files."""
        return self.table.notes

    def parts(
        self, files: Iterable[DataFile], names: Sequence[str] | None
    ) -> Iterator[tuple[DataFile, pa.RecordBatch]]:
        """The rows of some of the files, in order; `names` are the wanted columns."""
        wanted = self.columns.only(names)
        own = self.table.columns.schema.names
        # any column says how many rows there are
        read = [name for name in wanted.names if name in own] or own[:1]
        for file, batch in self.table.parts(files, read):
            arrays = [
                batch.column(field.name) if field.name in own else self._value(file, field, batch.num_rows)
                for field in wanted
            ]
            yield file, pa.RecordBatch.from_arrays(arrays, schema=wanted)

    def _value(self, file: DataFile, field: pa.Field, rows: int) -> pa.Array:
        (value,) = from_text(pa.array([self.values[file].get(field.name)], pa.string()), field.type)
        return pa.repeat(value, rows) if value.is_valid else pa.nulls(rows, field.type)


def with_partitions(table: FileTable, as_text: Collection[str] = ()) -> FileTable:
    """The table, with a column for every `name=value` among its files' folders; itself where there is none."""
    values = {file: _values(file) for file in table.rows}
    own = set(table.columns.schema.names)
    names = dict.fromkeys(name for each in values.values() for name in each if name not in own)
    if not names:
        return table
    fields = []
    for name in names:
        column = TextColumn.of_text() if name in as_text else TextColumn()
        column.add(pa.array([each.get(name) for each in values.values()], pa.string()))
        fields.append(pa.field(name, column.kind))
    schema = pa.schema([*table.columns.schema, *fields])
    features = {**table.columns.features, **features_of(pa.schema(fields))}
    return Partitioned(table, Columns(schema, features), values)


def _values(file: DataFile) -> dict[str, str]:
    pairs = [part.partition("=") for part in file.name.split("/")[:-1]]
    found = {unquote(name): unquote(value) for name, equals, value in pairs if equals and name}
    return {name: value for name, value in found.items() if value != _NO_VALUE}
