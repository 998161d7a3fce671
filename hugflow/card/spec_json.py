"""Read, merge and write spec.json, which describes a published repository to programs; no I/O.

A newer publish changes the tables that it wrote and what follows from them; every other table, and every field that is
not ours, stays. Nothing but three times depends on when it was written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hugflow.card.feature_text import type_name
from hugflow.model.errors import InvalidRequest
from hugflow.text.printable import shown

FIRST_VERSION = "1.0.0"
MAX_LISTED = 10_000
"""Of a distinct list with more values, or more text than `MAX_LISTED_BYTES`, only the count is written."""
MAX_LISTED_BYTES = 500_000
MAX_SAMPLE = 10
MAX_SAMPLE_TEXT = 200

COUNTED = ("date_range", "time_range", "missing_cells", "distinct")
"""The fields of a table that are counted over all of its rows."""

Change = Literal["first", "same", "minor", "major"]
Value = str | int | float | bool
Count = Annotated[int, Field(ge=0)]
_VERSION = re.compile(r"v?(\d{1,9})(?:\.(\d{1,9}))?(?:\.(\d{1,9}))?", re.ASCII)

_DAY = Field(json_schema_extra={"pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"})
_MOMENT = Field(json_schema_extra={"pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$"})
_SEMVER = Field(json_schema_extra={"pattern": "^[0-9]+[.][0-9]+[.][0-9]+$"})
# Types that differ in how Arrow keeps a value, not in the value: a reader sees no change between them.
_SAME_TYPES = re.compile(r"\blarge_(?=string|binary|list)|\b(string|binary)_view\b")


class _Part(BaseModel):
    """The base of all parts: frozen, and it keeps the fields that it does not know."""

    model_config = ConfigDict(
        frozen=True,
        extra="allow",
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
        coerce_numbers_to_str=True,
        allow_inf_nan=False,
    )


class SpecColumn(_Part):
    """A column of a table."""

    name: str
    """The column's name."""
    type: str
    """Its type in the Hub's words, such as `int64`, `timestamp[us, tz=UTC]`, `audio` or `list<string>`."""


class DateRange(_Part):
    """The first and the last of a table's dates, such as `2024-01-31`."""

    start: str | None = None
    """The first date."""
    end: str | None = None
    """The last date."""


class TimeRange(_Part):
    """The first and the last time of a table's rows, in ISO 8601: in UTC (`Z`), or without a zone."""

    start: str | None = None
    """The first time."""
    end: str | None = None
    """The last time."""


class SplitSize(_Part):
    """The size of a split."""

    row_count: Count
    """The number of its rows."""
    size_bytes: Count
    """The size of its files."""
    path: str | tuple[str, ...] | None = None
    """The path of its file in the repository, or the pattern of its files."""


class DistinctList(_Part):
    """The distinct values of a column, sorted; missing values left out."""

    column: str
    """The column."""
    count: Count | None = None
    """The number of its distinct values; left out where it is not known for rows of earlier publishes."""
    values: tuple[Value, ...] | None = None
    """The values; left out where there are too many."""
    sample: tuple[Value, ...] | None = None
    """The first of the values, where they are too many to be listed."""


class TableEntry(_Part):
    """A table of the repository: a config on the Hub."""

    name: str
    """The config's name."""
    description: str | None = None
    """The table's description."""
    row_count: Count | None = None
    """The number of rows of all splits."""
    size_bytes: Count | None = None
    """The size of its files."""
    date_range: DateRange | None = None
    """The dates from the first row to the last."""
    time_range: TimeRange | None = None
    """The exact times of these rows, where the column has times."""
    timestamp_column: str | None = None
    """The column with the rows' time."""
    interval: str | None = None
    """The time between rows."""
    missing_cells: Count | None = None
    """The number of cells without a value: null or NaN."""
    columns: tuple[SpecColumn, ...] | None = None
    """The columns in their order."""
    splits: dict[str, SplitSize] | None = None
    """Each split."""
    distinct: dict[str, DistinctList] | None = None
    """The distinct lists that the table takes part in, by their names."""


class DataQuality(_Part):
    """The quality of the data."""

    validation_passed: bool | None = None
    """True if all quality rules were met; nothing is published otherwise."""
    missing_data_pct: Annotated[float, Field(ge=0, le=100)] | None = None
    """The share of cells without a value, in percent, over the tables of which it is known."""
    last_validation: Annotated[str, _MOMENT] | None = None
    """When the rules were last checked, in UTC."""


class SpecJson(_Part):
    """A published repository, described for programs.

    It also has the distinct lists: `<name>` with the values, `<name>_count` and `<name>_sample`.
    """

    update_time: Annotated[str, _DAY] | None = None
    """The day of the last change of the data, in UTC."""
    updated_at: Annotated[str, _MOMENT] | None = None
    """The time of the last change of the data, in UTC."""
    version: Annotated[str, _SEMVER] | None = None
    """The version of the columns: new ones raise its second number, removed or retyped ones its first."""
    pipeline_version: str | None = None
    """The version of what made the data."""
    tables: tuple[TableEntry, ...] = ()
    """The tables."""
    intervals: dict[str, Any] = Field(default_factory=dict)
    """The time between rows of each table, by the table's name."""
    data_quality: DataQuality = DataQuality()
    """The quality of the data."""

    def table(self, name: str) -> TableEntry | None:
        """The table called `name`."""
        return next((table for table in self.tables if table.name == name), None)

    @property
    def major(self) -> int:
        """The first number of the version; 1 where it has none."""
        return _numbers(self.version or FIRST_VERSION)[0]


# -- reading and writing ---------------------------------------------------------------------------------------------


def read(content: bytes) -> SpecJson:
    """Read a spec.json, whoever wrote it: fields may be missing, and unknown ones are kept.

    Raises InvalidRequest (`invalid_spec_json`) where it is no JSON object, or one of our fields is something else.
    """
    try:
        value = json.loads(content.decode("utf-8-sig"), parse_constant=_refuse)
        spec = SpecJson.model_validate(value)
        if spec.version is not None:
            _numbers(spec.version)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        raise _malformed(f"{shown(where)}: {first['msg']}" if where else "it is no JSON object") from error
    except (ValueError, RecursionError) as error:
        raise _malformed(shown(str(error), 200)) from error
    return spec


def write(spec: SpecJson) -> bytes:
    """The bytes of a spec.json: our fields first, in their own order; those without a value are left out."""
    value = _plain(spec)
    try:
        return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which somebody else wrote as an escape
        return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode()


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        ours = {name: getattr(value, name) for name in type(value).model_fields}
        known = {name: _plain(each) for name, each in ours.items() if each is not None}
        return known | dict(value.model_extra or {})
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return {name: _plain(each) for name, each in value.items()} if isinstance(value, dict) else value


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _malformed(problem: str) -> InvalidRequest:
    return InvalidRequest(
        "reading spec.json of the repository",
        problem,
        "Correct the file on the Hub, or delete it there: a new one is written then.",
        reason="invalid_spec_json",
    )


# -- versions --------------------------------------------------------------------------------------------------------


def change(old: SpecJson | None, tables: Sequence[TableEntry]) -> Change:
    """The kind of change that `tables` are for readers of the repository.

    "first" where there is no spec.json, "same" where all columns and splits stay, "minor" where some are new or a
    table is, "major" where columns or splits are gone or of another type: the old files are kept then.
    """
    if old is None:
        return "first"
    found = {_change(old.table(table.name), table) for table in tables}
    return "major" if "major" in found else "minor" if "minor" in found else "same"


def bumped(version: str | None, how: Change) -> str:
    """The version after a change; the first version where there was none."""
    if version is None or how == "first":
        return FIRST_VERSION
    major, minor, patch = _numbers(version)
    if how == "major":
        return f"{major + 1}.0.0"
    return f"{major}.{minor + 1}.0" if how == "minor" else f"{major}.{minor}.{patch}"


def columns_of(features: Mapping[str, Any]) -> tuple[SpecColumn, ...]:
    """The columns of a table, from the features as the Hub writes them."""
    return tuple(SpecColumn(name=name, type=type_name(feature)) for name, feature in features.items())


def _change(old: TableEntry | None, new: TableEntry) -> Change:
    if old is None:
        return "minor"
    both = [_compared(_types(old), _types(new))]
    if old.splits is not None and new.splits is not None:
        both.append(_compared(dict.fromkeys(old.splits, ""), dict.fromkeys(new.splits, "")))
    return "major" if "major" in both else "minor" if "minor" in both else "same"


def _compared(before: Mapping[str, str] | None, after: Mapping[str, str] | None) -> Change:
    """The kind of change from names with their types to others; "same" where one side is not known."""
    if before is None or after is None:
        return "same"
    if any(after.get(name) != kind for name, kind in before.items()):
        return "major"
    return "minor" if len(after) > len(before) else "same"


def _types(table: TableEntry) -> dict[str, str] | None:
    if table.columns is None:
        return None
    return {each.name: _plain_type(each.type) for each in table.columns}


def _plain_type(kind: str) -> str:
    return _SAME_TYPES.sub(lambda found: found[1] or "", kind)


def is_same_type(one: str, two: str) -> bool:
    """True if readers see no difference between two types."""
    return _plain_type(one) == _plain_type(two)


def _numbers(version: str) -> tuple[int, int, int]:
    """The three numbers of a version; `1.0` and `v1` are read too. ValueError for others."""
    match = _VERSION.fullmatch(version.strip())
    if match is None:
        raise ValueError(f"`version` must be like `1.0.0`, not {version!r}")
    major, minor, patch = (int(number or 0) for number in match.groups())
    return major, minor, patch


# -- merging ---------------------------------------------------------------------------------------------------------


def merge(
    old: SpecJson | None,
    tables: Sequence[TableEntry],
    now: datetime,
    *,
    how: Change | None = None,
    pipeline_version: str | None = None,
    without: Sequence[str] = (),
) -> SpecJson:
    """The spec.json after `tables` were published: they take the places of their namesakes, all else is kept.

    `how` is the kind of change, where it is more than that of the tables; the tables called `without` are removed.

    So are the words of people that were not given again: description, interval and `pipeline_version`.
    """
    before = old or SpecJson()
    mine = {table.name: _with_words(table, before) for table in tables}
    all_tables = [mine.get(table.name, table) for table in before.tables if table.name not in without]
    all_tables += [table for table in mine.values() if before.table(table.name) is None]
    intervals = {name: each for name, each in before.intervals.items() if name not in without}
    intervals |= {name: table.interval for name, table in mine.items() if table.interval is not None}
    quality = before.data_quality.model_copy(update={"validation_passed": True, "last_validation": _moment(now)})
    return _assembled(
        before,
        all_tables,
        now,
        version=bumped(before.version, how or change(old, tables)),
        pipeline_version=pipeline_version or before.pipeline_version,
        intervals=intervals,
        data_quality=quality,
    )


def joined(before: TableEntry | None, new: TableEntry, *, exact: bool) -> TableEntry:
    """The entry `new` with the facts of the rows that stay beside it, as `before` has them.

    `exact`: all rows of `before` stay. Otherwise some were replaced: ranges and lists may say more than the rows have,
    and missing values are not known. Without `before` nothing is known of the rows that stay.
    """
    if before is None:
        return new.model_copy(update=dict.fromkeys(COUNTED))
    days = (
        None
        if before.date_range is None
        else DateRange(start=_day(before.date_range.start), end=_day(before.date_range.end))
    )
    missing = (before.missing_cells, new.missing_cells)
    lists = new.distinct or {}
    return new.model_copy(
        update={
            "date_range": _wider(days, new.date_range),
            "time_range": _wider(before.time_range, new.time_range) if before.time_range and new.time_range else None,
            "missing_cells": sum(each or 0 for each in missing) if exact and None not in missing else None,
            "distinct": {name: _both((before.distinct or {}).get(name), each) for name, each in lists.items()},
        }
    )


def _day(text: str | None) -> str | None:
    return text[:10] if text else None


def _wider(one: Any, two: Any) -> Any:
    """The range over two ranges; one that is not known adds nothing."""
    known = [each for each in (one, two) if each is not None and each.start and each.end]
    if not known:
        return None
    start, end = min((each.start for each in known), key=_order), max((each.end for each in known), key=_order)
    return type(known[0])(start=start, end=end)


def _order(time: str) -> tuple[str, str]:
    return time[:19], time[19:].rstrip("Z").ljust(10, "0")


def _both(one: DistinctList | None, two: DistinctList) -> DistinctList:
    if one is None or one.column != two.column or one.values is None or two.values is None:
        firsts = [value for each in (one, two) if each for value in each.values or each.sample or ()]
        return DistinctList(column=two.column, sample=sampled(_sorted(firsts)))
    values, count, sample = _union([one, two])
    return DistinctList(
        column=two.column,
        count=count,
        values=None if values is None else tuple(values),
        sample=tuple(sample) if values is None else None,
    )


def without(old: SpecJson, name: str, now: datetime) -> SpecJson:
    """The spec.json after a table was deleted: a new major version, because its readers have to change."""
    rest = [table for table in old.tables if table.name != name]
    intervals = {table: interval for table, interval in old.intervals.items() if table != name}
    version = bumped(old.version, "major" if len(rest) < len(old.tables) else "same")
    return _assembled(old, rest, now, version=version, intervals=intervals)


def same_but_times(one: SpecJson, two: SpecJson) -> bool:
    """True if two are equal but for the times at which they were written."""
    return bool(_timeless(one) == _timeless(two))


def bounded(values: Sequence[Value]) -> tuple[Value, ...] | None:
    """The values of a distinct list; None where they are too many for spec.json."""
    size_bytes = sum(len(str(value).encode(errors="replace")) for value in values[: MAX_LISTED + 1])
    return tuple(values) if len(values) <= MAX_LISTED and size_bytes <= MAX_LISTED_BYTES else None


def sampled(values: Iterable[Value]) -> tuple[Value, ...]:
    """The first values of a list, very long text left out."""
    short = [value for value in values if not isinstance(value, str) or len(value) <= MAX_SAMPLE_TEXT]
    return tuple(short[:MAX_SAMPLE])


def _timeless(spec: SpecJson) -> Any:
    value = _plain(spec)
    quality = {name: each for name, each in value["data_quality"].items() if name != "last_validation"}
    rest = {name: each for name, each in value.items() if name not in {"update_time", "updated_at"}}
    return rest | {"data_quality": quality}


def _with_words(table: TableEntry, before: SpecJson) -> TableEntry:
    old = before.table(table.name)
    interval = table.interval or (old.interval if old else None) or before.intervals.get(table.name)
    words = {"description": table.description or (old.description if old else None), "interval": interval}
    return table.model_copy(update=words)


def _assembled(before: SpecJson, tables: Sequence[TableEntry], now: datetime, **fields: Any) -> SpecJson:
    """`before` with other tables, and with all that follows from them."""
    lists = _united(tables)
    ours = {key for name in {*_list_names(before.tables), *_list_names(tables)} for key in _keys(name)}
    kept = {name: value for name, value in (before.model_extra or {}).items() if name not in ours}
    quality = fields.get("data_quality", before.data_quality)
    known = {name: getattr(before, name) for name in type(before).model_fields} | fields
    return SpecJson(
        **known
        | lists
        | kept
        | {
            "update_time": _moment(now)[:10],
            "updated_at": _moment(now),
            "tables": tuple(tables),
            "data_quality": quality.model_copy(update={"missing_data_pct": _missing(tables)}),
        }
    )


def _moment(now: datetime) -> str:
    return f"{now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _missing(tables: Iterable[TableEntry]) -> float:
    """The share of cells without a value in percent, to six digits: never 0 where any is missing."""
    known = [table for table in tables if table.missing_cells is not None and table.row_count and table.columns]
    cells = sum((table.row_count or 0) * len(table.columns or ()) for table in known)
    return float(f"{100 * sum(table.missing_cells or 0 for table in known) / cells:.6g}") if cells else 0.0


# -- distinct lists --------------------------------------------------------------------------------------------------


def _keys(name: str) -> tuple[str, str, str]:
    return name, f"{name}_count", f"{name}_sample"


def _list_names(tables: Iterable[TableEntry]) -> list[str]:
    return list(dict.fromkeys(name for table in tables for name in table.distinct or {}))


def _united(tables: Sequence[TableEntry]) -> dict[str, Any]:
    """The distinct lists of all tables: one that several tables take part in has the values of all of them.

    Its values are left out where they are too many, and its count as well where it cannot be known: several tables,
    of which one has too many values to be kept here.
    """
    fields: dict[str, Any] = {}
    for name in _list_names(tables):
        lists = [table.distinct[name] for table in tables if table.distinct and name in table.distinct]
        values, count, sample = _union(lists)
        found = zip(_keys(name), (values, count, sample), strict=True)
        fields |= {key: value for key, value in found if value is not None}
    return fields


def _union(lists: Sequence[DistinctList]) -> tuple[list[Value] | None, int | None, list[Value]]:
    firsts = [value for each in lists for value in (each.sample if each.values is None else each.values) or ()]
    if len(lists) == 1:
        values = lists[0].values
        return None if values is None else list(values), lists[0].count, list(sampled(firsts))
    every = _sorted(firsts)
    if any(each.values is None for each in lists):
        return None, None, list(sampled(every))
    kept = bounded(every)
    return None if kept is None else list(kept), len(every), list(sampled(every))


def _sorted(values: Iterable[Value]) -> list[Value]:
    """Each value once, numbers before text."""
    numbers: set[Any] = set()
    texts: set[str] = set()
    for value in values:
        texts.add(value) if isinstance(value, str) else numbers.add(value)
    return [*sorted(numbers), *sorted(texts)]
