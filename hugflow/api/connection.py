"""Options and results that the functions of the Python API share."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypedDict

from hugflow.hf_client.library_defaults import ambient_hub, without_bars
from hugflow.hf_client.write.repository import Commit, Repository
from hugflow.model.events import Event, Fanout
from hugflow.model.publish_spec import Card
from hugflow.publish.run import Publisher
from hugflow.storage.state import StateDir
from hugflow.storage.storage_root import Storage

DATASETS = "datasets"
"""The folder of the datasets in storage, as STORAGE_ROOT has it by default."""


class Connection(TypedDict, total=False):
    """Options of every call: the Hub, and the folders of state and storage.

    `state_dir`: a folder in which an interrupted publish finds what it sent; without it, it begins again, and sends
    nothing that the Hub has. `storage_root`: the folder of the datasets in storage. `on_event` gets the progress.
    """

    token: str | None
    endpoint: str | None
    state_dir: str | os.PathLike[str] | None
    storage_root: str | os.PathLike[str]
    on_event: Callable[[Event], None]


class CommitOptions(Connection, total=False):
    """Fields of a publish request that are common to its tables; docs/requests.md explains each."""

    card: Card | Mapping[str, Any]
    private: bool | None
    append: bool
    replace: bool
    layout: Literal["shards", "tables"]
    default_config: str | None
    revision: str
    tag: str | None
    create_pr: bool
    max_shard_size: str | None
    num_shards: int | None
    embed_external_files: bool
    commit_message: str
    commit_description: str | None
    pipeline_version: str | None


class PublishOptions(CommitOptions, total=False):
    """The same, with the card's first paragraph where there is no card yet."""

    description: str | None


@dataclass(frozen=True, slots=True)
class Uploaded:
    """The state on the Hub after a call. `commit_url` is None when nothing changed; `pr_url` names a pull request."""

    repo_id: str
    url: str
    sha: str
    commit_url: str | None
    pr_url: str | None


@dataclass(frozen=True, slots=True)
class Published(Uploaded):
    """Tables on the Hub: rows by config, the version of spec.json, the bytes of the files, and those that were sent."""

    rows: Mapping[str, int] = field(default_factory=dict)
    version: str = ""
    size_bytes: int = 0
    sent_bytes: int = 0


def uploaded(repository: Repository, commit: Commit | None) -> Uploaded:
    """The result of a commit; None for one that was not needed."""
    if commit is None:
        return Uploaded(repository.repo_id, repository.url, repository.head(), None, None)
    return Uploaded(repository.repo_id, repository.url, commit.sha, commit.url, commit.pr_url)


@contextmanager
def publisher(connection: Connection | PublishOptions) -> Iterator[Publisher]:
    """A publisher; without a state folder it has a temporary one."""
    listener = connection.get("on_event")
    with without_bars(), state_of(connection.get("state_dir")) as state:
        yield Publisher(
            hub=ambient_hub(connection.get("token"), connection.get("endpoint")),
            state=state,
            storage=storage_of(connection),
            root=Path(),
            emit=Fanout((listener,) if listener else ()),
            should_stop=lambda: False,
            now=now,
        )


@contextmanager
def state_of(folder: str | os.PathLike[str] | None) -> Iterator[StateDir]:
    """The named state folder, or a temporary one."""
    if folder is not None:
        yield StateDir(Path(folder))
        return
    with tempfile.TemporaryDirectory(prefix="hugflow-state-") as made:
        yield StateDir(Path(made))


def storage_of(connection: Connection) -> Storage:
    """The collection of datasets."""
    return Storage(Path(connection.get("storage_root", DATASETS)))


def now() -> datetime:
    """The time now, in UTC."""
    return datetime.now(UTC)
