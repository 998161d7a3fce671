"""A Hub within this process, for tests: `with LocalHub() as hub: ...`."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from localhub import manage
from localhub.faults import Faults
from localhub.log import RequestRecord
from localhub.server import HubServer
from localhub.site import Settings, Site
from localhub.store.repository import DEFAULT_BRANCH, Gated, Repository
from localhub.store.users import EVERY_ORG, Role, User


class LocalHub:
    """A Hub on 127.0.0.1 that lives as long as the `with` block; `url` is its HF_ENDPOINT.

    `storage` keeps repositories over several runs; without it they go with the block. `port` 0 takes a free one.
    """

    def __init__(self, storage: Path | None = None, *, port: int = 0, settings: Settings | None = None) -> None:
        self._storage = storage
        self._port = port
        self._settings = settings or Settings()
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._site: Site | None = None
        self._server: HubServer | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Bind the port, load the storage, and start answering."""
        if self._storage is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="localhub-")
        site = Site.at(self._storage or Path(self._temporary.name if self._temporary else ""), self._settings)
        site.xet.load()
        site.catalog.load()
        self._server = HubServer(site, self._port)
        self._site = site
        self._server.start()

    def stop(self) -> None:
        """Close all connections and, without `storage`, discard everything but the log."""
        if self._server is not None:
            self._server.stop()
        if self._temporary is not None:
            self._temporary.cleanup()
        self._server = self._temporary = None

    @property
    def url(self) -> str:
        """The address, without a slash at the end (datasets wants none)."""
        if self._server is None:
            raise RuntimeError("the Hub is not running; use `with LocalHub() as hub:`")
        return self._server.url

    @property
    def faults(self) -> Faults:
        return self._running.faults

    def add_user(
        self, name: str, *, token: str | None = None, role: Role = "read", orgs: Iterable[str] | None = None
    ) -> User:
        """Add a user; the token is `hf_<name>` unless given.

        `orgs` are the organisations whose private repositories the user sees and, with the role `write`, whose
        repositories they change: by default all of them for `write`, none for `read`.
        """
        default = (EVERY_ORG,) if role == "write" else ()
        user = User(name, token or f"hf_{name}", role, default if orgs is None else tuple(orgs))
        self._running.users.add(user)
        return user

    def grant(self, repo_id: str, user: str) -> None:
        """Let a user read a gated or private dataset."""
        repository = self.repository(repo_id)
        repository.granted.add(user)
        self._running.catalog.save(repository)

    def add_dataset(
        self,
        repo_id: str,
        folder: Path | None = None,
        *,
        gated: Gated | bool = False,
        private: bool = False,
        message: str = "initial commit",
    ) -> str:
        """Create a dataset from a folder and return the sha of its commit.

        Files from 1 MiB on are linked, not copied: replace them if they must change, do not write into them.
        """
        return manage.add_dataset(self._running, repo_id, folder, gated=gated, private=private, message=message)

    def add_folders(self, root: Path) -> list[str]:
        """Create a dataset from each `<root>/<org>/<name>/`, with the options of `.localhub.json`; returns the ids."""
        return manage.add_folders(self._running, root)

    def commit(
        self,
        repo_id: str,
        files: Mapping[str, bytes | Path | None],
        *,
        message: str = "commit",
        branch: str = DEFAULT_BRANCH,
    ) -> str:
        """Commit files (bytes, a file on disk, or None to delete) to a branch and return the new sha."""
        return manage.commit_files(self._running, repo_id, files, message=message, branch=branch)

    def repository(self, repo_id: str) -> Repository:
        """The repository itself: refs, commits, trees, pull requests; LookupError when it does not exist."""
        return manage.dataset(self._running, repo_id)

    def read(self, repo_id: str, path: str, revision: str = DEFAULT_BRANCH) -> bytes:
        """The bytes of a file at a revision; KeyError when it does not exist."""
        blob = self.repository(repo_id).resolve(revision).tree.files[path]
        return self._running.objects.read_bytes(blob.sha256)

    def paths(self, repo_id: str, revision: str = DEFAULT_BRANCH) -> list[str]:
        """The files at a revision, sorted."""
        return list(self.repository(repo_id).resolve(revision).tree.files)

    def requests(
        self, target: str = "", *, method: str = "", route: str = "", status: int | None = None
    ) -> list[RequestRecord]:
        """The logged requests whose path and query match the regular expression, oldest first."""
        return self._running.log.requests(target, method=method, route=route, status=status)

    def counts(self) -> Counter[str]:
        """The number of logged requests by method and route, as `GET resolve`."""
        return self._running.log.counts()

    def clear_log(self) -> None:
        self._running.log.clear()

    @property
    def _running(self) -> Site:
        if self._site is None:
            raise RuntimeError("the Hub is not running; use `with LocalHub() as hub:`")
        return self._site
