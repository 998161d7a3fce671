"""Run the requests of a push to the default branch: removals, publishes, and adds that have not run yet."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

from hugflow.gitops import pull_request
from hugflow.gitops.cleanup import delete_requests
from hugflow.gitops.client import GitHub
from hugflow.gitops.dispatch import APPLY_WORKFLOW, dispatch
from hugflow.gitops.pull_request import (
    ChangedFile,
    PullRequest,
    PullRequestChanges,
    TreeEntry,
    is_part_of,
    read_comparison,
)
from hugflow.gitops.reporter import PullRequestReporter
from hugflow.gitops.requests import Loaded, plan_all, read_requests
from hugflow.gitops.run import STOPS, Ended, RequestRunner, read_removal_approvals, unrunnable_result, with_approvals
from hugflow.model.errors import HugflowError, Terminal
from hugflow.model.events import Reporter, RunFinished, Warned
from hugflow.model.plan import RemovePlan
from hugflow.model.specs import AddSpec
from hugflow.render import comment
from hugflow.render.views import PullRequestView, RequestView, exit_code
from hugflow.request import policy as rules
from hugflow.request.file import InvalidRequestFile, kind_of, parse
from hugflow.request.policy import FILE, Policy
from hugflow.text.printable import shown


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
    """Changed request files, the tree of `requests/` that was merged, and the pull request that was merged.

    `reviewed` are the paths whose merged content is that of the pull request.
    """

    sha: str
    files: tuple[ChangedFile, ...]
    tree: Mapping[str, TreeEntry]
    pull: PullRequest | None
    reviewed: frozenset[str] = frozenset()


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
        pull = self._merged_pull_request(push)
        sha = pull.merge_sha if pull and pull.merge_sha else push.after
        if not is_part_of(self.github, sha, push.branch):
            raise Terminal(
                f"applying {sha[:7]}",
                f"the commit is not part of {shown(push.branch)}",
                "Only what was merged is applied. Name the merged pull request with --pull-request.",
            )
        if pull is None:
            pull = pull_request.read_merged_pull_request(self.github, sha)
        own = pull_request.read_changes(self.github, pull) if pull else PullRequestChanges((), {})
        tree = pull_request.read_requests_tree(self.github, sha)
        files = own.files if push.number is not None else self._pushed_files(push, tree)
        # what the branch no longer has in this form was changed or undone since, and is not run again
        now = pull_request.read_requests_tree(self.github, push.branch)
        files = tuple(file for file in files if file.path in tree and tree[file.path] == now.get(file.path))
        paths = (file.path for file in own.files if file.path in tree)
        reviewed = frozenset(path for path in paths if own.tree.get(path) == tree[path])
        return _Change(sha, files, tree, pull, reviewed)

    def _merged_pull_request(self, push: Push) -> PullRequest | None:
        """The pull request to apply again, if the run is for one. Raises Terminal when it is not merged."""
        if push.number is None:
            return None
        pull = pull_request.read_pull_request(self.github, push.number)
        if pull.merge_sha is None or pull.base_ref != push.branch:
            raise Terminal(
                f"applying pull request #{push.number}",
                f"it is not merged into {shown(push.branch)}",
                "Merge it first: removals and publishes run after the merge.",
            )
        return pull

    def _pushed_files(self, push: Push, tree: Mapping[str, TreeEntry]) -> tuple[ChangedFile, ...]:
        """Files that differ from the last commit of the branch before the push."""
        if not push.before.strip("0"):
            return pull_request.tree_changes({}, tree)
        before = read_comparison(self.github, push.before, push.after).merge_base_commit.sha
        return pull_request.tree_changes(pull_request.read_requests_tree(self.github, before), tree)

    def _planned(self, loaded: Loaded, change: _Change, policy: Policy) -> tuple[RequestView, ...]:
        views = plan_all(loaded, self.engine.plan, policy)
        if change.pull is None or not any(view.state == "waiting" and view.path in change.reviewed for view in views):
            return views
        approved = read_removal_approvals(self.github, change.pull, policy)
        return tuple(with_approvals(view, approved, policy) if view.path in change.reviewed else view for view in views)

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
