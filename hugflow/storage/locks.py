"""Locks between processes: `flock` on a file that names the holder; the lock ends with the holder's process."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from hugflow.model.errors import Locked
from hugflow.storage.disk import faults


@contextlib.contextmanager
def lock(path: Path, doing: str, *, wait_s: float = 0.0, now: Callable[[], float] = time.monotonic) -> Iterator[None]:
    """Hold an exclusive `flock` on `path`.

    The file is not deleted afterwards: two processes could then lock two files of the same name.
    Raises Locked, naming the holder, when it is still held by another process after `wait_s` seconds.
    """
    with faults(f"opening the lock {path}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        deadline = now() + wait_s
        while not _try_lock(descriptor):
            if now() >= deadline:
                raise Locked(doing, f"another process holds its lock: {_holder(descriptor)}", _LOCKED_FIX)
            time.sleep(0.01)
        holder = {
            "pid": os.getpid(),
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


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(descriptor: int) -> str:
    try:
        holder: dict[str, Any] = orjson.loads(os.pread(descriptor, 4096, 0))
        return f"process {holder['pid']} on {holder['host']}, since {holder['since']}"
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return "a process that has just started"


def lock_holder(path: Path) -> str | None:
    """Describe the process that holds the lock now; None if none does."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return None if _try_lock(descriptor) else _holder(descriptor)
    finally:
        os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock now."""
    return lock_holder(path) is not None
