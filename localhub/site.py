"""State of one Hub, from which answers are built: repositories, objects, users, settings."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from localhub import errors
from localhub.faults import Faults
from localhub.log import RequestLog
from localhub.store.catalog import Catalog
from localhub.store.lfs_rules import is_lfs
from localhub.store.objects import Blob, ObjectStore
from localhub.store.repository import Commit, Repository
from localhub.store.tree import Operation
from localhub.store.uploads import Uploads
from localhub.store.users import User, Users, may_download, may_see
from localhub.wire import Request
from localhub.xet.reconstruction import XetStore


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`page_size`: entries on a page of a listing. `lfs_threshold`: bytes from which any file is LFS.

    `multipart_from`: LFS uploads of at least so many bytes go in parts of `part_size` bytes (never, when None).
    Answered with 413: a commit with more than `max_operations`, a question about more than `max_objects` files.
    Answered with 507: an upload beyond `quota_bytes` of LFS objects in a repository, or of Xet data in all.
    `xet` false: there are no addresses of Xet (404), and uploads go by LFS.
    `object_store`: /resolve/ redirects to a signed address of another host name for the bytes of LFS files.
    `mirror`: facts about a repository have file names only, as a mirror gives them that drops `?blobs=true` and cards.
    `clock` gives the dates of commits, in seconds since the epoch: with a fixed one, shas repeat.
    """

    page_size: int = 1000
    lfs_threshold: int = 10 * 1024 * 1024
    multipart_from: int | None = None
    part_size: int = 16 * 1024 * 1024
    max_operations: int | None = None
    max_objects: int | None = None
    quota_bytes: int | None = None
    mirror: bool = False
    xet: bool = True
    object_store: bool = False
    clock: Callable[[], float] = time.time


@dataclass(frozen=True)
class Site:
    """One Hub."""

    storage: Path
    settings: Settings
    objects: ObjectStore
    catalog: Catalog
    xet: XetStore
    users: Users = field(default_factory=Users)
    uploads: Uploads = field(default_factory=Uploads)
    faults: Faults = field(default_factory=Faults)
    log: RequestLog = field(default_factory=RequestLog)
    stopping: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def at(cls, storage: Path, settings: Settings) -> Site:
        objects = ObjectStore(storage / "objects")
        xet = XetStore(storage / "xet")
        return cls(storage, settings, objects, Catalog(storage / "repositories"), xet)

    def user(self, request: Request) -> User | None:
        """The user of the request; HubError 401 for an unknown token."""
        return self.users.authenticate(request.headers.get("Authorization"))

    def repository(self, request: Request) -> Repository:
        """The repository of the request, if it is visible to the user; else HubError 401 or 404 RepoNotFound."""
        user = self.user(request)
        return self.visible(request.params["repo"], user)

    def visible(self, repo_id: str, user: User | None) -> Repository:
        repository = self.catalog.get(repo_id)
        if repository is None or not may_see(user, repository):
            raise errors.repo_not_found(anonymous=user is None)
        return repository

    def downloadable(self, request: Request) -> Repository:
        """The repository, if the user may read its files; HubError 401 or 403 GatedRepo where this requires a grant."""
        repository = self.repository(request)
        user = self.user(request)
        if not may_download(user, repository):
            page = f"{request.base_url}/datasets/{repository.id}"
            raise errors.gated(repository.id, page, anonymous=user is None)
        return repository

    def commit(
        self,
        repository: Repository,
        branch: str,
        operations: Iterable[Operation],
        *,
        title: str,
        author: str,
        message: str = "",
        expected_parent: str | None = None,
    ) -> Commit:
        """Commit, and save the repository."""
        commit = repository.add_commit(
            branch,
            operations,
            title=title,
            message=message,
            author=author,
            created=self.settings.clock(),
            expected_parent=expected_parent,
        )
        self.catalog.save(repository)
        return commit

    def store(self, path: str, content: bytes | Path) -> Blob:
        """Keep a file's bytes as the Hub would: in LFS or as a regular file."""
        if isinstance(content, bytes):
            sha256, size, sample = self.objects.add_bytes(content), len(content), content[:512]
        else:
            sha256, size = self.objects.add_file(content), content.stat().st_size
            with content.open("rb") as file:
                sample = file.read(512)
        return self.objects.blob(sha256, lfs=is_lfs(path, size, sample, self.settings.lfs_threshold))
