"""Functions that tests call in a limited process; they do what untrusted data may make a library do."""

from __future__ import annotations

import ctypes
import logging
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

from hugflow.hf_client.read.limited_process import renew_time, sleep_uncounted
from hugflow.model.errors import InvalidRequest

log = logging.getLogger("hugflow.tests")


def add(one: int, other: int) -> int:
    """Return a sum, and say so in the log."""
    log.warning("adding %d", one)
    return one + other


def refuse(field: str) -> None:
    """Raise an error of ours, with all that it has."""
    raise InvalidRequest("reading", "it is no good", "Mend it.", reason="no_good", field=field, status_code=418)


def leave() -> None:
    """Do what no library should."""
    sys.exit("bye")


def end(code: int) -> None:
    """End the process."""
    os._exit(code)


def crash() -> None:
    """Read from address 0."""
    ctypes.string_at(0)


def recurse(depth: int = 0) -> int:
    """Recurse without end."""
    return recurse(depth + 1)


def backtrack() -> None:
    """Match for ever, with the GIL held."""
    re.fullmatch(r"(x|xx)*y", "x" * 60)


def spin(steps: int, step_s: float, renewing: bool) -> str:
    """Compute for a while in steps; each step is progress where it is `renewing`."""
    for _ in range(steps):
        until = time.process_time() + step_s
        while time.process_time() < until:
            pass
        if renewing:
            renew_time()
    return "done"


def wait(seconds: float, counted: bool) -> str:
    """Wait; where it is not `counted`, as for a busy Hub."""
    (time.sleep if counted else sleep_uncounted)(seconds)
    return "done"


def allocate(size: int) -> int:
    """Take memory."""
    return len(bytearray(size))


def fill(folder: str, size: int) -> None:
    """Write a file, slowly enough to be seen."""
    with (Path(folder) / "file").open("wb") as file:
        for _ in range(size >> 20):
            file.write(b"x" * (1 << 20))
            file.flush()
            time.sleep(0.02)


def answer(size: int) -> bytes:
    """Return much."""
    return b"x" * size


def answer_without_form() -> Any:
    """Return what cannot be sent."""
    return lambda: None


def environment() -> dict[str, str]:
    """Return the environment of this process, as the system shows it."""
    pairs = Path("/proc/self/environ").read_bytes().decode().split("\0")
    return dict(pair.split("=", 1) for pair in pairs if pair)


def temporary_folder() -> tuple[str, str]:
    """Return the folder of temporary files, and the current one."""
    import tempfile

    return tempfile.gettempdir(), str(Path.cwd())


def open_as_reader(address: str) -> None:
    """Open an address with fsspec, as `datasets` would, in a process that was prepared for reading."""
    import fsspec

    from hugflow.hf_client.http import Hub
    from hugflow.hf_client.read import limited_calls

    limited_calls._connect(Hub("http://127.0.0.1:9"))
    fsspec.open(address).open()
