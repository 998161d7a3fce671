"""SIGINT and SIGTERM: the first asks the run to stop with its state saved, the second ends it at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from hugflow.model.errors import ExitCode, Paused

GIVE_UP_AFTER_S = 4.5
FLUSH_WITHIN_S = 0.2
ONE_SIGNAL_S = 0.05


@dataclass(slots=True)
class Interrupts:
    """The state of a run's stop request: none, by signal, or because its time limit was reached.

    A run stops within 5 seconds: what takes longer (an answer of the Hub that does not come) is cut off, which is safe
    because rows count as done only once they are durable.
    """

    timed_out: bool = False
    _signalled: float | None = None
    _asked: threading.Event = field(default_factory=threading.Event)

    def should_stop(self) -> bool:
        """True once the run is to stop at the next safe moment."""
        return self._asked.is_set()

    def stop_after(self, seconds: float) -> None:
        """Request a stop after `seconds`; `timed_out` tells it apart from a signal."""

        def stop() -> None:
            self.timed_out = not self._asked.is_set()
            self._asked.set()

        timer = threading.Timer(seconds, stop)
        timer.daemon = True
        timer.start()

    def sleep(self, seconds: float) -> None:
        """Wait, but only until a stop is requested. Raises Paused then."""
        if self._asked.wait(seconds):
            raise Paused(
                "waiting for the Hub", "the run was asked to stop", "Run the same command again: it continues."
            )

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handle signals for the duration of the block.

        A thread acts on them: a handler runs within whatever the main thread does, where it may wait for a lock that
        this very thread holds, and not at all while that is busy in a library.
        """
        ear, mouth = os.pipe()
        os.set_blocking(mouth, False)
        listener = threading.Thread(target=self._listen, args=(ear,), daemon=True)
        listener.start()
        wakeup_before = signal.set_wakeup_fd(mouth)
        before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(wakeup_before)
            os.close(mouth)
            listener.join()
            os.close(ear)

    def _listen(self, ear: int) -> None:
        """Handle each signal until the other end of the pipe is closed."""
        while numbers := os.read(ear, 1):
            self._hear(numbers[0])

    def _hear(self, number: int) -> None:
        before, self._signalled = self._signalled, time.monotonic()
        if before is not None:
            # a terminal and a supervisor may both deliver the same Ctrl-C
            if number == signal.SIGINT and self._signalled - before > ONE_SIGNAL_S:
                _end_at_once(ExitCode.INTERRUPTED)
            return
        self._asked.set()
        watchdog = threading.Timer(GIVE_UP_AFTER_S, _end_at_once, args=(ExitCode.PAUSED,))
        watchdog.daemon = True
        watchdog.start()
        # past Python's buffers, which the main thread may hold
        with suppress(OSError, ValueError):
            os.write(sys.stderr.fileno(), _STOPPING)


_STOPPING = b"\nhugflow: stopping; what is done is kept (once more Ctrl-C ends at once)\n"


def _end_at_once(code: ExitCode) -> None:
    """End the process without waiting for its threads. Output is flushed, unless its reader is stuck."""
    flusher = threading.Thread(target=_flush, daemon=True)
    flusher.start()
    flusher.join(FLUSH_WITHIN_S)
    os._exit(code)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # nobody reads any more
            stream.flush()
