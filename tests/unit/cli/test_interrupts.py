"""Signals stop a run whatever its main thread is doing."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hugflow.cli.interrupts import ONE_SIGNAL_S

# Most of the time, the main thread holds the lock that belongs to what it waits for. Each attempt is a process: once it
# is asked to stop, a run has 4.5 seconds to end. One that does not is ended by its alarm.
WAITING = """
import os, signal, sys, threading
from hugflow.cli.interrupts import Interrupts
from hugflow.model.errors import Paused
for number in range(40):
    if child := os.fork():
        if status := os.waitpid(child, 0)[1]:
            sys.exit(f"attempt {number} ended with status {status}")
        continue
    signal.alarm(20)
    interrupts = Interrupts()
    with interrupts.listening():
        threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGTERM)).start()
        try:
            while True:
                interrupts.sleep(0)
        except Paused:
            print(number, flush=True)
    os._exit(0)
"""

# a mutex of C that is taken twice: no handler of Python's runs until it is free, which it never is
BUSY_IN_C = """
import ctypes
from hugflow.cli.interrupts import Interrupts
mutex = ctypes.create_string_buffer(256)
with Interrupts().listening():
    print("begins", flush=True)
    for _ in range(2):
        ctypes.CDLL(None).pthread_mutex_lock(mutex)
"""


def _start(code: str, repo_root: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=repo_root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_a_signal_while_the_run_waits_stops_it(repo_root: Path) -> None:
    with _start(WAITING, repo_root) as process:
        try:
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, len(out.splitlines())) == (0, 40), err
    assert err.count("hugflow: stopping; what is done is kept") == 40


@pytest.mark.parametrize(
    ("numbers", "code"),
    [([signal.SIGTERM], 75), ([signal.SIGINT], 75), ([signal.SIGINT, signal.SIGINT], 130)],
    ids=["SIGTERM", "Ctrl-C", "Ctrl-C-twice"],
)
def test_a_library_that_is_busy_is_cut_off(repo_root: Path, numbers: list[signal.Signals], code: int) -> None:
    with _start(BUSY_IN_C, repo_root) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begins\n"
        try:
            for number in numbers:
                process.send_signal(number)
                time.sleep(2 * ONE_SIGNAL_S)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, out) == (code, "")
    assert err.startswith("\nhugflow: stopping; what is done is kept")
