"""How reports leave the process without the data work ever waiting for them.

A reporter puts what it wants to say under a key; a newer message with the same key replaces an older one that has not
left yet, so only the newest progress counts and the queue stays as short as the number of keys. One daemon thread
delivers, within the limits of the other side; what fails for a passing reason is tried again later and, at the end,
once more.
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


# GitHub allows 80 creations a minute and 500 an hour to all who share the token. A delivery makes at most three writes
# (an old label goes, a new one comes; a comment that was deleted is written anew), so this stays below, whatever comes.
GITHUB_LIMITS = (Limit(1, 1.0), Limit(20, 60.0), Limit(160, 3600.0))
# Slack allows one message a second in a channel.
SLACK_LIMITS = (Limit(1, 1.1), Limit(30, 60.0))


@dataclass(frozen=True, slots=True)
class Undelivered:
    """A message that did not leave, and why; `expendable` ones were only news."""

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
    """When the next delivery may begin under some limits."""

    limits: tuple[Limit, ...]
    begun: deque[float] = field(default_factory=deque)

    def next_at(self, now: float) -> float:
        """The earliest time from `now` on."""
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
    """The messages that wait, without thread or clock: what may leave at a given time, and what came of it."""

    def __init__(self, limits: Iterable[Limit] = (), *, jitter: Callable[[], float] = random.random) -> None:
        self._messages: dict[str, _Message] = {}
        self._pace = _Pace(tuple(limits))
        self._jitter = jitter
        self._not_before = 0.0
        self.lost: list[Undelivered] = []

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, key: str, send: Send, now: float, *, expendable: bool = False) -> None:
        """Add a message, in the place of an older one with the same key."""
        older = self._messages.get(key)
        if older:
            older.send, older.expendable = send, expendable
            return
        if len(self._messages) >= MAX_MESSAGES:
            self._drop_one()
        self._messages[key] = _Message(key, send, expendable, due=now)

    def due_at(self, now: float) -> float | None:
        """When the next message may leave; None when none waits."""
        if not self._messages:
            return None
        return max(self._pace.next_at(now), self._not_before, min(each.due for each in self._messages.values()))

    def take(self, now: float) -> _Message | None:
        """The oldest message that may leave now. It is out of the mailbox until `failed` puts it back."""
        due = self.due_at(now)
        if due is None or due > now:
            return None
        message = next(each for each in self._messages.values() if each.due <= now)
        del self._messages[message.key]
        self._pace.begin(now)
        return message

    def failed(self, message: _Message, error: Exception, now: float) -> None:
        """Put a message back to be tried later, unless trying again cannot help or a newer one has come."""
        message.tries += 1
        message.problem = _words(error)
        if not isinstance(error, Transient):
            self.lost.append(Undelivered(message.key, message.problem, message.expendable))
            return
        pause = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** (message.tries - 1)) * (0.5 + self._jitter())
        if isinstance(error, RetryAfter):
            pause = max(pause, error.seconds)
            self._not_before = now + error.seconds  # the other side means all of us, not this message alone
        message.due = now + pause
        newer = self._messages.get(message.key)
        if newer:
            newer.due, newer.tries, newer.problem = message.due, message.tries, message.problem
        else:
            self._messages[message.key] = message

    def hurry(self, now: float) -> None:
        """Make everything due now that only waits for another try: the end has come."""
        for message in self._messages.values():
            message.due = min(message.due, now)

    def drain(self) -> list[Undelivered]:
        """Empty the mailbox: everything lost so far, and everything that still waits."""
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
    """A mailbox with a daemon thread that empties it.

    `put` never blocks for longer than it takes to store a message, and never raises. `close` gives the rest some time,
    then says through `warn` what did not leave. A context manager; the thread starts with the first message.
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
        """Leave a message to be delivered; `expendable` news is not worth a warning when it is never delivered."""
        with self._changed:
            if self._closed:
                return
            self._mailbox.put(key, send, self._clock(), expendable=expendable)
            if self._thread is None:
                self._thread = threading.Thread(target=self._deliver, name=f"outbox-{self._name}", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def close(self, timeout_s: float | None = None) -> tuple[Undelivered, ...]:
        """Deliver what waits, for at most `timeout_s`, and end. Returns, and warns about, what did not leave."""
        end = self._clock() + (self._close_timeout_s if timeout_s is None else timeout_s)
        with self._changed:
            self._mailbox.hurry(self._clock())
            self._changed.notify_all()
            while (len(self._mailbox) or self._sending) and self._clock() < end:
                self._changed.wait(min(0.5, max(0.0, end - self._clock())))
            already, self._closed = self._closed, True
            undelivered = tuple(self._mailbox.drain())
            if self._sending:
                undelivered = (Undelivered(self._sending, "the other side has not answered"), *undelivered)
            self._changed.notify_all()
        if not already:
            self._warn_about(undelivered)
        return undelivered

    def _warn_about(self, undelivered: tuple[Undelivered, ...]) -> None:
        missing = [each for each in undelivered if not each.expendable]
        if missing:
            what = ", ".join(f"{each.key} ({each.problem})" for each in missing[:5])
            more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""  # noqa: PLR2004 - as many as are named
            self._warn(f"{self._name} was not told everything: {what}{more}. The data is unaffected.")

    def _deliver(self) -> None:
        while (message := self._next()) is not None:
            error: Exception | None = None
            try:
                message.send()
            except Exception as raised:  # noqa: BLE001 - a reporter is isolated: its failure is never the run's
                error = raised
            self._settle(message, error)

    def _next(self) -> _Message | None:
        """Wait for the next message that may leave; None when the outbox was closed."""
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

    def _settle(self, message: _Message, error: Exception | None) -> None:
        with self._changed:
            self._sending = ""
            if error is not None and not self._closed:
                self._mailbox.failed(message, error, self._clock())
            self._changed.notify_all()


def _words(error: Exception) -> str:
    if isinstance(error, HugflowError):
        return error.problem
    return f"{type(error).__name__}: {error}"
