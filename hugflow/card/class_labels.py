"""Class labels of a stored table: their Arrow types, and the Hub features that `datasets` reads in its schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

ClassNames = Mapping[str, Sequence[str]]
"""The names of classes in the order of their ids, by the dotted path of the label."""

_DTYPES = {"double": "float64", "float": "float32", "halffloat": "float16"}


def with_label_ids(kind: pa.DataType, path: str, labels: ClassNames) -> pa.DataType:
    """The type of a column with int64 for each label: `datasets` knows labels of no other type."""
    if path in labels and pa.types.is_integer(kind):
        return pa.int64()
    if pa.types.is_large_list(kind):
        return pa.large_list(kind.value_field.with_type(with_label_ids(kind.value_type, path, labels)))
    if pa.types.is_struct(kind):
        return pa.struct(
            [field.with_type(with_label_ids(field.type, f"{path}.{field.name}", labels)) for field in kind]
        )
    return kind


def hub_feature(kind: pa.DataType, path: str, labels: ClassNames) -> dict[str, Any]:
    """The Hub feature of a column with labels at any depth, as JSON has it."""
    if path in labels and pa.types.is_integer(kind):
        return {"names": list(labels[path]), "_type": "ClassLabel"}
    if pa.types.is_large_list(kind):
        return {"feature": hub_feature(kind.value_type, path, labels), "_type": "LargeList"}
    if pa.types.is_struct(kind):
        return {field.name: hub_feature(field.type, f"{path}.{field.name}", labels) for field in kind}
    return {"dtype": _DTYPES.get(str(kind), str(kind)), "_type": "Value"}
