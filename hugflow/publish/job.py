"""The input of one publish: its tables with their opened sources, and fingerprints of both."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hugflow.card.sections import Origin
from hugflow.model.errors import InvalidRequest
from hugflow.model.publish_spec import PublishSpec, Table
from hugflow.publish import shards
from hugflow.publish.origin import stored_origin
from hugflow.publish.shards import ShardOptions
from hugflow.publish.sources.opening import Source, open_storage, open_tables, with_types
from hugflow.storage.disk import faults
from hugflow.storage.storage_root import Storage
from hugflow.text.printable import shown
from hugflow.version import __version__

STAND_IN = "in-memory"
"""The path of a table that has none; nothing opens it."""
_TABLE_FIELDS = ("description", "columns", "timestamp_column", "interval", "distinct", "quality")


@dataclass(frozen=True, slots=True)
class TableJob:
    """A table with its splits. `at` is its place in the request, such as `tables[0]`; empty for the only one."""

    table: Table
    sources: tuple[Source, ...]
    at: str = ""

    @property
    def name(self) -> str:
        """The config's name."""
        return self.table.name

    @property
    def features(self) -> Mapping[str, Any]:
        """The table's columns as the Hub writes them; all splits have the same."""
        return self.sources[0].features

    def fingerprint(self) -> str | None:
        """A hash of all that its facts depend on; None for rows in memory."""
        files = [_files(source) for source in self.sources]
        if not all(files):
            return None
        return _digest("facts", __version__, self.table.model_dump(mode="json"), files)


@dataclass(frozen=True, slots=True)
class PublishJob:
    """A publish: the request's path (empty for one without a file), its fields, and its tables.

    `origin` is the dataset on the Hub that the rows of a dataset in storage were downloaded from.
    """

    request: str
    spec: PublishSpec
    tables: tuple[TableJob, ...]
    origin: Origin | None = None

    @property
    def options(self) -> ShardOptions:
        """The sizes and the number of shards that the request asks for."""
        spec = self.spec
        size = None if spec.num_shards is not None else spec.shard_size_bytes
        return ShardOptions(max_shard_bytes=size, num_shards=spec.num_shards, embed=spec.embed_external_files)

    def fingerprint(self, source: Source) -> str | None:
        """A hash of all that the bytes of a split's shards depend on; None for rows in memory."""
        files, options = _files(source), self.options
        if not files:
            return None
        how = [options.max_shard_bytes, options.num_shards, options.embed, shards.LAYOUT, __version__]
        return _digest("shards", how, source.config, source.split, dict(source.features), str(source.schema), files)


def open_job(request: str, spec: PublishSpec, root: Path, storage: Storage) -> PublishJob:
    """Open what a request names. Raises InvalidRequest (with its field), StorageFault."""
    if spec.from_storage is not None:
        table = only_table(spec)
        sources = _stored(spec, table, storage)
        return PublishJob(request, spec, (TableJob(table, tuple(sources)),), stored_origin(storage, spec.from_storage))
    sources = open_tables(spec, root)
    return PublishJob(request, spec, tuple(_grouped(spec, sources)))


def only_table(spec: PublishSpec) -> Table:
    """The table of a request that has one source for the whole of it."""
    values = {field: getattr(spec, field) for field in _TABLE_FIELDS if getattr(spec, field) is not None}
    return Table(name=spec.config_names[0], path=STAND_IN, **values)


def _stored(spec: PublishSpec, table: Table, storage: Storage) -> list[Source]:
    name = spec.from_storage or ""
    try:
        dataset = storage.dataset(name)
    except ValueError:
        problem = f"{shown(name)} is not the name of a dataset"
        fix = "`hugflow status` lists the datasets."
        raise InvalidRequest(f"opening {shown(name)}", problem, fix, field="from_storage") from None
    return with_types(open_storage(dataset, table.name), table.columns, "columns")


def _grouped(spec: PublishSpec, sources: Sequence[Source]) -> list[TableJob]:
    """The sources of each table, in the order of the request."""
    one = spec.tables is None
    return [
        TableJob(
            table,
            tuple(source for source in sources if source.config == table.name),
            "" if one else f"tables[{place}]",
        )
        for place, table in enumerate(spec.local_tables)
    ]


def _files(source: Source) -> list[list[object]]:
    """Path, size, times and inode of each file of a source, which differ once it changed. Empty for rows in memory."""
    found: list[list[object]] = []
    for file in source.files:
        with faults(f"looking at {file}"):
            state = file.stat()
        found.append([str(file), state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino])
    return found


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
