"""Write the rows of a split as parquet files: the same rows give the same bytes, so unchanged files are not sent.

Where a file ends is decided by the rows before it, never by those after it: a table that grew has the same first files.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hugflow.model.errors import InvalidRequest, TryAgain
from hugflow.model.publish_spec import MAX_SHARDS
from hugflow.publish.row_groups import RowQueue
from hugflow.publish.sources.attached import embedded
from hugflow.publish.sources.features import as_type, has_files
from hugflow.publish.sources.tables import Source
from hugflow.storage.disk import faults

LAYOUT = f"2, pyarrow {pa.__version__}"
"""Part of each shard's identity; raise it when the same rows would give other bytes."""

# A group is measured without what parquet adds to the values (dictionaries, levels): far enough below 100 MB.
GROUP_BYTES = 64_000_000
GROUP_ROWS = 1_000_000
MEDIA_GROUP_ROWS = 100
# A file's size is known group by group: none is more than an eighth of it, and the last percents may stay empty.
_PARTS_OF_A_SHARD = 8
_GROWTH, _WORSE = 4, 3
_WANTED, _FULL = 0.98, 0.93
_FOOTER_BYTES_A_CHUNK = 180
# where more than half of the first values differ, a dictionary of them takes time and makes the file larger
_LOOKED_AT, _DIFFERENT = 10_000, 0.5
# pages that begin where the content says: in a file that changed a little, most pages stay the same for the Hub
_CHUNKING = {"min_chunk_size": 256 * 1024, "max_chunk_size": 1024 * 1024, "norm_level": 0}


@dataclass(frozen=True, slots=True)
class ShardFile:
    """A finished parquet file, synced. `uncompressed_bytes` is what its footer says of all row groups."""

    index: int
    file: Path
    rows: int
    size_bytes: int
    uncompressed_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ShardOptions:
    """The limit of shards, by size or by number. `embed` puts the files that rows name into them."""

    max_shard_bytes: int | None
    num_shards: int | None
    embed: bool = True


def _nothing() -> None:
    pass


def write_shards(
    source: Source,
    options: ShardOptions,
    scratch: Path,
    *,
    done: Sequence[int] = (),
    check: Callable[[], None] = _nothing,
) -> Iterator[ShardFile]:
    """Write the shards of a source to `scratch`, one after the other; the caller deletes each.

    `done` has the row counts of the first shards, which are not made again. `check` is called now and then, and may
    raise. Without any row there is one empty shard. Raises what reading raises, StorageFault, InvalidRequest where
    there would be too many files, and TryAgain (`file_changed`) when the rows are not as many as they were.
    """
    queue = RowQueue(_rows(source, options, check, sum(done)))
    writer = _ShardWriter(source, options, scratch)
    if options.num_shards is not None:
        yield from _by_number(queue, writer, _row_count(source), options.num_shards, len(done))
    else:
        yield from _by_size(queue, writer, options.max_shard_bytes, len(done))


def _rows(source: Source, options: ShardOptions, check: Callable[[], None], skip: int) -> Iterator[pa.RecordBatch]:
    """All rows but the first `skip`, of which no file is read."""
    embeds = options.embed and source.open_files is not None and any(map(has_files, source.features.values()))
    files = source.open_files() if embeds and source.open_files is not None else None
    for batch in source.batches():
        check()
        rows, skip = batch.slice(skip), max(0, skip - batch.num_rows)
        for part in [rows] if files is None else embedded(rows, source.features, files):
            check()
            yield part
    if skip:
        raise _changed(source)


def _row_count(source: Source) -> int:
    if source.rows is not None:
        return source.rows
    return sum(batch.num_rows for batch in source.batches(source.schema.names[:1]))


def _by_number(queue: RowQueue, writer: _ShardWriter, rows: int, count: int, first: int) -> Iterator[ShardFile]:
    for index in range(first, count):
        left = rows * (index + 1) // count - rows * index // count
        with writer.shard(index) as shard:
            while left:
                if queue.next_bytes() is None:
                    raise _changed(writer.source)
                left -= shard.add(*queue.take(min(left, writer.group_rows), GROUP_BYTES))
        yield shard.result()
    if queue.next_bytes() is not None:
        raise _changed(writer.source)


def _by_size(queue: RowQueue, writer: _ShardWriter, limit: int | None, first: int) -> Iterator[ShardFile]:
    index = first
    while queue.next_bytes() is not None or index == 0:
        with writer.shard(index) as shard:
            while (size := queue.next_bytes()) is not None and shard.has_room(size, limit):
                shard.add(*queue.take(writer.group_rows, shard.group_bytes(limit)))
        yield shard.result()
        index += 1
        if index >= MAX_SHARDS and queue.next_bytes() is not None:
            raise _too_many(writer.source)


def _too_many(source: Source) -> InvalidRequest:
    return InvalidRequest(
        f"publishing {source.config}/{source.split}",
        f"there would be more than {MAX_SHARDS} files in one folder, which the Hub does not take",
        "Set a larger `max_shard_size`.",
        reason="too_large",
        field="max_shard_size",
    )


def _changed(source: Source) -> TryAgain:
    return TryAgain(
        f"publishing {source.config}/{source.split}",
        "its rows are not as many as they were a moment ago",
        "Run the same command again once nothing writes to its files.",
        reason="file_changed",
    )


@dataclass(frozen=True, slots=True)
class _ShardWriter:
    """The settings that all shards of a source share."""

    source: Source
    options: ShardOptions
    scratch: Path

    @property
    def group_rows(self) -> int:
        """The most rows that a row group has: few where one of them is a file."""
        return MEDIA_GROUP_ROWS if any(map(has_files, self.source.features.values())) else GROUP_ROWS

    def shard(self, index: int) -> _OpenShard:
        return _OpenShard(index, self.scratch / f"shard-{index:05d}.parquet", self.source)


class _OpenShard:
    """A shard while it is written; leaving it finishes and syncs the file, or deletes it after an error."""

    def __init__(self, index: int, file: Path, source: Source) -> None:
        self._index, self._file = index, file
        self._schema = source.columns.stored
        self._writer: pq.ParquetWriter | None = None
        self._columns = 0
        self._media = {name for name, feature in source.features.items() if has_files(feature)}
        self._rows = self._groups = self._last_bytes = 0
        self._ratio = 0.001  # how much smaller the groups became, at best: what comes may be worse
        self._doing = f"writing {file.name}"

    def __enter__(self) -> Self:
        with faults(self._doing):
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            self._sink = _HashedFile(os.fdopen(os.open(self._file, flags, 0o644), "wb"))
        return self

    def _parquet_writer(self, first: pa.Table) -> pq.ParquetWriter:
        """The writer for a file that begins with the rows of `first`."""
        leaves = [
            (column.name, path, values)
            for column in first.schema
            for path, values in _leaves(column.name, first[column.name].combine_chunks())
        ]
        self._columns = len(leaves)
        return pq.ParquetWriter(
            self._sink,
            self._schema,
            compression="zstd",
            # files are as large as they are: to look for equal ones among them costs memory and gains nothing
            use_dictionary=[path for name, path, values in leaves if name not in self._media and _repeats(values)],
            column_encoding={path: "PLAIN" for name, path, _ in leaves if name in self._media},
            write_page_index=True,
            use_content_defined_chunking=_CHUNKING,
            store_schema=True,
        )

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            self._abandon()
            return
        try:
            if self._writer is None:
                self._writer = self._parquet_writer(self._schema.empty_table())
            chunking = orjson.dumps(_CHUNKING).decode()
            self._writer.add_key_value_metadata({"content_defined_chunking": chunking})
            self._writer.close()
            with faults(self._doing):
                self._sink.sync()
        except BaseException:
            self._abandon()
            raise

    def _abandon(self) -> None:
        self._sink.drop()
        if self._writer is not None:
            self._writer.close()
        self._file.unlink(missing_ok=True)

    def has_room(self, next_bytes: int, limit: int | None) -> bool:
        """True if another row group fits into the file; its first row has `next_bytes` uncompressed."""
        if limit is None or not self._rows:
            return True
        return self._size < limit * _FULL and self._size + next_bytes * self._ratio <= limit * _WANTED

    def group_bytes(self, limit: int | None) -> int:
        """The bytes that the next row group should have, uncompressed.

        It may become larger than any so far, by a factor, before it is more than there is room for.
        """
        if limit is None:
            return GROUP_BYTES
        part, room = limit / _PARTS_OF_A_SHARD, limit * _WANTED - self._size
        if not self._groups:
            return max(1, min(GROUP_BYTES, int(min(part, room))))
        worse = max(self._ratio, min(1.0, self._ratio * _WORSE))
        return max(1, min(GROUP_BYTES, int(min(part / self._ratio, room / worse)), self._last_bytes * _GROWTH))

    @property
    def _size(self) -> int:
        """The approximate size of the file if it ended here."""
        return self._sink.size_bytes + self._groups * self._columns * _FOOTER_BYTES_A_CHUNK

    def add(self, table: pa.Table, plain_bytes: int) -> int:
        """Write a row group of `plain_bytes` uncompressed; returns its rows."""
        before = self._size
        arrays = [
            as_type(column.chunk(0), field.type) for column, field in zip(table.columns, self._schema, strict=True)
        ]
        stored = pa.Table.from_arrays(arrays, schema=self._schema)
        if self._writer is None:
            self._writer = self._parquet_writer(stored)
        self._writer.write_table(stored, row_group_size=table.num_rows)
        with faults(self._doing):
            self._sink.check()
        self._rows += table.num_rows
        self._groups += 1
        self._last_bytes = plain_bytes
        self._ratio = max(self._ratio, (self._size - before) / max(1, plain_bytes))
        return int(table.num_rows)

    def result(self) -> ShardFile:
        """The finished file."""
        with faults(self._doing):
            footer = pq.read_metadata(self._file)
        plain = sum(footer.row_group(i).total_byte_size for i in range(footer.num_row_groups))
        return ShardFile(self._index, self._file, self._rows, self._sink.size_bytes, plain, self._sink.sha256)


def _leaves(path: str, array: pa.Array) -> Iterator[tuple[str, pa.Array]]:
    """The columns of values that a nested column consists of: the names that parquet has for them, and the values."""
    kind = array.type
    if isinstance(array, pa.ExtensionArray):
        yield from _leaves(path, array.storage)
    elif pa.types.is_struct(kind):
        for field, values in zip(kind, array.flatten(), strict=True):
            yield from _leaves(f"{path}.{field.name}", values)
    elif pa.types.is_nested(kind):
        yield from _leaves(f"{path}.list.element", array.flatten())
    else:
        yield path, array


def _repeats(values: pa.Array) -> bool:
    """True if the first values repeat so often that a dictionary makes the file smaller."""
    first = values.slice(0, _LOOKED_AT)
    try:
        return bool(pc.count_distinct(first).as_py() <= len(first) * _DIFFERENT)
    except pa.ArrowNotImplementedError:  # types that are hardly ever seen
        return True


class _HashedFile:
    """A file that is written front to back, and whose size and hash are known then.

    For the writer no write ever fails: an error in the midst of its work would end the process. `check` raises it.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._sha256 = hashlib.sha256()
        self._error: BaseException | None = None
        self.size_bytes = 0
        self.closed = False

    @property
    def sha256(self) -> str:
        """The SHA-256 of what was written, in hexadecimal."""
        return self._sha256.hexdigest()

    def writable(self) -> bool:
        """For pyarrow."""
        return True

    def write(self, data: bytes) -> int:
        """Append to the file, unless that failed already."""
        try:
            if self._error is None:
                self._file.write(data)
                self._sha256.update(data)
        except BaseException as error:  # noqa: BLE001 - `check` raises it; signals come at any place
            self._error = error
        self.size_bytes += len(data)
        return len(data)

    def tell(self) -> int:
        """The position of the next bytes."""
        return self.size_bytes

    def flush(self) -> None:
        """Do nothing: the finished file is synced."""

    def close(self) -> None:
        """Leave the file open: it is synced later."""

    def check(self) -> None:
        """Raise the error of an earlier write."""
        if self._error is not None:
            raise self._error

    def sync(self) -> None:
        """Wait until all of it is on the disk, and close it."""
        with self._file:
            self.check()
            self._file.flush()
            os.fsync(self._file.fileno())
        self.closed = True

    def drop(self) -> None:
        """Close the file unfinished; later writes are ignored."""
        self.closed = True
        with suppress(OSError):  # what waits in its buffer does not matter any more
            self._file.close()
