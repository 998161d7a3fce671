"""Faults of GitHub (down, slow, rate limited, wrong answers) and the errors and retries of our client."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from hugflow.gitops import cleanup, merge, pull_request
from hugflow.gitops.client import GitHub, GitHubRefused, GitHubSettings
from hugflow.gitops.comments import Conversation
from hugflow.model.errors import AuthenticationError, RetryAfter, Transient
from tests.doubles.github import GitHub as Server
from tests.support.github_helpers import connect, new_state, opened


@pytest.fixture
def server(canaries: Mapping[str, str]) -> Iterator[Server]:
    """A server with some people, and our token."""
    with Server(new_state(canaries["GITHUB_TOKEN"])) as running:
        yield running


@pytest.fixture
def github(server: Server, canaries: Mapping[str, str]) -> Iterator[GitHub]:
    """Our client, which tries everything once."""
    connection = connect(server, canaries["GITHUB_TOKEN"])
    yield connection
    connection.close()


def test_a_wrong_token_says_how_to_get_a_right_one(server: Server) -> None:
    number, _ = opened(server)
    with pytest.raises(AuthenticationError, match="gh auth login"):
        pull_request.read_pull_request(connect(server, "ghp_wrong"), number)


def test_what_is_not_there_is_refused_with_advice(github: GitHub) -> None:
    with pytest.raises(GitHubRefused, match="GITHUB_REPO") as caught:
        pull_request.read_pull_request(github, 404)
    assert caught.value.status == 404


def test_passing_faults_are_tried_again_within_limits(server: Server, canaries: Mapping[str, str]) -> None:
    number, _ = opened(server)
    slept: list[float] = []
    github = connect(server, canaries["GITHUB_TOKEN"], retries=3, slept=slept)
    server.fault(route="/pulls/", status=502, count=2)
    assert pull_request.read_pull_request(github, number).number == number
    assert len(slept) == 2
    assert slept[0] < slept[1] * 2
    server.fault(route="/pulls/", reset=True, count=4)
    with pytest.raises(Transient, match="cannot be reached"):
        pull_request.read_pull_request(github, number)
    assert len(slept) == 5


@pytest.mark.parametrize("as_date", [False, True])
@pytest.mark.parametrize("status", [403, 429, 503])
def test_retry_after_is_obeyed(server: Server, canaries: Mapping[str, str], status: int, as_date: bool) -> None:
    number, _ = opened(server)
    slept: list[float] = []
    github = connect(server, canaries["GITHUB_TOKEN"], retries=1, slept=slept)
    server.fault(route="/pulls/", status=status, retry_after_s=30, retry_after_as_date=as_date, count=1)
    pull_request.read_pull_request(github, number)
    assert slept == [pytest.approx(30, abs=2)]


def test_a_rate_limit_beyond_our_patience_is_reported_not_waited_for(
    server: Server, canaries: Mapping[str, str]
) -> None:
    number, _ = opened(server)
    slept: list[float] = []
    github = connect(server, canaries["GITHUB_TOKEN"], retries=3, slept=slept)
    message = "API rate limit exceeded for installation."
    headers = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "4102444800"}
    server.fault(route="/pulls/", status=403, message=message, headers=headers)
    with pytest.raises(RetryAfter) as caught:
        pull_request.read_pull_request(github, number)
    assert caught.value.seconds == 3600
    assert slept == []


def test_a_secondary_limit_without_a_time_waits_a_minute(server: Server, canaries: Mapping[str, str]) -> None:
    number, _ = opened(server)
    slept: list[float] = []
    github = connect(server, canaries["GITHUB_TOKEN"], retries=1, slept=slept)
    message = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
    server.fault(route="/comments", status=403, message=message, count=1)
    Conversation(github, number).upsert("<!-- m -->", "<!-- m -->")
    assert slept == [60]


def test_a_missing_permission_is_named(server: Server, canaries: Mapping[str, str]) -> None:
    number, _ = opened(server)
    github = connect(server, canaries["GITHUB_TOKEN"])
    server.fault(
        route="/merge",
        status=403,
        message="Resource not accessible",
        headers={"X-Accepted-GitHub-Permissions": "contents=write"},
    )
    pull = pull_request.read_pull_request(github, number)
    outcome = merge.merge(github, pull, pull.head_sha)
    assert "contents=write" in outcome.message


def test_github_that_does_not_answer_is_a_passing_fault(server: Server, canaries: Mapping[str, str]) -> None:
    number, _ = opened(server)
    settings = GitHubSettings("acme/data", canaries["GITHUB_TOKEN"], server.api, timeout_s=1)
    server.fault(route="/pulls/", delay_s=3)
    with pytest.raises(Transient, match="did not answer in time"):
        pull_request.read_pull_request(GitHub(settings, retries=0), number)


def test_an_answer_that_is_no_json_is_a_passing_fault(server: Server, canaries: Mapping[str, str]) -> None:
    settings = GitHubSettings("acme/data", canaries["GITHUB_TOKEN"], server.url + "/nowhere")
    with pytest.raises(GitHubRefused, match="404"):
        pull_request.read_pull_request(GitHub(settings, retries=0), 1)


def test_writes_are_spaced(server: Server, canaries: Mapping[str, str]) -> None:
    number, _ = opened(server)
    now, slept = [100.0], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    settings = GitHubSettings("acme/data", canaries["GITHUB_TOKEN"], server.api)
    github = GitHub(settings, sleep=sleep, clock=lambda: now[0])
    for index in range(3):
        Conversation(github, number).add_once(f"<!-- {index} -->", f"<!-- {index} -->")
    assert slept == [1.0, 1.0]


def test_the_token_is_shown_nowhere(server: Server, canaries: Mapping[str, str]) -> None:
    settings = GitHubSettings("acme/data", canaries["GITHUB_TOKEN"], server.api)
    assert canaries["GITHUB_TOKEN"] not in repr(settings)
    server.fault(route="", status=500)
    with pytest.raises(Transient) as caught:
        pull_request.read_pull_request(GitHub(settings, retries=0), 1)
    assert canaries["GITHUB_TOKEN"] not in f"{caught.value!r} {caught.value} {caught.value.__cause__!r}"


def test_the_final_comment_is_written_once_even_if_its_answer_is_lost(
    server: Server, canaries: Mapping[str, str]
) -> None:
    number, _ = opened(server)
    slept: list[float] = []
    conversation = Conversation(connect(server, canaries["GITHUB_TOKEN"], slept=slept), number)
    server.fault(route="/comments", method="POST", lose_answer=True, count=1)
    with pytest.raises(Transient, match="cannot be reached"):
        conversation.add_once("<!-- f -->", "<!-- f --> done")
    conversation.add_once("<!-- f -->", "<!-- f --> done")
    conversation.add_once("<!-- f -->", "<!-- f --> done")
    assert [comment.body for comment in server.state.comments_of(number)] == ["<!-- f --> done"]


def test_cleaning_up_loses_no_commit_that_was_pushed_meanwhile(github: GitHub, server: Server) -> None:
    server.state.commit("main", {"requests/remove/a.yaml": "2"})
    server.fault(route="/git/refs/", method="PATCH", status=422, message="Update is not a fast forward", count=2)
    assert cleanup.delete_requests(github, "main", ["requests/remove/a.yaml"], "Remove")
    assert "requests/remove/a.yaml" not in server.state.objects.commits[server.state.head("main")].files
