"""Outages of the Hub, noted by any thread and reported by the thread of the run."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class OutageWatch:
    """Collects the problems that `Hub.on_outage` tells, and hands each change to `report` on the thread that made it.

    `problem` is what was reported last; empty while the Hub answers.
    """

    report: Callable[[str], None]
    problem: str = ""
    _latest: str = ""
    _thread: int = field(default_factory=threading.get_ident)

    def note(self, problem: str) -> None:
        """Take a problem, or "" for none, from any thread."""
        self._latest = problem
        if threading.get_ident() == self._thread:
            self.publish()

    def publish(self) -> None:
        """Report the latest problem, unless it is known; called regularly by the thread of the run."""
        if self._latest != self.problem:
            self.problem = self._latest
            self.report(self.problem)
