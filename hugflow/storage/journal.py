"""Journal: append-only file of finished rows. A line in it means that the files of its rows are durable.

A journal is JSON lines, each `{"crc":"<crc32 of v>","v":{...}}`: first a header that names the dataset, its commit and
the columns of the row records, then a "run" line for every run, a "rows" line for every group of rows, and a "shard"
line for every shard whose rows had to be counted. A damaged last line is what a power cut leaves and is dropped; damage
before it is refused.
"""

from __future__ import annotations

import contextlib
import heapq
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any, BinaryIO, Self

import orjson

from hugflow.model.errors import StorageFault
from hugflow.model.plan import ShardCount
from hugflow.model.ranges import RowRanges
from hugflow.model.records import RowRecord
from hugflow.storage.disk import (
    faults,
    new_file,
    open_folder,
    open_regular,
    remove_temporaries,
    sync_directory,
    temporary_name,
)
from hugflow.storage.row_checks import check_rows

JOURNAL_SCHEMA_VERSION = 1
_PREFIX = b'{"crc":"'
_REWRITTEN_ROWS = 1000
_COUNTED_ROWS = 128  # more of them do not fit into the processor's cache
_BODY_AT = len(_PREFIX) + 8 + len(b'","v":')


@dataclass(slots=True)
class RowTally:
    """Totals of the journal's rows; a row that is recorded twice is counted once, with its first record."""

    audio_files: int = 0
    audio_bytes: int = 0
    json_bytes: int = 0
    duration_s: float = 0.0
    rows_without_audio: int = 0
    clipped_clips: int = 0
    silent_clips: int = 0

    def count(self, record: RowRecord) -> None:
        """Add one row that has files."""
        self.audio_files += record.audio is not None
        self.audio_bytes += record.audio_bytes
        self.json_bytes += record.json_bytes
        self.rows_without_audio += record.status == "no_audio"
        self.clipped_clips += record.clipped > 0
        self.silent_clips += record.peak == 0
        if record.sample_rate:
            self.duration_s += record.samples / record.sample_rate

    def count_all(self, columns: Sequence[Sequence[Any]]) -> None:
        """Add many rows that have files, given by the columns of their records."""
        _, statuses, audio, audio_bytes, _, json_bytes, _, samples, sample_rate, _, _, clipped, _, _, _, *newer = (
            columns
        )
        self.audio_files += len(audio) - audio.count(None)
        self.audio_bytes += sum(audio_bytes)
        self.json_bytes += sum(json_bytes)
        self.rows_without_audio += statuses.count("no_audio")
        self.clipped_clips += len(clipped) - clipped.count(0)
        self.silent_clips += newer[0].count(0) if newer else 0
        for count, rate in zip(samples, sample_rate, strict=True):
            if rate:
                self.duration_s += count / rate


@dataclass(slots=True)
class JournalState:
    """Content of a journal: rows done, rows failed (by row), number of runs, and the offset of each group's line."""

    name: str
    sha: str
    done: RowRanges = field(default_factory=RowRanges)
    failed: dict[int, RowRecord] = field(default_factory=dict)
    tally: RowTally = field(default_factory=RowTally)
    runs: int = 0
    valid_bytes: int = 0
    groups: list[tuple[int, int]] = field(default_factory=list)
    shards: dict[int, ShardCount] = field(default_factory=dict)

    def apply(self, group: Sequence[Sequence[Any]], offset: int) -> None:
        """Add a group of records whose line begins at `offset`."""
        self.groups.append(_group(group, offset))
        self.record_rows(group)

    def record_rows(self, records: Sequence[Sequence[Any]]) -> None:
        """Add records in their order: a later record of a row replaces an earlier one.

        A resume adds all rows of the journal, so records of new rows without failures are added together.
        """
        columns = list(zip_longest(*records))  # records of an older version lack the newest columns
        rows, statuses = columns[0], columns[1]
        ranges = list(_ranges(rows))
        if "failed" in statuses or not self._are_new(rows, ranges):
            for values in records:
                self._record_row(RowRecord(*values))
            return
        for first, last in ranges:
            self.done.add(first, last)
        self.tally.count_all(columns)

    def _are_new(self, rows: Sequence[int], ranges: list[tuple[int, int]]) -> bool:
        """True when the rows are all different and none of them was recorded before."""
        return (
            len(set(rows)) == len(rows)
            and not (self.failed and any(row in self.failed for row in rows))
            and all(next(self.done.missing(first, last + 1), None) == (first, last + 1) for first, last in ranges)
        )

    def _record_row(self, record: RowRecord) -> None:
        if record.status == "failed":
            self.failed[record.row] = record
            self.done.discard(record.row)
            return
        if record.row not in self.done:
            self.tally.count(record)
        self.failed.pop(record.row, None)
        self.done.add(record.row)


def _ranges(rows: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The rows as inclusive ranges, in their order."""
    first = last = rows[0]
    for row in rows[1:]:
        if row != last + 1:
            yield first, last
            first = row
        last = row
    yield first, last


class Journal:
    """The journal of one dataset, open for appending by the process that holds the dataset's lock.

    `is_new`: there was no journal, or not even a whole header.
    """

    def __init__(self, path: Path, descriptor: int, state: JournalState, *, is_new: bool) -> None:
        self._path = path
        self._descriptor = descriptor
        self.state = state
        self.is_new = is_new

    @classmethod
    def open(cls, path: Path, name: str, sha: str) -> Self:
        """Open or create the journal of dataset `name` at commit `sha`, and drop a torn last line.

        Raises StorageFault: damaged, of a newer Hugflow, or of another dataset or commit.
        """
        state = read(path)
        if state is not None and (state.name, state.sha) != (name, sha):
            raise StorageFault(
                f"opening the journal {path}",
                f"it belongs to {state.name} at {state.sha}, not to {name} at {sha}",
                "Run with --restart to begin this dataset again.",
                reason="foreign_journal",
            )
        with faults(f"opening the journal {path}"):
            path.parent.mkdir(parents=True, exist_ok=True)
            with open_folder(path.parent) as folder:
                remove_temporaries(path.name, folder)
                if state is None:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(path.name, dir_fd=folder)  # not even a whole header
                    descriptor = new_file(path.name, folder)
                else:
                    descriptor = os.open(path.name, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
                    os.ftruncate(descriptor, state.valid_bytes)
                os.fsync(descriptor)
                os.fsync(folder)
        journal = cls(path, descriptor, state or JournalState(name, sha), is_new=state is None)
        if state is None:
            header = {
                "kind": "header",
                "schema_version": JOURNAL_SCHEMA_VERSION,
                "name": name,
                "sha": sha,
                "columns": RowRecord._fields,
            }
            journal._append(header)
        return journal

    def begin_run(self, facts: dict[str, Any]) -> None:
        """Append a "run" line with `facts` about the run: its time and version."""
        self.state.runs += 1
        self._append({"kind": "run", "run": self.state.runs, **facts})

    def append_rows(self, records: Sequence[RowRecord]) -> None:
        """Append a group of rows whose files are durable; returns when the line is durable, too."""
        offset = self._append({"kind": "rows", "rows": [list(record) for record in records]})
        self.state.apply(records, offset)

    def count_shard(self, index: int, count: ShardCount) -> None:
        """Append the row count of a shard, for formats that do not record it themselves."""
        self._append({"kind": "shard", "index": index, **count.model_dump(mode="json")})
        self.state.shards[index] = count

    def close(self) -> None:
        """Close the file; the journal can be read by others at any time."""
        os.close(self._descriptor)

    def _append(self, value: dict[str, Any]) -> int:
        line = _encode(value)
        offset = self.state.valid_bytes
        with faults(f"writing the journal {self._path.name}"):
            try:
                view = memoryview(line)
                at = offset
                while view:
                    written = os.pwrite(self._descriptor, view, at)
                    view, at = view[written:], at + written
                os.fdatasync(self._descriptor)
            except OSError:
                os.ftruncate(self._descriptor, offset)
                raise
        self.state.valid_bytes += len(line)
        return offset


def read(path: Path) -> JournalState | None:
    """Read a journal; None if there is none, or not even a whole header.

    Takes about a second for a million rows. Raises StorageFault for damage that is not a torn end.
    """
    doing = f"reading the journal {path}"
    state: JournalState | None = None
    rows: list[list[Any]] = []
    with faults(doing):
        try:
            file = open_regular(path)
        except FileNotFoundError:
            return None
        with file:
            for value, offset, end in _values(doing, file):
                if state is None:
                    state = _header(doing, value)
                elif value.get("kind") == "rows":
                    group = _rows(doing, value, offset)
                    state.groups.append(_group(group, offset))
                    rows += group
                    if len(rows) >= _COUNTED_ROWS:
                        state.record_rows(rows)
                        rows = []
                elif value.get("kind") == "shard":
                    index, count = _shard(doing, value, offset)
                    state.shards[index] = count
                elif value.get("kind") == "run":
                    state.runs += 1
                state.valid_bytes = end
    if state is not None and rows:
        state.record_rows(rows)
    return state


def _values(doing: str, file: BinaryIO) -> Iterator[tuple[dict[str, Any], int, int]]:
    """The values of a journal's lines, each with the offsets of its begin and end. A torn last line is left out."""
    size = os.fstat(file.fileno()).st_size
    offset = 0
    for line in file:
        value, end = _decode(line), offset + len(line)
        if value is not None:
            yield value, offset, end
        elif end < size:
            raise _damaged(doing, offset)
        offset = end


def _rows(doing: str, value: dict[str, Any], offset: int) -> list[list[Any]]:
    """The values of a "rows" line. Raises StorageFault if they are no records of rows of one dataset."""
    try:
        rows: list[list[Any]] = value["rows"]
        check_rows(rows)
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(doing, offset, f": {error}") from error
    return rows


def _shard(doing: str, value: dict[str, Any], offset: int) -> tuple[int, ShardCount]:
    try:
        count = ShardCount.model_validate({key: value[key] for key in ShardCount.model_fields})
        index = value["index"]
    except (KeyError, ValueError) as error:
        raise _damaged(doing, offset) from error
    if type(index) is not int or min(index, count.first_row, *count.groups) < 0:
        raise _damaged(doing, offset)
    return index, count


def _damaged(doing: str, offset: int, why: str = "") -> StorageFault:
    return StorageFault(doing, f"it is damaged at byte {offset}{why}", _DAMAGED_FIX, reason="damaged_journal")


def _group(records: Sequence[Sequence[Any]], offset: int) -> tuple[int, int]:
    """The first row of a group, and the offset of its line; rows of several workers may stand in it in any order."""
    return min(values[0] for values in records), offset


_DAMAGED_FIX = (
    "`hugflow verify --repair` rebuilds it from the dataset's own files; nothing of the dataset was changed. "
    "Then check the disk: this is not what a kill or a power cut leaves."
)


def salvage(path: Path) -> Iterator[RowRecord]:
    """The rows of every undamaged line of a journal, as recorded; rows may come more than once."""
    with faults(f"reading the journal {path}"):
        try:
            file = open_regular(path)
        except FileNotFoundError:
            return
        with file:
            for line in file:
                value = _decode(line)
                if value is None or value.get("kind") != "rows":
                    continue
                with contextlib.suppress(StorageFault):
                    yield from [RowRecord(*values) for values in _rows("", value, 0)]


def rewrite(path: Path, state: JournalState, rows: Iterable[RowRecord]) -> None:
    """Replace a journal by one of the same dataset with only these rows, atomically."""
    temporary = path.with_name(temporary_name(path.name))
    journal = Journal.open(temporary, state.name, state.sha)
    try:
        for index, count in sorted(state.shards.items()):
            journal.count_shard(index, count)
        rows = iter(rows)
        while group := list(islice(rows, _REWRITTEN_ROWS)):
            journal.append_rows(group)
        with faults(f"rewriting the journal {path}"):
            temporary.replace(path)
            sync_directory(path.parent)
    finally:
        journal.close()
        temporary.unlink(missing_ok=True)


def records(path: Path, groups: list[tuple[int, int]]) -> Iterator[RowRecord]:
    """All rows of a journal in the order of their numbers, each once, as last recorded.

    `groups` are the (first row, offset) pairs of its state. Groups are read one at a time, so memory stays flat.
    """
    ordered = sorted(groups)
    pending: list[tuple[int, int, RowRecord]] = []
    with faults(f"reading the journal {path}"), open_regular(path) as file:
        for i, (_, offset) in enumerate(ordered):
            file.seek(offset)
            value = _decode(file.readline())
            if value is None:
                raise _damaged(f"reading the journal {path}", offset)
            for values in _rows(f"reading the journal {path}", value, offset):
                # the later line of the same row comes first
                heapq.heappush(pending, (values[0], -offset, RowRecord(*values)))
            stop = ordered[i + 1][0] if i + 1 < len(ordered) else None
            yield from _drain(pending, stop)


def _drain(pending: list[tuple[int, int, RowRecord]], stop: int | None) -> Iterator[RowRecord]:
    while pending and (stop is None or pending[0][0] < stop):
        row, _, record = heapq.heappop(pending)
        while pending and pending[0][0] == row:
            heapq.heappop(pending)
        yield record


def _encode(value: dict[str, Any]) -> bytes:
    body = orjson.dumps(value)
    return b'%s%08x","v":%s}\n' % (_PREFIX, zlib.crc32(body), body)


def _decode(line: bytes) -> dict[str, Any] | None:
    """The value of a whole, undamaged line, else None."""
    body = line[_BODY_AT:-2]
    if not (line.startswith(_PREFIX) and line.endswith(b"}\n")):
        return None
    if line[len(_PREFIX) : _BODY_AT] != b'%08x","v":' % zlib.crc32(body):
        return None
    value: dict[str, Any] = orjson.loads(body)
    return value


def _header(doing: str, value: dict[str, Any]) -> JournalState:
    version = value.get("schema_version")
    if value.get("kind") != "header" or not isinstance(version, int):
        raise StorageFault(doing, "its first line is no header", _DAMAGED_FIX, reason="damaged_journal")
    if version > JOURNAL_SCHEMA_VERSION:
        raise StorageFault(
            doing,
            f"it was written by a newer Hugflow (schema {version}, this one reads up to {JOURNAL_SCHEMA_VERSION})",
            "Run the newer version, or upgrade this one.",
            reason="newer_schema",
        )
    return JournalState(value["name"], value["sha"])
