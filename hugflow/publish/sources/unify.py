"""One schema for the files of a split: types that can be combined, and those that would lose values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa

from hugflow.hf_client.features import arrow_schema, features_of
from hugflow.publish.sources.features import Columns, is_bytes, is_text, plain_type
from hugflow.publish.sources.files import DataFile
from hugflow.text.printable import shown

_EXACT_IN_DOUBLE_BITS = 32

Loss = Literal["none", "some", "any"]
"""The loss by a change of type: none, some values (they must be checked), or the meaning of any value."""


@dataclass(frozen=True, slots=True)
class Unified:
    """The columns that hold the rows of all files. `doubtful` are the columns of files whose values need not fit."""

    columns: Columns
    doubtful: tuple[tuple[DataFile, str], ...]


def unify(parts: Sequence[tuple[DataFile, Columns]]) -> Unified:
    """The columns of several files, in the order in which they first appear. A column that a file lacks is null there.

    Types widen: null to any, int32 to int64, integers to floats where every value is exact. Raises InvalidRequest
    (`mixed_schema`) with file and column for types that do not go together, and for features that contradict.
    """
    names = dict.fromkeys(name for _, columns in parts for name in columns.schema.names)
    fields, features = [], {}
    doubtful: list[tuple[DataFile, str]] = []
    for name in names:
        having = [(file, columns) for file, columns in parts if name in columns.features]
        kind, feature = _column(name, having)
        fields.append(pa.field(name, kind))
        features[name] = feature
        for file, columns in having:
            loss = loss_of(columns.schema.field(name).type, kind)
            if loss == "any":
                raise _contradiction(file, name, columns.schema.field(name).type, kind)
            doubtful += [(file, name)] if loss == "some" else []
    return Unified(Columns(pa.schema(fields), features), tuple(doubtful))


def _column(name: str, having: Sequence[tuple[DataFile, Columns]]) -> tuple[pa.DataType, Mapping[str, Any]]:
    """The type and the feature that a column has in all of the files together."""
    kind, feature = pa.null(), None
    for file, columns in having:
        one = columns.schema.field(name).type
        kind = _wider(file, name, kind, one)
        declared = columns.features[name]
        if pa.types.is_null(one) or declared == features_of(pa.schema([(name, one)]))[name]:
            continue
        if feature not in (None, declared):
            raise file.error(
                f"its column {shown(name)} is {_short(declared)}, in earlier files it is {_short(feature)}",
                "Give the column one meaning in all files of a split.",
                reason="mixed_schema",
            )
        feature = declared
    if feature is None:
        return kind, features_of(pa.schema([(name, kind)]))[name]
    wanted = plain_type(arrow_schema({name: feature}).field(0).type)
    if wanted != kind and not _same_keys(wanted, kind):
        raise _contradiction(having[-1][0], name, kind, wanted)
    return wanted, feature


def _same_keys(one: pa.DataType, two: pa.DataType) -> bool:
    """Test for two structs with the same fields, in any order."""
    both = pa.types.is_struct(one) and pa.types.is_struct(two)
    return both and {field.name for field in one} == {field.name for field in two}


def _wider(file: DataFile, name: str, known: pa.DataType, other: pa.DataType) -> pa.DataType:
    if known == other:
        return known
    try:
        both = [pa.schema([("x", known)]), pa.schema([("x", other)])]
        return pa.unify_schemas(both, promote_options="permissive").field(0).type
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        raise _contradiction(file, name, other, known) from None


def _contradiction(file: DataFile, name: str, kind: pa.DataType, other: pa.DataType) -> Exception:
    return file.error(
        f"its column {shown(name)} is of the type {shown(str(kind))}, in other files it is {shown(str(other))}",
        "Give the column one type in all files of a split.",
        reason="mixed_schema",
    )


def _short(feature: Any) -> str:
    return shown(str(feature), 200)


def loss_of(have: pa.DataType, want: pa.DataType) -> Loss:
    """The loss when values of one type become those of a wider one; nested types are followed."""
    if have == want or pa.types.is_null(have):
        return "none"
    if pa.types.is_struct(have) and pa.types.is_struct(want):
        return _worst(loss_of(field.type, want.field(field.name).type) for field in have)
    if pa.types.is_nested(have) and pa.types.is_nested(want):
        return loss_of(have.value_type, want.value_type)
    if is_text(have) != is_text(want) or is_bytes(have) != is_bytes(want):
        return "any"
    if pa.types.is_decimal(have) and pa.types.is_floating(want):
        return "any"
    if pa.types.is_integer(have) and pa.types.is_floating(want):
        exact = have.bit_width <= _EXACT_IN_DOUBLE_BITS and pa.types.is_float64(want)
        return "none" if exact else "some"
    if pa.types.is_integer(have) and pa.types.is_integer(want):
        return "none" if want.bit_width > have.bit_width else "some"
    return "some" if pa.types.is_temporal(have) or pa.types.is_decimal(want) else "none"


def _worst(losses: Any) -> Loss:
    order: tuple[Loss, ...] = ("none", "some", "any")
    return max(losses, key=order.index, default="none")
