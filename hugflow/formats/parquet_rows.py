"""Rows of a local parquet file, a range at a time, in memory that does not grow with the file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from hugflow.formats.rows import schema_text
from hugflow.model.errors import RowError, Terminal, UnreadableSource
from hugflow.storage.disk import faults

ROW_ERROR = "__hugflow_row_error__"
"""The column in which a converted shard says why a row could not be read; it is null for all other rows."""

ROW_ERROR_TYPE = pa.struct([("reason", pa.string()), ("message", pa.string())])


def row_errors(errors: Sequence[RowError | None]) -> pa.Array:
    """Return the values of the column `ROW_ERROR`."""
    values = [error and {"reason": error.reason, "message": error.message} for error in errors]
    return pa.array(values, ROW_ERROR_TYPE)


def without_row_error_column(schema: pa.Schema) -> pa.Schema:
    """Return a schema without the column `ROW_ERROR`."""
    at = schema.get_field_index(ROW_ERROR)
    return schema if at < 0 else schema.remove(at)


def without_row_errors(batch: pa.RecordBatch) -> tuple[pa.RecordBatch, list[RowError | None]]:
    """Split a batch of `parquet_batches` into its columns and, for each row, the error that was met in reading it."""
    if ROW_ERROR not in batch.schema.names:
        return batch, [None] * batch.num_rows
    found = batch.column(ROW_ERROR).to_pylist()
    return batch.drop_columns([ROW_ERROR]), [None if error is None else RowError(**error) for error in found]


def parquet_batches(path: Path, start: int, stop: int, batch_rows: int) -> Iterator[pa.RecordBatch]:
    """Read the rows `start`..`stop` of a file in batches; only the row groups that contain them are read.

    Memory: about one row group's compressed pages and one batch, not the file.
    """
    with _readable(path), pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20) as file:
        at, groups = 0, []
        for i in range(file.num_row_groups):
            rows = file.metadata.row_group(i).num_rows
            if at < stop and at + rows > start:
                groups.append((i, at))
            at += rows
        if not groups:
            return
        at = groups[0][1]
        for batch in file.iter_batches(batch_rows, row_groups=[i for i, _ in groups], use_threads=False):
            first, last = max(start, at), min(stop, at + batch.num_rows)
            if first < last:
                yield batch.slice(first - at, last - first)
            at += batch.num_rows
            if at >= stop:
                return


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except MemoryError as error:  # pyarrow's is a subclass
        raise Terminal(
            f"reading {path.name}",
            "a row group needs more memory than WORKER_MEMORY_MB allows",
            "Raise WORKER_MEMORY_MB, or run with fewer WORKERS, and run the same command again: it continues.",
            reason="out_of_memory",
        ) from error
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            with faults(f"reading {path.name}"):
                raise
        # pyarrow says OSError, without a number, also for broken pages
        raise UnreadableSource(
            f"reading {path.name}",
            f"it is no valid parquet file: {str(error).splitlines()[0]}",
            "Report it to the dataset's owners.",
            reason="unreadable",
        ) from error


def count_rows(path: Path) -> tuple[tuple[int, ...], str]:
    """Return the number of rows of each row group of a parquet file, and the schema of its columns as plans keep it."""
    with _readable(path), pq.ParquetFile(path) as file:
        groups = tuple(file.metadata.row_group(i).num_rows for i in range(file.num_row_groups))
        return groups, schema_text(without_row_error_column(file.schema_arrow))
