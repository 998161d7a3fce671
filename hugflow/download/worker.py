"""A worker process: it takes slices from its parent, converts them, and reports what is durable.

It is a process of its own so that a decoder that crashes, hangs or eats memory costs one row. It has no state: killed
at any moment it loses nothing that was reported. It never outlives its parent.
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
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from hugflow.download.convert import Committer, Conversion, Slice, convert_into
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
    """What a worker is told once.

    `files` is a pickled `RepositoryFiles`: few datasets need it, and unpacking it imports the Hub's library.
    `memory_bytes` bounds what the worker allocates beyond what it starts with (0: no bound).
    """

    conversion: Conversion
    files: bytes
    memory_bytes: int
    log_level: int


@dataclass(frozen=True, slots=True)
class Committed:
    """These rows are durable."""

    records: list[RowRecord]


@dataclass(frozen=True, slots=True)
class Converted:
    """The rows of the slice are converted, not all of them durable yet: the worker can begin with the next slice."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The oldest slice has ended: all its rows were committed, or the worker was asked to stop."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The slice cannot go on; nothing is wrong with a row, but with the disk or the way to the Hub."""

    error: HugflowError


@dataclass(frozen=True, slots=True)
class Logged:
    """A line for the log. The parent writes it: it knows where to, and what must not be in it."""

    logger: str
    level: int
    text: str


Message = Committed | Converted | Finished | Failed | Logged


class RowStatus:
    """A few bytes shared with the parent: the row being converted, since when, and whether to stop.

    They are in shared memory because a worker that crashes or hangs cannot send a message any more.
    """

    def __init__(self, descriptor: int) -> None:
        self._memory = mmap.mmap(descriptor, _STATUS.size)

    @staticmethod
    def create() -> int:
        """Make the shared memory; returns its file descriptor."""
        descriptor = os.memfd_create("hugflow-worker")
        os.ftruncate(descriptor, _STATUS.size)
        status = RowStatus(descriptor)
        status.row_started(-1)
        return descriptor

    def row_started(self, row: int) -> None:
        """Note that `row` is being converted from now on (-1: none)."""
        # `pack_into` would write zeros first, which a reader in between takes for row 0, at work since the machine
        # began; each of these is one store, the time first, so that no row is seen with the time of the one before it
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
        """Whether the worker was asked to stop."""
        return bool(struct.unpack_from("q", self._memory, 16)[0])


@dataclass(slots=True)
class _Link:
    """The observer of a slice that tells the parent."""

    connection: Connection[Message, Slice | WorkerSettings]
    status: RowStatus
    _sending: threading.Lock = field(default_factory=threading.Lock)

    def row_started(self, row: int) -> None:
        self.status.row_started(row)

    def committed(self, records: list[RowRecord]) -> None:
        self.send(Committed(records))

    def should_stop(self) -> bool:
        return self.status.should_stop()

    def send(self, message: Message) -> None:
        with self._sending:
            self.connection.send(message)


class _LogToParent(logging.Handler):
    """Hands every log record to the parent as text."""

    def __init__(self, link: _Link) -> None:
        super().__init__()
        self._link = link

    def emit(self, record: logging.LogRecord) -> None:
        self._link.send(Logged(record.name, record.levelno, self.format(record)))


def main(connection_fd: int, status_fd: int, lifeline_fd: int) -> None:
    """Work until the parent closes the connection. The descriptors are inherited from the parent."""
    for interrupt in (signal.SIGINT, signal.SIGTERM):
        signal.signal(interrupt, signal.SIG_IGN)  # a terminal's Ctrl-C reaches us too; the parent decides
    threading.Thread(target=_die_with_parent, args=(lifeline_fd,), daemon=True).start()
    link = _Link(Connection(connection_fd), RowStatus(status_fd))
    with contextlib.suppress(EOFError):
        settings = link.connection.recv()
        assert isinstance(settings, WorkerSettings)
        logging.basicConfig(level=settings.log_level, handlers=[_LogToParent(link)], format="%(message)s")
        _keep_memory()
        _limit_memory(settings.memory_bytes)
        settings.conversion.failpoints.in_worker = True
        _work(settings.conversion, link, _Fetch(settings.files))


@dataclass(slots=True)
class _Fetch:
    """Reads files of the repository; unpacks what it needs for that at the first one."""

    packed: bytes
    files: RepositoryFiles | None = None

    def __call__(self, part: Slice, paths: list[str]) -> Mapping[str, bytes | RowError]:
        if self.files is None:
            unpacked: RepositoryFiles = pickle.loads(self.packed)  # noqa: S301 - our parent packed it
            unpacked.hub.connect()
            self.files = unpacked
        return self.files.read(paths, part.source)


def _work(conversion: Conversion, link: _Link, fetch: _Fetch) -> None:
    """Convert slices, one behind the other without a pause, until one of them fails."""
    try:
        with Committer(conversion, link) as committer:
            while True:
                convert_into(committer, _next_slice(link, committer), conversion, link, fetch)
                committer.when_committed(lambda: link.send(Finished()))
                link.send(Converted())
    except HugflowError as error:
        link.send(Failed(error))


def _next_slice(link: _Link, committer: Committer) -> Slice:
    """Wait for a slice, and for faults that come while the rows of the last one are written."""
    while not link.connection.poll(_CHECK_EVERY_S):
        committer.check()
    part = link.connection.recv()
    assert isinstance(part, Slice)
    return part


def _die_with_parent(lifeline_fd: int) -> None:
    """The parent holds the other end and never writes: reading ends when it is gone, however it went."""
    os.read(lifeline_fd, 1)
    os._exit(1)


def _keep_memory() -> None:
    """Keep what a row leaves free for the next row: given back and taken again, its pages would be zeroed each time."""
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
