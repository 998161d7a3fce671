"""Parsing of comment commands; other comments are ignored."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hugflow.gitops.commands import NAMES, Command, CommentEvent, NotACommandError, parse
from tests.unit.render.test_humanize import ANYTHING

SHA = "3f2a91c0d4e5b6a798812233445566778899aabb"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("/hugflow plan", Command("plan")),
        ("  /hugflow   retry  ", Command("retry")),
        ("\ufeff/hugflow retry requests/add/a.yaml\r\nthanks!", Command("retry", "requests/add/a.yaml")),
        ("/hugflow retry 'requests/add/a b.yaml'", Command("retry", "requests/add/a b.yaml")),
        ("/hugflow cancel\n\nplease", Command("cancel")),
        ("/hugflow unlock", Command("unlock")),
        (f"/hugflow approve-removal {SHA}", Command("approve-removal", commit=SHA)),
        (f"/hugflow plan {SHA}", Command("plan", commit=SHA)),
        (f"/hugflow retry {SHA}", Command("retry", commit=SHA)),
        (f"/hugflow retry requests/add/a.yaml {SHA}", Command("retry", "requests/add/a.yaml", SHA)),
        ("please /hugflow retry", None),
        ("thanks\n/hugflow retry", None),
        ("/hugflowretry", None),
        ("/hugflower retry", None),
        ("> /hugflow retry", None),
        ("", None),
    ],
)
def test_the_first_line_is_the_command(body: str, expected: Command | None) -> None:
    assert parse(body) == expected


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("/hugflow", "The commands are"),
        ("/hugflow retri", "Did you mean `/hugflow retry`?"),
        ("/hugflow plan everything", "does not take `everything`"),
        ("/hugflow retry a b", "does not take `a b`"),
        ("/hugflow approve-removal", "Name the commit"),
        ("/hugflow approve-removal HEAD", "Name the commit"),
        ("/hugflow approve-removal ../../x", "Name the commit"),
        ("/hugflow approve-removal 3f2a91c", "all 40 digits"),
        ("/hugflow plan 3f2a91c", "all 40 digits"),
        ("/hugflow retry requests/add/a.yaml 3f2a91c", "all 40 digits"),
        (f"/hugflow approve-removal {SHA.upper()}", "Name the commit"),
        (f"/hugflow approve-removal a {SHA}", "does not take `a`"),
        (f"/hugflow cancel {SHA}", "does not take"),
        ("/hugflow retry 'a", "quotes"),
        ("/hugflow retry; rm -rf /", "There is no command `retry;`"),
        ("/hugflow $(id)", "There is no command `$(id)`"),
    ],
)
def test_what_is_no_command_says_what_is(body: str, words: str) -> None:
    with pytest.raises(NotACommandError) as caught:
        parse(body)
    assert words in str(caught.value)


@given(ANYTHING, st.sampled_from([*NAMES, "", "x"]))
@example("`@team <img>", "retry")
def test_any_text_is_a_command_a_mistake_or_nothing(text: str, name: str) -> None:
    with contextlib.suppress(NotACommandError):
        command = parse(f"/hugflow {name} {text}")
        assert command is None or command.name in NAMES
    with contextlib.suppress(NotACommandError):
        assert parse(text) is None or text.lstrip("\ufeff").strip().startswith("/hugflow")


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"action": "edited", "issue": {"number": 1, "pull_request": {}}, "comment": {}},
        {"action": "created", "issue": {"number": 1}, "comment": {}},
    ],
)
def test_events_that_are_no_new_comment_on_a_pull_request_are_ignored(payload: dict[str, object]) -> None:
    assert CommentEvent.from_payload(payload) is None
