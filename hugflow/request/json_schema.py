"""JSON Schemas of requests, for editors, and of spec.json, for its readers: generated from the models."""

from __future__ import annotations

import json
from typing import Any

from hugflow.card.spec_json import SpecJson
from hugflow.model.spec_types import Kind
from hugflow.model.specs import SPECS

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_EXAMPLES: dict[Kind, list[dict[str, Any]]] = {
    "add": [
        {"hf_id": "acme/speech", "description": "Read speech for the dialogue team"},
        {
            "hf_id": "acme/speech",
            "description": "The French part, as of the second release",
            "revision": "v2.0",
            "subset": "fr",
            "split": "validation",
            "audio_column": "recording",
            "text_column": "sentence",
            "max_failed_rows": 10,
            "reencode": True,
        },
    ],
    "remove": [
        {"hf_id": "acme/speech", "reason": "Replaced by version 2", "split": "train", "revision": "v1.0"},
        {"hf_id": "acme/market", "reason": "The feed has ended", "subset": "funding", "target": "hub"},
    ],
    "publish": [
        {
            "repo_id": "acme/market",
            "description": "Daily market data",
            "tables": [
                {
                    "name": "ohlcv_daily",
                    "path": "data/ohlcv_daily.parquet",
                    "description": "Daily candles",
                    "timestamp_column": "timestamp",
                    "interval": "1d",
                    "distinct": {"exchanges": "exchange", "symbols": "symbol"},
                    "quality": {
                        "not_null": ["timestamp", "symbol"],
                        "unique": ["timestamp", "symbol", "exchange"],
                        "range": {"close": [0, None]},
                    },
                },
                {
                    "name": "funding",
                    "splits": {"train": "data/funding/*.csv", "test": "data/funding_test.csv"},
                    "columns": {"day": "date"},
                },
            ],
            "card": {
                "license": "apache-2.0",
                "language": ["en"],
                "tags": ["market-data"],
                "task_categories": ["time-series-forecasting"],
            },
        },
        {"repo_id": "acme/speech-mp3", "from_storage": "acme__speech__split_train__rev_main", "private": True},
        {"repo_id": "acme/prices", "path": "data/prices", "split": "train", "num_shards": 4, "tag": "v1.0"},
    ],
}

# The specs' rules between fields, as far as a schema can express them.
_BETWEEN_FIELDS: dict[Kind, dict[str, Any]] = {
    "add": {},
    "remove": {
        "if": {"properties": {"target": {"const": "hub"}}, "required": ["target"]},
        "then": {"required": ["subset"], "properties": {"subset": {"type": "string"}, "split": {"type": "null"}}},
    },
    "publish": {"anyOf": [{"required": [field]} for field in ("tables", "from_storage", "path", "splits")]},
}
_TABLE_BETWEEN_FIELDS = {"anyOf": [{"required": ["path"]}, {"required": ["splits"]}]}
SPEC_JSON = "spec"
_VALUES = {"type": "array", "items": {"type": ["string", "number", "boolean"]}}
_LISTS = {"^[A-Za-z][A-Za-z0-9_]*_count$": {"type": "integer", "minimum": 0}, "^[A-Za-z][A-Za-z0-9_]*_sample$": _VALUES}
_SPEC_EXAMPLE: dict[str, Any] = {
    "update_time": "2026-01-31",
    "updated_at": "2026-01-31T02:00:07Z",
    "version": "1.1.0",
    "pipeline_version": "2.4",
    "tables": [
        {
            "name": "ohlcv_daily",
            "description": "Daily candles",
            "row_count": 1461,
            "size_bytes": 88213,
            "date_range": {"start": "2024-01-01", "end": "2025-12-31"},
            "time_range": {"start": "2024-01-01T00:00:00Z", "end": "2025-12-31T00:00:00Z"},
            "timestamp_column": "timestamp",
            "interval": "1d",
            "missing_cells": 0,
            "columns": [
                {"name": "timestamp", "type": "timestamp[us, tz=UTC]"},
                {"name": "exchange", "type": "string"},
                {"name": "close", "type": "float64"},
            ],
            "splits": {"train": {"row_count": 1461, "size_bytes": 88213}},
            "distinct": {"exchanges": {"column": "exchange", "count": 2, "values": ["north", "south"]}},
        }
    ],
    "intervals": {"ohlcv_daily": "1d"},
    "data_quality": {
        "validation_passed": True,
        "missing_data_pct": 0.0,
        "last_validation": "2026-01-31T02:00:07Z",
    },
    "exchanges": ["north", "south"],
    "exchanges_count": 2,
    "exchanges_sample": ["north", "south"],
}


def json_schema(kind: Kind) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a request of `kind`.

    It accepts every request that Hugflow accepts, and refuses what a schema can of the others.
    """
    schema = _tidy(SPECS[kind].model_json_schema(mode="validation"))
    if "Table" in schema.get("$defs", {}):
        schema["$defs"]["Table"] |= _TABLE_BETWEEN_FIELDS
    head = {"$schema": DIALECT, "title": f"Hugflow {kind} request"}
    return {**head, **schema, **_BETWEEN_FIELDS[kind], "examples": _EXAMPLES[kind]}


def spec_json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of spec.json in a repository that only Hugflow publishes to.

    Fields that are not named in it are allowed everywhere: other programs may add their own.
    """
    schema = _tidy(SpecJson.model_json_schema(mode="validation"))
    required = ("update_time", "updated_at", "version", "tables", "intervals", "data_quality")
    parts = schema["$defs"]
    parts["TableEntry"]["required"] = ["name", "row_count", "size_bytes", "columns", "splits"]
    parts["DataQuality"]["required"] = ["validation_passed", "missing_data_pct", "last_validation"]
    parts["DateRange"]["required"] = ["start", "end"]
    schema["properties"] = {name: _given(field) for name, field in schema["properties"].items()}
    for part in parts.values():
        part["properties"] = {name: _given(field) for name, field in part["properties"].items()}
    head = {"$schema": DIALECT, "title": "spec.json of a dataset published by Hugflow"}
    return {**head, **schema, "required": list(required), "patternProperties": _LISTS, "examples": [_SPEC_EXAMPLE]}


def _given(field: dict[str, Any]) -> dict[str, Any]:
    """The schema of a field that is left out when it has no value, and is never null."""
    kind, choices = field.get("type"), field.get("anyOf", [])
    rest = {key: each for key, each in field.items() if key != "default"}
    if isinstance(kind, list) and kind[1:] == ["null"]:
        return rest | {"type": kind[0]}
    if choices[1:] == [{"type": "null"}]:
        del rest["anyOf"]
        rest |= choices[0]
    return rest


def schemas() -> dict[str, dict[str, Any]]:
    """Return every schema by its name in `hugflow schema`."""
    return {**{kind: json_schema(kind) for kind in SPECS}, SPEC_JSON: spec_json_schema()}


def file_name(kind: str) -> str:
    """Name the file of the schema of `kind`."""
    return f"{kind}.schema.json"


def text(kind: str) -> str:
    """Return the schema as the text of its file."""
    return json.dumps(schemas()[kind], indent=2, ensure_ascii=False) + "\n"


def _tidy(schema: Any) -> Any:
    """Simplify pydantic's schema for editors, and add checks of keys."""
    if isinstance(schema, list):
        return [_tidy(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made_up = {"title"} if isinstance(schema.get("title"), str) else set()
    if isinstance(schema.get("default"), dict) or schema.get("default", True) is None:
        made_up.add("default")
    tidy = {key: _tidy(each) for key, each in schema.items() if key not in made_up}
    return _checked_keys(_one_type(tidy))


def _one_type(schema: dict[str, Any]) -> dict[str, Any]:
    """Merge "this or null" into one schema: its other keywords only apply to values that are not null."""
    choices = schema.get("anyOf", [])
    if len(choices) != 2 or choices[1] != {"type": "null"} or "type" not in choices[0]:  # noqa: PLR2004 - X | None
        return schema
    rest = {key: each for key, each in schema.items() if key != "anyOf"}
    return {**rest, **choices[0], "type": [choices[0]["type"], "null"]}


def _checked_keys(schema: dict[str, Any]) -> dict[str, Any]:
    """Forbid keys that do not match the pattern; `patternProperties` alone would allow them."""
    patterns = schema.get("patternProperties", {})
    if len(patterns) != 1:
        return schema
    (pattern, value), rest = next(iter(patterns.items())), {**schema}
    del rest["patternProperties"]
    names = {**schema.get("propertyNames", {}), "pattern": pattern}
    return {**rest, "propertyNames": names, "additionalProperties": value}
