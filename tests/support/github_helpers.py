"""Helpers of the GitHub tests: people, a pull request, and our client of the double."""

from __future__ import annotations

from hugflow.gitops.client import GitHub, GitHubSettings
from tests.doubles.github import GitHub as Server
from tests.doubles.github_state import GitHubState

REQUEST = "hf_id: acme/voices\ndescription: Read speech.\n"


def new_state(token: str) -> GitHubState:
    """A fresh repository with people: alice and bob may write, steward is an admin, eve reads."""
    state = GitHubState()
    state.add_token(token)
    state.add_user("alice", "write")
    state.add_user("bob", "write")
    state.add_user("steward", "admin")
    state.add_user("eve", "read")
    return state


def connect(server: Server, token: str, *, retries: int = 0, slept: list[float] | None = None) -> GitHub:
    """A client that notes how long it would have waited."""
    settings = GitHubSettings("acme/data", token, server.api, seconds_between_writes=0)
    return GitHub(settings, retries=retries, sleep=(slept if slept is not None else []).append)


def opened(server: Server, files: dict[str, object] | None = None, **kwargs: object) -> tuple[int, str]:
    """A pull request with files; its number and head."""
    fork = kwargs.get("fork")
    server.state.commit("feature", files or {"requests/add/a.yaml": REQUEST}, fork=fork)  # type: ignore[arg-type]  # files are contents
    number = server.state.open_pull_request("feature", **kwargs)  # type: ignore[arg-type]  # the double's own arguments
    return number, server.state.pull_head(number)
