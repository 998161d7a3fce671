"""What columns of text are: numbers, dates, times, or text. A type is taken only if every value of it stays what it is.

`0071` and `+49` are no numbers, 9007199254740993 is no float: such columns stay text. Spellings of "no value" are
null in columns of another type than text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

_NO_VALUE = pa.array(
    ["", "#N/A", "#N/A N/A", "#NA", "-NaN", "-nan", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"]
)
_TRUE, _FALSE = pa.array(["true", "True", "TRUE"]), pa.array(["false", "False", "FALSE"])
_FLOAT = r"^-?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"
_INFINITY = r"^-?(?:inf|Inf|INF|Infinity)$"
_LONG_INTEGER = r"^-?[0-9]{16,}$"
MAX_EXACT = 2**53
"""Up to here a float holds every integer."""


def _booleans(text: pa.Array) -> pa.Array | None:
    true, false = pc.is_in(text, value_set=_TRUE), pc.is_in(text, value_set=_FALSE)
    return true if pc.all(pc.or_(true, false)).as_py() else None


def _integers(text: pa.Array) -> pa.Array | None:
    numbers = _cast(text, pa.int64())
    # written again they must be the same: 007, +1 and 0x1F are not
    return numbers if numbers is not None and pc.all(pc.equal(numbers.cast(pa.string()), text)).as_py() else None


def _floats(text: pa.Array) -> pa.Array | None:
    finite = pc.match_substring_regex(text, _FLOAT)
    if not pc.all(finite).as_py() and not pc.all(pc.or_(finite, pc.match_substring_regex(text, _INFINITY))).as_py():
        return None
    numbers = _cast(text, pa.float64())
    if numbers is None or pc.any(pc.and_(pc.is_inf(numbers), finite)).as_py():
        return None  # too large for a float
    integers = text.filter(pc.match_substring_regex(text, _LONG_INTEGER))
    exact = _cast(integers, pa.int64())
    if exact is None or not is_exact(exact):
        return None
    return numbers


def is_exact(integers: pa.Array) -> bool:
    """Whether floats hold all of these integers exactly."""
    limits = pc.min_max(integers)
    low, high = limits["min"].as_py(), limits["max"].as_py()
    return low is None or (low >= -MAX_EXACT and high <= MAX_EXACT)


def _of_type(kind: pa.DataType) -> Callable[[pa.Array], pa.Array | None]:
    return lambda text: _cast(text, kind)


def _cast(text: pa.Array, kind: pa.DataType) -> pa.Array | None:
    try:
        return text.cast(kind)
    except pa.ArrowInvalid:
        return None


# the first that holds every value is taken
_TYPES: tuple[tuple[pa.DataType, Callable[[pa.Array], pa.Array | None]], ...] = (
    (pa.bool_(), _booleans),
    (pa.int64(), _integers),
    (pa.float64(), _floats),
    *((kind, _of_type(kind)) for kind in (pa.date32(), *(pa.timestamp(unit) for unit in ("ms", "us", "ns")))),
    *((kind, _of_type(kind)) for kind in (pa.timestamp(unit, "UTC") for unit in ("ms", "us", "ns"))),
)
_CONVERTERS = dict(_TYPES)


@dataclass(slots=True)
class TextColumn:
    """Finds out, part by part, which type the values of a column of text have."""

    _possible: list[pa.DataType] = field(default_factory=lambda: [kind for kind, _ in _TYPES])
    _no_value: pa.Array = field(default_factory=lambda: _NO_VALUE)
    _is_empty: bool = True
    _has_words: bool = False

    @classmethod
    def of_times(cls) -> TextColumn:
        """For texts that stand among values of other types: they are dates and times, or what they are."""
        return cls([kind for kind, _ in _TYPES if pa.types.is_temporal(kind)], pa.array([], pa.string()))

    def add(self, text: pa.Array) -> None:
        """Take note of a part of the column."""
        self._is_empty = self._is_empty and text.null_count == len(text)
        if not self._possible:
            return
        values = text.drop_null()
        values = values.filter(pc.invert(pc.is_in(values, value_set=self._no_value)))
        if len(values):
            self._has_words = True
            self._possible = [kind for kind in self._possible if _CONVERTERS[kind](values) is not None]

    @property
    def kind(self) -> pa.DataType:
        """The type of all that was seen: null where there was no value."""
        if self._is_empty:
            return pa.null()
        return self._possible[0] if self._has_words and self._possible else pa.string()


def from_text(text: pa.Array, kind: pa.DataType) -> pa.Array:
    """The values of a column that was found to be of a type. Raises pa.ArrowInvalid if it is not, after all."""
    if pa.types.is_string(kind):
        return text
    if pa.types.is_null(kind) and text.null_count == len(text):
        return pa.nulls(len(text))
    no_value = pc.or_kleene(pc.is_null(text), pc.is_in(text, value_set=_NO_VALUE))
    has_value = pc.invert(no_value)
    words = text.filter(has_value)
    if not len(words):
        return pa.nulls(len(text), kind)
    values = _CONVERTERS[kind](words) if kind in _CONVERTERS else None
    if values is None:
        raise pa.ArrowInvalid(f"a value is no {kind}, as all before were")
    if len(values) == len(text):
        return values
    return pc.replace_with_mask(pa.nulls(len(text), kind), has_value, values)
