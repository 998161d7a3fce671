"""One dataset repository: its commits, branches, tags and pull requests."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from localhub.errors import HubError, bad_request, conflict, forbidden, revision_not_found
from localhub.store.tree import Operation, Tree, merge

DEFAULT_BRANCH = "main"
Gated = Literal["auto", "manual", False]
PullStatus = Literal["open", "merged", "closed"]
_SHA = re.compile(r"[0-9a-f]{40}\Z")
_REF_NAME = re.compile(r"(?!-)[^\s~^:?*\[\\\x00-\x1f\x7f]+\Z")


@dataclass(frozen=True)
class Commit:
    """A state of the repository; `created` is seconds since the epoch."""

    repo_id: str
    parent: str | None
    title: str
    message: str
    author: str
    created: float
    tree: Tree

    @cached_property
    def sha(self) -> str:
        """A sha in Git's form, computed from all fields of the commit."""
        root = self.tree.entry("")
        head = [self.repo_id, self.parent, self.title, self.message, self.author, self.created, root and root.oid]
        return hashlib.sha1(json.dumps(head).encode(), usedforsecurity=False).hexdigest()


@dataclass
class PullRequest:
    """`refs/pr/<num>` holds its commits; `base` is the branch that it goes into."""

    num: int
    title: str
    description: str
    author: str
    created: float
    base: str = DEFAULT_BRANCH
    status: PullStatus = "open"
    merge_sha: str | None = None

    @property
    def ref(self) -> str:
        return f"refs/pr/{self.num}"


@dataclass
class Repository:
    """A repository's history; every change takes `lock`, and commits never change."""

    id: str
    creator: str
    created: float
    private: bool = False
    gated: Gated = False
    granted: set[str] = field(default_factory=set)
    commits: dict[str, Commit] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    pulls: dict[int, PullRequest] = field(default_factory=dict)
    lfs_objects: set[str] = field(default_factory=set)
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def namespace(self) -> str:
        return self.id.split("/")[0]

    @property
    def head(self) -> Commit:
        return self.resolve(DEFAULT_BRANCH)

    def resolve(self, revision: str) -> Commit:
        """The commit that a branch, tag, full ref or commit sha names; otherwise HubError 404 RevisionNotFound."""
        for ref in (revision, f"refs/heads/{revision}", f"refs/tags/{revision}"):
            if ref in self.refs:
                return self.commits[self.refs[ref]]
        if _SHA.match(revision) and revision in self.commits:
            return self.commits[revision]
        raise revision_not_found(revision)

    def history(self, revision: str) -> Iterator[Commit]:
        """The commits behind a revision, newest first."""
        commit: Commit | None = self.resolve(revision)
        while commit is not None:
            yield commit
            commit = self.commits[commit.parent] if commit.parent else None

    def last_change(self, revision: str, path: str) -> Commit:
        """The newest commit that changed the file or folder."""
        last = self.resolve(revision)
        now = last.tree.entry(path)
        for commit in self.history(last.sha):
            if commit.tree.entry(path) != now:
                break
            last = commit
        return last

    def add_commit(
        self,
        branch: str,
        operations: Iterable[Operation],
        *,
        title: str,
        message: str = "",
        author: str,
        created: float,
        expected_parent: str | None = None,
    ) -> Commit:
        """Commit on a branch or `refs/pr/N`; HubError 412 when its head is not `expected_parent`."""
        with self.lock:
            ref = self.writable_ref(branch)
            parent = self.commits[self.refs[ref]] if ref in self.refs else None
            if parent is None and self.refs:
                raise revision_not_found(branch)
            if expected_parent and (parent is None or parent.sha != expected_parent):
                raise HubError(412, f"A commit has happened since {expected_parent}: read {branch} again and retry.")
            tree = (parent.tree if parent else Tree({})).apply(operations)
            commit = Commit(self.id, parent.sha if parent else None, title, message, author, created, tree)
            return self._keep(ref, commit)

    def open_pull(
        self,
        title: str,
        description: str,
        *,
        author: str,
        created: float,
        start: Commit,
        base: str = DEFAULT_BRANCH,
    ) -> PullRequest:
        """Open a pull request into the branch `base` that begins at a commit."""
        with self.lock:
            num = len(self.pulls) + 1
            pull = PullRequest(num, title, description, author, created, base)
            self.pulls[num] = pull
            self.refs[pull.ref] = start.sha
            return pull

    def merge_pull(self, num: int, *, author: str, created: float) -> Commit:
        """Merge an open pull request into its branch; HubError 409 when both changed the same file."""
        with self.lock:
            pull = self.pull(num)
            if pull.status != "open":
                raise conflict(f"Pull request {num} is {pull.status}")
            operations = _merge_operations(self, pull)
            title = f"{pull.title} (#{num})"
            commit = self.add_commit(pull.base, operations, title=title, author=author, created=created)
            pull.status, pull.merge_sha = "merged", commit.sha
            return commit

    def pull(self, num: int) -> PullRequest:
        if num not in self.pulls:
            raise HubError(404, f"Pull request {num} not found")
        return self.pulls[num]

    def create_ref(self, ref: str, commit: Commit) -> None:
        """Create `refs/heads/x` or `refs/tags/x`; HubError 409 when it exists."""
        name = ref.split("/", 2)[2]
        if not _REF_NAME.match(name) or ".." in name or name.endswith(("/", ".lock", ".")):
            raise bad_request(f"Invalid reference name: {name}")
        with self.lock:
            if ref in self.refs:
                raise conflict(f"Reference already exists: {ref}")
            self.refs[ref] = commit.sha

    def delete_ref(self, ref: str) -> None:
        if ref == f"refs/heads/{DEFAULT_BRANCH}":
            raise forbidden("The default branch cannot be deleted")
        with self.lock:
            if self.refs.pop(ref, None) is None:
                raise revision_not_found(ref.split("/", 2)[2])

    def writable_ref(self, branch: str) -> str:
        """The full name of a ref that takes commits; tags and shas do not (HubError 400)."""
        if branch.startswith("refs/"):
            pull = branch.removeprefix("refs/pr/")
            if not pull.isdigit() or int(pull) not in self.pulls:
                raise revision_not_found(branch)
            return branch
        if f"refs/heads/{branch}" not in self.refs and (f"refs/tags/{branch}" in self.refs or branch in self.commits):
            raise bad_request(f"{branch} is no branch: commits go to branches")
        return f"refs/heads/{branch}"

    def _keep(self, ref: str, commit: Commit) -> Commit:
        self.commits[commit.sha] = commit
        self.refs[ref] = commit.sha
        self.lfs_objects.update(blob.sha256 for blob in commit.tree.files.values() if blob.lfs)
        return commit


def _merge_operations(repository: Repository, pull: PullRequest) -> list[Operation]:
    theirs = repository.resolve(pull.ref)
    ours = repository.resolve(pull.base)
    ancestors = {commit.sha for commit in repository.history(ours.sha)}
    base = next((commit for commit in repository.history(theirs.sha) if commit.sha in ancestors), None)
    return merge(base.tree if base else Tree({}), ours.tree, theirs.tree)
