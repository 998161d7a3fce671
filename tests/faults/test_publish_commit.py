"""Publishing to a failing Hub: the documented error or a bounded retry, never a second commit or a partial state.

After every fault the same publish is run again without it, and ends with one commit in all.
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hugflow.version import __version__
from localhub import Fault, LocalHub, Settings
from localhub.store.repository import Repository
from tests.support.hub_client import HubClient
from tests.support.publish_client import WAYS, noise, publishing

README = "---\nlicense: mit\n---\n# Market\n"
OLD = {
    "README.md": b"# Market\n",
    "spec.json": b'{"version": "1.0.0"}',
    "data/train-00000-of-00002.parquet": b"PAR1 of before",
    "data/train-00001-of-00002.parquet": b"PAR1 of before, too",
    "other/train-00000-of-00001.parquet": b"PAR1 of another table",
}
SHARDS = ("data/train-00000-of-00001.parquet",)
NEW_TEXTS = {"README.md": README, "spec.json": '{"version": "2.0.0"}'}
COPIES = {"v1/data/train-00000-of-00002.parquet": "data/train-00000-of-00002.parquet", "v1/spec.json": "spec.json"}
DELETES = ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"]

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def hub() -> Iterator[LocalHub]:
    with LocalHub(settings=Settings(page_size=20)) as running:
        running.add_user("alice", role="write")
        yield running


@pytest.fixture(autouse=True)
def _without_faults(hub: LocalHub) -> Iterator[None]:
    hub.clear_log()
    yield
    hub.faults.clear()


@pytest.fixture(scope="module")
def clients(hub: LocalHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, HubClient]]:
    folders = [tmp_path_factory.mktemp(way) for way in WAYS]
    with publishing(hub, WAYS[0], folders[0]) as first, publishing(hub, WAYS[1], folders[1]) as second:
        yield dict(zip(WAYS, (first, second), strict=True))


@pytest.fixture
def client(clients: Mapping[str, HubClient]) -> HubClient:
    return clients["xet"]


@dataclass
class World:
    """A repository on the Hub, what is published to it, and what readers may see there."""

    hub: LocalHub
    client: HubClient
    repo_id: str
    seed: int
    branch: str
    start: str | None
    create_pr: bool = False

    @classmethod
    def made(cls, hub: LocalHub, client: HubClient, *, branch: str = "main", exists: bool = True) -> World:
        seed = next(_numbers)
        repo_id = f"acme/market-{seed}"
        if not exists:
            return cls(hub, client, repo_id, seed, branch, None)
        hub.add_dataset(repo_id)
        return cls(hub, client, repo_id, seed, branch, hub.commit(repo_id, OLD))

    @property
    def repository(self) -> Repository:
        return self.hub.repository(self.repo_id)

    @property
    def new(self) -> dict[str, bytes]:
        """The files after the publish."""
        files = {path: noise(1000 * self.seed + number, 3000) for number, path in enumerate(SHARDS)}
        files |= {path: text.encode() for path, text in NEW_TEXTS.items()}
        if self.start:
            files |= {new: OLD[old] for new, old in COPIES.items()}
            files["other/train-00000-of-00001.parquet"] = OLD["other/train-00000-of-00001.parquet"]
        return files

    def publish(self, **options: Any) -> Any:
        there = {"deletes": DELETES, "copies": COPIES} if self.start else {}
        return self.client.ask(
            "publish",
            repo_id=self.repo_id,
            branch=self.branch,
            create_pr=self.create_pr,
            files={path: [1000 * self.seed + number, 3000] for number, path in enumerate(SHARDS)},
            texts=NEW_TEXTS,
            **there,
            **options,
        )

    def commits(self) -> list[str]:
        """The commits that the branch got, oldest first."""
        ref = f"refs/heads/{self.branch}"
        try:
            history = [commit.sha for commit in self.repository.history(ref)] if ref in self.repository.refs else []
        except LookupError:  # there is no repository yet
            return []
        if self.start is None:
            return history[-2::-1]  # the first commit came with the repository
        return [*itertools.takewhile(lambda sha: sha != self.start, history)][::-1]

    def files(self, revision: str | None = None) -> dict[str, bytes]:
        revision = revision or self.branch
        paths = self.hub.paths(self.repo_id, revision)
        return {path: self.hub.read(self.repo_id, path, revision) for path in paths if path != ".gitattributes"}

    def assert_unchanged(self) -> None:
        assert self.commits() == []
        assert [pull.status for pull in self.repository.pulls.values() if pull.status == "open"] == []

    def assert_published(self, tag: str | None = None) -> None:
        """There is one commit with all of it, and no more."""
        assert len(self.commits()) == 1, self.commits()
        assert self.files() == self.new
        assert [pull.num for pull in self.repository.pulls.values() if pull.status == "open"] == []
        if tag:
            assert self.repository.refs[f"refs/tags/{tag}"] == self.commits()[0]

    def assert_no_half_state(self) -> None:
        """Each commit that the branch ever showed is the state before or the one after."""
        states = [self.files(sha) for sha in self.commits()]
        assert [state for state in states if state not in (OLD, self.new)] == []


# -- one fault at each call ------------------------------------------------------------------------------------------

# each call: which requests, and by which way of uploading it is made
CALLS = {
    "create": ("POST", "/api/repos/create", "xet"),
    "info": ("GET", r"/api/datasets/acme/market-\d+\?", "xet"),
    "refs": ("GET", "/refs", "xet"),
    "branch": ("POST", "/branch/", "xet"),
    "head": ("GET", "/revision/", "xet"),
    "tree": ("GET", "/tree/", "xet"),
    "preupload": ("POST", "/preupload/", "xet"),
    "lfs batch": ("POST", "/objects/batch", "lfs"),
    "lfs put": ("PUT", "^/lfs/", "lfs"),
    "lfs verify": ("POST", "/info/lfs/verify", "lfs"),
    "xet token": ("GET", "/xet-write-token/", "xet"),
    "xet xorb": ("POST", "/xet/v1/xorbs", "xet"),
    "xet shard": ("POST", "/xet/v1/shards", "xet"),
    "copied file": ("GET", "/resolve/", "xet"),
    "commit": ("POST", "/commit/", "xet"),
    "tag": ("POST", "/tag/", "xet"),
}
# what each of them is for people; None: it passes, the call is made again
FAULTS: dict[str, tuple[Fault, str | None]] = {
    "401": (Fault(status=401), "bad_token"),
    "403": (Fault(status=403), "forbidden"),
    "404": (Fault(status=404), "no_repository"),
    "409": (Fault(status=409), None),
    "412": (Fault(status=412), None),
    "413": (Fault(status=413), "payload_too_large"),
    "429": (Fault(status=429), None),
    "500": (Fault(status=500), None),
    "507": (Fault(status=507), "storage_quota"),
    "reset": (Fault(reset=True), None),
    "lost answer": (Fault(lose_answer=True), None),
}
PROBLEMS = {
    "bad_token": "Authentication required: the Hub does not accept the token (401)",
    "forbidden": "the token may not write to acme/market-",
    "no_repository": "Repository not found: acme/market-",
    "payload_too_large": "the request is too large for the Hub (413)",
    "storage_quota": "Storage quota exceeded (507)",
}


def expected(call: str, fault: str) -> str | None:
    """The reason of the error, None where the publish succeeds in spite of the fault."""
    if call == "commit" and fault == "413":
        return None  # in parts
    if call.startswith("xet") and fault == "507":
        return None  # hf_xet takes it for a failure of the server and tries again
    if call in ("lfs put", "xet xorb", "xet shard") and fault in ("401", "403", "404"):
        return None  # the object store's: its addresses expire, and the Hub is asked for another one
    if call == "copied file":  # a read
        return {"401": "bad_token", "404": "not_found"}.get(fault, FAULTS[fault][1])
    return FAULTS[fault][1]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("call", CALLS)
def test_one_fault_at_each_call(hub: LocalHub, clients: Mapping[str, HubClient], call: str, fault: str) -> None:
    method, route, way = CALLS[call]
    world = World.made(hub, clients[way], branch="dev" if call == "branch" else "main", exists=call != "create")
    effect = FAULTS[fault][0].to_json() | {"message": "see https://example.org/y?signature=SECRET"}
    armed = hub.faults.add(Fault(**effect | {"method": method, "route": route, "count": 1}))
    answer = world.publish(tag="v1")
    assert hub.faults.fired(armed) == 1
    assert not re.search("hf_alice|SECRET|/lfs/", str(answer)), "no text has a secret"
    reason = expected(call, fault)
    if reason is None:
        assert "error" not in answer, answer
        world.assert_published("v1")
    else:
        error = answer["error"]
        assert (error["reason"], error["status_code"]) == (reason, int(fault)), error
        assert call == "copied file" or PROBLEMS[reason] in error["problem"], error
        assert error["fix"]
        assert len(world.commits()) == (1 if call == "tag" else 0)
    world.assert_no_half_state()
    if reason is not None or method == "POST":
        hub.clear_log()
        again = world.publish(tag="v1")
        assert "error" not in again, again
        world.assert_published("v1")
        world.assert_no_half_state()
        assert len(hub.requests(method="POST", route="commit")) == (0 if again["commit"] is None else 1)
        assert (again["commit"] is None) is (reason is None or call == "tag")


# -- object stores and older Hubs -------------------------------------------------------------------------------------


def _s3(code: str) -> str:
    return f"<?xml version='1.0'?>\n<Error><Code>{code}</Code><Message>Said by the store.</Message></Error>"


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (403, "AccessDenied"),
        (403, "SignatureDoesNotMatch"),
        (400, "ExpiredToken"),
        (404, "NoSuchUpload"),
        (400, "RequestTimeout"),
        (400, "OperationAborted"),
        (503, "SlowDown"),
        (500, "InternalError"),
    ],
)
def test_an_object_store_that_refuses_an_address(
    hub: LocalHub, clients: Mapping[str, HubClient], status: int, code: str
) -> None:
    """The Hub gives another address; an error that stays names the store, and not the token."""
    world = World.made(hub, clients["lfs"])
    # the Hub's library repeats 5xx six times with the same address
    times = 6 if status >= 500 else 1
    armed = hub.faults.add(Fault(method="PUT", route="^/lfs/", status=status, body=_s3(code), count=times))
    answer = world.publish()
    assert "error" not in answer, answer
    assert hub.faults.fired(armed) == times
    addresses = [record.target for record in hub.requests(route="", method="PUT")]
    assert len(set(addresses)) == 2
    world.assert_published()


@pytest.mark.parametrize(("status", "code"), [(403, "AccessDenied"), (400, "RequestTimeout"), (400, "EntityTooSmall")])
def test_an_object_store_that_always_refuses(
    hub: LocalHub, clients: Mapping[str, HubClient], status: int, code: str
) -> None:
    world = World.made(hub, clients["lfs"])
    hub.faults.add(Fault(method="PUT", route="^/lfs/", status=status, body=_s3(code)))
    error = world.publish()["error"]
    assert error["status_code"] == status
    assert re.search(f"object store .*{status} {code}", error["problem"])
    assert not re.search("token|request is|Check the request", error["problem"] + error["fix"])
    world.assert_unchanged()


@pytest.mark.parametrize("status", [401, 403])
def test_a_chunk_store_that_always_refuses_is_not_the_fault_of_the_token(
    hub: LocalHub, client: HubClient, status: int
) -> None:
    """The Hub gave the token of the chunk store for the token of the user."""
    world = World.made(hub, client)
    hub.faults.add(Fault(route="/xet/v1/xorbs", status=status))
    error = world.publish()["error"]
    assert (error["type"], error["status_code"]) == ("HubUnavailable", status)
    assert "token" not in error["problem"] + error["fix"]


@pytest.mark.parametrize("status", [404, 405, 501])
@pytest.mark.parametrize("create_pr", [False, True])
def test_a_hub_without_xet_takes_uploads_by_lfs(tmp_path: Path, status: int, create_pr: bool) -> None:
    with LocalHub(settings=Settings(xet=status != 404)) as hub:
        hub.add_user("alice", role="write")
        hub.faults.add(Fault(route="/xet-write-token/", status=status))
        if status == 404:
            hub.faults.clear()
        with publishing(hub, "xet", tmp_path) as client:
            world = World.made(hub, client)
            world.create_pr = create_pr
            answer = world.publish()
            assert "error" not in answer, answer
            assert len(hub.requests(route="lfs_put")) == len(SHARDS)
            asked = len(hub.requests("/xet-write-token/"))
            assert asked == 2, "by hf_xet, and once without it"
            if not create_pr:
                world.assert_published()
            again = World.made(hub, client)
            assert "error" not in again.publish()
            assert len(hub.requests("/xet-write-token/")) == asked, "the process knows it now"


def test_a_repository_that_is_gone_is_not_taken_for_a_hub_without_xet(hub: LocalHub, client: HubClient) -> None:
    world = World.made(hub, client)
    hub.faults.add(Fault(route="/xet-write-token/", status=404, error_code="RepoNotFound"))
    assert world.publish()["error"]["reason"] == "no_repository"
    assert not hub.requests(route="lfs_put")


def test_bytes_count_as_sent_where_the_answer_is_lost(hub: LocalHub, clients: Mapping[str, HubClient]) -> None:
    world = World.made(hub, clients["lfs"])
    ask = {"repo_id": world.repo_id, "path": "data/x.parquet", "content": [7_000_000 + world.seed, 3000]}
    hub.faults.add(Fault(route="/info/lfs/verify", lose_answer=True, count=1))
    assert clients["lfs"].ask("upload", **ask)["found"]["sent_bytes"] == 3000
    assert clients["lfs"].ask("upload", **ask)["found"]["sent_bytes"] == 0


@pytest.mark.parametrize(
    "message",
    [
        "Private repository storage limit reached, please upgrade your plan to increase your private storage limit.",
        "Storage quota of the organisation is exceeded",
    ],
)
def test_a_full_account_is_not_the_fault_of_the_token(hub: LocalHub, client: HubClient, message: str) -> None:
    world = World.made(hub, client)
    hub.faults.add(Fault(route="/commit/", status=403, message=message))
    error = world.publish()["error"]
    assert (error["type"], error["reason"], error["status_code"]) == ("QuotaExceeded", "storage_quota", 403)
    assert message in error["problem"]
    assert "token" not in error["fix"]


def test_every_request_names_the_program_and_its_version(hub: LocalHub, clients: Mapping[str, HubClient]) -> None:
    for client in clients.values():
        world = World.made(hub, client)
        assert "error" not in world.publish(tag="v1")
    stores = ("lfs_put", "xet_not_offered", "xet_telemetry")
    named = [record for record in hub.requests() if record.route not in stores]
    assert [(record.target, record.agent) for record in named if f"hugflow/{__version__}" not in record.agent] == []


# -- faults that stay ------------------------------------------------------------------------------------------------

STAYING = {
    "409": "hub_conflict",
    "412": "hub_conflict",
    "429": "rate_limited",
    "500": "hub_error",
    "reset": "network",
    "lost answer": "network",
}


@pytest.mark.parametrize("fault", STAYING)
@pytest.mark.parametrize("call", ["create", "branch", "tree", "preupload", "lfs batch", "commit", "tag"])
def test_attempts_are_bounded(hub: LocalHub, clients: Mapping[str, HubClient], call: str, fault: str) -> None:
    method, route, way = CALLS[call]
    world = World.made(hub, clients[way], branch="dev" if call == "branch" else "main", exists=call != "create")
    armed = hub.faults.add(Fault(**FAULTS[fault][0].to_json() | {"method": method, "route": route}))
    answer = world.publish(tag="v1", hub={"max_retries": 2})
    # a lost answer is found out: what was asked for stands there
    done = fault == "lost answer" and call == "commit"
    assert ("error" not in answer) is done, answer
    if not done:
        assert answer["error"]["reason"] == STAYING[fault], answer
        assert len(world.commits()) == (1 if call == "tag" else 0)
    assert hub.faults.fired(armed) == (1 if done else 3)
    hub.faults.clear()
    assert "error" not in world.publish(tag="v1")
    world.assert_published("v1")
    world.assert_no_half_state()


@pytest.mark.parametrize("as_date", [False, True])
@pytest.mark.parametrize("call", ["create", "branch", "preupload", "commit", "tag"])
def test_the_hub_says_when_to_come_back(hub: LocalHub, client: HubClient, call: str, as_date: bool) -> None:
    method, route, _ = CALLS[call]
    world = World.made(hub, client, branch="dev" if call == "branch" else "main", exists=call != "create")
    fault = Fault(method=method, route=route, status=429, retry_after_s=40, retry_after_as_date=as_date, count=1)
    hub.faults.add(fault)
    (slept,) = world.publish(tag="v1")["slept"]
    assert 35 <= slept <= 40
    world.assert_published("v1")


@pytest.mark.parametrize("as_date", [False, True])
def test_it_says_so_for_uploads_too(hub: LocalHub, clients: Mapping[str, HubClient], as_date: bool) -> None:
    """The library waits by itself; hf_xet does not listen, so that the Hub is asked again without it."""
    world = World.made(hub, clients["lfs"])
    hub.faults.add(Fault(route="^/lfs/", status=429, retry_after_s=1, retry_after_as_date=as_date, count=1))
    assert "error" not in world.publish()
    world.assert_published()
    world = World.made(hub, clients["xet"])
    fault = Fault(route="/xet-write-token/", status=429, retry_after_s=40, retry_after_as_date=as_date, count=3)
    hub.faults.add(fault)
    (slept,) = world.publish()["slept"]
    assert 35 <= slept <= 40
    world.assert_published()


# -- lost answers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("retries", [0, 2])
def test_a_lost_answer_makes_no_second_commit(hub: LocalHub, client: HubClient, retries: int) -> None:
    world = World.made(hub, client)
    hub.faults.add(Fault(route="/commit/", lose_answer=True))
    answer = world.publish(hub={"max_retries": retries})
    world.assert_published()
    assert answer["commit"]["sha"] == world.commits()[0]
    assert len(hub.requests(method="POST", route="commit")) == 1
    assert len(answer["slept"]) == min(retries, 1)


def test_somebody_commits_on_top_of_the_commit_whose_answer_is_lost(hub: LocalHub, client: HubClient) -> None:
    world = World.made(hub, client)
    hub.faults.add(Fault(route="/commit/", lose_answer=True))
    hub.faults.add(Fault(route="/revision/", nth=2, delay_s=0.3))  # when it is looked whether it was made
    ours: list[str] = []

    def somebody() -> None:
        """Changes one of our own files at once, and another one."""
        wait_for(lambda: bool(world.commits()))
        ours.append(world.commits()[0])
        hub.commit(world.repo_id, {"spec.json": b"theirs", "theirs.txt": b""})

    with running_beside(somebody):
        answer = world.publish()
    assert [answer["commit"]["sha"]] == ours == world.commits()[:1]
    assert len(world.commits()) == 2
    assert world.files()["spec.json"] == b"theirs"


def test_a_commit_that_lands_after_its_time_out(hub: LocalHub, client: HubClient) -> None:
    """The Hub works on; the second attempt is refused by it, and finds the first one."""
    world = World.made(hub, client)
    hub.faults.add(Fault(route="/commit/", delay_s=0.8, count=1))
    answer = world.publish(hub={"read_timeout_s": 0.4, "max_retries": 8, "backoff": 0.3}, real_sleep=True)
    assert "error" not in answer, answer
    wait_for(lambda: bool(world.commits()))
    world.assert_published()
    assert answer["commit"]["sha"] == world.commits()[0]


def test_a_tag_or_branch_whose_answer_is_lost(hub: LocalHub, client: HubClient) -> None:
    world = World.made(hub, client, branch="dev")
    hub.faults.add(Fault(method="POST", route="/(branch|tag)/", lose_answer=True, count=2))
    answer = world.publish(tag="v1")
    assert "error" not in answer, answer
    world.assert_published("v1")


# -- heads that move -------------------------------------------------------------------------------------------------


def wait_for(there: Callable[[], object]) -> None:
    """Wait for something that comes soon."""
    ends = time.monotonic() + 20
    while not there():
        assert time.monotonic() < ends, "it did not come"
        time.sleep(0.005)


@contextmanager
def running_beside(what: Callable[[], object]) -> Iterator[None]:
    """Something that happens meanwhile; its failure is the test's."""
    with ThreadPoolExecutor(1) as thread:
        done = thread.submit(what)
        yield
        done.result(30)


def moving(hub: LocalHub, world: World, files: Mapping[str, bytes], times: int = 1) -> AbstractContextManager[None]:
    """Somebody else commits in the moment in which our commit is asked for, so that it comes too late."""
    hub.faults.add(Fault(route="/commit/", delay_s=0.3, count=times))

    def somebody() -> None:
        for number in range(times):
            wait_for(lambda number=number: len(hub.faults.to_json()) and hub.faults.to_json()[0]["fired"] > number)
            hub.commit(world.repo_id, {path: data + str(number).encode() for path, data in files.items()})

    return running_beside(somebody)


def test_what_others_change_elsewhere_is_kept(hub: LocalHub, client: HubClient) -> None:
    world = World.made(hub, client)
    with moving(hub, world, {"other/train-00000-of-00001.parquet": b"PAR1 newer ", "notes.txt": b"a note "}, times=2):
        answer = world.publish()
    assert "error" not in answer, answer
    assert len(world.commits()) == 3
    assert len(answer["built"]) == 3
    assert answer["built"][1:] == world.commits()[:2]
    theirs = {"other/train-00000-of-00001.parquet": b"PAR1 newer 1", "notes.txt": b"a note 1"}
    assert world.files() == world.new | theirs
    assert sent_once(hub)


def sent_once(hub: LocalHub) -> bool:
    sent = [record.bytes_received for record in hub.requests() if record.route in ("lfs_put", "xet_xorb")]
    return sum(sent) < 2 * 3000 * 1.2


def test_what_others_change_in_our_paths_is_not_overwritten(hub: LocalHub, client: HubClient) -> None:
    world = World.made(hub, client)
    with moving(hub, world, {"data/train-00000-of-00002.parquet": b"PAR1 theirs ", "notes.txt": b"a note "}):
        error = world.publish()["error"]
    (theirs,) = world.commits()
    assert (error["type"], error["reason"]) == ("MovedHead", "moved_head")
    assert error["paths"] == ["data/train-00000-of-00002.parquet"]
    assert theirs[:12] in error["problem"]
    assert "data/train-00000-of-00002.parquet" in error["problem"]
    assert "notes.txt" not in error["problem"]
    assert world.files()["data/train-00000-of-00002.parquet"] == b"PAR1 theirs 0"


def test_what_others_changed_since_the_run_began(hub: LocalHub, client: HubClient) -> None:
    world = World.made(hub, client)
    hub.commit(world.repo_id, {"notes.txt": b"elsewhere"})
    base = world.start
    assert "error" not in world.publish(base=base)
    assert world.files()["notes.txt"] == b"elsewhere"
    world = World.made(hub, client)
    hub.commit(world.repo_id, {"data/test-00000-of-00001.parquet": b"PAR1"})
    assert world.publish(base=world.start)["error"]["reason"] == "moved_head"
    assert len(world.commits()) == 1
    # asked for again, with that state before the eyes, it is meant
    assert "error" not in world.publish(base=world.commits()[0])


def test_two_that_publish_the_same_make_one_commit(hub: LocalHub, clients: Mapping[str, HubClient]) -> None:
    world = World.made(hub, clients["xet"])
    second = World(hub, clients["lfs"], world.repo_id, world.seed, "main", world.start)
    answers: list[Any] = []
    with running_beside(lambda: answers.append(second.publish(base=world.start))):
        answers.append(world.publish(base=world.start))
    assert [answer for answer in answers if "error" in answer] == []
    world.assert_published()


def test_two_tables_published_at_once_are_both_there(hub: LocalHub, clients: Mapping[str, HubClient]) -> None:
    world = World.made(hub, clients["xet"])
    texts = {f"other/{number}.txt": str(number) for number in range(3)}

    def other() -> None:
        answer = clients["lfs"].ask("publish", repo_id=world.repo_id, texts=texts, touched="other/")
        assert "error" not in answer, answer

    with running_beside(other):
        assert "error" not in world.publish()
    assert world.files() == world.new | {path: text.encode() for path, text in texts.items()}
    assert len(world.commits()) == 2


def test_a_head_that_never_stands_still(hub: LocalHub, client: HubClient) -> None:
    world = World.made(hub, client)
    with moving(hub, world, {"notes.txt": b"again "}, times=5):
        error = world.publish()["error"]
    assert (error["type"], error["reason"]) == ("Conflict", "hub_conflict")
    assert "moved 5 times" in error["problem"]
    assert len(world.commits()) == 5


# -- pull requests ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["lost answer", "reset", "500", "409"])
def test_one_pull_request(hub: LocalHub, client: HubClient, fault: str) -> None:
    world = World.made(hub, client)
    world.create_pr = True
    hub.faults.add(Fault(**FAULTS[fault][0].to_json() | {"route": "/commit/", "count": 1}))
    answer = world.publish()
    assert answer["commit"]["pr_url"] == f"{hub.url}/datasets/{world.repo_id}/discussions/1"
    assert world.commits() == []
    assert world.files("refs/pr/1") == world.new
    again = world.publish()
    assert again["commit"] == answer["commit"]
    assert len(world.repository.pulls) == 1


def test_a_pull_request_into_a_branch(hub: LocalHub, client: HubClient) -> None:
    world = World.made(hub, client, branch="dev")
    world.create_pr = True
    world.publish()
    (pull,) = world.repository.pulls.values()
    assert (pull.base, pull.title, pull.description) == ("dev", "publish", "why")


def test_another_pull_request_with_the_same_title_is_left_alone(hub: LocalHub, client: HubClient) -> None:
    world = World.made(hub, client)
    world.create_pr = True
    client.ask("publish", repo_id=world.repo_id, create_pr=True, texts={"a.txt": "1"})
    assert world.publish()["commit"]["pr_url"].endswith("/discussions/2")


# -- commits that are too large --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalHub, HubClient]]:
    """A Hub that takes two operations a commit."""
    with LocalHub(settings=Settings(max_operations=2)) as hub:
        hub.add_user("alice", role="write")
        with publishing(hub, "lfs", tmp_path_factory.mktemp("narrow")) as client:
            yield hub, client
            hub.faults.clear()


@pytest.mark.parametrize("branch", ["main", "dev"])
def test_a_commit_that_is_too_large_is_split_and_shown_at_once(narrow: tuple[LocalHub, HubClient], branch: str) -> None:
    world = World.made(*narrow, branch=branch)
    answer = world.publish(tag="v1")
    assert "error" not in answer, answer
    world.assert_published("v1")
    world.assert_no_half_state()
    assert [pull.status for pull in world.repository.pulls.values()] == ["merged"]
    assert answer["commit"] == {
        "sha": world.commits()[0],
        "url": f"{world.hub.url}/datasets/{world.repo_id}/commit/{world.commits()[0]}",
        "pr_url": None,
    }
    assert world.publish(tag="v1")["commit"] is None


def test_a_pull_request_that_is_too_large_gets_several_commits(narrow: tuple[LocalHub, HubClient]) -> None:
    world = World.made(*narrow)
    world.create_pr = True
    answer = world.publish()
    assert answer["commit"]["pr_url"].endswith("/discussions/1")
    assert world.commits() == []
    assert world.files("refs/pr/1") == world.new
    assert answer["commit"]["sha"] == world.repository.refs["refs/pr/1"]
    assert world.publish()["commit"] == answer["commit"]
    assert len(world.repository.pulls) == 1


@pytest.mark.parametrize("fault", ["401", "reset", "500", "lost answer"])
@pytest.mark.parametrize("nth", [2, 3, 4])
def test_a_split_commit_survives_faults(narrow: tuple[LocalHub, HubClient], fault: str, nth: int) -> None:
    world = World.made(*narrow)
    world.hub.faults.add(Fault(**FAULTS[fault][0].to_json() | {"route": "/commit/", "nth": nth}))
    answer = world.publish()
    world.hub.faults.clear()
    if fault == "401":
        assert answer["error"]["reason"] == "bad_token"
        world.assert_unchanged()
        answer = world.publish()
    assert "error" not in answer, answer
    world.assert_published()
    world.assert_no_half_state()


def test_the_parts_of_a_run_that_ended_in_the_middle_are_taken_up(narrow: tuple[LocalHub, HubClient]) -> None:
    world = World.made(*narrow)
    world.hub.faults.add(Fault(route="/commit/", nth=4, status=401))
    world.hub.faults.add(Fault(route="/status", status=401))  # nor can the pull request be closed
    assert "error" in world.publish()
    world.hub.faults.clear()
    assert [pull.status for pull in world.repository.pulls.values()] == ["open"]
    assert "error" not in world.publish()
    world.assert_published()
    assert [pull.status for pull in world.repository.pulls.values()] == ["merged"]


def test_the_head_moves_while_the_parts_are_committed(narrow: tuple[LocalHub, HubClient]) -> None:
    """They were made for another head: they are made anew, not merged into what is there now."""
    world = World.made(*narrow)
    world.hub.faults.add(Fault(route="/commit/refs", delay_s=0.3, count=1))

    def somebody() -> None:
        wait_for(lambda: world.hub.faults.to_json()[0]["fired"] == 1)
        world.hub.commit(world.repo_id, {"notes.txt": b"theirs"})

    with running_beside(somebody):
        answer = world.publish()
    world.hub.faults.clear()
    assert "error" not in answer, answer
    assert len(answer["built"]) == 2
    assert world.files() == world.new | {"notes.txt": b"theirs"}
    assert len(world.commits()) == 2
    assert [pull.status for pull in world.repository.pulls.values()] == ["closed", "merged"]


@pytest.mark.parametrize("fault", ["403", "409", "500", "lost answer"])
def test_the_merge_of_a_split_commit_fails(narrow: tuple[LocalHub, HubClient], fault: str) -> None:
    world = World.made(*narrow)
    world.hub.faults.add(Fault(**FAULTS[fault][0].to_json() | {"route": "/merge", "count": 1}))
    answer = world.publish()
    world.hub.faults.clear()
    if fault == "403":
        assert answer["error"]["reason"] == "forbidden"
        world.assert_unchanged()
        answer = world.publish()
    assert "error" not in answer, answer
    world.assert_published()


def test_one_file_that_is_too_large(hub: LocalHub, client: HubClient) -> None:
    world = World.made(hub, client)
    hub.faults.add(Fault(route="/commit/", status=413))
    error = world.publish()["error"]
    assert (error["type"], error["reason"], error["status_code"]) == ("TooLarge", "payload_too_large", 413)
    assert "alone is too large" in error["problem"]
    world.assert_unchanged()
