"""Row ranges behave like a plain set of numbers under any sequence of operations."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hugflow.model.ranges import RowRanges

row = st.integers(0, 40)
step = st.one_of(
    st.tuples(st.just("add"), row, row),
    st.tuples(st.just("discard"), row, row),
    st.tuples(st.just("one"), row, row),
)


def _after(steps: list[tuple[str, int, int]]) -> tuple[RowRanges, set[int]]:
    ranges, plain = RowRanges(), set[int]()
    for what, one, other in steps:
        first, last = min(one, other), max(one, other)
        if what == "add":
            ranges.add(first, last)
            plain |= set(range(first, last + 1))
        elif what == "one":
            ranges.add(one)
            plain.add(one)
        else:
            ranges.discard(one)
            plain.discard(one)
    return ranges, plain


@given(st.lists(step, max_size=30))
def test_it_is_a_set_of_numbers(steps: list[tuple[str, int, int]]) -> None:
    ranges, plain = _after(steps)
    assert list(ranges) == sorted(plain)
    assert len(ranges) == len(plain)
    assert [number for number in range(-1, 45) if number in ranges] == sorted(plain)
    assert ranges.last == max(plain, default=None)
    assert ranges == RowRanges([[number, number] for number in sorted(plain, reverse=True)])


@given(st.lists(step, max_size=30), row, row)
def test_what_is_missing_and_what_is_there_make_the_whole(
    steps: list[tuple[str, int, int]], one: int, other: int
) -> None:
    ranges, plain = _after(steps)
    first, stop = min(one, other), max(one, other)
    missing = [number for start, end in ranges.missing(first, stop) for number in range(start, end)]
    assert missing == sorted(set(range(first, stop)) - plain)


@given(st.lists(step, max_size=30))
def test_the_list_of_ranges_is_as_short_as_can_be(steps: list[tuple[str, int, int]]) -> None:
    ranges, _ = _after(steps)
    pairs = ranges.as_list()
    assert all(first <= last for first, last in pairs)
    assert all(before[1] + 1 < after[0] for before, after in itertools.pairwise(pairs)), "two that touch"
    assert RowRanges(pairs) == ranges


@given(st.sets(row), st.sets(row))
def test_update_adds_all(some: set[int], others: set[int]) -> None:
    ranges = RowRanges()
    ranges.update(some)
    ranges.update(others)
    assert set(ranges) == some | others


def test_a_million_rows_in_order_are_one_range() -> None:
    ranges = RowRanges()
    for number in range(0, 1_000_000, 1_000):
        ranges.add(number, number + 999)
    assert ranges.as_list() == [[0, 999_999]]
    assert len(ranges) == 1_000_000


@pytest.mark.parametrize("first_and_last", [(-1, 3), (3, 2), (-2, -1)])
def test_what_is_no_range_is_refused(first_and_last: tuple[int, int]) -> None:
    ranges = RowRanges([[0, 5]])
    with pytest.raises(ValueError, match="not a range of rows"):
        ranges.add(*first_and_last)
    assert ranges.as_list() == [[0, 5]]


def test_other_things_are_not_in_it() -> None:
    ranges = RowRanges([[0, 5]])
    assert "3" not in ranges
    assert 3.5 not in ranges
    assert ranges != [[0, 5]]
    with pytest.raises(TypeError):
        hash(ranges)
