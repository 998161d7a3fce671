"""From the files of a pull request to its requests: parsed, compared with each other, planned, judged by the policy."""

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
from hugflow.model.errors import HugflowError, InvalidRequest, Paused
from hugflow.model.events import Result
from hugflow.model.plan import AddPlan, Plan, PublishPlan
from hugflow.model.spec_types import Kind
from hugflow.render.views import Annotation, RequestView
from hugflow.request import policy as rules
from hugflow.request.file import InvalidRequestFile, ParsedRequest, Problem, kind_of, parse
from hugflow.request.policy import Policy
from hugflow.request.validator import card_problems, conflicts

PlanRequest = Callable[[ParsedRequest], Plan]


@dataclass(frozen=True, slots=True)
class Loaded:
    """The requests of a pull request, good and bad, in the order of their paths."""

    views: tuple[RequestView, ...]
    parsed: Mapping[str, ParsedRequest]


def load(
    github: GitHub, files: Iterable[ChangedFile], tree: Mapping[str, TreeEntry], *, merged: bool = False
) -> Loaded:
    """Read the request files that a change adds or edits, as data. Deleted ones are named, and nothing else.

    On the pull request only adds run; all else waits for the merge, after which everything runs (`merged`).
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
    quarrels = [*conflicts(list(parsed.values())), *card_problems(parsed.values())]
    return Loaded(tuple(_with_problems(view, quarrels) for view in views), parsed)


def load_branch(github: GitHub, ref: str) -> Loaded:
    """Read all requests of a branch or commit, through the API: a server has no checkout."""
    tree = read_requests_tree(github, ref)
    return load(github, [ChangedFile(path, "added") for path in tree], tree, merged=True)


def requests_of_default_branch(github: GitHub) -> list[ParsedRequest]:
    """The valid requests that the default branch holds now."""
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
    """Problems as annotations on their lines."""
    return tuple(
        Annotation(each.path, each.line, each.column, f"{each.field}: {each.message}", title="Invalid request")
        for each in sorted(problems)
    )


def plan_all(loaded: Loaded, plan: PlanRequest, policy: Policy) -> tuple[RequestView, ...]:
    """Plan every request that is valid. What cannot be planned carries why, and does not stop the others."""
    return tuple(
        view if view.deleted or view.problems else _planned(view, loaded.parsed[view.path], plan, policy)
        for view in loaded.views
    )


def refused_for_number(views: Sequence[RequestView], policy: Policy) -> Annotation | None:
    """What the policy says to as many requests as there are, on the first of them."""
    asking = [view for view in views if not view.deleted]
    finding = rules.too_many_requests(len(asking), policy)
    return Annotation(asking[0].path, 1, None, finding.message, title="Policy") if finding else None


def failure(request: str, kind: Kind, name: str, error: HugflowError) -> Result:
    """The result of a request that could not even be planned."""
    invalid, paused = isinstance(error, InvalidRequest), isinstance(error, Paused)
    return Result(
        request=request,
        kind=kind,
        name=name,
        status="invalid" if invalid else "paused" if paused else "failed",
        exit_code=error.exit_code,
        error=f"{error.doing}: {error.problem}",
        fix=error.fix,
        reason=error.reason,
    )


def name_of(request: ParsedRequest) -> str:
    """What the request is about, in one name."""
    spec = request.spec
    return str(getattr(spec, "name", None) or getattr(spec, "repo_id", None) or getattr(spec, "hf_id", request.path))


def _request_paths(files: Iterable[ChangedFile]) -> list[tuple[str, bool]]:
    """Every path under `requests/` with whether it is gone. The old path of a rename counts as moved, not as gone."""
    found = {
        file.path: file.change == "removed"
        for file in files
        if file.path.startswith(f"{REQUESTS}/") and file.change != "unchanged"
    }
    return sorted(found.items())


def _folder_kind(path: str) -> Kind:
    """The kind to show for a path, also where it is no right one."""
    folder = PurePosixPath(path).parent.name
    return cast("Kind", folder) if folder in ("add", "remove", "publish") else "add"


def _read(github: GitHub, path: str, tree: Mapping[str, TreeEntry]) -> ParsedRequest | None:
    """The request at `path`; None for the few files that may stand beside requests."""
    kind = kind_of(path)
    if kind is None:
        return None
    entry = tree.get(path)
    if entry is None or not entry.is_file:
        raise InvalidRequestFile([Problem(path, 1, 1, "file", "is not a regular file at this commit")])
    return parse(read_blob(github, entry.blob, path), path, kind)


def _with_problems(view: RequestView, quarrels: Sequence[Problem]) -> RequestView:
    mine = as_annotations(problem for problem in quarrels if problem.path == view.path)
    return replace(view, problems=view.problems + mine) if mine else view


def _planned(view: RequestView, request: ParsedRequest, plan: PlanRequest, policy: Policy) -> RequestView:
    try:
        planned = plan(request)
    except InvalidRequestFile as error:
        return replace(view, problems=as_annotations(error.problems))
    except InvalidRequest as error:
        return replace(view, problems=(_located(request, error),))
    except HugflowError as error:
        return replace(view, result=failure(view.path, view.kind, name_of(request), error))
    judged = _judged(planned, policy)
    return replace(view, plan=judged, marks=tuple(_marks(request, judged)))


def _judged(plan: Plan, policy: Policy) -> Plan:
    findings = (*plan.findings, *rules.check(plan, policy))
    if isinstance(plan, AddPlan | PublishPlan):
        return plan.model_copy(update={"findings": findings})
    return plan.model_copy(update={"findings": findings if plan.names else plan.findings})


def _marks(request: ParsedRequest, plan: Plan) -> Iterable[Annotation]:
    """What speaks against a plan, on the line that says which dataset it is about."""
    of_all = request.at("repo_id" if request.kind == "publish" else "hf_id")
    for finding in plan.findings:
        at = request.at_field(finding.field) if finding.field else of_all
        if finding.level == "error":
            yield Annotation(request.path, at.line, at.column, finding.message, title="Refused")
        elif finding.level == "warning":
            yield Annotation(request.path, at.line, at.column, finding.message, title="Warning", level="warning")


def _located(request: ParsedRequest, error: InvalidRequest) -> Annotation:
    at = request.at_field(error.field)
    message = f"{error.problem}. {error.fix}" if error.fix else error.problem
    return Annotation(request.path, at.line, at.column, message, title="Invalid request")
