"""The Hub client against a Hub that refuses, fails, is slow, or sends wrong bytes: typed errors, bounded attempts."""

from __future__ import annotations

import hashlib
import io
import random
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from localhub import Fault, LocalHub, Settings
from tests.conftest import _safe_environ
from tests.support.hub_client import HubClient

ID = "acme/plain"
INFO = "/api/datasets/acme/plain"


def _parquet() -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({"text": [f"sentence {number}" for number in range(2000)]}), file, compression="none")
    return file.getvalue()


DATA = _parquet()


@pytest.fixture(scope="module")
def running(canaries: Mapping[str, str]) -> Iterator[LocalHub]:
    with LocalHub() as hub:
        hub.add_user("reader", token=canaries["HF_TOKEN"])
        hub.add_dataset(ID)
        hub.commit(ID, {"data/train.parquet": DATA, "a.wav": b"sound", "README.md": b"# Plain\n"})
        hub.add_dataset("acme/gated", gated=True)
        hub.commit("acme/gated", {"train.jsonl": b'{"a": 1}\n'})
        hub.add_dataset("acme/private", private=True)
        yield hub


@pytest.fixture
def hub(running: LocalHub) -> Iterator[LocalHub]:
    running.clear_log()
    yield running
    running.faults.clear()


@pytest.fixture(scope="module")
def client(running: LocalHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubClient]:
    """Its environment holds a token, which counts for nothing: a Hub gets the token that it is configured with."""
    folder = tmp_path_factory.mktemp("client")
    environ = _safe_environ(folder / "home") | {"HF_ENDPOINT": running.url}
    assert "HF_TOKEN" in environ
    with HubClient.running(environ, folder) as process:
        yield process


def _error(answer: Any) -> dict[str, Any]:
    assert "error" in answer, answer
    error: dict[str, Any] = answer["error"]
    return error


# -- refusals --------------------------------------------------------------------------------------------------------

REFUSALS = [
    (401, None, "NotFoundError", "no_repository"),
    (403, "GatedRepo", "AuthenticationError", "gated"),
    (403, None, "Forbidden", "forbidden"),
    (404, "RepoNotFound", "NotFoundError", "no_repository"),
    (404, "RevisionNotFound", "NotFoundError", "no_revision"),
    (404, "EntryNotFound", "NotFoundError", "not_found"),
    (404, None, "NotFoundError", "not_found"),
    (400, None, "Terminal", "failed"),
    (410, None, "Terminal", "failed"),
]


@pytest.mark.parametrize(("status", "code", "kind", "reason"), REFUSALS)
def test_a_refusal_is_not_tried_again(
    client: HubClient, hub: LocalHub, status: int, code: str | None, kind: str, reason: str
) -> None:
    fault = hub.faults.add(Fault(route=INFO, status=status, error_code=code))
    error = _error(client.ask("newest_commit", hf_id=ID))
    assert (error["type"], error["reason"]) == (kind, reason), error
    assert error["fix"]
    assert hub.faults.fired(fault) == 1


def test_what_is_really_not_there(client: HubClient, hub: LocalHub) -> None:
    assert _error(client.ask("newest_commit", hf_id="acme/gone"))["reason"] == "no_repository"
    assert _error(client.ask("newest_commit", hf_id=ID, revision="gone"))["reason"] == "no_revision"
    assert _error(client.ask("newest_commit", hf_id="acme/private"))["reason"] == "no_repository"


def test_a_gated_dataset(client: HubClient, hub: LocalHub, canaries: Mapping[str, str]) -> None:
    without = _error(client.split("acme/gated"))
    assert (without["type"], without["reason"]) == ("AuthenticationError", "gated"), without
    assert "set HF_TOKEN" in without["fix"]
    token = {"token": canaries["HF_TOKEN"]}
    no_access = _error(client.split("acme/gated", hub=token))
    assert "accept its terms with the account of HF_TOKEN" in no_access["fix"]
    hub.grant("acme/gated", "reader")
    assert client.rows("acme/gated", hub=token) == [{"a": 1}]


def test_a_token_that_the_hub_does_not_know(client: HubClient, hub: LocalHub) -> None:
    error = _error(client.ask("newest_commit", hf_id=ID, hub={"token": "hf_wrong"}))
    assert (error["type"], error["reason"]) == ("AuthenticationError", "bad_token")
    assert "hf_wrong" not in str(error)


def test_wrong_configs_and_splits_list_the_right_ones(client: HubClient, hub: LocalHub) -> None:
    assert "train" in _error(client.split(ID, split="trian"))["problem"]
    assert "the dataset has no configs" in _error(client.split(ID, subset="de"))["problem"]


# -- failures that may pass ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [408, 429, 500, 501, 502, 503, 504, 520, 525, 530])
@pytest.mark.parametrize("retries", [0, 2])
def test_failures_are_tried_again_a_bounded_number_of_times(
    client: HubClient, hub: LocalHub, status: int, retries: int
) -> None:
    fault = hub.faults.add(Fault(route=INFO, status=status))
    error = _error(client.ask("newest_commit", hf_id=ID, hub={"max_retries": retries}))
    assert error["type"] == ("RateLimited" if status == 429 else "HubUnavailable")
    assert error["status_code"] == status
    assert error["reason"] == ("rate_limited" if status == 429 else "hub_error")
    assert hub.faults.fired(fault) == retries + 1


@pytest.mark.parametrize("fault", [Fault(reset=True), Fault(truncate_after=20), Fault(reset_after=20)])
def test_broken_connections_are_tried_again(client: HubClient, hub: LocalHub, fault: Fault) -> None:
    armed = hub.faults.add(Fault(**fault.to_json() | {"route": INFO, "count": 2}))
    answer = client.ask("newest_commit", hf_id=ID, hub={"max_retries": 2})
    assert len(answer["sha"]) == 40
    assert len(answer["slept"]) == 2
    assert hub.faults.fired(armed) == 2
    hub.faults.add(Fault(**fault.to_json() | {"route": INFO}))
    error = _error(client.ask("newest_commit", hf_id=ID, hub={"max_retries": 1}))
    assert (error["type"], error["reason"]) == ("HubUnavailable", "network")


@pytest.mark.parametrize("as_date", [False, True])
def test_retry_after_is_obeyed(client: HubClient, hub: LocalHub, as_date: bool) -> None:
    hub.faults.add(Fault(route=INFO, status=429, retry_after_s=40, retry_after_as_date=as_date, count=1))
    (slept,) = client.ask("newest_commit", hf_id=ID)["slept"]
    assert 35 <= slept <= 40


def test_retry_after_is_bounded(client: HubClient, hub: LocalHub) -> None:
    hub.faults.add(Fault(route=INFO, status=503, retry_after_s=86_400, count=1))
    assert client.ask("newest_commit", hf_id=ID)["slept"] == [300]


def test_waits_grow(client: HubClient, hub: LocalHub) -> None:
    hub.faults.add(Fault(route=INFO, status=503, count=4))
    slept = client.ask("newest_commit", hf_id=ID, hub={"max_retries": 4, "backoff": 2})["slept"]
    assert all(2 * 2**n / 2 <= wait <= 2 * 2**n for n, wait in enumerate(slept))


def test_a_hub_that_does_not_answer_in_time(client: HubClient, hub: LocalHub) -> None:
    hub.faults.add(Fault(route=INFO, delay_s=30, count=2))
    error = _error(client.ask("newest_commit", hf_id=ID, hub={"max_retries": 1, "read_timeout_s": 0.2}))
    assert (error["type"], error["reason"]) == ("HubUnavailable", "network")
    assert "Timeout" in error["problem"]


def test_one_file_is_not_asked_for_again_and_again(client: HubClient, hub: LocalHub) -> None:
    """Attempts do not multiply where one call of the Hub stands inside of another."""
    fault = hub.faults.add(Fault(route="resolve/.*a.wav", status=404, error_code="EntryNotFound"))
    _error(client.ask("files", hf_id=ID, paths=["a.wav"], hub={"max_retries": 2}))
    assert hub.faults.fired(fault) == 1
    hub.faults.clear()
    fault = hub.faults.add(Fault(route="resolve/.*a.wav", reset=True))
    _error(client.ask("files", hf_id=ID, paths=["a.wav"], hub={"max_retries": 2}))
    assert hub.faults.fired(fault) == 3


# -- files -----------------------------------------------------------------------------------------------------------

SHA256 = hashlib.sha256(DATA).hexdigest()
SHARD = "resolve/.*train.parquet"


@pytest.mark.parametrize(("left", "fetches"), [("", 1), ("whole", 1), ("changed", 2), ("cut", 2)])
def test_what_an_earlier_run_left_is_used_when_it_is_whole(
    client: HubClient, hub: LocalHub, left: str, fetches: int
) -> None:
    answer = client.ask("fetch", hf_id=ID, left=left)
    assert answer["sha256"] == SHA256
    assert len(hub.requests(SHARD, method="GET", status=200)) == fetches


@pytest.mark.parametrize("fault", [Fault(corrupt=True), Fault(truncate_after=500), Fault(reset_after=500)])
def test_bytes_that_are_not_those_of_the_hub_are_fetched_again(client: HubClient, hub: LocalHub, fault: Fault) -> None:
    # the first answer is the footer's
    hub.faults.add(Fault(**fault.to_json() | {"route": SHARD, "method": "GET", "after": 1, "count": 2}))
    assert client.ask("fetch", hf_id=ID)["sha256"] == SHA256


def test_bytes_that_stay_wrong_are_never_taken(client: HubClient, hub: LocalHub) -> None:
    hub.faults.add(Fault(route=SHARD, method="GET", after=1, corrupt=True))
    error = _error(client.ask("fetch", hf_id=ID, hub={"max_retries": 1}))
    assert (error["type"], error["reason"]) == ("Transient", "hash_mismatch")
    hub.faults.clear()
    hub.faults.add(Fault(route="resolve/.*a.wav", corrupt=True))
    error = _error(client.ask("files", hf_id=ID, paths=["a.wav"], hub={"max_retries": 1}))
    assert "hash mismatch" in error["problem"]


def test_a_disk_that_does_not_take_the_file(client: HubClient, hub: LocalHub) -> None:
    error = _error(client.ask("fetch", hf_id=ID, limit_bytes=1000))
    assert (error["type"], error["exit_code"]) == ("StorageFault", 74)


@pytest.mark.parametrize("ignore_range", [False, True])
def test_a_remote_file_reads_as_the_file_does(client: HubClient, hub: LocalHub, ignore_range: bool) -> None:
    if ignore_range:
        hub.faults.add(Fault(route=SHARD, ignore_range=True))
    chance = random.Random(3)
    reads = [[chance.randrange(len(DATA) + 10), chance.choice([0, 1, 100, 70_000, -1])] for _ in range(40)]
    answer = client.ask("ranges", hf_id=ID, path="data/train.parquet", size=len(DATA), reads=reads)
    expected = [DATA[at:] if count < 0 else DATA[at : at + count] for at, count in reads]
    assert answer["found"] == [data.hex() for data in expected]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalHub, HubClient]]:
    """A Hub that redirects downloads to signed addresses of an object store, and a client with a token."""
    folder = tmp_path_factory.mktemp("store")
    with LocalHub(settings=Settings(object_store=True)) as hub:
        hub.add_user("reader")
        hub.add_dataset(ID)
        hub.commit(ID, {"data/train.parquet": DATA, "a.wav": b"sound"})
        environ = _safe_environ(folder / "home") | {"HF_ENDPOINT": hub.url}
        with HubClient.running(environ, folder) as client:
            yield hub, client


@pytest.fixture
def stored(store: tuple[LocalHub, HubClient]) -> Iterator[tuple[LocalHub, HubClient]]:
    store[0].clear_log()
    yield store
    store[0].faults.clear()


READER = {"token": "hf_reader", "max_retries": 2}
STORE_FAULTS = [
    (403, "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"),
    (403, "Forbidden"),
    (401, ""),
    (410, ""),
    (400, "<Error><Code>ExpiredToken</Code></Error>"),
    (400, "<Error><Code>RequestTimeout</Code></Error>"),
    (503, "<Error><Code>SlowDown</Code></Error>"),
]


@pytest.mark.parametrize(("status", "body"), STORE_FAULTS)
@pytest.mark.parametrize("question", ["fetch", "ranges"])
def test_an_address_of_the_object_store_that_is_refused_is_asked_for_again(
    stored: tuple[LocalHub, HubClient], question: str, status: int, body: str
) -> None:
    hub, client = stored
    # the Hub's library repeats a download that failed with 503 by itself
    fault = hub.faults.add(Fault(route="^/store/", status=status, body=body, count=1))
    more = {"path": "data/train.parquet", "size": len(DATA), "reads": [[0, 10]]} if question == "ranges" else {}
    answer = client.ask(question, hf_id=ID, hub=READER, **more)
    assert "error" not in answer, answer
    assert hub.faults.fired(fault) == 1
    addresses = {record.target for record in hub.requests("^/store/", method="GET")}
    assert len(addresses) > 1
    assert {record.user for record in hub.requests("^/store/")} == {""}, "the store gets no token"


@pytest.mark.parametrize(("status", "body"), STORE_FAULTS)
def test_an_object_store_that_always_refuses_is_not_the_fault_of_the_token(
    stored: tuple[LocalHub, HubClient], status: int, body: str
) -> None:
    hub, client = stored
    hub.faults.add(Fault(route="^/store/", status=status, body=body))
    error = _error(client.ask("fetch", hf_id=ID, hub=READER))
    assert (error["type"], error["status_code"]) == ("HubUnavailable", status), error
    assert "the Hub's object store" in error["problem"]
    assert not re.search("token|Signature|Check the request", f"{error['problem']} {error['fix']}")


def test_an_object_store_without_the_file_is_not_waited_for(stored: tuple[LocalHub, HubClient]) -> None:
    hub, client = stored
    fault = hub.faults.add(Fault(route="^/store/", status=404, body="<Error><Code>NoSuchKey</Code></Error>"))
    error = _error(client.ask("fetch", hf_id=ID, hub=READER))
    assert (error["type"], error["reason"], error["status_code"]) == ("Transient", "transient", 404)
    assert "404 NoSuchKey" in error["problem"]
    assert hub.faults.fired(fault) == 3


# -- tokens ----------------------------------------------------------------------------------------------------------


def test_a_token_goes_to_the_hub_only_when_one_is_configured(
    client: HubClient, hub: LocalHub, canaries: Mapping[str, str]
) -> None:
    """The environment's token is for others: without one of our own, every request is anonymous."""
    own = "acme/anonymous"
    hub.add_dataset(own)
    hub.commit(own, {"train.parquet": DATA, "a.wav": b"sound"})
    for question in ("split", "inspect", "fetch"):
        assert "error" not in client.ask(question, hf_id=own)
    client.ask("files", hf_id=own, paths=["a.wav"])
    assert [record.target for record in hub.requests(own) if record.user] == []
    hub.clear_log()
    client.ask("fetch", hf_id=own, hub={"token": canaries["HF_TOKEN"]})
    assert hub.requests(own)
    assert [record.target for record in hub.requests(own) if record.user != "reader"] == []


def test_a_branch_moves_and_a_commit_stays(client: HubClient, hub: LocalHub) -> None:
    before = client.ask("newest_commit", hf_id=ID)["sha"]
    hub.commit(ID, {"more.txt": b"x"})
    after = client.ask("newest_commit", hf_id=ID)["sha"]
    assert before != after
    assert client.ask("newest_commit", hf_id=ID, revision=before)["sha"] == before


def test_nothing_is_left_behind(tmp_path: Path, hub: LocalHub) -> None:
    environ = _safe_environ(tmp_path / "home") | {"HF_ENDPOINT": hub.url}
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with HubClient.running(environ, scratch) as client:
        client.ask("fetch", hf_id=ID)
        client.ask("inspect", hf_id=ID)
    assert not list(scratch.iterdir())
