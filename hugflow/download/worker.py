"""Program of a worker process: receives slices, converts them, and reports the rows whose files are durable.

Rows are converted in separate processes so that a decoder that crashes, hangs or runs out of memory costs one row. A
worker keeps no state: nothing that was reported is lost when it is killed. It never outlives its parent.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import mmap
import os
import pickle
import resource
import signal
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from hugflow.download.convert import Conversion, RowWriter, Slice, convert_into
from hugflow.model.errors import HugflowError, RowError
from hugflow.model.records import RowRecord

if TYPE_CHECKING:
    from hugflow.hf_client.read.audio_paths import RepositoryFiles

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_KEPT_BYTES, _KEPT_BLOCK_BYTES = 64 << 20, 32 << 20
_STATUS = struct.Struct("qdq")
_CHECK_EVERY_S = 0.05


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """The first message to a worker.

    `files` is a pickled `RepositoryFiles`: few datasets need it, and unpacking it imports the Hub's library.
    `memory_bytes` limits what the worker allocates beyond what it uses at its start (0: no limit).
    """

    conversion: Conversion
    files: bytes
    memory_bytes: int
    log_level: int


@dataclass(frozen=True, slots=True)
class RowsWritten:
    """The files of these rows are durable; failed rows have none."""

    records: list[RowRecord]


@dataclass(frozen=True, slots=True)
class SliceConverted:
    """All rows of the slice are converted, not all of them durable yet: the worker can take the next slice."""


@dataclass(frozen=True, slots=True)
class SliceWritten:
    """The oldest slice has ended: all its rows are durable, or the worker was asked to stop."""


@dataclass(frozen=True, slots=True)
class SliceFailed:
    """The slice cannot continue because of a fault of the disk or of the connection to the Hub, not of a row."""

    error: HugflowError


@dataclass(frozen=True, slots=True)
class LogLine:
    """A log line. The parent writes it, because the parent redacts secrets and knows the log file."""

    logger: str
    level: int
    text: str


@dataclass(frozen=True, slots=True)
class OutageNoted:
    """The Hub fails as a whole and the worker waits for it; without a problem, it answers again."""

    problem: str


Message = RowsWritten | SliceConverted | SliceWritten | SliceFailed | LogLine | OutageNoted


class RowStatus:
    """Memory shared with the parent: the row being converted, the time of its start, and whether to stop.

    Shared, because a worker that crashed or hangs sends no messages.
    """

    def __init__(self, descriptor: int) -> None:
        self._memory = mmap.mmap(descriptor, _STATUS.size)

    @staticmethod
    def create() -> int:
        """Create the shared memory and return its file descriptor."""
        descriptor = os.memfd_create("hugflow-worker")
        os.ftruncate(descriptor, _STATUS.size)
        status = RowStatus(descriptor)
        status.row_started(-1)
        return descriptor

    def row_started(self, row: int) -> None:
        """Note that `row` is being converted from now on (-1: none)."""
        # `pack_into` writes zeros first: a reader in between would see row 0, started at time 0. Each of these is one
        # store, the time first, so that a row is never seen with the start of the row before it
        if row >= 0:
            self._memory[8:16] = struct.pack("d", time.monotonic())
        self._memory[0:8] = struct.pack("q", row)

    def current(self) -> tuple[int, float]:
        """The row being converted (-1: none) and the monotonic time of its beginning."""
        row, since = struct.unpack_from("qd", self._memory, 0)
        return row, since

    def stop(self) -> None:
        """Ask the worker to stop before its next row."""
        struct.pack_into("q", self._memory, 16, 1)

    def should_stop(self) -> bool:
        """True once the worker is to stop."""
        return bool(struct.unpack_from("q", self._memory, 16)[0])


@dataclass(slots=True)
class _Link:
    """Observer that reports the progress of slices to the parent."""

    connection: Connection[Message, Slice | WorkerSettings]
    status: RowStatus
    _sending: threading.Lock = field(default_factory=threading.Lock)

    def row_started(self, row: int) -> None:
        self.status.row_started(row)

    def rows_written(self, records: list[RowRecord]) -> None:
        self.send(RowsWritten(records))

    def should_stop(self) -> bool:
        return self.status.should_stop()

    def send(self, message: Message) -> None:
        with self._sending:
            self.connection.send(message)


class _LogToParent(logging.Handler):
    """Sends every log record to the parent as text."""

    def __init__(self, link: _Link) -> None:
        super().__init__()
        self._link = link

    def emit(self, record: logging.LogRecord) -> None:
        self._link.send(LogLine(record.name, record.levelno, self.format(record)))


def main(connection_fd: int, status_fd: int, lifeline_fd: int) -> None:
    """Work until the parent closes the connection. The descriptors are inherited from the parent."""
    for interrupt in (signal.SIGINT, signal.SIGTERM):
        signal.signal(interrupt, signal.SIG_IGN)  # a terminal's Ctrl-C reaches the workers too; the parent handles it
    threading.Thread(target=_die_with_parent, args=(lifeline_fd,), daemon=True).start()
    link = _Link(Connection(connection_fd), RowStatus(status_fd))
    with contextlib.suppress(EOFError):
        settings = link.connection.recv()
        assert isinstance(settings, WorkerSettings)
        logging.basicConfig(level=settings.log_level, handlers=[_LogToParent(link)], format="%(message)s")
        _keep_memory()
        _limit_memory(settings.memory_bytes)
        settings.conversion.failpoints.in_worker = True
        _work(settings.conversion, link, _Fetch(settings.files, lambda problem: link.send(OutageNoted(problem))))


@dataclass(slots=True)
class _Fetch:
    """Reads files of the repository; unpickles the Hub client when the first one is needed."""

    packed: bytes
    on_outage: Callable[[str], None]
    files: RepositoryFiles | None = None

    def __call__(self, part: Slice, paths: list[str]) -> Mapping[str, bytes | RowError]:
        if self.files is None:
            unpacked: RepositoryFiles = pickle.loads(self.packed)  # noqa: S301 - written by the parent process
            unpacked.hub.connect()
            self.files = replace(unpacked, hub=replace(unpacked.hub, on_outage=self.on_outage))
        return self.files.read(paths, part.source)


def _work(conversion: Conversion, link: _Link, fetch: _Fetch) -> None:
    """Convert slices until the parent closes the connection or a slice fails."""
    try:
        with RowWriter(conversion, link) as writer:
            while True:
                convert_into(writer, _next_slice(link, writer), conversion, link, fetch)
                writer.when_written(lambda: link.send(SliceWritten()))
                link.send(SliceConverted())
    except HugflowError as error:
        link.send(SliceFailed(error))


def _next_slice(link: _Link, writer: RowWriter) -> Slice:
    """Wait for a slice; raises faults of the writer thread meanwhile."""
    while not link.connection.poll(_CHECK_EVERY_S):
        writer.check()
    part = link.connection.recv()
    assert isinstance(part, Slice)
    return part


def _die_with_parent(lifeline_fd: int) -> None:
    """Exit when the parent has ended: it keeps the other end of the pipe open and never writes."""
    os.read(lifeline_fd, 1)
    os._exit(1)


def _keep_memory() -> None:
    """Keep freed memory for the next row: pages returned to the system are zeroed before they are used again."""
    pa.set_memory_pool(pa.system_memory_pool())
    with contextlib.suppress(AttributeError):  # a C library without it
        ctypes.CDLL(None).mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _KEPT_BLOCK_BYTES)


def _limit_memory(extra_bytes: int) -> None:
    if not extra_bytes:
        return
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmData:"):
            limit = int(line.split()[1]) * 1024 + extra_bytes
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
