"""Worker processes that convert slices: one that crashes, hangs or runs out of memory costs the row it was converting.

With one worker no process is started: the slices are converted in a loop in this process, which is easy to debug. A
decoder that crashes there ends the run (the next run continues).
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
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from typing import Self

from hugflow.download.convert import Conversion, Slice, convert
from hugflow.download.shard_queue import ShardQueue
from hugflow.download.worker import (
    LogLine,
    Message,
    OutageNoted,
    RowStatus,
    RowsWritten,
    SliceConverted,
    SliceFailed,
    WorkerSettings,
)
from hugflow.hf_client.read.audio_paths import RepositoryFiles
from hugflow.model.errors import HugflowError, Paused, TryAgain
from hugflow.model.records import RowRecord

log = logging.getLogger(__name__)

STOP_WITHIN_S = 4.0
WRITTEN_WITHIN_S = 1.5
POLL_S = 0.05
MAX_ROW_CRASHES = 2
MAX_IDLE_CRASHES = 3

# numpy would start one thread per core in each worker, for linear algebra that is not used
_PROGRAM = "import os; os.environ['OPENBLAS_NUM_THREADS'] = '1'; from hugflow.download.worker import main"

RecordRows = Callable[[list[RowRecord]], None]


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """Number of workers and the limits of one row: `row_timeout_s` seconds, `memory_bytes` (0: no limit).

    `environment` is that of the workers; None for the environment of this process.
    """

    workers: int
    row_timeout_s: float
    memory_bytes: int
    environment: Mapping[str, str] | None = None


def run(
    shards: ShardQueue,
    conversion: Conversion,
    files: RepositoryFiles,
    settings: PoolSettings,
    record: RecordRows,
    should_stop: Callable[[], bool],
) -> None:
    """Convert all slices of `shards`; `record` is called on this thread with the records of rows that are durable.

    Raises Paused when `should_stop` returned True (the rows converted so far are recorded), StorageFault, Transient,
    TryAgain.
    """
    shards.start()
    try:
        if settings.workers == 1:
            _run_here(shards, conversion, files, record, should_stop)
        else:
            with _Workers(shards, conversion, files, settings, record) as workers:
                workers.run(should_stop)
    finally:
        shards.close()
    if should_stop():
        raise Paused("downloading", "the run was asked to stop", "Run the same command again: it continues.")


# --- one worker: a plain loop -----------------------------------------------------------------------------------


@dataclass(slots=True)
class _LocalObserver:
    """The observer of the loop without processes. `rows_written` is called on the writer's thread."""

    rows_written: RecordRows
    should_stop: Callable[[], bool]

    def row_started(self, row: int) -> None:
        """Do nothing: without a second process a row that hangs cannot be stopped."""


def _run_here(
    shards: ShardQueue,
    conversion: Conversion,
    files: RepositoryFiles,
    record: RecordRows,
    should_stop: Callable[[], bool],
) -> None:
    while not shards.exhausted and not should_stop():
        part = shards.take(wait_s=POLL_S)
        if part is not None:
            convert(
                part,
                conversion,
                _LocalObserver(record, should_stop),
                lambda part, paths: files.read(paths, part.source),
            )
            shards.finished(part)


# --- several workers: processes ---------------------------------------------------------------------------------


@dataclass(slots=True)
class _Worker:
    """The parent's side of one worker process.

    `parts` are the slices that it has not finished. `is_ready`: it has converted all their rows (the last of them may
    not be durable yet) and can take another slice. `next_row` is the first row of `parts[0]` that is not recorded.
    """

    process: subprocess.Popen[bytes]
    connection: Connection[WorkerSettings | Slice, Message]
    status: RowStatus
    lifeline: int
    parts: deque[Slice] = field(default_factory=deque)
    next_row: int = 0
    is_ready: bool = True

    @classmethod
    def start(cls, settings: WorkerSettings, environment: Mapping[str, str] | None) -> _Worker:
        parent_end, worker_end = socket.socketpair()
        status_fd = RowStatus.create()
        lifeline_read, lifeline = os.pipe()
        inherited = (worker_end.fileno(), status_fd, lifeline_read)
        process = subprocess.Popen(  # noqa: S603 - our own module, with numbers as arguments
            # -P: the current folder is a checkout of a pull request; nothing is imported from there
            [sys.executable, "-P", "-c", f"{_PROGRAM}; main{inherited}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=inherited,
            env=environment,
        )
        connection: Connection[WorkerSettings | Slice, Message] = Connection(parent_end.detach())
        worker = cls(process, connection, RowStatus(status_fd), lifeline)
        worker_end.close()
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
        """Remove and return the oldest slice, whose rows are all recorded."""
        part = self.parts.popleft()
        if self.parts:
            self.next_row = self.parts[0].rows.start
        return part

    def left(self) -> list[Slice]:
        """The parts of its slices that are not recorded."""
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
    record: RecordRows
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
            self._assign()
            if self.shards.exhausted and not any(worker.parts for worker in self.workers):
                return
            is_waiting = self._can_assign() and not self.shards.exhausted
            self._listen(POLL_S if is_waiting else 0.5)
            self._watch()
        self._stop()

    def _assign(self) -> None:
        while self._can_assign():
            part = self.shards.take()
            if part is None:
                return
            worker = self._ready() or self._start()
            with self._crashes_handled(worker):
                worker.give(part)

    def _start(self) -> _Worker:
        worker = _Worker.start(self._worker_settings(), self.settings.environment)
        self.workers.append(worker)
        return worker

    def _can_assign(self) -> bool:
        return len(self.workers) < self.settings.workers or self._ready() is not None

    def _ready(self) -> _Worker | None:
        """A worker that can take a slice, preferably an idle one."""
        return min((worker for worker in self.workers if worker.is_ready), key=lambda one: len(one.parts), default=None)

    def _worker_settings(self) -> WorkerSettings:
        level = logging.getLogger("hugflow").getEffectiveLevel()
        return WorkerSettings(
            self.conversion,
            pickle.dumps(replace(self.files, hub=self.files.hub.for_process())),
            self.settings.memory_bytes,
            level,
        )

    def _listen(self, wait_s: float) -> None:
        """Receive all pending messages and record their rows together, with one sync of the journal."""
        if not self.workers:
            time.sleep(wait_s)
            return
        ready = wait([worker.connection for worker in self.workers], wait_s)
        records: list[RowRecord] = []
        errors: list[HugflowError] = []
        finished: list[Slice] = []
        for worker in [worker for worker in self.workers if worker.connection in ready]:
            with self._crashes_handled(worker):
                self._receive(worker, records, finished, errors)
        if records:
            self.record(records)
        for part in finished:
            self.shards.finished(part)
        if errors:
            raise errors[0]

    def _receive(
        self, worker: _Worker, records: list[RowRecord], finished: list[Slice], errors: list[HugflowError]
    ) -> None:
        while worker.connection.poll():
            message = worker.connection.recv()
            if isinstance(message, RowsWritten):
                records += message.records
                worker.next_row = message.records[-1].row + 1
            elif isinstance(message, OutageNoted):
                self.files.hub.on_outage(message.problem)
            elif isinstance(message, LogLine):
                logging.getLogger(message.logger).log(message.level, "%s", message.text)
            elif isinstance(message, SliceFailed):
                errors.append(message.error)
                return
            elif isinstance(message, SliceConverted):
                worker.is_ready = True
            else:
                finished.append(worker.finish())

    @contextmanager
    def _crashes_handled(self, worker: _Worker) -> Iterator[None]:
        """Treat a broken connection as the death of the worker."""
        try:
            yield
        except (EOFError, OSError):
            self._remove_worker(worker, "worker_crashed", "the worker process died while converting the row")

    def _watch(self) -> None:
        """Kill workers that have converted one row for longer than the time-out."""
        for worker in list(self.workers):
            row, since = worker.status.current()
            if row >= 0 and time.monotonic() - since > self.settings.row_timeout_s:
                self.crashes[row] = MAX_ROW_CRASHES  # a row that hung once is not tried again
                limit = f"converting the row took longer than ROW_TIMEOUT ({self.settings.row_timeout_s:g} s)"
                self._remove_worker(worker, "row_timeout", limit)

    def _remove_worker(self, worker: _Worker, reason: str, message: str) -> None:
        """Kill and remove a dead or hanging worker; its slices continue behind the row that it was converting.

        That row is tried once more, because a worker can be killed from outside; the second time the row has failed.
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
                self.record([RowRecord(row, "failed", reason=reason, message=message)])
                left = [piece for part in left for piece in _without(part, row)]
        else:
            self._count_idle_crash(worker)
        self.shards.put_back(*left)
        for part in worker.parts:
            self.shards.finished(part)

    def _count_idle_crash(self, worker: _Worker) -> None:
        self.idle_crashes += 1
        if self.idle_crashes > MAX_IDLE_CRASHES:
            raise TryAgain(
                f"converting {worker.parts[0].source}",
                f"worker processes keep dying outside of rows (exit status {worker.process.returncode})",
                "Look for the reason in the system's log (out of memory?), then run the same command: it continues.",
                reason="workers_die",
            )

    def _stop(self) -> None:
        """Let every worker finish its row and write it; those that take longer than `STOP_WITHIN_S` are killed.

        A worker that waits for files of the Hub has no row to finish, and is not waited for.
        """
        deadline = time.monotonic() + STOP_WITHIN_S
        for worker in self.workers:
            worker.status.stop()
        while time.monotonic() < deadline and any(one.parts and not _is_waiting(one) for one in self.workers):
            self._listen(0.1)


def _is_waiting(worker: _Worker) -> bool:
    """Tell if a worker has converted no row for a while, so that all that it converted is written."""
    row, since = worker.status.current()
    return row < 0 and time.monotonic() - since > WRITTEN_WITHIN_S


def _without(part: Slice, row: int) -> list[Slice]:
    """The parts of a slice before and behind a row; the slice itself if the row is not in it."""
    if row not in part.rows:
        return [part]
    at = row - part.first_row
    return [piece for piece in (replace(part, stop=at), replace(part, start=at + 1)) if piece.rows]
