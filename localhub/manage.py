"""Management of a Hub without HTTP: datasets from folders, commits, folders of repositories."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from localhub.site import Site
from localhub.store.repository import DEFAULT_BRANCH, Gated, Repository
from localhub.store.tree import Delete, Operation, Put

OWNER = "localhub"
NOTES = ".localhub.json"
_SKIPPED_FOLDERS = frozenset({".git", "__pycache__"})
_NOTE_KEYS = frozenset({"gated", "private", "grant"})


def add_dataset(
    site: Site,
    repo_id: str,
    folder: Path | None,
    *,
    gated: Gated | bool = False,
    private: bool = False,
    message: str = "initial commit",
) -> str:
    """Create a dataset from a folder's files and return the sha of its first commit; None creates an empty one."""
    repository = Repository(repo_id, OWNER, site.settings.clock(), private=private, gated=gate(value=gated))
    files = {} if folder is None else dict(folder_files(folder))
    operations = [Put(path, site.store(path, file)) for path, file in files.items()]
    site.catalog.add(repository)
    return site.commit(repository, DEFAULT_BRANCH, operations, title=message, author=OWNER).sha


def commit_files(
    site: Site, repo_id: str, files: Mapping[str, bytes | Path | None], *, message: str, branch: str = DEFAULT_BRANCH
) -> str:
    """Commit files to a branch, with None to delete one; returns the new sha. LookupError: no such dataset."""
    repository = dataset(site, repo_id)
    operations: list[Operation] = [
        Delete(path) if content is None else Put(path, site.store(path, content)) for path, content in files.items()
    ]
    return site.commit(repository, branch, operations, title=message, author=OWNER).sha


def dataset(site: Site, repo_id: str) -> Repository:
    """The repository; LookupError lists the existing ones."""
    repository = site.catalog.get(repo_id)
    if repository is None:
        raise LookupError(f"no dataset {repo_id}; there are {[item.id for item in site.catalog.all()]}")
    return repository


def add_folders(site: Site, root: Path) -> list[str]:
    """Create a dataset from each `<root>/<org>/<name>/` and return their ids.

    A `.localhub.json` in a folder may hold `gated`, `private` and `grant` (a list of user names); ValueError for
    any other key. Datasets that are there already, from an earlier run with the same storage, stay as they are.
    """
    added = []
    for folder in sorted(path for path in root.glob("*/*") if path.is_dir() and not path.name.startswith(".")):
        repo_id = f"{folder.parent.name}/{folder.name}"
        if site.catalog.get(repo_id) is None:
            notes = _notes(folder)
            add_dataset(site, repo_id, folder, gated=notes.get("gated", False), private=notes.get("private", False))
            repository = dataset(site, repo_id)
            repository.granted.update(notes.get("grant", []))
            site.catalog.save(repository)
        added.append(repo_id)
    return added


def folder_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Path in the repository and path on disk of each file, sorted."""
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is no folder")
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.is_file() and inside.as_posix() != NOTES and _SKIPPED_FOLDERS.isdisjoint(inside.parts):
            yield inside.as_posix(), path


def gate(*, value: Gated | bool) -> Gated:
    return "auto" if value is True else value


def _notes(folder: Path) -> dict[str, Any]:
    path = folder / NOTES
    if not path.exists():
        return {}
    notes = json.loads(path.read_text())
    if not isinstance(notes, dict) or not notes.keys() <= _NOTE_KEYS:
        raise ValueError(f"{path} must be an object with some of {sorted(_NOTE_KEYS)}")
    return notes
