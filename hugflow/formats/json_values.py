"""JSON values in Arrow: exact parsing, the type of a column, and the extension type `arrow.json` where no type fits.

A column has an Arrow type of its own where that keeps every value as it is. Where values have several types, objects
have different keys, or integers need more than 64 bits or are mixed with floats that cannot hold them, it is of type
`arrow.json`: each value is stored as its JSON text, and read back as that value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import accumulate, chain
from typing import Any

import orjson
import pyarrow as pa

from hugflow.model.errors import RowError

JSON = pa.json_()
MAX_DEPTH = 32
"""Values nested more deeply are of type `arrow.json`: readers of parquet limit the depth of columns."""

MAX_KEYS = 1000
"""Objects with more keys than this are of type `arrow.json`."""

_EXACT = 2**53
_SMALL = pa.int32()  # marks integers that a float can hold, until the whole column is known; stored as int64
_INT64 = range(-(2**63), 2**63)
_MAY_OVERFLOW = re.compile(r"[eE]\+?[0-9]{3}|[0-9]{309}")
_LONG_INTEGER = re.compile(rb"[0-9]{19}")  # orjson gives floats for integers beyond 64 bits
_MAY_BE_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


# -- parsing and writing ---------------------------------------------------------------------------------------------


def parse(text: str) -> Any:
    """Parse a JSON text: integers are exact at any size; NaN and Infinity, which Python writes, are floats.

    Raises ValueError where the text is no JSON, RowError where it is, and has a value that cannot be kept:
    `invalid_text` (not Unicode), `invalid_value` (a key given twice, a number beyond all floats or over 4300 digits).
    """
    hooks: dict[str, Any] = {"parse_float": _finite} if _MAY_OVERFLOW.search(text) else {}
    try:
        value = json.loads(text, object_pairs_hook=_object, **hooks)
    except json.JSONDecodeError:
        raise
    except ValueError as error:  # Python's limit for the digits of an integer
        raise RowError("invalid_value", "an integer has more than 4300 digits") from error
    except RecursionError as error:
        raise RowError("invalid_value", "the value is nested too deeply") from error
    if not text.isascii() or _MAY_BE_SURROGATE.search(text):
        _check_unicode(value)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise RowError("invalid_value", "an object has the same key twice")
    return found


def _finite(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise RowError("invalid_value", "a number is larger than any float")
    return value


def _check_unicode(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise RowError("invalid_text", "a text is not valid Unicode") from error


def loads(data: bytes) -> Any:
    """Read what `dumps` wrote; integers are exact at any size. Raises ValueError."""
    if not _LONG_INTEGER.search(data):
        try:
            return orjson.loads(data)
        except orjson.JSONDecodeError:
            pass  # it has no more than 1024 levels
    return json.loads(data)


def dumps(value: Any, *, indent: bool = False) -> bytes:
    """Write a value as strict JSON in UTF-8; NaN and infinities become null.

    Raises TypeError for values that JSON does not have, ValueError and RecursionError for those that cannot be written.
    """
    options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE if indent else 0
    try:
        return orjson.dumps(value, option=options)
    except TypeError:
        # orjson has no integers beyond 64 bits, and no more than 254 levels
        layout: dict[str, Any] = {"indent": 2} if indent else {"separators": (",", ":")}
        text = json.dumps(_without_nan(value), ensure_ascii=False, allow_nan=False, **layout)
        return text.encode() + (b"\n" if indent else b"")


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and value - value != 0 else value


# -- types -----------------------------------------------------------------------------------------------------------


def kind_of(values: Sequence[Any], depth: int = 0) -> pa.DataType:
    """Return the kind of a column of JSON values; `merged_kind` joins kinds, `type_of_kind` gives the Arrow type."""
    present = [value for value in values if value is not None]
    types = set(map(type, present))
    if not types:
        return pa.null()
    if types == {bool}:
        return pa.bool_()
    if types == {str}:
        return pa.string()
    if types <= {int, float}:
        return _kind_of_numbers([value for value in present if type(value) is int], float in types)
    if depth < MAX_DEPTH:
        if types == {list}:
            return pa.list_(kind_of(list(chain.from_iterable(present)), depth + 1))
        keys = present[0].keys() if types == {dict} else ()
        if keys and len(keys) <= MAX_KEYS and all(value.keys() == keys for value in present):
            return pa.struct([(key, kind_of([value[key] for value in present], depth + 1)) for key in keys])
    return JSON


def _kind_of_numbers(integers: list[int], with_floats: bool) -> pa.DataType:
    low, high = min(integers, default=0), max(integers, default=0)
    is_small = low >= -_EXACT and high <= _EXACT
    if with_floats:
        return pa.float64() if is_small else JSON
    if is_small:
        return _SMALL
    return pa.int64() if low in _INT64 and high in _INT64 else JSON


def merged_kind(one: pa.DataType, two: pa.DataType) -> pa.DataType:
    """Return the kind of a column that has values of both kinds."""
    if one == two or pa.types.is_null(two):
        return one
    if pa.types.is_null(one):
        return two
    if one == _SMALL and two in (pa.int64(), pa.float64()):
        return two
    if two == _SMALL and one in (pa.int64(), pa.float64()):
        return one
    if pa.types.is_list(one) and pa.types.is_list(two):
        return pa.list_(merged_kind(one.value_type, two.value_type))
    if pa.types.is_struct(one) and pa.types.is_struct(two):
        ours, theirs = ({field.name: field.type for field in kind} for kind in (one, two))
        if ours.keys() == theirs.keys():
            return pa.struct([(name, merged_kind(kind, theirs[name])) for name, kind in ours.items()])
    return JSON


def type_of_kind(kind: pa.DataType) -> pa.DataType:
    """Return the Arrow type in which a column of this kind is stored."""
    if kind == _SMALL:
        return pa.int64()
    if pa.types.is_list(kind):
        return pa.list_(type_of_kind(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, type_of_kind(field.type)) for field in kind])
    return kind


def has_json(kind: pa.DataType) -> bool:
    """Tell whether a type is `arrow.json` or has it inside."""
    if isinstance(kind, pa.JsonType):
        return True
    return any(has_json(kind.field(i).type) for i in range(kind.num_fields))


# -- values to arrays and back ---------------------------------------------------------------------------------------


def to_array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Return Python values as an array of a type that may have `arrow.json` inside; there, values become JSON texts."""
    if not has_json(kind):
        return pa.array(values, kind)
    if isinstance(kind, pa.JsonType):
        texts = pa.array([None if value is None else dumps(value).decode() for value in values], kind.storage_type)
        return pa.ExtensionArray.from_storage(kind, texts)
    nulls = pa.array([value is None for value in values], pa.bool_())
    if pa.types.is_struct(kind):
        children = [to_array([None if value is None else value.get(f.name) for value in values], f.type) for f in kind]
        return pa.StructArray.from_arrays(children, fields=list(kind), mask=nulls)
    if pa.types.is_list(kind):
        offsets = pa.array(accumulate((len(value or ()) for value in values), initial=0), pa.int32())
        flat = to_array(list(chain.from_iterable(value for value in values if value)), kind.value_type)
        return pa.ListArray.from_arrays(offsets, flat, type=kind, mask=nulls)
    raise pa.ArrowNotImplementedError(f"arrow.json inside of {kind}")


def decoded(value: Any, kind: pa.DataType) -> Any:
    """Return a value of `to_pylist` with the JSON texts of `arrow.json` parsed.

    Raises RowError (`invalid_value`, `invalid_text`) for a text that is no JSON.
    """
    if value is None or not has_json(kind):
        return value
    if isinstance(kind, pa.JsonType):
        try:
            return parse(value)
        except ValueError as error:
            raise RowError("invalid_value", "a value of the type JSON is no valid JSON") from error
    if pa.types.is_struct(kind):
        return {field.name: decoded(value[field.name], field.type) for field in kind}
    if pa.types.is_map(kind):
        entries = [(item["key"], item["value"]) if isinstance(item, dict) else item for item in value]
        return [{"key": key, "value": decoded(item, kind.item_type)} for key, item in entries]
    return [decoded(item, kind.value_type) for item in value]
