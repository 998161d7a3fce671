"""All repositories, in memory and as JSON files in a directory that the next start loads."""

from __future__ import annotations

import json
import shutil
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

from localhub.errors import bad_request, conflict
from localhub.store.objects import Blob
from localhub.store.repository import Commit, PullRequest, Repository
from localhub.store.tree import Tree


class Catalog:
    """Repositories by id (`namespace/name`)."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._repositories: dict[str, Repository] = {}
        self._lock = threading.Lock()

    def load(self) -> None:
        """Load the repositories of an earlier run."""
        for path in sorted(self._root.glob("*/*/repository.json")):
            repository = _read_repository(path)
            self._repositories[repository.id] = repository

    def get(self, repo_id: str) -> Repository | None:
        return self._repositories.get(repo_id)

    def all(self) -> list[Repository]:
        return [self._repositories[repo_id] for repo_id in sorted(self._repositories)]

    def add(self, repository: Repository) -> None:
        """Add a repository; HubError 409 when the name is taken, 400 when it is invalid."""
        _check_id(repository.id)
        with self._lock:
            if repository.id in self._repositories:
                raise conflict("You already created this dataset repo", name=repository.id)
            self._repositories[repository.id] = repository

    def remove(self, repo_id: str) -> None:
        with self._lock:
            self._repositories.pop(repo_id, None)
            shutil.rmtree(self._root / repo_id, ignore_errors=True)

    def save(self, repository: Repository) -> None:
        """Write the repository to disk: new commits first, then the refs that name them."""
        with repository.lock:
            folder = self._root / repository.id
            (folder / "commits").mkdir(parents=True, exist_ok=True)
            for sha, commit in repository.commits.items():
                path = folder / "commits" / f"{sha}.json"
                if not path.exists():
                    _write_json(path, _commit_record(commit))
            _write_json(folder / "repository.json", _repository_record(repository))


def _check_id(repo_id: str) -> None:
    parts = repo_id.split("/")
    words = [part.replace("-", "").replace("_", "").replace(".", "") for part in parts]
    if len(parts) != 2 or not all(word.isalnum() and word.isascii() for word in words) or len(repo_id) > 96:
        raise bad_request(f"Invalid repository name: {repo_id!r}; it must be `namespace/name`")


def _repository_record(repository: Repository) -> dict[str, Any]:
    return {
        "id": repository.id,
        "creator": repository.creator,
        "created": repository.created,
        "private": repository.private,
        "gated": repository.gated,
        "granted": sorted(repository.granted),
        "refs": repository.refs,
        "pulls": [asdict(pull) for pull in repository.pulls.values()],
        "lfs_objects": sorted(repository.lfs_objects),
    }


def _read_repository(path: Path) -> Repository:
    record = json.loads(path.read_bytes())
    commits = [_read_commit(file) for file in (path.parent / "commits").glob("*.json")]
    record["granted"] = set(record["granted"])
    record["lfs_objects"] = set(record["lfs_objects"])
    record["pulls"] = {pull["num"]: PullRequest(**pull) for pull in record["pulls"]}
    return Repository(**record, commits={commit.sha: commit for commit in commits})


def _commit_record(commit: Commit) -> dict[str, Any]:
    return {
        "repo_id": commit.repo_id,
        "parent": commit.parent,
        "title": commit.title,
        "message": commit.message,
        "author": commit.author,
        "created": commit.created,
        "files": {path: [blob.sha256, blob.size, blob.oid, blob.lfs] for path, blob in commit.tree.files.items()},
    }


def _read_commit(path: Path) -> Commit:
    record = json.loads(path.read_bytes())
    files = {name: Blob(*values) for name, values in record.pop("files").items()}
    return Commit(**record, tree=Tree(files))


def _write_json(path: Path, record: dict[str, Any]) -> None:
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(record))
    draft.replace(path)
