"""Read batches ahead on a thread of its own: a second core decodes the next ones meanwhile."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa

from hugflow.publish.sources.tables import Source

AHEAD_BYTES = 32 << 20
"""The bytes that may wait to be taken; one more batch may be read meanwhile."""


def _nothing() -> None:
    pass


def read_ahead(source: Source, check: Callable[[], None] = _nothing, *, ahead_bytes: int = AHEAD_BYTES) -> Source:
    """The same source with its batches read by another thread, in their order.

    `check` is called for each batch that is taken, and may raise.
    """

    def read(columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
        for batch in _Ahead(ahead_bytes).batches(source.read(columns)):
            check()
            yield batch

    return replace(source, read=read)


@dataclass(slots=True)
class _Ahead:
    """Batches that were read and not taken yet. `_error` is the error that reading ended with."""

    limit_bytes: int
    _waiting: deque[pa.RecordBatch] = field(default_factory=deque)
    _bytes: int = 0
    _is_over: bool = False
    _is_unwanted: bool = False
    _error: BaseException | None = None
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def batches(self, source: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """All batches of `source`; raises what it raises, behind the batches before that."""
        thread = threading.Thread(target=self._read, args=(source,), name="hugflow-read", daemon=True)
        thread.start()
        try:
            while (batch := self._next()) is not None:
                yield batch
        finally:
            with self._changed:
                self._is_unwanted = True
                self._changed.notify_all()
            thread.join()

    def _next(self) -> pa.RecordBatch | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_over)
            if self._waiting:
                batch = self._waiting.popleft()
                self._bytes -= batch.nbytes
                self._changed.notify_all()
                return batch
        if self._error is not None:
            raise self._error
        return None

    def _read(self, source: Iterator[pa.RecordBatch]) -> None:
        try:
            for batch in source:
                if not self._put(batch):
                    break
        except BaseException as error:  # noqa: BLE001 - raised where the batches are taken
            self._error = error
        finally:
            with self._changed:
                self._is_over = True
                self._changed.notify_all()

    def _put(self, batch: pa.RecordBatch) -> bool:
        """Add a batch to those that wait; False when no more are wanted."""
        with self._changed:
            self._changed.wait_for(lambda: self._bytes < self.limit_bytes or self._is_unwanted)
            self._waiting.append(batch)
            self._bytes += batch.nbytes
            self._changed.notify_all()
            return not self._is_unwanted
