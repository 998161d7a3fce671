"""The Hub's features of a table (Audio, Image, ClassLabel, Value...): between Arrow schemas and their JSON form."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

import orjson
import pyarrow as pa

if TYPE_CHECKING:
    from datasets import Features

_KEY = b"huggingface"
# video that `datasets` lists as audio; suffixes that sound recorders use as well are not here
_MORE_VIDEO = dict.fromkeys((".f4v", ".flv", ".m4v", ".mpg", ".mxf", ".wmv"), "video")


def _features() -> Any:
    """Return the class of `datasets`, which takes half a second to import: planning does without it."""
    from datasets import Features  # noqa: PLC0415 - as above

    return Features


@cache
def media_suffixes() -> Mapping[str, str]:
    """Return the suffixes of media files, each with its kind: "audio", "image", "video" or "pdf"."""
    from datasets.packaged_modules.audiofolder.audiofolder import AudioFolder  # noqa: PLC0415 - as above
    from datasets.packaged_modules.imagefolder.imagefolder import ImageFolder  # noqa: PLC0415 - as above
    from datasets.packaged_modules.pdffolder.pdffolder import PdfFolder  # noqa: PLC0415 - as above
    from datasets.packaged_modules.videofolder.videofolder import VideoFolder  # noqa: PLC0415 - as above

    # a suffix of several kinds is of the last one, as in `datasets`
    folders = {"image": ImageFolder, "audio": AudioFolder, "video": VideoFolder, "pdf": PdfFolder}
    return {suffix: kind for kind, folder in folders.items() for suffix in folder.EXTENSIONS} | _MORE_VIDEO


def features_of(schema: pa.Schema) -> dict[str, Any]:
    """Return the features that follow from the Arrow types alone, in their JSON form.

    Raises ValueError for a type that `datasets` has no feature for.
    """
    return _as_json(_features().from_arrow_schema(schema.remove_metadata()))


def declared_features(schema: pa.Schema) -> dict[str, tuple[dict[str, Any], pa.DataType]]:
    """Return the features that a file's own metadata declares, with Arrow types; unreadable ones are left out."""
    found: dict[str, tuple[dict[str, Any], pa.DataType]] = {}
    for name, feature in _declared(schema).items():
        # features of a newer `datasets`, or written by hand
        with suppress(ValueError, TypeError, KeyError, AttributeError):
            features = _features().from_dict({name: feature})
            found[name] = _as_json(features)[name], features.arrow_schema.field(name).type
    return found


def _as_json(features: Features) -> dict[str, Any]:
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
    return _features().from_dict(dict(features)).arrow_schema
