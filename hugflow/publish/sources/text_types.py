"""Types of columns of text: booleans, numbers, dates, times, or text.

A type is taken only if every value of it survives a round trip: written again, it is the same text. So `0071`, `+49`,
`1.10`, `1e5`, and 9007199254740993 among floats stay text. Floats are written as `1.0` or as `1`, in one way throughout
a column; for times the moment counts, not its spelling. Spellings of "no value" are null in columns of another type
than text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from hugflow.text.printable import shown

_NO_VALUE = pa.array(
    ["", "#N/A", "#N/A N/A", "#NA", "-NaN", "-nan", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"]
)
_TRUE, _FALSE = pa.array(["true", "True", "TRUE"]), pa.array(["false", "False", "FALSE"])
_FLOAT = r"^-?(?:inf|(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:e[+-][0-9]+)?)$"
_CHANGED = r"^-?[0-9]*\.(?:[0-9]*0)?$|^-?\.|[eE]"
_NUMBER = r"^-?(?:0|[1-9][0-9]*)?\.?[0-9]+\.?(?:[eE][+-]?[0-9]+)?$"
MAX_EXACT = 2**53
"""Up to here a float holds every integer."""


_Rule = tuple[pa.DataType, Callable[[pa.Array], pa.Array | None]]


def _booleans(text: pa.Array) -> pa.Array | None:
    true, false = pc.is_in(text, value_set=_TRUE), pc.is_in(text, value_set=_FALSE)
    return true if pc.all(pc.or_(true, false)).as_py() else None


def _integers(text: pa.Array) -> pa.Array | None:
    numbers = _cast(text, pa.int64())
    # written again they must be the same: 007, +1 and 0x1F are not
    return numbers if numbers is not None and pc.all(pc.equal(numbers.cast(pa.string()), text)).as_py() else None


def _floats(point: str) -> Callable[[pa.Array], pa.Array | None]:
    """Floats that are written as Python writes them, or, without `point`, whole numbers among them without `.0`."""

    def convert(text: pa.Array) -> pa.Array | None:
        if not pc.all(pc.match_substring_regex(text, _FLOAT)).as_py():
            return None
        numbers = text.cast(pa.float64())
        written = pc.replace_substring_regex(numbers.cast(pa.string()), r"^(-?[0-9]+)$", rf"\1{point}")
        # Arrow writes the exponents of large and small numbers in its own way
        others = text.filter(pc.not_equal(text, written)).to_pylist()
        return numbers if all(_is_written(each, point) for each in others) else None

    return convert


def _is_written(text: str, point: str) -> bool:
    number = float(text)
    if point or "e" in text:
        return text == repr(number)
    return number.is_integer() and abs(number) <= MAX_EXACT and text == str(int(number))


def is_exact(integers: pa.Array) -> bool:
    """Test for integers that are all exact as floats."""
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


# the first that fits every value is taken
_TYPES: tuple[_Rule, ...] = (
    (pa.bool_(), _booleans),
    (pa.int64(), _integers),
    (pa.float64(), _floats(".0")),
    (pa.float64(), _floats("")),
    *((kind, _of_type(kind)) for kind in (pa.date32(), *(pa.timestamp(unit) for unit in ("ms", "us", "ns")))),
    *((kind, _of_type(kind)) for kind in (pa.timestamp(unit, "UTC") for unit in ("ms", "us", "ns"))),
)


@dataclass(slots=True)
class TextColumn:
    """Finds out, part by part, which type the values of a column of text have."""

    _possible: list[_Rule] = field(default_factory=lambda: list(_TYPES))
    _no_value: pa.Array = field(default_factory=lambda: _NO_VALUE)
    _is_empty: bool = True
    _has_words: bool = False
    _is_number: bool = True
    _changed: str | None = None

    @classmethod
    def of_times(cls) -> TextColumn:
        """For texts that stand among values of other types: they are dates and times, or what they are."""
        times = [rule for rule in _TYPES if pa.types.is_temporal(rule[0])]
        return cls(times, pa.array([], pa.string()), _is_number=False)

    @classmethod
    def of_text(cls) -> TextColumn:
        """For a column whose type is not looked for."""
        return cls([], _is_number=False)

    def add(self, text: pa.Array) -> None:
        """Take the values of a part of the column."""
        self._is_empty = self._is_empty and text.null_count == len(text)
        if not self._possible and not self._is_number:
            return
        values = text.drop_null()
        values = values.filter(pc.invert(pc.is_in(values, value_set=self._no_value)))
        if not len(values):
            return
        self._has_words = True
        self._possible = [rule for rule in self._possible if rule[1](values) is not None]
        self._is_number = self._is_number and bool(pc.all(pc.match_substring_regex(values, _NUMBER)).as_py())
        if self._is_number and self._changed is None:
            changed = values.filter(pc.match_substring_regex(values, _CHANGED))
            self._changed = changed[0].as_py() if len(changed) else None

    @property
    def kind(self) -> pa.DataType:
        """The type of all values: null where there was none."""
        if self._is_empty:
            return pa.null()
        return self._possible[0][0] if self._has_words and self._possible else pa.string()

    def note(self, name: str) -> str | None:
        """A sentence about a column of numbers that is text because they would be written differently."""
        if not (self._is_number and self._changed and pa.types.is_string(self.kind)):
            return None
        return (
            f"the column {shown(name)} is text: as a number {shown(self._changed)} would be written differently;"
            f" `columns: {{{shown(name).strip('`')}: float64}}` makes it one"
        )


def without_blanks(text: pa.Array) -> pa.Array:
    """The texts with null in place of spellings of "no value"."""
    return pc.if_else(pc.is_in(text, value_set=_NO_VALUE), None, text)


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
    found = (convert(words) for one, convert in _TYPES if one == kind)
    values = next((each for each in found if each is not None), None)
    if values is None:
        raise pa.ArrowInvalid(f"a value is no {kind}, as all before were")
    if len(values) == len(text):
        return values
    return pc.replace_with_mask(pa.nulls(len(text), kind), has_value, values)
