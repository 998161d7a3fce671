"""Slack's reporter: a bot token writes one message for each run, updates it, and has a thread; a webhook plain ones."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol
from urllib.error import URLError

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.webhook import WebhookClient

from hugflow.errors import HugflowError, RetryAfter, Terminal, Transient
from hugflow.events import Event, Progress, Result, RunFinished, RunStarted, Warned
from hugflow.outbox import Outbox
from hugflow.render import comment, slack_blocks
from hugflow.render.slack_blocks import Heading, Message
from hugflow.render.views import PullRequestView, RequestView, kind_of_plan

DEFAULT_API_URL = "https://slack.com/api/"
MAX_WARNINGS = 20
_DOING = "writing to Slack"
_PASSING = frozenset(
    ("ratelimited", "rate_limited", "fatal_error", "internal_error", "request_timeout", "service_unavailable")
)
_FIXES = {
    "invalid_auth": "Set SLACK_BOT_TOKEN to a valid bot token.",
    "not_authed": "Set SLACK_BOT_TOKEN.",
    "token_revoked": "Make a new bot token and set SLACK_BOT_TOKEN.",
    "channel_not_found": "Check SLACK_CHANNEL; a private channel has to invite the bot first.",
    "not_in_channel": "Invite the bot to the channel: `/invite @name-of-the-bot`.",
    "missing_scope": "Give the bot the scope chat:write.",
    "is_archived": "Choose another SLACK_CHANNEL: this one is archived.",
}


class Channel(Protocol):
    """A place to write to. `ts` is Slack's name of a message; None where it gives none."""

    @property
    def updates(self) -> bool:
        """Whether messages can be updated and have threads."""

    def post(self, message: Message, *, thread: str | None = None, broadcast: bool = False) -> str | None:
        """Write a message, in a thread if one is named."""

    def update(self, ts: str, message: Message, /) -> None:
        """Replace a message. `MessageGone` when it was deleted."""


class MessageGone(Terminal):
    """The message that was to be updated does not exist any more."""


class BotChannel:
    """A channel written to with a bot token. The constructor sends nothing."""

    updates = True

    def __init__(self, token: str, channel: str, *, api_url: str = DEFAULT_API_URL, timeout_s: int = 30) -> None:
        # no handlers: the outbox tries again, within its limits
        self._client = WebClient(token=token, base_url=api_url, timeout=timeout_s, retry_handlers=[])
        self._name = channel
        self._id: str | None = None

    def post(self, message: Message, *, thread: str | None = None, broadcast: bool = False) -> str | None:
        """Write a message and return its `ts`."""
        with _explained():
            answer = self._client.chat_postMessage(
                channel=self._id or self._name,
                text=message.text,
                blocks=list(message.blocks),
                thread_ts=thread,
                reply_broadcast=broadcast if thread else None,
                parse="none",
                link_names=False,
                unfurl_links=False,
                unfurl_media=False,
            )
        self._id = answer["channel"]  # updates take no names
        return str(answer["ts"])

    def update(self, ts: str, message: Message, /) -> None:
        """Replace a message."""
        with _explained():
            self._client.chat_update(
                channel=self._id or self._name,
                ts=ts,
                text=message.text,
                blocks=list(message.blocks),
                parse="none",
                link_names=False,
            )


class WebhookChannel:
    """A channel written to by an incoming webhook, whose address is a secret. The constructor sends nothing."""

    updates = False

    def __init__(self, url: str, *, timeout_s: int = 30) -> None:
        self._client = WebhookClient(url, timeout=timeout_s, retry_handlers=[])

    def post(self, message: Message, *, thread: str | None = None, broadcast: bool = False) -> str | None:  # noqa: ARG002 - webhooks have neither
        """Write a message."""
        with _explained():
            answer = self._client.send(text=message.text, blocks=list(message.blocks), unfurl_links=False)
        if answer.status_code != 200:  # noqa: PLR2004 - everything else is a refusal
            raise _refusal(answer.status_code, answer.body, answer.headers)
        return None

    def update(self, _: str, __: Message, /) -> None:
        """Webhooks cannot."""
        raise MessageGone(_DOING, "a webhook cannot update a message")


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
            self._say(slack_blocks.started(event.plan))
        elif isinstance(event, Progress):
            self._change(event.request, progress=event)
            self._progress(event)
        elif isinstance(event, RunFinished):
            self._change(event.result.request, kind=event.result.kind, result=event.result)
            self._say(slack_blocks.finished(self._redacted(event.result)))
        elif isinstance(event, Warned) and self._warnings < MAX_WARNINGS:
            self._warnings += 1
            self._say(slack_blocks.warned(self.redact(event.message)))

    def finish(self) -> None:
        """Say that the run is over: in the thread and, by broadcast, in the channel."""
        with self._lock:
            self._view = replace(self._view, over=True)
        if not self._view.requests:
            return
        if self.channel.updates:
            self._refresh(expendable=False)
            self._say(slack_blocks.ended(self.heading, self._title()), broadcast=True)
        elif len(self._view.requests) > 1:
            self._say(slack_blocks.ended(self.heading, self._title()))

    def _progress(self, event: Progress) -> None:
        done = event.rows_done + event.rows_failed
        if done - self._shown_rows.setdefault(event.request, event.rows_done - event.new_rows) < self.interval_rows:
            return
        self._shown_rows[event.request] = done
        if self.channel.updates:
            self._refresh()
        else:
            message = slack_blocks.progress(event.name, event)
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
        message = slack_blocks.overview(self.heading, self._title(), self._redacted_view())
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


class _explained:  # noqa: N801 - reads as a statement: `with _explained():`
    """Turns what slack_sdk raises into our errors."""

    def __enter__(self) -> None:
        return

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, SlackApiError):
            response = error.response
            raise _answered(response["error"], response.status_code, dict(response.headers)) from error
        if isinstance(error, SlackClientError):
            raise Transient(_DOING, f"Slack's answer cannot be read ({type(error).__name__})") from error
        if isinstance(error, URLError | TimeoutError | ConnectionError | OSError):
            raise Transient(_DOING, f"Slack cannot be reached ({type(error).__name__})") from error


def _answered(said: str, status: int, headers: Mapping[str, str]) -> HugflowError:
    if said == "message_not_found":
        return MessageGone(_DOING, "the message was deleted")
    if status == 200 and said not in _PASSING:  # noqa: PLR2004 - Slack's errors come with 200
        return Terminal(_DOING, f"Slack answered {said}", _FIXES.get(said, ""), reason="slack_refused")
    return _refusal(status if status != 200 else 503, said, headers)  # noqa: PLR2004 - Slack's errors come with 200


def _refusal(status: int, said: str | None, headers: Mapping[str, str]) -> HugflowError:
    problem = f"Slack answered {status} ({(said or 'nothing')[:100]})"
    wait = {name.lower(): value for name, value in headers.items()}.get("retry-after", "")
    if wait.isdigit():
        return RetryAfter(_DOING, problem, seconds=float(wait))
    if status == 429:  # noqa: PLR2004 - too many, without a time
        return RetryAfter(_DOING, problem, seconds=30)
    if status >= 500 or status == 408:  # noqa: PLR2004 - Slack's fault
        return Transient(_DOING, problem)
    return Terminal(_DOING, problem, "Check SLACK_WEBHOOK_URL.", reason="slack_refused")
