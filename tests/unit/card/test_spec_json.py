"""spec.json matches its own schema, keeps fields of other writers, and its version reflects the columns."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from datasets import Features, Value
from hypothesis import given
from hypothesis import strategies as st

from hugflow.card.feature_text import type_name
from hugflow.card.spec_json import (
    COUNTED,
    MAX_LISTED,
    DateRange,
    DistinctList,
    SpecColumn,
    SpecJson,
    SplitSize,
    TableEntry,
    TimeRange,
    bounded,
    bumped,
    change,
    columns_of,
    joined,
    merge,
    read,
    same_but_times,
    sampled,
    without,
    write,
)
from hugflow.model.errors import InvalidRequest
from hugflow.request.json_schema import spec_json_schema

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "publish"
NOW = datetime(2026, 3, 1, 0, 30, tzinfo=timezone(timedelta(hours=2)))
LATER = NOW + timedelta(days=1)
VALIDATOR = jsonschema.Draft202012Validator(spec_json_schema())


def table(name: str = "prices", **changes: Any) -> TableEntry:
    fields: dict[str, Any] = {
        "name": name,
        "row_count": 100,
        "size_bytes": 5_000,
        "columns": (SpecColumn(name="t", type="timestamp[us]"), SpecColumn(name="x", type="int64")),
        "splits": {"train": SplitSize(row_count=100, size_bytes=5_000)},
        "missing_cells": 2,
    }
    return TableEntry(**fields | changes)


def distinct(*values: str | float, count: int | None = None) -> DistinctList:
    if count is not None:
        return DistinctList(column="c", count=count, sample=values)
    return DistinctList(column="c", count=len(values), values=values)


def columns(**types: str) -> tuple[SpecColumn, ...]:
    return tuple(SpecColumn(name=name, type=kind) for name, kind in types.items())


def content(spec: SpecJson) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(write(spec))
    return value


# -- what is written -------------------------------------------------------------------------------------------------


def market() -> SpecJson:
    """Two tables of a market, one of them published again alone."""
    lists = {"exchanges": distinct("north", "south"), "symbols": distinct("AAA", "BBB", count=123_456)}
    candles = table(
        "ohlcv",
        description="Daily candles, über alle Börsen",
        date_range=DateRange(start="2020-01-01T00:00:00Z", end="2026-02-28T00:00:00Z"),
        timestamp_column="t",
        interval="1d",
        distinct=lists,
    )
    funding = table("funding", distinct={"exchanges": distinct("west", "north")}, missing_cells=0)
    first = merge(None, [candles, funding], NOW, pipeline_version="2.1")
    new = table(
        "ohlcv", row_count=110, distinct=lists, columns=(*(candles.columns or ()), SpecColumn(name="y", type="float64"))
    )
    return merge(read(write(first)), [new], LATER)


def test_a_whole_file() -> None:
    path = GOLDEN / "spec.json"
    assert write(market()) == path.read_bytes(), "see what changed: git diff --no-index"


def test_what_is_written_passes_the_schema() -> None:
    VALIDATOR.validate(content(market()))
    VALIDATOR.validate(content(merge(None, [], NOW)))
    VALIDATOR.validate(content(without(market(), "ohlcv", NOW)))
    assert market().table("ohlcv") is not None
    assert market().table("none") is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"update_time": "2026-03-01T00:00:00Z"},
        {"updated_at": "2026-03-01"},
        {"version": "1.0"},
        {"tables": {}},
        {"tables": [{"name": "x"}]},
        {"data_quality": {}},
        {"intervals": []},
        {"exchanges_count": "2"},
        {"exchanges_sample": [[]]},
    ],
)
def test_the_schema_can_refuse(wrong: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid(content(market()) | wrong)


@pytest.mark.parametrize("field", ["update_time", "updated_at", "version", "tables", "intervals", "data_quality"])
def test_the_schema_wants_every_field_of_ours(field: str) -> None:
    value = content(market())
    del value[field]
    assert not VALIDATOR.is_valid(value)


def test_the_day_is_that_of_utc() -> None:
    assert (market().update_time, market().updated_at) == ("2026-03-01", "2026-03-01T22:30:00Z")
    assert market().data_quality.last_validation == "2026-03-01T22:30:00Z"


# -- what others wrote -----------------------------------------------------------------------------------------------

THEIRS = {
    "schema": "theirs",
    "update_time": "2024-01-15",
    "version": "1.2",
    "tables": [
        {"name": "theirs", "row_count": 7, "owner": {"team": None}, "date_range": None},
        {"name": "prices", "row_count": 1, "size_bytes": 2, "owner": "me"},
    ],
    "exchanges": ["theirs"],
    "exchanges_count": 1,
    "intervals": {"theirs": {"every": "5m"}, "prices": "1h"},
    "data_quality": {"validation_passed": True, "score": 0.5},
    "empty": None,
    "model_config": [1.5, True, "x"],
    "é\u2028": {"nested": [None, 10**30]},
}


def test_fields_of_others_are_kept() -> None:
    merged = content(merge(read(json.dumps(THEIRS).encode()), [table()], NOW))
    for name in ("schema", "exchanges", "exchanges_count", "empty", "model_config", "é\u2028"):
        assert merged[name] == THEIRS[name]
    assert merged["tables"][0] == {"name": "theirs", "row_count": 7, "owner": {"team": None}}
    assert merged["intervals"] == THEIRS["intervals"]
    assert merged["data_quality"]["score"] == 0.5
    assert merged["version"] == "1.2.0"  # whose columns were is not known


def test_lists_of_ours_take_the_place_of_theirs_and_go_when_no_table_has_them() -> None:
    old = read(json.dumps(THEIRS).encode())
    merged = merge(old, [table(distinct={"exchanges": distinct("a", "b")})], NOW)
    assert content(merged)["exchanges"] == ["a", "b"]
    assert content(merged)["exchanges_count"] == 2
    again = content(merge(merged, [table(distinct={"venues": distinct("a")})], NOW))
    assert {name for name in again if "exchanges" in name or "venues" in name} == {
        "venues",
        "venues_count",
        "venues_sample",
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "reading spec.json"),
        (b"{", "reading spec.json"),
        (b"[]", "no JSON object"),
        (b"null", "no JSON object"),
        (b'{"tables": {}}', "`tables`"),
        (b'{"tables": [{"row_count": 1}]}', "`tables.0.name`"),
        (b'{"tables": [{"name": "x", "row_count": -1}]}', "`tables.0.row_count`"),
        (b'{"version": "one"}', "must be like `1.0.0`"),
        (b'{"update_time": []}', "`update_time`"),
        (b'{"x": NaN}', "NaN is no JSON"),
        (b'{"x": "\xff"}', "reading spec.json"),
        (b"[" * 100_000, "reading spec.json"),
    ],
)
def test_what_cannot_be_read_is_told(text: bytes, words: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        read(text)
    assert words.replace("`1.0.0`", "'1.0.0'") in str(error.value) or words in str(error.value)
    assert error.value.reason == "invalid_spec_json"
    assert "Correct the file on the Hub" in str(error.value)


@pytest.mark.parametrize(
    "text", [b"{}", b"\xef\xbb\xbf{}", b'{"tables": []}', b'{"version": 2, "pipeline_version": 1.5}']
)
def test_little_is_enough(text: bytes) -> None:
    spec = read(text)
    assert spec.tables == ()
    assert spec.major == (2 if b"version" in text else 1)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
OURS = set(SpecJson.model_fields)


@given(st.dictionaries(st.text().filter(lambda name: name not in OURS), json_values, max_size=4))
def test_any_field_of_others_survives_reading_merging_and_writing(theirs: dict[str, Any]) -> None:
    merged = content(merge(read(json.dumps(theirs).encode()), [table()], NOW))
    assert {name: merged[name] for name in theirs} == theirs


# -- merging ---------------------------------------------------------------------------------------------------------


def test_a_table_is_published_alone() -> None:
    first = merge(None, [table("a"), table("b", interval="1d")], NOW, pipeline_version="1")
    second = merge(first, [table("b", row_count=7, description="new")], LATER)
    assert [each.name for each in second.tables] == ["a", "b"]
    assert second.table("a") == first.table("a")
    assert (second.tables[1].row_count, second.tables[1].description) == (7, "new")
    assert second.intervals == {"b": "1d"}
    assert second.pipeline_version == "1"
    third = merge(second, [table("b")], LATER, pipeline_version="2")
    assert (third.tables[1].description, third.pipeline_version) == ("new", "2")


def test_the_same_tables_again_change_nothing_but_the_times() -> None:
    first = market()
    again = merge(
        read(write(first)), [each for each in first.tables if each.name == "funding"], LATER + timedelta(days=9)
    )
    assert write(again) != write(first)
    assert same_but_times(again, first)
    assert not same_but_times(merge(first, [table("funding", row_count=1)], NOW), first)
    assert not same_but_times(merge(first, [], NOW, pipeline_version="9"), first)


def test_missing_data_is_a_share_of_the_cells_that_are_known() -> None:
    other = TableEntry(name="theirs", row_count=10**9)
    old = SpecJson(tables=(other,))
    assert merge(old, [table(missing_cells=0)], NOW).data_quality.missing_data_pct == 0.0
    assert merge(old, [table(missing_cells=50)], NOW).data_quality.missing_data_pct == 25.0
    assert merge(old, [table(missing_cells=1, row_count=10**9)], NOW).data_quality.missing_data_pct == 5e-08
    assert merge(None, [table(row_count=0, missing_cells=0)], NOW).data_quality.missing_data_pct == 0.0


def test_a_list_of_several_tables_has_the_values_of_all() -> None:
    one, two = table("a", distinct={"x": distinct("b", "c")}), table("b", distinct={"x": distinct("a", "b")})
    value = content(merge(None, [one, two], NOW))
    assert (value["x"], value["x_count"], value["x_sample"]) == (["a", "b", "c"], 3, ["a", "b", "c"])
    numbers = table("c", distinct={"x": distinct(2, 1, True)})
    assert content(merge(None, [one, numbers], NOW))["x"] == [1, 2, "b", "c"]


def test_a_list_that_is_too_long_has_its_count_and_a_sample() -> None:
    value = content(merge(None, [table("a", distinct={"x": distinct("b", "c", count=99_999)})], NOW))
    assert ("x" in value, value["x_count"], value["x_sample"]) == (False, 99_999, ["b", "c"])
    both = [table("a", distinct={"x": distinct("b", count=99_999)}), table("b", distinct={"x": distinct("a")})]
    value = content(merge(None, both, NOW))
    assert ("x" in value, "x_count" in value, value["x_sample"]) == (False, False, ["a", "b"])
    half = [f"{n:05d}" for n in range(MAX_LISTED)]
    both = [table("a", distinct={"x": distinct(*half)}), table("b", distinct={"x": distinct("z", "00001")})]
    value = content(merge(None, both, NOW))
    assert ("x" in value, value["x_count"], value["x_sample"][0]) == (False, MAX_LISTED + 1, "00000")


def test_lists_are_bounded_by_their_text_as_well() -> None:
    assert bounded(["x" * 200_000, "y" * 200_000]) is not None
    assert bounded(["x" * 300_000, "é" * 150_000]) is None
    assert bounded(range(MAX_LISTED)) is not None
    assert bounded(range(MAX_LISTED + 1)) is None
    assert sampled(["x" * 201, 1, "y" * 200]) == (1, "y" * 200)


def test_a_table_is_deleted() -> None:
    old = merge(None, [table("a", interval="1d", distinct={"x": distinct("p")}), table("b", missing_cells=0)], NOW)
    new = without(old, "a", LATER)
    assert [each.name for each in new.tables] == ["b"]
    assert (new.version, new.intervals, new.data_quality.missing_data_pct) == ("2.0.0", {}, 0.0)
    assert not {"x", "x_count", "x_sample"} & set(content(new))
    assert new.data_quality.last_validation == old.data_quality.last_validation
    assert same_but_times(without(old, "none", LATER), old)


# -- versions --------------------------------------------------------------------------------------------------------

BASE = columns(a="int64", b="list<string>")


@pytest.mark.parametrize(
    ("after", "how", "version"),
    [
        (BASE, "same", "1.2.3"),
        (BASE[::-1], "same", "1.2.3"),
        (columns(a="int64", b="large_list<large_string>"), "same", "1.2.3"),
        (columns(a="int64", b="list<string_view>"), "same", "1.2.3"),
        ((*BASE, *columns(c="int8")), "minor", "1.3.0"),
        (BASE[:1], "major", "2.0.0"),
        (columns(a="int32", b="list<string>"), "major", "2.0.0"),
        (columns(a="int64", B="list<string>"), "major", "2.0.0"),
        (columns(a="int32", b="list<string>", c="int8"), "major", "2.0.0"),
        (None, "same", "1.2.3"),
    ],
)
def test_the_version_tells_of_the_columns(after: Any, how: str, version: str) -> None:
    old = SpecJson(version="1.2.3", tables=(table(columns=BASE), table("other")))
    new = table(columns=after)
    assert change(old, [new]) == how
    assert merge(old, [new], NOW).version == version


def test_the_version_tells_of_tables_and_splits() -> None:
    two = {"train": SplitSize(row_count=1, size_bytes=1), "test": SplitSize(row_count=1, size_bytes=1)}
    assert change(None, [table()]) == "first"
    old = merge(None, [table()], NOW)
    assert old.version == "1.0.0"
    assert change(old, [table(), table("new")]) == "minor"
    assert change(old, [table(splits=two)]) == "minor"
    assert change(merge(None, [table(splits=two)], NOW), [table()]) == "major"
    assert change(old, [table("new"), table(columns=())]) == "major"


def test_a_file_without_a_version_begins_with_the_first() -> None:
    assert merge(SpecJson(tables=(table(columns=BASE),)), [table(columns=BASE[:1])], NOW).version == "1.0.0"


@pytest.mark.parametrize(
    ("old", "minor", "major"),
    [("1.0.0", "1.1.0", "2.0.0"), ("v3", "3.1.0", "4.0.0"), ("2.9", "2.10.0", "3.0.0"), ("0.1.7", "0.2.0", "1.0.0")],
)
def test_versions_are_counted(old: str, minor: str, major: str) -> None:
    assert (bumped(old, "minor"), bumped(old, "major")) == (minor, major)


# -- types as text ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("feature", "text"),
    [
        ({"dtype": "timestamp[us, tz=UTC]", "_type": "Value"}, "timestamp[us, tz=UTC]"),
        ({"_type": "Audio"}, "audio"),
        ({"sampling_rate": 16_000, "_type": "Audio"}, "audio"),
        ({"names": ["no", "yes"], "_type": "ClassLabel"}, "class_label<no, yes>"),
        ({"feature": {"dtype": "int64", "_type": "Value"}, "_type": "List"}, "list<int64>"),
        ({"feature": {"dtype": "int64", "_type": "Value"}, "length": 3, "_type": "List"}, "list<int64, 3>"),
        ({"feature": {"dtype": "int64", "_type": "Value"}, "length": -1, "_type": "Sequence"}, "list<int64>"),
        ({"feature": {"_type": "Image"}, "_type": "LargeList"}, "large_list<image>"),
        ([{"dtype": "int8", "_type": "Value"}], "list<int8>"),
        ({"a": {"dtype": "int8", "_type": "Value"}, "b": {"_type": "Audio"}}, "struct<a: int8, b: audio>"),
        ({"shape": (2, 3), "dtype": "float32", "_type": "Array2D"}, "array2_d<float32, 2, 3>"),
        ({"languages": ["de", "en"], "_type": "Translation"}, "translation<de, en>"),
    ],
)
def test_a_type_is_one_line_of_text(feature: Any, text: str) -> None:
    assert type_name(feature) == text


def test_columns_are_those_of_the_features() -> None:
    features = Features({"b": Value("string"), "a": Value("int64")}).to_dict()
    assert columns_of(features) == columns(b="string", a="int64")


# -- rows that stay --------------------------------------------------------------------------------------------------


def days(start: str, end: str) -> DateRange:
    return DateRange(start=start, end=end)


def test_facts_of_rows_that_stay_are_joined_with_those_of_new_ones() -> None:
    lists = {"symbols": distinct("AAA", "BBB")}
    times = TimeRange(start="2026-01-01T10:00:00Z", end="2026-01-02T00:00:00.5Z")
    before = table(
        "x", date_range=days("2026-01-01T10:00:00Z", "2026-01-02"), time_range=times, missing_cells=2, distinct=lists
    )
    later = TimeRange(start="2026-01-02T00:00:00Z", end="2026-01-02T00:00:00.25Z")
    new = table("x", date_range=days("2026-01-02", "2026-01-03"), time_range=later, missing_cells=3)
    new = new.model_copy(update={"distinct": {"symbols": distinct("BBB", "CCC"), "other": distinct("z")}})
    both = joined(before, new, exact=True)
    assert both.date_range == days("2026-01-01", "2026-01-03"), "older files have times there"
    assert both.time_range == times
    assert both.missing_cells == 5
    assert both.distinct is not None
    assert (both.distinct["symbols"].values, both.distinct["symbols"].count) == (("AAA", "BBB", "CCC"), 3)
    assert (both.distinct["other"].values, both.distinct["other"].count) == (None, None)
    VALIDATOR.validate(content(merge(None, [both], NOW)))


def test_what_is_not_known_of_rows_that_stay_is_left_out() -> None:
    new = table("x", date_range=days("2026-01-02", "2026-01-03"), missing_cells=3, distinct={"symbols": distinct("a")})
    without_before = joined(None, new, exact=True)
    assert [getattr(without_before, field) for field in COUNTED] == [None] * len(COUNTED)
    before = table("x", date_range=None, missing_cells=None)
    partly = joined(before, new, exact=True)
    assert (partly.missing_cells, partly.date_range) == (None, new.date_range)
    assert joined(table("x", missing_cells=4), new, exact=False).missing_cells is None
    long = DistinctList(column="c", count=20_000, sample=("a", "b"))
    lists = joined(table("x", distinct={"symbols": long}), new, exact=True).distinct
    assert lists is not None
    assert (lists["symbols"].count, lists["symbols"].values, lists["symbols"].sample) == (None, None, ("a", "b"))


def test_tables_that_are_removed_leave_nothing_behind() -> None:
    old = merge(None, [table("x", interval="1d", distinct={"xs": distinct("a")}), table("y")], NOW)
    left = merge(old, [table("y")], LATER, how="major", without=["x"])
    assert [each.name for each in left.tables] == ["y"]
    assert (left.version, left.intervals) == ("2.0.0", {})
    assert "xs" not in content(left)
