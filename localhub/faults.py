"""Programmable faults: the requests that a fault applies to, and its effect on them."""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A fault of the server; one may have several effects (a delay and a status, say).

    Which requests: `route` is a regular expression searched in the request's path and query as sent (still quoted),
    `method` an HTTP method (any, when empty). Of the requests that match, `after` skips the first n, `nth` takes the
    nth of the rest alone (from 1), `probability` draws with `seed`, and `count` ends it after n hits.

    Before the request is handled: `delay_s`; `reset` (of the connection, once the request is read; nothing is done);
    `reset_upload_after` n bytes of the request's body (nothing is done); `status` with `headers`,
    `retry_after_s` (as an HTTP date with `retry_after_as_date`), `error_code`, `message`, or `body` in place of the
    Hub's JSON, as an object store answers (nothing is done);
    `ignore_range` (the whole file in place of the range).
    After it was handled: `lose_answer` (the connection is reset, the request is carried out); of the body
    `reset_after` n bytes or `truncate_after` n bytes (fewer than Content-Length says, then an orderly close);
    `corrupt` (one byte in the middle differs, same size); `bytes_per_s`.
    """

    route: str = ""
    method: str = ""
    nth: int | None = None
    after: int = 0
    count: int | None = None
    probability: float = 1.0
    seed: int = 0

    delay_s: float = 0.0
    reset: bool = False
    reset_upload_after: int | None = None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    retry_after_s: float | None = None
    retry_after_as_date: bool = False
    error_code: str | None = None
    message: str = "fault of localhub"
    body: str | None = None
    ignore_range: bool = False

    lose_answer: bool = False
    reset_after: int | None = None
    truncate_after: int | None = None
    corrupt: bool = False
    bytes_per_s: float | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Fault:
        """The fault that a JSON object describes; ValueError names a key that no fault has, or a bad `route`."""
        unknown = record.keys() - {item.name for item in fields(cls)}
        if unknown:
            raise ValueError(f"a fault has no {sorted(unknown)}; it has {[item.name for item in fields(cls)]}")
        try:
            re.compile(record.get("route", ""))
        except re.error as error:
            raise ValueError(f"`route` is no regular expression: {error}") from error
        return cls(**record)


@dataclass
class _Armed:
    """A fault with its counters: requests that matched, requests that it was applied to."""

    id: int
    fault: Fault
    draw: random.Random
    matched: int = 0
    fired: int = 0

    def hits(self, method: str, target: str) -> bool:
        fault = self.fault
        if (fault.method and fault.method.upper() != method) or not re.search(fault.route, target):
            return False
        self.matched += 1
        if self.matched <= fault.after or (fault.nth is not None and self.matched - fault.after != fault.nth):
            return False
        if fault.count is not None and self.fired >= fault.count:
            return False
        return fault.probability >= 1 or self.draw.random() < fault.probability


class Faults:
    """The armed faults, in the order in which they were added."""

    def __init__(self) -> None:
        self._armed: list[_Armed] = []
        self._next_id = 1
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> int:
        """Arm a fault and return its id."""
        re.compile(fault.route)
        with self._lock:
            armed = _Armed(self._next_id, fault, random.Random(fault.seed))  # noqa: S311 - reproducible on purpose
            self._next_id += 1
            self._armed.append(armed)
            return armed.id

    def remove(self, fault_id: int) -> None:
        with self._lock:
            self._armed = [armed for armed in self._armed if armed.id != fault_id]

    def clear(self) -> None:
        with self._lock:
            self._armed = []

    def fired(self, fault_id: int) -> int:
        """Number of requests that the fault was applied to."""
        with self._lock:
            return sum(armed.fired for armed in self._armed if armed.id == fault_id)

    def to_json(self) -> list[dict[str, Any]]:
        with self._lock:
            return [
                {"id": armed.id, "matched": armed.matched, "fired": armed.fired, **armed.fault.to_json()}
                for armed in self._armed
            ]

    def decide(self, method: str, target: str) -> tuple[int, Fault] | None:
        """The first fault that applies to this request; every armed fault counts the requests that match it."""
        with self._lock:
            hitting = [armed for armed in self._armed if armed.hits(method, target)]
            if not hitting:
                return None
            hitting[0].fired += 1
            return hitting[0].id, hitting[0].fault
