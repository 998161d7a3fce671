"""The Python API: tables from any kind of rows, files, cards, deletion, typed errors."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import hugflow
from hugflow import (
    DatasetCard,
    Published,
    TableData,
    check_freshness,
    delete_from_hub,
    publish_request,
    publish_table,
    publish_tables,
    push_to_hub,
    spec_changed,
    upload_batch,
    upload_file,
)
from hugflow.errors import (
    AuthenticationError,
    Bug,
    HugflowError,
    InvalidRequest,
    Locked,
    NotFoundError,
    QuotaExceeded,
    RateLimited,
    UnsupportedData,
)
from hugflow.model.events import Event, Progress
from hugflow.model.publish_spec import Card, Quality
from hugflow.model.specs import repository_name
from hugflow.storage.state import StateDir
from localhub import Fault, LocalHub, Settings
from tests.conftest import CANARIES
from tests.support.publishing import Loader, Remote, sent_bytes, writable_hub

ROWS = pa.table({"n": [1, 2, 3], "text": ["a", "b", None]})


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


@dataclass
class Api:
    """A repository of its own, and how the calls say where it is."""

    hub: LocalHub
    repo_id: str

    @property
    def at(self) -> dict[str, Any]:
        return {"endpoint": self.hub.url, "token": CANARIES["HF_TOKEN"]}

    @property
    def remote(self) -> Remote:
        return Remote(self.hub, self.repo_id)

    def push(self, data: Any, **options: Any) -> Published:
        return push_to_hub(data, self.repo_id, **self.at, **options)


@pytest.fixture
def api(request: pytest.FixtureRequest, hub: LocalHub) -> Iterator[Api]:
    """A repository for each test, which does not exist yet."""
    hub.clear_log()
    name = request.node.name.replace("_", "-").replace("[", "-").rstrip("]").replace(".", "-")[:60]
    yield Api(hub, f"acme/{name.strip('-')}")
    hub.faults.clear()


# -- whatever holds rows ---------------------------------------------------------------------------------------------


def stream() -> pa.RecordBatchReader:
    """Record batches that come only once."""
    return pa.RecordBatchReader.from_batches(ROWS.schema, iter(ROWS.to_batches(max_chunksize=1)))


@pytest.mark.parametrize("kind", ["table", "batch", "stream", "pandas", "file", "folder", "glob"])
def test_data_of_every_kind(api: Api, loader: Loader, tmp_path: Path, kind: str) -> None:
    pq.write_table(ROWS, tmp_path / "rows.parquet")
    data: Any = {
        "table": ROWS,
        "batch": ROWS.to_batches()[0],
        "stream": stream(),
        "pandas": pd.DataFrame(ROWS.to_pylist()),
        "file": str(tmp_path / "rows.parquet"),
        "folder": tmp_path,
        "glob": f"{tmp_path}/*.parquet",
    }[kind]
    published = api.push(data, num_shards=2 if kind == "stream" else None)
    assert loader.load(api.repo_id).rows == ROWS.to_pylist()
    assert published == Published(
        repo_id=api.repo_id,
        url=f"{api.hub.url}/datasets/{api.repo_id}",
        sha=api.remote.head,
        commit_url=f"{api.hub.url}/datasets/{api.repo_id}/commit/{api.remote.head}",
        pr_url=None,
        rows={"default": 3},
        version="1.0.0",
        size_bytes=api.remote.table("default")["size_bytes"],
        sent_bytes=api.remote.table("default")["size_bytes"],
    )
    if kind != "stream":
        again = api.push(data)
        assert (again.commit_url, again.sha, again.sent_bytes) == (None, published.sha, 0)


def test_a_dataset_of_datasets(api: Api, loader: Loader, tmp_path: Path) -> None:
    """In a process of its own: `datasets` is imported by whoever has one."""
    script = """
import sys
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from hugflow import push_to_hub
features = Features({"n": Value("int64"), "label": ClassLabel(names=["no", "yes"])})
parts = {s: Dataset.from_dict({"n": [1, 2], "label": [0, 1]}, features=features) for s in ("train", "test")}
push_to_hub(DatasetDict(parts), sys.argv[1])
print(push_to_hub(parts["train"], sys.argv[1], config_name="alone").version)
push_to_hub(parts["train"].select([1, 0]), sys.argv[1], config_name="turned")
push_to_hub(parts["train"].to_iterable_dataset(), sys.argv[1], config_name="stream")
"""
    environ = {"HF_ENDPOINT": api.hub.url, "HF_TOKEN": CANARIES["HF_TOKEN"], "HF_HOME": str(tmp_path), "PATH": ""}
    command = [sys.executable, "-W", "error::UserWarning", "-c", script, api.repo_id]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout.strip()) == (0, "1.1.0"), done.stderr
    assert "%|" not in done.stderr, "there are progress bars"
    for config, split in (("default", "train"), ("default", "test"), ("alone", "train")):
        loaded = loader.load(api.repo_id, config, split)
        assert loaded.rows == [{"n": 1, "label": 0}, {"n": 2, "label": 1}]
        assert loaded.features["label"] == {"_type": "ClassLabel", "names": ["no", "yes"]}
    assert loader.load(api.repo_id, "stream", "train").rows == loaded.rows
    assert loader.load(api.repo_id, "turned", "train").rows == loaded.rows[::-1]


def test_what_is_no_data(api: Api) -> None:
    for data in (3, [1, 2], {"train": ROWS, "test": "a.parquet"}, object()):
        with pytest.raises(TypeError):
            api.push(data)
    with pytest.raises(TypeError, match="not a record batch"):
        upload_batch(ROWS, api.repo_id, **api.at)  # type: ignore[arg-type]  # that is what is tested
    with pytest.raises(InvalidRequest, match="No parquet files found to publish") as caught:
        api.push("nothing/there.parquet")
    assert caught.value.reason == "no_data"
    with pytest.raises(InvalidRequest, match="num_shards") as caught:
        api.push(ROWS, num_shards=0, revision="a b")
    assert "revision" in caught.value.problem
    assert not api.remote.exists


SHAPES: dict[str, tuple[Any, str]] = {
    "rows": ([{"n": 1}], r"`pa.Table.from_pylist\(rows\)`"),
    "a list": ([1, 2], r"`pa.table"),
    "columns": ({"n": [1, 2]}, r"`pa.table\(columns\)`"),
    "a generator": (iter([]), r"`datasets.IterableDataset.from_generator\(function\)`"),
    "a function": (len, r"`datasets.IterableDataset.from_generator\(function\)`"),
    "an array": (pa.array([1]), r"`pa.table\({'name': column}\)`"),
    "chunks": (pa.chunked_array([[1]]), r"`pa.table\({'name': column}\)`"),
    "a series": (pd.Series([1]), r"`pa.table\({'name': column}\)`"),
    "a series of polars": (pl.Series([1]), r"`pa.table\({'name': column}\)`"),
    "a lazy frame": (pl.LazyFrame({"n": [1]}), r"`frame.collect\(\)`"),
    "numbers": (np.zeros(3), r"`pa.table\({'name': list\(values\)}\)`"),
    "bytes": (b"x", "`upload_file`"),
    "nothing": (None, "Give a table or a path"),
    "no splits": ({}, "a mapping of splits"),
    "paths and tables": ({"train": ROWS, "test": "a.parquet"}, "either all paths, or all tables"),
}


@pytest.mark.parametrize("name", SHAPES, ids=lambda name: name.replace(" ", "-"))
def test_wrong_shapes(api: Api, name: str) -> None:
    data, advice = SHAPES[name]
    with pytest.raises(UnsupportedData, match=advice) as caught:
        api.push(data)
    assert isinstance(caught.value, HugflowError)
    assert isinstance(caught.value, TypeError), "as before this error had a name"
    assert not api.remote.exists


WRONG: dict[str, Callable[[Api], object]] = {
    "mixed objects of pandas": lambda api: api.push(pd.DataFrame({"o": [1, "a"]})),
    "objects of polars": lambda api: api.push(pl.DataFrame({"o": pl.Series([object()], dtype=pl.Object)})),
    "wide integers of polars": lambda api: api.push(pl.DataFrame({"o": pl.Series([1], dtype=pl.Int128)})),
    "a period": lambda api: api.push(pd.DataFrame({"p": pd.period_range("2024", periods=1, freq="D")})),
    "tables that are none": lambda api: publish_tables([ROWS], api.repo_id, **api.at),  # type: ignore[arg-type]  # what is tested
    "a name": lambda api: push_to_hub(ROWS, "no name", **api.at),
    "no name": lambda api: push_to_hub(ROWS, None, **api.at),  # type: ignore[arg-type]  # what is tested
    "an unknown option": lambda api: api.push(ROWS, colour="red"),
    "an unknown column": lambda api: api.push(ROWS, columns={"m": "string"}),
    "an unknown type": lambda api: api.push(ROWS, columns={"n": "number"}),
    "a type that does not fit": lambda api: api.push(ROWS, columns={"text": "int64"}),
    "a file that is not there": lambda api: upload_file("gone.txt", api.repo_id, "a.txt", **api.at),
    "a folder": lambda api: upload_file("/", api.repo_id, "a.txt", **api.at),
    "a table as a file": lambda api: upload_file(ROWS, api.repo_id, "a.txt", **api.at),  # type: ignore[arg-type]  # what is tested
    "a wrong card": lambda api: upload_file(b"---\nlicense: [\n---\n", api.repo_id, "README.md", **api.at),
    "an age": lambda api: check_freshness(api.repo_id, 2, **api.at),  # type: ignore[arg-type]  # what is tested
    "no time": lambda api: spec_changed(api.repo_id, {}, **api.at),
    "another time": lambda api: spec_changed(api.repo_id, 3, **api.at),  # type: ignore[arg-type]  # what is tested
    "a request that is not there": lambda api: publish_request("gone.yaml", **api.at),
    "a split": lambda api: api.push(ROWS, split="a-b"),
    "a split that loads all": lambda api: api.push(ROWS, split="all"),
    "a broken stream": lambda api: api.push(pa.RecordBatchReader.from_batches(ROWS.schema, broken())),
}


def broken() -> Iterator[pa.RecordBatch]:
    """Record batches of a program that fails."""
    yield ROWS.to_batches()[0]
    raise ValueError("the feed is gone")


@pytest.mark.parametrize("name", WRONG, ids=lambda name: name.replace(" ", "-"))
def test_own_errors(api: Api, name: str) -> None:
    with pytest.raises(HugflowError) as caught:
        WRONG[name](api)
    assert not isinstance(caught.value, Bug)
    assert caught.value.fix
    assert not api.remote.exists or not api.remote.files


def test_types_of_columns(api: Api, loader: Loader, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("version,label\n1,b\n2,a\n")
    api.push(tmp_path / "x.csv", columns={"version": "string", "label": {"class_label": ["a", "b"]}})
    loaded = loader.load(api.repo_id)
    assert loaded.rows == [{"version": "1", "label": 1}, {"version": "2", "label": 0}]
    assert loaded.features["label"] == {"_type": "ClassLabel", "names": ["a", "b"]}
    publish_table(ROWS, api.repo_id, "texts", columns={"n": "string"}, **api.at)
    assert [row["n"] for row in loader.load(api.repo_id, "texts").rows] == ["1", "2", "3"]


def test_a_folder_has_the_splits_of_its_files(api: Api, loader: Loader, tmp_path: Path) -> None:
    for split in ("train", "test"):
        pq.write_table(pa.table({"s": [split]}), tmp_path / f"{split}.parquet")
    assert api.push(tmp_path).rows == {"default": 2}
    for split in ("train", "test"):
        assert loader.load(api.repo_id, "default", split).rows == [{"s": split}]
    api.push(tmp_path, config_name="one", split="both")
    assert sorted(row["s"] for row in loader.load(api.repo_id, "one", "both").rows) == ["test", "train"]


def test_polars(api: Api, loader: Loader) -> None:
    frame = pl.DataFrame({"c": pl.Series(["a", "b", None], dtype=pl.Categorical), "n": [1, 2, 3]})
    api.push(frame)
    assert loader.load(api.repo_id).rows == frame.to_dicts()


def rows_on_hub(api: Api, config: str) -> pa.Table:
    """The rows of a config with one shard, by pyarrow."""
    folder = "data" if config == "default" else config
    (path,) = (path for path in api.remote.files if path.startswith(f"{folder}/"))
    return pq.read_table(pa.BufferReader(api.remote.read(path)))


def test_datasets_whose_files_are_paths(api: Api, loader: Loader, tmp_path: Path) -> None:
    """Also streams without known features, and rows whose later types are wider."""
    (tmp_path / "a.wav").write_bytes(b"RIFF sound")
    script = """
import sys
from datasets import Audio, Dataset, Features, Image, IterableDataset, Value
from hugflow import push_to_hub
from hugflow.errors import HugflowError, InvalidRequest
repo, path = sys.argv[1:]
sounds = Dataset.from_dict({"audio": [path, None]}).cast_column("audio", Audio(decode=False))
push_to_hub(sounds, repo)
push_to_hub(sounds.to_iterable_dataset(), repo, config_name="stream")
push_to_hub(sounds, repo, config_name="paths", embed_external_files=False)

def rows():
    yield from ({"n": None, "s": "x"}, {"n": 1, "s": None})
    yield from ({"n": 2.5, "s": "y"} for _ in range(2000))

push_to_hub(IterableDataset.from_generator(rows), repo, config_name="late")
import pyarrow as pa
push_to_hub(pa.table({"audio": [path]}), repo, config_name="named", columns={"audio": "audio"})

def fails():
    yield {"n": 1}
    raise KeyError("feed")

missing = Dataset.from_dict({"audio": [path + ".gone"]}).cast_column("audio", Audio(decode=False))
for bad in (missing, IterableDataset.from_generator(fails)):
    try:
        push_to_hub(bad, repo, config_name="bad")
    except InvalidRequest as error:
        print(error.reason)
"""
    environ = {"HF_ENDPOINT": api.hub.url, "HF_TOKEN": CANARIES["HF_TOKEN"], "HF_HOME": str(tmp_path), "PATH": ""}
    command = [sys.executable, "-c", script, api.repo_id, str(tmp_path / "a.wav")]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout.split()) == (0, ["missing_file", "unreadable"]), done.stderr
    sound = {"bytes": b"RIFF sound", "path": "a.wav"}
    for config in ("default", "stream", "named"):
        table = rows_on_hub(api, config)
        assert table.column("audio").to_pylist()[0] == sound, config
    assert rows_on_hub(api, "paths").column("audio").to_pylist()[0]["bytes"] is None
    assert loader.load(api.repo_id, "late").rows[:3] == [
        {"n": None, "s": "x"},
        {"n": 1.0, "s": None},
        {"n": 2.5, "s": "y"},
    ]


def test_a_record_batch(api: Api, loader: Loader) -> None:
    upload_batch(ROWS.to_batches()[0], api.repo_id, config_name="live", split="now", **api.at)
    assert loader.load(api.repo_id, "live", "now").rows == ROWS.to_pylist()


def test_tables_with_all_that_is_known_of_them(api: Api) -> None:
    prices = TableData(
        {"train": ROWS, "test": ROWS.slice(0, 2)},
        description="Prices.",
        interval="8h",
        distinct={"names": "text"},
        quality=Quality(not_null=("n",)),
    )
    published = publish_tables(
        {"prices": prices, "plain": ROWS},
        api.repo_id,
        description="Two tables.",
        card={"license": "mit", "tags": ["prices"]},
        pipeline_version="7",
        private=True,
        **api.at,
    )
    assert published.rows == {"prices": 5, "plain": 3}
    spec = api.remote.spec
    assert (spec["pipeline_version"], spec["intervals"]["prices"], spec["names"]) == ("7", "8h", ["a", "b"])
    assert api.remote.table("prices")["description"] == "Prices."
    assert api.remote.repository.private
    assert "license: mit" in api.remote.card
    assert "Two tables." in api.remote.card
    one = publish_table(ROWS, api.repo_id, "plain", description="Plain.", card=Card(license="mit"), **api.at)
    assert (one.rows, api.remote.table("plain")["description"]) == ({"plain": 3}, "Plain.")
    assert [entry["name"] for entry in api.remote.spec["tables"]] == ["prices", "plain"]


def test_a_broken_rule_is_an_error(api: Api) -> None:
    with pytest.raises(InvalidRequest, match="`prices` has 1 missing value in `text`") as caught:
        publish_table(ROWS, api.repo_id, "prices", quality={"not_null": ["text"]}, **api.at)
    assert (caught.value.reason, caught.value.field) == ("quality", "tables[0].quality.not_null")
    assert not api.remote.exists


def test_a_request_file(api: Api, tmp_path: Path) -> None:
    file = tmp_path / "requests" / "publish" / "one.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(f"repo_id: {api.repo_id}\npath: rows.parquet\n")
    pq.write_table(ROWS, tmp_path / "rows.parquet")
    assert publish_request(file, tmp_path, **api.at).rows == {"default": 3}
    file.write_text("repo_id: [\n")
    with pytest.raises(InvalidRequest):
        publish_request(file, tmp_path, **api.at)


def test_progress_and_state(api: Api, tmp_path: Path) -> None:
    events: list[Event] = []
    pq.write_table(ROWS, tmp_path / "rows.parquet")
    state = tmp_path / "state"
    api.push(tmp_path / "rows.parquet", num_shards=3, on_event=events.append, state_dir=state)
    rows = [event.rows_done for event in events if isinstance(event, Progress)]
    assert (rows[-1], rows) == (3, sorted(rows))
    (ledger,) = (state / "publish").iterdir()
    assert len(json.loads(ledger.read_text())["splits"]["default/train"]["shards"]) == 3
    with StateDir(state).lock(repository_name(api.repo_id), "testing"), pytest.raises(Locked):
        api.push(ROWS, state_dir=state)


# -- files and cards -------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
def test_single_files(api: Api, tmp_path: Path) -> None:
    api.push(ROWS)
    path = tmp_path / "picture.png"
    path.write_bytes(bytes(range(256)) * 100)
    first = upload_file(path, api.repo_id, "docs/picture.png", commit_message="A picture", **api.at)
    upload_file(b"MIT", api.repo_id, "LICENSE", **api.at)
    assert api.remote.read("docs/picture.png") == path.read_bytes()
    assert api.remote.read("LICENSE") == b"MIT"
    assert api.remote.commits() == ["Upload via hugflow", "A picture", "Upload via hugflow"]
    assert first.commit_url is not None
    api.hub.clear_log()
    assert upload_file(path, api.repo_id, "docs/picture.png", **api.at).commit_url is None
    assert sent_bytes(api.hub) == 0
    pull = upload_file(b"Apache", api.repo_id, "LICENSE", create_pr=True, **api.at)
    assert pull.pr_url is not None
    assert api.remote.read("LICENSE") == b"MIT"
    for wrong in ("", "/x", "a/../b", "folder/", "a\nb"):
        with pytest.raises(InvalidRequest, match="no path in a repository"):
            upload_file(b"x", api.repo_id, wrong, **api.at)


def test_cards(api: Api) -> None:
    with pytest.raises(NotFoundError):
        DatasetCard.load(api.repo_id, **api.at)
    api.push(ROWS, description="Rows.")
    card = DatasetCard.load(api.repo_id, **api.at)
    assert card.fields["configs"][0]["config_name"] == "default"
    assert "Rows." in card.text
    changed = card.with_fields(license="cc-by-4.0", language=["en"]).with_text(card.text + "\n## Thanks\n")
    assert (changed.problems(), changed.fields["license"]) == ((), "cc-by-4.0")
    assert changed.push(api.repo_id, **api.at).commit_url is not None
    assert DatasetCard.load(api.repo_id, **api.at) == changed
    assert changed.push(api.repo_id, **api.at).commit_url is None
    assert "license" not in changed.with_fields(license=None).fields
    wrong = changed.with_fields(license="apache2")
    assert "apache-2.0" in wrong.problems()[0].message
    with pytest.raises(InvalidRequest, match=r"apache-2\.0"):
        wrong.push(api.repo_id, **api.at)
    # what people wrote survives the next publish
    api.push(ROWS.slice(1))
    assert "## Thanks" in api.remote.card
    assert "license: cc-by-4.0" in api.remote.card


def test_deleting_a_config(api: Api) -> None:
    publish_tables({"one": ROWS, "two": ROWS}, api.repo_id, **api.at)
    gone = delete_from_hub(api.repo_id, "two", reason="Not needed.", **api.at)
    assert gone.commit_url is not None
    assert [path for path in api.remote.files if "two" in path] == []
    assert api.remote.repository.resolve("main").message == "Not needed."
    with pytest.raises(InvalidRequest, match="did you mean `one`") as caught:
        delete_from_hub(api.repo_id, "on", **api.at)
    assert caught.value.reason == "not_found"


def test_freshness_and_changes(api: Api) -> None:
    api.push(ROWS)
    fresh = check_freshness(api.repo_id, **api.at)
    assert (fresh.is_stale, fresh.max_age_s) == (False, 2 * 86_400)
    assert check_freshness(api.repo_id, timedelta(seconds=-1), **api.at).is_stale
    spec = api.remote.spec
    assert not spec_changed(api.repo_id, spec["updated_at"], **api.at)
    assert spec_changed(api.repo_id, "2026-01-01", **api.at)
    assert not spec_changed(api.repo_id, spec, **api.at)
    assert spec_changed(api.repo_id, spec | {"updated_at": "2026-01-01T00:00:00Z"}, **api.at)
    assert spec_changed(api.repo_id, {"update_time": "2026-01-01"}, **api.at)
    assert spec_changed(api.repo_id, date(2026, 1, 1), **api.at)
    assert spec_changed(api.repo_id, datetime(2026, 1, 1, tzinfo=UTC), **api.at)


# -- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "kind", "status", "reason"),
    [
        (Fault(route="/api/datasets/", status=401), AuthenticationError, 401, "bad_token"),
        (Fault(route="/commit/", status=403), AuthenticationError, 403, "forbidden"),
        (Fault(route="/commit/", status=507), QuotaExceeded, 507, "storage_quota"),
        (Fault(route="/commit/", status=429, retry_after_s=0), RateLimited, 429, "rate_limited"),
    ],
)
def test_errors_have_types(api: Api, fault: Fault, kind: type[Exception], status: int, reason: str) -> None:
    api.hub.faults.add(fault)
    with pytest.raises(kind) as caught:
        api.push(ROWS)
    error: Any = caught.value
    assert (error.status_code, error.reason) == (status, reason)
    assert CANARIES["HF_TOKEN"] not in str(error)
    api.hub.faults.clear()
    assert not api.remote.exists or api.remote.commits() == []


def test_a_repository_that_nobody_may_make() -> None:
    with LocalHub(settings=Settings()) as hub:
        hub.add_user("reader", token="hf_reader")
        for token, kind in (("hf_reader", AuthenticationError), ("hf_wrong", AuthenticationError)):
            with pytest.raises(kind) as caught:
                push_to_hub(ROWS, "acme/x", endpoint=hub.url, token=token)
            assert caught.value.status_code in (401, 403)


# -- the package -----------------------------------------------------------------------------------------------------


def test_the_api_is_what_the_package_offers() -> None:
    from hugflow import api as module

    offered = [name for name in hugflow.__all__ if name != "__version__"]
    assert set(offered) <= set(module.__all__)
    assert all(getattr(hugflow, name) is getattr(module, name) for name in offered)
    assert set(offered) <= set(dir(hugflow))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = hugflow.nothing


def test_every_function_has_an_example_that_runs(tmp_path: Path) -> None:
    """Those of docs/publishing.md, in one program, against a Hub of their own."""
    page = (Path(__file__).resolve().parents[2] / "docs/publishing.md").read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page.split("## Python API")[1], re.DOTALL)
    names = {name for name in hugflow.__all__ if name != "__version__"}
    called = {node.id for node in ast.walk(ast.parse("".join(blocks))) if isinstance(node, ast.Name)}
    assert names <= called, "functions without an example"
    request = tmp_path / "requests/publish/prices.yaml"
    request.parent.mkdir(parents=True)
    request.write_text("repo_id: acme/prices\npath: prices.csv\n")
    (tmp_path / "prices.csv").write_text("close\n1.5\n")
    with writable_hub() as hub:
        environ = {"HF_ENDPOINT": hub.url, "HF_TOKEN": CANARIES["HF_TOKEN"], "HF_HOME": str(tmp_path), "PATH": ""}
        command = [sys.executable, "-c", "".join(blocks)]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "{'default': 2} 1.0.0\n" in done.stdout
        assert "unsupported_data Give `pa.Table.from_pylist(rows)`." in done.stdout
        assert "load it again" in done.stdout
        assert Remote(hub, "acme/market").read("LICENSE") == b"CC0 1.0 Universal"
        assert "language:" in Remote(hub, "acme/market").card
