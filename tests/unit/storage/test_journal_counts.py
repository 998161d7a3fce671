"""Records counted in batches give the same result as records counted one by one."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hugflow.model.records import RowRecord
from hugflow.storage.journal import JournalState

ROWS = st.integers(min_value=0, max_value=30)


@st.composite
def records(draw: st.DrawFn) -> RowRecord:
    row, status = draw(ROWS), draw(st.sampled_from(["ok", "ok", "ok", "no_audio", "failed"]))
    if status == "failed":
        return RowRecord(row, "failed", reason="decode_failed", message="it is damaged")
    if status == "no_audio":
        return RowRecord(row, "no_audio", json_bytes=7)
    return RowRecord(row, "ok", f"{row}.mp3", 100 + row, "a", 7, "b", samples=16_000 + row, sample_rate=16_000)


def row_range(first: int, stop: int) -> list[RowRecord]:
    return [RowRecord(row, "ok", f"{row}.mp3", 100, "a", 7, "b", 8_000, 16_000) for row in range(first, stop)]


def counted(blocks: list[list[RowRecord]]) -> JournalState:
    state = JournalState("name", "sha")
    for block in blocks:
        state.record_rows(block)
    return state


@given(st.lists(st.lists(records(), min_size=1, max_size=12), max_size=6))
@example([row_range(0, 8) + row_range(20, 28), row_range(8, 20)])
@example([row_range(0, 4) + row_range(2, 6)])
@example([row_range(0, 4), row_range(3, 5)])
def test_many_records_at_once_are_as_many_single_ones(blocks: list[list[RowRecord]]) -> None:
    at_once, one_by_one = counted(blocks), counted([[record] for block in blocks for record in block])
    assert at_once.done == one_by_one.done
    assert at_once.failed == one_by_one.failed
    assert at_once.tally == one_by_one.tally


def test_ranges_of_several_workers_in_one_block_are_all_counted() -> None:
    state = counted([row_range(100, 108) + row_range(0, 8) + row_range(108, 110)])
    assert state.done.as_list() == [[0, 7], [100, 109]]
    assert (state.tally.audio_files, state.tally.audio_bytes, state.tally.json_bytes) == (18, 1800, 126)
    assert state.tally.duration_s == pytest.approx(9.0)


def test_records_of_an_older_version_have_fewer_columns() -> None:
    older = [list(record)[:-1] for record in row_range(0, 4)]
    state = JournalState("name", "sha")

    state.record_rows([*older, *row_range(4, 8)])

    assert state.done.as_list() == [[0, 7]]
    assert (state.tally.audio_files, state.tally.json_bytes) == (8, 56)
