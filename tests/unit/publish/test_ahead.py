"""Reading ahead gives the same batches and errors in order, and stops with its consumer."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hugflow.publish.ahead import AHEAD_BYTES, read_ahead
from hugflow.publish.sources.tables import Source
from tests.support.world import wait_until

SCHEMA = pa.schema([("n", pa.int64()), ("m", pa.int64())])


def batch(number: int, rows: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"n": [number] * rows, "m": [0] * rows}, schema=SCHEMA)


class Reading:
    """A source of batches that notes how many were asked for, and whether its end was reached."""

    def __init__(self, sizes: Sequence[int], fails_at: int | None = None) -> None:
        self.sizes, self.fails_at = sizes, fails_at
        self.asked, self.closed = 0, False

    def read(self, columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
        try:
            for number, rows in enumerate(self.sizes):
                if number == self.fails_at:
                    raise OSError("the disk is broken")
                self.asked += 1
                yield batch(number, rows).select(columns or SCHEMA.names)
        finally:
            self.closed = True

    @property
    def source(self) -> Source:
        return Source("c", "train", SCHEMA, {}, None, 0, self.read)


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "hugflow-read"]


@given(st.lists(st.integers(0, 50), max_size=30), st.sampled_from([1, 100, 1000, AHEAD_BYTES]))
def test_the_batches_are_the_same(sizes: list[int], ahead: int) -> None:
    reading = Reading(sizes)
    source = read_ahead(reading.source, ahead_bytes=ahead)
    assert list(source.batches()) == list(reading.source.batches())
    assert [each.schema.names for each in source.batches(["m"])] == [["m"]] * len(sizes)
    assert threads() == []


def test_an_error_comes_behind_what_was_read_before_it() -> None:
    batches = read_ahead(Reading([1, 2, 3], fails_at=2).source).batches()
    assert [next(batches).num_rows, next(batches).num_rows] == [1, 2]
    with pytest.raises(OSError, match="the disk is broken"):
        next(batches)
    assert threads() == []


def test_reading_stops_at_its_limit_and_when_nobody_wants_more() -> None:
    reading = Reading([10] * 1000)
    size = batch(0, 10).nbytes
    batches = read_ahead(reading.source, ahead_bytes=5 * size).batches()
    next(batches)
    wait_until(lambda: reading.asked >= 5)
    assert reading.asked <= 8
    batches.close()
    assert reading.asked <= 8
    assert threads() == []


def test_whoever_wants_to_stop_is_asked_for_each_batch() -> None:
    asked = iter([None, None, KeyboardInterrupt()])

    def check() -> None:
        if error := next(asked):
            raise error

    batches = read_ahead(Reading([1] * 100).source, check).batches()
    next(batches)
    next(batches)
    with pytest.raises(KeyboardInterrupt):
        next(batches)
    wait_until(lambda: not threads())
