"""Conversion of a slice to files: every row ends in a record, and a bad row costs only itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hugflow.download.convert import Conversion, Slice, convert
from hugflow.model.errors import RowError, StorageFault, Transient
from hugflow.model.records import EncoderSettings, RowRecord
from hugflow.storage.dataset_folder import DatasetFolder
from tests.support.world import audio_cell, clip, decode, sound_file, strict_json, table_of

SOUND = sound_file(clip(5, 0.1))


@dataclass
class Watcher:
    """Keeps what a slice tells; asks it to stop before its `stop_at`-th row."""

    stop_at: int | None = None
    groups: list[list[RowRecord]] = field(default_factory=list)
    started: list[int] = field(default_factory=list)

    def row_started(self, row: int) -> None:
        self.started.append(row)

    def rows_written(self, records: list[RowRecord]) -> None:
        self.groups.append(list(records))

    def should_stop(self) -> bool:
        return self.stop_at is not None and len(self.records) + self.waiting >= self.stop_at

    @property
    def waiting(self) -> int:
        return sum(row >= 0 for row in self.started) - len(self.records)

    @property
    def records(self) -> list[RowRecord]:
        return [record for group in self.groups for record in group]


@dataclass
class Bench:
    """A dataset's folder, and slices of a table to convert into it."""

    folder: Path
    dataset: DatasetFolder

    def convert(
        self,
        table: pa.Table,
        start: int = 0,
        stop: int | None = None,
        *,
        first_row: int = 0,
        audio: str | None = "audio",
        watcher: Watcher | None = None,
        fetch: Any = None,
        **conversion: Any,
    ) -> Watcher:
        path = self.folder / "shard.parquet"
        pq.write_table(table, path, row_group_size=5)
        part = Slice(0, path, "data/train.parquet", first_row, start, table.num_rows if stop is None else stop)
        settings = {"group_rows": 8, "group_s": 60.0} | conversion
        watcher = watcher or Watcher()
        convert(part, Conversion(self.dataset.path, audio, EncoderSettings(), **settings), watcher, fetch)
        return watcher

    def json(self, row: int) -> dict[str, Any]:
        return strict_json((self.dataset.json / f"{row}.json").read_text())

    def names(self) -> list[str]:
        return sorted(path.name for path in self.dataset.audio.iterdir())

    def rows(self) -> list[int]:
        return sorted(int(path.stem) for path in self.dataset.json.iterdir())


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    dataset = DatasetFolder(tmp_path / "dataset")
    dataset.create()
    yield Bench(tmp_path, dataset)
    assert list(dataset.tmp.iterdir()) == []


def rows(count: int) -> list[dict[str, Any]]:
    return [{"audio": audio_cell(SOUND, f"c{n}.wav"), "text": f"row {n}"} for n in range(count)]


def test_the_rows_of_the_slice_and_no_others(bench: Bench) -> None:
    watcher = bench.convert(table_of(rows(20)), 3, 17, first_row=100)
    assert [record.row for record in watcher.records] == list(range(103, 117))
    assert bench.rows() == list(range(103, 117))
    assert bench.json(103) == {"audio": "audio/c3__103.mp3", "text": "row 3"}
    assert watcher.started == [number for row in range(103, 117) for number in (row, -1)]


def test_records_say_what_was_written(bench: Bench) -> None:
    (record,) = bench.convert(table_of(rows(1))).records
    data = (bench.dataset.audio / "c0__0.mp3").read_bytes()
    assert (record.audio, record.audio_bytes) == ("c0__0.mp3", len(data))
    assert record.json_bytes == (bench.dataset.json / "0.json").stat().st_size
    assert (record.samples, record.sample_rate) == (1_600, 16_000)
    assert len(decode(data)[0]) == 1_600


@pytest.mark.parametrize(
    ("conversion", "sizes"),
    [
        ({"group_rows": 8}, [8, 8, 4]),
        ({"group_rows": 100}, [20]),
        ({"group_rows": 1}, [1] * 20),
        ({"group_rows": 8, "group_s": 0.0}, [1] * 20),
        ({"group_rows": 8, "group_bytes": 1}, [1] * 20),
    ],
)
def test_groups_are_bounded(bench: Bench, conversion: dict[str, Any], sizes: list[int]) -> None:
    watcher = bench.convert(table_of(rows(20)), **conversion)
    assert [len(group) for group in watcher.groups] == sizes


def test_when_asked_to_stop_all_that_was_begun_is_written(bench: Bench) -> None:
    watcher = bench.convert(table_of(rows(20)), watcher=Watcher(stop_at=11))
    assert [record.row for record in watcher.records] == list(range(11))
    assert bench.rows() == list(range(11))


def test_a_dataset_without_audio_has_json_only(bench: Bench) -> None:
    watcher = bench.convert(pa.table({"n": [1, 2], "when": pa.array([0, 1], pa.timestamp("ms"))}), audio=None)
    assert [(record.status, record.audio) for record in watcher.records] == [("ok", None)] * 2
    assert bench.json(1) == {"n": 2, "when": "1970-01-01T00:00:00.001"}
    assert bench.names() == []


def test_a_table_of_audio_alone(bench: Bench) -> None:
    bench.convert(table_of(rows(2)).select(["audio"]))
    assert bench.json(1) == {"audio": "audio/c1__1.mp3"}


# -- forms of audio ----------------------------------------------------------------------------------------------------


def test_each_form_of_audio_is_taken(bench: Bench) -> None:
    samples = (clip(6, 0.1) / 32768).astype(np.float32)
    table = pa.table(
        {
            "audio": pa.array(
                [{"array": samples.tolist(), "sampling_rate": 16_000, "path": "x.wav"}, None],
                pa.struct([("array", pa.list_(pa.float32())), ("sampling_rate", pa.int64()), ("path", pa.string())]),
            )
        }
    )
    watcher = bench.convert(table)
    assert [record.status for record in watcher.records] == ["ok", "no_audio"]
    assert bench.names() == ["x__0.mp3"]
    assert bench.json(1) == {"audio": None}
    got, rate = decode((bench.dataset.audio / "x__0.mp3").read_bytes())
    assert (len(got), rate) == (1_600, 16_000)
    assert np.corrcoef(got, samples)[0, 1] > 0.99


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
def test_raw_bytes_are_audio_when_the_request_says_so(bench: Bench, kind: pa.DataType) -> None:
    (record,) = bench.convert(pa.table({"audio": pa.array([SOUND], kind)})).records
    assert (record.status, record.audio) == ("ok", "0.mp3")


@pytest.mark.parametrize(
    ("columns", "name"),
    [
        ({"audio_filename": "given.wav"}, "given__0.mp3"),
        ({"audio_filename": ""}, "c0__0.mp3"),
        ({"audio_filename": None}, "c0__0.mp3"),
        ({"audio_filename": 5}, "c0__0.mp3"),
    ],
)
def test_the_name_is_what_the_source_calls_it(bench: Bench, columns: dict[str, Any], name: str) -> None:
    bench.convert(table_of([rows(1)[0] | columns]))
    assert bench.names() == [name]


def test_a_column_named_for_the_audio_column_gives_the_name(bench: Bench) -> None:
    row = {"speech": audio_cell(SOUND, "c.wav"), "speech_filename": "mine", "audio_filename": "other"}
    bench.convert(table_of([row], audio=["speech"]), audio="speech")
    assert bench.names() == ["mine__0.mp3"]


# -- files of the repository -------------------------------------------------------------------------------------------


@dataclass
class Repository:
    """Files by their paths; keeps what it was asked for."""

    files: Mapping[str, bytes | RowError]
    asked: list[str] = field(default_factory=list)

    def __call__(self, part: Slice, paths: list[str]) -> Mapping[str, bytes | RowError]:
        assert part.source == "data/train.parquet"
        self.asked += paths
        return {path: self.files.get(path, RowError("audio_missing", "not there")) for path in paths}


PATHS = pa.array(["a.wav", None, "b.wav", ""])


@pytest.mark.parametrize(
    "column",
    [
        PATHS,
        PATHS.cast(pa.large_string()),
        PATHS.dictionary_encode(),
        pa.StructArray.from_arrays([PATHS], names=["path"]),
        pa.StructArray.from_arrays([pa.nulls(4, pa.binary()), PATHS], names=["bytes", "path"]),
    ],
    ids=lambda column: str(column.type)[:40],
)
def test_audio_that_is_a_path_is_fetched(bench: Bench, column: pa.Array) -> None:
    repository = Repository({"a.wav": SOUND})
    watcher = bench.convert(pa.table({"audio": column}), fetch=repository)
    assert repository.asked == ["a.wav", "b.wav"]
    assert [(record.status, record.reason) for record in watcher.records] == [
        ("ok", None),
        ("no_audio", None),
        ("failed", "audio_missing"),
        ("failed", "audio_missing"),
    ]


def test_only_what_is_not_in_the_row_is_fetched(bench: Bench) -> None:
    repository = Repository({"b.wav": SOUND})
    table = table_of([{"audio": audio_cell(SOUND, "a.wav")}, {"audio": audio_cell(None, "b.wav")}, {"audio": None}])
    bench.convert(table, fetch=repository)
    assert repository.asked == ["b.wav"]
    kind = pa.struct([("array", pa.list_(pa.float32())), ("sampling_rate", pa.int64()), ("path", pa.string())])
    cell = {"array": [0.1] * 800, "sampling_rate": 8_000, "path": "c.wav"}
    bench.convert(pa.table({"audio": pa.array([cell], kind)}), fetch=repository)
    assert repository.asked == ["b.wav"]


@pytest.mark.parametrize("path", ["/etc/passwd", "../../etc/passwd", "https://evil.example/x.wav", "~/x", "C:\\x.wav"])
def test_a_path_that_leads_elsewhere_is_refused(bench: Bench, path: str) -> None:
    repository = Repository({path: SOUND})
    (record,) = bench.convert(table_of([{"audio": audio_cell(None, path)}]), fetch=repository).records
    assert (record.status, record.reason) == ("failed", "refused_path")


def test_without_the_repository_a_path_is_missing_audio(bench: Bench) -> None:
    (record,) = bench.convert(table_of([{"audio": audio_cell(None, "a.wav")}])).records
    assert (record.status, record.reason) == ("failed", "audio_missing")


@pytest.mark.parametrize("error", [Transient("fetching", "the Hub is away"), StorageFault("fetching", "disk full")])
def test_what_is_not_the_rows_fault_ends_the_slice_with_the_rest_kept(bench: Bench, error: Exception) -> None:
    def away(part: Slice, paths: list[str]) -> Mapping[str, bytes | RowError]:
        raise error

    table = table_of([*rows(40), {"audio": audio_cell(None, "a.wav"), "text": "x"}])
    watcher = Watcher()
    with pytest.raises(type(error)) as caught:
        bench.convert(table, watcher=watcher, fetch=away)
    assert caught.value is error
    assert [record.status for record in watcher.records] == ["ok"] * len(watcher.records)
    assert len(watcher.records) >= 24, "the rows before the window that needed it"
    assert len(bench.rows()) == len(watcher.records)


# -- rows that fail ----------------------------------------------------------------------------------------------------


def bad_text(*texts: bytes) -> pa.Array:
    offsets = np.cumsum([0, *map(len, texts)]).astype(np.int32)
    return pa.Array.from_buffers(
        pa.string(), len(texts), [None, pa.py_buffer(offsets.tobytes()), pa.py_buffer(b"".join(texts))]
    )


def test_what_is_wrong_with_a_row_costs_that_row(bench: Bench) -> None:
    table = table_of(rows(6))
    cells = table.column("audio").to_pylist()
    cells[1]["bytes"] = b""
    cells[3]["bytes"] = b"no sound"
    text = bad_text(b"0", b"1", b"bad \xff", b"3", b"4", b"5")
    table = table.set_column(0, table.schema.field(0), pa.array(cells, table.schema.field(0).type))
    table = table.set_column(1, "text", text)
    watcher = bench.convert(table)
    assert [(record.row, record.status, record.reason) for record in watcher.records] == [
        (0, "ok", None),
        (1, "failed", "empty_audio"),
        (2, "failed", "invalid_text"),
        (3, "failed", "unsupported_audio"),
        (4, "ok", None),
        (5, "ok", None),
    ]
    assert bench.rows() == [0, 4, 5]
    assert bench.names() == ["c0__0.mp3", "c4__4.mp3", "c5__5.mp3"]
    assert all(record.message and not record.audio for record in watcher.records if record.status == "failed")


def test_a_path_that_is_no_text_costs_its_row(bench: Bench) -> None:
    paths = bad_text(b"a.wav", b"\xff.wav", b"b.wav")
    sounds = pa.array([SOUND, None, SOUND], pa.binary())
    table = pa.table({"audio": pa.StructArray.from_arrays([sounds, paths], names=["bytes", "path"])})
    watcher = bench.convert(table, fetch=Repository({}))
    assert [(record.status, record.reason) for record in watcher.records] == [
        ("ok", None),
        ("failed", "invalid_text"),
        ("ok", None),
    ]


def test_a_disk_that_takes_no_files_ends_the_slice(bench: Bench) -> None:
    bench.dataset.audio.rmdir()
    bench.dataset.audio.write_text("a file in the place of the folder")
    watcher = Watcher()
    with pytest.raises(StorageFault):
        bench.convert(table_of(rows(30)), watcher=watcher)
    assert watcher.records == []
    for leftover in bench.dataset.tmp.iterdir():
        leftover.unlink()


def test_a_slice_is_the_same_whoever_converts_it(bench: Bench, tmp_path: Path) -> None:
    table = table_of(rows(12))
    whole = bench.convert(table).records
    other = DatasetFolder(tmp_path / "other")
    other.create()
    second = Bench(tmp_path, other)
    pieces = [second.convert(table, start, start + 4, group_rows=3).records for start in (8, 0, 4)]
    assert sorted(record for piece in pieces for record in piece) == sorted(whole)
    assert second.names() == bench.names()
