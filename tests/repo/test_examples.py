"""The example requests are valid, and editors find their schema."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from hugflow.model.specs import SPECS, AddSpec
from hugflow.request.file import parse

ROOT = Path(__file__).resolve().parents[2]
REQUESTS = sorted(path for kind in SPECS for path in (ROOT / "examples" / kind).glob("*.yaml"))
MARK = "# yaml-language-server: $schema="


@pytest.mark.parametrize("path", REQUESTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_an_example_is_a_valid_request(path: Path) -> None:
    parse(path.read_bytes(), path.relative_to(ROOT).as_posix())


@pytest.mark.parametrize("path", REQUESTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_an_editor_finds_the_schema_of_an_example_and_accepts_it(path: Path) -> None:
    text = path.read_text("utf-8")
    first = text.splitlines()[0]
    assert first.startswith(MARK)
    schema = (path.parent / first.removeprefix(MARK)).resolve()
    assert schema == ROOT / "schemas" / f"{path.parent.name}.schema.json"
    jsonschema.validate(yaml.safe_load(text), json.loads(schema.read_bytes()))


def test_one_example_has_every_field_of_an_add() -> None:
    fields = yaml.safe_load((ROOT / "examples/add/every-field.yaml").read_text("utf-8"))
    assert set(fields) == set(AddSpec.model_fields)
