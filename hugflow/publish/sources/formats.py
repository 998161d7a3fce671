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
from hugflow.publish.sources.media import is_metadata, media_kind
from hugflow.publish.sources.tar_files import TarFiles
from hugflow.publish.sources.text_files import TextFiles

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
    ".txt": "text",
    ".xml": "xml",
    ".tar": "webdataset",
    ".tgz": "webdataset",
}
_PACKED = frozenset({".bz2", ".gz", ".lzma", ".xz", ".zst"})
_PACKABLE = frozenset({"csv", "json", "text", "webdataset"})
# notes, licences and descriptions beside other data: rows only where there is nothing else
_BESIDE_OTHERS = frozenset({"text", "xml", "pdf"})
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
    """The format of a file with rows in it: "parquet", "csv", "text", "webdataset"...; None for any other."""
    suffixes = file.suffixes
    if file.name.rpartition("/")[2] in _BESIDE_DATA or not suffixes:
        return None
    if suffixes[-1] in _PACKED:
        packed = _FORMATS.get(suffixes[-2]) if len(suffixes) > 1 else None
        return packed if packed in _PACKABLE else None
    return _FORMATS.get(suffixes[-1])


def file_kinds(files: Iterable[DataFile]) -> dict[DataFile, str]:
    """The files that make rows, each with its format or kind of media.

    Text, XML and PDF files are left out where there are others, unless they are PDF files with metadata.
    """
    kinds = {file: kind for file in files if (kind := table_format(file) or media_kind(file))}
    described = "pdf" in kinds.values() and any(map(is_metadata, kinds))
    others = {file: kind for file, kind in kinds.items() if kind not in _BESIDE_OTHERS}
    if described and all(map(is_metadata, others)):
        return {file: kind for file, kind in kinds.items() if kind == "pdf" or file in others}
    return others or kinds


def open_files(files: Sequence[DataFile], kind: str, as_text: Collection[str] = ()) -> FileTable:
    """Open files of one format; the types of columns of `as_text` are not looked for in their texts.

    Raises InvalidRequest for what cannot be read, or has no types in common.
    """
    if kind == "csv":
        return CsvFiles.open(files, as_text=as_text)
    if kind == "json":
        return JsonFiles.open(files, as_text=as_text)
    if kind in {"text", "xml"}:
        return TextFiles.open(files, kind)
    if kind == "webdataset":
        return TarFiles.open(files)
    return TypedFiles.open(files, kind)
