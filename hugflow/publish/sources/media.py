"""Audio and image files: their kind by name, and their values in a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from hugflow.hf_client.features import media_suffixes
from hugflow.publish.sources.files import DataFile

FILE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
FEATURES: Mapping[str, Mapping[str, Any]] = {"audio": {"_type": "Audio"}, "image": {"_type": "Image"}}


def media_kind(file: DataFile) -> str | None:
    """The kind of a file by its name: "audio", "image", or None."""
    return media_suffixes().get(file.suffixes[-1] if file.suffixes else "")


def as_files(paths: pa.Array) -> pa.Array:
    """Values of an audio or image column that name a file; null where there is none."""
    data = pa.nulls(len(paths), pa.binary())
    return pa.StructArray.from_arrays([data, paths], fields=list(FILE), mask=paths.is_null())
