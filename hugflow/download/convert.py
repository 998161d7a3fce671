"""Conversion of one slice of a shard: rows are read, converted, and written durably in groups.

The conversion of a group overlaps with the syncing of the one before it, so that the processor does not wait for the
disk. This module knows neither the Hub's API nor other slices nor the journal: it passes the records of durable rows
to an observer.
"""

from __future__ import annotations

import hashlib
import logging
import os
import queue
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol, Self

import pyarrow as pa

from hugflow.audio import Mp3, audio_name, to_mp3
from hugflow.formats.json_values import decoded
from hugflow.formats.parquet_rows import parquet_batches, without_row_errors
from hugflow.formats.rows import audio_file_name, compute, json_columns, row_json
from hugflow.model.errors import HugflowError, RowError, Transient
from hugflow.model.records import EncoderSettings, RowRecord
from hugflow.storage.dataset_folder import TMP, DatasetFolder
from hugflow.storage.disk import faults, open_folder, write_all_synced
from hugflow.storage.failpoints import Failpoints

log = logging.getLogger(__name__)

BATCH_ROWS = 16
FETCHED_BATCHES = 4


@dataclass(frozen=True, slots=True)
class Slice:
    """Rows `start`..`stop` of a fetched shard, counted within it; `first_row` is the global index of its row 0.

    `path` is the fetched file in scratch, `source` its path in the repository.
    """

    shard: int
    path: Path
    source: str
    first_row: int
    start: int
    stop: int

    @property
    def rows(self) -> range:
        """The global row numbers."""
        return range(self.first_row + self.start, self.first_row + self.stop)


@dataclass(frozen=True, slots=True)
class Conversion:
    """Settings that all slices of a run share.

    A group ends after `group_rows` rows, `group_s` seconds, or `group_bytes` of files, whatever comes first.
    """

    dataset: Path
    audio_column: str | None
    encoder: EncoderSettings
    group_rows: int
    group_s: float = 1.0
    group_bytes: int = 32 << 20
    failpoints: Failpoints = field(default_factory=Failpoints)


class Observer(Protocol):
    """Callbacks of a slice that is being converted."""

    def row_started(self, row: int) -> None:
        """Called before each row; with -1 between rows."""

    def rows_written(self, records: list[RowRecord]) -> None:
        """Called when the files of these rows are durable."""

    def should_stop(self) -> bool:
        """Return True to stop before the next row; the rows converted so far are written."""


FetchFiles = Callable[[Slice, list[str]], Mapping[str, bytes | RowError]]


@dataclass(frozen=True, slots=True)
class _Converted:
    """A converted row that is not written yet."""

    record: RowRecord
    audio: bytes | None
    json: bytes


_Values = dict[str, Any] | RowError


def convert(part: Slice, conversion: Conversion, observer: Observer, fetch: FetchFiles | None = None) -> None:
    """Convert the rows of a slice; `observer.rows_written` gets every one of them, in order, in groups.

    `fetch(slice, paths)` reads files of the dataset's repository, for audio that is given as a path.
    Raises StorageFault when the disk cannot take the files; rows that cannot be converted are records, not errors.
    """
    with RowWriter(conversion, observer) as writer:
        convert_into(writer, part, conversion, observer, fetch)


def convert_into(
    writer: RowWriter, part: Slice, conversion: Conversion, observer: Observer, fetch: FetchFiles | None
) -> None:
    """Convert the rows of a slice without waiting for the last of them to be durable."""
    for row in _rows(part, conversion, observer, fetch):
        writer.add(row)


def _rows(
    part: Slice, conversion: Conversion, observer: Observer, fetch: FetchFiles | None
) -> Iterator[_Converted | RowRecord]:
    row = part.first_row + part.start
    batches = parquet_batches(part.path, part.start, part.stop, BATCH_ROWS)
    for batch, files in _with_files(batches, part, conversion.audio_column, fetch):
        for values, cell in _cells(batch, conversion.audio_column):
            if observer.should_stop():
                return
            observer.row_started(row)
            yield _isolated(row, partial(_convert_row, row, values, cell, conversion, partial(_file, files)))
            observer.row_started(-1)
            row += 1


def _with_files(
    batches: Iterator[pa.RecordBatch], part: Slice, audio_column: str | None, fetch: FetchFiles | None
) -> Iterator[tuple[pa.RecordBatch, Mapping[str, bytes | RowError]]]:
    """Each batch with the files that its rows name, which are fetched while those before it are converted."""
    with ThreadPoolExecutor(1, "files") as ahead:
        waiting: tuple[list[pa.RecordBatch], Future[Mapping[str, bytes | RowError]]] | None = None
        for window, paths in _windows(batches, audio_column):
            coming = ahead.submit(fetch, part, paths) if fetch is not None and paths else ahead.submit(dict)
            if waiting is not None:
                yield from _handed_over(*waiting)
            waiting = window, coming
        if waiting is not None:
            yield from _handed_over(*waiting)


def _handed_over(
    window: list[pa.RecordBatch], coming: Future[Mapping[str, bytes | RowError]]
) -> Iterator[tuple[pa.RecordBatch, Mapping[str, bytes | RowError]]]:
    files = coming.result()
    for batch in window:
        yield batch, files


def _windows(
    batches: Iterator[pa.RecordBatch], audio_column: str | None
) -> Iterator[tuple[list[pa.RecordBatch], list[str]]]:
    """A few batches at a time where rows name files, so that requests overlap; where they hold them, each by itself."""
    window: list[pa.RecordBatch] = []
    paths: list[str] = []
    for batch in batches:
        named = _paths(batch, audio_column)
        window.append(batch)
        paths += named
        if not named or len(window) == FETCHED_BATCHES:
            yield window, paths
            window, paths = [], []
    if window:
        yield window, paths


def _paths(batch: pa.RecordBatch, audio_column: str | None) -> list[str]:
    """The paths of those rows whose audio is a path only: not those that are there beside bytes or samples."""
    if audio_column not in batch.schema.names:
        return []
    column = batch.column(audio_column)
    if pa.types.is_struct(column.type):
        fields = [field.name for field in column.type]
        contents = [column.field(name) for name in ("bytes", "array") if name in fields]
        if "path" not in fields or any(not content.null_count for content in contents):
            return []
        paths = compute().struct_field(column, "path")
        for content in contents:
            paths = compute().if_else(content.is_valid(), pa.scalar(None, paths.type), paths)
        column = paths
    if isinstance(column.type, pa.JsonType):
        return [path for scalar in column if (path := _path_in_json(scalar))]
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return []
    return [path for scalar in column if (path := _path(scalar))]


def _path(scalar: pa.Scalar) -> str | None:
    try:
        path: str | None = scalar.as_py()
    except UnicodeDecodeError:
        return None  # its row says so
    return path


def _path_in_json(scalar: pa.Scalar) -> str | None:
    """Return the path of an audio cell that is a JSON value: a text, or an object without bytes and samples."""
    try:
        cell = _audio_cell(scalar)
    except RowError:
        return None  # its row says so
    if isinstance(cell, dict):
        cell = None if cell.get("bytes") or cell.get("array") else cell.get("path")
    return cell if isinstance(cell, str) and cell else None


def _file(files: Mapping[str, bytes | RowError], path: str) -> bytes:
    found = files.get(path, RowError("audio_missing", "the row names a file that was not fetched"))
    if isinstance(found, RowError):
        raise found
    return found


def _cells(
    batch: pa.RecordBatch, audio_column: str | None
) -> Iterator[tuple[dict[str, Any] | RowError, pa.Scalar | None]]:
    """The rows of a batch: their JSON values (the audio column still to be filled in) and their audio cell."""
    batch, errors = without_row_errors(batch)
    others = batch.drop_columns([audio_column]) if audio_column in batch.schema.names else batch
    audio = batch.column(audio_column) if audio_column in batch.schema.names else None
    names = batch.schema.names
    for i, values in enumerate(_json_rows(others)):
        if isinstance(values, dict):
            values = {name: values.get(name) for name in names}  # noqa: PLW2901 - puts the audio column in its place
        yield errors[i] or values, None if audio is None else audio[i]


def _json_rows(batch: pa.RecordBatch) -> list[dict[str, Any] | RowError]:
    if not batch.num_columns:
        return [{} for _ in range(batch.num_rows)]
    try:
        return [*json_columns(batch)]
    except RowError as error:
        # one row spoils the batch: find it
        if batch.num_rows == 1:
            return [error]
        return [row for i in range(batch.num_rows) for row in _json_rows(batch.slice(i, 1))]


def _isolated(row: int, convert_row: Callable[[], _Converted]) -> _Converted | RowRecord:
    """The converted row, or the record of its failure. Faults of the disk and of the Hub are raised."""
    try:
        return convert_row()
    except RowError as error:
        return _failure(row, error)
    except MemoryError:
        return _failure(row, RowError("out_of_memory", "the row needs more memory than WORKER_MEMORY_MB allows"))
    except Transient:
        raise  # the Hub cannot be reached: not a fault of the row
    except HugflowError as error:
        return _failure(row, RowError("audio_missing", f"{error.doing}: {error.problem}"))
    except Exception as error:
        log.debug("row %d", row, exc_info=True)
        return _failure(row, RowError("internal_error", f"{type(error).__name__} while converting the row"))


def _failure(row: int, error: RowError) -> RowRecord:
    return RowRecord(row, "failed", reason=error.reason, message=error.message)


def _convert_row(
    row: int, values: _Values, cell: pa.Scalar | None, conversion: Conversion, fetch: Callable[[str], bytes] | None
) -> _Converted:
    conversion.failpoints.convert(row)
    if isinstance(values, RowError):
        raise values
    if cell is None or conversion.audio_column is None:
        return _json_only(row, "ok", values)
    audio = _audio_cell(cell)
    mp3 = to_mp3(audio, conversion.encoder, fetch=fetch)
    if mp3 is None:
        return _json_only(row, "no_audio", values)
    given = (values.get(f"{conversion.audio_column}_filename"), values.get("audio_filename"), audio_name(audio))
    name = audio_file_name(next((text for text in given if isinstance(text, str) and text), None), row)
    values[conversion.audio_column] = f"audio/{name}"
    return _with_audio(row, name, mp3, row_json(values))


def _audio_cell(scalar: pa.Scalar) -> Any:
    """A cell in one of the forms that `audio.to_mp3` takes; sample lists become arrays not Python lists."""
    if not scalar.is_valid:
        return None
    if pa.types.is_struct(scalar.type):
        return {name: _audio_cell(scalar[name]) for name in (field.name for field in scalar.type)}
    if pa.types.is_list(scalar.type) or pa.types.is_large_list(scalar.type):
        samples = scalar.values
        return samples.to_numpy(zero_copy_only=False) if pa.types.is_primitive(samples.type) else samples.to_pylist()
    try:
        return decoded(scalar.as_py(), scalar.type)
    except UnicodeDecodeError as error:
        raise RowError("invalid_text", "a text is not valid UTF-8") from error


def _json_only(row: int, status: Any, values: dict[str, Any]) -> _Converted:
    data = row_json(values)
    record = RowRecord(row, status, json_bytes=len(data), json_sha256=hashlib.sha256(data).hexdigest())
    return _Converted(record, None, data)


def _with_audio(row: int, name: str, mp3: Mp3, data: bytes) -> _Converted:
    record = RowRecord(
        row,
        "ok",
        audio=name,
        audio_bytes=len(mp3.data),
        audio_sha256=hashlib.sha256(mp3.data).hexdigest(),
        json_bytes=len(data),
        json_sha256=hashlib.sha256(data).hexdigest(),
        samples=mp3.samples,
        sample_rate=mp3.sample_rate,
        source_sample_rate=mp3.source_sample_rate,
        source_channels=mp3.source_channels,
        clipped=mp3.clipped,
        copied=mp3.copied,
        peak=mp3.peak,
    )
    return _Converted(record, mp3.data, data)


class RowWriter:
    """Writes converted rows durably in groups, on a thread of its own, one group behind the conversion.

    Rows are written in the order in which they were added. Leaving the context waits for all of them.
    """

    def __init__(self, conversion: Conversion, observer: Observer) -> None:
        self._dataset = DatasetFolder(conversion.dataset)
        self._conversion = conversion
        self._observer = observer
        self._group: list[_Converted | RowRecord] = []
        self._bytes = 0
        self._since = time.monotonic()
        # one group waits while one is being written: more groups would be more rows to convert again after a kill
        self._groups: queue.Queue[list[_Converted | RowRecord] | Callable[[], None] | None] = queue.Queue(maxsize=1)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="writer", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._queue_group()
        self._groups.put(None)
        self._thread.join()
        self.check()

    def add(self, row: _Converted | RowRecord) -> None:
        """Add a row; queues the group when it is full or old. Raises the error of an earlier group."""
        if not self._group:
            self._since = time.monotonic()
        self._group.append(row)
        if isinstance(row, _Converted):
            self._bytes += len(row.json) + len(row.audio or b"")
        old = time.monotonic() - self._since >= self._conversion.group_s
        large = self._bytes >= self._conversion.group_bytes
        if old or large or len(self._group) >= self._conversion.group_rows:
            self._queue_group()
        self.check()

    def when_written(self, act: Callable[[], None]) -> None:
        """Call `act` when all rows so far are written; it is not called if writing one of them fails."""
        self._queue_group()
        self._groups.put(act)

    def check(self) -> None:
        """Raise the error of the writer thread, if there was one: StorageFault."""
        if self._error is not None:
            raise self._error

    def _queue_group(self) -> None:
        if self._group:
            self._groups.put(self._group)
        self._group = []
        self._bytes = 0

    def _work(self) -> None:
        while (item := self._groups.get()) is not None:
            if self._error is not None:
                continue  # after a fault the queue is only emptied, so that `add` does not block
            try:
                self._do(item)
            except BaseException as error:  # noqa: BLE001 - raised again on the thread that adds rows
                self._error = error

    def _do(self, item: list[_Converted | RowRecord] | Callable[[], None]) -> None:
        if not isinstance(item, list):
            item()
            return
        rows = [row for row in item if isinstance(row, _Converted)]
        write_rows(self._dataset, rows, self._conversion.failpoints)
        self._observer.rows_written([row if isinstance(row, RowRecord) else row.record for row in item])


def write_rows(dataset: DatasetFolder, rows: list[_Converted], failpoints: Failpoints) -> None:
    """Write the files of a group durably: temporary files, synced, renamed (MP3 before JSON), then directories synced.

    Raises StorageFault; files that were renamed before it have no line in the journal and are written again.
    """
    # O_EXCL and a name that nobody can guess: a file or link that somebody puts there is never opened
    token = secrets.token_hex(8)
    files = [
        (f"{token}.{row.record.row}.mp3", "audio", row.record.audio, row.audio)
        for row in rows
        if row.audio is not None and row.record.audio is not None
    ]
    audio_files = len(files)
    files += [(f"{token}.{row.record.row}.json", "json", f"{row.record.row}.json", row.json) for row in rows]
    with faults(f"writing rows of {dataset.path.name}"), ExitStack() as opened:
        tmp = opened.enter_context(open_folder(dataset.path, TMP))
        folders = {name: opened.enter_context(open_folder(dataset.path, name)) for name in {file[1] for file in files}}
        write_all_synced(tmp, ((temporary, data) for temporary, _, _, data in files))
        failpoints.reach("group_written")
        for number, (temporary, folder, name, _) in enumerate(files, start=1):
            os.rename(temporary, name, src_dir_fd=tmp, dst_dir_fd=folders[folder])
            if number == audio_files:
                failpoints.reach("group_audio_moved")
        failpoints.reach("group_moved")
        for descriptor in folders.values():
            os.fsync(descriptor)
        failpoints.reach("group_durable")
