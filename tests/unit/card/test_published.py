"""The card of a published dataset: `datasets` and the Hub read it, and text by people is kept."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from datasets import Array2D, Audio, ClassLabel, Features, Image, LargeList, List, Translation, Value
from datasets.info import DatasetInfosDict
from datasets.utils.metadata import MetadataConfigs
from huggingface_hub import DatasetCard
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from hugflow.card.feature_text import yaml_list
from hugflow.card.published import CardConfig, CardSplit, build, files_of, without_config
from hugflow.card.spec_json import DateRange, SpecJson, SplitSize, TableEntry, columns_of, merge, without
from hugflow.model.errors import InvalidRequest
from hugflow.model.publish_spec import Card

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "publish"
NOW = datetime(2026, 3, 1, tzinfo=UTC)
REPO = "acme/market-data"
PLAIN = Features({"t": Value("timestamp[us, tz=UTC]"), "close": Value("float64")})


def config(name: str = "default", rows: int = 1_234, splits: tuple[str, ...] = ("train",), **kinds: Any) -> CardConfig:
    features = Features(kinds) if kinds else PLAIN
    made = tuple(CardSplit(split, rows, 2, rows * 16, rows * 9) for split in splits)
    return CardConfig(name, "data" if name == "default" else name, features.to_dict(), made)


def entry(made: CardConfig, **changes: Any) -> TableEntry:
    fields: dict[str, Any] = {
        "name": made.name,
        "row_count": sum(split.rows for split in made.splits),
        "size_bytes": sum(split.size_bytes for split in made.splits),
        "columns": columns_of(made.features),
        "splits": {split.name: SplitSize(row_count=split.rows, size_bytes=split.size_bytes) for split in made.splits},
        "missing_cells": 0,
    }
    return TableEntry(**fields | changes)


def spec(*configs: CardConfig, old: SpecJson | None = None, **changes: Any) -> SpecJson:
    return merge(old, [entry(made, **changes) for made in configs], NOW)


def built(old: bytes | None, *configs: CardConfig, card: Card | None = None, **changes: Any) -> bytes:
    made = spec(*configs, **changes)
    return build(old, REPO, "Daily prices, made up.", card or Card(), configs, made).content


def front(content: bytes) -> dict[str, Any]:
    value: dict[str, Any] = DatasetCard(content.decode("utf-8-sig")).data.to_dict()
    return value


# -- whole cards -----------------------------------------------------------------------------------------------------

FULL = Card(
    license="cc-by-4.0",
    language=("en", "no"),
    tags=("market-data", "1e3", "market-data"),
    task_categories=("time-series-forecasting",),
    pretty_name="Prices: made up",
    citation="@misc{acme,\n  title = {Prices},\n}",
)
CANDLES = config(
    "ohlcv_daily",
    t=Value("timestamp[us, tz=UTC]"),
    exchange=ClassLabel(names=["north", "south"]),
    close=Value("float64"),
)
FUNDING = config("funding", 99, ("train", "test"))
PERIOD = DateRange(start="2020-01-01T00:00:00Z", end="2026-02-28T00:00:00Z")
PEOPLE = """\
\ufeff---
# kept
license: mit # kept
language: no
configs:
- config_name: theirs
  data_files: theirs/*.csv  # kept
dataset_info:
  config_name: theirs
  splits:
  - name: train
    num_bytes: 5
    num_examples: 2000000
---
# Prices of *all* exchanges\x20

```yaml
---
x: 1
---
```

Last words\t""".replace("\n", "\r\n")


def people(**changes: Any) -> bytes:
    return built(PEOPLE.encode(), CANDLES, FUNDING, date_range=PERIOD, **changes)


GOLDENS = {
    "card_new.md": lambda: built(
        None, CANDLES, FUNDING, card=FULL, date_range=PERIOD, description="Daily | candles,\n*all* of them"
    ),
    "card_single.md": lambda: built(None, config(splits=("train", "test"))),
    "card_of_people.md": people,
}


@pytest.mark.parametrize("name", GOLDENS)
def test_a_whole_card(name: str) -> None:
    assert GOLDENS[name]() == (GOLDEN / name).read_bytes(), f"see what changed in {name}"


def test_what_people_wrote_is_kept_byte_for_byte() -> None:
    body = PEOPLE.partition("---\r\n#")[2].partition("---\r\n")[2].encode()
    new = people()
    assert body in new
    assert new.startswith("\ufeff---\r\n# kept\r\nlicense: mit # kept\r\nlanguage: no\r\n".encode())
    assert b"  data_files: theirs/*.csv  # kept\r\n" in new
    assert new.count(b"\n") == new.count(b"\r\n")
    assert front(new)["size_categories"] == ["1M<n<10M"]  # with their two million rows


@pytest.mark.parametrize("name", GOLDENS)
def test_the_same_again_gives_the_same_bytes(name: str) -> None:
    once = GOLDENS[name]()
    configs = (config(splits=("train", "test")),) if name == "card_single.md" else (CANDLES, FUNDING)
    changes: dict[str, Any] = {} if name == "card_single.md" else {"date_range": PERIOD}
    if name == "card_new.md":
        changes |= {"card": FULL, "description": "Daily | candles,\n*all* of them"}
    assert built(once, *configs, **changes) == once


def test_one_table_alone_changes_only_what_is_its_own() -> None:
    first = build(None, REPO, "x", FULL, (CANDLES, FUNDING), spec(CANDLES, FUNDING))
    new = config("funding", 5_000, ("train",))
    second = build(first.content, REPO, "other", Card(), (new,), spec(new, old=spec(CANDLES, FUNDING))).content
    before, after = front(first.content), front(second)
    assert after["configs"][0] == before["configs"][0]
    assert after["dataset_info"][0] == before["dataset_info"][0]
    assert [split["split"] for split in after["configs"][1]["data_files"]] == ["train"]
    assert after["dataset_info"][1]["splits"] == [{"name": "train", "num_bytes": 80_000, "num_examples": 5_000}]
    assert {key: after[key] for key in ("license", "language", "tags", "pretty_name")} == {
        key: before[key] for key in ("license", "language", "tags", "pretty_name")
    }
    assert b"@misc{acme" in second
    assert b"5\xc2\xa0000" in second
    assert b"other" not in second


def test_fields_that_are_named_replace_those_that_were() -> None:
    old = b"---\nlicense: other\nlicense_name: ours\nlicense_link: LICENSE\ntags: [a]\nextra: 1\n---\n# x\n"
    named = front(built(old, config(), card=Card(license="mit", tags=("b",))))
    assert (named["license"], named["tags"], named["extra"]) == ("mit", ["b"], 1)
    assert not {"license_name", "license_link"} & set(named)
    kept = front(built(old, config()))
    assert (kept["license"], kept["license_name"], kept["license_link"]) == ("other", "ours", "LICENSE")


# -- what the Hub and `datasets` read --------------------------------------------------------------------------------

SCALARS = [
    Value("int64"),
    Value("string"),
    Value("timestamp[us, tz=UTC]"),
    Value("decimal128(10, 2)"),
    Audio(),
    Image(),
]
SCALARS += [
    Audio(sampling_rate=16_000),
    ClassLabel(names=["no", "1"]),
    Array2D((2, 3), "float32"),
    Translation(["de", "en"]),
]
kinds = st.recursive(
    st.sampled_from(SCALARS),
    lambda inner: (
        st.builds(List, inner)
        | st.builds(LargeList, inner)
        | st.builds(List, inner, length=st.integers(1, 4))
        | st.dictionaries(st.text("ab-", min_size=1, max_size=3), inner, min_size=1, max_size=3)
    ),
    max_leaves=5,
)


@given(st.dictionaries(st.text(min_size=1, max_size=4).filter(str.strip), kinds, max_size=4))
@settings(max_examples=200)
def test_features_are_written_as_datasets_writes_them(fields: dict[str, Any]) -> None:
    features = Features(fields)
    assert yaml_list(features.to_dict()) == features._to_yaml_list()


def test_datasets_reads_features_splits_and_configs() -> None:
    made = config(
        "default",
        10,
        ("train", "dev.x"),
        audio=Audio(),
        label=ClassLabel(names=["no", "1e3", "---"]),
        n=List(Value("int8")),
    )
    other = config("other")
    data = DatasetCard(built(None, made, other).decode()).data
    infos = DatasetInfosDict.from_dataset_card_data(data)
    assert infos["default"].features == Features(
        audio=Audio(), label=ClassLabel(names=["no", "1e3", "---"]), n=List(Value("int8"))
    )
    assert {name: split.num_examples for name, split in infos["default"].splits.items()} == {"train": 10, "dev.x": 10}
    assert (infos["default"].download_size, infos["default"].dataset_size) == (180, 320)
    configs = MetadataConfigs.from_dataset_card_data(data)
    assert list(configs) == ["default", "other"]
    assert configs["default"]["data_files"][1] == {"split": "dev.x", "path": "data/dev.x-*-of-00002.parquet"}
    assert configs.get_default_config_name() == "default"


def test_datasets_would_write_the_same_entries() -> None:
    for configs in ((config(),), (config("en"),), (config("en"), config("fr"))):
        data = DatasetCard(built(None, *configs).decode()).data
        ours = data.to_dict()["dataset_info"]
        DatasetInfosDict.from_dataset_card_data(data).to_dataset_card_data(data)
        assert data.to_dict()["dataset_info"] == ours


@pytest.mark.parametrize(
    "name", ["default", "ohlcv_daily", "a[b]", "x*".replace("*", "!"), "über #1 & 50%", "a@b", "{x,y}", "it's"]
)
def test_only_the_shards_of_the_present_are_loaded(name: str, tmp_path: Path) -> None:
    """A folder with a stale set of shards, an earlier version and other splits beside them."""
    folder = "data" if name == "default" else name
    for path, value in {
        f"{folder}/train-00000-of-00002.parquet": 1,
        f"{folder}/train-00001-of-00002.parquet": 2,
        f"{folder}/train-00000-of-00003.parquet": 9,
        f"{folder}/train-00002-of-00003.parquet": 9,
        f"{folder}/train.x-00000-of-00002.parquet": 9,
        f"{folder}/train-old.parquet": 9,
        f"v1/{folder}/train-00000-of-00002.parquet": 9,
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(
            pa.table({"t": pa.array([None], pa.timestamp("us", "UTC")), "close": [float(value)]}), tmp_path / path
        )
    made = CardConfig(name, folder, PLAIN.to_dict(), (CardSplit("train", 2, 2, 32, 10),))
    (tmp_path / "README.md").write_bytes(built(None, made, CardConfig("z", "z", PLAIN.to_dict(), ())))
    loaded = datasets.load_dataset(str(tmp_path), name, cache_dir=str(tmp_path / "cache"))
    assert list(loaded) == ["train"]
    assert loaded["train"]["close"][:] == [1.0, 2.0]
    assert loaded["train"].features == PLAIN


def test_a_pattern_names_the_number_of_shards() -> None:
    assert files_of("data", "train", 12) == "data/train-*-of-00012.parquet"


def test_an_entry_keeps_what_does_not_speak_of_files() -> None:
    fields = b"data_files: '*.csv', data_dir: old, default: true, mine: 1"
    old = b"---\nconfigs:\n- {config_name: default, " + fields + b"}\n---\n"
    assert front(built(old, config()))["configs"] == [
        {
            "config_name": "default",
            "data_files": [{"split": "train", "path": "data/train-*-of-00002.parquet"}],
            "default": True,
            "mine": 1,
        }
    ]


def test_one_entry_of_dataset_info_becomes_two() -> None:
    old = built(None, config(rows=5))
    assert "config_name" not in front(old)["dataset_info"]
    both = front(built(old, config("en")))["dataset_info"]
    assert [info["config_name"] for info in both] == ["default", "en"]
    assert both[0]["splits"][0]["num_examples"] == 5


# -- what is refused -------------------------------------------------------------------------------------------------


def test_what_the_hub_would_refuse_is_refused_before() -> None:
    with pytest.raises(InvalidRequest, match=r"did you mean `apache-2\.0`") as error:
        built(None, config(), card=Card(license="Apache 2.0", language=("english",)))
    assert (error.value.field, error.value.reason) == ("card.license", "invalid_card")
    assert "did you mean `en`" in str(error.value)
    with pytest.raises(InvalidRequest, match="needs a name of its own"):
        built(None, config(), card=Card(license="other"))


def test_what_people_wrote_wrong_is_a_warning() -> None:
    card = build(b"---\nlicense: ours\n---\n", REPO, None, Card(task_categories=("asr",)), (config(),), spec(config()))
    assert [warning.split(":")[0] for warning in card.warnings] == [
        "README.md, `license`",
        "README.md, `task_categories`",
    ]


def test_two_default_configs_are_refused() -> None:
    old = b"---\nconfigs:\n- config_name: en\n  data_files: en/*\n  default: true\n---\n"
    with pytest.raises(InvalidRequest, match="several defaults: en, default"):
        built(old, config())
    built(old, config("fr"))


@pytest.mark.parametrize(
    "old", [b"---\nconfigs: {a: 1}\n---\n", b"---\ndataset_info: x\n---\n", b"---\na: b: c\n---\n"]
)
def test_a_card_that_cannot_be_understood_is_not_overwritten(old: bytes) -> None:
    with pytest.raises(InvalidRequest, match=r"Correct README\.md on the Hub") as error:
        built(old, config())
    assert error.value.reason == "invalid_card"
    with pytest.raises(InvalidRequest):
        without_config(old, REPO, "default", None)


# -- sections in their places ----------------------------------------------------------------------------------------


def test_sections_stay_where_people_move_them() -> None:
    text = built(None, config()).decode()
    parts = dict(re.findall(r"(?s)(?=<!-- hugflow:begin (\w+) -->)(.*?<!-- hugflow:end \1 -->)", text))
    moved = f"---\n---\nfirst\n\n{parts['usage']}\nbetween {parts['tables']} after\n"
    new = built(moved.encode(), config("default", 7_777), card=Card(citation="cite")).decode()
    body = new.partition("---\n")[2].partition("---\n")[2]
    assert body.startswith("first\n\n<!-- hugflow:begin usage -->\n## Usage\n")
    assert "<!-- hugflow:end usage -->\nbetween <!-- hugflow:begin tables -->" in body
    assert "<!-- hugflow:end tables -->\n\n<!-- hugflow:begin schema -->" in body
    assert "<!-- hugflow:end schema -->\n\n<!-- hugflow:begin citation -->" in body
    assert body.endswith("<!-- hugflow:end citation --> after\n")
    assert "7\u00a0777" in body


def test_a_section_that_was_taken_out_comes_back_between_its_neighbours() -> None:
    content = built(None, config(), card=Card(citation="cite"))
    for name in ("tables", "schema", "usage"):
        block = re.search(rf"(?s)<!-- hugflow:begin {name} -->.*?<!-- hugflow:end {name} -->\n\n".encode(), content)
        assert block is not None
        assert built(content.replace(block.group(), b""), config()) == content
    assert built(b"words", config()).split(b"---\n")[2].startswith(b"words\n\n<!-- hugflow:begin tables -->")


def test_a_marker_without_its_other_half_takes_no_text_with_it() -> None:
    stray = b"one\n<!-- hugflow:begin tables -->\ntwo\n<!-- hugflow:end schema -->\nthree\n"
    once = built(stray, config())
    assert stray in once
    assert built(once, config("default", 5)).count(b"two\n<!-- hugflow:end schema -->\nthree\n") == 1
    assert built(built(once, config("default", 5)), config()) == once


def test_a_deleted_config_goes_from_every_part() -> None:
    old = build(people(), REPO, None, FULL, (CANDLES, FUNDING), spec(CANDLES, FUNDING)).content
    rest = without(spec(CANDLES, FUNDING), "ohlcv_daily", NOW)
    new = without_config(old, REPO, "ohlcv_daily", rest)
    assert b"ohlcv_daily" not in new
    assert [each["config_name"] for each in front(new)["configs"]] == ["theirs", "funding"]
    assert [each["config_name"] for each in front(new)["dataset_info"]] == ["theirs", "funding"]
    body = PEOPLE.partition("---\r\n#")[2].partition("---\r\n")[2].encode()
    assert body in new
    last = without_config(new, REPO, "funding", without(rest, "funding", NOW))
    assert [each["config_name"] for each in front(last)["configs"]] == ["theirs"]
    assert front(last)["dataset_info"]["config_name"] == "theirs"
    assert re.findall(rb"begin (\w+)", last) == [b"citation"]
    assert without_config(last, REPO, "funding", None) == last


def test_the_last_config_leaves_nothing_behind() -> None:
    old = built(b"# words\n", config())
    assert without_config(old, REPO, "default", without(spec(config()), "default", NOW)) == b"# words\n\n"


# -- text of strangers -----------------------------------------------------------------------------------------------

HOSTILE = [
    "a|b",
    "<!-- hugflow:end tables -->",
    "```",
    "`|`",
    "<script>",
    "\u202e",
    "@all",
    "](x)",
    "|\n|---|\n",
    "\\|",
    "--- x",
    "$x$",
]
text_of_strangers = st.sampled_from(HOSTILE) | st.text(
    st.characters(exclude_categories=("Cs",)), min_size=1, max_size=20
)


@given(name=text_of_strangers, description=text_of_strangers, title=text_of_strangers)
@settings(max_examples=150, deadline=None)
def test_no_text_breaks_out_of_a_table_or_the_front_matter(name: str, description: str, title: str) -> None:
    made = CardConfig("t", "t", {name: {"dtype": "int8", "_type": "Value"}}, (CardSplit("train", 1, 1, 1, 1),))
    first = merge(None, [entry(made, description=description)], NOW)
    fields = {"pretty_name": " ".join(title.split()) or "x"}
    try:
        card = Card(**fields)
    except ValueError:
        return  # a request cannot have it
    content = build(None, REPO, None, card, (made,), first).content
    assert set(front(content)) == {"pretty_name", "dataset_info", "configs", "size_categories"}
    assert front(content)["dataset_info"]["features"][0]["name"] == name
    text = DatasetCard(content.decode()).text
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    kinds = [token.type for token in tokens]
    assert kinds.count("table_open") == 2
    assert kinds.count("td_open") == 5 + 2
    assert [token.content for token in tokens if token.type == "inline" and token.map and token.level == 1][1:] == [
        "Tables",
        "Schema",
        "Usage",
        "With `datasets`:",
        "With DuckDB:",
    ]
    assert kinds.count("html_block") == 6
    assert build(content, REPO, None, card, (made,), first).content == content


@given(st.text(st.sampled_from("ab \n\r`-#<>\u2028"), max_size=40))
def test_a_description_begins_the_card_and_hides_nothing(description: str) -> None:
    content = build(None, REPO, description or None, Card(), (config(),), spec(config())).content
    assert set(front(content)) == {"dataset_info", "configs", "size_categories"}
    assert content.count(b"<!--") == 6


bodies = st.lists(
    st.sampled_from(
        [
            "# t\n",
            "words\n",
            "\n",
            "\r\n",
            "---\n",
            "```\n",
            "<!-- x -->",
            "<!-- hugflow:begin tables -->",
            "é",
            "\xa0",
            " ",
        ]
    ),
    max_size=12,
).map("".join)


@given(
    matter=st.sampled_from(["", "---\na: 1 # why\n---\n", "---\r\nconfigs: []\r\n---\r\n"]),
    body=bodies,
    tail=st.binary(max_size=4),
)
@settings(max_examples=150, deadline=None)
def test_every_byte_of_people_is_kept(matter: str, body: str, tail: bytes) -> None:
    text = f"{matter}x{body}".encode() + tail
    once = built(text, config())
    assert f"x{body}".encode() + tail in once
    assert built(once, config()) == once
    changed = built(once, config("default", 5), config("new"))
    assert f"x{body}".encode() + tail in changed
    assert built(once, config("default", 5), config("new")) == changed


def test_the_front_matter_is_what_people_would_write() -> None:
    text = built(None, config(), card=FULL).decode()
    matter = text.split("---\n")[1]
    assert matter.startswith(
        "pretty_name: 'Prices: made up'\nlicense: cc-by-4.0\nlanguage:\n- en\n- 'no'\ntags:\n- market-data\n- '1e3'\n"
    )
    assert yaml.safe_load(matter)["language"] == ["en", "no"]
