"""Functions that `RepositoryReader` calls in its processes. No other module imports this one: it loads `datasets`."""

from __future__ import annotations

from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import fsspec
from fsspec.registry import known_implementations

from hugflow.hf_client.http import Hub
from hugflow.hf_client.read import resolve as resolving
from hugflow.hf_client.read.repository_reader import Resolved, SplitSummary
from hugflow.hf_client.read.splits import SplitFiles
from hugflow.model.plan import DownloadPlan, HubFacts
from hugflow.model.records import EncoderSettings
from hugflow.model.specs import AddSpec
from hugflow.request.file import ParsedRequest

# What `datasets` opens a repository's files with: the Hub, files that it has fetched, and what these are packed in.
_PROTOCOLS = frozenset({"hf", "file", "local", "zip", "tar", "gzip", "bz2", "xz", "zstd", "lz4"})


def resolve(hub: Hub, request: ParsedRequest, spec: AddSpec, encoder: EncoderSettings, sha: str | None) -> Resolved:
    """Resolve an add request; see `resolve.resolve`."""
    _connect(hub)
    return resolving.resolve(hub, request, spec, encoder, sha=sha)


def inspect(hub: Hub, hf_id: str, revision: str) -> tuple[HubFacts, list[SplitSummary]]:
    """Describe the contents of a repository; see `resolve.inspect`."""
    _connect(hub)
    return resolving.inspect(hub, hf_id, revision)


def make_rows(hub: Hub, plan: str, index: int, folder: Path) -> Path:
    """Convert a fetched shard of a plan (its JSON) to a parquet file; see `SplitFiles.fetch_rows`."""
    _connect(hub)
    return _split(hub, plan).fetch_rows(index, folder)


@lru_cache(maxsize=1)
def _split(hub: Hub, plan: str) -> SplitFiles:
    """Open the split whose shards this process converts; the Hub is called for it once."""
    return resolving.open_split(hub, DownloadPlan.model_validate_json(plan))


@cache
def _connect(hub: Hub) -> None:
    """Prepare the libraries of this process. No file system but the Hub's can be opened, whatever a card says."""
    hub.connect()
    for protocol in {*known_implementations, *fsspec.registry} - _PROTOCOLS:
        fsspec.register_implementation(protocol, _RefusedFileSystem, clobber=True)


class _RefusedFileSystem(fsspec.AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Replaces every file system that would contact other hosts."""

    cachable = False

    def __init__(self, *_: Any, **__: Any) -> None:
        raise ValueError("files outside of the repository are not opened")
