"""Slack on 127.0.0.1: the Web API's messages and an incoming webhook, with Slack's limits and errors.

`python -m tests.doubles.slack --port 8082 --token xoxb-...` serves the channel `C1`.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from tests.doubles.http import Double, Request, Response

WEBHOOK_PATH = "/services/T1/B1/secret"
_MAX_BLOCKS = 50
_MAX_SECTION = 3000
_MAX_HEADER = 150
_MAX_TEXT = 40_000


@dataclass
class Message:
    """A message in a channel; `revisions` counts its updates."""

    ts: str
    channel: str
    text: str
    blocks: list[dict[str, Any]]
    thread_ts: str | None = None
    broadcast: bool = False
    revisions: int = 0
    by_webhook: bool = False


class Slack(Double):
    """The server. `seconds_per_message` is the limit for each channel; 0 turns it off."""

    def __init__(self, *, port: int = 0, seconds_per_message: float = 0.0, channels: Sequence[str] = ("C1",)) -> None:
        super().__init__(port)
        self.messages: list[Message] = []
        self.tokens: set[str] = set()
        self.channels = set(channels)
        self.limited = 0
        self._seconds_per_message = seconds_per_message
        self._last: dict[str, float] = {}
        self._ts = itertools.count(1)
        self.add_route("POST", "/api/auth.test", self._auth_test)
        self.add_route("POST", "/api/chat.postMessage", self._post)
        self.add_route("POST", "/api/chat.update", self._update)
        self.add_route("POST", WEBHOOK_PATH, self._webhook)

    @property
    def api(self) -> str:
        """The address of the Web API."""
        return f"{self.url}/api/"

    @property
    def webhook(self) -> str:
        """The address of the webhook."""
        return self.url + WEBHOOK_PATH

    def parents(self) -> list[Message]:
        """The messages that are not in a thread."""
        return [message for message in self.messages if message.thread_ts is None]

    def thread(self, ts: str) -> list[Message]:
        """The answers to a message."""
        return [message for message in self.messages if message.thread_ts == ts]

    def _auth_test(self, request: Request) -> Response:
        return self._refusal(request) or Response(200, {"ok": True, "team": "T1", "user": "hugflow", "bot_id": "B1"})

    def _post(self, request: Request) -> Response:
        body = _body(request)
        refusal = self._refusal(request) or self._bad_message(body) or self._too_fast(body["channel"])
        if refusal:
            return refusal
        message = Message(
            f"1767600000.{next(self._ts):06d}",
            body["channel"],
            body.get("text", ""),
            body.get("blocks", []),
            body.get("thread_ts"),
            bool(body.get("reply_broadcast")),
        )
        if message.thread_ts and message.thread_ts not in {each.ts for each in self.messages}:
            return _not_ok("thread_not_found")
        self.messages.append(message)
        return Response(200, {"ok": True, "channel": message.channel, "ts": message.ts})

    def _update(self, request: Request) -> Response:
        body = _body(request)
        refusal = self._refusal(request) or self._bad_message(body) or self._too_fast(body["channel"])
        if refusal:
            return refusal
        message = next((each for each in self.messages if each.ts == body.get("ts")), None)
        if message is None:
            return _not_ok("message_not_found")
        message.text, message.blocks = body.get("text", ""), body.get("blocks", [])
        message.revisions += 1
        return Response(200, {"ok": True, "channel": message.channel, "ts": message.ts})

    def _webhook(self, request: Request) -> Response:
        body = request.json
        if self._bad_message({"channel": "webhook", **body}, any_channel=True):
            return Response(400, b"invalid_blocks")
        limited = self._too_fast("webhook")
        if limited:
            return limited
        ts = f"1767600000.{next(self._ts):06d}"
        self.messages.append(Message(ts, "webhook", body.get("text", ""), body.get("blocks", []), by_webhook=True))
        return Response(200, b"ok")

    def _refusal(self, request: Request) -> Response | None:
        token = request.headers.get("authorization", "").rpartition(" ")[2]
        if not token:
            return _not_ok("not_authed")
        return None if token in self.tokens else _not_ok("invalid_auth")

    def _bad_message(self, body: Mapping[str, Any], *, any_channel: bool = False) -> Response | None:
        if not any_channel and body.get("channel") not in self.channels:
            return _not_ok("channel_not_found")
        blocks = body.get("blocks", [])
        if len(body.get("text", "")) > _MAX_TEXT:
            return _not_ok("msg_too_long")
        if len(blocks) > _MAX_BLOCKS or not all(map(_block_fits, blocks)):
            return _not_ok("invalid_blocks")
        return None if blocks or body.get("text") else _not_ok("no_text")

    def _too_fast(self, channel: str) -> Response | None:
        now = time.monotonic()
        if now - self._last.get(channel, -1e9) < self._seconds_per_message:
            self.limited += 1
            return Response(429, {"ok": False, "error": "ratelimited"}, {"Retry-After": "1"})
        self._last[channel] = now
        return None

    def error(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
        """An error as Slack writes it."""
        return Response(status, {"ok": False, "error": message}, headers or {})


def _not_ok(error: str) -> Response:
    return Response(200, {"ok": False, "error": error})


def _body(request: Request) -> dict[str, Any]:
    if request.headers.get("content-type", "").startswith("application/json"):
        return dict(request.json)
    return dict(parse_qsl(request.body.decode()))


def _block_fits(block: Mapping[str, Any]) -> bool:
    text = block.get("text", {}).get("text", "")
    if block["type"] == "header":
        return 0 < len(text) <= _MAX_HEADER
    if block["type"] == "section":
        fields = block.get("fields", [])
        return len(text) <= _MAX_SECTION and len(fields) <= 10 and (bool(text) or bool(fields))
    return True


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--token", action="append", default=[], help="a bot token; may be repeated")
    options = parser.parse_args(arguments)
    with Slack(port=options.port, seconds_per_message=1.0) as slack:
        slack.tokens.update(options.token)
        print(f"Slack double at {slack.api}, webhook {slack.webhook}", flush=True)
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
