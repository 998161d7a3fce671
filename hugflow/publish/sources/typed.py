"""Column types that a request sets: values as that type, or an error that names the first row that does not fit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from hugflow.hf_client.features import features_of
from hugflow.model.errors import InvalidRequest
from hugflow.model.publish_spec import ColumnType
from hugflow.publish.sources.features import as_type, is_bytes, is_text, plain_type
from hugflow.publish.sources.media import FEATURES, FILE, as_files
from hugflow.publish.sources.tables import Source
from hugflow.publish.sources.text_types import without_blanks
from hugflow.text.printable import closest, listed, shown


def with_types(sources: Sequence[Source], types: Mapping[str, ColumnType] | None, field: str) -> list[Source]:
    """The splits of a table with the types that its request sets; `field` is the request's field, `tables[0].columns`.

    Values are converted while they are read. Raises InvalidRequest: no such column, values that cannot be converted.
    """
    return [_with_types(source, types, field) for source in sources] if types else list(sources)


def _with_types(source: Source, types: Mapping[str, ColumnType], field: str) -> Source:
    given = {name: _RequestedType.of(name, kind, f"{field}.{name}") for name, kind in types.items()}
    for name, one in given.items():
        if name not in source.schema.names:
            near = closest(name, source.schema.names)
            advice = f"did you mean {shown(near)}?" if near else f"its columns are {listed(source.schema.names)}"
            raise InvalidRequest(
                "opening the table", f"it has no column {shown(name)}; {advice}", "Correct the name.",
                reason="unknown_column", field=one.field,
            )  # fmt: skip
        one.check(source.schema.field(name).type)
    schema = pa.schema([given[f.name].arrow(f) if f.name in given else f for f in source.schema])
    features = {name: given[name].feature if name in given else source.features[name] for name in schema.names}

    def read(columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
        wanted = schema if columns is None else pa.schema([schema.field(name) for name in columns])
        first = 1
        for batch in source.read(columns):
            arrays = [
                given[name].converted(array, first, source.split) if name in given else array
                for name, array in zip(batch.schema.names, batch.columns, strict=True)
            ]
            yield pa.RecordBatch.from_arrays(arrays, schema=wanted)
            first += batch.num_rows

    # files that rows name are known only after a scan, and footers have the types of before
    names_files = any(one.is_file for one in given.values())
    files = () if names_files else source.files
    return replace(source, schema=schema, features=features, read=read, files=files, parquet_files=())


@dataclass(frozen=True, slots=True)
class _RequestedType:
    """The type that a request gives a column."""

    name: str
    wanted: str
    kind: pa.DataType
    feature: Mapping[str, Any]
    field: str

    @classmethod
    def of(cls, name: str, given: ColumnType, field: str) -> _RequestedType:
        """Raises InvalidRequest for a type that cannot exist, such as a zone that nobody knows."""
        if not isinstance(given, str):
            classes = list(given["class_label"])
            return cls(name, "class_label", pa.int64(), {"names": classes, "_type": "ClassLabel"}, field)
        if given in FEATURES:
            return cls(name, given, FILE, dict(FEATURES[given]), field)
        try:
            kind = plain_type(_arrow_type(given))
            return cls(name, given, kind, features_of(pa.schema([("x", kind)]))["x"], field)
        except (ValueError, pa.ArrowInvalid) as error:
            problem = f"{shown(given)} is no type of a column: {shown(str(error), 200)}"
            raise InvalidRequest(
                "opening the table", problem, "Correct it.", reason="unsupported_type", field=field
            ) from None

    @property
    def is_file(self) -> bool:
        """True when the values are files, with their bytes or by path."""
        return self.kind is FILE

    def arrow(self, field: pa.Field) -> pa.Field:
        """The column's field with its new type."""
        return pa.field(field.name, self.kind)

    def check(self, have: pa.DataType) -> None:
        """Raise InvalidRequest where no value of a type could be converted."""
        try:
            self._convert(pa.array([], have))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
            raise InvalidRequest(
                "opening the table",
                f"the column {shown(self.name)} is of the type {shown(str(have))}, which cannot become {self.wanted}",
                "Correct the type in the request.",
                reason="wrong_type",
                field=self.field,
            ) from None

    def converted(self, array: pa.Array, first: int, split: str) -> pa.Array:
        """The values as the wanted type; `first` is the row of the first of them. Raises InvalidRequest."""
        try:
            return self._convert(array)
        except pa.ArrowInvalid:
            row, value = next((row, value) for row, value in enumerate(array) if not self._fits(array.slice(row, 1)))
            raise InvalidRequest(
                "converting the columns of the table",
                f"row {first + row} of the split {shown(split)} has {shown(str(value), 100)} in the column"
                f" {shown(self.name)}, which is no {self._described()}",
                "Correct the value, or the type in the request.",
                reason="wrong_type",
                field=self.field,
            ) from None

    def _described(self) -> str:
        if self.wanted == "class_label":
            return f"class of {listed(self.feature['names'])}"
        return self.wanted

    def _fits(self, one: pa.Array) -> bool:
        try:
            self._convert(one)
        except pa.ArrowInvalid:
            return False
        return True

    def _convert(self, array: pa.Array) -> pa.Array:
        if self.is_file:
            return _as_files(array)
        if self.wanted == "class_label":
            return _class_ids(array, self.feature["names"])
        if is_text(array.type) and not is_text(self.kind) and not is_bytes(self.kind):
            return _parsed(array.cast(pa.string()), self.kind)
        return as_type(array, self.kind)


def _arrow_type(name: str) -> pa.DataType:
    """The Arrow type of a name in a request. Raises ValueError."""
    if match := re.fullmatch(r"timestamp(?:\[(s|ms|us|ns)(?:, ?tz=(.+))?\])?", name):
        return pa.timestamp(match[1] or "us", match[2])
    if match := re.fullmatch(r"decimal\((\d+), ?(\d+)\)", name):
        return pa.decimal128(int(match[1]), int(match[2]))
    return pa.date32() if name == "date" else pa.type_for_alias(name)


def _parsed(text: pa.Array, kind: pa.DataType) -> pa.Array:
    """Texts as values of another type; spellings of "no value" are null. Raises pa.ArrowInvalid."""
    text = without_blanks(pc.utf8_trim_whitespace(text))
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        text = pc.replace_substring_regex(text, r"^\+", "")
    return text.cast(kind)


def _class_ids(array: pa.Array, names: Sequence[str]) -> pa.Array:
    """The ids of class names, or ids as they are. Raises pa.ArrowInvalid for a value that is no class."""
    if is_text(array.type):
        ids = pc.index_in(array.cast(pa.string()), value_set=pa.array(names, pa.string()))
        # an empty field is no class: null, as in other columns
        known = pc.or_(ids.is_valid(), pc.or_kleene(array.is_null(), pc.equal(pc.fill_null(array, ""), "")))
        if pc.all(known).as_py() is False:
            raise pa.ArrowInvalid("no class")
        return ids.cast(pa.int64())
    ids = array.cast(pa.int64())
    if len(ids) > ids.null_count and not pc.all(pc.and_(pc.greater_equal(ids, 0), pc.less(ids, len(names)))).as_py():
        raise pa.ArrowInvalid("no class")
    return ids


def _as_files(array: pa.Array) -> pa.Array:
    """Audio, images or videos from paths, from bytes, or from what has both. Raises pa.ArrowInvalid."""
    if is_text(array.type):
        text = array.cast(pa.string())
        return as_files(pc.if_else(pc.equal(text, ""), None, text))
    if is_bytes(array.type):
        paths = pa.nulls(len(array), pa.string())
        return pa.StructArray.from_arrays([array.cast(pa.binary()), paths], fields=list(FILE), mask=array.is_null())
    return array.cast(FILE)
