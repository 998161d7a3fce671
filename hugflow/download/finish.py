"""Completion of a dataset after its last row: index, metadata, card, and last of all the marker."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from hugflow.card.class_labels import hub_feature, with_label_ids
from hugflow.card.stored import storage_card
from hugflow.formats.json_values import loads
from hugflow.formats.rows import audio_file_row, json_array, json_file_row, json_type, schema_of
from hugflow.model.errors import StorageFault
from hugflow.model.plan import AddPlan
from hugflow.model.ranges import RowRanges
from hugflow.model.records import RowRecord
from hugflow.storage.dataset_folder import DatasetFolder
from hugflow.storage.disk import (
    NotAFileError,
    faults,
    read_inside,
    refuse_links,
    sha256_of,
    write_durably,
)
from hugflow.storage.failpoints import Failpoints
from hugflow.storage.index import batched_rows, read_index, write_index, write_parquet
from hugflow.storage.journal import JournalState, records
from hugflow.storage.state import DatasetRecord
from hugflow.version import __version__


def finish(
    dataset: DatasetFolder, journal: Path, state: JournalState, plan: AddPlan, failpoints: Failpoints
) -> DatasetRecord:
    """Write index, metadata and card, remove files that are not part of the dataset, and write the marker.

    Every JSON file is read once and compared with the size and hash in the journal.
    Raises StorageFault when a file is not what was recorded.
    """
    state.tally = write_index(dataset, records(journal, state.groups))
    failpoints.reach("finish_index")
    write_metadata(dataset, plan)
    failpoints.reach("finish_metadata")
    card = storage_card(plan.spec, plan.download, plan.facts.licence, rows=len(state.done), failed=len(state.failed))
    write_durably(dataset.readme, card.encode())
    failpoints.reach("finish_card")
    _remove_files_without_row(dataset, state)
    record = DatasetRecord(
        name=plan.name,
        identity=plan.download.identity,
        sha=plan.download.sha,
        request=plan.request,
        spec=plan.spec.model_dump(mode="json", exclude_unset=True),
        licence=plan.facts.licence,
        audio_column=plan.download.audio_column,
        encoder=plan.download.encoder,
        rows_total=plan.download.rows,
        rows_failed=len(state.failed),
        audio_files=state.tally.audio_files,
        audio_bytes=state.tally.audio_bytes,
        json_bytes=state.tally.json_bytes,
        duration_s=round(state.tally.duration_s, 3),
        rows_without_audio=state.tally.rows_without_audio,
        clipped_clips=state.tally.clipped_clips,
        silent_clips=state.tally.silent_clips,
        files={path.relative_to(dataset.path).as_posix(): sha256_of(path) for path in dataset.summaries},
        hugflow_version=__version__,
    )
    write_durably(dataset.marker, record.to_bytes())
    failpoints.reach("finish_marker")
    return record


def write_metadata(dataset: DatasetFolder, plan: AddPlan) -> None:
    """Write `metadata.parquet` from the index and the JSON files: `file_name` of the MP3, then the columns.

    The schema's metadata names the classes of labels, in the form in which `datasets` reads them.

    The audio column is left out: `datasets` makes it from `file_name`, and a column of its name would replace that.
    """
    source = schema_of(plan.download.arrow_schema)
    names = metadata_names(source.names, plan.download.audio_column)
    labels = {path: each for column in plan.download.columns for path, each in column.class_names.items()}
    types = {name: with_label_ids(json_type(source.field(name).type), name, labels) for name in names}
    # without audio `datasets` reads the table as it is, and takes no names for those of files
    shown = _without_file_names if plan.download.audio_column else _as_it_is
    fields = [pa.field(names[name], shown(pa.nulls(0, kind)).type) for name, kind in types.items()]
    file_name = [pa.field("file_name", pa.string())] if plan.download.audio_column else []
    features = {
        names[name]: hub_feature(shown(pa.nulls(0, kind)).type, name, labels)
        for name, kind in types.items()
        if any(path == name or path.startswith(f"{name}.") for path in labels)
    }
    metadata = {b"huggingface": orjson.dumps({"info": {"features": features}})} if features else None
    schema = pa.schema(file_name + fields, metadata=metadata)

    def tables() -> Iterator[pa.Table]:
        wanted = (record for record in read_index(dataset) if record.status != "failed")
        for batch in batched_rows(wanted):
            rows = [_row_values(dataset, record) for record in batch]
            arrays = [
                pa.array([None if r.audio is None else f"audio/{r.audio}" for r in batch], pa.string())
                for _ in file_name
            ]
            arrays += [shown(json_array([row.get(name) for row in rows], kind)) for name, kind in types.items()]
            yield pa.Table.from_arrays(arrays, schema=schema)

    write_parquet(dataset.metadata, schema, tables())


def metadata_names(columns: Iterable[str], audio_column: str | None) -> dict[str, str]:
    """The names of the columns in the metadata, by their names in the source.

    Where there is audio, `audio` is taken, and `datasets` takes every `file_name`, `x_file_name` and `x_file_names` for
    files of the dataset: the first gets `source_` in front, the others `_` behind.
    """
    names = [name for name in columns if name != audio_column]
    if not audio_column:
        return {name: name for name in names}
    taken, renamed = {"audio", "file_name"}, {}
    for name in names:
        new = _no_file_name(name)
        while new in taken or (new != name and new in names):
            new = f"source_{new}"
        renamed[name] = new
        taken.add(new)
    return renamed


def _no_file_name(name: str) -> str:
    return f"{name}_" if re.search(r"(?:\A|_)file_names?\Z", name) else name


def _as_it_is(array: pa.Array) -> pa.Array:
    return array


def _without_file_names(array: pa.Array) -> pa.Array:
    """JSON values whose struct fields are renamed as `metadata_names` renames columns: `datasets` looks there, too."""
    if pa.types.is_large_list(array.type):
        values = _without_file_names(array.values)
        return pa.LargeListArray.from_arrays(array.offsets, values, mask=array.is_null())
    if pa.types.is_struct(array.type) and array.type.num_fields:
        children = [_without_file_names(child) for child in array.flatten()]
        names = [_no_file_name(field.name) for field in array.type]
        return pa.StructArray.from_arrays(children, names=names, mask=array.is_null())
    return array


def _row_values(dataset: DatasetFolder, record: RowRecord) -> dict[str, Any]:
    """The content of a row's JSON file, which is compared with its record; of its audio the size is."""
    path = dataset.json / f"{record.row}.json"
    with faults(f"reading {path.name}"):
        try:
            data = read_inside(dataset.path, f"json/{record.row}.json")
        except (FileNotFoundError, NotAFileError):
            data = b""
    if hashlib.sha256(data).hexdigest() != record.json_sha256:
        raise _damaged(record, path)
    if record.audio is not None and not _has_size(dataset.audio / record.audio, record.audio_bytes):
        raise _damaged(record, dataset.audio / record.audio)
    values: dict[str, Any] = loads(data)
    return values


def _has_size(path: Path, size: int) -> bool:
    with faults(f"reading {path.name}"):
        try:
            facts = path.lstat()
        except FileNotFoundError:
            return False
    return stat.S_ISREG(facts.st_mode) and facts.st_size == size


def _damaged(record: RowRecord, path: Path) -> StorageFault:
    return StorageFault(
        f"checking row {record.row}",
        f"{path} is not what was written there",
        "Check the disk; `hugflow verify --repair` takes such rows out, and the next run fetches them again.",
        reason="damaged_row",
    )


def remove_unrecorded(dataset: DatasetFolder, done: RowRanges, *, within_s: float) -> None:
    """Delete the files of rows that are not recorded, which a run that ended early would leave.

    Takes about `within_s` seconds: in a folder of millions of files some may stay. The next run writes over them.
    """
    give_up = time.monotonic() + within_s
    refuse_links(f"tidying {dataset.path.name}", dataset.path, dataset.audio, dataset.json)
    with faults(f"tidying {dataset.path.name}"):
        for folder, row_of in ((dataset.audio, audio_file_row), (dataset.json, json_file_row)):
            if not folder.is_dir():
                continue
            with os.scandir(folder) as entries:
                for entry in entries:
                    row = row_of(entry.name)
                    if row is not None and row not in done:
                        _remove_file(entry)
                    if time.monotonic() >= give_up:
                        return


def _remove_files_without_row(dataset: DatasetFolder, state: JournalState) -> None:
    """Delete files in `audio/` and `json/` that belong to no row, such as those of a row that failed later."""
    with faults(f"tidying {dataset.path.name}"):
        if sum(1 for _ in os.scandir(dataset.json)) != len(state.done):
            for entry in os.scandir(dataset.json):
                stem = entry.name.removesuffix(".json")
                if not (stem.isdecimal() and int(stem) in state.done and entry.name == f"{int(stem)}.json"):
                    _remove_file(entry)
        if sum(1 for _ in os.scandir(dataset.audio)) != state.tally.audio_files:
            known = {record.audio for record in read_index(dataset)}
            for entry in os.scandir(dataset.audio):
                if entry.name not in known:
                    _remove_file(entry)


def _remove_file(entry: os.DirEntry[str]) -> None:
    """Delete a file; folders stay, because no row makes them and `verify` names them."""
    if not entry.is_dir(follow_symlinks=False):
        Path(entry.path).unlink()
