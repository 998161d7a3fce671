"""Git's objects, as far as a pull request needs them: blobs, trees, commits, and what changed between two commits."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

FILE = "100644"
SYMLINK = "120000"
FOLDER = "040000"
SUBMODULE = "160000"


@dataclass(frozen=True)
class Entry:
    """An entry of a tree: a mode, and the sha of a blob (or of a commit, for a submodule)."""

    mode: str
    sha: str


@dataclass(frozen=True)
class Commit:
    """A commit; `files` is its whole tree by path, `tree` the sha of the root."""

    sha: str
    tree: str
    files: Mapping[str, Entry]
    parents: tuple[str, ...]
    message: str
    author: str
    date: str
    committer: str = ""
    author_email: str = ""

    @property
    def people(self) -> dict[str, tuple[str, str]]:
        """Name and e-mail address of author and committer."""
        author = (self.author, self.author_email or f"{self.author}@example.org")
        return {
            "author": author,
            "committer": (self.committer, f"{self.committer}@example.org") if self.committer else author,
        }


@dataclass(frozen=True)
class Symlink:
    """A file to commit that is a link."""

    target: str


@dataclass(frozen=True)
class Submodule:
    """A path to commit that is another repository."""

    sha: str


Content = bytes | str | Symlink | Submodule | None
"""Content to commit at a path; None deletes it."""


@dataclass(frozen=True)
class Change:
    """One line of a diff."""

    path: str
    status: Literal["added", "modified", "removed", "renamed"]
    sha: str
    previous: str | None = None


@dataclass
class ObjectStore:
    """All objects of a repository and its forks, by sha."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    trees: dict[str, dict[str, Entry]] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict)

    def add_blob(self, content: bytes) -> str:
        """Store a blob and return its sha."""
        sha = _hash("blob", content)
        self.blobs[sha] = content
        return sha

    def add_commit(
        self,
        files: Mapping[str, Entry],
        parents: tuple[str, ...],
        message: str,
        author: str,
        date: str,
        **people: str,
    ) -> Commit:
        """Store a commit with all its trees; `people` are `committer` and `author_email`."""
        tree = self._add_tree(dict(files))
        lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents), f"author {author} {date}", "", message]
        sha = _hash("commit", "\n".join(lines).encode())
        commit = Commit(sha, tree, dict(files), parents, message, author, date, **people)
        self.commits[commit.sha] = commit
        return commit

    def entry_for(self, content: bytes | str | Symlink | Submodule) -> Entry:
        """Store `content` and return how a tree names it."""
        if isinstance(content, Symlink):
            return Entry(SYMLINK, self.add_blob(content.target.encode()))
        if isinstance(content, Submodule):
            return Entry(SUBMODULE, content.sha)
        return Entry(FILE, self.add_blob(content.encode() if isinstance(content, str) else content))

    def apply(self, files: Mapping[str, Entry], changes: Mapping[str, Content]) -> dict[str, Entry]:
        """The tree `files` after `changes`."""
        result = dict(files)
        for path, content in changes.items():
            if content is None:
                result.pop(path, None)
            else:
                result[path] = self.entry_for(content)
        return result

    def _add_tree(self, files: Mapping[str, Entry]) -> str:
        """Store the tree of `files` (paths relative to it) and return its sha."""
        entries: dict[str, Entry] = {}
        folders: dict[str, dict[str, Entry]] = {}
        for path, entry in files.items():
            head, _, rest = path.partition("/")
            if rest:
                folders.setdefault(head, {})[rest] = entry
            else:
                entries[head] = entry
        for name, inside in folders.items():
            entries[name] = Entry(FOLDER, self._add_tree(inside))
        listing = "".join(f"{entry.mode} {entry.sha}\t{name}\n" for name, entry in sorted(entries.items()))
        sha = _hash("tree", listing.encode())
        self.trees[sha] = entries
        return sha

    def walk(self, tree: str, prefix: str = "") -> Iterator[tuple[str, Entry]]:
        """Every entry below `tree`, folders too."""
        for name, entry in sorted(self.trees[tree].items()):
            yield prefix + name, entry
            if entry.mode == FOLDER:
                yield from self.walk(entry.sha, f"{prefix}{name}/")

    def history(self, sha: str) -> Iterator[str]:
        """`sha` and all its ancestors, nearest first."""
        queue, seen = [sha], set()
        while queue:
            current = queue.pop(0)
            if current not in seen:
                seen.add(current)
                yield current
                queue += self.commits[current].parents

    def between(self, base: str, head: str) -> list[Commit]:
        """The commits in the history of `head` and not in that of `base`, oldest first."""
        known = set(self.history(base))
        return [self.commits[sha] for sha in self.history(head) if sha not in known][::-1]

    def merge_base(self, one: str, other: str) -> str:
        """The nearest commit that both have in their history."""
        ancestors = set(self.history(other))
        return next(sha for sha in self.history(one) if sha in ancestors)

    def changes(self, old: str, new: str) -> list[Change]:
        """Changes from `old` to `new`, with renames of unchanged content."""
        before, after = self.commits[old].files, self.commits[new].files
        removed = {path: entry for path, entry in before.items() if path not in after}
        out = []
        for path, entry in sorted(after.items()):
            if path not in before:
                source = next((name for name, gone in removed.items() if gone == entry), None)
                if source is not None:
                    del removed[source]
                    out.append(Change(path, "renamed", entry.sha, source))
                else:
                    out.append(Change(path, "added", entry.sha))
            elif before[path] != entry:
                out.append(Change(path, "modified", entry.sha))
        out += [Change(path, "removed", entry.sha) for path, entry in sorted(removed.items())]
        return sorted(out, key=lambda change: change.path)


def _hash(kind: str, content: bytes) -> str:
    return hashlib.sha1(f"{kind} {len(content)}\0".encode() + content, usedforsecurity=False).hexdigest()
