"""Queue that delivers reports in the background, so that downloads and publishes never wait for them.

A reporter puts a message under a key; a newer message with the same key replaces an older one that was not sent yet,
so only the newest progress is sent and the queue is no longer than the number of keys. One daemon thread delivers
within the rate limits of the service; transient failures are retried later and once more at the end.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Self

from hugflow.model.errors import HugflowError, RetryAfter, Transient

Clock = Callable[[], float]
Send = Callable[[], None]
Warn = Callable[[str], None]

MAX_MESSAGES = 500
_FIRST_PAUSE_S = 2.0
_LONGEST_PAUSE_S = 300.0


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `writes` deliveries begin within any `seconds`."""

    writes: int
    seconds: float


# GitHub allows 80 creations a minute and 500 an hour for one token. A delivery makes at most three writes (remove a
# label and add another; create a comment that was deleted), so this stays below.
GITHUB_LIMITS = (Limit(1, 1.0), Limit(20, 60.0), Limit(160, 3600.0))
# Slack allows one message a second in a channel.
SLACK_LIMITS = (Limit(1, 1.1), Limit(30, 60.0))


@dataclass(frozen=True, slots=True)
class Undelivered:
    """A message that was not delivered, and why; `expendable` ones were only progress."""

    key: str
    problem: str
    expendable: bool = False


@dataclass(slots=True)
class _Message:
    key: str
    send: Send
    expendable: bool
    due: float
    tries: int = 0
    problem: str = "it was not tried yet"


@dataclass(slots=True)
class _Pace:
    """Time of the next delivery under the rate limits."""

    limits: tuple[Limit, ...]
    begun: deque[float] = field(default_factory=deque)

    def next_at(self, now: float) -> float:
        """Earliest time of the next delivery, `now` or later."""
        at = now
        for limit in self.limits:
            if len(self.begun) >= limit.writes:
                at = max(at, self.begun[-limit.writes] + limit.seconds)
        return at

    def begin(self, now: float) -> None:
        """Count a delivery."""
        self.begun.append(now)
        while len(self.begun) > max((limit.writes for limit in self.limits), default=0):
            self.begun.popleft()


class Mailbox:
    """Waiting messages, without thread or clock: the next one to send at a given time, and its retries."""

    def __init__(self, limits: Iterable[Limit] = (), *, jitter: Callable[[], float] = random.random) -> None:
        self._messages: dict[str, _Message] = {}
        self._pace = _Pace(tuple(limits))
        self._jitter = jitter
        self._not_before = 0.0
        self.lost: list[Undelivered] = []

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, key: str, send: Send, now: float, *, expendable: bool = False) -> None:
        """Add a message; it replaces an older one with the same key."""
        older = self._messages.get(key)
        if older:
            older.send, older.expendable = send, expendable
            return
        if len(self._messages) >= MAX_MESSAGES:
            self._drop_one()
        self._messages[key] = _Message(key, send, expendable, due=now)

    def due_at(self, now: float) -> float | None:
        """Time at which the next message may be sent; None when there is none."""
        if not self._messages:
            return None
        return max(self._pace.next_at(now), self._not_before, min(each.due for each in self._messages.values()))

    def take(self, now: float) -> _Message | None:
        """Remove and return the oldest message that may be sent now; `failed` puts it back."""
        due = self.due_at(now)
        if due is None or due > now:
            return None
        message = next(each for each in self._messages.values() if each.due <= now)
        del self._messages[message.key]
        self._pace.begin(now)
        return message

    def failed(self, message: _Message, error: Exception, now: float) -> None:
        """Put a message back for a retry, unless a retry cannot help or a newer one exists."""
        message.tries += 1
        message.problem = _problem_of(error)
        if not isinstance(error, Transient):
            self.lost.append(Undelivered(message.key, message.problem, message.expendable))
            return
        pause = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** (message.tries - 1)) * (0.5 + self._jitter())
        if isinstance(error, RetryAfter):
            pause = max(pause, error.seconds)
            self._not_before = now + error.seconds  # the limit is for all messages, not for this one alone
        message.due = now + pause
        newer = self._messages.get(message.key)
        if newer:
            newer.due, newer.tries, newer.problem = message.due, message.tries, message.problem
        else:
            self._messages[message.key] = message

    def hurry(self, now: float) -> None:
        """Make all messages that wait for a retry due now, because the run ends."""
        for message in self._messages.values():
            message.due = min(message.due, now)

    def drain(self) -> list[Undelivered]:
        """Empty the mailbox; return the lost messages and those that still wait."""
        waiting = [Undelivered(each.key, each.problem, each.expendable) for each in self._messages.values()]
        self._messages.clear()
        lost, self.lost = self.lost, []
        return lost + waiting

    def _drop_one(self) -> None:
        victim = next((each for each in self._messages.values() if each.expendable), None)
        victim = victim or next(iter(self._messages.values()))
        del self._messages[victim.key]
        self.lost.append(Undelivered(victim.key, "too many messages waited", victim.expendable))


class Outbox:
    """A mailbox with a daemon thread that delivers its messages.

    `put` only stores a message, and never raises. `close` delivers the rest within a time-out, then reports through
    `warn` what was not delivered. A context manager; the thread starts with the first message.
    """

    def __init__(
        self,
        name: str,
        limits: Iterable[Limit],
        warn: Warn,
        *,
        clock: Clock = time.monotonic,
        close_timeout_s: float = 30.0,
    ) -> None:
        self._name = name
        self._warn = warn
        self._clock = clock
        self._close_timeout_s = close_timeout_s
        self._mailbox = Mailbox(limits)
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._sending = ""
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def put(self, key: str, send: Send, *, expendable: bool = False) -> None:
        """Queue a message; no warning is given when an `expendable` one is never delivered."""
        with self._changed:
            if self._closed:
                return
            self._mailbox.put(key, send, self._clock(), expendable=expendable)
            if self._thread is None:
                self._thread = threading.Thread(target=self._deliver, name=f"outbox-{self._name}", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def close(self, timeout_s: float | None = None) -> tuple[Undelivered, ...]:
        """Deliver waiting messages for at most `timeout_s`, and stop; warn about and return the undelivered ones."""
        end = self._clock() + (self._close_timeout_s if timeout_s is None else timeout_s)
        with self._changed:
            self._mailbox.hurry(self._clock())
            self._changed.notify_all()
            while (len(self._mailbox) or self._sending) and self._clock() < end:
                self._changed.wait(min(0.5, max(0.0, end - self._clock())))
            already, self._closed = self._closed, True
            undelivered = tuple(self._mailbox.drain())
            if self._sending:
                undelivered = (Undelivered(self._sending, "the service has not answered"), *undelivered)
            self._changed.notify_all()
        if not already:
            self._warn_about(undelivered)
        return undelivered

    def _warn_about(self, undelivered: tuple[Undelivered, ...]) -> None:
        missing = [each for each in undelivered if not each.expendable]
        if missing:
            what = ", ".join(f"{each.key} ({each.problem})" for each in missing[:5])
            more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""  # noqa: PLR2004 - as many as are named
            self._warn(f"not everything was reported to {self._name}: {what}{more}. The data is unaffected.")

    def _deliver(self) -> None:
        while (message := self._next()) is not None:
            error: Exception | None = None
            try:
                message.send()
            except Exception as raised:  # noqa: BLE001 - a reporter is isolated: its failure is never the run's
                error = raised
            self._record_delivery(message, error)

    def _next(self) -> _Message | None:
        """Wait for the next message to send; None when the outbox was closed."""
        with self._changed:
            while not self._closed:
                now = self._clock()
                message = self._mailbox.take(now)
                if message:
                    self._sending = message.key
                    return message
                due = self._mailbox.due_at(now)
                self._changed.wait(None if due is None else max(0.01, due - now))
            return None

    def _record_delivery(self, message: _Message, error: Exception | None) -> None:
        with self._changed:
            self._sending = ""
            if error is not None and not self._closed:
                self._mailbox.failed(message, error, self._clock())
            self._changed.notify_all()


def _problem_of(error: Exception) -> str:
    if isinstance(error, HugflowError):
        return error.problem
    return f"{type(error).__name__}: {error}"
