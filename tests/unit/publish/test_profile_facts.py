"""Facts of a table, each compared with the result of DuckDB or plain Python for the same rows."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hugflow.model.errors import InvalidRequest, StorageFault
from hugflow.model.publish_spec import Quality, Table
from hugflow.publish.profile import tallies
from hugflow.publish.profile.facts import TableFacts, gate, measure
from hugflow.publish.profile.footers import read_footers

UTC = dt.UTC
MEMORY = 64 << 20


@dataclass
class Split:
    """Rows in memory, in batches; remembers which columns were read of it."""

    data: pa.Table
    split: str = "train"
    batch_rows: int = 3
    parquet_files: Sequence[Path] = ()
    reads: list[list[str]] = field(default_factory=list)

    @property
    def schema(self) -> pa.Schema:
        return self.data.schema

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        self.reads.append(list(columns or self.data.column_names))
        yield from self.data.select(self.reads[-1]).to_batches(max_chunksize=self.batch_rows)


def in_files(data: pa.Table, folder: Path, files: int = 1, split: str = "train", **options: Any) -> Split:
    """The same rows as parquet files, of row groups of two rows."""
    size = -(-len(data) // files) or 1
    paths = []
    for index in range(files):
        paths.append(folder / f"{split}-{index}.parquet")
        pq.write_table(data.slice(index * size, size), paths[-1], row_group_size=2, **options)
    return Split(data, split, parquet_files=paths)


def facts(*splits: Split, scratch: Path, **fields: Any) -> TableFacts:
    return measure(splits, Table(name="prices", path="x", **fields), scratch, MEMORY, at="tables[0]")


def of(columns: Mapping[str, Any], scratch: Path, **fields: Any) -> TableFacts:
    return facts(Split(pa.table(dict(columns))), scratch=scratch, **fields)


def refused(columns: Mapping[str, Any], scratch: Path, **fields: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as error:
        of(columns, scratch, **fields)
    return error.value


# -- rows and missing values -----------------------------------------------------------------------------------------


def test_rows_and_missing_values_of_all_splits_together(tmp_path: Path) -> None:
    train = pa.table({"a": [1, None, 3], "b": ["x", None, None], "c": [math.nan, 1.0, None], "d": [[1], None, []]})
    test = pa.table({"a": [None], "b": ["x"], "c": [2.0], "d": [[None]]}, schema=train.schema)
    found = facts(Split(train), Split(test, "test"), scratch=tmp_path)
    assert found.split_rows == {"train": 3, "test": 1}
    assert found.nulls == {"a": 2, "b": 2, "c": 2, "d": 1}
    assert (found.rows, found.missing, found.cells) == (4, 7, 16)


@pytest.mark.parametrize(
    "values",
    [
        pa.array(["a", None, "a"]).dictionary_encode(),
        pa.DictionaryArray.from_arrays(pa.array([0, 1, 0]), pa.array(["a", None])),
        pa.array([1.0, math.nan, 2.0], pa.float16()),
        pa.array([1.0, math.nan, 2.0], pa.float32()),
        pa.array(["a", None, "b"], pa.string_view()),
        pa.array([{"x": 1}, None, {"x": None}]),
        pa.array([b"0" * 16, None, b"1" * 16], pa.uuid()),
        pa.array([True, None, False]),
    ],
)
def test_one_value_is_missing_of_any_type(values: pa.Array, tmp_path: Path) -> None:
    assert of({"a": values}, tmp_path).nulls == {"a": 1}


def test_a_column_without_a_type_has_no_values(tmp_path: Path) -> None:
    data = pa.table({"a": pa.nulls(3)})
    assert facts(Split(data), scratch=tmp_path).nulls == {"a": 3}
    assert facts(in_files(data, tmp_path), scratch=tmp_path).nulls == {"a": 3}


def test_footers_tell_rows_and_missing_values_without_a_read(tmp_path: Path) -> None:
    data = pa.table(
        {
            "n": [1, None, 3],
            "t": [dt.date(2024, 1, 2), None, dt.date(2024, 1, 1)],
            "s": ["a", "b", None],
            "l": [[1]] * 3,
        }
    )
    split = in_files(data, tmp_path, files=2)
    found = facts(split, scratch=tmp_path)
    assert split.reads == []
    assert found.nulls == {"n": 1, "t": 1, "s": 1, "l": 0}
    assert found.rows == 3
    assert found.date_range == ("2024-01-01", "2024-01-02")


def test_only_what_footers_do_not_tell_is_read(tmp_path: Path) -> None:
    data = pa.table({"n": [1, 2, 3], "f": [1.0, math.nan, None], "l": [[1], None, []], "text": ["x", "y", "z"]})
    split = in_files(data, tmp_path, files=2)
    found = facts(split, scratch=tmp_path, distinct={"words": "text"})
    assert split.reads == [["f", "l", "text"]]
    assert found.nulls == {"n": 0, "f": 2, "l": 1, "text": 0}
    assert found.rows == 3


def test_without_statistics_everything_is_read(tmp_path: Path) -> None:
    data = pa.table({"n": [1, None, 3], "t": [dt.date(2024, 1, 2), None, dt.date(2024, 1, 1)]})
    split = in_files(data, tmp_path, write_statistics=False)
    found = facts(split, scratch=tmp_path)
    assert split.reads == [["n", "t"]]
    assert (found.rows, dict(found.nulls)) == (3, {"n": 1, "t": 1})
    assert found.date_range == ("2024-01-01", "2024-01-02")


def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(InvalidRequest, match=r"`x\.parquet` is no parquet file"):
        read_footers([tmp_path / "x.parquet"], None)
    with pytest.raises(StorageFault, match=r"reading gone\.parquet"):
        read_footers([tmp_path / "gone.parquet"], None)


def test_a_dot_in_a_name_is_no_struct(tmp_path: Path) -> None:
    data = pa.table({"a": [{"b": None}, {"b": None}], "a.b": [1, None]})
    assert facts(in_files(data, tmp_path), scratch=tmp_path).nulls == {"a": 0, "a.b": 1}


def test_a_table_without_rows(tmp_path: Path) -> None:
    data = pa.table({"t": pa.array([], pa.timestamp("us"))})
    for split in (Split(data), in_files(data, tmp_path)):
        found = facts(split, scratch=tmp_path, distinct={"times": "t"}, quality={"unique": ["t"]})
        assert (found.rows, found.date_range, found.distinct["times"].values) == (0, None, ())
        assert [each.rule for each in found.broken] == ["empty"]
        assert "`prices` has no rows" in found.broken[0].message
        assert facts(split, scratch=tmp_path, quality={"allow_empty": True}).broken == ()


def test_a_split_without_rows_beside_others_is_refused(tmp_path: Path) -> None:
    """`load_dataset` fails for the whole table then: "Instruction "test" corresponds to no data!"."""
    data = pa.table({"n": [1, 2]})
    empty = in_files(data.slice(0, 0), tmp_path, split="test")
    (broken,) = facts(Split(data), empty, scratch=tmp_path).broken
    assert (broken.rule, broken.field) == ("empty", "tables[0].quality.allow_empty")
    assert "has no rows in its split `test`" in broken.message
    assert facts(Split(data), empty, scratch=tmp_path, quality={"allow_empty": True}).broken == ()


# -- date ranges -----------------------------------------------------------------------------------------------------

DAY = dt.datetime(2024, 3, 1, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([1, 0], pa.date32()), ("1970-01-01", "1970-01-02")),
        (pa.array([86_400_000, -86_400_000], pa.date64()), ("1969-12-31", "1970-01-02")),
        (pa.array([1, 0, None], pa.timestamp("s")), ("1970-01-01T00:00:00", "1970-01-01T00:00:01")),
        (pa.array([1, 1500], pa.timestamp("ms", "UTC")), ("1970-01-01T00:00:00.001Z", "1970-01-01T00:00:01.500Z")),
        (
            pa.array([-1, 10], pa.timestamp("us", "Asia/Tokyo")),
            ("1969-12-31T23:59:59.999999Z", "1970-01-01T00:00:00.000010Z"),
        ),
        (pa.array([2**62, 1], pa.timestamp("ns")), ("1970-01-01T00:00:00.000000001", "2116-02-20T23:53:38.427387904")),
        (
            pa.array([-62_135_596_800, 253_402_300_799], pa.timestamp("s")),
            ("0001-01-01T00:00:00", "9999-12-31T23:59:59"),
        ),
        (pa.array([DAY], pa.timestamp("us", "UTC")).dictionary_encode(), ("2024-03-01T12:30:00Z",) * 2),
    ],
)
def test_a_range_of_every_type_of_time(values: pa.Array, expected: tuple[str, str], tmp_path: Path) -> None:
    data = pa.table({"t": values})
    for split in (Split(data, batch_rows=1), in_files(data, tmp_path)):
        found = facts(split, scratch=tmp_path)
        assert (found.date_range, found.timestamp_column) == (expected, "t")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["2024-01-31", None, "2023-12-01"], ("2023-12-01", "2024-01-31")),
        (["2024-01-31 10:00", "2024-01-31T09:59:59.5"], ("2024-01-31T09:59:59.500", "2024-01-31T10:00:00")),
        (["2024-01-31", "2024-01-31T09:00"], ("2024-01-31T00:00:00", "2024-01-31T09:00:00")),
        (["2024-01-01T00:00:00+09:00", "2023-12-31T15:30:00Z"], ("2023-12-31T15:00:00Z", "2023-12-31T15:30:00Z")),
        (["2024-01-01T00:00:00.123456789Z"], ("2024-01-01T00:00:00.123456789Z",) * 2),
        (["1066-10-14"], ("1066-10-14",) * 2),
        ([0, 1_700_000_000], ("1970-01-01T00:00:00Z", "2023-11-14T22:13:20Z")),
        ([1_700_000_000_123], ("2023-11-14T22:13:20.123Z",) * 2),
        ([1_700_000_000_123_456], ("2023-11-14T22:13:20.123456Z",) * 2),
        ([1_700_000_000_123_456_789], ("2023-11-14T22:13:20.123456789Z",) * 2),
        ([-86_400], ("1969-12-31T00:00:00Z",) * 2),
        ([None, None], None),
    ],
)
def test_text_and_counts_are_times_where_they_are_named(values: list[Any], expected: Any, tmp_path: Path) -> None:
    kind = pa.int64() if values == [None, None] else None
    data = pa.table({"when": pa.array(values, kind)})
    for split in (Split(data, batch_rows=1), in_files(data, tmp_path)):
        assert facts(split, scratch=tmp_path, timestamp_column="when").date_range == expected
    assert facts(Split(data), scratch=tmp_path).timestamp_column is None


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (["2024-01-31", "yesterday"], "no date or time of ISO 8601"),
        (["2024-02-30"], "do not exist"),
        ([""], "no date or time of ISO 8601"),
        (["2024-01-31T10:00", "2024-01-31T10:00Z"], "with a zone and times without one"),
        (pa.array([2**62], pa.timestamp("s")), "outside of the years 1 to 9999"),
    ],
)
def test_what_is_no_time_is_told(values: Any, problem: str, tmp_path: Path) -> None:
    error = refused({"when": values}, tmp_path, timestamp_column="when")
    assert problem in str(error)
    assert (error.field, error.reason) == ("tables[0].timestamp_column", "not_times")


def test_a_column_that_was_only_found_by_its_type_may_have_impossible_times(tmp_path: Path) -> None:
    assert of({"t": pa.array([2**62], pa.timestamp("s"))}, tmp_path).date_range is None


@pytest.mark.parametrize(
    ("names", "found"),
    [(["updated", "timestamp"], "timestamp"), (["updated", "Date"], "Date"), (["b", "a"], "b"), ([], None)],
)
def test_the_column_is_found_by_its_type_and_then_by_its_name(
    names: list[str], found: str | None, tmp_path: Path
) -> None:
    columns = {"text": ["2024-01-01"]} | {name: pa.array([0], pa.timestamp("s")) for name in names}
    assert of(columns, tmp_path).timestamp_column == found


@given(
    times=st.lists(st.none() | st.datetimes(), min_size=1, max_size=12),
    zone=st.sampled_from([None, "UTC", "Asia/Tokyo"]),
)
@settings(max_examples=60, deadline=None)
def test_footers_a_scan_and_duckdb_agree_on_the_range(
    times: list[dt.datetime | None], zone: str | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    tmp_path = tmp_path_factory.mktemp("range")
    data = pa.table({"t": pa.array(times, pa.timestamp("us", zone))})
    by_footer, by_scan = in_files(data, tmp_path, files=2), Split(data)
    found = facts(by_footer, scratch=tmp_path)
    assert by_footer.reads == []
    assert facts(by_scan, scratch=tmp_path).date_range == found.date_range
    path = str(tmp_path / "*.parquet")
    low, high = (
        duckdb.execute("SELECT epoch_us(min(t)), epoch_us(max(t)) FROM read_parquet(?)", [path]).fetchone() or ()
    )
    assert found.date_range == (None if low is None else (iso(low, zone), iso(high, zone)))


def iso(micros: int, zone: str | None) -> str:
    """By another way than the code goes: Python's own formatting, then the digits of its six that are not needed."""
    moment = dt.datetime(1970, 1, 1, tzinfo=UTC) + dt.timedelta(microseconds=micros)
    text = moment.replace(tzinfo=None).isoformat(timespec="microseconds")
    short = text.removesuffix(".000000") if text.endswith(".000000") else text.removesuffix("000")
    return short + ("Z" if zone else "")


# -- distinct lists --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["b", "a", None, "b", "é"], ("a", "b", "é")),
        (pa.array(["b", "a", "b"]).dictionary_encode(), ("a", "b")),
        ([2**63 - 1, -(2**63), 0, None], (-(2**63), 0, 2**63 - 1)),
        (pa.array([2**64 - 1], pa.uint64()), (2**64 - 1,)),
        ([True, False, None], (False, True)),
        ([0.5, -0.0, 0.0, math.nan, None], (0.0, 0.5)),
        ([math.inf, 1.0], (1.0, "inf")),
        ([Decimal("10.50"), Decimal("9.25")], ("9.25", "10.50")),
        (pa.array([1, 0], pa.date32()), ("1970-01-01", "1970-01-02")),
        (pa.array([1, 0], pa.timestamp("ms", "UTC")), ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00.001Z")),
        (pa.array([1, 3_600_000_000], pa.time64("us")), ("00:00:00.000001", "01:00:00")),
        (pa.nulls(2), ()),
    ],
)
def test_distinct_values_are_sorted_and_exact(values: Any, expected: tuple[Any, ...], tmp_path: Path) -> None:
    found = of({"x": values}, tmp_path, distinct={"xs": "x"}).distinct["xs"]
    assert (found.column, found.count, found.values, found.sample) == ("x", len(expected), expected, expected)
    assert [type(value) for value in found.values or ()] == [type(value) for value in expected]


def test_a_very_long_list_is_only_counted(tmp_path: Path) -> None:
    rows = tallies.MAX_HELD + 5
    data = pa.table(
        {"n": [*range(rows), *range(7), None], "s": [*(f"{n:06d}" for n in range(rows)), *["000001"] * 7, None]}
    )
    splits = Split(data.slice(0, 70_000), batch_rows=20_000), Split(data.slice(70_000), "test", batch_rows=20_000)
    found = facts(*splits, scratch=tmp_path, distinct={"numbers": "n", "texts": "s"}).distinct
    assert (found["numbers"].count, found["numbers"].values) == (rows, None)
    assert found["numbers"].sample == tuple(range(10))
    assert (found["texts"].count, found["texts"].sample[:2]) == (rows, ("000000", "000001"))
    assert list(tmp_path.iterdir()) == []


def test_very_long_texts_are_only_counted(tmp_path: Path) -> None:
    texts = ["a", *(f"{n:02d}" + "x" * (1 << 20) for n in range(18)), "a"]
    found = of({"s": texts}, tmp_path, distinct={"texts": "s"}).distinct["texts"]
    assert (found.count, found.values, found.sample) == (19, None, ("a",))


def test_a_list_of_some_thousand_values_is_listed(tmp_path: Path) -> None:
    found = of({"n": list(range(10_000))}, tmp_path, distinct={"a": "n"}).distinct["a"]
    assert found.values == tuple(range(10_000))
    assert of({"n": list(range(10_001))}, tmp_path, distinct={"a": "n"}).distinct["a"].values is None


# -- rules -----------------------------------------------------------------------------------------------------------


def test_every_broken_rule_names_table_rule_and_count(tmp_path: Path) -> None:
    columns = {"id": [1, 1, 2, None, None], "close": [-1.0, math.nan, 2.0, None, 100.5]}
    rules = {"not_null": ["id", "close"], "unique": ["id"], "range": {"close": [0, 100]}}
    found = of(columns, tmp_path, quality=rules)
    assert [(each.rule, each.columns, each.count, each.rows) for each in found.broken] == [
        ("not_null", ("id",), 2, 5),
        ("not_null", ("close",), 2, 5),
        ("unique", ("id",), 2, 5),
        ("range", ("close",), 2, 5),
    ]
    with pytest.raises(InvalidRequest) as error:
        gate([found])
    assert error.value.reason == "quality"
    assert error.value.field == "tables[0].quality.not_null"
    for words in ("table `prices` has 2 missing values in `id`", "(rule `unique`)", "not from 0 to 100", "in 5 rows"):
        assert words in str(error.value)
    assert "Nothing was published" in str(error.value)


def test_rules_that_hold_break_nothing(tmp_path: Path) -> None:
    rules = {"not_null": ["id"], "unique": ["id", "close"], "range": {"close": [None, 2], "id": [1, 1]}}
    found = of({"id": [1, 1], "close": [1.0, 2.0]}, tmp_path, quality=rules)
    assert found.broken == ()
    gate([found])


@pytest.mark.parametrize(
    ("limits", "words"), [([2, None], "not at least 2"), ([None, 0], "not at most 0"), ([2, 3], "not from 2 to 3")]
)
def test_a_range_is_told_in_words(limits: list[Any], words: str, tmp_path: Path) -> None:
    (broken,) = of({"x": [1]}, tmp_path, quality={"range": {"x": limits}}).broken
    assert broken.message == f"table `prices` has 1 value in `x` that is {words}, in 1 row (rule `range`)"
    assert broken.field == "tables[0].quality.range.x"


def test_a_key_is_compared_over_all_splits(tmp_path: Path) -> None:
    one, two = pa.table({"id": [1, 2]}), pa.table({"id": [2, 3]})
    found = facts(Split(one), Split(two, "test"), scratch=tmp_path, quality={"unique": ["id"]})
    assert [each.count for each in found.broken] == [1]


@pytest.mark.parametrize(
    "values",
    [
        pa.array([10**15 + 1, 10**15 + 2], pa.timestamp("ns", "UTC")),
        pa.array([Decimal("1" * 60 + ".1"), Decimal("1" * 60 + ".2")], pa.decimal256(62, 1)),
        pa.array([2**53, 2**53 + 1]),
        pa.array([2**64 - 1, 2**64 - 2], pa.uint64()),
        pa.array(["a", "a "], pa.string_view()),
        pa.array([b"\0", b"\0\0"], pa.binary_view()),
        pa.array([0, 1], pa.duration("ns")),
        pa.array([0, 1], pa.time64("ns")),
        pa.array(["é", "e\u0301"]),
        pa.array([1.0, 1.5], pa.float16()),
        pa.array([True, False]),
        pa.array(["x", "y"]).dictionary_encode(),
    ],
)
def test_keys_that_hardly_differ_are_different(values: pa.Array, tmp_path: Path) -> None:
    assert of({"k": values}, tmp_path, quality={"unique": ["k"]}).broken == ()
    twice = pa.concat_arrays([values, values])
    assert [each.count for each in of({"k": twice}, tmp_path, quality={"unique": ["k"]}).broken] == [2]


def test_a_key_of_missing_values_is_repeated(tmp_path: Path) -> None:
    columns = {"a": [None, None, 1], "b": [math.nan, math.nan, math.nan]}
    assert [each.count for each in of(columns, tmp_path, quality={"unique": ["a", "b"]}).broken] == [1]


rows = st.lists(st.tuples(st.none() | st.integers(0, 3), st.none() | st.text("ab\0", max_size=2)), max_size=20)


@given(rows=rows, cut=st.integers(0, 20))
@settings(max_examples=50, deadline=None)
def test_repeated_keys_are_counted_as_python_counts_them(
    rows: list[tuple[int | None, str | None]], cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = pa.table({"a": pa.array([a for a, _ in rows], pa.int64()), "b": pa.array([b for _, b in rows], pa.string())})
    splits = Split(data.slice(0, cut)), Split(data.slice(cut), "test")
    quality = {"unique": ["a", "b"], "allow_empty": True}
    found = facts(*splits, scratch=tmp_path_factory.mktemp("keys"), quality=quality)
    assert sum(each.count for each in found.broken) == len(rows) - len(set(rows))


def test_keys_that_outgrow_memory_go_to_scratch(tmp_path: Path) -> None:
    @dataclass
    class Many(Split):
        def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
            for start in range(0, 2_000_000, 100_000):
                yield pa.record_batch({"k": pa.array(range(start, start + 100_000), pa.int64())})
            yield pa.record_batch({"k": pa.array([5, 1_999_999], pa.int64())})

    table = Table(name="prices", path="x", quality=Quality(unique=("k",)))
    many = Many(pa.table({"k": pa.array([], pa.int64())}))
    found = measure([many], table, tmp_path, 24 << 20)
    assert (found.rows, [each.count for each in found.broken]) == (2_000_002, [2])
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(StorageFault, match="comparing the keys"):
        measure([many], table, tmp_path, 1 << 20)
    assert list(tmp_path.iterdir()) == []


def test_what_a_source_raises_comes_through_duckdb_as_it_is(tmp_path: Path) -> None:
    @dataclass
    class Bad(Split):
        def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
            yield from super().batches(columns)
            raise InvalidRequest("reading x.csv", "line 7 has too many values", field="path")

    with pytest.raises(InvalidRequest, match="line 7 has too many values") as error:
        facts(Bad(pa.table({"k": [1]})), scratch=tmp_path, quality={"unique": ["k"]})
    assert error.value.field == "path"


# -- ranges ----------------------------------------------------------------------------------------------------------

numbers = (
    st.integers(-(2**65), 2**65) | st.floats(allow_nan=False, allow_infinity=False, width=64) | st.integers(-200, 300)
)
KINDS = [pa.int8(), pa.uint8(), pa.int64(), pa.uint64(), pa.decimal128(5, 2), pa.decimal256(70, 3)]


@given(data=st.data(), kind=st.sampled_from(KINDS), low=st.none() | numbers, high=st.none() | numbers)
@settings(max_examples=150, deadline=None)
def test_exact_numbers_are_compared_exactly(data: st.DataObject, kind: pa.DataType, low: Any, high: Any) -> None:
    if pa.types.is_decimal(kind):
        most = 10**kind.precision - 1
        integers = st.integers(-most, most) | st.integers(-500, 500)
        values: list[Any] = [
            Decimal((n < 0, tuple(map(int, str(abs(n)))), -kind.scale)) for n in data.draw(st.lists(integers))
        ]
    else:
        bits, signed = kind.bit_width, pa.types.is_signed_integer(kind)
        least = -(2 ** (bits - 1)) if signed else 0
        values = data.draw(st.lists(st.integers(least, least + 2**bits - 1)))
    limits = [None if limit is None else Decimal(str(limit)) for limit in (low, high)]
    expected = sum(
        (limits[0] is not None and value < limits[0]) or (limits[1] is not None and value > limits[1])
        for value in values
    )
    if low is None or high is None or low <= high:
        assert tallies.Limits.of(kind, low, high).outside(pa.array([*values, None], kind)) == expected


def test_a_limit_just_beyond_a_long_decimal_is_beyond_it() -> None:
    kind = pa.decimal256(70, 3)
    least = Decimal((1, (9,) * 70, -3))
    assert tallies.Limits.of(kind, None, -1e67).outside(pa.array([least, None], kind)) == 1
    assert tallies.Limits.of(kind, -1e67, None).outside(pa.array([least, None], kind)) == 0


@pytest.mark.parametrize(
    ("values", "limits", "outside"),
    [
        (pa.array([0.1, 0.2, math.nan, None], pa.float32()), [0.1, 0.1], 1),
        (pa.array([0.1, -0.0, math.inf], pa.float64()), [0, None], 0),
        (pa.array([-math.inf, math.inf, math.nan], pa.float64()), [-1, 1], 2),
        (pa.array([1.0, 3.0], pa.float16()), [None, 2], 1),
        (pa.array([1.0], pa.float32()), [1e300, None], 1),
        (pa.array([1, 3, 1]).dictionary_encode(), [2, None], 2),
        (pa.nulls(3).cast(pa.int8()), [500, None], 0),
    ],
)
def test_values_out_of_range(values: pa.Array, limits: list[Any], outside: int, tmp_path: Path) -> None:
    found = of({"x": values}, tmp_path, quality={"range": {"x": limits}})
    assert [each.count for each in found.broken] == ([outside] if outside else [])


# -- columns that are not there, or not what they are named for ------------------------------------------------------


def test_all_unknown_columns_are_told_with_what_was_meant(tmp_path: Path) -> None:
    error = refused(
        {"timestamp": ["x"], "close": [1.0]},
        tmp_path,
        timestamp_column="timestmp",
        distinct={"words": "zzz"},
        quality={"not_null": ["clsoe"], "unique": ["close", "Timestamp"], "range": {"open": [0, 1]}},
    )
    text = str(error)
    assert error.field == "tables[0].timestamp_column"
    assert "`tables[0].timestamp_column` must name a column of the table" in text
    assert "`timestmp` is none; did you mean `timestamp`?" in text
    assert "`tables[0].distinct.words`" in text
    assert "its columns are `timestamp`, `close`" in text
    assert "`tables[0].quality.not_null`" in text
    assert "did you mean `close`?" in text
    assert "`tables[0].quality.unique`" in text
    assert "`tables[0].quality.range`" in text


@pytest.mark.parametrize(
    ("values", "fields", "words"),
    [
        (["a"], {"quality": {"range": {"x": [0, 1]}}}, "should have numbers, and is `string`"),
        ([True], {"quality": {"range": {"x": [0, 1]}}}, "is `bool`"),
        (pa.array([0], pa.timestamp("s")), {"quality": {"range": {"x": [0, 1]}}}, "is `timestamp[s]`"),
        ([1.5], {"timestamp_column": "x"}, "is `double`"),
        ([[1]], {"quality": {"unique": ["x"]}}, "should have single values, and is `list<"),
        ([b"a"], {"distinct": {"a": "x"}}, "is `binary`"),
        ([{"a": 1}], {"distinct": {"a": "x"}}, "is `struct<"),
    ],
)
def test_a_rule_that_makes_no_sense_for_the_type_is_refused(
    values: Any, fields: dict[str, Any], words: str, tmp_path: Path
) -> None:
    error = refused({"x": values}, tmp_path, **fields)
    assert words in str(error)
    assert "`x`" in str(error)


def test_a_single_table_has_no_place_before_its_fields(tmp_path: Path) -> None:
    table = Table(name="default", path="x", timestamp_column="t")
    with pytest.raises(InvalidRequest) as error:
        measure([Split(pa.table({"x": [1]}))], table, tmp_path)
    assert error.value.field == "timestamp_column"


def test_splits_that_differ_are_refused(tmp_path: Path) -> None:
    splits = Split(pa.table({"a": [1], "b": [1]})), Split(pa.table({"a": [1.0], "b": [1]}), "test")
    with pytest.raises(InvalidRequest, match="`train` and `test` of `prices` differ in `a`") as error:
        facts(*splits, scratch=tmp_path)
    assert error.value.reason == "mixed_schemas"


# -- all of it against DuckDB ----------------------------------------------------------------------------------------


def test_a_table_of_a_market_is_what_duckdb_says_it_is(tmp_path: Path) -> None:
    rows = 5_000
    start = dt.datetime(2020, 1, 1, tzinfo=UTC)
    data = pa.table(
        {
            "timestamp": pa.array(
                [start + dt.timedelta(minutes=n // 10) for n in range(rows)], pa.timestamp("us", "UTC")
            ),
            "exchange": [("north", "south")[n % 2] for n in range(rows)],
            "symbol": [f"S{n % 10 // 2}" if n % 977 else None for n in range(rows)],
            "close": [math.nan if n % 501 == 0 else (n % 100) - 2.5 for n in range(rows)],
            "volume": [None if n % 333 == 0 else n * 10**12 for n in range(rows)],
        }
    )
    split = in_files(data.slice(0, 4_000), tmp_path, files=3)
    test = in_files(data.slice(3_990), tmp_path, split="test")
    quality = {"not_null": ["close"], "unique": ["timestamp", "exchange", "symbol"], "range": {"close": [0, None]}}
    distinct = {"exchanges": "exchange", "symbols": "symbol"}
    found = facts(split, test, scratch=tmp_path, distinct=distinct, quality=quality)

    def ask(query: str) -> tuple[Any, ...]:
        source = f"read_parquet('{tmp_path}/*.parquet')"
        return duckdb.execute(query.replace("SOURCE", source)).fetchone() or ()

    assert (found.rows,) == ask("SELECT count(*) FROM SOURCE")
    missing = "sum(volume IS NULL), sum(close IS NULL OR isnan(close)), sum(symbol IS NULL)"
    assert (found.nulls["volume"], found.nulls["close"], found.nulls["symbol"]) == ask(f"SELECT {missing} FROM SOURCE")
    low, high = ask("SELECT epoch_us(min(timestamp)), epoch_us(max(timestamp)) FROM SOURCE")
    assert found.date_range == (iso(low, "UTC"), iso(high, "UTC"))
    for name, column in distinct.items():
        values = ask(f"SELECT list(DISTINCT {column} ORDER BY {column}) FROM SOURCE WHERE {column} IS NOT NULL")[0]
        assert (list(found.distinct[name].values or ()), found.distinct[name].count) == (values, len(values))
    repeated = ask("SELECT sum(n - 1) FROM (SELECT count(*) AS n FROM SOURCE GROUP BY timestamp, exchange, symbol)")
    below = ask("SELECT count(*) FROM SOURCE WHERE close < 0")
    counts = {each.rule: (each.count,) for each in found.broken}
    assert counts == {"not_null": (found.nulls["close"],), "unique": repeated, "range": below}
