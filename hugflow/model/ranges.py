"""A set of row numbers kept as sorted, disjoint, inclusive ranges: small however many rows there are."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator


class RowRanges:
    """Row numbers as ranges; `RowRanges([[0, 1499], [1600, 1600]])`.

    Adding is cheap where rows arrive nearly in order; memory grows with the number of gaps, not of rows.
    """

    def __init__(self, ranges: Iterable[Iterable[int]] = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        self._count = 0
        for first, last in ranges:
            self.add(first, last)

    def add(self, first: int, last: int | None = None) -> None:
        """Add the rows `first`..`last` (inclusive; only `first` without `last`); existing rows stay."""
        last = first if last is None else last
        if first < 0 or last < first:
            raise ValueError(f"not a range of rows: [{first}, {last}]")
        # every range that overlaps or touches the new one becomes one with it
        start = bisect_left(self._lasts, first - 1)
        stop = bisect_right(self._firsts, last + 1)
        if start < stop:
            first = min(first, self._firsts[start])
            last = max(last, self._lasts[stop - 1])
            self._count -= sum(self._lasts[i] - self._firsts[i] + 1 for i in range(start, stop))
        self._firsts[start:stop] = [first]
        self._lasts[start:stop] = [last]
        self._count += last - first + 1

    def update(self, rows: Iterable[int]) -> None:
        """Add each of `rows`."""
        for row in rows:
            self.add(row)

    def discard(self, row: int) -> None:
        """Remove one row, if present."""
        i = bisect_left(self._lasts, row)
        if i == len(self._firsts) or self._firsts[i] > row:
            return
        first, last = self._firsts[i], self._lasts[i]
        pieces = [piece for piece in ((first, row - 1), (row + 1, last)) if piece[0] <= piece[1]]
        self._firsts[i : i + 1] = [piece[0] for piece in pieces]
        self._lasts[i : i + 1] = [piece[1] for piece in pieces]
        self._count -= 1

    def missing(self, first: int, stop: int) -> Iterator[tuple[int, int]]:
        """The half-open ranges within `first`..`stop` that are not in the set, in order."""
        at = first
        for i in range(bisect_left(self._lasts, first), len(self._firsts)):
            if self._firsts[i] >= stop:
                break
            if at < self._firsts[i]:
                yield at, self._firsts[i]
            at = max(at, self._lasts[i] + 1)
        if at < stop:
            yield at, stop

    def as_list(self) -> list[list[int]]:
        """The inclusive ranges, as the progress file keeps them."""
        return [[first, last] for first, last in zip(self._firsts, self._lasts, strict=True)]

    @property
    def last(self) -> int | None:
        """The highest row, or None in an empty set."""
        return self._lasts[-1] if self._lasts else None

    def __len__(self) -> int:
        return self._count

    def __contains__(self, row: object) -> bool:
        if not isinstance(row, int):
            return False
        i = bisect_left(self._lasts, row)
        return i < len(self._firsts) and self._firsts[i] <= row

    def __iter__(self) -> Iterator[int]:
        for first, last in zip(self._firsts, self._lasts, strict=True):
            yield from range(first, last + 1)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RowRanges) and self.as_list() == other.as_list()

    __hash__ = None  # type: ignore[assignment]  # a mutable set has no hash

    def __repr__(self) -> str:
        return f"RowRanges({self.as_list()})"
