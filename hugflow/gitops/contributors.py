"""Read who contributed to a pull request: opener, authors, co-authors, committers and pushers of its commits."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from hugflow.gitops.client import GitHub, GitHubRefused
from hugflow.gitops.pull_request import PullRequest, read_base, read_comparison

if TYPE_CHECKING:
    from github.Commit import Commit
    from github.NamedUser import NamedUser

MAX_COMMITS = 1_000
MAX_LOOKUPS = 50
_MAX_PUSH_PAGES = 100
_CO_AUTHOR = re.compile(r"^[ \t]*co-authored-by:.*?<([^<>\s]+)>", re.IGNORECASE | re.MULTILINE)
_NO_REPLY = re.compile(r"(?:\d+\+)?([^@+]+)@users\.noreply\.", re.IGNORECASE)


def read_contributors(github: GitHub, pull: PullRequest) -> frozenset[str] | None:
    """Read the logins, in lower case, of all who wrote or pushed a commit of a pull request, or opened it.

    Names and addresses in a commit are what its author typed; who pushed it was authenticated by GitHub. None when
    there are too many commits, addresses or pushes to tell.
    """
    commits = _read_commits(github, pull)
    if len(commits) > MAX_COMMITS:
        return None
    pushers = _read_pushers(github, pull, {commit.sha for commit in commits})
    authors = _read_authors(github, commits)
    if pushers is None or authors is None:
        return None
    return frozenset(login.casefold() for login in (pull.author, *pushers, *authors))


def _read_commits(github: GitHub, pull: PullRequest) -> list[Commit]:
    comparison = read_comparison(github, read_base(github, pull), pull.head_sha)

    def request() -> list[Commit]:
        return [commit for commit, _ in zip(comparison.commits, range(MAX_COMMITS + 1), strict=False)]

    return github.read(f"reading the commits of pull request #{pull.number}", request)


def _read_authors(github: GitHub, commits: Iterable[Commit]) -> set[str] | None:
    """Read the accounts of authors, committers and co-authors; None when too many addresses are unknown."""
    logins: dict[str, str] = {}
    emails: set[str] = set()
    for commit in commits:
        accounts: tuple[NamedUser | None, ...] = (commit.author, commit.committer)  # None: an unknown address
        for person, account in zip((commit.commit.author, commit.commit.committer), accounts, strict=True):
            if account is not None:
                logins[person.email.casefold()] = account.login
            else:
                emails.add(person.email.casefold())
        emails |= {email.casefold() for email in _CO_AUTHOR.findall(commit.commit.message)}
    unknown = []
    for email in sorted(emails - logins.keys()):
        if match := _NO_REPLY.match(email):
            logins[email] = match[1]
        else:
            unknown.append(email)
    if len(unknown) > MAX_LOOKUPS:
        return None
    return {*logins.values(), *(login for email in unknown for login in _read_accounts(github, email))}


def _read_accounts(github: GitHub, email: str) -> Iterator[str]:
    """Read the account of an address from the newest commit of the repository that was made with it."""

    def request() -> Commit | None:
        return next(iter(github.repository.get_commits(author=email)), None)

    commit = github.read("looking up an author", request)
    account: NamedUser | None = commit.author if commit else None
    if account is not None:
        yield account.login


def _read_pushers(github: GitHub, pull: PullRequest, commits: set[str]) -> set[str] | None:
    """Read who pushed one of `commits` to the branch; None when the branch has too many pushes.

    Empty when the list of pushes cannot be read: the fork is gone or private, or the server is too old.
    """
    if pull.head_repository is None:
        return set()
    address, found = f"/repos/{pull.head_repository}/activity", set()
    parameters: dict[str, Any] = {"ref": f"refs/heads/{pull.head_ref}", "per_page": 100}
    for _ in range(_MAX_PUSH_PAGES):
        try:
            links, pushes = github.read("reading who pushed", lambda: _request(github, address, parameters))  # noqa: B023 - called at once
        except GitHubRefused as error:
            if error.status in (403, 404):
                return set()
            raise
        found |= {push["actor"]["login"] for push in pushes if push["after"] in commits and push["actor"]}
        match = re.search(r'<([^<>]+)>; rel="next"', links)
        if match is None:
            return found
        address, parameters = match[1], {}
    return None


def _request(github: GitHub, address: str, parameters: dict[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    headers, pushes = github.repository.requester.requestJsonAndCheck("GET", address, parameters=parameters)
    return headers.get("link", ""), pushes
