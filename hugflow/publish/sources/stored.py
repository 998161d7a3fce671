"""A complete dataset in storage as a table: the columns of its metadata under their own names, and its MP3 files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

from hugflow.download.finish import metadata_names
from hugflow.formats.rows import schema_of
from hugflow.model.errors import InvalidRequest, NotFoundError, StorageFault
from hugflow.publish.sources.arrow_files import TypedFiles
from hugflow.publish.sources.attached import StoredAudio
from hugflow.publish.sources.features import Columns
from hugflow.publish.sources.files import DataFile, Place
from hugflow.publish.sources.media import FILE, as_files
from hugflow.publish.sources.tables import Source
from hugflow.storage.dataset_folder import DatasetFolder
from hugflow.storage.disk import faults, sha256_of
from hugflow.storage.plan_file import read_plan
from hugflow.storage.state import DatasetRecord, read_marker
from hugflow.storage.storage_root import Storage

_FIELD = "from_storage"
_FILE_NAME = "file_name"
_REPAIR = "`hugflow verify --repair` makes it again."


def open_storage(dataset: DatasetFolder, config: str) -> list[Source]:
    """The one split of a complete dataset in storage. Its failed rows are left out, and counted.

    Raises NotFoundError or InvalidRequest when there is no such dataset or it is not complete, StorageFault when it is
    damaged.
    """
    record = _record(dataset)
    for name in (dataset.metadata, dataset.index):
        path = name.relative_to(dataset.path).as_posix()
        if not name.is_file() or sha256_of(name) != record.files.get(path):
            problem = f"{path} is not what was written there"
            raise StorageFault(_doing(dataset), problem, _REPAIR, reason="damaged_index")
    file = _data_file(dataset)
    table = TypedFiles.open([file], "parquet")
    stored = _Stored(table, file, _names(dataset, record, table.columns), record.audio_column)
    rows = record.rows_total - record.rows_failed
    if table.rows[file] != rows:
        raise StorageFault(_doing(dataset), f"it has not {rows} rows", _REPAIR, reason="damaged_index")
    columns = stored.columns
    return [
        Source(
            config=config,
            # as its card has it, which `datasets` reads: a split's name on the Hub has no `-`
            split=record.identity.split.replace("-", "_"),
            schema=columns.schema,
            features=columns.features,
            rows=rows,
            source_bytes=record.audio_bytes + file.size_bytes,
            read=stored.read,
            # the hashes of all MP3 files stand in the index
            files=(dataset.metadata, dataset.index),
            open_files=(lambda: StoredAudio(dataset)) if record.audio_column else None,
            left_out=record.rows_failed,
            notes=_notes(record),
        )
    ]


def _record(dataset: DatasetFolder) -> DatasetRecord:
    if not dataset.exists():
        raise NotFoundError(
            _doing(dataset), "storage has no such dataset", "`hugflow status` lists those there are.", field=_FIELD
        )
    record = read_marker(dataset.marker)
    if record is None:
        raise InvalidRequest(
            _doing(dataset),
            "it is not complete",
            "Run its add request again first: it fetches the rows that are missing.",
            reason="incomplete",
            field=_FIELD,
        )
    return record


def _doing(dataset: DatasetFolder) -> str:
    return f"publishing {dataset.path.name} from storage"


def _notes(record: DatasetRecord) -> tuple[str, ...]:
    if not record.rows_failed:
        return ()
    return (f"{record.rows_failed} of {record.rows_total} rows could not be converted and are left out",)


def _data_file(dataset: DatasetFolder) -> DataFile:
    with faults(_doing(dataset)):
        facts = dataset.metadata.lstat()
    name = dataset.metadata.name
    label = str(PurePosixPath(dataset.path.name, name))
    return DataFile(dataset.metadata, name, label, Place(label, _FIELD), facts.st_size, facts.st_mtime_ns)


def _names(dataset: DatasetFolder, record: DatasetRecord, columns: Columns) -> dict[str, str]:
    """The published columns in their first order, each with its name in the metadata, which had to rename some."""
    plan = read_plan(Storage(dataset.path.parent), dataset.path.name)
    there = [name for name in columns.schema.names if not record.audio_column or name != _FILE_NAME]
    audio = {record.audio_column: _FILE_NAME} if record.audio_column else {}
    if plan is not None:
        first = schema_of(plan.download.arrow_schema).names
        names = metadata_names(first, record.audio_column)
        if sorted(names.values()) == sorted(there):
            return {name: names.get(name, _FILE_NAME) for name in first}
    return audio | {name: name for name in there}


@dataclass(frozen=True, slots=True)
class _Stored:
    """The metadata of a dataset with its columns under the names that they had, and audio in place of its names."""

    table: TypedFiles
    file: DataFile
    names: dict[str, str]
    audio_column: str | None

    @property
    def columns(self) -> Columns:
        known = self.table.columns
        fields: list[pa.Field] = []
        features: dict[str, Any] = {}
        for name, stored in self.names.items():
            is_audio = name == self.audio_column
            fields.append(pa.field(name, FILE if is_audio else known.schema.field(stored).type))
            features[name] = {"_type": "Audio"} if is_audio else known.features[stored]
        return Columns(pa.schema(fields), features)

    def read(self, columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
        wanted = self.columns.only(columns)
        for _, batch in self.table.parts([self.file], [self.names[name] for name in wanted.names]):
            arrays = [
                as_files(array) if name == self.audio_column else array
                for name, array in zip(wanted.names, batch.columns, strict=True)
            ]
            yield pa.RecordBatch.from_arrays(arrays, schema=wanted)
