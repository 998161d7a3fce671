"""Audio, image, video and PDF files: their kind by name, and their values in a table."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from hugflow.hf_client.features import media_suffixes
from hugflow.publish.sources.files import DataFile

FILE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
FEATURES: Mapping[str, Mapping[str, Any]] = {
    "audio": {"_type": "Audio"},
    "image": {"_type": "Image"},
    "video": {"_type": "Video"},
    "pdf": {"_type": "Pdf"},
}
METADATA_NAMES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")


def media_kind(file: DataFile) -> str | None:
    """The kind of a file by its name; None for one that is no media."""
    return media_suffixes().get(file.suffixes[-1]) if file.suffixes else None


def is_metadata(file: DataFile) -> bool:
    """Test for a file that describes the media beside it."""
    return posixpath.basename(file.name) in METADATA_NAMES


def as_files(paths: pa.Array) -> pa.Array:
    """Values of an audio or image column that name a file; null where there is none."""
    data = pa.nulls(len(paths), pa.binary())
    return pa.StructArray.from_arrays([data, paths], fields=list(FILE), mask=paths.is_null())
