"""The files of one commit and the folders that they form."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from localhub.errors import bad_request, conflict, entry_not_found
from localhub.store.objects import Blob


@dataclass(frozen=True, slots=True)
class Entry:
    """A file (`blob` is set) or a folder of a tree."""

    path: str
    oid: str
    blob: Blob | None


@dataclass(frozen=True, slots=True)
class Put:
    path: str
    blob: Blob


@dataclass(frozen=True, slots=True)
class Delete:
    path: str


@dataclass(frozen=True, slots=True)
class DeleteFolder:
    path: str


Operation = Put | Delete | DeleteFolder


class Tree:
    """An immutable set of files by path; folders exist through the files in them."""

    def __init__(self, files: Mapping[str, Blob]) -> None:
        self.files = dict(sorted(files.items()))
        self._listings: dict[tuple[str, bool], list[Entry]] = {}  # a client asks for the same one page after page

    def apply(self, operations: Iterable[Operation]) -> Tree:
        """The tree after the operations, in order; a path that does not exist raises HubError 404."""
        files = dict(self.files)
        for operation in operations:
            if isinstance(operation, Put):
                files[checked_path(operation.path)] = operation.blob
            elif isinstance(operation, Delete):
                _delete(files, operation.path)
            else:
                _delete_folder(files, operation.path)
        tree = Tree(files)
        tree.check()
        return tree

    def check(self) -> None:
        """Refuse a path that is both a file and a folder."""
        both = self.files.keys() & self._children.keys()
        if both:
            raise bad_request(f"{min(both)} is a file and a folder in one commit")

    def entry(self, path: str) -> Entry | None:
        """The file or folder at the path."""
        blob = self.files.get(path)
        if blob is not None:
            return Entry(path, blob.oid, blob)
        return Entry(path, self._folder_oids[path], None) if path in self._children else None

    def entries(self, folder: str, *, recursive: bool) -> list[Entry]:
        """Entries of a folder, sorted, with folders; a folder that does not exist raises HubError 404."""
        if folder not in self._children:
            raise entry_not_found(f"{folder} does not exist")
        if (folder, recursive) not in self._listings:
            self._listings[folder, recursive] = self._listed(folder, recursive=recursive)
        return self._listings[folder, recursive]

    def _listed(self, folder: str, *, recursive: bool) -> list[Entry]:
        below: list[str] = []
        pending = [folder]
        while pending:
            children = self._children[pending.pop()]
            below += children
            if recursive:
                pending += [child for child in children if child in self._children]
        return [entry for path in sorted(below) if (entry := self.entry(path))]

    @cached_property
    def _children(self) -> dict[str, set[str]]:
        children: dict[str, set[str]] = {"": set()}
        for path in self.files:
            child = path
            while child:
                parent = child.rpartition("/")[0]
                siblings = children.setdefault(parent, set())
                if child in siblings:
                    break
                siblings.add(child)
                child = parent
        return children

    @cached_property
    def _folder_oids(self) -> dict[str, str]:
        oids: dict[str, str] = {}
        for folder in sorted(self._children, key=lambda path: -path.count("/") if path else 1):
            lines = [
                f"{child} {oids[child] if child in oids else self.files[child].oid}"
                for child in sorted(self._children[folder])
            ]
            oids[folder] = hashlib.sha1("\n".join(lines).encode(), usedforsecurity=False).hexdigest()
        return oids


def merge(base: Tree, ours: Tree, theirs: Tree) -> list[Operation]:
    """The changes that merge `theirs` into `ours`; a path that both changed differently raises HubError 409."""
    operations: list[Operation] = []
    for path in sorted(base.files.keys() | theirs.files.keys()):
        was, mine, other = base.files.get(path), ours.files.get(path), theirs.files.get(path)
        if other in (was, mine):
            continue
        if mine != was:
            raise conflict(f"Both sides changed {path}")
        operations.append(Put(path, other) if other else Delete(path))
    return operations


def checked_path(path: str) -> str:
    """The path as given, if it stays inside the repository and away from Git's own folder."""
    parts = path.split("/")
    if any(part in ("", ".", "..", ".git") for part in parts) or "\0" in path:
        raise bad_request(f"invalid path in the repository: {path!r}")
    return path


def _delete(files: dict[str, Blob], path: str) -> None:
    if files.pop(path, None) is None:
        # The client looks for this sentence to hint at the trailing slash of folders.
        raise entry_not_found(f"A file with this name doesn't exist: {path}")


def _delete_folder(files: dict[str, Blob], path: str) -> None:
    prefix = path.rstrip("/") + "/"
    doomed = [name for name in files if name.startswith(prefix)]
    if not doomed:
        raise entry_not_found(f"A folder with this name doesn't exist: {path}")
    for name in doomed:
        del files[name]
