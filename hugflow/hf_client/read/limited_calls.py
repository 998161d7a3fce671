"""The functions that `RepositoryReader` calls in its processes. Nothing else imports this: it loads `datasets`."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from hugflow.hf_client.http import Hub
from hugflow.hf_client.read import resolve as resolving
from hugflow.hf_client.read.repository_reader import Resolved, SplitSummary
from hugflow.hf_client.read.splits import SplitFiles
from hugflow.model.plan import DownloadPlan, HubFacts
from hugflow.model.records import EncoderSettings
from hugflow.model.specs import AddSpec
from hugflow.request.file import ParsedRequest


def resolve(hub: Hub, request: ParsedRequest, spec: AddSpec, encoder: EncoderSettings, sha: str | None) -> Resolved:
    """Find what an add request asks for; see `resolve.resolve`."""
    hub.connect()
    return resolving.resolve(hub, request, spec, encoder, sha=sha)


def inspect(hub: Hub, hf_id: str, revision: str) -> tuple[HubFacts, list[SplitSummary]]:
    """Everything that a repository offers; see `resolve.inspect`."""
    hub.connect()
    return resolving.inspect(hub, hf_id, revision)


def make_rows(hub: Hub, plan: DownloadPlan, index: int, folder: Path) -> Path:
    """Make a fetched shard a parquet file; see `SplitFiles.fetch_rows`."""
    hub.connect()
    return _split(hub, plan).fetch_rows(index, folder)


@lru_cache(maxsize=1)
def _split(hub: Hub, plan: DownloadPlan) -> SplitFiles:
    """The split whose shards this process makes rows of: the Hub is asked for it once."""
    return resolving.open_split(hub, plan)
