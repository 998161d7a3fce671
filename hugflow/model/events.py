"""Events of a run, as frozen records for reporters.

The engine says what happened and names no reporter; consoles, pull requests, Slack and logs listen. A reporter is any
callable that takes an event. It must not block for long and must not raise; the orchestrator turns what it raises
into a warning.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from hugflow.model.errors import ExitCode
from hugflow.model.plan import Difference, Plan
from hugflow.model.specs import Kind

Status = Literal["complete", "partial", "paused", "failed", "unchanged", "removed", "published", "planned", "invalid"]


@dataclass(frozen=True, slots=True)
class RunStarted:
    """Start of a request, with its plan."""

    request: str
    plan: Plan


@dataclass(frozen=True, slots=True)
class Progress:
    """Rows recorded durably. Counts are of the whole dataset, `new_*` of this run."""

    request: str
    name: str
    rows_total: int
    rows_done: int
    rows_failed: int
    new_rows: int
    new_bytes: int
    elapsed_s: float

    @property
    def rows_per_s(self) -> float:
        """The mean speed of this run so far."""
        return self.new_rows / self.elapsed_s if self.elapsed_s > 0 else 0.0

    @property
    def eta_s(self) -> float | None:
        """Seconds that the remaining rows take at this speed; None while there is none yet."""
        speed = self.rows_per_s
        return (self.rows_total - self.rows_done - self.rows_failed) / speed if speed > 0 else None


@dataclass(frozen=True, slots=True)
class RowFailed:
    """One row could not be converted; `reason` is a code of docs/row-errors.md."""

    request: str
    name: str
    row: int
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Warned:
    """A warning, which does not stop the run."""

    request: str
    message: str


@dataclass(frozen=True, slots=True)
class HubOutage:
    """The Hub fails as a whole, and the run waits for it. `problem` is empty when the Hub answers again."""

    request: str
    name: str
    problem: str


@dataclass(frozen=True, slots=True)
class FailedRow:
    """A failed row in the lists of results."""

    row: int
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Preview:
    """One of the first rows, for people: its text and its duration in seconds (None without audio)."""

    row: int
    text: str | None
    duration_s: float | None


@dataclass(frozen=True, slots=True)
class Result:
    """Result of one request.

    `rows_without_audio` counts rows whose audio is null in the source, `clipped_clips` sounds with samples beyond full
    scale, `silent_clips` those of digital silence (a copied MP3 is not measured).
    `rows_done` counts rows in storage (rows without audio included), `rows_failed` those recorded as failed. `error`,
    `fix` and `reason` are set when `status` is "failed", "invalid" or "paused". `errors` lists the first failed rows.
    Of a publish, `rows_done` counts the rows on the Hub, `size_bytes` their files and `sent_bytes` what this run
    uploaded of them; `new_rows` are the rows in what it uploaded; `differences` are what it changed on the Hub.
    """

    request: str
    kind: Kind
    name: str
    status: Status
    exit_code: ExitCode
    location: str | None = None
    sha: str | None = None
    rows_total: int = 0
    rows_done: int = 0
    rows_failed: int = 0
    new_rows: int = 0
    audio_bytes: int = 0
    json_bytes: int = 0
    duration_s: float = 0.0
    rows_without_audio: int = 0
    clipped_clips: int = 0
    silent_clips: int = 0
    size_bytes: int = 0
    sent_bytes: int = 0
    elapsed_s: float = 0.0
    message: str = ""
    error: str | None = None
    fix: str | None = None
    reason: str | None = None
    errors: tuple[FailedRow, ...] = ()
    previews: tuple[Preview, ...] = ()
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True, slots=True)
class RunFinished:
    """End of a request, with its result: the last event of each request."""

    result: Result


Event = RunStarted | Progress | RowFailed | HubOutage | Warned | RunFinished
Reporter = Callable[[Event], None]


@dataclass(slots=True)
class Fanout:
    """Passes every event to every reporter; errors of a reporter never reach the data work.

    The first failure of each reporter becomes a `Warned` event for the others.
    """

    reporters: tuple[Reporter, ...]
    _failed: set[int] = field(default_factory=set)

    def __call__(self, event: Event) -> None:
        """Deliver `event` to all reporters."""
        for reporter in self.reporters:
            try:
                reporter(event)
            except Exception as error:  # noqa: BLE001 - a reporter is isolated: its failure is a warning
                self._warn(reporter, event, error)

    def _warn(self, failed: Reporter, event: Event, error: Exception) -> None:
        if id(failed) in self._failed:
            return
        self._failed.add(id(failed))
        request = event.result.request if isinstance(event, RunFinished) else event.request
        name = getattr(failed, "__name__", type(failed).__name__)
        others = tuple(reporter for reporter in self.reporters if id(reporter) not in self._failed)
        Fanout(others)(
            Warned(request, f"the {name} reporter failed ({type(error).__name__}: {error}); the data is unaffected")
        )
