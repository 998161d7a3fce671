"""Audit trail: one JSON line for each finished request, only appended."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import orjson

from hugflow.model.events import Event, RunFinished
from hugflow.storage.disk import faults, refuse_links

AUDIT_SCHEMA_VERSION = 1


def utc_now() -> datetime:
    """The time now, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class AuditTrail:
    """Appends every finished request to `audit.jsonl`. `redact` masks secrets in messages."""

    path: Path
    actor: str
    now: Callable[[], datetime] = utc_now
    redact: Callable[[str], str] = str

    def __call__(self, event: Event) -> None:
        """Append the end of a request; other events are ignored."""
        if not isinstance(event, RunFinished):
            return
        result = event.result
        line = {
            "schema_version": AUDIT_SCHEMA_VERSION,
            "time": self.now().isoformat(timespec="seconds"),
            "actor": self.actor,
            "request": result.request,
            "kind": result.kind,
            "name": result.name,
            "status": result.status,
            "exit_code": int(result.exit_code),
            "sha": result.sha,
            "rows_total": result.rows_total,
            "rows_done": result.rows_done,
            "rows_failed": result.rows_failed,
            "new_rows": result.new_rows,
            "elapsed_s": round(result.elapsed_s, 3),
            "message": self.redact(result.error or result.message),
        }
        refuse_links("writing the audit trail", self.path.parent)
        with faults("writing the audit trail"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(
                self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666
            )
            try:
                # a reader without the lock may see half a line while another process writes, and take it for a torn one
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                os.write(descriptor, _end_of_torn_line(descriptor) + orjson.dumps(line) + b"\n")
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _end_of_torn_line(descriptor: int) -> bytes:
    """Line break to write first when a full disk has cut the last line."""
    size = os.fstat(descriptor).st_size
    return b"\n" if size and os.pread(descriptor, 1, size - 1) != b"\n" else b""
