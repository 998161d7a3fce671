"""Tables from folders of audio or images: a row for each file, with its metadata or class, as in `datasets`."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from hugflow.publish.sources.features import Columns, has_files, is_text
from hugflow.publish.sources.files import DataFile
from hugflow.publish.sources.formats import FileTable, open_files, table_format
from hugflow.publish.sources.media import FEATURES, FILE, as_files
from hugflow.text.printable import listed, shown

BATCH_ROWS = 1000
_ONE, _MANY = "file_name", "file_names"


# -- files that are rows ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PlainFolders:
    """Audio or image files without metadata; their folders are their classes where that is what they look like."""

    kind: str
    columns: Columns
    rows: Mapping[DataFile, int]
    notes: tuple[str, ...] = ()

    @classmethod
    def open(cls, kind: str, files: Sequence[DataFile]) -> PlainFolders:
        """The files of all splits of a table: the classes of one are those of the others."""
        labels, depths = sorted({_label(file) for file in files}), {file.name.count("/") for file in files}
        # as `datasets` has it: more than one folder, all equally deep; what lies outside of folders has no class
        has_labels = len(labels) > 1 and len(depths) == 1 and 0 not in depths
        fields = [(kind, FILE)] + ([("label", pa.int64())] if has_labels else [])
        features: dict[str, Any] = {kind: dict(FEATURES[kind])}
        if has_labels:
            features["label"] = {"names": labels, "_type": "ClassLabel"}
        return cls(kind, Columns(pa.schema(fields), features), dict.fromkeys(files, 1))

    def parts(
        self, files: Iterable[DataFile], names: Sequence[str] | None
    ) -> Iterator[tuple[DataFile, pa.RecordBatch]]:
        """A row for each file; its content stays where it is."""
        files = list(files)
        wanted = self.columns.only(names)
        numbers = {name: i for i, name in enumerate(self.columns.features.get("label", {}).get("names", ()))}
        for start in range(0, len(files), BATCH_ROWS):
            some = files[start : start + BATCH_ROWS]
            arrays = {self.kind: as_files(pa.array([file.name for file in some], pa.string()))}
            if numbers:
                arrays["label"] = pa.array([numbers[_label(file)] for file in some], pa.int64())
            yield some[0], pa.RecordBatch.from_arrays([arrays[name] for name in wanted.names], schema=wanted)


def _label(file: DataFile) -> str:
    return posixpath.basename(posixpath.dirname(file.name))


# -- files that rows of metadata name ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DescribedFolders:
    """Audio or image files with metadata, whose rows name them: `file_name` becomes the column of the file.

    `names` has the metadata's name of each column.
    """

    table: FileTable
    columns: Columns
    names: Mapping[str, str]

    @classmethod
    def open(cls, kind: str, files: Sequence[DataFile], as_text: Collection[str] = ()) -> DescribedFolders:
        """Open the metadata files of all splits of a table. Raises InvalidRequest when they name no files."""
        formats = {table_format(file) or "" for file in files}
        if len(formats) > 1:
            raise files[0].error(
                f"the metadata is in files of different formats: {listed(file.name for file in files)}",
                "Keep one format of metadata.",
                reason="mixed_schema",
            )
        table = open_files(files, formats.pop(), as_text)
        fields, features, names = [], {}, {}
        for field in table.columns.schema:
            name, feature = _named(field, kind)
            if name in names:
                raise files[0].error(f"two of its columns become {shown(name)}", "Rename one of them.")
            names[name] = field.name
            features[name] = feature or table.columns.features[field.name]
            fields.append(pa.field(name, field.type if feature is None else _type_of(feature)))
        if features == dict(table.columns.features):
            raise files[0].error(f"it has no column `{_ONE}`", f"Add `{_ONE}` with the path of each row's file.")
        return cls(table, Columns(pa.schema(fields), features), names)

    @property
    def rows(self) -> Mapping[DataFile, int]:
        """The rows of each metadata file."""
        return self.table.rows

    @property
    def notes(self) -> tuple[str, ...]:
        """Those of the metadata."""
        return self.table.notes

    def parts(
        self, files: Iterable[DataFile], names: Sequence[str] | None
    ) -> Iterator[tuple[DataFile, pa.RecordBatch]]:
        """The rows of the metadata files, with the files' paths from the folder that the request names."""
        wanted = self.columns.only(names)
        for file, batch in self.table.parts(files, [self.names[name] for name in wanted.names]):
            arrays = [
                array if array.type == field.type else _named_files(array, field.type, posixpath.dirname(file.name))
                for array, field in zip(batch.columns, wanted, strict=True)
            ]
            yield file, pa.RecordBatch.from_arrays(arrays, schema=wanted)

    def check(self, files: Sequence[DataFile], media: Iterable[DataFile]) -> int:
        """Raise InvalidRequest for a row that names no file of `media`; returns how many files no row names."""
        names = {file.name for file in media}
        unnamed = set(names)
        columns = [name for name, feature in self.columns.features.items() if has_files(feature)]
        rows = dict.fromkeys(files, 0)
        for file, batch in self.parts(files, columns):
            for column in batch.columns:
                for at, path in _paths(column):
                    if path not in names:
                        row = rows[file] + at + 1
                        fix = "Add the file, or take the row out."
                        raise file.error(
                            f"row {row} names {shown(path)}, which is not there", fix, reason="missing_file"
                        )
                    unnamed.discard(path)
            rows[file] += batch.num_rows
        return len(unnamed)


def _named(field: pa.Field, kind: str) -> tuple[str, dict[str, Any] | None]:
    """The published name of a metadata column, and the feature of the files that it names; None for plain values."""
    one, many = field.name.removesuffix(_ONE), field.name.removesuffix(_MANY)
    if one != field.name and (not one or one.endswith("_")) and is_text(field.type):
        return one[:-1] or kind, dict(FEATURES[kind])
    is_list = pa.types.is_list(field.type) and is_text(field.type.value_type)
    if many != field.name and (not many or many.endswith("_")) and is_list:
        return many[:-1] or f"{kind}s", {"feature": dict(FEATURES[kind]), "_type": "List"}
    return field.name, None


def _type_of(feature: Mapping[str, Any]) -> pa.DataType:
    return pa.list_(FILE) if feature["_type"] == "List" else FILE


def _named_files(array: pa.Array, kind: pa.DataType, folder: str) -> pa.Array:
    """The values of an audio or image column, from names that are relative to the metadata's own folder."""
    if pa.types.is_list(kind):
        lengths = pc.fill_null(pc.list_value_length(array), 0)
        offsets = pa.array([0, *accumulate(lengths.to_pylist())], pa.int32())
        return pa.ListArray.from_arrays(
            offsets, _named_files(array.flatten(), kind.value_type, folder), type=kind, mask=array.is_null()
        )
    paths = [None if name is None else posixpath.normpath(posixpath.join(folder, name)) for name in array.to_pylist()]
    return as_files(pa.array(paths, pa.string()))


def _paths(column: pa.Array) -> Iterator[tuple[int, str]]:
    """The paths in a column of files, each with its row."""
    for row, value in enumerate(column.to_pylist()):
        for file in value if isinstance(value, list) else [value]:
            if file is not None:
                yield row, file["path"]
