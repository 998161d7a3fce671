"""Run on a pull request, from its files to its final comment (`hugflow sync --ci-mode`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from hugflow.gitops import gate
from hugflow.gitops.approvals import REMOVAL, Approval, read_approvals
from hugflow.gitops.checks import CheckState, CommitCheck
from hugflow.gitops.client import GitHub
from hugflow.gitops.comments import Conversation
from hugflow.gitops.dispatch import APPLY_WORKFLOW, dispatch, dispatch_next_slice
from hugflow.gitops.labels import set_label
from hugflow.gitops.merge import merge
from hugflow.gitops.pull_request import PullRequest, may_write, read_file
from hugflow.gitops.reporter import PullRequestReporter
from hugflow.gitops.requests import PlanRequest, plan_all, read_requests, refused_for_number
from hugflow.model.errors import ExitCode, HugflowError
from hugflow.model.events import Reporter, Result, RunFinished, Warned
from hugflow.model.plan import Finding, Plan, RemovePlan
from hugflow.render import comment
from hugflow.render.markdown import marker
from hugflow.render.views import PullRequestView, RequestView, State, exit_code
from hugflow.request import policy as rules
from hugflow.request.policy import FILE, InvalidPolicy, Policy

Execute = Callable[[Plan], Result]
_BLOCKING: tuple[State, ...] = (
    "invalid",
    "refused",
    "failed",
    "partial",
    "paused",
    "waiting",
    "queued",
    "running",
)
STOPS = (ExitCode.PAUSED, ExitCode.INTERRUPTED)


@dataclass(frozen=True, slots=True)
class PullRequestJob:
    """Input of a run.

    `approved_by` are people with write access who started this run for exactly this commit (a dispatch). `only` is the
    one request file to run. `auto_merge` is the setting, which the policy overrides.
    """

    number: int
    sha: str
    mode: Literal["sync", "plan"] = "sync"
    only: str = ""
    approved_by: tuple[str, ...] = ()
    auto_merge: bool = False
    run_url: str = ""
    run_key: str = "run"
    hub_url: str = "https://huggingface.co"


@dataclass(frozen=True, slots=True)
class RequestRunner:
    """The engine as two calls: plan a request, and execute a plan (which emits events)."""

    plan: PlanRequest
    execute: Execute


@dataclass(frozen=True, slots=True)
class Ended:
    """Outcome of a run: exit code, final view, and the job's summary as Markdown."""

    exit_code: ExitCode
    summary: str
    view: PullRequestView | None = None
    refusals: tuple[gate.Refusal, ...] = ()


@dataclass(frozen=True, slots=True)
class PullRequestRun:
    """A run on one pull request.

    `github` is the foreground connection. `start_reporter` creates the reporter of the pull request from the first
    view, with a connection of its own. `emit` passes events to all reporters, including that one. `should_continue` is
    called after a pause: True when `--max-runtime` was reached (the next job is started), False when the run was
    stopped.
    """

    github: GitHub
    engine: RequestRunner
    start_reporter: Callable[[PullRequestView], PullRequestReporter]
    emit: Reporter
    should_continue: Callable[[], bool] = field(default=lambda: False)

    def process(self, job: PullRequestJob) -> Ended:
        """Run the job. Raises GitHub errors while nothing has run; afterwards its outages are warnings."""
        decision = gate.decide(self.github, job.number, job.sha, job.approved_by)
        if not decision.allowed:
            return post_refusal(self.github, decision, job)
        pull = decision.facts.pull
        try:
            policy = rules.parse(read_file(self.github, pull.default_branch, FILE))
        except InvalidPolicy as error:
            wrong = gate.Refusal("policy", f"{FILE} of {pull.default_branch} is invalid", str(error.problem))
            return post_refusal(self.github, replace(decision, refusals=(wrong,)), job)
        view = self._plan(decision.facts, policy, job)
        reporter = self.start_reporter(view)
        reporter.show(view)
        if job.mode == "plan":
            return self._end(reporter, view, final=False)
        self._emit_unrunnable(view)
        self._execute(reporter, job)
        return self._finish(reporter, pull, policy, job)

    # -- the plan

    def _plan(self, facts: gate.GateFacts, policy: Policy, job: PullRequestJob) -> PullRequestView:
        loaded = read_requests(self.github, facts.files, facts.tree)
        too_many = refused_for_number(loaded.views, policy)
        if too_many:
            views = tuple(replace(view, problems=(replace(too_many, path=view.path),)) for view in loaded.views)
        else:
            views = plan_all(loaded, self.engine.plan, policy)
            views = self._approved(facts.pull, views, policy)
        return PullRequestView(
            number=job.number,
            sha=job.sha,
            requests=views,
            repository_url=facts.pull.repository_url,
            run_url=job.run_url,
            hub_url=job.hub_url,
            approvers=policy.removals.approvers,
        )

    def _approved(self, pull: PullRequest, views: tuple[RequestView, ...], policy: Policy) -> tuple[RequestView, ...]:
        if not any(view.state == "waiting" for view in views):
            return views
        approved = read_removal_approvals(self.github, pull, policy)
        return tuple(with_approvals(view, approved, policy) for view in views)

    def _emit_unrunnable(self, view: PullRequestView) -> None:
        """Emit results of requests that the engine will not run."""
        for request in view.having("invalid", "refused", "failed", "paused"):
            self.emit(RunFinished(request.result or unrunnable_result(request)))

    # -- the work

    def _execute(self, reporter: PullRequestReporter, job: PullRequestJob) -> None:
        """Run the adds in order; a failure does not stop the next one, a pause does."""
        if reporter.view.having("paused"):
            return
        for request in reporter.view.requests:
            if not request.is_next:
                continue
            assert request.plan is not None, "what is next has a plan"
            if job.only in ("", request.path) and self.engine.execute(request.plan).exit_code in STOPS:
                return

    # -- the end

    def _finish(self, reporter: PullRequestReporter, pull: PullRequest, policy: Policy, job: PullRequestJob) -> Ended:
        view = reporter.view
        if view.having("paused"):
            return self._pause(reporter, view, job)
        if rules.auto_merge(policy, job.auto_merge) and _may_merge(view):
            view = self._merge(view, pull, job)
        return self._end(reporter, view)

    def _pause(self, reporter: PullRequestReporter, view: PullRequestView, job: PullRequestJob) -> Ended:
        continues = False
        if self.should_continue():
            try:
                continues = dispatch_next_slice(self.github, job.number, job.sha)
            except HugflowError as error:
                self._warn(view, f"the next job could not be started ({error.problem}); comment `/hugflow retry`")
        return self._end(reporter, replace(reporter.view, continues=continues), final=not continues)

    def _merge(self, view: PullRequestView, pull: PullRequest, job: PullRequestJob) -> PullRequestView:
        try:
            outcome = merge(self.github, pull, job.sha)
        except HugflowError as error:
            # the answer may have been lost after the merge was done
            remark = f"Not merged, as far as is known: {error.problem}. If it is still open, merge it by hand."
            return replace(view, remark=remark)
        view = replace(view, remark=outcome.message, merged=outcome.merged)
        return self._dispatch_apply(view, pull) if outcome.merged and view.having("after-merge") else view

    def _dispatch_apply(self, view: PullRequestView, pull: PullRequest) -> PullRequestView:
        """Start the apply workflow: unlike a person's merge, one with GITHUB_TOKEN starts no workflow."""
        try:
            dispatch(self.github, APPLY_WORKFLOW, pull.default_branch, {"pull_request": str(pull.number)})
        except HugflowError as error:
            problem = f"the run after the merge could not be started ({error.problem}); comment `/hugflow retry`"
            return replace(view, remark=f"{view.remark} But {problem}.")
        return view

    def _end(self, reporter: PullRequestReporter, view: PullRequestView, *, final: bool = True) -> Ended:
        reporter.finish(view, final=final)
        return Ended(exit_code(reporter.view), reporter.summary(), reporter.view)

    def _warn(self, view: PullRequestView, message: str) -> None:
        self.emit(Warned(view.requests[0].path if view.requests else "", message))


def post_refusal(github: GitHub, decision: gate.Decision, job: PullRequestJob) -> Ended:
    """Write why nothing runs into comment, check and label; a run for an older commit writes nothing."""
    pairs = [(refusal.problem, refusal.fix) for refusal in decision.refusals]
    text = comment.refusal(pairs, marker(comment.STICKY), job.sha)
    if {refusal.code for refusal in decision.refusals} <= {"head_moved", "not_open"}:
        return Ended(ExitCode.DONE, text, refusals=decision.refusals)
    Conversation(github, job.number).upsert(marker(comment.STICKY), text)
    CommitCheck(github, job.sha, run_key=job.run_key, details_url=job.run_url).update(
        CheckState("nothing runs for this pull request", text, "failure")
    )
    waits = {refusal.code for refusal in decision.refusals} == {"fork"}
    set_label(github, job.number, "hugflow: needs approval" if waits else "hugflow: invalid")
    return Ended(ExitCode.NEEDS_APPROVAL if waits else ExitCode.CHANGE_NEEDED, text, refusals=decision.refusals)


def read_removal_approvals(github: GitHub, pull: PullRequest, policy: Policy) -> Sequence[Approval]:
    """Read who approved the removals of the head, among the policy's approvers (or all with write access)."""
    named = {login.casefold() for login in policy.removals.approvers}

    def eligible(login: str) -> bool:
        return login.casefold() in named if named else may_write(github, login)

    return read_approvals(github, pull, REMOVAL, eligible)


def with_approvals(view: RequestView, approved: Sequence[Approval], policy: Policy) -> RequestView:
    """Add approvals to a removal that waits, if they are enough; one that is older than the dataset does not count."""
    plan = view.plan
    if view.state != "waiting" or not isinstance(plan, RemovePlan):
        return view
    completed_at = plan.completed_at
    names = tuple(each.by for each in approved if completed_at is None or each.at is None or each.at >= completed_at)
    if not rules.approvals_missing(policy, len(names)):
        return replace(view, approved_by=names)
    if len(names) == len(approved):
        return view
    message = f"the dataset came into storage after the approval, at {completed_at:%Y-%m-%d %H:%M} UTC: approve again"
    finding = Finding(level="approval", message=message)
    return replace(view, plan=plan.model_copy(update={"findings": (*plan.findings, finding)}))


def _may_merge(view: PullRequestView) -> bool:
    return bool(view.requests) and not view.having(*_BLOCKING)


def unrunnable_result(request: RequestView) -> Result:
    """Result of a request that is invalid or refused, for reporters that handle results only."""
    messages = [problem.message for problem in request.problems]
    messages += [finding.message for finding in request.findings if finding.level == "error"]
    return Result(
        request=request.path,
        kind=request.kind,
        name=request.dataset[0] or request.path,
        status="invalid",
        exit_code=ExitCode.CHANGE_NEEDED,
        error="; ".join(messages),
        fix="Correct the request and push.",
        reason="refused" if request.state == "refused" else "invalid_request",
    )
