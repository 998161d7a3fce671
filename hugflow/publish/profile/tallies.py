"""Counts over the batches of a column: missing values, values out of range, distinct values.

A NaN is a missing value, as a null is: whether a gap is one or the other only depends on the program that wrote it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from hugflow.publish.profile import times

Value = str | int | float | bool
MAX_HELD = 100_000  # distinct values of one column in memory; a column with more is read once more, with DuckDB
MAX_HELD_BYTES = 16 << 20


def plain_type(kind: pa.DataType) -> pa.DataType:
    """The type of the values themselves, without what only says how they are kept."""
    if isinstance(kind, pa.BaseExtensionType):
        return plain_type(kind.storage_type)
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return plain_type(kind.value_type)
    return kind


def plain(values: pa.Array) -> pa.Array:
    """The same values as an array of `plain_type`."""
    if isinstance(values.type, pa.BaseExtensionType):
        return plain(values.storage)
    if pa.types.is_dictionary(values.type):
        return plain(values.dictionary_decode())
    if pa.types.is_run_end_encoded(values.type):
        return plain(pc.run_end_decode(values))
    if pa.types.is_float16(values.type):
        return pc.cast(values, pa.float32())
    return values


def missing(values: pa.Array) -> int:
    """Count the null and NaN values of an array of `plain` values."""
    nans = pc.sum(pc.is_nan(values)).as_py() if pa.types.is_floating(values.type) else 0
    return int(values.null_count + (nans or 0))


# -- ranges ----------------------------------------------------------------------------------------------------------


def has_range(kind: pa.DataType) -> bool:
    """Test for a type whose values can be compared with numbers."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


@dataclass(frozen=True, slots=True)
class Limits:
    """A lowest and a highest allowed value as values of the column's own type, so that nothing is rounded in between.

    None where there is no limit; `none_fits` where no value of the type is within them.
    """

    low: pa.Scalar | None
    high: pa.Scalar | None
    none_fits: bool = False

    @classmethod
    def of(cls, kind: pa.DataType, low: float | None, high: float | None) -> Limits:
        """The limits for a column of `kind`, which `has_range`."""
        if pa.types.is_floating(kind):
            kind = pa.float64() if pa.types.is_float64(kind) else pa.float32()
            rounded = [
                None if limit is None else pa.scalar(float(limit)).cast(kind, safe=False) for limit in (low, high)
            ]
            return cls(rounded[0], rounded[1])
        least, most, scale = _bounds(kind)
        lowest = None if low is None else _exact(low, scale, ROUND_CEILING)
        highest = None if high is None else _exact(high, scale, ROUND_FLOOR)
        if (lowest is not None and lowest > most) or (highest is not None and highest < least):
            return cls(None, None, none_fits=True)
        return cls(_limit(lowest, least, kind, max), _limit(highest, most, kind, min))

    def outside(self, values: pa.Array) -> int:
        """Count the values that are out of range; missing values are not."""
        if self.none_fits:
            return int(len(values) - values.null_count)
        found = 0
        if self.low is not None:
            found += pc.sum(pc.less(values, self.low)).as_py() or 0
        if self.high is not None:
            found += pc.sum(pc.greater(values, self.high)).as_py() or 0
        return found


def _rounded(limit: float | None, kind: pa.DataType) -> pa.Scalar | None:
    """The limit as the column would have it, so that a 0.1 of four bytes is at most 0.1."""
    return None if limit is None else pa.scalar(float(limit)).cast(kind, safe=False)


def _bounds(kind: pa.DataType) -> tuple[Decimal, Decimal, int]:
    """The least and the greatest value of an integer or decimal type, and its digits after the point."""
    if pa.types.is_decimal(kind):
        most = Decimal((0, (9,) * kind.precision, -kind.scale))
        return most.copy_negate(), most, kind.scale  # a minus sign would round it to 28 digits
    bits = kind.bit_width
    if pa.types.is_signed_integer(kind):
        return Decimal(-(2 ** (bits - 1))), Decimal(2 ** (bits - 1) - 1), 0
    return Decimal(0), Decimal(2**bits - 1), 0


def _exact(limit: float, scale: int, rounding: str) -> Decimal:
    """The nearest value that a column of this scale can have, on the allowed side of the limit as it was written."""
    return Decimal(str(limit)).quantize(Decimal(1).scaleb(-scale), rounding, Context(prec=1000))


def _limit(
    limit: Decimal | None, bound: Decimal, kind: pa.DataType, nearest: Callable[[Decimal, Decimal], Decimal]
) -> pa.Scalar | None:
    if limit is None:
        return None
    value = nearest(limit, bound)
    return pa.scalar(value if pa.types.is_decimal(kind) else int(value), kind)


# -- distinct values -------------------------------------------------------------------------------------------------


def has_list(kind: pa.DataType) -> bool:
    """Test for a type whose distinct values can be listed as text or numbers."""
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    number = has_range(kind) or pa.types.is_boolean(kind)
    return bool(text or number or times.is_time(kind) or pa.types.is_time(kind) or pa.types.is_null(kind))


def comparable(values: pa.Array) -> pa.Array:
    """`plain` values as ones that compare exactly wherever they are taken: dates and times as Arrow's own counts."""
    kind = values.type
    if pa.types.is_null(kind):
        return pc.cast(values, pa.int8())
    if pa.types.is_date32(kind) or pa.types.is_time32(kind):
        return pc.cast(values, pa.int32())
    if pa.types.is_date64(kind):
        return pc.cast(pc.cast(values, pa.date32(), safe=False), pa.int32())
    if pa.types.is_temporal(kind) and not pa.types.is_interval(kind):
        return pc.cast(values, pa.int64())
    if pa.types.is_decimal256(kind):
        return pc.cast(values, pa.string())
    return values


def shown_value(value: Any, kind: pa.DataType) -> Value:
    """A `comparable` value as spec.json has it: text, whole numbers and truth as they are, the rest as exact text."""
    if pa.types.is_temporal(kind):
        return times.of_scalar(value, kind)
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    number: Value = value
    return number


@dataclass(slots=True)
class DistinctTally:
    """The distinct values of a column, nulls and NaN left out. `full`: there are too many to be held in memory."""

    values: set[Any] = field(default_factory=set)
    size_bytes: int = 0
    full: bool = False

    def add(self, batch: pa.Array) -> None:
        """Take the values of one batch, which are `comparable`."""
        if self.full:
            return
        new = set(known(pc.unique(batch).to_pylist())) - self.values
        self.size_bytes += sum(len(value) for value in new if isinstance(value, str))
        self.values |= new
        self.full = len(self.values) > MAX_HELD or self.size_bytes > MAX_HELD_BYTES
        if self.full:
            self.values.clear()


def known(values: Iterable[Any]) -> Iterable[Any]:
    """The values that are neither null nor NaN; the two zeros of floats are one."""
    return (value if value != 0 or isinstance(value, bool) else abs(value) for value in values if _is_known(value))


def _is_known(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))
