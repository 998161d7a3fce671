"""Versions of a published dataset: the changes that bump them, and the files of earlier versions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from hugflow import Published, publish_table, publish_tables
from localhub import LocalHub
from tests.conftest import CANARIES
from tests.support.publishing import Loader, Remote, sent_bytes, writable_hub

REPO = "acme/versions"


@pytest.fixture
def hub() -> Iterator[LocalHub]:
    """A Hub for each test."""
    with writable_hub() as running:
        yield running


@pytest.fixture
def remote(hub: LocalHub) -> Remote:
    """The repository that is published to."""
    return Remote(hub, REPO)


def put(hub: LocalHub, name: str = "prices", split: str = "train", **columns: object) -> Published:
    """Publish a table with these columns."""
    return publish_table({split: pa.table(columns)}, REPO, name, endpoint=hub.url, token=CANARIES["HF_TOKEN"])


def test_columns_decide_the_version(hub: LocalHub, remote: Remote) -> None:
    versions = [
        put(hub, n=[1, 2]).version,
        put(hub, n=[1, 2, 3]).version,  # more rows
        put(hub, n=[1, 2, 3], name_of=["a", "b", "c"]).version,  # a column more
        put(hub, name_of=["a", "b", "c"], n=[1, 2, 3]).version,  # another order
        put(hub, n=[1.0, 2.0], name_of=["a", "b"]).version,  # another type
        put(hub, n=[1.0, 2.0]).version,  # a column less
        put(hub, "other", n=[1]).version,  # another table
    ]
    assert versions == ["1.0.0", "1.0.0", "1.1.0", "1.1.0", "2.0.0", "3.0.0", "3.1.0"]
    assert remote.spec["version"] == "3.1.0"
    assert len(remote.commits()) == 7


def test_the_files_of_the_version_before_stay(hub: LocalHub, remote: Remote, tmp_path: Path) -> None:
    token = CANARIES["HF_TOKEN"]
    tables = {"prices": pa.table({"n": range(30)}), "names": pa.table({"name": ["a", "b"]})}
    publish_tables(tables, REPO, num_shards=2, endpoint=hub.url, token=token)
    first = remote.files
    old_spec = remote.read("spec.json")
    put(hub, n=list(range(40)))  # the same version: its newest files are those that stay
    grown = remote.files
    hub.clear_log()
    put(hub, n=[f"{n}" for n in range(50)])
    after = remote.files
    assert remote.commits() == ["Upload via hugflow"] * 3
    kept = {path.removeprefix("v1/"): sha for path, sha in after.items() if path.startswith("v1/")}
    assert kept == {path: sha for path, sha in grown.items() if path.endswith(".parquet") or path == "spec.json"}
    assert json.loads(remote.read("v1/spec.json"))["tables"][1] == json.loads(old_spec)["tables"][1]
    assert {path: after[path] for path in first if path.startswith("names/")} == {
        path: sha for path, sha in first.items() if path.startswith("names/")
    }
    # copies are made on the Hub: only the new table was sent
    assert sent_bytes(hub) < 3 * len(remote.read("prices/train-00000-of-00001.parquet"))
    with Loader.running(hub, tmp_path) as loader:
        assert [row["n"] for row in loader.load(REPO, "prices").rows] == [str(n) for n in range(50)]
        assert len(loader.load(REPO, "names").rows) == 2
        earlier = f"hf://datasets/{REPO}/v1/prices/*.parquet"
        assert [row["n"] for row in loader.load("parquet", files=earlier).rows] == list(range(40))
    # the next break keeps version 2, and version 1 stays as it is
    put(hub, m=[1])
    files = remote.files
    assert {path for path in files if path.startswith("v1/")} == {path for path in after if path.startswith("v1/")}
    assert files["v2/prices/train-00000-of-00001.parquet"] == after["prices/train-00000-of-00001.parquet"]
    assert remote.spec["version"] == "3.0.0"


def test_times_change_with_the_data_only(hub: LocalHub, remote: Remote) -> None:
    put(hub, n=[1, 2])
    before = remote.spec
    assert put(hub, n=[1, 2]).commit_url is None
    token = CANARIES["HF_TOKEN"]
    described = publish_table(
        pa.table({"n": [1, 2]}), REPO, "prices", description="What it is.", endpoint=hub.url, token=token
    )
    assert described.commit_url is not None
    assert (described.sent_bytes, remote.table("prices")["description"]) == (0, "What it is.")
    # the same number of rows and the same size, but other values
    publish_table(pa.table({"n": [1, 3]}), REPO, "prices", endpoint=hub.url, token=token)
    assert remote.spec["updated_at"] >= before["updated_at"]
    assert remote.commits() == ["Upload via hugflow"] * 3


def test_a_spec_json_of_other_tools_is_continued(hub: LocalHub, remote: Remote) -> None:
    hub.add_dataset(REPO)
    theirs = {
        "update_time": "2020-01-01",
        "version": "4.2.0",
        "owner": "somebody",
        "tables": [{"name": "older", "row_count": 3, "note": "by hand"}],
    }
    hub.commit(REPO, {"spec.json": json.dumps(theirs).encode()})
    assert put(hub, n=[1]).version == "4.3.0"
    spec = remote.spec
    assert (spec["owner"], spec["tables"][0]) == ("somebody", theirs["tables"][0])
    assert spec["update_time"] > "2026"
