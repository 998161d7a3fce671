"""A dataset that grows far beyond its files is stopped, and a run leaves a reserve of the disk free."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.faults.conftest import NewFolder
from tests.support.faults import Case, FaultWorld, json_rows, tmpfs


@pytest.fixture(scope="module")
def new_folder(in_memory: NewFolder) -> NewFolder:
    return in_memory


@pytest.fixture(scope="module")
def texts(quiet: FaultWorld) -> Case:
    return quiet.case("acme/texts", json_rows(100), made_by=quiet)


def test_a_small_file_that_becomes_much_stops(world: FaultWorld, tmp_path: Path) -> None:
    """400 rows of one value of half a megabyte, which parquet keeps once."""
    (tmp_path / "data").mkdir()
    values = pa.DictionaryArray.from_arrays(pa.array([0] * 400, pa.int8()), pa.array(["A" * 500_000])).cast(pa.string())
    pq.write_table(pa.table({"text": values}), tmp_path / "data/train-0.parquet", compression="zstd")
    assert (tmp_path / "data/train-0.parquet").stat().st_size < 20_000
    world.hub.add_dataset("acme/unpacks", tmp_path)
    done = world.quick_sync(world.add("acme/unpacks"))
    assert (done.code, done.reason) == (4, "growth"), done.out
    assert "MAX_STORAGE_GROWTH" in done.fix
    written = sum(path.stat().st_size for path in world.storage.rglob("*.json"))
    assert 100e6 < written < 170e6
    kept = done.result["rows_done"]
    assert 200 < kept < 400
    done = world.quick_sync("requests/add/one.yaml", MAX_STORAGE_GROWTH="100000").ok()
    assert (done.result["rows_done"], done.result["new_rows"]) == (400, 400 - kept)


def test_a_small_file_with_many_rows_stops_before_any_is_written(world: FaultWorld) -> None:
    world.hub.add_dataset("acme/many")
    world.hub.commit("acme/many", {"train.csv.gz": gzip.compress(b"n\n" + b"1\n" * 400_000, mtime=0)})
    done = world.quick_sync(world.add("acme/many"))
    assert (done.code, done.reason) == (4, "growth"), done.out
    assert "400,000 rows" in done.result["error"]
    assert not list(world.storage.rglob("json/*"))


def test_rows_that_a_card_promises_give_no_room(world: FaultWorld) -> None:
    card = "---\ndataset_info:\n  splits:\n  - name: train\n    num_examples: 1000000000\n---\n"
    world.hub.add_dataset("acme/promised")
    files = {"README.md": card.encode(), "train.csv.gz": gzip.compress(b"n\n" + b"1\n" * 400_000, mtime=0)}
    world.hub.commit("acme/promised", files)
    done = world.quick_sync(world.add("acme/promised"))
    assert done.code != 0
    assert not list(world.storage.rglob("json/*"))


def test_a_reserve_stays_free(world: FaultWorld, texts: Case) -> None:
    with tmpfs(world.storage, "size=40m"):
        filler = world.storage / ".filler"
        filler.write_bytes(b"x" * (39 << 20))
        done = world.quick_sync(world.add(texts.hf_id, "texts"))
        assert (done.code, done.reason) == (74, "reserve"), done.out
        assert "STORAGE_RESERVE_GB" in done.result["error"]
        filler.unlink()
        world.quick_sync(texts.request).ok()
        world.check(texts, code=0)


def test_without_a_reserve_the_disk_is_used(world: FaultWorld, texts: Case) -> None:
    with tmpfs(world.storage, "size=40m"):
        (world.storage / ".filler").write_bytes(b"x" * (39 << 20))
        world.quick_sync(world.add(texts.hf_id, "texts"), STORAGE_RESERVE_GB="0").ok()


def test_the_quota_counts_blocks_of_the_disk(world: FaultWorld, texts: Case) -> None:
    """100 rows of some bytes are 100 blocks."""
    done = world.quick_sync(world.add(texts.hf_id, "texts"), STORAGE_QUOTA_GB="0.0002")
    assert done.code in {4, 74}
    assert json.loads(done.out)["exit_code"] == done.code
    assert "STORAGE_QUOTA_GB" in done.out
