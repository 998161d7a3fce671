"""Locks between processes: `flock` on a file that names the holder; the lock ends with the holder's process."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pwd
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from hugflow.model.errors import Locked, StorageFault
from hugflow.storage.disk import faults


@contextlib.contextmanager
def lock(path: Path, doing: str, *, wait_s: float = 0.0, now: Callable[[], float] = time.monotonic) -> Iterator[None]:
    """Hold an exclusive `flock` on `path`.

    The file is not deleted afterwards: two processes could then lock two files of the same name.
    Raises Locked, naming the holder, when it is still held by another process after `wait_s` seconds.
    """
    with faults(f"opening the lock {path}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        except PermissionError:
            if (other := lock_holder(path)) is not None:
                raise Locked(doing, f"another process holds its lock: {other}", _LOCKED_FIX) from None
            raise
        if os.fstat(descriptor).st_nlink > 1:
            os.close(descriptor)
            raise FileExistsError(errno.EEXIST, "the lock is a link to another file", str(path))
    try:
        deadline = now() + wait_s
        while not _try_lock(descriptor):
            if now() >= deadline:
                raise Locked(doing, f"another process holds its lock: {_holder(descriptor)}", _LOCKED_FIX)
            time.sleep(0.01)
        holder = {
            "pid": os.getpid(),
            "user": _user(),
            "host": socket.gethostname(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        with faults(f"writing the lock {path}"):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, orjson.dumps(holder) + b"\n", 0)
        yield
    finally:
        os.close(descriptor)


_LOCKED_FIX = "Wait until it has finished, or stop it, and run the same command again."


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"account {os.geteuid()}"


def _try_lock(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(descriptor: int) -> str:
    try:
        holder: dict[str, Any] = orjson.loads(os.pread(descriptor, 4096, 0))
        user = f", started by {holder['user']}" if "user" in holder else ""
        return f"process {holder['pid']} on {holder['host']}, since {holder['since']}{user}"
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return "a process that has just started"


def lock_holder(path: Path) -> str | None:
    """Describe the process that holds the lock now, of whatever account; None if none does.

    The lock is only read: it may belong to another account. Raises StorageFault when it cannot even be read.
    """
    try:
        with faults(f"looking at the lock {path}"):
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except StorageFault as fault:
        if isinstance(fault.__cause__, PermissionError):
            raise
        return None
    try:
        return None if _try_lock(descriptor, fcntl.LOCK_SH) else _holder(descriptor)
    finally:
        os.close(descriptor)


def is_locked(path: Path) -> bool:
    """True while a process has the lock."""
    return lock_holder(path) is not None
