"""Plans and results as plain text for a terminal. Pure: values in, lines out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hugflow.model.events import Result
from hugflow.model.plan import AddPlan, Finding, Plan, PublishPlan, RemovePlan
from hugflow.render.differences import difference_text, shown_differences
from hugflow.render.humanize import count, duration, lines, one_line, plural, row_count, size
from hugflow.render.views import RequestView, State

_SIGNS = {"download": "+", "resume": "+", "nothing": "=", "remove": "-", "create": "^", "update": "^"}
_ADD_VERBS = {"download": "add", "resume": "resume", "nothing": "unchanged"}
_MARKS = {"info": "i", "warning": "!", "approval": "?", "error": "x"}
_RESULT_MARKS = {"complete": "✓", "unchanged": "=", "removed": "✓", "published": "✓", "paused": "…"}
_STATE_MARKS: dict[State, str] = {"deleted": "-", "queued": "+", "after-merge": "+", "waiting": "?"}
_STATE_WORDS: dict[State, str] = {
    "refused": "refused by the policy",
    "waiting": "waits for approval",
    "deleted": "the request is deleted, which removes nothing from storage",
    "queued": "planned, not run",
    "after-merge": "planned, runs after the merge",
}
SHOWN_ERRORS = 10


def plan_text(plans: Sequence[Plan]) -> str:
    """Plans as text: one paragraph each, and their total."""
    return "\n\n".join(["\n".join(_plan(plan)) for plan in plans] + [_summary(plans)]) + "\n"


def _plan(plan: Plan) -> Iterator[str]:
    if isinstance(plan, AddPlan):
        yield from _add(plan)
    elif isinstance(plan, RemovePlan):
        where = " from the Hub" if plan.spec.target == "hub" else ""
        yield f"- remove {', '.join(plan.names)}{where}"
        yield _field("request", plan.request)
        yield _field("reason", plan.spec.reason)
        yield _field("frees", f"{plural(plan.rows, 'row')}, {size(plan.stored_bytes)}")
    else:
        yield from _publish(plan)
    yield from (_finding(finding) for finding in plan.findings)


def _add(plan: AddPlan) -> Iterator[str]:
    download, spec = plan.download, plan.spec
    yield f"{_SIGNS[plan.action]} {_ADD_VERBS[plan.action]} {plan.name}"
    yield _field("request", plan.request)
    config = f", config {spec.subset}" if spec.subset else ""
    yield _field("dataset", f"{spec.hf_id}{config}, split {spec.split}")
    yield _field("revision", f"{spec.revision} at {download.sha[:12]}")
    rows = "unknown until they are read" if download.known_rows is None else row_count(download.known_rows)
    yield _field("rows", rows + (f", {count(plan.rows_done)} done already" if plan.rows_done else ""))
    yield _field("source", f"{size(download.size_bytes)} in {plural(len(download.shards), 'file')} ({download.format})")
    yield _field("audio", f"column {download.audio_column}" if download.audio_column else "none: JSON only")
    yield from (
        _field("classes", f"{path}: {', '.join(names)} ({len(names)})")
        for column in download.columns
        for path, names in column.class_names.items()
    )
    access = [word for word, is_so in (("gated", plan.facts.gated), ("private", plan.facts.private)) if is_so]
    yield _field("licence", ", ".join([plan.facts.licence or "not stated", *access]))
    if plan.action != "nothing" and plan.estimate is not None and plan.storage is not None:
        yield _field("needs", f"about {size(plan.estimate.stored_bytes)} of {size(plan.storage.free_bytes)} free")
        if download.known_rows is not None:
            yield _field("takes", _span(plan.estimate.seconds, about="about "))
    yield _field("to", plan.location)


def _publish(plan: PublishPlan) -> Iterator[str]:
    yield f"{_SIGNS[plan.action]} {'unchanged' if plan.action == 'nothing' else 'publish'} {plan.repo_id}"
    yield _field("request", plan.request)
    new = ", new repository" if plan.action == "create" else ""
    yield _field("branch", f"{plan.revision}{new}, {'private' if plan.private else 'public'}")
    if plan.version:
        is_new = plan.version_before not in (None, plan.version)
        yield _field("version", f"{plan.version_before} -> {plan.version}" if is_new else plan.version)
    for table in plan.tables:
        files = plural(table.shards, "shard")
        yield _field("table", f"{table.name}: {plural(table.rows, 'row')}, about {size(table.size_bytes)} in {files}")
    yield from (f"    {one_line(difference_text(each), 200)}" for each in shown_differences(plan.differences))


def _field(name: str, value: str) -> str:
    return f"    {name + ':':<10}{one_line(value, 200)}"


def _finding(finding: Finding) -> str:
    return f"  {_MARKS[finding.level]} {finding.level}: {one_line(finding.message)}"


def _summary(plans: Sequence[Plan]) -> str:
    adds = [plan for plan in plans if isinstance(plan, AddPlan)]
    publishes = [plan for plan in plans if isinstance(plan, PublishPlan)]
    actions = [str(plan.action) for plan in adds] + [plan.action for plan in publishes]
    parts = [
        f"{sum(plan.action != 'nothing' for plan in adds)} to add",
        f"{sum(isinstance(plan, RemovePlan) for plan in plans)} to remove",
        f"{sum(plan.action != 'nothing' for plan in publishes)} to publish",
        f"{actions.count('nothing')} unchanged",
    ]
    return f"Plan: {', '.join(parts)}."


def request_text(request: RequestView) -> str:
    """The state of a request of a pull request, for the log of a job: its result, or the reason why it has none."""
    if request.result and not request.problems:
        return result_text(request.result)
    words = _STATE_WORDS.get(request.state, request.state)
    head = f"{_STATE_MARKS.get(request.state, '✗')} {one_line(request.path)}: {words}"
    problems = (f"{each.path}:{each.line}:{each.column or 1}: {each.message}" for each in request.problems)
    findings = map(_finding, request.findings)
    return "\n".join([head, *(f"  {one_line(problem)}" for problem in problems), *findings]) + "\n"


def result_text(result: Result) -> str:
    """A result as text: what is in storage now, or what went wrong and what to do next."""
    return "\n".join(_result(result)) + "\n"


def _result(result: Result) -> Iterator[str]:
    yield f"{_RESULT_MARKS.get(result.status, '✗')} {one_line(result.name)}: {result.status}"
    if result.message:
        yield f"  {one_line(result.message)}"
    if result.rows_total and result.kind == "add":
        yield from _rows(result)
    if result.size_bytes and result.kind == "publish":
        sent = f", {size(result.sent_bytes)} sent" if result.sent_bytes else ""
        yield f"  {plural(result.rows_done, 'row')} in {size(result.size_bytes)}{sent}{_this_run(result)}"
    yield from (f"  {one_line(difference_text(each), 200)}" for each in shown_differences(result.differences))
    if result.error:
        yield f"  {lines(result.error)}"
    yield from (
        f"    row {row.row}: {row.reason}: {one_line(row.message, 200)}" for row in result.errors[:SHOWN_ERRORS]
    )
    if len(result.errors) > SHOWN_ERRORS:
        yield f"    and {count(result.rows_failed - SHOWN_ERRORS)} more: `hugflow status {result.name}` lists them"
    if result.location and result.rows_total:
        yield f"  at {one_line(result.location)}"
    if result.fix:
        yield f"  {one_line(result.fix)}"


def _rows(result: Result) -> Iterator[str]:
    failed = f", {count(result.rows_failed)} failed" if result.rows_failed else ""
    yield f"  {count(result.rows_done)} of {plural(result.rows_total, 'row')}{failed}{_this_run(result)}"
    if result.audio_bytes:
        audio = f"{duration(result.duration_s)} of audio"
        yield f"  {audio}: MP3 {size(result.audio_bytes)}, JSON {size(result.json_bytes)}"
    elif result.json_bytes:
        yield f"  JSON {size(result.json_bytes)}"
    if remarks := sound_remarks(result):
        yield f"  ! {remarks}"


def sound_remarks(result: Result) -> str:
    """The numbers of rows without audio, of clipped and of silent clips; empty where there are none."""
    parts = (
        (result.rows_without_audio, plural(result.rows_without_audio, "row") + " without audio in the source"),
        (result.clipped_clips, plural(result.clipped_clips, "clipped clip")),
        (result.silent_clips, plural(result.silent_clips, "silent clip")),
    )
    return ", ".join(text for number, text in parts if number)


def _this_run(result: Result) -> str:
    """The part that this run did, where that is not all, and the time it took."""
    if not result.elapsed_s:
        return ""
    took = f"in {_span(result.elapsed_s)}"
    if result.kind == "publish":
        return f", {took}"
    whole = result.new_rows == result.rows_done and not result.rows_failed
    return f" {took}" if whole else f"; this run: {plural(result.new_rows, 'row')} {took}"


def _span(seconds: float, about: str = "") -> str:
    return "less than a second" if seconds < 1 else f"{about}{duration(seconds)}"
