"""Requests that no real client sends, and text of any kind: the local Hub refuses them and says why."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from huggingface_hub.utils import get_session
from hypothesis import example, given
from hypothesis import strategies as st

from localhub import LocalHub, Settings
from localhub.errors import HubError
from localhub.store.card import card_data, check, tags
from localhub.store.lfs_rules import is_ignored
from localhub.xet.format import parse_shard

ACME = "/api/datasets/acme/data"
HEADER = '{"key": "header", "value": {"summary": "m"}}\n'


@pytest.mark.parametrize(
    ("method", "path", "body", "message"),
    [
        ("GET", f"{ACME}?expand=nonsense", "", "Unknown properties"),
        ("GET", f"{ACME}/tree/main?cursor=%21", "", "invalid cursor"),
        ("POST", f"{ACME}/preupload/main", "not json", "no JSON"),
        ("POST", f"{ACME}/preupload/main", "[1]", "no JSON object"),
        ("POST", f"{ACME}/commit/main", '{"key": "file"}', "not of the form"),
        ("POST", f"{ACME}/commit/main", '{"key": "file", "value": {"path": "a"}}', "needs a header"),
        ("POST", f"{ACME}/commit/main", HEADER + '{"key": "rename", "value": {}}', "unknown operation"),
        (
            "POST",
            f"{ACME}/commit/main",
            HEADER + '{"key": "file", "value": {"path": "a", "content": "?", "encoding": "base64"}}',
            "no base64",
        ),
        ("POST", f"{ACME}/discussions", "{}", "no discussions"),
        ("PUT", f"{ACME}/settings", '{"gated": "maybe"}', "gated must be"),
        ("POST", "/datasets/acme/data.git/info/lfs/objects/batch", '{"operation": "download"}', "only uploads"),
        ("POST", "/xet/v1/shards", "no shard", "no Xet shard"),
        ("POST", "/xet/v1/shards", "HFRepoMetaData\0" + "x" * 40, "ends too early"),
        ("POST", "/xet/v1/xorbs/default/name", "x", "no hash"),
        ("POST", "/_localhub/users", '{"nom": "x"}', "a user has"),
        ("POST", "/_localhub/commits", '{"repo": "acme/data"}', "`files` maps"),
    ],
)
def test_bad_requests(hub: LocalHub, method: str, path: str, body: str, message: str) -> None:
    hub.add_dataset("acme/data")
    hub.add_user("alice", role="write")
    answer = get_session().request(
        method, hub.url + path, content=body.encode(), headers={"Authorization": "Bearer hf_alice"}
    )
    assert (answer.status_code, message in answer.json()["error"]) == (400, True), answer.text


def test_a_lone_bad_object_does_not_spoil_a_batch(hub: LocalHub) -> None:
    hub.add_dataset("acme/data")
    hub.add_user("alice", role="write")
    objects = [{"oid": "short", "size": 1}, {"oid": "0" * 64, "size": 1}]
    answer = get_session().post(
        f"{hub.url}/datasets/acme/data.git/info/lfs/objects/batch",
        json={"operation": "upload", "objects": objects},
        headers={"Authorization": "Bearer hf_alice"},
    )
    bad, good = answer.json()["objects"]
    assert (bad["error"]["code"], sorted(good["actions"])) == (422, ["upload", "verify"])


def test_paths_info_takes_json_too(hub: LocalHub) -> None:
    hub.add_dataset("acme/data")
    hub.commit("acme/data", {"a/b.txt": b"x"})
    answer = get_session().post(f"{hub.url}{ACME}/paths-info/main", json={"paths": ["a", "a/b.txt"], "expand": True})
    assert [(item["type"], item["lastCommit"]["title"]) for item in answer.json()] == [
        ("directory", "commit"),
        ("file", "commit"),
    ]


def test_an_error_of_the_hub_itself_is_shown_and_survived(capfd: pytest.CaptureFixture[str]) -> None:
    def broken_clock() -> float:
        raise ArithmeticError("no time today")

    with LocalHub(settings=Settings(clock=broken_clock)) as hub:
        hub.add_user("alice", role="write")
        answer = get_session().post(
            f"{hub.url}/api/repos/create",
            json={"name": "x", "type": "dataset"},
            headers={"Authorization": "Bearer hf_alice"},
        )
        assert (answer.status_code, answer.json()["error"]) == (500, "localhub: ArithmeticError: no time today")
        assert get_session().get(f"{hub.url}/api/datasets").status_code == 200
    assert "no time today" in capfd.readouterr().err


@given(st.text())
@example("a: 2024-99-99")
@example("? [a]: b")
@example("- {")
@example("license: [mit, 3, null]\nlanguage: {a: b}\nconfigs: [1]\ntags: {a: 1}")
@example("configs: [{config_name: a, data_files: 3}]\ndataset_info: text\nsize_categories: many")
def test_any_text_is_a_card_or_none(text: str) -> None:
    card = f"---\n{text}\n---\n# A dataset\n"
    json.dumps([check(card).to_json(), tags(card_data(card))])


@given(st.binary())
@example(b"HFRepoMetaData\0" + b"\xff" * 200)
def test_any_bytes_are_a_shard_or_refused(data: bytes) -> None:
    for shard in (data, b"HFRepoMetaData\0" + data):
        with suppress(HubError):  # any other exception fails the test
            parse_shard(shard)


@pytest.mark.parametrize(
    ("path", "gitignore", "ignored"),
    [
        ("a.log", "*.log", True),
        ("deep/down/a.log", "*.log", True),
        ("a.txt", "*.log", False),
        ("build/x/y.txt", "build/", True),
        ("build", "build/", False),
        ("src/build/x", "build", True),
        ("src/build/x", "/build", False),
        ("build/x", "/build", True),
        ("src/a.txt", "src/*.txt", True),
        ("keep.log", "*.log\n!keep.log", False),
        ("a.log", "# *.log\n\n", False),
    ],
)
def test_gitignore(path: str, gitignore: str, ignored: bool) -> None:
    assert is_ignored(path, gitignore) is ignored
