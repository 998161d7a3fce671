"""A pull request from its first run to the merge: adds run, one fails and resumes, a removal runs after the merge.

The jobs of the real command run once, in order; each test looks at one part of their results.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from localhub import Fault
from tests.conftest import CANARIES
from tests.doubles.github_state import CheckRun
from tests.doubles.slack import Message
from tests.support import pull_requests as support
from tests.support.pull_requests import (
    BOT,
    STICKY,
    Job,
    Runner,
    add,
    golden,
    message_text,
    remove,
    serving,
    speech,
)
from tests.support.world import World, strict_json, tree

GOOD, LONG, NOISE = (f"acme__{name}__split_train__rev_main" for name in ("good", "long", "noise"))
TYPO = "hf_id: acme/typo\ndescripton: x\nsplit: train[:10%]\n"
QUOTED = f"{STICKY}\nI quote the bot's comment."


@dataclass(frozen=True)
class Chapter:
    """Comments, checks, labels, messages and files when a job had ended."""

    job: Job
    number: int
    head: str
    sticky: str
    finals: list[str]
    comments: int
    checks: list[CheckRun]
    labels: list[str]
    slack: list[Message]
    stored: list[str]
    tree: dict[str, str]
    fetched: list[str]
    progress: dict[str, Any]

    @property
    def check(self) -> CheckRun:
        """The newest check run."""
        return self.checks[-1]


@pytest.fixture(scope="module")
def runner(shared_world: World) -> Iterator[Runner]:
    """A server with one dataset, whose request stands on the default branch."""
    shared_world.serve("acme/good", speech(5))
    shared_world.serve("acme/long", speech(6, seed=10), shards=2)
    shared_world.serve("acme/noise", speech(3, seed=20))
    with serving(shared_world) as runner:
        requests = {f"requests/add/{name}.yaml": add(f"acme/{name}") for name in ("old", "noise")}
        runner.state.commit("main", requests)
        # shards come one after the other, so that what is stored when one fails is no chance
        runner.settings |= {"WORKERS": "1", "MAX_CONCURRENT_DOWNLOADS": "1", "MAX_RETRIES": "1"}
        folders = {
            "STORAGE_ROOT": str(runner.storage),
            "STATE_DIR": str(runner.state_dir),
            "PROCESSED_ROOT": str(runner.processed),
        }
        shared_world.sync(shared_world.add("acme/noise", "noise"), **folders).ok()
        yield runner


def told(runner: Runner, number: int, job: Job, fetched_before: int) -> Chapter:
    """The current comments, checks, labels, messages and files."""
    return Chapter(
        job=job,
        number=number,
        head=runner.state.pull_head(number),
        sticky=runner.sticky(number),
        finals=runner.finals(number),
        comments=len(runner.state.comments_of(number)),
        checks=copy.deepcopy(runner.checks(number)),
        labels=runner.labels(number),
        slack=copy.deepcopy(runner.slack.messages),
        stored=runner.stored,
        tree=tree(runner.storage),
        fetched=runner.downloads()[fetched_before:],
        progress={path.stem: strict_json(path.read_text()) for path in (runner.state_dir / "progress").iterdir()},
    )


@pytest.fixture(scope="module")
def first(runner: Runner) -> Chapter:
    """The first run: the Hub fails on the second shard of acme/long, after its rows were counted."""
    number = runner.propose(
        {
            "requests/add/good.yaml": add("acme/good"),
            "requests/add/long.yaml": add("acme/long"),
            "requests/remove/noise.yaml": remove("acme/noise"),
            "requests/add/typo.yaml": TYPO,
            "requests/add/old.yaml": None,
        },
        title="More speech",
    )
    runner.state.add_comment(number, "eve", QUOTED)
    runner.hub.faults.add(Fault(route="/resolve/.*train-00001", method="GET", after=1, status=503))
    before = len(runner.downloads())
    job = runner.with_bot().sync(number)
    return told(runner, number, job, before)


@pytest.fixture(scope="module")
def second(runner: Runner, first: Chapter) -> Chapter:
    """The second run: the Hub answers again, the malformed request is deleted; Slack has a webhook this time."""
    runner.hub.faults.clear()
    runner.push(first.number, {"requests/add/typo.yaml": None})
    for name in [name for name in runner.settings if name.startswith("SLACK_")]:
        del runner.settings[name]
    before = len(runner.downloads())
    job = runner.with_webhook().sync(first.number, "--json")
    return told(runner, first.number, job, before)


@pytest.fixture(scope="module")
def third(runner: Runner, second: Chapter) -> Chapter:
    """The third run, with nothing to do: it sends no request to the Hub."""
    runner.hub.clear_log()
    job = runner.sync(second.number, "--json")
    assert runner.hub.requests() == []
    return told(runner, second.number, job, 0)


@pytest.fixture(scope="module")
def applied(runner: Runner, third: Chapter) -> Chapter:
    """A person merges; the push to the default branch starts the job that removes."""
    before = len(runner.downloads())
    job = runner.merge_and_apply(third.number, "--json", AUTO_CLEANUP_REQUESTS="true")
    return told(runner, third.number, job, before)


def commits(runner: Runner, chapter: Chapter) -> dict[str, str]:
    """Names for the commits that stand in comments."""
    names = {chapter.head: "a"}
    for letter, hf_id in (("b", "acme/good"), ("c", "acme/long"), ("d", "acme/noise")):
        names[runner.hub.repository(hf_id).head.sha] = letter
    return names


# -- what people read ------------------------------------------------------------------------------------------------


def test_the_comments_of_the_first_run(runner: Runner, first: Chapter) -> None:
    (final,) = first.finals
    golden("first_sticky.md", runner.normal(first.sticky, commits(runner, first)))
    assert final.split("\n", 1)[1] == first.sticky.split("\n", 1)[1], "the final comment says what the sticky one does"
    assert re.fullmatch(r"<!-- hugflow:final \d+-1 -->", final.split("\n", 1)[0])


def test_the_comment_of_the_second_run(runner: Runner, second: Chapter) -> None:
    golden("second_sticky.md", runner.normal(second.sticky, commits(runner, second)))


def test_the_comment_of_a_run_with_nothing_to_do(runner: Runner, third: Chapter) -> None:
    golden("third_sticky.md", runner.normal(third.sticky, commits(runner, third)))


def test_the_comment_after_the_merge(runner: Runner, applied: Chapter) -> None:
    text = runner.normal(applied.sticky, commits(runner, applied))
    golden("applied_sticky.md", text.replace(runner.state.head("main")[:7], "fffffff"))


def test_there_is_one_sticky_comment_and_a_final_one_for_each_run(
    runner: Runner, first: Chapter, applied: Chapter
) -> None:
    assert [len(chapter.finals) for chapter in (first, applied)] == [1, 4]
    assert applied.comments == 1 + 1 + 4, "eve's, the sticky one, the final ones"
    assert [body for body in runner.comments(first.number) if body.startswith(STICKY)] == [applied.sticky]
    assert runner.comments(first.number, "eve") == [QUOTED], "a comment that only looks like ours is not ours"


# -- the first run ---------------------------------------------------------------------------------------------------


def test_what_succeeded_is_stored_and_what_failed_is_kept(first: Chapter) -> None:
    first.job.ended(3)
    assert first.stored == [GOOD, NOISE]
    assert [name for name in first.tree if name.startswith(f"{LONG}/json/")] == [
        f"{LONG}/json/{n}.json" for n in range(3)
    ]
    progress = first.progress[LONG]
    assert (progress["status"], progress["downloaded_files"], progress["total_files"]) == ("failed", 3, 6)
    assert progress["resume_data"]["completed_rows"] == [[0, 2]]
    assert GOOD not in first.progress, "CLEANUP_PROGRESS_ON_SUCCESS"


def test_problems_are_marked_on_their_lines_and_columns(first: Chapter) -> None:
    (check,) = first.checks
    assert (check.name, check.head_sha, check.conclusion) == ("hugflow", first.head, "failure")
    places = [(a["path"], a["start_line"], a["start_column"], a["annotation_level"]) for a in check.annotations]
    typo = "requests/add/typo.yaml"
    assert places == [(typo, 2, 1, "failure"), (typo, 3, 8, "failure")]
    assert check.annotations[0]["message"].startswith("descripton: is not a field of an add request; did you mean")
    assert check.title == "1 failed, 1 invalid, 1 in storage, 1 to run after the merge"
    assert check.summary == first.sticky.removeprefix(f"{STICKY}\n\n")


def test_the_summary_of_the_job_is_that_of_the_check(first: Chapter) -> None:
    assert first.job.summary.strip() == first.check.summary.strip()


def test_the_log_of_the_job_names_results_and_failures(first: Chapter) -> None:
    assert f"✓ {GOOD}: complete" in first.job.out
    assert f"✗ {LONG}: failed" in first.job.out
    assert "the Hub failed (503)" in first.job.out
    assert (
        "✗ requests/add/typo.yaml: invalid\n  requests/add/typo.yaml:2:1: descripton: is not a field" in first.job.out
    )
    assert f"INFO {GOOD}: 5 rows to download" in first.job.err


def test_slack_shows_one_message_with_a_thread_and_a_last_word(runner: Runner, first: Chapter) -> None:
    (parent,) = (message for message in first.slack if message.thread_ts is None)
    assert parent.revisions >= 1, "it was updated in place"
    assert {message.thread_ts for message in first.slack} == {None, parent.ts}
    assert [message.broadcast for message in first.slack] == [False] * (len(first.slack) - 1) + [True]
    golden("first_slack.md", slack_text(runner, first.slack))


def slack_text(runner: Runner, messages: list[Message]) -> str:
    """Messages as one text, without what differs from run to run."""
    return runner.normal("\n----\n".join(map(message_text, messages))) + "\n"


# -- the second and the third run ------------------------------------------------------------------------------------


def test_the_second_run_goes_on_where_the_first_one_stopped(second: Chapter) -> None:
    second.job.ended(0)
    results = second.job.results
    assert {path: result["status"] for path, result in results.items()} == {
        "requests/add/good.yaml": "unchanged",
        "requests/add/long.yaml": "complete",
    }
    assert (results["requests/add/long.yaml"]["rows_done"], results["requests/add/long.yaml"]["new_rows"]) == (6, 3)
    assert not any("train-00000" in target for target in second.fetched), "what was stored was fetched again"
    assert (second.check.head_sha, second.check.conclusion, second.check.annotations) == (second.head, "success", [])
    assert second.labels == ["hugflow: ready"]


def test_the_first_run_labels_the_pull_request_as_failed(first: Chapter) -> None:
    assert first.labels == ["hugflow: failed"]


def test_a_webhook_gets_plain_messages(runner: Runner, first: Chapter, second: Chapter) -> None:
    messages = second.slack[len(first.slack) :]
    assert all(message.by_webhook and message.revisions == 0 for message in messages)
    golden("second_slack.md", slack_text(runner, messages))


def test_a_run_of_a_complete_pull_request_changes_nothing(second: Chapter, third: Chapter) -> None:
    third.job.ended(0)
    assert {result["status"] for result in third.job.results.values()} == {"unchanged"}
    assert third.tree == second.tree
    assert third.labels == ["hugflow: ready"]
    assert third.check.conclusion == "success"


def test_nothing_is_removed_before_the_merge(second: Chapter, third: Chapter) -> None:
    assert NOISE in second.stored
    assert NOISE in third.stored


# -- after the merge -------------------------------------------------------------------------------------------------


def test_the_merge_removes(runner: Runner, third: Chapter, applied: Chapter) -> None:
    applied.job.ended(0)
    assert applied.job.results["requests/remove/noise.yaml"]["status"] == "removed"
    assert applied.stored == [GOOD, LONG]
    assert applied.labels == ["hugflow: done"]
    kept = {name for name in third.tree if not name.startswith(f"{NOISE}/")}
    assert kept <= applied.tree.keys()
    archived = strict_json((runner.state_dir / "archived.json").read_text())
    assert "Replaced by a better one." in json.dumps(archived)
    assert not (runner.processed / NOISE).is_symlink()


def test_finished_requests_are_deleted_in_one_commit(runner: Runner, applied: Chapter) -> None:
    state = runner.state
    head = state.objects.commits[state.head("main")]
    merge = state.objects.commits[head.parents[0]]
    assert head.author == BOT
    assert merge.files.keys() - head.files.keys() == {"requests/remove/noise.yaml", "requests/add/noise.yaml"}
    assert {"requests/add/good.yaml", "requests/add/long.yaml"} <= head.files.keys()


def test_no_secret_is_written_anywhere(runner: Runner, applied: Chapter) -> None:
    text = runner.everything()
    for name, secret in CANARIES.items():
        assert secret not in text, f"the secret {name} was written"
    assert support.webhook_path() not in text
