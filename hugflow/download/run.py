"""Run of one add request: converts the missing rows, records each row, and completes the dataset."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from hugflow.download import pool
from hugflow.download.adopt import adopt
from hugflow.download.convert import Conversion
from hugflow.download.finish import finish, remove_unrecorded
from hugflow.download.pool import PoolSettings
from hugflow.download.preflight import BLOCK_BYTES, most_rows, most_stored_bytes
from hugflow.download.shard_queue import ShardQueue, is_pending
from hugflow.formats.json_values import loads
from hugflow.formats.rows import common_schema
from hugflow.hf_client.http import Hub
from hugflow.hf_client.outages import OutageWatch
from hugflow.hf_client.read.audio_paths import RepositoryFiles
from hugflow.hf_client.read.fetch import fetch_shard
from hugflow.hf_client.read.repository_reader import FetchRows, RepositoryReader
from hugflow.model.errors import ExitCode, HugflowError, InvalidRequest, Paused, StorageFault
from hugflow.model.events import FailedRow, HubOutage, Preview, Progress, Reporter, Result, RowFailed, Warned
from hugflow.model.outcome import failed_result
from hugflow.model.plan import AddPlan, DownloadPlan, PlanFile, ShardCount
from hugflow.model.ranges import RowRanges
from hugflow.model.records import RowRecord
from hugflow.storage.dataset_folder import DatasetFolder
from hugflow.storage.disk import faults, read_inside
from hugflow.storage.failpoints import Failpoints
from hugflow.storage.index import batched_rows, read_index
from hugflow.storage.journal import Journal, JournalState
from hugflow.storage.plan_file import write_plan
from hugflow.storage.state import DatasetRecord, ManifestEntry, ProgressFile, StateDir, read_progress, write_progress
from hugflow.storage.storage_root import Storage
from hugflow.storage.verify import row_damage
from hugflow.version import __version__

GROUP_ROWS = 64
PROGRESS_EVERY_S = 1.0
LISTED_ERRORS = 100
TIDY_S = 0.5  # a run that is asked to stop has five seconds in all
PREVIEW_ROWS = 3
DISK_CHECK_EVERY_S = 1.0

_POLICY = "Change `datasets` in hugflow.yaml, or ask for another dataset. What is stored stays, and can be continued."
_GROWTH = (
    "Look at the dataset: a small file may unpack to much. If it is right, raise MAX_STORAGE_GROWTH and run the same "
    "command again: it continues."
)


def group_rows(workers: int) -> int:
    """Rows that a worker writes at a time.

    Each worker has four groups in progress: one being filled, one waiting, one being written, one not yet recorded.
    Together they are the `GROUP_ROWS` that are converted again after a kill.
    """
    return max(1, GROUP_ROWS // (4 * workers))


@dataclass(frozen=True, slots=True)
class RunContext:
    """Collaborators and settings of a run. `actor` is the person or program that requested it."""

    hub: Hub
    reader: RepositoryReader
    storage: Storage
    state: StateDir
    pool: PoolSettings
    max_concurrent_downloads: int
    cleanup_progress: bool
    actor: str
    emit: Reporter
    should_stop: Callable[[], bool]
    now: Callable[[], datetime]
    failpoints: Failpoints = field(default_factory=Failpoints)
    reserve_bytes: int = 0
    max_growth: float = 20.0


def manifest_entry(context: RunContext, record: DatasetRecord) -> ManifestEntry:
    """Manifest entry of a complete dataset; its times are those of the plan file (begin) and of the marker (end)."""
    dataset = context.storage.dataset(record.name)
    return ManifestEntry(
        dataset=record,
        added_by=context.actor,
        added_at=_modified(dataset.plan),
        completed_at=_modified(dataset.marker),
    )


def _modified(path: Path) -> str:
    with faults(f"reading {path}"):
        return datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")


@dataclass(slots=True)
class DownloadRun:
    """One run of an add request. The caller holds the dataset's lock for the whole run.

    `quota_left_bytes` is what STORAGE_QUOTA_GB leaves for it, None without a quota.
    """

    plan: AddPlan
    context: RunContext
    retry_failed: bool = False
    quota_left_bytes: int | None = None
    _dataset: DatasetFolder = field(init=False)
    _journal: Journal = field(init=False)
    _started: float = field(init=False)
    _resumed_from: int = 0
    _new_rows: int = 0
    _new_bytes: int = 0
    _new_disk_bytes: int = 0
    _last_disk_check: float = 0.0
    _last_progress: float = 0.0
    _outages: OutageWatch = field(init=False)

    def __post_init__(self) -> None:
        self._dataset = self.context.storage.dataset(self.plan.name)
        self._outages = OutageWatch(self._report_outage)

    def run(self) -> Result:
        """Convert the missing rows and complete the dataset. Faults that end it are in the result; bugs are raised."""
        self._started = time.monotonic()
        self._prepare()
        try:
            self._write_progress("running")
            self._convert()
            return self._end()
        except Paused as paused:
            return self._ended("paused", paused)
        except HugflowError as error:
            return self._ended("failed", error)
        finally:
            self._journal.close()

    @property
    def _rows(self) -> JournalState:
        return self._journal.state

    def _prepare(self) -> None:
        """Create the folder, write the plan if there is none, and open the journal."""
        progress = read_progress(self.context.state.progress(self.plan.name))
        is_old = progress is not None and progress.is_old
        facts = self.plan.facts
        self._dataset.create(known=is_old, closed=facts.private or facts.gated)
        is_ours = self._dataset.plan.exists()
        if not is_ours:
            # the journal of a deleted dataset records rows whose files were deleted
            self.context.state.drop_journal(self.plan.name)
            self._write_plan(self.plan.download)
        self._dataset.sweep()
        path = self.context.state.journal(self.plan.name)
        self._journal = Journal.open(path, self.plan.name, self.plan.download.sha)
        if self._journal.is_new and (is_ours or is_old):
            self._adopt(progress)
        # not complete until the run has finished
        self._dataset.delete_marker()
        self.context.state.deactivate(self.plan.name)
        self._resumed_from = len(self._rows.done)
        self._journal.begin_run({"time": self.context.now().isoformat(timespec="seconds"), "version": __version__})

    def _adopt(self, progress: ProgressFile | None) -> None:
        """Without a journal: record the rows of the index, or those of a progress file whose files can be verified.

        Called only when the plan that they were converted by exists: without it they may be of another commit.
        """
        if self._dataset.index.is_file():
            self._adopt_index()
            return
        if progress is None:
            return
        for records in adopt(self._dataset, progress.rows, self.plan.download):
            self._journal.append_rows(records)

    def _adopt_index(self) -> None:
        """Record the rows of the index; without a marker, only those whose files match it."""
        is_complete = self._dataset.marker.is_file()
        try:
            for batch in batched_rows(read_index(self._dataset)):
                if records := [record for record in batch if is_complete or not row_damage(self._dataset, record)]:
                    self._journal.append_rows(records)
        except StorageFault as fault:
            if is_complete or fault.reason != "damaged_index":
                raise
            self.context.emit(
                Warned(self.plan.request, f"{fault.doing}: {fault.problem}; its rows are converted again")
            )

    @property
    def _download(self) -> DownloadPlan:
        """The plan with the row counts of the shards that were counted so far."""
        return self.plan.download.counted(self._rows.shards)

    def _convert(self) -> None:
        download = self._download
        skipped = RowRanges(self._rows.done.as_list())
        if not self.retry_failed:
            skipped.update(self._rows.failed)
        if not any(is_pending(shard, skipped) for shard in download.shards):
            return
        workers = self.context.pool.workers
        # a shard of another format is in scratch twice while it is converted to parquet: one at a time
        is_parquet = download.format == "parquet"
        conversion = Conversion(
            self._dataset.path,
            download.audio_column,
            download.encoder,
            group_rows(workers),
            failpoints=self.context.failpoints,
        )
        hub = replace(self.context.hub, on_outage=self._outages.note)
        files = RepositoryFiles(hub, download.identity.hf_id, download.sha)
        with self._fetch_rows() as fetch_rows:
            shards = ShardQueue(
                plan=download,
                dataset=self._dataset,
                skipped=skipped,
                fetch_rows=fetch_rows,
                counted=self._count_shard,
                workers=workers,
                ahead=workers + 1 if is_parquet else workers,
                threads=self.context.max_concurrent_downloads if is_parquet else 1,
            )
            pool.run(shards, conversion, files, self.context.pool, self._record, self._should_stop)

    def _report_outage(self, problem: str) -> None:
        self._write_progress("running")
        self.context.emit(HubOutage(self.plan.request, self.plan.name, problem))

    def _fetch_rows(self) -> AbstractContextManager[FetchRows]:
        """The function that fetches a shard into scratch, as a parquet file."""
        hub, download = replace(self.context.hub, on_outage=self._outages.note), self.plan.download
        if download.format != "parquet":
            return self.context.reader.rows(hub, download)

        def fetch(index: int, folder: Path) -> Path:
            return fetch_shard(hub, download.identity.hf_id, download.sha, download.shards[index], folder)

        return nullcontext(fetch)

    def _should_stop(self) -> bool:
        """Tell if the run has to stop; called often, it reports outages and checks the disk. Raises StorageFault."""
        self._outages.publish()
        now = time.monotonic()
        if now - self._last_disk_check >= DISK_CHECK_EVERY_S:
            self._last_disk_check = now
            if self.context.storage.lacks_reserve(self.context.reserve_bytes):
                raise StorageFault(
                    f"downloading {self.plan.name}",
                    "less is free on the disk than STORAGE_RESERVE_GB keeps free",
                    "Free space or lower the reserve, and run the same command again: it continues.",
                    reason="reserve",
                )
        return self.context.should_stop()

    def _count_shard(self, index: int, count: ShardCount) -> None:
        """Record the row count of a shard. Raises InvalidRequest when there are more rows than may be."""
        self._journal.count_shard(index, count)
        rows = sum(shard.rows for shard in self._download.shards)
        if self.plan.max_rows is not None and rows > self.plan.max_rows:
            raise self._refused(f"the policy allows {self.plan.max_rows:,} rows; there are {rows:,} or more", _POLICY)
        if rows > most_rows(self.plan.download, self.context.max_growth):
            size = self.plan.download.size_bytes
            raise self._refused(f"its files of {size:,} bytes have {rows:,} rows or more", _GROWTH, "growth")

    def _check_stored(self) -> None:
        """Raise InvalidRequest when the rows take more bytes than the policy allows, or far more than was planned."""
        stored = self._rows.tally.audio_bytes + self._rows.tally.json_bytes
        limit = self.plan.max_stored_bytes
        if limit is not None and stored > limit:
            raise self._refused(f"its rows take {stored:,} bytes; the policy allows {limit / 1e9:g} GB", _POLICY)
        most = most_stored_bytes(self.plan.download, self.context.max_growth)
        if stored > most:
            planned = self.plan.download.size_bytes
            message = (
                f"its rows take {stored:,} bytes already; its files have {planned:,}, which suggest {most:,} at most"
            )
            raise self._refused(message, _GROWTH, "growth")

    def _refused(self, problem: str, fix: str, reason: str = "policy") -> InvalidRequest:
        return InvalidRequest(f"downloading {self.plan.name}", problem, fix, reason=reason)

    def _record(self, records: list[RowRecord]) -> None:
        self.context.failpoints.reach("journal_before")
        self._journal.append_rows(records)
        self.context.failpoints.reach("journal_after")
        self._new_rows += sum(record.status != "failed" for record in records)
        self._new_bytes += sum(record.audio_bytes + record.json_bytes for record in records)
        self._new_disk_bytes += sum(
            -(-size // BLOCK_BYTES) * BLOCK_BYTES for r in records for size in (r.audio_bytes, r.json_bytes)
        )
        for record in records:
            if record.status == "failed":
                self._emit_failed(record)
        self._report()
        self._check_stored()
        if self.quota_left_bytes is not None and self._new_disk_bytes > self.quota_left_bytes:
            raise StorageFault(
                f"downloading {self.plan.name}",
                "the datasets together take more than STORAGE_QUOTA_GB allows",
                "Raise the quota or remove a dataset, and run the same command again: it continues.",
                reason="quota",
            )

    def _emit_failed(self, record: RowRecord) -> None:
        reason, message = record.reason or "failed", record.message or ""
        self.context.emit(RowFailed(self.plan.request, self.plan.name, record.row, reason, message))

    def _report(self) -> None:
        now = time.monotonic()
        if now - self._last_progress >= PROGRESS_EVERY_S:
            self._last_progress = now
            self._write_progress("running")
            self.context.failpoints.reach("progress_written")
        self.context.emit(
            Progress(
                request=self.plan.request,
                name=self.plan.name,
                rows_total=self._download.rows,
                rows_done=len(self._rows.done),
                rows_failed=len(self._rows.failed),
                new_rows=self._new_rows,
                new_bytes=self._new_bytes,
                elapsed_s=now - self._started,
            )
        )

    def _write_progress(self, status: Literal["running", "paused", "partial", "complete", "failed"]) -> None:
        write_progress(
            self.context.state.progress(self.plan.name),
            self.plan.name,
            status=status,
            done=self._rows.done,
            rows_total=self._download.rows,
            resumed_from=self._resumed_from,
            outage=self._outages.problem,
        )

    def _end(self) -> Result:
        """Complete the dataset, or leave it partial when more rows failed than the request allows."""
        self._dataset.sweep()
        failed, allowed = len(self._rows.failed), self.plan.spec.max_failed_rows
        if failed > allowed:
            self._remove_unrecorded()
            self._write_progress("partial")
            fix = "Run it again with --retry-failed, or allow them with `max_failed_rows` in the request."
            rows = "1 row" if failed == 1 else f"{failed} rows"
            problem = f"{rows} could not be converted; {allowed or 'none'} may fail"
            return self._result("partial", ExitCode.PARTIAL, error=problem, fix=fix, reason="failed_rows")
        plan = self._fix_counts()
        journal = self.context.state.journal(self.plan.name)
        # before the marker: a folder with a marker has no other files
        self._dataset.remove_workspace()
        record = finish(self._dataset, journal, self._rows, plan, self.context.failpoints)
        self.context.state.activate(manifest_entry(self.context, record))
        self.context.failpoints.reach("finish_manifest")
        self._write_progress("complete")
        if warning := self.context.storage.link(self.plan.name):
            self.context.emit(Warned(self.plan.request, warning))
        if self.plan.download.audio_column and not self._rows.tally.audio_files and self._rows.done:
            self.context.emit(Warned(self.plan.request, "Audio column exists but no audio files extracted"))
        result = self._result("complete", ExitCode.DONE)
        if self.context.cleanup_progress:
            self.context.state.forget(self.plan.name)
        return result

    def _fix_counts(self) -> AddPlan:
        """Add the row counts and types that were found while reading to the plan, also to the dataset's plan file."""
        if not self._rows.shards:
            return self.plan
        schemas = [count.arrow_schema for _, count in sorted(self._rows.shards.items())]
        download = self._download.model_copy(update={"arrow_schema": common_schema(schemas)})
        self._write_plan(download)
        return self.plan.model_copy(update={"download": download})

    def _write_plan(self, download: DownloadPlan) -> None:
        write_plan(self._dataset, PlanFile(facts=self.plan.facts, download=download))

    def _ended(self, status: Literal["paused", "failed"], error: HugflowError) -> Result:
        # temporary files first: on a full disk they may free the space for the progress file
        for tidy in (self._dataset.sweep, self._remove_unrecorded, lambda: self._write_progress(status)):
            try:
                tidy()
            except HugflowError as fault:
                # the fault that ended the run may prevent this, too; a resume needs only the journal
                self.context.emit(Warned(self.plan.request, str(fault)))
        # whatever ended a run that had begun, its request was valid
        return replace(failed_result(self.plan.request, "add", self.plan.name, error, **self._counts()), status=status)

    def _remove_unrecorded(self) -> None:
        remove_unrecorded(self._dataset, self._rows.done, within_s=TIDY_S)

    def _result(self, status: Literal["complete", "partial"], code: ExitCode, **more: Any) -> Result:
        previews = self._previews() if status == "complete" else ()
        return Result(
            self.plan.request, "add", self.plan.name, status, code, previews=previews, **self._counts(), **more
        )

    def _counts(self) -> dict[str, Any]:
        """The fields of a result that tell what is in storage, and what this run added to it."""
        rows = self._rows
        failed = [rows.failed[row] for row in islice(sorted(rows.failed), LISTED_ERRORS)]
        return {
            "location": str(self._dataset.path),
            "sha": self.plan.download.sha,
            "rows_total": self._download.rows,
            "rows_done": len(rows.done),
            "rows_failed": len(rows.failed),
            "new_rows": self._new_rows,
            "audio_bytes": rows.tally.audio_bytes,
            "json_bytes": rows.tally.json_bytes,
            "duration_s": rows.tally.duration_s,
            "rows_without_audio": rows.tally.rows_without_audio,
            "clipped_clips": rows.tally.clipped_clips,
            "silent_clips": rows.tally.silent_clips,
            "elapsed_s": time.monotonic() - self._started,
            "errors": tuple(FailedRow(record.row, record.reason or "", record.message or "") for record in failed),
        }

    def _previews(self) -> tuple[Preview, ...]:
        """Text and duration of the first rows, for reports."""
        previews = []
        for record in islice((r for r in read_index(self._dataset) if r.status != "failed"), PREVIEW_ROWS):
            values = loads(read_inside(self._dataset.path, f"json/{record.row}.json"))
            text = values.get(self.plan.spec.text_column)
            duration = record.samples / record.sample_rate if record.sample_rate else None
            previews.append(Preview(record.row, text if isinstance(text, str) else None, duration))
        return tuple(previews)
