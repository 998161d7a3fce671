"""A publish by pull request: planned on it, run after the merge, reported in comment, check and Slack."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hugflow.request.policy import FILE
from localhub import LocalHub
from tests.support.publishing import Remote, writable_hub
from tests.support.pull_requests import Job, Runner, message_text, request, serving
from tests.support.world import World

PATH = "requests/publish/market.yaml"
REMOVE = "requests/remove/old.yaml"


@pytest.fixture(scope="module")
def hub() -> Iterator[LocalHub]:
    """A Hub on which the server may write."""
    with writable_hub() as running:
        yield running


@pytest.fixture
def runner(world: World) -> Iterator[Runner]:
    """A server whose tables lie in PUBLISH_ROOT, outside of every checkout, and which tells Slack."""
    with serving(world) as runner:
        runner.settings |= {"PUBLISH_ROOT": str(runner.folder / "server" / "tables"), "HF_HUB_DISABLE_XET": "1"}
        yield runner.with_bot()


def write(runner: Runner, name: str, /, **columns: Any) -> None:
    """A table on the server."""
    path = runner.folder / "server" / "tables" / "daily" / f"{name}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def asks(repo_id: str, **quality: Any) -> str:
    """A request that publishes two tables."""
    tables = [
        {"name": "prices", "path": "daily/prices.parquet", "interval": "1d", "quality": quality},
        {"name": "names", "path": "daily/names.parquet"},
    ]
    return request({"repo_id": repo_id, "tables": tables, "description": "Prices, and the names of what they are of."})


def results(job: Job) -> dict[str, Any]:
    return job.results[PATH]


def test_planned_on_the_pull_request_published_by_the_merge(runner: Runner) -> None:
    write(runner, "prices", n=list(range(500)))
    write(runner, "names", name=["a", "b"])
    repo_id = runner.world.new_id()
    remote = Remote(runner.hub, repo_id)
    number = runner.propose({PATH: asks(repo_id)})
    runner.sync(number).ended(0)
    assert not remote.exists
    plan = runner.sticky(number)
    assert "publishes after the merge" in plan
    assert "a new repository, public" in plan
    assert "| `prices` |" in plan.replace("  ", "")
    assert "**Version:** `1.0.0`" in plan
    (check,) = runner.checks(number)
    assert check.conclusion == "success"

    job = runner.merge_and_apply(number, "--json").ended(0)
    result = results(job)
    assert (result["status"], result["message"]) == ("published", f"Published 2 tables to {repo_id}")
    assert remote.commits() == ["Upload via hugflow"]
    assert [entry["row_count"] for entry in remote.spec["tables"]] == [500, 2]
    (final,) = [body for body in runner.finals(number) if "1 published" in body]
    address = f"{runner.hub.url}/datasets/{repo_id}"
    assert f"- **On the Hub:** [`{address}`](<{address}>)" in final
    assert "Published 2 tables to" in final
    assert runner.labels(number) == ["hugflow: done"]
    said = "\n".join(message_text(message) for message in runner.slack.messages)
    assert "2 tables, 502" in said
    assert "was published" in said

    # the same once more changes nothing, and is no news
    finals = len(runner.finals(number))
    again = runner.job("ci", "apply", "--pull-request", str(number), "--json", event=runner.push_event("", ""))
    assert results(again.ended(0))["status"] == "unchanged"
    assert len(runner.finals(number)) == finals
    assert remote.commits() == ["Upload via hugflow"]


def test_what_a_request_changes_is_told_before_and_after(runner: Runner) -> None:
    write(runner, "prices", n=[1, 2], volume=[1.0, 2.0])
    write(runner, "names", name=["a"])
    repo_id = runner.world.new_id()
    first = runner.propose({PATH: asks(repo_id)})
    runner.sync(first).ended(0)
    runner.merge_and_apply(first).ended(0)
    write(runner, "prices", n=[1, 2, 3])
    number = runner.propose(
        {PATH: request({"repo_id": repo_id, "path": "daily/prices.parquet", "config_name": "prices"})}
    )
    runner.sync(number).ended(0)
    changes = (
        "`- remove column prices.volume (float64)`",
        "`~ change split prices/train: 2 rows -> 3 rows`",
        "`= keep config names (1 row): the request does not name it`",
        "`> move file prices/train-00000-of-00001.parquet",
    )
    plan = runner.sticky(number)
    assert f"> ⚠️ `{repo_id}`: the publish removes column `prices.volume`" in plan.split("**Next:**")[0]
    assert "| 2 → 3 |" in re.sub(" +", " ", plan.replace("\u00a0", " "))
    assert "**Version:** `1.0.0` → `2.0.0`" in plan
    assert [each for each in changes[:3] if each not in plan] == []
    result = results(runner.merge_and_apply(number, "--json").ended(0))
    assert ("remove", "prices.volume") in {(each["effect"], each["name"]) for each in result["differences"]}
    (final,) = [body for body in runner.finals(number) if "1 published" in body]
    assert [each for each in changes[:3] if each not in final] == []


def test_a_broken_rule_is_marked_on_its_line_and_not_published(runner: Runner) -> None:
    write(runner, "prices", n=[1, 1, 2])
    write(runner, "names", name=["a"])
    repo_id = runner.world.new_id()
    text = f"""repo_id: {repo_id}
tables:
  - name: prices
    path: daily/prices.parquet
    quality:
      unique: [n]
"""
    number = runner.propose({PATH: text})
    runner.sync(number).ended(4)
    (check,) = runner.checks(number)
    assert check.conclusion == "failure"
    marks = {mark["start_line"]: mark["message"] for mark in check.annotations}
    assert "`prices` has 1 row that repeats the `n` of another row" in marks[6]
    number = runner.propose({PATH: text.replace("tables:", "card: {license: apache2}\ntables:")}, branch="second")
    runner.sync(number).ended(4)
    (mark,) = runner.checks(number)[0].annotations
    assert (mark["start_line"], "`apache-2.0`" in mark["message"]) == (2, True)
    runner.merge_and_apply(number, "--json").ended(4)
    assert not Remote(runner.hub, repo_id).exists


def test_what_a_publish_names_must_be_on_the_server(runner: Runner) -> None:
    number = runner.propose({PATH: asks("acme/nothing-there")})
    runner.sync(number).ended(4)
    (check,) = runner.checks(number)
    assert any("No parquet files found to publish" in mark["message"] for mark in check.annotations)


def test_the_policy_says_where_may_be_published_to(runner: Runner) -> None:
    write(runner, "prices", n=[1])
    write(runner, "names", name=["a"])
    runner.state.commit("main", {FILE: "publishing: {organisations: [other]}\n"})
    number = runner.propose({PATH: asks("acme/elsewhere")})
    runner.sync(number).ended(4)
    assert "the policy allows publishing to `other`, not to `acme`" in runner.sticky(number)
    runner.merge_and_apply(number).ended(4)
    assert not Remote(runner.hub, "acme/elsewhere").exists


def test_a_config_is_deleted_by_the_merge(runner: Runner) -> None:
    write(runner, "prices", n=[1, 2])
    write(runner, "names", name=["a"])
    repo_id = runner.world.new_id()
    remote = Remote(runner.hub, repo_id)
    runner.merge_and_apply(runner.propose({PATH: asks(repo_id)})).ended(0)
    remove = {"hf_id": repo_id, "reason": "Nobody needs the names.", "subset": "names", "target": "hub"}
    number = runner.propose({REMOVE: request(remove)}, branch="second")
    runner.sync(number).ended(0)
    plan = runner.sticky(number)
    assert "- **From:** the Hub" in plan
    assert "removes after the merge" in plan
    assert [entry["name"] for entry in remote.spec["tables"]] == ["prices", "names"]
    job = runner.merge_and_apply(number, "--json", AUTO_CLEANUP_REQUESTS="true").ended(0)
    assert job.results[REMOVE]["status"] == "removed"
    assert [entry["name"] for entry in remote.spec["tables"]] == ["prices"]
    assert remote.commits()[-1] == "Delete the config names"
    assert REMOVE not in runner.state.objects.commits[runner.state.head("main")].files


def test_unlock_names_who_publishes(runner: Runner) -> None:
    write(runner, "prices", n=[1])
    write(runner, "names", name=["a"])
    number = runner.propose({PATH: asks("acme/locked")})
    runner.sync(number, "--mode", "unlock").ended(0)
    assert "is locked" in runner.comments(number)[-1]
