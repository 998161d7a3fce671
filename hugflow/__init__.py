"""Hugflow: GitOps for datasets. What stands here besides the version is the Python API, imported when it is used."""

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
    """A part of the API: what it needs is imported only now, so that the command line stays quick."""
    if name in __all__:
        from hugflow import api  # noqa: PLC0415 - as above

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
