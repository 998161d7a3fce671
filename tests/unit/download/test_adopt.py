"""Rows that no journal lists are adopted only where their files are correct."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hugflow.download.adopt import adopt
from hugflow.model.plan import Column, DownloadPlan, Shard
from hugflow.model.ranges import RowRanges
from hugflow.model.records import EncoderSettings
from hugflow.model.specs import DatasetIdentity
from hugflow.storage.dataset_folder import DatasetFolder
from tests.support.world import clip, sound_file

MP3 = sound_file(clip(1, 0.2), kind="MP3", subtype="MPEG_LAYER_III")


def plan(rows: int = 10, audio: str | None = "audio") -> DownloadPlan:
    columns = [Column(name="text", kind="text", type="string")]
    columns += [Column(name=audio, kind="audio", type="Audio")] if audio else []
    return DownloadPlan(
        identity=DatasetIdentity(hf_id="acme/old", subset=None, split="train", revision="main"),
        sha="0" * 40,
        format="parquet",
        columns=tuple(columns),
        arrow_schema="",
        audio_column=audio,
        shards=(Shard(path="x", size_bytes=1, sha256=None, blob_id=None, first_row=0, groups=(rows,)),),
        encoder=EncoderSettings(),
    )


@pytest.fixture
def dataset(tmp_path: Path) -> DatasetFolder:
    made = DatasetFolder(tmp_path / "acme__old")
    made.create()
    return made


def put(dataset: DatasetFolder, row: int, name: str | None, sound: bytes = MP3, **changes: Any) -> bytes:
    """A row as an older tool left it; returns its JSON."""
    values = {"text": f"row {row}", "audio": None if name is None else f"audio/{name}"} | changes
    data = json.dumps(values).encode()
    (dataset.json / f"{row}.json").write_bytes(data)
    if name is not None:
        (dataset.audio / name).write_bytes(sound)
    return data


def adopted(dataset: DatasetFolder, rows: list[list[int]], of: DownloadPlan | None = None) -> list[int]:
    return [record.row for group in adopt(dataset, RowRanges(rows), of or plan()) for record in group]


def test_rows_with_whole_files_are_taken_over_as_they_are(dataset: DatasetFolder) -> None:
    data = put(dataset, 0, "a clip.mp3")
    silent = put(dataset, 2, None)
    ((one, two),) = adopt(dataset, RowRanges([[0, 9]]), plan())
    assert (one.row, one.status, one.audio, one.audio_bytes) == (0, "ok", "a clip.mp3", len(MP3))
    assert one.audio_sha256 == hashlib.sha256(MP3).hexdigest()
    assert (one.json_bytes, one.json_sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert (one.sample_rate, one.source_channels) == (16_000, 1)
    assert (two.row, two.status, two.audio, two.json_bytes) == (2, "no_audio", None, len(silent))


def test_only_rows_that_the_progress_names_and_the_dataset_has(dataset: DatasetFolder) -> None:
    for row in range(12):
        put(dataset, row, f"clip{row}.mp3")
    assert adopted(dataset, [[3, 4], [8, 11]]) == [3, 4, 8, 9]
    assert adopted(dataset, []) == []
    assert adopted(dataset, [[9, 10**18]]) == [9], "a progress file may say anything"


def test_a_dataset_without_audio_has_json_only(dataset: DatasetFolder) -> None:
    (dataset.json / "0.json").write_text('{"text": "x"}')
    ((record,),) = adopt(dataset, RowRanges([[0, 9]]), plan(audio=None))
    assert (record.row, record.status, record.audio) == (0, "ok", None)


def test_rows_come_in_groups(dataset: DatasetFolder) -> None:
    for row in range(130):
        (dataset.json / f"{row}.json").write_text('{"text": "x"}')
    groups = list(adopt(dataset, RowRanges([[0, 129]]), plan(130, audio=None)))
    assert [len(group) for group in groups] == [64, 64, 2]


def _no_json(dataset: DatasetFolder) -> None:
    (dataset.json / "5.json").unlink()


def _half_json(dataset: DatasetFolder) -> None:
    (dataset.json / "5.json").write_text('{"text": "ro')


def _list(dataset: DatasetFolder) -> None:
    (dataset.json / "5.json").write_text("[]")


def _link_to_json(dataset: DatasetFolder) -> None:
    (dataset.json / "5.json").rename(dataset.path / "elsewhere.json")
    (dataset.json / "5.json").symlink_to(dataset.path / "elsewhere.json")


def _no_audio(dataset: DatasetFolder) -> None:
    (dataset.audio / "five.mp3").unlink()


def _empty_audio(dataset: DatasetFolder) -> None:
    (dataset.audio / "five.mp3").write_bytes(b"")


def _garbage_audio(dataset: DatasetFolder) -> None:
    (dataset.audio / "five.mp3").write_bytes(b"no sound at all")


def _link_to_audio(dataset: DatasetFolder) -> None:
    (dataset.audio / "five.mp3").rename(dataset.path / "elsewhere.mp3")
    (dataset.audio / "five.mp3").symlink_to(dataset.path / "elsewhere.mp3")


def _other_columns(dataset: DatasetFolder) -> None:
    put(dataset, 5, "five.mp3", more=1)


def _outside(dataset: DatasetFolder) -> None:
    (dataset.path / "five.mp3").write_bytes(MP3)
    put(dataset, 5, "five.mp3", audio="audio/../five.mp3")


def _elsewhere(dataset: DatasetFolder) -> None:
    put(dataset, 5, "five.mp3", audio="sounds/five.mp3")


def _a_folder(dataset: DatasetFolder) -> None:
    put(dataset, 5, "five.mp3", audio="audio/")


def _not_text(dataset: DatasetFolder) -> None:
    put(dataset, 5, "five.mp3", audio={"path": "audio/five.mp3"})


def _name_of_another_row(dataset: DatasetFolder) -> None:
    put(dataset, 5, "7.mp3")


def _name_that_another_row_will_get(dataset: DatasetFolder) -> None:
    put(dataset, 5, "clip__7.mp3")


@pytest.mark.parametrize(
    "spoil",
    [
        _no_json,
        _half_json,
        _list,
        _link_to_json,
        _no_audio,
        _empty_audio,
        _garbage_audio,
        _link_to_audio,
        _other_columns,
        _outside,
        _elsewhere,
        _a_folder,
        _not_text,
        _name_of_another_row,
        _name_that_another_row_will_get,
    ],
)
def test_a_row_whose_files_do_not_hold_is_made_again(
    dataset: DatasetFolder, spoil: Callable[[DatasetFolder], None]
) -> None:
    put(dataset, 4, "four.mp3")
    put(dataset, 5, "five.mp3")
    put(dataset, 6, "6.mp3")
    assert adopted(dataset, [[0, 9]]) == [4, 5, 6]
    spoil(dataset)
    assert adopted(dataset, [[0, 9]]) == [4, 6]


def test_rows_that_wrote_over_each_other_are_all_made_again(dataset: DatasetFolder) -> None:
    for row in (0, 1, 2):
        put(dataset, row, "same.mp3" if row != 1 else "other.mp3")
    assert adopted(dataset, [[0, 9]]) == [1]
