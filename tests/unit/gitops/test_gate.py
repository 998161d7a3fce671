"""Races at the gate: decision, changed files and label refer to one commit."""

from __future__ import annotations

from tests.doubles.github import GitHub as Server
from tests.support.gitops_rig import Rig, add, failing

A = "requests/add/a.yaml"


def test_a_push_back_and_forth_hides_no_file(rig: Rig, server: Server) -> None:
    """While the files are listed, the head is a harmless commit; before and after that it is another one."""
    harmless = server.state.commit("feature", {A: add("a")})
    number = server.state.open_pull_request("feature")
    changes = server.state.pull_changes(number)
    server.state.push("feature", server.state.head("main"))
    server.state.commit("feature", {A: add("a"), ".github/workflows/apply.yml": "on: push", "hugflow.yaml": "{}"})
    assert server.state.pull_head(number) != harmless
    server.state.pull_changes = lambda _: changes  # type: ignore[method-assign]  # the listing of the harmless commit
    rig.process(number, auto_merge=True)
    assert server.state.pulls[number].merged_as is None
    assert rig.engine.executed == []
    assert ".github/" in rig.sticky(number)
    assert "hugflow.yaml" in rig.sticky(number)


def test_files_outside_are_refused_whatever_they_are(rig: Rig, server: Server) -> None:
    server.state.commit("main", {"docs/a.md": "a"})
    server.state.commit("feature", {A: add("a"), "docs/a.md": None})
    number = server.state.open_pull_request("feature")
    rig.process(number)
    assert rig.engine.executed == []
    assert "`docs/`" in rig.sticky(number)


def test_what_the_default_branch_changed_since_is_no_change_of_the_pull_request(rig: Rig, server: Server) -> None:
    server.state.commit("feature", {A: add("a")})
    number = server.state.open_pull_request("feature")
    server.state.commit("main", {"README.md": "# More\n", "requests/add/other.yaml": add("other")})
    rig.process(number)
    assert rig.engine.executed == [A]


def test_a_merge_of_the_default_branch_is_no_change_of_the_pull_request(rig: Rig, server: Server) -> None:
    server.state.commit("feature", {A: add("a")})
    number = server.state.open_pull_request("feature")
    main = server.state.commit("main", {"README.md": "# More\n", "requests/add/other.yaml": add("other")})
    objects, head = server.state.objects, server.state.pull_head(number)
    files = {**objects.commits[main].files, A: objects.commits[head].files[A]}
    merged = objects.add_commit(files, (head, main), "Merge main", "alice", server.state.now())
    server.state.push("feature", merged.sha)
    rig.process(number)
    assert rig.engine.executed == [A]


def test_a_commit_that_is_refused_loses_the_label_of_the_commit_before(rig: Rig, server: Server) -> None:
    server.state.commit("feature", {A: add("a")})
    number = server.state.open_pull_request("feature")
    rig.process(number)
    assert server.state.issues[number].labels == ["hugflow: ready"]
    server.state.commit("feature", {"hugflow.yaml": "{}"})
    rig.process(number)
    assert server.state.issues[number].labels == ["hugflow: invalid"]


def test_a_fork_that_waits_is_labelled_as_waiting(rig: Rig, server: Server) -> None:
    server.state.commit("feature", {A: add("a")}, fork="mallory", author="mallory")
    number = server.state.open_pull_request("feature", author="mallory", fork="mallory")
    rig.process(number)
    assert server.state.issues[number].labels == ["hugflow: needs approval"]


def test_a_run_of_an_old_commit_does_not_label_the_new_one(rig: Rig, server: Server) -> None:
    server.state.commit("feature", {A: add("a")})
    number = server.state.open_pull_request("feature")
    rig.engine.before = lambda _: server.state.commit("feature", {"requests/add/b.yaml": add("b")}) and None
    rig.process(number)
    assert server.state.issues[number].labels in (["hugflow: running"], [])


def test_a_pull_request_that_was_moved_to_another_branch_is_not_merged(rig: Rig, server: Server) -> None:
    server.state.commit("release", {"x": "y"})
    server.state.commit("feature", {A: add("a")})
    number = server.state.open_pull_request("feature")

    def move(_: str) -> None:
        server.state.pulls[number].base = "release"

    rig.engine.before = move
    rig.process(number, auto_merge=True)
    assert server.state.pulls[number].merged_as is None
    assert "Not merged: its base branch is `release` now" in rig.sticky(number)


# -- the policy before the first contact with the Hub


def test_what_the_policy_refuses_is_not_planned(rig: Rig, server: Server) -> None:
    server.state.commit(
        "main",
        {"hugflow.yaml": "datasets: {organisations: [acme]}\npublishing: {organisations: [acme]}\n"},
    )
    files = {
        A: add("a"),
        "requests/add/b.yaml": "hf_id: evil/b\ndescription: x\n",
        "requests/publish/c.yaml": "repo_id: evil/c\npath: data/c.parquet\n",
        "requests/remove/d.yaml": "hf_id: evil/d\nreason: x\ntarget: hub\nsubset: e\n",
    }
    server.state.commit("feature", files)
    number = server.state.open_pull_request("feature")
    view = rig.process(number).view
    assert view
    assert {request.path: request.state for request in view.requests} == {
        A: "complete",
        "requests/add/b.yaml": "refused",
        "requests/publish/c.yaml": "refused",
        "requests/remove/d.yaml": "refused",
    }
    assert rig.engine.planned == [A]
    (check,) = server.state.checks_of(server.state.pull_head(number))
    marked = [(each["path"], each["start_line"], each["title"]) for each in check.annotations]
    assert marked == [(path, 1, "Refused") for path in sorted(files) if path != A]
    assert "the policy allows datasets of `acme`, not of `evil`" in rig.sticky(number)


def test_a_failure_of_one_request_does_not_hide_a_refusal(rig: Rig, server: Server) -> None:
    server.state.commit("main", {"hugflow.yaml": "datasets: {organisations: [acme]}\n"})
    server.state.commit("feature", {A: add("a"), "requests/add/b.yaml": "hf_id: evil/b\ndescription: x\n"})
    number = server.state.open_pull_request("feature")
    rig.engine.outcomes[A] = failing(3, "oops")
    view = rig.process(number).view
    assert view
    assert [request.state for request in view.requests] == ["failed", "refused"]
