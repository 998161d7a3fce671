"""Features: published ones equal those of `datasets` for the schema, and declared ones are kept."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hugflow.hf_client.features import arrow_schema
from hugflow.model.errors import InvalidRequest
from hugflow.model.publish_spec import PublishSpec
from hugflow.publish.shards import ShardOptions, write_shards
from hugflow.publish.sources.features import Columns, as_type, columns_of, fitted, has_files, plain_type
from hugflow.publish.sources.files import Place
from hugflow.publish.sources.opening import of_arrow, open_tables
from hugflow.publish.sources.unify import loss_of

PLACE = Place("x.parquet", "path")


def complain(problem: str, fix: str) -> InvalidRequest:
    return PLACE.error(problem, fix, reason="unsupported_type")


def columns(schema: pa.Schema) -> Columns:
    return columns_of(schema, complain)


def loaded(table: pa.Table, folder: Path) -> datasets.Dataset:
    """The table after a way through a shard, as `datasets` reads it."""
    folder.mkdir(exist_ok=True)
    shards = write_shards(of_arrow(table, "default", "train"), ShardOptions(None, 2), folder)
    files = [str(shard.file) for shard in shards]
    return datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(folder / "cache"))


# Types of which `datasets` makes just these features, and gives just these values back.
KEPT: dict[str, tuple[pa.DataType, list[Any]]] = {
    "null": (pa.null(), [None, None]),
    "bool": (pa.bool_(), [True, None]),
    "int8": (pa.int8(), [-128, None]),
    "int16": (pa.int16(), [2**15 - 1]),
    "int32": (pa.int32(), [-(2**31)]),
    "int64": (pa.int64(), [2**63 - 1]),
    "uint8": (pa.uint8(), [255]),
    "uint16": (pa.uint16(), [2**16 - 1]),
    "uint32": (pa.uint32(), [2**32 - 1]),
    "uint64": (pa.uint64(), [2**64 - 1]),
    "float16": (pa.float16(), [0.5, None]),
    "float32": (pa.float32(), [0.5]),
    "float64": (pa.float64(), [0.1, float("inf")]),
    "decimal128": (pa.decimal128(38, 10), [Decimal("1.0000000001"), None]),
    "decimal256": (pa.decimal256(50, 3), [Decimal("-1.125")]),
    "string": (pa.string(), ["", "ä\0", None]),
    "large_string": (pa.large_string(), ["x", None]),
    "binary": (pa.binary(), [b"", b"\xff", None]),
    "large_binary": (pa.large_binary(), [b"x"]),
    "fixed_size_binary": (pa.binary(3), [b"abc", None]),
    "date32": (pa.date32(), [dt.date(1, 1, 1), dt.date(9999, 12, 31)]),
    "time32": (pa.time32("ms"), [dt.time(1, 2, 3, 4000)]),
    "time64[us]": (pa.time64("us"), [dt.time(1, 2, 3, 4)]),
    "time64[ns]": (pa.time64("ns"), [dt.time(1, 2, 3, 4)]),
    "timestamp[ms]": (pa.timestamp("ms"), [dt.datetime(2024, 2, 29)]),  # noqa: DTZ001 - without a zone
    "timestamp[us]": (pa.timestamp("us"), [dt.datetime(1, 1, 1)]),  # noqa: DTZ001 - without a zone
    "timestamp[us, UTC]": (pa.timestamp("us", "UTC"), [dt.datetime(2024, 2, 29, tzinfo=dt.UTC), None]),
    "timestamp[ms, +02:00]": (pa.timestamp("ms", "+02:00"), [dt.datetime(2024, 2, 29, tzinfo=dt.UTC)]),
    "timestamp[ns, zone]": (pa.timestamp("ns", "America/New_York"), [1_700_000_000_000_000_001]),
    "duration[s]": (pa.duration("s"), [dt.timedelta(days=1), None]),
    "duration[ns]": (pa.duration("ns"), [1]),
    "list": (pa.list_(pa.int32()), [[1, None], [], None]),
    "list of nulls": (pa.list_(pa.null()), [[None, None], [], None]),
    "fixed list": (pa.list_(pa.int8(), 2), [[1, 2], [3, 4]]),
    "large list": (pa.large_list(pa.string()), [["x"], None]),
    "struct": (
        pa.struct([("a", pa.int8()), ("b", pa.list_(pa.struct([("c", pa.string())])))]),
        [{"a": 1, "b": [{"c": "x"}]}, None],
    ),
    "json": (pa.json_(pa.string()), ['{"a": 1}']),
}


@pytest.mark.parametrize("name", KEPT)
def test_features_are_those_of_datasets_and_come_back(tmp_path: Path, name: str) -> None:
    kind, values = KEPT[name]
    table = pa.table({"v": pa.array(values, kind)})
    ours = columns(table.schema)
    assert ours.features == datasets.Features.from_arrow_schema(table.schema).to_dict() or name == "json"
    assert json.loads(json.dumps(ours.features)) == ours.features
    found = loaded(table, tmp_path / "out")
    assert found.features.to_dict() == ours.features
    assert found.with_format("arrow")[:].column("v").to_pylist() == table.column("v").to_pylist()


# Types that parquet or the Hub do not have: they become the nearest that holds every value.
CHANGED: dict[str, tuple[pa.Array, pa.DataType]] = {
    "seconds": (pa.array([0], pa.timestamp("s", "UTC")), pa.timestamp("ms", "UTC")),
    "seconds of a day": (pa.array([1], pa.time32("s")), pa.time32("ms")),
    "date64": (pa.array([dt.date(2024, 2, 29)], pa.date64()), pa.date32()),
    "dictionary": (pa.array(["a", None, "a"]).dictionary_encode(), pa.string()),
    "numbers in a dictionary": (pa.array([1, 1]).dictionary_encode(), pa.int64()),
    "decimal32": (pa.array([Decimal("1.25")], pa.decimal32(5, 2)), pa.decimal128(5, 2)),
    "decimal64": (pa.array([Decimal("1.25")], pa.decimal64(15, 2)), pa.decimal128(15, 2)),
    "text view": (pa.array(["x", None], pa.string_view()), pa.string()),
    "bytes view": (pa.array([b"x", None], pa.binary_view()), pa.binary()),
    "list view": (pa.array([[1], None], pa.list_view(pa.int8())), pa.list_(pa.int8())),
    "large list view": (pa.array([[1], None], pa.large_list_view(pa.int8())), pa.large_list(pa.int8())),
    "run ends": (pa.compute.run_end_encode(pa.array([1, 1, None, 2])), pa.int64()),
    "uuid": (pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"0" * 16], pa.binary(16))), pa.binary(16)),
    "text views in a dictionary": (
        pa.DictionaryArray.from_arrays(pa.array([1, None, 0], pa.uint32()), pa.array(["a", "b"], pa.string_view())),
        pa.string(),
    ),
    "text views in run ends": (
        pa.RunEndEncodedArray.from_arrays([2, 3], pa.array(["a", None], pa.string_view())).slice(1),
        pa.string(),
    ),
    "run ends in a struct": (
        pa.StructArray.from_arrays([pa.RunEndEncodedArray.from_arrays([2, 3], [1, 2])], names=["a"]).slice(1),
        pa.struct([("a", pa.int64())]),
    ),
    "views in views": (
        pa.array([[["x"], None], None, [], [["y", None]]], pa.list_view(pa.large_list_view(pa.string_view()))),
        pa.list_(pa.large_list(pa.string())),
    ),
    "views in a fixed list": (
        pa.array([["x", "y"], None, ["z", None]], pa.list_(pa.string_view(), 2)),
        pa.list_(pa.string(), 2),
    ),
    "views in a struct": (
        pa.array(
            [{"a": "x", "b": [b"y"]}, None], pa.struct([("a", pa.string_view()), ("b", pa.list_(pa.binary_view()))])
        ),
        pa.struct([("a", pa.string()), ("b", pa.list_(pa.binary()))]),
    ),
    "a dictionary of lists": (
        pa.DictionaryArray.from_arrays([0, 1, 0], pa.array([["a"], ["b", None]], pa.list_(pa.string_view()))),
        pa.list_(pa.string()),
    ),
    "nested dictionary": (
        pa.ListArray.from_arrays([0, 2], pa.array(["a", "b"]).dictionary_encode()),
        pa.list_(pa.string()),
    ),
    "not nullable": (
        pa.array([{"a": 1}], pa.struct([pa.field("a", pa.int8(), nullable=False)])),
        pa.struct([("a", pa.int8())]),
    ),
}


@pytest.mark.parametrize("name", CHANGED)
def test_types_that_the_hub_does_not_have_become_others_with_the_same_values(tmp_path: Path, name: str) -> None:
    array, kind = CHANGED[name]
    table = pa.table({"v": array})
    ours = columns(table.schema)
    assert ours.schema == pa.schema([("v", kind)])
    assert ours.features == datasets.Features.from_arrow_schema(ours.schema).to_dict()
    expected = [value.bytes if name == "uuid" else value for value in array.to_pylist()]
    assert loaded(table, tmp_path / "out").with_format("arrow")[:].column("v").to_pylist() == expected


@pytest.mark.parametrize("name", CHANGED)
def test_every_part_of_an_array_has_its_own_values(name: str) -> None:
    array, kind = CHANGED[name]
    for start in range(len(array) + 1):
        for rows in range(len(array) - start + 1):
            part = array.slice(start, rows)
            found = as_type(part, kind)
            found.validate(full=True)
            assert found.type == kind
            assert found.to_pylist() == [value.bytes if name == "uuid" else value for value in part.to_pylist()]


def test_maps_become_lists_of_pairs(tmp_path: Path) -> None:
    values = [[("a", 1), ("b", None)], None, []]
    table = pa.table({"m": pa.array([[("x", 0)], *values], pa.map_(pa.string(), pa.int8()))}).slice(1)
    found = loaded(table, tmp_path / "out").with_format("arrow")[:].column("m").to_pylist()
    assert found == [None if v is None else [{"key": key, "value": value} for key, value in v] for v in values]


@pytest.mark.parametrize(
    "kind",
    [
        pa.month_day_nano_interval(),
        pa.struct([]),
        pa.list_(pa.struct([])),
        pa.dense_union([pa.field("a", pa.int8())]),
        pa.list_(pa.month_day_nano_interval()),
        pa.bool8(),
        pa.fixed_shape_tensor(pa.int8(), (2, 3)),
        pa.struct([("a", pa.opaque(pa.int64(), "money", "vendor"))]),
    ],
)
def test_types_that_cannot_be_published_are_named(kind: pa.DataType) -> None:
    with pytest.raises(InvalidRequest) as caught:
        columns(pa.schema([("ok", pa.int8()), ("bad", kind)]))
    assert "its column `bad` is of the type" in caught.value.problem
    assert (caught.value.field, caught.value.reason) == ("path", "unsupported_type")


def test_a_type_of_a_program_is_named_also_where_arrow_does_not_know_it(tmp_path: Path) -> None:
    """In a file that another process wrote, a Period of pandas is a number with a note beside it."""
    metadata = {"ARROW:extension:name": "vendor.period", "ARROW:extension:metadata": "{}"}
    field = pa.field("p", pa.int64(), metadata=metadata)
    table = pa.Table.from_arrays([pa.array([648])], schema=pa.schema([field]))
    pq.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(InvalidRequest, match=r"its column `p` is of the type `vendor\.period`"):
        open_tables(PublishSpec.model_validate({"repo_id": "a/b", "path": "x.parquet"}), tmp_path)
    nested = pa.schema([("deep", pa.list_(pa.field("item", pa.int64(), metadata=metadata)))])
    with pytest.raises(InvalidRequest, match="its column `deep` is of the type"):
        columns(nested)


@pytest.mark.parametrize("kind", ["period", "interval"])
def test_types_of_pandas_are_not_turned_into_numbers(kind: str) -> None:
    values = pd.period_range("2024-01", periods=2, freq="M") if kind == "period" else pd.interval_range(0, 2)
    with pytest.raises(InvalidRequest, match=f"its column `v` is of the type `.*pandas.{kind}"):
        of_arrow(pa.table(pd.DataFrame({"v": values})), "default", "train")


def polars_table() -> pl.DataFrame:
    """A column of every type of polars that is not plain."""
    return pl.DataFrame(
        {
            "category": pl.Series(["a", None, "a"], dtype=pl.Categorical),
            "enum": pl.Series(["x", "y", None], dtype=pl.Enum(["x", "y"])),
            "categories": pl.Series([["a"], None, []], dtype=pl.List(pl.Categorical)),
            "record": [{"k": "x"}, None, {"k": None}],
            "bytes": [b"x", b"", None],
            "pair": pl.Series([[1, 2], None, [3, 4]], dtype=pl.Array(pl.Int8, 2)),
            "price": pl.Series([Decimal("1.10"), None, Decimal("-2.00")], dtype=pl.Decimal(10, 2)),
            "took": [dt.timedelta(microseconds=1), None, dt.timedelta(days=1)],
            "at": [dt.time(1, 2, 3), None, dt.time(0)],
            "day": [dt.date(2024, 2, 29), None, dt.date(1, 1, 1)],
            "nothing": [None, None, None],
        }
    )


@pytest.mark.parametrize("form", ["frame", "ipc", "compressed", "parquet"])
def test_polars(tmp_path: Path, form: str) -> None:
    frame = polars_table()
    file = tmp_path / ("x.parquet" if form == "parquet" else "x.arrow")
    if form == "frame":
        source = of_arrow(frame, "default", "train", scratch=tmp_path)
    else:
        frame.write_parquet(file) if form == "parquet" else frame.write_ipc(
            file, compression="zstd" if form == "compressed" else "uncompressed"
        )
        (source,) = open_tables(PublishSpec.model_validate({"repo_id": "a/b", "path": file.name}), tmp_path)
    (tmp_path / "out").mkdir()
    (shard,) = write_shards(source, ShardOptions(None, 1), tmp_path / "out")
    expected = frame.to_dicts()
    assert pl.read_parquet(shard.file).to_dicts() == expected
    loaded = datasets.load_dataset("parquet", data_files=str(shard.file), split="train", cache_dir=str(tmp_path / "c"))
    assert loaded.with_format("arrow")[:].to_pylist() == expected
    assert loaded.features["category"] == loaded.features["enum"] == datasets.Value("string")


# -- what a file declares ---------------------------------------------------------------------------------------------

DECLARED = datasets.Features(
    {
        "audio": datasets.Audio(sampling_rate=16_000),
        "image": datasets.Image(),
        "undecoded": datasets.Audio(decode=False),
        "label": datasets.ClassLabel(names=["no", "yes"]),
        "labels": datasets.List(datasets.ClassLabel(names=["a", "b"])),
        "deep": {"audio": datasets.List(datasets.Audio()), "n": datasets.Value("int8")},
        "matrix": datasets.Array2D((2, 2), "int8"),
        "words": datasets.Translation(["de", "en"]),
        "plain": datasets.Value("string"),
        "json": datasets.Json(),
    }
)
DECLARED_JSON = json.loads(json.dumps(DECLARED.to_dict()))
FILE = {"bytes": b"x", "path": "x"}
ROW = {
    "audio": FILE,
    "image": FILE,
    "undecoded": FILE,
    "label": 1,
    "labels": [0, 1],
    "deep": {"audio": [FILE], "n": 1},
    "matrix": [[1, 2], [3, 4]],
    "words": {"de": "ja", "en": "yes"},
    "plain": "p",
    "json": '{"a": 1}',
}


def declared_table() -> pa.Table:
    schema = DECLARED.arrow_schema
    arrays = []
    for field in schema:
        storage = field.type.storage_type if isinstance(field.type, pa.BaseExtensionType) else field.type
        array = pa.array([ROW[field.name], None], storage)
        arrays.append(array.cast(field.type) if storage != field.type else array)
    return pa.Table.from_arrays(arrays, schema=schema)


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_what_a_file_declares_comes_back(tmp_path: Path, kind: str) -> None:
    table = declared_table()
    file = tmp_path / f"x.{kind}"
    if kind == "parquet":
        pq.write_table(table, file)
    else:
        with pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table)
    (source,) = open_tables(PublishSpec.model_validate({"repo_id": "a/b", "path": file.name}), tmp_path)
    assert source.features == DECLARED_JSON
    assert source.schema.metadata is None
    (tmp_path / "out").mkdir()
    (shard,) = write_shards(source, ShardOptions(None, 1), tmp_path / "out")
    metadata = pq.read_schema(shard.file).metadata[b"huggingface"]
    assert json.loads(metadata) == {"info": {"features": DECLARED_JSON}}
    found = datasets.load_dataset("parquet", data_files=str(shard.file), split="train", cache_dir=str(tmp_path / "c"))
    assert found.features == DECLARED
    rows = found.with_format("arrow")[:].to_pylist()
    assert rows == [ROW, dict.fromkeys(ROW)]


def test_features_survive_how_other_tools_write_them() -> None:
    metadata = {"huggingface": json.dumps({"info": {"features": DECLARED.to_dict()}})}
    file = pa.struct([("path", pa.large_string()), ("bytes", pa.large_binary())])
    ours = columns(pa.schema([("audio", file), ("label", pa.int32()), ("plain", pa.int8())], metadata=metadata))
    assert ours.features["audio"] == DECLARED.to_dict()["audio"]
    assert ours.features["label"] == DECLARED.to_dict()["label"]
    assert ours.features["plain"] == {"dtype": "int8", "_type": "Value"}, "the file's type counts, not what it says"
    values = pa.array([{"path": "p", "bytes": b"b"}, None], file)
    batch = pa.record_batch(
        {"audio": values, "label": pa.array([1, None], pa.int32()), "plain": pa.array([1, 2], pa.int8())}
    )
    assert fitted(batch, ours.schema).to_pylist() == [
        {"audio": {"bytes": b"b", "path": "p"}, "label": 1, "plain": 1},
        {"audio": None, "label": None, "plain": 2},
    ]


@pytest.mark.parametrize(
    "text",
    [
        *(b"no json", b"[]", b"{}", b"null", b"\xff", b'{"info": {"features": []}}'),
        b'{"info": {"features": {"v": {"_type": "Unheard"}}}}',
        b'{"info": {"features": {"v": 1, "w": {"_type": "Audio", "unheard": 1}}}}',
    ],
)
def test_metadata_that_makes_no_sense_is_passed_over(text: bytes) -> None:
    schema = pa.schema([("v", pa.int8())], metadata={b"huggingface": text})
    assert columns(schema).features == {"v": {"dtype": "int8", "_type": "Value"}}


def test_old_names_of_features_become_those_of_today() -> None:
    old = {"v": {"feature": {"dtype": "int8", "_type": "Value"}, "_type": "Sequence"}}
    schema = pa.schema([("v", pa.list_(pa.int8()))], metadata={"huggingface": json.dumps({"info": {"features": old}})})
    assert columns(schema).features == {"v": {"feature": {"dtype": "int8", "_type": "Value"}, "_type": "List"}}


def test_classes_that_contradict_are_refused(tmp_path: Path) -> None:
    for name, classes in (("1", ["a", "b"]), ("2", ["b", "a"])):
        schema = datasets.Features({"label": datasets.ClassLabel(names=classes)}).arrow_schema
        pq.write_table(pa.Table.from_pylist([{"label": 0}], schema=schema), tmp_path / f"{name}.parquet")
    spec = PublishSpec.model_validate({"repo_id": "a/b", "path": "*.parquet"})
    with pytest.raises(InvalidRequest, match=r"`2.parquet`: its column `label` is .*in earlier files it is"):
        open_tables(spec, tmp_path)
    pq.write_table(pa.table({"label": [1, None]}), tmp_path / "2.parquet")
    (source,) = open_tables(spec, tmp_path)
    assert source.features["label"] == {"names": ["a", "b"], "_type": "ClassLabel"}
    pq.write_table(pa.table({"label": [0.5]}), tmp_path / "2.parquet")
    with pytest.raises(InvalidRequest, match="its column `label` is of the type `double`"):
        open_tables(spec, tmp_path)


def test_which_features_have_files_in_them() -> None:
    found = {name for name, feature in DECLARED.to_dict().items() if has_files(feature)}
    assert found == {"audio", "image", "undecoded", "deep"}


# -- types in general -------------------------------------------------------------------------------------------------

leaves = st.sampled_from(
    [kind for kind, _ in KEPT.values() if not pa.types.is_nested(kind)] + [pa.timestamp("s"), pa.date64()]
)
kinds = st.recursive(
    leaves,
    lambda inner: st.one_of(
        inner.map(pa.list_),
        inner.map(pa.large_list),
        inner.map(lambda kind: pa.list_(kind, 2)),
        st.lists(inner, min_size=1, max_size=3).map(
            lambda some: pa.struct([(f"f{i}", kind) for i, kind in enumerate(some)])
        ),
    ),
    max_leaves=6,
)


@given(kinds)
def test_every_type_has_a_stored_form_that_says_the_same(kind: pa.DataType) -> None:
    ours = columns(pa.schema([("v", kind)]))
    assert plain_type(ours.schema.field("v").type) == ours.schema.field("v").type
    assert plain_type(ours.stored.field("v").type) == ours.schema.field("v").type
    assert arrow_schema(ours.features) == ours.stored
    assert loss_of(ours.schema.field("v").type, ours.schema.field("v").type) == "none"


@given(kinds, st.data())
def test_nulls_of_every_type_fit_into_the_published_one(kind: pa.DataType, data: st.DataObject) -> None:
    rows = data.draw(st.integers(0, 3))
    wanted = columns(pa.schema([("v", kind)])).schema
    array = as_type(pa.nulls(rows, kind), wanted.field("v").type)
    array.validate(full=True)
    assert array.to_pylist() == [None] * rows
