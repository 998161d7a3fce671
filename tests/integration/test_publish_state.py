"""Publishing to a repository with data: configs that the request does not name stay, and load as before."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from hugflow import upload_batch
from localhub import LocalHub
from tests.conftest import CANARIES
from tests.support.faults import FaultWorld
from tests.support.publishing import (
    CannotLoad,
    Loader,
    Remote,
    plan,
    publish,
    published,
    sent_bytes,
    warm_worlds,
    writable_hub,
)

FEATURES = {"a": {"dtype": "int64", "_type": "Value"}, "y": {"_type": "ClassLabel", "names": ["neg", "pos"]}}


@pytest.fixture(scope="module")
def hub() -> Iterator[LocalHub]:
    """A Hub on which the tests may write."""
    with writable_hub() as running:
        yield running


@pytest.fixture(scope="module")
def loader(hub: LocalHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loader]:
    """`datasets`, as readers have it."""
    with Loader.running(hub, tmp_path_factory.mktemp("loader")) as running:
        yield running


@pytest.fixture(scope="module")
def make_world(hub: LocalHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Path], FaultWorld]]:
    """Makes checkouts; their runs upload by LFS."""
    with warm_worlds(hub, tmp_path_factory.mktemp("home"), HF_HUB_DISABLE_XET="1") as make:
        yield make


@pytest.fixture
def world(make_world: Callable[[Path], FaultWorld], tmp_path: Path) -> FaultWorld:
    """An empty checkout."""
    return make_world(tmp_path)


@pytest.fixture(autouse=True)
def _nothing_yet(hub: LocalHub) -> None:
    hub.clear_log()


def parquet(features: Mapping[str, Any] | None = None, **columns: Any) -> bytes:
    """A parquet file as other programs write it; with `features`, as `datasets` does."""
    table = pa.table(columns)
    if features:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def foreign(world: FaultWorld, files: Mapping[str, bytes], card: str = "") -> Remote:
    """A repository that other programs have written to."""
    repo_id = world.new_id()
    world.hub.add_dataset(repo_id)
    world.hub.commit(repo_id, {**files, **({"README.md": card.encode()} if card else {})})
    return Remote(world.hub, repo_id)


def write(world: FaultWorld, path: str, **columns: Any) -> str:
    file = world.folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(parquet(**columns))
    return path


def told(result: Mapping[str, Any]) -> set[tuple[str, str, str]]:
    """The differences of a plan or a result, but for the version."""
    return {(d["effect"], d["kind"], d["name"]) for d in result["differences"] if d["kind"] != "version"}


def planned(world: FaultWorld, fields: Mapping[str, Any]) -> dict[str, Any]:
    (found,) = plan(world, fields).json["plans"]
    return dict(found)


def column(loader: Loader, repo: str, config: str | None, split: str, name: str) -> list[Any]:
    values: list[Any] = loader.load(repo, config, split).table.column(name).to_pylist()
    return values


# -- splits ----------------------------------------------------------------------------------------------------------


def test_one_split_after_the_other(world: FaultWorld, loader: Loader) -> None:
    repo = world.new_id()
    for split, values in {"train": [1, 2], "validation": [3], "extra.one": [4, 5, 6]}.items():
        published(world, {"repo_id": repo, "path": write(world, f"{split}.parquet", a=values), "split": split})
    assert [column(loader, repo, None, split, "a") for split in ("train", "validation", "extra.one")] == [
        [1, 2],
        [3],
        [4, 5, 6],
    ]
    entry = Remote(world.hub, repo).table("default")
    assert entry["row_count"] == 6
    assert {split: each["row_count"] for split, each in entry["splits"].items()} == {
        "train": 2,
        "validation": 1,
        "extra.one": 3,
    }
    assert Remote(world.hub, repo).spec["version"] == "1.2.0"
    again = {"repo_id": repo, "path": "train.parquet", "split": "train"}
    assert planned(world, again)["action"] == "nothing"
    write(world, "train.parquet", a=[7])
    result = published(world, again)
    assert told(result) == {
        ("change", "split", "default/train"),
        ("keep", "split", "default/validation"),
        ("keep", "split", "default/extra.one"),
    }
    assert column(loader, repo, None, "train", "a") == [7]
    assert column(loader, repo, None, "extra.one", "a") == [4, 5, 6]


@pytest.mark.parametrize(
    "card",
    [
        (
            "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: data/train-*\n"
            "  - split: test\n    path: data/test-*\n---\n"
        ),
        "---\nconfigs:\n- config_name: default\n  data_dir: data\n---\n",
        "# no front matter\n",
    ],
    ids=["list", "data_dir", "by name"],
)
def test_the_splits_of_other_programs_stay(world: FaultWorld, loader: Loader, card: str) -> None:
    files = {
        f"data/{split}-00000-of-00001.parquet": parquet(FEATURES, a=[n], y=[1])
        for n, split in enumerate(("train", "test"))
    }
    remote = foreign(world, files, card)
    before = loader.load(remote.repo_id, None, "test")
    fields = {"repo_id": remote.repo_id, "path": "new.parquet", "split": "train"}
    (world.folder / "new.parquet").write_bytes(parquet(FEATURES, a=[8, 9], y=[0, 0]))
    result = published(world, fields)
    assert ("keep", "split", "default/test") in told(result)
    after = loader.load(remote.repo_id, None, "test")
    assert (after.rows, after.features) == (before.rows, before.features)
    assert column(loader, remote.repo_id, None, "train", "a") == [8, 9]
    assert remote.table("default")["row_count"] == 3


def test_a_split_with_other_columns_is_refused_beside_those_that_stay(world: FaultWorld, loader: Loader) -> None:
    repo = world.new_id()
    published(world, {"repo_id": repo, "path": write(world, "t.parquet", a=[1], price=[2.5]), "split": "train"})
    files = Remote(world.hub, repo).files
    for fields in ({"a": [1]}, {"a": [1], "price": ["x"]}, {"a": [1], "price": [1.0], "more": [1]}):
        request = {"repo_id": repo, "path": write(world, "u.parquet", **fields), "split": "test"}
        (problem,) = [each for each in planned(world, request)["findings"] if each["level"] == "error"]
        assert "`train`" in problem["message"]
        assert ("`price`" if len(fields) < 3 else "`more`") in problem["message"]
        done = publish(world, request)
        assert (done.code, done.result["reason"]) == (4, "mixed_schema")
        assert "replace: true" in done.result["fix"]
        assert Remote(world.hub, repo).files == files
    result = published(world, request | {"replace": True})
    assert {("remove", "split", "default/train"), ("add", "column", "default.more")} <= told(result)
    assert column(loader, repo, None, "test", "more") == [1]
    with pytest.raises(CannotLoad):
        loader.load(repo, None, "train")
    assert "v1/data/train-00000-of-00001.parquet" in Remote(world.hub, repo).files
    assert ("move", "file", "data/train-00000-of-00001.parquet") in told(result)
    assert Remote(world.hub, repo).spec["version"] == "2.0.0"


def test_types_widen_to_those_of_the_splits_that_stay(world: FaultWorld, loader: Loader) -> None:
    repo = world.new_id()
    published(
        world, {"repo_id": repo, "path": write(world, "t.parquet", a=[2**40], b=["x"], c=[0.5]), "split": "train"}
    )
    small = {"c": pa.array([3], pa.int32()), "a": pa.array([7], pa.int16()), "b": pa.array([None], pa.null())}
    published(world, {"repo_id": repo, "path": write(world, "u.parquet", **small), "split": "test"})
    both = [loader.load(repo, None, split) for split in ("train", "test")]
    assert both[0].features == both[1].features
    assert both[1].rows == [{"a": 7, "b": None, "c": 3.0}]
    large = {"a": [1], "b": ["y"], "c": pa.array([2**53 + 1], pa.int64())}
    done = publish(world, {"repo_id": repo, "path": write(world, "v.parquet", **large), "split": "more"})
    assert (done.code, done.result["reason"]) == (4, "mixed_schema")
    assert "`c`" in done.result["error"]


@pytest.mark.parametrize("files", ["data/*", "['data/*.parquet', 'more/**']"])
def test_patterns_of_a_split_that_stays_do_not_catch_new_shards(world: FaultWorld, loader: Loader, files: str) -> None:
    card = f"---\nconfigs:\n- config_name: default\n  data_files: {files}\n---\n"
    remote = foreign(world, {"data/x.parquet": parquet(a=[1]), "data/y.parquet": parquet(a=[2])}, card)
    before = column(loader, remote.repo_id, None, "train", "a")
    published(world, {"repo_id": remote.repo_id, "path": write(world, "t.parquet", a=[3]), "split": "test"})
    assert column(loader, remote.repo_id, None, "train", "a") == before
    assert column(loader, remote.repo_id, None, "test", "a") == [3]


def test_a_file_in_the_place_of_a_new_one_is_not_overwritten(world: FaultWorld, loader: Loader) -> None:
    """A card that loads `test` from a file that is called like a shard of `train`."""
    card = "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: test\n    path: data/train-*\n---\n"
    remote = foreign(world, {"data/train-00000-of-00001.parquet": parquet(a=[1])}, card)
    files = remote.files
    done = publish(world, {"repo_id": remote.repo_id, "path": write(world, "t.parquet", a=[3]), "split": "train"})
    assert (done.code, done.result["reason"]) == (4, "path_taken")
    assert remote.files == files
    assert column(loader, remote.repo_id, None, "test", "a") == [1]


def test_files_that_nothing_loads_any_more_are_named(world: FaultWorld, loader: Loader) -> None:
    card = "---\nconfigs:\n- config_name: default\n  data_files: old.parquet\n---\n"
    remote = foreign(world, {"old.parquet": parquet(a=[1]), "LICENSE": b"x", "pictures/a.png": b"x"}, card)
    fields = {"repo_id": remote.repo_id, "path": write(world, "t.parquet", a=[2, 3])}
    expected = {("keep", "file", "old.parquet"), ("change", "split", "default/train")}
    assert told(planned(world, fields)) == expected
    text = world.quick("plan", world.request("publish", "one", fields)).out
    assert "~ change split default/train: 1 row -> 2 rows" in text
    assert "= keep file old.parquet (in no split)" in text
    assert told(published(world, fields)) == expected
    assert column(loader, remote.repo_id, None, "train", "a") == [2, 3]
    result = published(world, fields | {"replace": True, "split": "test"})
    assert ("remove", "split", "default/train") in told(result)
    assert {"LICENSE", "pictures/a.png"} <= remote.files.keys()


# -- tables and configs ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "files",
    [
        ("data/train-00000-of-00001-0123456789abcdef.parquet",),
        ("train.parquet", "test.parquet"),
        ("sub/validation/x.parquet", "sub/train/y.parquet"),
        ("one.parquet", "LICENSE", "notes/plot.png"),
    ],
)
def test_files_that_need_no_entry_get_one(world: FaultWorld, loader: Loader, files: tuple[str, ...]) -> None:
    remote = foreign(
        world, {path: parquet(old=[n] * 7) if path.endswith(".parquet") else b"x" for n, path in enumerate(files)}
    )
    names = ["train", *(["test"] if "test.parquet" in files else ["validation"] if files[0][:3] == "sub" else [])]
    before = {split: loader.load(remote.repo_id, None, split).rows for split in names}
    fields = {"repo_id": remote.repo_id, "path": write(world, "t.parquet", a=[1, 2]), "config_name": "train"}
    result = published(world, fields)
    assert ("keep", "config", "default") in told(result)
    for config in (None, "default"):
        assert {split: loader.load(remote.repo_id, config, split).rows for split in names} == before
    assert column(loader, remote.repo_id, "train", "train", "a") == [1, 2]
    assert planned(world, fields)["action"] == "nothing"


@pytest.mark.parametrize(
    "files", ["'**/*.parquet'", "['*.parquet', '*/*']", "[{split: train, path: '**/train*'}]", None]
)
def test_patterns_of_other_configs_do_not_catch_new_shards(
    world: FaultWorld, loader: Loader, files: str | None
) -> None:
    named = f"  data_files: {files}\n" if files else ""
    card = f"---\nconfigs:\n- config_name: all\n{named}  mine: kept\n---\n"
    remote = foreign(world, {"x/train-1.parquet": parquet(old=[1]), "x/train-2.parquet": parquet(old=[2])}, card)
    before = loader.load(remote.repo_id, "all").rows
    published(world, {"repo_id": remote.repo_id, "path": write(world, "t.parquet", a=[1]), "config_name": "new"})
    assert loader.load(remote.repo_id, "all").rows == before
    assert loader.load(remote.repo_id).rows == before, "the only config was the default one"
    assert column(loader, remote.repo_id, "new", "train", "a") == [1]
    assert "mine: kept" in remote.card


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_parquet_beside_other_formats_is_refused(world: FaultWorld, loader: Loader, suffix: str) -> None:
    """`datasets` reads all configs of a repository with one reader."""
    content = {"csv": b"old\n1\n", "jsonl": b'{"old": 1}\n'}[suffix]
    remote = foreign(world, {f"train.{suffix}": content, f"test.{suffix}": content})
    before, files = loader.load(remote.repo_id, None, "test").rows, remote.files
    path = write(world, "t.parquet", a=[1])
    for fields in ({"config_name": "extra"}, {"split": "train"}):
        request = {"repo_id": remote.repo_id, "path": path, **fields}
        assert any(each["level"] == "error" for each in planned(world, request)["findings"])
        done = publish(world, request)
        assert (done.code, done.result["reason"]) == (4, "mixed_formats")
        assert remote.files == files
    assert loader.load(remote.repo_id, None, "test").rows == before
    result = published(world, {"repo_id": remote.repo_id, "path": path, "replace": True})
    assert ("move", "file", f"test.{suffix}") in told(result)
    assert column(loader, remote.repo_id, None, "train", "a") == [1]
    assert f"v0/test.{suffix}" in remote.files


def test_a_table_that_is_not_named_any_more_stays_until_replace(world: FaultWorld, loader: Loader) -> None:
    repo = world.new_id()
    tables = [{"name": name, "path": write(world, f"{name}.parquet", a=[n])} for n, name in enumerate("xyz")]
    published(world, {"repo_id": repo, "tables": tables})
    fields = {"repo_id": repo, "tables": tables[:1]}
    quiet = planned(world, fields)
    assert quiet["action"] == "nothing"
    assert told(quiet) == {("keep", "config", "y"), ("keep", "config", "z")}
    assert quiet["version"] == quiet["version_before"] == "1.0.0"
    loud = planned(world, fields | {"replace": True})
    assert {("remove", "config", "y"), ("move", "file", "y/train-00000-of-00001.parquet")} <= told(loud)
    assert (loud["version_before"], loud["version"]) == ("1.0.0", "2.0.0")
    result = published(world, fields | {"replace": True})
    assert told(result) == told(loud)
    assert column(loader, repo, "x", "train", "a") == [0]
    with pytest.raises(CannotLoad):
        loader.load(repo, "y")
    remote = Remote(world.hub, repo)
    assert [entry["name"] for entry in remote.spec["tables"]] == ["x"]
    assert "v1/y/train-00000-of-00001.parquet" in remote.files
    assert "y/train-00000-of-00001.parquet" not in remote.files


def test_the_default_config_can_be_named(world: FaultWorld, loader: Loader) -> None:
    repo = world.new_id()
    tables = [{"name": name, "path": write(world, f"{name}.parquet", a=[n])} for n, name in enumerate("xyz")]
    published(world, {"repo_id": repo, "tables": tables, "default_config": "y"})
    assert column(loader, repo, None, "train", "a") == [1]
    published(world, {"repo_id": repo, "tables": tables, "default_config": "z"})
    assert column(loader, repo, None, "train", "a") == [2]
    done = publish(world, {"repo_id": repo, "tables": tables, "default_config": "none"})
    assert (done.code, done.result["reason"]) == (4, "invalid_card")


def test_a_loading_script_is_named(world: FaultWorld, loader: Loader) -> None:
    remote = foreign(world, {})
    script = f"{remote.repo_id.partition('/')[2]}.py"
    world.hub.commit(remote.repo_id, {script: b"import datasets\n"})
    fields = {"repo_id": remote.repo_id, "path": write(world, "t.parquet", a=[1])}
    assert any(script in each["message"] for each in planned(world, fields)["findings"])
    done = publish(world, fields)
    assert script in done.err
    with pytest.raises(CannotLoad, match="scripts"):
        loader.load(remote.repo_id)
    result = published(world, fields | {"replace": True})
    assert ("remove", "file", script) in told(result)
    assert column(loader, remote.repo_id, None, "train", "a") == [1]


@pytest.mark.parametrize("data_dir", ["en", "./en/", "lang/en"])
def test_a_config_by_folder_is_deleted_with_its_files(world: FaultWorld, loader: Loader, data_dir: str) -> None:
    folder = data_dir.removeprefix("./").strip("/")
    card = f"---\nconfigs:\n- config_name: fr\n  data_dir: fr\n- config_name: en\n  data_dir: {data_dir}\n---\n"
    files = {f"{folder}/deep/a.parquet": parquet(a=[2]), f"{folder}/notes.txt": b"x", "fr/a.parquet": parquet(a=[1])}
    remote = foreign(world, files, card)
    gone = {"hf_id": remote.repo_id, "subset": "en", "reason": "personal data", "target": "hub"}
    path = world.request("remove", "gone", gone)
    (shown,) = world.quick("plan", path, "--json").json["plans"]
    assert (shown["rows"], shown["stored_bytes"]) == (1, sum(len(files[p]) for p in files if p.startswith(folder)))
    world.quick("remove", path).ok()
    assert [each for each in remote.files if each.startswith(folder)] == []
    assert column(loader, remote.repo_id, "fr", "train", "a") == [1]


# -- appending -------------------------------------------------------------------------------------------------------


def test_rows_are_appended_as_new_shards(world: FaultWorld, loader: Loader) -> None:
    repo = world.new_id()
    days = [
        write(world, f"day{n}.parquet", day=[f"2026-01-0{n + 1}"] * 40, n=list(range(n * 40, n * 40 + 40)))
        for n in range(3)
    ]
    table = {"timestamp_column": "day", "distinct": {"days": "day"}, "repo_id": repo, "append": True}
    sizes = []
    for day in days:
        world.hub.clear_log()
        result = published(world, table | {"path": day})
        sizes.append((sent_bytes(world.hub), result["sent_bytes"]))
    assert max(size for size, _ in sizes) < 2 * min(size for size, _ in sizes), "no shard is sent twice"
    assert all(size == told_size for size, told_size in sizes)
    assert column(loader, repo, None, "train", "n") == list(range(120))
    remote = Remote(world.hub, repo)
    assert sorted(path for path in remote.files if path.endswith(".parquet")) == [
        f"data/train-{n:05}-of-00003.parquet" for n in range(3)
    ]
    entry = remote.table("default")
    assert (entry["row_count"], entry["date_range"]) == (120, {"start": "2026-01-01", "end": "2026-01-03"})
    assert (remote.spec["days"], entry["missing_cells"]) == (["2026-01-01", "2026-01-02", "2026-01-03"], 0)
    assert remote.spec["version"] == "1.0.0"
    head = remote.head
    for day in days:
        assert publish(world, table | {"path": day}).ok().result["status"] == "unchanged", "run again after a crash"
    assert remote.head == head
    assert planned(world, table | {"path": days[2]})["action"] == "nothing"


def test_rows_are_appended_to_files_of_other_programs(world: FaultWorld, loader: Loader) -> None:
    files = "  - split: train\n    path: ['old/b.parquet', 'old/a.parquet']\n"
    card = f"---\nconfigs:\n- config_name: en\n  data_files:\n{files}---\n"
    remote = foreign(world, {"old/a.parquet": parquet(a=[1]), "old/b.parquet": parquet(a=[2])}, card)
    first = column(loader, remote.repo_id, "en", "train", "a")
    path = write(world, "t.parquet", a=pa.array([3], pa.int8()))
    published(world, {"repo_id": remote.repo_id, "path": path, "config_name": "en", "append": True})
    assert column(loader, remote.repo_id, "en", "train", "a") == [*first, 3]
    world.quick("push", remote.repo_id, write(world, "v.parquet", a=[4]), "--config-name", "en", "--append").ok()
    assert column(loader, remote.repo_id, "en", "train", "a") == [*first, 3, 4]
    other = write(world, "u.parquet", a=["text"])
    done = publish(world, {"repo_id": remote.repo_id, "path": other, "config_name": "en", "append": True})
    assert (done.code, done.result["reason"]) == (4, "mixed_schema")


def test_three_batches_are_three_batches(hub: LocalHub, loader: Loader) -> None:
    connection: dict[str, Any] = {"endpoint": hub.url, "token": CANARIES["HF_TOKEN"]}
    for n in (0, 0, 1):
        upload_batch(pa.record_batch({"n": [n, n]}), "acme/batches", **connection)
    assert column(loader, "acme/batches", None, "train", "n") == [0, 0, 0, 0, 1, 1]
    upload_batch(pa.record_batch({"n": [5]}), "acme/batches", split="test", **connection)
    assert column(loader, "acme/batches", None, "train", "n") == [0, 0, 0, 0, 1, 1]
    assert column(loader, "acme/batches", None, "test", "n") == [5]


# -- stable addresses ------------------------------------------------------------------------------------------------


def test_tables_with_one_shard_have_a_stable_address(world: FaultWorld, loader: Loader) -> None:
    repo = world.new_id()
    fields = {
        "repo_id": repo,
        "layout": "tables",
        "default_config": "prices",
        "tables": [
            {"name": "prices", "path": write(world, "p.parquet", t=[1, 2], close=[1.5, 2.5])},
            {"name": "names", "splits": {"train": write(world, "n.parquet", s=["a"]), "test": "n.parquet"}},
        ],
    }
    published(world, fields)
    remote = Remote(world.hub, repo)
    assert sorted(path for path in remote.files if path.endswith(".parquet")) == [
        "data/names/test-00000-of-00001.parquet",
        "data/names/train-00000-of-00001.parquet",
        "data/prices.parquet",
    ]
    assert remote.table("prices")["splits"]["train"]["path"] == "data/prices.parquet"
    assert f"hf://datasets/{repo}/data/prices.parquet" in remote.card
    assert column(loader, repo, None, "train", "t") == [1, 2]
    assert column(loader, repo, "names", "test", "s") == ["a"]
    write(world, "p.parquet", t=[3])
    result = published(world, fields)
    assert ("remove", "column", "prices.close") in told(result)
    assert {
        "data/v1/prices.parquet",
        "data/v1/spec.json",
        "data/v1/names/test-00000-of-00001.parquet",
    } <= remote.files.keys()
    assert column(loader, repo, None, "train", "t") == [3]
    earlier = loader.load("parquet", files=f"hf://datasets/{repo}/data/v1/prices.parquet")
    assert earlier.rows[0] == {"t": 1, "close": 1.5}
    assert planned(world, fields)["action"] == "nothing"
    published(world, fields | {"layout": "shards"})
    assert "data/prices.parquet" not in remote.files
    assert column(loader, repo, "prices", "train", "t") == [3]
    assert column(loader, repo, "names", "test", "s") == ["a"]


# -- from storage ----------------------------------------------------------------------------------------------------

SOURCE_CARD = """---
license: {licence}
---
# Speech

## Dataset Structure

Words.

### Citation Information

```bibtex
@misc{{acme, title = {{Speech}}}}
```

## Contributions
"""


def downloaded(world: FaultWorld, licence: str = "cc-by-4.0", **access: Any) -> tuple[str, str]:
    """A dataset with classes that was downloaded to storage: its source, and its name in storage."""
    hf_id = world.new_id()
    world.hub.add_dataset(hf_id, **access)
    world.hub.grant(hf_id, "alice")
    files = {"data/train-00000-of-00001.parquet": parquet(FEATURES, a=[1, 2], y=[0, 1])}
    world.hub.commit(hf_id, files | {"README.md": SOURCE_CARD.format(licence=licence).encode()})
    return hf_id, world.sync(world.add(hf_id)).ok().result["name"]


@pytest.mark.parametrize(("licence", "given"), [("cc-by-4.0", None), ("acme-terms", None), ("cc-by-4.0", "mit")])
def test_a_stored_dataset_brings_what_is_known_of_its_source(
    world: FaultWorld, loader: Loader, licence: str, given: str | None
) -> None:
    hf_id, name = downloaded(world, licence)
    fields: dict[str, Any] = {"repo_id": world.new_id(), "from_storage": name}
    fields |= {"card": {"license": given}} if given else {}
    published(world, fields)
    remote = Remote(world.hub, fields["repo_id"])
    front = yaml.safe_load(remote.card.split("---\n")[1])
    assert front["license"] == (given or ("cc-by-4.0" if licence == "cc-by-4.0" else "other"))
    assert front.get("license_name") == ("acme-terms" if licence == "acme-terms" else None)
    assert f"`{hf_id}`" in remote.card
    assert world.hub.repository(hf_id).resolve("main").sha[:12] in remote.card
    assert "@misc{acme, title = {Speech}}" in remote.card
    assert loader.load(fields["repo_id"]).features["y"] == FEATURES["y"]
    assert planned(world, fields)["action"] == "nothing"


@pytest.mark.parametrize("access", [{"private": True}, {"gated": True}], ids=["private", "gated"])
def test_data_of_a_restricted_source_is_not_made_public(world: FaultWorld, access: dict[str, bool]) -> None:
    _, name = downloaded(world, **access)
    repo = world.new_id()
    shown = planned(world, {"repo_id": repo, "from_storage": name})
    assert shown["private"] is True
    published(world, {"repo_id": repo, "from_storage": name})
    assert world.hub.repository(repo).private
    public = world.new_id()
    world.hub.add_dataset(public)
    request = {"repo_id": public, "from_storage": name}
    assert [each["level"] for each in planned(world, request)["findings"]] == ["error"]
    done = publish(world, request)
    assert (done.code, done.result["reason"]) == (4, "private_source")
    assert not Remote(world.hub, public).files
    published(world, request | {"private": False})
    opened = world.new_id()
    world.quick("push", opened, "--from-storage", name, "--public").ok()
    assert not world.hub.repository(opened).private
