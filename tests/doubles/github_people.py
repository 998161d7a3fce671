"""Answers of the GitHub double about people and repositories, with all fields that GitHub's description requires."""

from __future__ import annotations

import zlib
from typing import Any
from urllib.parse import quote

from tests.doubles.github_state import GitHubState

Json = dict[str, Any]
AGES_AGO = "2020-01-01T00:00:00Z"
_USER_LINKS = (
    "followers",
    "subscriptions",
    "organizations",
    "repos",
    "received_events",
    "events{/privacy}",
    "following{/other_user}",
    "gists{/gist_id}",
    "starred{/owner}{/repo}",
)
_REPOSITORY_LINKS = (
    "archive assignees blobs branches collaborators comments commits compare contents contributors deployments "
    "downloads events forks git_commits git_refs git_tags hooks issue_comment issue_events issues keys labels "
    "languages merges milestones notifications pulls releases stargazers statuses subscribers subscription tags teams "
    "trees"
)


def number_of(text: str) -> int:
    """A number that is always the same for `text`."""
    return zlib.crc32(text.encode())


class People:
    """The forms of people and repositories; `api` is the address under which clients see the server."""

    def __init__(self, state: GitHubState, api: str, web: str) -> None:
        self.state, self.api, self.web = state, api, web
        self.repo_url = f"{api}/repos/{state.full_name}"
        self.repo_web = f"{web}/{state.full_name}"

    def user(self, login: str) -> Json:
        """A person or a bot."""
        url = f"{self.api}/users/{quote(login)}"
        links = {f"{link.partition('{')[0]}_url": f"{url}/{link}" for link in _USER_LINKS}
        return {
            "login": login,
            "id": number_of(login),
            "node_id": f"U_{number_of(login)}",
            "avatar_url": f"{self.web}/avatars/{number_of(login)}",
            "gravatar_id": "",
            "url": url,
            "html_url": f"{self.web}/{quote(login)}",
            **links,
            "type": "Bot" if login.endswith("[bot]") else "User",
            "site_admin": False,
        }

    def viewer(self, login: str) -> Json:
        """The answer to `GET /user`."""
        zero = dict.fromkeys(("public_repos", "public_gists", "followers", "following"), 0)
        nothing = dict.fromkeys(("name", "company", "blog", "location", "email", "hireable", "bio"))
        return {**self.user(login), **nothing, **zero, "created_at": AGES_AGO, "updated_at": AGES_AGO}

    def repository(self) -> Json:
        """The repository, in its full form."""
        state = self.state
        links = {f"{link}_url": f"{self.repo_url}/{link}" for link in _REPOSITORY_LINKS.split()}
        switches = dict.fromkeys(("has_issues", "has_projects", "has_wiki", "has_downloads"), True)
        off = dict.fromkeys(("private", "fork", "archived", "disabled", "has_pages", "has_discussions"), False)
        counts = "forks forks_count open_issues open_issues_count size stargazers_count watchers watchers_count"
        return {
            "id": number_of(state.full_name),
            "node_id": f"R_{number_of(state.full_name)}",
            "name": state.name,
            "full_name": state.full_name,
            "owner": self.user(state.owner),
            "html_url": self.repo_web,
            "url": self.repo_url,
            "description": None,
            **links,
            "clone_url": f"{self.repo_web}.git",
            "git_url": f"{self.repo_web}.git",
            "ssh_url": f"{self.repo_web}.git",
            "svn_url": self.repo_web,
            "mirror_url": None,
            "homepage": None,
            "language": None,
            "license": None,
            "default_branch": state.default_branch,
            **switches,
            **off,
            **dict.fromkeys([*counts.split(), "network_count", "subscribers_count"], 0),
            "pushed_at": AGES_AGO,
            "created_at": AGES_AGO,
            "updated_at": AGES_AGO,
        }
