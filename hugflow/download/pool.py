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
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from typing import Self

from hugflow.download.convert import Conversion, Slice, convert
from hugflow.download.shard_queue import ShardQueue
from hugflow.download.worker import Committed, Converted, Failed, Logged, Message, RowStatus, WorkerSettings
from hugflow.hf_client.read.audio_paths import RepositoryFiles
from hugflow.model.errors import HugflowError, Paused, Terminal
from hugflow.model.records import RowRecord

log = logging.getLogger(__name__)

STOP_WITHIN_S = 4.0
POLL_S = 0.05
MAX_ROW_CRASHES = 2
MAX_IDLE_CRASHES = 3

# numpy would start a thread a core in each worker, for linear algebra that nobody does
_PROGRAM = "import os; os.environ['OPENBLAS_NUM_THREADS'] = '1'; from hugflow.download.worker import main"

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
    """The parent's end of one worker process.

    `parts` are the slices that it has not finished: it `is_ready` for another when it has converted the rows of all of
    them, while the last are still on their way to the disk. `next_row` is the first row of `parts[0]` that is not done.
    """

    process: subprocess.Popen[bytes]
    connection: Connection[WorkerSettings | Slice, Message]
    status: RowStatus
    lifeline: int
    parts: deque[Slice] = field(default_factory=deque)
    next_row: int = 0
    is_ready: bool = True

    @classmethod
    def start(cls, settings: WorkerSettings) -> _Worker:
        ours, theirs = socket.socketpair()
        status_fd = RowStatus.create()
        lifeline_read, lifeline = os.pipe()
        inherited = (theirs.fileno(), status_fd, lifeline_read)
        process = subprocess.Popen(  # noqa: S603 - our own module, with numbers as arguments
            # -P: the current folder is somebody's checkout, and no place to import from
            [sys.executable, "-P", "-c", f"{_PROGRAM}; main{inherited}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=inherited,
        )
        connection: Connection[WorkerSettings | Slice, Message] = Connection(ours.detach())
        worker = cls(process, connection, RowStatus(status_fd), lifeline)
        theirs.close()
        os.close(status_fd)
        os.close(lifeline_read)
        connection.send(settings)
        return worker

    def give(self, part: Slice) -> None:
        if not self.parts:
            self.next_row = part.rows.start
        self.parts.append(part)
        self.is_ready = False
        self.connection.send(part)

    def finish(self) -> Slice:
        """Take away the oldest slice, whose rows are all committed."""
        part = self.parts.popleft()
        if self.parts:
            self.next_row = self.parts[0].rows.start
        return part

    def left(self) -> list[Slice]:
        """What of its slices is not committed."""
        first, *others = self.parts
        return [replace(first, start=self.next_row - first.first_row), *others]

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
        for _ in range(self.shards.worth_workers):
            self._start()  # while the first shard is fetched
        while not should_stop():
            self._hand_out()
            if self.shards.exhausted and not any(worker.parts for worker in self.workers):
                return
            is_waiting = self._has_place() and not self.shards.exhausted
            self._listen(POLL_S if is_waiting else 0.5)
            self._watch()
        self._stop()

    def _hand_out(self) -> None:
        while self._has_place():
            part = self.shards.take()
            if part is None:
                return
            worker = self._ready() or self._start()
            with self._blamed_on(worker):
                worker.give(part)

    def _start(self) -> _Worker:
        worker = _Worker.start(self._worker_settings())
        self.workers.append(worker)
        return worker

    def _has_place(self) -> bool:
        return len(self.workers) < self.settings.workers or self._ready() is not None

    def _ready(self) -> _Worker | None:
        """Who can begin with a slice: first of all who has nothing else to do."""
        return min((worker for worker in self.workers if worker.is_ready), key=lambda one: len(one.parts), default=None)

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
            elif isinstance(message, Converted):
                worker.is_ready = True
            else:
                finished.append(worker.finish())

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
        if not worker.parts:
            return
        log.warning("a worker ended at row %d (%s, exit status %s)", row, reason, worker.process.returncode)
        left = [part for part in worker.left() if part.rows]
        if any(row in part.rows for part in left):
            self.crashes[row] = self.crashes.get(row, 0) + 1
            if self.crashes[row] >= MAX_ROW_CRASHES:
                self.commit([RowRecord(row, "failed", reason=reason, message=message)])
                left = [piece for part in left for piece in _without(part, row)]
        else:
            self._count_idle_crash(worker)
        self.shards.put_back(*left)
        for part in worker.parts:
            self.shards.finished(part)

    def _count_idle_crash(self, worker: _Worker) -> None:
        self.idle_crashes += 1
        if self.idle_crashes > MAX_IDLE_CRASHES:
            raise Terminal(
                f"converting {worker.parts[0].source}",
                f"worker processes keep dying outside of rows (exit status {worker.process.returncode})",
                "Look for the reason in the system's log (out of memory?), then run the same command again.",
                reason="workers_die",
            )

    def _stop(self) -> None:
        """Let every worker finish its row and commit; kill those that do not within a few seconds."""
        deadline = time.monotonic() + STOP_WITHIN_S
        for worker in self.workers:
            worker.status.stop()
        while any(worker.parts for worker in self.workers) and time.monotonic() < deadline:
            self._listen(0.1)


def _without(part: Slice, row: int) -> list[Slice]:
    """The slice's pieces before and behind a row; the slice itself where the row is not in it."""
    if row not in part.rows:
        return [part]
    at = row - part.first_row
    return [piece for piece in (replace(part, stop=at), replace(part, start=at + 1)) if piece.rows]
