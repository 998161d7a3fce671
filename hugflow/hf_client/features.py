"""The Hub's features of a table (Audio, Image, ClassLabel, Value...): between Arrow schemas and their JSON form."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import datasets
import orjson
import pyarrow as pa
from datasets.packaged_modules.audiofolder.audiofolder import AudioFolder
from datasets.packaged_modules.imagefolder.imagefolder import ImageFolder

AUDIO_SUFFIXES = frozenset(AudioFolder.EXTENSIONS)
IMAGE_SUFFIXES = frozenset(ImageFolder.EXTENSIONS) - AUDIO_SUFFIXES

_KEY = b"huggingface"


def features_of(schema: pa.Schema) -> dict[str, Any]:
    """Return the features that follow from the Arrow types alone, in their JSON form.

    Raises ValueError for a type that `datasets` has no feature for.
    """
    return _as_json(datasets.Features.from_arrow_schema(schema.remove_metadata()))


def declared_features(schema: pa.Schema) -> dict[str, tuple[dict[str, Any], pa.DataType]]:
    """Return the features that a file's own metadata declares, with Arrow types; unreadable ones are left out."""
    found: dict[str, tuple[dict[str, Any], pa.DataType]] = {}
    for name, feature in _declared(schema).items():
        # features of a newer `datasets`, or written by hand
        with suppress(ValueError, TypeError, KeyError, AttributeError):
            features = datasets.Features.from_dict({name: feature})
            found[name] = _as_json(features)[name], features.arrow_schema.field(name).type
    return found


def _as_json(features: datasets.Features) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(orjson.dumps(features.to_dict()))
    return found


def _declared(schema: pa.Schema) -> dict[str, Any]:
    try:
        features = orjson.loads((schema.metadata or {})[_KEY])["info"]["features"]
    except (KeyError, TypeError, ValueError):
        return {}
    return features if isinstance(features, dict) else {}


def arrow_schema(features: Mapping[str, Any]) -> pa.Schema:
    """Return the schema with which `datasets` stores these features, with the metadata from which it restores them."""
    return datasets.Features.from_dict(dict(features)).arrow_schema
