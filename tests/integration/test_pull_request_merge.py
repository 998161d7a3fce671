"""Merging, pausing and stopping: only the processed commit is merged, and a paused run is resumed once."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from localhub import Fault
from tests.support.pull_requests import BOT, Job, Runner, add, golden, remove, serving, speech
from tests.support.world import World, journal_rows, wait_until

SYNC, APPLY = "dataset-sync.yml", "apply.yml"
VOICES, LONG = "acme__voices__split_train__rev_main", "acme__long__split_train__rev_main"


@pytest.fixture(scope="module")
def served(shared_world: World) -> World:
    """A small dataset, and one in many parts."""
    shared_world.serve("acme/voices", speech(3))
    shared_world.serve("acme/old", speech(2, seed=40))
    shared_world.serve("acme/moving", speech(2, seed=60))
    shared_world.serve("acme/long", speech(8, seed=10), shards=4)
    return shared_world


@pytest.fixture
def runner(served: World, world: World) -> Iterator[Runner]:
    """A server of its own for each test."""
    world.repositories = served.repositories
    with serving(world) as runner:
        runner.settings |= {"WORKERS": "1", "MAX_CONCURRENT_DOWNLOADS": "1"}
        yield runner
    runner.hub.faults.clear()


def slow_shards(runner: Runner, delay_s: float) -> int:
    """Let every fetch of a shard of acme/long take a while (the first four reads are those of footers)."""
    return runner.hub.faults.add(Fault(route="acme/long/resolve/.*parquet", method="GET", after=4, delay_s=delay_s))


def hanging_shard(runner: Runner) -> None:
    """Let the second shard of acme/long not come at all, so that a run stops in the middle, however slow it is."""
    runner.hub.faults.add(Fault(route="acme/long/resolve/.*parquet", method="GET", after=5, delay_s=60))


def journalled(runner: Runner) -> list[int]:
    """The rows of acme/long that are done."""
    return journal_rows(runner.state_dir / "journal" / f"{LONG}.jsonl")


def test_what_was_processed_is_merged_and_what_waits_for_it_is_started(runner: Runner) -> None:
    folders = {"STORAGE_ROOT": str(runner.storage), "STATE_DIR": str(runner.state_dir)}
    runner.world.sync(runner.world.add("acme/old", "old"), **folders).ok()
    number = runner.propose(
        {"requests/add/voices.yaml": add("acme/voices"), "requests/remove/old.yaml": remove("acme/old")}
    )
    head = runner.state.pull_head(number)
    runner.sync(number, AUTO_MERGE="true").ended(0)
    pull = runner.state.pulls[number]
    assert pull.merged_head == head
    assert f"Merged at `{head[:7]}`." in runner.sticky(number)
    # a merge with GITHUB_TOKEN starts no workflow: without this, nothing would ever be removed
    assert runner.dispatched(APPLY) == [{"pull_request": str(number)}]
    assert "acme__old__split_train__rev_main" in runner.stored
    event = runner.dispatch_event(runner.dispatched(APPLY)[0])
    job = runner.job("ci", "apply", "--json", event=event, name="workflow_dispatch").ended(0)
    assert job.results["requests/remove/old.yaml"]["status"] == "removed"
    assert runner.stored == [VOICES]
    assert runner.labels(number) == ["hugflow: done"]


def test_a_push_in_the_middle_of_the_run_is_not_merged(runner: Runner) -> None:
    number = runner.propose({"requests/add/long.yaml": add("acme/long")})
    old = runner.state.pull_head(number)
    fault = slow_shards(runner, 1.0)
    with runner.running("sync", "--ci-mode", event=runner.pull_event(number), AUTO_MERGE="true") as running:
        wait_until(lambda: runner.hub.faults.fired(fault))
        new = runner.push(number, {"requests/add/other.yaml": add("acme/voices")})
        job = running.end().ended(0)
    pull = runner.state.pulls[number]
    assert (pull.merged_as, runner.state.issues[number].state) == (None, "open")
    assert "PUT /repos/acme/data/pulls/1/merge" in [f"{r.method} {r.path}" for r in runner.github.writes()]
    golden(
        "not_merged.md",
        runner.normal(runner.sticky(number), {old: "a", runner.hub.repository("acme/long").head.sha: "b"}),
    )
    assert "somebody pushed after" in job.summary
    said = [
        request.json["body"]
        for request in runner.github.writes()
        if request.method == "PATCH" and "body" in request.json
    ]
    assert [text for text in said if "### ⏳ Hugflow: 1 running" in text and "█" in text and "░" in text], "no progress"
    assert [check.conclusion for check in runner.state.checks_of(old)] == ["success"]
    assert runner.state.checks_of(new) == []


def test_a_request_that_fails_is_not_merged(runner: Runner) -> None:
    number = runner.propose(
        {"requests/add/voices.yaml": add("acme/voices"), "requests/add/none.yaml": add("acme/none-such")}
    )
    runner.sync(number, AUTO_MERGE="true").ended(3)
    assert runner.state.pulls[number].merged_as is None
    assert not any("/merge" in request.path for request in runner.github.requests)
    (check,) = runner.checks(number)
    assert [(a["path"], a["start_line"], a["start_column"]) for a in check.annotations] == [
        ("requests/add/none.yaml", 1, 8)
    ]


def test_the_time_is_over_and_the_next_slice_goes_on(runner: Runner) -> None:
    number = runner.propose(
        {"requests/add/long.yaml": add("acme/long"), "requests/add/voices.yaml": add("acme/voices")}
    )
    hanging_shard(runner)
    job = runner.sync(number, "--max-runtime", "12s", "--json").ended(75)
    result = job.results["requests/add/long.yaml"]
    assert (result["status"], result["rows_total"], result["rows_done"]) == ("paused", 8, 2)
    (inputs,) = runner.dispatched(SYNC)
    head = runner.state.pull_head(number)
    assert inputs == {"pull_request": str(number), "sha": head, "mode": "sync", "only": ""}
    assert runner.labels(number) == ["hugflow: paused"]
    assert runner.finals(number) == [], "it goes on: nobody has to be told yet"
    assert "the next job resumes where this one stopped" in runner.sticky(number)
    (check,) = runner.checks(number)
    assert check.conclusion is None
    runner.hub.faults.clear()
    again = runner.job("sync", "--ci-mode", "--json", event=runner.dispatch_event(inputs), name="workflow_dispatch")
    assert again.ended(0).results["requests/add/long.yaml"]["new_rows"] == 8 - result["rows_done"]
    assert runner.stored == [LONG, VOICES]
    (same,) = runner.checks(number)
    assert (same.id, same.conclusion) == (check.id, "success")
    assert len(runner.finals(number)) == 1
    assert len(runner.dispatched(SYNC)) == 1


def test_a_cancelled_run_saves_its_state_and_starts_nothing(runner: Runner) -> None:
    number = runner.propose({"requests/add/long.yaml": add("acme/long")})
    hanging_shard(runner)
    with runner.running("sync", "--ci-mode", "--json", event=runner.pull_event(number)) as running:
        wait_until(lambda: journalled(runner))
        running.process.send_signal(signal.SIGTERM)
        job = running.end().ended(75)
    assert job.results["requests/add/long.yaml"]["rows_done"] == 2
    assert runner.dispatched(SYNC) == []
    # the first to be delivered in the few seconds that are left; the label and the check may not make it
    assert "The state is saved. Comment `/hugflow retry`" in runner.sticky(number)


def test_the_commit_of_the_plan_is_downloaded_though_main_moves_on(runner: Runner) -> None:
    number = runner.propose(
        {"requests/add/long.yaml": add("acme/long"), "requests/add/moving.yaml": add("acme/moving")}
    )
    planned = runner.hub.repository("acme/moving").head.sha
    fault = slow_shards(runner, 0.5)
    with runner.running("sync", "--ci-mode", "--json", event=runner.pull_event(number)) as running:
        wait_until(lambda: runner.hub.faults.fired(fault))
        moved = runner.hub.commit("acme/moving", {"data/train-00000-of-00001.parquet": None}, message="broken")
        job = running.end()
    runner.hub.commit("acme/moving", {"README.md": b"still broken"})
    assert moved != planned
    assert job.ended(0).results["requests/add/moving.yaml"]["sha"] == planned


def test_drift_opens_one_issue_that_closes_by_itself(runner: Runner) -> None:
    folders = {"STORAGE_ROOT": str(runner.storage), "STATE_DIR": str(runner.state_dir)}
    runner.world.sync(runner.world.add("acme/voices", "voices"), **folders).ok()
    runner.state.commit("main", {f"requests/add/{name}.yaml": add(f"acme/{name}") for name in ("voices", "long")})

    def watch() -> Job:
        return runner.job("ci", "watch", "--json", event=runner.push_event("", ""), name="schedule")

    for _ in range(2):
        assert [(each["name"], each["state"]) for each in watch().ended(1).json["drift"]] == [(LONG, "missing")]
    (issue,) = runner.state.issues.values()
    assert (issue.title, issue.state, issue.user) == ("Datasets have drifted", "open", BOT)
    assert f"| `{LONG}` | asked for by `requests/add/long.yaml`, not in storage |" in issue.body
    runner.state.commit("main", {"requests/add/long.yaml": None})
    watch().ended(0)
    assert issue.state == "closed"
    assert runner.comments(issue.number) == ["Requests, storage and the Hub agree again."]
