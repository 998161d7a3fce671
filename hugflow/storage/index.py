"""The row index `.hugflow/index.parquet`: every row's files with sizes and hashes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from hugflow.model.errors import StorageFault
from hugflow.model.records import RowRecord
from hugflow.storage.dataset_folder import DatasetFolder
from hugflow.storage.disk import NotAFileError, faults, open_regular, replacing
from hugflow.storage.journal import RowTally
from hugflow.storage.row_checks import check_rows

BATCH_ROWS = 1000


INDEX_SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        ("status", pa.string()),
        ("audio", pa.string()),
        ("audio_bytes", pa.int64()),
        ("audio_sha256", pa.string()),
        ("json_bytes", pa.int64()),
        ("json_sha256", pa.string()),
        ("samples", pa.int64()),
        ("sample_rate", pa.int32()),
        ("source_sample_rate", pa.int32()),
        ("source_channels", pa.int32()),
        ("clipped", pa.int64()),
        ("copied", pa.bool_()),
        ("reason", pa.string()),
        ("message", pa.string()),
        ("peak", pa.int32()),
    ]
)


def write_index(dataset: DatasetFolder, rows: Iterable[RowRecord]) -> RowTally:
    """Write `.hugflow/index.parquet`, one record per row, in order; returns the totals.

    Totals are counted here, in the order of the rows, so that they do not depend on the order of conversion.
    """
    tally = RowTally()
    tables = (
        pa.Table.from_arrays(
            [
                pa.array(values, field.type)
                for values, field in zip(zip(*batch, strict=True), INDEX_SCHEMA, strict=True)
            ],
            schema=INDEX_SCHEMA,
        )
        for batch in batched_rows(_counted(rows, tally))
    )
    write_parquet(dataset.index, INDEX_SCHEMA, tables)
    return tally


def _counted(rows: Iterable[RowRecord], tally: RowTally) -> Iterator[RowRecord]:
    for record in rows:
        if record.status != "failed":
            tally.count(record)
        yield record


def read_index(dataset: DatasetFolder) -> Iterator[RowRecord]:
    """The rows of `.hugflow/index.parquet`, in order. Raises StorageFault (`damaged_index`) when it cannot be read."""
    doing = f"reading the index of {dataset.path.name}"
    try:
        with open_regular(dataset.index) as opened, pq.ParquetFile(opened) as file:
            for batch in file.iter_batches(BATCH_ROWS):
                rows = list(zip(*(column.to_pylist() for column in batch.columns), strict=True))
                check_rows(rows)
                yield from (RowRecord(*values) for values in rows)
    except (pa.ArrowException, OSError, TypeError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None and not isinstance(error, NotAFileError):
            with faults(doing):
                raise
        # for a damaged file Arrow raises ArrowInvalid, or an OSError without errno
        fix = "Run `hugflow verify --repair`: it writes the index again."
        raise StorageFault(doing, "it is damaged", fix, reason="damaged_index") from error


def write_parquet(path: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    """Replace a parquet file by streamed tables, durably."""
    with (
        faults(f"writing {path.name}"),
        replacing(path) as file,
        pq.ParquetWriter(file, schema, compression="zstd") as writer,
    ):
        for table in tables:
            writer.write_table(table)


def batched_rows(rows: Iterable[RowRecord]) -> Iterator[tuple[RowRecord, ...]]:
    """Rows in tuples of `BATCH_ROWS`."""
    rows = iter(rows)
    while batch := tuple(islice(rows, BATCH_ROWS)):
        yield batch
