"""Times of rows: the column that has them, and the first and the last of them as text of ISO 8601.

All arithmetic is on whole nanoseconds since 1970, so nothing is rounded. A range is written as the data has it: dates
as `2024-01-31`, times with a zone in UTC as `2024-01-31T08:00:00Z`, times without a zone as `2024-01-31T08:00:00`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

Form = Literal["date", "naive", "utc"]
"""A date without a time, a time without a zone, a time in UTC."""

NS_IN: dict[str, int] = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1, "d": 86_400 * 10**9}
USUAL_NAMES = ("timestamp", "datetime", "date", "time", "ts")
"""Of several columns with times the first of these is taken; else the first in the table's own order."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,9})?)?"
_PATTERNS: tuple[tuple[Form, str], ...] = (
    ("date", r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"),
    ("naive", rf"^{_TIME}$"),
    ("utc", rf"^{_TIME}(Z|[+-][0-9]{{2}}(:?[0-9]{{2}})?)$"),
)
# Up to which absolute value a count since 1970 is taken for one of that unit: each limit is in the year 5138.
_EPOCH_UNITS = (("s", 10**11), ("ms", 10**14), ("us", 10**17))


class NotTimes(ValueError):
    """Values of a column are not times; the message is the end of a sentence about the column."""


def is_time(kind: pa.DataType) -> bool:
    """Test for a type of dates or timestamps."""
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def may_be_time(kind: pa.DataType) -> bool:
    """Test for a type that can hold times: dates, timestamps, text of ISO 8601, counts since 1970."""
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    return bool(is_time(kind) or text or pa.types.is_integer(kind))


def found_by_type(types: Mapping[str, pa.DataType]) -> str | None:
    """The column with the rows' time in a table whose request names none; `types` are those of the values."""
    names = [name for name, kind in types.items() if is_time(kind)]
    usual = [name for wanted in USUAL_NAMES for name in names if name.casefold() == wanted]
    return next(iter(usual + names), None)


@dataclass(slots=True)
class TimeTally:
    """The first and the last time of a column, over any number of batches. `kind` is the column's type."""

    kind: pa.DataType
    low: int | None = None
    high: int | None = None
    forms: set[Form] = field(default_factory=set)

    def add(self, values: pa.Array) -> None:
        """Take the times of one batch; NotTimes for text that is none."""
        if pa.types.is_date64(values.type):
            values = pc.cast(values, pa.date32(), safe=False)
        if len(values) == values.null_count:
            return
        if pa.types.is_date32(values.type):
            self._add_least_and_most(pc.cast(values, pa.int32()), NS_IN["d"])
        elif pa.types.is_timestamp(values.type):
            self._add_least_and_most(pc.cast(values, pa.int64()), NS_IN[values.type.unit])
        elif pa.types.is_integer(values.type):
            self._add_least_and_most(values, 1)
        else:
            self._add_text(values)

    def widen(self, low: int, high: int) -> None:
        """Take a range in nanoseconds since 1970, or in the column's own count where it holds integers."""
        self.low = low if self.low is None else min(self.low, low)
        self.high = high if self.high is None else max(self.high, high)

    def range(self) -> tuple[str, str] | None:
        """The first and the last time as text; None where there are none.

        Raises NotTimes for years that no calendar has, and where only some of the times have a zone.
        """
        if self.low is None or self.high is None:
            return None
        form, scale = self._form()
        return iso(self.low * scale, form), iso(self.high * scale, form)

    def _form(self) -> tuple[Form, int]:
        if pa.types.is_date(self.kind):
            return "date", 1
        if pa.types.is_timestamp(self.kind):
            return ("utc" if self.kind.tz else "naive"), 1
        if pa.types.is_integer(self.kind):
            return "utc", self._epoch_scale()
        if "utc" in self.forms and len(self.forms) > 1:
            raise NotTimes("has times with a zone and times without one")
        return next(form for form in ("naive", "utc", "date") if form in self.forms), 1

    def _epoch_scale(self) -> int:
        largest = max(abs(self.low or 0), abs(self.high or 0))
        return NS_IN[next((unit for unit, limit in _EPOCH_UNITS if largest < limit), "ns")]

    def _add_least_and_most(self, values: pa.Array, scale: int) -> None:
        both = pc.min_max(values)
        self.widen(both["min"].as_py() * scale, both["max"].as_py() * scale)

    def _add_text(self, values: pa.Array) -> None:
        known = values.null_count
        for form, pattern in _PATTERNS:
            matching = values.filter(pc.match_substring_regex(values, pattern))
            known += len(matching)
            if len(matching):
                self.forms.add(form)
                self._add_least_and_most(*_parsed(matching, form))
        if known < len(values):
            raise NotTimes("has text that is no date or time of ISO 8601, such as `2024-01-31T08:00:00Z`")


def _parsed(texts: pa.Array, form: Form) -> tuple[pa.Array, int]:
    """Read texts of one form as counts since 1970, and the nanoseconds of one count."""
    zone = "UTC" if form == "utc" else None
    for unit in ("us", "ns"):  # microseconds reach all years, nanoseconds only those from 1677 to 2262
        try:
            return pc.cast(pc.cast(texts, pa.timestamp(unit, zone)), pa.int64()), NS_IN[unit]
        except pa.ArrowInvalid:
            continue
    raise NotTimes("has dates or times that do not exist, or with more digits than can be read")


def iso(nanoseconds: int, form: Form) -> str:
    """A time as text of ISO 8601, with as many digits of a second as it needs; NotTimes outside of years 1 to 9999."""
    seconds, rest = divmod(nanoseconds, NS_IN["s"])
    try:
        moment = _EPOCH + timedelta(seconds=seconds)
    except OverflowError as error:
        raise NotTimes("has times outside of the years 1 to 9999") from error
    if form == "date":
        return moment.date().isoformat()
    return f"{moment.replace(tzinfo=None).isoformat()}{fraction(rest)}{'Z' if form == 'utc' else ''}"


def fraction(nanoseconds: int) -> str:
    """A part of a second as text: nothing, or a point and 3, 6 or 9 digits."""
    digits = f"{nanoseconds:09d}"
    while digits.endswith("000"):
        digits = digits[:-3]
    return f".{digits}" if digits else ""


def of_scalar(value: Any, kind: pa.DataType) -> str:
    """A single date, time or time of day as text; `value` is the count that Arrow keeps for it."""
    if pa.types.is_time(kind):
        seconds, rest = divmod(value * NS_IN[kind.unit], NS_IN["s"])
        return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{fraction(rest)}"
    if pa.types.is_date(kind):
        return iso(value * NS_IN["d"], "date")
    return iso(value * NS_IN[kind.unit], "utc" if kind.tz else "naive")
