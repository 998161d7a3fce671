"""Merge exactly the commit that was processed, and no later one."""

from __future__ import annotations

from dataclasses import dataclass

from hugflow.gitops.client import GitHub, GitHubRefused
from hugflow.gitops.pull_request import PullRequest, read_pull_request
from hugflow.text.printable import shown

_METHODS = (("merge", "allow_merge_commit"), ("squash", "allow_squash_merge"), ("rebase", "allow_rebase_merge"))


@dataclass(frozen=True, slots=True)
class Merge:
    """Outcome of a merge, with a sentence for people."""

    merged: bool
    message: str


def merge(github: GitHub, pull: PullRequest, sha: str) -> Merge:
    """Merge pull request `pull` if its head is still `sha`; GitHub refuses any other head.

    Raises `Transient` when GitHub cannot be reached; a refusal is returned as a `Merge` with the reason.
    """
    short = f"`{sha[:7]}`"
    base = read_pull_request(github, pull.number).base_ref
    if base != pull.base_ref:
        return Merge(merged=False, message=f"Not merged: its base branch is {shown(base)} now.")
    try:
        github.write(
            f"merging pull request #{pull.number}",
            lambda: github.pull(pull.number).merge(
                merge_method=_method(github), sha=sha, commit_title=f"{pull.title} (#{pull.number})"
            ),
        )
    except GitHubRefused as error:
        if _is_merged(github, pull.number, sha):  # an earlier answer was lost on the way
            return Merge(merged=True, message=f"Merged at {short}.")
        return Merge(merged=False, message=f"Not merged: {_why(error, short)}")
    return Merge(merged=True, message=f"Merged at {short}.")


def _why(error: GitHubRefused, short: str) -> str:
    if error.status == 409:  # noqa: PLR2004 - the head moved
        return (
            f"somebody pushed after {short}, which is what was processed. The run for the new commit starts by itself, "
            "and what is stored is not downloaded again."
        )
    if error.status == 405:  # noqa: PLR2004 - not mergeable now
        return f"GitHub does not allow it yet ({error.problem}). Merge it by hand when it does."
    return f"{error.problem}. {error.fix}".strip()


def _method(github: GitHub) -> str:
    """Read the first merge method that the repository allows; `merge` where the token cannot read its settings."""

    def allowed() -> str:
        settings = github.repository.complete().raw_data
        return next((method for method, setting in _METHODS if settings.get(setting, True)), "merge")

    return github.read("asking how pull requests are merged here", allowed)


def _is_merged(github: GitHub, number: int, sha: str) -> bool:
    now = read_pull_request(github, number)
    return now.merged and now.head_sha == sha
