"""Folders of audio and images: the rows, metadata and classes of `datasets`, with their files."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hugflow.model.errors import InvalidRequest
from hugflow.model.publish_spec import PublishSpec
from hugflow.publish.shards import ShardOptions, write_shards
from hugflow.publish.sources.opening import Source, of_arrow, open_tables

FILE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
AUDIO = {"_type": "Audio"}


def sources_of(root: Path, **fields: Any) -> list[Source]:
    return open_tables(PublishSpec.model_validate({"repo_id": "acme/sounds"} | fields), root)


def source_of(root: Path, path: str = "data") -> Source:
    (source,) = sources_of(root, path=path)
    return source


def folder(root: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def published(source: Source, scratch: Path, *, embed: bool = True) -> list[dict[str, Any]]:
    """The rows as `datasets` loads them from the shards, nothing decoded."""
    scratch.mkdir(exist_ok=True)
    shards = list(write_shards(source, ShardOptions(None, 1, embed), scratch))
    loaded = datasets.load_dataset(
        "parquet", data_files=[str(shard.file) for shard in shards], split="train", cache_dir=str(scratch / "cache")
    )
    assert loaded.features == datasets.Features.from_dict(dict(source.features))
    rows: list[dict[str, Any]] = loaded.with_format("arrow")[:].to_pylist()
    return rows


def by_datasets(root: Path, module: str = "audiofolder", **data_dirs: str) -> tuple[datasets.Features, list[list[Any]]]:
    """The features and rows of each split that `datasets` makes of folders; files as their bytes."""
    files = {split: str(root / path / "**") for split, path in data_dirs.items()}
    cache = {"cache_dir": str(root / ".cache"), "decode_num_threads": 0}
    found = {
        split: datasets.load_dataset(module, data_files=files, split=split, streaming=True, **cache) for split in files
    }
    rows = [[row for table in one.with_format("arrow") for row in table.to_pylist()] for one in found.values()]
    (features,) = {str(one.features): one.features for one in found.values()}.values()
    for row in (row for split in rows for row in split):
        for name, value in row.items():
            if isinstance(value, dict) and set(value) == {"bytes", "path"}:
                path = Path(value["path"])
                row[name] = {"bytes": path.read_bytes(), "path": path.name}
    return features, rows


def audio(content: str, name: str) -> dict[str, Any]:
    return {"bytes": content.encode(), "path": name}


def test_files_without_anything_else_are_one_column(tmp_path: Path) -> None:
    folder(tmp_path / "data", {"b10.wav": "ten", "b9.wav": "nine", "a/c.MP3": "three", "notes.txt": "-", ".d.wav": "-"})
    source = source_of(tmp_path)
    assert (source.features, source.schema) == ({"audio": AUDIO}, pa.schema([("audio", FILE)]))
    assert (source.rows, source.source_bytes) == (3, 12)
    assert source.files == tuple(tmp_path / "data" / name for name in ("a/c.MP3", "b9.wav", "b10.wav"))
    assert [row for batch in source.batches() for row in batch.to_pylist()] == [
        {"audio": {"bytes": None, "path": name}} for name in ("a/c.MP3", "b9.wav", "b10.wav")
    ]
    assert published(source, tmp_path / "out") == [
        {"audio": audio("three", "c.MP3")},
        {"audio": audio("nine", "b9.wav")},
        {"audio": audio("ten", "b10.wav")},
    ]
    assert published(source, tmp_path / "out", embed=False)[0] == {"audio": {"bytes": None, "path": "a/c.MP3"}}


def test_a_single_file_and_a_glob(tmp_path: Path) -> None:
    folder(tmp_path / "data", {"a.wav": "a", "b.wav": "b", "c.flac": "c"})
    assert published(source_of(tmp_path, "data/b.wav"), tmp_path / "out") == [{"audio": audio("b", "b.wav")}]
    rows = published(source_of(tmp_path, "data/*.wav"), tmp_path / "out")
    assert [row["audio"]["path"] for row in rows] == ["a.wav", "b.wav"]


@pytest.mark.parametrize(("module", "suffix"), [("audiofolder", "wav"), ("imagefolder", "png")])
def test_folders_are_classes_as_datasets_has_them(tmp_path: Path, module: str, suffix: str) -> None:
    files = {
        f"{split}/{label}/{n}.{suffix}": f"{split}{label}{n}"
        for split in ("train", "test")
        for label in "ba"
        for n in (1, 2)
    }
    del files[f"test/b/1.{suffix}"], files[f"test/b/2.{suffix}"]
    folder(tmp_path, files | {f"train/c d/1.{suffix}": "cd"})
    train, test = sources_of(tmp_path, splits={"train": "train", "test": "test"})
    features, rows = by_datasets(tmp_path, module, train="train", test="test")
    assert train.features == test.features == features.to_dict()
    assert train.features["label"] == {"names": ["a", "b", "c d"], "_type": "ClassLabel"}
    assert [published(one, tmp_path / "out") for one in (train, test)] == rows


@pytest.mark.parametrize(
    "files",
    [
        {"a/1.wav": "1", "a/2.wav": "2"},
        {"a/1.wav": "1", "b/c/2.wav": "2"},
        {"a/1.wav": "1", "2.wav": "2"},
        {"1.wav": "1", "2.wav": "2"},
    ],
)
def test_folders_that_are_no_classes(tmp_path: Path, files: dict[str, str]) -> None:
    folder(tmp_path / "data", files)
    source = source_of(tmp_path)
    assert list(source.features) == ["audio"]
    assert by_datasets(tmp_path, train="data")[0].to_dict() == source.features


METADATA = [
    {"file_name": "x/1.wav", "text": "one", "number": 1, "nested": {"a": [1.5]}},
    {"file_name": "2.wav", "text": None, "number": 2, "nested": None},
]


def metadata_file(kind: str, rows: list[dict[str, Any]]) -> bytes:
    if kind == "jsonl":
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    if kind == "csv":
        lines = [",".join(rows[0]), *(",".join("" if v is None else str(v) for v in row.values()) for row in rows)]
        return "\n".join(lines).encode()
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_metadata_gives_the_rows_as_datasets_has_them(tmp_path: Path, kind: str) -> None:
    rows = [{k: v for k, v in row.items() if k != "nested" or kind != "csv"} for row in METADATA]
    files = {"x/1.wav": "one", "2.wav": "two"}
    folder(tmp_path / "data", files | {f"metadata.{kind}": metadata_file(kind, rows)})
    # of CSV `datasets` leaves the file open, and takes its types from whichever pandas there is
    theirs = "jsonl" if kind == "csv" else kind
    folder(tmp_path / "theirs", files | {f"metadata.{theirs}": metadata_file(theirs, rows)})
    source = source_of(tmp_path)
    features, expected = by_datasets(tmp_path, train="theirs")
    assert source.features == features.to_dict()
    assert next(iter(source.features)) == "audio"
    assert published(source, tmp_path / "out") == expected[0]
    assert (source.rows, source.left_out, source.notes) == (2, 0, ())
    assert set(source.files) == {tmp_path / "data" / name for name in (f"metadata.{kind}", "x/1.wav", "2.wav")}


def test_metadata_in_several_folders_names_files_beside_it(tmp_path: Path) -> None:
    files = {"a/1.wav": "a1", "b/1.wav": "b1", "b/2.wav": "b2"}
    described = {
        "a/metadata.csv": "file_name,n\n1.wav,1\n",
        "b/metadata.csv": "n,file_name\n2.5,1.wav\n,./../b/2.wav\n",
    }
    folder(tmp_path / "data", files | described)
    source = source_of(tmp_path)
    assert published(source, tmp_path / "out") == [
        {"audio": audio("a1", "1.wav"), "n": 1.0},
        {"audio": audio("b1", "1.wav"), "n": 2.5},
        {"audio": audio("b2", "2.wav"), "n": None},
    ]
    assert [batch.schema.names for batch in source.batches(["n"])] == [["n"], ["n"]]


def test_rows_may_name_several_files_or_none(tmp_path: Path) -> None:
    rows = [
        {"id": 1, "file_names": ["1.wav", "2.wav"], "other_file_name": "3.wav"},
        {"id": 2, "file_names": [], "other_file_name": None},
        {"id": 3, "file_names": None, "other_file_name": "1.wav"},
    ]
    folder(
        tmp_path / "data", {f"{n}.wav": f"{n}" for n in (1, 2, 3)} | {"metadata.jsonl": metadata_file("jsonl", rows)}
    )
    source = source_of(tmp_path)
    assert source.features["audios"] == {"feature": AUDIO, "_type": "List"}
    assert source.features["other"] == AUDIO
    assert published(source, tmp_path / "out") == [
        {"id": 1, "audios": [audio("1", "1.wav"), audio("2", "2.wav")], "other": audio("3", "3.wav")},
        {"id": 2, "audios": [], "other": None},
        {"id": 3, "audios": None, "other": audio("1", "1.wav")},
    ]


def test_files_that_no_row_names_are_counted(tmp_path: Path) -> None:
    folder(tmp_path / "data", {f"{n}.wav": f"{n}" for n in range(4)} | {"metadata.csv": "file_name\n1.wav\n"})
    source = source_of(tmp_path)
    assert (source.rows, source.left_out) == (1, 3)
    assert source.notes == ("3 of 4 files are named by no row of the metadata",)


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"1.wav": "1", "metadata.csv": "file_name\n1.wav\n2.wav\n"}, "row 2 names `2.wav`, which is not there"),
        ({"1.wav": "1", "metadata.csv": "file_name\n../data/1.wav\n"}, "row 1 names `../data/1.wav`"),
        ({"1.wav": "1", "metadata.csv": "file_name\n/etc/passwd\n"}, "row 1 names `/etc/passwd`"),
        ({"1.wav": "1", "metadata.csv": "name\n1.wav\n"}, "it has no column `file_name`"),
        ({"1.wav": "1", "metadata.csv": "file_name,audio\n1.wav,x\n"}, "two of its columns become `audio`"),
        ({"1.wav": "1", "metadata.csv": "file_name\n", "a/metadata.jsonl": "{}"}, "files of different formats"),
        ({"1.wav": "1", "2.png": "2"}, "files of different kinds: `audio`, `image`"),
        ({"1.wav": "1", "texts.csv": "file_name\n1.wav\n"}, "files of different kinds: `audio`, `csv`"),
    ],
)
def test_folders_that_contradict_themselves(tmp_path: Path, files: dict[str, str], problem: str) -> None:
    folder(tmp_path / "data", files)
    with pytest.raises(InvalidRequest) as caught:
        source_of(tmp_path)
    assert problem in caught.value.problem
    assert caught.value.field == "path"


# -- tables that name files -------------------------------------------------------------------------------------------


def table_of(values: list[Any], feature: datasets.features.features.FeatureType | None = None) -> pa.Table:
    features = datasets.Features({"n": datasets.Value("int64"), "audio": feature or datasets.Audio()})
    rows = [{"n": n, "audio": value} for n, value in enumerate(values)]
    return pa.Table.from_pylist(rows, schema=features.arrow_schema)


def test_paths_in_a_parquet_file_are_taken_from_its_folder(tmp_path: Path) -> None:
    root = folder(tmp_path / "data", {"a.wav": "a", "sub/b.wav": "b"})
    values = [
        {"bytes": None, "path": "a.wav"},
        {"bytes": None, "path": "sub/../sub/b.wav"},
        {"bytes": None, "path": str(root / "a.wav")},
        {"bytes": b"own", "path": "/home/me/own.wav"},
        {"bytes": b"", "path": None},
        {"bytes": None, "path": "https://example.org/x.wav"},
        {"bytes": None, "path": None},
        None,
    ]
    pq.write_table(table_of(values), root / "x.parquet")
    source = source_of(tmp_path, "data/x.parquet")
    assert source.files == (), "nobody knows on which files it depends"
    assert [row["audio"] for row in published(source, tmp_path / "out")] == [
        audio("a", "a.wav"),
        audio("b", "b.wav"),
        audio("a", "a.wav"),
        audio("own", "own.wav"),
        {"bytes": b"", "path": None},
        values[5],
        values[6],
        None,
    ]
    assert [row["audio"] for row in published(source, tmp_path / "out", embed=False)] == values


def test_files_deep_inside_of_columns(tmp_path: Path) -> None:
    root = folder(tmp_path / "data", {"a.wav": "a", "b.wav": "b"})
    one, two = ({"bytes": None, "path": f"{name}.wav"} for name in "ab")
    pair = datasets.List(datasets.Audio(), length=2)
    nested = {"clips": datasets.List(datasets.Audio()), "best": {"clip": datasets.Audio(), "n": datasets.Value("int8")}}
    pq.write_table(table_of([[one, None], None, [two, one]], pair), root / "pairs.parquet")
    a, b = audio("a", "a.wav"), audio("b", "b.wav")
    found = published(source_of(tmp_path, "data/pairs.parquet"), tmp_path / "pairs")
    assert [row["audio"] for row in found] == [[a, None], None, [b, a]]
    values = [
        {"clips": [one, None, two], "best": {"clip": two, "n": 1}},
        {"clips": [], "best": None},
        None,
        {"clips": None, "best": {"clip": None, "n": 2}},
    ]
    pq.write_table(table_of(values, nested), root / "x.parquet")
    assert [row["audio"] for row in published(source_of(tmp_path, "data/x.parquet"), tmp_path / "out")] == [
        {"clips": [a, None, b], "best": {"clip": b, "n": 1}},
        {"clips": [], "best": None},
        None,
        {"clips": None, "best": {"clip": None, "n": 2}},
    ]


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("gone.wav", "is not there"),
        ("../secret.wav", "is not within the folder"),
        ("sub/../../secret.wav", "is not within the folder"),
        ("/etc/passwd", "is not within the folder"),
        ("out.wav", "is a link that leads out of it"),
        ("hidden.wav", "is a link to hidden files"),
        ("sub", "is no regular file"),
        ("pipe.wav", "is no regular file"),
        (".", "is not within the folder"),
        ("nul\0.wav", "is not within the folder"),
        ("x" * 300, "is not there"),
    ],
)
def test_nothing_outside_of_the_folder_gets_into_a_shard(tmp_path: Path, path: str, problem: str) -> None:
    folder(tmp_path, {"secret.wav": "secret", "root/.env": "token", "root/data/sub/x.txt": "-"})
    data = tmp_path / "root/data"
    (data / "out.wav").symlink_to("../../secret.wav")
    (data / "hidden.wav").symlink_to("../.env")
    os.mkfifo(data / "pipe.wav")
    pq.write_table(table_of([{"bytes": None, "path": path}]), data / "x.parquet")
    source = source_of(tmp_path / "root", "data/x.parquet")
    (tmp_path / "out").mkdir()
    with pytest.raises(InvalidRequest) as caught:
        list(write_shards(source, ShardOptions(None, 1), tmp_path / "out"))
    assert problem in caught.value.problem
    assert caught.value.field == "path"
    assert not list((tmp_path / "out").iterdir()), "what was begun is gone"


def test_arrow_data_names_files_of_a_folder_or_none(tmp_path: Path) -> None:
    folder(tmp_path / "clips", {"a.wav": "a"})
    table = table_of([{"bytes": None, "path": "a.wav"}])
    source = of_arrow(table, "default", "train", folder=tmp_path / "clips")
    assert published(source, tmp_path / "out") == [{"n": 0, "audio": audio("a", "a.wav")}]
    with pytest.raises(InvalidRequest, match="a table in memory lies in no folder"):
        published(of_arrow(table, "default", "train"), tmp_path / "out")


def test_files_of_shards_that_are_done_are_not_read(tmp_path: Path) -> None:
    root = folder(tmp_path / "data", {f"{n}.wav": f"{n}" for n in range(6)})
    source = source_of(tmp_path)
    options = ShardOptions(None, 3)
    (tmp_path / "out").mkdir()
    whole = list(write_shards(source, options, tmp_path / "out"))
    (root / "0.wav").unlink()
    rest = list(write_shards(source, options, tmp_path / "out", done=[2]))
    assert [shard.sha256 for shard in rest] == [shard.sha256 for shard in whole[1:]]


def test_memory_follows_the_files_and_not_the_rows(tmp_path: Path) -> None:
    """Many rows of large files come out a few at a time."""
    folder(tmp_path / "data", {f"{n}.wav": bytes([n]) * 3_000_000 for n in range(40)})
    (tmp_path / "out").mkdir()
    before = pa.total_allocated_bytes()
    peak = 0

    def look() -> None:
        nonlocal peak
        peak = max(peak, pa.total_allocated_bytes() - before)

    shards = list(write_shards(source_of(tmp_path), ShardOptions(None, 1), tmp_path / "out", check=look))
    footer = pq.read_metadata(shards[0].file)
    assert footer.num_rows == 40
    assert all(footer.row_group(i).total_byte_size <= 100_000_000 for i in range(footer.num_row_groups))
    assert peak < 100_000_000
