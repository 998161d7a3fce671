"""The real client writes to the local Hub: repositories, commits, LFS, Xet, pull requests, branches, tags."""

from __future__ import annotations

import hashlib
import io
import random
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete, HfApi
from huggingface_hub.errors import (
    BadRequestError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.lfs import UploadInfo, post_lfs_batch_info
from huggingface_hub.utils import disable_progress_bars, get_session

from localhub import LocalHub, Settings
from tests.contract.conftest import ApiOf, RunClient

REPO = "acme/market"
NOISE = random.Random(7).randbytes(300_000)
FLOATS = struct.pack("<40000f", *(number / 7 for number in range(40_000)))  # Xet groups the bytes of such data


@pytest.fixture(autouse=True)
def _quiet() -> None:
    disable_progress_bars()


@pytest.fixture
def api(hub: LocalHub, api_of: ApiOf) -> HfApi:
    hub.add_user("alice", role="write")
    client = api_of("alice")
    client.create_repo(REPO, repo_type="dataset")
    return client


def commit(api: HfApi, *operations: object, **options: object) -> object:
    return api.create_commit(
        REPO, operations=list(operations), repo_type="dataset", **({"commit_message": "a change"} | options)
    )


def add(path: str, data: bytes) -> CommitOperationAdd:
    return CommitOperationAdd(path, data)


def test_a_new_repository_has_one_commit(hub: LocalHub, api: HfApi) -> None:
    url = api.create_repo("acme/other", repo_type="dataset", private=True)
    assert (str(url), url.repo_id) == (f"{hub.url}/datasets/acme/other", "acme/other")
    assert [item.title for item in api.list_repo_commits("acme/other", repo_type="dataset")] == ["initial commit"]
    assert hub.repository("acme/other").private
    assert b"*.parquet filter=lfs" in hub.read("acme/other", ".gitattributes")


def test_creating_a_repository_that_exists(api: HfApi) -> None:
    with pytest.raises(HfHubHTTPError, match="already created") as caught:
        api.create_repo(REPO, repo_type="dataset")
    assert caught.value.response.status_code == 409
    assert api.create_repo(REPO, repo_type="dataset", exist_ok=True).repo_id == REPO


def test_regular_and_lfs_files_in_one_commit(hub: LocalHub, api: HfApi) -> None:
    head = hub.repository(REPO).head.sha
    files = {"table.parquet": NOISE, "notes/a.txt": b"text", "empty.parquet": b"", "no-suffix": b"a\0b"}
    operations = {path: add(path, data) for path, data in files.items()}
    made = commit(api, *operations.values(), commit_description="why", parent_commit=head)
    info = {item.path: item for item in api.get_paths_info(REPO, list(files), repo_type="dataset")}
    assert {path: hub.read(REPO, path) for path in files} == files
    assert {path for path, item in info.items() if item.lfs} == {"table.parquet", "no-suffix"}
    modes = {path: operation._upload_mode for path, operation in operations.items()}
    assert modes == dict.fromkeys(("notes/a.txt", "empty.parquet"), "regular") | dict.fromkeys(
        ("table.parquet", "no-suffix"), "lfs"
    )
    assert info["table.parquet"].lfs.sha256 == hashlib.sha256(NOISE).hexdigest()
    newest = api.list_repo_commits(REPO, repo_type="dataset")[0]
    assert (newest.commit_id, newest.title, newest.message, newest.authors) == (made.oid, "a change", "why", ["alice"])
    assert made.commit_url == f"{hub.url}/datasets/{REPO}/commit/{made.oid}"


UPLOAD = """
    import random, struct
    from huggingface_hub import HfApi, CommitOperationAdd
    from pathlib import Path
    api = HfApi()
    data = {
        "noise.bin": random.Random(7).randbytes(300_000),
        "floats.npy": struct.pack("<40000f", *(number / 7 for number in range(40_000))),
        "zeros.bin": bytes(500_000),
        "small.parquet": b"PAR1",
    }
    Path("on-disk").write_bytes(data["noise.bin"] * 3)
    additions = [CommitOperationAdd(path, content) for path, content in data.items()]
    additions.append(CommitOperationAdd("twice/noise.bin", "on-disk"))
    api.preupload_lfs_files("acme/market", additions, repo_type="dataset")
    result = api.create_commit("acme/market", additions, commit_message="m", repo_type="dataset").oid
"""


@pytest.mark.parametrize("disable_xet", ["0", "1"])
def test_both_ways_of_upload_bring_the_same_bytes(
    hub: LocalHub, api: HfApi, run_client: RunClient, disable_xet: str
) -> None:
    sha = run_client(UPLOAD, user="alice", HF_HUB_DISABLE_XET=disable_xet)
    assert hub.repository(REPO).head.sha == sha
    assert hub.read(REPO, "noise.bin") == NOISE
    assert hub.read(REPO, "floats.npy") == FLOATS
    assert hub.read(REPO, "zeros.bin") == bytes(500_000)
    assert hub.read(REPO, "small.parquet") == b"PAR1"
    assert hub.read(REPO, "twice/noise.bin") == NOISE * 3
    puts, shards = hub.requests(route="lfs_put"), hub.requests(route="xet_shard")
    assert (len(puts), bool(shards)) == ((5, False) if disable_xet == "1" else (0, True))


@pytest.mark.parametrize("disable_xet", ["0", "1"])
def test_what_is_there_is_not_sent_again(hub: LocalHub, api: HfApi, run_client: RunClient, disable_xet: str) -> None:
    first = run_client(UPLOAD, user="alice", HF_HUB_DISABLE_XET=disable_xet)
    hub.clear_log()
    second = run_client(UPLOAD, user="alice", HF_HUB_DISABLE_XET=disable_xet, HF_HOME="another-home")
    assert second == first
    assert hub.requests(route="commit") == []
    assert sum(item.bytes_received for item in hub.requests() if item.route in ("lfs_put", "xet_xorb")) == 0


# huggingface_hub 2.4 hands its parts to httpx2 in a way that httpx2 warns about
@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
def test_lfs_uploads_in_parts() -> None:
    with LocalHub(settings=Settings(multipart_from=100_000, part_size=70_000)) as hub:
        hub.add_user("alice", role="write")
        api = HfApi(endpoint=hub.url, token="hf_alice")
        api.create_repo(REPO, repo_type="dataset")
        # a file object goes by LFS, whether Xet is there or not
        commit(
            api, CommitOperationAdd("big.bin", io.BytesIO(NOISE)), CommitOperationAdd("small.bin", io.BytesIO(b"\0"))
        )
        assert (hub.read(REPO, "big.bin"), hub.read(REPO, "small.bin")) == (NOISE, b"\0")
        assert sorted(item.bytes_received for item in hub.requests(route="lfs_put_part")) == [20_000, *[70_000] * 4]
        assert len(hub.requests(route="lfs_complete")) == len(hub.requests(route="lfs_put")) == 1


def test_lfs_refuses_other_bytes_than_announced(hub: LocalHub, api: HfApi) -> None:
    oid = hashlib.sha256(b"right").hexdigest()
    session, auth = get_session(), {"Authorization": "Bearer hf_alice"}
    body = {"operation": "upload", "transfers": ["basic"], "objects": [{"oid": oid, "size": 5}]}
    batch = session.post(f"{hub.url}/datasets/{REPO}.git/info/lfs/objects/batch", json=body, headers=auth).json()
    address = batch["objects"][0]["actions"]["upload"]["href"]
    assert session.put(address, content=b"wrong").status_code == 400
    assert session.put(address, content=iter([b"ri", b"ght"])).status_code == 200  # in chunks, without a length
    assert session.put(address, content=b"right").status_code == 200  # an answer may have been lost
    assert oid not in hub.repository(REPO).lfs_objects
    for _ in range(2):
        verify = session.post(f"{hub.url}/datasets/{REPO}.git/info/lfs/verify", json={"oid": oid}, headers=auth)
        assert verify.json()["size"] == 5
    assert oid in hub.repository(REPO).lfs_objects
    assert session.put(address, content=b"right").status_code == 403  # the address has expired


def test_a_commit_cannot_point_to_what_was_not_uploaded(hub: LocalHub, api: HfApi) -> None:
    operation = add("a.parquet", NOISE)
    operation._upload_mode, operation._should_ignore, operation._remote_oid = "lfs", False, None
    operation._is_uploaded = True  # or so the client believes
    with pytest.raises(BadRequestError, match="not uploaded"):
        commit(api, operation)
    assert hub.paths(REPO) == [".gitattributes"]


def test_a_stale_parent_is_refused(hub: LocalHub, api: HfApi) -> None:
    old = hub.repository(REPO).head.sha
    moved = hub.commit(REPO, {"other.txt": b"someone else was faster"})
    with pytest.raises(HfHubHTTPError, match="A commit has happened since") as caught:
        commit(api, add("a.txt", b"1"), parent_commit=old)
    assert caught.value.response.status_code == 412
    assert hub.repository(REPO).head.sha == moved
    commit(api, add("a.txt", b"1"), parent_commit=moved)
    assert hub.paths(REPO) == [".gitattributes", "a.txt", "other.txt"]


def test_deleting_files_and_folders(hub: LocalHub, api: HfApi) -> None:
    hub.commit(REPO, {"old/1.txt": b"1", "old/deep/2.txt": b"2", "older.txt": b"3", "data/x.txt": b"4"})
    commit(api, CommitOperationDelete("old/"), CommitOperationDelete("older.txt"), add("old/new.txt", b"5"))
    assert hub.paths(REPO) == [".gitattributes", "data/x.txt", "old/new.txt"]
    api.delete_folder("old", REPO, repo_type="dataset")
    api.delete_file("data/x.txt", REPO, repo_type="dataset")
    assert hub.paths(REPO) == [".gitattributes"]
    before = hub.repository(REPO).head.sha
    for missing in ("nothing.txt", "nothing/"):
        with pytest.raises(RemoteEntryNotFoundError):
            commit(api, add("kept-out.txt", b""), CommitOperationDelete(missing))
    assert hub.repository(REPO).head.sha == before


def test_copying(hub: LocalHub, api: HfApi) -> None:
    commit(api, add("a.parquet", NOISE), add("a.txt", b"text"))
    commit(api, CommitOperationCopy("a.parquet", "b.parquet"), CommitOperationCopy("a.txt", "b.txt"))
    assert (hub.read(REPO, "b.parquet"), hub.read(REPO, "b.txt")) == (NOISE, b"text")


def test_an_unchanged_file_makes_no_commit(hub: LocalHub, api: HfApi) -> None:
    first = commit(api, add("a.parquet", NOISE), add("a.txt", b"text"))
    again = commit(api, add("a.parquet", NOISE), add("a.txt", b"text"))
    assert again.oid == first.oid
    assert len(hub.requests(route="commit")) == 1


def test_pull_requests(hub: LocalHub, api: HfApi) -> None:
    base = hub.repository(REPO).head.sha
    made = commit(api, add("a.parquet", NOISE), create_pr=True)
    assert (made.pr_num, made.pr_revision) == (1, "refs/pr/1")
    assert hub.repository(REPO).head.sha == base
    assert "a.parquet" in api.list_repo_files(REPO, repo_type="dataset", revision="refs/pr/1")
    commit(api, add("b.txt", b"on top"), revision="refs/pr/1")
    hub.commit(REPO, {"meanwhile.txt": b"main moves"})
    refs = api.list_repo_refs(REPO, repo_type="dataset", include_pull_requests=True)
    assert [ref.ref for ref in refs.pull_requests] == ["refs/pr/1"]
    api.merge_pull_request(REPO, 1, repo_type="dataset")
    assert hub.paths(REPO) == [".gitattributes", "a.parquet", "b.txt", "meanwhile.txt"]
    details = api.get_discussion_details(REPO, 1, repo_type="dataset")
    assert (details.status, details.merge_commit_oid) == ("merged", hub.repository(REPO).head.sha)
    assert [item.status for item in api.get_repo_discussions(REPO, repo_type="dataset")] == ["merged"]


def test_a_pull_request_that_conflicts_is_not_merged(hub: LocalHub, api: HfApi) -> None:
    commit(api, add("a.txt", b"theirs"), create_pr=True)
    hub.commit(REPO, {"a.txt": b"ours"})
    with pytest.raises(HfHubHTTPError, match=r"Both sides changed a\.txt"):
        api.merge_pull_request(REPO, 1, repo_type="dataset")
    api.change_discussion_status(REPO, 1, "closed", repo_type="dataset")
    assert (hub.read(REPO, "a.txt"), hub.repository(REPO).pull(1).status) == (b"ours", "closed")


def test_a_pull_request_goes_into_the_branch_that_it_was_made_from(hub: LocalHub, api: HfApi) -> None:
    api.create_branch(REPO, branch="dev", repo_type="dataset")
    main = hub.repository(REPO).head.sha
    commit(api, add("a.txt", b"theirs"), revision="dev", create_pr=True)
    api.merge_pull_request(REPO, 1, repo_type="dataset")
    assert "a.txt" in hub.paths(REPO, "dev")
    assert hub.repository(REPO).head.sha == main
    with pytest.raises(RevisionNotFoundError):
        commit(api, add("a.txt", b"1"), revision=main, create_pr=True)


def _status(call: Callable[[], object]) -> int:
    with pytest.raises(HfHubHTTPError) as caught:
        call()
    return caught.value.response.status_code


def test_more_than_the_hub_takes_at_once() -> None:
    with LocalHub(settings=Settings(max_operations=3, max_objects=2)) as hub:
        hub.add_user("alice", role="write")
        api = HfApi(endpoint=hub.url, token="hf_alice")
        api.create_repo(REPO, repo_type="dataset")
        texts = [add(f"{number}.txt", b"1") for number in range(3)]
        assert _status(lambda: commit(api, *texts)) == 413  # the question which of them are large
        hub.commit(REPO, {f"{number}.txt": b"1" for number in range(5)})
        assert _status(lambda: commit(api, *[CommitOperationDelete(f"{number}.txt") for number in range(4)])) == 413
        commit(api, *[CommitOperationDelete(f"{number}.txt") for number in range(3)])
        infos = [UploadInfo.from_bytes(bytes([number])) for number in range(3)]
        ask = {"token": "hf_alice", "repo_type": "dataset", "repo_id": REPO, "endpoint": hub.url}
        assert _status(lambda: post_lfs_batch_info(infos, **ask)) == 413
        assert len(post_lfs_batch_info(infos[:2], **ask)[0]) == 2


def test_a_quota() -> None:
    with LocalHub(settings=Settings(quota_bytes=1000)) as full:
        full.add_user("alice", role="write")
        api = HfApi(endpoint=full.url, token="hf_alice")
        api.create_repo(REPO, repo_type="dataset")
        infos = [UploadInfo.from_bytes(bytes(size)) for size in (900, 1100)]
        ask = {"token": "hf_alice", "repo_type": "dataset", "repo_id": REPO, "endpoint": full.url}
        (accepted,), (refused,), _ = post_lfs_batch_info(infos, **ask)
        assert (accepted["size"], refused["size"], refused["error"]["code"]) == (900, 1100, 507)
        uploaded = get_session().put(accepted["actions"]["upload"]["href"], content=bytes(900))
        assert uploaded.status_code == 200
        verify = {"oid": accepted["oid"], "size": 900}
        headers = {"Authorization": "Bearer hf_alice"}
        assert get_session().post(accepted["actions"]["verify"]["href"], json=verify, headers=headers).is_success
        (again,), (refused,), _ = post_lfs_batch_info([infos[0], UploadInfo.from_bytes(bytes(101))], **ask)
        assert "actions" not in again
        assert refused["error"]["code"] == 507
        xorb = get_session().post(f"{full.url}/xet/v1/xorbs/default/{'0' * 64}", content=bytes(1001), headers=headers)
        assert xorb.status_code == 507


def test_only_members_upload_by_lfs(hub: LocalHub, api: HfApi) -> None:
    hub.add_user("guest", role="write", orgs=())
    infos = [UploadInfo.from_bytes(b"1")]
    ask = {"token": "hf_guest", "repo_type": "dataset", "repo_id": REPO, "endpoint": hub.url}
    assert _status(lambda: post_lfs_batch_info(infos, **ask)) == 403


def test_branches_and_tags(hub: LocalHub, api: HfApi) -> None:
    start = hub.repository(REPO).head.sha
    api.create_branch(REPO, branch="dev", repo_type="dataset")
    made = commit(api, add("a.txt", b"1"), revision="dev")
    api.create_tag(REPO, tag="v1", tag_message="first", revision="dev", repo_type="dataset")
    api.create_branch(REPO, branch="old", revision=start, repo_type="dataset")
    assert hub.repository(REPO).refs == {
        "refs/heads/main": start,
        "refs/heads/dev": made.oid,
        "refs/heads/old": start,
        "refs/tags/v1": made.oid,
    }
    for create in (
        lambda **options: api.create_branch(REPO, branch="dev", repo_type="dataset", **options),
        lambda **options: api.create_tag(REPO, tag="v1", repo_type="dataset", **options),
    ):
        with pytest.raises(HfHubHTTPError, match="already exists"):
            create()
        create(exist_ok=True)
    with pytest.raises(BadRequestError, match="is no branch"):
        commit(api, add("a.txt", b"2"), revision="v1")
    api.delete_branch(REPO, branch="old", repo_type="dataset")
    api.delete_tag(REPO, tag="v1", repo_type="dataset")
    assert sorted(hub.repository(REPO).refs) == ["refs/heads/dev", "refs/heads/main"]
    with pytest.raises(RevisionNotFoundError):
        api.delete_tag(REPO, tag="v1", repo_type="dataset")
    with pytest.raises(RevisionNotFoundError):
        commit(api, add("a.txt", b"2"), revision="gone")
    with pytest.raises(HfHubHTTPError, match="default branch"):
        api.delete_branch(REPO, branch="main", repo_type="dataset")
    with pytest.raises(BadRequestError, match="Invalid reference name"):
        api.create_tag(REPO, tag="bad..name", repo_type="dataset")


def test_deleting_a_repository(hub: LocalHub, api: HfApi) -> None:
    api.delete_repo(REPO, repo_type="dataset")
    with pytest.raises(RepositoryNotFoundError):
        api.dataset_info(REPO)
    with pytest.raises(RepositoryNotFoundError):
        api.delete_repo(REPO, repo_type="dataset")
    api.delete_repo(REPO, repo_type="dataset", missing_ok=True)
    api.create_repo(REPO, repo_type="dataset")
    assert hub.paths(REPO) == [".gitattributes"]


def test_settings(hub: LocalHub, api: HfApi) -> None:
    api.update_repo_settings(REPO, gated="manual", private=True, repo_type="dataset")
    assert (hub.repository(REPO).gated, hub.repository(REPO).private) == ("manual", True)
    api.update_repo_settings(REPO, gated=False, repo_type="dataset")
    assert (hub.repository(REPO).gated, hub.repository(REPO).private) == (False, True)
    api.grant_access(REPO, "bob", repo_type="dataset")
    assert hub.repository(REPO).granted == {"bob"}


def test_a_folder_goes_up_and_stays_what_it_is(hub: LocalHub, api: HfApi, speech: Path) -> None:
    (speech / "secret.log").write_text("not this")
    (speech / ".gitignore").write_text("*.log\n")
    api.upload_folder(repo_id=REPO, folder_path=speech, repo_type="dataset", delete_patterns="*.txt")
    expected = sorted(path.relative_to(speech).as_posix() for path in speech.rglob("*") if path.is_file())
    assert hub.paths(REPO) == sorted({".gitattributes", *expected} - {"secret.log"})
    assert hub.read(REPO, "data/clip.mp3") == (speech / "data" / "clip.mp3").read_bytes()
    opened = api.upload_folder(
        repo_id=REPO, folder_path=speech / "data", path_in_repo="copy", repo_type="dataset", create_pr=True
    )
    assert opened.pr_revision == "refs/pr/1"
    assert "copy/clip.mp3" in hub.paths(REPO, "refs/pr/1")


@pytest.mark.parametrize(
    ("front_matter", "problem"),
    [
        ("license: no-such-licence", "license"),
        ("language: english please", "language"),
        ("a: [", "Invalid YAML"),
        ("- a list", "must be a mapping"),
        ("configs: {config_name: x}", "configs"),
        ("tags: [1]", "tags"),
    ],
)
def test_a_bad_card_is_refused(hub: LocalHub, api: HfApi, front_matter: str, problem: str) -> None:
    card = f"---\n{front_matter}\n---\n# A dataset\n".encode()
    with pytest.raises(ValueError, match=problem):
        commit(api, add("README.md", card))
    assert hub.paths(REPO) == [".gitattributes"]


def test_a_card_without_metadata_is_warned_about(hub: LocalHub, api: HfApi) -> None:
    with pytest.warns(UserWarning, match="empty or missing yaml metadata"):
        commit(api, add("README.md", b"# A dataset\n"))
    assert hub.read(REPO, "README.md") == b"# A dataset\n"
    commit(api, add("README.md", b"---\r\nlicense: mit\r\n---\r\n# A dataset\r\n"))
    assert api.dataset_info(REPO).card_data.license == "mit"


@pytest.mark.parametrize("path", ["a//b", "a/./b", "../b", "/a", "a/../b", ".git/config", "", "a/", "x\0y"])
def test_paths_out_of_the_repository_are_refused(hub: LocalHub, api: HfApi, path: str) -> None:
    lines = b'{"key": "header", "value": {"summary": "m"}}\n'
    lines += b'{"key": "file", "value": {"path": %s, "content": "eA==", "encoding": "base64"}}' % str.encode(
        f'"{path}"'.replace("\0", "\\u0000")
    )
    answer = get_session().post(
        f"{hub.url}/api/datasets/{REPO}/commit/main", content=lines, headers={"Authorization": "Bearer hf_alice"}
    )
    assert (answer.status_code, hub.paths(REPO)) == (400, [".gitattributes"])


def test_a_file_cannot_be_a_folder_too(hub: LocalHub, api: HfApi) -> None:
    with pytest.raises(BadRequestError, match="a file and a folder"):
        commit(api, add("a", b"1"), add("a/b", b"2"))
