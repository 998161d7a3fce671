"""Fit the rows of a publish to the columns of the splits that they are published beside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pyarrow as pa

from hugflow.model.errors import InvalidRequest
from hugflow.publish.job import PublishJob, TableJob
from hugflow.publish.sources.features import Columns, as_type
from hugflow.publish.sources.opening import Source
from hugflow.publish.sources.unify import loss_of
from hugflow.publish.state import BranchState
from hugflow.text.printable import shown


def fitted_to(job: PublishJob, state: BranchState) -> PublishJob:
    """The job with the columns that its configs have on the Hub, where splits of them stay.

    Columns come in the order of the Hub, and types widen to those of the Hub where no value changes. What does not go
    together stays as it is, and is refused when it is compared. Raises nothing before the rows are read.
    """
    return replace(job, tables=tuple(_fitted_table(table, state) for table in job.tables))


def _fitted_table(table: TableJob, state: BranchState) -> TableJob:
    config = state.configs.get(table.name)
    if config is None or config.read is None:
        return table
    columns = _common(config.read, Columns(table.sources[0].schema, table.features))
    if columns is None or (columns.schema == table.sources[0].schema and columns.features == dict(table.features)):
        return table
    return replace(table, sources=tuple(_fitted_source(source, columns) for source in table.sources))


def _common(there: Columns, new: Columns) -> Columns | None:
    """The columns of the Hub, if all new values fit into them, or may; None where they do not."""
    if set(there.schema.names) != set(new.schema.names):
        return None
    for name in there.schema.names:
        have, want = new.schema.field(name).type, there.schema.field(name).type
        if have != want and loss_of(have, want) == "any":
            return None
        if have == want and new.features[name] != there.features[name] and not _is_plain(new, name):
            return None
    return there


def _is_plain(columns: Columns, name: str) -> bool:
    """True if a column has no feature beside its type, so that it may take that of the Hub."""
    return columns.features[name].get("_type") == "Value" if isinstance(columns.features[name], dict) else False


def _fitted_source(source: Source, columns: Columns) -> Source:
    def read(names: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
        schema = columns.only(names)
        for batch in source.read(schema.names):
            arrays = [_cast(source, field, batch.column(field.name)) for field in schema]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    return replace(source, schema=columns.schema, features=columns.features, read=read, parquet_files=())


def _cast(source: Source, field: pa.Field, values: pa.Array) -> pa.Array:
    if values.type == field.type:
        return values
    try:
        return as_type(values, field.type)
    except pa.ArrowInvalid as error:
        raise InvalidRequest(
            f"publishing {source.config}/{source.split}",
            f"a value of {shown(field.name)} does not fit the type that the column has on the Hub,"
            f" {shown(str(field.type))}: {shown(str(error), 200)}",
            "Correct the data, or publish the whole table again without `append`.",
            reason="mixed_schema",
        ) from error
