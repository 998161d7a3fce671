"""Comparison of datasets in storage with the Hub: a revision may have moved to another commit since."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from hugflow.hf_client.http import Hub
from hugflow.hf_client.read.revisions import newest_commit
from hugflow.model.errors import AuthenticationError, NotFoundError, Transient
from hugflow.storage.inventory import DatasetStatus


def with_upstream(hub: Hub, datasets: list[DatasetStatus]) -> list[DatasetStatus]:
    """Return the same datasets with `upstream`, the state of each revision on the Hub now.

    "current", "moved to <commit>", "gone" (deleted, renamed, or the revision is), "no access", or "unknown" when the
    Hub cannot be reached.
    """
    with ThreadPoolExecutor(hub.max_concurrent_downloads) as threads:
        return list(threads.map(lambda dataset: _compared(hub, dataset), datasets))


def _compared(hub: Hub, dataset: DatasetStatus) -> DatasetStatus:
    if dataset.sha is None:
        return dataset
    try:
        newest = newest_commit(hub, dataset.identity.hf_id, dataset.identity.revision)
    except NotFoundError:
        return replace(dataset, upstream="gone")
    except AuthenticationError:
        return replace(dataset, upstream="no access")
    except Transient:
        return replace(dataset, upstream="unknown")
    return replace(dataset, upstream="current" if newest == dataset.sha else f"moved to {newest[:12]}")
