"""Slack's reporter: a bot token writes one message for each run, updates it, and has a thread; a webhook plain ones."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from hugflow.model.events import Event, Progress, Result, RunFinished, RunStarted, Warned
from hugflow.model.plan import RemovePlan
from hugflow.render import comment
from hugflow.render.views import PullRequestView, RequestView, kind_of_plan
from hugflow.report.outbox import Outbox
from hugflow.slack import blocks
from hugflow.slack.blocks import Heading, Message
from hugflow.slack.channels import Channel, MessageGone

MAX_WARNINGS = 20


@dataclass(slots=True)
class SlackReporter:
    """Tells a Slack channel about one run. It is a `Reporter`: call it with events, and `finish` at the end.

    `heading` names the run. `interval_rows` is how many rows lie between two messages of progress. `redact` takes
    secrets out of every text. Nothing here waits for Slack.
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
        """Take note of an event, and write about it when it is worth a message."""
        if isinstance(event, RunStarted):
            self._change(event.request, plan=event.plan, kind=kind_of_plan(event.plan), started=True)
            if isinstance(event.plan, RemovePlan) or event.plan.action != "nothing":
                self._say(blocks.started(event.plan))
        elif isinstance(event, Progress):
            self._change(event.request, progress=event)
            self._progress(event)
        elif isinstance(event, RunFinished):
            self._change(event.result.request, kind=event.result.kind, result=event.result)
            self._say(blocks.finished(self._redacted(event.result)))
        elif isinstance(event, Warned) and self._warnings < MAX_WARNINGS:
            self._warnings += 1
            self._say(blocks.warned(self.redact(event.message)))

    def finish(self) -> None:
        """Say that the run is over: in the thread and, by broadcast, in the channel."""
        with self._lock:
            self._view = replace(self._view, over=True)
        if not self._view.requests:
            return
        if self.channel.updates:
            self._refresh(expendable=False)
            self._say(blocks.ended(self.heading, self._title()), broadcast=True)
        elif len(self._view.requests) > 1:
            self._say(blocks.ended(self.heading, self._title()))

    def _progress(self, event: Progress) -> None:
        done = event.rows_done + event.rows_failed
        if done - self._shown_rows.setdefault(event.request, event.rows_done - event.new_rows) < self.interval_rows:
            return
        self._shown_rows[event.request] = done
        if self.channel.updates:
            self._refresh()
        else:
            message = blocks.progress(event.name, event)
            self.outbox.put(f"progress of {event.request}", lambda: self._post(message), expendable=True)

    def _say(self, message: Message, *, broadcast: bool = False) -> None:
        """A message of its own: in the thread of the run's message where there are threads."""
        self._events += 1
        if self.channel.updates:
            self._refresh(expendable=self._parent is not None)
            self.outbox.put(f"message {self._events}", lambda: self._reply(message, broadcast=broadcast))
        else:
            self.outbox.put(f"message {self._events}", lambda: self._post(message))

    def _refresh(self, *, expendable: bool = True) -> None:
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
            self._update_parent()  # its own delivery failed, and comes again later
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
        """Change what is known of a request, or begin to know it."""
        with self._lock:
            requests = {request.path: request for request in self._view.requests}
            known = requests.get(path) or RequestView(path, "add")
            requests[path] = replace(known, **changes)  # type: ignore[arg-type]  # its fields
            self._view = replace(self._view, requests=tuple(requests.values()))
