"""The functions that `RepositoryReader` calls in its processes. Nothing else imports this: it loads `datasets`."""

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
    """Find what an add request asks for; see `resolve.resolve`."""
    _connect(hub)
    return resolving.resolve(hub, request, spec, encoder, sha=sha)


def inspect(hub: Hub, hf_id: str, revision: str) -> tuple[HubFacts, list[SplitSummary]]:
    """Everything that a repository offers; see `resolve.inspect`."""
    _connect(hub)
    return resolving.inspect(hub, hf_id, revision)


def make_rows(hub: Hub, plan: str, index: int, folder: Path) -> Path:
    """Make a fetched shard of a plan (its JSON) a parquet file; see `SplitFiles.fetch_rows`."""
    _connect(hub)
    return _split(hub, plan).fetch_rows(index, folder)


@lru_cache(maxsize=1)
def _split(hub: Hub, plan: str) -> SplitFiles:
    """Open the split whose shards this process makes rows of: the Hub is asked for it once."""
    return resolving.open_split(hub, DownloadPlan.model_validate_json(plan))


@cache
def _connect(hub: Hub) -> None:
    """Prepare the libraries of this process. Whatever a card may say, no other file system than the Hub's is opened."""
    hub.connect()
    for protocol in {*known_implementations, *fsspec.registry} - _PROTOCOLS:
        fsspec.register_implementation(protocol, _RefusedFileSystem, clobber=True)


class _RefusedFileSystem(fsspec.AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Stands for every way to other hosts."""

    cachable = False

    def __init__(self, *_: Any, **__: Any) -> None:
        raise ValueError("files outside of the repository are not opened")
