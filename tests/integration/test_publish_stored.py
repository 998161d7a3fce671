"""Publishing a downloaded dataset: all its rows, columns under their own names, and its MP3s."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as pq
import pytest

from hugflow.model.errors import InvalidRequest, NotFoundError, StorageFault
from hugflow.publish.shards import ShardOptions, write_shards
from hugflow.publish.sources.opening import Source, open_storage
from hugflow.storage.dataset_folder import DatasetFolder
from tests.support.world import Stored, World, audio_cell, clip, sound_file, table_of

SOUND = sound_file(clip(4, 0.2))
ROWS: list[dict[str, Any]] = [
    {
        "text": f"row {n}",
        "sound": audio_cell(b"no audio" if n == 2 else SOUND, f"c{n}.wav") if n != 3 else None,
        "number": 2**60 + n,
        "file_name": f"mine {n}",
        "audio": n,
        "tags": ["a", str(n)],
        "nested": {"x": n / 2},
    }
    for n in range(5)
]


@pytest.fixture(scope="module")
def stored(shared_world: World) -> Stored:
    """A dataset of five rows, of which one failed and one has no audio; no name of a column makes it easy."""
    hf_id = shared_world.new_id()
    shared_world.serve(hf_id, {"train": table_of(ROWS, audio=("sound",))})
    done = shared_world.sync(shared_world.add(hf_id, audio_column="sound", max_failed_rows=1))
    return shared_world.dataset(done.result["name"])


def open_one(stored: Stored) -> Source:
    (source,) = open_storage(DatasetFolder(stored.path), "speech")
    return source


def published(source: Source, folder: Path, count: int = 2) -> tuple[datasets.Features, list[dict[str, Any]]]:
    folder.mkdir(exist_ok=True)
    shards = list(write_shards(source, ShardOptions(None, count), folder))
    files = [str(shard.file) for shard in shards]
    loaded = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(folder / "cache"))
    return loaded.features, loaded.with_format("arrow")[:].to_pylist()


def test_rows_columns_and_audio_are_all_there(stored: Stored, tmp_path: Path) -> None:
    source = open_one(stored)
    assert (source.config, source.split, source.rows, source.left_out) == ("speech", "train", 4, 1)
    assert source.notes == ("1 of 5 rows could not be converted and are left out",)
    assert source.source_bytes > sum(file.stat().st_size for file in (stored.path / "audio").iterdir())
    features, rows = published(source, tmp_path / "out")
    assert list(features) == ["text", "sound", "number", "file_name", "audio", "tags", "nested"]
    assert features["sound"] == datasets.Audio()
    assert features.to_dict() == source.features
    kept = [n for n in range(5) if n != 2]
    by_row = stored.rows()
    for n, row in zip(kept, rows, strict=True):
        sound = row.pop("sound")
        expected = {key: value for key, value in ROWS[n].items() if key != "sound"}
        assert row == expected
        if n == 3:
            assert sound is None
        else:
            assert sound == {"bytes": stored.mp3(by_row[n], "sound"), "path": f"c{n}__{n}.mp3"}
    assert [batch.schema.names for batch in source.batches(["audio", "text"])] == [["audio", "text"]]


def test_types_are_those_of_the_metadata(stored: Stored) -> None:
    kinds = {field.name: field.type for field in open_one(stored).schema}
    metadata = {field.name: field.type for field in pq.read_schema(stored.path / "metadata.parquet")}
    renamed = {"file_name": "file_name_", "audio": "source_audio"}
    for name, kind in kinds.items():
        if name != "sound":
            assert kind == metadata[renamed.get(name, name)]


def test_a_dataset_without_audio_is_its_columns(world: World, tmp_path: Path) -> None:
    rows = [{"n": n, "file_name": f"f{n}"} for n in range(3)]
    stored = world.downloaded(rows)
    source = open_one(stored)
    assert published(source, tmp_path / "out")[1] == rows
    assert source.open_files is None


def damaged(stored: Stored, world: World, change: Callable[[Path], object]) -> Stored:
    """A copy of the dataset in a storage of its own, changed."""
    copy = world.folder / "copies" / stored.name
    for file in stored.path.rglob("*"):
        target = copy / file.relative_to(stored.path)
        if file.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
    change(copy)
    return Stored(copy)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


CHANGES: Mapping[str, tuple[Callable[[Path], object], str]] = {
    "an MP3 with a flipped bit": (lambda path: flip(path / "audio/c1__1.mp3"), "audio/c1__1.mp3 is not what"),
    "an MP3 that is gone": (lambda path: (path / "audio/c4__4.mp3").unlink(), "audio/c4__4.mp3 is not what"),
    "an MP3 that is a link": (
        lambda path: ((path / "audio/c4__4.mp3").unlink(), (path / "audio/c4__4.mp3").symlink_to("c1__1.mp3")),
        "audio/c4__4.mp3 is not what",
    ),
    "other metadata": (lambda path: flip(path / "metadata.parquet"), "metadata.parquet is not what"),
    "no metadata": (lambda path: (path / "metadata.parquet").unlink(), "metadata.parquet is not what"),
    "another index": (lambda path: flip(path / ".hugflow/index.parquet"), ".hugflow/index.parquet is not what"),
    "a marker that makes no sense": (lambda path: (path / ".hugflow/dataset.json").write_text("{}"), "it is damaged"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_damaged_is_not_published(stored: Stored, world: World, tmp_path: Path, name: str) -> None:
    change, problem = CHANGES[name]
    copy = damaged(stored, world, change)
    with pytest.raises(StorageFault) as caught:
        published(open_one(copy), tmp_path / "out")
    assert problem in caught.value.problem
    assert "verify --repair" in caught.value.fix


def test_without_its_plan_the_columns_are_those_of_the_metadata(stored: Stored, world: World) -> None:
    other = json.dumps({"schema_version": 1})
    copy = damaged(stored, world, lambda path: (path / ".hugflow/plan.json").write_text(other))
    with pytest.raises(StorageFault, match="reading the plan"):
        open_one(copy)


def test_only_complete_datasets_of_ours_are_published(stored: Stored, world: World) -> None:
    copy = damaged(stored, world, lambda path: (path / ".hugflow/dataset.json").unlink())
    with pytest.raises(InvalidRequest, match="it is not complete") as caught:
        open_one(copy)
    assert (caught.value.field, caught.value.reason) == ("from_storage", "incomplete")
    with pytest.raises(NotFoundError, match="no such dataset") as missing:
        open_one(Stored(world.folder / "copies" / "nothing"))
    assert missing.value.field == "from_storage"
