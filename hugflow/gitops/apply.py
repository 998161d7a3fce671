"""Run the requests of a push to the default branch: removals, publishes, and adds that have not run yet."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

from hugflow.gitops import pull_request
from hugflow.gitops.cleanup import delete_requests
from hugflow.gitops.client import GitHub
from hugflow.gitops.dispatch import APPLY_WORKFLOW, dispatch
from hugflow.gitops.pull_request import ChangedFile, PullRequest, TreeEntry
from hugflow.gitops.reporter import PullRequestReporter
from hugflow.gitops.requests import Loaded, plan_all, read_requests
from hugflow.gitops.run import STOPS, Ended, RequestRunner, read_removal_approvals, unrunnable_result
from hugflow.model.errors import HugflowError
from hugflow.model.events import Reporter, RunFinished, Warned
from hugflow.model.plan import RemovePlan
from hugflow.model.specs import AddSpec
from hugflow.render import comment
from hugflow.render.views import PullRequestView, RequestView, exit_code
from hugflow.request import policy as rules
from hugflow.request.file import InvalidRequestFile, kind_of, parse
from hugflow.request.policy import FILE, Policy


@dataclass(frozen=True, slots=True)
class Push:
    """Input of an apply run: the commits of a push, or the `number` of a merged pull request to run again."""

    branch: str
    before: str = ""
    after: str = ""
    number: int | None = None
    cleanup: bool = False
    run_url: str = ""
    hub_url: str = "https://huggingface.co"


@dataclass(frozen=True, slots=True)
class _Change:
    """Changed request files, the tree of `requests/` at the commit, and the pull request that was merged."""

    sha: str
    files: tuple[ChangedFile, ...]
    tree: Mapping[str, TreeEntry]
    pull: PullRequest | None


@dataclass(frozen=True, slots=True)
class ApplyRun:
    """An apply run. `start_reporter` creates the reporter of the merged pull request, if there is one.

    `should_continue` is called after a pause: True when `--max-runtime` was reached, so the next job is started.
    """

    github: GitHub
    engine: RequestRunner
    start_reporter: Callable[[PullRequestView], PullRequestReporter]
    emit: Reporter
    should_continue: Callable[[], bool] = field(default=lambda: False)

    def apply(self, push: Push) -> Ended:
        """Run the requests of the push. Raises GitHub errors while nothing has run, and InvalidPolicy."""
        change = self._read(push)
        policy = rules.parse(pull_request.read_file(self.github, push.branch, FILE))
        loaded = read_requests(self.github, change.files, change.tree, merged=True)
        view = self._view(push, change, self._planned(loaded, change, policy), policy)
        reporter = self.start_reporter(view) if change.pull else None
        if reporter:
            reporter.show(view)
        view = self._execute(view, reporter)
        if push.cleanup:
            view = self._clean_up(view, push, loaded)
        if view.having("paused") and self.should_continue():
            view = replace(view, continues=self._continue(push, view))
        if reporter:
            # nothing was done after the merge: the last final comment already said so
            news = len(view.having("unchanged", "deleted")) < len(view.requests)
            reporter.finish(view, final=news and not view.continues)
            return Ended(exit_code(reporter.view), reporter.summary(), reporter.view)
        return Ended(exit_code(view), comment.job_summary(replace(view, over=True)), view)

    def _read(self, push: Push) -> _Change:
        if push.number is not None:
            pull = pull_request.read_pull_request(self.github, push.number)
            files = pull_request.read_changed_files(self.github, pull)
            tree = pull_request.read_requests_tree(self.github, push.branch)
            # a request that the branch no longer has was undone since, and is not run again
            return _Change(push.branch, tuple(file for file in files if file.path in tree), tree, pull)
        tree = pull_request.read_requests_tree(self.github, push.after)
        before = pull_request.read_requests_tree(self.github, push.before) if push.before.strip("0") else {}
        changed = tuple(file for file in pull_request.tree_changes(before, tree) if file.change != "removed")
        return _Change(push.after, changed, tree, pull_request.read_merged_pull_request(self.github, push.after))

    def _planned(self, loaded: Loaded, change: _Change, policy: Policy) -> tuple[RequestView, ...]:
        views = plan_all(loaded, self.engine.plan, policy)
        if change.pull is None or not any(view.state == "waiting" for view in views):
            return views
        approved = read_removal_approvals(self.github, change.pull, change.pull.head_sha, policy)
        if rules.approvals_missing(policy, len(approved)):
            return views
        names = tuple(each.by for each in approved)
        return tuple(replace(view, approved_by=names) if view.state == "waiting" else view for view in views)

    def _view(self, push: Push, change: _Change, requests: tuple[RequestView, ...], policy: Policy) -> PullRequestView:
        pull = change.pull
        return PullRequestView(
            number=pull.number if pull else 0,
            sha=pull.head_sha if pull else change.sha,
            requests=requests,
            repository_url=pull.repository_url if pull else "",
            run_url=push.run_url,
            hub_url=push.hub_url,
            approvers=policy.removals.approvers,
            merged=True,
        )

    def _execute(self, view: PullRequestView, reporter: PullRequestReporter | None) -> PullRequestView:
        for request in view.having("invalid", "refused", "failed", "paused"):
            self.emit(RunFinished(request.result or unrunnable_result(request)))
        for request in view.requests:
            if not request.is_next:
                continue
            assert request.plan is not None, "what is next has a plan"
            result = self.engine.execute(request.plan)
            done = replace(request, result=result, started=True)
            view = replace(view, requests=tuple(done if each is request else each for each in view.requests))
            if result.exit_code in STOPS:
                break
        return replace(view, warnings=reporter.view.warnings) if reporter else view

    def _continue(self, push: Push, view: PullRequestView) -> bool:
        """Start the next job for the same change; return False when GitHub refused."""
        inputs = {"pull_request": str(push.number or view.number or ""), "before": push.before, "after": push.after}
        try:
            dispatch(self.github, APPLY_WORKFLOW, push.branch, inputs)
        except HugflowError as error:
            self.emit(Warned(view.requests[0].path, f"the next job could not be started: {error.problem}"))
            return False
        return True

    def _clean_up(self, view: PullRequestView, push: Push, loaded: Loaded) -> PullRequestView:
        try:
            undone = self._undone_adds(view, push.branch)
            paths = [request.path for request in view.having("removed") if request.path in loaded.parsed] + undone
            sha = delete_requests(self.github, push.branch, paths, "Delete finished requests") if paths else None
        except HugflowError as error:
            self.emit(Warned(view.requests[0].path, f"the finished requests were not deleted: {error.problem}"))
            return replace(view, remark=f"The finished requests were not deleted: {error.problem}.")
        return replace(view, remark=f"The finished requests were deleted in `{sha[:7]}`.") if sha else view

    def _undone_adds(self, view: PullRequestView, branch: str) -> list[str]:
        """Paths of the add requests on `branch` whose datasets this run removed."""
        removed = {
            name
            for request in view.having("removed")
            if isinstance(request.plan, RemovePlan)
            for name in request.plan.names
        }
        tree = pull_request.read_requests_tree(self.github, branch) if removed else {}
        return [path for path, entry in tree.items() if entry.is_file and self._adds(path, entry, removed)]

    def _adds(self, path: str, entry: TreeEntry, names: Collection[str]) -> bool:
        try:
            if kind_of(path) != "add":
                return False
            spec = parse(pull_request.read_blob(self.github, entry.blob, path), path).spec
        except InvalidRequestFile:
            return False
        return isinstance(spec, AddSpec) and spec.name in names
