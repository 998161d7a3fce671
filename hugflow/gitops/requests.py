"""Read the request files of a pull request: parse them, compare them with each other, plan them, apply the policy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import cast

from hugflow.gitops.client import GitHub
from hugflow.gitops.pull_request import (
    REQUESTS,
    ChangedFile,
    TreeEntry,
    read_blob,
    read_requests_tree,
)
from hugflow.model.errors import HugflowError, InvalidRequest
from hugflow.model.outcome import failed_result
from hugflow.model.plan import AddPlan, Finding, Plan, PublishPlan
from hugflow.model.spec_types import Kind
from hugflow.render.views import Annotation, RequestView
from hugflow.request import policy as rules
from hugflow.request.file import InvalidRequestFile, ParsedRequest, Problem, kind_of, parse
from hugflow.request.policy import Policy
from hugflow.request.validator import card_problems, conflicts

PlanRequest = Callable[[ParsedRequest], Plan]


@dataclass(frozen=True, slots=True)
class Loaded:
    """The requests of a pull request, valid and invalid, sorted by path."""

    views: tuple[RequestView, ...]
    parsed: Mapping[str, ParsedRequest]


def read_requests(
    github: GitHub, files: Iterable[ChangedFile], tree: Mapping[str, TreeEntry], *, merged: bool = False
) -> Loaded:
    """Read and parse the request files that a change adds or edits; deleted ones are only listed.

    Before the merge only adds run; after it (`merged`) all requests run.
    """
    views: list[RequestView] = []
    parsed: dict[str, ParsedRequest] = {}
    for path, deleted in _request_paths(files):
        kind = _folder_kind(path)
        if deleted:
            views.append(RequestView(path, kind, deleted=True))
            continue
        try:
            request = _read(github, path, tree)
        except InvalidRequestFile as error:
            views.append(RequestView(path, kind, problems=as_annotations(error.problems)))
            continue
        if request is not None:
            parsed[path] = request
            views.append(RequestView(path, kind, runs_after_merge=kind != "add" and not merged))
    conflicting = [*conflicts(list(parsed.values())), *card_problems(parsed.values())]
    return Loaded(tuple(_with_problems(view, conflicting) for view in views), parsed)


def read_branch_requests(github: GitHub, ref: str) -> Loaded:
    """Read all requests of a branch or commit through the API."""
    tree = read_requests_tree(github, ref)
    return read_requests(github, [ChangedFile(path, "added") for path in tree], tree, merged=True)


def read_default_branch_requests(github: GitHub) -> list[ParsedRequest]:
    """Read the valid requests of the default branch."""
    branch = github.read("asking for the default branch", lambda: github.repository.default_branch)
    tree = read_requests_tree(github, branch)
    found = []
    for path in sorted(tree):
        try:
            request = _read(github, path, tree)
        except InvalidRequestFile:
            continue
        found += [request] if request is not None else []
    return found


def as_annotations(problems: Iterable[Problem]) -> tuple[Annotation, ...]:
    """Convert problems to annotations on their lines."""
    return tuple(
        Annotation(each.path, each.line, each.column, f"{each.field}: {each.message}", title="Invalid request")
        for each in sorted(problems)
    )


def plan_all(loaded: Loaded, plan: PlanRequest, policy: Policy) -> tuple[RequestView, ...]:
    """Plan every valid request; one that cannot be planned gets the reason, and does not stop the others."""
    return tuple(
        view if view.deleted or view.problems else _planned(view, loaded.parsed[view.path], plan, policy)
        for view in loaded.views
    )


def refused_for_number(views: Sequence[RequestView], policy: Policy) -> Annotation | None:
    """Apply the policy's limit on the number of requests; the annotation is on the first one."""
    asking = [view for view in views if not view.deleted]
    finding = rules.too_many_requests(len(asking), policy)
    return Annotation(asking[0].path, 1, None, finding.message, title="Policy") if finding else None


def name_of(request: ParsedRequest) -> str:
    """Name of the dataset or repository of a request."""
    spec = request.spec
    return str(getattr(spec, "name", None) or getattr(spec, "repo_id", None) or getattr(spec, "hf_id", request.path))


def _request_paths(files: Iterable[ChangedFile]) -> list[tuple[str, bool]]:
    """Paths under `requests/` with a flag for deleted ones. The old path of a rename is not listed."""
    found = {file.path: file.change == "removed" for file in files if file.path.startswith(f"{REQUESTS}/")}
    return sorted(found.items())


def _folder_kind(path: str) -> Kind:
    """Kind to show for a path; `add` where its folder is no kind."""
    folder = PurePosixPath(path).parent.name
    return cast("Kind", folder) if folder in ("add", "remove", "publish") else "add"


def _read(github: GitHub, path: str, tree: Mapping[str, TreeEntry]) -> ParsedRequest | None:
    """Read the request at `path`; None for other files that are allowed beside requests."""
    kind = kind_of(path)
    if kind is None:
        return None
    entry = tree.get(path)
    if entry is None or not entry.is_file:
        raise InvalidRequestFile([Problem(path, 1, 1, "file", "is not a regular file at this commit")])
    return parse(read_blob(github, entry.blob, path), path, kind)


def _with_problems(view: RequestView, conflicting: Sequence[Problem]) -> RequestView:
    mine = as_annotations(problem for problem in conflicting if problem.path == view.path)
    return replace(view, problems=view.problems + mine) if mine else view


def _planned(view: RequestView, request: ParsedRequest, plan: PlanRequest, policy: Policy) -> RequestView:
    refusals = rules.check_spec(request.spec, policy)
    if refusals:
        return replace(view, refusals=refusals, marks=tuple(_marks(request, refusals)))
    try:
        planned = plan(request)
    except InvalidRequestFile as error:
        return replace(view, problems=as_annotations(error.problems))
    except InvalidRequest as error:
        return replace(view, problems=(_located(request, error),))
    except HugflowError as error:
        return replace(view, result=failed_result(view.path, view.kind, name_of(request), error))
    judged = _judged(planned, policy)
    return replace(view, plan=judged, marks=tuple(_marks(request, judged.findings)))


def _judged(plan: Plan, policy: Policy) -> Plan:
    plan = rules.with_limits(plan, policy)
    findings = (*plan.findings, *rules.check(plan, policy))
    if isinstance(plan, AddPlan | PublishPlan):
        return plan.model_copy(update={"findings": findings})
    return plan.model_copy(update={"findings": findings if plan.names else plan.findings})


def _marks(request: ParsedRequest, findings: Iterable[Finding]) -> Iterable[Annotation]:
    """Errors and warnings as annotations on the line of their field, else of the dataset's id."""
    of_all = request.at("repo_id" if request.kind == "publish" else "hf_id")
    for finding in findings:
        at = request.at_field(finding.field) if finding.field else of_all
        if finding.level == "error":
            yield Annotation(request.path, at.line, at.column, finding.message, title="Refused")
        elif finding.level == "warning":
            yield Annotation(request.path, at.line, at.column, finding.message, title="Warning", level="warning")


def _located(request: ParsedRequest, error: InvalidRequest) -> Annotation:
    at = request.at_field(error.field)
    message = f"{error.problem}. {error.fix}" if error.fix else error.problem
    return Annotation(request.path, at.line, at.column, message, title="Invalid request")
