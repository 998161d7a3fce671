"""The age of published data, by its `spec.json` on the Hub."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from hugflow.hf_client.http import Hub
from hugflow.hf_client.write.repository import Repository
from hugflow.model.errors import HugflowError, NotFoundError, Terminal, Transient
from hugflow.model.publish_spec import AgeOf, PublishSpec

log = logging.getLogger(__name__)

SPEC_FILE = "spec.json"
MAX_AGE_S = 2 * 86_400.0
_UNITS_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400, "M": 31 * 86_400, "y": 366 * 86_400}


@dataclass(frozen=True, slots=True)
class Updated:
    """The time of the last update according to `spec.json`.

    `update_time` and `updated_at` as they are written there (None: it has none); `at` is where an age
    begins: `updated_at`, or the end of the day where only the day is known.
    """

    at: datetime
    update_time: str | None
    updated_at: str | None
    newest: str | None = None
    """The newest date or time of the rows, where the age is that of the data."""

    @property
    def date(self) -> str:
        """The day, in UTC."""
        return (self.update_time or self.updated_at or "")[:10]


@dataclass(frozen=True, slots=True)
class Freshness:
    """The age of a repository's data, and the highest age allowed."""

    repo_id: str
    revision: str
    updated: Updated
    age_s: float
    max_age_s: float

    @property
    def is_stale(self) -> bool:
        """True if the data is older than allowed."""
        return self.age_s > self.max_age_s

    @property
    def sentence(self) -> str:
        """One sentence about it."""
        last = f"newest data {self.updated.newest}" if self.updated.newest else f"last update {self.updated.date}"
        return f"Data is {'stale' if self.is_stale else 'fresh'}: {last}"


@dataclass(frozen=True, slots=True)
class Watched:
    """A repository that requests publish to on a schedule, and what is wrong with its age; None: nothing.

    `fresh` is None where nobody could tell: `problem` says why.
    """

    repo_id: str
    revision: str
    fresh: Freshness | None
    problem: str | None
    is_known: bool = True


def freshness(
    hub: Hub, repo_id: str, revision: str, max_age_s: float, now: datetime, of: AgeOf = "publish"
) -> Freshness:
    """Compare the age of a repository's data with `max_age_s`. `of` "data": the age of the newest time in the rows.

    Raises NotFoundError (no repository, revision or spec.json), Terminal (spec.json does not say), Transient,
    AuthenticationError.
    """
    updated = read_updated(hub, repo_id, revision, of)
    return Freshness(repo_id, revision, updated, max(0.0, (now - updated.at).total_seconds()), max_age_s)


def read_updated(hub: Hub, repo_id: str, revision: str, of: AgeOf = "publish") -> Updated:
    """Read the time of the last update of a repository's data; raises as `freshness` does."""
    doing = f"reading {SPEC_FILE} of {repo_id}"
    repository = Repository(hub, repo_id, revision, to_write=False)
    content = repository.read(SPEC_FILE, repository.head())
    if content is None:
        raise NotFoundError(
            doing,
            f"the repository has no {SPEC_FILE}, so nobody can tell how old its data is",
            "Publish to it with `hugflow publish`, which writes one.",
            reason="no_spec_json",
        )
    return parse_updated(content, doing) if of == "publish" else parse_newest(content, doing)


def parse_updated(content: bytes, doing: str) -> Updated:
    """Read the times of a spec.json, also of one that others wrote. Raises Terminal where there is none."""
    try:
        document = json.loads(content)
        fields = [document.get(name) for name in ("update_time", "updated_at")]
    except (ValueError, AttributeError) as error:
        raise _unreadable(doing, f"{SPEC_FILE} is no JSON object") from error
    day, moment = (value if isinstance(value, str) else None for value in fields)
    for value in (moment, day):
        at = _moment(value)
        if at is not None:
            return Updated(at, day, moment)
    raise _unreadable(doing, f"{SPEC_FILE} has neither an `updated_at` nor an `update_time` that is a time")


def parse_newest(content: bytes, doing: str) -> Updated:
    """Read the newest time of all tables of a spec.json. Raises Terminal where none has one."""
    updated = parse_updated(content, doing)
    tables = json.loads(content).get("tables")
    ends = [_end(table) for table in (tables if isinstance(tables, list) else [])]
    known = [(at, end) for end in ends if end is not None and (at := _moment(end)) is not None]
    if not known:
        fix = "Name the column with the rows' time as `timestamp_column` in the request, and publish again."
        raise Terminal(doing, "none of its tables says which time its rows are of", fix, reason="no_date_range")
    at, newest = max(known)
    return Updated(at, updated.update_time, updated.updated_at, newest)


def _end(table: Any) -> str | None:
    """The newest time of a table: the exact one, where it has one."""
    ranges = [table.get(name) for name in ("time_range", "date_range")] if isinstance(table, dict) else []
    ends = [each.get("end") for each in ranges if isinstance(each, dict)]
    return next((end for end in ends if isinstance(end, str)), None)


def _moment(value: object) -> datetime | None:
    """A timestamp (UTC where it names no zone), or the end of a day."""
    if not isinstance(value, str):
        return None
    try:
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
            return datetime.combine(date.fromisoformat(value) + timedelta(days=1), time(), UTC)
        at = datetime.fromisoformat(value)
    except (ValueError, OverflowError):
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _unreadable(doing: str, problem: str) -> Terminal:
    return Terminal(doing, problem, "Publish again: the next spec.json has both.", reason="invalid_spec_json")


def spec_changed(hub: Hub, repo_id: str, since: str | date, revision: str = "main") -> bool:
    """True if the data was updated after `since`, for clients that keep a copy of it.

    `since` is what the copy's own spec.json says: its `updated_at` (or a datetime), or its `update_time` (or a date).
    Without an answer of the Hub the copy counts as good: a failure is only logged, as "Cache validation failed: ...".
    """
    known = since if isinstance(since, str) else since.isoformat()
    try:
        updated = read_updated(hub, repo_id, revision)
    except HugflowError as error:
        log.warning("Cache validation failed: %s: %s", error.doing, error.problem)
        return False
    at = _moment(known)
    if at is None:
        log.warning("Cache validation failed: %r is no date or time", known)
        return False
    is_day = len(known) == len("2026-11-20")
    return updated.date > known if is_day and updated.update_time else updated.at > at


def max_age_s(spec: PublishSpec) -> float | None:
    """The highest age allowed for a request's data: twice the shortest interval of its tables, at least two days.

    None for a request without intervals: nobody expects it to come again.
    """
    sources: Iterable[Any] = spec.tables if spec.tables is not None else (spec,)
    intervals = [source.interval for source in sources if source.interval]
    return max(MAX_AGE_S, 2 * min(map(_seconds, intervals))) if intervals else None


def _seconds(interval: str) -> float:
    match = re.fullmatch(r"(\d+)([a-zA-Z]+)", interval)
    return int(match[1]) * _UNITS_S[match[2]] if match else 0.0  # a tick may come at any moment


def watch(hub: Hub, specs: Iterable[PublishSpec], now: datetime) -> list[Watched]:
    """Look at each repository (and branch) that is published to on a schedule, by the strictest of its requests."""
    allowed: dict[tuple[str, str], float] = {}
    for spec in specs:
        age = max_age_s(spec)
        if age is not None:
            key = (spec.repo_id, spec.revision)
            allowed[key] = min(age, allowed.get(key, age))
    return [_look(hub, *key, age, now) for key, age in sorted(allowed.items())]


def _look(hub: Hub, repo_id: str, revision: str, age_s: float, now: datetime) -> Watched:
    try:
        fresh = freshness(hub, repo_id, revision, age_s, now)
    except Transient as error:
        return Watched(repo_id, revision, None, f"it could not be read: {error.problem}", is_known=False)
    except HugflowError as error:
        return Watched(repo_id, revision, None, error.problem)
    return Watched(repo_id, revision, fresh, fresh.sentence if fresh.is_stale else None)
