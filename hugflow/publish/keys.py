"""Repeated keys and very many distinct values, counted by DuckDB in bounded memory; the rest goes to scratch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from hugflow.errors import StorageFault

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

THREADS = 2
_FIX = "Free some space on the scratch disk, or give the run more memory, and start it again."


def repeated_rows(batches: Iterable[pa.RecordBatch], schema: pa.Schema, scratch: Path, memory_bytes: int) -> int:
    """How many rows have the same values as a row before them. Null equals null, and NaN equals NaN.

    Raises StorageFault where neither memory nor scratch suffices, and whatever `batches` raises.
    """
    columns = ", ".join(schema.names)
    found = f"SELECT count(*) AS n FROM source GROUP BY {columns} HAVING n > 1"  # noqa: S608 - names are ours: k0, k1
    query = f"SELECT coalesce(sum(n - 1), 0) FROM ({found})"  # noqa: S608 - no text of others in it
    with _reading(batches, schema, scratch, memory_bytes) as connection:
        return int(_row(connection, query)[0])


def distinct_values(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, scratch: Path, memory_bytes: int, limit: int
) -> tuple[int, list[Any]]:
    """How many distinct values the only column of `batches` has, null and NaN left out, and the first `limit`."""
    (name,) = schema.names
    known = f"{name} IS NOT NULL" + (f" AND NOT isnan({name})" if pa.types.is_floating(schema.types[0]) else "")
    copy = f"CREATE TEMP TABLE found AS SELECT DISTINCT {name} AS v FROM source WHERE {known}"  # noqa: S608 - as above
    with _reading(batches, schema, scratch, memory_bytes) as connection:
        connection.execute(copy)
        count = int(_row(connection, "SELECT count(*) FROM found")[0])
        rows = connection.execute(f"SELECT v FROM found ORDER BY v LIMIT {int(limit)}").fetchall()  # noqa: S608 - a number
        return count, [row[0] for row in rows]


@contextmanager
def _reading(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, scratch: Path, memory_bytes: int
) -> Iterator[DuckDBPyConnection]:
    """A database of its own, in which `source` is the stream of `batches`: it can be read once."""
    import duckdb  # noqa: PLC0415 - only requests with a key need it, and it takes a while

    with TemporaryDirectory(prefix="duckdb-", dir=scratch) as folder:
        connection = duckdb.connect(":memory:", config=_settings(folder, memory_bytes))
        stream = _Kept(batches)
        try:
            connection.execute("SET enable_external_access = false")  # later than its folder, which would be refused
            connection.register("source", pa.RecordBatchReader.from_batches(schema, stream))
            yield connection
        except duckdb.Error as error:
            if stream.error is not None:
                raise stream.error from None
            problem = str(error).partition("\n")[0]
            raise StorageFault("comparing the keys of a table", problem, _FIX) from error
        finally:
            connection.close()


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


class _Kept:
    """Batches on their way into DuckDB, which reports what they raise as text: here the error itself is kept."""

    def __init__(self, batches: Iterable[pa.RecordBatch]) -> None:
        self._batches = batches
        self.error: BaseException | None = None

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        try:
            yield from self._batches
        except GeneratorExit:
            raise
        except BaseException as error:
            self.error = error
            raise
