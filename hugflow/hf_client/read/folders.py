"""Rows of audio and image folders, from file names and metadata alone, before any audio is fetched.

`datasets` makes the rows from a copy of the repository's tree in which every media file is empty: only metadata files
(and those inside of zip archives) are fetched. The rows name their files by the path in the repository.
"""

from __future__ import annotations

import posixpath
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.compute as pc
from datasets.data_files import SPLIT_KEYWORDS, DataFilesDict, DataFilesList
from datasets.packaged_modules.audiofolder.audiofolder import AudioFolder
from datasets.packaged_modules.folder_based_builder.folder_based_builder import FolderBasedBuilder
from datasets.packaged_modules.imagefolder.imagefolder import ImageFolder

from hugflow.hf_client.http import Hub
from hugflow.hf_client.read.fetch import fetch_shard
from hugflow.hf_client.read.metadata_files import example_tables, read_metadata_exactly
from hugflow.hf_client.read.readers import Reader
from hugflow.hf_client.read.transcode import read_ranges
from hugflow.hf_client.remote_file import RemoteFile, RepositoryFile
from hugflow.model.errors import Terminal
from hugflow.model.plan import Shard
from hugflow.storage.disk import faults
from hugflow.text.printable import listed

METADATA_NAMES = {"metadata.csv", "metadata.jsonl", "metadata.parquet"}
MAX_METADATA_BYTES = 1 << 30
_SPLIT = "rows"
_SPLIT_FOLDERS: Mapping[str, Sequence[str]] = {str(split): words for split, words in SPLIT_KEYWORDS.items()}


@dataclass(frozen=True, slots=True)
class FolderRows:
    """The rows of a split: their features, a function that reads them again on each call, and what was left out.

    `remarks` are sentences about files that no row uses; they are complete once `tables` was read to its end.
    """

    features: datasets.Features
    tables: Callable[[], Iterator[pa.Table]]
    remarks: list[str]


@dataclass(frozen=True, slots=True)
class Folder:
    """The files of a folder dataset by split, the split that is read, and how `datasets` reads them."""

    hub: Hub
    hf_id: str
    sha: str
    splits: Mapping[str, tuple[Shard, ...]]
    split: str
    reader: Reader

    def rows(self, scratch: Path) -> FolderRows:
        """Build the copy of the tree in `scratch`, and determine features and class labels.

        The ids of labels follow from the folders of all splits: they are those of the dataset.
        """
        tree = scratch / "tree"
        own = self._stand_ins(self.split, tree, scratch)
        builder = self._builder(own, None)
        read_metadata_exactly(builder)
        (generator,) = builder._split_generators(datasets.StreamingDownloadManager())  # noqa: SLF001 - as a stream does
        has_metadata = bool(generator.gen_kwargs["metadata_files"])
        features, remarks = builder.info.features, list[str]()
        labels = None if has_metadata else self._labels(own, tree, scratch, remarks)
        if labels is not None:
            features = datasets.Features({**features, "label": datasets.ClassLabel(names=labels)})
        if self._card_fits(features):
            features = self.reader.features
        by_card = features is self.reader.features
        builder = self._builder(own, features if by_card or labels is not None else None)
        json_columns = read_metadata_exactly(builder) if builder.config.features is None else set()
        if labels is not None:
            _add_labels(builder)
        media = {path for path in _paths(own, tree) if self._is_media(path)} if has_metadata else set()

        def read() -> Iterator[pa.Table]:
            unused = set(media)
            for table in example_tables(builder, json_columns):
                renamed = _with_repository_paths(table, str(tree) + "/")
                if unused:
                    unused.difference_update(text for column in renamed.columns for text in _texts(column))
                yield renamed
            if unused:
                files = "1 file" if len(unused) == 1 else f"{len(unused)} files"
                remark = f"{files} of the split in no line of the metadata, and so in no row: {listed(sorted(unused))}"
                remarks[:] = [*(known for known in remarks if known != remark), remark]

        return FolderRows(features, read, remarks)

    def _labels(self, own: list[Path], tree: Path, scratch: Path, remarks: list[str]) -> list[str] | None:
        """The names of the classes in the order of their ids; None where folders are no classes.

        Folders are classes as `datasets` sees them: several of them in all splits together, all at the same depth.
        """
        dropped = self.reader.settings.get("drop_labels")
        if dropped:
            return None
        found = {self.split: list(_paths(own, tree))}
        for split in self.splits:
            if split != self.split:
                found[split] = list(_paths(self._stand_ins(split, tree, scratch, only_names=True), tree))
                if not self.reader.settings.get("drop_metadata") and any(map(_is_metadata, found[split])):
                    message = (
                        f"the split {self.split} has no metadata file, unlike {split}: its rows have no more columns"
                    )
                    remarks.append(message)
                    return None
        found = {split: [path for path in paths if self._is_media(path)] for split, paths in found.items()}
        folders = {split: {_folder(path) for path in paths} for split, paths in found.items()}
        names = sorted({name for some in folders.values() for name in some})
        card = self.reader.features or {}
        if dropped is False or (isinstance(card.get("label"), datasets.ClassLabel) and _has_all(card["label"], names)):
            return names
        depths = {path.count("/") for paths in found.values() for path in paths}
        are_splits = all(some <= {split, *_SPLIT_FOLDERS.get(split, ())} for split, some in folders.items())
        return None if len(names) < 2 or len(depths) > 1 or are_splits else names  # noqa: PLR2004 - one tells nothing apart

    def _card_fits(self, found: datasets.Features) -> bool:
        """Return True if the features of the card are about the columns that were found, and know all their labels."""
        card = self.reader.features
        if card is None or set(card) != set(found):
            return False
        label = found.get("label")
        names = label.names if isinstance(label, datasets.ClassLabel) else []
        return not isinstance(card.get("label"), datasets.ClassLabel) or _has_all(card["label"], names)

    def _is_media(self, path: str) -> bool:
        return posixpath.splitext(path.partition("::")[0])[1].lower() in self._class().EXTENSIONS

    def _class(self) -> type[FolderBasedBuilder]:
        cls: type[FolderBasedBuilder] = AudioFolder if self.reader.module == "audiofolder" else ImageFolder
        return cls

    def _stand_ins(self, split: str, tree: Path, scratch: Path, *, only_names: bool = False) -> list[Path]:
        return [self._stand_in(file, tree, scratch, only_names=only_names) for file in self.splits[split]]

    def _builder(self, paths: list[Path], features: datasets.Features | None) -> FolderBasedBuilder:
        """A builder for exactly these files (their names are no patterns), which leaves labels to `_labels`."""
        files = DataFilesDict({_SPLIT: DataFilesList([str(path) for path in paths], [("",)] * len(paths))})
        settings = {**self.reader.settings, "drop_labels": True}
        # a builder makes its cache when it is made, and a stream does not use it
        with tempfile.TemporaryDirectory(prefix="hugflow-") as cache:
            return self._class()(cache_dir=cache, data_files=files, features=features, **settings)

    def _stand_in(self, file: Shard, tree: Path, scratch: Path, *, only_names: bool) -> Path:
        path = tree / file.path
        if not path.resolve().is_relative_to(tree.resolve()):
            raise Terminal(
                f"listing {self.hf_id}", "a file's path leads out of the repository", "Report it to the Hub."
            )
        with faults(f"writing {path}"):
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.name in METADATA_NAMES and not only_names:
                fetched = fetch_shard(self.hub, self.hf_id, self.sha, file, scratch / "metadata")
                fetched.replace(path)
            elif path.suffix.lower() == ".zip":
                read_ranges(f"reading {file.path} of {self.hf_id}", partial(self._empty_zip, file, path))
            else:
                path.touch()
        return path

    def _empty_zip(self, file: Shard, path: Path) -> None:
        """Write a zip with the same names in which only metadata files have content, checked by their CRCs."""
        remote = RepositoryFile(self.hub, self.hf_id, self.sha, file.path, file.size_bytes)
        with zipfile.ZipFile(RemoteFile(remote)) as source, zipfile.ZipFile(path, "w") as target:
            for member in source.infolist():
                if posixpath.basename(member.filename) in METADATA_NAMES:
                    _copy_member(source, member, target, file.path)
                else:
                    target.writestr(member.filename, b"")


def _copy_member(source: zipfile.ZipFile, member: zipfile.ZipInfo, target: zipfile.ZipFile, path: str) -> None:
    """Copy a metadata file out of an archive, at most `MAX_METADATA_BYTES`."""
    if member.file_size > MAX_METADATA_BYTES:
        raise Terminal(
            f"reading {member.filename} in {path}",
            f"the archive says that it has {member.file_size} bytes, over {MAX_METADATA_BYTES}",
            "Ask the dataset's owners to publish it in another format.",
            reason="too_large",
        )
    with source.open(member) as content, target.open(member.filename, "w") as copy:
        shutil.copyfileobj(content, copy)


def _add_labels(builder: FolderBasedBuilder) -> None:
    """Make rows have the name of their file's folder as `label`, inside of archives too."""
    generate = builder._generate_examples  # noqa: SLF001 - the builders' own point of extension

    def labelled(*arguments: Any, **others: Any) -> Iterator[Any]:
        for key, row in generate(*arguments, **others):
            yield key, {**row, "label": _folder(row[builder.BASE_COLUMN_NAME])}

    builder._generate_examples = labelled  # noqa: SLF001 - the same


def _paths(files: Iterable[Path], tree: Path) -> Iterator[str]:
    """The paths in the repository of files and of members of zip archives, as rows name them; no hidden members."""
    for file in files:
        path = file.relative_to(tree).as_posix()
        if file.suffix.lower() != ".zip":
            yield path
            continue
        with zipfile.ZipFile(file) as archive:
            for name in archive.namelist():
                if not any(part.startswith((".", "__")) for part in name.split("/")):
                    yield f"zip://{name}::{path}"


def _is_metadata(path: str) -> bool:
    return posixpath.basename(path.partition("::")[0]) in METADATA_NAMES


def _folder(path: str) -> str:
    """The name of a file's folder; for a member at the top of an archive, that of the archive."""
    member, _, archive = path.removeprefix("zip://").partition("::")
    return posixpath.basename(posixpath.dirname(member)) or posixpath.basename(posixpath.dirname(archive))


def _has_all(label: datasets.ClassLabel, names: Iterable[str]) -> bool:
    return set(names) <= set(label.names)


def _texts(array: pa.Array | pa.ChunkedArray) -> Iterator[str]:
    """The texts of a column at any depth."""
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    kind = array.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        yield from (text for text in array.to_pylist() if text is not None)
    elif pa.types.is_struct(kind):
        for child in array.flatten():
            yield from _texts(child)
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        yield from _texts(array.flatten())


def _with_repository_paths(table: pa.Table, prefix: str) -> pa.Table:
    """Replace paths in the copy of the tree by paths in the repository, at any depth of a column."""
    for i, field in enumerate(table.schema):
        column = table.column(i).combine_chunks()
        changed = _strip(column, prefix)
        if changed is not column:
            table = table.set_column(i, field.name, changed)
    return table


def _strip(array: pa.Array, prefix: str) -> pa.Array:
    kind = array.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return pc.replace_substring(array, pattern=prefix, replacement="")
    if pa.types.is_struct(kind) and kind.num_fields:
        children = [_strip(child, prefix) for child in array.flatten()]
        return pa.StructArray.from_arrays(children, fields=list(kind), mask=array.is_null())
    if pa.types.is_list(kind):
        values = [
            None if item is None else _strip(pa.array(item, kind.value_type), prefix) for item in array.to_pylist()
        ]
        return pa.array([None if item is None else item.to_pylist() for item in values], kind)
    return array
