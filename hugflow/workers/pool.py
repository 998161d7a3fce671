"""Farms slices out to worker processes, and answers for them: one that crashes or hangs costs the row it was at.

With one worker there is no process at all: a plain loop in this one, which is easy to follow and to debug, and in
which a crashing decoder takes the run with it (the next run continues).
"""

from __future__ import annotations

import logging
import os
import pickle
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from typing import Self

from hugflow.errors import HugflowError, Paused, Terminal
from hugflow.hf_client.repository_files import RepositoryFiles
from hugflow.journal import RowRecord
from hugflow.workers.download import Conversion, Slice, convert
from hugflow.workers.process import Committed, Failed, Logged, Message, Status, WorkerSettings
from hugflow.workers.shards import ShardQueue

log = logging.getLogger(__name__)

STOP_WITHIN_S = 4.0
POLL_S = 0.05
MAX_ROW_CRASHES = 2
MAX_IDLE_CRASHES = 3

Commit = Callable[[list[RowRecord]], None]


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """How many workers there are, and what one row may cost: `row_timeout_s` seconds, `memory_bytes` (0: no bound)."""

    workers: int
    row_timeout_s: float
    memory_bytes: int


def run(
    shards: ShardQueue,
    conversion: Conversion,
    files: RepositoryFiles,
    settings: PoolSettings,
    commit: Commit,
    should_stop: Callable[[], bool],
) -> None:
    """Convert all slices of `shards`; `commit` gets the records of rows whose files are durable, on this thread.

    Raises Paused when `should_stop` said so (what was converted is committed), StorageFault, Transient, Terminal.
    """
    shards.start()
    try:
        if settings.workers == 1:
            _run_here(shards, conversion, files, commit, should_stop)
        else:
            with _Workers(shards, conversion, files, settings, commit) as workers:
                workers.run(should_stop)
    finally:
        shards.close()
    if should_stop():
        raise Paused("downloading", "the run was asked to stop", "Run the same command again: it continues.")


# --- one worker: a plain loop -----------------------------------------------------------------------------------


@dataclass(slots=True)
class _Here:
    """The observer of the plain loop. Commits come from the committer's thread, one at a time."""

    committed: Commit
    should_stop: Callable[[], bool]

    def row_started(self, row: int) -> None:
        """Nobody watches: a row that hangs here hangs the run."""


def _run_here(
    shards: ShardQueue,
    conversion: Conversion,
    files: RepositoryFiles,
    commit: Commit,
    should_stop: Callable[[], bool],
) -> None:
    while not shards.exhausted and not should_stop():
        part = shards.take(wait_s=POLL_S)
        if part is not None:
            convert(part, conversion, _Here(commit, should_stop), lambda part, paths: files.read(paths, part.source))
            shards.finished(part)


# --- several workers: processes ---------------------------------------------------------------------------------


@dataclass(slots=True)
class _Worker:
    """The parent's end of one worker process."""

    process: subprocess.Popen[bytes]
    connection: Connection[WorkerSettings | Slice, Message]
    status: Status
    lifeline: int
    part: Slice | None = None
    next_row: int = 0

    @classmethod
    def start(cls, settings: WorkerSettings) -> _Worker:
        ours, theirs = socket.socketpair()
        status_fd = Status.create()
        lifeline_read, lifeline = os.pipe()
        inherited = (theirs.fileno(), status_fd, lifeline_read)
        process = subprocess.Popen(  # noqa: S603 - our own module, with numbers as arguments
            # -P: the current folder is somebody's checkout, and no place to import from
            [sys.executable, "-P", "-c", f"from hugflow.workers.process import main; main{inherited}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=inherited,
        )
        connection: Connection[WorkerSettings | Slice, Message] = Connection(ours.detach())
        worker = cls(process, connection, Status(status_fd), lifeline)
        theirs.close()
        os.close(status_fd)
        os.close(lifeline_read)
        connection.send(settings)
        return worker

    def give(self, part: Slice) -> None:
        self.part = part
        self.next_row = part.rows.start
        self.connection.send(part)

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        self.connection.close()
        os.close(self.lifeline)


@dataclass(slots=True)
class _Workers:
    """All worker processes of a run."""

    shards: ShardQueue
    conversion: Conversion
    files: RepositoryFiles
    settings: PoolSettings
    commit: Commit
    workers: list[_Worker] = field(default_factory=list)
    crashes: dict[int, int] = field(default_factory=dict)
    idle_crashes: int = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.kill()
        self.workers.clear()

    def run(self, should_stop: Callable[[], bool]) -> None:
        while not should_stop():
            self._hand_out()
            busy = [worker for worker in self.workers if worker.part is not None]
            if not busy and self.shards.exhausted:
                return
            self._listen(POLL_S if len(busy) < self.settings.workers and not self.shards.exhausted else 0.5)
            self._watch()
        self._stop()

    def _hand_out(self) -> None:
        while self._idle() is not None or len(self.workers) < self.settings.workers:
            part = self.shards.take()
            if part is None:
                return
            idle = self._idle()
            if idle is None:
                idle = _Worker.start(self._worker_settings())
                self.workers.append(idle)
            with self._blamed_on(idle):
                idle.give(part)

    def _idle(self) -> _Worker | None:
        return next((worker for worker in self.workers if worker.part is None), None)

    def _worker_settings(self) -> WorkerSettings:
        level = logging.getLogger("hugflow").getEffectiveLevel()
        return WorkerSettings(self.conversion, pickle.dumps(self.files), self.settings.memory_bytes, level)

    def _listen(self, wait_s: float) -> None:
        """Take all messages that are there, and commit their rows together: one sync of the journal for all."""
        if not self.workers:
            time.sleep(wait_s)
            return
        ready = wait([worker.connection for worker in self.workers], wait_s)
        records: list[RowRecord] = []
        errors: list[HugflowError] = []
        finished: list[Slice] = []
        for worker in [worker for worker in self.workers if worker.connection in ready]:
            with self._blamed_on(worker):
                self._receive(worker, records, finished, errors)
        if records:
            self.commit(records)
        for part in finished:
            self.shards.finished(part)
        if errors:
            raise errors[0]

    def _receive(
        self, worker: _Worker, records: list[RowRecord], finished: list[Slice], errors: list[HugflowError]
    ) -> None:
        while worker.connection.poll():
            message = worker.connection.recv()
            if isinstance(message, Committed):
                records += message.records
                worker.next_row = message.records[-1].row + 1
            elif isinstance(message, Logged):
                logging.getLogger(message.logger).log(message.level, "%s", message.text)
            elif isinstance(message, Failed):
                errors.append(message.error)
                return
            elif worker.part is not None:
                finished.append(worker.part)
                worker.part = None

    @contextmanager
    def _blamed_on(self, worker: _Worker) -> Iterator[None]:
        """A connection that breaks, between messages or within one, is a worker that has died."""
        try:
            yield
        except (EOFError, OSError):
            self._bury(worker, "worker_crashed", "the worker process died while converting the row")

    def _watch(self) -> None:
        """Kill workers that have been at one row for too long."""
        for worker in list(self.workers):
            row, since = worker.status.current()
            if row >= 0 and time.monotonic() - since > self.settings.row_timeout_s:
                self.crashes[row] = MAX_ROW_CRASHES  # hanging once is enough
                limit = f"converting the row took longer than ROW_TIMEOUT ({self.settings.row_timeout_s:g} s)"
                self._bury(worker, "row_timeout", limit)

    def _bury(self, worker: _Worker, reason: str, message: str) -> None:
        """Take a dead or hanging worker away; its slice goes on behind the row it was at.

        A row gets a second chance, because a worker can be killed from outside; the second time it is the row's fault.
        """
        row, _ = worker.status.current()
        worker.kill()
        self.workers.remove(worker)
        part = worker.part
        if part is None:
            return
        log.warning("a worker ended at row %d (%s, exit status %s)", row, reason, worker.process.returncode)
        rest = replace(part, start=worker.next_row - part.first_row)
        pieces = [rest]
        if row not in rest.rows:
            self.idle_crashes += 1
            if self.idle_crashes > MAX_IDLE_CRASHES:
                raise Terminal(
                    f"converting {part.source}",
                    f"worker processes keep dying outside of rows (exit status {worker.process.returncode})",
                    "Look for the reason in the system's log (out of memory?), then run the same command again.",
                    reason="workers_die",
                )
        else:
            self.crashes[row] = self.crashes.get(row, 0) + 1
            if self.crashes[row] >= MAX_ROW_CRASHES:
                self.commit([RowRecord(row, "failed", reason=reason, message=message)])
                at = row - part.first_row
                pieces = [replace(rest, stop=at), replace(rest, start=at + 1)]
        self.shards.put_back(*(piece for piece in pieces if piece.rows))
        self.shards.finished(part)

    def _stop(self) -> None:
        """Let every worker finish its row and commit; kill those that do not within a few seconds."""
        deadline = time.monotonic() + STOP_WITHIN_S
        for worker in self.workers:
            worker.status.stop()
        while any(worker.part is not None for worker in self.workers) and time.monotonic() < deadline:
            self._listen(0.1)
