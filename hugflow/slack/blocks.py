"""Slack messages as Block Kit, validated by slack_sdk's models before they are sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from slack_sdk.models.blocks import Block, ContextBlock, HeaderBlock, MarkdownTextObject, SectionBlock

from hugflow.model.events import Progress, Result
from hugflow.model.plan import AddPlan, Plan, PublishPlan, name_of_plan
from hugflow.render.humanize import bar, count, duration, one_line, percent, plural, row_count, size
from hugflow.render.mrkdwn import block, code, escape, link
from hugflow.render.views import PullRequestView, RequestView, State

MAX_SECTION = 3000
MAX_HEADER = 150
_MAX_REQUESTS = 15
_ICONS: dict[State, str] = {
    "queued": "🕓",
    "running": "⏳",
    "paused": "⏸️",
    "complete": "✅",
    "unchanged": "✅",
    "partial": "⚠️",
    "failed": "❌",
    "invalid": "❌",
    "refused": "⛔",
    "waiting": "✋",
    "removed": "🗑️",
    "published": "📤",
}


@dataclass(frozen=True, slots=True)
class Message:
    """A message: its blocks as JSON, and the text for notifications and clients without blocks."""

    text: str
    blocks: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Heading:
    """Title of a run, with links to its pull request and log."""

    title: str
    url: str = ""
    run_url: str = ""


def overview(heading: Heading, title: str, view: PullRequestView) -> Message:
    """Summary message of the whole run; with a bot token it is updated in place."""
    shown = view.requests[:_MAX_REQUESTS]
    hidden = len(view.requests) - len(shown)
    sections = [_section(_request_line(request)) for request in shown]
    more = [_section(f"… and {plural(hidden, 'request')} more")] if hidden else []
    return _message(title, [_header(title), *sections, *more, _context(heading)])


def started(plan: Plan) -> Message:
    """Message that a request started."""
    name, facts = name_of_plan(plan), ""
    if isinstance(plan, AddPlan):
        facts = f": {row_count(plan.download.known_rows)}, {size(plan.download.size_bytes)} to download"
        if plan.action == "resume":
            facts += f", resumed at row {count(plan.rows_done)}"
    if isinstance(plan, PublishPlan):
        facts = f": {plural(len(plan.tables), 'table')}, {plural(plan.rows, 'row')} to publish"
    return _message(f"Started {one_line(name)}{facts}", [_section(f"▶️ Started {code(name)}{escape(facts)}")])


def progress(name: str, event: Progress) -> Message:
    """Progress message of a request; for webhooks, which cannot update a message."""
    text = _progress_words(event)
    return _message(f"{one_line(name)}: {text}", [_section(f"⏳ {code(name)} {escape(text)}")])


def finished(result: Result) -> Message:
    """Message that a request ended: location of the data, or the error and what to do."""
    words = _result_words(result)
    parts = [f"{_icon(result)} {code(result.name)} {escape(words)}"]
    if result.location and result.rows_done:
        parts.append(f"Location: {code(result.location, 300)}")
    if result.error:
        parts.append(block(result.error, 400))
    if result.fix:
        parts.append(f"To do: {code(result.fix, 300)}")
    return _message(f"{one_line(result.name)} {words}", [_section("\n".join(parts))])


def warned(message: str) -> Message:
    """Warning message."""
    return _message(f"Warning: {one_line(message, 300)}", [_section(f"⚠️ {code(message, 300)}")])


def alerted(text: str, repository: str, run_url: str = "") -> Message:
    """Message that an alert of scheduled work was opened or closed."""
    heading = Heading(repository or "Hugflow", run_url=run_url)
    return _message(one_line(text, 300), [_section(f"🔔 {escape(one_line(text, 300))}"), _context(heading)])


def ended(heading: Heading, title: str) -> Message:
    """Message that the run ended; with a bot token it is also shown in the channel."""
    return _message(title, [_section(f"*{escape(one_line(title, 200))}*"), _context(heading)])


def _request_line(request: RequestView) -> str:
    hf_id, narrowed = request.dataset
    name = f"{code(hf_id or request.path)}{f' {code(narrowed, 60)}' if narrowed else ''}"
    return f"{_ICONS.get(request.state, '🔀')} {name}\n{_request_words(request)}"


def _request_words(request: RequestView) -> str:
    if request.result:
        return escape(_result_words(request.result))
    if request.progress:
        return escape(_progress_words(request.progress))
    return escape(request.state.replace("-", " "))


def _progress_words(event: Progress) -> str:
    done = event.rows_done + event.rows_failed
    left = f", {duration(event.eta_s)} left" if event.eta_s is not None else ""
    share = f"{bar(done, event.rows_total)} {percent(done, event.rows_total)}"
    failed = f", {plural(event.rows_failed, 'row')} failed" if event.rows_failed else ""
    return f"{share}, {count(event.rows_done)} of {plural(event.rows_total, 'row')}{failed}{left}"


def _result_words(result: Result) -> str:
    words = {
        "complete": "is in storage",
        "unchanged": "was in storage already",
        "partial": f"is incomplete: {plural(result.rows_failed, 'row')} failed",
        "paused": "is paused; the next run resumes from there",
        "failed": "failed; rows that are stored are kept",
        "invalid": "cannot run: the request has problems",
        "removed": "was removed",
        "published": "was published",
    }.get(result.status, result.status)
    if result.kind == "publish" and result.status == "unchanged":
        words = "is on the Hub already"
    stored = result.audio_bytes + result.json_bytes + result.size_bytes
    facts = [plural(result.rows_done, "row")] if result.rows_done else []
    facts += [size(stored)] if stored else []
    facts += [f"in {duration(result.elapsed_s)}"] if result.elapsed_s else []
    return f"{words} ({', '.join(facts)})" if facts else words


def _icon(result: Result) -> str:
    return {"unchanged": "✅", "complete": "✅", "partial": "⚠️", "paused": "⏸️", "removed": "🗑️", "published": "📤"}.get(
        result.status, "❌"
    )


def _header(title: str) -> Block:
    return HeaderBlock(text=one_line(title, MAX_HEADER) or "Hugflow")


def _section(mrkdwn: str) -> Block:
    # `verbatim`: Slack links nothing by itself, no names and no addresses
    return SectionBlock(text=MarkdownTextObject(text=_fitting(mrkdwn), verbatim=True))


def _context(heading: Heading) -> Block:
    parts = [link(heading.title, heading.url) if heading.url else escape(one_line(heading.title, 200))]
    parts += [link("log", heading.run_url)] if heading.run_url else []
    return ContextBlock(elements=[MarkdownTextObject(text=_fitting(" · ".join(parts)), verbatim=True)])


def _fitting(mrkdwn: str) -> str:
    """Cut text to the size of a section at the end of a line, never inside an escaped character."""
    if len(mrkdwn) <= MAX_SECTION:
        return mrkdwn
    kept = mrkdwn[: MAX_SECTION - 10].rpartition("\n")[0]
    return f"{kept}\n…" if kept else escape("(too long for Slack)")


def _message(text: str, blocks: Sequence[Block]) -> Message:
    for each in blocks:
        each.validate_json()
    return Message(escape(one_line(text, 500)), tuple(each.to_dict() for each in blocks))
