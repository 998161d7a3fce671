"""A publish that is killed, stopped or disturbed: readers see the old state or the new one, and there is one commit."""

from __future__ import annotations

import json
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hugflow import publish_tables
from hugflow.storage.failpoints import STEPS
from localhub import Fault, LocalHub
from tests.conftest import CANARIES
from tests.support.faults import FaultWorld
from tests.support.publishing import Remote, sent_bytes, warm_worlds, writable_hub
from tests.support.world import wait_until

KILLED = -9
PUBLISH_STEPS = [step for step in STEPS if step.startswith("publish_")]
SHARDS = 4
TITLE = "Upload via hugflow"
UPLOADS = r"^/lfs/|^/xet/v1/xorbs/"  # the requests that carry files


@pytest.fixture(scope="module")
def hub() -> Iterator[LocalHub]:
    """A Hub on which the tests may write."""
    with writable_hub() as running:
        yield running


@pytest.fixture(scope="module")
def make_worlds(
    hub: LocalHub, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Callable[[Path], FaultWorld]]]:
    """Makes checkouts whose runs upload in one of the two ways."""
    quick = {"HF_XET_CLIENT_RETRY_MAX_ATTEMPTS": "1", "HF_XET_CLIENT_RETRY_BASE_DELAY": "10ms"}
    with (
        warm_worlds(hub, tmp_path_factory.mktemp("home"), HF_HUB_DISABLE_XET="1") as by_lfs,
        warm_worlds(hub, tmp_path_factory.mktemp("home"), HF_HUB_DISABLE_XET="0", **quick) as by_xet,
    ):
        yield {"LFS": by_lfs, "Xet": by_xet}


@pytest.fixture
def world(request: pytest.FixtureRequest, make_worlds: Any, hub: LocalHub, tmp_path: Path) -> Iterator[FaultWorld]:
    """An empty checkout; its runs upload by LFS unless the test says otherwise."""
    hub.clear_log()
    yield make_worlds[getattr(request, "param", "LFS")](tmp_path)
    hub.faults.clear()


either_way = pytest.mark.parametrize("world", ["LFS", "Xet"], indirect=True)


def prepare(world: FaultWorld, rows: int = 400, **fields: Any) -> dict[str, Any]:
    """Two tables on the disk, and the request for them; no other test has such rows, which the Hub would know."""
    repo_id = world.new_id()
    for name in ("one", "two"):
        path = world.folder / "data" / f"{name}.parquet"
        path.parent.mkdir(exist_ok=True)
        texts = [random.Random(f"{path} {n}").randbytes(20).hex() for n in range(rows)]
        pq.write_table(pa.table({"n": range(rows), "text": texts}), path)
    tables = [{"name": name, "path": f"data/{name}.parquet"} for name in ("one", "two")]
    return {"repo_id": repo_id, "tables": tables, "num_shards": SHARDS, **fields}


def an_older_state(world: FaultWorld, request: dict[str, Any]) -> Remote:
    """The repository with tables of fewer rows and another number of shards."""
    tables = {name: pa.table({"n": range(9), "text": [f"the old {name}"] * 9}) for name in ("one", "two")}
    publish_tables(
        tables,
        request["repo_id"],
        num_shards=3,
        commit_message="The older state",
        endpoint=world.hub.url,
        token=CANARIES["HF_TOKEN"],
    )
    return Remote(world.hub, request["repo_id"])


def is_whole(remote: Remote, rows: int) -> bool:
    """Whether the branch shows a state of so many rows, in all of its files; files of two states are never mixed."""
    if not remote.files:
        return False
    counts = {entry["name"]: entry["row_count"] for entry in remote.spec["tables"]}
    for name, count in counts.items():
        files = [path for path in remote.files if path.startswith(f"{name}/")]
        assert len({path.rpartition("-of-")[2] for path in files}) == 1, files
        assert sum(pq.read_metadata(pa.BufferReader(remote.read(path))).num_rows for path in files) == count
        assert f"num_examples: {count}" in remote.card
    assert len(set(counts.values())) == 1
    return set(counts.values()) == {rows}


@either_way
@pytest.mark.parametrize("step", PUBLISH_STEPS)
def test_a_publish_killed_at_a_step_is_finished_by_the_next(world: FaultWorld, step: str) -> None:
    request = prepare(world, tag="v2" if step == "publish_tagged" else None)
    request = {key: value for key, value in request.items() if value is not None}
    remote = an_older_state(world, request)
    world.hub.clear_log()
    path = world.request("publish", "one", request)
    number = 3 if step in ("publish_written", "publish_sent", "publish_noted") else 1
    assert world.quick("publish", path, HUGFLOW_FAILPOINT=f"{step}:{number}").code == KILLED
    is_new = step in ("publish_committed", "publish_tagged")
    assert is_whole(remote, 400 if is_new else 9)
    result = world.quick("publish", path, "--json").ok().result
    assert result["status"] == ("unchanged" if is_new else "published")
    assert is_whole(remote, 400)
    assert remote.commits() == ["The older state", TITLE]
    if "tag" in request:
        assert remote.repository.resolve("v2").sha == remote.head
    # nothing was sent twice: the two runs together sent what the files have, but for what was on its way at the kill
    if not world.hub.requests(route="xet_xorb"):
        tree = remote.repository.resolve("main").tree.files
        sizes = [blob.size for name, blob in tree.items() if name.endswith(".parquet")]
        on_its_way = max(sizes) if step == "publish_written" else 0
        assert sum(sizes) <= sent_bytes(world.hub) <= sum(sizes) + on_its_way
    if step == "publish_noted":
        # what was noted is not even written again: three shards of the first table
        assert result["new_rows"] == 2 * 400 - 3 * 400 // SHARDS
    assert sorted(path.name for path in (world.state / "publish").iterdir()) == [_ledger(world).name]
    assert world.quick("publish", path, "--json").ok().result["status"] == "unchanged"
    assert len(remote.commits()) == 2


def _ledger(world: FaultWorld) -> Path:
    (path,) = (world.state / "publish").glob("*.json")
    return path


def test_a_first_publish_killed_at_a_step_shows_nothing_or_all(world: FaultWorld) -> None:
    for step in ("publish_prepared", "publish_sent", "publish_commit", "publish_committed"):
        request = prepare(world)
        remote, path = Remote(world.hub, request["repo_id"]), world.request("publish", "one", request)
        assert world.quick("publish", path, HUGFLOW_FAILPOINT=f"{step}:1").code == KILLED
        assert remote.commits() == ([TITLE] if step == "publish_committed" else [])
        assert is_whole(remote, 400) == (step == "publish_committed")
        world.quick("publish", path).ok()
        assert is_whole(remote, 400)
        assert remote.commits() == [TITLE]


@either_way
def test_a_publish_that_is_stopped_goes_on_where_it_was(world: FaultWorld) -> None:
    request = prepare(world)
    path = world.request("publish", "one", request)
    world.hub.faults.add(Fault(route=UPLOADS, delay_s=60, after=2))
    with world.warm_running("publish", path, "--json") as run:
        wait_until(lambda: _shards_noted(world) >= 1)
        run.send_signal(signal.SIGTERM)
        out, _ = run.communicate(60)
    assert run.returncode == 75
    result = json.loads(out)["results"][0]
    assert (result["status"], result["reason"], result["exit_code"]) == ("paused", "paused", 75)
    assert "Run the same command again" in result["fix"]
    remote, noted = Remote(world.hub, request["repo_id"]), _shards_noted(world)
    assert remote.commits() == []
    assert noted < 2 * SHARDS
    world.hub.faults.clear()
    result = world.quick("publish", path, "--json").ok().result
    assert result["new_rows"] == 400 * 2 - noted * 100
    assert is_whole(remote, 400)
    assert remote.commits() == [TITLE]


@either_way
def test_a_publish_waits_for_a_hub_that_comes_back(world: FaultWorld) -> None:
    request = prepare(world)
    path = world.request("publish", "one", request)
    waits = {"OUTAGE_PATIENCE": "120", "MAX_RETRIES": "1", "RETRY_BACKOFF": "0.05"}
    for route in (UPLOADS, f"{request['repo_id']}/commit/"):
        world.hub.faults.add(Fault(route=route, status=503, after=2 if route == UPLOADS else 0, count=8))
    result = world.quick("publish", path, "--json", **waits).ok().result
    assert result["status"] == "published"
    remote = Remote(world.hub, request["repo_id"])
    assert is_whole(remote, 400)
    assert remote.commits() == [TITLE]


@either_way
def test_a_signal_ends_the_wait_of_a_publish(world: FaultWorld) -> None:
    request = prepare(world)
    path = world.request("publish", "one", request)
    fault = world.hub.faults.add(Fault(route=UPLOADS, status=503, after=2))
    with world.warm_running("publish", path, "--json", OUTAGE_PATIENCE="120", RETRY_BACKOFF="20") as run:
        wait_until(lambda: world.hub.faults.fired(fault) > 0)
        run.send_signal(signal.SIGTERM)
        signalled = time.monotonic()
        run.communicate(30)
        assert time.monotonic() - signalled < 5
    assert run.returncode == 75
    world.hub.faults.clear()
    world.quick("publish", path, "--json").ok()
    assert is_whole(Remote(world.hub, request["repo_id"]), 400)


def _shards_noted(world: FaultWorld) -> int:
    try:
        splits = json.loads(_ledger(world).read_text())["splits"]
    except (ValueError, OSError):
        return 0
    return sum(len(split["shards"]) for split in splits.values())


def test_two_publishes_to_one_repository_do_not_meet(world: FaultWorld) -> None:
    request = prepare(world)
    path = world.request("publish", "one", request)
    world.hub.faults.add(Fault(route=UPLOADS, delay_s=60))
    with world.warm_running("publish", path, "--json") as run:
        wait_until(lambda: [each for each in world.hub.faults.to_json() if each["fired"]])
        done = world.quick("publish", path, "--json")
        assert (done.code, done.result["reason"]) == (6, "locked")
        assert f"process {run.pid}" in done.result["error"]
    world.hub.faults.clear()
    world.quick("publish", path).ok()
    assert is_whole(Remote(world.hub, request["repo_id"]), 400)


def test_a_head_that_moved_elsewhere_is_kept(world: FaultWorld) -> None:
    request = prepare(world)
    remote, path = an_older_state(world, request), world.request("publish", "one", request)
    world.hub.faults.add(Fault(route=UPLOADS, delay_s=3, count=1))
    with world.warm_running("publish", path, "--json") as run:
        wait_until(lambda: [each for each in world.hub.faults.to_json() if each["fired"]])
        card = remote.card + "\n## Added meanwhile\n"
        world.hub.commit(request["repo_id"], {"README.md": card.encode(), "notes.txt": b"ours"}, message="Meanwhile")
        run.communicate(60)
    assert run.returncode == 0
    assert is_whole(remote, 400)
    assert remote.commits() == ["The older state", "Meanwhile", TITLE]
    assert remote.read("notes.txt") == b"ours"
    assert "## Added meanwhile" in remote.card


def test_a_head_that_moved_in_the_same_table_is_refused(world: FaultWorld) -> None:
    request = prepare(world)
    remote, path = an_older_state(world, request), world.request("publish", "one", request)
    theirs = "two/train-00000-of-00003.parquet"
    world.hub.faults.add(Fault(route=UPLOADS, delay_s=3, count=1))
    with world.warm_running("publish", path, "--json") as run:
        wait_until(lambda: [each for each in world.hub.faults.to_json() if each["fired"]])
        content = remote.read("one/train-00000-of-00003.parquet")
        world.hub.commit(request["repo_id"], {theirs: content}, message="Theirs")
        out, _ = run.communicate(60)
    result = json.loads(out)["results"][0]
    assert (run.returncode, result["reason"]) == (1, "moved_head")
    assert theirs in result["error"]
    assert remote.commits() == ["The older state", "Theirs"]
    # run again, it says that this is what is wanted
    world.quick("publish", path).ok()
    assert is_whole(remote, 400)


def test_data_that_changes_while_it_is_published(world: FaultWorld) -> None:
    request = prepare(world)
    path = world.request("publish", "one", request)
    world.hub.faults.add(Fault(route=UPLOADS, delay_s=3, count=1))
    with world.warm_running("publish", path, "--json") as run:
        wait_until(lambda: [each for each in world.hub.faults.to_json() if each["fired"]])
        for name in ("one", "two"):
            pq.write_table(pa.table({"n": range(7), "text": ["x"] * 7}), world.folder / "data" / f"{name}.parquet")
        out, _ = run.communicate(60)
    result = json.loads(out)["results"][0]
    assert (run.returncode, result["reason"]) == (1, "file_changed"), result
    remote = Remote(world.hub, request["repo_id"])
    assert remote.commits() == []
    world.quick("publish", path).ok()
    assert is_whole(remote, 7)


@either_way
def test_uploads_that_the_hub_has_forgotten_are_sent_again(world: FaultWorld) -> None:
    request = prepare(world)
    path = world.request("publish", "one", request)
    assert world.quick("publish", path, HUGFLOW_FAILPOINT="publish_commit:1").code == KILLED
    remote = Remote(world.hub, request["repo_id"])
    remote.repository.lfs_objects.clear()
    world.hub._running.xet._files.clear()
    world.hub._running.xet._shard_of_chunk.clear()
    world.quick("publish", path).ok()
    assert is_whole(remote, 400)
    assert remote.commits() == [TITLE]


@pytest.mark.parametrize("content", [b"", b"{", b'{"schema_version": 1}', b"null", b'{"schema_version": 1, "x": 2}'])
def test_a_damaged_memory_costs_time_and_nothing_else(world: FaultWorld, content: bytes) -> None:
    request = prepare(world)
    path = world.request("publish", "one", request)
    world.quick("publish", path).ok()
    _ledger(world).write_bytes(content)
    world.hub.clear_log()
    assert world.quick("publish", path, "--json").ok().result["status"] == "unchanged"
    assert sent_bytes(world.hub) == 0


def test_a_memory_of_a_newer_hugflow_is_refused(world: FaultWorld) -> None:
    request = prepare(world)
    path = world.request("publish", "one", request)
    world.quick("publish", path).ok()
    ledger = _ledger(world)
    ledger.write_text(ledger.read_text().replace('"schema_version": 1', '"schema_version": 2'))
    done = world.quick("publish", path, "--json")
    assert (done.code, done.reason) == (74, "newer_schema")
    shutil.rmtree(world.state / "publish")
    world.quick("publish", path).ok()
