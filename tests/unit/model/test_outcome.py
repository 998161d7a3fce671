"""The outcome policy: one exit code for several requests, one result for an error."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hugflow.model.errors import (
    AuthenticationError,
    Bug,
    ExitCode,
    HugflowError,
    InvalidRequest,
    Locked,
    MovedHead,
    Paused,
    QuotaExceeded,
    StorageFault,
    Terminal,
    Transient,
    TryAgain,
)
from hugflow.model.outcome import RUN_CODES, WORST_FIRST, combined_exit_code, failed_result

CODES = list(ExitCode)


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ([], 0),
        ([0], 0),
        ([0, 0], 0),
        ([1], 1),
        ([4], 4),
        ([3], 3),
        ([0, 4], 3),
        ([0, 1, 4], 3),
        ([0, 3], 3),
        ([1, 4], 4),
        ([4, 6], 4),
        ([1, 6], 1),
        ([5, 6], 5),
        ([3, 4], 4),
        ([0, 70], 70),
        ([4, 70], 70),
        ([0, 75], 75),
        ([4, 75], 75),
        ([0, 74], 74),
        ([70, 74], 74),
        ([74, 75], 75),
        ([0, 4, 130, 75], 130),
    ],
)
def test_several_codes_become_one(codes: list[int], expected: int) -> None:
    given_codes = [ExitCode(code) for code in codes]
    assert combined_exit_code(given_codes) == expected
    assert combined_exit_code(reversed(given_codes)) == expected


def test_the_order_has_every_code_once() -> None:
    assert sorted(WORST_FIRST) == sorted(ExitCode)


@pytest.mark.parametrize(("one", "other"), [*itertools.combinations_with_replacement(CODES, 2)])
def test_every_pair_has_one_answer(one: ExitCode, other: ExitCode) -> None:
    found = combined_exit_code([one, other])
    assert found == combined_exit_code([other, one])
    assert found in {one, other, ExitCode.PARTIAL}
    if found == ExitCode.PARTIAL and ExitCode.PARTIAL not in {one, other}:
        assert ExitCode.DONE in {one, other}


@given(st.lists(st.sampled_from(CODES)))
def test_several_are_done_only_when_all_are(codes: list[ExitCode]) -> None:
    assert (combined_exit_code(codes) == ExitCode.DONE) == (set(codes) <= {ExitCode.DONE})


@given(st.lists(st.sampled_from(CODES)), st.lists(st.sampled_from(RUN_CODES), min_size=1))
def test_what_ends_the_run_is_never_hidden(codes: list[ExitCode], ends: list[ExitCode]) -> None:
    assert combined_exit_code([*codes, *ends]) in {*RUN_CODES} & {*codes, *ends}


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (Transient, 1),
        (TryAgain, 1),
        (Terminal, 4),
        (AuthenticationError, 4),
        (QuotaExceeded, 4),
        (InvalidRequest, 4),
        (Locked, 6),
        (Bug, 70),
        (StorageFault, 74),
        (Paused, 75),
    ],
)
def test_an_error_says_whether_trying_again_can_help(kind: type[HugflowError], code: int) -> None:
    result = failed_result("r.yaml", "add", "name", kind("doing it", "it is wrong", "Mend it."), rows_done=3)
    assert (result.exit_code, result.error, result.fix) == (code, "doing it: it is wrong", "Mend it.")
    assert result.rows_done == 3
    assert result.status == {75: "paused"}.get(code, "invalid" if kind is InvalidRequest else "failed")


def test_a_publish_that_somebody_overtook_may_be_tried_again() -> None:
    assert MovedHead("publishing", "moved", paths=("a",), sha="b").exit_code == ExitCode.FAILED
