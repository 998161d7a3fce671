"""Rows of audio and image folders, from file names and metadata alone, before any audio is fetched.

`datasets` makes the rows from a copy of the repository's tree in which every media file is empty: only metadata files
(and those inside of zip archives) are fetched. The rows name their files by the path in the repository.
"""

from __future__ import annotations

import posixpath
import shutil
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from hugflow.hf_client.http import Hub
from hugflow.hf_client.read.fetch import fetch_shard
from hugflow.hf_client.read.readers import Reader
from hugflow.hf_client.read.transcode import read_ranges
from hugflow.hf_client.remote_file import RemoteFile, RepositoryFile
from hugflow.model.errors import Terminal
from hugflow.model.plan import Shard
from hugflow.storage.disk import faults

METADATA_NAMES = {"metadata.csv", "metadata.jsonl", "metadata.parquet"}
MAX_METADATA_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Folder:
    """The files of a folder dataset's split, and how `datasets` reads them."""

    hub: Hub
    hf_id: str
    sha: str
    files: tuple[Shard, ...]
    reader: Reader

    def tables(self, scratch: Path) -> Callable[[], Iterator[pa.Table]]:
        """Build the copy of the tree in `scratch` and return a function that reads its rows again on each call."""
        tree = scratch / "tree"
        paths = [self._stand_in(file, tree, scratch) for file in self.files]

        def read() -> Iterator[pa.Table]:
            for table in self.reader.tables(paths):
                yield _with_repository_paths(table, str(tree) + "/")

        return read

    def _stand_in(self, file: Shard, tree: Path, scratch: Path) -> Path:
        path = tree / file.path
        if not path.resolve().is_relative_to(tree.resolve()):
            raise Terminal(
                f"listing {self.hf_id}", "a file's path leads out of the repository", "Report it to the Hub."
            )
        with faults(f"writing {path}"):
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.name in METADATA_NAMES:
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
