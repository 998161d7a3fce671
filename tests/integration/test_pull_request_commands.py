"""Comment commands and the policy: who may run them, and the jobs that they start."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from tests.support.pull_requests import (
    BOT,
    Job,
    Runner,
    add,
    golden,
    remove,
    serving,
    speech,
    together,
)
from tests.support.world import World, audio_cell

SYNC = "dataset-sync.yml"
VOICES = "acme__voices__split_train__rev_main"
POLICY = """
datasets:
  organisations: [acme]
  max_rows: 4
removals:
  approvals: 1
  approvers: [steward]
"""


@pytest.fixture(scope="module")
def runner(shared_world: World) -> Iterator[Runner]:
    """A server with one dataset, and a policy that asks the steward before anything is removed."""
    shared_world.serve("acme/voices", speech(3))
    shared_world.serve("acme/large", speech(5, seed=20))
    shared_world.serve("other/voices", speech(2, seed=30))
    rows = speech(4, seed=40)
    rows[2]["audio"] = audio_cell(b"no sound at all", "bad.wav")
    shared_world.serve("acme/broken", rows)
    with serving(shared_world) as runner:
        folders = {"STORAGE_ROOT": str(runner.storage), "STATE_DIR": str(runner.state_dir)}
        shared_world.sync(shared_world.add("acme/voices", "voices"), **folders).ok()
        runner.state.commit("main", {"hugflow.yaml": POLICY, "requests/add/voices.yaml": add("acme/voices")})
        yield runner


def say(runner: Runner, number: int, author: str, body: str) -> str:
    """Comment, and run the job of it: the bot's reaction."""
    event = runner.comment(number, author, body)
    runner.job("ci", "command", event=event, name="issue_comment").ended(0)
    ((login, reaction),) = runner.state.comments[event["comment"]["id"]].reactions or [(BOT, "")]
    assert login == BOT
    return reaction


def started(runner: Runner, number: int) -> list[dict[str, str]]:
    """The runs that were started for a pull request."""
    return [inputs for inputs in runner.dispatched(SYNC) if inputs["pull_request"] == str(number)]


def run_dispatched(runner: Runner, number: int) -> Job:
    """The job of the newest dispatch."""
    event = runner.dispatch_event(started(runner, number)[-1])
    return runner.job("sync", "--ci-mode", "--json", event=event, name="workflow_dispatch")


def test_a_plan_is_asked_for_and_shown(runner: Runner) -> None:
    number = runner.propose({"requests/add/broken.yaml": add("acme/broken")}, "plan")
    assert say(runner, number, "bob", "/hugflow plan") == "rocket"
    (inputs,) = started(runner, number)
    assert (inputs["mode"], inputs["sha"]) == ("plan", runner.state.pull_head(number))
    job = run_dispatched(runner, number).ended(0)
    assert job.json["requests"] == [
        {"request": "requests/add/broken.yaml", "kind": "add", "state": "queued", "problems": []}
    ]
    names = {runner.state.pull_head(number): "a", runner.hub.repository("acme/broken").head.sha: "b"}
    golden("plan_only.md", runner.normal(runner.sticky(number), names))
    assert runner.stored == [VOICES]
    assert runner.finals(number) == []


def test_only_people_with_write_access_are_heard(runner: Runner) -> None:
    number = runner.propose({"requests/add/voices.yaml": add("acme/voices", description="x")}, "access")
    other = runner.propose({"requests/add/voices.yaml": add("acme/voices", description="y")}, "busy")
    run = runner.state.add_run(SYNC, f"Datasets of pull request {other}")
    bystander = runner.state.add_run(SYNC, f"Datasets of pull request {number}0")
    said = together(
        {
            f"{author}: {body}": partial(say, runner, number, author, body)
            for author, body in (
                ("eve", "/hugflow retry"),
                ("mallory", "/hugflow fly"),
                ("eve", "What does /hugflow retry do?"),
                ("bob", "/hugflow rety"),
                ("bob", "/hugflow cancel"),
            )
        }
        | {"cancel": partial(say, runner, other, "alice", "/hugflow cancel")}
    )
    assert said == {
        "eve: /hugflow retry": "-1",
        "mallory: /hugflow fly": "-1",
        "eve: What does /hugflow retry do?": "",
        "bob: /hugflow rety": "confused",
        "bob: /hugflow cancel": "confused",
        "cancel": "rocket",
    }
    assert [runner.state.runs[each].conclusion for each in (run, bystander)] == ["cancelled", None]
    answers = sorted(runner.comments(number))
    assert len(answers) == 2
    assert answers[0].startswith("There is no command `rety`. Did you mean `/hugflow retry`?")
    assert answers[1] == "There is no run to cancel."
    assert started(runner, number) == []


def test_retry_tries_failed_rows_again_and_one_file_alone(runner: Runner) -> None:
    files = {"requests/add/broken.yaml": add("acme/broken"), "requests/add/none.yaml": add("acme/none-such")}
    number = runner.propose(files, "retry")
    result = runner.sync(number, "--json").ended(4).results["requests/add/broken.yaml"]
    assert (result["status"], result["rows_done"], result["rows_failed"]) == ("partial", 3, 1)
    names = {runner.state.pull_head(number): "a", runner.hub.repository("acme/broken").head.sha: "b"}
    golden("partial.md", runner.normal(runner.sticky(number), names))

    def tries() -> int:
        journal = runner.state_dir / "journal" / "acme__broken__split_train__rev_main.jsonl"
        return journal.read_text().count("unsupported_audio")

    assert tries() == 1
    assert say(runner, number, "bob", "/hugflow retry requests/add/broken.yaml") == "rocket"
    assert started(runner, number)[-1]["only"] == "requests/add/broken.yaml"
    assert run_dispatched(runner, number).ended(4).results["requests/add/broken.yaml"]["rows_failed"] == 1
    assert tries() == 2


def test_a_policy_is_part_of_the_plan(runner: Runner) -> None:
    number = runner.propose(
        {
            "requests/add/large.yaml": add("acme/large"),
            "requests/add/other.yaml": add("other/voices"),
            "requests/remove/voices.yaml": remove("acme/voices"),
        },
        "policy",
    )
    job = runner.sync(number, "--json").ended(4)
    states = {request["request"]: request["state"] for request in job.json["requests"]}
    assert states == {
        "requests/add/large.yaml": "refused",
        "requests/add/other.yaml": "refused",
        "requests/remove/voices.yaml": "waiting",
    }
    names = {runner.state.pull_head(number): "a"}
    for letter, hf_id in (("b", "acme/large"), ("c", "other/voices")):
        names[runner.hub.repository(hf_id).head.sha] = letter
    golden("policy.md", runner.normal(runner.sticky(number), names))
    (check,) = runner.checks(number)
    assert check.conclusion == "failure"
    marked = [(a["path"], a["start_line"], a["start_column"], a["title"]) for a in check.annotations]
    assert marked == [(f"requests/add/{name}.yaml", 1, 8, "Refused") for name in ("large", "other")]
    assert runner.stored == [VOICES]


def test_a_policy_limits_rows_that_are_counted_while_they_are_read(runner: Runner) -> None:
    runner.hub.add_dataset("acme/table")
    runner.hub.commit("acme/table", {f"train-{n}.csv": b"n\n" + b"1\n" * 3 for n in range(2)})
    number = runner.propose({"requests/add/table.yaml": add("acme/table")}, "counted")
    runner.sync(number, "--json").ended(4)
    assert "the policy allows 4 rows; there are 6" in runner.sticky(number)
    assert not (runner.storage / "acme__table__split_train__rev_main" / ".hugflow" / "dataset.json").exists()


def test_a_removal_waits_for_the_steward(runner: Runner) -> None:
    number = runner.propose({"requests/remove/voices.yaml": remove("acme/voices")}, "removal")
    runner.state.review(number, "bob")  # who may write, but is not named by the policy
    runner.sync(number).ended(5)
    assert runner.labels(number) == ["hugflow: needs approval"]
    assert runner.checks(number)[-1].conclusion == "action_required"
    head = runner.state.pull_head(number)
    assert f"`steward` approves with the comment `/hugflow approve-removal {head}`" in runner.sticky(number)

    for author, commit, answer in (
        ("bob", head, "The policy names who approves removals: `steward`."),
        ("steward", "1" * 40, f"The pull request is at `{head[:7]}` now."),
        ("steward", head[:7], "Write all 40 digits of the commit"),
    ):
        assert say(runner, number, author, f"/hugflow approve-removal {commit}") == "confused"
        assert runner.comments(number)[-1].startswith(answer)
    assert started(runner, number) == []

    assert say(runner, number, "steward", f"/hugflow approve-removal {head}") == "rocket"
    assert run_dispatched(runner, number).ended(0).json["requests"][0]["state"] == "after-merge"
    assert runner.labels(number) == ["hugflow: ready"]
    assert runner.stored == [VOICES]


def test_what_was_merged_without_consent_removes_nothing_until_there_is_one(runner: Runner) -> None:
    number = runner.propose({"requests/remove/voices.yaml": remove("acme/voices", split="train")}, "merged")
    runner.merge_and_apply(number).ended(5)
    assert runner.stored == [VOICES]
    assert runner.labels(number) == ["hugflow: needs approval"]
    runner.state.review(number, "steward")
    assert say(runner, number, "bob", "/hugflow retry") == "rocket"
    (inputs,) = runner.dispatched("apply.yml")
    event = runner.dispatch_event(inputs)
    runner.job("ci", "apply", event=event, name="workflow_dispatch").ended(0)
    assert VOICES not in runner.stored
    assert runner.labels(number) == ["hugflow: done"]
