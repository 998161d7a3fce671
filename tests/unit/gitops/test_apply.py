"""Attacks on the run after a merge: it runs only what was merged into the default branch."""

from __future__ import annotations

import pytest

from hugflow.model.errors import ExitCode, HugflowError
from tests.doubles.github import GitHub as Server
from tests.support.gitops_rig import Rig, add, remove

NOISE = "requests/remove/noise.yaml"
GOOD = "requests/remove/good.yaml"
POLICY = {"hugflow.yaml": "removals: {approvals: 1, approvers: [steward]}\n"}


def approved(rig: Rig, files: dict[str, object], branch: str = "feature") -> int:
    """Open a pull request that the steward approves."""
    rig.server.state.commit(branch, files)  # type: ignore[arg-type]  # contents
    number = rig.server.state.open_pull_request(branch)
    rig.server.state.review(number, "steward")
    return number


# -- commits of the default branch ----------------------------------------------------------------------------------


def test_a_commit_of_a_fork_is_not_applied(rig: Rig, server: Server) -> None:
    """GitHub serves commits of forks under the address of the repository."""
    foreign = server.state.commit("feature", {NOISE: remove("noise")}, fork="mallory", author="mallory")
    with pytest.raises(HugflowError, match="not part of `main`"):
        rig.apply(before=server.state.head("main"), after=foreign)
    assert rig.engine.executed == []


def test_a_commit_of_an_unmerged_branch_is_not_applied(rig: Rig, server: Server) -> None:
    branch = server.state.commit("feature", {NOISE: remove("noise")})
    with pytest.raises(HugflowError, match="not part of `main`"):
        rig.apply(before=server.state.head("main"), after=branch)
    assert rig.engine.executed == []


def test_a_commit_that_does_not_exist_is_not_applied(rig: Rig) -> None:
    with pytest.raises(HugflowError, match="not part of `main`"):
        rig.apply(after="1" * 40)


@pytest.mark.parametrize("state", ["open", "closed", "elsewhere"])
def test_a_pull_request_that_was_not_merged_is_not_applied(rig: Rig, server: Server, state: str) -> None:
    """It edits a removal that waits on the default branch; its approval is not for that one."""
    server.state.commit("main", POLICY | {NOISE: remove("noise")})
    server.state.commit("release", {"x": "y"})
    number = approved(rig, {NOISE: remove("noise") + "# edited\n"})
    server.state.pulls[number].base = "release" if state == "elsewhere" else "main"
    if state == "elsewhere":
        server.state.merge(number)
    server.state.issues[number].state = "open" if state == "open" else "closed"
    with pytest.raises(HugflowError, match="is not merged into `main`"):
        rig.apply(number=number)
    assert rig.engine.executed == []


def test_an_old_push_does_not_repeat_a_removal_that_was_taken_back(rig: Rig, server: Server) -> None:
    before = server.state.head("main")
    after = server.state.commit("main", {NOISE: remove("noise")})
    server.state.commit("main", {NOISE: None, "requests/add/noise.yaml": add("noise")})
    assert rig.apply(before=before, after=after).exit_code == ExitCode.DONE
    assert rig.engine.executed == []


def test_a_foreign_commit_before_the_push_does_not_repeat_old_requests(rig: Rig, server: Server) -> None:
    server.state.commit("main", {NOISE: remove("noise")})
    foreign = server.state.commit("feature", {NOISE: None}, fork="mallory", author="mallory")
    server.state.push("feature", foreign, fork="mallory", pusher="mallory")
    after = server.state.commit("main", {"requests/add/new.yaml": add("new")})
    server.state.objects.commits[foreign].files.pop(NOISE, None)  # type: ignore[attr-defined]  # a dict
    rig.apply(before=foreign, after=after)
    assert NOISE not in rig.engine.executed


# -- content that was approved --------------------------------------------------------------------------------------


def test_a_later_edit_does_not_run_with_the_approval_of_a_merged_pull_request(rig: Rig, server: Server) -> None:
    server.state.commit("main", POLICY)
    number = approved(rig, {NOISE: remove("noise")})
    server.state.merge(number)
    server.state.commit("main", {NOISE: remove("good")})
    rig.apply(number=number)
    assert rig.engine.executed == []


def test_an_approval_serves_the_files_of_its_pull_request_only(rig: Rig, server: Server) -> None:
    """One push brings a direct commit and the merge of an approved pull request."""
    server.state.commit("main", POLICY)
    before = server.state.head("main")
    number = approved(rig, {NOISE: remove("noise")})
    server.state.commit("main", {GOOD: remove("good")})
    server.state.merge(number)
    assert rig.apply(before=before).exit_code != ExitCode.DONE
    assert rig.engine.executed == [NOISE]


def test_an_approval_does_not_serve_what_the_branch_had_before(rig: Rig, server: Server) -> None:
    """The same, with a pull request that was based on the direct commit."""
    server.state.commit("main", POLICY)
    before = server.state.head("main")
    server.state.commit("main", {GOOD: remove("good")})
    number = approved(rig, {NOISE: remove("noise")})
    server.state.merge(number)
    rig.apply(before=before)
    assert rig.engine.executed == [NOISE]


def test_an_approval_does_not_serve_what_the_merge_changed(rig: Rig, server: Server) -> None:
    """Somebody pushes a merge commit with another content than the pull request had."""
    server.state.commit("main", POLICY)
    before = server.state.head("main")
    number = approved(rig, {NOISE: remove("noise")})
    merge = server.state.objects.commits[server.state.merge(number)]
    files = server.state.objects.apply(merge.files, {NOISE: remove("good")})
    evil = server.state.objects.add_commit(files, merge.parents, "Merge", "mallory", server.state.now())
    server.state.push("main", evil.sha, pusher="mallory")
    server.state.pulls[number].merged_as = evil.sha
    rig.apply(before=before)
    rig.apply(number=number)
    assert rig.engine.executed == []


def test_an_approval_of_a_pull_request_to_another_branch_does_not_serve_the_default_branch(
    rig: Rig, server: Server
) -> None:
    server.state.commit("main", POLICY)
    before = server.state.head("main")
    server.state.push("side", before)
    number = approved(rig, {NOISE: remove("noise")})
    server.state.pulls[number].base = "side"
    server.state.push("main", server.state.merge(number), pusher="mallory")
    assert rig.apply(before=before).exit_code == ExitCode.NEEDS_APPROVAL
    assert rig.engine.executed == []


def test_an_approved_removal_runs_after_a_squash_too(rig: Rig, server: Server) -> None:
    server.state.commit("main", POLICY)
    before = server.state.head("main")
    number = approved(rig, {NOISE: remove("noise")})
    head, base = server.state.pull_head(number), server.state.objects.commits[before]
    server.state.merge(number)
    squashed = server.state.objects.add_commit(
        server.state.objects.commits[head].files, (base.sha,), "Squashed", "alice", server.state.now()
    )
    server.state.push("main", squashed.sha)
    server.state.pulls[number].merged_as = squashed.sha
    assert rig.apply(number=number).exit_code == ExitCode.DONE
    assert rig.apply(before=before).exit_code == ExitCode.DONE
    assert rig.engine.executed == [NOISE, NOISE]
