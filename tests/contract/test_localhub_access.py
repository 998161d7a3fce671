"""Access rules of the local Hub, seen through the exceptions of the real clients."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import (
    BadRequestError,
    GatedRepoError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import get_session

from localhub import LocalHub
from tests.contract.conftest import ApiOf, RunClient

Call = Callable[[HfApi], object]


def notes() -> list[CommitOperationAdd]:
    return [CommitOperationAdd("notes.txt", b"text")]


def download(api: HfApi, tmp_path: Path, repo: str, name: str = "README.md", revision: str = "main") -> Path:
    return Path(api.hf_hub_download(repo, name, repo_type="dataset", revision=revision, cache_dir=tmp_path / "cache"))


def test_a_missing_repository(hub: LocalHub, api_of: ApiOf, tmp_path: Path) -> None:
    hub.add_user("alice")
    for user, status in ((None, 401), ("alice", 404)):
        with pytest.raises(RepositoryNotFoundError) as caught:
            api_of(user).dataset_info("acme/nothing")
        assert caught.value.response.status_code == status
        with pytest.raises(RepositoryNotFoundError):
            download(api_of(user), tmp_path, "acme/nothing")
    assert not api_of("alice").repo_exists("acme/nothing", repo_type="dataset")


def test_a_private_repository_is_missing_for_others(hub: LocalHub, api_of: ApiOf, speech: Path, tmp_path: Path) -> None:
    hub.add_dataset("acme/secret", speech, private=True)
    for name, orgs in (("alice", ["acme"]), ("bob", []), ("carol", [])):
        hub.add_user(name, orgs=orgs)
    hub.grant("acme/secret", "carol")
    for user, status in ((None, 401), ("bob", 404)):
        with pytest.raises(RepositoryNotFoundError) as caught:
            download(api_of(user), tmp_path, "acme/secret")
        assert not isinstance(caught.value, GatedRepoError)
        assert caught.value.response.status_code == status
    for user in ("alice", "carol"):
        assert api_of(user).dataset_info("acme/secret").private
        assert download(api_of(user), tmp_path, "acme/secret").read_bytes()


def test_a_gated_repository_shows_itself_and_keeps_its_files(
    hub: LocalHub, api_of: ApiOf, speech: Path, tmp_path: Path
) -> None:
    hub.add_dataset("acme/gated", speech, gated="manual")
    hub.add_user("alice", role="write")
    hub.add_user("bob")
    for user, status in ((None, 401), ("bob", 403), ("alice", 403)):
        api = api_of(user)
        assert api.dataset_info("acme/gated").gated == "manual"
        assert "README.md" in api.list_repo_files("acme/gated", repo_type="dataset")
        with pytest.raises(GatedRepoError) as caught:
            download(api, tmp_path, "acme/gated")
        assert caught.value.response.status_code == status
        with pytest.raises(GatedRepoError):
            api.auth_check("acme/gated", repo_type="dataset")
    hub.grant("acme/gated", "alice")
    assert download(api_of("alice"), tmp_path, "acme/gated").read_bytes()
    with pytest.raises(GatedRepoError):
        download(api_of("bob"), tmp_path / "bob", "acme/gated")


def test_missing_revisions_and_files(hub: LocalHub, api_of: ApiOf, speech: Path, tmp_path: Path) -> None:
    sha = hub.add_dataset("acme/speech", speech)
    api = api_of(None)
    calls: list[Call] = [
        lambda api: api.dataset_info("acme/speech", revision="nope"),
        lambda api: list(api.list_repo_tree("acme/speech", revision="0" * 40, repo_type="dataset")),
        lambda api: api.list_repo_commits("acme/speech", revision="refs/pr/7", repo_type="dataset"),
        lambda api: download(api, tmp_path, "acme/speech", revision="nope"),
    ]
    for call in calls:
        with pytest.raises(RevisionNotFoundError):
            call(api)
    with pytest.raises(RemoteEntryNotFoundError) as caught:
        download(api, tmp_path, "acme/speech", "nothing.txt")
    assert caught.value.response.headers["X-Repo-Commit"] == sha
    with pytest.raises(RemoteEntryNotFoundError):
        list(api.list_repo_tree("acme/speech", "nothing", repo_type="dataset"))
    assert api.get_paths_info("acme/speech", ["nothing"], repo_type="dataset") == []
    assert not api.file_exists("acme/speech", "nothing.txt", repo_type="dataset")


def test_a_token_that_nobody_has(hub: LocalHub, api_of: ApiOf, speech: Path) -> None:
    hub.add_dataset("acme/speech", speech)
    with pytest.raises(HfHubHTTPError, match="Invalid credentials") as caught:
        api_of("mallory").dataset_info("acme/speech")
    assert (caught.value.response.status_code, type(caught.value)) == (401, HfHubHTTPError)
    with pytest.raises(HfHubHTTPError, match="Invalid user token"):
        api_of("mallory").whoami()
    assert {item.user for item in hub.requests("whoami|acme")} == {"(invalid token)"}


def test_whoami(hub: LocalHub, api_of: ApiOf, speech: Path) -> None:
    hub.add_dataset("acme/speech", speech)
    hub.add_user("alice", role="write")
    hub.add_user("bob", orgs=["home"])
    alice, bob = api_of("alice").whoami(), api_of("bob").whoami()
    assert (alice["name"], alice["auth"]["accessToken"]["role"]) == ("alice", "write")
    assert [org["name"] for org in alice["orgs"]] == ["acme"]
    assert (bob["name"], bob["auth"]["accessToken"]["role"]) == ("bob", "read")
    assert [org["name"] for org in bob["orgs"]] == ["home"]
    assert "hf_alice" not in str(alice)


WRITES: dict[str, Call] = {
    "commit": lambda api: api.create_commit("acme/speech", notes(), commit_message="m", repo_type="dataset"),
    "branch": lambda api: api.create_branch("acme/speech", branch="dev", repo_type="dataset"),
    "tag": lambda api: api.create_tag("acme/speech", tag="v1", repo_type="dataset"),
    "delete": lambda api: api.delete_repo("acme/speech", repo_type="dataset"),
    "create": lambda api: api.create_repo("acme/other", repo_type="dataset"),
    "settings": lambda api: api.update_repo_settings("acme/speech", private=True, repo_type="dataset"),
    "auth_check": lambda api: api.auth_check("acme/speech", repo_type="dataset", write=True),
}


@pytest.mark.parametrize("write", WRITES)
def test_writing_needs_the_role_and_the_organisation(hub: LocalHub, api_of: ApiOf, speech: Path, write: str) -> None:
    sha = hub.add_dataset("acme/speech", speech)
    hub.add_user("reader", role="read", orgs=["acme"])
    hub.add_user("stranger", role="write", orgs=["elsewhere"])
    hub.add_user("member", role="write", orgs=["acme"])
    for user in ("reader", "stranger"):
        with pytest.raises(HfHubHTTPError) as caught:
            WRITES[write](api_of(user))
        assert caught.value.response.status_code == 403
    assert hub.repository("acme/speech").refs == {"refs/heads/main": sha}
    WRITES[write](api_of("member"))


def test_anyone_who_may_write_can_open_a_pull_request(hub: LocalHub, api_of: ApiOf, speech: Path) -> None:
    sha = hub.add_dataset("acme/speech", speech)
    hub.add_user("stranger", role="write", orgs=[])
    made = api_of("stranger").create_commit(
        "acme/speech", notes(), commit_message="m", repo_type="dataset", create_pr=True
    )
    assert made.pr_num == 1
    assert hub.repository("acme/speech").head.sha == sha


def test_other_repository_types_and_bad_names(hub: LocalHub, api_of: ApiOf) -> None:
    hub.add_user("alice", role="write")
    with pytest.raises(RepositoryNotFoundError):
        api_of("alice").model_info("acme/speech")
    with pytest.raises(BadRequestError, match="datasets only"):
        api_of("alice").create_repo("acme/model")
    answer = get_session().post(
        f"{hub.url}/api/repos/create",
        json={"name": "..", "organization": "acme", "type": "dataset"},
        headers={"Authorization": "Bearer hf_alice"},
    )
    assert answer.status_code == 400


def test_what_is_not_there_says_so(hub: LocalHub) -> None:
    assert get_session().get(f"{hub.url}/api/nothing/here").status_code == 404
    assert get_session().delete(f"{hub.url}/api/whoami-v2").status_code == 405
    assert get_session().request("PATCH", f"{hub.url}/api/whoami-v2").status_code == 501


def test_datasets_turns_refusals_into_its_own_errors(hub: LocalHub, run_client: RunClient, speech: Path) -> None:
    hub.add_dataset("acme/speech", speech)
    hub.add_dataset("acme/gated", speech, gated=True)
    hub.add_dataset("acme/secret", speech, private=True)
    hub.add_user("bob")
    code = """
        import datasets
        result = []
        for repo in ("acme/gated", "acme/secret", "acme/nothing", "acme/speech"):
            try:
                datasets.load_dataset_builder(repo, revision="no" if repo == "acme/speech" else None)
            except Exception as error:
                result.append([type(error).__name__, str(error)])
    """
    kinds, messages = zip(*run_client(code, user="bob"), strict=True)
    assert set(kinds) == {"DatasetNotFoundError"}
    assert "gated" in messages[0]
    assert "ask for access" in messages[0]
    assert "cannot be accessed" in messages[1]
    assert "cannot be accessed" in messages[2]
    assert "Revision 'no' doesn't exist" in messages[3]
    (gated, *_) = run_client(code)
    assert "must be authenticated" in gated[1]
