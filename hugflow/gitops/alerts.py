"""Alerts of scheduled workflows: one GitHub issue for each, closed when the fault is gone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hugflow.gitops.client import GitHub
from hugflow.render.markdown import marker

if TYPE_CHECKING:
    from github.Issue import Issue

LABEL = "hugflow-alert"


def raise_alert(github: GitHub, key: str, title: str, body: str) -> int:
    """Open the issue `key` with `title`, or update the body of the open one; return its number."""
    mark, text = marker("alert", _safe(key)), f"{marker('alert', _safe(key))}\n{body}"
    issue = _find(github, mark)
    if issue is None:
        created = github.write(
            "opening an issue", lambda: github.repository.create_issue(title, body=text, labels=[LABEL])
        )
        return created.number
    if issue.body != text:
        github.write("updating an issue", lambda: issue.edit(body=text))
    return issue.number


def is_raised(github: GitHub, key: str) -> bool:
    """Return True when the issue `key` is open."""
    return _find(github, marker("alert", _safe(key))) is not None


def clear_alert(github: GitHub, key: str, why: str) -> bool:
    """Close the issue `key` with a last comment; return False when it was not open."""
    issue = _find(github, marker("alert", _safe(key)))
    if issue is None:
        return False
    github.write("commenting on an issue", lambda: issue.create_comment(why))
    github.write("closing an issue", lambda: issue.edit(state="closed"))
    return True


def _find(github: GitHub, mark: str) -> Issue | None:
    ours = github.login()

    def request() -> Issue | None:
        for issue in github.repository.get_issues(state="open", labels=[LABEL]):
            if (issue.user.login if issue.user else "") == ours and (issue.body or "").startswith(mark):
                return issue
        return None

    return github.read("reading the open alerts", request)


def _safe(key: str) -> str:
    return re.sub(r"[^\w:./-]", "_", key, flags=re.ASCII)
