"""Queue of the slices to convert: fetches shards ahead of the workers, and deletes them when their slices are done.

At most `ahead` shards are in scratch at a time, so that it does not grow with the dataset. Shards whose rows are only
counted when they are fetched are queued in their order, because the first row of one is the end of the one before.
"""

from __future__ import annotations

import queue
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

from hugflow.download.convert import Slice
from hugflow.formats.parquet_rows import count_rows
from hugflow.hf_client.read.fetch import discard
from hugflow.hf_client.read.repository_reader import FetchRows
from hugflow.model.errors import Terminal
from hugflow.model.plan import DownloadPlan, Shard, ShardCount
from hugflow.model.ranges import RowRanges
from hugflow.storage.dataset_folder import DatasetFolder

MIN_SLICE_ROWS = 4
MIN_WORKER_ROWS = 16
"""Fewer rows are converted before another worker has started."""

SLICES_PER_WORKER = 3
PIECES_OF_A_GROUP = 64
"""A piece that begins inside a row group reads the rows before it there, too, so a group is cut into few of them."""


def is_pending(shard: Shard, skipped: RowRanges) -> bool:
    """True for a shard that has, or may have, rows to convert (if its rows are not counted)."""
    if shard.first_row is None:
        return True
    return next(skipped.missing(shard.first_row, shard.first_row + shard.rows), None) is not None


def pending_pieces(shard: Shard, skipped: RowRanges, workers: int, later: int = 0) -> list[tuple[int, int]]:
    """The pieces (start, stop within the shard) to convert of a counted shard.

    Pieces are large while many rows are left, because the end of each piece costs its worker a pause, and smaller
    towards the end, so that the workers end together. `later` is the number of rows to convert in other shards.
    """
    assert shard.first_row is not None
    assert shard.groups is not None
    first_row = shard.first_row
    missing = [(first - first_row, stop - first_row) for first, stop in _missing(shard, skipped)]
    left = later + sum(stop - start for start, stop in missing)
    least = max(MIN_SLICE_ROWS, max(shard.groups, default=0) // PIECES_OF_A_GROUP)
    pieces: list[tuple[int, int]] = []
    for start, stop in missing:
        at = start
        while at < stop:
            piece = next(cut(shard.groups, at, stop, max(least, left // (workers * SLICES_PER_WORKER))))
            pieces.append(piece)
            left -= piece[1] - piece[0]
            at = piece[1]
    return pieces


def _missing(shard: Shard, skipped: RowRanges) -> list[tuple[int, int]]:
    """The rows to convert of a shard, if it is counted."""
    return [] if shard.first_row is None else list(skipped.missing(shard.first_row, shard.first_row + shard.rows))


def cut(groups: tuple[int, ...], start: int, stop: int, slice_rows: int) -> Iterator[tuple[int, int]]:
    """Cut rows `start`..`stop` into pieces of about `slice_rows`, at the ends of row groups where these are near.

    A worker whose piece begins inside a row group reads that group's rows before it, too.
    """
    ends = list(accumulate(groups))
    while start < stop:
        near = bisect_right(ends, start + slice_rows + slice_rows // 2) - 1
        piece_stop = min(ends[near] if near >= 0 and ends[near] > start + slice_rows // 2 else start + slice_rows, stop)
        yield start, piece_stop
        start = piece_stop


@dataclass(slots=True)
class ShardQueue:
    """Fetches shards on background threads and returns their slices.

    `fetch_rows` fetches a shard into a folder of its own, as a parquet file. `counted` is called, in the order of the
    shards, with the row count of each shard that the plan has none for.
    """

    plan: DownloadPlan
    dataset: DatasetFolder
    skipped: RowRanges
    fetch_rows: FetchRows
    counted: Callable[[int, ShardCount], None]
    workers: int
    ahead: int
    threads: int
    _to_fetch: queue.Queue[int] = field(default_factory=queue.Queue)
    _fetched: queue.Queue[tuple[int, Path] | BaseException] = field(default_factory=queue.Queue)
    _slots: threading.Semaphore = field(init=False)
    _closed: threading.Event = field(default_factory=threading.Event)
    _shards: list[Shard] = field(init=False)
    _pending: list[int] = field(init=False)
    _uncounted: dict[int, Path] = field(default_factory=dict)
    _open: dict[int, int] = field(default_factory=dict)
    _slices: list[Slice] = field(default_factory=list)
    _later: int = field(init=False)

    def __post_init__(self) -> None:
        self._slots = threading.Semaphore(self.ahead)
        self._shards = list(self.plan.shards)
        self._pending = [i for i, shard in enumerate(self._shards) if is_pending(shard, self.skipped)]
        self._later = sum(self._rows_to_do(i) for i in self._pending)

    def start(self) -> None:
        """Start the threads that fetch."""
        for index in self._pending:
            self._to_fetch.put(index)
        for number in range(min(self.threads, self.ahead, len(self._pending))):
            threading.Thread(target=self._fetch_all, name=f"fetch-{number}", daemon=True).start()

    def close(self) -> None:
        """Start no more fetches. Those in progress are not waited for."""
        self._closed.set()

    def take(self, wait_s: float = 0.0) -> Slice | None:
        """The next slice, or None when no shard is ready within `wait_s` seconds.

        Raises what fetching a shard raised: StorageFault, Transient, Terminal.
        """
        if not self._slices and self._pending:
            try:
                fetched = self._fetched.get(timeout=wait_s) if wait_s else self._fetched.get_nowait()
            except queue.Empty:
                return None
            if isinstance(fetched, BaseException):
                raise fetched
            self._place(*fetched)
        return self._slices.pop(0) if self._slices else None

    def put_back(self, *slices: Slice) -> None:
        """Return slices whose worker died before it finished them."""
        for part in slices:
            self._open[part.shard] += 1
        self._slices[:0] = slices

    def finished(self, part: Slice) -> None:
        """Note that a slice has ended; the last one of a shard deletes it from scratch."""
        self._open[part.shard] -= 1
        if not self._open[part.shard]:
            self._free(part.shard)

    @property
    def worth_workers(self) -> int:
        """Number of workers that will have rows to convert, before anything is fetched."""
        if any(self._shards[index].first_row is None for index in self._pending):
            return self.workers
        return min(self.workers, -(-self._later // MIN_WORKER_ROWS))

    @property
    def exhausted(self) -> bool:
        """True when no further slice will come."""
        return not self._slices and not self._pending

    def _place(self, index: int, path: Path) -> None:
        """Queue the slices of this shard, and of those that waited for its row count."""
        self._uncounted[index] = path
        while (ready := self._next_placeable()) is not None:
            path = self._uncounted.pop(ready)
            if self._shards[ready].first_row is None:
                self._count(ready, path)
            else:
                self._compare(ready, path)
            self._pending.remove(ready)
            self._enqueue(ready, path)

    def _next_placeable(self) -> int | None:
        for index in sorted(self._uncounted):
            if self._shards[index].first_row is not None or index == 0 or self._shards[index - 1].first_row is not None:
                return index
        return None

    def _compare(self, index: int, path: Path) -> None:
        """Raise Terminal if the verified file has other row groups than the footer that the plan was made from."""
        groups, _ = count_rows(path)
        if groups != self._shards[index].groups:
            raise Terminal(
                f"reading {self._shards[index].path}",
                "its row groups are not those of the footer that was read for the plan",
                "The footer was damaged in transit. Run with --restart: it makes a new plan.",
                reason="wrong_footer",
            )

    def _count(self, index: int, path: Path) -> None:
        before = self._shards[index - 1] if index else None
        first_row = 0 if before is None or before.first_row is None else before.first_row + before.rows
        groups, schema = count_rows(path)
        self.counted(index, ShardCount(first_row=first_row, groups=groups, arrow_schema=schema))
        self._shards[index] = self._shards[index].model_copy(update={"first_row": first_row, "groups": groups})

    def _enqueue(self, index: int, path: Path) -> None:
        shard = self._shards[index]
        assert shard.first_row is not None
        self._later = max(0, self._later - self._rows_to_do(index))
        pieces = pending_pieces(shard, self.skipped, self.workers, self._later)
        self._open[index] = len(pieces)
        self._slices += [Slice(index, path, shard.path, shard.first_row, start, stop) for start, stop in pieces]
        if not pieces:
            self._free(index)

    def _rows_to_do(self, index: int) -> int:
        return sum(stop - first for first, stop in _missing(self._shards[index], self.skipped))

    def _free(self, index: int) -> None:
        discard(self._folder(index))
        self._slots.release()

    def _folder(self, index: int) -> Path:
        return self.dataset.scratch / f"shard-{index}"

    def _fetch_all(self) -> None:
        while True:
            self._slots.acquire()
            if self._closed.is_set():
                return
            try:
                index = self._to_fetch.get_nowait()
            except queue.Empty:
                self._slots.release()
                return
            try:
                self._fetched.put((index, self.fetch_rows(index, self._folder(index))))
            except BaseException as error:  # noqa: BLE001 - raised by `take` on the thread of the run
                self._fetched.put(error)
                return
