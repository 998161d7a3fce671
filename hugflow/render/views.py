"""View of a pull request as data: each request with its plan, its progress and its result.

The state of a request is derived here, so that comment, check run, job summary and Slack agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hugflow.model.errors import ExitCode
from hugflow.model.events import Progress, Result
from hugflow.model.outcome import combined_exit_code
from hugflow.model.plan import AddPlan, Finding, Plan, PublishPlan
from hugflow.model.specs import Kind

State = Literal[
    "invalid",  # the file has problems, or what it asks for cannot be
    "refused",  # the policy says no
    "waiting",  # a person has to approve
    "deleted",  # the pull request deletes the request file
    "queued",  # planned, runs on the pull request
    "after-merge",  # planned, runs after the merge
    "running",
    "paused",
    "complete",
    "unchanged",
    "partial",
    "failed",
    "removed",
    "published",
]
Stage = Literal["plan", "running", "ended"]

# A request in one of these may still change in this run on the pull request.
_OPEN: frozenset[State] = frozenset(("queued", "running"))
_FROM_RESULT: dict[str, State] = {
    "complete": "complete",
    "partial": "partial",
    "paused": "paused",
    "failed": "failed",
    "unchanged": "unchanged",
    "removed": "removed",
    "published": "published",
    "invalid": "invalid",
}


@dataclass(frozen=True, slots=True)
class Annotation:
    """A remark on a line of a file; `line` and `column` are 1-based, `column` is None for the whole line."""

    path: str
    line: int
    column: int | None
    message: str
    title: str = ""
    level: Literal["failure", "warning", "notice"] = "failure"


@dataclass(frozen=True, slots=True)
class RequestView:
    """One request of a pull request, with what is known so far.

    `problems` make it invalid; `refusals` are errors of the policy that need no plan; `marks` are findings as
    annotations on the lines of the file.
    """

    path: str
    kind: Kind
    plan: Plan | None = None
    problems: tuple[Annotation, ...] = ()
    refusals: tuple[Finding, ...] = ()
    marks: tuple[Annotation, ...] = ()
    started: bool = False
    progress: Progress | None = None
    outage: str = ""
    result: Result | None = None
    deleted: bool = False
    approved_by: tuple[str, ...] = ()
    runs_after_merge: bool = False

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Findings of plan and policy."""
        return self.plan.findings if self.plan else self.refusals

    @property
    def state(self) -> State:
        """State of the request."""
        if self.deleted:
            return "deleted"
        if any(problem.level == "failure" for problem in self.problems):
            return "invalid"
        if self.result and self.result.status in _FROM_RESULT:
            return _FROM_RESULT[self.result.status]
        return "running" if self.started else self._planned_state()

    def _planned_state(self) -> State:
        levels = {finding.level for finding in self.findings}
        if "error" in levels:
            return "refused"
        if "approval" in levels and not self.approved_by:
            return "waiting"
        if isinstance(self.plan, AddPlan) and self.plan.action == "nothing":
            return "unchanged"
        return "after-merge" if self.runs_after_merge else "queued"

    @property
    def is_next(self) -> bool:
        """True when a run executes it: it is planned (even with nothing to do) and has not run yet."""
        return self.state in ("queued", "unchanged") and self.plan is not None and self.result is None

    @property
    def settled(self) -> bool:
        """True when this run on the pull request has nothing more to do for it."""
        return self.state not in _OPEN

    @property
    def dataset(self) -> tuple[str, str]:
        """Hub id, and config and split as the plan names them; empty where there is no plan."""
        plan = self.plan
        if plan is None:
            return "", ""
        if isinstance(plan, PublishPlan):
            return plan.repo_id, ""
        return plan.spec.hf_id, " / ".join(part for part in (plan.spec.subset, plan.spec.split) if part)


@dataclass(frozen=True, slots=True)
class PullRequestView:
    """All requests of a pull request at one commit, with links.

    `remark` is one sentence about the pull request as a whole (a merge, why it was refused); `continues`: another job
    resumes after a pause; `merged`: the pull request is merged; `over`: this run has ended, so that queued requests
    were only planned.
    """

    number: int
    sha: str
    requests: tuple[RequestView, ...]
    repository_url: str
    run_url: str = ""
    hub_url: str = "https://huggingface.co"
    approvers: tuple[str, ...] = ()
    remark: str = ""
    warnings: tuple[str, ...] = ()
    continues: bool = False
    merged: bool = False
    over: bool = False

    @property
    def short_sha(self) -> str:
        """Abbreviated commit."""
        return self.sha[:7]

    @property
    def stage(self) -> Stage:
        """Stage of this run: planned, running or ended."""
        if self.over or all(request.settled for request in self.requests):
            return "ended"
        started = any(request.started or request.result for request in self.requests)
        return "running" if started else "plan"

    def having(self, *states: State) -> tuple[RequestView, ...]:
        """Return the requests in one of `states`, in order."""
        return tuple(request for request in self.requests if request.state in states)


def exit_code(view: PullRequestView) -> ExitCode:
    """The combined exit code of the requests that have ended, or that cannot begin as they are."""
    return combined_exit_code(code for request in view.requests if (code := _exit_code(request)) is not None)


def _exit_code(request: RequestView) -> ExitCode | None:
    if request.result:
        return request.result.exit_code
    return _WITHOUT_RESULT.get(request.state)


_WITHOUT_RESULT: dict[State, ExitCode] = {
    "invalid": ExitCode.CHANGE_NEEDED,
    "refused": ExitCode.CHANGE_NEEDED,
    "waiting": ExitCode.NEEDS_APPROVAL,
    "unchanged": ExitCode.DONE,
}
