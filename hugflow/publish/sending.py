"""Write and upload the shards of a publish: one is written while the one before it is uploaded, none is sent twice."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hugflow.hf_client.write.repository import RepoFile, Repository, Upload
from hugflow.model.errors import Terminal, Transient
from hugflow.model.events import Progress, Reporter
from hugflow.publish.ahead import read_ahead
from hugflow.publish.job import PublishJob
from hugflow.publish.layout import data_paths
from hugflow.publish.ledger import Ledger, ShardRecord
from hugflow.publish.shards import ShardFile, write_shards
from hugflow.publish.sources.opening import Source
from hugflow.publish.tables import SentShard
from hugflow.storage.disk import faults
from hugflow.storage.failpoints import Failpoints

LOOK_EVERY_S = 0.2


@dataclass(slots=True)
class UploadTally:
    """Progress of a run. `rows_done` are on the Hub; `new_rows` are those of files that this run uploaded or found."""

    rows_total: int = 0
    rows_done: int = 0
    new_rows: int = 0
    sent_bytes: int = 0


@dataclass(slots=True)
class Sender:
    """Upload the shards of splits, which no reader sees before the commit.

    `files` are those of the commit that the run began with. `check` raises Paused when the run was asked to stop.
    `frozen` is the error for a run that must not send anything (None: it may).
    """

    job: PublishJob
    repository: Repository
    files: Mapping[str, RepoFile]
    ledger: Ledger
    scratch: Path
    emit: Reporter
    check: Callable[[], None]
    tally: UploadTally
    failpoints: Failpoints = field(default_factory=Failpoints)
    frozen: Terminal | None = None
    _began: float = field(default_factory=time.monotonic)

    def send(self, source: Source) -> tuple[SentShard, ...]:
        """Write and upload all shards of a split; returns them in order.

        Raises Paused when the run was asked to stop, Transient when the files changed meanwhile, and what writing and
        sending raise.
        """
        name, fingerprint = f"{source.config}/{source.split}", self.job.fingerprint(source)
        record = self.ledger.split(name, fingerprint)
        # trusted: where the Hub has lost one after all, it refuses the commit, and all of them are sent again
        records = list(record.shards)
        sent = [_remembered(shard) for shard in records]
        self._report_rows(sum(shard.rows for shard in sent))
        if record.complete:
            return tuple(sent)
        with _one_thread() as thread:
            done, rows = [shard.rows for shard in records], read_ahead(source)
            shards = write_shards(rows, self.job.options, self.scratch, done=done, check=self.check)
            for shard, upload in self._pipelined(source, shards, thread):
                records.append(_record(shard))
                sent.append(_as_sent(shard, upload))
                self.failpoints.reach("publish_sent")
                self.ledger.add(name, fingerprint, records, complete=False)
                self.failpoints.reach("publish_noted")
                self._report_rows(shard.rows)
        if self.job.fingerprint(source) != fingerprint:
            raise changed(source)
        self.ledger.add(name, fingerprint, records, complete=True)
        return tuple(sent)

    def _pipelined(
        self, source: Source, shards: Iterator[ShardFile], thread: ThreadPoolExecutor
    ) -> Iterator[tuple[ShardFile, Upload]]:
        """Each shard with its upload, in order: while one is on its way, the next one is written, and no more."""
        before: tuple[ShardFile, Future[Upload]] | None = None
        for shard in shards:
            self.failpoints.reach("publish_written")
            if before is not None:
                yield before[0], self._result(before[1])
            before = shard, thread.submit(self._upload, source, shard)
        if before is not None:
            yield before[0], self._result(before[1])

    def _result(self, future: Future[Upload]) -> Upload:
        while not wait([future], timeout=LOOK_EVERY_S).done:
            self.check()
        return future.result()

    def _upload(self, source: Source, shard: ShardFile) -> Upload:
        """Send a shard, unless the repository has such a file, and delete it here."""
        if shard.sha256 in self._shas():
            upload = Upload(shard.size_bytes, shard.sha256)
        elif self.frozen is not None:
            raise self.frozen
        else:
            path = data_paths(source.config, source.split, shard.index + 1)[-1]
            upload = self.repository.upload(shard.file, path, sha256=shard.sha256, size_bytes=shard.size_bytes)
            self.tally.new_rows += shard.rows
            self.tally.sent_bytes += upload.sent_bytes
        with faults(f"removing {shard.file.name}"):
            shard.file.unlink(missing_ok=True)
        return upload

    def _shas(self) -> frozenset[str]:
        return frozenset(file.sha256 for file in self.files.values() if file.sha256)

    def _report_rows(self, rows: int) -> None:
        self.tally.rows_done += rows
        self.emit(
            Progress(
                request=self.job.request,
                name=self.repository.repo_id,
                rows_total=self.tally.rows_total,
                rows_done=self.tally.rows_done,
                rows_failed=0,
                new_rows=self.tally.new_rows,
                new_bytes=self.tally.sent_bytes,
                elapsed_s=time.monotonic() - self._began,
            )
        )


def changed(source: Source) -> Transient:
    """The error for data that somebody wrote to while it was read."""
    return Transient(
        f"publishing {source.config}/{source.split}",
        "its files changed while they were being published",
        "Nothing was published. Run the same command again once nothing writes to them.",
        reason="file_changed",
    )


@contextmanager
def _one_thread() -> Iterator[ThreadPoolExecutor]:
    """A pool of one thread, which after an error is not waited for: its upload may take long."""
    pool = ThreadPoolExecutor(1, thread_name_prefix="hugflow-upload")
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


def _remembered(record: ShardRecord) -> SentShard:
    upload = Upload(record.size_bytes, record.sha256)
    return SentShard(record.rows, record.size_bytes, record.uncompressed_bytes, upload)


def _record(shard: ShardFile) -> ShardRecord:
    return ShardRecord(
        rows=shard.rows,
        size_bytes=shard.size_bytes,
        uncompressed_bytes=shard.uncompressed_bytes,
        sha256=shard.sha256,
    )


def _as_sent(shard: ShardFile, upload: Upload) -> SentShard:
    return SentShard(shard.rows, shard.size_bytes, shard.uncompressed_bytes, upload)
