"""The real `datasets` loads from the local Hub, with HF_ENDPOINT as the only setting."""

from __future__ import annotations

import io
import json
import tarfile
import wave
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from localhub import LocalHub
from tests.contract.conftest import RunClient

ROWS = [{"id": number, "text": f"row {number}"} for number in range(20)]
LOAD = """
    import datasets
    builder = datasets.load_dataset_builder("acme/data")
    loaded = datasets.load_dataset("acme/data", split="train")
    streamed = datasets.load_dataset("acme/data", split="train", streaming=True)
    result = [builder.config.data_files["train"], list(loaded), list(streamed)]
"""


def wav(seconds: float = 0.1) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(b"\1\0" * int(8000 * seconds))
    return buffer.getvalue()


def write_parquet(folder: Path) -> None:
    for shard, start in enumerate((0, 10)):
        table = pa.Table.from_pylist(ROWS[start : start + 10])
        pq.write_table(table, folder / f"train-{shard:05}-of-00002.parquet", row_group_size=4)


def write_json(folder: Path) -> None:
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))


def write_csv(folder: Path) -> None:
    (folder / "train.csv").write_text("id,text\n" + "".join(f"{row['id']},{row['text']}\n" for row in ROWS))


@pytest.mark.parametrize("write", [write_parquet, write_json, write_csv])
def test_tables_load_and_stream(
    hub: LocalHub, run_client: RunClient, tmp_path: Path, write: Callable[[Path], None]
) -> None:
    folder = tmp_path / "source" / "data"
    folder.mkdir(parents=True)
    write(folder)
    sha = hub.add_dataset("acme/data", folder.parent)
    data_files, loaded, streamed = run_client(LOAD)
    assert data_files == [f"hf://datasets/acme/data@{sha}/{path}" for path in hub.paths("acme/data")]
    assert loaded == ROWS
    assert streamed == ROWS


def test_configs_and_splits_come_from_the_card(hub: LocalHub, run_client: RunClient, tmp_path: Path) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    card = (
        "configs: [{config_name: fr, data_files: [{split: test, path: x.csv}]}, {config_name: en, data_files: y.csv}]"
    )
    (folder / "README.md").write_text(f"---\n{card}\n---\n")
    (folder / "x.csv").write_text("a\n1\n")
    (folder / "y.csv").write_text("a\n2\n")
    hub.add_dataset("acme/data", folder)
    code = """
        import datasets
        result = [datasets.get_dataset_config_names("acme/data"), datasets.get_dataset_split_names("acme/data", "fr")]
        result.append(list(datasets.load_dataset("acme/data", "en", split="train")))
        try:
            datasets.load_dataset("acme/data", "de")
        except ValueError as error:
            result.append(str(error))
    """
    configs, splits, rows, wrong = run_client(code)
    assert (configs, splits, rows) == (["fr", "en"], ["test"], [{"a": 2}])
    assert "'de' not found" in wrong


def test_a_revision_is_loaded_as_it_was(hub: LocalHub, run_client: RunClient, tmp_path: Path) -> None:
    hub.add_dataset("acme/data")
    old = hub.commit("acme/data", {"train.csv": b"a\n1\n"})
    hub.commit("acme/data", {"train.csv": b"a\n2\n"})
    code = """
        import datasets
        result = [list(datasets.load_dataset("acme/data", revision=r, split="train")) for r in (REVISIONS)]
    """
    assert run_client(code.replace("REVISIONS", f"'{old}', 'main'")) == [[{"a": 1}], [{"a": 2}]]


def test_parquet_is_read_by_ranges(hub: LocalHub, run_client: RunClient, tmp_path: Path) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    table = pa.table({"id": list(range(100)), "blob": [bytes([number]) * 50_000 for number in range(100)]})
    pq.write_table(table, folder / "train.parquet", row_group_size=10, compression="none", use_dictionary=False)
    hub.add_dataset("acme/data", folder)
    code = """
        import pyarrow.parquet as pq
        from huggingface_hub import HfFileSystem
        with HfFileSystem().open("datasets/acme/data/train.parquet", block_size=1 << 16, cache_type="none") as file:
            parquet = pq.ParquetFile(file, pre_buffer=False)
            result = [parquet.metadata.num_rows, parquet.read_row_group(7, columns=["id"])["id"].to_pylist()]
    """
    assert run_client(code) == [100, list(range(70, 80))]
    sent = sum(record.bytes_sent for record in hub.requests(route="resolve"))
    assert 0 < sent < 200_000
    assert {record.status for record in hub.requests(route="resolve")} == {206}


def test_audio_folder_with_metadata(hub: LocalHub, run_client: RunClient, tmp_path: Path) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    lines = []
    for number in range(3):
        (folder / f"{number}.wav").write_bytes(wav(0.1 * (number + 1)))
        lines.append(json.dumps({"file_name": f"{number}.wav", "text": f"text {number}"}))
    (folder / "metadata.jsonl").write_text("\n".join(lines))
    sha = hub.add_dataset("acme/data", folder)
    code = """
        import datasets, fsspec
        streamed = datasets.load_dataset("acme/data", split="train", streaming=True, decode_num_threads=0)
        rows = [row for table in streamed.with_format("arrow").iter(batch_size=2) for row in table.to_pylist()]
        sizes = [len(fsspec.open(row["audio"]["path"], "rb").open().read()) for row in rows]
        result = [[row["audio"]["path"], row["text"], size] for row, size in zip(rows, sizes)]
    """
    assert sorted(run_client(code)) == [
        [f"hf://datasets/acme/data@{sha}/{number}.wav", f"text {number}", len(wav(0.1 * (number + 1)))]
        for number in range(3)
    ]


def test_web_dataset_and_zip(hub: LocalHub, run_client: RunClient, tmp_path: Path) -> None:
    for kind in ("tar", "zip"):
        (tmp_path / kind).mkdir()
    with tarfile.open(tmp_path / "tar" / "train.tar", "w") as tar:
        for name, data in (("1.wav", wav()), ("1.txt", b"one")):
            item = tarfile.TarInfo(name)
            item.size = len(data)
            tar.addfile(item, io.BytesIO(data))
    with zipfile.ZipFile(tmp_path / "zip" / "train.zip", "w") as archive:
        archive.writestr("table.csv", "a\n1\n2\n")
    hub.add_dataset("acme/tar", tmp_path / "tar")
    hub.add_dataset("acme/zip", tmp_path / "zip")
    code = """
        import datasets
        tar = datasets.load_dataset("acme/tar", split="train", streaming=True).with_format("arrow")
        result = [next(iter(tar.iter(1)))["txt"].to_pylist(), list(datasets.load_dataset("acme/zip", split="train"))]
    """
    assert run_client(code) == [["one"], [{"a": 1}, {"a": 2}]]


@pytest.mark.parametrize("disable_xet", ["0", "1"])
def test_push_to_hub_and_load_again(hub: LocalHub, run_client: RunClient, disable_xet: str) -> None:
    hub.add_user("alice", role="write")
    code = """
        import datasets
        rows = datasets.Dataset.from_dict({"id": list(range(50)), "label": ["a", "b"] * 25})
        rows = rows.cast_column("label", datasets.ClassLabel(names=["a", "b"]))
        rows.push_to_hub("alice/pushed", "first", num_shards=3)
        rows.select(range(7)).push_to_hub("alice/pushed", "second", split="test", private=True)
        again = datasets.load_dataset("alice/pushed", "first", split="train")
        small = datasets.load_dataset("alice/pushed", "second", split="test")
        result = [list(again["id"]), again.features["label"].names, len(small)]
    """
    ids, names, small = run_client(code, user="alice", HF_HUB_DISABLE_XET=disable_xet)
    assert (ids, names, small) == (list(range(50)), ["a", "b"], 7)
    routes = {record.route for record in hub.requests()}
    assert ("lfs_put" in routes, "xet_shard" in routes) == (disable_xet == "1", disable_xet == "0")
    assert [path for path in hub.paths("alice/pushed") if path.startswith("first/")] == [
        f"first/train-{number:05}-of-00003.parquet" for number in range(3)
    ]
