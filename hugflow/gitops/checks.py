"""The check on a commit: a check run with annotations, or a commit status where check runs are refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from hugflow.gitops.client import GitHub, GitHubRefused
from hugflow.render.humanize import lines, one_line, shorten
from hugflow.render.views import Annotation

if TYPE_CHECKING:
    from github.CheckRun import CheckRun

NAME = "hugflow"
ANNOTATIONS_PER_REQUEST = 50
_MAX_STATUS = 140
_MAX_TITLE = 255
_MAX_MESSAGE = 4_000

Conclusion = Literal["success", "failure", "neutral", "cancelled", "action_required"]


@dataclass(frozen=True, slots=True)
class CheckState:
    """Title, summary and conclusion of the check; `conclusion` is None while the run is in progress."""

    title: str
    summary: str
    conclusion: Conclusion | None = None


class CommitCheck:
    """The check of one commit. `run_key` identifies it when an answer was lost and the call is repeated.

    A check that a paused run left open is continued.

    With a token that may not write check runs (a personal token) a commit status is set instead: its description
    has 140 characters, the full text is in the comment.
    """

    def __init__(self, github: GitHub, sha: str, *, run_key: str, details_url: str = "") -> None:
        self._github = github
        self._sha = sha
        self._key = run_key
        self._details_url = details_url
        self._run: CheckRun | None = None
        self._refused = False

    def update(self, state: CheckState, annotations: Sequence[Annotation] = ()) -> None:
        """Write `state`, and add up to 50 annotations to the existing ones."""
        if len(annotations) > ANNOTATIONS_PER_REQUEST:
            raise ValueError(f"GitHub takes {ANNOTATIONS_PER_REQUEST} annotations at a time")
        if not self._refused:
            try:
                self._update_run(state, annotations)
            except GitHubRefused as error:
                if error.status != 403:  # noqa: PLR2004 - "Resource not accessible by personal access token"
                    raise
                self._refused = True
        if self._refused:
            self._set_status(state)

    def _update_run(self, state: CheckState, annotations: Sequence[Annotation]) -> None:
        output: dict[str, Any] = {"title": shorten(one_line(state.title), _MAX_TITLE), "summary": state.summary}
        if annotations:
            output["annotations"] = [_as_json(annotation) for annotation in annotations]
        self._run = self._run or self._find()
        if self._run is None:
            self._run = self._create(state, output)
        else:
            self._edit(self._run, state, output)

    def _find(self) -> CheckRun | None:
        """Find the check that this run created, or one that a paused run left open."""
        runs = self._github.read(
            f"reading the checks of {self._sha[:7]}",
            lambda: list(self._github.repository.get_commit(self._sha).get_check_runs(check_name=NAME)),
        )
        ours = [run for run in runs if run.external_id == self._key]
        return next(iter(ours or [run for run in runs if run.status != "completed"]), None)

    def _create(self, state: CheckState, output: dict[str, Any]) -> CheckRun:
        details: dict[str, Any] = {"details_url": self._details_url} if self._details_url else {}
        return self._github.write(
            f"creating the check of {self._sha[:7]}",
            lambda: self._github.repository.create_check_run(
                NAME, self._sha, external_id=self._key, output=output, **details, **_progress(state)
            ),
        )

    def _edit(self, run: CheckRun, state: CheckState, output: dict[str, Any]) -> None:
        self._github.write(
            f"updating the check of {self._sha[:7]}", lambda: run.edit(output=output, **_progress(state))
        )

    def _set_status(self, state: CheckState) -> None:
        target = {"target_url": self._details_url} if self._details_url else {}
        self._github.write(
            f"setting the status of {self._sha[:7]}",
            lambda: self._github.repository.get_commit(self._sha).create_status(
                _status_of(state), description=shorten(one_line(state.title), _MAX_STATUS), context=NAME, **target
            ),
        )


def batches(annotations: Sequence[Annotation]) -> list[Sequence[Annotation]]:
    """Split annotations into batches of the size that GitHub accepts."""
    return [
        annotations[start : start + ANNOTATIONS_PER_REQUEST]
        for start in range(0, len(annotations), ANNOTATIONS_PER_REQUEST)
    ]


def _progress(state: CheckState) -> dict[str, Any]:
    return {"conclusion": state.conclusion} if state.conclusion else {"status": "in_progress"}


def _status_of(state: CheckState) -> str:
    if state.conclusion is None:
        return "pending"
    return "success" if state.conclusion in ("success", "neutral") else "failure"


def _as_json(annotation: Annotation) -> dict[str, Any]:
    columns = {"start_column": annotation.column, "end_column": annotation.column} if annotation.column else {}
    title = {"title": shorten(one_line(annotation.title), _MAX_TITLE)} if annotation.title else {}
    return {
        "path": annotation.path,
        "start_line": annotation.line,
        "end_line": annotation.line,
        "annotation_level": annotation.level,
        "message": lines(annotation.message, _MAX_MESSAGE) or "there is a problem",
        **columns,
        **title,
    }
