"""Delete finished request files from the repository in one commit (`AUTO_CLEANUP_REQUESTS`)."""

from __future__ import annotations

from collections.abc import Collection

from github import InputGitTreeElement

from hugflow.gitops.client import GitHub, GitHubRefused
from hugflow.gitops.pull_request import read_requests_tree
from hugflow.model.errors import Terminal

_TRIES = 5


def delete_requests(github: GitHub, branch: str, paths: Collection[str], message: str) -> str | None:
    """Delete `paths` from `branch` in one commit on top of its current head.

    Paths that no longer exist are skipped. Returns the commit's sha, None when there was nothing to delete. Raises
    `Terminal` when the branch moves between every read and write, and what `GitHub.write` raises.
    """
    doing = "deleting the finished requests"
    for _ in range(_TRIES):
        head = github.read(doing, lambda: github.repository.get_git_ref(f"heads/{branch}").object.sha)
        present = sorted(set(paths) & read_requests_tree(github, head).keys())
        if not present:
            return None
        commit = _create_commit(github, doing, head, present, message)
        try:
            _update_branch(github, doing, branch, commit)
        except GitHubRefused as error:
            if error.status != 422:  # noqa: PLR2004 - "Update is not a fast forward": somebody pushed
                raise
        else:
            return commit
    raise Terminal(doing, "the branch moved before each attempt to commit", "Delete the files by hand.")


def _update_branch(github: GitHub, doing: str, branch: str, sha: str) -> None:
    # `complete` reads the reference: the address to write to is in the answer
    github.write(doing, lambda: github.repository.get_git_ref(f"heads/{branch}").complete().edit(sha))


def _create_commit(github: GitHub, doing: str, head: str, paths: list[str], message: str) -> str:
    def request() -> str:
        parent = github.repository.get_git_commit(head)
        gone = [InputGitTreeElement(path, "100644", "blob", sha=None) for path in paths]
        tree = github.repository.create_git_tree(gone, base_tree=parent.tree)
        return github.repository.create_git_commit(message, tree, [parent]).sha

    return github.write(doing, request)
