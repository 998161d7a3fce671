"""Approvals of a commit: pull-request reviews, and comment commands recorded as commit statuses."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from github.CommitStatus import CommitStatus
from github.PaginatedList import PaginatedList
from github.Repository import Repository

from hugflow.gitops.client import GitHub
from hugflow.gitops.contributors import read_contributors
from hugflow.gitops.pull_request import PullRequest

_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_RECORD = re.compile(r"approved by @(?P<login>\S+) for #(?P<number>\d+)")

Subject = Literal["hugflow/approve-removal", "hugflow/approve-run"]
"""Subject of an approval; also the context of the commit status that records it."""
REMOVAL: Subject = "hugflow/approve-removal"
RUN: Subject = "hugflow/approve-run"


@dataclass(frozen=True, slots=True)
class Approval:
    """Approval of one commit by one person; `at` is None for the hand that started the run."""

    by: str
    how: Literal["review", "command", "dispatch"]
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Verdict:
    """The newest review with a verdict of one person."""

    approves: bool
    at: datetime


def read_approvals(
    github: GitHub,
    pull: PullRequest,
    subject: Subject,
    eligible: Callable[[str], bool],
    dispatched_by: Iterable[str] = (),
) -> tuple[Approval, ...]:
    """Read who approved exactly the head of `pull`, in this pull request, among those who are `eligible`.

    Approvals are reviews, commands about `subject`, and hands that started the run (`dispatched_by`). Whoever opened
    the pull request, or wrote or pushed one of its commits, does not count.
    """
    verdicts = _read_verdicts(github, pull)
    found = [Approval(login, "review", verdict.at) for login, verdict in verdicts.items() if verdict.approves]
    found += _read_commands(github, pull, subject, verdicts)
    found += [Approval(login, "dispatch") for login in dispatched_by]
    approvals: dict[str, Approval] = {}
    for approval in sorted(found, key=lambda each: each.at or _LONG_AGO):
        if approval.by in approvals or eligible(approval.by):
            approvals[approval.by] = approval  # the newest of each
    contributors = read_contributors(github, pull) if approvals else frozenset()
    if contributors is None:
        return ()
    return tuple(each for each in approvals.values() if each.by.casefold() not in contributors)


def record_approval(github: GitHub, pull: PullRequest, subject: Subject, login: str, url: str) -> None:
    """Record somebody's command as a commit status of the head of `pull`, for this pull request only.

    A comment is not bound to a commit and can be edited by others; a status can only be added, and names its creator.
    """
    description = f"approved by @{login} for #{pull.number}"
    github.write(
        f"recording the approval of {pull.head_sha[:7]}",
        lambda: github.repository.get_commit(pull.head_sha).create_status(
            "success", target_url=url, description=description, context=subject
        ),
    )


def _read_verdicts(github: GitHub, pull: PullRequest) -> dict[str, _Verdict]:
    """Read the newest verdict of each reviewer; it approves when it was given for the head of `pull`."""
    reviews = github.read(
        f"reading the reviews of pull request #{pull.number}", lambda: list(github.pull(pull.number).get_reviews())
    )
    return {
        review.user.login: _Verdict(
            review.state == "APPROVED" and review.commit_id == pull.head_sha, review.submitted_at
        )
        for review in reviews
        if review.user and review.state in ("APPROVED", "CHANGES_REQUESTED", "DISMISSED")
    }


def _read_commands(
    github: GitHub, pull: PullRequest, subject: Subject, verdicts: Mapping[str, _Verdict]
) -> Iterator[Approval]:
    """Read the commands that our own bot recorded; a later review that does not approve withdraws them."""
    ours, sha = github.login(), pull.head_sha
    statuses = github.read(f"reading the statuses of {sha[:7]}", lambda: list(_list_statuses(github.repository, sha)))
    for status in statuses:
        match = _RECORD.fullmatch(status.description or "")
        creator = status.creator.login if status.creator else ""
        if match is None or (status.context, status.state, creator) != (subject, "success", ours):
            continue
        verdict = verdicts.get(match["login"])
        withdrawn = verdict and not verdict.approves and verdict.at > status.created_at
        if int(match["number"]) == pull.number and not withdrawn:
            yield Approval(match["login"], "command", status.created_at)


def _list_statuses(repository: Repository, sha: str) -> PaginatedList[CommitStatus]:
    """List all statuses with their creators; PyGithub's `get_statuses` uses an undocumented address."""
    return PaginatedList(CommitStatus, repository.requester, f"{repository.url}/commits/{sha}/statuses", None)
