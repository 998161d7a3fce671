"""Adoption of rows in storage that no journal records: a row is taken over only if its files are right.

A download continues this way when its journal was lost, or an older tool began it (progress files of version 2.0).
"""

from __future__ import annotations

import hashlib
import io
import posixpath
from collections.abc import Iterator
from itertools import takewhile
from typing import Any

import soundfile

from hugflow.formats.json_values import loads
from hugflow.model.plan import DownloadPlan
from hugflow.model.ranges import RowRanges
from hugflow.model.records import RowRecord
from hugflow.storage.dataset_folder import DatasetFolder
from hugflow.storage.disk import read_inside

GROUP_ROWS = 64


def adopt(dataset: DatasetFolder, rows: RowRanges, plan: DownloadPlan) -> Iterator[list[RowRecord]]:
    """Yield the records of those of `rows` whose files are right, in groups; the others are made again."""
    group: list[RowRecord] = []
    shared = _named_twice(dataset, rows, plan)
    for row in takewhile(lambda row: row < plan.rows, rows):
        record = _record(dataset, row, plan)
        if record is not None and hash(record.audio) not in shared:
            group.append(record)
        if len(group) == GROUP_ROWS:
            yield group
            group = []
    if group:
        yield group


def _named_twice(dataset: DatasetFolder, rows: RowRanges, plan: DownloadPlan) -> set[int]:
    """Hashes of the audio names that several rows have: one row wrote over another, and which one is unknown."""
    once: set[int] = set()
    twice: set[int] = set()
    if plan.audio_column is None:
        return twice
    for row in takewhile(lambda row: row < plan.rows, rows):
        found = _read(dataset, row, plan)
        name = found[1][plan.audio_column] if found else None
        if isinstance(name, str):
            key = hash(posixpath.basename(name))
            (twice if key in once else once).add(key)
    return twice


def _read(dataset: DatasetFolder, row: int, plan: DownloadPlan) -> tuple[bytes, dict[str, Any]] | None:
    """A row's JSON, or None when it is not there, damaged, or has other columns."""
    try:
        data = read_inside(dataset.path, f"json/{row}.json")
        values = loads(data)
    except (OSError, ValueError):
        return None
    if not isinstance(values, dict) or values.keys() != {column.name for column in plan.columns}:
        return None
    return data, values


def _record(dataset: DatasetFolder, row: int, plan: DownloadPlan) -> RowRecord | None:
    """The record of a row, or None when its files are not right."""
    found = _read(dataset, row, plan)
    if found is None:
        return None
    data, values = found
    record = RowRecord(row, "ok", json_bytes=len(data), json_sha256=hashlib.sha256(data).hexdigest())
    if plan.audio_column is None:
        return record
    audio = values[plan.audio_column]
    return record._replace(status="no_audio") if audio is None else _with_audio(dataset, record, audio)


def _with_audio(dataset: DatasetFolder, record: RowRecord, audio: object) -> RowRecord | None:
    if not isinstance(audio, str):
        return None
    folder, name = posixpath.split(audio)
    if folder != "audio" or not name or _is_of_another(name, record.row):
        return None
    try:
        data = read_inside(dataset.path, audio)
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


def _is_of_another(name: str, row: int) -> bool:
    """Return True if `rows.audio_file_name` gives this name to another row."""
    number = name.removesuffix(".mp3").rpartition("__")[2]
    return name.endswith(".mp3") and number.isdecimal() and number != str(row)
