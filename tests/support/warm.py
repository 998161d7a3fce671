"""Changes when the way changes in which hundreds of runs are started quickly: a process that has imported all, forks.

A run is `hugflow.__main__.main()` in a fresh process with a session, an environment, a folder and files of its own;
only the seconds of importing are not spent again. `python warm.py SOCKET_FD` is the process that forks.
"""

from __future__ import annotations

import array
import json
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_LENGTH = struct.Struct("!I")


# -- the side of the tests -------------------------------------------------------------------------------------------


class WarmStart:
    """Starts runs quickly; its libraries believe what `environ` says (addresses, time-outs) at its own start."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        ours, theirs = socket.socketpair()
        self._socket = ours
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", __file__, str(theirs.fileno())],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
        )
        theirs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._socket.close()
        self._process.wait()

    def start(
        self, arguments: Sequence[str], folder: Path, environ: Mapping[str, str], output: Path, max_file_bytes: int = 0
    ) -> WarmRun:
        """Start a run whose output goes to `output`.out and `output`.err; `max_file_bytes` is its RLIMIT_FSIZE."""
        ours, theirs = socket.socketpair()
        files = [(output.with_suffix(suffix)).open("wb") for suffix in (".out", ".err")]
        asked = {"arguments": list(arguments), "folder": str(folder), "environ": dict(environ)}
        request = json.dumps(asked | {"max_file_bytes": max_file_bytes}).encode()
        descriptors = [theirs.fileno(), *(file.fileno() for file in files)]
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        self._socket.sendmsg([_LENGTH.pack(len(request))], rights)
        self._socket.sendall(request)
        theirs.close()
        for file in files:
            file.close()
        return WarmRun(ours, output)


class WarmRun:
    """A run while it lives: `pid` leads a session and process group of its own; a negative code is a signal's."""

    def __init__(self, connection: socket.socket, output: Path) -> None:
        self._connection = connection
        self._output = output
        self.pid = int(_receive(connection, 8))
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            self._connection.setblocking(False)
            try:
                self.returncode = self._code()
            except BlockingIOError:
                return None
            finally:
                self._connection.setblocking(True)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            self._connection.settimeout(timeout)
            try:
                self.returncode = self._code()
            except TimeoutError:
                raise subprocess.TimeoutExpired("hugflow", timeout or 0) from None
            finally:
                self._connection.settimeout(None)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        self.wait(timeout)
        out, err = (self._output.with_suffix(suffix).read_text("utf-8") for suffix in (".out", ".err"))
        return out, err

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def close(self) -> None:
        self._connection.close()

    def _code(self) -> int:
        return int(_receive(self._connection, 8))


def _receive(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            raise EOFError("the process that starts runs has gone")
        data += more
    return data


# -- the side that forks ---------------------------------------------------------------------------------------------


def main(descriptor: int) -> None:
    """Import everything once, then fork for every request until the other end is closed."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the processes that wait for the runs
    _import_all()
    requests = socket.socket(fileno=descriptor)
    while True:
        head, rights, _, _ = requests.recvmsg(_LENGTH.size, socket.CMSG_SPACE(3 * 4))
        if not head:
            return
        asked = json.loads(_receive(requests, _LENGTH.unpack(head)[0]))
        descriptors = array.array("i")
        descriptors.frombytes(rights[0][2])
        if not os.fork():
            requests.close()
            _attend(asked, *descriptors)
        for number in descriptors:
            os.close(number)


def _import_all() -> None:
    """What a run imports, in the environment that it prepares for the Hub's libraries."""
    from hugflow.cli.interrupts import Interrupts
    from hugflow.cli.wiring import Common, Shell

    environ = dict(os.environ)
    shell = Shell(environ=environ, cwd=Path.cwd(), export=os.environ.update, end=os._exit)
    shell.session(Common()).engine((), Interrupts())
    import hugflow.cli.boundary
    import hugflow.render.console
    import hugflow.report.json_output
    import hugflow.storage.inventory
    import hugflow.storage.verify  # noqa: F401 - for those that come after


def _attend(asked: dict[str, Any], answers: int, out: int, err: int) -> None:
    """Fork the run, and say when it began and how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if not pid:
        os.close(answers)
        _run(asked, out, err)
    os.close(out)
    os.close(err)
    os.write(answers, b"%8d" % pid)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.write(answers, b"%8d" % code)
    os._exit(0)


def _run(asked: dict[str, Any], out: int, err: int) -> None:
    os.setsid()
    for number, source in ((1, out), (2, err)):
        os.dup2(source, number)
        os.close(source)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environ"])
    time.tzset()
    if limit := asked["max_file_bytes"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    sys.argv = ["hugflow", *asked["arguments"]]
    from hugflow.__main__ import main as hugflow

    code = 1
    try:
        hugflow()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main(int(sys.argv[1]))
