"""Render the folded details below the table, one part for each request: problems, plan, result."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from urllib.parse import quote

from hugflow.model.events import Preview, Result
from hugflow.model.plan import AddPlan, Difference, PublishPlan, RemovePlan, TablePlan
from hugflow.render import markdown
from hugflow.render.console import sound_remarks
from hugflow.render.differences import difference_text, shown_differences
from hugflow.render.humanize import NOTHING, clock, count, duration, plural, row_count, size
from hugflow.render.markdown import code, link, sentence
from hugflow.render.views import Annotation, PullRequestView, RequestView

MAX_NAMES = 30
_LEVELS = {"info": "ℹ️", "warning": "⚠️", "approval": "✋", "error": "⛔"}  # noqa: RUF001 - the sign for information


@dataclass(frozen=True, slots=True)
class Detail:
    """Limits on the details of each request; lower ones where the comment would be too long."""

    problems: int = 50
    failed_rows: int = 20
    previews: int = 5
    differences: int = 50
    only_bad: bool = False
    requests: int = 60


def request_details(request: RequestView, view: PullRequestView, detail: Detail) -> str:
    """Render the folded part of one request; empty when there are no details."""
    result = request.result
    parts = [
        _problems(request.problems, view, detail.problems),
        _deleted(request),
        _error(result) if result else "",
        _failed_rows(result, detail.failed_rows) if result else "",
        _items(request, view, detail.differences),
        _previews(result.previews[: detail.previews]) if result else "",
    ]
    body = "\n\n".join(part for part in parts if part)
    hf_id, _ = request.dataset
    name = f"{markdown.html_code(request.path)}{': ' if hf_id else ''}{markdown.html_code(hf_id) if hf_id else ''}"
    return markdown.details(name, body) if body else ""


def _items(request: RequestView, view: PullRequestView, differences: int) -> str:
    """Render one list: findings of plan and policy, then facts of the plan, then of the result (or the estimate).

    Of a publish the plan comes last: it ends with a table, which ends the list.
    """
    findings = [f"- {_LEVELS[finding.level]} {sentence(finding.message)}" for finding in request.findings]
    planned = _facts(request, view, differences)
    stored = _stored(request.result, differences) if request.result else ()
    facts = chain(stored, planned) if request.kind == "publish" else chain(planned, stored)
    return "\n".join([*findings, *(f"- **{name}:** {value}" for name, value in facts if value)]).replace(
        ":** \n", ":**\n"
    )


def _problems(problems: tuple[Annotation, ...], view: PullRequestView, limit: int) -> str:
    items = [f"- {_place(problem, view)} {sentence(problem.message)}" for problem in problems[:limit]]
    return "\n".join(items + _more(len(problems) - limit, "problem", "- "))


def _place(problem: Annotation, view: PullRequestView) -> str:
    label = f"line {problem.line}" + (f", column {problem.column}" if problem.column else "")
    return (
        link(label, f"{view.repository_url}/blob/{view.sha}/{quote(problem.path, errors='replace')}#L{problem.line}")
        + ":"
    )


def _deleted(request: RequestView) -> str:
    if not request.deleted:
        return ""
    return (
        "Deleting a request removes nothing from storage. To remove its dataset, add a request under "
        "`requests/remove/` that says why."
    )


def _facts(request: RequestView, view: PullRequestView, differences: int) -> Iterable[tuple[str, str]]:
    plan = request.plan
    if plan is None:
        return ()
    if isinstance(plan, AddPlan):
        return chain(_source_facts(plan, view), () if request.result else _storage_facts(plan))
    if isinstance(plan, RemovePlan):
        return _remove_facts(plan)
    # once published, the result says what changed
    return _publish_facts(plan, view, 0 if request.state == "published" else differences)


def _source_facts(plan: AddPlan, view: PullRequestView) -> Iterable[tuple[str, str]]:
    facts, spec = plan.facts, plan.spec
    yield "Why", code(spec.description)
    commit = link(code(facts.sha[:7]), f"{view.hub_url}/datasets/{spec.hf_id}/tree/{facts.sha}")
    yield "Revision", f"{code(spec.revision)} is commit {commit}"
    access = "gated" if facts.gated else "open"
    yield (
        "Licence",
        f"{code(facts.licence or '') if facts.licence else 'none named'}, {access}"
        + (", private" if facts.private else ""),
    )
    columns = [f"{code(column.name, 40)} ({column.kind})" for column in plan.download.columns[:MAX_NAMES]]
    yield "Columns", ", ".join(columns + _more(len(plan.download.columns) - MAX_NAMES, "column"))
    files = plural(len(plan.download.shards), f"{plan.download.format} file")
    yield "Source", f"{row_count(plan.download.known_rows)}, {size(plan.download.size_bytes)} in {files}"


def _storage_facts(plan: AddPlan) -> Iterable[tuple[str, str]]:
    yield "Location", code(plan.location, 300)
    if plan.action == "resume":
        of = "" if plan.download.known_rows is None else f" of {count(plan.download.known_rows)}"
        yield "Resumes", f"{plural(plan.rows_done, 'row')}{of} are stored already"
    if plan.action == "nothing":
        return
    estimate, storage = plan.estimate, plan.storage
    if estimate:
        yield (
            "Expected",
            f"about {size(estimate.stored_bytes)} in {plural(estimate.files, 'file')}, {duration(estimate.seconds)}",
        )
    if storage:
        after = storage.free_bytes - (estimate.stored_bytes if estimate else 0)
        quota = f", quota {size(storage.quota_bytes)}" if storage.quota_bytes else ""
        free = f"{size(after)} free afterwards" if after >= 0 else f"{size(-after)} too little space"
        yield "Space", f"{free} ({size(storage.free_bytes)} now{quota})"


def _remove_facts(plan: RemovePlan) -> Iterable[tuple[str, str]]:
    yield "Why", code(plan.spec.reason)
    yield "From", "the Hub" if plan.spec.target == "hub" else "storage"
    names = [code(name) for name in plan.names[:MAX_NAMES]]
    yield "Removes", ", ".join(names + _more(len(plan.names) - MAX_NAMES, "dataset")) or "nothing"
    yield "Frees", f"{plural(plan.rows, 'row')}, {size(plan.stored_bytes)}"


def _publish_facts(plan: PublishPlan, view: PullRequestView, differences: int) -> Iterable[tuple[str, str]]:
    target = link(code(plan.repo_id), f"{view.hub_url}/datasets/{plan.repo_id}")
    access = "private" if plan.private else "public"
    words = {"create": "a new repository", "update": "an update", "nothing": "no change"}
    yield "To", f"{target} at {code(plan.revision)}: {words[plan.action]}, {access}"
    is_new = plan.version_before not in (None, plan.version)
    before = f"{code(plan.version_before or '')} → " if is_new else ""
    yield "Version", before + code(plan.version) if plan.version else ""
    yield "Changes", _differences(plan.differences, differences)
    rows = [(code(table.name, 80), _rows(table), size(table.size_bytes), count(table.shards)) for table in plan.tables]
    yield (
        "Tables",
        plural(len(plan.tables), "table")
        + (
            "\n\n" + markdown.table(("Table", "Rows", "Size", "Shards"), ("left", "right", "right", "right"), rows)
            if rows
            else ""
        ),
    )


def _rows(table: TablePlan) -> str:
    """Rows of a table, with those that it has now where that is another number."""
    before = table.rows_before
    return count(table.rows) if before in (None, table.rows) else f"{count(before or 0)} → {count(table.rows)}"


def _differences(differences: Sequence[Difference], limit: int) -> str:
    """Differences as a list inside of a list; empty when `limit` is 0."""
    shown = list(shown_differences(differences)) if limit else []
    lines = [code(difference_text(each), 200) for each in shown[:limit]]
    return "".join(f"\n  - {line}" for line in lines + _more(len(shown) - limit, "change"))


def _error(result: Result) -> str:
    if not result.error:
        # the plan of an unchanged dataset already says it
        return sentence(result.message) if result.message and result.status != "unchanged" else ""
    # the fix of a partial or paused result is for the command line, not for a reader of the comment
    fix = f"**To do:** {sentence(result.fix)}" if result.fix and result.status not in ("partial", "paused") else ""
    parts = (markdown.fence(result.error), fix, _kept(result) if result.kind == "add" else "")
    return "\n\n".join(part for part in parts if part)


def _kept(result: Result) -> str:
    """Rows that a run without success has stored, and how to resume."""
    rows = f"{plural(result.rows_done, 'row')} in storage"
    if result.status == "partial":
        return f"{rows}. `/hugflow retry` retries the failed rows; `max_failed_rows` in the request allows them."
    if result.status == "paused":
        return f"{rows}."
    if not result.rows_done:
        return "Nothing was stored. `/hugflow retry` runs the request again."
    return f"{rows}; `/hugflow retry` resumes from there."


def _failed_rows(result: Result, limit: int) -> str:
    if not result.errors:
        return ""
    rows = [(count(row.row), code(row.reason, 60), code(row.message)) for row in result.errors[:limit]]
    more = result.rows_failed - len(rows)
    tail = f"\n\n… and {plural(more, 'failed row')} more." if more > 0 else ""
    return markdown.table(("Failed row", "Reason", "Message"), ("right", "left", "left"), rows) + tail


def _stored(result: Result, differences: int) -> Iterable[tuple[str, str]]:
    if not result.location or not result.rows_done:
        return
    if result.kind == "publish":
        yield "On the Hub", link(code(result.location, 300), result.location)
        sent = f", {size(result.sent_bytes)} sent by this run" if result.sent_bytes else ""
        yield "Rows", f"{count(result.rows_done)} in {size(result.size_bytes)}{sent}"
        yield "Changed", _differences(result.differences, differences)
        return
    yield "Location", code(result.location, 300)
    yield "Rows", f"{count(result.rows_done)} of {count(result.rows_total)}, {count(result.new_rows)} new in this run"
    yield "Audio", f"{size(result.audio_bytes)}, {duration(result.duration_s)}" if result.audio_bytes else "none"
    yield "JSON", size(result.json_bytes)
    yield "To check", sound_remarks(result)


def _previews(previews: tuple[Preview, ...]) -> str:
    if not previews:
        return ""
    rows = [
        (count(row.row), clock(row.duration_s) if row.duration_s is not None else NOTHING, code(row.text or ""))
        for row in previews
    ]
    return markdown.table(("Row", "Length", "Text"), ("right", "right", "left"), rows)


def _more(number: int, noun: str, bullet: str = "") -> list[str]:
    return [f"{bullet}… and {plural(number, noun)} more"] if number > 0 else []
