"""Log of the server's requests and responses."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

KEPT = 200_000
RUNNING_WAIT_S = 0.5


@dataclass(frozen=True)
class RequestRecord:
    """One request: `target` is path and query as sent, `route` the name of its route (`resolve`, `commit`, ...).

    Bytes are those of the bodies. `status` is 0 while the request runs and where no answer was sent.
    """

    number: int
    method: str
    target: str
    started: float
    range: str = ""
    route: str = ""
    status: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    user: str = ""
    agent: str = ""
    fault: int | None = None
    duration_s: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class OpenRecord:
    """The record of a request that is being answered."""

    def __init__(self, record: RequestRecord) -> None:
        self.record = record

    def note(self, **changes: Any) -> None:
        self.record = replace(self.record, **changes)

    def add_sent(self, size_bytes: int) -> None:
        self.note(bytes_sent=self.record.bytes_sent + size_bytes)


class RequestLog:
    """The newest requests, and counters over all of them."""

    def __init__(self) -> None:
        self._done: deque[RequestRecord] = deque(maxlen=KEPT)
        self._open: dict[int, OpenRecord] = {}
        self._next = self._first = 1
        self._changed = threading.Condition()

    @contextmanager
    def entry(self, method: str, target: str, range_header: str) -> Iterator[OpenRecord]:
        """Log one request, from its headers to the last byte of the answer."""
        begun = time.monotonic()
        with self._changed:
            opened = OpenRecord(RequestRecord(self._next, method, target, time.time(), range_header))
            self._open[self._next] = opened
            self._next += 1
        try:
            yield opened
        finally:
            opened.note(duration_s=time.monotonic() - begun)
            with self._changed:
                del self._open[opened.record.number]
                self._done.append(opened.record)
                self._changed.notify_all()

    def requests(
        self, target: str = "", *, method: str = "", route: str = "", status: int | None = None
    ) -> list[RequestRecord]:
        """The requests whose target matches the regular expression, oldest first.

        A client may have its answer a moment before the server has noted it: running requests get half a second to
        end, and are then listed as they are.
        """
        return [
            record
            for record in self._records()
            if re.search(target, record.target)
            and method.upper() in ("", record.method)
            and route in ("", record.route)
            and status in (None, record.status)
        ]

    def counts(self) -> Counter[str]:
        """The number of requests by method and route, as `GET resolve`."""
        return Counter(f"{record.method} {record.route}" for record in self._records())

    def clear(self) -> None:
        """Forget all requests, also those that have begun and are logged only when a delay is over."""
        with self._changed:
            self._done.clear()
            self._first = self._next

    def _records(self) -> list[RequestRecord]:
        with self._changed:
            running = {number for number in self._open if number >= self._first}
            self._changed.wait_for(lambda: running.isdisjoint(self._open), timeout=RUNNING_WAIT_S)
            records = [*self._done, *(opened.record for opened in self._open.values())]
        return sorted((one for one in records if one.number >= self._first), key=lambda record: record.number)
