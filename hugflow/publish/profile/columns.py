"""Check that a table has the columns that its request names, with types that fit their use."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from hugflow.model.errors import InvalidRequest
from hugflow.model.publish_spec import Table
from hugflow.publish.profile.tallies import has_list, has_range, plain_type
from hugflow.publish.profile.times import may_be_time
from hugflow.text.printable import closest, listed, shown

DOING = "checking the columns of the tables"
_FIX = "Change the request, or the data."


@dataclass(frozen=True, slots=True)
class _Use:
    """A column that a field of the request names, and the test that its type must pass."""

    field: str
    column: str
    fits: Callable[[pa.DataType], bool] = lambda kind: True  # noqa: ARG005 - for rules that every type can keep
    wanted: str = ""


def check_columns(table: Table, schema: pa.Schema, at: str) -> None:
    """Refuse a table in which named columns are missing or of a type that does not fit; report all of them at once.

    `at` is where the table stands in the request, such as `tables[0]`. Raises InvalidRequest.
    """
    found = [(use.field, sentence) for use in _uses(table) if (sentence := _problem(use, schema))]
    if found:
        raise InvalidRequest(
            DOING,
            "; ".join(f"`{place(at, field)}` {sentence}" for field, sentence in found),
            _FIX,
            reason="unknown_column",
            field=place(at, found[0][0]),
        )


def check_one_schema(table: Table, schemas: Sequence[tuple[str, pa.Schema]], at: str) -> None:
    """Refuse a table whose splits have different columns or types: they would not load as one config.

    Raises InvalidRequest.
    """
    (first, wanted), *others = schemas
    for split, schema in others:
        names = set(wanted.names) ^ set(schema.names)
        retyped = [
            name for name in wanted.names if name not in names and wanted.field(name).type != schema.field(name).type
        ]
        if names or retyped:
            columns = listed(sorted(names) or retyped)
            raise InvalidRequest(
                DOING,
                f"the splits {shown(first)} and {shown(split)} of {shown(table.name)} differ in {columns}",
                "Give them the same columns and types, or publish them as tables of their own.",
                reason="mixed_schemas",
                field=place(at, "splits"),
            )


def place(at: str, field: str) -> str:
    """Name a field of a table as people do: `tables[0].quality.unique`."""
    return f"{at}.{field}" if at else field


def _uses(table: Table) -> Iterator[_Use]:
    rules = table.quality
    if table.timestamp_column is not None:
        wanted = "have dates, times, whole numbers that count from 1970, or text of ISO 8601"
        yield _Use("timestamp_column", table.timestamp_column, may_be_time, wanted)
    for name, column in (table.distinct or {}).items():
        yield _Use(f"distinct.{name}", column, has_list, "have text, numbers, dates or times")
    for column in rules.not_null or ():
        yield _Use("quality.not_null", column)
    for column in rules.unique or ():
        yield _Use("quality.unique", column, _is_single, "have single values")
    for column in rules.range or {}:
        yield _Use("quality.range", column, has_range, "have numbers")


def _problem(use: _Use, schema: pa.Schema) -> str:
    if use.column not in schema.names:
        near = closest(use.column, schema.names)
        advice = f"did you mean {shown(near)}?" if near else f"its columns are {listed(schema.names)}"
        return f"must name a column of the table, and {shown(use.column)} is none; {advice}"
    kind = plain_type(schema.field(use.column).type)
    if not use.fits(kind):
        return f"must name a column with other values: {shown(use.column)} should {use.wanted}, and is `{kind}`"
    return ""


def _is_single(kind: pa.DataType) -> bool:
    return not pa.types.is_nested(kind) and not pa.types.is_interval(kind)
