"""Repeated keys and very many distinct values, counted by DuckDB in bounded memory; the rest goes to scratch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from hugflow.model.errors import StorageFault

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

THREADS = 2
PARTS = 4096
_ROW_BYTES = 48  # what DuckDB's table of groups takes for a row beside its values
_FIX = "Free some space on the scratch disk, or give the run more memory, and start it again."


def repeated_rows(batches: Iterable[pa.RecordBatch], schema: pa.Schema, scratch: Path, memory_bytes: int) -> int:
    """Count the rows with the same values as a row before them. Null equals null, and NaN equals NaN.

    Raises StorageFault where neither memory nor scratch suffices, and whatever `batches` raises.
    """
    columns = ", ".join(schema.names)
    groups = f"SELECT count(*) AS n FROM kept WHERE {{}} GROUP BY {columns} HAVING n > 1"  # noqa: S608 - our own text
    with _kept(batches, schema, scratch, memory_bytes) as (connection, parts):
        queries = (f"SELECT coalesce(sum(n - 1), 0) FROM ({groups.format(part)})" for part in parts)  # noqa: S608 - our own text
        return sum(int(_row(connection, query)[0]) for query in queries)


def distinct_values(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, scratch: Path, memory_bytes: int, limit: int
) -> tuple[int, list[Any]]:
    """Count the distinct values of the only column of `batches` without null and NaN, and return the first `limit`."""
    (name,) = schema.names
    known = f"{name} IS NOT NULL" + (f" AND NOT isnan({name})" if pa.types.is_floating(schema.types[0]) else "")
    with _kept(batches, schema, scratch, memory_bytes) as (connection, parts):
        connection.execute(f"CREATE TABLE found AS SELECT {name} AS v FROM kept LIMIT 0")  # noqa: S608 - our own text
        for part in parts:
            connection.execute(f"INSERT INTO found SELECT DISTINCT {name} FROM kept WHERE {part} AND {known}")  # noqa: S608 - as above
        count = int(_row(connection, "SELECT count(*) FROM found")[0])
        rows = connection.execute(f"SELECT v FROM found ORDER BY v LIMIT {int(limit)}").fetchall()  # noqa: S608 - a number
        return count, [row[0] for row in rows]


@contextmanager
def _kept(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, scratch: Path, memory_bytes: int
) -> Iterator[tuple[DuckDBPyConnection, list[str]]]:
    """A database in scratch with all batches as its table `kept`, and conditions that part it by its values.

    Each part is small enough to be grouped in memory: DuckDB by itself gives up on groups that are many times larger
    than its memory, scratch or not. Equal values are in one part.
    """
    import duckdb  # noqa: PLC0415 - only requests with a key need it, and it takes a while

    with TemporaryDirectory(prefix="duckdb-", dir=scratch) as folder:
        stream = _Stream(batches)
        try:
            with duckdb.connect(f"{folder}/kept", config=_settings(folder, memory_bytes)) as connection:
                connection.execute(
                    "SET enable_external_access = false"
                )  # later than its folder, which would be refused
                connection.register("source", pa.RecordBatchReader.from_batches(schema, stream))
                part = f"CAST(hash({', '.join(schema.names)}) % {PARTS} AS USMALLINT)"
                connection.execute(f"CREATE TABLE kept AS SELECT *, {part} AS part FROM source")  # noqa: S608 - our own text
                yield connection, _parts(stream.size_bytes + stream.rows * _ROW_BYTES, memory_bytes)
        except duckdb.Error as error:
            if stream.error is not None:
                raise stream.error from None
            problem = str(error).partition("\n")[0]
            raise StorageFault("comparing the keys of a table", problem, _FIX) from error


def _parts(size_bytes: int, memory_bytes: int) -> list[str]:
    """Conditions on `part` that divide the rows evenly, so that each takes about twice the memory at most."""
    count = min(PARTS, max(1, -(-size_bytes // (2 * memory_bytes))))
    limits = [PARTS * index // count for index in range(count + 1)]
    return [f"part >= {low} AND part < {high}" for low, high in pairwise(limits)]


def _settings(folder: str, memory_bytes: int) -> dict[str, Any]:
    return {
        "memory_limit": f"{memory_bytes}B",
        "temp_directory": folder,
        "threads": THREADS,
        "preserve_insertion_order": False,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }


def _row(connection: DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    row = connection.execute(query).fetchone()
    assert row is not None, "an aggregate has one row"
    return row


class _Stream:
    """Batches on their way into DuckDB, counted. What they raise is kept: DuckDB reports it as text."""

    def __init__(self, batches: Iterable[pa.RecordBatch]) -> None:
        self._batches = batches
        self.rows = 0
        self.size_bytes = 0
        self.error: BaseException | None = None

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        try:
            for batch in self._batches:
                self.rows += batch.num_rows
                self.size_bytes += batch.nbytes
                yield batch
        except GeneratorExit:
            raise
        except BaseException as error:
            self.error = error
            raise
