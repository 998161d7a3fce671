"""Slack channels, written to by a bot token or a webhook; Slack's errors translated to ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol
from urllib.error import URLError

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.webhook import WebhookClient

from hugflow.model.errors import HugflowError, RetryAfter, Terminal, Transient
from hugflow.slack.blocks import Message

DEFAULT_API_URL = "https://slack.com/api/"
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
    """A channel to write to. `ts` is Slack's id of a message; None where it returns none."""

    @property
    def updates(self) -> bool:
        """True when messages can be updated and have threads."""

    def post(self, message: Message, *, thread: str | None = None, broadcast: bool = False) -> str | None:
        """Post a message, in `thread` if given; return its `ts`."""

    def update(self, ts: str, message: Message, /) -> None:
        """Replace a message. Raises MessageGone when it was deleted."""


class MessageGone(Terminal):
    """The message to update no longer exists."""


class BotChannel:
    """A channel written to with a bot token. The constructor sends nothing."""

    updates = True

    def __init__(self, token: str, channel: str, *, api_url: str = DEFAULT_API_URL, timeout_s: int = 30) -> None:
        # no retry handlers: the outbox retries, within its limits
        self._client = WebClient(token=token, base_url=api_url, timeout=timeout_s, retry_handlers=[])
        self._name = channel
        self._id: str | None = None

    def post(self, message: Message, *, thread: str | None = None, broadcast: bool = False) -> str | None:
        """Post a message and return its `ts`."""
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
        """Post a message."""
        with _explained():
            answer = self._client.send(text=message.text, blocks=list(message.blocks), unfurl_links=False)
        if answer.status_code != 200:  # noqa: PLR2004 - everything else is a refusal
            raise _refusal(answer.status_code, answer.body, answer.headers)
        return None

    def update(self, _: str, __: Message, /) -> None:
        """Raise MessageGone: a webhook cannot update a message."""
        raise MessageGone(_DOING, "a webhook cannot update a message")


class _explained:  # noqa: N801 - reads as a statement: `with _explained():`
    """Translate exceptions of slack_sdk to our errors."""

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
