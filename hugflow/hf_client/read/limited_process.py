"""Runs parsers of untrusted data in processes with limits on memory, time and disk.

A parser that crashes, hangs, or takes more memory, time or disk than it may ends its own process, and the call that
started it raises an error of ours. The kernel enforces memory and time; the parent watches the temporary files.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import logging
import os
import pickle
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn, Self

from hugflow.model.errors import HugflowError, TryAgain, UnreadableSource

POLL_S = 0.05
DISK_EVERY_S = 0.25
WALL_PER_CPU = 10
MAX_ANSWER_BYTES = 64 << 20

_PROGRAM = "from hugflow.hf_client.read.limited_process import main"
_PR_SET_PDEATHSIG = 1  # of linux/prctl.h
_DATASET_FIX = "Report it to the dataset's owners, or ask for another dataset."

# Variables that a child gets from its parent: never a token, whatever its variable is called.
_NEEDED = frozenset({"PATH", "HOME", "LANG", "LANGUAGE", "TZ", "LD_LIBRARY_PATH", "REQUESTS_CA_BUNDLE"})
_NEEDED_PREFIXES = ("LC_", "SSL_CERT_", "PYTHON", "HF_", "XDG_", "OPENBLAS_", "COVERAGE_", "COV_CORE_")
_NEVER = ("TOKEN", "SECRET", "PASSWORD", "WEBHOOK", "CREDENTIAL", "KEY")
_PROXIES = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"})


@dataclass(frozen=True, slots=True)
class ProcessLimits:
    """The limits of a process: memory, and seconds of processor time for one call.

    `cpu_s` counts from the last `renew_time`; ten times as many seconds may pass by the clock, waits not counted.
    `memory_setting` and `time_setting` are what a person raises for a dataset that needs more.
    """

    memory_bytes: int
    cpu_s: float
    memory_setting: str = "PLAN_MEMORY_MB"
    time_setting: str = "PLAN_TIMEOUT"


def child_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The part of an environment that processes which read untrusted data get."""
    return {
        name: value
        for name, value in environ.items()
        if name in _NEEDED
        or name.upper() in _PROXIES
        or (name.startswith(_NEEDED_PREFIXES) and not any(mark in name.upper() for mark in _NEVER))
    }


# -- the parent's side ------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class LimitedProcess:
    """A process that runs functions of this package, one at a time. Leaving the `with` block ends it.

    `scratch` is where its temporary files go; the caller deletes the folder.
    """

    scratch: Path
    limits: ProcessLimits
    _process: subprocess.Popen[bytes]
    _connection: Connection[Any, bytes]

    @classmethod
    def start(cls, scratch: Path, limits: ProcessLimits, environment: Mapping[str, str]) -> Self:
        """Start the process. It dies with the thread that starts it, which has to outlive its use."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(  # noqa: S603 - our own module, with numbers as arguments
                # -P: the current folder is no place to import from
                [sys.executable, "-P", "-c", f"{_PROGRAM}; main({theirs.fileno()}, {os.getpid()})"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                cwd=scratch,
                env={**environment, "TMPDIR": str(scratch), "ARROW_DEFAULT_MEMORY_POOL": "system"},
            )
        connection: Connection[Any, bytes] = Connection(ours.detach())
        connection.send((limits, logging.getLogger().getEffectiveLevel()))
        return cls(scratch, limits, process, connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # the connection stays open: another thread may be waiting at it, and learns from it that this has ended
        self._kill()

    def call(
        self,
        doing: str,
        function: str,
        *args: Any,
        wait: Callable[[float], None],
        disk_bytes: int,
        folders: Iterable[Path] = (),
        on_outage: Callable[[str], None] = lambda _: None,
    ) -> Any:
        """Run `function` ("module:name") in the process, and return its result.

        `wait` is called with 0 while it runs, and may raise to end it; `on_outage` with the
        problem of a Hub that the function waits for. `scratch` and `folders` together may grow by
        `disk_bytes`. Raises the function's HugflowError; UnreadableSource for everything else that happens to the
        process, TryAgain if it was killed or took too long by the clock.
        """
        disk = _DiskWatch((self.scratch, *folders), disk_bytes)
        with contextlib.suppress(OSError):  # the process has died: `_receive` raises the reason
            self._connection.send((doing, function, args))
        while True:
            if self._connection.poll(POLL_S):
                kind, value = self._receive(doing)
                if kind == "value":
                    return value
                if kind == "error":
                    raise value
                if kind == "outage":
                    on_outage(value)
                else:
                    logger, level, text = value
                    logging.getLogger(logger).log(level, "%s", text)
            wait(0)
            if disk.is_exceeded():
                raise _too_much(doing, f"{disk_bytes // 1_000_000:,} MB of temporary files")

    def _receive(self, doing: str) -> tuple[str, Any]:
        try:
            message: tuple[str, Any] = pickle.loads(self._connection.recv_bytes(MAX_ANSWER_BYTES))  # noqa: S301 - ours
        except (EOFError, ConnectionError):
            raise self._death(doing) from None
        except OSError:
            raise _too_much(doing, f"a description of {MAX_ANSWER_BYTES >> 20} MB") from None
        return message

    def _death(self, doing: str) -> HugflowError:
        """The error for an unexpected end of the process."""
        code = self._process.wait()
        if code == -signal.SIGPROF:
            return _too_much(doing, f"{self.limits.cpu_s:g} s of computing", self.limits.time_setting)
        if code == -signal.SIGALRM:
            problem = f"it took longer than {WALL_PER_CPU * self.limits.cpu_s:g} s"
            fix = f"Run the same command again later, or raise {self.limits.time_setting}."
            return TryAgain(doing, problem, fix, reason="reader_timeout")
        if code == -signal.SIGKILL:
            problem = "the process that reads it was killed from outside"
            fix = "Look for the reason in the system's log (out of memory?), then run the same command again."
            return TryAgain(doing, problem, fix, reason="reader_killed")
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return UnreadableSource(doing, f"its content crashes the library that reads it ({how})", _DATASET_FIX)

    def _kill(self) -> None:
        self._process.kill()
        self._process.wait()


def _too_much(doing: str, what: str, setting: str = "") -> UnreadableSource:
    fix = (
        f"If you trust its owners, raise {setting} and try again; else report it to them." if setting else _DATASET_FIX
    )
    return UnreadableSource(doing, f"reading it takes more than {what}", fix, reason="reader_limit")


@dataclass(slots=True)
class _DiskWatch:
    """Measures the growth of some folders from time to time, for at most a twentieth of the time."""

    folders: tuple[Path, ...]
    allowed_bytes: int
    _before: int = field(init=False)
    _next_look: float = 0.0

    def __post_init__(self) -> None:
        self._before = _used_bytes(self.folders)

    def is_exceeded(self) -> bool:
        """True once the files have grown beyond the limit, as far as they were measured."""
        began = time.monotonic()
        if began < self._next_look:
            return False
        grown = _used_bytes(self.folders) - self._before
        self._next_look = time.monotonic() + max(DISK_EVERY_S, 20 * (time.monotonic() - began))
        return grown > self.allowed_bytes


def _used_bytes(folders: Iterable[Path]) -> int:
    """Disk space of the files in some folders."""
    used = 0
    waiting = [str(folder) for folder in folders]
    while waiting:
        # files are created and deleted meanwhile
        with contextlib.suppress(FileNotFoundError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        used += entry.stat(follow_symlinks=False).st_blocks * 512
    return used


# -- the child's side -------------------------------------------------------------------------------------------------


def renew_time() -> None:
    """Restart the time limit of the running call, which has made progress. No effect in other processes."""
    for timer in (signal.ITIMER_PROF, signal.ITIMER_REAL):
        _, whole = signal.getitimer(timer)
        signal.setitimer(timer, whole, whole)


def sleep_uncounted(seconds: float) -> None:
    """Wait for a busy Hub, without counting towards the time limit."""
    left, whole = signal.setitimer(signal.ITIMER_REAL, 0)
    time.sleep(seconds)
    if whole:
        signal.setitimer(signal.ITIMER_REAL, left, whole)


def report_outage(problem: str) -> None:
    """Tell the parent that the Hub fails, or with "" that it answers again. Elsewhere this has no effect."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, _LogSender):
            handler.send("outage", problem)


class _LogSender(logging.Handler):
    """Hands log records to the parent, which redacts them, and other messages between them."""

    def __init__(self, connection: Connection[bytes, Any]) -> None:
        super().__init__()
        self._connection = connection

    def emit(self, record: logging.LogRecord) -> None:
        self.send("log", (record.name, record.levelno, self.format(record)))

    def send(self, kind: str, value: Any) -> None:
        """Send a message to the parent, whole also where threads of a library write to the log."""
        with self.lock or contextlib.nullcontext():
            self._connection.send_bytes(pickle.dumps((kind, value)))


def main(connection_fd: int, parent: int) -> NoReturn:
    """Answer the parent's calls until it closes the connection, whose descriptor is inherited from it."""
    # by the kernel: a thread that waits for the parent's end cannot run while a regular expression holds the GIL
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    for interrupt in (signal.SIGINT, signal.SIGTERM):
        signal.signal(interrupt, signal.SIG_IGN)  # a terminal's Ctrl-C reaches us too; the parent decides
    connection: Connection[bytes, Any] = Connection(connection_fd)
    limits, log_level = connection.recv()
    log = _LogSender(connection)
    logging.basicConfig(level=log_level, handlers=[log], format="%(message)s", force=True)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (limits.memory_bytes, limits.memory_bytes))
    with contextlib.suppress(EOFError):
        while True:
            doing, function, args = connection.recv()
            for timer, seconds in (
                (signal.ITIMER_PROF, limits.cpu_s),
                (signal.ITIMER_REAL, limits.cpu_s * WALL_PER_CPU),
            ):
                signal.setitimer(timer, seconds, seconds)
            outcome = _outcome(doing, function, args, limits)
            log.acquire()  # a thread of a library may still write to the log
            connection.send_bytes(outcome)
            log.release()
            for timer in (signal.ITIMER_PROF, signal.ITIMER_REAL):
                signal.setitimer(timer, 0)
    os._exit(0)


def _outcome(doing: str, function: str, args: tuple[Any, ...], limits: ProcessLimits) -> bytes:
    """The pickled result or exception of a call. No exception that untrusted data causes escapes it."""
    module, _, name = function.partition(":")
    try:
        return pickle.dumps(("value", getattr(importlib.import_module(module), name)(*args)))
    except HugflowError as error:
        return pickle.dumps(("error", error))
    except MemoryError:
        megabytes = limits.memory_bytes // 1_000_000
        return pickle.dumps(("error", _too_much(doing, f"{megabytes:,} MB of memory", limits.memory_setting)))
    except BaseException as error:  # SystemExit too: whatever a library does for broken content
        logging.getLogger(__name__).info("%s: unexpected error", doing, exc_info=True)
        lines = str(error).strip().splitlines()
        problem = f"it cannot be read ({type(error).__name__}{': ' + lines[0][:300] if lines else ''})"
        return pickle.dumps(("error", UnreadableSource(doing, problem, _DATASET_FIX)))
