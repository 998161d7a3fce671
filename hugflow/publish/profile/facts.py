"""Measure a table before it is published: rows, missing values, date range, distinct lists, broken rules.

Most facts come from the footers of parquet files. The others are counted in one pass over only the columns that are
needed, batch by batch; keys are compared by DuckDB, which goes to scratch when they outgrow its memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa

from hugflow.card.spec_json import MAX_LISTED, bounded, sampled
from hugflow.model.errors import InvalidRequest
from hugflow.model.publish_spec import Table
from hugflow.publish.profile.columns import check_columns, check_one_schema, place
from hugflow.publish.profile.counting import Count, Rows
from hugflow.publish.profile.keys import distinct_values, repeated_rows
from hugflow.publish.profile.tallies import Value, comparable, plain, plain_type, shown_value
from hugflow.text.printable import listed, shown

MEMORY_BYTES = 128 << 20
Rule = Literal["empty", "not_null", "unique", "range"]


@dataclass(frozen=True, slots=True)
class Distinct:
    """The distinct values of a column in order, nulls and NaN left out. `values` is None where there are too many."""

    column: str
    count: int
    values: tuple[Value, ...] | None
    sample: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Broken:
    """A rule that a table does not keep: `count` of its `rows` break it; `message` says it in a sentence."""

    table: str
    rule: Rule
    columns: tuple[str, ...]
    count: int
    rows: int
    field: str
    message: str


@dataclass(frozen=True, slots=True)
class TableFacts:
    """The facts of all splits of a table together.

    `nulls` has the missing values of every column, NaN among them. `date_range` is the first and the last time as
    ISO 8601 text: dates as they are, times with a zone in UTC (`...Z`), others without one.
    """

    table: str
    split_rows: Mapping[str, int]
    nulls: Mapping[str, int]
    timestamp_column: str | None
    date_range: tuple[str, str] | None
    distinct: Mapping[str, Distinct]
    broken: tuple[Broken, ...]

    @property
    def rows(self) -> int:
        """The rows of all splits."""
        return sum(self.split_rows.values())

    @property
    def missing(self) -> int:
        """The number of cells without a value."""
        return sum(self.nulls.values())

    @property
    def cells(self) -> int:
        """Rows by columns."""
        return self.rows * len(self.nulls)


def measure(
    sources: Sequence[Rows], table: Table, scratch: Path, memory_bytes: int = MEMORY_BYTES, *, at: str = ""
) -> TableFacts:
    """Count the facts of `table`, over all its splits together.

    A key is compared over all splits: a row that stands in two of them is repeated. Two nulls, or two NaN, are the
    same key. Memory: one batch, `memory_bytes` for DuckDB where there is a key, and some distinct values.
    `at` is where the table stands in the request, such as `tables[0]`.

    Raises InvalidRequest (with its field) for columns that are missing or of the wrong type, and for times that are
    none; StorageFault where neither memory nor `scratch` suffices; and what the sources raise.
    """
    check_one_schema(table, [(source.split, source.schema) for source in sources], at)
    check_columns(table, sources[0].schema, at)
    count = Count(table, sources[0].schema, at)
    keys = count.over(sources)
    repeated = repeated_rows(keys, count.key_schema, scratch, memory_bytes) if count.key else sum(1 for _ in keys)
    lists = {
        name: _held(column, count) or _counted_apart(column, sources, scratch, memory_bytes)
        for name, column in (table.distinct or {}).items()
    }
    broken = tuple(_broken(count, repeated))
    return TableFacts(table.name, count.split_rows, count.nulls, count.time_column, count.date_range(), lists, broken)


def gate(facts: Iterable[TableFacts]) -> None:
    """Refuse to publish where a rule is broken: names every table, rule and count. Raises InvalidRequest."""
    broken = [each for one in facts for each in one.broken]
    if broken:
        raise InvalidRequest(
            "checking the quality rules",
            "; ".join(each.message for each in broken),
            "Nothing was published. Correct the data, or change the rules of the request.",
            reason="quality",
            field=broken[0].field,
        )


# -- distinct lists --------------------------------------------------------------------------------------------------


def _held(column: str, count: Count) -> Distinct | None:
    """The list from the values in memory; None where they were too many."""
    tally = count.lists[column]
    if tally.full:
        return None
    return _distinct(column, len(tally.values), sorted(tally.values), count.schema)


def _counted_apart(column: str, sources: Sequence[Rows], scratch: Path, memory_bytes: int) -> Distinct:
    """The list of a column with very many values, by one more pass over it."""
    schema = sources[0].schema
    kind = comparable(plain(pa.array([], schema.field(column).type))).type
    one = pa.schema([("k0", kind)])

    def values() -> Iterator[pa.RecordBatch]:
        for source in sources:
            for batch in source.batches([column]):
                yield pa.record_batch([comparable(plain(batch.column(column)))], schema=one)

    count, first = distinct_values(values(), one, scratch, memory_bytes, MAX_LISTED + 1)
    return _distinct(column, count, first, schema)


def _distinct(column: str, count: int, values: Sequence[object], schema: pa.Schema) -> Distinct:
    kind = plain_type(schema.field(column).type)
    first = tuple(shown_value(value, kind) for value in values[: MAX_LISTED + 1])
    return Distinct(column, count, bounded(first), sampled(first))


# -- rules -----------------------------------------------------------------------------------------------------------


def _broken(count: Count, repeated: int) -> Iterator[Broken]:
    rules, rows = count.table.quality, sum(count.split_rows.values())
    if rows == 0 and not rules.allow_empty:
        yield _rule(count, "empty", (), 0, "allow_empty", "has no rows; `allow_empty: true` would accept that")
    elif not rules.allow_empty:
        for split in (split for split, found in count.split_rows.items() if not found):
            text = f"has no rows in its split {shown(split)}, so that `load_dataset` would fail; leave the split out"
            yield _rule(count, "empty", (), 0, "allow_empty", text)
    for column in rules.not_null or ():
        if gaps := count.nulls[column]:
            text = f"has {_number(gaps, 'missing value')} in {shown(column)}"
            yield _rule(count, "not_null", (column,), gaps, "not_null", text)
    if repeated:
        verb = "repeats" if repeated == 1 else "repeat"
        text = f"has {_number(repeated, 'row')} that {verb} the {listed(count.key)} of another row"
        yield _rule(count, "unique", count.key, repeated, "unique", text)
    for column, limits in (rules.range or {}).items():
        if outside := count.outside[column]:
            verb = "is" if outside == 1 else "are"
            text = f"has {_number(outside, 'value')} in {shown(column)} that {verb} not {_within(*limits)}"
            yield _rule(count, "range", (column,), outside, f"range.{column}", text)


def _rule(count: Count, rule: Rule, columns: tuple[str, ...], found: int, field: str, text: str) -> Broken:
    rows = sum(count.split_rows.values())
    of = f", in {_number(rows, 'row')}" if rows else ""
    message = f"table {shown(count.table.name)} {text}{of} (rule `{rule}`)"
    return Broken(count.table.name, rule, columns, found, rows, place(count.at, f"quality.{field}"), message)


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")


def _within(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return f"at least {low}" if high is None else f"at most {high}"
    return f"from {low} to {high}"
