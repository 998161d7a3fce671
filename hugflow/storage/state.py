"""State directory: progress files, manifests, markers and records of removals.

The journal (journal.py) decides which rows are done; a progress file is a summary of it for people and other programs.
`active.json` lists the complete datasets, `archived.json` the removed ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator

from hugflow.model.errors import StorageFault
from hugflow.model.ranges import RowRanges
from hugflow.model.records import EncoderSettings
from hugflow.model.specs import DatasetIdentity, is_storage_name
from hugflow.storage.disk import NotAFileError, faults, read_regular, refuse_links, sync_directory, write_durably
from hugflow.storage.locks import lock

MANIFEST_SCHEMA_VERSION = 1
_TRASH_NAME = r"\d{8}T\d{6}Z\.\d+--"
PROGRESS_VERSION = "3.0"


def _storage_name(name: str) -> str:
    if not is_storage_name(name):
        raise ValueError(f"not the name of a dataset: {name!r}")
    return name


class DatasetRecord(BaseModel):
    """A complete dataset, as described by its marker.

    Nothing in it depends on the run (no time, no person), so that the same request gives the same bytes.
    `spec` is the request, `files` the SHA-256 of the files that are not rows.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = MANIFEST_SCHEMA_VERSION
    name: str
    identity: DatasetIdentity
    sha: str
    request: str
    spec: dict[str, Any]
    licence: str | None
    audio_column: str | None
    encoder: EncoderSettings
    rows_total: int
    rows_failed: int
    audio_files: int
    audio_bytes: int
    json_bytes: int
    duration_s: float
    rows_without_audio: int = 0
    clipped_clips: int = 0
    silent_clips: int = 0
    files: dict[str, str]
    hugflow_version: str

    _is_safe = field_validator("name")(_storage_name)

    @field_validator("files")
    @classmethod
    def _are_in_the_dataset(cls, files: dict[str, str]) -> dict[str, str]:
        if outside := [path for path in files if not re.fullmatch(r"(?:\.hugflow/)?\w[\w.-]*", path, re.ASCII)]:
            raise ValueError(f"not the path of a summary file: {outside[0]!r}")
        return files

    def to_bytes(self) -> bytes:
        """The marker's content: the same record always gives the same bytes."""
        return self.model_dump_json(indent=2).encode() + b"\n"

    def is_written_as(self, data: bytes) -> bool:
        """True when `data` is a marker of this record, to the byte; one of an earlier version has fewer fields."""
        try:
            found = DatasetRecord.model_validate_json(data)
        except ValidationError:
            return False
        return found == self and data == found.model_dump_json(indent=2, exclude_unset=True).encode() + b"\n"


class ManifestEntry(BaseModel):
    """A complete dataset in storage, with the person who added it and the times (UTC, ISO 8601)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: DatasetRecord
    added_by: str
    added_at: str
    completed_at: str

    @property
    def name(self) -> str:
        """The dataset's name in storage."""
        return self.dataset.name


class ArchivedRecord(BaseModel):
    """A removed dataset. `trash` is the name of its folder in the trash, None if nothing was in storage."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    identity: DatasetIdentity
    reason: str
    request: str
    removed_by: str
    removed_at: str
    trash: str | None
    dataset: ManifestEntry | None

    _is_safe = field_validator("name")(_storage_name)

    @model_validator(mode="after")
    def _is_of_one_dataset(self) -> Self:
        if self.dataset is not None and self.dataset.name != self.name:
            raise ValueError(f"the entry of another dataset: {self.dataset.name!r}")
        if self.trash is not None and not is_trash_name(self.trash, self.name):
            raise ValueError(f"not a name in the trash: {self.trash!r}")
        return self


def is_trash_name(text: str, name: str) -> bool:
    """True for a name that `Storage.trash_name` gives to the dataset `name`."""
    return re.fullmatch(_TRASH_NAME + re.escape(name), text, re.ASCII) is not None


@dataclass(frozen=True, slots=True)
class ProgressFile:
    """Content of a progress file; files of `version` "2.0" list the rows one by one.

    `outage` is the problem of a Hub that the run waits for.
    """

    rows: RowRanges
    rows_total: int
    status: str
    version: str
    outage: str = ""

    @property
    def is_old(self) -> bool:
        """True for a record of an older tool, which wrote no plan files."""
        return int(self.version.partition(".")[0]) < int(PROGRESS_VERSION.partition(".")[0])


@dataclass(frozen=True, slots=True)
class StateDir:
    """The state directory (`STATE_DIR`)."""

    path: Path

    def journal(self, name: str) -> Path:
        """The journal of a dataset."""
        return self.path / "journal" / f"{name}.jsonl"

    def progress(self, name: str) -> Path:
        """The progress file of a dataset."""
        return self.path / "progress" / f"{name}.json"

    def lock_path(self, name: str) -> Path:
        """The lock of a dataset."""
        return self.path / "locks" / f"{name}.lock"

    @property
    def audit(self) -> Path:
        """The audit trail: one line per finished request."""
        return self.path / "audit.jsonl"

    @property
    def active(self) -> Path:
        """The manifest of complete datasets."""
        return self.path / "active.json"

    @property
    def archived(self) -> Path:
        """The manifest of removed datasets."""
        return self.path / "archived.json"

    def lock(self, name: str, doing: str) -> AbstractContextManager[None]:
        """The dataset's lock, for a whole run. Raises Locked, naming the holder."""
        self._refuse_links(doing)
        # half a second: `status` takes a lock for an instant to see whether it is held
        return lock(self.lock_path(name), doing, wait_s=0.5)

    def forget(self, name: str) -> None:
        """Delete a dataset's journal and progress file durably: they must not reappear after a power cut."""
        _delete(self.progress(name))
        self.drop_journal(name)

    def drop_journal(self, name: str) -> None:
        """Delete a dataset's journal, durably."""
        _delete(self.journal(name))

    def progress_names(self) -> list[str]:
        """The datasets that have a progress file."""
        folder = self.path / "progress"
        names = (file.stem for file in folder.glob("*.json")) if folder.is_dir() else ()
        return sorted(name for name in names if is_storage_name(name))

    # --- manifests -------------------------------------------------------------------------------------------------

    def datasets(self) -> dict[str, ManifestEntry]:
        """The complete datasets by name. Raises StorageFault for a damaged or newer manifest."""
        entries = [_parse(ManifestEntry, entry, self.active) for entry in _entries(self.active, "datasets")]
        return {entry.name: entry for entry in entries}

    def removed(self) -> list[ArchivedRecord]:
        """The removed datasets, oldest first."""
        return [_parse(ArchivedRecord, entry, self.archived) for entry in _entries(self.archived, "removed")]

    def activate(self, entry: ManifestEntry) -> None:
        """Add a complete dataset to the manifest."""
        with self._manifest_lock():
            self._write_active(self.datasets() | {entry.name: entry})

    def deactivate(self, name: str) -> None:
        """Delete a dataset from the manifest, if it is there."""
        with self._manifest_lock():
            datasets = self.datasets()
            if datasets.pop(name, None) is not None:
                self._write_active(datasets)

    def archive(self, record: ArchivedRecord) -> None:
        """Move a dataset from the manifest of complete datasets to that of removed ones."""
        with self._manifest_lock():
            removed = self.removed()
            if record not in removed:  # an interrupted removal may have written it already
                entries = [known.model_dump(mode="json") for known in [*removed, record]]
                _write_manifest(self.archived, "removed", entries)
            datasets = self.datasets()
            datasets.pop(record.name, None)
            self._write_active(datasets)

    def removals(self) -> list[ArchivedRecord]:
        """Records of removals that were not finished."""
        folder = self.path / "removing"
        with faults(f"reading {folder}"):
            files = sorted(folder.glob("*.json")) if folder.is_dir() else []
            return [_removal(file) for file in files]

    def begin_removal(self, record: ArchivedRecord) -> None:
        """Write the record of a removal before it is executed."""
        path = self.path / "removing" / f"{record.name}.json"
        with faults(f"writing {path}"):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, record.model_dump_json(indent=2).encode() + b"\n")

    def end_removal(self, name: str) -> None:
        """Delete the record of a removal that is finished."""
        path = self.path / "removing" / f"{name}.json"
        with faults(f"removing {path}"):
            path.unlink(missing_ok=True)

    def rebuild(self, find: Callable[[], list[ManifestEntry]], *, only_lost: bool = False) -> None:
        """Write the manifest again from the datasets' markers; with `only_lost`, only if there is none.

        `find` reads the markers under the manifest's lock, so that a dataset completed meanwhile is not left out.
        """
        with self._manifest_lock():
            if not (only_lost and self.active.exists()):
                self._write_active({entry.name: entry for entry in find()})

    def _write_active(self, datasets: dict[str, ManifestEntry]) -> None:
        entries = [datasets[name].model_dump(mode="json") for name in sorted(datasets)]
        _write_manifest(self.active, "datasets", entries)

    def _refuse_links(self, doing: str) -> None:
        folders = (self.path / name for name in ("journal", "progress", "locks", "removing"))
        refuse_links(doing, self.path, *folders)

    def _manifest_lock(self) -> AbstractContextManager[None]:
        doing = "updating the manifest"
        self._refuse_links(doing)
        return lock(self.path / "locks" / ".manifest.lock", doing, wait_s=30.0)


def _delete(file: Path) -> None:
    with faults(f"removing {file}"):
        if file.is_symlink() or file.exists():
            file.unlink()
            sync_directory(file.parent)


def write_progress(
    path: Path,
    name: str,
    *,
    status: Literal["running", "paused", "partial", "complete", "failed"],
    done: RowRanges,
    rows_total: int,
    resumed_from: int,
    outage: str = "",
) -> None:
    """Replace the progress file. Its size depends on the number of gaps, not of rows.

    `outage` is the problem of a Hub that the run waits for.
    """
    with faults(f"writing the progress of {name}"):
        path.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "dataset_name": name,
        "status": status,
        "downloaded_files": len(done),
        "total_files": rows_total,
        # rounded down: 100 means all
        "percent_complete": 10_000 * len(done) // rows_total / 100 if rows_total else 100.0,
        "resumed_from": resumed_from,
        "newly_downloaded": len(done) - resumed_from,
        **({"waiting_for_hub": outage} if outage else {}),
        "resume_data": {
            "completed_rows": done.as_list(),
            "last_successful_row": done.last,
            "expected_total_rows": rows_total,
            "version": PROGRESS_VERSION,
        },
    }
    write_durably(path, orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")


def read_progress(path: Path) -> ProgressFile | None:
    """Read a progress file of version 3.0 or 2.0; None if it is missing or damaged (the journal decides).

    Raises StorageFault for a version that is newer than this Hugflow.
    """
    try:
        document = orjson.loads(read_regular(path))
        resume = document["resume_data"]
        version = str(resume.get("version", "2.0"))
        major = int(version.partition(".")[0])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    if major > int(PROGRESS_VERSION.partition(".")[0]):
        raise StorageFault(
            f"reading {path}",
            f"it was written by a newer Hugflow (version {version}, this one reads up to {PROGRESS_VERSION})",
            "Run the newer version, or upgrade this one.",
            reason="newer_schema",
        )
    try:
        rows = _progress_rows(resume["completed_rows"])
        return ProgressFile(
            rows,
            int(resume["expected_total_rows"]),
            str(document["status"]),
            version,
            str(document.get("waiting_for_hub", "")),
        )
    except (KeyError, TypeError, ValueError):
        return None


def _progress_rows(value: Any) -> RowRanges:
    """Ranges of version 3.0, or the plain list of version 2.0. Raises ValueError for rows that cannot exist."""
    rows = RowRanges()
    for item in value:
        first, last = map(int, item) if isinstance(item, list) else (int(item), int(item))
        if not 0 <= first <= last:
            raise ValueError("not a range of rows")
        rows.add(first, last)
    return rows


def _entries(path: Path, key: str) -> list[Any]:
    doing = f"reading the manifest {path}"
    with faults(doing):
        try:
            document = orjson.loads(read_regular(path))
            version = int(document["schema_version"])
            # a newer one may have other keys: it is not damaged
            entries: list[Any] = [] if version > MANIFEST_SCHEMA_VERSION else list(document[key])
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError) as error:
            raise StorageFault(doing, "it is damaged", _REBUILD, reason="damaged_manifest") from error
    if version > MANIFEST_SCHEMA_VERSION:
        raise StorageFault(
            doing,
            f"it was written by a newer Hugflow (schema {version}, this one reads up to {MANIFEST_SCHEMA_VERSION})",
            "Run the newer version, or upgrade this one.",
            reason="newer_schema",
        )
    return entries


_Record = TypeVar("_Record", ManifestEntry, ArchivedRecord)
_REBUILD = "Run `hugflow status --rebuild`: it writes the manifest again from the datasets' markers."


def _parse(model: type[_Record], entry: Any, path: Path) -> _Record:
    try:
        return model.model_validate(entry)
    except ValidationError as error:
        problem = f"an entry is damaged ({_first(error)})"
        raise StorageFault(f"reading the manifest {path}", problem, _REBUILD, reason="damaged_manifest") from error


def _first(error: ValidationError) -> str:
    """The first problem of a document, with its field."""
    details = error.errors(include_url=False)[0]
    field = ".".join(str(step) for step in details["loc"])
    return f"{field}: {details['msg']}" if field else str(details["msg"])


def _removal(file: Path) -> ArchivedRecord:
    """The record of a removal. Raises StorageFault for one that is damaged or of another dataset than its file name."""
    try:
        record = ArchivedRecord.model_validate_json(read_regular(file))
    except (ValidationError, NotAFileError) as error:
        problem = _first(error) if isinstance(error, ValidationError) else "it is no regular file"
    else:
        if record.name == file.stem:
            return record
        problem = f"it is the record of {record.name}"
    raise StorageFault(
        f"reading the record of a removal {file}",
        f"it is damaged ({problem})",
        "Delete the file, and run the remove request again. Nothing was moved or deleted.",
        reason="damaged_removal",
    )


def _write_manifest(path: Path, key: str, entries: list[Any]) -> None:
    document = {"schema_version": MANIFEST_SCHEMA_VERSION, key: entries}
    write_durably(path, orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")


def readable_marker(path: Path) -> DatasetRecord | None:
    """Read a dataset's marker; None if it is missing or damaged."""
    try:
        return read_marker(path)
    except StorageFault as fault:
        if fault.reason != "damaged_marker":
            raise
        return None


def read_marker(path: Path) -> DatasetRecord | None:
    """Read a dataset's marker; None if there is none. Raises StorageFault for a damaged or newer one.

    A marker that names another dataset than its folder is damaged.
    """
    doing = f"reading the marker {path}"
    with faults(doing):
        try:
            data = read_regular(path)
        except FileNotFoundError:
            return None
        except NotAFileError as error:
            problem = "it is a symbolic link or another special file"
            raise StorageFault(doing, problem, _MARKER_FIX, reason="damaged_marker") from error
    try:
        document = orjson.loads(data)
        if document["schema_version"] > MANIFEST_SCHEMA_VERSION:
            raise StorageFault(doing, "it was written by a newer Hugflow", "Upgrade this one.", reason="newer_schema")
        record = DatasetRecord.model_validate(document)
    except (orjson.JSONDecodeError, ValidationError, KeyError, TypeError) as error:
        problem = f"it is damaged ({_first(error)})" if isinstance(error, ValidationError) else "it is damaged"
        raise StorageFault(doing, problem, _MARKER_FIX, reason="damaged_marker") from error
    if not record.name == record.identity.name == path.parent.parent.name:
        raise StorageFault(doing, f"it is the marker of {record.name}", _MARKER_FIX, reason="damaged_marker")
    return record


_MARKER_FIX = "Run `hugflow verify --repair`: it writes the marker again."
