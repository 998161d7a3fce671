"""Text, XML and webdatasets: the rows that `datasets` reads from the same files, or an error that names the place."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import pytest

from hugflow.model.errors import InvalidRequest
from hugflow.model.publish_spec import PublishSpec
from hugflow.publish.shards import ShardOptions, write_shards
from hugflow.publish.sources.opening import Source, open_tables

Members = Sequence[tuple[str, bytes]]


def opened(root: Path, path: str = "data") -> Source:
    (source,) = open_tables(PublishSpec.model_validate({"repo_id": "acme/x", "path": path}), root)
    return source


def rows(source: Source) -> list[dict[str, Any]]:
    found = [row for batch in source.batches() for row in batch.to_pylist()]
    assert found == [row for batch in source.batches() for row in batch.to_pylist()], "again, from the beginning"
    assert source.rows == len(found)
    return found


def write(root: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def tar(members: Members, mode: str = "w") -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode=mode) as archive:  # type: ignore[call-overload]  # one of many literals
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return sink.getvalue()


def refused(root: Path, path: str = "data") -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        rows(opened(root, path))
    return caught.value


# -- text and XML -----------------------------------------------------------------------------------------------------

TEXTS = {
    "lines": "one\ntwo\n",
    "no end": "one\ntwo",
    "empty lines": "one\n\n\ntwo\n\n",
    "windows": "one\r\ntwo\r\n",
    "old macs": "one\rtwo\r",
    "other marks": "a\u2028b\x0bc\x1cd\n",
    "spaces": "  one \n\ttwo\t\n",
    "wide": "ä🎉\n" * 3,
}


@pytest.mark.parametrize("case", TEXTS)
def test_text_is_a_line_each_as_in_datasets(tmp_path: Path, case: str) -> None:
    write(tmp_path / "data", {"a.txt": TEXTS[case].encode()})
    source = opened(tmp_path)
    loaded = datasets.load_dataset(
        "text", data_files=str(tmp_path / "data/a.txt"), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert rows(source) == loaded.to_list()
    assert source.features == loaded.features.to_dict()


def test_packed_text_and_text_with_a_mark(tmp_path: Path) -> None:
    write(tmp_path / "data", {"a.txt.gz": gzip.compress(b"one\n"), "b.txt": b"\xef\xbb\xbftwo\n", "c.txt": b""})
    assert rows(opened(tmp_path)) == [{"text": "one"}, {"text": "two"}]
    write(tmp_path / "data", {"d.txt": b"ok\n\xff\n"})
    assert refused(tmp_path).doing == "reading `data/d.txt`"


def test_text_beside_a_table_is_a_note(tmp_path: Path) -> None:
    write(tmp_path / "data", {"a.csv": b"n\n1\n", "LICENSE.txt": b"MIT", "about.xml": b"<a/>"})
    assert rows(opened(tmp_path)) == [{"n": 1}]
    assert rows(opened(tmp_path, "data/*.txt")) == [{"text": "MIT"}]


def test_xml_is_a_file_each(tmp_path: Path) -> None:
    write(tmp_path / "data", {"a.xml": b"<a>\r\n\xc3\xa4</a>\n", "b.xml": b"<b/>"})
    source = opened(tmp_path)
    assert rows(source) == [{"xml": "<a>\nä</a>\n"}, {"xml": "<b/>"}]
    assert source.features == {"xml": {"dtype": "string", "_type": "Value"}}


# -- webdatasets ------------------------------------------------------------------------------------------------------

SAMPLES: Members = [
    ("a/1.txt", b"eins"),
    ("a/1.cls", b"3"),
    ("a/1.json", b'{"n": 1, "tags": ["x"]}'),
    ("a/1.bin", b"\x00\xff"),
    ("a/2.txt", b"zwei"),
    ("a/2.cls", b"4"),
    ("a/2.json", b'{"n": 2, "tags": ["y", "z"]}'),
    ("a/2.bin", b""),
]


def test_webdatasets_are_those_of_datasets(tmp_path: Path) -> None:
    write(tmp_path / "data", {"x-000.tar": tar(SAMPLES)})
    source = opened(tmp_path)
    files = str(tmp_path / "data/x-000.tar")
    loaded = datasets.load_dataset(
        "webdataset", data_files=files, split="train", cache_dir=str(tmp_path / "cache"), streaming=True
    )
    expected = list(loaded)
    found = rows(source)
    assert [{name: row[name] for name in expected[0] if name != "__url__"} for row in found] == [
        {name: value for name, value in row.items() if name != "__url__"} for row in expected
    ]
    assert {row["__url__"] for row in found} == {"x-000.tar"}, "no path of this machine is published"
    assert set(source.schema.names) == set(expected[0])


@pytest.mark.parametrize(("suffix", "kind"), [("wav", "Audio"), ("png", "Image"), ("mp4", "Video"), ("FLAC", "Audio")])
def test_media_in_archives_are_embedded(tmp_path: Path, suffix: str, kind: str) -> None:
    write(tmp_path / "data", {"x.tar": tar([(f"1.{suffix}", b"media"), ("1.txt", b"t")])})
    source = opened(tmp_path)
    assert source.features[suffix] == {"_type": kind}
    (tmp_path / "out").mkdir()
    (shard,) = write_shards(source, ShardOptions(None, 1), tmp_path / "out")
    loaded = datasets.load_dataset("parquet", data_files=str(shard.file), split="train", cache_dir=str(tmp_path / "c"))
    assert loaded.with_format("arrow")[:].to_pylist()[0][suffix] == {"bytes": b"media", "path": f"1.{suffix}"}
    assert source.files == (tmp_path / "data/x.tar",)


@pytest.mark.parametrize("name", ["x.tgz", "x.tar.gz", "x.tar.xz", "x.tar.bz2"])
def test_packed_archives(tmp_path: Path, name: str) -> None:
    mode = {"tgz": "w:gz"}.get(name.rpartition(".")[2], f"w:{name.rpartition('.')[2]}")
    write(tmp_path / "data", {name: tar(SAMPLES, mode)})
    assert [row["txt"] for row in rows(opened(tmp_path))] == ["eins", "zwei"]


def test_archives_have_one_schema_and_splits(tmp_path: Path) -> None:
    one, two = tar([("1.txt", b"a")]), tar([("1.txt", b"b"), ("1.json", b'{"n": 0.5}')])
    write(tmp_path / "data", {"train-0.tar": one, "train-1.tar": two, "test-0.tar": one})
    spec = PublishSpec.model_validate({"repo_id": "acme/x", "path": "data"})
    train, test = open_tables(spec, tmp_path)
    assert (train.split, test.split) == ("train", "test")
    assert train.schema == test.schema
    assert [(row["txt"], row["json"]) for row in rows(train)] == [("a", None), ("b", {"n": 0.5})]


def test_members_that_stand_apart_are_put_together(tmp_path: Path) -> None:
    members = [("1.txt", b"a"), ("2.txt", b"b"), ("1.cls", b"1"), ("2.cls", b"2")]
    write(tmp_path / "data", {"x.tar": tar(members)})
    assert [(row["txt"], row["cls"]) for row in rows(opened(tmp_path))] == [("a", 1), ("b", 2)]


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ([("1.txt", b"a"), ("2.txt", b"\xff")], "`2.txt`.*UTF-8"),
        ([("1.json", b"{"), ("1.txt", b"a")], "`1.json`"),
        ([("1.cls", b"one")], "`1.cls`"),
        ([("1.txt", b"a"), ("noname", b"b")], "`noname` has no suffix"),
    ],
)
def test_a_bad_sample_is_named_and_not_left_out(tmp_path: Path, members: Members, problem: str) -> None:
    write(tmp_path / "data", {"x.tar": tar(members)})
    with pytest.raises(InvalidRequest, match=problem) as caught:
        rows(opened(tmp_path))
    assert caught.value.doing == "reading `data/x.tar`"


@pytest.mark.parametrize("content", [b"", b"no tar" * 200, tar(SAMPLES)[:2000], json.dumps({}).encode()])
def test_broken_archives_are_named(tmp_path: Path, content: bytes) -> None:
    write(tmp_path / "data", {"x.tar": content})
    assert refused(tmp_path).doing == "reading `data/x.tar`"
