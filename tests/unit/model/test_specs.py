"""Specs of add and remove requests, and the names that datasets have in storage."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from hugflow.model.specs import MAX_NAME_BYTES, SPECS, AddSpec, DatasetIdentity, RemoveSpec, storage_name

ADD = {"hf_id": "acme/speech", "description": "Read speech"}
REMOVE = {"hf_id": "acme/speech", "reason": "Replaced"}

ID_PARTS = st.from_regex(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?", fullmatch=True).filter(
    lambda part: ".." not in part and "--" not in part and not part.endswith(".git")
)
HF_IDS = st.tuples(ID_PARTS, ID_PARTS).map("/".join)
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
NASTY = st.text(st.sampled_from("_~-./aA\u00e9e\u0301 \\%"), max_size=12)
NAMES = ANY_TEXT | NASTY
IDENTITIES = st.tuples(HF_IDS, st.none() | NAMES, NAMES, NAMES)


def test_defaults_of_an_add_request() -> None:
    assert AddSpec(**ADD).model_dump() == ADD | {
        "revision": "main",
        "subset": None,
        "split": "train",
        "audio_column": "audio",
        "text_column": "text",
        "max_failed_rows": 0,
        "reencode": False,
    }


def test_defaults_of_a_remove_request() -> None:
    narrowings = {"subset": None, "split": None, "revision": None}
    assert RemoveSpec(**REMOVE).model_dump() == REMOVE | narrowings | {"target": "storage"}


def test_a_request_knows_what_it_named_itself() -> None:
    spec = AddSpec(**ADD, audio_column="audio")
    assert spec.names("audio_column")
    assert not spec.names("text_column")


def test_specs_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        AddSpec(**ADD).split = "test"  # type: ignore[misc]  # that is the test


def test_every_kind_has_its_spec() -> None:
    assert {kind: spec.kind for kind, spec in SPECS.items()} == {kind: kind for kind in ("add", "remove", "publish")}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("hf_id", "acme/speech"),
        ("hf_id", "_a/b.c-d_e"),
        ("hf_id", "a" * 96 + "/" + "b" * 96),
        ("revision", "refs/pr/3"),
        ("revision", "feature/ü-1.0"),
        ("revision", "0123456789abcdef0123456789abcdef01234567"),
        ("subset", "Norsk bokmål (no)"),
        ("split", "validation.clean"),
        ("split", "テスト"),
        ("audio_column", "my audio [wav]"),
        ("description", "Two lines\n\tand a tab"),
        ("max_failed_rows", 10**12),
    ],
)
def test_right_values(field: str, value: object) -> None:
    assert getattr(AddSpec(**ADD | {field: value}), field) == value


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("hf_id", "acme//speech", "with one slash"),
        ("hf_id", "acme/speech/", "with one slash"),
        ("hf_id", "-acme/speech", "beginning and ending"),
        ("hf_id", "acme/speech.", "beginning and ending"),
        ("hf_id", "acme/sp--eech", "without `--`"),
        ("hf_id", "acme/café", "letters, digits"),
        ("hf_id", "acme/speech.git", "without `.git`"),
        ("hf_id", "a" * 97 + "/b", "at most 96"),
        ("hf_id", "s3://acme/speech", "not an address"),
        ("hf_id", "datasets/acme/speech", "the id alone: `acme/speech`"),
        ("revision", "", "a branch, a tag"),
        ("revision", "a b", "a branch, a tag"),
        ("revision", "a\u202eb", "a branch, a tag"),
        ("revision", "a@{1}", "a branch, a tag"),
        ("revision", "@", "valid Git revision"),
        ("revision", "main.", "no trailing `.`"),
        ("revision", "a..b", "no `..`"),
        ("revision", "/main", "nothing empty"),
        ("revision", "a//b", "nothing empty"),
        ("revision", "a/.b", "no leading `.`"),
        ("revision", "a.lock/b", "no `.lock`"),
        ("revision", "a" * 256, "at most 255"),
        ("subset", " en", "begin or end with a space"),
        ("subset", "e\nn", "without control characters"),
        ("split", "train-clean", "letters, digits"),
        ("split", "train.", "letters, digits"),
        ("split", "train\n", "letters, digits"),
        ("text_column", "  ", "not empty"),
        ("text_column", "a\x00b", "without control characters"),
        ("description", " \n ", "must not be empty"),
        ("description", "a\x00b", "without NUL"),
    ],
)
def test_wrong_values(field: str, value: object, sentence: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(sentence)) as caught:
        AddSpec(**ADD | {field: value})
    assert [error["loc"] for error in caught.value.errors()] == [(field,)]


def test_problems_between_fields_come_together_with_those_of_fields() -> None:
    with pytest.raises(ValidationError) as caught:
        RemoveSpec.model_validate({"hf_id": "speech", "target": "hub", "split": "train", "extra": 1})
    assert {error["loc"] for error in caught.value.errors()} == {
        ("hf_id",),
        ("reason",),
        ("target",),
        ("split",),
        ("extra",),
    }


def test_errors_of_specs_do_not_show_values() -> None:
    with pytest.raises(ValidationError) as caught:
        AddSpec(**ADD | {"revision": "a hidden value"})
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    ("narrowing", "matches"),
    [
        ({}, True),
        ({"subset": "fr"}, True),
        ({"subset": "en"}, False),
        ({"split": "train", "revision": "main"}, True),
        ({"split": "test"}, False),
        ({"revision": "v1"}, False),
        ({"hf_id": "acme/other"}, False),
    ],
)
def test_a_remove_request_matches(narrowing: dict[str, str], matches: bool) -> None:
    identity = DatasetIdentity(hf_id="acme/speech", subset="fr", split="train", revision="main")
    assert RemoveSpec(**REMOVE | narrowing).matches(identity) is matches


def test_names_in_storage() -> None:
    assert AddSpec(**ADD).name == "acme__speech__split_train__rev_main"
    spec = AddSpec(**ADD, subset="a/b".replace("/", " "), revision="refs/pr/3")
    assert spec.name == "acme__speech__subset_a~20b__split_train__rev_refs~2fpr~2f3"
    assert DatasetIdentity.of(spec).name == spec.name


@given(IDENTITIES)
@example(("acme/speech", "..", "train", "a" * 255))
def test_a_name_is_one_safe_path_component(identity: tuple[str, str | None, str, str]) -> None:
    name = storage_name(*identity)
    assert re.fullmatch(r"[A-Za-z0-9_~][A-Za-z0-9._~-]*", name)
    assert len(name.encode()) <= MAX_NAME_BYTES
    assert name not in (".", "..")
    assert unicodedata.is_normalized("NFC", name)


@given(IDENTITIES, IDENTITIES)
@example(("a/b", "c__split_d", "e", "f"), ("a/b", "c", "d__split_e", "f"))
@example(("a/b", None, "x", "y__z"), ("a/b", None, "x__rev_y", "z"))
@example(("a_/b", None, "x", "y"), ("a/_b", None, "x", "y"))
@example(("a/b", "_", "x", "y"), ("a/b", "__", "x", "y"))
@example(("a/b", "~20", "x", "y"), ("a/b", " ", "x", "y"))
@example(("a/b", None, "\u00e9", "y"), ("a/b", None, "e\u0301", "y"))
@example(("a/b", None, "x", "y" * 250), ("a/b", None, "x", "y" * 251))
def test_different_datasets_have_different_names(
    one: tuple[str, str | None, str, str], two: tuple[str, str | None, str, str]
) -> None:
    assert (storage_name(*one) == storage_name(*two)) == (one == two)
