"""Publish tables from Python: data with rows becomes configs of a dataset on the Hub, in one commit."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Unpack

import pyarrow as pa

from hugflow.api.connection import CommitOptions, Connection, Published, PublishOptions, publisher, storage_of
from hugflow.model.errors import UsageError
from hugflow.model.publish_spec import PublishSpec, Quality
from hugflow.publish.job import STAND_IN, PublishJob, TableJob, open_job
from hugflow.publish.request import located, spec_of
from hugflow.publish.run import Outcome
from hugflow.publish.sending import UploadTally
from hugflow.publish.sources.opening import Source, of_arrow, of_batches, open_tables
from hugflow.request.file import load

STREAM_ROWS = 1000  # of a stream nobody knows how large its rows are

Data = Any
"""Data to publish: an Arrow table, record batch or stream of them (also by `__arrow_c_stream__`, as of pandas and
polars), a dataset of `datasets`, or a path (file, folder, glob; also of audio and images). Or such things by split."""


@dataclass(frozen=True, slots=True)
class TableData:
    """A table with the fields of a table in a publish request.

    `data` is the rows, or the rows by split; `path`s in it are paths of this machine.
    """

    data: Data
    description: str | None = None
    timestamp_column: str | None = None
    interval: str | None = None
    distinct: Mapping[str, str] | None = None
    quality: Quality | Mapping[str, Any] | None = None


def push_to_hub(
    data: Data,
    repo_id: str,
    *,
    config_name: str = "default",
    split: str = "train",
    **options: Unpack[PublishOptions],
) -> Published:
    """Publish one table as a config of a dataset, in one commit; other configs stay.

    Raises InvalidRequest, AuthenticationError, NotFoundError, RateLimited, Conflict, MovedHead, TooLarge,
    QuotaExceeded, HubUnavailable, Locked, StorageFault.
    """
    rows = data if isinstance(data, Mapping) else {split: data}
    return publish_tables({config_name: rows}, repo_id, **options)


def publish_table(
    data: Data,
    repo_id: str,
    name: str,
    *,
    description: str | None = None,
    timestamp_column: str | None = None,
    interval: str | None = None,
    distinct: Mapping[str, str] | None = None,
    quality: Quality | Mapping[str, Any] | None = None,
    **options: Unpack[CommitOptions],
) -> Published:
    """Publish one table with its description, facts and quality rules; the others of spec.json and card stay.

    `description` is that of the table. Raises InvalidRequest (`quality`) where a rule is broken: nothing is published
    then; and what `push_to_hub` raises.
    """
    table = TableData(data, description, timestamp_column, interval, distinct, quality)
    return publish_tables({name: table}, repo_id, **options)


def publish_tables(tables: Mapping[str, Data], repo_id: str, **options: Unpack[PublishOptions]) -> Published:
    """Publish several tables, each a config of its own, in one commit. Values are rows, rows by split, or `TableData`.

    Raises what `publish_table` raises.
    """
    given = {name: each if isinstance(each, TableData) else TableData(each) for name, each in tables.items()}
    values: dict[str, Any] = {**options, "repo_id": repo_id}
    for name in Connection.__annotations__:
        values.pop(name, None)
    values["tables"] = [{"name": name, "path": STAND_IN, **_known(table)} for name, table in given.items()]
    spec = spec_of(values, f"publishing to {repo_id}")
    with tempfile.TemporaryDirectory(prefix="hugflow-rows-") as scratch:
        jobs = tuple(
            TableJob(table, tuple(_sources(table.name, given[table.name].data, Path(scratch))), f"tables[{place}]")
            for place, table in enumerate(spec.local_tables)
        )
        return _publish(PublishJob("", spec, jobs), options)


def upload_batch(
    batch: pa.RecordBatch,
    repo_id: str,
    *,
    config_name: str = "default",
    split: str = "train",
    **options: Unpack[PublishOptions],
) -> Published:
    """Add an Arrow record batch to the rows of a split. Raises TypeError for other data, and as `push_to_hub`.

    Each call adds its rows, so that three calls give three batches; `append=False` replaces the split.
    """
    if not isinstance(batch, pa.RecordBatch):
        raise TypeError(f"not a record batch: {type(batch).__name__}; push_to_hub takes other data")
    appending: PublishOptions = {"append": True, **options}
    return push_to_hub(batch, repo_id, config_name=config_name, split=split, **appending)


def publish_request(
    file: str | os.PathLike[str], root: str | os.PathLike[str] = ".", **connection: Unpack[Connection]
) -> Published:
    """Carry out a publish request, as `hugflow publish` does; its paths are relative to `root`.

    Raises InvalidRequestFile with every problem of the file, and what `publish_table` raises.
    """
    request = load(Path(file))
    if not isinstance(request.spec, PublishSpec):
        raise UsageError("publishing", f"{file} is no publish request", "Give one under requests/publish/.")
    storage = storage_of(connection)
    return _publish(open_job(request.path, request.spec, Path(root), storage), connection)


def _publish(job: PublishJob, connection: Connection | PublishOptions) -> Published:
    tally = UploadTally()
    with publisher(connection) as ready:
        outcome = ready.publish(job, tally)
    return _published(outcome, tally)


def _published(outcome: Outcome, tally: UploadTally) -> Published:
    commit = outcome.commit
    return Published(
        repo_id=outcome.repo_id,
        url=outcome.url,
        sha=outcome.sha,
        commit_url=commit.url if commit else None,
        pr_url=commit.pr_url if commit else None,
        rows={table.name: table.rows for table in outcome.tables},
        version=outcome.version,
        size_bytes=outcome.size_bytes,
        sent_bytes=tally.sent_bytes,
    )


def _known(table: TableData) -> dict[str, Any]:
    """The fields of a table that are given."""
    quality = table.quality.model_dump(exclude_unset=True) if isinstance(table.quality, Quality) else table.quality
    values = {
        "description": table.description,
        "timestamp_column": table.timestamp_column,
        "interval": table.interval,
        "distinct": dict(table.distinct) if table.distinct is not None else None,
        "quality": dict(quality) if quality is not None else None,
    }
    return {name: value for name, value in values.items() if value is not None}


def _sources(config: str, data: Data, scratch: Path) -> list[Source]:
    """The splits of a table, opened."""
    splits = dict(data) if isinstance(data, Mapping) else {"train": data}
    paths = {split: each for split, each in splits.items() if isinstance(each, str | os.PathLike)}
    if not paths:
        return [_source(each, config, split, scratch) for split, each in splits.items()]
    if len(paths) < len(splits):
        raise TypeError("the splits of a table are either all paths, or all data")
    places = {split: located(Path(path)) for split, path in paths.items()}
    root = Path(os.path.commonpath([folder for folder, _ in places.values()]))
    named = {split: str(PurePosixPath((folder / name).relative_to(root))) for split, (folder, name) in places.items()}
    table = {"name": config, "splits": named}
    spec = spec_of({"repo_id": "org/name", "tables": [table]}, "opening what is to be published")
    return open_tables(spec, root)


def _source(data: Data, config: str, split: str, scratch: Path) -> Source:
    """Data as a source: a dataset of `datasets` is read as often as needed, where it is no stream."""
    if not hasattr(data, "with_format") or getattr(data, "features", None) is None:
        return of_arrow(data, config, split, scratch=scratch)
    schema = data.features.arrow_schema

    def batches(*, max_chunksize: int) -> Iterator[pa.RecordBatch]:
        for table in data.with_format("arrow").iter(batch_size=max_chunksize):
            yield from table.to_batches()

    if not hasattr(data, "data"):
        stream = pa.RecordBatchReader.from_batches(schema, batches(max_chunksize=STREAM_ROWS))
        return of_arrow(stream, config, split, scratch=scratch)
    return of_batches(batches, schema, len(data), data.data.nbytes, config, split)
