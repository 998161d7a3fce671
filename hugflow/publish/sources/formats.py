"""File formats by file name, and their readers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

import pyarrow as pa

from hugflow.publish.sources.arrow_files import TypedFiles
from hugflow.publish.sources.csv_files import CsvFiles
from hugflow.publish.sources.features import Columns
from hugflow.publish.sources.files import DataFile
from hugflow.publish.sources.json_files import JsonFiles

_FORMATS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
}
_PACKED = frozenset({".bz2", ".gz", ".lzma", ".xz", ".zst"})
# what `datasets` writes beside the data that it saves
_BESIDE_DATA = frozenset({"dataset_dict.json", "dataset_info.json", "dataset_infos.json", "state.json"})


class FileTable(Protocol):
    """Opened files, with the columns that hold the rows of all of them. `rows` counts those of each."""

    @property
    def columns(self) -> Columns:
        """The columns of every file's rows."""

    @property
    def rows(self) -> Mapping[DataFile, int]:
        """The rows of each file."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for people about the columns."""

    def parts(
        self, files: Iterable[DataFile], names: Sequence[str] | None
    ) -> Iterator[tuple[DataFile, pa.RecordBatch]]:
        """The rows of some of the files, in order, in bounded memory; `names` are the wanted columns."""


def table_format(file: DataFile) -> str | None:
    """The format of a file with rows in it: "parquet", "arrow", "csv" or "json"; None for any other."""
    suffixes = file.suffixes
    if file.name.rpartition("/")[2] in _BESIDE_DATA or not suffixes:
        return None
    if suffixes[-1] in _PACKED:
        packed = _FORMATS.get(suffixes[-2]) if len(suffixes) > 1 else None
        return packed if packed in {"csv", "json"} else None
    return _FORMATS.get(suffixes[-1])


def open_files(files: Sequence[DataFile], kind: str, as_text: Collection[str] = ()) -> FileTable:
    """Open files of one format; the types of columns of `as_text` are not looked for in their texts.

    Raises InvalidRequest for what cannot be read, or has no types in common.
    """
    if kind == "csv":
        return CsvFiles.open(files, as_text=as_text)
    if kind == "json":
        return JsonFiles.open(files, as_text=as_text)
    return TypedFiles.open(files, kind)
