"""Publishing with the real clients: loaded data equals the sources, uploads are not repeated, foreign work is kept."""

from __future__ import annotations

import csv
import json
import random
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import jsonschema
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from localhub import LocalHub
from tests.conftest import CANARIES, ROOT
from tests.support.faults import FaultWorld
from tests.support.publishing import (
    Loader,
    Remote,
    plan,
    publish,
    published,
    sent_bytes,
    warm_worlds,
    writable_hub,
)
from tests.support.world import audio_cell, clip, sound_file

START = datetime(2026, 11, 1, tzinfo=UTC)
LABELS = {"_type": "ClassLabel", "names": ["bid", "ask"]}


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


def quotes(rows: int = 100, first: int = 0) -> pa.Table:
    """A table with times, labels, nested values, nulls, decimals, long integers."""
    numbers = range(first, first + rows)
    columns = {
        "timestamp": pa.array([START + timedelta(minutes=n) for n in numbers], pa.timestamp("us", "UTC")),
        "symbol": pa.array([f"S{n % 7}" for n in numbers]),
        "side": pa.array([n % 2 for n in numbers], pa.int64()),
        "price": pa.array([n / 8 if n % 10 else None for n in numbers], pa.float64()),
        "amount": pa.array([Decimal(n) / 100 for n in numbers], pa.decimal128(12, 2)),
        "id": pa.array([2**60 + n for n in numbers], pa.int64()),
        "levels": pa.array([[{"price": n + 0.5, "size": n}] * (n % 3) for n in numbers]),
        "venue": pa.array([{"name": "x", "tags": ["a", None]} for _ in numbers]),
        "blob": pa.array([bytes([n % 256]) * (n % 5) for n in numbers], pa.binary()),
    }
    info = {"info": {"features": {"side": LABELS}}}
    return pa.table(columns).replace_schema_metadata({b"huggingface": json.dumps(info).encode()})


def write(world: FaultWorld, path: str, table: pa.Table, **options: Any) -> Path:
    """A parquet file in the checkout."""
    file = world.folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, file, **options)
    return file


def trades(world: FaultWorld, name: str, rows: int = 40) -> dict[str, Any]:
    """A request of one small table."""
    write(world, "data/trades.parquet", pa.table({"n": range(rows), "text": [f"row {n}" for n in range(rows)]}))
    return {"repo_id": name, "path": "data/trades.parquet"}


# -- what goes in comes out ------------------------------------------------------------------------------------------


def rows_of_text(rows: int) -> list[dict[str, Any]]:
    """Rows that CSV and JSON can say."""
    return [{"n": n, "ratio": n / 4, "name": f'a, "{n}"\nb', "good": n % 3 == 0} for n in range(rows)]


def everything(world: FaultWorld) -> list[dict[str, Any]]:
    """Tables in every format; quotes are split in three."""
    table = quotes()
    for split, (start, rows) in {"train": (0, 60), "validation": (60, 30), "test": (90, 10)}.items():
        write(world, f"data/quotes/{split}.parquet", table.slice(start, rows), row_group_size=13)
    rows = rows_of_text(23)
    (world.folder / "data/text").mkdir()
    with (world.folder / "data/text/a.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({**row, "good": str(row["good"]).lower()} for row in rows)
    (world.folder / "data/text/a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pa.OSFile(str(world.folder / "data/quotes.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as out:
        out.write_table(table, max_chunksize=17)
    folder = world.folder / "data/voices"
    folder.mkdir()
    names = [f"{n:02}.wav" for n in range(9)]
    for n, name in enumerate(names):
        (folder / name).write_bytes(sound_file(clip(n, 0.05, 8_000), 8_000))
    lines = ({"file_name": name, "text": f"voice {n}"} for n, name in enumerate(names))
    (folder / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    splits = {split: f"data/quotes/{split}.parquet" for split in ("train", "validation", "test")}
    return [
        {"name": "quotes", "splits": splits, "timestamp_column": "timestamp", "distinct": {"symbols": "symbol"}},
        {"name": "csv", "path": "data/text/a.csv"},
        {"name": "jsonl", "path": "data/text/*.jsonl"},
        {"name": "arrow", "path": "data/quotes.arrow"},
        {"name": "voices", "path": "data/voices"},
    ]


@pytest.mark.parametrize(("shards", "no_xet"), [(1, "1"), (7, "0")], ids=["1 shard, LFS", "7 shards, Xet"])
def test_every_format_comes_back_as_it_was(world: FaultWorld, loader: Loader, shards: int, no_xet: str) -> None:
    tables, repo_id = everything(world), world.new_id()
    request = {"repo_id": repo_id, "tables": tables, "num_shards": shards, "card": {"license": "mit"}}
    path = world.request("publish", "one", request)
    result = world.run("publish", path, "--json", HF_HUB_DISABLE_XET=no_xet).ok().result
    assert result["message"] == f"Published 5 tables to {repo_id}"
    assert result["location"] == f"{world.hub.url}/datasets/{repo_id}"
    assert bool(world.hub.requests(route="xet_xorb")) == (no_xet == "0")

    remote, table = Remote(world.hub, repo_id), quotes()
    assert remote.commits() == ["Upload via hugflow"]
    wanted = {("quotes", "train"): (0, 60), ("quotes", "validation"): (60, 30), ("quotes", "test"): (90, 10)}
    wanted[("arrow", "train")] = (0, 100)
    counts: dict[str, int] = {}
    for (config, split), (start, rows) in wanted.items():
        loaded = loader.load(repo_id, config, split)
        assert loaded.rows == table.slice(start, rows).to_pylist()
        assert loaded.features["side"] == LABELS
        assert loaded.features["timestamp"] == {"dtype": "timestamp[us, tz=UTC]", "_type": "Value"}
        assert loaded.table.schema.field("amount").type == pa.decimal128(12, 2)
        counts[config] = counts.get(config, 0) + rows
    for config in ("csv", "jsonl"):
        loaded = loader.load(repo_id, config)
        assert loaded.rows == rows_of_text(23)
        counts[config] = 23
    voices = loader.load(repo_id, "voices")
    assert voices.features["audio"]["_type"] == "Audio"
    assert [row["text"] for row in voices.rows] == [f"voice {n}" for n in range(9)]
    original = [(world.folder / f"data/voices/{n:02}.wav").read_bytes() for n in range(9)]
    assert [row["audio"]["bytes"] for row in voices.rows] == original
    counts["voices"] = 9

    # spec.json, the card (which `load_dataset` has checked against the data) and the data agree
    spec = remote.spec
    assert {entry["name"]: entry["row_count"] for entry in spec["tables"]} == counts
    assert sum(counts.values()) == result["rows_done"] == result["rows_total"]
    entry = remote.table("quotes")
    assert {split: each["row_count"] for split, each in entry["splits"].items()} == {
        "train": 60,
        "validation": 30,
        "test": 10,
    }
    assert entry["date_range"] == {"start": "2026-11-01", "end": "2026-11-01"}
    assert entry["time_range"] == {"start": "2026-11-01T00:00:00Z", "end": "2026-11-01T01:39:00Z"}
    assert (spec["symbols_count"], spec["symbols"]) == (7, [f"S{n}" for n in range(7)])
    quotes_files = [path for path in remote.files if path.startswith("quotes/train-")]
    assert quotes_files == [f"quotes/train-{n:05}-of-{shards:05}.parquet" for n in range(shards)]
    tree = remote.repository.resolve("main").tree.files
    sizes = {name: sum(blob.size for path, blob in tree.items() if path.startswith(f"{name}/")) for name in counts}
    assert {entry["name"]: entry["size_bytes"] for entry in spec["tables"]} == sizes
    assert sum(sizes.values()) == result["size_bytes"]
    # two tables have the same rows: by LFS, the Hub already has the second of two equal files
    different = {remote.read(path) for path in tree if path.endswith(".parquet")}
    assert result["sent_bytes"] == (sum(map(len, different)) if no_xet == "1" else result["size_bytes"])


def test_spec_json_says_what_duckdb_finds_in_the_published_files(world: FaultWorld, tmp_path: Path) -> None:
    """Sources whose footers tell all (parquet) and none of it (JSON), with missing values."""
    table = quotes(240).select(["timestamp", "symbol", "price"])
    write(world, "data/parquet/train.parquet", table.slice(0, 200), row_group_size=60)
    write(world, "data/parquet/test.parquet", table.slice(200))
    lines = [{"day": None if n % 9 == 4 else f"2025-03-{n % 28 + 1:02}", "lot": f"L{n % 31}"} for n in range(90)]
    (world.folder / "data/lots.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    splits = {split: f"data/parquet/{split}.parquet" for split in ("train", "test")}
    tables = [
        {"name": "prices", "splits": splits, "timestamp_column": "timestamp", "distinct": {"symbols": "symbol"}},
        {"name": "lots", "path": "data/lots.jsonl", "timestamp_column": "day", "distinct": {"lots": "lot"}},
    ]
    request = {"repo_id": world.new_id(), "tables": tables, "num_shards": 3}
    published(world, request)
    remote = Remote(world.hub, request["repo_id"])
    spec, cells, gaps = remote.spec, 0, 0
    for name, time, values, called in (("prices", "timestamp", "symbol", "symbols"), ("lots", "day", "lot", "lots")):
        paths = [path for path in remote.files if path.startswith(f"{name}/")]
        for number, path in enumerate(paths):
            (tmp_path / f"{name}-{number}.parquet").write_bytes(remote.read(path))
        files = f"read_parquet('{tmp_path}/{name}-*.parquet')"

        def ask(query: str, source: str = files) -> Any:
            return duckdb.execute(f"SELECT {query} FROM {source}").fetchall()

        entry = remote.table(name)
        ((rows, first, last, count),) = ask(
            f"count(*), epoch(min({time})), epoch(max({time})), count(DISTINCT {values})"
        )
        assert entry["row_count"] == rows
        form = "%Y-%m-%dT%H:%M:%SZ" if name == "prices" else "%Y-%m-%d"
        ends = [datetime.fromtimestamp(each, UTC).strftime(form) for each in (first, last)]
        times = entry["time_range"] if name == "prices" else entry["date_range"]
        assert [times["start"], times["end"]] == ends
        assert list(entry["date_range"].values()) == [each[:10] for each in ends]
        assert spec[f"{called}_count"] == count
        assert spec[called] == sorted(value for (value,) in ask(f"DISTINCT {values}"))
        assert entry["size_bytes"] == sum(len(remote.read(path)) for path in paths)
        columns = [column["name"] for column in entry["columns"]]
        ((*found,),) = ask(", ".join(f"count(*) - count({column})" for column in columns))
        cells, gaps = cells + rows * len(columns), gaps + sum(found)
    assert gaps > 0
    assert spec["data_quality"]["missing_data_pct"] == pytest.approx(100 * gaps / cells, rel=1e-5)  # six digits


def test_spec_json_keeps_its_schema(world: FaultWorld) -> None:
    request = trades(world, world.new_id())
    published(world, request)
    schema = json.loads((ROOT / "schemas" / "spec.schema.json").read_text())
    jsonschema.validate(Remote(world.hub, request["repo_id"]).spec, schema)


def test_a_dataset_in_storage_is_published_with_its_audio(world: FaultWorld, loader: Loader) -> None:
    sounds = [sound_file(clip(n, 0.2), kind="MP3", subtype="MPEG_LAYER_III") for n in range(3)]
    rows = [{"audio": audio_cell(sound, f"{n}.mp3"), "text": f"row {n}", "n": n} for n, sound in enumerate(sounds)]
    stored, repo_id = world.downloaded(rows), world.new_id()
    published(world, {"repo_id": repo_id, "from_storage": stored.name})
    loaded = loader.load(repo_id)
    assert loaded.features["audio"]["_type"] == "Audio"
    assert [row["audio"]["bytes"] for row in loaded.rows] == [stored.mp3(row) for row in stored.rows().values()]
    assert [(row["text"], row["n"]) for row in loaded.rows] == [(f"row {n}", n) for n in range(3)]
    # the same by hand
    again = world.quick("push", repo_id, "--from-storage", stored.name, "--json").ok().result
    assert (again["status"], again["sent_bytes"]) == ("unchanged", 0)


# -- again -----------------------------------------------------------------------------------------------------------


def test_without_a_change_nothing_is_sent_and_nothing_committed(world: FaultWorld) -> None:
    tables, repo_id = everything(world), world.new_id()
    request = {"repo_id": repo_id, "tables": tables, "num_shards": 2}
    published(world, request)
    remote = Remote(world.hub, repo_id)
    before = remote.head
    for forget in (False, True):
        if forget:  # another machine: the files are new, and nobody remembers anything
            shutil.rmtree(world.state)
            shutil.copytree(world.folder / "data", world.folder / "copy")
            shutil.rmtree(world.folder / "data")
            (world.folder / "copy").rename(world.folder / "data")
        world.hub.clear_log()
        result = publish(world, request).ok().result
        assert (result["status"], result["sent_bytes"], result["new_rows"]) == ("unchanged", 0, 0)
        assert world.hub.requests(route="commit") == []
        assert sent_bytes(world.hub) == 0
        assert (result["sha"], remote.head) == (before, before)
    described = plan(world, request, "--detailed-exitcode")
    assert (described.code, described.json["plans"][0]["action"]) == (0, "nothing")


def test_one_changed_table_is_one_commit_with_only_that_table(world: FaultWorld, loader: Loader) -> None:
    repo_id = world.new_id()
    write(world, "data/one.parquet", quotes(70))
    write(world, "data/two.parquet", pa.table({"n": range(50)}))
    tables = [{"name": "one", "path": "data/one.parquet"}, {"name": "two", "path": "data/two.parquet"}]
    request = {"repo_id": repo_id, "tables": tables, "num_shards": 7, "description": "Two tables."}
    published(world, request)
    remote = Remote(world.hub, repo_id)
    # people edit the card
    card = remote.card.replace("Two tables.", "Two tables, *looked after* by us.") + "\n## Our own chapter\n\nKept.\n"
    card = card.replace("---\n", "---\n# ours\nannotations_creators: [expert-generated]\n", 1)
    world.hub.commit(repo_id, {"README.md": card.encode(), "notes.txt": b"ours"})
    before = remote.files
    first = remote.spec

    world.hub.clear_log()
    write(world, "data/two.parquet", pa.table({"n": range(60)}))
    result = published(world, {**request, "num_shards": None, "max_shard_size": "1MB"} | {"tables": tables[1:]})
    assert remote.commits()[1:] == ["commit", "Upload via hugflow"]
    assert result["new_rows"] == 60
    assert len(world.hub.requests(route="commit")) == 1
    after = remote.files
    assert {path: sha for path, sha in after.items() if path.startswith(("one/", "notes"))} == {
        path: sha for path, sha in before.items() if path.startswith(("one/", "notes"))
    }
    assert [path for path in after if path.startswith("two/")] == ["two/train-00000-of-00001.parquet"]
    assert sent_bytes(world.hub) < 2 * len(world.hub.read(repo_id, "two/train-00000-of-00001.parquet"))
    new = remote.card
    assert "Two tables, *looked after* by us." in new
    assert "## Our own chapter\n\nKept." in new
    assert "# ours\nannotations_creators: [expert-generated]\n" in new
    spec = remote.spec
    assert [entry["name"] for entry in spec["tables"]] == ["one", "two"]
    assert spec["tables"][0] == first["tables"][0]
    assert (remote.table("two")["row_count"], spec["version"]) == (60, first["version"])
    assert len(loader.load(repo_id, "one").rows) == 70
    assert len(loader.load(repo_id, "two").rows) == 60


def test_only_bytes_that_the_hub_does_not_have_count_as_sent(world: FaultWorld) -> None:
    """A file of an earlier commit is uploaded by its hash alone."""
    repo_id = world.new_id()
    write(world, "data/back.parquet", pa.table({"text": [f"back {n}" for n in range(500)]}))
    request = {"repo_id": repo_id, "path": "data/back.parquet"}
    first = published(world, request)
    assert first["sent_bytes"] == first["size_bytes"] > 0
    (shard,) = [path for path in Remote(world.hub, repo_id).files if path.endswith(".parquet")]
    content = world.hub.read(repo_id, shard)
    world.hub.commit(repo_id, dict.fromkeys(world.hub.paths(repo_id)))
    world.hub.clear_log()
    shutil.rmtree(world.state)  # it knows that the Hub has the file
    second = published(world, request)
    assert world.hub.read(repo_id, shard) == content
    assert second["sent_bytes"] == 0
    assert sent_bytes(world.hub) == 0


def test_a_table_that_grew_sends_only_what_is_new(world: FaultWorld) -> None:
    repo_id = world.new_id()
    noise = [random.Random(n).randbytes(200).hex() for n in range(12_000)]
    request = {"repo_id": repo_id, "path": "data/grows.parquet", "max_shard_size": "1MB"}
    write(world, "data/grows.parquet", pa.table({"text": noise[:10_000]}), compression="none")
    first = published(world, request)
    remote = Remote(world.hub, repo_id)
    shards = len(remote.files) - 2
    assert shards > 2
    write(world, "data/grows.parquet", pa.table({"text": noise}), compression="none")
    world.hub.clear_log()
    second = published(world, request)
    assert 0 < second["sent_bytes"] < first["sent_bytes"] / 2
    assert remote.table("default")["row_count"] == 12_000


# -- what is refused -------------------------------------------------------------------------------------------------


def test_a_broken_rule_publishes_nothing(world: FaultWorld) -> None:
    repo_id = world.new_id()
    write(world, "data/good.parquet", pa.table({"n": [1, 2]}))
    bad = pa.table({"n": [1, 1, None, 9], "m": [5, 5, 5, 5]})
    write(world, "data/bad.parquet", bad)
    write(world, "data/empty.parquet", pa.table({"n": pa.array([], pa.int64())}))
    rules = {"not_null": ["n"], "unique": ["n"], "range": {"n": [0, 5], "m": [6, None]}}
    tables = [
        {"name": "good", "path": "data/good.parquet"},
        {"name": "bad", "path": "data/bad.parquet", "quality": rules},
        {"name": "empty", "path": "data/empty.parquet"},
    ]
    request = {"repo_id": repo_id, "tables": tables}
    result = publish(world, request).result
    assert (result["status"], result["exit_code"], result["reason"]) == ("invalid", 4, "quality")
    for sentence in (
        "`bad` has 1 missing value in `n`",
        "`bad` has 1 row that repeats the `n` of another row",
        "`bad` has 1 value in `n` that is not",
        "`bad` has 4 values in `m` that are not",
        "`empty` has no rows",
    ):
        assert sentence in result["error"], result["error"]
    assert not Remote(world.hub, repo_id).exists
    assert [record.method for record in world.hub.requests() if record.method in ("POST", "PUT")] == []

    found = plan(world, request).json["plans"][0]
    assert [finding["field"] for finding in found["findings"] if finding["level"] == "error"] == [
        "tables[1].quality.not_null",
        "tables[1].quality.unique",
        "tables[1].quality.range.n",
        "tables[1].quality.range.m",
        "tables[2].quality.allow_empty",
    ]
    tables[1]["quality"] = {}
    tables[2]["quality"] = {"allow_empty": True}
    published(world, request)
    assert Remote(world.hub, repo_id).table("empty")["row_count"] == 0


def test_a_card_that_the_hub_would_refuse_is_found_before_anything_is_sent(world: FaultWorld) -> None:
    request = trades(world, world.new_id())
    request["card"] = {"license": "apache2", "task_categories": ["automatic-speech-recogntion"]}
    done = publish(world, request)
    (problem,) = done.json["error"]["problems"]
    assert (done.code, problem["field"], problem["line"]) == (4, "card.license", 3)
    assert "apache-2.0" in problem["message"]
    assert not Remote(world.hub, request["repo_id"]).exists
    assert world.hub.requests() == []
    assert world.quick("validate", "requests/publish/one.yaml").code == 4
    request["card"]["license"] = "apache-2.0"
    levels = {finding["field"]: finding["level"] for finding in plan(world, request).json["plans"][0]["findings"]}
    assert levels == {"card.task_categories": "warning"}


def test_a_wrong_card_of_other_people_is_found_before_anything_is_sent(world: FaultWorld) -> None:
    request = trades(world, world.new_id())
    world.hub.add_dataset(request["repo_id"])
    world.hub.commit(request["repo_id"], {"README.md": b"---\nlicense: [unclosed\n---\n# Ours\n"})
    world.hub.clear_log()
    result = publish(world, request).result
    assert (result["exit_code"], result["reason"]) == (4, "invalid_card")
    assert sent_bytes(world.hub) == 0
    assert world.hub.requests(route="commit") == []


@pytest.mark.parametrize(
    ("token", "code", "reason"),
    [("", 4, "authentication"), ("hf_wrong", 4, "bad_token"), ("hf_reader", 4, "forbidden")],
)
def test_without_the_right_to_write(world: FaultWorld, token: str, code: int, reason: str) -> None:
    world.hub.add_user("reader", token="hf_reader")
    request = trades(world, world.new_id())
    result = publish(world, request, HF_TOKEN=token)
    found = result.json.get("error") or result.result
    assert (result.code, found["reason"]) == (code, reason), result.out
    assert not Remote(world.hub, request["repo_id"]).exists


def test_what_is_no_source(world: FaultWorld) -> None:
    (world.folder / "data/empty").mkdir(parents=True)
    done = publish(world, {"repo_id": "acme/x", "path": "data/empty"})
    assert (done.code, done.json["error"]["reason"]) == (4, "no_data")
    assert "No parquet files found to publish" in done.json["error"]["problem"]
    done = world.quick("publish", world.add("acme/x"), "--json")
    assert done.code == 2
    assert world.quick("push", "acme/x", "--json").code == 2
    assert world.quick("push", "acme/x", "data/empty", "--from-storage", "y", "--json").code == 2
    assert world.quick("push", "no-slash", "data/empty", "--json").code == 4


# -- where it goes ---------------------------------------------------------------------------------------------------


def test_branch_tag_and_visibility(world: FaultWorld, loader: Loader) -> None:
    request = trades(world, world.new_id())
    request |= {"private": True, "revision": "next", "tag": "v1.0", "commit_message": "The first", "split": "dev"}
    request["commit_description"] = "With all of it."
    assert plan(world, request).ok().json["plans"][0] | {"findings": []} == {
        "kind": "publish",
        "action": "create",
        "repo_id": request["repo_id"],
    } | plan(world, request).json["plans"][0] | {"findings": []}
    result = published(world, request)
    remote = Remote(world.hub, request["repo_id"], "next")
    assert remote.repository.private
    assert remote.commits() == ["The first"]
    assert remote.repository.resolve("v1.0").sha == remote.head == result["sha"]
    assert list(remote.files) == ["README.md", "data/dev-00000-of-00001.parquet", "spec.json"]
    assert Remote(world.hub, request["repo_id"]).files == {}
    # again: the tag stands where it should, and nothing is to do
    assert publish(world, request).ok().result["status"] == "unchanged"
    # other rows under the same tag: refused before anything is sent
    world.hub.clear_log()
    trades(world, request["repo_id"], rows=41)
    result = publish(world, request).result
    assert (result["reason"], result["exit_code"]) == ("tag_exists", 4)
    assert sent_bytes(world.hub) == 0
    assert remote.commits() == ["The first"]


def test_a_pull_request_on_the_hub(world: FaultWorld) -> None:
    request = trades(world, world.new_id()) | {"create_pr": True}
    result = published(world, request)
    remote = Remote(world.hub, request["repo_id"])
    (pull,) = remote.repository.pulls.values()
    assert result["location"].endswith(f"/datasets/{request['repo_id']}/discussions/{pull.num}")
    assert (pull.title, pull.status, remote.files) == ("Upload via hugflow", "open", {})
    assert "data/train-00000-of-00001.parquet" in Remote(world.hub, request["repo_id"], pull.ref).files
    # again, with a clock that went on: the pull request that is open says it already
    assert publish(world, request).ok().result["location"] == result["location"]
    assert len(remote.repository.pulls) == 1
    trades(world, request["repo_id"], rows=41)
    published(world, request)
    assert len(remote.repository.pulls) == 2


def test_push_takes_paths_from_anywhere(world: FaultWorld, loader: Loader, tmp_path: Path) -> None:
    repo_id = world.new_id()
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "a.csv").write_text("n\n1\n2\n")
    (folder / "b.csv").write_text("n\n3\n")
    done = world.quick("push", repo_id, str(folder / "a.csv"), "--split", "dev", "--config-name", "small", "--private")
    assert "Published 1 table to" in done.ok().out
    assert f"{world.hub.url}/datasets/{repo_id}" in done.out
    world.quick("push", repo_id, f"{folder}/*.csv", "--num-shards", "2", "--message", "All", "--tag", "t").ok()
    remote = Remote(world.hub, repo_id)
    assert remote.commits() == ["Upload via hugflow", "All"]
    assert loader.load is not None
    assert [path for path in remote.files if path.endswith(".parquet")] == [
        "data/train-00000-of-00002.parquet",
        "data/train-00001-of-00002.parquet",
        "small/dev-00000-of-00001.parquet",
    ]


# -- deleting a config -----------------------------------------------------------------------------------------------


def test_a_config_is_deleted_in_one_commit(world: FaultWorld, loader: Loader) -> None:
    repo_id = world.new_id()
    for name in ("one", "two"):
        write(world, f"data/{name}.parquet", pa.table({"n": range(10)}))
    tables = [{"name": name, "path": f"data/{name}.parquet"} for name in ("one", "two")]
    published(world, {"repo_id": repo_id, "tables": tables})
    remote = Remote(world.hub, repo_id)
    world.hub.commit(repo_id, {"two/notes.txt": b"ours"})
    request = world.request("remove", "two", {"hf_id": repo_id, "reason": "The end.", "subset": "two", "target": "hub"})
    described = world.quick("plan", request, "--json").ok().json["plans"][0]
    assert (described["names"], described["rows"]) == ([f"{repo_id}, config two"], 10)
    result = world.quick("remove", request, "--json").ok().result
    assert (result["status"], result["message"]) == ("removed", f"Deleted the config two of {repo_id} on the Hub")
    assert remote.commits()[-1] == "Delete the config two"
    assert remote.repository.resolve("main").message == "The end."
    assert list(remote.files) == ["README.md", "one/train-00000-of-00001.parquet", "spec.json", "two/notes.txt"]
    assert [entry["name"] for entry in remote.spec["tables"]] == ["one"]
    assert "two" not in remote.card
    assert len(loader.load(repo_id, "one").rows) == 10
    done = world.quick("remove", request, "--json")
    assert (done.code, done.json["error"]["reason"]) == (4, "not_found")
    assert "`one`" in done.json["error"]["problem"]
    missing = {"hf_id": "acme/none-such", "reason": "x", "subset": "two", "target": "hub"}
    assert world.quick("remove", world.request("remove", "x", missing), "--json").code == 4


def test_a_config_of_other_tools_is_deleted_with_the_files_that_its_card_names(world: FaultWorld) -> None:
    repo_id = world.new_id()
    world.hub.add_dataset(repo_id)
    card = """---
configs:
- config_name: a
  data_files: [{split: train, path: [raw/a-*.csv, shared/*]}]
- config_name: b
  data_files: {train: raw/b.csv, test: shared/*}
---
"""
    files = {"README.md": card.encode()} | dict.fromkeys(("raw/a-1.csv", "raw/b.csv", "shared/x.csv"), b"n\n1\n")
    world.hub.commit(repo_id, files)
    request = {"hf_id": repo_id, "reason": "x", "subset": "a", "target": "hub"}
    world.quick("remove", world.request("remove", "a", request)).ok()
    remote = Remote(world.hub, repo_id)
    assert list(remote.files) == ["README.md", "raw/b.csv", "shared/x.csv"]
    assert "config_name: b" in remote.card
    assert "config_name: a" not in remote.card


# -- two at a time, and interrupted ones -----------------------------------------------------------------------------


def test_secrets_stay_where_they_are(world: FaultWorld) -> None:
    request = trades(world, world.new_id())
    done = publish(world, request, "--verbose").ok()
    texts = [path.read_text(errors="replace") for path in world.state.rglob("*") if path.is_file()]
    assert texts
    assert CANARIES["HF_TOKEN"] not in "\n".join([*texts, done.out, done.err])
    assert [path.name for path in (world.state / "publish").iterdir() if path.suffix != ".json"] == []
