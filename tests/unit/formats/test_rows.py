"""A row's JSON is strict and complete; its MP3 has a safe name of its own."""

from __future__ import annotations

import hashlib
import json
import math
import unicodedata
from datetime import timedelta
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hugflow.formats.rows import (
    audio_file_name,
    audio_file_row,
    json_array,
    json_columns,
    json_file_row,
    json_type,
    json_values,
    row_json,
    schema_of,
    schema_text,
)
from hugflow.model.errors import RowError
from tests.support.world import strict_json


def document(array: pa.Array) -> list[Any]:
    """What the JSON files of a table of one column hold."""
    rows = json_columns(pa.RecordBatch.from_arrays([array], names=["x"]))
    return [strict_json(row_json(row).decode())["x"] for row in rows]


def omitted(data: bytes) -> dict[str, Any]:
    return {"omitted_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


LIST = [[1, 2], None, [3, None], [5, 6]]
MAP = pa.map_(pa.string(), pa.int64())

CASES: list[tuple[pa.Array, list[Any]]] = [
    (pa.array([True, False, None]), [True, False, None]),
    (pa.array([-(2**63), 2**63 - 1, None], pa.int64()), [-(2**63), 2**63 - 1, None]),
    (pa.array([0, 2**64 - 1], pa.uint64()), [0, 2**64 - 1]),
    (pa.array([2**53 + 1], pa.int64()), [2**53 + 1]),
    (pa.array([1.5, math.nan, math.inf, -math.inf, None]), [1.5, None, None, None, None]),
    (pa.array([0.1], pa.float32()), [0.10000000149011612]),
    (pa.array(np.array([1.5, np.nan], np.float16)), [1.5, None]),
    (pa.array(["", "日本", 'a\0b\u2028"\\', None]), ["", "日本", 'a\0b\u2028"\\', None]),
    (pa.array(["a", None], pa.large_string()), ["a", None]),
    (pa.array(["a", None], pa.string_view()), ["a", None]),
    (pa.array([None, None]), [None, None]),
    (pa.array([0, -1, None], pa.date32()), ["1970-01-01", "1969-12-31", None]),
    (pa.array([86_400_000], pa.date64()), ["1970-01-02"]),
    (pa.array([86_399], pa.time32("s")), ["23:59:59"]),
    (pa.array([1], pa.time32("ms")), ["00:00:00.001"]),
    (pa.array([1], pa.time64("us")), ["00:00:00.000001"]),
    (pa.array([1], pa.time64("ns")), ["00:00:00.000000001"]),
    (pa.array([0, -1, None], pa.timestamp("s")), ["1970-01-01T00:00:00", "1969-12-31T23:59:59", None]),
    (pa.array([1], pa.timestamp("ms")), ["1970-01-01T00:00:00.001"]),
    (pa.array([1], pa.timestamp("us")), ["1970-01-01T00:00:00.000001"]),
    (pa.array([1], pa.timestamp("ns")), ["1970-01-01T00:00:00.000000001"]),
    (pa.array([0, None], pa.timestamp("s", "UTC")), ["1970-01-01T00:00:00+00:00", None]),
    (pa.array([0], pa.timestamp("s", "+05:30")), ["1970-01-01T05:30:00+05:30"]),
    (pa.array([0], pa.timestamp("s", "-00:30")), ["1969-12-31T23:30:00-00:30"]),
    (pa.array([0, None], pa.timestamp("s", "No/Where")), ["1970-01-01T00:00:00+00:00", None]),
    (
        pa.array([0, 90, -90, None], pa.duration("s")),
        ["PT0S", "PT90S", "-PT90S", None],
    ),
    (pa.array([1_500, -1], pa.duration("ms")), ["PT1.5S", "-PT0.001S"]),
    (pa.array([1], pa.duration("us")), ["PT0.000001S"]),
    (pa.array([2**63 - 1], pa.duration("ns")), ["PT9223372036.854775807S"]),
    (pa.array([Decimal("1.50"), Decimal("-0.01"), None], pa.decimal128(20, 2)), ["1.50", "-0.01", None]),
    (pa.array([Decimal(10) ** 50], pa.decimal256(60, 2)), ["1" + "0" * 50 + ".00"]),
    (pa.array([Decimal("1.5")], pa.decimal32(5, 1)), ["1.5"]),
    (pa.array([Decimal("1.5")], pa.decimal64(5, 1)), ["1.5"]),
    (pa.array([b"abc", b"", None]), [omitted(b"abc"), omitted(b""), None]),
    (pa.array([b"abc"], pa.large_binary()), [omitted(b"abc")]),
    (pa.array([b"abc", None], pa.binary(3)), [omitted(b"abc"), None]),
    (pa.array([b"abc", None], pa.binary_view()), [omitted(b"abc"), None]),
    (pa.array(LIST), LIST),
    (pa.array(LIST, pa.large_list(pa.int64())), LIST),
    (pa.array(LIST, pa.list_(pa.int64(), 2)), LIST),
    (pa.array(LIST, pa.list_view(pa.int64())), LIST),
    (pa.array(LIST, pa.large_list_view(pa.int64())), LIST),
    (pa.array([[[1], []], [], None]), [[[1], []], [], None]),
    (pa.array([[math.nan, 1.0]]), [[None, 1.0]]),
    (pa.array([[b"abc", None]]), [[omitted(b"abc"), None]]),
    (pa.array([{"a": 1, "b": None}, None]), [{"a": 1, "b": None}, None]),
    (pa.array([{}, None], pa.struct([])), [{}, None]),
    (
        pa.array([{"bytes": b"abc", "path": "x.png"}, {"bytes": None, "path": None}]),
        [{"bytes": omitted(b"abc"), "path": "x.png"}, {"bytes": None, "path": None}],
    ),
    (
        pa.array(
            [[{"at": 0, "n": [1]}], [None]],
            pa.list_(pa.struct([("at", pa.timestamp("s")), ("n", pa.list_(pa.int8()))])),
        ),
        [[{"at": "1970-01-01T00:00:00", "n": [1]}], [None]],
    ),
    (
        pa.array([[("a", 1), ("b", None)], None, []], MAP),
        [[{"key": "a", "value": 1}, {"key": "b", "value": None}], None, []],
    ),
    (
        pa.array([[("a", 1)]], pa.map_(pa.string(), pa.timestamp("ns"))),
        [[{"key": "a", "value": "1970-01-01T00:00:00.000000001"}]],
    ),
    (pa.array(["a", "b", "a", None]).dictionary_encode(), ["a", "b", "a", None]),
    (pc.run_end_encode(pa.array([1, 1, 2, None])), [1, 1, 2, None]),
    (
        pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"0" * 16, None], pa.binary(16))),
        [omitted(b"0" * 16), None],
    ),
    (pa.FixedShapeTensorArray.from_numpy_ndarray(np.arange(8).reshape(2, 2, 2)), [[0, 1, 2, 3], [4, 5, 6, 7]]),
    (
        pa.UnionArray.from_dense(
            pa.array([0, 1, 2], pa.int8()),
            pa.array([0, 0, 0], pa.int32()),
            [pa.array([1]), pa.array(["y"]), pa.array([b"abc"])],
        ),
        ["1", "y", "3 bytes"],
    ),
    (
        pa.array([pa.MonthDayNano([1, 2, 3]), None], pa.month_day_nano_interval()),
        ["MonthDayNano(months=1, days=2, nanoseconds=3)", None],
    ),
]


@pytest.mark.parametrize(("array", "expected"), CASES, ids=[str(array.type)[:60] for array, _ in CASES])
def test_every_type_has_its_form(array: pa.Array, expected: list[Any]) -> None:
    assert document(array) == expected


@pytest.mark.parametrize("array", [array for array, _ in CASES], ids=[str(array.type)[:60] for array, _ in CASES])
def test_a_part_of_a_column_is_that_part(array: pa.Array) -> None:
    whole = document(array)
    for start in range(len(array)):
        for length in range(len(array) - start + 1):
            assert document(array.slice(start, length)) == whole[start : start + length]


@pytest.mark.parametrize("array", [array for array, _ in CASES], ids=[str(array.type)[:60] for array, _ in CASES])
def test_the_types_are_those_of_the_values_and_parquet_has_them(array: pa.Array) -> None:
    kind = json_type(array.type)
    assert json_values(array).type == kind
    again = pa.array(document(array), kind)
    assert again.to_pylist() == document(array)
    if kind != pa.struct([]):  # which parquet does not have, and so no source of ours
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table({"x": again}), sink)
        assert pq.read_table(pa.BufferReader(sink.getvalue())).column("x").to_pylist() == again.to_pylist()


def test_nested_values_of_nulls_stay_null() -> None:
    kind = pa.struct([("inner", pa.struct([("n", pa.int64())])), ("many", pa.list_(pa.binary()))])
    array = pa.array([None, {"inner": None, "many": None}, {"inner": {"n": None}, "many": [None]}], kind)
    assert document(array) == [
        None,
        {"inner": None, "many": None},
        {"inner": {"n": None}, "many": [None]},
    ]


# -- text that is no text ----------------------------------------------------------------------------------------------


def _texts(*texts: bytes) -> pa.Array:
    """An array of strings whose bytes nobody has checked."""
    offsets = np.cumsum([0, *map(len, texts)]).astype(np.int32)
    return pa.Array.from_buffers(
        pa.string(), len(texts), [None, pa.py_buffer(offsets.tobytes()), pa.py_buffer(b"".join(texts))]
    )


BAD = _texts(b"good", b"bad \xff\xfe", b"\xed\xa0\x80")
ONE_EACH = pa.array([0, 1, 2, 3], pa.int32())


@pytest.mark.parametrize(
    "array",
    [
        BAD,
        BAD.dictionary_encode(),
        pa.ListArray.from_arrays(ONE_EACH, BAD),
        pa.StructArray.from_arrays([BAD], names=["text"]),
        pa.MapArray.from_arrays(ONE_EACH, BAD, pa.array([1, 2, 3])),
        pa.MapArray.from_arrays(ONE_EACH, pa.array(["a", "b", "c"]), BAD),
        pa.UnionArray.from_dense(pa.array([0, 0, 0], pa.int8()), pa.array([0, 1, 2], pa.int32()), [BAD]),
    ],
    ids=lambda array: str(array.type)[:40],
)
def test_text_that_is_not_utf8_is_an_error_of_its_row(array: pa.Array) -> None:
    for row in (1, 2):
        with pytest.raises(RowError) as caught:
            document(array.slice(row, 1))
        assert caught.value.reason == "invalid_text"
    assert "good" in json.dumps(document(array.slice(0, 1))) or "a" in json.dumps(document(array.slice(0, 1)))


def test_what_json_cannot_say_is_an_error_of_its_row() -> None:
    twice = pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], names=["same", "same"])
    with pytest.raises(RowError) as caught:
        document(twice)
    assert caught.value.reason == "invalid_value"
    with pytest.raises(RowError) as caught:
        row_json({"x": object()})
    assert caught.value.reason == "invalid_value"


def test_integers_of_any_size_and_deep_values_are_exact() -> None:
    value: dict[str, Any] = {"n": 2**70, "text": "é", "nan": [math.nan, 1.5], "empty": [[], {}]}
    assert strict_json(row_json({"x": value}).decode()) == {"x": value | {"nan": [None, 1.5]}}
    deep: list[Any] = []
    for _ in range(400):
        deep = [deep]
    assert strict_json(row_json({"x": deep}).decode()) == {"x": deep}


def test_a_row_with_lone_surrogates_is_an_error_of_its_row() -> None:
    with pytest.raises(RowError):
        row_json({"x": "\ud800"})


def test_a_column_of_json_with_a_text_that_is_no_json_is_an_error_of_its_row() -> None:
    column = pa.ExtensionArray.from_storage(pa.json_(), pa.array(["1", "{"]))
    assert document(column.slice(0, 1)) == [1]
    with pytest.raises(RowError) as caught:
        document(column)
    assert caught.value.reason == "invalid_value"


def test_the_form_of_a_file() -> None:
    assert (
        row_json({"text": "Grüezi", "n": 1, "x": None})
        == '{\n  "text": "Grüezi",\n  "n": 1,\n  "x": null\n}\n'.encode()
    )


def test_values_of_several_types_become_text_at_any_depth_of_a_table() -> None:
    kind = pa.list_(pa.struct([("a", pa.string()), ("f", pa.float64())]))
    values = [[{"a": 1, "f": 1}, {"a": "x", "f": 2**70}], None, [], [{"a": {"k": [2**70]}, "f": None}, None]]
    expected = [
        [{"a": "1", "f": 1.0}, {"a": "x", "f": 2.0**70}],
        None,
        [],
        [{"a": '{"k":[1180591620717411303424]}', "f": None}, None],
    ]
    assert json_array(values, kind).to_pylist() == expected


def test_a_schema_comes_back_without_its_metadata() -> None:
    schema = pa.schema([("a", pa.int64()), ("b", pa.list_(pa.timestamp("us", "UTC")))], metadata={"x": "y"})
    assert schema_of(schema_text(schema)) == schema.remove_metadata()
    assert schema_of(schema_text(schema)).metadata is None


# -- any value ---------------------------------------------------------------------------------------------------------

leaves: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    (pa.uint64(), st.integers(0, 2**64 - 1)),
    (pa.float64(), st.floats()),
    (pa.float32(), st.floats(width=32)),
    (pa.bool_(), st.booleans()),
    (pa.string(), st.text()),
    (pa.binary(), st.binary(max_size=20)),
    (pa.timestamp("us"), st.datetimes()),
    (pa.timestamp("ms", "UTC"), st.integers(-(10**13), 10**13)),
    (pa.date32(), st.dates()),
    (pa.time64("us"), st.times()),
    (pa.duration("us"), st.timedeltas(-timedelta(10**7), timedelta(10**7))),
    (pa.decimal128(20, 3), st.decimals(-(10**15), 10**15, places=3)),
    (pa.null(), st.none()),
]
typed = st.recursive(
    st.sampled_from(leaves),
    lambda inner: st.one_of(
        inner.map(lambda pair: (pa.list_(pair[0]), st.lists(st.none() | pair[1], max_size=3))),
        inner.map(lambda pair: (pa.list_(pair[0], 2), st.lists(st.none() | pair[1], min_size=2, max_size=2))),
        st.tuples(inner, inner).map(
            lambda pairs: (
                pa.struct([("a", pairs[0][0]), ("b", pairs[1][0])]),
                st.fixed_dictionaries({"a": st.none() | pairs[0][1], "b": st.none() | pairs[1][1]}),
            )
        ),
        inner.map(
            lambda pair: (
                pa.map_(pa.string(), pair[0]),
                st.lists(st.tuples(st.text(max_size=3), st.none() | pair[1]), max_size=3),
            )
        ),
    ),
    max_leaves=4,
)


@st.composite
def columns(draw: st.DrawFn) -> pa.Array:
    kind, values = draw(typed)
    return pa.array(draw(st.lists(st.none() | values, min_size=1, max_size=6)), kind)


def _expected(value: Any, kind: pa.DataType) -> Any:
    """What a person would write for a value, where that is plain; Ellipsis where only its type is checked."""
    if value is None:
        return None
    if pa.types.is_map(kind):
        return [{"key": key, "value": _expected(item, kind.item_type)} for key, item in value]
    if pa.types.is_struct(kind):
        return {field.name: _expected(value[field.name], field.type) for field in kind}
    if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        return [_expected(item, kind.value_type) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        return omitted(value)
    return value if isinstance(value, int | str) else ...


def _agrees(found: Any, expected: Any) -> bool:
    if expected is ...:
        return isinstance(found, str)
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(_agrees, found, expected))
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(_agrees(found[key], expected[key]) for key in expected)
    return type(found) is type(expected) and found == expected


@given(columns(), st.integers(0, 3))
@settings(max_examples=300, deadline=None)
def test_any_value_becomes_strict_json_that_says_it(array: pa.Array, start: int) -> None:
    array = array.slice(min(start, len(array)))
    for found, value in zip(document(array), array.to_pylist(), strict=True):
        assert _agrees(found, _expected(value, array.type)), (found, value)


# -- names of audio files ----------------------------------------------------------------------------------------------

NASTY = [
    "../../x",
    "/etc/passwd",
    "..",
    ".",
    "",
    "a\0b",
    "n" * 300,
    "日" * 300,
    "é" + unicodedata.normalize("NFD", "é") * 200,
    unicodedata.normalize("NFC", "é"),
    unicodedata.normalize("NFD", "é"),
    "A.wav",
    "a.wav",
    "CON",
    "NUL.mp3",
    "ends with a dot.",
    "-rf",
    "--help",
    "line\nbreak",
    "\u202egnp.exe",
    "\x1b[31mred",
    "C:\\Windows\\x.wav",
    "zip://inner/a.wav::hf://datasets/acme/x@main/a.zip",
    "hf://datasets/acme/x@main/b.flac",
    "x.tar.gz",
    "a__7",
    "7",
    "__",
    "a.parquet.b",
    "~root",
    "$HOME",
    "a*?[b]",
    "\ud800",
    " ",
    "👩‍👩‍👧",
    "x.mp3/",
]


def _check_name(name: str, row: int) -> None:
    assert PurePosixPath(name).name == name, "it is one component"
    assert len(name.encode()) <= 255
    assert name.endswith(".mp3")
    assert name.isprintable()
    assert not set(name) & set('/\\:*?"<>|~$\0')
    assert not name.startswith((".", "-", " "))
    assert unicodedata.normalize("NFC", name) == name
    assert name.count(".") == 1, "`datasets` takes what stands between dots for the kind of a file"
    assert name.removesuffix(".mp3").rpartition("__")[2] == str(row)
    assert audio_file_row(name) == row


def test_nasty_names_become_safe_ones_of_their_own() -> None:
    names = [audio_file_name(name, row) for row, name in enumerate(NASTY)]
    for row, name in enumerate(names):
        _check_name(name, row)
    assert len({unicodedata.normalize("NFD", name).casefold() for name in names}) == len(NASTY)


@given(st.lists(st.none() | st.text(max_size=300) | st.sampled_from(NASTY), max_size=20), st.integers(0, 10**12))
def test_any_names_become_safe_ones_of_their_own(sources: list[str | None], first: int) -> None:
    names = [audio_file_name(source, first + number) for number, source in enumerate(sources)]
    for number, name in enumerate(names):
        _check_name(name, first + number)
    assert len({unicodedata.normalize("NFD", name).casefold() for name in names}) == len(sources)
    assert names == [audio_file_name(source, first + number) for number, source in enumerate(sources)]


@pytest.mark.parametrize(
    "name", ["", "7", "a__7", "a.mp3", "a__.mp3", "a__07.mp3", "a__-7.mp3", "a__²__³.mp3", "a__٣.mp3"]
)
def test_a_name_that_no_row_gets_is_no_row_s(name: str) -> None:
    assert audio_file_row(name) is None
    assert json_file_row(name.replace("mp3", "json").replace("a__", "")) is None


def test_the_row_of_a_json_file() -> None:
    assert [json_file_row(name) for name in ("0.json", "12.json", "12.json.tmp", "x.json")] == [0, 12, None, None]


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("common_voice_en_651325.mp3", "common_voice_en_651325__7.mp3"),
        ("clips/LJ002-0020.wav", "LJ002-0020__7.mp3"),
        ("Räksmörgås 3.FLAC", "Räksmörgås 3__7.mp3"),
        ("hf://datasets/acme/x@main/b.flac", "b__7.mp3"),
        ("zip://inner/a.wav::hf://datasets/acme/x@main/a.zip", "a__7.mp3"),
        (None, "7.mp3"),
        ("...", "7.mp3"),
        (".wav", "7.mp3"),
        ("v1.2 take.3.wav", "v1_2 take_3__7.mp3"),
    ],
)
def test_a_name_is_still_recognised(source: str | None, name: str) -> None:
    assert audio_file_name(source, 7) == name
