"""Describes a split by the format of its files, and converts each of its shards to a parquet file in scratch.

There are three ways: parquet files are fetched as they are; other files are fetched and transcoded; folders of audio
files become a table of paths, whose audio is fetched row by row. Everything behind this file knows only parquet.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, cast

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub.hf_api import DatasetInfo, RepoSibling

from hugflow.formats.parquet_rows import without_row_error_column
from hugflow.hf_client.http import Hub
from hugflow.hf_client.read.columns import columns_of
from hugflow.hf_client.read.fetch import fetch_shard
from hugflow.hf_client.read.folders import Folder
from hugflow.hf_client.read.readers import Reader, first_samples, media_feature
from hugflow.hf_client.read.repository_reader import FOLDERS
from hugflow.hf_client.read.transcode import read_ranges, readable, transcode
from hugflow.hf_client.remote_file import RemoteFile, RepositoryFile
from hugflow.model.errors import InvalidRequest, Terminal, UnreadableSource
from hugflow.model.plan import Column, Shard

TRANSCODED = frozenset({"arrow", "csv", "json", "parquet", "text", "webdataset", "xml"})
ROWS = "rows.parquet"
FIRST_ROWS = 100
"""Rows of JSON or CSV that are read for the plan: they name the columns."""


@dataclass(frozen=True, slots=True)
class Description:
    """Description of a split: its columns, its Arrow schema, its shards, and the row count that its card declares."""

    format: str
    columns: tuple[Column, ...]
    schema: pa.Schema
    shards: tuple[Shard, ...]
    expected_rows: int | None = None
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SplitFiles:
    """The files of one split at one commit, in order, and their reader in `datasets`."""

    hub: Hub
    hf_id: str
    sha: str
    name: str
    module: str
    files: tuple[Shard, ...]
    reader: Reader
    builder: datasets.DatasetBuilder
    other_splits: Mapping[str, tuple[Shard, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, hub: Hub, info: DatasetInfo, builder: datasets.DatasetBuilder, split: str) -> SplitFiles:
        """The files that `builder` lists for `split`. Raises InvalidRequest for a format that cannot be read."""
        known = {sibling.rfilename: sibling for sibling in info.siblings or []}
        prefix = f"hf://datasets/{info.id}@{info.sha}/"
        paths = _in_repository(builder.config.data_files[split], prefix)
        module = type(builder).__module__.rsplit(".", 1)[-1]
        doing = f"reading the files of {info.id}"
        if module not in TRANSCODED | FOLDERS:
            raise InvalidRequest(
                doing,
                f"its files are of a format that is not supported: {module}",
                "Many datasets have a converted branch: try `revision: refs/convert/parquet`.",
                reason="unsupported_format",
                field="hf_id",
            )
        strange = next((path for path in paths if path not in known), None)
        if strange is not None:
            raise InvalidRequest(
                doing,
                f"its card names files that are not in the repository: {strange}",
                "Only datasets whose files are in their own repository can be downloaded.",
                reason="foreign_files",
                field="hf_id",
            )
        files = tuple(_shard(known[path]) for path in paths)
        reader = Reader(module, _settings(builder), builder.info.features)
        others = {
            str(other): tuple(_shard(known[path]) for path in _in_repository(addresses, prefix) if path in known)
            for other, addresses in builder.config.data_files.items()
            if module in FOLDERS and str(other) != split
        }
        return cls(hub, info.id, info.sha or "", split, module, files, reader, builder, others)

    @property
    def is_folder(self) -> bool:
        """True when rows are built from file names and metadata."""
        return self.module in FOLDERS

    def has_plain_parquet(self) -> bool:
        """Return True if the files are parquet that is used unchanged.

        Not where the card names classes whose labels are texts in the file: `datasets` gives their ids. To know that
        takes a footer.
        """
        whole = all(file.path.endswith(".parquet") for file in self.files)
        if self.module != "parquet" or not whole or self.reader.settings:
            return False
        features = self.reader.features or {}
        labels = [name for name, feature in features.items() if isinstance(feature, datasets.ClassLabel)]
        if not labels or not self.files:
            return True
        schema, _ = self._counted(self.files[0])
        texts = {
            field.name for field in schema if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)
        }
        return set(schema.names) != set(features) or texts.isdisjoint(labels)

    def describe(self) -> Description:
        """Describe the split; only the data that this takes is fetched."""
        if self.has_plain_parquet():
            return self._describe_parquet()
        if self.is_folder:
            return self._describe_folder()
        schema, features = self._first_rows()
        counts = self.builder.info.splits or {}
        expected = counts[self.name].num_examples if self.name in counts else None
        module = "parquet-view" if self.module == "parquet" else self.module
        return Description(module, columns_of(schema, features), schema, self.files, expected or None)

    def fetch_rows(self, index: int, folder: Path) -> Path:
        """Convert shard `index` of the split to a parquet file of rows in `folder`, a folder of its own in scratch.

        Raises Transient, AuthenticationError, Terminal, StorageFault.
        """
        if self.has_plain_parquet():
            return fetch_shard(self.hub, self.hf_id, self.sha, self.files[index], folder)
        target = folder / ROWS
        doing = f"reading {self.files[index].path if not self.is_folder else 'the folders'} of {self.hf_id}"
        if self.is_folder:
            folder.mkdir(parents=True, exist_ok=True)
            with readable(doing):
                tables = self._folder().rows(folder).tables
            transcode(doing, tables, target)
            return target
        file = self.files[index]
        fetched = fetch_shard(self.hub, self.hf_id, self.sha, file, folder / "source")
        transcode(doing, lambda: self.reader.tables([fetched], file.path), target)
        fetched.unlink()
        return target

    def _describe_parquet(self) -> Description:
        with ThreadPoolExecutor(self.hub.max_concurrent_downloads) as threads:
            found = list(threads.map(self._counted, self.files))
        schema = self._common_schema([schema for schema, _ in found])
        shards: list[Shard] = []
        first_row = 0
        for _, shard in found:
            shards.append(shard.model_copy(update={"first_row": first_row}))
            first_row += shard.rows
        return Description("parquet", columns_of(schema, self.reader.features), schema, tuple(shards))

    def _counted(self, file: Shard) -> tuple[pa.Schema, Shard]:
        """Return the schema of a parquet file, and the file with the rows that its footer counts.

        The footer costs one range request (two for the few that are longer than 64 KiB), and is not kept.
        """
        doing = f"reading the footer of {file.path}"
        footer = read_ranges(doing, lambda: pq.read_metadata(RemoteFile(self._remote(file))))
        row_groups = [footer.row_group(i) for i in range(footer.num_row_groups)]
        groups = tuple(group.num_rows for group in row_groups)
        if min(groups, default=0) < 0 or sum(groups) != footer.num_rows:
            problem = f"it counts {footer.num_rows:,} rows, but {sum(groups):,} in its row groups"
            raise UnreadableSource(doing, problem, "Report it to the dataset's owners.")
        largest = max((group.total_byte_size for group in row_groups), default=0)
        known = {"groups": groups, "largest_group_bytes": largest}
        return footer.schema.to_arrow_schema(), file.model_copy(update=known)

    def _remote(self, file: Shard) -> RepositoryFile:
        return RepositoryFile(self.hub, self.hf_id, self.sha, file.path, file.size_bytes)

    def _common_schema(self, schemas: list[pa.Schema]) -> pa.Schema:
        try:
            return pa.unify_schemas(schemas, promote_options="permissive") if schemas else pa.schema([])
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise UnreadableSource(
                f"comparing the columns of {self.hf_id}",
                f"its files have different types for the same column: {error}",
                "Report it to the dataset's owners; `datasets` cannot load it either.",
                reason="mixed_schema",
            ) from error

    def _describe_folder(self) -> Description:
        """Describe an audio or image folder by its whole table of rows, which is small: names and metadata."""
        with TemporaryDirectory(prefix="hugflow-") as scratch:
            rows = Path(scratch) / ROWS
            doing = f"listing the rows of {self.hf_id}"
            with readable(doing):
                found = self._folder().rows(Path(scratch))
            transcode(doing, found.tables, rows)
            metadata = pq.read_metadata(rows)
        groups = tuple(metadata.row_group(i).num_rows for i in range(metadata.num_row_groups))
        size = sum(file.size_bytes for file in self.files)
        shard = Shard(path="", size_bytes=size, sha256=None, blob_id=None, first_row=0, groups=groups)
        schema = metadata.schema.to_arrow_schema()
        columns = columns_of(schema, found.features)
        return Description(self.module, columns, schema, (shard,), remarks=tuple(found.remarks))

    def _folder(self) -> Folder:
        splits = {self.name: self.files, **self.other_splits}
        return Folder(self.hub, self.hf_id, self.sha, splits, self.name, self.reader)

    def _first_rows(self) -> tuple[pa.Schema, datasets.Features | None]:
        """The schema of the first rows, streamed from the Hub: it names the columns; their types may widen later."""
        doing = f"reading the first rows of {self.hf_id}"

        def ask() -> tuple[pa.Schema, datasets.Features | None]:
            with readable(doing):
                if self.module == "webdataset":
                    return self._first_samples()
                return self._first_of_rows() if self.reader.reads_rows else self._first_of_stream()

        return self.hub.call(doing, ask)

    def _first_of_stream(self) -> tuple[pa.Schema, datasets.Features | None]:
        rows = self.builder.as_streaming_dataset(split=self.name)
        first = next(iter(rows.with_format("arrow").iter(1)), None)
        return pa.schema([]) if first is None else first.schema.remove_metadata(), rows.features

    def _first_of_rows(self) -> tuple[pa.Schema, datasets.Features | None]:
        rows = list(islice(chain.from_iterable(self.reader.rows(*self._opened(f)) for f in self.files), FIRST_ROWS))
        first = next(self.reader.tables_of_rows(lambda: iter(rows)), pa.table({}))
        return without_row_error_column(first.schema.remove_metadata()), self.reader.features

    def _opened(self, file: Shard) -> tuple[Callable[[], BinaryIO], str]:
        """Return a function that opens a file on the Hub, and its path."""
        return lambda: cast("BinaryIO", io.BufferedReader(RemoteFile(self._remote(file)))), file.path

    def _first_samples(self) -> tuple[pa.Schema, datasets.Features | None]:
        schemas = (first_samples(self._opened(file)[0], self.reader.features) for file in self.files)
        schema = next((schema for schema in schemas if schema.names), pa.schema([]))
        features = datasets.Features.from_arrow_schema(schema)
        special = {name: media_feature(name, self.reader.features) for name in schema.names}
        return schema, datasets.Features(features | {name: kind for name, kind in special.items() if kind is not None})


def _in_repository(addresses: Iterable[str], prefix: str) -> list[str]:
    return [str(address).removeprefix(prefix) for address in addresses]


def _settings(builder: datasets.DatasetBuilder) -> dict[str, Any]:
    """Reader settings from the repository's card: the fields of its config that differ from the defaults."""
    config = builder.config
    ours = {"name", "version", "data_dir", "data_files", "description", "features"}
    fields = [field for field in dataclasses.fields(config) if field.name not in ours]
    plain = type(config)()
    return {f.name: getattr(config, f.name) for f in fields if getattr(config, f.name) != getattr(plain, f.name)}


def _shard(file: RepoSibling) -> Shard:
    if file.size is None:
        raise Terminal(f"reading the size of {file.rfilename}", "the Hub does not tell it", "Try again later.")
    sha256 = file.lfs.sha256 if file.lfs else None
    return Shard(path=file.rfilename, size_bytes=file.size, sha256=sha256, blob_id=file.blob_id)
