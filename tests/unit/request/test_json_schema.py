"""JSON Schemas: valid, current in the repository, and consistent with the specs."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from hugflow.model.spec_types import Kind
from hugflow.model.specs import SPECS
from hugflow.request.file import InvalidRequestFile, parse
from hugflow.request.json_schema import file_name, json_schema, text
from tests.support import generated

KINDS = sorted(SPECS)
VALIDATORS = {kind: jsonschema.Draft202012Validator(json_schema(kind)) for kind in SPECS}


@pytest.mark.parametrize("kind", KINDS)
def test_a_schema_is_one(kind: Kind) -> None:
    schema = json_schema(kind)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"] == f"Hugflow {kind} request"
    assert schema["description"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_described_and_nothing_else_is_allowed(kind: Kind) -> None:
    schema = json_schema(kind)
    assert list(schema["properties"]) == list(SPECS[kind].model_fields)
    for group in (schema, *schema.get("$defs", {}).values()):
        assert group["additionalProperties"] is False
        assert all(field["description"].endswith(".") for field in group["properties"].values())


@pytest.mark.parametrize("kind", KINDS)
def test_the_examples_are_right_for_the_schema_and_for_hugflow(kind: Kind) -> None:
    examples = json_schema(kind)["examples"]
    assert len(examples) >= 2
    for example in examples:
        VALIDATORS[kind].validate(example)
        parse(yaml.safe_dump(example, sort_keys=False).encode(), f"requests/{kind}/x.yaml")


@pytest.mark.parametrize("kind", KINDS)
def test_the_file_in_the_repository_is_fresh(kind: Kind) -> None:
    path = generated.ROOT / "schemas" / file_name(kind)
    assert path.read_text("utf-8") == text(kind), "run `python -m tests.support.generated`"
    assert json.loads(text(kind)) == json_schema(kind)


ADD = {"hf_id": "acme/speech", "description": "x"}
REMOVE = {"hf_id": "acme/speech", "reason": "x"}
PUBLISH = {"repo_id": "acme/x", "path": "data"}


@pytest.mark.parametrize(
    ("kind", "request_"),
    [
        ("add", {"hf_id": "acme/speech"}),
        ("add", ADD | {"hf_id": "speech"}),
        ("add", ADD | {"hf_id": "acme/speech/v2"}),
        ("add", ADD | {"hf_id": "acme/a--b"}),
        ("add", ADD | {"hf_id": "../speech"}),
        ("add", ADD | {"hf_id": "hf://acme/speech"}),
        ("add", ADD | {"hf_id": "a/" + "b" * 97}),
        ("add", ADD | {"hf_id": 123}),
        ("add", ADD | {"description": "  "}),
        ("add", ADD | {"description": "x" * 10_001}),
        ("add", ADD | {"revision": "a b"}),
        ("add", ADD | {"revision": "-x"}),
        ("add", ADD | {"revision": "a..b"}),
        ("add", ADD | {"revision": "a.lock"}),
        ("add", ADD | {"revision": 1.0}),
        ("add", ADD | {"revision": None}),
        ("add", ADD | {"subset": ""}),
        ("add", ADD | {"subset": "a/b"}),
        ("add", ADD | {"split": "train[:10%]"}),
        ("add", ADD | {"split": "train+test"}),
        ("add", ADD | {"audio_column": ""}),
        ("add", ADD | {"max_failed_rows": -1}),
        ("add", ADD | {"max_failed_rows": 1.5}),
        ("add", ADD | {"reencode": "yes"}),
        ("add", ADD | {"audio_colum": "x"}),
        ("remove", {"hf_id": "acme/speech"}),
        ("remove", REMOVE | {"target": "disk"}),
        ("remove", REMOVE | {"target": "hub"}),
        ("remove", REMOVE | {"target": "hub", "subset": None}),
        ("remove", REMOVE | {"target": "hub", "subset": "en", "split": "train"}),
        ("publish", {"repo_id": "acme/x"}),
        ("publish", PUBLISH | {"path": "../data"}),
        ("publish", PUBLISH | {"path": "/data"}),
        ("publish", PUBLISH | {"path": "s3://data"}),
        ("publish", PUBLISH | {"max_shard_size": "5"}),
        ("publish", PUBLISH | {"num_shards": 0}),
        ("publish", PUBLISH | {"interval": "daily"}),
        ("publish", PUBLISH | {"distinct": {"1st": "x"}}),
        ("publish", PUBLISH | {"quality": {"unique": []}}),
        ("publish", PUBLISH | {"quality": {"range": {"x": [1]}}}),
        ("publish", PUBLISH | {"quality": {"range": {"x": ["1", "2"]}}}),
        ("publish", PUBLISH | {"card": {"licence": "mit"}}),
        ("publish", {"repo_id": "acme/x", "tables": []}),
        ("publish", {"repo_id": "acme/x", "tables": [{"path": "x"}]}),
        ("publish", {"repo_id": "acme/x", "tables": [{"name": "x"}]}),
        ("publish", {"repo_id": "acme/x", "splits": {"te st": "x"}}),
        ("publish", {"repo_id": "acme/x", "from_storage": "acme/speech"}),
    ],
)
def test_an_editor_marks_what_hugflow_refuses(kind: Kind, request_: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SPECS[kind].model_validate(request_)
    assert not VALIDATORS[kind].is_valid(request_)


TEXTS = st.text(max_size=12) | st.text(st.sampled_from("ab/.-_ :[]+~@{}*v1éß\u3042\u00a0"), max_size=8)
RIGHT = st.sampled_from(
    ["acme/speech", "main", "train", "en", "data/x.csv", "500MB", "1d", "2 GiB", "refs/pr/1", "a.b"]
)
LEAVES = TEXTS | RIGHT | st.none() | st.booleans() | st.integers(-2, 9) | st.floats(-2, 9)
GROUPS = st.dictionaries(TEXTS | RIGHT, LEAVES | st.lists(LEAVES, max_size=3), max_size=3)


@settings(max_examples=500, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(st.sampled_from(KINDS), st.data())
def test_an_editor_marks_nothing_that_hugflow_accepts(kind: Kind, data: st.DataObject) -> None:
    right = {"add": ADD, "remove": REMOVE, "publish": PUBLISH}[kind]
    field = data.draw(st.sampled_from(list(SPECS[kind].model_fields)))
    request_ = right | {field: data.draw(LEAVES | GROUPS | st.lists(LEAVES | GROUPS, max_size=2))}
    try:
        SPECS[kind].model_validate(request_)
    except ValidationError:
        assume(False)
    assert list(VALIDATORS[kind].iter_errors(request_)) == []


# -- the page for people ---------------------------------------------------------------------------------------------

PAGE = (generated.ROOT / "docs" / "requests.md").read_text("utf-8")


def test_the_tables_of_the_page_are_fresh() -> None:
    path = generated.ROOT / "docs" / "requests.md"
    assert generated.generated()[path] == PAGE, "run `python -m tests.support.generated`"
    for kind in SPECS:
        assert all(f"| `{field}` |" in PAGE for field in SPECS[kind].model_fields)


def test_the_requests_on_the_page_are_right() -> None:
    checked = 0
    for heading, section in re.findall(r"^## (\w+)\n(.*?)(?=^## )", PAGE, re.DOTALL | re.MULTILINE):
        kind = heading.lower()
        if kind in SPECS:
            for block in re.findall(r"```yaml\n(.*?)```", section, re.DOTALL):
                parse(block.encode(), f"requests/{kind}/x.yaml")
                checked += 1
    assert checked == 6


def test_the_wrong_request_on_the_page_is_answered_as_it_says() -> None:
    wrong, answer = re.findall(r"## Error messages\n.*?```yaml\n(.*?)```.*?```text\n(.*?)```", PAGE, re.DOTALL)[0]
    with pytest.raises(InvalidRequestFile) as caught:
        parse(wrong.encode(), "requests/add/speech.yaml")
    assert "".join(f"{problem}\n" for problem in caught.value.problems) == answer


def test_the_values_that_need_quotes_need_them() -> None:
    rows = re.findall(r"^\| `([^`]+)` \| [^|]+ \| `([^`]+)` \|$", PAGE, re.MULTILINE)
    assert len(rows) == 6
    for wrong, right in rows:
        rest = "hf_id: acme/speech\n" + ("" if right.startswith("description") else "description: x\n")
        parse(f"{rest}{right}\n".encode(), "requests/add/x.yaml")
        with pytest.raises(InvalidRequestFile):
            parse(f"{rest}{wrong}\n".encode(), "requests/add/x.yaml")
