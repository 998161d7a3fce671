"""Verification of datasets: hashes every file and compares it with the index or the journal.

A repair (download/repair.py) removes damaged rows from the journal, and a normal resume converts them again, to the
same bytes.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np

from hugflow.model.errors import StorageFault, UsageError
from hugflow.model.records import RowRecord
from hugflow.storage import journal
from hugflow.storage.dataset_folder import META, DatasetFolder
from hugflow.storage.disk import NotAFileError, digest_of, faults, open_inside
from hugflow.storage.index import read_index
from hugflow.storage.locks import is_locked
from hugflow.storage.plan_file import readable_plan
from hugflow.storage.state import DatasetRecord, StateDir, readable_marker
from hugflow.storage.storage_root import Storage

HASHING_THREADS = 4
PLAN = f"{META}/plan.json"
MARKER = f"{META}/dataset.json"
INDEX = f"{META}/index.parquet"
JOURNAL_OF = "journal of "
BATCH_ROWS = 512


@dataclass(frozen=True, slots=True, order=True)
class Damage:
    """A missing, changed or extra file. `path` is relative to the dataset; `row` is set for files of rows."""

    path: str
    state: Literal["missing", "changed", "extra"]
    row: int | None = None

    @property
    def is_journal(self) -> bool:
        """True for the journal, which is not in the dataset's folder."""
        return self.path.startswith(JOURNAL_OF)


@dataclass(frozen=True, slots=True)
class Verified:
    """Result of `verify` for one dataset. `record` is None for one that is not complete."""

    name: str
    rows: int
    damage: tuple[Damage, ...]
    record: DatasetRecord | None
    index_intact: bool

    @property
    def damaged_rows(self) -> set[int]:
        """The rows that must be converted again."""
        return {damage.row for damage in self.damage if damage.row is not None}

    def is_damaged(self, path: str) -> bool:
        """True when a file is damaged."""
        return any(damage.path == path for damage in self.damage)


@dataclass(frozen=True, slots=True)
class Verifier:
    """Compares datasets with their records; changes nothing."""

    storage: Storage
    state: StateDir

    def names(self) -> list[str]:
        """The datasets that can be verified: those in storage and those in the manifest."""
        return sorted({*self.storage.names(), *self.state.datasets()})

    def verify(self, name: str) -> Verified:
        """Hash every file of a dataset. Raises UsageError for an unknown one, or one that a run is writing."""
        doing = f"verifying {name}"
        if name not in self.names():
            raise UsageError(doing, "there is no such dataset", "Run `hugflow status` to list the datasets.")
        if is_locked(self.state.lock_path(name)):
            raise UsageError(doing, "a process holds its lock", "Wait until it has finished.")
        dataset, record = self.storage.dataset(name), self._record(name)
        if record is None:
            return self._partial(name, dataset)
        damage = [*_folders(dataset), *self._summaries(dataset, record)]
        index_intact = all(found.path != INDEX for found in damage)
        rows = 0
        if index_intact:
            known = _Names()
            try:
                damage += self._rows(dataset, known.collect(read_index(dataset)))
            except StorageFault as fault:
                if fault.reason != "damaged_index":
                    raise
                # its hash may be right all the same: whoever changed it may have changed the marker, too
                return Verified(
                    name, 0, tuple(sorted([*damage, Damage(INDEX, "changed")], key=_place)), record, index_intact=False
                )
            rows = known.rows
            damage += _extra(dataset, known, {path.relative_to(dataset.path).as_posix() for path in _own(dataset)})
        return Verified(name, rows, tuple(sorted(damage, key=_place)), record, index_intact)

    def _record(self, name: str) -> DatasetRecord | None:
        """The record in the manifest, else in the marker (the marker may be damaged)."""
        entry = self.state.datasets().get(name)
        if entry is not None:
            return entry.dataset
        return readable_marker(self.storage.dataset(name).marker)

    def _summaries(self, dataset: DatasetFolder, record: DatasetRecord) -> Iterator[Damage]:
        for path, digest in record.files.items():
            if (state := _file_state(dataset, path, None, digest)) is not None:
                yield Damage(path, state)
        try:
            with open_inside(dataset.path, MARKER) as file:
                is_intact = record.is_written_as(file.read())
        except (FileNotFoundError, NotAFileError):
            is_intact = False
        if not is_intact:
            yield Damage(MARKER, "changed" if os.path.lexists(dataset.marker) else "missing")

    def _partial(self, name: str, dataset: DatasetFolder) -> Verified:
        """Verify the rows in the journal of a dataset that is not complete."""
        path = self.state.journal(name)
        damage = [*_folders(dataset)]
        if dataset.marker.is_symlink() or dataset.marker.exists():
            damage.append(Damage(MARKER, "changed"))
        if readable_plan(self.storage, name) is None:
            damage.append(Damage(PLAN, "changed"))
        try:
            state = journal.read(path)
        except StorageFault as fault:
            if fault.reason != "damaged_journal":
                raise
            damage.append(Damage(JOURNAL_OF + name, "changed"))
            return Verified(name, 0, tuple(damage), None, index_intact=False)
        known = _Names()
        records = journal.records(path, state.groups) if state else iter(())
        damage += self._rows(dataset, known.collect(records))
        return Verified(name, known.rows, tuple(sorted(damage, key=_place)), None, index_intact=True)

    def _rows(self, dataset: DatasetFolder, records: Iterable[RowRecord]) -> Iterator[Damage]:
        with ThreadPoolExecutor(HASHING_THREADS) as threads:
            records = iter(records)
            while batch := list(islice(records, BATCH_ROWS)):
                for found in threads.map(partial(row_damage, dataset), batch):
                    yield from found


def _folders(dataset: DatasetFolder) -> Iterator[Damage]:
    """Folders of the dataset that are a link or a file."""
    for folder in (dataset.meta, dataset.audio, dataset.json):
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            yield Damage(folder.name, "changed")


def intact_records(dataset: DatasetFolder, path: Path, verified: Verified) -> Iterator[RowRecord]:
    """The records of the rows without damage: the content of the repaired journal."""
    bad = verified.damaged_rows
    if verified.record is not None:
        records = read_index(dataset) if verified.index_intact else iter(())
    elif verified.index_intact:
        state = journal.read(path)
        records = journal.records(path, state.groups) if state else iter(())
    else:
        records = (record for record in journal.salvage(path) if not row_damage(dataset, record))
    return (record for record in records if record.row not in bad)


def row_damage(dataset: DatasetFolder, record: RowRecord) -> list[Damage]:
    """The files of a row that are missing or do not match its record."""
    if record.status == "failed":
        return []
    files = [] if record.audio is None else [(f"audio/{record.audio}", record.audio_bytes, record.audio_sha256)]
    files.append((f"json/{record.row}.json", record.json_bytes, record.json_sha256))
    return [
        Damage(path, state, record.row)
        for path, size, digest in files
        if (state := _file_state(dataset, path, size, digest)) is not None
    ]


def _file_state(
    dataset: DatasetFolder, path: str, size: int | None, digest: str | None
) -> Literal["missing", "changed"] | None:
    """None for an undamaged file. A link is a changed file; a file in a linked folder is missing."""
    with faults(f"reading {path}"):
        try:
            with open_inside(dataset.path, path) as file:
                if size is not None and os.fstat(file.fileno()).st_size != size:
                    return "changed"
                return None if digest_of(file, hashlib.sha256()) == digest else "changed"
        except FileNotFoundError:
            return "missing"
        except NotAFileError as error:
            return "missing" if error.errno == errno.ENOTDIR else "changed"


class _Names:
    """The names of the rows' audio files as sorted hashes: 8 bytes per row, whatever their length."""

    def __init__(self) -> None:
        self._hashes: list[int] = []
        self._json: list[int] = []
        self.rows = 0

    def collect(self, records: Iterable[RowRecord]) -> Iterator[RowRecord]:
        """Yield the records, and collect their names."""
        for record in records:
            self.rows += 1
            if record.status != "failed":
                self._json.append(record.row)
                if record.audio is not None:
                    self._hashes.append(hash(record.audio))
            yield record

    def tests(self) -> tuple[Callable[[str], bool], Callable[[str], bool]]:
        """Two predicates: whether a name is that of a row's audio file, and that of a row's JSON file."""
        audio, json = np.sort(np.array(self._hashes, np.int64)), np.sort(np.array(self._json, np.int64))

        def is_json(name: str) -> bool:
            stem = name.removesuffix(".json")
            return name == f"{stem}.json" and stem.isdecimal() and str(int(stem)) == stem and _has(json, int(stem))

        return lambda name: _has(audio, hash(name)), is_json


def _has(values: np.ndarray[tuple[int], np.dtype[np.int64]], value: int) -> bool:
    at = int(np.searchsorted(values, value)) if -(2**63) <= value < 2**63 else len(values)
    return at < len(values) and int(values[at]) == value


def _own(dataset: DatasetFolder) -> list[Path]:
    return [*dataset.summaries, dataset.marker]


def _extra(dataset: DatasetFolder, known: _Names, own: set[str]) -> Iterator[Damage]:
    """Entries of the dataset's folder that belong to no row and are no summary."""
    is_audio, is_json = known.tests()
    folders = {"audio", "json", ".hugflow"}
    for folder, wanted in (("audio", is_audio), ("json", is_json), (".hugflow", None), ("", None)):
        path = dataset.path / folder
        if not path.is_dir() or path.is_symlink():
            continue
        for entry in os.scandir(path):
            name = f"{folder}/{entry.name}" if folder else entry.name
            ours = wanted(entry.name) if wanted else name in own or (not folder and name in folders)
            if not ours:
                yield Damage(name, "extra")


def _place(damage: Damage) -> tuple[int, str]:
    return (-1 if damage.row is None else damage.row, damage.path)
