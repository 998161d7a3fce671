"""Quick starts for hundreds of runs: each is forked from a process that has imported everything.

A run is `hugflow.__main__.main()` in a new process with a session, an environment, a folder and files of its own; only
the seconds of importing are not spent again. The same holds for the programs of Hugflow's own that a run starts (its
workers and readers): a `Nursery`, forked from the run before it begins, forks them, and they become its children. Every
other program is started as usual. `python warm.py SOCKET_FD` is the process that forks the runs.
"""

from __future__ import annotations

import array
import ctypes
import fcntl
import json
import os
import pickle
import resource
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

_LENGTH = struct.Struct("!I")


# -- the side of the tests -------------------------------------------------------------------------------------------


class WarmStart:
    """Starts runs quickly; its libraries believe what `environ` says (addresses, time-outs) at its own start."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        ours, theirs = socket.socketpair()
        self._socket = ours
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", __file__, str(theirs.fileno())],
            # what a reader is started with: the default pool reserves more memory than a reader may have
            env={**environ, "ARROW_DEFAULT_MEMORY_POOL": "system"},
            stdin=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
        )
        theirs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the process that forks; what it has started goes on."""
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


class WarmStarts:
    """A `WarmStart` for each environment that the Hub's libraries read at their import; the last few are kept."""

    KEPT = 3

    def __init__(self) -> None:
        self._known: dict[tuple[tuple[str, str], ...], WarmStart] = {}
        self._lock = threading.Lock()  # tests start runs side by side

    def start(self, arguments: Sequence[str], folder: Path, environ: Mapping[str, str], output: Path) -> WarmRun:
        """Start a run, see `WarmStart.start`."""
        key = tuple(sorted((name, value) for name, value in environ.items() if _is_read_at_import(name)))
        with self._lock:
            if key not in self._known:
                while len(self._known) >= self.KEPT:
                    self._known.pop(next(iter(self._known))).close()
                # not the settings of the run, which may be wrong on purpose
                self._known[key] = WarmStart({name: environ[name] for name in environ if _is_of_the_process(name)})
            self._known[key] = self._known.pop(key)
            return self._known[key].start(arguments, folder, environ, output)

    def close(self) -> None:
        """End all of them."""
        while self._known:
            self._known.popitem()[1].close()


def _is_of_the_process(name: str) -> bool:
    return _is_read_at_import(name) or name.startswith(("PYTHON", "XDG_", "LD_", "LC_")) or name in _PROCESS


_PROCESS = {"PATH", "HOME", "LANG", "TMPDIR", "HF_HOME"}


def _is_read_at_import(name: str) -> bool:
    if name in {"HF_TOKEN", "HF_HOME", "HF_HUB_TOKEN"}:
        return False
    return name.startswith(("HF_", "HUGGING", "COVERAGE_")) or name in {"CONNECTION_TIMEOUT", "READ_TIMEOUT"}


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

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

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
    import hugflow.download.worker
    import hugflow.hf_client.read.limited_calls
    import hugflow.publish.run
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
    Nursery.open()
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


# -- the programs that a run starts ----------------------------------------------------------------------------------

_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36  # of linux/prctl.h
_ABOVE_ALL = 500  # descriptors of a run are below


class Nursery:
    """A process that forks what the run would start as `python -P -c PROGRAM`.

    Each is forked twice, so that the kernel makes it a child of the run, which is a subreaper.
    """

    socket: socket.socket

    @classmethod
    def open(cls) -> None:
        """Fork it from this process, which has one thread and no work yet, and let `subprocess.Popen` use it."""
        ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        ours, theirs = socket.socketpair()
        run = os.getpid()
        if not os.fork():
            ctypes.CDLL(None).prctl(_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            ours.close()
            _serve_programs(theirs, run)
        theirs.close()
        cls.socket = ours
        subprocess.Popen = _WarmPopen  # type: ignore[misc] # in the forked process of a test only


class _WarmPopen(subprocess.Popen):  # type: ignore[type-arg] # bytes or text, as the caller wants
    def _execute_child(self, args: Any, *rest: Any, **named: Any) -> None:
        if list(args[:3]) != [sys.executable, "-P", "-c"]:
            super()._execute_child(args, *rest, **named)  # type: ignore[misc] # typeshed leaves it out
            return
        # its arguments up to the standard streams are the same from Python 3.11 to 3.14
        _, _, _, pass_fds, cwd, env, _, _, _, stdin, _, _, stdout, _, stderr = rest[:15]
        streams = {number: fd for number, fd in enumerate((stdin, stdout, stderr)) if fd != -1}
        wanted = {**streams, **{fd: fd for fd in pass_fds}}
        environ = dict(os.environ if env is None else env)
        request = pickle.dumps((args[3], [*wanted], environ, os.fspath(cwd or Path.cwd())))
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", wanted.values()))]
        with _STARTING:
            Nursery.socket.sendmsg([_LENGTH.pack(len(request))], rights)
            Nursery.socket.sendall(request)
            self.pid = int(_receive(Nursery.socket, 8))
        self._child_created = True
        for fd in streams.values():
            if fd != getattr(self, "_devnull", None):
                os.close(fd)
        if getattr(self, "_devnull", None) is not None:
            os.close(self._devnull)
        self._closed_child_pipe_fds = True


_STARTING = threading.Lock()


def _serve_programs(requests: socket.socket, run: int) -> NoReturn:
    while True:
        head, rights, _, _ = requests.recvmsg(_LENGTH.size, socket.CMSG_SPACE(32 * 4))
        if not head:
            os._exit(0)
        program, numbers, environ, folder = pickle.loads(_receive(requests, _LENGTH.unpack(head)[0]))
        received = array.array("i")
        for _, _, data in rights:
            received.frombytes(data)
        if not os.fork():
            pid = os.fork()
            if pid:
                requests.sendall(b"%8d" % pid)
                os._exit(0)
            _become(program, dict(zip(numbers, received, strict=True)), environ, folder, run)
        os.wait()
        for fd in received:
            os.close(fd)


def _become(program: str, descriptors: dict[int, int], environ: dict[str, str], folder: str, run: int) -> NoReturn:
    while os.getppid() != run:  # until the process between has gone
        time.sleep(0.0005)
    high = {number: fcntl.fcntl(fd, fcntl.F_DUPFD, _ABOVE_ALL) for number, fd in descriptors.items()}
    os.closerange(3, _ABOVE_ALL)
    for number, fd in high.items():
        os.dup2(fd, number, inheritable=number < 3)
        os.close(fd)
    os.environ.clear()
    os.environ.update(environ)
    time.tzset()
    os.chdir(folder)
    sys.argv = ["-c"]
    code = 1
    try:
        exec(program, {"__name__": "__main__"})
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    except BaseException:  # noqa: BLE001 - as Python itself does at its end
        traceback.print_exc()
    finally:
        os._exit(code)


if __name__ == "__main__":
    main(int(sys.argv[1]))
