"""Approvals of a commit: pull-request reviews, and comment commands recorded as commit statuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from github.CommitStatus import CommitStatus
from github.PaginatedList import PaginatedList
from github.Repository import Repository

from hugflow.gitops.client import GitHub
from hugflow.gitops.pull_request import PullRequest

_BY = "approved by @"

Subject = Literal["hugflow/approve-removal", "hugflow/approve-run"]
"""Subject of an approval; also the context of the commit status that records it."""
REMOVAL: Subject = "hugflow/approve-removal"
RUN: Subject = "hugflow/approve-run"


@dataclass(frozen=True, slots=True)
class Approval:
    """Approval of one commit by one person."""

    by: str
    how: Literal["review", "command"]


def read_approvals(
    github: GitHub, pull: PullRequest, sha: str, subject: Subject, eligible: Callable[[str], bool]
) -> tuple[Approval, ...]:
    """Read who approved exactly `sha`, by a review or by a command about `subject`, among those `eligible`.

    The author's own consent never counts.
    """
    found = [Approval(login, "review") for login in _read_reviewers(github, pull.number, sha)]
    found += [Approval(login, "command") for login in _read_commanders(github, sha, subject)]
    seen: dict[str, Approval] = {}
    for approval in found:
        if approval.by != pull.author and approval.by not in seen and eligible(approval.by):
            seen[approval.by] = approval
    return tuple(seen.values())


def record_approval(github: GitHub, sha: str, subject: Subject, login: str, url: str) -> None:
    """Bind somebody's command to the commit that it was said about, as a commit status.

    A comment says nothing about a commit and can be edited by others; a status can only be added, and names its maker.
    """
    github.write(
        f"recording the approval of {sha[:7]}",
        lambda: github.repository.get_commit(sha).create_status(
            "success", target_url=url, description=f"{_BY}{login}", context=subject
        ),
    )


def _read_reviewers(github: GitHub, number: int, sha: str) -> list[str]:
    """Logins whose newest review with a verdict approves `sha`."""
    verdicts: dict[str, bool] = {}
    reviews = github.read(
        f"reading the reviews of pull request #{number}", lambda: list(github.pull(number).get_reviews())
    )
    for review in reviews:
        if review.user and review.state in ("APPROVED", "CHANGES_REQUESTED", "DISMISSED"):
            verdicts[review.user.login] = review.state == "APPROVED" and review.commit_id == sha
    return [login for login, approves in verdicts.items() if approves]


def _read_commanders(github: GitHub, sha: str, subject: Subject) -> list[str]:
    """Logins whose command our own bot recorded on `sha`."""
    ours = github.login()
    statuses = github.read(f"reading the statuses of {sha[:7]}", lambda: list(_list_statuses(github.repository, sha)))
    return [
        status.description.removeprefix(_BY)
        for status in statuses
        if status.context == subject
        and status.state == "success"
        and (status.creator.login if status.creator else "") == ours
        and (status.description or "").startswith(_BY)
    ]


def _list_statuses(repository: Repository, sha: str) -> PaginatedList[CommitStatus]:
    """List all statuses with their creators; PyGithub's `get_statuses` uses an undocumented address."""
    return PaginatedList(CommitStatus, repository.requester, f"{repository.url}/commits/{sha}/statuses", None)
