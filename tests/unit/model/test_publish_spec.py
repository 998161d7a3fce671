"""Publish specs: sources, tables, and refusals of all unsafe values."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hugflow.model.publish_spec import PublishSpec, Quality, Table, size_bytes

ID = {"repo_id": "acme/market"}
ONE = ID | {"path": "data/prices.parquet"}


def test_the_request_of_the_design() -> None:
    spec = PublishSpec.model_validate(
        ID
        | {
            "description": "Daily market data",
            "tables": [
                {
                    "name": "ohlcv_daily",
                    "path": "data/ohlcv_daily.parquet",
                    "description": "Daily candles",
                    "timestamp_column": "timestamp",
                    "interval": "1d",
                    "distinct": {"exchanges": "exchange", "symbols": "symbol"},
                    "quality": {
                        "not_null": ["timestamp", "symbol"],
                        "unique": ["timestamp", "symbol", "exchange"],
                        "range": {"close": [0, None]},
                    },
                }
            ],
            "card": {"license": "apache-2.0", "language": ["en"], "task_categories": ["time-series-forecasting"]},
            "private": False,
        }
    )
    (table,) = spec.local_tables
    assert table.paths == {"train": "data/ohlcv_daily.parquet"}
    assert table.quality.range == {"close": (0, None)}
    assert spec.config_names == ("ohlcv_daily",)
    assert spec.card.language == ("en",)


def test_defaults() -> None:
    spec = PublishSpec.model_validate(ONE)
    assert (spec.revision, spec.private, spec.create_pr, spec.tag) == ("main", None, False, None)
    assert (spec.max_shard_size, spec.shard_size_bytes, spec.num_shards) == ("500MB", 500_000_000, None)
    assert (spec.embed_external_files, spec.commit_message) == (True, "Upload via hugflow")
    assert (spec.append, spec.replace, spec.layout, spec.default_config) == (False, False, "shards", None)
    assert spec.quality == Quality(not_null=None, unique=None, range=None, allow_empty=False)


def test_a_single_table_is_the_default_config() -> None:
    quality = {"unique": ["timestamp"]}
    (table,) = PublishSpec.model_validate(ONE | {"split": "test", "quality": quality, "description": "x"}).local_tables
    assert (table.name, table.paths) == ("default", {"test": "data/prices.parquet"})
    assert (table.quality.unique, table.description) == (("timestamp",), "x")


def test_a_single_table_may_be_a_config_of_its_own_with_several_splits() -> None:
    splits = {"train": "a.csv", "test": "b/*.csv"}
    spec = PublishSpec.model_validate(ID | {"splits": splits, "config_name": "prices"})
    (table,) = spec.local_tables
    assert (table.name, table.paths, spec.config_names) == ("prices", splits, ("prices",))


def test_a_dataset_in_storage_has_no_local_tables() -> None:
    spec = PublishSpec.model_validate(ID | {"from_storage": "acme__speech__split_train__rev_main"})
    assert (spec.local_tables, spec.config_names) == ((), ("default",))


@pytest.mark.parametrize(
    ("given_path", "path"),
    [("./data//x.csv", "data/x.csv"), ("data/", "data"), ("data/**/*.parquet", "data/**/*.parquet"), ("a b", "a b")],
)
def test_paths_are_normalised(given_path: str, path: str) -> None:
    assert PublishSpec.model_validate(ID | {"path": given_path}).path == path


@pytest.mark.parametrize("path", ["./~", ".//~root/x", "././~", "./C:x", "././/etc/../passwd", "./.env", ".//.git/x"])
@pytest.mark.parametrize("field", ["path", "splits", "tables"])
def test_a_path_is_judged_by_its_normal_form(path: str, field: str) -> None:
    value = {"path": path, "splits": {"train": path}, "tables": [{"name": "a", "path": path}]}[field]
    with pytest.raises(ValidationError):
        PublishSpec.model_validate(ID | {field: value})


@given(st.text(st.sampled_from("./~\\:a*\x00 \u202e"), max_size=10))
def test_no_path_leads_out_of_its_root(path: str) -> None:
    try:
        spec = PublishSpec.model_validate(ID | {"path": path})
    except ValidationError:
        return
    assert spec.path
    assert PublishSpec.model_validate(ID | {"path": spec.path}).path == spec.path, "what is accepted is accepted again"
    parts = spec.path.split("/")
    assert all(part and not part.startswith(".") for part in parts)
    assert not re.search(r"[\\\x00\u202e]|^~|://", spec.path)


@pytest.mark.parametrize(
    ("text", "size"), [("500MB", 500_000_000), ("1GiB", 2**30), ("1.5 gb", 1_500_000_000), ("1000kb", 1_000_000)]
)
def test_sizes(text: str, size: int) -> None:
    assert size_bytes(text) == size
    assert PublishSpec.model_validate(ONE | {"max_shard_size": text}).shard_size_bytes == size


@pytest.mark.parametrize("text", ["", "500", "MB", "-1MB", "1e3MB", "1TB", "500 MB ", "1" * 30 + "MB"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(ValueError, match="must be a size like"):
        size_bytes(text)


@pytest.mark.parametrize("interval", ["1d", "8h", "5m", "30s", "250ms", "1w", "1M", "1y", "tick"])
def test_intervals(interval: str) -> None:
    assert PublishSpec.model_validate(ONE | {"interval": interval}).interval == interval


@pytest.mark.parametrize(
    "kind",
    ["string", "uint8", "float32", "timestamp", "timestamp[ms]", "timestamp[ns, tz=Europe/Berlin]", "decimal(9, 2)"],
)
def test_types_of_columns(kind: str) -> None:
    assert PublishSpec.model_validate(ONE | {"columns": {"a": kind}}).columns == {"a": kind}


def test_classes_of_a_column() -> None:
    spec = PublishSpec.model_validate(ONE | {"columns": {"a": {"class_label": ["no", "yes"]}}})
    assert spec.columns == {"a": {"class_label": ("no", "yes")}}
    assert PublishSpec.model_validate_json(spec.model_dump_json()) == spec


def _places(values: dict[str, Any]) -> set[tuple[str | int, ...]]:
    with pytest.raises(ValidationError) as caught:
        PublishSpec.model_validate(values)
    return {error["loc"] for error in caught.value.errors()}


@pytest.mark.parametrize(
    ("values", "place"),
    [
        (ID, ()),
        (ONE | {"tables": [{"name": "a", "path": "a.csv"}]}, ("path",)),
        (ONE | {"from_storage": "a__b__split_train__rev_main"}, ("path",)),
        (ID | {"splits": {"train": "a"}, "from_storage": "a__b__split_train__rev_main"}, ("splits",)),
        (ONE | {"splits": {"train": "a"}}, ("path",)),
        (ID | {"splits": {"train": "a"}, "split": "test"}, ("split",)),
        (ID | {"splits": {}}, ("splits",)),
        (ID | {"tables": []}, ("tables",)),
        (ID | {"tables": [{"name": "a"}]}, ("tables", 0)),
        (ID | {"tables": [{"name": "a", "path": "a"}, {"name": "A", "path": "b"}]}, ("tables", 1, "name")),
        (ID | {"tables": [{"name": "a", "path": "a"}], "interval": "1d"}, ("interval",)),
        (ONE | {"max_shard_size": "500MB", "num_shards": 2}, ("num_shards",)),
        (ONE | {"num_shards": 10_001}, ("num_shards",)),
        (ONE | {"tag": "v1", "create_pr": True}, ("tag",)),
        (ONE | {"append": True, "replace": True}, ("replace",)),
        (ONE | {"default_config": "v1"}, ("default_config",)),
        (ONE | {"layout": "files"}, ("layout",)),
        (ONE | {"revision": "a" * 40}, ("revision",)),
        (ONE | {"quality": {"unique": ["a", "b", "a"]}}, ("quality", "unique", 2)),
        (ONE | {"quality": {"range": {"a": [float("nan"), 1]}}}, ("quality", "range", "a")),
        (ONE | {"quality": {"range": {"a": [float("-inf"), 1]}}}, ("quality", "range", "a")),
        (ONE | {"quality": {"range": {"a": [0, 10**400]}}}, ("quality", "range", "a")),
        (ONE | {"quality": {"range": {"a": [True, 2]}}}, ("quality", "range", "a")),
        (ONE | {"quality": {"range": {}}}, ("quality", "range")),
        (ONE | {"distinct": {"version": "a"}}, ("distinct", "version", "[key]")),
        (ONE | {"split": "all"}, ("split",)),
        (ID | {"splits": {"all": "a.csv"}}, ("splits", "all", "[key]")),
        (ONE | {"columns": {}}, ("columns",)),
        (ONE | {"columns": {"a": "text"}}, ("columns", "a")),
        (ONE | {"columns": {"a": "int128"}}, ("columns", "a")),
        (ONE | {"columns": {"a": {"class_label": []}}}, ("columns", "a")),
        (ONE | {"columns": {"a": {"class_label": ["x", "x"]}}}, ("columns", "a")),
        (ONE | {"columns": {"a": {"class_label": [True, False]}}}, ("columns", "a")),
        (ONE | {"columns": {"a": {"labels": ["x"]}}}, ("columns", "a")),
        (ONE | {"columns": {"a\nb": "string"}}, ("columns", "a\nb", "[key]")),
        (ID | {"tables": [{"name": "a", "path": "a"}], "columns": {"a": "date"}}, ("columns",)),
        (ONE | {"config_name": "v3"}, ("config_name",)),
        (ONE | {"card": {"tags": ["a\nb"]}}, ("card", "tags", 0)),
        (ONE | {"pipeline_version": 1.0}, ("pipeline_version",)),
    ],
)
def test_wrong_requests_say_where(values: dict[str, Any], place: tuple[str | int, ...]) -> None:
    assert _places(values) == {place}


def test_a_table_can_be_built_in_python_and_checked_among_others() -> None:
    table = Table(name="a", path="a.csv")
    assert PublishSpec(repo_id="acme/market", tables=(table,)).local_tables == (table,)
    assert _places(ID | {"tables": [table, table]}) == {("tables", 1, "name")}


def test_all_problems_at_once_with_those_inside_tables() -> None:
    tables = [{"name": "a", "path": "../a"}, {"name": "a", "path": "b", "quality": {"unique": ["x", "x"], "no": 1}}]
    assert _places({"repo_id": "x", "tables": tables, "tag": "v1", "create_pr": True}) >= {
        ("repo_id",),
        ("tables", 0, "path"),
        ("tables", 1, "name"),
        ("tables", 1, "quality", "unique", 1),
        ("tables", 1, "quality", "no"),
        ("tag",),
    }
