"""Rows that stand in storage without a journal: each is taken over only if its files are what they should be.

This is how a download continues whose journal was lost, or which an older tool began (progress files of version 2.0).
"""

from __future__ import annotations

import hashlib
import io
import posixpath
from collections.abc import Iterator

import orjson
import soundfile

from hugflow.journal import RowRecord
from hugflow.plan import DownloadPlan
from hugflow.ranges import RowRanges
from hugflow.storage import DatasetDir

GROUP_ROWS = 64


def adopt(dataset: DatasetDir, rows: RowRanges, plan: DownloadPlan) -> Iterator[list[RowRecord]]:
    """Records of those of `rows` whose files hold, in groups; the others are simply made again."""
    group: list[RowRecord] = []
    for row in rows:
        record = _record(dataset, row, plan) if row < plan.rows else None
        if record is not None:
            group.append(record)
        if len(group) == GROUP_ROWS:
            yield group
            group = []
    if group:
        yield group


def _record(dataset: DatasetDir, row: int, plan: DownloadPlan) -> RowRecord | None:
    """What the journal would say of a row, or None when its files do not hold."""
    try:
        data = (dataset.json / f"{row}.json").read_bytes()
        values = orjson.loads(data)
    except (OSError, orjson.JSONDecodeError):
        return None
    if not isinstance(values, dict) or values.keys() != {column.name for column in plan.columns}:
        return None
    record = RowRecord(row, "ok", json_bytes=len(data), json_sha256=hashlib.sha256(data).hexdigest())
    if plan.audio_column is None:
        return record
    audio = values[plan.audio_column]
    return record._replace(status="no_audio") if audio is None else _with_audio(dataset, record, audio)


def _with_audio(dataset: DatasetDir, record: RowRecord, audio: object) -> RowRecord | None:
    if not isinstance(audio, str):
        return None
    folder, name = posixpath.split(audio)
    path = dataset.audio / name
    if folder != "audio" or not name or path.is_symlink():
        return None
    try:
        data = path.read_bytes()
        info = soundfile.info(io.BytesIO(data))
    except (OSError, soundfile.LibsndfileError):
        return None
    return record._replace(
        audio=name,
        audio_bytes=len(data),
        audio_sha256=hashlib.sha256(data).hexdigest(),
        samples=info.frames,
        sample_rate=info.samplerate,
        source_sample_rate=info.samplerate,
        source_channels=info.channels,
    )
