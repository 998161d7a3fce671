"""Read a pull request, its changed files and their content through the API at one commit, without a checkout."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from hugflow.gitops.client import GitHub, GitHubRefused
from hugflow.model.errors import Terminal, Transient
from hugflow.request.yaml_tree import MAX_BYTES

if TYPE_CHECKING:
    from github.Comparison import Comparison
    from github.PullRequest import PullRequest as ThePullRequest

REQUESTS = "requests"

ChangeKind = Literal["added", "modified", "removed", "renamed"]
_REGULAR = ("100644", "100755")
_FOLDER = "040000"


@dataclass(frozen=True, slots=True)
class PullRequest:
    """A pull request as read at one moment.

    `head_repository` is None when the fork was deleted, `merge_sha` until the pull request is merged.
    """

    number: int
    title: str
    author: str
    state: Literal["open", "closed"]
    merged: bool
    head_sha: str
    head_ref: str
    head_repository: str | None
    base_ref: str
    base_repository: str
    default_branch: str
    number_of_commits: int
    merge_sha: str | None
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


@dataclass(frozen=True, slots=True)
class PullRequestChanges:
    """Files that a pull request changes, and the tree of `requests/` at its head.

    Outside `requests/` a file stands for itself and a folder, with `/` at its end, for all that changed in it.
    """

    files: tuple[ChangedFile, ...]
    tree: Mapping[str, TreeEntry]


def read_pull_request(github: GitHub, number: int) -> PullRequest:
    """Read a pull request. Raises what `GitHub.read` raises."""
    return github.read(
        f"reading pull request #{number}", lambda: _as_pull_request(github.repository.get_pull(number).complete())
    )


def read_merged_pull_request(github: GitHub, sha: str) -> PullRequest | None:
    """Read the pull request whose merge created commit `sha` of the default branch; None for a direct push."""

    def request() -> int | None:
        pulls = github.repository.get_commit(sha).get_pulls()
        return next((pull.number for pull in pulls if _is_merged_as(pull, sha)), None)

    number = github.read(f"asking which pull request made {sha[:7]}", request)
    return read_pull_request(github, number) if number is not None else None


def _is_merged_as(pull: ThePullRequest, sha: str) -> bool:
    into_default = pull.base.ref == pull.base.repo.default_branch
    return bool(pull.merged_at) and pull.merge_commit_sha == sha and into_default


def _as_pull_request(pull: ThePullRequest) -> PullRequest:
    return PullRequest(
        number=pull.number,
        title=pull.title or "",
        author=pull.user.login if pull.user else "ghost",
        state=cast("Literal['open', 'closed']", pull.state),
        merged=pull.merged,
        head_sha=pull.head.sha,
        head_ref=pull.head.ref,
        head_repository=pull.head.repo.full_name if pull.head.repo else None,
        base_ref=pull.base.ref,
        base_repository=pull.base.repo.full_name,
        default_branch=pull.base.repo.default_branch,
        number_of_commits=pull.commits,
        merge_sha=pull.merge_commit_sha if pull.merged else None,
        repository_url=pull.base.repo.html_url,
    )


def read_changes(github: GitHub, pull: PullRequest) -> PullRequestChanges:
    """Compare the head of a pull request with the commit that it branched off from.

    GitHub's own list of files is of whatever the head is at that moment; here two fixed commits are compared.
    """
    base = read_comparison(github, read_base(github, pull), pull.head_sha).merge_base_commit.sha
    before, tree = read_requests_tree(github, base), read_requests_tree(github, pull.head_sha)
    inside = _with_renames(tree_changes(before, tree), before, tree)
    outside = tree_changes(_read_outside(github, base), _read_outside(github, pull.head_sha))
    return PullRequestChanges((*outside, *inside), tree)


def read_base(github: GitHub, pull: PullRequest) -> str:
    """Read the branch or commit to compare a pull request with; after a merge, the commit before it."""
    if pull.merge_sha is None:
        return pull.base_ref
    sha = pull.merge_sha
    return github.read(f"reading {sha[:7]}", lambda: github.repository.get_git_commit(sha).parents[0].sha)


def read_comparison(github: GitHub, base: str, head: str) -> Comparison:
    """Compare two branches or commits: their merge base, and the commits of `head` that `base` lacks."""
    return github.read(
        f"comparing {base[:40]} with {head[:7]}",
        lambda: github.repository.compare(base, head, comparison_commits_per_page=100).complete(),
    )


def is_part_of(github: GitHub, sha: str, branch: str) -> bool:
    """Read whether a commit is in the history of a branch: GitHub also serves commits of forks."""
    try:
        return read_comparison(github, sha, branch).status in ("identical", "ahead")
    except GitHubRefused as error:
        if error.status in (404, 422):  # no such commit, or no common history
            return False
        raise


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
        if entry is None or entry.mode != _FOLDER:
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


def _read_outside(github: GitHub, sha: str) -> dict[str, TreeEntry]:
    """Read the root folder of a commit without `requests/`; names of folders end with `/`."""
    entries = _read_entries(github, f"reading the files at {sha[:7]}", sha)
    return {f"{path}/" if entry.mode == _FOLDER else path: entry for path, entry in entries.items() if path != REQUESTS}


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


def _with_renames(
    changes: Sequence[ChangedFile], before: Mapping[str, TreeEntry], after: Mapping[str, TreeEntry]
) -> Iterator[ChangedFile]:
    """Join a removal and an addition of the same content to a rename."""
    removed = {before[each.path].blob: each.path for each in changes if each.change == "removed"}
    renamed: set[str] = set()
    for each in changes:
        previous = removed.pop(after[each.path].blob, None) if each.change == "added" else None
        if previous:
            renamed.add(previous)
            yield ChangedFile(each.path, "renamed", previous)
        elif each.change != "removed":
            yield each
    yield from (each for each in changes if each.change == "removed" and each.path not in renamed)
