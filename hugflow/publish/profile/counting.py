"""One pass over the splits of a table: footers first, then only the columns of which they do not tell enough."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from hugflow.model.errors import InvalidRequest
from hugflow.model.publish_spec import Table
from hugflow.publish.profile.columns import DOING, place
from hugflow.publish.profile.footers import Footers, read_footers
from hugflow.publish.profile.tallies import DistinctTally, Limits, comparable, missing, plain, plain_type
from hugflow.publish.profile.times import NotTimes, TimeTally, found_by_type
from hugflow.text.printable import shown


class Rows(Protocol):
    """One split of a table, as `hugflow.publish.sources` opens it.

    `parquet_files` are the files that hold just these rows, where there are such files.
    """

    @property
    def split(self) -> str: ...
    @property
    def schema(self) -> pa.Schema: ...
    @property
    def parquet_files(self) -> Sequence[Path]: ...

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The rows from the first to the last, each time; only `columns` of them."""
        ...


@dataclass(slots=True)
class Count:
    """The running counts of a table, over its batches. `at` is the table's place in the request."""

    table: Table
    schema: pa.Schema
    at: str
    split_rows: dict[str, int] = field(default_factory=dict)
    nulls: dict[str, int] = field(init=False)
    times: TimeTally | None = field(init=False)
    limits: dict[str, Limits] = field(init=False)
    outside: dict[str, int] = field(init=False)
    lists: dict[str, DistinctTally] = field(init=False)

    def __post_init__(self) -> None:
        ranges = self.table.quality.range or {}
        self.nulls = dict.fromkeys(self.schema.names, 0)
        self.times = TimeTally(self._type(self.time_column)) if self.time_column else None
        self.limits = {column: Limits.of(self._type(column), *limits) for column, limits in ranges.items()}
        self.outside = dict.fromkeys(ranges, 0)
        self.lists = {column: DistinctTally() for column in (self.table.distinct or {}).values()}

    @property
    def time_column(self) -> str | None:
        """The column with the rows' time: the one that the request names, or one that is found by its type."""
        return self.table.timestamp_column or found_by_type({name: self._type(name) for name in self.schema.names})

    @property
    def key(self) -> tuple[str, ...]:
        """The columns that together identify a row."""
        return self.table.quality.unique or ()

    @property
    def key_schema(self) -> pa.Schema:
        """The types of the key's columns as they are compared, under names of our own."""
        empty = (comparable(plain(pa.array([], self.schema.field(column).type))) for column in self.key)
        return pa.schema([(f"k{index}", values.type) for index, values in enumerate(empty)])

    def over(self, sources: Sequence[Rows]) -> Iterator[pa.RecordBatch]:
        """Count all sources, and pass on the key of each row where there is one."""
        for source in sources:
            self.split_rows.setdefault(source.split, 0)
            footers = self._footers(source)
            uncounted = {name for name in self.nulls if footers is None or not self._told(footers, name)}
            untimed = {self.time_column} - {None} if footers is None or not footers.times_known else set()
            read = {*uncounted, *untimed, *self.limits, *self.lists, *self.key}
            if not read:
                continue
            for batch in source.batches([name for name in self.schema.names if name in read]):
                self.split_rows[source.split] += batch.num_rows if footers is None else 0
                columns = {name: plain(batch.column(name)) for name in batch.schema.names}
                self._take(columns, uncounted, timed=bool(untimed))
                if self.key:
                    yield self._keys(columns)

    def date_range(self) -> tuple[str, str] | None:
        """The first and the last time; None where there is no time.

        InvalidRequest for a named column whose times cannot be; one that was only found by its type is passed over.
        """
        try:
            return self.times.range() if self.times else None
        except NotTimes as error:
            if self.table.timestamp_column is None:
                return None
            raise self._no_times(error) from error

    def _footers(self, source: Rows) -> Footers | None:
        if not source.parquet_files:
            return None
        footers = read_footers(source.parquet_files, self.time_column)
        self.split_rows[source.split] += footers.rows
        for name in self.nulls:
            self.nulls[name] += footers.nulls[name] if self._told(footers, name) else 0
        if self.times and footers.times:
            self.times.widen(*footers.times)
        return footers

    def _told(self, footers: Footers, name: str) -> bool:
        """Test for a complete count of missing values in the footers: they do not count NaN."""
        return name in footers.nulls and not pa.types.is_floating(self._type(name))

    def _take(self, columns: dict[str, pa.Array], uncounted: set[str], *, timed: bool) -> None:
        for name in uncounted:
            self.nulls[name] += missing(columns[name])
        for name, limits in self.limits.items():
            self.outside[name] += limits.outside(columns[name])
        for name, tally in self.lists.items():
            tally.add(comparable(columns[name]))
        if timed and self.times and self.time_column:
            try:
                self.times.add(columns[self.time_column])
            except NotTimes as error:
                raise self._no_times(error) from error

    def _keys(self, columns: dict[str, pa.Array]) -> pa.RecordBatch:
        return pa.record_batch([comparable(columns[name]) for name in self.key], schema=self.key_schema)

    def _type(self, column: str) -> pa.DataType:
        return plain_type(self.schema.field(column).type)

    def _no_times(self, error: NotTimes) -> InvalidRequest:
        field_ = place(self.at, "timestamp_column")
        problem = f"column {shown(self.time_column or '')} of {shown(self.table.name)} {error}"
        fix = "Name another column, or mend the data."
        return InvalidRequest(DOING, problem, fix, reason="not_times", field=field_)
