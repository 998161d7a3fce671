"""Errors of a reporter never reach the data work, and are passed once to the other reporters."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from hugflow.model.errors import ExitCode
from hugflow.model.events import Event, Fanout, Progress, Result, RowFailed, RunFinished, Status, Warned


@dataclass
class Listener:
    """Keeps what it hears; raises at the events of `fails_at`."""

    heard: list[Event] = field(default_factory=list)
    fails_at: tuple[type, ...] = ()

    def __call__(self, event: Event) -> None:
        self.heard.append(event)
        if isinstance(event, self.fails_at):
            raise ConnectionError("the service is down")


def progress(rows_done: int = 10, **changes: float) -> Progress:
    facts = {"rows_total": 100, "rows_done": rows_done, "rows_failed": 0, "new_rows": rows_done, "new_bytes": 5}
    return Progress("r.yaml", "name", elapsed_s=changes.pop("elapsed_s", 2.0), **facts | changes)  # type: ignore[arg-type]  # the tests give the right fields


FAILED_ROW = RowFailed("r.yaml", "name", 3, "decode_failed", "damaged")


def ended(code: ExitCode = ExitCode.DONE, status: Status = "complete") -> RunFinished:
    return RunFinished(Result("r.yaml", "add", "name", status, code))


def test_everyone_hears_everything_in_order() -> None:
    one, other = Listener(), Listener()
    fanout = Fanout((one, other))
    for event in (progress(), FAILED_ROW, ended()):
        fanout(event)
    assert one.heard == other.heard == [progress(), FAILED_ROW, ended()]


@pytest.mark.parametrize("broken_first", [True, False])
def test_one_that_fails_is_a_warning_for_the_others_once(broken_first: bool) -> None:
    broken, well = Listener(fails_at=(Progress, RunFinished)), Listener()
    fanout = Fanout((broken, well) if broken_first else (well, broken))
    for _ in range(3):
        fanout(progress())
    fanout(ended())
    warnings = [event for event in well.heard if isinstance(event, Warned)]
    assert [event for event in well.heard if not isinstance(event, Warned)] == [progress()] * 3 + [ended()]
    assert len(warnings) == 1
    assert warnings[0].request == "r.yaml"
    assert "Listener" in warnings[0].message
    assert "the service is down" in warnings[0].message
    assert len(broken.heard) == 4, "it is tried again: the outage may be over"


def test_all_of_them_may_fail() -> None:
    listeners = (Listener(fails_at=(object,)), Listener(fails_at=(object,)))
    fanout = Fanout(listeners)
    fanout(progress())
    fanout(ended())
    assert all(ended() in listener.heard for listener in listeners)


def test_what_ends_the_process_is_not_swallowed() -> None:
    def interrupted(event: Event) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Fanout((interrupted,))(progress())


def test_speed_and_remaining_time() -> None:
    assert progress(10, elapsed_s=2.0).rows_per_s == 5.0
    assert progress(10, elapsed_s=2.0).eta_s == 18.0
    assert progress(10, elapsed_s=0.0).rows_per_s == 0.0
    assert progress(0, elapsed_s=5.0).eta_s is None
    assert progress(100).eta_s == 0.0
