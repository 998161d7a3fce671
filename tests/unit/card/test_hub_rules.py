"""The Hub's rules for a card's front matter, applied before the upload, with suggestions for corrections."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import pytest
from datasets.utils.metadata import known_task_ids

from hugflow.card.hub_rules import LICENCES, TASKS, CardProblem, check, check_fields, size_category
from hugflow.model.publish_spec import Card

RESOURCES = Path(datasets.__file__).parent / "utils" / "resources"


def one(**fields: Any) -> CardProblem:
    (problem,) = check(Card(**fields))
    return problem


@pytest.mark.parametrize(
    ("licence", "meant"),
    [
        ("Apache-2.0", "apache-2.0"),
        ("Apache License 2.0", "apache-2.0"),
        ("apache 2", "apache-2.0"),
        ("MIT", "mit"),
        ("The MIT License", "mit"),
        ("CC BY 4.0", "cc-by-4.0"),
        ("cc-by4.0", "cc-by-4.0"),
        ("CC0", "cc0-1.0"),
        ("GPLv3", "gpl-3.0"),
        ("gpl-v3.0", "gpl-3.0"),
        ("BSD-3", "bsd-3-clause"),
        ("ODbL", "odbl"),
    ],
)
def test_a_licence_that_was_meant_is_named(licence: str, meant: str) -> None:
    problem = one(license=licence)
    assert (problem.field, problem.level) == ("card.license", "error")
    assert problem.message.endswith(f"did you mean `{meant}`?")


def test_a_licence_like_no_other_is_another() -> None:
    assert "write `other`, and its name as `license_name`" in one(license="ours, ask us").message
    assert one(license="other").field == "card.license_name"
    assert check(Card(license="other", license_name="acme-data-1.0")) == ()
    assert check(Card(license_name="x")) == ()


@pytest.mark.parametrize("fields", [{"license": each} for each in sorted(LICENCES - {"other"})])
def test_every_licence_of_the_hub_is_right(fields: dict[str, str]) -> None:
    assert check(Card(**fields)) == ()


@pytest.mark.parametrize(
    ("language", "meant"),
    [
        ("English", "en"),
        ("en-US", "en"),
        ("pt_BR", "pt"),
        ("EN", "en"),
        ("german", "de"),
        ("jp", "ja"),
        ("frensh", "fr"),
        ("ua", "uk"),
        ("zh-Hans", "zh"),
    ],
)
def test_a_language_that_was_meant_is_named(language: str, meant: str) -> None:
    problem = one(language=[language])
    assert (problem.field, problem.level) == ("card.language", "error")
    assert problem.message.endswith(f"did you mean `{meant}`?")


def test_languages_that_are_none() -> None:
    assert one(language=["xx"]).message.endswith("like `en` or `yue`")
    assert [each.field for each in check(Card(language=["en", "Klingon!", "q"]))] == ["card.language"] * 2


def test_the_languages_of_the_hub_are_right() -> None:
    known = json.loads((RESOURCES / "languages.json").read_bytes())
    assert check(Card(language=[*known, "code", "multilingual"])) == ()


def test_a_task_that_is_not_known_is_a_warning() -> None:
    problem = one(task_categories=["automatic speech recognition"])
    assert (problem.field, problem.level) == ("card.task_categories", "warning")
    assert "did you mean `automatic-speech-recognition`?" in problem.message
    assert one(task_categories=["zzz"]).message.endswith("that we know of")
    assert check(Card(task_categories=sorted(TASKS))) == ()
    assert len(set(known_task_ids) - TASKS) < 4  # two that the Hub has given up, and `conversational`


@pytest.mark.parametrize(
    ("rows", "category"),
    [
        (0, "n<1K"),
        (999, "n<1K"),
        (1_000, "1K<n<10K"),
        (9_999, "1K<n<10K"),
        (10_000, "10K<n<100K"),
        (999_999, "100K<n<1M"),
        (10**6, "1M<n<10M"),
        (10**9, "1B<n<10B"),
        (10**12 - 1, "100B<n<1T"),
        (10**12, "n>1T"),
    ],
)
def test_sizes_are_the_hubs_words(rows: int, category: str) -> None:
    assert size_category(rows) == category
    assert category in json.loads((RESOURCES / "size_categories.json").read_bytes())
    assert list(check_fields({"size_categories": [category]})) == []


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"language": False}, []),  # what YAML makes of an unquoted `no`
        ({"language": [False, "en"]}, []),
        ({"language": {"a": 1}}, ["language"]),
        ({"license": ["mit", "apache-2.0"]}, []),
        ({"license": 1.0}, ["license"]),
        ({"size_categories": ["1K"]}, ["size_categories"]),
        ({"size_categories": None, "license": None, "tags": 5}, []),
    ],
)
def test_front_matter_of_any_hand(fields: dict[str, Any], found: list[str]) -> None:
    assert [each.field for each in check_fields(fields)] == found


def test_what_others_wrote_is_shown_harmless() -> None:
    assert "\n" not in "".join(each.message for each in check_fields({"license": "a`\n\x1b[2J" * 99}))
