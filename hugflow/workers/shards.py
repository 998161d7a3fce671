"""Which slices are still to do, and the shards they need: fetched ahead of the workers, and deleted behind them.

At most `workers + 1` shards stand in scratch at a time, so that it never grows with the dataset.
"""

from __future__ import annotations

import queue
import threading
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

from hugflow.hf_client.connection import Hub
from hugflow.hf_client.fetch import discard, fetch_shard
from hugflow.plan import DownloadPlan, Shard
from hugflow.ranges import RowRanges
from hugflow.storage import DatasetDir
from hugflow.workers.download import Slice

MIN_SLICE_ROWS = 64
SLICES_PER_WORKER = 4


def pending_pieces(plan: DownloadPlan, done: RowRanges, slice_rows: int) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    """The shards with rows to do, by index, each with the pieces (start, stop within the shard) to do."""
    for index, shard in enumerate(plan.shards):
        missing = done.missing(shard.first_row, shard.first_row + shard.rows)
        pieces = [
            piece
            for first, stop in missing
            for piece in cut(shard.groups, first - shard.first_row, stop - shard.first_row, slice_rows)
        ]
        if pieces:
            yield index, pieces


def cut(groups: tuple[int, ...], start: int, stop: int, slice_rows: int) -> Iterator[tuple[int, int]]:
    """Cut rows `start`..`stop` into pieces of about `slice_rows`, at the ends of row groups where they are near.

    A piece that begins inside of a row group makes its worker read that group's rows before it, too.
    """
    ends = list(accumulate(groups))
    while start < stop:
        near = bisect_right(ends, start + slice_rows + slice_rows // 2) - 1
        piece_stop = min(ends[near] if near >= 0 and ends[near] > start + slice_rows // 2 else start + slice_rows, stop)
        yield start, piece_stop
        start = piece_stop


def slice_rows(rows_to_do: int, workers: int) -> int:
    """How many rows a slice should have: enough slices to keep all workers busy to the end, none of them tiny."""
    return max(MIN_SLICE_ROWS, -(-rows_to_do // (workers * SLICES_PER_WORKER)))


@dataclass(slots=True)
class ShardQueue:
    """Fetches shards on background threads and hands out their slices."""

    hub: Hub
    plan: DownloadPlan
    dataset: DatasetDir
    pieces: list[tuple[int, list[tuple[int, int]]]]
    ahead: int
    threads: int
    _ready: queue.Queue[tuple[int, Path] | BaseException] = field(default_factory=queue.Queue)
    _slots: threading.Semaphore = field(init=False)
    _open: dict[int, int] = field(default_factory=dict)
    _slices: list[Slice] = field(default_factory=list)
    _to_fetch: queue.Queue[tuple[int, Shard]] = field(default_factory=queue.Queue)
    _waiting: int = field(init=False)
    _closed: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._slots = threading.Semaphore(self.ahead)
        self._waiting = len(self.pieces)

    def start(self) -> None:
        """Begin to fetch."""
        for index, _ in self.pieces:
            self._to_fetch.put((index, self.plan.shards[index]))
        for number in range(min(self.threads, self.ahead, len(self.pieces))):
            threading.Thread(target=self._fetch_all, name=f"fetch-{number}", daemon=True).start()

    def close(self) -> None:
        """Fetch no more. What is being fetched is left to the process's end."""
        self._closed.set()

    def take(self, wait_s: float = 0.0) -> Slice | None:
        """The next slice, or None when no shard is ready within `wait_s` seconds.

        Raises what fetching a shard raised: StorageFault, Transient, Terminal.
        """
        if not self._slices and self._waiting:
            try:
                ready = self._ready.get(timeout=wait_s) if wait_s else self._ready.get_nowait()
            except queue.Empty:
                return None
            if isinstance(ready, BaseException):
                raise ready
            self._waiting -= 1
            self._enqueue(*ready)
        return self._slices.pop(0) if self._slices else None

    def put_back(self, *slices: Slice) -> None:
        """Slices whose worker died before it finished them."""
        for part in slices:
            self._open[part.shard] += 1
            self._slices.insert(0, part)

    def finished(self, part: Slice) -> None:
        """A slice has ended; the last one of a shard frees its place in scratch."""
        self._open[part.shard] -= 1
        if not self._open[part.shard]:
            discard(self._folder(part.shard))
            self._slots.release()

    @property
    def exhausted(self) -> bool:
        """Whether no slice will come any more."""
        return not self._slices and not self._waiting

    def _enqueue(self, index: int, path: Path) -> None:
        shard = self.plan.shards[index]
        pieces = dict(self.pieces)[index]
        self._open[index] = len(pieces)
        self._slices += [Slice(index, path, shard.path, self.plan.format, shard.first_row, *piece) for piece in pieces]

    def _folder(self, index: int) -> Path:
        return self.dataset.scratch / f"shard-{index}"

    def _fetch_all(self) -> None:
        identity = self.plan.identity
        while True:
            self._slots.acquire()
            if self._closed.is_set():
                return
            try:
                index, shard = self._to_fetch.get_nowait()
            except queue.Empty:
                self._slots.release()
                return
            try:
                path = fetch_shard(self.hub, identity.hf_id, self.plan.sha, shard, self._folder(index))
            except BaseException as error:  # noqa: BLE001 - handed to the thread that asked, which raises it
                self._ready.put(error)
                return
            self._ready.put((index, path))
