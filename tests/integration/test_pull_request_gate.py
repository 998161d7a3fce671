"""Pull requests that the gate refuses: no request reaches the Hub, and the comment says what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from tests.doubles.git_objects import Content, Symlink
from tests.support.pull_requests import BOT, Job, Runner, add, golden, serving, speech, together
from tests.support.world import World

REQUEST = {"requests/add/voices.yaml": add("acme/voices")}


@pytest.fixture(scope="module")
def runner(shared_world: World) -> Iterator[Runner]:
    """A repository whose policy allows the datasets of acme."""
    shared_world.serve("acme/voices", speech(3))
    with serving(shared_world) as runner:
        files = {
            "hugflow.yaml": "datasets:\n  organisations: [acme]\n",
            "hugflow/sync.py": "1\n",
            "README.md": "# Ours\n",
        }
        runner.state.commit("main", files)
        runner.state.commit("release", {"README.md": "# Release\n"})
        yield runner.with_bot()


@dataclass(frozen=True)
class Case:
    """A pull request that is refused: what it adds, where it comes from, why, and the exit code."""

    why: str
    files: Mapping[str, Content] = field(default_factory=dict)
    pull: Mapping[str, Any] = field(default_factory=dict)
    exit_code: int = 4


CASES = {
    "outside": Case("outside_requests", {"hugflow/sync.py": "import os\n", "README.md": "# Mine\n"}),
    "policy": Case("outside_requests", {"hugflow.yaml": "datasets:\n  organisations: ['*']\n"}),
    "workflow": Case("outside_requests", {".github/workflows/dataset-sync.yml": "on: push\n"}),
    "symlink": Case("not_a_file", {"requests/add/link.yaml": Symlink("/etc/passwd")}),
    "environment": Case("environment_file", {"requests/.env": "HF_TOKEN=x\n"}),
    "fork": Case("fork", pull={"fork": "mallory", "author": "mallory"}, exit_code=5),
    "base": Case("wrong_base", pull={"base": "release"}),
}


@pytest.fixture(scope="module")
def refused(runner: Runner) -> dict[str, tuple[int, Job]]:
    """Every case as a pull request with its job; none of them may run."""
    numbers = {name: runner.propose({**REQUEST, **case.files}, name, **case.pull) for name, case in CASES.items()}
    jobs = together({name: partial(runner.sync, number, "--json") for name, number in numbers.items()})
    assert runner.hub.requests() == [], "the Hub was asked"
    assert not runner.storage.exists()
    assert not (runner.state_dir / "journal").exists()
    assert runner.slack.messages == []
    return {name: (numbers[name], jobs[name]) for name in CASES}


@pytest.mark.parametrize("name", CASES)
def test_the_gate_refuses(runner: Runner, refused: dict[str, tuple[int, Job]], name: str) -> None:
    number, job = refused[name]
    assert [refusal["code"] for refusal in job.ended(CASES[name].exit_code).json["refusals"]] == [CASES[name].why]
    (check,) = runner.checks(number)
    assert (check.conclusion, check.title) == ("failure", "nothing runs for this pull request")
    assert runner.comments(number) == [runner.sticky(number)]
    golden(f"refused_{name}.md", runner.normal(runner.sticky(number), {runner.state.pull_head(number): "a"}))
    assert job.summary.strip() == runner.sticky(number).strip()


@pytest.fixture(scope="module")
def fork(runner: Runner, refused: dict[str, tuple[int, Job]]) -> int:
    """The pull request of a stranger, from a fork."""
    return refused["fork"][0]


def gate(runner: Runner, number: int, **event: Any) -> Job:
    """The job that decides before the server's does."""
    return runner.job("ci", "gate", "--json", event=runner.pull_event(number), **event)


def test_the_gate_of_the_hosted_runner_says_the_same(runner: Runner, refused: dict[str, tuple[int, Job]]) -> None:
    names = ("outside", "fork")
    jobs = together({name: partial(gate, runner, refused[name][0]) for name in names})
    for name in names:
        number, before = refused[name]
        said = jobs[name].ended(before.code).json
        assert (said["allowed"], said["refusals"]) == (False, before.json["refusals"])
        assert runner.comments(number) == [runner.sticky(number)], "the comment is edited, not written again"


def test_readers_strangers_and_authors_let_no_fork_run(runner: Runner, fork: int) -> None:
    for login in ("eve", "mallory", "nobody"):
        runner.state.review(fork, login)
    runner.state.review(fork, "alice", "CHANGES_REQUESTED")
    runner.state.review(fork, "bob", sha=runner.state.head("main"))
    command = runner.comment(fork, "mallory", "/hugflow retry")
    runner.job("ci", "command", event=command, name="issue_comment").ended(0)
    assert runner.state.comments[command["comment"]["id"]].reactions == [(BOT, "-1")]
    assert runner.dispatched("dataset-sync.yml") == []
    gate(runner, fork).ended(5)


def test_a_fork_runs_when_somebody_with_write_access_approved_its_commit(runner: Runner, fork: int) -> None:
    runner.state.review(fork, "bob")
    gate(runner, fork).ended(0)
    assert runner.sync(fork, "--json").ended(0).results["requests/add/voices.yaml"]["status"] == "complete"
    runner.push(fork, {"requests/add/voices.yaml": add("acme/voices", description="Not what bob saw.")})
    gate(runner, fork).ended(5)


def test_a_command_lets_one_commit_of_a_fork_run(runner: Runner, fork: int) -> None:
    seen = runner.state.pull_head(fork)
    command = runner.comment(fork, "bob", f"/hugflow plan {seen}")
    runner.job("ci", "command", event=command, name="issue_comment").ended(0)
    (inputs,) = runner.dispatched("dataset-sync.yml")
    assert (inputs["sha"], inputs["mode"]) == (seen, "plan")
    job = runner.job("sync", "--ci-mode", event=runner.dispatch_event(inputs), name="workflow_dispatch")
    assert job.ended(0).summary.startswith("### ")
    newer = runner.push(fork, {"requests/add/voices.yaml": add("acme/voices", description="Nor what bob saw.")})
    event = runner.dispatch_event({**inputs, "sha": newer}, "steward")
    runner.job("ci", "gate", event=event, name="workflow_dispatch").ended(0)
    event = runner.dispatch_event({**inputs, "sha": ""}, "steward")
    runner.job("ci", "gate", event=event, name="workflow_dispatch").ended(5)  # no commit named is no consent to one


def test_a_run_for_an_older_commit_or_a_closed_pull_request_says_nothing(runner: Runner) -> None:
    number = runner.propose(REQUEST, "moved")
    old = runner.state.pull_head(number)
    runner.push(number, {"requests/add/other.yaml": add("acme/voices", revision="other")})
    job = runner.job("sync", "--ci-mode", event=runner.pull_event(number, old)).ended(0)
    assert f"head is `{runner.state.pull_head(number)[:7]}`" in job.err
    runner.state.issues[number].state = "closed"
    assert "The pull request is closed" in runner.sync(number).ended(0).err
    assert runner.comments(number) == []
    assert runner.checks(number) == []


@pytest.mark.parametrize(
    "folders",
    [{"STORAGE_ROOT": "./datasets"}, {"STATE_DIR": "WORKSPACE/state"}, {"STORAGE_ROOT": "WORKSPACE/../checkout/data"}],
    ids="-".join,
)
def test_the_workspace_is_no_place_for_data(runner: Runner, folders: dict[str, str]) -> None:
    number = runner.propose(REQUEST, "workspace")
    workspace = str(runner.world.folder)
    runner.github.requests.clear()
    runner.hub.clear_log()
    environ = {name: value.replace("WORKSPACE", workspace) for name, value in folders.items()}
    job = runner.sync(number, **environ).ended(2)
    assert "which the next checkout cleans" in job.err
    assert (runner.github.requests, runner.hub.requests(), runner.comments(number)) == ([], [], [])
    assert list(runner.world.folder.iterdir()) == []
