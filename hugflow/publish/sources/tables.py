"""Source of one split: rows of one schema that can be streamed any number of times."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from hugflow.publish.sources.features import Columns

Read = Callable[[Sequence[str] | None], Iterator[pa.RecordBatch]]


class FileReader(Protocol):
    """Reads the files that audio and image columns name, for one pass over the rows in their order."""

    def size(self, path: str) -> int | None:
        """The file's size in bytes; None for what is no file of ours, such as an address. Raises as `read` does."""

    def read(self, path: str) -> bytes:
        """The file's content. Raises InvalidRequest where there is no such file, StorageFault for damaged ones."""


@dataclass(frozen=True, slots=True)
class Source:
    """One split of one config: rows of one schema that can be streamed any number of times, in the same order.

    `schema` has no metadata. `features` are as the Hub writes them: {"n": {"dtype": "int64", "_type": "Value"}}.
    `rows` is None where only a scan can tell. `source_bytes` are those of the files that are read, for estimates.
    `files` are all on which the rows and their audio and images depend; empty where that cannot be told.
    `parquet_files` are there where the rows are just those of parquet files. Where audio and images stand as paths,
    `open_files` reads them. `left_out` counts rows or files that are not published, and `notes` says why.
    """

    config: str
    split: str
    schema: pa.Schema
    features: Mapping[str, Any]
    rows: int | None
    source_bytes: int
    read: Read
    files: tuple[Path, ...] = ()
    parquet_files: tuple[Path, ...] = ()
    open_files: Callable[[], FileReader] | None = None
    left_out: int = 0
    notes: tuple[str, ...] = ()

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The rows, or only some columns of them, in bounded memory.

        Raises InvalidRequest for what cannot be read, Terminal (`file_changed`), StorageFault.
        """
        return self.read(columns)

    @property
    def columns(self) -> Columns:
        """Schema and features together."""
        return Columns(self.schema, self.features)
