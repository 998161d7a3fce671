"""Read the files that audio and image columns name by path, and embed them in the rows."""

from __future__ import annotations

import errno
import hashlib
import posixpath
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hugflow.model.errors import InvalidRequest, StorageFault
from hugflow.publish.sources.features import has_files, is_file
from hugflow.publish.sources.files import Place, inside
from hugflow.publish.sources.tables import FileReader
from hugflow.storage.dataset_folder import DatasetFolder
from hugflow.storage.disk import NotAFileError, faults, read_regular
from hugflow.storage.index import read_index
from hugflow.text.printable import shown

Sizes = np.ndarray[Any, np.dtype[np.int64]]

SLICE_BYTES = 16 << 20
MAX_FILE_BYTES = 1 << 30
_MISSING = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP}


@dataclass(frozen=True, slots=True)
class FolderFiles:
    """Files within one folder, below the root that is published from; nothing outside of them is read."""

    folder: Path
    root: Path
    place: Place

    def size(self, path: str) -> int | None:
        """See FileReader."""
        if "://" in path:
            return None
        file = self._file(path)
        try:
            facts = file.stat()
        except OSError as error:
            if error.errno in _MISSING:
                raise self._error(path, "is not there") from None
            with faults(f"reading {shown(path)}"):
                raise
        if not stat.S_ISREG(facts.st_mode):
            raise self._error(path, "is no regular file")
        if facts.st_size > MAX_FILE_BYTES:
            raise self._error(path, "has more than 1 GiB")
        return facts.st_size

    def read(self, path: str) -> bytes:
        """See FileReader."""
        with faults(f"reading {shown(path)}"):
            try:
                return read_regular(self._file(path))
            except (FileNotFoundError, NotAFileError):
                raise self._error(path, "is not there any more") from None

    def _file(self, path: str) -> Path:
        within = posixpath.normpath(posixpath.relpath(path, self.folder) if path.startswith("/") else path)
        if within.startswith("../") or within in {"..", "."} or "\0" in within:
            raise self._error(path, "is not within the folder")
        return inside(self.folder / within, self.root, self.place)

    def _error(self, path: str, problem: str) -> InvalidRequest:
        return self.place.error(
            f"a row names the file {shown(path)}, which {problem}",
            "Add the file, or set `embed_external_files: false` to publish paths as they are.",
            reason="missing_file",
        )


@dataclass(frozen=True, slots=True)
class MachineFiles:
    """Files anywhere on this machine, for rows that the calling program made itself."""

    def size(self, path: str) -> int | None:
        """See FileReader."""
        if "://" in path:
            return None
        with faults(f"reading {shown(path)}"):
            try:
                facts = Path(path).stat()
            except OSError as error:
                if error.errno in _MISSING:
                    raise self._error(path, "is not there") from None
                raise
            except ValueError:
                raise self._error(path, "cannot be a path") from None
        if not stat.S_ISREG(facts.st_mode):
            raise self._error(path, "is no regular file")
        if facts.st_size > MAX_FILE_BYTES:
            raise self._error(path, "has more than 1 GiB")
        return facts.st_size

    def read(self, path: str) -> bytes:
        """See FileReader."""
        with faults(f"reading {shown(path)}"):
            try:
                return read_regular(Path(path).resolve())
            except (FileNotFoundError, NotAFileError):
                raise self._error(path, "is not there any more") from None

    def _error(self, path: str, problem: str) -> InvalidRequest:
        return InvalidRequest(
            "reading the files of the table",
            f"a row names the file {shown(path)}, which {problem}",
            "Add the file, or set `embed_external_files=False` to publish paths as they are.",
            reason="missing_file",
        )


@dataclass(frozen=True, slots=True)
class NoFiles:
    """A reader for tables that come from no folder."""

    place: Place

    def size(self, path: str) -> int | None:
        """See FileReader."""
        if "://" in path:
            return None
        raise self.place.error(
            f"a row names the file {shown(path)}, and a table in memory lies in no folder",
            "Put the bytes into the table, give a `datasets.Dataset`, or set the type: `columns={...: 'audio'}`.",
            reason="missing_file",
        )

    def read(self, path: str) -> bytes:
        """See FileReader."""
        raise NotImplementedError(path)


class StoredAudio:
    """The MP3 files of a dataset in storage, each compared with its hash in the index, in the order of the rows."""

    def __init__(self, dataset: DatasetFolder) -> None:
        self._dataset = dataset
        self._records = (record for record in read_index(dataset) if record.audio is not None)

    def size(self, path: str) -> int:
        """See FileReader."""
        with faults(f"reading {path}"):
            try:
                return (self._dataset.path / path).lstat().st_size
            except FileNotFoundError:
                raise self._damaged(path) from None

    def read(self, path: str) -> bytes:
        """See FileReader."""
        name = posixpath.basename(path)
        record = next((record for record in self._records if record.audio == name), None)
        with faults(f"reading {path}"):
            try:
                data = read_regular(self._dataset.audio / name)
            except (FileNotFoundError, NotAFileError):
                raise self._damaged(path) from None
        if record is None or hashlib.sha256(data).hexdigest() != record.audio_sha256:
            raise self._damaged(path)
        return data

    def _damaged(self, path: str) -> StorageFault:
        return StorageFault(
            f"publishing {self._dataset.path.name}",
            f"{path} is not what was written there",
            "`hugflow verify --repair` fetches such rows again.",
            reason="damaged_row",
        )


# -- into the rows ----------------------------------------------------------------------------------------------------


def embedded(batch: pa.RecordBatch, features: Mapping[str, Any], files: FileReader) -> Iterator[pa.RecordBatch]:
    """The rows of a batch with the content of the files that they name, a few MB of it at a time.

    A value that has its bytes already keeps them. Of a path only the name stays: folders are those of this machine.
    """
    columns = {name: features[name] for name in batch.schema.names if has_files(features[name])}
    sizes = sum(
        (_sizes(batch.column(name), feature, files) for name, feature in columns.items()), np.zeros(1, np.int64)
    )
    for start, stop in _slices(np.broadcast_to(sizes, batch.num_rows)):
        part = batch.slice(start, stop - start)
        arrays = [
            _filled(array, columns[name], files) if name in columns else array
            for name, array in zip(part.schema.names, part.columns, strict=True)
        ]
        yield pa.RecordBatch.from_arrays(arrays, schema=part.schema)


def _slices(sizes: Sizes) -> Iterator[tuple[int, int]]:
    """Ranges of rows, each of at most SLICE_BYTES or one row."""
    start, total = 0, 0
    for row, size in enumerate(sizes):
        if row > start and total + size > SLICE_BYTES:
            yield start, row
            start, total = row, 0
        total += size
    if start < len(sizes):
        yield start, len(sizes)


def _external(array: pa.StructArray) -> list[str | None]:
    """The paths of those values that have no bytes."""
    data, path = (array.field(name) for name in ("bytes", "path"))
    wanted = pc.and_(array.is_valid(), data.is_null())
    paths: list[str | None] = pc.if_else(wanted, path, None).to_pylist()
    return paths


def _sizes(array: pa.Array, feature: Any, files: FileReader) -> Sizes:
    """The bytes of the files that each value names."""
    if is_file(feature):
        return np.array([0 if path is None else files.size(path) or 0 for path in _external(array)], np.int64)
    if _is_list(feature):
        of_values = np.concatenate([[0], np.cumsum(_sizes(array.flatten(), feature["feature"], files))])
        ends = np.cumsum(_lengths(array))
        inside: Sizes = of_values[ends] - of_values[ends - _lengths(array)]
        return inside
    inner = zip(array.type, array.flatten(), strict=True)
    found = [_sizes(child, feature[field.name], files) for field, child in inner if has_files(feature[field.name])]
    total: Sizes = np.sum(found, axis=0, dtype=np.int64)
    return total


def _filled(array: pa.Array, feature: Any, files: FileReader) -> pa.Array:
    """The same values with the content of their files."""
    if is_file(feature):
        return _filled_files(array, files)
    if _is_list(feature):
        offsets = pa.array(np.concatenate([[0], np.cumsum(_lengths(array))]))
        values = _filled(array.flatten(), feature["feature"], files)
        return pa.LargeListArray.from_arrays(offsets, values, mask=array.is_null()).cast(array.type)
    children = [
        _filled(child, feature[field.name], files) if has_files(feature[field.name]) else child
        for field, child in zip(array.type, array.flatten(), strict=True)
    ]
    return pa.StructArray.from_arrays(children, fields=list(array.type), mask=array.is_null())


def _filled_files(array: pa.StructArray, files: FileReader) -> pa.Array:
    data, path = (array.field(name) for name in ("bytes", "path"))
    external = _external(array)
    if any(name is not None for name in external):
        read = [None if name is None or files.size(name) is None else files.read(name) for name in external]
        data = pc.coalesce(data, pa.array(read, data.type))
    name_only = pc.replace_substring_regex(path, r"(?s)^.*/", "")
    path = pc.if_else(data.is_valid(), name_only, path)
    return pa.StructArray.from_arrays([data, path], names=["bytes", "path"], mask=array.is_null())


def _is_list(feature: Any) -> bool:
    return isinstance(feature, Mapping) and feature.get("_type") in {"List", "LargeList"}


def _lengths(array: pa.Array) -> Sizes:
    return np.asarray(pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False), np.int64)
