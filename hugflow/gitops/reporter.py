"""Reporter of a pull request: updates its comment, check and label through an outbox, at a limited rate."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from hugflow.gitops.checks import CheckState, CommitCheck, Conclusion, batches
from hugflow.gitops.client import GitHub
from hugflow.gitops.comments import Conversation
from hugflow.gitops.labels import label_of, set_label
from hugflow.gitops.pull_request import read_pull_request
from hugflow.model.events import Event, HubOutage, Progress, Result, RunFinished, RunStarted, Warned
from hugflow.render import comment
from hugflow.render.markdown import marker
from hugflow.render.views import Annotation, PullRequestView
from hugflow.report.outbox import Outbox

MAX_WARNINGS = 10


@dataclass(frozen=True, slots=True)
class Pace:
    """Limits for progress updates: after `rows` rows, a `share` of all rows, or `seconds`."""

    rows: int = 10_000
    share: float = 0.2
    seconds: float = 3600.0

    def is_due(self, shown: Progress | None, now: Progress, waited_s: float) -> bool:
        """Return True when `now` differs enough from the progress that was `shown`."""
        before = shown.rows_done + shown.rows_failed if shown else 0
        more = now.rows_done + now.rows_failed - before
        return more >= self.rows or more >= self.share * max(1, now.rows_total) or waited_s >= self.seconds


@dataclass(slots=True)
class _Shown:
    progress: Progress | None
    at: float


@dataclass(slots=True)
class PullRequestReporter:
    """Reports one run on its pull request. It is a `Reporter`: call it with events.

    `run_key` identifies the run, so that its final comment is written once. `redact` masks secrets in every text.
    No call waits for GitHub: messages go to `outbox`, and are rendered when they are sent.
    """

    github: GitHub
    view: PullRequestView
    outbox: Outbox
    run_key: str
    pace: Pace = field(default_factory=Pace)
    redact: Callable[[str], str] = str
    clock: Callable[[], float] = time.monotonic
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _shown: dict[str, _Shown] = field(default_factory=dict)
    _label: str = ""
    _conversation: Conversation = field(init=False)
    _check: CommitCheck = field(init=False)

    def __post_init__(self) -> None:
        self._conversation = Conversation(self.github, self.view.number)
        self._check = CommitCheck(self.github, self.view.sha, run_key=self.run_key, details_url=self.view.run_url)

    def __call__(self, event: Event) -> None:
        """Record an event, and publish when the view changed enough."""
        with self._lock:
            due = self._note(event)
        if due:
            self._publish()

    def show(self, view: PullRequestView) -> None:
        """Publish the plan: all requests, with problems annotated on their lines."""
        with self._lock:
            self.view = view
        annotations = [each for request in view.requests for each in (*request.problems, *request.marks)]
        for number, batch in enumerate(batches(annotations)):
            self.outbox.put(f"annotations {number + 1}", partial(self._annotate, batch))
        self._publish()

    def finish(self, view: PullRequestView, *, final: bool = True) -> None:
        """Publish the outcome; with `final` also as a new comment, because edits notify nobody."""
        with self._lock:
            self.view = replace(view, over=True)
        self._publish(expendable=False)
        if final:
            mark = marker(comment.FINAL, self.run_key)
            self.outbox.put("final comment", lambda: self._conversation.add_once(mark, self._text(mark)))

    def summary(self) -> str:
        """Render the job's summary as Markdown."""
        return self.redact(comment.job_summary(self.view))

    def _publish(self, *, expendable: bool = True) -> None:
        mark = marker(comment.STICKY)
        self.outbox.put("comment", lambda: self._conversation.upsert(mark, self._text(mark)), expendable=expendable)
        self.outbox.put("check", lambda: self._check.update(self._state()), expendable=expendable)
        self.outbox.put("label", self._set_label, expendable=True)

    def _set_label(self) -> None:
        label = label_of(self.view)
        if label == self._label:
            return
        # the label of an older commit would say that the new one was processed
        if self.view.merged or read_pull_request(self.github, self.view.number).head_sha == self.view.sha:
            set_label(self.github, self.view.number, label)
        self._label = label

    def _annotate(self, annotations: Sequence[Annotation]) -> None:
        redacted = [replace(each, message=self.redact(each.message)) for each in annotations]
        self._check.update(self._state(), redacted)

    def _text(self, mark: str) -> str:
        return self.redact(comment.comment(self.view, mark))

    def _state(self) -> CheckState:
        view = self.view
        return CheckState(self.redact(comment.title(view)), self.redact(comment.check_summary(view)), conclusion(view))

    def _note(self, event: Event) -> bool:
        """Record an event; return True when it is worth an update."""
        if isinstance(event, RunStarted):
            return self._change(event.request, started=True)
        if isinstance(event, Progress):
            return self._change(event.request, progress=event) and self._is_due(event)
        if isinstance(event, HubOutage):
            return self._change(event.request, outage=event.problem)
        if isinstance(event, RunFinished):
            return self._finished(event.result)
        if isinstance(event, Warned) and event.message not in self.view.warnings:
            self.view = replace(self.view, warnings=(*self.view.warnings, event.message)[-MAX_WARNINGS:])
        return False

    def _finished(self, result: Result) -> bool:
        """Record a result; a request that was never run keeps its problems, which say more."""
        unrunnable = {request.path for request in self.view.having("invalid", "refused")}
        return result.request not in unrunnable and self._change(result.request, result=result)

    def _change(self, path: str, **changes: object) -> bool:
        """Change fields of one request; return False when there is no such request."""
        if path not in {request.path for request in self.view.requests}:
            return False
        requests = tuple(
            replace(request, **changes) if request.path == path else request  # type: ignore[arg-type]  # its fields
            for request in self.view.requests
        )
        self.view = replace(self.view, requests=requests)
        return True

    def _is_due(self, progress: Progress) -> bool:
        now = self.clock()
        shown = self._shown.setdefault(progress.request, _Shown(None, now))
        if not self.pace.is_due(shown.progress, progress, now - shown.at):
            return False
        self._shown[progress.request] = _Shown(progress, now)
        return True


def conclusion(view: PullRequestView) -> Conclusion | None:
    """Conclusion of the check; None while this run or a following one still works on it."""
    if view.stage != "ended" or (view.having("paused") and view.continues):
        return None
    if view.having("failed", "invalid", "refused", "partial"):
        return "failure"
    if view.having("paused"):
        return "cancelled"
    if view.having("waiting", "queued"):
        return "action_required"
    return "success"
