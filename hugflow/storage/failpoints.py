"""Failpoints: named steps at which a test can kill the program.

`HUGFLOW_FAILPOINT=name:n` kills the run the n-th time that the step `name` is reached; `row:n:action` makes the worker
crash, hang, run out of memory or raise at row n. Without the variable the functions here do nothing.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, get_args

from hugflow.model.errors import UsageError

Step = Literal[
    "group_written",
    "group_audio_moved",
    "group_moved",
    "group_durable",
    "journal_before",
    "journal_after",
    "progress_written",
    "finish_index",
    "finish_metadata",
    "finish_card",
    "finish_marker",
    "finish_manifest",
    "remove_intent",
    "remove_unlinked",
    "remove_trashed",
    "remove_forgotten",
    "remove_archived",
    "publish_counted",
    "publish_prepared",
    "publish_written",
    "publish_sent",
    "publish_noted",
    "publish_commit",
    "publish_committed",
    "publish_tagged",
]
RowAction = Literal["crash", "hang", "memory", "raise"]
STEPS: Final[tuple[str, ...]] = get_args(Step)
ROW_ACTIONS: Final[tuple[str, ...]] = get_args(RowAction)


@dataclass(slots=True)
class Failpoints:
    """At most one failpoint, and the number of times that its step was reached. `step` None: no failpoint."""

    step: str | None = None
    number: int = 0
    action: str = "kill"
    in_worker: bool = False
    _reached: int = 0

    @classmethod
    def parse(cls, text: str | None) -> Failpoints:
        """Read `name:n` or `row:n:action`. Raises UsageError for anything else that is not empty."""
        if not text:
            return cls()
        step, _, rest = text.partition(":")
        number, _, action = rest.partition(":")
        known = (step in STEPS and not action) or (step == "row" and action in ROW_ACTIONS)
        if not known or not number.isdecimal():
            raise UsageError(
                "reading HUGFLOW_FAILPOINT",
                f"{text!r} is no failpoint",
                f"Write NAME:N with one of {', '.join(STEPS)}, or row:N:ACTION with one of {', '.join(ROW_ACTIONS)}.",
            )
        return cls(step, int(number), action or "kill")

    def reach(self, step: Step) -> None:
        """Note that a step is reached; kills the run if the failpoint is set there."""
        if step == self.step:
            self._reached += 1
            if self._reached == self.number:
                self._kill()

    def convert(self, row: int) -> None:
        """Note that a row is being converted; performs the row's action if the failpoint is set there."""
        if self.step == "row" and row == self.number:
            _ACTIONS[self.action]()

    def _kill(self) -> None:
        if self.in_worker:
            os.kill(os.getppid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)


def _crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def _hang() -> None:
    time.sleep(3600)


def _memory() -> None:
    hoard = []
    while True:
        hoard.append(bytearray(64 << 20))


def _raise() -> None:
    raise ZeroDivisionError("a failpoint")


_ACTIONS: Final[dict[str, Callable[[], None]]] = {"crash": _crash, "hang": _hang, "memory": _memory, "raise": _raise}
