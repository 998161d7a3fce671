"""Publish tables from Python: data with rows becomes configs of a dataset on the Hub, in one commit."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Unpack

import pyarrow as pa

from hugflow.api.boundary import own_errors
from hugflow.api.connection import CommitOptions, Connection, Published, PublishOptions, publisher, storage_of
from hugflow.model.errors import HugflowError, InvalidRequest, UnsupportedData, UsageError
from hugflow.model.publish_spec import ColumnType, PublishSpec, Quality, Table
from hugflow.publish.job import STAND_IN, PublishJob, TableJob, open_job
from hugflow.publish.request import located, spec_of
from hugflow.publish.run import Outcome
from hugflow.publish.sending import UploadTally
from hugflow.publish.sources.attached import MachineFiles
from hugflow.publish.sources.opening import Source, of_arrow, of_batches, of_stream, open_tables, with_types
from hugflow.request.file import load
from hugflow.text.printable import shown

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
    columns: Mapping[str, ColumnType] | None = None


@own_errors("publishing a table")
def push_to_hub(
    data: Data,
    repo_id: str,
    *,
    config_name: str = "default",
    split: str | None = None,
    columns: Mapping[str, ColumnType] | None = None,
    **options: Unpack[PublishOptions],
) -> Published:
    """Publish one table as a config of a dataset, in one commit; other configs stay.

    Without `split` a folder has the splits of its files, other data are `train`. `columns` sets types of columns.
    Raises InvalidRequest, AuthenticationError, NotFoundError, RateLimited, Conflict, MovedHead, TooLarge,
    QuotaExceeded, HubUnavailable, Locked, StorageFault.
    """
    rows = data if split is None or isinstance(data, Mapping) else {split: data}
    return publish_tables({config_name: TableData(rows, columns=columns)}, repo_id, **options)


@own_errors("publishing a table")
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
    columns: Mapping[str, ColumnType] | None = None,
    **options: Unpack[CommitOptions],
) -> Published:
    """Publish one table with its description, facts and quality rules; the others of spec.json and card stay.

    `description` is that of the table. Raises InvalidRequest (`quality`) where a rule is broken: nothing is published
    then; and what `push_to_hub` raises.
    """
    table = TableData(data, description, timestamp_column, interval, distinct, quality, columns)
    return publish_tables({name: table}, repo_id, **options)


@own_errors("publishing tables")
def publish_tables(tables: Mapping[str, Data], repo_id: str, **options: Unpack[PublishOptions]) -> Published:
    """Publish several tables, each a config of its own, in one commit. Values are rows, rows by split, or `TableData`.

    Raises what `publish_table` raises.
    """
    if not isinstance(tables, Mapping):
        raise _unsupported(tables, "a mapping of config names to tables, such as `{'prices': table}`")
    given = {name: each if isinstance(each, TableData) else TableData(each) for name, each in tables.items()}
    values: dict[str, Any] = {**options, "repo_id": repo_id}
    for name in Connection.__annotations__:
        values.pop(name, None)
    values["tables"] = [{"name": name, **_stand_in(table.data), **_known(table)} for name, table in given.items()]
    spec = spec_of(values, f"publishing to {repo_id}")
    with tempfile.TemporaryDirectory(prefix="hugflow-rows-") as scratch:
        jobs = []
        for place, table in enumerate(spec.local_tables):
            sources = _sources(table, given[table.name].data, Path(scratch))
            jobs.append(TableJob(table, tuple(sources), f"tables[{place}]"))
        return _publish(PublishJob("", spec, tuple(jobs)), options)


@own_errors("publishing a record batch")
def upload_batch(
    batch: pa.RecordBatch,
    repo_id: str,
    *,
    config_name: str = "default",
    split: str = "train",
    **options: Unpack[PublishOptions],
) -> Published:
    """Add an Arrow record batch to the rows of a split. Raises UnsupportedData for other data, and as `push_to_hub`.

    Each call adds its rows, so that three calls give three batches; `append=False` replaces the split.
    """
    if not isinstance(batch, pa.RecordBatch):
        raise UnsupportedData(
            "publishing a record batch",
            f"not a record batch: {type(batch).__name__}",
            "`push_to_hub` takes other data.",
        )
    appending: PublishOptions = {"append": True, **options}
    return push_to_hub(batch, repo_id, config_name=config_name, split=split, **appending)


@own_errors("publishing a request")
def publish_request(
    file: str | os.PathLike[str], root: str | os.PathLike[str] = ".", **connection: Unpack[Connection]
) -> Published:
    """Carry out a publish request, as `hugflow publish` does; its paths are relative to `root`.

    Raises InvalidRequestFile with every problem of the file, and what `publish_table` raises.
    """
    request = load(Path(file))
    if not isinstance(request.spec, PublishSpec):
        raise UsageError("publishing", f"{file} is not a publish request", "Give one under requests/publish/.")
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


def _stand_in(data: Data) -> dict[str, Any]:
    """The paths of a table as its request has them, so that names of splits are checked."""
    if isinstance(data, Mapping) and data:
        return {"splits": {str(split): STAND_IN for split in data}}
    return {"path": STAND_IN}


def _known(table: TableData) -> dict[str, Any]:
    """The fields of a table that are given."""
    quality = table.quality.model_dump(exclude_unset=True) if isinstance(table.quality, Quality) else table.quality
    values = {
        "description": table.description,
        "timestamp_column": table.timestamp_column,
        "interval": table.interval,
        "distinct": dict(table.distinct) if table.distinct is not None else None,
        "quality": dict(quality) if quality is not None else None,
        "columns": dict(table.columns) if table.columns is not None else None,
    }
    return {name: value for name, value in values.items() if value is not None}


def _sources(table: Table, data: Data, scratch: Path) -> list[Source]:
    """The splits of a table, opened."""
    splits = {str(split): each for split, each in data.items()} if isinstance(data, Mapping) else {"": data}
    if any(isinstance(each, list | tuple) for each in splits.values()) and isinstance(data, Mapping):
        fix = "A mapping has the splits of a table: give `pa.table(columns)` for columns."
        raise UnsupportedData("opening the data", "the values of a mapping are lists, not tables", fix)
    if not splits:
        raise _unsupported(data, "a table, a path, or a mapping of splits to them")
    paths = {split: each for split, each in splits.items() if isinstance(each, str | os.PathLike)}
    if not paths:
        names = {split or "train": each for split, each in splits.items()}
        as_paths = table.columns is not None
        sources = [_source(each, table.name, split, scratch, as_paths=as_paths) for split, each in names.items()]
        return with_types(sources, table.columns, "columns")
    if len(paths) < len(splits):
        raise _unsupported(data, "for the splits of a table either all paths, or all tables")
    places = {split: located(Path(path)) for split, path in paths.items()}
    root = Path(os.path.commonpath([folder for folder, _ in places.values()]))
    named = {split: str(PurePosixPath((folder / name).relative_to(root))) for split, (folder, name) in places.items()}
    where = {"path": named[""]} if "" in named else {"splits": named}
    known = {"name": table.name, "columns": table.columns}
    values = {name: value for name, value in (known | where).items() if value is not None}
    spec = spec_of({"repo_id": "org/name", "tables": [values]}, "opening the tables")
    return open_tables(spec, root)


def _source(data: Data, config: str, split: str, scratch: Path, *, as_paths: bool) -> Source:
    """Data in memory as a source; `as_paths`: the request may make audio or images of paths."""
    _check_shape(data)
    if hasattr(data, "with_format") and hasattr(data, "features"):
        return _of_dataset(data, config, split, scratch)
    try:
        source = of_arrow(data, config, split, scratch=scratch)
    except TypeError as error:
        if isinstance(error, pa.ArrowException):
            raise
        raise _unsupported(data, "a table") from None
    except (HugflowError, MemoryError, OSError, pa.ArrowException):
        raise
    except Exception as error:  # of the program whose stream it is
        raise _unreadable(error) from error
    return replace(source, open_files=MachineFiles) if as_paths else source


def _of_dataset(data: Any, config: str, split: str, scratch: Path) -> Source:
    """A dataset of `datasets`, read as often as needed where it is no stream; its paths are of this machine."""

    def batches(*, max_chunksize: int) -> Iterator[pa.RecordBatch]:
        try:
            if data.features is None:
                # a stream whose types nobody knows yet: `datasets` cannot make one table of rows that differ
                stream = iter(data)
                while rows := list(itertools.islice(stream, max_chunksize)):
                    yield pa.RecordBatch.from_struct_array(pa.array(rows))
                return
            for table in data.with_format("arrow").iter(batch_size=max_chunksize):
                yield from table.to_batches()
        except (HugflowError, MemoryError, OSError):
            raise
        except Exception as error:  # of the program's own functions, and of `datasets`
            raise _unreadable(error) from error

    if hasattr(data, "data"):
        schema = data.features.arrow_schema
        source = of_batches(batches, schema, len(data), data.data.nbytes, config, split)
    else:
        schema = data.features.arrow_schema if data.features is not None else None
        source = of_stream(batches(max_chunksize=STREAM_ROWS), schema, config, split, scratch)
    return replace(source, open_files=MachineFiles)


def _unreadable(error: Exception) -> InvalidRequest:
    return InvalidRequest(
        "reading the data",
        f"its rows cannot be read: {type(error).__name__}: {shown(str(error), 300)}",
        "Read them once without Hugflow to see why.",
        reason="unreadable",
    )


# -- data of a wrong shape --------------------------------------------------------------------------------------------


def _check_shape(data: Data) -> None:
    """Raise UnsupportedData for what is no table, and for columns whose values are places in memory."""
    if type(data).__name__ == "LazyFrame":
        raise _unsupported(data, "a table")
    if isinstance(data, pa.Array | pa.ChunkedArray) or type(data).__name__ == "Series":
        raise _unsupported(data, "a table: give the column a name, `pa.table({'name': column})`")
    schema = getattr(data, "schema", None)
    if type(data).__module__.startswith("polars") and isinstance(schema, Mapping):
        for name, kind in schema.items():
            if "Object" in str(kind):
                raise InvalidRequest(
                    "opening the table",
                    f"its column {shown(str(name))} is of the type `Object`, which datasets on the Hub cannot have",
                    "Make it another type, such as text or numbers, or leave the column out.",
                    reason="unsupported_type",
                )


def _unsupported(data: Any, wanted: str) -> UnsupportedData:
    return UnsupportedData(
        "opening the data",
        f"{type(data).__name__} is not {wanted}",
        _advice(data) or "docs/publishing.md lists all data.",
    )


def _advice(data: Any) -> str:
    """The call that makes a table of data of some usual shapes."""
    name = type(data).__name__
    if name == "LazyFrame":
        return "Give `frame.collect()`."
    if isinstance(data, list | tuple) and data and all(isinstance(row, Mapping) for row in data):
        return "Give `pa.Table.from_pylist(rows)`."
    if isinstance(data, list | tuple):
        return "Give a table, such as `pa.table({'name': values})`, or publish each with `publish_tables`."
    if name == "DataFrame" and hasattr(data, "toArrow"):
        return "Give `frame.toArrow()`."
    if isinstance(data, Iterator) or callable(data):
        return "Give `datasets.IterableDataset.from_generator(function)`, or a `pa.RecordBatchReader`."
    if name == "ndarray":
        return "Give a table, such as `pa.table({'name': list(values)})`."
    if isinstance(data, bytes | bytearray):
        return "Give the path of a file, or `upload_file` for the bytes of one."
    if data is None:
        return "Give a table or a path."
    return ""
