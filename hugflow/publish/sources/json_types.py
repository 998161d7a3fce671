"""Column types of JSON values, once all of them are known: numbers that widen, objects that gain keys, or text.

Types are Arrow's, and three of them are marks: WIDE are integers that a float cannot hold, MIXED are values without a
common type. These become text, as in storage: a text is itself, anything else its JSON.
"""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from hugflow.publish.sources.text_types import MAX_EXACT, is_exact

INTEGER = pa.int64()
WIDE = pa.uint64()
MIXED = pa.large_string()
MAX_KEYS = 1000
"""Objects with more different keys than this are dictionaries, not records: they become text."""

MAX_DEPTH = 100
"""Values that are nested more deeply become text."""

_INT64 = range(-(2**63), 2**63)


def merged(one: pa.DataType, two: pa.DataType) -> pa.DataType:
    """The kind that holds values of both."""
    if one == two or pa.types.is_null(two):
        return one
    if pa.types.is_null(one):
        return two
    if {one, two} == {INTEGER, WIDE}:
        return WIDE
    if {one, two} == {INTEGER, pa.float64()}:
        return pa.float64()
    if pa.types.is_struct(one) and pa.types.is_struct(two):
        return _struct({f.name: f.type for f in one}, {f.name: f.type for f in two})
    if pa.types.is_list(one) and pa.types.is_list(two):
        return pa.list_(merged(one.value_type, two.value_type))
    return MIXED


def _struct(known: dict[str, pa.DataType], other: dict[str, pa.DataType]) -> pa.DataType:
    for name, kind in other.items():
        known[name] = merged(known.get(name, pa.null()), kind)
    return pa.struct(list(known.items())) if len(known) <= MAX_KEYS else MIXED


def kind_of_value(value: Any, depth: int = 0) -> pa.DataType:
    """The kind of a value of JSON as Python has it, which stands `depth` levels inside of others."""
    if depth > MAX_DEPTH:
        return MIXED
    match value:
        case None:
            return pa.null()
        case bool():
            return pa.bool_()
        case int():
            return INTEGER if abs(value) <= MAX_EXACT else WIDE if value in _INT64 else MIXED
        case float():
            return pa.float64()
        case str():
            return pa.string()
        case list():
            kind = pa.null()
            for item in value:
                kind = merged(kind, kind_of_value(item, depth + 1))
            return pa.list_(kind)
        case _:
            return _struct({}, {key: kind_of_value(item, depth + 1) for key, item in value.items()})


def kind_of_array(array: pa.Array) -> pa.DataType:
    """The kind of values that Arrow's JSON reader made."""
    if pa.types.is_integer(array.type):
        return INTEGER if is_exact(array) else WIDE
    if pa.types.is_struct(array.type):
        parts = zip(array.type, array.flatten(), strict=True)
        return _struct({}, {field.name: kind_of_array(child) for field, child in parts})
    if pa.types.is_list(array.type):
        return pa.list_(kind_of_array(array.flatten()))
    return array.type


def has_floats(kind: pa.DataType) -> bool:
    """Test for floats in a type, to which the reader would round integers."""
    if pa.types.is_struct(kind):
        return any(has_floats(field.type) for field in kind)
    return has_floats(kind.value_type) if pa.types.is_list(kind) else bool(pa.types.is_floating(kind))


def is_regular(kind: pa.DataType) -> bool:
    """Test for a type that Arrow's JSON reader reads correctly.

    It does not know MIXED, and makes arrays of a wrong length from lists of nulls.
    """
    if pa.types.is_struct(kind):
        return kind.num_fields > 0 and all(is_regular(field.type) for field in kind)
    if pa.types.is_list(kind):
        return not pa.types.is_null(kind.value_type) and is_regular(kind.value_type)
    return bool(kind != MIXED)


def type_of(kind: pa.DataType) -> pa.DataType:
    """The Arrow type in which values of a kind are published."""
    if kind == WIDE:
        return pa.int64()
    if kind == MIXED or (pa.types.is_struct(kind) and not kind.num_fields):
        return pa.string()
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, type_of(field.type)) for field in kind])
    return pa.list_(type_of(kind.value_type)) if pa.types.is_list(kind) else kind


def fit(value: Any, kind: pa.DataType) -> Any:
    """A value as `type_of(kind)` has it."""
    if value is None:
        return None
    if kind == MIXED or (pa.types.is_struct(kind) and not kind.num_fields):
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if pa.types.is_struct(kind):
        return {field.name: fit(value.get(field.name), field.type) for field in kind}
    if pa.types.is_list(kind):
        return [fit(item, kind.value_type) for item in value]
    return float(value) if pa.types.is_floating(kind) else value
