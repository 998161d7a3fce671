"""Inventory of the datasets in storage, complete or not, compared with the requests of a checkout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from hugflow.model.errors import StorageFault
from hugflow.model.events import FailedRow
from hugflow.model.specs import AddSpec, DatasetIdentity
from hugflow.request.file import ParsedRequest
from hugflow.storage import journal
from hugflow.storage.index import read_index
from hugflow.storage.locks import is_locked
from hugflow.storage.plan_file import readable_plan
from hugflow.storage.state import DatasetRecord, ManifestEntry, StateDir, read_progress, readable_marker
from hugflow.storage.storage_root import Storage


@dataclass(frozen=True, slots=True)
class DatasetStatus:
    """One dataset, as `hugflow status` shows it.

    `state`: "running" (a process works on it), "complete", "partial", "missing" (a request asks for it, and storage has
    nothing of it), "lost" (the manifest has it, storage has not). `request` is the file that asks for it, if one does.
    `upstream` is set when the Hub was asked; `waiting_for_hub` is the problem of a Hub that the run waits for.
    """

    name: str
    state: Literal["running", "complete", "partial", "missing", "lost"]
    identity: DatasetIdentity
    sha: str | None = None
    rows_total: int = 0
    rows_done: int = 0
    rows_failed: int = 0
    size_bytes: int = 0
    duration_s: float = 0.0
    added_by: str | None = None
    added_at: str | None = None
    request: str | None = None
    upstream: str | None = None
    waiting_for_hub: str | None = None

    def as_json(self) -> dict[str, Any]:
        """All fields as plain values."""
        return asdict(self) | {"identity": self.identity.model_dump()}


@dataclass(frozen=True, slots=True)
class Inventory:
    """Reads storage and state; writes only a manifest that was lost."""

    storage: Storage
    state: StateDir

    def datasets(self, requests: Sequence[ParsedRequest] = ()) -> list[DatasetStatus]:
        """Every dataset that storage, the manifest or a request knows of, by name."""
        self.recover()
        wanted = {request.spec.name: request for request in requests if isinstance(request.spec, AddSpec)}
        entries = self.state.datasets()
        names = sorted({*self.storage.names(), *entries, *wanted})
        return [status for name in names if (status := self._status(name, entries.get(name), wanted.get(name)))]

    def failed_rows(self, name: str) -> list[FailedRow]:
        """The rows of a dataset that could not be converted."""
        dataset = self.storage.dataset(name)
        state = journal.read(self.state.journal(name))
        if state is not None:
            records = [state.failed[row] for row in sorted(state.failed)]
        else:
            records = [r for r in read_index(dataset) if r.status == "failed"] if dataset.index.is_file() else []
        return [FailedRow(record.row, record.reason or "", record.message or "") for record in records]

    def recover(self) -> None:
        """Rebuild the manifest from the datasets' markers if it was lost."""
        if not self.state.active.exists() and self.storage.names():
            self.state.rebuild(self._entries, only_lost=True)

    def rebuild(self) -> None:
        """Rebuild the manifest from the datasets' markers. Who added them is not in a marker."""
        self.state.rebuild(self._entries)

    def _entries(self) -> list[ManifestEntry]:
        return [self._entry(record) for name in self.storage.names() if (record := self._record(name))]

    def _entry(self, record: DatasetRecord) -> ManifestEntry:
        dataset = self.storage.dataset(record.name)
        # `verify` reports a missing plan file; the marker was written last, and is there
        paths = (dataset.plan if dataset.plan.exists() else dataset.marker, dataset.marker)
        begun, completed = (
            datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds") for path in paths
        )
        return ManifestEntry(dataset=record, added_by="unknown", added_at=begun, completed_at=completed)

    def _record(self, name: str) -> DatasetRecord | None:
        return readable_marker(self.storage.dataset(name).marker)

    def _status(self, name: str, entry: ManifestEntry | None, wanted: ParsedRequest | None) -> DatasetStatus | None:
        request = wanted.path if wanted else None
        record = self._record(name)
        if record is not None:
            return DatasetStatus(
                name=name,
                state="running" if self._is_running(name) else "complete",
                identity=record.identity,
                sha=record.sha,
                rows_total=record.rows_total,
                rows_done=record.rows_total - record.rows_failed,
                rows_failed=record.rows_failed,
                size_bytes=record.audio_bytes + record.json_bytes,
                duration_s=record.duration_s,
                added_by=entry.added_by if entry else None,
                added_at=entry.added_at if entry else None,
                request=request,
            )
        return self._partial(name, request) or self._absent(name, entry, wanted)

    def _partial(self, name: str, request: str | None) -> DatasetStatus | None:
        plan = readable_plan(self.storage, name)
        if plan is None:
            return None
        try:
            state = journal.read(self.state.journal(name))
        except StorageFault:
            state = None  # `status` shows what it can; the next run says what is wrong with the journal
        is_running = self._is_running(name)
        progress = read_progress(self.state.progress(name)) if is_running else None
        return DatasetStatus(
            name=name,
            state="running" if is_running else "partial",
            waiting_for_hub=progress.outage or None if progress else None,
            identity=plan.download.identity,
            sha=plan.download.sha,
            rows_total=plan.download.counted(state.shards if state else {}).rows,
            rows_done=len(state.done) if state else 0,
            rows_failed=len(state.failed) if state else 0,
            size_bytes=state.tally.audio_bytes + state.tally.json_bytes if state else 0,
            duration_s=state.tally.duration_s if state else 0.0,
            request=request,
        )

    def _absent(self, name: str, entry: ManifestEntry | None, wanted: ParsedRequest | None) -> DatasetStatus | None:
        if entry is not None:
            return DatasetStatus(name, "lost", entry.dataset.identity, entry.dataset.sha, added_by=entry.added_by)
        if wanted is not None and isinstance(wanted.spec, AddSpec):
            return DatasetStatus(name, "missing", DatasetIdentity.of(wanted.spec), request=wanted.path)
        return None

    def _is_running(self, name: str) -> bool:
        return is_locked(self.state.lock_path(name))
