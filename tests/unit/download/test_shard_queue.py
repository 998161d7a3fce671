"""Slices: together they are exactly the pending rows; shards stay in scratch as long as they are read."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hugflow.download.convert import Slice
from hugflow.download.shard_queue import (
    MIN_SLICE_ROWS,
    PIECES_OF_A_GROUP,
    ShardQueue,
    cut,
    is_pending,
    pending_pieces,
)
from hugflow.model.errors import Terminal, Transient
from hugflow.model.plan import DownloadPlan, Shard, ShardCount
from hugflow.model.ranges import RowRanges
from hugflow.model.records import EncoderSettings
from hugflow.model.specs import DatasetIdentity
from hugflow.storage.dataset_folder import DatasetFolder

groups_of_rows = st.lists(st.integers(0, 40), max_size=8).map(tuple)


@given(groups_of_rows, st.integers(0, 60), st.integers(0, 60), st.integers(1, 50))
def test_pieces_are_the_whole_in_order(groups: tuple[int, ...], start: int, length: int, size: int) -> None:
    stop = min(sum(groups), start + length)
    pieces = list(cut(groups, start, stop, size))
    assert [row for first, end in pieces for row in range(first, end)] == list(range(start, stop))
    assert all(first < end and end - first <= size + size // 2 for first, end in pieces)
    assert all(end - first > size // 2 for first, end in pieces[:-1]), "none but the last is tiny"


def test_pieces_end_where_row_groups_end_when_that_is_near() -> None:
    assert list(cut((100, 100, 100), 0, 300, 90)) == [(0, 100), (100, 200), (200, 300)]
    assert list(cut((100, 100), 0, 200, 130)) == [(0, 100), (100, 200)]
    assert list(cut((1_000,), 0, 1_000, 300)) == [(0, 300), (300, 600), (600, 1_000)]
    assert list(cut((10,) * 30, 0, 300, 100)) == [(0, 150), (150, 300)]


@given(
    groups_of_rows,
    st.integers(0, 1_000),
    st.lists(st.tuples(st.integers(0, 1_300), st.integers(0, 50)), max_size=10),
    st.integers(1, 8),
)
def test_what_is_pending_is_exactly_what_is_missing(
    groups: tuple[int, ...], first_row: int, skipped: list[tuple[int, int]], workers: int
) -> None:
    shard = Shard(path="x", size_bytes=1, sha256=None, blob_id=None, first_row=first_row, groups=groups)
    done = RowRanges((first, first + length) for first, length in skipped)
    missing = [row for row in range(first_row, first_row + sum(groups)) if row not in done]
    pieces = pending_pieces(shard, done, workers)
    assert [first_row + row for first, stop in pieces for row in range(first, stop)] == missing
    assert is_pending(shard, done) == bool(missing)


def test_a_shard_that_is_not_counted_may_have_rows_to_do() -> None:
    assert is_pending(Shard(path="x", size_bytes=1, sha256=None, blob_id=None), RowRanges([[0, 10**9]]))


@given(st.integers(1, 100_000), st.integers(1, 64), st.integers(1, 2_000))
def test_slices_become_smaller_towards_the_end(rows: int, workers: int, group: int) -> None:
    groups = (group,) * (rows // group) + ((rows % group,) if rows % group else ())
    shard = Shard(path="x", size_bytes=1, sha256=None, blob_id=None, first_row=0, groups=groups)
    sizes = [stop - first for first, stop in pending_pieces(shard, RowRanges(), workers)]
    least = max(MIN_SLICE_ROWS, group // PIECES_OF_A_GROUP)
    left = rows
    for size in sizes:
        # a piece may be half as large again, to end where a row group ends
        assert size <= 1.5 * max(least, left / (3 * workers)) + 1
        left -= size
    assert left == 0


def test_rows_in_later_shards_keep_the_slices_large() -> None:
    shard = Shard(path="x", size_bytes=1, sha256=None, blob_id=None, first_row=0, groups=(10_000,))
    alone, with_others = (pending_pieces(shard, RowRanges(), 2, later) for later in (0, 1_000_000))
    assert len(with_others) == 1 < len(alone)


# -- the queue ---------------------------------------------------------------------------------------------------------


@dataclass
class Source:
    """Shards that can be fetched, each of which gives its index; keeps which stand in scratch."""

    rows: list[int]
    fails_at: int | None = None
    held: set[int] = field(default_factory=set)
    most_held: int = 0
    fetched: list[int] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, index: int, folder: Path) -> Path:
        if index == self.fails_at:
            raise Transient("fetching", "the Hub is away")
        folder.mkdir(parents=True)
        path = folder / "rows.parquet"
        pq.write_table(pa.table({"n": range(self.rows[index])}), path, row_group_size=10)
        with self._lock:
            self.fetched.append(index)
            self.held = {number for number in range(len(self.rows)) if (folder.parent / f"shard-{number}").exists()}
            self.most_held = max(self.most_held, len(self.held))
        return path


@pytest.fixture
def dataset(tmp_path: Path) -> Iterator[DatasetFolder]:
    made = DatasetFolder(tmp_path / "dataset")
    made.create()
    return made


def queue_of(
    dataset: DatasetFolder,
    source: Source,
    skipped: RowRanges,
    counts: dict[int, ShardCount],
    *,
    counted: bool,
    ahead: int = 3,
    workers: int = 1,
) -> ShardQueue:
    first_rows = [sum(source.rows[:index]) for index in range(len(source.rows))]
    shards = tuple(
        Shard(path=f"{index}.parquet", size_bytes=1, sha256=None, blob_id=None)
        if not counted
        else Shard(
            path=f"{index}.parquet",
            size_bytes=1,
            sha256=None,
            blob_id=None,
            first_row=first_rows[index],
            groups=(10,) * (rows // 10) + ((rows % 10,) if rows % 10 else ()),
        )
        for index, rows in enumerate(source.rows)
    )
    plan = DownloadPlan(
        identity=DatasetIdentity(hf_id="acme/x", subset=None, split="train", revision="main"),
        sha="0" * 40,
        format="json",
        columns=(),
        arrow_schema="",
        audio_column=None,
        shards=shards,
        encoder=EncoderSettings(),
    )
    return ShardQueue(
        plan=plan,
        dataset=dataset,
        skipped=skipped,
        fetch_rows=source,
        counted=counts.__setitem__,
        workers=workers,
        ahead=ahead,
        threads=2,
    )


def drain(queue: ShardQueue) -> list[Slice]:
    """Take everything, one slice after the other."""
    taken: list[Slice] = []
    queue.start()
    while not queue.exhausted:
        part = queue.take(wait_s=0.05)
        if part is not None:
            assert part.path.exists()
            taken.append(part)
            queue.finished(part)
    queue.close()
    return taken


ROWS = [100, 0, 250, 64, 1, 30, 30, 30]
sets_of_rows = st.lists(st.tuples(st.integers(0, sum(ROWS)), st.integers(0, 100)), max_size=6)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize("skipped", [[], [[0, 99]], [[0, 504]], [[50, 60], [340, 350]], [[0, 9], [500, 503]]])
def test_slices_are_exactly_the_rows_to_do(dataset: DatasetFolder, skipped: list[list[int]], counted: bool) -> None:
    source, counts = Source(ROWS), dict[int, ShardCount]()
    done = RowRanges(skipped)
    taken = drain(queue_of(dataset, source, done, counts, counted=counted))
    rows = sorted(row for part in taken for row in part.rows)
    assert rows == [row for row in range(sum(ROWS)) if row not in done]
    for part in taken:
        assert part.first_row == sum(ROWS[: part.shard])
        assert part.source == f"{part.shard}.parquet"
    assert list(dataset.scratch.iterdir()) == []
    assert source.most_held <= 3 + 1, "what is being fetched has its place already"
    if counted:
        assert counts == {}
        assert set(source.fetched) == {part.shard for part in taken}
    else:
        assert [counts[index].first_row for index in range(len(ROWS))] == [sum(ROWS[:i]) for i in range(len(ROWS))]
        assert [sum(counts[index].groups) for index in range(len(ROWS))] == ROWS


def test_a_slice_that_was_given_back_comes_again_and_holds_its_shard(dataset: DatasetFolder) -> None:
    source = Source([MIN_SLICE_ROWS])
    queue = queue_of(dataset, source, RowRanges(), {}, counted=True)
    queue.start()
    part = queue.take(wait_s=10)
    assert part is not None
    queue.put_back(part)
    queue.finished(part)
    assert not queue.exhausted
    again = queue.take()
    assert again == part
    assert again.path.exists()
    queue.finished(again)
    assert queue.exhausted
    assert not part.path.exists()
    queue.close()


def test_what_fetching_raises_comes_to_whoever_takes(dataset: DatasetFolder) -> None:
    queue = queue_of(dataset, Source([10, 10], fails_at=0), RowRanges(), {}, counted=False, ahead=1)
    queue.start()
    with pytest.raises(Transient, match="the Hub is away"):
        queue.take(wait_s=30)
    queue.close()


def test_a_shard_that_is_not_as_planned_is_refused(dataset: DatasetFolder) -> None:
    """Footers are read by range, which no hash covers; the shard is verified."""
    queue = queue_of(dataset, Source([30]), RowRanges(), {}, counted=True)
    queue._shards[0] = queue._shards[0].model_copy(update={"groups": (10, 20)})
    with pytest.raises(Terminal, match="footer"):
        drain(queue)


@pytest.mark.parametrize(
    ("skipped", "counted", "workers"),
    [([], True, 4), ([[0, 504]], True, 0), ([[1, 504]], True, 1), ([[40, 504]], True, 3), ([[1, 504]], False, 4)],
)
def test_no_worker_is_started_for_nothing(
    dataset: DatasetFolder, skipped: list[list[int]], counted: bool, workers: int
) -> None:
    """Shards that are not counted may have any number of rows."""
    queue = queue_of(dataset, Source(ROWS), RowRanges(skipped), {}, counted=counted, workers=4)
    assert queue.worth_workers == workers
