"""The label that shows the state of a pull request; it has at most one of ours."""

from __future__ import annotations

from typing import Literal

from hugflow.gitops.client import GitHub, GitHubRefused
from hugflow.render.views import PullRequestView, State

Label = Literal[
    "hugflow: running",
    "hugflow: planned",
    "hugflow: paused",
    "hugflow: invalid",
    "hugflow: failed",
    "hugflow: partial",
    "hugflow: needs approval",
    "hugflow: ready",
    "hugflow: done",
]
_PREFIX = "hugflow: "
_BY_STATE: tuple[tuple[tuple[State, ...], Label], ...] = (
    (("failed",), "hugflow: failed"),
    (("invalid", "refused"), "hugflow: invalid"),
    (("partial",), "hugflow: partial"),
    (("paused",), "hugflow: paused"),
    (("waiting",), "hugflow: needs approval"),
    (("queued",), "hugflow: planned"),
)


def label_of(view: PullRequestView) -> Label:
    """Return the label for the state of the pull request."""
    if view.stage != "ended":
        return "hugflow: running"
    worst = next((label for states, label in _BY_STATE if view.having(*states)), None)
    return worst or ("hugflow: done" if view.merged else "hugflow: ready")


def set_label(github: GitHub, number: int, wanted: Label) -> None:
    """Set `wanted`, and remove our other labels."""
    issue = github.issue(number)
    present = github.read(f"reading the labels of #{number}", lambda: [label.name for label in issue.get_labels()])
    for name in present:
        if name.startswith(_PREFIX) and name != wanted:
            _remove(github, number, name)
    if wanted not in present:
        _add(github, number, wanted)


def _add(github: GitHub, number: int, name: str) -> None:
    # PyGithub sends a bare list, which GitHub's description of the call does not allow
    repository = github.repository
    url, body = f"{repository.url}/issues/{number}/labels", {"labels": [name]}
    github.write(f"labelling #{number}", lambda: repository.requester.requestJsonAndCheck("POST", url, input=body))


def _remove(github: GitHub, number: int, name: str) -> None:
    try:
        github.write(f"removing a label of #{number}", lambda: github.issue(number).remove_from_labels(name))
    except GitHubRefused as error:
        if error.status != 404:  # noqa: PLR2004 - somebody removed it first
            raise
