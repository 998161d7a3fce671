"""Front matter: one field is set, and the rest of the text stays unchanged."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from huggingface_hub import RepoCard
from hypothesis import example, given
from hypothesis import strategies as st

from hugflow.card.front_matter import GONE, CardText, dump, parse, updated
from hugflow.model.errors import InvalidRequest

PEOPLE = """\
# ours; ask before you change it
license:   mit   # since 2023
language: [en,  'no']

tags:
    - b
    - "a"   # not alphabetical
# the configs come last
configs:
  # the first
  - config_name: en
    data_files: en/*.csv   # old

  - config_name: de
    data_files:
    - split: train
      path: 'de/*.csv'
# end
weird: !!str 12
date: 2024-01-01
long: |
  text
  # no comment
time: 12:30:45
"""


def set_(text: str, **fields: Any) -> str:
    return updated(text, fields, "\n")


def test_a_field_that_has_its_value_is_not_touched() -> None:
    assert set_(PEOPLE, license="mit", language=["en", "no"], tags=["b", "a"], absent=GONE) == PEOPLE


def test_one_field_is_replaced_where_it_stands() -> None:
    assert set_(PEOPLE, license="apache-2.0") == PEOPLE.replace("license:   mit   # since 2023", "license: apache-2.0")
    assert set_(PEOPLE, tags=["c"]) == PEOPLE.replace(
        'tags:\n    - b\n    - "a"   # not alphabetical\n', "tags:\n- c\n"
    )
    assert set_(PEOPLE, long="x") == PEOPLE.replace("long: |\n  text\n  # no comment\n", "long: x\n  # no comment\n")
    assert set_(PEOPLE, weird=GONE) == PEOPLE.replace("weird: !!str 12\n", "")
    assert set_(PEOPLE, new=1) == PEOPLE + "new: 1\n"
    assert set_(PEOPLE.rstrip(), new=1) == PEOPLE + "new: 1\n"


def test_one_item_of_a_list_is_replaced_where_it_stands() -> None:
    configs = yaml.safe_load(PEOPLE)["configs"]
    changed = set_(PEOPLE, configs=[{"config_name": "en", "data_files": "en/*.parquet"}, configs[1]])
    assert changed == PEOPLE.replace(
        "  - config_name: en\n    data_files: en/*.csv   # old\n", "  - config_name: en\n    data_files: en/*.parquet\n"
    )
    added = set_(PEOPLE, configs=[*configs, {"config_name": "fr", "data_files": []}])
    assert added == PEOPLE.replace("'de/*.csv'\n", "'de/*.csv'\n  - config_name: fr\n    data_files: []\n")
    removed = set_(PEOPLE, configs=configs[1:])
    assert removed == PEOPLE.replace("  - config_name: en\n    data_files: en/*.csv   # old\n", "")
    assert "# the first" in removed


def test_line_ends_stay_those_of_the_text() -> None:
    text = PEOPLE.replace("\n", "\r\n")
    changed = updated(text, {"license": "x", "tags": ["c"], "new": {"a": [1]}}, "\r\n")
    assert changed.count("\n") == changed.count("\r\n")
    assert changed.replace("\r\n", "\n") == set_(PEOPLE, license="x", tags=["c"], new={"a": [1]})


@pytest.mark.parametrize(
    "text",
    [
        "{license: mit, extra: 012}",
        "license: &l mit\nextra: *l\n",
        "? license\n: mit\nextra: 1\n",
        'license: "mit\n\n  x"\nextra: {a: [1, 2]}\n',
        "extra: 1\nlicense:\n# comment\n- mit\n",
        "license:\n- mit\n-\n  apache\nextra: 1\n",
        "'license': mit\nextra: ~\n",
    ],
)
def test_any_style_can_be_changed(text: str) -> None:
    before = yaml.safe_load(text)
    changed = set_(text, license="apache-2.0")
    assert yaml.safe_load(changed) == before | {"license": "apache-2.0"}
    assert set_(changed, license="apache-2.0") == changed
    assert yaml.safe_load(set_(text, license=GONE)) == {"extra": before["extra"]}


def test_values_keep_their_spelling_where_the_document_is_written_anew() -> None:
    text = "{license: mit, time: 12:30:45, octal: 012, hex: 0x1F, float: 1_000.5, text: 'no'}"
    changed = set_(text, license="x")
    for spelled in ("time: 12:30:45", "octal: 012", "0x1F", "1_000.5", "text: 'no'"):
        assert spelled in changed


@pytest.mark.parametrize("text", [None, "", "\n\n", "# only a comment\n"])
def test_an_empty_one_gets_its_first_field(text: str | None) -> None:
    assert parse(text) == {}
    assert updated(text, {"license": "mit"}, "\n") == (text if text and text.strip() else text or "") + "license: mit\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: b: c\n", "near its line 2"),
        ("ok: 1\n\tx: 1\n", "near its line 3"),
        ("a: !!python/object:os.system x\n", "no valid YAML"),
        ("- a\n", "not a mapping of field names"),
        ("just text\n", "not a mapping of field names"),
        ("1: a\n", "not a mapping of field names"),
        ("a: \x07\n", "no valid YAML"),
        ("[" * 5000, "no valid YAML"),
    ],
)
def test_what_is_no_front_matter_is_refused(text: str, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words) as error:
        updated(text, {"license": "mit"}, "\n")
    assert error.value.reason == "invalid_card"


# -- property: any document, any field -------------------------------------------------------------------------------

names = st.sampled_from(["license", "tags", "configs", "dataset_info", "note", "é", "a b", "no", "1"])
texts = st.text(st.characters(exclude_categories=("Cs", "Cc"), include_characters="\n\t"), max_size=12)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts | st.dates()
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=6
)
entries = st.lists(st.fixed_dictionaries({"config_name": st.sampled_from("abc"), "data_files": values}), max_size=3)
documents = st.dictionaries(names, values | entries, max_size=5)


def spelled(document: dict[str, Any], style: bool | None, comments: list[str]) -> str:
    text = yaml.safe_dump(document, default_flow_style=style, allow_unicode=True, sort_keys=False) if document else ""
    lines = text.splitlines(keepends=True)
    for index, comment in enumerate(comments):
        if style is False and lines and lines[(index * 7) % len(lines)][:1].isalpha():
            lines.insert((index * 7) % len(lines), f"# {comment}\n")
    return "".join(lines)


@given(
    documents,
    names,
    values | entries | st.just(GONE),
    st.sampled_from([None, False]),
    st.lists(st.just("why"), max_size=3),
)
@example({"note": "a\u2028b"}, "license", "mit", False, [])
@example({"note": float("nan")}, "license", "mit", False, [])
@example({"configs": [{"config_name": "a", "data_files": None}]}, "configs", [], False, ["why"])
def test_one_field_changes_and_no_other(
    document: dict[str, Any], name: str, value: Any, style: bool | None, comments: list[str]
) -> None:
    text = spelled(document, style, comments)
    changed = updated(text, {name: value}, "\n")
    expected = {key: each for key, each in (document | {name: value}).items() if each is not GONE}
    assert yaml.safe_dump(parse(changed), sort_keys=False) == yaml.safe_dump(expected, sort_keys=False)
    assert updated(changed, {name: value}, "\n") == changed
    if style is False:
        assert changed.count("# why") == text.count("# why")


# -- YAML for every parser -------------------------------------------------------------------------------------------


@given(values)
def test_what_is_dumped_is_read_again(value: Any) -> None:
    text = dump({"x": value})
    assert yaml.safe_dump(yaml.safe_load(text)) == yaml.safe_dump({"x": value})


@pytest.mark.parametrize(
    "text", ["no", "1e3", "0o17", "012", "1_000", "12:30:45", ".5", "0x1F", "1.2.3", "2024-01-01", "~", "-1e+5"]
)
def test_text_that_looks_like_something_else_is_quoted(text: str) -> None:
    assert dump({"x": text}) == f"x: '{text}'\n"


@pytest.mark.parametrize(
    "text", ["a\n---\nb", "---", "...", "\u2028---\u2028", "a\tb", "\x85", "\x0c", "{}", "- a", "# x", "a: b", "%x"]
)
def test_no_text_ends_the_front_matter(text: str) -> None:
    lines = dump({"x": [text], "y": {text: text}}).splitlines()
    assert "---" not in lines
    assert "..." not in lines
    card = RepoCard(f"---\n{dump({'x': text})}---\nbody\n")
    assert card.data.to_dict() == {"x": text}


# -- the parts of a card ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "matter", "body"),
    [
        ("---\na: 1\n---\nbody", "a: 1\n", "body"),
        ("---\r\na: 1\r\n---\r\nbody\r\n", "a: 1\r\n", "body\r\n"),
        ("\n\n---\na: 1\n---\n", "a: 1\n", ""),
        ("---\na: 1\n---", "a: 1\n", ""),
        ("---\n---\nbody\n---\nmore", "", "body\n---\nmore"),
        ("---  \na: 1\n--- \nbody", "a: 1\n", "body"),
        ("body\n---\na: 1\n---\n", None, "body\n---\na: 1\n---\n"),
        ("---\nan unclosed line", None, "---\nan unclosed line"),
        (" ---\na: 1\n---\n", None, " ---\na: 1\n---\n"),
        ("----\na: 1\n----\n", None, "----\na: 1\n----\n"),
        ("", None, ""),
        ("---\na: '\u2028---\u2028'\n---\nx", "a: '\u2028---\u2028'\n", "x"),
    ],
)
def test_a_card_is_taken_apart_where_the_hub_does(text: str, matter: str | None, body: str) -> None:
    for mark in ("", "\ufeff"):
        parts = CardText.of(mark + text)
        assert (parts.before, parts.matter, parts.body) == (mark, matter, body)


@given(st.text(st.sampled_from("-a: \n\r#"), max_size=30))
def test_where_the_hubs_library_finds_front_matter_so_do_we(text: str) -> None:
    parts = CardText.of(text)
    try:
        card = RepoCard(text)
    except (ValueError, yaml.YAMLError):
        return
    if card.text != text and not text.startswith(("---\n---", "---\r---")) and parts.matter is not None:
        assert (parse(parts.matter) if parts.matter else {}) == card.data.to_dict()
