"""Open the sources of a publish request: files, folders and globs, tables in memory, a dataset in storage."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from hugflow.model.publish_spec import PublishSpec, Table
from hugflow.publish.sources.arrow_files import TypedFiles, gathered, rows_a_batch
from hugflow.publish.sources.attached import FolderFiles, NoFiles
from hugflow.publish.sources.features import columns_of, fitted, has_files
from hugflow.publish.sources.files import DataFile, Found, Place, find, nothing_there
from hugflow.publish.sources.folders import DescribedFolders, PlainFolders
from hugflow.publish.sources.formats import FileTable, file_kinds, open_files
from hugflow.publish.sources.media import FEATURES, is_metadata
from hugflow.publish.sources.partitions import with_partitions
from hugflow.publish.sources.splits import NamedSplit, split_files
from hugflow.publish.sources.stored import open_storage
from hugflow.publish.sources.tables import FileReader, Source
from hugflow.publish.sources.typed import with_types
from hugflow.storage.disk import faults
from hugflow.text.printable import listed

__all__ = ["Source", "of_arrow", "of_batches", "of_stream", "open_storage", "open_tables", "with_types"]

IN_MEMORY = Place("an Arrow table", "data")


def open_tables(spec: PublishSpec, root: Path) -> list[Source]:
    """A source for every split of every table of a request, in the request's order; paths are relative to `root`.

    Files without types of their own (CSV, JSON) are read once for them. All splits of a table have one schema.
    Raises InvalidRequest, whose `field` is like `tables[0].path`: nothing there, outside of `root`, unreadable, types
    or formats that do not go together, a type that the Hub does not know.
    """
    found = []
    for i, table in enumerate(spec.local_tables):
        prefix = f"tables[{i}]." if spec.tables is not None else ""
        found += _open_table(table, prefix, root)
    return found


def _open_table(table: Table, prefix: str, root: Path) -> list[Source]:
    if table.splits:
        places = {split: Place(path, f"{prefix}splits.{split}") for split, path in table.splits.items()}
        parts = [part for split, at in places.items() for part in split_files(find(root, at), split, table.name)]
    else:
        parts = split_files(find(root, Place(table.path or "", f"{prefix}path")), table.split, table.name)
    splits = [_classified(part) for part in parts]
    other = next((one for one in splits if one.kind != splits[0].kind), None)
    if other is not None:
        raise other.found.place.error(
            f"it holds {other.kind}, and the split {splits[0].split} {splits[0].kind}",
            "Give all splits of a table one format.",
            reason="mixed_schema",
        )
    field = f"{prefix}columns"
    return with_types(_open_splits(table.name, splits, root, table.columns or {}), table.columns, field)


@dataclass(frozen=True, slots=True)
class _Split:
    """A split of a table: the files that its path names, and those of them that have rows."""

    split: str
    found: Found
    kind: str
    """The kind of the files: "parquet", "csv"..., "audio", "image", "audio with metadata"..."""
    files: tuple[DataFile, ...]
    media: tuple[DataFile, ...] = ()
    notes: tuple[str, ...] = ()


_WITH_METADATA = " with metadata"


def _classified(part: NamedSplit) -> _Split:
    """Find the kind of a split's files. Raises InvalidRequest: no files of a known kind, or several kinds."""
    found = part.found
    every = file_kinds(found.files)
    media = tuple(file for file, kind in every.items() if kind in FEATURES)
    metadata = tuple(file for file in every if media and is_metadata(file))
    kinds = sorted({kind for file, kind in every.items() if file not in metadata})
    if not kinds:
        raise nothing_there(found.place)
    if len(kinds) > 1:
        raise found.place.error(
            f"it holds files of different kinds: {listed(kinds)}",
            "Name a glob, like `data/*.parquet`; what describes audio or images is called metadata.csv,"
            " metadata.jsonl or metadata.parquet.",
            reason="mixed_schema",
        )
    notes = (*part.notes, *_hidden(found))
    if metadata:
        return _Split(part.split, found, kinds[0] + _WITH_METADATA, metadata, media, notes)
    return _Split(part.split, found, kinds[0], tuple(every), notes=notes)


def _hidden(found: Found) -> Iterator[str]:
    if hidden := [name for name in found.hidden if not name.rpartition("/")[2].startswith("_") or "." in name]:
        yield f"files in hidden folders or with hidden names (`_...`) are left out: {listed(hidden[:5])}"


def _open_splits(config: str, splits: Sequence[_Split], root: Path, as_text: Collection[str]) -> list[Source]:
    """Open all splits of a table together, so that they have one schema."""
    kind = splits[0].kind
    files = [file for one in splits for file in one.files]
    table: FileTable
    if kind.endswith(_WITH_METADATA):
        table = described = DescribedFolders.open(kind.removesuffix(_WITH_METADATA), files, as_text)
        left_out = [described.check(one.files, one.media) for one in splits]
    else:
        left_out = [0] * len(splits)
        if kind in FEATURES:
            table = PlainFolders.open(kind, files)
        else:
            table = with_partitions(open_files(files, kind, as_text), as_text)
    return [_source(config, one, table, left, root) for one, left in zip(splits, left_out, strict=True)]


def _source(config: str, one: _Split, table: FileTable, left_out: int, root: Path) -> Source:
    def read(columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
        return (batch for _, batch in table.parts(one.files, columns))

    is_parquet = one.kind == "parquet"
    return Source(
        config=config,
        split=one.split,
        schema=table.columns.schema,
        features=table.columns.features,
        rows=sum(table.rows[file] for file in one.files),
        source_bytes=sum(file.size_bytes for file in (*one.files, *one.media)),
        read=read,
        files=_files(one, table),
        # where columns stand in the names of folders, footers do not tell all
        parquet_files=tuple(file.path for file in one.files) if isinstance(table, TypedFiles) and is_parquet else (),
        open_files=lambda: FolderFiles(one.found.folder, root.resolve(), one.found.place),
        left_out=left_out,
        notes=(*one.notes, *_unnamed(left_out, len(one.media)), *table.notes),
    )


def _unnamed(left_out: int, files: int) -> Iterator[str]:
    if left_out:
        yield f"{left_out} of {files} files are named by no row of the metadata"


def _files(one: _Split, table: FileTable) -> tuple[Path, ...]:
    """The files that a split's rows depend on; empty for a table with paths of audio, which only a scan would find."""
    if one.media or one.kind in {*FEATURES, "webdataset"} or not any(map(has_files, table.columns.features.values())):
        return tuple(file.path for file in (*one.files, *one.media))
    return ()


# -- tables in memory -------------------------------------------------------------------------------------------------


def no_files() -> FileReader:
    """A reader for rows that come from no folder."""
    return NoFiles(IN_MEMORY)


class Batches(Protocol):
    """Gives all rows, in batches of at most so many, as often as it is called."""

    def __call__(self, *, max_chunksize: int) -> Iterable[pa.RecordBatch]: ...


def of_arrow(data: Any, config: str, split: str, *, scratch: Path | None = None, folder: Path | None = None) -> Source:
    """A table in memory as a source: an Arrow table or record batch, or what gives a stream of them.

    A stream (a RecordBatchReader, or anything with `__arrow_c_stream__`) can be read only once: it is written to
    `scratch`, in the order in which it comes, and read from there. `folder` is the one that paths of audio and images
    are relative to. Raises InvalidRequest for a type that the Hub does not know, TypeError for what is no Arrow data.
    """
    files = no_files
    if folder is not None:
        resolved = folder.resolve()
        files = lambda: FolderFiles(resolved, resolved, IN_MEMORY)  # noqa: E731 - one of two
    if isinstance(data, pa.RecordBatch):
        data = pa.Table.from_batches([data])
    if isinstance(data, pa.Table):
        return of_batches(data.to_batches, data.schema, data.num_rows, data.nbytes, config, split, files)
    if not isinstance(data, pa.RecordBatchReader):
        if not hasattr(data, "__arrow_c_stream__"):
            raise TypeError(f"not Arrow data: {type(data).__name__}")
        data = pa.RecordBatchReader.from_stream(data)
    if scratch is None:
        raise TypeError("a stream of record batches needs a folder for it: `scratch`")
    return of_stream(data, data.schema, config, split, scratch, files)


def of_batches(
    batches: Batches,
    schema: pa.Schema,
    rows: int,
    size_bytes: int,
    config: str,
    split: str,
    files: Callable[[], FileReader] = no_files,
) -> Source:
    """Rows in memory as a source.

    `schema` is theirs with the metadata. Raises InvalidRequest for a type that the Hub does not know.
    """
    columns = columns_of(schema, lambda problem, fix: IN_MEMORY.error(problem, fix, reason="unsupported_type"))

    def read(names: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
        wanted = columns.only(names)
        for batch in gathered(batches(max_chunksize=rows_a_batch(rows, size_bytes))):
            yield fitted(batch, wanted)

    return Source(
        config=config,
        split=split,
        schema=columns.schema,
        features=columns.features,
        rows=rows,
        source_bytes=size_bytes,
        read=read,
        open_files=files,
    )


def of_stream(
    batches: Iterable[pa.RecordBatch],
    schema: pa.Schema | None,
    config: str,
    split: str,
    scratch: Path,
    files: Callable[[], FileReader] = no_files,
) -> Source:
    """Record batches that come only once, as a source; they are written to `scratch` first.

    `schema` has the features where they are known. Where the types of later batches are others, they are widened.
    Raises InvalidRequest for types that do not go together, or that the Hub does not know.
    """
    paths: list[Path] = []
    with faults(f"writing to {scratch}"), ExitStack() as opened:
        writer: Any = None
        known: pa.Schema | None = None
        for batch in batches:
            if batch.schema != known:
                opened.close()
                known = batch.schema
                metadata = known.metadata if schema is None else schema.metadata
                descriptor, name = tempfile.mkstemp(prefix="rows-", suffix=".arrow", dir=scratch)
                paths.append(Path(name))
                target = opened.enter_context(open(descriptor, "wb"))  # noqa: PTH123 - a descriptor
                writer = opened.enter_context(pa.ipc.new_stream(target, known.with_metadata(metadata)))
            rows = rows_a_batch(batch.num_rows, batch.nbytes)
            for start in range(0, batch.num_rows, rows):
                writer.write_batch(batch.slice(start, rows).replace_schema_metadata(metadata))
    if not paths:
        return of_arrow((schema or pa.schema([])).empty_table(), config, split)
    parts = [_spooled(path) for path in paths]
    table = TypedFiles.open(parts, "arrow")
    return Source(
        config=config,
        split=split,
        schema=table.columns.schema,
        features=table.columns.features,
        rows=sum(table.rows.values()),
        source_bytes=sum(part.size_bytes for part in parts),
        files=tuple(paths),
        read=lambda names: (batch for _, batch in table.parts(parts, names)),
        open_files=files,
    )


def _spooled(path: Path) -> DataFile:
    facts = path.lstat()
    return DataFile(path, path.name, "the stream of record batches", IN_MEMORY, facts.st_size, facts.st_mtime_ns)
