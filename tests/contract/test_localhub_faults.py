"""Effects of each fault of the local Hub on a real client."""

from __future__ import annotations

import io
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx2
import pytest
from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError
from huggingface_hub.utils import get_session
from huggingface_hub.utils._http import default_client_factory, set_client_factory

from localhub import Fault, LocalHub
from tests.contract.conftest import ApiOf

DATA = bytes(range(256)) * 8192  # 2 MiB


@pytest.fixture
def url(hub: LocalHub) -> str:
    """The address of the file that the faults hit. The client is the library's own, whatever ran here before."""
    set_client_factory(default_client_factory)
    hub.add_dataset("acme/speech")
    hub.commit("acme/speech", {"clip.mp3": DATA})
    return f"{hub.url}/datasets/acme/speech/resolve/main/clip.mp3"


@pytest.fixture
def api(hub: LocalHub, url: str, api_of: ApiOf) -> HfApi:
    hub.add_user("alice", role="write")
    return api_of("alice")


def statuses(hub: LocalHub, url: str, count: int, method: str = "GET") -> list[int]:
    return [get_session().request(method, url).status_code for _ in range(count)]


def keep(answer: httpx2.Response, received: bytearray) -> None:
    for chunk in answer.iter_raw():
        received.extend(chunk)


def test_status(hub: LocalHub, api: HfApi) -> None:
    fault = hub.faults.add(Fault(route=r"/api/datasets/acme/speech$", status=503, message="maintenance", count=1))
    with pytest.raises(HfHubHTTPError, match="maintenance") as caught:
        api.dataset_info("acme/speech")
    assert caught.value.response.status_code == 503
    assert api.dataset_info("acme/speech").id == "acme/speech"
    assert hub.faults.fired(fault) == 1
    assert [(item.status, item.fault) for item in hub.requests("api/datasets/acme/speech$")] == [
        (503, fault),
        (200, None),
    ]


@pytest.mark.parametrize(
    ("status", "code", "expected"), [(403, "GatedRepo", GatedRepoError), (404, "RepoNotFound", RepositoryNotFoundError)]
)
def test_status_with_the_hubs_own_code(
    hub: LocalHub, api: HfApi, status: int, code: str, expected: type[Exception]
) -> None:
    hub.faults.add(Fault(route="/tree/", status=status, error_code=code))
    with pytest.raises(expected):
        api.list_repo_files("acme/speech", repo_type="dataset")


def test_retry_after_in_seconds_and_as_a_date(hub: LocalHub, url: str) -> None:
    hub.faults.add(Fault(status=429, retry_after_s=7, count=1))
    hub.faults.add(
        Fault(status=429, retry_after_s=3600, retry_after_as_date=True, headers={"RateLimit": '"api";r=0;t=9'})
    )
    assert get_session().get(url).headers["Retry-After"] == "7"
    answer = get_session().get(url)
    until = parsedate_to_datetime(answer.headers["Retry-After"]) - datetime.now(UTC)
    assert timedelta(minutes=59) < until <= timedelta(hours=1)
    assert answer.headers["RateLimit"] == '"api";r=0;t=9'


def test_the_client_comes_back_after_a_429(hub: LocalHub, api: HfApi) -> None:
    hub.faults.add(Fault(route="/tree/", status=429, retry_after_s=0, count=1))
    assert "clip.mp3" in api.list_repo_files("acme/speech", repo_type="dataset")
    assert [item.status for item in hub.requests("/tree/")] == [429, 200]


def test_which_requests_a_fault_hits(hub: LocalHub, url: str) -> None:
    hub.faults.add(Fault(route="clip", method="GET", nth=2, status=500))
    assert statuses(hub, url, 1, "HEAD") == [200]
    assert statuses(hub, url, 4) == [200, 500, 200, 200]
    hub.faults.clear()
    hub.faults.add(Fault(route="clip", after=1, count=2, status=502))
    assert statuses(hub, url, 5) == [200, 502, 502, 200, 200]
    hub.faults.clear()
    assert statuses(hub, url, 2) == [200, 200]


def test_probability_repeats_with_its_seed(hub: LocalHub, url: str) -> None:
    runs = []
    for seed in (1, 1, 2):
        hub.faults.clear()
        hub.faults.add(Fault(route="clip", status=503, probability=0.5, seed=seed))
        runs.append(statuses(hub, url, 20, "HEAD"))
    assert runs[0] == runs[1] != runs[2]
    assert set(runs[0]) == {200, 503}


def test_the_first_of_several_faults_is_applied(hub: LocalHub, url: str) -> None:
    first = hub.faults.add(Fault(nth=2, status=500))
    hub.faults.add(Fault(nth=3, status=503))
    assert statuses(hub, url, 4) == [200, 500, 503, 200]
    hub.faults.remove(first)
    assert hub.faults.fired(first) == 0


def test_delay(hub: LocalHub, url: str) -> None:
    hub.faults.add(Fault(route="clip", delay_s=3600))
    with pytest.raises(httpx2.ReadTimeout):
        get_session().get(url, timeout=0.2)
    assert hub.requests("clip")[0].status == 0  # it is still being answered; the end of the Hub ends it


def test_a_cleared_log_does_not_get_requests_that_began_before(hub: LocalHub, url: str) -> None:
    hub.faults.add(Fault(route="clip", delay_s=1, count=1))
    with pytest.raises(httpx2.ReadTimeout):
        get_session().get(url, timeout=0.2)
    hub.clear_log()
    assert hub.requests() == []
    time.sleep(1.2)
    assert hub.requests() == []
    statuses(hub, url, 1)
    assert [record.status for record in hub.requests()] == [200]


def test_the_end_of_the_hub_ends_what_it_delays() -> None:
    with LocalHub() as hub:
        hub.faults.add(Fault(delay_s=3600))
        with pytest.raises(httpx2.ReadTimeout):
            get_session().get(f"{hub.url}/api/datasets", timeout=0.2)
    assert not [thread for thread in threading.enumerate() if "process_request" in thread.name]


def test_a_reset_before_anything_is_done(hub: LocalHub, api: HfApi) -> None:
    before = hub.repository("acme/speech").head.sha
    hub.faults.add(Fault(route="/commit/", reset=True))
    with pytest.raises(httpx2.ReadError):
        api.create_commit("acme/speech", [CommitOperationAdd("a.txt", b"1")], commit_message="m", repo_type="dataset")
    assert hub.repository("acme/speech").head.sha == before


def test_a_lost_answer_after_all_is_done(hub: LocalHub, api: HfApi) -> None:
    before = hub.repository("acme/speech").head.sha
    hub.faults.add(Fault(route="/commit/", lose_answer=True))
    with pytest.raises(httpx2.ReadError):
        api.create_commit("acme/speech", [CommitOperationAdd("a.txt", b"1")], commit_message="m", repo_type="dataset")
    assert hub.repository("acme/speech").head.parent == before
    assert hub.read("acme/speech", "a.txt") == b"1"


# huggingface_hub 2.4 hands its files to httpx2 in a way that httpx2 warns about
@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
def test_a_reset_within_an_upload(hub: LocalHub, api: HfApi) -> None:
    hub.faults.add(Fault(route="^/lfs/", reset_upload_after=500_000, count=1))
    operation = CommitOperationAdd("a.bin", io.BytesIO(DATA[::-1]))  # a file object goes by LFS
    api.create_commit("acme/speech", [operation], commit_message="m", repo_type="dataset")
    assert hub.read("acme/speech", "a.bin") == DATA[::-1]
    assert [(item.status, item.bytes_received) for item in hub.requests(method="PUT")] == [
        (0, 500_000),
        (200, len(DATA)),
    ]


def test_a_reset_after_some_bytes(hub: LocalHub, url: str) -> None:
    hub.faults.add(Fault(route="clip", reset_after=100_000))
    with get_session().stream("GET", url) as answer:
        assert answer.headers["Content-Length"] == str(len(DATA))
        with pytest.raises(httpx2.ReadError):
            answer.read()
    assert (hub.requests("clip")[0].status, hub.requests("clip")[0].bytes_sent) == (200, 100_000)


def test_truncation(hub: LocalHub, url: str) -> None:
    hub.faults.add(Fault(route="clip", truncate_after=100_000))
    received = bytearray()
    with get_session().stream("GET", url) as answer:
        assert answer.headers["Content-Length"] == str(len(DATA))
        with pytest.raises(httpx2.RemoteProtocolError):
            keep(answer, received)
    assert received == DATA[:100_000]


def test_the_client_resumes_a_truncated_download(hub: LocalHub, api: HfApi, tmp_path: Path) -> None:
    big = DATA * 6  # the client writes, and so can resume, in pieces of 10 MiB
    hub.commit("acme/speech", {"clip.mp3": big})
    hub.faults.add(Fault(route="clip", method="GET", truncate_after=11 << 20, nth=1))
    path = api.hf_hub_download("acme/speech", "clip.mp3", repo_type="dataset", cache_dir=tmp_path)
    assert Path(path).read_bytes() == big
    assert [(item.status, item.range, item.bytes_sent) for item in hub.requests("clip", method="GET")] == [
        (200, "", 11 << 20),
        (206, f"bytes={10 << 20}-", 2 << 20),
    ]


def test_wrong_bytes_of_the_right_size(hub: LocalHub, api: HfApi, tmp_path: Path) -> None:
    hub.faults.add(Fault(route="clip", method="GET", corrupt=True, count=1))
    path = api.hf_hub_download("acme/speech", "clip.mp3", repo_type="dataset", cache_dir=tmp_path)
    wrong = Path(path).read_bytes()
    middle = len(DATA) // 2
    assert len(wrong) == len(DATA)
    assert [place for place, (one, two) in enumerate(zip(wrong, DATA, strict=True)) if one != two] == [middle]
    again = api.hf_hub_download("acme/speech", "clip.mp3", repo_type="dataset", cache_dir=tmp_path, force_download=True)
    assert Path(again).read_bytes() == DATA


def test_wrong_bytes_within_a_range(hub: LocalHub, url: str) -> None:
    hub.faults.add(Fault(corrupt=True))
    answer = get_session().get(url, headers={"Range": "bytes=100-104"})
    assert (answer.status_code, answer.content) == (206, bytes([100, 101, 102 ^ 0xFF, 103, 104]))


def test_an_ignored_range(hub: LocalHub, url: str) -> None:
    hub.faults.add(Fault(ignore_range=True))
    answer = get_session().get(url, headers={"Range": "bytes=10-19"})
    assert (answer.status_code, answer.content) == (200, DATA)


def test_a_trickle(hub: LocalHub, url: str) -> None:
    hub.faults.add(Fault(route="clip", bytes_per_s=0.05))
    with get_session().stream("GET", url, timeout=1) as answer:
        rest = answer.iter_raw()
        assert next(rest) == DATA[:1]
        with pytest.raises(httpx2.ReadTimeout):  # the next byte is due in 20 seconds
            next(rest)
    (record,) = hub.requests("clip")
    assert (record.status, record.bytes_sent) == (200, 1)
    hub.faults.clear()
    hub.faults.add(Fault(route="clip", bytes_per_s=100_000_000))
    assert get_session().get(url).content == DATA


def test_several_effects_in_one_fault(hub: LocalHub, url: str) -> None:
    hub.faults.add(Fault(status=500, message="a message of some length", truncate_after=5))
    with pytest.raises(httpx2.RemoteProtocolError):
        get_session().get(url)
    assert (hub.requests("clip")[0].status, hub.requests("clip")[0].bytes_sent) == (500, 5)


def test_a_connection_lives_on_after_refusals(hub: LocalHub, url: str) -> None:
    hub.faults.add(Fault(route="/commit/", status=413))
    with httpx2.Client() as client:
        body = b"x" * 3_000_000
        assert client.post(f"{hub.url}/api/datasets/acme/speech/commit/main", content=body).status_code == 413
        assert client.post(f"{hub.url}/api/nothing", content=iter([body, body])).status_code == 404
        assert client.get(url).content == DATA
    assert [item.bytes_received for item in hub.requests("commit|nothing|clip")] == [3_000_000, 6_000_000, 0]


def test_a_fault_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="stauts"):
        Fault.from_json({"stauts": 500})
    with pytest.raises(ValueError, match="regular expression"):
        Fault.from_json({"route": "("})
