"""Attacks on approvals: each counts for one commit of one pull request, by people who did not make it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from hugflow.model.errors import ExitCode
from tests.doubles.github import GitHub as Server
from tests.support import sample_views as sample
from tests.support.gitops_rig import Rig, add, remove

NOISE = "requests/remove/noise.yaml"
GOOD = "requests/remove/good.yaml"
APPROVERS = ("steward", "bob")
POLICY = {"hugflow.yaml": "removals: {approvals: 1, approvers: [steward, bob]}\n"}


@pytest.fixture(autouse=True)
def policy(server: Server) -> None:
    """A policy that asks the steward or bob before anything is removed."""
    server.state.commit("main", POLICY, author="steward")


def proposed(server: Server, files: dict[str, object] | None = None, branch: str = "feature", **commit: str) -> int:
    """Open a pull request of alice that removes acme/noise, with one commit."""
    server.state.commit(branch, files or {NOISE: remove("noise")}, **commit)  # type: ignore[arg-type]  # contents
    return server.state.open_pull_request(branch)


def approve(rig: Rig, number: int, login: str, how: str) -> str:
    """Approve the head by a review or a command; the reaction to the command."""
    if how == "review":
        rig.server.state.review(number, login)
        return ""
    head = rig.server.state.pull_head(number)
    return rig.comment(number, login, f"/hugflow approve-removal {head}", APPROVERS)


def merged(rig: Rig, number: int) -> ExitCode:
    """Merge the pull request, and apply the push."""
    before = rig.server.state.head("main")
    rig.server.state.merge(number)
    return rig.apply(before=before).exit_code


# -- the commit that was seen ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["review", "command"])
def test_an_approval_of_the_head_counts(rig: Rig, server: Server, how: str) -> None:
    number = proposed(server)
    assert rig.process(number).exit_code == ExitCode.NEEDS_APPROVAL
    assert approve(rig, number, "steward", how) in ("rocket", "")
    assert merged(rig, number) == ExitCode.DONE
    assert rig.engine.executed == [NOISE]


def test_the_comment_has_the_command_with_the_whole_commit(rig: Rig, server: Server) -> None:
    number = proposed(server)
    rig.process(number)
    assert f"`/hugflow approve-removal {server.state.pull_head(number)}`" in rig.sticky(number)


def test_a_command_without_a_commit_approves_nothing(rig: Rig, server: Server) -> None:
    """Alice pushes while the steward, who has read the plan of the commit before, writes the comment."""
    number = proposed(server)
    rig.process(number)
    server.state.commit("feature", {NOISE: None, GOOD: remove("good")})
    assert rig.comment(number, "steward", "/hugflow approve-removal", APPROVERS) == "confused"
    assert merged(rig, number) == ExitCode.NEEDS_APPROVAL
    assert rig.engine.executed == []


def test_a_command_for_a_commit_that_is_no_longer_the_head_approves_nothing(rig: Rig, server: Server) -> None:
    number = proposed(server)
    seen = server.state.pull_head(number)
    server.state.commit("feature", {GOOD: remove("good")})
    assert rig.comment(number, "steward", f"/hugflow approve-removal {seen}", APPROVERS) == "confused"
    assert merged(rig, number) == ExitCode.NEEDS_APPROVAL


def test_an_abbreviated_commit_approves_nothing(rig: Rig, server: Server) -> None:
    """Two commits with the same first seven digits are found in a second."""
    number = proposed(server)
    short = server.state.pull_head(number)[:7]
    assert rig.comment(number, "steward", f"/hugflow approve-removal {short}", APPROVERS) == "confused"
    assert "all 40 digits" in rig.comments(number)[-1]


@pytest.mark.parametrize("how", ["review", "command"])
def test_a_push_after_the_approval_needs_another_one(rig: Rig, server: Server, how: str) -> None:
    number = proposed(server)
    approve(rig, number, "steward", how)
    server.state.commit("feature", {NOISE: remove("noise") + "# more\n"})
    assert rig.process(number).exit_code == ExitCode.NEEDS_APPROVAL
    assert merged(rig, number) == ExitCode.NEEDS_APPROVAL
    assert rig.engine.executed == []


def test_a_push_back_to_a_commit_revives_no_approval_that_was_withdrawn(rig: Rig, server: Server) -> None:
    number = proposed(server)
    approved = server.state.pull_head(number)
    approve(rig, number, "steward", "command")
    server.state.commit("feature", {GOOD: remove("good")})
    server.state.review(number, "steward", "CHANGES_REQUESTED")
    server.state.push("feature", approved)
    assert rig.process(number).exit_code == ExitCode.NEEDS_APPROVAL


@pytest.mark.parametrize("how", ["review", "command"])
def test_an_approval_does_not_serve_a_dataset_that_came_later(rig: Rig, server: Server, how: str) -> None:
    """The dataset was removed and is there again, of another commit, when the removal that was approved is merged."""
    number = proposed(server)
    plan = sample.remove_plan().model_copy(update={"request": NOISE})
    approve(rig, number, "steward", how)
    later = datetime.fromisoformat(server.state.now()) + timedelta(seconds=10)
    rig.engine.plans[NOISE] = plan.model_copy(update={"completed_at": later})
    assert rig.process(number).exit_code == ExitCode.NEEDS_APPROVAL
    assert "came into storage after the approval" in rig.sticky(number)
    assert merged(rig, number) == ExitCode.NEEDS_APPROVAL
    assert rig.engine.executed == []
    for _ in range(20):
        server.state.now()
    approve(rig, number, "steward", how)
    assert rig.apply(number=number).exit_code == ExitCode.DONE
    assert rig.engine.executed == [NOISE]


# -- the pull request that was seen ---------------------------------------------------------------------------------


def test_an_approval_does_not_serve_another_pull_request_with_the_same_commit(rig: Rig, server: Server) -> None:
    number = proposed(server)
    assert approve(rig, number, "steward", "command") == "rocket"
    server.state.push("twin", server.state.pull_head(number), pusher="eve")
    twin = server.state.open_pull_request("twin", author="eve", title="Something else")
    assert rig.process(twin).exit_code == ExitCode.NEEDS_APPROVAL
    assert rig.process(number).exit_code == ExitCode.DONE


def test_a_run_of_a_fork_is_approved_for_one_pull_request(rig: Rig, server: Server) -> None:
    server.state.commit("feature", {"requests/add/a.yaml": add("a")}, fork="mallory", author="mallory")
    number = server.state.open_pull_request("feature", author="mallory", fork="mallory")
    head = server.state.pull_head(number)
    assert rig.comment(number, "bob", "/hugflow retry") == "confused"
    assert rig.process(number).exit_code == ExitCode.NEEDS_APPROVAL
    assert rig.comment(number, "bob", f"/hugflow retry {head}") == "rocket"
    assert rig.process(number).exit_code == ExitCode.DONE
    server.state.push("feature", head, fork="eve", pusher="eve")
    twin = server.state.open_pull_request("feature", author="eve", fork="eve")
    assert rig.process(twin).exit_code == ExitCode.NEEDS_APPROVAL
    assert rig.engine.executed == ["requests/add/a.yaml"]


# -- the people of the pull request ---------------------------------------------------------------------------------


def by_trailer(text: str) -> Callable[[Server], int]:
    """A commit whose message ends with a trailer."""

    def opened(server: Server) -> int:
        server.state.emails["robert@corp.example"] = "bob"
        server.state.commit("main", {"x": "y"}, author="Robert", author_email="robert@corp.example", pusher="bob")
        return proposed(server, message=f"Remove\n\nwhy\n\n{text}")

    return opened


def by_a_hidden_commit(server: Server) -> int:
    """Bob's commit is one of many, and what it did is undone again by alice."""
    server.state.commit("feature", {"requests/add/b.yaml": add("b")}, author="bob", pusher="alice")
    for index in range(120):
        server.state.commit("feature", {"requests/add/b.yaml": add(f"b{index}")})
    return proposed(server, {NOISE: remove("noise"), "requests/add/b.yaml": None})


def by_a_push_that_was_repeated(server: Server) -> int:
    """Bob pushed a commit under the name of alice, and many pushes came after it."""
    number = proposed(server, pusher="bob", author_email="nobody@nowhere.example")
    head = server.state.pull_head(number)
    for _ in range(60):
        server.state.push("feature", server.state.head("main"), pusher="alice")
        server.state.push("feature", head, pusher="alice")
    return number


PEOPLE = {
    "author": lambda server: proposed(server, author="bob", pusher="alice"),
    "committer": lambda server: proposed(server, committer="bob"),
    "pusher": lambda server: proposed(server, pusher="bob"),
    "pusher of an unknown author": lambda server: proposed(
        server, author="Nobody", author_email="nobody@nowhere.example", pusher="bob"
    ),
    "pusher of a repeated push": by_a_push_that_was_repeated,
    "one commit of many": by_a_hidden_commit,
    "co-author": by_trailer("Co-authored-by: Bob <77+bob@users.noreply.github.com>"),
    "co-author by an old address": by_trailer("co-authored-by: Bob <bob@users.noreply.github.com>"),
    "co-author by an address of the history": by_trailer("Co-Authored-By: Robert <robert@corp.example>"),
    "another case": lambda server: proposed(server, author="BOB", pusher="alice"),
}


@pytest.mark.parametrize("how", ["review", "command"])
@pytest.mark.parametrize("role", PEOPLE)
def test_nobody_approves_what_they_wrote_or_pushed(rig: Rig, server: Server, role: str, how: str) -> None:
    number = PEOPLE[role](server)
    assert approve(rig, number, "bob", how) in ("confused", "")
    assert rig.process(number).exit_code == ExitCode.NEEDS_APPROVAL
    approve(rig, number, "steward", how)
    assert rig.process(number).exit_code == ExitCode.DONE
    assert "requests/remove/noise.yaml" not in rig.engine.executed


def test_nobody_lets_a_commit_of_theirs_run_from_a_fork(rig: Rig, server: Server) -> None:
    message = "Add\n\nCo-authored-by: bob <bob@example.org>"
    server.state.commit("feature", {"requests/add/a.yaml": add("a")}, fork="mallory", author="mallory", message=message)
    number = server.state.open_pull_request("feature", author="mallory", fork="mallory")
    head = server.state.pull_head(number)
    server.state.commit("main", {"x": "y"}, author="bob")
    server.state.review(number, "bob")
    assert rig.comment(number, "bob", f"/hugflow plan {head}") == "confused"
    assert rig.process(number, approved_by=("bob",)).exit_code == ExitCode.NEEDS_APPROVAL
    assert rig.comment(number, "alice", f"/hugflow plan {head}") == "rocket"
    assert rig.process(number).exit_code == ExitCode.DONE


def test_more_addresses_than_can_be_looked_up_leave_nobody_to_approve(rig: Rig, server: Server) -> None:
    trailers = "\n".join(f"Co-authored-by: x <x{index}@nowhere.example>" for index in range(60))
    number = proposed(server, message=f"Remove\n\n{trailers}")
    assert approve(rig, number, "steward", "command") == "confused"
    assert rig.process(number).exit_code == ExitCode.NEEDS_APPROVAL
