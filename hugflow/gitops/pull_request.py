"""Read a pull request, its changed files and their content through the API at one commit, without a checkout."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from hugflow.gitops.client import GitHub, GitHubRefused
from hugflow.model.errors import Terminal, Transient
from hugflow.request.yaml_tree import MAX_BYTES

if TYPE_CHECKING:
    from github.PullRequest import PullRequest as ThePullRequest

REQUESTS = "requests"
MAX_FILES = 3_000  # GitHub lists no more files of a pull request

ChangeKind = Literal["added", "modified", "removed", "renamed", "copied", "changed", "unchanged"]
_REGULAR = ("100644", "100755")


@dataclass(frozen=True, slots=True)
class PullRequest:
    """A pull request as read at one moment. `head_repository` is None when the fork was deleted."""

    number: int
    title: str
    author: str
    state: Literal["open", "closed"]
    merged: bool
    head_sha: str
    head_repository: str | None
    base_ref: str
    base_sha: str
    base_repository: str
    default_branch: str
    number_of_files: int
    url: str
    repository_url: str

    @property
    def from_fork(self) -> bool:
        """True when its commits come from another repository."""
        return self.head_repository != self.base_repository


@dataclass(frozen=True, slots=True)
class ChangedFile:
    """A file that a pull request changes; `previous` is its old path when it was renamed."""

    path: str
    change: ChangeKind
    previous: str | None = None

    @property
    def paths(self) -> tuple[str, ...]:
        """Both paths of a rename, else the path."""
        return (self.path, self.previous) if self.previous else (self.path,)


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """An entry of a Git tree; `mode` is Git's file mode."""

    mode: str
    blob: str
    size: int = 0

    @property
    def is_file(self) -> bool:
        """True for a regular file: no link, no submodule."""
        return self.mode in _REGULAR


class HeadMovedError(Transient):
    """Somebody pushed while the pull request was read."""

    default_reason = "head_moved"


def read_pull_request(github: GitHub, number: int) -> PullRequest:
    """Read a pull request. Raises what `GitHub.read` raises."""
    return github.read(
        f"reading pull request #{number}", lambda: _as_pull_request(github.repository.get_pull(number).complete())
    )


def read_merged_pull_request(github: GitHub, sha: str) -> PullRequest | None:
    """Read the pull request whose merge created commit `sha` of the default branch; None for a direct push."""

    def request() -> int | None:
        pulls = github.repository.get_commit(sha).get_pulls()
        return next((pull.number for pull in pulls if pull.merged_at and pull.merge_commit_sha == sha), None)

    number = github.read(f"asking which pull request made {sha[:7]}", request)
    return read_pull_request(github, number) if number is not None else None


def _as_pull_request(pull: ThePullRequest) -> PullRequest:
    return PullRequest(
        number=pull.number,
        title=pull.title or "",
        author=pull.user.login if pull.user else "ghost",
        state=cast("Literal['open', 'closed']", pull.state),
        merged=pull.merged,
        head_sha=pull.head.sha,
        head_repository=pull.head.repo.full_name if pull.head.repo else None,
        base_ref=pull.base.ref,
        base_sha=pull.base.sha,
        base_repository=pull.base.repo.full_name,
        default_branch=pull.base.repo.default_branch,
        number_of_files=pull.changed_files,
        url=pull.html_url,
        repository_url=pull.base.repo.html_url,
    )


def read_changed_files(github: GitHub, pull: PullRequest) -> tuple[ChangedFile, ...]:
    """All files that the pull request touches at `pull.head_sha`, all pages of them.

    GitHub lists them for the newest head only: HeadMovedError when that is not, or no longer, `pull.head_sha`. At most
    `MAX_FILES` are listed; compare with `pull.number_of_files`.
    """
    doing = f"listing the files of pull request #{pull.number}"

    def request() -> tuple[ChangedFile, ...]:
        files = github.pull(pull.number).get_files()
        return tuple(
            ChangedFile(file.filename, cast("ChangeKind", file.status), file.previous_filename) for file in files
        )

    listed = github.read(doing, request)
    now = read_pull_request(github, pull.number)
    if now.head_sha != pull.head_sha:
        raise HeadMovedError(
            doing, f"a commit was pushed meanwhile ({now.head_sha[:7]})", "The run for it starts by itself."
        )
    return listed


def read_requests_tree(github: GitHub, sha: str) -> dict[str, TreeEntry]:
    """Read the tree below `requests/` at a commit, by path. Links are entries and are not followed."""
    doing = f"reading {REQUESTS}/ at {sha[:7]}"

    def request() -> dict[str, TreeEntry]:
        root = github.repository.get_git_tree(sha)
        folder = next((entry for entry in root.tree if entry.path == REQUESTS), None)
        if folder is None:
            return {}
        if folder.type != "tree":
            return {REQUESTS: TreeEntry(folder.mode, folder.sha, folder.size or 0)}
        tree = github.repository.get_git_tree(folder.sha, recursive=True)
        if tree.raw_data.get("truncated"):
            raise Terminal(doing, "the folder is too large for GitHub to list", "Move old requests out of it.")
        return {
            f"{REQUESTS}/{entry.path}": TreeEntry(entry.mode, entry.sha, entry.size or 0)
            for entry in tree.tree
            if entry.type != "tree"
        }

    return github.read(doing, request)


def read_file(github: GitHub, sha: str, path: str) -> bytes | None:
    """Read the file at `path` of a commit; None when there is no regular file."""
    doing = f"reading {path} at {sha[:7]}"
    tree = sha
    *folders, name = path.split("/")
    for folder in folders:
        entry = _read_entries(github, doing, tree).get(folder)
        if entry is None or entry.mode != "040000":
            return None
        tree = entry.blob
    entry = _read_entries(github, doing, tree).get(name)
    return read_blob(github, entry.blob, path) if entry and entry.is_file else None


def read_blob(github: GitHub, blob: str, path: str) -> bytes:
    """Read a blob, cut to one byte more than a request may have."""
    doing = f"reading {path}"

    def request() -> bytes:
        found = github.repository.get_git_blob(blob)
        try:
            return base64.b64decode(found.content)[: MAX_BYTES + 1]
        except binascii.Error as error:
            raise Transient(doing, "GitHub's answer is no base64") from error

    return github.read(doing, request)


def tree_changes(before: Mapping[str, TreeEntry], after: Mapping[str, TreeEntry]) -> tuple[ChangedFile, ...]:
    """Changes between two trees, by path. Renames are a removal and an addition."""
    paths = sorted(before.keys() | after.keys())
    return tuple(_difference(paths, before, after))


def read_permission(github: GitHub, login: str) -> str:
    """Read the permission of a login: `admin`, `write`, `read` or `none`."""
    doing = f"asking what {login} may do"
    try:
        return github.read(doing, lambda: github.repository.get_collaborator_permission(login))
    except GitHubRefused as error:
        if error.status == 404:  # noqa: PLR2004 - nobody of that name here
            return "none"
        raise


def may_write(github: GitHub, login: str) -> bool:
    """Read whether a login has write access."""
    return read_permission(github, login) in ("admin", "write")


def _read_entries(github: GitHub, doing: str, tree: str) -> dict[str, TreeEntry]:
    def request() -> dict[str, TreeEntry]:
        found = github.repository.get_git_tree(tree)
        return {entry.path: TreeEntry(entry.mode, entry.sha, entry.size or 0) for entry in found.tree}

    return github.read(doing, request)


def _difference(
    paths: Iterable[str], before: Mapping[str, TreeEntry], after: Mapping[str, TreeEntry]
) -> Iterable[ChangedFile]:
    for path in paths:
        if path not in before:
            yield ChangedFile(path, "added")
        elif path not in after:
            yield ChangedFile(path, "removed")
        elif before[path] != after[path]:
            yield ChangedFile(path, "modified")
