"""Slack reporter: with a bot token one message a run, updated and with a thread; with a webhook plain messages."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from hugflow.model.events import Event, Progress, Result, RunFinished, RunStarted, Warned
from hugflow.model.plan import RemovePlan, kind_of_plan
from hugflow.render import comment
from hugflow.render.views import PullRequestView, RequestView
from hugflow.report.outbox import Outbox
from hugflow.slack import blocks
from hugflow.slack.blocks import Heading, Message
from hugflow.slack.channels import Channel, MessageGone

MAX_WARNINGS = 20


@dataclass(slots=True)
class SlackReporter:
    """Reports one run in a Slack channel. It is a `Reporter`: call it with events, and `finish` at the end.

    `heading` names the run. `interval_rows` is the number of rows between two progress messages. `redact` masks
    secrets in every text. No call waits for Slack.
    """

    channel: Channel
    outbox: Outbox
    heading: Heading
    interval_rows: int = 50_000
    redact: Callable[[str], str] = str
    clock: Callable[[], float] = time.monotonic
    _view: PullRequestView = field(default=PullRequestView(0, "", (), ""))
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _parent: str | None = None
    _events: int = 0
    _warnings: int = 0
    _shown_rows: dict[str, int] = field(default_factory=dict)

    def __call__(self, event: Event) -> None:
        """Record an event, and post a message when it is worth one."""
        if isinstance(event, RunStarted):
            self._change(event.request, plan=event.plan, kind=kind_of_plan(event.plan), started=True)
            if isinstance(event.plan, RemovePlan) or event.plan.action != "nothing":
                self._post_later(blocks.started(event.plan))
        elif isinstance(event, Progress):
            self._change(event.request, progress=event)
            self._report_progress(event)
        elif isinstance(event, RunFinished):
            self._change(event.result.request, kind=event.result.kind, result=event.result)
            self._post_later(blocks.finished(self._redacted(event.result)))
        elif isinstance(event, Warned) and self._warnings < MAX_WARNINGS:
            self._warnings += 1
            self._post_later(blocks.warned(self.redact(event.message)))

    def finish(self) -> None:
        """Post that the run ended: in the thread and, by broadcast, in the channel."""
        with self._lock:
            self._view = replace(self._view, over=True)
        if not self._view.requests:
            return
        if self.channel.updates:
            self._update_later(expendable=False)
            self._post_later(blocks.ended(self.heading, self._title()), broadcast=True)
        elif len(self._view.requests) > 1:
            self._post_later(blocks.ended(self.heading, self._title()))

    def _report_progress(self, event: Progress) -> None:
        done = event.rows_done + event.rows_failed
        if done - self._shown_rows.setdefault(event.request, event.rows_done - event.new_rows) < self.interval_rows:
            return
        self._shown_rows[event.request] = done
        if self.channel.updates:
            self._update_later()
        else:
            message = blocks.progress(event.name, event)
            self.outbox.put(f"progress of {event.request}", lambda: self._post(message), expendable=True)

    def _post_later(self, message: Message, *, broadcast: bool = False) -> None:
        """Post a new message, in the thread of the run's message where there are threads."""
        self._events += 1
        if self.channel.updates:
            self._update_later(expendable=self._parent is not None)
            self.outbox.put(f"message {self._events}", lambda: self._reply(message, broadcast=broadcast))
        else:
            self.outbox.put(f"message {self._events}", lambda: self._post(message))

    def _update_later(self, *, expendable: bool = True) -> None:
        self.outbox.put("the run's message", self._update_parent, expendable=expendable)

    def _update_parent(self) -> None:
        message = blocks.overview(self.heading, self._title(), self._redacted_view())
        if self._parent is not None:
            try:
                self.channel.update(self._parent, message)
            except MessageGone:
                self._parent = None
        if self._parent is None:
            self._parent = self.channel.post(message)

    def _reply(self, message: Message, *, broadcast: bool) -> None:
        if self._parent is None:
            self._update_parent()  # its own delivery failed, and is retried later
        self.channel.post(message, thread=self._parent, broadcast=broadcast)

    def _post(self, message: Message) -> None:
        self.channel.post(message)

    def _title(self) -> str:
        return f"Hugflow: {comment.title(self._view)}"

    def _redacted(self, result: Result) -> Result:
        def clean(text: str | None) -> str | None:
            return None if text is None else self.redact(text)

        return replace(result, error=clean(result.error), fix=clean(result.fix), message=self.redact(result.message))

    def _redacted_view(self) -> PullRequestView:
        requests = tuple(
            replace(each, result=self._redacted(each.result)) if each.result else each for each in self._view.requests
        )
        return replace(self._view, requests=requests)

    def _change(self, path: str, **changes: object) -> None:
        """Change fields of a request, or add it."""
        with self._lock:
            requests = {request.path: request for request in self._view.requests}
            known = requests.get(path) or RequestView(path, "add")
            requests[path] = replace(known, **changes)  # type: ignore[arg-type]  # its fields
            self._view = replace(self._view, requests=tuple(requests.values()))
