"""The policy file: its rules, and messages for an invalid one."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hugflow.model.errors import ExitCode
from hugflow.model.plan import AddPlan, HubFacts, PublishPlan
from hugflow.model.specs import RemoveSpec
from hugflow.request import policy
from hugflow.request.policy import InvalidPolicy, Policy
from tests.support import sample_views as sample

ROOT = Path(__file__).resolve().parents[3]


def add(**facts: object) -> AddPlan:
    """A plan of `acme/voices` with other facts of the Hub."""
    hub = HubFacts(sha=sample.COMMIT, licence="cc-by-4.0").model_copy(update=facts)
    return sample.add_plan(facts=hub)


def messages(text: str, plan: AddPlan | PublishPlan) -> list[str]:
    """What a policy says to a plan."""
    return [finding.message for finding in policy.check(plan, policy.parse(text.encode()))]


def problems(text: str) -> list[str]:
    """What is said about a wrong policy."""
    with pytest.raises(InvalidPolicy) as caught:
        policy.parse(text.encode())
    return [line.strip() for line in caught.value.problem.splitlines()[1:]]


@pytest.mark.parametrize("data", [None, b"", b"# nothing yet\n\n"])
def test_no_policy_allows_everything(data: bytes | None) -> None:
    assert policy.parse(data) == Policy()
    for plan in (add(private=True, gated=True, licence=None), sample.remove_plan(), sample.publish_plan()):
        assert policy.check(plan, Policy()) == ()


@pytest.mark.parametrize(
    ("text", "facts", "expected"),
    [
        (
            "datasets: {organisations: [mozilla, openslr]}",
            {},
            "the policy allows datasets of `mozilla`, `openslr`, not of `acme`",
        ),
        ("datasets: {organisations: []}", {}, "the policy allows datasets of (none), not of `acme`"),
        (
            "datasets: {licences: [mit]}",
            {},
            "the policy allows the licences `mit`; this dataset has `cc-by-4.0`",
        ),
        (
            "datasets: {licences: [mit]}",
            {"licence": None},
            "the policy allows the licences `mit`; this dataset has none named",
        ),
        ("datasets: {private: false}", {"private": True}, "the policy allows no private repositories"),
        ("datasets: {gated: false}", {"gated": True}, "the policy allows no gated repositories"),
        ("datasets: {max_rows: 24689}", {}, "the policy allows 24,689 rows; this dataset has 24,690"),
        ("datasets: {max_gb: 1.4}", {}, "the policy allows 1.4 GB; this dataset has 1.4 GB to download"),
    ],
)
def test_a_rule_that_is_broken_is_an_error(text: str, facts: dict[str, object], expected: str) -> None:
    findings = policy.check(add(**facts), policy.parse(text.encode()))
    assert [(finding.level, finding.message) for finding in findings] == [("error", expected)]


@pytest.mark.parametrize(
    "text",
    [
        "datasets: {organisations: [ACME]}",
        "datasets: {organisations: ['*']}",
        "datasets: {licences: [CC-BY-4.0]}",
        "datasets: {max_rows: 24690, max_gb: 2}",
        "datasets: {private: false, gated: false}",
    ],
)
def test_a_rule_that_is_kept_says_nothing(text: str) -> None:
    assert messages(text, add()) == []


def test_every_broken_rule_is_named() -> None:
    text = "datasets: {organisations: [x], licences: [y], private: false, gated: false, max_rows: 1, max_gb: 0.1}"
    assert len(messages(text, add(private=True, gated=True))) == 6


def test_removals_wait_for_approval() -> None:
    asked = policy.parse(b"removals: {approvals: 1, approvers: [data-steward]}")
    (finding,) = policy.check(sample.remove_plan(), asked)
    assert (finding.level, finding.message) == (
        "approval",
        "the policy asks for one approval of `data-steward` before anything is removed",
    )
    two = policy.parse(b"removals: {approvals: 2}")
    assert "2 approvals of people with write access" in policy.check(sample.remove_plan(), two)[0].message
    assert [policy.approvals_missing(two, given) for given in (0, 1, 2, 3)] == [2, 1, 0, 0]
    assert policy.check(add(), asked) == ()


def test_publishing_has_its_own_rules() -> None:
    assert messages("publishing: {organisations: [other]}", sample.publish_plan()) == [
        "the policy allows publishing to `other`, not to `acme`"
    ]
    assert messages("publishing: {private_only: true}", sample.publish_plan()) == [
        "the policy allows private repositories only; this one is public"
    ]
    new = sample.publish_plan().model_copy(update={"action": "create"})
    assert messages("publishing: {private_only: true}", new) == [
        "the policy allows private repositories only; set `private: true`"
    ]
    assert messages("publishing: {private_only: true}", new.model_copy(update={"private": True})) == []


def test_deleting_on_the_hub_is_writing_there() -> None:
    spec = RemoveSpec(hf_id="acme/market", reason="The feed has ended.", subset="funding", target="hub")
    plan = sample.remove_plan().model_copy(update={"spec": spec})
    rules = "publishing: {organisations: [other]}\nremovals: {approvals: 1}"
    asked = policy.parse(rules.encode())
    assert [finding.level for finding in policy.check(plan, asked)] == ["error", "approval"]
    assert [finding.level for finding in policy.check(sample.remove_plan(), asked)] == ["approval"]


def test_the_number_of_requests_and_the_merge_are_the_policys() -> None:
    strict = policy.parse(b"pull_requests: {max_requests: 2, auto_merge: false}")
    assert policy.too_many_requests(2, strict) is None
    finding = policy.too_many_requests(3, strict)
    assert finding
    assert finding.message == "the policy allows 2 requests in a pull request; this one has 3"
    assert policy.auto_merge(strict, setting=True) is False
    assert policy.auto_merge(Policy(), setting=True) is True


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dataset: {}", ["hugflow.yaml:1:1: dataset: there is no such field; did you mean `datasets`?"]),
        (
            "datasets:\n  organizations: [a]\n  gated: maybe\n  max_rows: 0\n  max_gb: lots",
            [
                "hugflow.yaml:2:3: datasets.organizations: there is no such field; did you mean `organisations`?",
                "hugflow.yaml:3:10: datasets.gated: must be `true` or `false`",
                "hugflow.yaml:4:13: datasets.max_rows: must be at least 1",
                "hugflow.yaml:5:11: datasets.max_gb: must be a number",
            ],
        ),
        (
            "removals: {approvers: steward}",
            ["hugflow.yaml:1:23: removals.approvers: must be a list, like `[one, two]`"],
        ),
        ("removals: {approvers: [1]}", ["hugflow.yaml:1:24: removals.approvers.0: must be text; quote it"]),
        ("removals: [1]", ["hugflow.yaml:1:11: removals: must be fields, each on a line of its own, indented"]),
    ],
)
def test_every_problem_is_named_with_its_place(text: str, expected: list[str]) -> None:
    assert problems(text) == expected


@pytest.mark.parametrize(
    "text", ["- a", "a: 1\na: 2", "a: &x 1\nb: *x", "---\na: 1\n---\nb: 1", "{", "x: !!python/x y"]
)
def test_yaml_that_is_refused_in_requests_is_refused_here(text: str) -> None:
    assert problems(text)


def test_a_wrong_policy_is_a_usage_error() -> None:
    with pytest.raises(InvalidPolicy) as caught:
        policy.parse(b"x: 1")
    assert caught.value.exit_code == ExitCode.USAGE


@given(st.binary(max_size=200))
def test_whatever_the_file_holds_there_is_an_answer(data: bytes) -> None:
    with contextlib.suppress(InvalidPolicy):
        assert isinstance(policy.parse(data), Policy)


def test_the_example_is_right_and_uses_every_field() -> None:
    example = policy.parse((ROOT / "examples" / "hugflow.yaml").read_bytes())
    for name, field in Policy.model_fields.items():
        section = getattr(example, name)
        assert section != field.default, name
        assert section.model_fields_set == set(type(section).model_fields), name


def test_every_field_stands_in_the_docs() -> None:
    documented = (ROOT / "docs" / "policy.md").read_text()
    for name, section in Policy.model_fields.items():
        for field, info in type(section.default).model_fields.items():
            assert f"| `{name}.{field}` |" in documented
            assert f"| {info.description} |" in documented
