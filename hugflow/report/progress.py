"""Progress of a run: a bar on a terminal, log lines elsewhere."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.text import Text

from hugflow.model.events import Event, HubOutage, Progress, RowFailed, RunFinished, RunStarted, Warned
from hugflow.model.plan import AddPlan, PublishPlan
from hugflow.render.humanize import count, duration, one_line, percent, row_count, size

log = logging.getLogger(__name__)

SHOWN_ROW_FAILURES = 20


class _SpeedColumn(ProgressColumn):
    """Rows a second and bytes written, from the events of the run."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.fields['speed']:.0f} rows/s · {size(task.fields['written'])}", style="cyan")


@dataclass(slots=True)
class ProgressBar:
    """Shows progress as a bar. `console` is a terminal."""

    console: Console
    _bars: Bars | None = None
    _task: TaskID | None = None
    _failures: int = 0
    _name: str = ""

    def __call__(self, event: Event) -> None:
        """Show an event."""
        match event:
            case RunStarted(plan=AddPlan() | PublishPlan() as plan) if plan.action != "nothing":
                self._start(plan)
            case Progress():
                self._advance(event)
            case RowFailed():
                self._failures += 1
                if self._failures <= SHOWN_ROW_FAILURES:
                    self._print(f"row {event.row} failed: {event.reason}: {event.message}", "yellow")
            case HubOutage():
                self._show_outage(event)
            case Warned():
                self._print(f"warning: {event.message}", "yellow")
            case RunFinished() if self._bars is not None:
                self._bars.stop()
                self._bars = None
            case _:
                pass

    def _start(self, plan: AddPlan | PublishPlan) -> None:
        self._bars = Bars(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            _SpeedColumn(),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
        )
        if isinstance(plan, AddPlan):
            name, total, done = plan.spec.hf_id, plan.download.known_rows, plan.rows_done
        else:
            name, total, done = plan.repo_id, plan.rows, 0
        self._name = one_line(name, 40)
        self._task = self._bars.add_task(Text(self._name).markup, total=total, completed=done, speed=0.0, written=0)
        self._bars.start()

    def _advance(self, event: Progress) -> None:
        if self._bars is not None and self._task is not None:
            completed = event.rows_done + event.rows_failed
            self._bars.update(self._task, completed=completed, speed=event.rows_per_s, written=event.new_bytes)

    def _show_outage(self, event: HubOutage) -> None:
        if self._bars is not None and self._task is not None:
            waiting = f" · waiting for the Hub: {one_line(event.problem, 60)}" if event.problem else ""
            self._bars.update(self._task, description=Text(self._name + waiting).markup)

    def _print(self, message: str, style: str) -> None:
        console = self._bars.console if self._bars is not None else self.console
        console.print(Text(one_line(message), style=style))


@dataclass(slots=True)
class ProgressLines:
    """Logs progress as a line every `interval_rows` rows, and at least every `interval_s` seconds."""

    interval_rows: int
    interval_s: float = 30.0
    _rows: int = 0
    _since: float = field(default_factory=time.monotonic)
    _failures: int = 0

    def __call__(self, event: Event) -> None:
        """Log an event."""
        match event:
            case RunStarted(plan=AddPlan() as plan):
                self._rows, self._since = plan.rows_done, time.monotonic()
                if plan.action != "nothing":
                    done = f", {count(plan.rows_done)} done already" if plan.rows_done else ""
                    log.info("%s: %s to download%s", plan.name, row_count(plan.download.known_rows), done)
            case RunStarted(plan=PublishPlan() as plan):
                self._rows, self._since = 0, time.monotonic()
                if plan.action != "nothing":
                    log.info("%s: %s rows to publish", plan.repo_id, count(plan.rows))
            case Progress():
                self._advance(event)
            case RowFailed():
                self._failures += 1
                if self._failures <= SHOWN_ROW_FAILURES:
                    log.warning("%s: row %d failed: %s: %s", event.name, event.row, event.reason, event.message)
            case HubOutage():
                what = f"waiting for the Hub: {event.problem}" if event.problem else "the Hub answers again"
                log.warning("%s: %s", event.name, what)
            case Warned():
                log.warning("%s", event.message)
            case _:
                pass

    def _advance(self, event: Progress) -> None:
        now, finished = time.monotonic(), event.rows_done + event.rows_failed
        due = finished - self._rows >= self.interval_rows or now - self._since >= self.interval_s
        if not due and finished < event.rows_total:
            return
        self._rows, self._since = finished, now
        left = f", {duration(event.eta_s)} left" if event.eta_s else ""
        log.info(
            "%s: %s of %s rows (%s), %.0f rows/s, %s written%s",
            event.name,
            count(finished),
            count(event.rows_total),
            percent(finished, event.rows_total),
            event.rows_per_s,
            size(event.new_bytes),
            left,
        )
