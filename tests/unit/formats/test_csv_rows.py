"""CSV files give the values of Python's csv module: exact numbers, unchanged texts, every row."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hugflow.formats.csv_rows import INDEX, can_read, csv_rows, csv_tables
from hugflow.formats.parquet_rows import without_row_errors
from hugflow.formats.rows import json_columns


def read(
    text: str | bytes, settings: Mapping[str, Any] | None = None, texts: frozenset[str] = frozenset()
) -> list[Any]:
    data = text.encode() if isinstance(text, str) else text
    rows: list[Any] = []
    for table in csv_tables(lambda: csv_rows(lambda: io.BytesIO(data), settings or {}), texts):
        for batch in table.to_batches():
            values, errors = without_row_errors(batch)
            found = json_columns(values) if values.num_columns else [{}] * batch.num_rows
            rows += [error.reason if error else row for row, error in zip(found, errors, strict=True)]
    return rows


def column(*cells: str) -> list[Any]:
    return [row["a"] for row in read("a,b\n" + "".join(f"{cell},x\n" for cell in cells))]


COLUMNS: dict[str, tuple[list[str], list[Any]]] = {
    "integers": (["1", "-2", " 3 ", "0"], [1, -2, 3, 0]),
    "integers with gaps": (["9007199254740993", "", "NA"], [9007199254740993, None, None]),
    "64 bits": (["9223372036854775807", "-9223372036854775808"], [2**63 - 1, -(2**63)]),
    "more bits": (["18446744073709551615", "-1", "1" + "0" * 40], [2**64 - 1, -1, 10**40]),
    "floats": (
        ["0.1", "1e-300", ".5", "5.", "1E5", "-0.30000000000000004"],
        [0.1, 1e-300, 0.5, 5.0, 1e5, -(0.1 + 0.2)],
    ),
    "integers and floats": (["1", "0.5"], [1, 0.5]),
    "integers that no float holds, and floats": (["9007199254740993", "0.5"], [9007199254740993, 0.5]),
    "leading zeros": (["007", "1"], ["007", "1"]),
    "telephone numbers": (["+41", "1"], ["+41", "1"]),
    "a number beyond floats": (["1e999", "1"], ["1e999", "1"]),
    "many digits": (["9" * 5000, "1"], ["9" * 5000, "1"]),
    "hexadecimal and underscores": (["0x10", "1_000"], ["0x10", "1_000"]),
    "booleans": (["True", "false", "", "TRUE"], [True, False, None, True]),
    "booleans and numbers": (["True", "1"], ["True", "1"]),
    "dates": (["2024-01-01", "2024-01-02"], ["2024-01-01", "2024-01-02"]),
    "missing values": (["NA", "null", "None", "n/a", "x"], [None, None, None, None, "x"]),
    "infinity": (["inf", "-Infinity", "1"], [float("inf"), -float("inf"), 1]),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_has_the_values_of_the_file(name: str) -> None:
    cells, values = COLUMNS[name]
    found = column(*cells)
    assert found == values
    assert [isinstance(value, bool) for value in found] == [isinstance(value, bool) for value in values]


def test_a_type_is_that_of_the_whole_file() -> None:
    """Also where the odd value comes 10,000 rows after the first."""
    cells = [f"{n:05}" if n >= 10_000 else f"{n}" for n in range(12_000)] + ["x"]
    assert column(*cells) == cells
    assert column(*cells[:9_000], "0.5", "9007199254740993")[-2:] == [0.5, 9007199254740993]
    assert column(*([""] * 12_000), "text")[-1] == "text"


def test_columns_that_the_card_calls_text_stay_text() -> None:
    assert read("a,b\n1.10,1\n", texts=frozenset("a")) == [{"a": "1.10", "b": 1}]


FILES: dict[str, tuple[str | bytes, dict[str, Any], list[Any]]] = {
    "quotes": ('a,b\n"x, ""y""\n z",1\n', {}, [{"a": 'x, "y"\n z', "b": 1}]),
    "line ends": (b"a,b\r\n1,x\r\n2,y\r3,z", {}, [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}, {"a": 3, "b": "z"}]),
    "byte order mark": (b"\xef\xbb\xbfa\n1\n", {}, [{"a": 1}]),
    "separator": ("a;b\n1;2,5\n", {"sep": ";"}, [{"a": 1, "b": "2,5"}]),
    "tab": ("a\tb\n1\t2\n", {"delimiter": "\t"}, [{"a": 1, "b": 2}]),
    "latin-1": ("a\nü\n".encode("latin-1"), {"encoding": "latin-1"}, [{"a": "ü"}]),
    "names": ("1,2\n", {"column_names": ["x", "y"]}, [{"x": 1, "y": 2}]),
    "names and a header": ("a,b\n1,2\n", {"names": ["x", "y"], "header": 0}, [{"x": 1, "y": 2}]),
    "no header": ("1,2\n", {"header": None}, [{"0": 1, "1": 2}]),
    "null texts": ("a\nNA\n-\n", {"na_values": ["-"], "keep_default_na": False}, [{"a": "NA"}, {"a": None}]),
    "blank lines": ("a\n\n1\n\n", {}, [{"a": 1}]),
    "short lines": ("a,b\n1\n2,3\n", {}, [{"a": 1, "b": None}, {"a": 2, "b": 3}]),
    "the same name twice": ("a,a,\n1,2,3\n", {}, [{"a": 1, "a.1": 2, "Unnamed: 2": 3}]),
    "an index": ("a,b\nx,1,2\ny,3,4\n", {}, [{"a": 1, "b": 2, INDEX: "x"}, {"a": 3, "b": 4, INDEX: "y"}]),
    "separators at the end": ("a,b\n1,2,\n3,4,\n", {}, [{"a": 1, "b": 2}, {"a": 3, "b": 4}]),
    "a quote inside of a field": ('a,b\n5" pipe,x\n', {}, [{"a": '5" pipe', "b": "x"}]),
    "no quoting": ('a,b\n"x,y"\n', {"quoting": 3}, [{"a": '"x', "b": 'y"'}]),
    "escapes": ('a\n"x\\"y"\n', {"escapechar": "\\", "doublequote": False}, [{"a": 'x"y'}]),
    "header only": ("a,b\n", {}, []),
    "nothing": ("", {}, []),
}


@pytest.mark.parametrize("name", FILES)
def test_files_as_programs_write_them(name: str) -> None:
    text, settings, rows = FILES[name]
    assert can_read(settings)
    assert read(text, settings) == rows


UNBALANCED: dict[str, tuple[str, list[Any]]] = {
    "a quote that is never closed": ('a,b\n1,x\n2,"y\n3,z\n4,w\n', [1, "unbalanced_quotes", 3, 4]),
    "closed by another line's": ('a,b\n1,"x\n2,y\n3,z"w\n4,v\n', ["unbalanced_quotes", 2, 3, 4]),
    "two of them": ('a,b\n1,"x\n2,y\n3,"z\n4,w\n', ["unbalanced_quotes", 2, "unbalanced_quotes", 4]),
    "text behind a quote": ('a,b\n1,"x"y\n2,z\n', ["unbalanced_quotes", 2]),
    "in the last line": ('a,b\n1,x\n2,"', [1, "unbalanced_quotes"]),
}


@pytest.mark.parametrize("name", UNBALANCED)
def test_a_line_with_unbalanced_quotes_costs_its_row_and_swallows_no_other(name: str) -> None:
    text, rows = UNBALANCED[name]
    assert [row if isinstance(row, str) else row["a"] for row in read(text)] == rows


def test_a_quote_at_the_beginning_of_a_long_file_costs_one_row() -> None:
    lines = [f"{n},{'x' * 1000}" for n in range(20_000)]
    rows = read("a,b\n" + '0,"x\n' + "\n".join(lines) + "\n")
    assert rows[0] == "unbalanced_quotes"
    assert [row["a"] for row in rows[1:]] == list(range(20_000))


def test_a_line_with_more_fields_than_the_header_is_an_error() -> None:
    with pytest.raises(ValueError, match="4 fields, and the header 2"):
        read("a,b\n1,2\n1,2,3,4\n")
    with pytest.raises(UnicodeDecodeError):
        read(b"a\n\xff\n")


@pytest.mark.parametrize("setting", [{"sep": "::"}, {"thousands": "."}, {"skiprows": 1}, {"quoting": 2}, {"header": 1}])
def test_settings_that_are_not_followed_here_are_left_to_datasets(setting: dict[str, Any]) -> None:
    assert not can_read(setting)


CELLS = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5),
    st.integers().map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
)


@given(st.lists(st.tuples(CELLS, CELLS), max_size=20))
def test_every_file_that_the_csv_module_writes_comes_back(rows: list[tuple[str, str]]) -> None:
    """Texts exactly; numbers as JSON reads their text, as long as a column has nothing else."""
    file = io.StringIO()
    writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([("a", "b"), *rows])
    found = read(file.getvalue(), {"keep_default_na": False})
    for name, cells in zip("ab", zip(*rows, strict=True), strict=False):
        for value, cell in zip([row[name] for row in found], cells, strict=True):
            if isinstance(value, str):
                assert value == cell
            elif isinstance(value, bool):
                assert str(value).lower() == cell.lower()
            else:
                assert value == json.loads(cell) if cell.strip("0123456789-.eE+") == "" else float(cell) == value
