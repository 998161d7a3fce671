"""Writing to a repository on the Hub over real sockets: creation, reads, uploads, tags, refusals."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi
from hypothesis import given, settings
from hypothesis import strategies as st

from hugflow.hf_client.http import Hub
from hugflow.hf_client.write.commits import commit_body, number_of
from hugflow.hf_client.write.repository import Head, RepoFile, Repository, Upload, git_blob_id, upload_of
from hugflow.model.errors import StorageFault
from hugflow.publish.commit import Changes, pending
from localhub import Fault, LocalHub, Settings
from localhub.store.objects import git_oid
from tests.conftest import _safe_environ
from tests.support.hub_client import HubClient
from tests.support.publish_client import WAYS, noise, publishing, sha256

REPO = "acme/market"
SIZE = 300_000
CARD = "---\nlicense: mit\n---\n# Market\n"


@pytest.fixture(scope="module")
def running() -> Iterator[LocalHub]:
    with LocalHub(settings=Settings(page_size=7, multipart_from=250_000, part_size=70_000)) as hub:
        hub.add_user("alice", role="write")
        hub.add_user("reader")
        hub.add_user("guest", role="write", orgs=())
        yield hub


@pytest.fixture
def hub(running: LocalHub) -> Iterator[LocalHub]:
    running.add_dataset(REPO)
    running.commit(REPO, {".gitattributes": b""})
    running.clear_log()
    yield running
    running.faults.clear()
    HfApi(endpoint=running.url, token="hf_alice").delete_repo(REPO, repo_type="dataset")


@pytest.fixture(scope="module")
def clients(running: LocalHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, HubClient]]:
    """One client for each way of uploading."""
    folders = [tmp_path_factory.mktemp(way) for way in WAYS]
    with publishing(running, WAYS[0], folders[0]) as first, publishing(running, WAYS[1], folders[1]) as second:
        yield dict(zip(WAYS, (first, second), strict=True))


@pytest.fixture
def client(clients: Mapping[str, HubClient]) -> HubClient:
    return clients["xet"]


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def by(clients: Mapping[str, HubClient], way: str) -> HubClient:
    """A client for each way, one after the other."""
    return clients[way]


def found(client: HubClient, method: str, *args: Any, **fields: Any) -> Any:
    answer = client.ask("repository", method=method, args=args, **{"repo_id": REPO} | fields)
    assert "error" not in answer, answer
    return answer["found"]


def refused(client: HubClient, question: str, **fields: Any) -> dict[str, Any]:
    answer = client.ask(question, **{"repo_id": REPO} | fields)
    assert "error" in answer, answer
    error: dict[str, Any] = answer["error"]
    assert error["fix"], error
    return error


def published(client: HubClient, **fields: Any) -> Any:
    answer = client.ask("publish", **{"repo_id": REPO} | fields)
    assert "error" not in answer, answer
    return answer


def sent_bytes(hub: LocalHub) -> int:
    """The bytes of files that came in."""
    routes = ("lfs_put", "lfs_put_part", "xet_xorb")
    return sum(record.bytes_received for record in hub.requests() if record.route in routes)


# -- repositories, branches, tags ------------------------------------------------------------------------------------


@pytest.mark.parametrize("private", [True, False])
def test_a_repository_is_made_once(client: HubClient, hub: LocalHub, private: bool) -> None:
    name = f"acme/new-{private}"
    assert found(client, "info", repo_id=name) is None
    assert found(client, "ensure", repo_id=name, with_private=private) is True
    assert found(client, "info", repo_id=name) == {"private": private}
    assert found(client, "ensure", repo_id=name, with_private=not private) is False
    assert found(client, "info", repo_id=name) == {"private": private}, "one that exists stays as it is"
    assert len(hub.requests(route="create_repo")) == 1


def test_what_cannot_be_seen_is_not_there(client: HubClient, hub: LocalHub) -> None:
    hub.add_dataset("acme/secret", private=True)
    assert found(client, "info", repo_id="acme/secret") == {"private": True}
    assert found(client, "info", repo_id="acme/secret", hub={"token": "hf_reader"}) is None
    assert found(client, "info", repo_id="acme/secret", hub={"token": None}) is None
    assert found(client, "info", hub={"token": None}) == {"private": False}
    assert refused(client, "repository", method="info", hub={"token": "hf_wrong"})["status_code"] == 401


def test_a_branch_is_made_from_the_head_of_main(client: HubClient, hub: LocalHub) -> None:
    head = hub.commit(REPO, {"a.txt": b"1"})
    assert found(client, "has_branch", branch="dev/1") is False
    assert found(client, "ensure_branch", branch="dev/1") is True
    assert found(client, "head", branch="dev/1") == head
    moved = hub.commit(REPO, {"a.txt": b"2"}, branch="dev/1")
    assert found(client, "ensure_branch", branch="dev/1") is False
    assert found(client, "head", branch="dev/1") == moved
    assert found(client, "ensure_branch") is False
    assert refused(client, "repository", method="head", branch="gone")["reason"] == "no_revision"


def test_a_tag_does_not_move(client: HubClient, hub: LocalHub) -> None:
    first = hub.commit(REPO, {"a.txt": b"1"})
    assert found(client, "tag", "v1", first) is True
    assert found(client, "tag", "v1", first) is False
    assert found(client, "tags") == {"v1": first}
    assert found(client, "check_tag", "v1", first) is None
    assert found(client, "check_tag", "v2", None) is None
    second = hub.commit(REPO, {"a.txt": b"2"})
    for method, args in (("tag", ["v1", second]), ("check_tag", ["v1", second]), ("check_tag", ["v1", None])):
        error = refused(client, "repository", method=method, args=args)
        assert (error["reason"], error["type"]) == ("tag_exists", "Terminal")
        assert first[:12] in error["problem"]
    assert found(client, "tags") == {"v1": first}


# -- reading ---------------------------------------------------------------------------------------------------------


def test_the_files_of_all_pages_with_their_hashes(client: HubClient, hub: LocalHub) -> None:
    files = {f"data/{number}/é {number}.parquet": noise(number, 100 + number) for number in range(20)}
    files["README.md"] = CARD.encode()
    sha = hub.commit(REPO, files)
    there = found(client, "files", sha)
    assert there.keys() == {*files, ".gitattributes"}
    assert len(hub.requests(route="tree")) > 3
    for path, data in files.items():
        large = path.endswith(".parquet")
        assert there[path]["size_bytes"] == len(data)
        assert there[path]["sha256"] == (sha256(data) if large else None)
        assert (there[path]["blob_id"] == git_oid(len(data), [data])) is not large
    assert found(client, "read_head") == {"sha": sha, "files": there}


def test_a_small_file_is_read_at_a_commit(client: HubClient, hub: LocalHub) -> None:
    old = hub.commit(REPO, {"README.md": b"old", "é #1.json": b"{}", "empty.txt": b"", "a.parquet": b"PAR1"})
    hub.commit(REPO, {"README.md": b"new"})
    assert found(client, "read", "README.md", old) == "old"
    assert found(client, "read", "é #1.json", old) == "{}"
    assert found(client, "read", "empty.txt", old) == ""
    assert found(client, "read", "a.parquet", old) == "PAR1"
    assert found(client, "read", "gone.txt", old) is None


def test_what_is_read_has_the_hash_that_the_hub_lists(client: HubClient, hub: LocalHub) -> None:
    sha = hub.commit(REPO, {"README.md": CARD.encode(), "huge.bin": b"\0" * (21 << 20)})
    hub.faults.add(Fault(route="/resolve/", corrupt=True, count=1))
    assert found(client, "read", "README.md", sha) == CARD
    hub.faults.add(Fault(route="/resolve/", corrupt=True))
    assert refused(client, "repository", method="read", args=["README.md", sha])["reason"] == "hash_mismatch"
    assert "over 20971520" in refused(client, "repository", method="read", args=["huge.bin", sha])["problem"]


@given(st.binary(max_size=5000))
@settings(max_examples=50)
def test_a_file_is_known_by_its_hash(data: bytes) -> None:
    assert git_blob_id(data) == git_oid(len(data), [data])
    git, lfs = RepoFile(len(data), None, git_blob_id(data)), RepoFile(len(data), sha256(data), "of the pointer")
    assert git.has_bytes_of(upload_of(data))
    assert lfs.has_bytes_of(upload_of(data))
    assert lfs.has_bytes_of(Upload(len(data), sha256(data)))
    assert not git.has_bytes_of(upload_of(data + b"x"))
    assert not lfs.has_bytes_of(upload_of(data + b"x"))
    assert not git.has_bytes_of(Upload(len(data), sha256(data)))  # the bytes are not known


# -- uploads ---------------------------------------------------------------------------------------------------------


def test_a_file_is_uploaded_before_its_name_is_known(by: HubClient, way: str, hub: LocalHub) -> None:
    """The file is gone, and the number of shards is known, before the commit names it."""
    content = [11 + len(way), SIZE]
    data = noise(*content)
    made = published(by, files={"data/train-00000-of-00001.parquet": content}, texts={"README.md": CARD})
    assert hub.repository(REPO).head.sha == made["commit"]["sha"]
    assert made["commit"]["url"] == f"{hub.url}/datasets/{REPO}/commit/{made['commit']['sha']}"
    assert hub.paths(REPO) == [".gitattributes", "README.md", "data/train-00000-of-00001.parquet"]
    assert hub.read(REPO, "data/train-00000-of-00001.parquet") == data
    assert bool(hub.requests(route="xet_shard")) is (way == "xet")
    parts = [record.bytes_received for record in hub.requests(route="lfs_put_part")]
    assert parts == ([] if way == "xet" else [70_000] * 4 + [20_000])


def test_what_the_hub_has_is_not_sent_again(by: HubClient, way: str, hub: LocalHub) -> None:
    content = [21 + len(way), SIZE]
    published(by, files={"data/a.parquet": content})
    assert sent_bytes(hub) > SIZE * 0.9
    hub.clear_log()
    answer = by.ask("upload", repo_id=REPO, path="data/b.parquet", content=content)
    digest = sha256(noise(*content))
    assert answer["found"] == {"size_bytes": SIZE, "sha256": digest, "content": None, "sent_bytes": 0}
    assert found(by, "find", digest, SIZE) == answer["found"]
    assert found(by, "find", sha256(b"never seen"), 10) is None
    assert sent_bytes(hub) == 0
    assert not hub.requests(route="xet_write_token"), "nor was the file cut into chunks"
    again = published(by, files={"data/a.parquet": content})
    assert (again["commit"], sent_bytes(hub)) == (None, 0)
    assert hub.requests(route="commit") == []


def test_another_process_commits_what_was_uploaded_by_one_that_is_gone(
    running: LocalHub, hub: LocalHub, way: str, clients: Mapping[str, HubClient], tmp_path: Path
) -> None:
    content = [31 + len(way), SIZE]
    with publishing(running, way, tmp_path) as gone:
        assert gone.ask("upload", repo_id=REPO, path="data/x.parquet", content=content)["found"]
        gone.process.kill()
        assert gone.process.wait(20) == -signal.SIGKILL
        gone.process.returncode = 0  # the client expects an orderly end
    hub.clear_log()
    published(clients[way], known={"data/train.parquet": [sha256(noise(*content)), SIZE]})
    assert hub.read(REPO, "data/train.parquet") == noise(*content)
    assert sent_bytes(hub) == 0


def test_an_upload_that_the_hub_has_lost(by: HubClient, hub: LocalHub) -> None:
    head = hub.repository(REPO).head.sha
    error = refused(by, "publish", known={"data/train.parquet": [sha256(b"never sent"), 10]}, texts={"README.md": CARD})
    assert (error["type"], error["reason"], error["status_code"]) == ("MissingUploads", "missing_uploads", 400)
    assert error["paths"] == ["data/train.parquet"]
    assert hub.repository(REPO).head.sha == head


def test_another_file_than_announced_is_not_committed(by: HubClient, way: str, hub: LocalHub) -> None:
    """The hash of a shard was taken when it was written: bytes that changed since are other bytes."""
    announced = sha256(b"as it was written" + way.encode())
    by.ask("upload", repo_id=REPO, path="data/a.parquet", content=[41, 2000], announced=announced)
    error = refused(by, "publish", known={"data/a.parquet": [announced, 2000]})
    assert error["reason"] == "missing_uploads"


def test_small_files_and_odd_ones_travel_in_the_commit(by: HubClient, hub: LocalHub) -> None:
    texts = {"notes/a.txt": "text", "spec.json": "{}", "empty.parquet": ""}
    published(by, texts=texts, files={"plain/x.csv": "a,b\n1,2\n"} | {"data/empty.parquet": ""})
    files = hub.repository(REPO).head.tree.files
    # the Hub decides by the name under which a file is announced: here one of a parquet file
    assert {path for path, blob in files.items() if blob.lfs} == {"plain/x.csv"}
    assert {path: hub.read(REPO, path).decode() for path in texts} == texts
    answer = by.ask("upload", repo_id=REPO, path="plain/x.csv", content="a,b\n1,2\n")
    assert answer["found"]["content"] == "a,b\n1,2\n"


def test_a_gitignore_of_the_repository_holds_nothing_back(by: HubClient, way: str, hub: LocalHub) -> None:
    hub.commit(REPO, {".gitignore": b"data/\n*.json\n"})
    content = [51 + len(way), SIZE]
    published(by, files={"data/a.parquet": content}, texts={"spec.json": "{}"})
    assert hub.read(REPO, "data/a.parquet") == noise(*content)
    assert hub.read(REPO, "spec.json") == b"{}"


def test_memory_stays_flat_by_lfs(clients: Mapping[str, HubClient], hub: LocalHub) -> None:
    """By Xet it is flat too, but only beyond the 400 MB that hf_xet may keep on their way (docs/decisions/0011)."""
    client = clients["lfs"]
    for name, size in (("a", 1 << 20), ("b", 96 << 20)):
        answer = client.ask("upload", repo_id=REPO, path=f"data/{name}.parquet", content=[7000, size])
        assert "error" not in answer, answer
    assert answer["grown_bytes"] < 16 << 20, answer


WITHOUT_XET = """
import sys, importlib.metadata as metadata
sys.modules["hf_xet"] = None
real = metadata.version
def version(name):
    if name.replace("-", "_") == "hf_xet":
        raise metadata.PackageNotFoundError(name)
    return real(name)
metadata.version = version
from huggingface_hub.utils._runtime import is_xet_available
assert not is_xet_available()
from tests.support.publish_client import publish
print(publish(files={"data/a.parquet": [71, 300_000]}, repo_id="acme/market"))
"""


def test_without_hf_xet_lfs_is_used(running: LocalHub, hub: LocalHub, tmp_path: Path, repo_root: Path) -> None:
    environ = _safe_environ(tmp_path) | {"HF_ENDPOINT": running.url}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_XET],
        cwd=repo_root,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert hub.read(REPO, "data/a.parquet") == noise(71, 300_000)
    assert hub.requests(route="lfs_complete")
    assert not hub.requests(route="xet_shard")


ANOTHER_XET = """
import sys, types
other = types.ModuleType("hf_xet")
class XetAuthenticationError(PermissionError): pass
class Session:
    def new_upload_commit(self, **options):
        raise {error}
other.XetSession, other.COMPUTE_SHA256 = Session, None
sys.modules["hf_xet"] = other
from hugflow.model.errors import HugflowError
from tests.support.publish_client import publish
try:
    publish(files={{"data/a.parquet": [72, 3000]}}, repo_id="acme/market")
except HugflowError as error:
    print(type(error).__name__, error.reason, error.status_code)
"""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ('XetAuthenticationError("no")', "AuthenticationError bad_token 401"),
        ('FileNotFoundError("no such object")', "HubUnavailable hub_error None"),
        ('ConnectionError("Network error: HTTP status client error (403 Forbidden)")', "Forbidden forbidden 403"),
        ('ConnectionError("in words of another release: 403")', "HubUnavailable network None"),
        ('RuntimeError("internal error")', "Terminal failed None"),
        ("OSError(5, 'Input/output error')", "StorageFault io_error None"),
    ],
)
def test_whatever_hf_xet_raises_becomes_an_error_for_people(
    running: LocalHub, hub: LocalHub, tmp_path: Path, repo_root: Path, error: str, said: str
) -> None:
    """Another release of it may raise other errors; the real one's are met in tests/faults/test_publish_commit.py."""
    done = subprocess.run(
        [sys.executable, "-c", ANOTHER_XET.format(error=error)],
        cwd=repo_root,
        env=_safe_environ(tmp_path) | {"HF_ENDPOINT": running.url},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout.strip() == said, done.stderr
    assert hub.paths(REPO) == [".gitattributes"]


def test_a_file_that_is_gone_is_a_fault_of_the_storage(tmp_path: Path) -> None:
    nowhere = Repository(Hub("http://127.0.0.1:9"), REPO)
    with pytest.raises(StorageFault):
        nowhere.upload(tmp_path / "gone", "data/a.parquet", sha256="0" * 64, size_bytes=1)


# -- the card --------------------------------------------------------------------------------------------------------


def test_the_hub_checks_the_card(client: HubClient, hub: LocalHub) -> None:
    assert client.ask("check_card", repo_id=REPO, card=CARD)["found"] == []
    assert client.ask("check_card", repo_id=REPO, card="# Nothing\n")["found"] == [
        "empty or missing yaml metadata in repo card"
    ]
    error = refused(client, "check_card", card="---\nlicense: no-such-licence\n---\n")
    assert (error["type"], error["reason"]) == ("InvalidRequest", "invalid_card")
    assert "license" in error["problem"]


@pytest.mark.parametrize("fault", [Fault(status=404), Fault(status=500), Fault(status=401), Fault(reset=True)])
def test_a_card_that_cannot_be_checked_is_warned_of(client: HubClient, hub: LocalHub, fault: Fault) -> None:
    hub.faults.add(Fault(**fault.to_json() | {"route": "/api/validate-yaml"}))
    (warning,) = client.ask("check_card", repo_id=REPO, card=CARD)["found"]
    assert warning.startswith("the Hub could not be asked to check the card: ")


# -- refusals --------------------------------------------------------------------------------------------------------


def test_without_a_token(client: HubClient, hub: LocalHub) -> None:
    error = refused(client, "publish", texts={"a.txt": "1"}, hub={"token": None})
    assert (error["type"], error["reason"], error["status_code"]) == ("AuthenticationError", "authentication", 401)
    assert error["problem"] == "Authentication required: there is no token (401)"
    assert "https://huggingface.co/settings/tokens" in error["fix"]
    assert "HF_TOKEN" in error["fix"]


@pytest.mark.parametrize("token", ["hf_reader", "hf_guest"])
def test_with_a_token_that_may_not_write(client: HubClient, hub: LocalHub, token: str) -> None:
    error = refused(client, "publish", texts={"a.txt": "1"}, hub={"token": token})
    assert (error["type"], error["reason"], error["status_code"]) == ("Forbidden", "forbidden", 403)
    assert f"may not write to {REPO}" in error["problem"]
    error = refused(client, "repository", method="ensure", repo_id="acme/x", with_private=False, hub={"token": token})
    assert error["reason"] == "forbidden"


def test_a_pull_request_needs_only_a_token_that_may_write(client: HubClient, hub: LocalHub) -> None:
    made = published(client, texts={"a.txt": "1"}, create_pr=True, hub={"token": "hf_guest"})
    assert made["commit"]["pr_url"] == f"{hub.url}/datasets/{REPO}/discussions/1"


def test_a_pull_request_of_a_guest_with_large_files(by: HubClient, way: str, hub: LocalHub) -> None:
    """The Hub takes their uploads by Xet only."""
    content = [55 + len(way), SIZE]
    fields = {"files": {"data/a.parquet": content}, "create_pr": True, "hub": {"token": "hf_guest"}}
    if way == "lfs":
        assert refused(by, "publish", **fields)["reason"] == "forbidden"
        return
    published(by, **fields)
    assert hub.read(REPO, "data/a.parquet", "refs/pr/1") == noise(*content)


def test_a_repository_that_is_not_there(client: HubClient, hub: LocalHub) -> None:
    error = refused(client, "publish", repo_id="acme/gone", texts={"a.txt": "1"}, ensure=False)
    assert (error["type"], error["reason"], error["status_code"]) == ("NotFoundError", "no_repository", 404)
    assert error["problem"] == "Repository not found: acme/gone"


def test_a_full_quota(tmp_path: Path, way: str) -> None:
    with LocalHub(settings=Settings(quota_bytes=SIZE + 1000)) as hub, publishing(hub, way, tmp_path) as client:
        hub.add_user("alice", role="write")
        published(client, files={"data/a.parquet": [81, SIZE]})
        head = hub.repository(REPO).head.sha
        error = refused(client, "publish", files={"data/b.parquet": [82, SIZE]})
        assert (error["type"], error["reason"], error["status_code"]) == ("QuotaExceeded", "storage_quota", 507)
        assert error["problem"].startswith("Storage quota exceeded (507)")
        assert hub.repository(REPO).head.sha == head


def test_questions_that_are_too_large_are_halved(tmp_path: Path) -> None:
    with LocalHub(settings=Settings(max_objects=3)) as hub, publishing(hub, "lfs", tmp_path) as client:
        hub.add_user("alice", role="write")
        texts = {f"notes/{number}.txt": str(number) for number in range(20)}
        published(client, texts=texts)
        assert {path: hub.read(REPO, path).decode() for path in texts} == texts
        assert {record.status for record in hub.requests(route="preupload")} == {200, 413}
        known = {f"data/{number}.parquet": [sha256(str(number).encode()), 1] for number in range(10)}
        assert refused(client, "publish", known=known)["paths"] == sorted(known)


def test_large_small_files_are_uploaded_as_the_hub_wants_them(tmp_path: Path, way: str) -> None:
    with LocalHub(settings=Settings(lfs_threshold=1000)) as hub, publishing(hub, way, tmp_path) as client:
        hub.add_user("alice", role="write")
        texts = {"spec.json": "x" * 5000, "README.md": CARD}
        published(client, texts=texts)
        assert {path: hub.read(REPO, path).decode() for path in texts} == texts
        assert {path for path, blob in hub.repository(REPO).head.tree.files.items() if blob.lfs} >= {"spec.json"}
        hub.clear_log()
        assert published(client, texts=texts)["commit"] is None
        assert sent_bytes(hub) == 0


def test_no_secret_and_no_signed_address_is_in_an_error(clients: Mapping[str, HubClient], hub: LocalHub) -> None:
    hub.faults.add(Fault(route="^/lfs/", status=413, message="too much"))
    error = refused(clients["lfs"], "publish", files={"data/a.parquet": [91, 2000]})
    assert (error["type"], error["reason"], error["status_code"]) == ("TooLarge", "payload_too_large", 413)
    assert "/lfs/" not in str(error)
    for token in ("hf_alice", "hf_wrong"):
        hub.faults.add(Fault(route="/refs", status=400, message="no"))
        text = str(refused(clients["lfs"], "publish", texts={"a.txt": "1"}, hub={"token": token}))
        assert token not in text


@pytest.mark.parametrize("body", ["", "<html>", "[]", "{}", '{"objects": [{}], "files": [{}]}'])
def test_an_answer_of_an_unknown_form_is_an_error_for_people(body: str, tmp_path: Path) -> None:
    """Something between here and the Hub may answer in its place."""
    script = f"""
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
class Page(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len({body!r})))
        self.end_headers()
        self.wfile.write({body.encode()!r})
    def log_message(self, *args): pass
server = HTTPServer(("127.0.0.1", 0), Page)
threading.Thread(target=server.serve_forever, daemon=True).start()
import os
os.environ["HF_ENDPOINT"] = f"http://127.0.0.1:{{server.server_address[1]}}"
from hugflow.model.errors import HubUnavailable
from tests.support.publish_client import _repository
ours, _ = _repository({{}}, repo_id="acme/market")
for ask in (lambda: ours.find("0" * 64, 1), lambda: ours.stage({{"a": b"1"}}),
            lambda: ours.post_commit({{}}, ["a"], parent="0" * 40, message="m")):
    try:
        ask()
    except HubUnavailable as error:
        assert "the Hub's answer is" in error.problem, error
    else:
        raise AssertionError("no error")
"""
    environ = _safe_environ(tmp_path)
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, env=environ, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr


# -- what a commit says ----------------------------------------------------------------------------------------------

PATHS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=20)


@given(st.dictionaries(PATHS, st.binary(max_size=50)), st.sets(PATHS), PATHS, PATHS)
@settings(max_examples=50)
def test_the_body_of_a_commit_has_a_line_for_each_operation(
    puts: dict[str, bytes], deletes: set[str], message: str, description: str
) -> None:
    body = commit_body(
        {path: upload_of(data) for path, data in puts.items()},
        deletes,
        parent="0" * 40,
        message=message,
        description=description,
    )
    assert body.count(b"\n") == 1 + len(puts) + len(deletes)
    assert body.isascii()


def test_the_number_of_a_pull_request() -> None:
    assert number_of("https://huggingface.co/datasets/acme/x/discussions/12") == 12


def test_only_what_changes_something_is_pending() -> None:
    files = {
        "a.txt": RepoFile(1, None, git_blob_id(b"1")),
        "b.parquet": RepoFile(5, sha256(b"12345"), "pointer"),
        "c.parquet": RepoFile(5, sha256(b"54321"), "other pointer"),
    }
    head = Head("0" * 40, files)
    same = Changes({"a.txt": b"1", "b.parquet": Upload(5, sha256(b"12345"))}, frozenset(["gone"]), {"a.txt2": "a.txt"})
    assert pending(head, same) == Changes(copies={"a.txt2": "a.txt"})
    assert not pending(head, Changes({"a.txt": b"1"}, copies={"b.parquet": "b.parquet"}))
    other = Changes({"a.txt": b"2"}, frozenset(["c.parquet"]), {"b.parquet": "c.parquet"})
    assert pending(head, other) == other
    with pytest.raises(ValueError, match="nothing to copy"):
        pending(head, Changes(copies={"x": "gone"}))


def test_a_commit_does_one_thing_to_a_path() -> None:
    for wrong in (
        lambda: Changes({"a": b""}, frozenset("a")),
        lambda: Changes({"a": b""}, copies={"a": "b"}),
        lambda: Changes(deletes=frozenset("a"), copies={"a": "b"}),
    ):
        with pytest.raises(ValueError, match="two things"):
            wrong()
