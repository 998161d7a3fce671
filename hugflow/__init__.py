"""Hugflow: GitOps for Hugging Face datasets. This module exports the version and the Python API, imported on use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hugflow.version import __version__

if TYPE_CHECKING:
    from hugflow.api import (
        DatasetCard,
        Published,
        TableData,
        Uploaded,
        check_freshness,
        delete_from_hub,
        publish_request,
        publish_table,
        publish_tables,
        push_to_hub,
        spec_changed,
        upload_batch,
        upload_file,
    )

__all__ = [
    "DatasetCard",
    "Published",
    "TableData",
    "Uploaded",
    "__version__",
    "check_freshness",
    "delete_from_hub",
    "publish_request",
    "publish_table",
    "publish_tables",
    "push_to_hub",
    "spec_changed",
    "upload_batch",
    "upload_file",
]


def __getattr__(name: str) -> Any:
    """Import a name of the API on its first use, so that the command line starts quickly."""
    if name in __all__:
        from hugflow import api  # noqa: PLC0415 - as above

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
