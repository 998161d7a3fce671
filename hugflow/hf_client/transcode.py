"""Any shard becomes parquet: what workers read is always the same, whatever the dataset's files are.

A fetched file of another format (JSON, CSV, text, Arrow, a webdataset tar) is read once, front to back, by the reader
that `datasets` has for it, and written to scratch as parquet with small row groups. That counts its rows, gives random
access for slices and resumes, and keeps memory flat.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
from datasets.exceptions import DatasetsError

from hugflow.errors import HugflowError, Terminal
from hugflow.hf_client.connection import HUB_ERRORS
from hugflow.storage import faults

GROUP_ROWS = 1000
GROUP_BYTES = 32 << 20
READ_ROWS = 1000


@dataclass(frozen=True, slots=True)
class Reader:
    """How `datasets` reads a file: its packaged module, and the settings that the repository's card gives it."""

    module: str
    settings: Mapping[str, Any]
    features: datasets.Features | None = None

    def tables(self, files: list[Path]) -> Iterator[pa.Table]:
        """The rows of `files`, in order, as tables of their own types. Nothing is decoded."""
        with tempfile.TemporaryDirectory(prefix="hugflow-") as cache:
            builder = datasets.load_dataset_builder(
                self.module,
                data_files={"rows": [str(file) for file in files]},
                cache_dir=cache,
                features=self.features,
                **self.settings,
            )
            in_order(builder)
            rows = builder.as_streaming_dataset(split="rows").with_format("arrow")
            # tars give one row a time: their rows may have different columns, which a batch cannot
            yield from rows.iter(1 if self.module == "webdataset" else READ_ROWS)


def in_order(builder: datasets.DatasetBuilder) -> None:
    """Keep rows in the order of their files: folder builders keep metadata files in a set, whose order is chance."""
    if not hasattr(builder, "METADATA_FILENAMES"):
        return
    generate = builder._generate_examples  # noqa: SLF001 - the builders' own point of extension

    def ordered(files: Any, metadata_files: Any, **others: Any) -> Iterator[Any]:
        yield from generate(files, sorted(metadata_files, key=str), **others)

    builder._generate_examples = ordered  # noqa: SLF001


def transcode(doing: str, tables: Callable[[], Iterator[pa.Table]], target: Path) -> None:
    """Write the rows of `tables()` as parquet; it is called again where a later row widened a column's type.

    Raises Terminal when the rows cannot be read or have no common types, StorageFault when the disk is full.
    """
    temporary = target.with_name(f".{target.name}.tmp")
    schema, wanted = None, None
    while True:
        with readable(doing), _GroupWriter(temporary) as writer:
            for table in tables():
                schema = _wider(schema, table.schema)
                wanted = schema if wanted is None else wanted
                if schema == wanted:
                    writer.add(table, wanted)
            schema = schema or pa.schema([])
            if wanted in (None, schema):
                writer.finish(schema)
                break
        wanted = schema
    with faults(doing):
        temporary.replace(target)


class _GroupWriter:
    """Writes tables as row groups of a bounded number of rows and bytes: the same rows always give the same groups."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: pq.ParquetWriter | None = None
        self._tables: list[pa.Table] = []
        self._rows = self._bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def add(self, table: pa.Table, schema: pa.Schema) -> None:
        """Take the rows of a table, as `schema` has them."""
        for start in range(0, table.num_rows, GROUP_ROWS):
            part = table.slice(start, GROUP_ROWS)
            if self._tables and (self._rows + part.num_rows > GROUP_ROWS or self._bytes + part.nbytes > GROUP_BYTES):
                self._flush(schema)
            fitted = pa.concat_tables([schema.empty_table(), part], promote_options="permissive")
            self._tables.append(fitted.select(schema.names))
            self._rows += part.num_rows
            self._bytes += part.nbytes

    def finish(self, schema: pa.Schema) -> None:
        """Write what is left, and the file's end."""
        self._flush(schema)
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _flush(self, schema: pa.Schema) -> None:
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, schema, compression="zstd")
        if self._tables:
            self._writer.write_table(pa.concat_tables(self._tables), row_group_size=GROUP_ROWS)
        self._tables, self._rows, self._bytes = [], 0, 0


def _wider(known: pa.Schema | None, other: pa.Schema) -> pa.Schema:
    """The schema that holds the rows of both."""
    other = other.remove_metadata()
    return other if known is None else pa.unify_schemas([known, other], promote_options="permissive")


@contextmanager
def readable(doing: str) -> Iterator[None]:
    """What readers raise for a file's content, as one error; the troubles of disk and network stay what they are."""
    try:
        yield
    except (HugflowError, MemoryError, *HUB_ERRORS):
        raise
    except OSError as error:
        if error.errno is not None:
            with faults(doing):
                raise
        raise _unreadable(doing, error) from error
    except (ArithmeticError, DatasetsError, LookupError, TypeError, ValueError, RuntimeError) as error:
        # readers of five libraries raise these for broken files; pyarrow's own errors are among them
        raise _unreadable(doing, error) from error


def _unreadable(doing: str, error: Exception) -> Terminal:
    lines = str(error.__cause__ or error).strip().splitlines() or [type(error).__name__]
    return Terminal(
        doing, f"its rows cannot be read: {lines[0][:300]}", "Report it to the dataset's owners.", reason="unreadable"
    )
