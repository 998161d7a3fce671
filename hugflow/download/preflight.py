"""Checks of a download before its first byte: estimates of space, time and memory against the server's. No I/O."""

from __future__ import annotations

import math

import pyarrow as pa

from hugflow.formats.rows import is_bytes, schema_of
from hugflow.model.plan import DownloadPlan, Estimate, Finding, StorageFacts
from hugflow.model.specs import AddSpec
from hugflow.text.printable import listed, shown

BLOCK_BYTES = 4096
"""Files take whole blocks on nearly every file system."""

# Measured on one core with 9 s clips of speech (docs/benchmarks.md); an estimate, not a promise.
ENCODED_BYTES_PER_S = 10e6
DURABLE_ROWS_PER_S = 600.0

# MP3 at 192 kbit/s against the usual sources, per byte: about 1.2 of FLAC, 0.75 of 16 kHz WAV, 1 of MP3.
AUDIO_GROWTH = 1.2
# JSON against parquet, which compresses well.
JSON_GROWTH = 4.0


SLACK_BYTES = 128 << 20
SLACK_ROWS = 100_000


def most_stored_bytes(plan: DownloadPlan, growth: float) -> int:
    """The most bytes that the rows of a plan may take: `growth` times what its files suggest, and some more."""
    # only rows that footers count: what a card expects is a claim
    rows = sum(shard.rows for shard in plan.shards)
    return int(growth * plan.size_bytes * JSON_GROWTH) + rows * BLOCK_BYTES + SLACK_BYTES


def most_rows(plan: DownloadPlan, growth: float) -> int:
    """The most rows that files may turn out to have whose rows are counted while they are read."""
    return int(growth * plan.size_bytes) + SLACK_ROWS


def estimate(plan: DownloadPlan, rows_done: int, workers: int) -> Estimate:
    """Estimate the needs of the rows that are left: bytes and files in storage, scratch space, and time."""
    rows = plan.rows - rows_done
    unread = plan.known_rows is None
    share = 1.0 if unread else rows / plan.rows if plan.rows else 0.0
    size = plan.size_bytes * share
    scratch = _scratch(plan, workers) if rows or unread else 0
    if plan.audio_column:
        stored, files = size * AUDIO_GROWTH + rows * BLOCK_BYTES, 2 * rows
        seconds = max(size / ENCODED_BYTES_PER_S / workers, rows / DURABLE_ROWS_PER_S)
    else:
        stored, files = max(size * JSON_GROWTH, rows * BLOCK_BYTES), rows
        seconds = max(rows / DURABLE_ROWS_PER_S, size / ENCODED_BYTES_PER_S / workers if unread else 0.0)
    return Estimate(stored_bytes=int(stored), files=files, scratch_bytes=scratch, seconds=seconds)


def _scratch(plan: DownloadPlan, workers: int) -> int:
    """The most bytes of shards in scratch at a time; folders of files need none."""
    if plan.format in ("audiofolder", "imagefolder"):
        return 0
    largest = max((shard.size_bytes for shard in plan.shards), default=0)
    copies = 0 if plan.format == "parquet" else 1
    return min(workers + 1, len(plan.shards) + copies) * largest


# Measured (docs/decisions/0009): pages of a whole row group are in memory packed and unpacked.
GROUP_MEMORY = 2.1


def memory(plan: DownloadPlan, worker_bytes: int) -> list[Finding]:
    """Check that a worker can read the largest row group of the split in `worker_bytes` (0: no bound).

    An "error" is certain: not even the group's values fit. A "warning" depends on the sizes of pages, which only the
    file itself tells; a worker that runs out of memory ends the run with that reason.
    """
    largest = max(plan.shards, key=lambda shard: shard.largest_group_bytes or 0, default=None)
    size = (largest.largest_group_bytes or 0) if largest else 0
    if largest is None or not worker_bytes or size * GROUP_MEMORY <= worker_bytes:
        return []
    needed = math.ceil(size * GROUP_MEMORY / 1e6)
    message = (
        f"{largest.path} has a row group of {_gb(size)}, and a worker may use {_gb(worker_bytes)}: "
        f"set WORKER_MEMORY_MB to {needed} or more (and WORKERS to what the machine has memory for)"
    )
    return [_lacks("memory", message)] if size > worker_bytes else [Finding(level="warning", message=message)]


def left_out(spec: AddSpec, plan: DownloadPlan) -> list[Finding]:
    """Name the columns whose audio or bytes the dataset will not contain, and a text column that is missing."""
    findings = []
    columns = [column for column in plan.columns if column.name != plan.audio_column]
    audio = [column.name for column in columns if column.kind == "audio"]
    nested = [path for column in columns for path in column.nested_audio]
    if audio or nested:
        message = (
            f"audio that is not extracted: {listed([*audio, *nested])}; the JSON has paths, sizes and SHA-256 only."
        )
        if audio:
            message += f" For MP3 files write `audio_column: {audio[0]}`: one column for each dataset in storage."
        if nested:
            message += " Of audio inside of lists and structs no MP3 files are made."
        findings.append(Finding(level="warning", message=message, field="audio_column"))
    source = schema_of(plan.arrow_schema)
    heard = {*audio, *(column.name for column in columns if column.nested_audio)}
    files = [
        column.name for column in columns if column.name not in heard and _has_bytes(source.field(column.name).type)
    ]
    if files:
        kinds = {column.name: column.kind for column in columns}
        names = listed(files)
        message = f"bytes that are left out: {names}; the JSON has paths, sizes and SHA-256 only."
        unknown = [name for name in files if kinds[name] == "value" and pa.types.is_struct(source.field(name).type)]
        if unknown and plan.audio_column is None and spec.audio_column is not None:
            message += f" If {listed(unknown)} is audio, write `audio_column: {unknown[0]}`."
        findings.append(Finding(level="warning", message=message))
    text = [column.name for column in columns if column.kind == "text"]
    if text and spec.text_column not in {column.name for column in plan.columns}:
        message = f"there is no column {shown(spec.text_column)}: previews and reports have no text. "
        message += f"Columns of text: {listed(text)}; write `text_column: {text[0]}`, for example."
        findings.append(Finding(level="info", message=message, field="text_column"))
    return findings


def _has_bytes(kind: pa.DataType) -> bool:
    """Return True if values of the type hold bytes at any depth."""
    if pa.types.is_dictionary(kind):
        return _has_bytes(kind.value_type)
    if isinstance(kind, pa.BaseExtensionType):
        return _has_bytes(kind.storage_type)
    if kind.num_fields:
        return any(_has_bytes(kind.field(i).type) for i in range(kind.num_fields))
    return is_bytes(kind)


def space(needs: Estimate, storage: StorageFacts) -> list[Finding]:
    """Compare an estimate with the free space, inodes and quota. An "error" is certain: not even the minimum fits."""
    findings = []
    least = needs.files * BLOCK_BYTES + needs.scratch_bytes
    likely = needs.stored_bytes + needs.scratch_bytes
    if storage.free_inodes is not None and needs.files > storage.free_inodes:
        findings.append(_lacks("inodes", f"{needs.files:,} files are needed, {storage.free_inodes:,} inodes are free"))
    if least > storage.free_bytes:
        findings.append(_lacks("space", f"at least {_gb(least)} is needed, {_gb(storage.free_bytes)} is free"))
    elif likely > storage.free_bytes:
        message = f"about {_gb(likely)} may be needed, {_gb(storage.free_bytes)} is free"
        findings.append(Finding(level="warning", message=message))
    if storage.quota_bytes is not None and storage.used_bytes + needs.stored_bytes > storage.quota_bytes:
        after = storage.used_bytes + needs.stored_bytes
        findings.append(
            _lacks("quota", f"about {_gb(after)} would be used, STORAGE_QUOTA_GB allows {_gb(storage.quota_bytes)}")
        )
    return findings


def _lacks(what: str, message: str) -> Finding:
    return Finding(level="error", message=f"not enough {what}: {message}")


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"  # noqa: PLR2004 - below it, megabytes say more
