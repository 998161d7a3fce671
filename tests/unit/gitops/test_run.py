"""Runs on a pull request: plans, execution, reports, merges, and what must not run."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from hugflow.gitops.checks import NAME
from hugflow.gitops.dispatch import APPLY_WORKFLOW, SYNC_WORKFLOW
from hugflow.gitops.requests import read_branch_requests
from hugflow.gitops.run import PullRequestJob
from hugflow.gitops.unlock import comment_lock_holders
from hugflow.gitops.validate import validate
from hugflow.model.errors import ExitCode, InvalidRequest, NotFoundError, Transient
from hugflow.model.events import RunFinished
from tests.doubles.git_objects import Symlink
from tests.doubles.github import GitHub as Server
from tests.support.github_helpers import connect
from tests.support.gitops_rig import Rig, add, failing, paused, remove
from tests.unit.render.test_humanize import HOSTILE

GOLDEN = Path(__file__).parents[2] / "golden" / "comments"
MALFORMED = "hf_id: acme/typo\ndescripton: x\nsplit: train[:10%]\n"


def opened(server: Server, files: dict[str, object], branch: str = "feature", **kwargs: object) -> int:
    """A pull request with `files`."""
    server.state.commit(branch, files, fork=kwargs.get("fork"))  # type: ignore[arg-type]  # contents
    return server.state.open_pull_request(branch, **kwargs)  # type: ignore[arg-type]  # the double's arguments


def golden(name: str, actual: str) -> None:
    """Compare with a whole golden file."""
    path = GOLDEN / f"{name}.md"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(actual)
    assert actual == path.read_text()


def addressless(text: str, server: Server) -> str:
    """`text` without the double's address, which is another one each time."""
    return text.replace(server.url, "https://github.example")


FIVE = {
    "requests/add/good.yaml": add("good"),
    "requests/add/long.yaml": add("long"),
    "requests/remove/noise.yaml": remove("noise"),
    "requests/add/typo.yaml": MALFORMED,
    "requests/add/old.yaml": None,
}


def test_five_requests_each_get_their_own_result(rig: Rig, server: Server) -> None:
    number = opened(server, FIVE)
    rig.engine.outcomes["requests/add/long.yaml"] = failing(1_200, "the Hub answered 503 five times")
    ended = rig.process(number)

    assert ended.exit_code == ExitCode.PARTIAL
    assert rig.engine.executed == ["requests/add/good.yaml", "requests/add/long.yaml"]
    assert rig.warnings == []
    golden("run_five_requests", addressless(rig.sticky(number), server))
    (final,) = rig.finals(number)
    assert final.split("\n", 1)[1] == rig.sticky(number).split("\n", 1)[1]
    assert ended.summary.strip() == rig.sticky(number).split("-->", 1)[1].strip()

    (check,) = server.state.checks_of(server.state.pull_head(number))
    assert (check.name, check.conclusion) == (NAME, "failure")
    assert check.title == "1 failed, 1 invalid, 1 in storage, 1 to run after the merge"
    places = {(each["path"], each["start_line"], each["start_column"]) for each in check.annotations}
    assert places == {("requests/add/typo.yaml", 2, 1), ("requests/add/typo.yaml", 3, 8)}
    assert server.state.issues[number].labels == ["hugflow: failed"]
    told = {event.result.request: event.result.status for event in rig.events if isinstance(event, RunFinished)}
    assert told == {
        "requests/add/good.yaml": "complete",
        "requests/add/long.yaml": "failed",
        "requests/add/typo.yaml": "invalid",
    }


def test_the_second_run_resumes_and_turns_it_green_and_apply_removes_after_the_merge(rig: Rig, server: Server) -> None:
    number = opened(server, FIVE)
    rig.engine.outcomes["requests/add/long.yaml"] = failing(1_200, "the Hub answered 503")
    rig.process(number)
    server.state.commit("feature", {"requests/add/typo.yaml": add("typo")})
    rig.engine.outcomes.clear()
    rig.engine.executed.clear()
    ended = rig.process(number, run_key="2-1")
    assert ended.exit_code == ExitCode.DONE
    assert "requests/remove/noise.yaml" not in rig.engine.executed
    (check,) = server.state.checks_of(server.state.pull_head(number))
    assert check.conclusion == "success"
    assert server.state.issues[number].labels == ["hugflow: ready"]
    assert "review and **merge**" in rig.sticky(number)

    server.state.merge(number)
    rig.engine.executed.clear()
    applied = rig.apply()
    assert applied.exit_code == ExitCode.DONE
    assert "requests/remove/noise.yaml" in rig.engine.executed
    assert "| 🗑️" in rig.sticky(number)
    assert server.state.issues[number].labels == ["hugflow: done"]


def test_a_run_that_is_repeated_says_the_same(rig: Rig, server: Server) -> None:
    number = opened(server, {"requests/add/good.yaml": add("good")})
    rig.process(number)
    first = rig.sticky(number)
    again = rig.process(number)
    assert again.exit_code == ExitCode.DONE
    assert len(rig.finals(number)) == 1  # the same run: its final comment is there already
    assert first.split("\n")[2] == rig.sticky(number).split("\n")[2]


def test_plan_only_runs_nothing_and_says_how_to_go_on(rig: Rig, server: Server) -> None:
    number = opened(server, {"requests/add/good.yaml": add("good")})
    ended = rig.process(number, mode="plan")
    assert (ended.exit_code, rig.engine.executed, rig.finals(number)) == (ExitCode.DONE, [], [])
    assert "Planned only: `/hugflow retry` runs" in rig.sticky(number)
    (check,) = server.state.checks_of(server.state.pull_head(number))
    assert check.conclusion == "action_required"


def test_one_request_alone_can_be_run(rig: Rig, server: Server) -> None:
    number = opened(server, {"requests/add/a.yaml": add("a"), "requests/add/b.yaml": add("b")})
    rig.process(number, only="requests/add/b.yaml", auto_merge=True)
    assert rig.engine.executed == ["requests/add/b.yaml"]
    assert server.state.pulls[number].merged_as is None


# -- problems before anything runs


def test_what_the_hub_says_lands_on_the_line_of_the_field(rig: Rig, server: Server) -> None:
    text = "description: x\nhf_id: acme/a\nsplit: test\n"
    number = opened(server, {"requests/add/a.yaml": text})
    rig.engine.plans["requests/add/a.yaml"] = NotFoundError(
        "resolving acme/a", "it has no split `test`", "The splits are `train`.", field="split"
    )
    assert rig.process(number).exit_code == ExitCode.CHANGE_NEEDED
    (check,) = server.state.checks_of(server.state.pull_head(number))
    (annotation,) = check.annotations
    assert (annotation["start_line"], annotation["start_column"]) == (3, 8)
    assert annotation["message"] == "it has no split `test`. The splits are `train`."


def test_a_request_that_cannot_be_planned_now_does_not_stop_the_others(rig: Rig, server: Server) -> None:
    number = opened(server, {"requests/add/a.yaml": add("a"), "requests/add/b.yaml": add("b")})
    rig.engine.plans["requests/add/a.yaml"] = Transient("resolving acme/a", "the Hub answered 503", "Try again later.")
    assert rig.process(number).exit_code == ExitCode.PARTIAL
    assert rig.engine.executed == ["requests/add/b.yaml"]
    assert "the Hub answered 503" in rig.sticky(number)


def test_requests_that_quarrel_are_both_invalid(rig: Rig, server: Server) -> None:
    files = {"requests/add/a.yaml": add("a"), "requests/add/b.yaml": add("a"), "requests/add/c.yaml": add("c")}
    number = opened(server, files)
    assert rig.process(number).exit_code == ExitCode.PARTIAL
    assert rig.engine.executed == ["requests/add/c.yaml"]
    (check,) = server.state.checks_of(server.state.pull_head(number))
    assert {each["path"] for each in check.annotations} == {"requests/add/a.yaml", "requests/add/b.yaml"}


@pytest.mark.parametrize(
    "path", ["requests/add/deep/x.yaml", "requests/x.yaml", "requests/adds/x.yaml", "requests/add/x.YAML"]
)
def test_misplaced_requests_are_invalid(rig: Rig, server: Server, path: str) -> None:
    number = opened(server, {path: add("x")})
    assert rig.process(number).exit_code == ExitCode.CHANGE_NEEDED
    assert rig.engine.executed == []


def test_a_renamed_request_is_one_request(rig: Rig, server: Server) -> None:
    number = opened(server, {"requests/add/old.yaml": None, "requests/add/new.yaml": add("old")})
    rig.process(number)
    assert rig.engine.executed == ["requests/add/new.yaml"]
    assert "deleted" not in rig.sticky(number)


def test_files_beside_requests_are_no_requests(rig: Rig, server: Server) -> None:
    number = opened(server, {"requests/add/README.md": "# Hello", "requests/.gitkeep": ""})
    assert rig.process(number).exit_code == ExitCode.DONE
    (check,) = server.state.checks_of(server.state.pull_head(number))
    assert (check.title, check.conclusion) == ("nothing to do", "success")


# -- the policy


def test_the_policy_of_the_base_branch_counts_and_no_other(rig: Rig, server: Server) -> None:
    server.state.commit("main", {"hugflow.yaml": "datasets: {organisations: [mozilla]}\n"})
    number = opened(server, {"requests/add/a.yaml": add("a")})
    assert rig.process(number).exit_code == ExitCode.CHANGE_NEEDED
    assert rig.engine.executed == []
    assert "the policy allows datasets of `mozilla`, not of `acme`" in rig.sticky(number)
    loosened = opened(server, {"hugflow.yaml": None, "requests/add/b.yaml": add("b")}, "loosened")
    assert rig.process(loosened).exit_code == ExitCode.CHANGE_NEEDED
    assert rig.engine.executed == []


def test_a_branch_that_is_older_than_the_policy_does_not_escape_it(rig: Rig, server: Server) -> None:
    number = opened(server, {"requests/add/a.yaml": add("a")})
    server.state.commit("main", {"hugflow.yaml": "datasets: {organisations: [mozilla]}\n"})
    assert rig.process(number).exit_code == ExitCode.CHANGE_NEEDED
    assert rig.engine.executed == []


def test_a_broken_policy_stops_everything_and_says_where(rig: Rig, server: Server) -> None:
    server.state.commit("main", {"hugflow.yaml": "datasets:\n  organisation: [acme]\n"})
    number = opened(server, {"requests/add/a.yaml": add("a")})
    assert rig.process(number).exit_code == ExitCode.CHANGE_NEEDED
    assert rig.engine.executed == []
    assert "2:3" in rig.sticky(number)


def test_too_many_requests_are_refused(rig: Rig, server: Server) -> None:
    server.state.commit("main", {"hugflow.yaml": "pull_requests: {max_requests: 1}\n"})
    number = opened(server, {"requests/add/a.yaml": add("a"), "requests/add/b.yaml": add("b")})
    assert rig.process(number).exit_code == ExitCode.CHANGE_NEEDED
    assert rig.engine.executed == []


def test_a_removal_waits_for_the_approval_that_the_policy_asks_for(rig: Rig, server: Server) -> None:
    server.state.commit("main", {"hugflow.yaml": "removals: {approvals: 1, approvers: [steward]}\n"})
    number = opened(server, {"requests/remove/noise.yaml": remove("noise")})
    assert rig.process(number).exit_code == ExitCode.NEEDS_APPROVAL
    assert f"/hugflow approve-removal {server.state.pull_head(number)}" in rig.sticky(number)
    (check,) = server.state.checks_of(server.state.pull_head(number))
    assert check.conclusion == "action_required"
    before = server.state.head("main")
    server.state.merge(number)
    assert rig.apply(before=before).exit_code == ExitCode.NEEDS_APPROVAL
    assert rig.engine.executed == []
    server.state.review(number, "steward")
    assert rig.apply(number=number).exit_code == ExitCode.DONE
    assert rig.engine.executed == ["requests/remove/noise.yaml"]


# -- the gate


@pytest.mark.parametrize(
    ("files", "fork", "words"),
    [
        ({"requests/add/a.yaml": add("a"), "hugflow/x.py": "import os"}, None, "outside `requests/`"),
        ({"requests/add/a.yaml": Symlink("/etc/passwd")}, None, "symbolic link"),
        ({"requests/.env": "HF_TOKEN=x"}, None, "environment file"),
        ({"requests/add/a.yaml": add("a")}, "mallory", "comes from a fork"),
    ],
)
def test_the_gate_refuses_runs_nothing_and_says_what_to_do(
    rig: Rig, server: Server, files: dict[str, object], fork: str | None, words: str
) -> None:
    number = opened(server, files, fork=fork)
    ended = rig.process(number)
    assert ended.exit_code == (ExitCode.NEEDS_APPROVAL if fork else ExitCode.CHANGE_NEEDED)
    assert rig.engine.executed == []
    assert words in rig.sticky(number)
    assert "**To do:**" in rig.sticky(number)
    (check,) = server.state.checks_of(server.state.pull_head(number))
    assert check.conclusion == "failure"


def test_the_gates_comment_is_the_golden_one(rig: Rig, server: Server) -> None:
    files = {"requests/add/a.yaml": Symlink("/etc"), "hugflow/@team.py": "x", "requests/.env": "x"}
    number = opened(server, files, fork="mallory")
    rig.process(number)
    golden("gate_refused", rig.sticky(number))


def test_a_run_for_an_old_commit_says_nothing(rig: Rig, server: Server) -> None:
    number = opened(server, {"requests/add/a.yaml": add("a")})
    old = server.state.pull_head(number)
    server.state.commit("feature", {"requests/add/b.yaml": add("b")})
    ended = rig.process(number, sha=old)
    assert (ended.exit_code, rig.comments(number), rig.engine.executed) == (ExitCode.DONE, [], [])


# -- merge, pause


def test_a_pull_request_whose_requests_succeeded_is_merged_when_asked(rig: Rig, server: Server) -> None:
    number = opened(server, {"requests/add/a.yaml": add("a")})
    head = server.state.pull_head(number)
    rig.process(number, auto_merge=True)
    assert server.state.pulls[number].merged_head == head
    assert "Merged at" in rig.sticky(number)
    assert server.state.issues[number].labels == ["hugflow: done"]


def test_a_push_in_the_middle_of_the_run_is_not_merged_and_the_comment_says_why(rig: Rig, server: Server) -> None:
    number = opened(server, {"requests/add/a.yaml": add("a")})
    rig.engine.before = lambda _: server.state.commit("feature", {"requests/add/evil.yaml": add("evil")}) and None
    rig.process(number, auto_merge=True)
    assert server.state.pulls[number].merged_as is None
    assert "Not merged: somebody pushed after" in rig.sticky(number)
    assert "Not merged" in rig.finals(number)[0]


@pytest.mark.parametrize("outcome", [failing(10, "oops"), paused])
def test_nothing_is_merged_unless_all_is_well(rig: Rig, server: Server, outcome: object) -> None:
    number = opened(server, {"requests/add/a.yaml": add("a"), "requests/add/b.yaml": add("b")})
    rig.engine.outcomes["requests/add/b.yaml"] = outcome  # type: ignore[assignment]  # an outcome
    rig.process(number, auto_merge=True)
    assert server.state.pulls[number].merged_as is None


def test_the_policy_decides_about_merging_before_the_setting(rig: Rig, server: Server) -> None:
    server.state.commit("main", {"hugflow.yaml": "pull_requests: {auto_merge: false}\n"})
    number = opened(server, {"requests/add/a.yaml": add("a")})
    rig.process(number, auto_merge=True)
    assert server.state.pulls[number].merged_as is None


def test_a_run_whose_time_is_over_starts_the_next_one(rig: Rig, server: Server) -> None:
    number = opened(server, {"requests/add/a.yaml": add("a"), "requests/add/b.yaml": add("b")})
    rig.engine.outcomes["requests/add/a.yaml"] = paused
    rig.continues = True
    assert rig.process(number).exit_code == ExitCode.PAUSED
    assert rig.engine.executed == ["requests/add/a.yaml"]
    (run,) = server.state.runs.values()
    assert (run.workflow, run.inputs["sha"]) == (SYNC_WORKFLOW, server.state.pull_head(number))
    assert rig.finals(number) == []  # it is not over
    (check,) = server.state.checks_of(server.state.pull_head(number))
    assert check.status == "in_progress"
    rig.engine.outcomes.clear()
    rig.process(number)
    (check,) = server.state.checks_of(server.state.pull_head(number))
    assert check.conclusion == "success"


def test_a_run_that_somebody_stopped_starts_no_other(rig: Rig, server: Server) -> None:
    number = opened(server, {"requests/add/a.yaml": add("a")})
    rig.engine.outcomes["requests/add/a.yaml"] = paused
    rig.process(number)
    assert server.state.runs == {}
    assert "Comment `/hugflow retry`" in rig.sticky(number)
    (check,) = server.state.checks_of(server.state.pull_head(number))
    assert check.conclusion == "cancelled"


def test_a_newer_commit_that_waits_is_not_pushed_out_by_the_next_slice(rig: Rig, server: Server) -> None:
    number = opened(server, {"requests/add/a.yaml": add("a")})
    rig.engine.outcomes["requests/add/a.yaml"] = paused
    rig.engine.before = lambda _: server.state.commit("feature", {"requests/add/b.yaml": add("b")}) and None
    rig.continues = True
    rig.process(number)
    assert server.state.runs == {}


# -- GitHub in trouble


@pytest.mark.parametrize(
    "fault",
    [{"status": 500}, {"status": 403, "message": "no"}, {"status": 403, "retry_after_s": 3600}, {"reset": True}],
)
def test_trouble_with_github_during_the_run_changes_nothing_for_the_data(
    rig: Rig, server: Server, fault: dict[str, object]
) -> None:
    number = opened(server, {"requests/add/a.yaml": add("a"), "requests/add/b.yaml": add("b")})
    rig.engine.outcomes["requests/add/b.yaml"] = failing(5, "oops")
    rig.close_timeout_s = 0.3
    for method in ("POST", "PATCH", "DELETE", "PUT"):
        server.fault(route="", method=method, **fault)
    ended = rig.process(number, auto_merge=True)
    assert ended.exit_code == ExitCode.PARTIAL
    assert rig.engine.executed == ["requests/add/a.yaml", "requests/add/b.yaml"]
    assert rig.comments(number) == []
    assert len(rig.warnings) == 1
    assert "The data is unaffected" in rig.warnings[0]


def test_a_github_that_hangs_does_not_slow_the_data_work(rig: Rig, server: Server) -> None:
    number = opened(server, {"requests/add/a.yaml": add("a")})
    hanging, done = threading.Event(), threading.Event()
    server.fault(route="", method="POST", delay_s=4)
    rig.engine.before = lambda _: hanging.set()
    rig.close_timeout_s = 0.1

    def outcome(plan: object) -> object:
        done.set()
        return failing(2_900, "the data work came to its end")(plan)  # type: ignore[arg-type]  # a plan

    rig.engine.outcomes["requests/add/a.yaml"] = outcome  # type: ignore[assignment]  # an outcome
    rig.process(number)
    assert done.is_set()
    assert rig.comments(number) == []  # all of it happened before GitHub's first answer
    assert rig.warnings


def test_github_that_comes_back_is_told_all(rig: Rig, server: Server) -> None:
    number = opened(server, {"requests/add/a.yaml": add("a")})
    server.fault(route="", method="POST", status=502, count=3)
    server.fault(route="", method="POST", lose_answer=True, count=2)
    rig.process(number)
    assert rig.warnings == []
    assert len(rig.finals(number)) == 1
    assert "in storage" in rig.sticky(number)
    assert len(server.state.checks_of(server.state.pull_head(number))) == 1


# -- text and secrets

OUR_ELEMENTS = frozenset("h3 table thead tbody tr th td code a strong p details summary ul li pre sub".split())  # noqa: SIM905 - easier to read


@pytest.mark.parametrize("value", HOSTILE)
def test_text_of_requests_and_datasets_is_shown_as_text(rig: Rig, server: Server, value: str) -> None:
    text = value.encode(errors="replace").decode()
    number = opened(server, {"requests/add/a.yaml": add("a"), "requests/add/b.yaml": add("b")})
    rig.engine.plans["requests/add/b.yaml"] = InvalidRequest("resolving", text, text)
    rig.engine.outcomes["requests/add/a.yaml"] = failing(1, text)
    rig.process(number)
    assert rig.warnings == []
    rendered = MarkdownIt("commonmark", {"html": True}).enable("table").render(rig.sticky(number))
    assert set(re.findall(r"<(\w+)", rendered)) <= OUR_ELEMENTS
    outside = re.sub(r"<code[^>]*>.*?</code>|<a href[^>]*>|<!-- hugflow:sticky -->", "", rendered, flags=re.DOTALL)
    assert not re.search(r"@team|::set-env|://|<!--|[\x1b\u202e]", outside)


def test_secrets_are_masked_everywhere(rig: Rig, server: Server) -> None:
    number = opened(server, {"requests/add/a.yaml": add("a"), "requests/add/b.yaml": add("b")})
    rig.redact = lambda text: text.replace("hunter2", "***")
    rig.engine.outcomes["requests/add/a.yaml"] = failing(1, "the token hunter2 was refused")
    rig.engine.plans["requests/add/b.yaml"] = InvalidRequest("resolving", "hunter2 is wrong")
    ended = rig.process(number)
    bodies = [request.body.decode() for request in server.writes()]
    assert bodies
    assert not [body for body in [*bodies, ended.summary] if "hunter2" in body]
    assert "***" in rig.sticky(number)


# -- after the merge


def test_apply_deletes_finished_requests_when_asked(rig: Rig, server: Server) -> None:
    number = opened(server, {"requests/remove/old.yaml": remove("old"), "requests/add/new.yaml": add("new")})
    rig.process(number)
    server.state.merge(number)
    before = server.state.head("main")
    ended = rig.apply(cleanup=True, before=server.state.objects.commits[before].parents[0])
    assert ended.exit_code == ExitCode.DONE
    files = server.state.objects.commits[server.state.head("main")].files
    assert sorted(files) == ["README.md", "requests/add/new.yaml"]
    assert "The finished requests were deleted in" in rig.sticky(number)


def test_apply_of_a_direct_push_needs_no_pull_request(rig: Rig, server: Server) -> None:
    before = server.state.head("main")
    server.state.commit("main", {"requests/remove/noise.yaml": remove("noise"), "x": "y"})
    ended = rig.apply(before=before)
    assert (ended.exit_code, rig.engine.executed) == (ExitCode.DONE, ["requests/remove/noise.yaml"])
    assert "removed" in ended.summary


def test_apply_goes_on_after_a_failure_and_names_it(rig: Rig, server: Server) -> None:
    before = server.state.head("main")
    server.state.commit(
        "main", {"requests/add/a.yaml": add("a"), "requests/add/b.yaml": add("b"), "requests/add/c.yaml": "x"}
    )
    rig.engine.outcomes["requests/add/a.yaml"] = failing(3, "oops")
    ended = rig.apply(before=before)
    assert ended.exit_code == ExitCode.PARTIAL
    assert rig.engine.executed == ["requests/add/a.yaml", "requests/add/b.yaml"]


def test_apply_whose_time_is_over_starts_the_next_one(rig: Rig, server: Server) -> None:
    before = server.state.head("main")
    after = server.state.commit("main", {"requests/add/a.yaml": add("a")})
    rig.engine.outcomes["requests/add/a.yaml"] = paused
    rig.continues = True
    assert rig.apply(before=before).exit_code == ExitCode.PAUSED
    (run,) = server.state.runs.values()
    assert (run.workflow, run.inputs) == (APPLY_WORKFLOW, {"pull_request": "", "before": before, "after": after})


def test_what_was_undone_since_is_not_applied_again(rig: Rig, server: Server) -> None:
    number = opened(server, {"requests/remove/noise.yaml": remove("noise")})
    server.state.merge(number)
    server.state.commit("main", {"requests/remove/noise.yaml": None})
    assert rig.apply(number=number).exit_code == ExitCode.DONE
    assert rig.engine.executed == []


def test_results_keep_their_numbers(rig: Rig, server: Server) -> None:
    number = opened(server, {"requests/add/a.yaml": add("a")})
    rig.engine.outcomes["requests/add/a.yaml"] = lambda plan: replace(failing(7, "x")(plan), rows_failed=2)
    view = rig.process(number).view
    assert view
    assert view.requests[0].result
    assert view.requests[0].result.rows_failed == 2


# -- the check without secrets, and unlock


def test_the_check_without_secrets_writes_nothing_and_names_every_line(rig: Rig, server: Server) -> None:
    number = opened(server, FIVE, fork="mallory")
    server.state.add_token("ghs_readonly", scopes=())
    github = connect(server, "ghs_readonly")
    validated = validate(github, number)
    assert validated.exit_code == ExitCode.CHANGE_NEEDED
    assert server.writes() == []
    assert validated.lines[0].startswith(
        "::error title=Invalid request,file=requests/add/typo.yaml,line=2,col=1::descripton: is not a field"
    )
    assert validated.lines[-1].replace("\u00a0", " ").startswith("2 problems in 4 requests at commit")
    assert all("\n" not in line for line in validated.lines)


def test_the_check_reads_a_changed_policy_too(server: Server, canaries: Mapping[str, str]) -> None:
    number = opened(server, {"hugflow.yaml": "datasets:\n  gated: maybe\n"})
    validated = validate(connect(server, canaries["GITHUB_TOKEN"]), number)
    assert validated.exit_code == ExitCode.CHANGE_NEEDED
    (problem,) = validated.problems
    assert (problem.path, problem.line, problem.column) == ("hugflow.yaml", 2, 10)
    assert problem.message == "datasets.gated: must be `true` or `false`"


def test_the_check_passes_what_is_right(server: Server, canaries: Mapping[str, str]) -> None:
    number = opened(server, {"requests/add/a.yaml": add("a")})
    assert validate(connect(server, canaries["GITHUB_TOKEN"]), number).exit_code == ExitCode.DONE


@pytest.mark.parametrize(
    ("holder", "code", "words"),
    [
        (None, ExitCode.DONE, "no dataset of this pull request is locked"),
        ("process 12 on server-1 since 09:00", ExitCode.LOCKED, "is held by `process 12 on server-1 since 09:00`"),
    ],
)
def test_unlock_says_who_holds_what(
    rig: Rig, server: Server, canaries: Mapping[str, str], holder: str | None, code: ExitCode, words: str
) -> None:
    number = opened(server, {"requests/add/a.yaml": add("a")})
    asked: list[str] = []

    def who(name: str) -> str | None:
        asked.append(name)
        return holder

    job = PullRequestJob(number, server.state.pull_head(number))
    assert comment_lock_holders(connect(server, canaries["GITHUB_TOKEN"]), job, who).exit_code == code
    assert asked == ["acme__a__split_train__rev_main"]
    assert words in rig.comments(number)[0]


def test_all_requests_of_a_branch_are_read_without_a_checkout(server: Server, canaries: Mapping[str, str]) -> None:
    server.state.commit("main", {"requests/add/b.yaml": add("b"), "requests/add/c.yaml": MALFORMED, "requests/x": "y"})
    loaded = read_branch_requests(connect(server, canaries["GITHUB_TOKEN"]), "main")
    assert sorted(loaded.parsed) == ["requests/add/b.yaml", "requests/add/old.yaml"]
    assert [view.path for view in loaded.views if view.problems] == ["requests/add/c.yaml", "requests/x"]
