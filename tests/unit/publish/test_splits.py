"""Splits of files and folders: those that `datasets` finds in the same folder, or a refusal with advice."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hugflow.model.errors import InvalidRequest
from hugflow.model.publish_spec import PublishSpec
from hugflow.publish.sources.opening import Source, open_tables

Rows = list[dict[str, Any]]


def opened(root: Path, path: str = "data", **fields: Any) -> dict[str, Source]:
    spec = PublishSpec.model_validate({"repo_id": "acme/x", "path": path} | fields)
    return {source.split: source for source in open_tables(spec, root)}


def rows(source: Source) -> Rows:
    return [row for batch in source.batches() for row in batch.to_pylist()]


def by_datasets(folder: Path, cache: Path, config: str | None = None) -> dict[str, Rows]:
    loaded = datasets.load_dataset(str(folder), config, cache_dir=str(cache))
    return {str(split): one.with_format("arrow")[:].to_pylist() for split, one in loaded.items()}


def write(root: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def csv(n: int) -> str:
    return f"n\n{n}\n"


def refused(root: Path, path: str = "data", **fields: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        opened(root, path, **fields)
    return caught.value


# -- names ------------------------------------------------------------------------------------------------------------

NAMES: dict[str, list[str]] = {
    "files": ["train.csv", "validation.csv", "test.csv"],
    "other words": ["training.csv", "valid.csv", "testing.csv"],
    "more words": ["my-train.csv", "dev_2.csv", "eval.2024.csv"],
    "numbers": ["train1.csv", "train2.csv", "val 1.csv"],
    "parts": ["train-00000-of-00002.csv", "train-00001-of-00002.csv", "test-00000-of-00001.csv"],
    "folders": ["train/a.csv", "train/b.csv", "test/a.csv"],
    "deep folders": ["x/train/y/a.csv", "x/dev/y/a.csv"],
    "folder before file": ["train/test.csv", "test/train.csv"],
    "only one": ["test.csv"],
    "shards with names of their own": ["data/en-00000-of-00001.csv", "data/de-00000-of-00001.csv"],
    "no words": ["latest.csv", "trained.csv", "part-1.csv"],
}


@pytest.mark.parametrize("case", NAMES)
def test_splits_of_names_are_those_of_datasets(tmp_path: Path, case: str) -> None:
    folder = write(tmp_path / "root/data", {name: csv(i) for i, name in enumerate(NAMES[case])})
    found = {split: rows(source) for split, source in opened(tmp_path / "root").items()}
    expected = by_datasets(folder, tmp_path / "cache")
    assert list(found) == list(expected)
    assert {split: sorted(row["n"] for row in some) for split, some in found.items()} == {
        split: sorted(row["n"] for row in some) for split, some in expected.items()
    }


@pytest.mark.parametrize("suffix", ["jsonl", "parquet", "tsv", "csv.gz"])
def test_every_format_has_splits(tmp_path: Path, suffix: str) -> None:
    for i, split in enumerate(("train", "test")):
        table = pa.table({"n": [i]})
        file = write(tmp_path, {f"data/{split}.{suffix}": b""}) / f"data/{split}.{suffix}"
        if suffix == "parquet":
            pq.write_table(table, file)
        elif suffix == "jsonl":
            file.write_text(f'{{"n": {i}}}\n')
        else:
            file.write_bytes(gzip.compress(csv(i).encode()) if suffix.endswith("gz") else csv(i).encode())
    assert {split: rows(source) for split, source in opened(tmp_path).items()} == {
        "train": [{"n": 0}],
        "test": [{"n": 1}],
    }


def test_files_of_no_split_beside_those_of_one_are_not_dropped(tmp_path: Path) -> None:
    write(tmp_path / "data", {"prices-test.csv": csv(1), "prices.csv": csv(2), "LICENSE": "MIT", "notes.txt": "x"})
    error = refused(tmp_path)
    assert "in the split `test`, and 1 in none: `prices.csv`" in error.problem
    assert "`split: train`" in error.fix
    assert (error.reason, error.field) == ("unclear_splits", "path")
    joined = opened(tmp_path, split="train")
    assert sorted(row["n"] for row in rows(joined["train"])) == [1, 2]


def test_one_split_of_many_is_said(tmp_path: Path) -> None:
    write(tmp_path / "data", {"train.csv": csv(1), "test.csv": csv(2)})
    source = opened(tmp_path, split="everything")["everything"]
    assert sorted(row["n"] for row in rows(source)) == [1, 2]
    assert "by their names the files are of the splits `train`, `test`" in source.notes[0]
    assert opened(tmp_path, "data/test.csv", split="train")["train"].notes == ()


def test_a_file_and_a_glob(tmp_path: Path) -> None:
    write(tmp_path / "data", {"train.csv": csv(1), "test.csv": csv(2), "test-2.csv": csv(3)})
    assert list(opened(tmp_path, "data/test.csv")) == ["train"], "one file is what the request says"
    assert list(opened(tmp_path, "data/test*.csv")) == ["train"]
    assert list(opened(tmp_path, "data/*.csv")) == ["train", "test"], "splits stay apart"


def test_splits_of_a_request_are_taken_as_they_are(tmp_path: Path) -> None:
    write(tmp_path / "data", {"a/train.csv": csv(1), "b/test.csv": csv(2)})
    spec = {"repo_id": "acme/x", "splits": {"one": "data/a", "two": "data/b"}}
    found = {s.split: rows(s) for s in open_tables(PublishSpec.model_validate(spec), tmp_path)}
    assert found == {"one": [{"n": 1}], "two": [{"n": 2}]}


# -- sound and images -------------------------------------------------------------------------------------------------


def test_labels_are_those_of_all_splits(tmp_path: Path) -> None:
    names = ["train/cat/1.wav", "train/dog/2.wav", "test/dog/3.wav"]
    write(tmp_path / "data", dict.fromkeys(names, "x"))
    found = opened(tmp_path)
    assert {split: source.rows for split, source in found.items()} == {"train": 2, "test": 1}
    assert found["test"].features["label"] == {"names": ["cat", "dog"], "_type": "ClassLabel"}
    assert [row["label"] for row in rows(found["test"])] == [1]


def test_metadata_belongs_to_the_split_of_its_folder(tmp_path: Path) -> None:
    files = {"train/1.wav": "x", "train/metadata.csv": "file_name,t\n1.wav,a\n"}
    write(tmp_path / "data", files | {"test/2.wav": "x", "test/metadata.csv": "file_name,t\n2.wav,b\n"})
    found = {split: [row["t"] for row in rows(source)] for split, source in opened(tmp_path).items()}
    assert found == {"train": ["a"], "test": ["b"]}
    write(tmp_path / "data", {"metadata.csv": "file_name,t\ntrain/1.wav,a\n"})
    assert "`metadata.csv` describes files of the splits `train`, `test`" in refused(tmp_path).problem


@pytest.mark.parametrize("name", ["a.mp4", "a.MP4", "a.avi", "a.mkv", "a.mov", "a.mpeg", "a.mpg", "a.m4v", "a.wmv"])
def test_video_is_video(tmp_path: Path, name: str) -> None:
    write(tmp_path / "data", {f"x/{name}": "film", f"y/{name}": "film"})
    source = opened(tmp_path)["train"]
    assert source.features == {"video": {"_type": "Video"}, "label": {"names": ["x", "y"], "_type": "ClassLabel"}}
    assert source.schema.field("video").type == pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def test_video_beside_sound_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "data", {"a.wav": "x", "b.mp4": "x"})
    assert "files of different kinds: `audio`, `video`" in refused(tmp_path).problem


def test_pdf_files_with_and_without_metadata(tmp_path: Path) -> None:
    write(tmp_path / "data", {"a.pdf": "%PDF", "b.pdf": "%PDF"})
    assert opened(tmp_path)["train"].features == {"pdf": {"_type": "Pdf"}}
    write(tmp_path / "data", {"metadata.csv": "file_name,title\na.pdf,A\nb.pdf,B\n"})
    assert [row["title"] for row in rows(opened(tmp_path)["train"])] == ["A", "B"]
    write(tmp_path / "data", {"rows.csv": csv(1)})
    (tmp_path / "data/metadata.csv").unlink()
    assert rows(opened(tmp_path)["train"]) == [{"n": 1}], "a manual beside a table is no row"


# -- what `datasets` saves --------------------------------------------------------------------------------------------


def dataset(*numbers: int) -> datasets.Dataset:
    return datasets.Dataset.from_dict({"n": list(numbers)})


def test_a_saved_dataset_dict_has_its_splits(tmp_path: Path) -> None:
    parts = {"en": dataset(1, 2), "test": dataset(3), "de.old": dataset(4)}
    datasets.DatasetDict(parts).save_to_disk(str(tmp_path / "data"))
    assert {split: [row["n"] for row in rows(source)] for split, source in opened(tmp_path).items()} == {
        "en": [1, 2],
        "test": [3],
        "de.old": [4],
    }


def test_files_that_a_saved_dataset_does_not_list_are_no_rows(tmp_path: Path) -> None:
    many = dataset(*range(100))
    many.save_to_disk(str(tmp_path / "data"), num_shards=4)
    (tmp_path / "data/cache-0123.arrow").write_bytes((tmp_path / "data/data-00000-of-00004.arrow").read_bytes())
    dataset(1, 2).save_to_disk(str(tmp_path / "data"), num_shards=1)
    assert len(list((tmp_path / "data").glob("*.arrow"))) > 1
    assert [row["n"] for row in rows(opened(tmp_path)["train"])] == [1, 2]
    (tmp_path / "data/data-00000-of-00001.arrow").unlink()
    assert "lists `data-00000-of-00001.arrow`, which is not there" in refused(tmp_path).problem


def test_a_saved_split_keeps_its_name(tmp_path: Path) -> None:
    pq.write_table(pa.table({"n": [1]}), tmp_path / "x.parquet")
    files = {"validation": str(tmp_path / "x.parquet")}
    loaded = datasets.load_dataset("parquet", data_files=files, split="validation", cache_dir=str(tmp_path / "c"))
    loaded.save_to_disk(str(tmp_path / "data"))
    assert list(opened(tmp_path)) == ["validation"]


def test_a_dataset_dict_that_lacks_a_split(tmp_path: Path) -> None:
    write(tmp_path / "data", {"dataset_dict.json": '{"splits": ["train", "test"]}', "train/x.csv": csv(1)})
    assert "no files of the split `test`" in refused(tmp_path).problem
    for wrong in ("{}", "[]", '{"splits": ["../x"]}', '{"splits": 3}'):
        write(tmp_path / "data", {"dataset_dict.json": wrong})
        assert refused(tmp_path).doing == "reading `data/dataset_dict.json`"


# -- a clone of a repository ------------------------------------------------------------------------------------------


def card(*configs: Any) -> str:
    return f"---\n{json.dumps({'license': 'mit', 'configs': list(configs)})}\n---\n# Card\n"


CONFIGS: dict[str, tuple[Any, list[str]]] = {
    "patterns": ([{"split": "train", "path": "one/*.csv"}, {"split": "extra", "path": ["two/*.csv", "x.csv"]}], []),
    "one pattern": ("one/*.csv", ["two/b.csv", "x.csv"]),
    "a list": (["one/*.csv", "x.csv"], ["two/b.csv"]),
    "all": ("**/*.csv", []),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_a_clone_has_the_splits_of_its_card(tmp_path: Path, case: str) -> None:
    patterns, left = CONFIGS[case]
    files = {"one/a.csv": csv(1), "two/b.csv": csv(2), "x.csv": csv(3)}
    readme = card({"config_name": "default", "data_files": patterns})
    folder = write(tmp_path / "root/data", files | {"README.md": readme, ".git/config": ""})
    found = opened(tmp_path / "root")
    expected = by_datasets(folder, tmp_path / "cache")
    assert {split: rows(source) for split, source in found.items()} == expected
    notes = next(iter(found.values())).notes
    assert [name for name in left if f"`{name}`" in "".join(notes)] == left
    assert len(notes) == bool(left)


def test_a_config_of_several_is_the_one_of_the_table_s_name(tmp_path: Path) -> None:
    one, two = ({"config_name": name, "data_files": f"{name}/*.csv"} for name in ("one", "two"))
    write(tmp_path / "data", {"one/a.csv": csv(1), "two/b.csv": csv(2), "README.md": card(one, two)})
    assert rows(opened(tmp_path, config_name="two")["train"]) == [{"n": 2}]
    error = refused(tmp_path)
    assert "its configs are `one`, `two`, and the table is called `default`" in error.problem
    assert error.reason == "unclear_config"
    write(tmp_path / "data", {"README.md": card(one, two | {"default": True})})
    assert rows(opened(tmp_path)["train"]) == [{"n": 2}]
    assert rows(opened(tmp_path, config_name="one")["train"]) == [{"n": 1}]


def test_a_config_may_name_a_folder(tmp_path: Path) -> None:
    files = {"sub/train.csv": csv(1), "sub/test.csv": csv(2), "other.csv": csv(3)}
    folder = write(tmp_path / "root/data", files | {"README.md": card({"config_name": "default", "data_dir": "sub"})})
    found = {split: rows(source) for split, source in opened(tmp_path / "root").items()}
    assert found == by_datasets(folder, tmp_path / "cache") == {"train": [{"n": 1}], "test": [{"n": 2}]}


def test_cards_that_cannot_be_followed(tmp_path: Path) -> None:
    write(tmp_path / "data", {"a.csv": "n;m\n1;2\n"})
    cases = [
        (card({"config_name": "default", "data_files": "*.csv", "sep": ";"}), "sets `sep`, which publishing does not"),
        (card({"config_name": "default", "data_files": "gone/*.csv"}), "files of the split `train`, and none are"),
        (card({"config_name": "default", "data_files": 3}), "cannot be followed"),
        (card({"data_files": "*.csv"}), "no list of configs with names"),
        ("---\nconfigs: [\n---\n", "front matter is no valid YAML"),
    ]
    for text, problem in cases:
        write(tmp_path / "data", {"README.md": text})
        assert problem in refused(tmp_path).problem
    write(tmp_path / "data", {"README.md": "# no configs"})
    assert rows(opened(tmp_path)["train"]) == [{"n": 1, "m": 2}]


def test_files_that_git_lfs_has_not_fetched(tmp_path: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 12345\n"
    for name in ("a.parquet", "a.csv", "a.wav"):
        write(tmp_path / name[2:], {name: pointer})
        error = refused(tmp_path, name[2:])
        assert f"`{name}` is a pointer of Git LFS" in error.problem
        assert "git lfs pull" in error.fix


# -- hidden files and tables with a log -------------------------------------------------------------------------------


def test_names_with_an_underscore_are_hidden(tmp_path: Path) -> None:
    files = {"part-0.csv": csv(1), "_SUCCESS": "", "_temporary/0/part-1.csv": csv(9), "_part-2.csv": csv(9)}
    write(tmp_path / "data", files | {"x=1/_y=2/part-3.csv": csv(3), "__pycache__/x.csv": csv(9)})
    source = opened(tmp_path)["train"]
    assert sorted(row["n"] for row in rows(source)) == [1, 3]
    assert source.schema.names == ["n", "x", "_y"], "a folder that is a column is not hidden"
    (note,) = source.notes
    assert "_temporary/0/part-1.csv" in note
    assert "_part-2.csv" in note
    assert "_SUCCESS" not in note
    assert rows(opened(tmp_path, "data/*.csv")["train"]) == [{"n": 1}]
    assert rows(opened(tmp_path, "data/_part-2.csv")["train"]) == [{"n": 9}], "named by the request"
    assert rows(opened(tmp_path, "data/_part*.csv")["train"]) == [{"n": 9}], "named by the request"
    assert "No parquet files" in refused(tmp_path, "data/__pycache__/y.csv").problem


MARKS = {
    "Delta Lake": ["_delta_log/00000000000000000000.json"],
    "Apache Iceberg": ["metadata/v1.metadata.json", "data/x.txt"],
    "Apache Hudi": [".hoodie/hoodie.properties"],
    "Lance": ["_versions/1.manifest"],
}


@pytest.mark.parametrize("kind", MARKS)
@pytest.mark.parametrize("path", ["data/t", "data", "data/t/*.parquet", "data/t/**/*.parquet", "data/t/y/x.parquet"])
def test_tables_with_a_log_are_refused_by_name(tmp_path: Path, kind: str, path: str) -> None:
    write(tmp_path / "data/t", dict.fromkeys(MARKS[kind], "{}"))
    for name in ("x.parquet", "y/x.parquet"):
        write(tmp_path / "data/t", {name: ""})
        pq.write_table(pa.table({"n": [1]}), tmp_path / "data/t" / name)
    error = refused(tmp_path, path)
    assert f"`t` is a table of {kind}" in error.problem
    assert (error.reason, error.field) == ("unsupported_format", "path")
    write(tmp_path / "plain", {"metadata/notes.txt": "x", "x.csv": csv(1)})
    assert rows(opened(tmp_path, "plain")["train"]) == [{"n": 1}]
