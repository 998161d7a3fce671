"""Request files with any bytes: a spec, or problems inside the file, in plain words."""

from __future__ import annotations

import re

import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hugflow.model.spec_types import Kind
from hugflow.model.specs import SPECS, AddSpec, PublishSpec, RemoveSpec
from hugflow.request.file import InvalidRequestFile, ParsedRequest, parse
from hugflow.request.yaml_tree import Position, Scalar
from hugflow.request.yaml_values import Reading, reading

JARGON = re.compile(r"pydantic|[Ii]nput should|while (scanning|parsing)|<[a-z ]+>|\bNone\b|UNCLEAR|is not YAML|\[key\]")
KINDS = st.sampled_from(sorted(SPECS))
TOKENS = (
    "hf_id description revision subset split tables name path quality range card reason target hub repo_id acme/x "
    "null yes 1 1e3 0x1 2024-01-01 --- ... << ~ %YAML !!str &a *a .. ../ \\x \\U \\u = é 😀"
)
PIECES = st.sampled_from([*TOKENS.split(), *":-[]{},?!&*|>%@`'\"\\# \n\t\x85\u2028\ufeff\x00\x1b\u202e"])
YAML_LIKE = st.lists(PIECES | st.just("\n") | st.just(" ") | st.just(": "), max_size=40).map("".join)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def check(text: bytes, kind: Kind) -> None:
    """The promise that the module makes for any bytes."""
    path = f"requests/{kind}/x.yaml"
    try:
        request: ParsedRequest | InvalidRequestFile = parse(text, path)
    except InvalidRequestFile as error:
        request = error
    if isinstance(request, ParsedRequest):
        assert request.kind == kind
    else:
        assert request.problems
        check_problems(request, _lines(text))


def check_problems(error: InvalidRequestFile, lines: list[str]) -> None:
    for problem in error.problems:
        assert 1 <= problem.line <= len(lines), problem
        assert 1 <= problem.column <= len(lines[problem.line - 1]) + 1, problem
        assert problem.field
        assert problem.field.isprintable()
        assert problem.message.isprintable()
        assert str(problem).isprintable()
        assert not JARGON.search(problem.message), problem


def _lines(text: bytes) -> list[str]:
    return re.split(r"\r\n|\n|\r", text.decode("utf-8-sig", "replace"))


@given(st.binary(max_size=200), KINDS)
@example(b"\xef\xbb\xbf\xff", "add")
@example("hf_id: x".encode("utf-16"), "add")
def test_any_bytes(text: bytes, kind: Kind) -> None:
    check(text, kind)


@settings(max_examples=600)
@given(YAML_LIKE, KINDS)
@example('a: "\\UFFFFFFFF"', "add")
@example("%YAML 1." + "9" * 5000 + "\n---\na: b", "add")
@example("a: " + "9" * 5000, "add")
@example("a: 1e999", "add")
@example('"\\ud800": "\\ud800"', "remove")
@example("? {a: b}\n: c", "add")
@example("hf_id: {? [a] : b, ? c}", "add")
@example("a: !!binary x\nb: !", "publish")
@example(": x", "add")
def test_anything_like_yaml(text: str, kind: Kind) -> None:
    check(text.encode("utf-8"), kind)


@given(st.dictionaries(st.sampled_from([*AddSpec.model_fields, *RemoveSpec.model_fields]), VALUES, max_size=6), KINDS)
def test_any_values_in_known_fields(values: dict[str, object], kind: Kind) -> None:
    check(yaml.safe_dump(values, allow_unicode=True).encode("utf-8", "replace"), kind)


@given(st.dictionaries(st.sampled_from(list(PublishSpec.model_fields)), VALUES, max_size=6))
def test_any_values_in_fields_of_publish(values: dict[str, object]) -> None:
    check(yaml.safe_dump({"repo_id": "acme/x", **values}).encode(), "publish")


@given(
    st.dictionaries(st.sampled_from(["hf_id", "description", "reason", "split", "subset"]), VALUES, max_size=6), KINDS
)
def test_truncated_files(values: dict[str, object], kind: Kind) -> None:
    text = yaml.safe_dump(values).encode()
    check(text[: len(text) // 2], kind)


WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30).filter(str.strip)
ADDS = st.builds(
    AddSpec,
    hf_id=st.from_regex(r"[a-z0-9][a-z0-9.]{0,9}[a-z0-9]/[A-Za-z0-9_]{1,20}", fullmatch=True).filter(
        lambda value: ".." not in value
    ),
    description=WORDS,
    revision=st.from_regex(r"[0-9a-z]{1,12}", fullmatch=True) | st.just("refs/pr/3"),
    subset=st.none() | st.from_regex(r"[A-Za-z0-9_.-]{1,9}", fullmatch=True),
    split=st.from_regex(r"[a-z0-9_]{1,9}", fullmatch=True),
    max_failed_rows=st.integers(0, 10**9),
    reencode=st.booleans(),
)


@given(ADDS, st.booleans())
def test_what_is_written_with_quotes_is_read_again(spec: AddSpec, allow_unicode: bool) -> None:
    given_fields = spec.model_dump()
    lines = [
        f"{field}: {yaml.safe_dump(value, default_style=_quotes(value), width=10_000, allow_unicode=allow_unicode)}"
        for field, value in given_fields.items()
    ]
    text = "\n".join(line.replace("...\n", "") for line in lines)
    assert parse(text.encode(), "requests/add/x.yaml").spec == spec


def _quotes(value: object) -> str | None:
    return '"' if isinstance(value, str) else None


SCALARS = st.text(st.sampled_from("0123456789abefox_+-.:eE TZ~nulystrofaINF="), min_size=1, max_size=12)


@settings(max_examples=2000)
@given(SCALARS)
@example("0o17")
@example("1_000")
@example("190:20:30")
@example("2001-12-14t21:59:43.10-05:00")
@example(".5")
@example("+.inf")
@example("1.5e+3")
@example("0b11")
@example("=")
def test_what_pyyaml_reads_as_something_else_is_never_taken_for_text(text: str) -> None:
    tag = yaml.SafeLoader("").resolve(yaml.ScalarNode, text, (True, False))
    if tag not in ("tag:yaml.org,2002:str", "tag:yaml.org,2002:value", "tag:yaml.org,2002:merge"):
        assert reading(Scalar(Position(1, 1), text, plain=True)) is not Reading.TEXT


CORE = re.compile(  # the core schema of YAML 1.2, section 10.3.2
    r"null|Null|NULL|~|true|True|TRUE|false|False|FALSE|[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"
    r"|[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?(\.inf|\.Inf|\.INF)|\.nan|\.NaN|\.NAN"
)


@settings(max_examples=2000)
@given(SCALARS | st.from_regex(CORE, fullmatch=True))
def test_what_yaml_1_2_reads_as_something_else_is_never_taken_for_text(text: str) -> None:
    if CORE.fullmatch(text):
        assert reading(Scalar(Position(1, 1), text, plain=True)) is not Reading.TEXT
