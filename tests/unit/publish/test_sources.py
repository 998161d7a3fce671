"""Sources: the paths of a request, and every value of every file with its type."""

from __future__ import annotations

import bz2
import datetime as dt
import gzip
import json
import lzma
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from hugflow.model.errors import HugflowError, InvalidRequest, Terminal
from hugflow.model.publish_spec import PublishSpec
from hugflow.publish.sources.csv_files import CsvFiles
from hugflow.publish.sources.files import Place, find, natural
from hugflow.publish.sources.json_files import JsonFiles
from hugflow.publish.sources.opening import Source, of_arrow, open_tables
from hugflow.storage.disk import open_regular

ROWS = [{"n": 1, "text": "one"}, {"n": 2, "text": "two"}, {"n": 3, "text": None}]
TABLE = pa.Table.from_pylist(ROWS)


def spec_of(**fields: Any) -> PublishSpec:
    return PublishSpec.model_validate({"repo_id": "acme/market"} | fields)


def sources_of(root: Path, **fields: Any) -> list[Source]:
    return open_tables(spec_of(**fields), root)


def source_of(root: Path, path: str = "data") -> Source:
    (source,) = sources_of(root, path=path)
    return source


def rows_of(source: Source, columns: Sequence[str] | None = None) -> list[dict[str, Any]]:
    batches = list(source.batches(columns))
    wanted = source.schema if columns is None else pa.schema([source.schema.field(name) for name in columns])
    assert all(batch.schema.equals(wanted, check_metadata=True) for batch in batches)
    return [row for batch in batches for row in batch.to_pylist()]


def types_of(source: Source) -> dict[str, str]:
    assert list(source.features) == source.schema.names
    return {field.name: str(field.type) for field in source.schema}


def refused(root: Path, path: str, kind: type[HugflowError] = InvalidRequest) -> HugflowError:
    with pytest.raises(kind) as caught:
        list(source_of(root, path).batches())
    return caught.value


def write(path: Path, content: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def write_parquet(path: Path, table: pa.Table = TABLE, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, **options)
    return path


def arrow_bytes(table: pa.Table, *, stream: bool = False) -> bytes:
    sink = pa.BufferOutputStream()
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return sink.getvalue().to_pybytes()


def json_lines(rows: Sequence[Mapping[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def csv_text(rows: Sequence[Sequence[str]]) -> bytes:
    return "".join(",".join(row) + "\n" for row in rows).encode()


CSV = csv_text([["n", "text"], ["1", "one"], ["2", "two"], ["3", ""]])


# -- formats ----------------------------------------------------------------------------------------------------------

FILES: dict[str, Callable[[], bytes]] = {
    "x.arrow": lambda: arrow_bytes(TABLE),
    "x.feather": lambda: arrow_bytes(TABLE),
    "stream.arrow": lambda: arrow_bytes(TABLE, stream=True),
    "x.csv": lambda: CSV,
    "x.CSV": lambda: CSV,
    "x.tsv": lambda: CSV.replace(b",", b"\t"),
    "x.csv.gz": lambda: gzip.compress(CSV),
    "two-members.csv.gz": lambda: gzip.compress(CSV[:9]) + gzip.compress(CSV[9:]),
    "x.csv.bz2": lambda: bz2.compress(CSV),
    "x.csv.xz": lambda: lzma.compress(CSV),
    "x.csv.zst": lambda: zstandard.ZstdCompressor().compress(CSV),
    "bom.csv": lambda: b"\xef\xbb\xbf" + CSV,
    "windows.csv": lambda: CSV.replace(b"\n", b"\r\n"),
    "semicolons.csv": lambda: CSV.replace(b",", b";"),
    "x.jsonl": lambda: json_lines(ROWS),
    "x.ndjson": lambda: json_lines(ROWS),
    "x.json": lambda: json_lines(ROWS),
    "bom.jsonl": lambda: b"\xef\xbb\xbf" + json_lines(ROWS),
    "x.jsonl.gz": lambda: gzip.compress(json_lines(ROWS)),
    "x.json.zst": lambda: zstandard.ZstdCompressor().compress(json_lines(ROWS)),
    "array.json": lambda: json.dumps(ROWS, indent=2).encode(),
    "array.json.xz": lambda: lzma.compress(json.dumps(ROWS).encode()),
    "without-nulls.jsonl": lambda: json_lines([{k: v for k, v in row.items() if v is not None} for row in ROWS]),
}


@pytest.mark.parametrize("name", FILES)
def test_every_format_gives_its_rows(tmp_path: Path, name: str) -> None:
    write(tmp_path / "data" / name, FILES[name]())
    source = source_of(tmp_path, f"data/{name}")
    assert types_of(source) == {"n": "int64", "text": "string"}
    assert rows_of(source) == ROWS
    assert rows_of(source) == ROWS, "again, from the beginning"
    assert rows_of(source, ["text"]) == [{"text": row["text"]} for row in ROWS]
    assert rows_of(source, ["text", "n"]) == ROWS
    assert (source.config, source.split, source.rows, source.parquet_files) == ("default", "train", 3, ())
    assert source.source_bytes == (tmp_path / "data" / name).stat().st_size
    assert source.files == (tmp_path / "data" / name,)


def test_parquet_says_its_rows_and_where_they_stand(tmp_path: Path) -> None:
    file = write_parquet(tmp_path / "x.parquet", row_group_size=2)
    source = source_of(tmp_path, "x.parquet")
    assert (rows_of(source), source.rows, source.parquet_files) == (ROWS, 3, (file,))
    assert rows_of(source, ["text"]) == [{"text": row["text"]} for row in ROWS]


def test_files_without_rows_have_their_columns(tmp_path: Path) -> None:
    write_parquet(tmp_path / "data/1.parquet", TABLE.slice(0, 0))
    assert (rows_of(source_of(tmp_path)), source_of(tmp_path).rows) == ([], 0)
    write_parquet(tmp_path / "data/2.parquet")
    assert rows_of(source_of(tmp_path)) == ROWS
    write(tmp_path / "x.arrow", arrow_bytes(TABLE.slice(0, 0)))
    assert types_of(source_of(tmp_path, "x.arrow")) == {"n": "int64", "text": "string"}
    write(tmp_path / "json/1.jsonl", b"")
    write(tmp_path / "json/2.jsonl", json_lines(ROWS))
    assert rows_of(source_of(tmp_path, "json")) == ROWS


def test_a_column_with_a_dot_in_its_name_is_one_column(tmp_path: Path) -> None:
    table = pa.table({"a": [1], "a.b": [2], "s": pa.array([{"x": 3}]), "s.x": [4]})
    write_parquet(tmp_path / "x.parquet", table)
    source = source_of(tmp_path, "x.parquet")
    assert rows_of(source, ["a"]) == [{"a": 1}]
    assert rows_of(source, ["s.x", "a.b"]) == [{"s.x": 4, "a.b": 2}]
    assert rows_of(source) == table.to_pylist()


@pytest.mark.parametrize("stream", [False, True])
def test_compressed_arrow_and_dictionaries(tmp_path: Path, stream: bool) -> None:
    table = pa.table({"k": pa.array(["a", None, "b", "a"]).dictionary_encode(), "v": pa.array([1, 2, 3, 4], pa.int8())})
    sink = pa.BufferOutputStream()
    new = pa.ipc.new_stream if stream else pa.ipc.new_file
    with new(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    write(tmp_path / "x.arrow", sink.getvalue().to_pybytes())
    source = source_of(tmp_path, "x.arrow")
    assert types_of(source) == {"k": "string", "v": "int8"}
    assert rows_of(source) == table.to_pylist()
    assert source.rows == 4


# -- types of CSV -----------------------------------------------------------------------------------------------------


def read_in_pieces(
    root: Path, path: str, opened: type[CsvFiles | JsonFiles]
) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """Types and rows of files that are read a few rows at a time: what comes late contradicts what came first."""
    files = find(root, Place(path, "path")).files
    table = opened.open(files, 64)
    batches = [batch for _, batch in table.parts(files, None)]
    assert len(batches) > 1
    assert sum(table.rows.values()) == sum(batch.num_rows for batch in batches)
    return {f.name: str(f.type) for f in table.columns.schema}, [row for batch in batches for row in batch.to_pylist()]


LATE: dict[str, tuple[list[str], str, list[Any]]] = {
    "float after int": (["1"] * 99 + ["2.5"], "double", [1.0] * 99 + [2.5]),
    "text after int": (["1"] * 99 + ["x"], "string", ["1"] * 99 + ["x"]),
    "null after int": (["1"] * 99 + ["NA"], "int64", [1] * 99 + [None]),
    "int after nulls": ([""] * 99 + ["7"], "int64", [None] * 99 + [7]),
    "text after nulls": (["", "NA"] * 50 + ["x"], "string", [None, "NA"] * 50 + ["x"]),
    "large after int": (["1"] * 99 + ["9223372036854775808"], "string", ["1"] * 99 + ["9223372036854775808"]),
    "float after long int": (["9007199254740993"] + ["1.5"] * 99, "string", ["9007199254740993"] + ["1.5"] * 99),
    "int before float": (["9007199254740992"] + ["1.5"] * 99, "double", [9007199254740992.0] + [1.5] * 99),
    "leading zeros": (["1"] * 99 + ["007"], "string", ["1"] * 99 + ["007"]),
    "a plus": (["1"] * 99 + ["+49"], "string", ["1"] * 99 + ["+49"]),
    "too large for a float": (["1.5"] * 99 + ["1e999"], "string", ["1.5"] * 99 + ["1e999"]),
    "a trailing zero": (["1.1"] * 99 + ["1.10"], "string", ["1.1"] * 99 + ["1.10"]),
    "versions": (["1.0.0"] * 99 + ["1.2"], "string", None),
    "prices": (["9.50", "12.25"] * 50, "string", ["9.50", "12.25"] * 50),
    "a point alone": (["1.5"] * 99 + ["2."], "string", ["1.5"] * 99 + ["2."]),
    "no digit before the point": (["1.5"] * 99 + [".5"], "string", ["1.5"] * 99 + [".5"]),
    "an exponent": (["1"] * 99 + ["1e5"], "string", ["1"] * 99 + ["1e5"]),
    "exponents of Python": (["1e-05", "1e+16", "0.5", "1.0"] * 25, "double", [1e-05, 1e16, 0.5, 1.0] * 25),
    "small without exponent": (["0.00001", "2"] * 50, "double", [0.00001, 2.0] * 50),
    "zero with and without a point": (["0", "0.5"] * 49 + ["0.5", "1.0"], "string", None),
    "written by pandas": (["1.0", "2.5", "-3.0"] * 33, "double", [1.0, 2.5, -3.0] * 33),
    "seventeen digits": (["0.30000000000000004"] * 99 + ["0.1"], "double", [0.30000000000000004] * 99 + [0.1]),
    "too many digits": (["0.1"] * 99 + ["0.1000000000000000055"], "string", None),
    "larger than int64": (["18446744073709551615"] * 100, "string", ["18446744073709551615"] * 100),
    "large and exact": (["1.5"] * 99 + ["9007199254740994"], "string", ["1.5"] * 99 + ["9007199254740994"]),
    "a day that is not ISO": (["31/01/2024"] * 100, "string", ["31/01/2024"] * 100),
    "infinity": (["1.5"] * 99 + ["-inf"], "double", [1.5] * 99 + [float("-inf")]),
    "booleans": (["true", "False"] * 50, "bool", [True, False] * 50),
    "int after boolean": (["true"] * 99 + ["1"], "string", ["true"] * 99 + ["1"]),
    "dates": (["2024-02-29"] * 99 + [""], "date32[day]", [dt.date(2024, 2, 29)] * 99 + [None]),
    "no date": (["2024-02-29"] * 99 + ["2023-02-29"], "string", ["2024-02-29"] * 99 + ["2023-02-29"]),
    "time after date": (
        ["2024-01-01"] * 99 + ["2024-01-02 03:04:05"],
        "timestamp[ms]",
        [dt.datetime(2024, 1, 1)] * 99 + [dt.datetime(2024, 1, 2, 3, 4, 5)],  # noqa: DTZ001 - without a zone
    ),
    "microseconds": (
        ["2024-01-01 00:00:00.000001"] * 100,
        "timestamp[us]",
        [dt.datetime(2024, 1, 1, 0, 0, 0, 1)] * 100,  # noqa: DTZ001 - without a zone
    ),
    "far away": (["0001-01-01T00:00:00.5", "9999-12-31 23:59:59"] * 50, "timestamp[ms]", None),
    "zones": (
        ["2024-01-01T00:00:00Z"] * 99 + ["2024-01-01T02:00:00+02:00"],
        "timestamp[ms, tz=UTC]",
        [dt.datetime(2024, 1, 1, tzinfo=dt.UTC)] * 100,
    ),
    "a zone or none": (["2024-01-01T00:00:00Z"] * 99 + ["2024-01-01T00:00:00"], "string", None),
    "nothing": ([""] * 100, "null", [None] * 100),
    "only words for nothing": (["NA", ""] * 50, "string", ["NA", None] * 50),
    "empty in quotes": (["x", '""'] * 50, "string", ["x", ""] * 50),
}


@pytest.mark.parametrize("name", LATE)
def test_types_of_csv_are_those_of_the_whole_file(tmp_path: Path, name: str) -> None:
    texts, kind, values = LATE[name]
    write(tmp_path / "x.csv", csv_text([["i", "v"], *([str(i), text] for i, text in enumerate(texts))]))
    types, found = read_in_pieces(tmp_path, "x.csv", CsvFiles)
    assert types == {"i": "int64", "v": kind}
    assert [row["i"] for row in found] == list(range(len(texts)))
    if values is not None:
        assert [row["v"] for row in found] == values
    else:
        assert [str(row["v"])[:4] for row in found] == [text[:4] for text in texts]


@pytest.mark.parametrize(
    ("texts", "example"),
    [(["1.1", "1.10"], "1.10"), (["9.50"], "9.50"), (["1", "1e5"], "1e5"), (["1", "2."], "2."), (["2", ".5"], ".5")],
)
def test_numbers_that_stay_text_are_told(tmp_path: Path, texts: list[str], example: str) -> None:
    write(tmp_path / "x.csv", csv_text([["i", "v"], *([str(i), text] for i, text in enumerate(texts))]))
    (note,) = source_of(tmp_path, "x.csv").notes
    assert f"the column `v` is text: as a number `{example}`" in note
    (source,) = sources_of(tmp_path, path="x.csv", columns={"v": "float64"})
    assert [row["v"] for row in rows_of(source)] == [float(text) for text in texts]
    assert source.notes == ()


@pytest.mark.parametrize("texts", [["1.5", "2"], ["007"], ["+1"], ["a", "1.10"], ["1.10", "x"], ["2024-01-01"], [""]])
def test_other_columns_are_not_mentioned(tmp_path: Path, texts: list[str]) -> None:
    write(tmp_path / "x.csv", csv_text([["i", "v"], *([str(i), text] for i, text in enumerate(texts))]))
    assert source_of(tmp_path, "x.csv").notes == ()


def test_nanoseconds_stay_exact(tmp_path: Path) -> None:
    write(tmp_path / "x.csv", "t\n2024-01-01 00:00:00.123456789\n")
    (batch,) = source_of(tmp_path, "x.csv").batches()
    assert batch.schema.field("t").type == pa.timestamp("ns")
    assert batch.column(0)[0].value == 1704067200123456789


def test_files_of_a_csv_split_settle_their_types_together(tmp_path: Path) -> None:
    write(tmp_path / "data/1.csv", "a,b\n1,x\n")
    write(tmp_path / "data/2.csv", "b,c,a\n2,true,1.5\n")
    source = source_of(tmp_path)
    assert types_of(source) == {"a": "double", "b": "string", "c": "bool"}
    assert rows_of(source) == [{"a": 1.0, "b": "x", "c": None}, {"a": 1.5, "b": "2", "c": True}]
    assert rows_of(source, ["c"]) == [{"c": None}, {"c": True}]
    assert source.rows == 2


def test_a_row_that_is_longer_than_a_block(tmp_path: Path) -> None:
    texts = ["1"] * 9 + ["x" * 5000] + ["2"] * 9
    write(tmp_path / "x.csv", csv_text([["v"], *([text] for text in texts)]))
    assert [row["v"] for row in read_in_pieces(tmp_path, "x.csv", CsvFiles)[1]] == texts


def test_quotes_line_breaks_and_odd_names_in_csv(tmp_path: Path) -> None:
    write(tmp_path / "x.csv", b'"a\nb","c,d",,"e ""f"""\r\n"1\n2","x,y",3,"""z"""\r\n')
    assert rows_of(source_of(tmp_path, "x.csv")) == [{"a\nb": "1\n2", "c,d": "x,y", "Unnamed: 2": 3, 'e "f"': '"z"'}]


def test_a_csv_with_nothing_but_a_header_has_columns_and_no_rows(tmp_path: Path) -> None:
    write(tmp_path / "x.csv", "a,b")
    source = source_of(tmp_path, "x.csv")
    assert (types_of(source), rows_of(source), source.rows) == ({"a": "null", "b": "null"}, [], 0)


NO_NUMBERS = ["", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"]
NO_NUMBERS += ["N/A", "NA", "NULL", "NaN", "n/a", "nan", "null"]

numbers = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.floats(allow_nan=False).map(repr),
    st.sampled_from(["007", "0x1F", "+1", "1_0", "-0", "1.", ".5", "true", "2024-01-01", "\u0661", *NO_NUMBERS]),
    st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters='",'), max_size=4),
)


@given(st.lists(numbers, min_size=1, max_size=12))
def test_whatever_stands_in_a_csv_column_arrives(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    folder = tmp_path_factory.mktemp("csv")
    write(folder / "x.csv", csv_text([["i", "v"], *([str(i), text] for i, text in enumerate(texts))]))
    (source,) = sources_of(folder, path="x.csv")
    kind = source.schema.field("v").type
    for text, row in zip(texts, rows_of(source), strict=True):
        value = row["v"]
        if pa.types.is_string(kind):
            assert value == (text or None)
        elif value is None:
            assert text in NO_NUMBERS
        elif pa.types.is_int64(kind):
            assert str(value) == text
        elif pa.types.is_floating(kind):
            assert value == float(text)
            assert text in {repr(value), f"{value:.0f}", f"{value:.20f}".rstrip("0")}
            assert "." in text or "e" in text or "inf" in text or int(value) == int(text)
        else:
            assert str(value).lower() == text


# -- types of JSON ----------------------------------------------------------------------------------------------------

LATE_JSON: dict[str, tuple[list[Any], str, list[Any] | None]] = {
    "float after int": ([1] * 99 + [2.5], "double", None),
    "null": ([None] * 99 + [{"a": 1}], "struct<a: int64>", None),
    "text after int": ([1] * 99 + ["x"], "string", ["1"] * 99 + ["x"]),
    "boolean and int": ([True] * 99 + [1], "string", ["true"] * 99 + ["1"]),
    "long int and float": ([2**53 + 1] * 99 + [0.5], "string", ["9007199254740993"] * 99 + ["0.5"]),
    "long int after float": ([0.5] * 99 + [2**53 + 1], "string", ["0.5"] * 99 + ["9007199254740993"]),
    "long int in a float list": (
        [[0.5]] * 99 + [[2**53 + 1]],
        "list<item: string>",
        [["0.5"]] * 99 + [["9007199254740993"]],
    ),
    "long int": ([2**63 - 1] * 50 + [-(2**63)] * 50, "int64", None),
    "longer than int64": ([1] * 99 + [2**63], "string", ["1"] * 99 + ["9223372036854775808"]),
    "object after text": (["x"] * 99 + [{"a": 1}], "string", ["x"] * 99 + ['{"a": 1}']),
    "list after object": ([{"a": 1}] * 99 + [[1]], "string", ['{"a": 1}'] * 99 + ["[1]"]),
    "mixed list": ([[1]] * 99 + [[1, "x", None, {}]], "list<item: string>", [["1"]] * 99 + [["1", "x", None, "{}"]]),
    "a late key": (
        [{"a": 1}] * 99 + [{"b": "x"}],
        "struct<a: int64, b: string>",
        [{"a": 1, "b": None}] * 99 + [{"a": None, "b": "x"}],
    ),
    "nested": (
        [{"a": [{"b": 1}]}] * 99 + [{"a": [{"b": 0.5}, None]}],
        "struct<a: list<item: struct<b: double>>>",
        None,
    ),
    "empty objects": ([{}] * 100, "string", ["{}"] * 100),
    "empty lists": ([[]] * 100, "list<item: null>", None),
    "dates": (["2024-02-29"] * 99 + [None], "date32[day]", [dt.date(2024, 2, 29)] * 99 + [None]),
    "no date": (["2024-02-29"] * 99 + ["soon"], "string", None),
    "empty text among dates": (["2024-02-29"] * 99 + [""], "string", None),
    "zones": (["2024-01-01T00:00:00Z"] * 100, "timestamp[ms, tz=UTC]", [dt.datetime(2024, 1, 1, tzinfo=dt.UTC)] * 100),
    "nested dates": ([{"a": "2024-02-29"}] * 100, "struct<a: string>", None),
    "numbers as text": (["1"] * 100, "string", None),
    "odd texts": (["\u0000", "\U0001f600", 'a"b\\c\n', ""] * 25, "string", None),
}


@pytest.mark.parametrize("form", ["lines", "array"])
@pytest.mark.parametrize("name", LATE_JSON)
def test_types_of_json_are_those_of_the_whole_file(tmp_path: Path, name: str, form: str) -> None:
    values, kind, expected = LATE_JSON[name]
    rows = [{"i": i, "v": value} for i, value in enumerate(values)]
    write(tmp_path / "x.json", json_lines(rows) if form == "lines" else json.dumps(rows))
    types, found = read_in_pieces(tmp_path, "x.json", JsonFiles)
    assert types == {"i": "int64", "v": kind}
    assert found == [{"i": i, "v": v} for i, v in enumerate(values if expected is None else expected)]


def test_numbers_that_python_writes_and_json_does_not_know(tmp_path: Path) -> None:
    write(tmp_path / "x.jsonl", '{"v": Infinity}\n{"v": 1}\n{"v": NaN}\n')
    found = [row["v"] for row in rows_of(source_of(tmp_path, "x.jsonl"))]
    assert found[:2] == [float("inf"), 1.0]
    assert found[2] != found[2]


def test_an_object_of_very_many_keys_is_a_dictionary_as_text(tmp_path: Path) -> None:
    counts = {f"word {i}": i for i in range(1001)}
    write(tmp_path / "x.jsonl", json_lines([{"counts": counts}]))
    (row,) = rows_of(source_of(tmp_path, "x.jsonl"))
    assert json.loads(row["counts"]) == counts


def test_what_is_nested_very_deeply_late_in_a_file_does_not_end_the_process(tmp_path: Path) -> None:
    write(tmp_path / "x.jsonl", b'{"a": 1}\n' * 100 + b'{"a": ' + b"[" * 10**6 + b"]" * 10**6 + b"}\n")
    with pytest.raises(InvalidRequest, match="line 101: it is nested too deeply"):
        read_in_pieces(tmp_path, "x.jsonl", JsonFiles)


def test_what_is_nested_very_deeply_is_text(tmp_path: Path) -> None:
    deep: Any = 1
    for _ in range(150):
        deep = [deep]
    rows = [{"v": deep, "s": "[" * 200}, {"v": [], "s": None}]
    write(tmp_path / "x.jsonl", json_lines(rows))
    found = rows_of(source_of(tmp_path, "x.jsonl"))
    value, levels = found[0]["v"], 0
    while isinstance(value, list):
        (value,), levels = value, levels + 1
    assert levels > 50
    assert value == "[" * (150 - levels) + "1" + "]" * (150 - levels)
    assert [row["s"] for row in found] == ["[" * 200, None]


leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**66), 2**66),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=3),
    st.sampled_from(["2024-01-01", "2024-01-01T00:00:00"]),
)
values = st.recursive(
    leaves,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("ab"), inner, max_size=2)),
    max_leaves=6,
)


def same(value: Any, published: Any) -> bool:
    """Whether a published value is the one of the file, as it is, as its text, or with keys that are null."""
    if isinstance(published, str) and not isinstance(value, str):
        return bool(json.loads(published) == value)
    if isinstance(published, dt.date):
        return isinstance(value, str) and published.isoformat().startswith(value[:10])
    if isinstance(value, dict) and isinstance(published, dict):
        return all(same(value.get(key), item) for key, item in published.items()) and set(value) <= set(published)
    if isinstance(value, list) and isinstance(published, list):
        return len(value) == len(published) and all(map(same, value, published))
    if isinstance(value, int) and isinstance(published, float):
        return value == published and abs(value) <= 2**53
    return type(value) is type(published) and bool(value == published)


@given(st.lists(values, min_size=1, max_size=6))
def test_whatever_stands_in_json_arrives(tmp_path_factory: pytest.TempPathFactory, found: list[Any]) -> None:
    folder = tmp_path_factory.mktemp("json")
    write(folder / "x.jsonl", json_lines([{"v": value} for value in found]))
    (source,) = sources_of(folder, path="x.jsonl")
    for value, row in zip(found, rows_of(source), strict=True):
        assert same(value, row["v"]), (value, row["v"])


# -- broken files -----------------------------------------------------------------------------------------------------

BROKEN: dict[str, tuple[str, bytes, str]] = {
    "no parquet": ("x.parquet", b"PAR1 no", "cannot be read"),
    "empty parquet": ("x.parquet", b"", "cannot be read"),
    "cut parquet": ("x.parquet", b"PAR1" + b"x" * 100, "cannot be read"),
    "no arrow": ("x.arrow", b"ARROW1 no", "cannot be read"),
    "empty arrow": ("x.arrow", b"", "cannot be read"),
    "cut arrow": ("x.arrow", arrow_bytes(TABLE)[:-40], "cannot be read"),
    "cut stream": ("x.arrow", arrow_bytes(TABLE, stream=True)[:-60], "cannot be read"),
    "empty csv": ("x.csv", b"", "it is empty"),
    "blank csv": ("x.csv", b"\n\r\n\n", "it is empty"),
    "short row": ("x.csv", b"a,b\n1,2\n3\n", "Row #2: Expected 2 columns, got 1"),
    "long row": ("x.csv", b"a,b\n1,2,3\n", "Row #1: Expected 2 columns, got 3"),
    "no utf-8 in csv": ("x.csv", b"a\n1\n\xff\n", "invalid UTF8"),
    "no utf-8 in a header": ("x.csv", b"\xff\n1\n", "cannot be read"),
    "doubled column": ("x.csv", b"a,a\n1,2\n", "two of its columns are called `a`"),
    "doubled name of none": ("x.csv", b",Unnamed: 0\n1,2\n", "two of its columns are called `Unnamed: 0`"),
    "no gzip": ("x.csv.gz", b"a,b\n", "cannot be read"),
    "cut gzip": ("x.csv.gz", gzip.compress(CSV)[:-9], "cannot be read"),
    "cut xz": ("x.jsonl.xz", lzma.compress(json_lines(ROWS))[:-20], "cannot be read"),
    "cut zst": ("x.jsonl.zst", zstandard.ZstdCompressor().compress(json_lines(ROWS))[:-5], "cannot be read"),
    "cut zst in csv": ("x.csv.zst", zstandard.ZstdCompressor().compress(CSV)[:-5], "cannot be read"),
    "empty json": ("x.jsonl", b"", "it has no columns"),
    "empty array": ("x.json", b"[]", "it has no columns"),
    "cut json": ("x.jsonl", b'{"a": 1}\n\n{"a": ', "line 3: it is no JSON"),
    "cut array": ("x.json", b'[{"a": 1}, ', "cannot be read"),
    "no object": ("x.jsonl", b'{"a": 1}\n2\n', "line 2: it is no JSON object"),
    "no utf-8 in json": ("x.jsonl", b'{"a": "x"}\n{"a": "\xff"}\n', "line 2: it is not UTF-8"),
    "half a pair": (
        "x.jsonl",
        b'{"a": "x"}\n{"a": "\\ud800"}\n',
        "line 2: the value of `a` has half of a surrogate pair",
    ),
    "key twice": (
        "x.jsonl",
        b'{"a": 1}\n{"b": 1}\n{"a": 1, "a": 2}\n',
        "line 3: it is no JSON: an object has the same key",
    ),
    "too many keys": ("x.jsonl", json_lines([{str(i): i} for i in range(10_001)]), "more than 10000 different keys"),
    "only empty objects": ("x.jsonl", b"{}\n{}\n", "it has no columns"),
    "deep json": (
        "x.jsonl",
        b'{"a": 1}\n{"a": ' + b"[" * 10**6 + b"]" * 10**6 + b"}\n",
        "line 2: it is nested too deeply",
    ),
    "deep over lines": ("x.jsonl", b'{"a":\n' * 10**5 + b"1" + b"}" * 10**5, "line 1: it is nested too deeply"),
    "deep array": ("x.json", b"[" * 10**6 + b"]" * 10**6, "cannot be read"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_named_with_the_place(tmp_path: Path, name: str) -> None:
    file, content, problem = BROKEN[name]
    write(tmp_path / "data" / file, content)
    error = refused(tmp_path, f"data/{file}")
    assert error.doing == f"reading `data/{file}`"
    assert problem in error.problem
    assert error.fix
    assert isinstance(error, InvalidRequest)
    assert error.field == "path"


def test_arrow_files_whose_offsets_lead_elsewhere_do_not_end_the_process(tmp_path: Path) -> None:
    content = bytearray(arrow_bytes(pa.table({"s": ["aaaa", "bbbb"]})))
    place = content.find(b"aaaabbbb")
    offsets = content.rfind(b"\x04\x00\x00\x00\x08\x00\x00\x00", 0, place)
    content[offsets : offsets + 4] = b"\xff\xff\xff\x7f"
    write(tmp_path / "x.arrow", bytes(content))
    assert "cannot be read" in refused(tmp_path, "x.arrow").problem


def test_a_file_that_changes_meanwhile_is_noticed(tmp_path: Path) -> None:
    file = write(tmp_path / "x.csv", CSV)
    source = source_of(tmp_path, "x.csv")
    write(file, CSV + b"4,four\n")
    with pytest.raises(Terminal, match="changed while it was being published") as caught:
        list(source.batches())
    assert caught.value.reason == "file_changed"
    file.unlink()
    with pytest.raises(Terminal, match="changed while it was being published"):
        list(source.batches())


# -- several files ----------------------------------------------------------------------------------------------------


def test_files_come_in_the_order_in_which_people_count(tmp_path: Path) -> None:
    for name in ("part-10", "part-9", "part-2", "sub/part-1", "Part-3", "part-02"):
        write_parquet(tmp_path / f"data/{name}.parquet", pa.table({"name": [name]}))
    found = [row["name"] for row in rows_of(source_of(tmp_path))]
    assert found == ["Part-3", "part-02", "part-2", "part-9", "part-10", "sub/part-1"]


@given(st.lists(st.text("a01٣./-", max_size=6), max_size=6), st.randoms(use_true_random=False))
def test_the_natural_order_is_one_for_all_names(names: list[str], random: Any) -> None:
    shuffled = random.sample(names, len(names))
    assert sorted(shuffled, key=natural) == sorted(names, key=natural)
    assert all((natural(one) == natural(two)) == (one == two) for one in names for two in names)


def test_types_of_several_files_widen(tmp_path: Path) -> None:
    write_parquet(
        tmp_path / "data/1.parquet", pa.table({"a": pa.array([1], pa.int32()), "n": pa.nulls(1), "x": [2**53]})
    )
    write_parquet(
        tmp_path / "data/2.parquet", pa.table({"n": ["x"], "a": pa.array([2**40]), "late": [True], "x": [0.5]})
    )
    source = source_of(tmp_path)
    assert types_of(source) == {"a": "int64", "n": "string", "x": "double", "late": "bool"}
    assert rows_of(source) == [
        {"a": 1, "n": None, "x": float(2**53), "late": None},
        {"a": 2**40, "n": "x", "x": 0.5, "late": True},
    ]
    assert rows_of(source, ["late"]) == [{"late": None}, {"late": True}]


def test_structs_of_several_files_have_all_keys(tmp_path: Path) -> None:
    write_parquet(tmp_path / "data/1.parquet", pa.table({"s": [[{"a": 1}]]}))
    write_parquet(tmp_path / "data/2.parquet", pa.table({"s": [[{"b": "x", "a": 2}, None], None]}))
    source = source_of(tmp_path)
    assert types_of(source) == {"s": "list<item: struct<a: int64, b: string>>"}
    assert [row["s"] for row in rows_of(source)] == [[{"a": 1, "b": None}], [{"a": 2, "b": "x"}, None], None]


CONTRADICTIONS: dict[str, tuple[pa.Array, pa.Array]] = {
    "text and numbers": (pa.array(["x"]), pa.array([1])),
    "text and bytes": (pa.array(["x"]), pa.array([b"x"])),
    "decimals and floats": (pa.array([1], pa.decimal128(9, 2)), pa.array([0.1])),
    "zones": (pa.array([0], pa.timestamp("us", "UTC")), pa.array([0], pa.timestamp("us"))),
    "lists and values": (pa.array([[1]]), pa.array([1])),
    "text in structs": (pa.array([{"a": 1}]), pa.array([{"a": "x"}])),
    "bytes in lists": (pa.array([["x"]]), pa.array([[b"x"]])),
    "integers that are no floats": (pa.array([2**53 + 1]), pa.array([0.5])),
    "unsigned ones that are too large": (pa.array([2**63], pa.uint64()), pa.array([-1])),
    "times that are too far away": (pa.array([10**12], pa.timestamp("ms")), pa.array([-(10**15)], pa.timestamp("ms"))),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_types_that_do_not_go_together_are_named(tmp_path: Path, name: str) -> None:
    one, two = CONTRADICTIONS[name]
    if name == "times that are too far away":
        one = one.cast(pa.timestamp("ns"))
    write_parquet(tmp_path / "data/1.parquet", pa.table({"ok": [1], "v": one}))
    write_parquet(tmp_path / "data/2.parquet", pa.table({"ok": [1], "v": two}))
    if name == "times that are too far away":
        two = pa.array([-(10**16)], pa.timestamp("ms"))
        write_parquet(tmp_path / "data/2.parquet", pa.table({"ok": [1], "v": two}))
    error = refused(tmp_path, "data")
    assert error.reason == "mixed_schema"
    assert "data/1.parquet" in error.doing or "data/2.parquet" in error.doing
    assert "column `v`" in error.problem


def test_columns_that_stand_in_the_names_of_folders(tmp_path: Path) -> None:
    for year, day, n in (("2023", "01-02", 1), ("2024", "a%20b", 2), ("2024", "__HIVE_DEFAULT_PARTITION__", 3)):
        write_parquet(tmp_path / f"data/year={year}/day={day}/part-0.parquet", pa.table({"n": [n]}))
    source = source_of(tmp_path)
    assert types_of(source) == {"n": "int64", "year": "int64", "day": "string"}
    assert rows_of(source) == [
        {"n": 1, "year": 2023, "day": "01-02"},
        {"n": 3, "year": 2024, "day": None},
        {"n": 2, "year": 2024, "day": "a b"},
    ]
    assert rows_of(source, ["year"]) == [{"year": 2023}, {"year": 2024}, {"year": 2024}]
    assert (source.rows, source.parquet_files) == (3, ()), "footers know nothing of these columns"
    write_parquet(tmp_path / "data/n=7/part-0.parquet", pa.table({"n": [4]}))
    assert [row["n"] for row in rows_of(source_of(tmp_path))] == [4, 1, 3, 2], "what the file says counts"
    assert list(source_of(tmp_path, "data/n=7").features) == ["n"], "the folder itself was named, not what is above it"


def test_tables_that_pandas_writes_in_parts(tmp_path: Path) -> None:
    table = pa.table({"n": [1, 2, 3], "day": pa.array([dt.date(2024, 1, n) for n in (1, 2, 3)]), "k": ["x", "y", None]})
    pq.write_to_dataset(table, tmp_path / "data", partition_cols=["day", "k"])
    assert sorted(rows_of(source_of(tmp_path)), key=str) == sorted(table.to_pylist(), key=str)


def test_all_splits_of_a_table_have_one_schema(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", "a,b\n1,x\n")
    write(tmp_path / "test.csv", "a\n0.5\n")
    train, test = sources_of(tmp_path, splits={"train": "train.csv", "test": "test.csv"})
    assert train.schema == test.schema
    assert (train.split, test.split, test.rows) == ("train", "test", 1)
    assert rows_of(test) == [{"a": 0.5, "b": None}]
    write_parquet(tmp_path / "test.parquet", TABLE)
    with pytest.raises(InvalidRequest, match="it holds parquet, and the split train csv") as caught:
        sources_of(tmp_path, splits={"train": "train.csv", "test": "test.parquet"})
    assert caught.value.field == "splits.test"


def test_several_tables_name_the_field_that_is_wrong(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet")
    tables = [
        {"name": "a", "path": "a.parquet"},
        {"name": "b", "splits": {"train": "a.parquet", "test": "gone.parquet"}},
    ]
    with pytest.raises(InvalidRequest) as caught:
        sources_of(tmp_path, tables=tables)
    assert caught.value.field == "tables[1].splits.test"
    (tmp_path / "gone.parquet").symlink_to(tmp_path / "a.parquet")
    assert [(source.config, source.split) for source in sources_of(tmp_path, tables=tables)] == [
        ("a", "train"),
        ("b", "train"),
        ("b", "test"),
    ]


# -- which files a path names -----------------------------------------------------------------------------------------


def names_of(root: Path, path: str) -> list[str]:
    return [file.label for file in find(root, Place(path, "path")).files]


def test_folders_and_globs(tmp_path: Path) -> None:
    for name in (
        "data/a.csv",
        "data/b.csv",
        "data/c.json",
        "data/x/d.csv",
        "data/x/y/e.csv",
        "data[1].csv",
        "b.csv/f.csv",
    ):
        write(tmp_path / name, CSV)
    for name in ("data/.hidden.csv", "data/.cache/g.csv", "data/x/.csv"):
        write(tmp_path / name, CSV)
    every = ["data/a.csv", "data/b.csv", "data/c.json", "data/x/d.csv", "data/x/y/e.csv"]
    assert names_of(tmp_path, "data") == names_of(tmp_path, "data/") == names_of(tmp_path, "data/**") == every
    assert names_of(tmp_path, "data/*") == every, "a folder that matches stands for what is in it"
    assert names_of(tmp_path, "data/*.csv") == ["data/a.csv", "data/b.csv"]
    assert names_of(tmp_path, "data/**/*.csv") == [name for name in every if name.endswith("csv")]
    assert names_of(tmp_path, "data/[ab].csv") == ["data/a.csv", "data/b.csv"]
    assert names_of(tmp_path, "*/x/?.csv") == ["data/x/d.csv"]
    assert names_of(tmp_path, "data[1].csv") == ["data[1].csv"], "a file of that name comes before the glob"
    assert names_of(tmp_path, "b.csv") == names_of(tmp_path, "*.csv/*") == ["b.csv/f.csv"]


@pytest.mark.parametrize(
    "path", ["empty", "gone", "gone/*", "empty/*.parquet", "gone.parquet", "notes", "x" * 300, "a/" * 400]
)
def test_nothing_there_is_an_error_that_says_so(tmp_path: Path, path: str) -> None:
    (tmp_path / "empty").mkdir()
    write(tmp_path / "notes/README.md", "no data")
    write(tmp_path / "notes/.hidden.parquet", b"")
    error = refused(tmp_path, path)
    assert error.problem.startswith("No parquet files found to publish")
    assert error.reason == "no_data"
    assert error.fix.startswith("Name a file, a folder or a glob")
    assert isinstance(error, InvalidRequest)
    assert error.field == "path"


def test_nothing_outside_of_the_root_is_read(tmp_path: Path) -> None:
    write(tmp_path / "secret.csv", CSV)
    write(tmp_path / "root/.env.csv", CSV)
    write(tmp_path / "root/data/fine.csv", CSV)
    root = tmp_path / "root"
    for name, target in (
        ("data/out.csv", "../../secret.csv"),
        ("out", ".."),
        ("data/env.csv", "../.env.csv"),
        ("absolute.csv", str(tmp_path / "secret.csv")),
    ):
        (root / name).symlink_to(target)
    for path in ("data", "data/out.csv", "out/secret.csv", "out", "out/*.csv", "data/env.csv", "absolute.csv", "*.csv"):
        error = refused(root, path)
        assert (error.reason, "stay inside" in error.problem) == ("outside_root", True), path
    for path in ("../secret.csv", "/etc/passwd", ".env.csv", "data/../../secret.csv"):
        with pytest.raises(InvalidRequest, match="must stay inside"):
            find(root, Place(path, "path"))


def test_links_inside_of_the_root_are_followed_to_files_only(tmp_path: Path) -> None:
    write(tmp_path / "real/x.csv", CSV)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/latest.csv").symlink_to("../real/x.csv")
    (tmp_path / "named").symlink_to("real")
    assert rows_of(source_of(tmp_path, "data")) == rows_of(source_of(tmp_path, "data/latest.csv")) == ROWS
    assert rows_of(source_of(tmp_path, "named")) == ROWS
    (tmp_path / "data/more").symlink_to("../real")
    assert "link to a folder" in refused(tmp_path, "data").problem
    (tmp_path / "data/more").unlink()
    (tmp_path / "data/loop.csv").symlink_to("loop.csv")
    assert "leads nowhere" in refused(tmp_path, "data").problem
    assert "No parquet files" in refused(tmp_path, "data/loop.csv").problem


def test_what_is_no_regular_file_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    os.mkfifo(tmp_path / "data/x.csv")
    assert "no regular file" in refused(tmp_path, "data").problem
    assert "no regular file" in refused(tmp_path, "data/x.csv").problem
    with pytest.raises(OSError, match="not a regular file"):
        open_regular(tmp_path / "data/x.csv")


def test_names_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    Path(os.fsdecode(os.fsencode(tmp_path / "data") + b"/\xff.csv")).write_bytes(CSV)
    assert "is not UTF-8" in refused(tmp_path, "data").problem


def test_a_folder_of_different_things_is_refused(tmp_path: Path) -> None:
    write_parquet(tmp_path / "data/x.parquet")
    write(tmp_path / "data/x.csv", CSV)
    write(tmp_path / "data/LICENSE", "text")
    error = refused(tmp_path, "data")
    assert "files of different kinds: `csv`, `parquet`" in error.problem
    assert "glob" in error.fix
    assert rows_of(source_of(tmp_path, "data/*.parquet")) == ROWS


def test_a_saved_dataset_is_its_arrow_files(tmp_path: Path) -> None:
    write(tmp_path / "data/data-00000-of-00001.arrow", arrow_bytes(TABLE, stream=True))
    write(tmp_path / "data/dataset_info.json", "{}")
    write(tmp_path / "data/state.json", "{}")
    assert rows_of(source_of(tmp_path)) == ROWS


# -- Arrow data in memory ---------------------------------------------------------------------------------------------


def test_tables_batches_and_streams(tmp_path: Path) -> None:
    batch = TABLE.to_batches()[0]
    reader = pa.RecordBatchReader.from_batches(
        TABLE.schema, iter([batch.slice(0, 2), batch.slice(2), batch.slice(0, 0)])
    )

    class Capsule:
        """What other libraries' tables are."""

        def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
            return TABLE.__arrow_c_stream__(requested_schema)

    for data in (TABLE, batch, reader, Capsule()):
        source = of_arrow(data, "prices", "test", scratch=tmp_path)
        assert (source.config, source.split, source.rows) == ("prices", "test", 3)
        assert rows_of(source) == rows_of(source) == ROWS
        assert rows_of(source, ["text"]) == [{"text": row["text"]} for row in ROWS]
    with pytest.raises(TypeError, match="not Arrow data: list"):
        of_arrow(ROWS, "prices", "test")
    with pytest.raises(TypeError, match="scratch"):
        of_arrow(Capsule(), "prices", "test")


def test_rows_in_many_small_batches_come_in_few(tmp_path: Path) -> None:
    table = pa.table({"n": range(100_000)})
    small = table.to_batches(max_chunksize=100)
    (tmp_path / "data").mkdir()
    with pa.ipc.new_stream(tmp_path / "data" / "x.arrow", table.schema) as writer:
        for batch in small:
            writer.write_batch(batch)
    for source in (of_arrow(pa.Table.from_batches(small), "x", "train"), source_of(tmp_path)):
        batches = list(source.batches())
        assert pa.Table.from_batches(batches).column("n").to_pylist() == list(range(100_000))
        assert 2 <= len(batches) <= 4, "rows wait for each other, but not all of them"


def test_a_table_of_types_that_the_hub_does_not_know_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="column `i` is of the type `month_day_nano_interval`"):
        of_arrow(pa.table({"i": pa.array([(1, 2, 3)], pa.month_day_nano_interval())}), "x", "train")
    with pytest.raises(InvalidRequest, match="no columns"):
        of_arrow(pa.table({}), "x", "train")
    doubled = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    with pytest.raises(InvalidRequest, match="two of its columns are called `a`"):
        of_arrow(doubled, "x", "train")
