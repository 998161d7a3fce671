"""Columns of a split from its Arrow schema and Hub features: kinds, class names, audio inside of lists and structs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Literal

import datasets
import orjson
import pyarrow as pa

from hugflow.formats.json_lines import MAX_COLUMNS
from hugflow.model.errors import UnreadableSource
from hugflow.model.plan import Column

_KEY = b"huggingface"


def columns_of(schema: pa.Schema, features: Mapping[str, Any] | None) -> tuple[Column, ...]:
    """The columns of a split. `features` of the card or of the format's reader take precedence over the schema.

    Raises UnreadableSource where there are too many.
    """
    if len(schema) > MAX_COLUMNS:
        problem = f"it has {len(schema):,} columns, over {MAX_COLUMNS:,}"
        raise UnreadableSource(
            "reading the columns", problem, "Report it to the dataset's owners.", reason="reader_limit"
        )
    known = {**_schema_features(schema), **(features or {})}
    return tuple(_column(field, known.get(field.name)) for field in schema)


def _column(field: pa.Field, feature: Any) -> Column:
    leaves = list(_leaves(feature, field.name))
    return Column(
        name=field.name,
        kind=_kind(feature, field.type),
        type=str(field.type).replace("extension<arrow.json>", "json"),
        nested_audio=tuple(
            dict.fromkeys(path for path, leaf in leaves if isinstance(leaf, datasets.Audio) and leaf is not feature)
        ),
        class_names={
            path: tuple(map(str, leaf.names or ())) for path, leaf in leaves if isinstance(leaf, datasets.ClassLabel)
        },
    )


def _schema_features(schema: pa.Schema) -> dict[str, Any]:
    """The features that a file declares, else those of its types.

    One by one: `datasets` has no feature for some types (maps), and raises. A declared feature counts also where the
    file's type is another than `datasets` would write, such as `large_binary` in the struct of an audio column.
    """
    try:
        declared = orjson.loads((schema.metadata or {})[_KEY])["info"]["features"]
    except (KeyError, TypeError, ValueError):
        declared = {}
    declared = declared if isinstance(declared, dict) else {}
    known: dict[str, Any] = {}
    for field in schema:
        with suppress(ValueError, TypeError, KeyError, AttributeError):
            known |= datasets.Features.from_arrow_schema(pa.schema([field]))
        with suppress(ValueError, TypeError, KeyError, AttributeError):
            known |= datasets.Features.from_dict({field.name: declared[field.name]})
    return known


def _leaves(feature: Any, path: str) -> Iterator[tuple[str, Any]]:
    """The features inside of a feature with their dotted paths; an element of a list has the path of the list."""
    if isinstance(feature, dict):
        for name, part in feature.items():
            yield from _leaves(part, f"{path}.{name}")
    elif isinstance(feature, list | tuple):
        for part in feature[:1]:
            yield from _leaves(part, path)
    elif isinstance(feature, datasets.List | datasets.LargeList):
        yield from _leaves(feature.feature, path)
    else:
        yield path, feature


def _kind(feature: Any, kind: pa.DataType) -> Literal["audio", "image", "text", "value"]:
    if isinstance(feature, datasets.Audio):
        return "audio"
    if isinstance(feature, datasets.Image):
        return "image"
    return "text" if pa.types.is_string(kind) or pa.types.is_large_string(kind) else "value"
