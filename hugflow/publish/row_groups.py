"""The boundaries of row groups, which depend on the rows alone and not on the batches that they came in."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hugflow.publish.sources.features import is_bytes, is_text

Sizes = np.ndarray[Any, np.dtype[np.int64]]

_OFFSET_BYTES = 4


class RowQueue:
    """Rows that come in batches of any size, and are taken from the front by number and bytes.

    Memory: what was not taken yet of one batch, and what is about to be taken.
    """

    def __init__(self, batches: Iterator[pa.RecordBatch]) -> None:
        self._batches = batches
        self._waiting: deque[tuple[pa.RecordBatch, Sizes]] = deque()

    def next_bytes(self) -> int | None:
        """The bytes of the next row; None after the last one."""
        return int(self._waiting[0][1][0]) if self._fill(1, 1) else None

    def take(self, rows: int, size_bytes: int) -> tuple[pa.Table, int]:
        """The next rows, as one piece, and their bytes.

        They are at most `rows`, and of those as many as have `size_bytes` together, but at least one.
        """
        self._fill(rows, size_bytes)
        taken: list[pa.RecordBatch] = []
        left_rows, left_bytes = rows, size_bytes
        while self._waiting and left_rows:
            batch, sizes = self._waiting.popleft()
            fitting = int(np.searchsorted(np.cumsum(sizes), left_bytes, side="right"))
            count = min(batch.num_rows, left_rows, fitting or (0 if taken else 1))
            if count:
                taken.append(batch.slice(0, count))
            left_rows, left_bytes = left_rows - count, left_bytes - int(sizes[:count].sum())
            if count < batch.num_rows:
                self._waiting.appendleft((batch.slice(count), sizes[count:]))
                break
        # one piece: the writer's pages would follow the pieces
        return pa.Table.from_batches(taken).combine_chunks(), size_bytes - left_bytes

    def _fill(self, rows: int, size_bytes: int) -> bool:
        """Read until `rows` or `size_bytes` wait, or there are no more; True if any row waits."""
        have_rows: int = sum(batch.num_rows for batch, _ in self._waiting)
        have_bytes = sum(int(sizes.sum()) for _, sizes in self._waiting)
        while have_rows < rows and have_bytes <= size_bytes:
            batch = next(self._batches, None)
            if batch is None:
                break
            if batch.num_rows:
                sizes = row_bytes(batch)
                self._waiting.append((batch, sizes))
                have_rows += batch.num_rows
                have_bytes += int(sizes.sum())
        return have_rows > 0


def row_bytes(batch: pa.RecordBatch) -> Sizes:
    """The bytes of each row in parquet, uncompressed: its values, and the offsets of those of variable length."""
    total = np.zeros(batch.num_rows, np.int64)
    for column in batch.columns:
        total += _bytes(column)
    return total


def _bytes(array: pa.Array) -> Sizes:
    kind = array.type
    if isinstance(array, pa.ExtensionArray):
        return _bytes(array.storage)
    if pa.types.is_struct(kind):
        children: Sizes = np.sum([_bytes(child) for child in array.flatten()], axis=0, dtype=np.int64)
        return children
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        lengths = _counts(pc.list_value_length(array))
        of_values = np.concatenate([[0], np.cumsum(_bytes(array.flatten()))])
        ends = np.cumsum(lengths)
        inside: Sizes = of_values[ends] - of_values[ends - lengths] + _OFFSET_BYTES
        return inside
    if _has_length(kind):
        return _counts(pc.binary_length(array)) + _OFFSET_BYTES
    return np.full(len(array), 0 if pa.types.is_null(kind) else (kind.bit_width + 7) // 8, np.int64)


def _has_length(kind: pa.DataType) -> bool:
    return is_text(kind) or bool(is_bytes(kind) and not pa.types.is_fixed_size_binary(kind))


def _counts(lengths: pa.Array) -> Sizes:
    return np.asarray(pc.fill_null(lengths, 0).to_numpy(zero_copy_only=False), np.int64)
