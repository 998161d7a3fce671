"""Types that a published table may have, and the features on the Hub that they become.

A column keeps the feature that its file declares (Audio, Image, ClassLabel). Otherwise its type decides, brought to
the form in which parquet gives it back: seconds become milliseconds, `date64` days, maps lists of pairs, views and
run-ends what they stand for. A dictionary is taken for what it is, a way to store values, and becomes their type, as in
`datasets`: it does not promise that its list is complete, so that classes would change their numbers with the data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hugflow.hf_client.features import arrow_schema, declared_features, features_of
from hugflow.model.errors import InvalidRequest
from hugflow.text.printable import shown

_FILES = frozenset({"Audio", "Image", "Video", "Pdf", "Nifti", "Mesh", "BioSequence", "BioStructure"})

# of the types that programs add to Arrow's, those whose stored values are the values
_EXTENSIONS = frozenset({"arrow.json", "arrow.uuid"})

Complain = Callable[[str, str], InvalidRequest]
"""Makes an error of a problem and its fix; it knows the file."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a table as they are published. `features` has the same names in the same order as `schema`."""

    schema: pa.Schema
    features: Mapping[str, Any]

    @property
    def stored(self) -> pa.Schema:
        """The schema of the parquet files: with the features in its metadata, as `datasets` writes it."""
        return arrow_schema(self.features)

    def only(self, names: Sequence[str] | None) -> pa.Schema:
        """The schema of some of the columns, in the order in which they are named; of all when `names` is None."""
        return self.schema if names is None else pa.schema([self.schema.field(name) for name in names])


def columns_of(schema: pa.Schema, complain: Complain) -> Columns:
    """The columns of a file by its Arrow schema, metadata included.

    Raises what `complain` makes of it: no columns, two of one name, a type that the Hub has no feature for.
    """
    if not schema.names:
        raise complain("it has no columns", "Name a file with data in it.")
    doubled = next((name for name in schema.names if schema.names.count(name) > 1), None)
    if doubled is not None:
        raise complain(f"two of its columns are called {shown(doubled)}", "Give every column its own name.")
    declared = declared_features(schema)
    fields, features = [], {}
    for field in schema:
        feature, kind = _column(field, declared, complain)
        fields.append(pa.field(field.name, kind))
        features[field.name] = feature
    return Columns(pa.schema(fields), features)


def _column(
    field: pa.Field, declared: Mapping[str, tuple[dict[str, Any], pa.DataType]], complain: Complain
) -> tuple[dict[str, Any], pa.DataType]:
    try:
        kind = _plain_field(field)
        if field.name in declared:
            feature, of_feature = declared[field.name]
            wanted = plain_type(of_feature)
            if wanted == kind or _holds(feature, kind):
                return feature, wanted
        return features_of(pa.schema([pa.field("x", kind)]))["x"], kind
    except ValueError as error:
        raise complain(
            f"its column {shown(field.name)} is of the type {shown(_type_name(field))}, which datasets on the Hub"
            " cannot have",
            "Make it another type, such as text or numbers, or leave the column out.",
        ) from error


def _type_name(field: pa.Field) -> str:
    """A type as its program calls it."""
    extension = (field.metadata or {}).get(b"ARROW:extension:name")
    return extension.decode(errors="replace") if extension else str(field.type)


def _holds(feature: Mapping[str, Any], kind: pa.DataType) -> bool:
    """Test for a type that other tools write for the values of a feature."""
    if feature.get("_type") == "ClassLabel":
        return bool(pa.types.is_integer(kind))
    if not is_file(feature) or not pa.types.is_struct(kind) or {child.name for child in kind} != {"bytes", "path"}:
        return False
    return is_text(kind.field("path").type) and is_bytes(kind.field("bytes").type)


def is_text(kind: pa.DataType) -> bool:
    """Test for a type of text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def is_bytes(kind: pa.DataType) -> bool:
    """Test for a type of bytes."""
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind))


def is_file(feature: Any) -> bool:
    """Test for a feature of files: values with `bytes` and `path`, like Audio and Image."""
    return isinstance(feature, Mapping) and feature.get("_type") in _FILES


def has_files(feature: Any) -> bool:
    """Test for a feature of files, or one that has such features inside of it."""
    if is_file(feature):
        return True
    if isinstance(feature, Mapping):
        return any(has_files(inner) for key, inner in feature.items() if key != "_type")
    return False


# -- types ------------------------------------------------------------------------------------------------------------


def plain_type(kind: pa.DataType) -> pa.DataType:
    """The type in which values of `kind` are published. Raises ValueError where there is none (unions, intervals)."""
    if isinstance(kind, pa.BaseExtensionType):
        if kind.extension_name not in _EXTENSIONS and not kind.extension_name.startswith("datasets."):
            raise ValueError(f"no feature for {kind}")
        return plain_type(kind.storage_type)
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return plain_type(kind.value_type)
    if pa.types.is_struct(kind) and kind.num_fields:
        return pa.struct([pa.field(field.name, _plain_field(field)) for field in kind])
    if pa.types.is_map(kind):
        pair = [("key", _plain_field(kind.key_field)), ("value", _plain_field(kind.item_field))]
        return pa.list_(pa.struct(pair))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(_plain_field(kind.value_field), kind.list_size)
    if pa.types.is_list(kind) or pa.types.is_list_view(kind):
        return pa.list_(_plain_field(kind.value_field))
    if pa.types.is_large_list(kind) or pa.types.is_large_list_view(kind):
        return pa.large_list(_plain_field(kind.value_field))
    return _plain_leaf(kind)


def _plain_field(field: pa.Field) -> pa.DataType:
    """The type in which values of a field are published; what Arrow does not know of a type is in its metadata.

    Raises ValueError for a type that a program has added to Arrow's: its numbers or bytes alone mean nothing.
    """
    name = (field.metadata or {}).get(b"ARROW:extension:name", b"").decode(errors="replace")
    if name and name not in _EXTENSIONS and not name.startswith("datasets."):
        raise ValueError(f"no feature for {name}")
    return plain_type(field.type)


def _plain_leaf(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_timestamp(kind) and kind.unit == "s":
        return pa.timestamp("ms", kind.tz)
    if pa.types.is_time32(kind):
        return pa.time32("ms")
    if pa.types.is_date64(kind):
        return pa.date32()
    if pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_binary_view(kind):
        return pa.binary()
    if pa.types.is_decimal32(kind) or pa.types.is_decimal64(kind):
        return pa.decimal128(kind.precision, kind.scale)
    if pa.types.is_nested(kind) or pa.types.is_interval(kind):
        # unions, objects without any key: parquet cannot store them either
        raise ValueError(f"no feature for {kind}")
    return kind


def fitted(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The rows of a batch with the columns of `schema`; a column that the batch does not have is null.

    Raises pa.ArrowInvalid for a value that the wanted type cannot hold exactly.
    """
    known = set(batch.schema.names)
    arrays = [
        as_type(batch.column(field.name), field.type) if field.name in known else pa.nulls(batch.num_rows, field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def as_type(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """Values as another type that holds each of them exactly; raises pa.ArrowInvalid where it does not.

    Arrow's cast has no way from views inside of dictionaries, and makes arrays that are too short from lists of nulls
    and list views: so nested types are taken apart here.
    """
    have = array.type
    if have == kind:
        return array
    if isinstance(have, pa.BaseExtensionType):
        return as_type(array.storage, kind)
    if pa.types.is_dictionary(have):
        return as_type(array.dictionary, kind).take(array.indices)
    if pa.types.is_run_end_encoded(have):
        whole = pa.RunEndEncodedArray.from_arrays(array.run_ends, as_type(array.values, kind))
        return pc.run_end_decode(whole.slice(array.offset, len(array)))
    if pa.types.is_struct(have) and pa.types.is_struct(kind):
        return _as_struct(array, kind)
    if pa.types.is_map(have):
        pairs = pa.struct([("key", have.key_type), ("value", have.item_type)])
        return as_type(array.cast(pa.list_(pairs)), kind)
    if _is_list(have) and _is_list(kind):
        return _as_list(array, kind)
    return array.cast(kind)


def _is_list(kind: pa.DataType) -> bool:
    is_view = pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind)
    return bool(is_view or pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _as_struct(array: pa.StructArray, kind: pa.StructType) -> pa.Array:
    parts = dict(zip([field.name for field in array.type], array.flatten(), strict=True))
    if not parts.keys() <= {field.name for field in kind}:
        raise pa.ArrowInvalid(f"{array.type} has fields that {kind} does not have")
    children = [
        as_type(parts[field.name], field.type) if field.name in parts else pa.nulls(len(array), field.type)
        for field in kind
    ]
    return pa.StructArray.from_arrays(children, fields=list(kind), mask=array.is_null())


def _as_list(array: pa.Array, kind: pa.DataType) -> pa.Array:
    is_null = array.is_null()
    if pa.types.is_fixed_size_list(kind):
        if not pa.types.is_fixed_size_list(array.type) or array.type.list_size != kind.list_size:
            return array.cast(kind)
        values = array.values.slice(array.offset * kind.list_size, len(array) * kind.list_size)
        return pa.FixedSizeListArray.from_arrays(as_type(values, kind.value_type), type=kind, mask=is_null)
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        # not flattened: that copies, and knows no extension types
        offsets = array.offsets.to_numpy()
        values = array.values.slice(offsets[0], offsets[-1] - offsets[0])
        offsets = offsets - offsets[0]
    else:
        values = array.flatten()
        lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])
    large = pa.types.is_large_list(kind)
    places = pa.array(offsets, pa.int64()).cast(pa.int64() if large else pa.int32())
    make = pa.LargeListArray.from_arrays if large else pa.ListArray.from_arrays
    return make(places, as_type(values, kind.value_type), type=kind, mask=is_null)
