"""Conformance suite of the pull-request port: every call of ours against the GitHub double.

It runs against github.com's addresses, those of an Enterprise server, and through a proxy that validates requests and
answers by GitHub's published OpenAPI description.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest

from hugflow.gitops import (
    alerts,
    approvals,
    cleanup,
    commands,
    contributors,
    dispatch,
    gate,
    labels,
    merge,
    pull_request,
)
from hugflow.gitops.checks import ANNOTATIONS_PER_REQUEST, NAME, CheckState, CommitCheck, batches
from hugflow.gitops.client import ACTIONS_BOT, GitHub
from hugflow.gitops.commands import CommentEvent
from hugflow.gitops.comments import Conversation
from hugflow.render.views import Annotation
from tests.doubles.git_objects import Submodule, Symlink
from tests.doubles.github import GitHub as Server
from tests.doubles.github_state import ALL_SCOPES
from tests.doubles.openapi import Prism, why_missing
from tests.support.github_helpers import REQUEST, connect, new_state, opened


@pytest.fixture(scope="module", params=["github.com", "enterprise", "openapi"])
def listening(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for the whole module."""
    with Server(prefix="/api/v3" if request.param == "enterprise" else "") as server:
        if request.param != "openapi":
            yield server
            return
        missing = why_missing()
        if missing:
            pytest.skip(missing)
        with Prism(server.url, server.served, tmp_path_factory.mktemp("prism")) as prism:
            server.public_url = prism.url
            yield server


@pytest.fixture
def server(listening: Server, canaries: Mapping[str, str]) -> Server:
    """The server with a fresh repository, some people, and our token."""
    listening.reset(new_state(canaries["GITHUB_TOKEN"]))
    return listening


@pytest.fixture
def github(server: Server, canaries: Mapping[str, str]) -> Iterator[GitHub]:
    """Our client of the server, without waiting."""
    connection = connect(server, canaries["GITHUB_TOKEN"])
    yield connection
    connection.close()


def decision(github: GitHub, server: Server, number: int, *, approved_by: tuple[str, ...] = ()) -> list[str]:
    """The codes of what speaks against a pull request at its head."""
    found = gate.decide(github, number, server.state.pull_head(number), approved_by)
    assert found.allowed == (not found.refusals)
    assert all(refusal.fix for refusal in found.refusals)
    return [refusal.code for refusal in found.refusals]


# -- reading


def test_a_pull_request_is_read_whole(github: GitHub, server: Server) -> None:
    number, sha = opened(server)
    pull = pull_request.read_pull_request(github, number)
    assert (pull.head_sha, pull.state, pull.author, pull.base_ref, pull.default_branch) == (
        sha,
        "open",
        "alice",
        "main",
        "main",
    )
    assert not pull.from_fork
    assert pull.repository_url.endswith("/acme/data")


def test_all_changed_files_are_found(github: GitHub, server: Server) -> None:
    server.state.commit("main", {"requests/add/old.yaml": "old", "requests/add/moved.yaml": "moved", "x/y": "y"})
    server.state.commit("feature", {f"requests/add/{number:03d}.yaml": f"{number}" for number in range(233)})
    changes = {"requests/add/old.yaml": None, "requests/add/moved.yaml": None, "requests/remove/new.yaml": "moved"}
    server.state.commit("feature", {**changes, "x/y": "z"})
    number = server.state.open_pull_request("feature")
    files = pull_request.read_changes(github, pull_request.read_pull_request(github, number)).files
    assert len(files) == 236
    by_path = {file.path: (file.change, file.previous) for file in files}
    assert by_path["requests/add/000.yaml"] == ("added", None)
    assert by_path["requests/add/old.yaml"] == ("removed", None)
    assert by_path["requests/remove/new.yaml"] == ("renamed", "requests/add/moved.yaml")
    assert by_path["x/"] == ("modified", None)


def test_files_are_read_at_one_commit(github: GitHub, server: Server) -> None:
    number, sha = opened(server)
    before = pull_request.read_pull_request(github, number)
    server.state.commit("feature", {"requests/add/a.yaml": "hf_id: evil/one\n", "requests/add/b.yaml": "b"})
    changes = pull_request.read_changes(github, before)
    assert [(file.path, file.change) for file in changes.files] == [("requests/add/a.yaml", "added")]
    assert changes.tree == pull_request.read_requests_tree(github, sha)
    entry = changes.tree["requests/add/a.yaml"]
    assert pull_request.read_blob(github, entry.blob, "requests/add/a.yaml") == REQUEST.encode()


def test_the_changes_of_a_merged_pull_request_stay_the_same(github: GitHub, server: Server) -> None:
    number, _ = opened(server)
    before = pull_request.read_changes(github, pull_request.read_pull_request(github, number))
    merge_sha = server.state.merge(number)
    server.state.commit("main", {"requests/add/later.yaml": "x"})
    pull = pull_request.read_pull_request(github, number)
    assert (pull.merge_sha, pull_request.read_changes(github, pull)) == (merge_sha, before)


def test_commits_of_other_branches_and_forks_are_not_part_of_the_default_branch(github: GitHub, server: Server) -> None:
    old = server.state.head("main")
    new = server.state.commit("main", {"x": "y"})
    branch = server.state.commit("feature", {"x": "z"})
    fork = server.state.commit("feature", {"x": "z"}, fork="mallory")
    commits = {old: True, new: True, branch: False, fork: False, "1" * 40: False}
    assert {sha: pull_request.is_part_of(github, sha, "main") for sha in commits} == commits


def test_everybody_who_made_a_pull_request_is_known(github: GitHub, server: Server) -> None:
    state = server.state
    state.emails["robert@corp.example"] = "robert"
    state.commit("main", {"x": "y"}, author="Robert", author_email="robert@corp.example", pusher="steward")
    trailers = "Co-authored-by: R <robert@corp.example>\nCo-authored-by: E <5+eve@users.noreply.github.com>"
    state.commit("feature", {"a": "1"}, author="Bob", committer="web-flow", message=f"One\n\n{trailers}")
    state.commit("feature", {"a": "2"}, author="X", author_email="x@nowhere.example", pusher="Steward")
    for index in range(130):
        state.commit("feature", {"a": str(index)})
    number = state.open_pull_request("feature", author="opener")
    found = contributors.read_contributors(github, pull_request.read_pull_request(github, number))
    assert found == {"alice", "bob", "eve", "opener", "robert", "steward", "web-flow"}
    state.merge(number, author="merger")
    assert contributors.read_contributors(github, pull_request.read_pull_request(github, number)) == found


def test_the_pushers_of_a_fork_are_known_where_it_can_be_read(github: GitHub, server: Server) -> None:
    number, _ = opened(server, fork="mallory", author="mallory")
    pull = pull_request.read_pull_request(github, number)
    assert contributors.read_contributors(github, pull) == {"alice", "mallory"}
    server.fault(route="/activity", method="GET", status=404, message="Not Found")
    assert contributors.read_contributors(github, pull) == {"alice", "mallory"}
    gone = replace(pull, head_repository=None)
    assert contributors.read_contributors(github, gone) == {"alice", "mallory"}


def test_links_and_submodules_are_entries_never_followed(github: GitHub, server: Server) -> None:
    files = {"requests/add/link.yaml": Symlink("../../README.md"), "requests/sub": Submodule("1" * 40)}
    _, sha = opened(server, files)
    tree = pull_request.read_requests_tree(github, sha)
    assert {path: entry.is_file for path, entry in tree.items()} == {
        "requests/add/link.yaml": False,
        "requests/sub": False,
    }
    assert pull_request.read_file(github, sha, "requests/add/link.yaml") is None


def test_a_file_of_a_branch_is_read(github: GitHub, server: Server) -> None:
    server.state.commit("main", {"hugflow.yaml": "datasets: {}\n", "a/b/c": "deep"})
    sha = server.state.head("main")
    assert pull_request.read_file(github, sha, "hugflow.yaml") == b"datasets: {}\n"
    assert pull_request.read_file(github, sha, "a/b/c") == b"deep"
    assert pull_request.read_file(github, sha, "a/b") is None
    assert pull_request.read_file(github, sha, "nothing.yaml") is None


def test_two_trees_differ_by_path(github: GitHub, server: Server) -> None:
    server.state.commit("main", {"requests/add/a.yaml": "1", "requests/add/b.yaml": "2"})
    before = pull_request.read_requests_tree(github, server.state.head("main"))
    server.state.commit("main", {"requests/add/a.yaml": None, "requests/add/b.yaml": "3", "requests/remove/c.yml": "4"})
    after = pull_request.read_requests_tree(github, server.state.head("main"))
    assert [(file.path, file.change) for file in pull_request.tree_changes(before, after)] == [
        ("requests/add/a.yaml", "removed"),
        ("requests/add/b.yaml", "modified"),
        ("requests/remove/c.yml", "added"),
    ]


def test_no_requests_folder_is_an_empty_tree(github: GitHub, server: Server) -> None:
    assert pull_request.read_requests_tree(github, server.state.head("main")) == {}


@pytest.mark.parametrize(
    ("login", "expected"), [("steward", "admin"), ("alice", "write"), ("eve", "read"), ("x", "none")]
)
def test_permissions(github: GitHub, login: str, expected: str) -> None:
    assert pull_request.read_permission(github, login) == expected


# -- the gate


def test_the_gate_opens_for_requests_of_the_repository(github: GitHub, server: Server) -> None:
    number, _ = opened(server, {"requests/add/a.yaml": REQUEST, "requests/README.md": "hello"})
    assert decision(github, server, number) == []


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({"hugflow/__init__.py": "import os"}, "outside_requests"),
        ({".github/workflows/x.yml": "on: push"}, "outside_requests"),
        ({"requests": "a file in place of the folder"}, "outside_requests"),
        ({"requests_evil/x.yaml": "x"}, "outside_requests"),
        ({"requests/add/link.yaml": Symlink("/etc/passwd")}, "not_a_file"),
        ({"requests/add": Symlink("../secrets")}, "not_a_file"),
        ({"requests/sub": Submodule("2" * 40)}, "not_a_file"),
        ({"requests/.env": "TOKEN=x"}, "environment_file"),
        ({"requests/add/.ENV.local": "TOKEN=x"}, "environment_file"),
    ],
)
def test_the_gate_closes(github: GitHub, server: Server, files: dict[str, object], code: str) -> None:
    number, _ = opened(server, files)
    assert code in decision(github, server, number)


def test_both_sides_of_a_rename_count(github: GitHub, server: Server) -> None:
    server.state.commit("main", {"hugflow.yaml": "datasets: {}"})
    number, _ = opened(server, {"hugflow.yaml": None, "requests/add/a.yaml": "datasets: {}"})
    assert decision(github, server, number) == ["outside_requests"]


def test_the_gate_is_for_one_commit_of_an_open_pull_request_to_the_default_branch(
    github: GitHub, server: Server
) -> None:
    number, sha = opened(server)
    server.state.commit("feature", {"requests/add/b.yaml": REQUEST})
    assert [refusal.code for refusal in gate.decide(github, number, sha).refusals] == ["head_moved"]
    server.state.merge(number)
    assert decision(github, server, number) == ["not_open"]
    server.state.commit("other", {"x": "y"})
    server.state.commit("feature2", {"requests/add/c.yaml": REQUEST})
    wrong = server.state.open_pull_request("feature2", base="other")
    assert "wrong_base" in decision(github, server, wrong)


def test_a_fork_needs_the_approval_of_somebody_with_write_access_for_this_commit(
    github: GitHub, server: Server
) -> None:
    number, old = opened(server, fork="mallory", author="mallory")
    assert decision(github, server, number) == ["fork"]
    assert decision(github, server, number, approved_by=("alice",)) == ["fork"], "her commit"
    assert decision(github, server, number, approved_by=("steward",)) == []
    server.state.review(number, "eve")
    server.state.review(number, "mallory")
    assert decision(github, server, number) == ["fork"]
    server.state.review(number, "bob")
    assert decision(github, server, number) == []
    server.state.commit("feature", {"requests/add/a.yaml": REQUEST + "# changed\n"}, fork="mallory")
    assert decision(github, server, number) == ["fork"]
    server.state.review(number, "bob", sha=old)
    assert decision(github, server, number) == ["fork"]
    server.state.review(number, "bob")
    server.state.review(number, "bob", state="CHANGES_REQUESTED")
    assert decision(github, server, number) == ["fork"]


def test_a_command_of_somebody_with_write_access_lets_this_commit_of_a_fork_run(github: GitHub, server: Server) -> None:
    number, sha = opened(server, fork="mallory", author="mallory")
    for author, body in (
        ("eve", f"/hugflow retry {sha}"),
        ("mallory", f"/hugflow retry {sha}"),
        ("bob", "/hugflow retry"),  # names no commit
        ("alice", f"/hugflow retry {sha}"),  # her commit
    ):
        commands.handle(github, comment(server, number, author, body))
        assert decision(github, server, number) == ["fork"]
    commands.handle(github, comment(server, number, "bob", f"/hugflow retry {sha}"))
    assert decision(github, server, number) == []
    server.state.commit("feature", {"requests/add/a.yaml": REQUEST + "# changed\n"}, fork="mallory")
    assert decision(github, server, number) == ["fork"]


# -- approvals of removals


def test_approvals_count_once_for_one_commit_and_never_from_the_author(github: GitHub, server: Server) -> None:
    number, _ = opened(server)
    pull = pull_request.read_pull_request(github, number)
    for login in ("alice", "bob"):
        server.state.review(number, login)
        approvals.record_approval(github, pull, approvals.REMOVAL, login, "https://github.example/comment")
    approvals.record_approval(github, pull, approvals.REMOVAL, "steward", "https://github.example/comment")
    found = approvals.read_approvals(github, pull, approvals.REMOVAL, lambda login: login != "nobody")
    assert [(approval.by, approval.how) for approval in found] == [("bob", "command"), ("steward", "command")]
    assert approvals.read_approvals(github, pull, approvals.REMOVAL, lambda login: login == "data-steward") == ()
    (review,) = approvals.read_approvals(github, pull, approvals.RUN, lambda _: True)
    assert (review.by, review.how) == ("bob", "review")
    server.state.commit("feature", {"requests/add/a.yaml": "other"})
    newer = pull_request.read_pull_request(github, number)
    assert approvals.read_approvals(github, newer, approvals.REMOVAL, lambda _: True) == ()


def test_a_status_of_somebody_else_is_no_approval(github: GitHub, server: Server) -> None:
    number, _ = opened(server)
    server.state.add_token("ghp_of_mallory", "mallory", bot=False)
    pull = pull_request.read_pull_request(github, number)
    approvals.record_approval(
        connect(server, "ghp_of_mallory"), pull, approvals.REMOVAL, "steward", "https://github.example/x"
    )
    assert approvals.read_approvals(github, pull, approvals.REMOVAL, lambda _: True) == ()


# -- comments


def test_one_comment_is_edited_in_place_whoever_else_writes_its_marker(github: GitHub, server: Server) -> None:
    number, _ = opened(server)
    marker = "<!-- hugflow:sticky -->"
    server.state.add_comment(number, "mallory", f"{marker}\nfalse")
    for index in range(130):
        server.state.add_comment(number, "alice", f"comment {index}")
    server.state.add_comment(number, ACTIONS_BOT, f"> {marker}\nquoted by another workflow of the same bot")
    Conversation(github, number).upsert(marker, f"{marker}\nfirst")
    server.state.add_comment(number, "alice", "between")
    again = Conversation(github, number)
    again.upsert(marker, f"{marker}\nsecond")
    again.upsert(marker, f"{marker}\nthird")
    writes = len(server.writes())
    again.upsert(marker, f"{marker}\nthird")
    assert len(server.writes()) == writes
    ours = [c.body for c in server.state.comments_of(number) if c.user == ACTIONS_BOT and c.body.startswith(marker)]
    assert ours == [f"{marker}\nthird"]


def test_a_comment_that_was_deleted_is_written_again(github: GitHub, server: Server) -> None:
    number, _ = opened(server)
    conversation = Conversation(github, number)
    conversation.upsert("<!-- m -->", "<!-- m --> one")
    server.state.comments.clear()
    conversation.upsert("<!-- m -->", "<!-- m --> two")
    assert [comment.body for comment in server.state.comments_of(number)] == ["<!-- m --> two"]


# -- checks


def test_a_check_run_collects_annotations_fifty_at_a_time(github: GitHub, server: Server) -> None:
    _, sha = opened(server)
    annotations = [Annotation("requests/add/a.yaml", line, 3, f"problem {line}") for line in range(1, 121)]
    check = CommitCheck(github, sha, run_key="1-1", details_url="https://github.example/run/1")
    check.update(CheckState("checking", "so far"))
    for batch in batches(annotations):
        check.update(CheckState("checking", "so far"), batch)
    check.update(CheckState("120 problems", "all of them", "failure"))
    (run,) = server.state.checks_of(sha)
    assert (run.name, run.status, run.conclusion, run.title) == (NAME, "completed", "failure", "120 problems")
    assert [each["start_line"] for each in run.annotations] == list(range(1, 121))
    assert run.annotations[0] == {
        "path": "requests/add/a.yaml",
        "start_line": 1,
        "end_line": 1,
        "start_column": 3,
        "end_column": 3,
        "annotation_level": "failure",
        "message": "problem 1",
    }
    with pytest.raises(ValueError, match="50 annotations"):
        check.update(CheckState("x", "y"), annotations[: ANNOTATIONS_PER_REQUEST + 1])


def test_the_next_slice_continues_the_check_that_was_left_open(github: GitHub, server: Server) -> None:
    _, sha = opened(server)
    CommitCheck(github, sha, run_key="1-1").update(CheckState("paused", "goes on"))
    CommitCheck(github, sha, run_key="2-1").update(CheckState("done", "all", "success"))
    CommitCheck(github, sha, run_key="3-1").update(CheckState("again", "a retry"))
    assert [(run.title, run.status) for run in server.state.checks_of(sha)] == [
        ("done", "completed"),
        ("again", "in_progress"),
    ]


def test_a_check_whose_answer_was_lost_is_not_made_twice(github: GitHub, server: Server) -> None:
    _, sha = opened(server)
    for _ in range(2):
        CommitCheck(github, sha, run_key="1-1").update(CheckState("done", "all", "success"))
    assert len(server.state.checks_of(sha)) == 1


@pytest.mark.parametrize(
    ("conclusion", "expected"), [(None, "pending"), ("success", "success"), ("action_required", "failure")]
)
def test_a_commit_status_where_check_runs_are_refused(server: Server, conclusion: str | None, expected: str) -> None:
    _, sha = opened(server)
    server.state.add_token("ghp_of_a_person", "alice", scopes=ALL_SCOPES - {"checks"}, bot=False)
    check = CommitCheck(
        connect(server, "ghp_of_a_person"), sha, run_key="1", details_url="https://github.example/run/1"
    )
    for _ in range(2):
        check.update(CheckState("x" * 300, "summary", conclusion), [Annotation("a", 1, 1, "m")])  # type: ignore[arg-type]  # of the literals
    assert {(status.state, status.context) for status in server.state.statuses_of(sha)} == {(expected, NAME)}
    assert sum("check-runs" in request.path for request in server.writes()) == 1


# -- labels, merge, dispatch


def test_one_label_of_ours(github: GitHub, server: Server) -> None:
    number, _ = opened(server)
    server.state.issues[number].labels += ["bug", "hugflow: running", "hugflow: failed"]
    labels.set_label(github, number, "hugflow: ready")
    labels.set_label(github, number, "hugflow: ready")
    assert server.state.issues[number].labels == ["bug", "hugflow: ready"]


def test_exactly_the_processed_commit_is_merged(github: GitHub, server: Server) -> None:
    number, sha = opened(server)
    pull = pull_request.read_pull_request(github, number)
    server.state.commit("feature", {"requests/add/b.yaml": "pushed meanwhile"})
    refused = merge.merge(github, pull, sha)
    assert not refused.merged
    assert "somebody pushed after" in refused.message
    assert server.state.pulls[number].merged_as is None
    done = merge.merge(github, pull, server.state.pull_head(number))
    assert done.merged
    assert server.state.pulls[number].merged_as == server.state.head("main")


def test_a_merge_that_github_does_not_allow_yet_says_so(github: GitHub, server: Server) -> None:
    number, sha = opened(server)
    pull = pull_request.read_pull_request(github, number)
    server.state.issues[number].state = "closed"
    outcome = merge.merge(github, pull, sha)
    assert not outcome.merged
    assert "does not allow it yet" in outcome.message


def test_a_merge_whose_answer_was_lost_counts(github: GitHub, server: Server) -> None:
    number, sha = opened(server)
    pull = pull_request.read_pull_request(github, number)
    server.state.merge(number)
    assert merge.merge(github, pull, sha).merged


def test_the_next_slice_is_dispatched_unless_a_newer_commit_waits(github: GitHub, server: Server) -> None:
    number, sha = opened(server)
    assert dispatch.dispatch_next_slice(github, number, sha)
    (run,) = server.state.runs.values()
    assert run.workflow == dispatch.SYNC_WORKFLOW
    assert run.inputs == {"pull_request": str(number), "sha": sha, "mode": "sync", "only": ""}
    server.state.commit("feature", {"requests/add/b.yaml": "new"})
    assert not dispatch.dispatch_next_slice(github, number, sha)
    assert len(server.state.runs) == 1


# -- commands


def comment(server: Server, number: int, author: str, body: str) -> CommentEvent:
    """A comment, and its event as the workflow gets it."""
    said = server.state.add_comment(number, author, body)
    payload = {
        "action": "created",
        "issue": {"number": number, "pull_request": {}},
        "comment": {"id": said.id, "user": {"login": author}, "body": body, "html_url": "https://github.example/c"},
    }
    event = CommentEvent.from_payload(payload)
    assert event
    return event


def reactions(server: Server, event: CommentEvent) -> list[str]:
    """The reactions to a comment."""
    return [content for _, content in server.state.comments[event.comment_id].reactions]


@pytest.mark.parametrize(
    ("body", "mode", "only"),
    [
        ("/hugflow plan", "plan", ""),
        ("/hugflow retry", "retry", ""),
        ("/hugflow retry requests/add/a.yaml\nthank you", "retry", "requests/add/a.yaml"),
        ("/hugflow unlock", "unlock", ""),
    ],
)
def test_commands_start_the_trusted_workflow_for_the_head(
    github: GitHub, server: Server, body: str, mode: str, only: str
) -> None:
    number, sha = opened(server)
    event = comment(server, number, "alice", body)
    assert commands.handle(github, event)
    (run,) = server.state.runs.values()
    assert run.inputs == {"pull_request": str(number), "sha": sha, "mode": mode, "only": only}
    assert reactions(server, event) == ["rocket"]


@pytest.mark.parametrize("author", ["eve", "stranger"])
@pytest.mark.parametrize("body", ["/hugflow retry", "/hugflow approve-removal", "/hugflow nonsense"])
def test_people_without_write_access_start_nothing_and_get_no_answer(
    github: GitHub, server: Server, author: str, body: str
) -> None:
    number, sha = opened(server)
    event = comment(server, number, author, body)
    commands.handle(github, event)
    assert reactions(server, event) == ["-1"]
    assert (server.state.runs, server.state.statuses_of(sha)) == ({}, [])
    assert len(server.state.comments_of(number)) == 1


def test_a_comment_that_is_no_command_is_left_alone(github: GitHub, server: Server) -> None:
    number, _ = opened(server)
    event = comment(server, number, "alice", "what does /hugflow retry do?")
    assert commands.handle(github, event) is None
    assert server.writes() == []


def test_cancel_stops_the_runs_of_this_pull_request_only(github: GitHub, server: Server) -> None:
    number, _ = opened(server)
    ours = server.state.add_run(dispatch.SYNC_WORKFLOW, dispatch.run_title(number))
    waiting = server.state.add_run(dispatch.SYNC_WORKFLOW, dispatch.run_title(number), status="queued")
    other = server.state.add_run(dispatch.SYNC_WORKFLOW, dispatch.run_title(number + 1))
    event = comment(server, number, "alice", "/hugflow cancel")
    commands.handle(github, event)
    assert [server.state.runs[run].conclusion for run in (ours, waiting, other)] == ["cancelled", "cancelled", None]
    nothing = comment(server, number, "alice", "/hugflow cancel")
    commands.handle(github, nothing)
    assert reactions(server, nothing) == ["confused"]


def test_a_removal_is_approved_by_an_approver_for_the_commit_that_was_looked_at(github: GitHub, server: Server) -> None:
    number, sha = opened(server)
    pull = pull_request.read_pull_request(github, number)

    def approved() -> list[str]:
        return [each.by for each in approvals.read_approvals(github, pull, approvals.REMOVAL, lambda _: True)]

    for author, body in (
        ("bob", f"/hugflow approve-removal {sha}"),  # may write, but the policy names others
        ("steward", f"/hugflow approve-removal {'1' * 40}"),  # another commit
        ("steward", f"/hugflow approve-removal {sha[:7]}"),  # more commits may begin like it
        ("steward", "/hugflow approve-removal"),
    ):
        event = comment(server, number, author, body)
        commands.handle(github, event, lambda: {"steward"})
        assert reactions(server, event) == ["confused"]
        assert approved() == []
    own = comment(server, number, "alice", f"/hugflow approve-removal {sha}")
    commands.handle(github, own, lambda: {"alice"})
    assert approved() == []
    event = comment(server, number, "steward", f"/hugflow approve-removal {sha}")
    commands.handle(github, event, lambda: {"Steward"})
    assert reactions(server, event) == ["rocket"]
    assert approved() == ["steward"]
    (run,) = server.state.runs.values()
    assert run.inputs["mode"] == "sync"


def test_commands_on_a_merged_pull_request_start_apply(github: GitHub, server: Server) -> None:
    number, _ = opened(server)
    server.state.merge(number)
    commands.handle(github, comment(server, number, "alice", "/hugflow retry"))
    (run,) = server.state.runs.values()
    assert (run.workflow, run.inputs) == (dispatch.APPLY_WORKFLOW, {"pull_request": str(number)})


# -- alerts and cleaning up


def test_one_issue_for_an_alert_closed_when_all_is_well(github: GitHub, server: Server) -> None:
    first = alerts.raise_alert(github, "freshness acme/market", "Daily pipeline failed", "stale since Monday")
    assert alerts.raise_alert(github, "freshness acme/market", "Daily pipeline failed", "stale since Monday") == first
    assert alerts.raise_alert(github, "freshness acme/market", "Daily pipeline failed", "since Sunday") == first
    assert server.state.issues[first].body.endswith("\nsince Sunday")
    assert alerts.raise_alert(github, "drift", "Drift", "x") != first
    assert alerts.clear_alert(github, "freshness acme/market", "It is fresh again.")
    assert server.state.issues[first].state == "closed"
    assert not alerts.clear_alert(github, "freshness acme/market", "It is fresh again.")
    assert alerts.raise_alert(github, "freshness acme/market", "Daily pipeline failed", "again") != first


def test_finished_requests_are_deleted_in_one_commit(github: GitHub, server: Server) -> None:
    server.state.commit(
        "main", {"requests/add/a.yaml": "1", "requests/remove/a.yaml": "2", "requests/add/keep.yaml": "3"}
    )
    before = server.state.head("main")
    paths = ["requests/add/a.yaml", "requests/remove/a.yaml", "requests/add/gone.yaml"]
    sha = cleanup.delete_requests(github, "main", paths, "Remove finished requests")
    commit = server.state.objects.commits[server.state.head("main")]
    assert (commit.sha, commit.parents, commit.message) == (sha, (before,), "Remove finished requests")
    assert sorted(commit.files) == ["README.md", "requests/add/keep.yaml"]
    assert cleanup.delete_requests(github, "main", paths, "again") is None
