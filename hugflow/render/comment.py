"""Render the report on a pull request as Markdown: heading, table, next step, folded details.

The sticky comment, the final comment, the check run's summary and the job's summary have the same text, with fewer
details where it would be too long.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from hugflow.model.plan import AddPlan, PublishPlan, RemovePlan
from hugflow.render import markdown
from hugflow.render.comment_details import Detail, request_details
from hugflow.render.humanize import NBSP, NOTHING, bar, count, duration, percent, plural, size
from hugflow.render.markdown import code, link
from hugflow.render.views import PullRequestView, RequestView, State

STICKY = "sticky"
FINAL = "final"

# A pull request with more requests than this shows the first of them; the check run and the log name the others.
_MAX_TABLE_ROWS = 200
_MAX_REMOVALS = 10
_ICONS: dict[State, str] = {
    "invalid": "❌",
    "refused": "⛔",
    "waiting": "✋",
    "deleted": "🚫",
    "queued": "🕓",
    "after-merge": "🔀",
    "running": "⏳",
    "paused": "⏸️",
    "complete": "✅",
    "unchanged": "✅",
    "partial": "⚠️",
    "failed": "❌",
    "removed": "🗑️",
    "published": "📤",
}
_WORDS: dict[State, str] = {
    "invalid": "invalid",
    "refused": "refused by the policy",
    "waiting": "waits for approval",
    "deleted": "request deleted",
    "running": "running",
    "paused": "paused",
    "complete": "in storage",
    "unchanged": "already in storage",
    "failed": "failed",
    "removed": "removed",
    "published": "published",
}


def comment(view: PullRequestView, marker: str) -> str:
    """Render the sticky or final comment: at most 65,000 bytes, the hidden marker first."""
    return _document(view, markdown.COMMENT_BYTES, marker)


def refusal(problems: Sequence[tuple[str, str]], marker: str, commit: str) -> str:
    """Render the sticky comment of a pull request that may not run: each problem with what to do."""
    items = [f"- {markdown.sentence(problem)}.\n  **To do:** {markdown.sentence(fix)}" for problem, fix in problems]
    head = "### ⛔ Hugflow: nothing runs for this pull request"
    return markdown.cut(
        markdown.paragraphs(marker, head, "\n".join(items), f"<sub>Commit {code(commit[:7])}</sub>"),
        markdown.COMMENT_BYTES,
    )


def check_summary(view: PullRequestView) -> str:
    """Render the summary of the check run, within its limit."""
    return _document(view, markdown.COMMENT_BYTES, "")


def job_summary(view: PullRequestView) -> str:
    """Render the summary of the job, within 1 MB."""
    return _document(view, markdown.STEP_SUMMARY_BYTES, "")


def title(view: PullRequestView) -> str:
    """Summarise the pull request in one line: `2 in storage, 1 failed`."""
    groups: tuple[tuple[str, tuple[State, ...]], ...] = (
        ("failed", ("failed",)),
        ("partial", ("partial",)),
        ("invalid", ("invalid",)),
        ("refused by the policy", ("refused",)),
        ("waiting for approval", ("waiting",)),
        ("paused", ("paused",)),
        ("running", ("running",)),
        ("planned" if view.over else "queued", ("queued",)),
        ("in storage", ("complete", "unchanged")),
        ("removed", ("removed",)),
        ("published", ("published", "unchanged")),
        ("to run after the merge", ("after-merge",)),
    )
    numbers = {words: sum(_counts(each, words) for each in view.having(*states)) for words, states in groups}
    return ", ".join(f"{count(number)} {words}" for words, number in numbers.items() if number) or "nothing to do"


def _counts(request: RequestView, words: str) -> bool:
    """Return False where an unchanged request would be counted in the wrong group (storage or Hub)."""
    elsewhere = "in storage" if request.kind == "publish" else "published"
    return words != elsewhere


def next_step(view: PullRequestView) -> str:
    """Next action for the reader, as a sentence of Markdown."""
    for states, sentence in _NEXT_STEPS_AFTER_RUN if view.over else _NEXT_STEPS:
        requests = view.having(*states)
        if requests:
            return sentence.format(**_words(view, requests))
    if view.merged:
        waiting = view.having("after-merge")
        return (
            f"Nothing to do: {plural(len(waiting), 'request')} marked 🔀 will run now." if waiting else "Nothing to do."
        )
    return f"All requests that run before the merge are done: review and **merge**.{_after_merge(view)}"


_CORRECT = (
    "Correct {these} and push: each problem is listed below and marked on its line. Other requests are not affected."
)
_WAIT = "Nothing to do: the run is in progress, and this comment is updated."
_RETRY = (
    "See the error of {these} below, then comment `/hugflow retry`. Stored rows are kept, and the next run resumes "
    "from there."
)
_FAILED_ROWS = (
    "Look at the failed rows of {these} below. `/hugflow retry` tries them again; to accept them, raise "
    "`max_failed_rows` in the request and push."
)
_APPROVE = "{approvers} approves with the comment `/hugflow approve-removal {sha}`, or with a review."
_NEXT_STEPS: tuple[tuple[tuple[State, ...], str], ...] = (
    (("invalid", "refused"), _CORRECT),
    (("running", "queued"), _WAIT),
    (("paused",), "{paused}"),
    (("failed",), _RETRY),
    (("partial",), _FAILED_ROWS),
    (("waiting",), _APPROVE),
)
_NEXT_STEPS_AFTER_RUN = (
    *(step for step in _NEXT_STEPS if step[1] != _WAIT),
    (("queued",), "Planned only: `/hugflow retry` runs {these}."),
)


def _words(view: PullRequestView, requests: tuple[RequestView, ...]) -> dict[str, str]:
    paused = (
        "Nothing to do: the next job resumes where this one stopped."
        if view.continues
        else "The state is saved. Comment `/hugflow retry` to resume where the run stopped."
    )
    these = code(requests[0].path) if len(requests) == 1 else plural(len(requests), "request")
    approvers = " or ".join(code(name) for name in view.approvers) or "Somebody with write access"
    return {"paused": paused, "these": these, "approvers": approvers, "sha": view.sha}


def _after_merge(view: PullRequestView) -> str:
    waiting = view.having("after-merge")
    return f" After the merge {plural(len(waiting), 'request')} marked 🔀 will run." if waiting else ""


_DETAILS = (
    Detail(),
    Detail(previews=0),
    Detail(previews=0, problems=10, failed_rows=3, differences=10),
    Detail(previews=0, problems=10, failed_rows=3, differences=10, only_bad=True),
    Detail(requests=0),
)


def _document(view: PullRequestView, limit: int, marker: str) -> str:
    head = (marker, _heading(view), _table(view), _removals(view), f"**Next:** {next_step(view)}", _remarks(view))

    def version(detail: Detail) -> str:
        folded = (request_details(request, view, detail) for request in _shown(view, detail))
        return markdown.paragraphs(*head, *folded, _footer(view))

    return markdown.fit(limit, *(partial(version, detail) for detail in _DETAILS))


def _shown(view: PullRequestView, detail: Detail) -> tuple[RequestView, ...]:
    bad = view.having("invalid", "refused", "failed", "partial", "waiting")
    others = tuple(request for request in view.requests if request not in bad)
    return (bad if detail.only_bad else bad + others)[: detail.requests]


def _heading(view: PullRequestView) -> str:
    icon = {"plan": "📋", "running": "⏳", "ended": _worst_icon(view)}[view.stage]
    return f"### {icon} Hugflow: {title(view)}"


def _worst_icon(view: PullRequestView) -> str:
    order: tuple[State, ...] = ("failed", "invalid", "refused", "partial", "paused", "waiting")
    return next((_ICONS[state] for state in order if view.having(state)), "✅")


def _table(view: PullRequestView) -> str:
    if not view.requests:
        return ""
    shown = view.requests[:_MAX_TABLE_ROWS]
    rows = [
        (_ICONS[request.state], code(request.path, 80), _dataset(request, view), _state(request), *_numbers(request))
        for request in shown
    ]
    text = markdown.table(
        ("", "Request", "Dataset", "State", "Rows", "Size", "Time"),
        ("center", "left", "left", "left", "right", "right", "right"),
        rows,
    )
    hidden = len(view.requests) - len(shown)
    return text + (f"\n\n… and {plural(hidden, 'request')} more." if hidden else "")


def _removals(view: PullRequestView) -> str:
    """Name the parts of repositories that publishes would remove or move: not folded, so that a reviewer sees them."""
    lines = []
    for request in view.requests[:_MAX_TABLE_ROWS]:
        plan = request.plan
        if not isinstance(plan, PublishPlan) or request.result:
            continue
        for effect in ("remove", "move"):
            parts = [f"{each.kind} {code(each.name, 80)}" for each in plan.differences if each.effect == effect]
            more = f" and {count(len(parts) - _MAX_REMOVALS)} more" if len(parts) > _MAX_REMOVALS else ""
            if parts:
                lines.append(f"⚠️ {code(plan.repo_id)}: the publish {effect}s {', '.join(parts[:_MAX_REMOVALS])}{more}")
    return "\n".join(f"> {line}<br>" for line in lines[:_MAX_REMOVALS]).removesuffix("<br>")


def _dataset(request: RequestView, view: PullRequestView) -> str:
    hf_id, narrowed = request.dataset
    if not hf_id:
        return NOTHING
    linked = link(code(hf_id), f"{view.hub_url}/datasets/{hf_id}")
    return f"{linked} {code(narrowed, 60)}" if narrowed else linked


def _state(request: RequestView) -> str:
    state, plan = request.state, request.plan
    if state == "running" and request.outage:
        return "waiting for the Hub"
    if state == "running" and request.progress:
        done = request.progress.rows_done + request.progress.rows_failed
        return f"{bar(done, request.progress.rows_total)}{NBSP}{percent(done, request.progress.rows_total)}"
    if state == "partial" and request.result:
        return f"{plural(request.result.rows_failed, 'row')} failed"
    if state == "queued" and isinstance(plan, AddPlan):
        return f"resumes at row {count(plan.rows_done)}" if plan.action == "resume" else "to download"
    if state == "unchanged" and request.kind == "publish":
        return "on the Hub already"
    if state == "after-merge":
        return {"add": "downloads", "remove": "removes", "publish": "publishes"}[request.kind] + " after the merge"
    return _WORDS.get(state, state)


def _numbers(request: RequestView) -> tuple[str, str, str]:
    """Rows, size and time of the result, else of the progress, else of the plan."""
    # after a removal only the plan knows the size
    if request.result and request.kind != "remove" and request.state not in ("invalid", "refused"):
        return _numbers_of_result(request)
    if request.progress:
        progress = request.progress
        left = f"{duration(progress.eta_s)} left" if progress.eta_s is not None else NOTHING
        return f"{count(progress.rows_done)} of {count(progress.rows_total)}", size(progress.new_bytes), left
    return _numbers_of_plan(request)


def _numbers_of_result(request: RequestView) -> tuple[str, str, str]:
    assert request.result
    result = request.result
    rows = count(result.rows_done)
    if result.rows_done != result.rows_total and request.kind == "add":
        rows = f"{rows} of {count(result.rows_total)}"
    stored = result.audio_bytes + result.json_bytes + result.size_bytes
    return rows, size(stored) if stored else NOTHING, duration(result.elapsed_s) if result.elapsed_s else NOTHING


def _numbers_of_plan(request: RequestView) -> tuple[str, str, str]:
    plan = request.plan
    if plan is None or request.state in ("invalid", "deleted"):
        return NOTHING, NOTHING, NOTHING
    if isinstance(plan, AddPlan):
        expected = (
            f"~{NBSP}{duration(plan.estimate.seconds)}" if plan.estimate and plan.action != "nothing" else NOTHING
        )
        rows = plan.download.known_rows
        return "unknown" if rows is None else count(rows), size(plan.download.size_bytes), expected
    if isinstance(plan, RemovePlan):
        return count(plan.rows), size(plan.stored_bytes), NOTHING
    return count(plan.rows), size(plan.size_bytes), NOTHING


def _remarks(view: PullRequestView) -> str:
    remarks = ([view.remark] if view.remark else []) + [f"⚠️ {warning}" for warning in view.warnings]
    return "\n".join(f"> {markdown.sentence(remark)}<br>" for remark in remarks[:10]).removesuffix("<br>")


def _footer(view: PullRequestView) -> str:
    commit = link(code(view.short_sha), f"{view.repository_url}/commit/{view.sha}")
    log = f" · {link('log', view.run_url)}" if view.run_url else ""
    commands = "`/hugflow plan` `retry` `cancel` `unlock` `approve-removal`"
    return f"<sub>Commit {commit}{log} · people with write access can comment {commands}</sub>"
