"""Age of published data: the command, the function for clients that cache, the alerts of scheduled workflows."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hugflow.hf_client.http import Hub
from hugflow.model.publish_spec import PublishSpec
from hugflow.publish.freshness import MAX_AGE_S, max_age_s, parse_newest, parse_updated, spec_changed
from localhub import Fault, LocalHub
from tests.conftest import CANARIES
from tests.support.pull_requests import BOT, CHANNEL, Job, Runner, message_text, request, serving
from tests.support.world import World

DAY_S = 86_400


def ago(seconds: float) -> str:
    """A timestamp as spec.json has it."""
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat(timespec="seconds")


def spec_json(seconds: float, **changes: Any) -> bytes:
    """A spec.json that was written so long ago."""
    moment = ago(seconds)
    return json.dumps({"update_time": moment[:10], "updated_at": moment, "version": "1.0.0"} | changes).encode()


def put(hub: LocalHub, repo_id: str, content: bytes | None) -> str:
    """A repository with this spec.json; returns its id."""
    try:
        hub.repository(repo_id)
    except LookupError:
        hub.add_dataset(repo_id)
    hub.commit(repo_id, {"spec.json": content} if content is not None else {"other.txt": b"x"})
    return repo_id


# -- the command


@pytest.mark.parametrize(("age_s", "code"), [(2 * DAY_S - 600, 0), (2 * DAY_S + 600, 1)])
def test_both_sides_of_the_limit(world: World, age_s: float, code: int) -> None:
    repo_id = put(world.hub, world.new_id(), spec_json(age_s))
    done = world.run("freshness", repo_id)
    day = ago(age_s)[:10]
    assert done.code == code
    if code:
        assert (done.out, done.err.strip()) == ("", f"Data is stale: last update {day}")
    else:
        assert done.out.strip() == f"Data is fresh: last update {day}"
    described = world.run("freshness", repo_id, "--json", "--max-age", "49h").json
    assert (described["stale"], described["exit_code"], described["max_age_s"]) == (False, 0, 49 * 3600)
    assert abs(described["age_s"] - age_s) < 300
    assert world.run("freshness", repo_id, "--json", "--max-age", "47h").json["stale"]


def test_of_a_day_its_end_counts(world: World) -> None:
    def code(days: int) -> int:
        spec = {"update_time": (datetime.now(UTC).date() - timedelta(days=days)).isoformat()}
        return world.run("freshness", put(world.hub, repo_id, json.dumps(spec).encode())).code

    repo_id = world.new_id()
    assert [code(days) for days in (0, 1, 2, 3)] == [0, 0, 0, 1]


@pytest.mark.parametrize(
    ("content", "code", "reason"),
    [
        (None, 4, "no_spec_json"),
        (b"not json", 4, "invalid_spec_json"),
        (b"[1]", 4, "invalid_spec_json"),
        (b"{}", 4, "invalid_spec_json"),
        (b'{"update_time": "soon", "updated_at": 3}', 4, "invalid_spec_json"),
    ],
)
def test_what_has_no_age(world: World, content: bytes | None, code: int, reason: str) -> None:
    done = world.run("freshness", put(world.hub, world.new_id(), content), "--json")
    assert (done.code, done.json["error"]["reason"]) == (code, reason)


def test_a_repository_or_branch_that_is_not_there(world: World) -> None:
    assert world.run("freshness", "acme/none-such", "--json").code == 4
    without_token = world.run("freshness", "acme/none-such", "--json", HF_TOKEN="")
    assert (without_token.code, without_token.json["error"]["reason"]) == (4, "no_repository")
    repo_id = put(world.hub, world.new_id(), spec_json(0))
    assert world.run("freshness", repo_id, "--revision", "none-such", "--json").code == 4
    assert world.run("freshness", repo_id, "--max-age", "soon").code == 2


def test_times_in_every_form() -> None:
    def at(**fields: str) -> datetime:
        return parse_updated(json.dumps(fields).encode(), "reading").at

    assert at(update_time="2026-11-20") == datetime(2026, 11, 21, tzinfo=UTC)
    assert at(update_time="2026-11-20T10:00:00Z") == datetime(2026, 11, 20, 10, tzinfo=UTC)
    assert at(updated_at="2026-11-20T10:00:00+02:00") == datetime(2026, 11, 20, 8, tzinfo=UTC)
    assert at(updated_at="2026-11-20 10:00") == datetime(2026, 11, 20, 10, tzinfo=UTC)
    assert at(update_time="2026-11-20", updated_at="never") == datetime(2026, 11, 21, tzinfo=UTC)


# -- clients that keep a copy


def test_whether_a_copy_is_still_good(hub: LocalHub, caplog: pytest.LogCaptureFixture) -> None:
    client = Hub(hub.url, token=CANARIES["HF_TOKEN"], max_retries=0)
    repo_id = put(hub, "acme/cached", spec_json(3600))
    assert not spec_changed(client, repo_id, ago(3590))
    assert not spec_changed(client, repo_id, datetime.now(UTC))
    assert spec_changed(client, repo_id, ago(3700))
    assert spec_changed(client, repo_id, datetime.now(UTC).date() - timedelta(days=3))
    assert not spec_changed(client, repo_id, datetime.now(UTC).date())
    assert caplog.records == []


def test_a_failure_there_only_warns(hub: LocalHub, caplog: pytest.LogCaptureFixture) -> None:
    client = Hub(hub.url, max_retries=0)
    with caplog.at_level(logging.WARNING):
        assert not spec_changed(client, "acme/none-such", "2026-11-20")
        assert not spec_changed(client, put(hub, "acme/cached", spec_json(0)), "yesterday")
    assert [record.message.partition(":")[0] for record in caplog.records] == ["Cache validation failed"] * 2
    assert "acme/none-such" in caplog.text


# -- scheduled workflows


@pytest.fixture
def runner(world: World) -> Iterator[Runner]:
    """A runner with Slack by a bot."""
    with serving(world) as runner:
        yield runner.with_bot()
    runner.hub.faults.clear()


def publishes(repo_id: str, **fields: Any) -> str:
    """A publish request of daily data."""
    return request({"repo_id": repo_id, "path": "data/day.parquet", "interval": "1d", **fields})


def scheduled(runner: Runner, *arguments: str) -> Job:
    return runner.job(*arguments, event=runner.push_event("", ""), name="schedule")


def posted(runner: Runner) -> list[str]:
    return [message_text(message) for message in runner.slack.messages if message.channel == CHANNEL]


def test_stale_data_opens_one_issue_that_closes_by_itself(runner: Runner) -> None:
    stale = put(runner.hub, "acme/daily", spec_json(3 * DAY_S))
    put(runner.hub, "acme/once", spec_json(400 * DAY_S))
    put(runner.hub, "acme/monthly", spec_json(50 * DAY_S))
    requests = {
        "daily": publishes(stale),
        "once": request({"repo_id": "acme/once", "path": "data/once.parquet"}),
        "monthly": publishes("acme/monthly", interval="1M"),
    }
    runner.state.commit("main", {f"requests/publish/{name}.yaml": text for name, text in requests.items()})
    for _ in range(2):
        (daily, monthly) = scheduled(runner, "ci", "watch", "--json").ended(1).json["freshness"]
        assert (daily["repo_id"], daily["problem"]) == (stale, f"Data is stale: last update {ago(3 * DAY_S)[:10]}")
        assert (monthly["problem"], monthly["max_age_s"]) == (None, 62 * DAY_S)
    (issue,) = runner.state.issues.values()
    assert (issue.title, issue.state, issue.user) == ("Published data is stale", "open", BOT)
    assert f"| `acme/daily` | `main` | Data is stale: last update {ago(3 * DAY_S)[:10]} |" in issue.body
    (message,) = posted(runner)
    assert "1 published repository is stale" in message
    # as long as nobody can tell, nothing is opened and nothing is closed
    fault = runner.hub.faults.add(Fault(route="acme/daily", status=503))
    scheduled(runner, "ci", "watch").ended(1)
    assert issue.state == "open"
    runner.hub.faults.remove(fault)
    put(runner.hub, stale, spec_json(60))
    scheduled(runner, "ci", "watch").ended(0)
    assert issue.state == "closed"
    assert runner.comments(issue.number) == ["All published data is fresh again."]
    assert len(posted(runner)) == 2


def test_what_was_never_published_is_stale(runner: Runner) -> None:
    runner.state.commit("main", {"requests/publish/new.yaml": publishes("acme/not-yet")})
    (found,) = scheduled(runner, "ci", "watch", "--json").ended(1).json["freshness"]
    assert "Repository not found" in found["problem"]


def test_a_pipeline_that_fails_has_one_issue_until_it_is_green(runner: Runner) -> None:
    def alert(status: str) -> int | None:
        arguments = ("ci", "alert", "--pipeline", "market-data", "--status", status, "--json")
        number: int | None = scheduled(runner, *arguments).ended(0).json["issue"]
        return number

    assert alert("success") is None
    number = alert("failure")
    assert [alert(status) for status in ("failure", "cancelled")] == [number, number]
    (issue,) = runner.state.issues.values()
    assert (issue.title, issue.state) == ("Daily pipeline failed", "open")
    assert "market-data" in issue.body
    assert "/acme/data/actions/runs/70" in issue.body
    assert alert("skipped") is None
    assert issue.state == "open"
    assert alert("success") is None
    assert issue.state == "closed"
    assert "works again" in runner.comments(issue.number)[-1]
    assert len(posted(runner)) == 2
    assert alert("failure") != number
    scheduled(runner, "ci", "alert", "--pipeline", "x", "--status", "odd").ended(2)


def test_slack_that_is_away_hides_nothing(runner: Runner) -> None:
    runner.settings["SLACK_BOT_TOKEN"] = "xoxb-of-nobody"
    job = scheduled(runner, "ci", "alert", "--pipeline", "market-data", "--status", "failure").ended(0)
    assert len(runner.state.issues) == 1
    assert "Slack could not be notified" in job.err


# -- how old it may be


@pytest.mark.parametrize(
    ("intervals", "days"),
    [((), None), (("1d",), 2), (("8h", "1d"), 2), (("tick",), 2), (("1w",), 14), (("1M", "1w"), 14), (("1y",), 732)],
)
def test_the_shortest_interval_decides(intervals: tuple[str, ...], days: float | None) -> None:
    tables = [{"name": f"t{number}", "path": "a.csv", "interval": each} for number, each in enumerate(intervals)]
    spec = PublishSpec.model_validate(
        {"repo_id": "acme/x", "tables": [*tables, {"name": "other", "path": "b.csv"}]},
    )
    assert max_age_s(spec) == (None if days is None else days * DAY_S)
    assert max_age_s(PublishSpec(repo_id="acme/x", path="a.csv", interval="1h")) == MAX_AGE_S


# -- the newest data -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tables", "newest"),
    [
        (
            [{"time_range": {"end": "2026-11-20T16:00:00Z"}, "date_range": {"end": "2026-11-20"}}],
            "2026-11-20T16:00:00Z",
        ),
        ([{"date_range": {"end": "2026-11-20"}}, {"time_range": {"end": "2026-11-20T16:00:00Z"}}], "2026-11-20"),
        ([{"date_range": {"start": "x", "end": "2026-11-19T01:00:00Z"}}, {"name": "no time"}], "2026-11-19T01:00:00Z"),
        ([{"time_range": {"end": "2026-11-20T16:00:00.5"}}], "2026-11-20T16:00:00.5"),
    ],
)
def test_the_newest_time_of_all_tables_counts(tables: list[dict[str, Any]], newest: str) -> None:
    spec = {"updated_at": "2026-11-29T00:00:00Z", "tables": tables}
    assert parse_newest(json.dumps(spec).encode(), "reading").newest == newest


def test_data_may_be_old_though_it_was_published_just_now(world: World) -> None:
    def spec(age_s: float | None) -> bytes:
        ends = [] if age_s is None else [{"name": "x", "time_range": {"start": ago(9e6), "end": ago(age_s)}}]
        return json.dumps({"updated_at": ago(60), "update_time": ago(60)[:10], "tables": ends}).encode()

    repo_id = put(world.hub, world.new_id(), spec(3 * DAY_S))
    newest = json.loads(world.hub.read(repo_id, "spec.json"))["tables"][0]["time_range"]["end"]
    assert world.run("freshness", repo_id).code == 0
    done = world.run("freshness", repo_id, "--of", "data")
    assert (done.code, done.err.strip()) == (1, f"Data is stale: newest data {newest}")
    described = world.run("freshness", repo_id, "--of", "data", "--max-age", "4d", "--json").json
    assert (described["of"], described["stale"], described["newest"][:10]) == ("data", False, ago(3 * DAY_S)[:10])
    put(world.hub, repo_id, spec(None))
    missing = world.run("freshness", repo_id, "--of", "data", "--json")
    assert missing.json["error"]["reason"] == "no_date_range"
    assert world.run("freshness", repo_id, "--of", "nothing").code == 2
