"""Read rows of parquet and Arrow files, which have types of their own: a part at a time, never a whole file."""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from hugflow.publish.sources.features import Columns, columns_of, fitted
from hugflow.publish.sources.files import DataFile
from hugflow.publish.sources.unify import unify
from hugflow.text.printable import shown

BATCH_BYTES = 16 << 20
BATCH_ROWS = 65_536
_BUFFER_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class TypedFiles:
    """Parquet or Arrow files, with the columns that hold the rows of all of them. `rows` counts those of each file."""

    kind: str
    columns: Columns
    rows: Mapping[DataFile, int]
    notes: tuple[str, ...] = ()

    @classmethod
    def open(cls, files: Sequence[DataFile], kind: str) -> TypedFiles:
        """Read the schemas; read values only where they may not fit the type that the files have in common.

        `kind` is "parquet" or "arrow". Raises InvalidRequest: unreadable, no types in common.
        """
        facts = {file: _facts(file, kind) for file in files}
        unified = unify([(file, columns) for file, (columns, _) in facts.items()])
        table = cls(kind, unified.columns, {file: rows for file, (_, rows) in facts.items()})
        for file, name in unified.doubtful:
            table._check_fits(file, name)
        return table

    def parts(
        self, files: Iterable[DataFile], names: Sequence[str] | None
    ) -> Iterator[tuple[DataFile, pa.RecordBatch]]:
        """The rows of some of the files, in order, as the common columns; `names` are the wanted ones."""
        wanted = self.columns.only(names)
        for file in files:
            for batch in self._stored(file, wanted.names):
                yield file, fitted(batch, wanted)

    def _stored(self, file: DataFile, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        if self.kind == "parquet":
            return _parquet_batches(file, names)
        return gathered(_arrow_batches(file, names))

    def _check_fits(self, file: DataFile, name: str) -> None:
        """Raise InvalidRequest when a value of a column does not fit the type that the files have in common."""
        field = self.columns.schema.field(name)
        for batch in self._stored(file, [name]):
            try:
                fitted(batch, pa.schema([field]))
            except pa.ArrowInvalid as error:
                raise file.error(
                    f"its column {shown(name)} has values that do not fit the type {field.type}, which other files"
                    f" have: {shown(str(error).splitlines()[0], 200)}",
                    "Give the column one type in all files of a split.",
                    reason="mixed_schema",
                ) from error


def _facts(file: DataFile, kind: str) -> tuple[Columns, int]:
    """The columns of a file, and how many rows it has."""
    if kind == "parquet":
        with file.opened() as content, _parquet(content) as parquet:
            return columns_of(parquet.schema_arrow, file.error), parquet.metadata.num_rows
    with file.opened() as content:
        data = _mapped(content)
        columns = columns_of(_arrow_reader(data).schema, file.error)
        # no value is looked at, but where the file is compressed
        rows = sum(batch.num_rows for batch in _stored_batches(_arrow_reader(data)))
        return columns, rows


# -- parquet ----------------------------------------------------------------------------------------------------------


def _parquet(content: BinaryIO) -> pq.ParquetFile:
    # without these two a whole row group is in memory at once
    return pq.ParquetFile(content, pre_buffer=False, buffer_size=_BUFFER_BYTES)


def _parquet_batches(file: DataFile, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    with file.opened() as content, _parquet(content) as parquet:
        there = set(parquet.schema_arrow.names)
        known = [name for name in names if name in there]
        for group in range(parquet.num_row_groups):
            facts = parquet.metadata.row_group(group)
            if not known:
                yield from _rows_alone(facts.num_rows)
                continue
            rows = rows_a_batch(facts.num_rows, facts.total_byte_size)
            # threads decode ahead of what is needed: half as much memory again where the machine is busy
            for batch in parquet.iter_batches(rows, row_groups=[group], columns=known, use_threads=False):
                # a name with a dot in it also finds what is inside of another column
                yield batch.select(known)


def rows_a_batch(rows: int, size_bytes: int) -> int:
    """The rows of a batch, for a part of the file that has `rows` and `size_bytes`."""
    return max(1, min(BATCH_ROWS, rows * BATCH_BYTES // max(1, size_bytes)))


def gathered(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same rows in fewer batches where those are small: each costs as much as some thousand rows."""
    waiting: list[pa.RecordBatch] = []
    rows = size_bytes = 0
    for batch in batches:
        waiting.append(batch)
        rows, size_bytes = rows + batch.num_rows, size_bytes + batch.nbytes
        if rows >= BATCH_ROWS // 2 or size_bytes >= BATCH_BYTES // 2:
            yield pa.concat_batches(waiting) if len(waiting) > 1 else batch
            waiting, rows, size_bytes = [], 0, 0
    if waiting:
        yield pa.concat_batches(waiting)


def _rows_alone(rows: int) -> Iterator[pa.RecordBatch]:
    """Rows without columns, for a file that has none of the wanted ones: only their number is used."""
    for start in range(0, rows, BATCH_ROWS):
        yield pa.record_batch({"": pa.nulls(min(BATCH_ROWS, rows - start))})


# -- Arrow IPC, files and streams -------------------------------------------------------------------------------------


def _mapped(content: BinaryIO) -> mmap.mmap:
    """The file mapped to memory: a batch may be as large as the file, and its pages are read on access.

    The map is closed with the last array over it.
    """
    return mmap.mmap(content.fileno(), 0, access=mmap.ACCESS_READ)


def _arrow_reader(data: mmap.mmap) -> pa.ipc.RecordBatchFileReader | pa.ipc.RecordBatchStreamReader:
    """A reader of either format, for all columns: with a selection it would allocate and copy all of them."""
    buffer = pa.py_buffer(data)
    return pa.ipc.open_file(buffer) if data[:6] == b"ARROW1" else pa.ipc.open_stream(buffer)


def _stored_batches(
    reader: pa.ipc.RecordBatchFileReader | pa.ipc.RecordBatchStreamReader,
) -> Iterator[pa.RecordBatch]:
    if isinstance(reader, pa.ipc.RecordBatchFileReader):
        yield from (reader.get_batch(i) for i in range(reader.num_record_batches))
    else:
        yield from reader


def _arrow_batches(file: DataFile, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    with file.opened() as content:
        data = _mapped(content)
        there = set(_arrow_reader(data).schema.names)
        known = [name for name in names if name in there]
        seen_bytes = 0
        for stored in _stored_batches(_arrow_reader(data)):
            if not known:
                yield from _rows_alone(stored.num_rows)
                continue
            rows = rows_a_batch(stored.num_rows, stored.nbytes)
            for start in range(0, stored.num_rows, rows):
                batch = stored.slice(start, rows).select(known)
                # a file with offsets that lead elsewhere must not end the process
                batch.validate(full=True)
                yield batch
                seen_bytes += batch.nbytes
                if seen_bytes > BATCH_BYTES:
                    # what was looked at need not stay in memory
                    data.madvise(mmap.MADV_DONTNEED)
                    seen_bytes = 0
