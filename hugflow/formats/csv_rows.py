"""CSV files read row by row: exact numbers, one type for a column of the whole file, and lines with unbalanced quotes.

pandas, with which `datasets` reads CSV, rounds integers in a column with gaps or fractions, finds types for each part
of a file by itself, and joins lines where a quote is missing. Here files are read twice, first for types of columns.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import IO, Any, Self, cast

import pyarrow as pa

from hugflow.formats.compression import Open
from hugflow.formats.json_lines import Row, batches
from hugflow.formats.json_values import kind_of, merged_kind, to_array, type_of_kind
from hugflow.formats.parquet_rows import ROW_ERROR, row_errors
from hugflow.model.errors import RowError

SETTINGS = frozenset(
    [
        "sep",
        "delimiter",
        "names",
        "column_names",
        "header",
        "quotechar",
        "quoting",
        "doublequote",
        "escapechar",
        "skipinitialspace",
        "encoding",
        "encoding_errors",
        "keep_default_na",
        "na_values",
        "float_precision",
        "chunksize",
    ]
)
"""Settings of cards that are followed here; files with others are read by `datasets`."""

MAX_RECORD_CHARACTERS = 16 << 20
NULLS = frozenset(
    [
        "",
        "#N/A N/A",
        "#N/A",
        "#NA",
        "-1.#IND",
        "-1.#QNAN",
        "-NaN",
        "-nan",
        "1.#IND",
        "1.#QNAN",
        "<NA>",
        "N/A",
        "NA",
        "NULL",
        "NaN",
        "None",
        "n/a",
        "nan",
        "null",
    ]
)
"""Texts that pandas takes for a missing value, unless the card says `keep_default_na: false`."""

INDEX = "__index_level_0__"
"""What `datasets` calls a first column that the header has no name for."""

MAX_DIGITS = 4300
"""Longer integers are texts, as Python does not parse them."""

_INTEGER = re.compile(r" *-?(?:0|[1-9][0-9]*) *")
_FLOAT = re.compile(r" *-?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)? *")
_INFINITE = re.compile(r" *[+-]?inf(?:inity)? *", re.IGNORECASE)
_BOOLEANS = {"True": True, "TRUE": True, "true": True, "False": False, "FALSE": False, "false": False}


def can_read(settings: Mapping[str, Any]) -> bool:
    """Tell whether the settings of a card are ones that are followed here."""
    separator = settings.get("delimiter") or settings.get("sep", ",")
    header = settings.get("header", "infer")
    simple = isinstance(separator, str) and len(separator) == 1 and header in ("infer", 0, None)
    quoting = settings.get("quoting", csv.QUOTE_MINIMAL) in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONE)
    return simple and quoting and settings.keys() <= SETTINGS


def csv_rows(open_file: Open, settings: Mapping[str, Any]) -> Iterator[tuple[Row, int]]:
    """Read the rows of a file as texts and nulls, each with its number of characters.

    A line in which quotes are not balanced is a failed row (`unbalanced_quotes`). Raises ValueError for a line
    with more fields than the header, UnicodeDecodeError.
    """
    encoding = settings.get("encoding") or "utf-8"
    text = io.TextIOWrapper(
        cast("IO[bytes]", open_file()),
        encoding="utf-8-sig" if encoding.lower().replace("_", "-") == "utf-8" else encoding,
        errors=settings.get("encoding_errors") or "strict",
        newline="",
    )
    nulls = frozenset(_listed(settings.get("na_values"))) | (NULLS if settings.get("keep_default_na", True) else set())
    names = settings.get("column_names") or settings.get("names")
    has_header = settings.get("header", "infer" if names is None else None) is not None
    with text:
        index_first: bool | None = None
        for fields, lines in _records(text, settings):
            if isinstance(fields, RowError):
                yield fields, len(lines)
                continue
            if has_header:
                has_header = False
                names = names or _unique(fields)
                continue
            names = names or [str(at) for at in range(len(fields))]
            if index_first is None:
                index_first = len(fields) == len(names) + 1 and fields[-1] != ""
            if len(fields) == len(names) + 1 and not index_first and fields[-1] == "":
                fields = fields[:-1]  # noqa: PLW2901 - a separator at the end of each line
            columns = [INDEX, *names] if index_first else names
            if len(fields) > len(columns):
                raise ValueError(f"a line has {len(fields)} fields, and the header {len(columns)}: {lines[:80]!r}")
            row = dict.fromkeys([*names, INDEX] if index_first else names)
            row |= {n: None if value in nulls else value for n, value in zip(columns, fields, strict=False)}
            yield row, len(lines)


def _listed(values: Any) -> list[str]:
    return [] if values is None else [str(value) for value in values] if isinstance(values, list) else [str(values)]


def _unique(names: list[str]) -> list[str]:
    """Return column names as pandas makes them of a header: numbered where one is empty or there twice."""
    found: dict[str, None] = {}
    for at, name in enumerate(names):
        given = new = name or f"Unnamed: {at}"
        number = 0
        while new in found:
            number += 1
            new = f"{given}.{number}"
        found[new] = None
    return list(found)


class _Lines:
    """The lines of a text for `csv.reader`, which can be given back; `taken` are those of the current record."""

    def __init__(self, text: IO[str]) -> None:
        self._text = text
        self._waiting: deque[str] = deque()
        self._characters = 0
        self.taken: list[str] = []

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        line = self._waiting.popleft() if self._waiting else self._text.readline()
        self._characters += len(line)
        if line:
            self.taken.append(line)
        if not line or (self._characters > MAX_RECORD_CHARACTERS and len(self.taken) > 1):
            # at the end of the text, too, so that a quote that is never closed costs one line
            if self.taken:
                raise csv.Error("a quote is not closed")
            raise StopIteration
        return line

    def next_record(self, give_back: int | None = None) -> None:
        """Begin a record, with the lines from number `give_back` of the current one before all others."""
        if give_back is not None:
            self._waiting.extendleft(reversed(self.taken[give_back:]))
        self.taken = []
        self._characters = 0


def _records(text: IO[str], settings: Mapping[str, Any]) -> Iterator[tuple[list[str] | RowError, str]]:
    """Yield the fields of each record and its text; of a record with unbalanced quotes, its first line as failed.

    The lines behind it are read as records of their own.
    """
    csv.field_size_limit(MAX_RECORD_CHARACTERS)
    lines = _Lines(text)
    reader = csv.reader(
        lines,
        delimiter=settings.get("delimiter") or settings.get("sep", ","),
        quotechar=settings.get("quotechar", '"'),
        quoting=settings.get("quoting", csv.QUOTE_MINIMAL),
        doublequote=settings.get("doublequote", True),
        escapechar=settings.get("escapechar"),
        skipinitialspace=settings.get("skipinitialspace", False),
        strict=True,
    )
    while True:
        try:
            fields = next(reader, None)
        except csv.Error:
            yield RowError("unbalanced_quotes", "the quotes of its line are not balanced"), lines.taken[0]
            lines.next_record(give_back=1)
            continue
        if fields is None:
            return
        if fields:
            yield fields, "".join(lines.taken)
        lines.next_record()


def csv_tables(
    rows: Callable[[], Iterator[tuple[Row, int]]], texts: Collection[str] = frozenset()
) -> Iterator[pa.Table]:
    """Return the rows of `csv_rows` as tables of one schema; `rows` is called twice. The columns `texts` stay texts.

    A column is one of numbers, or of booleans, where all of its values in the file are written as such: `007`, `+41` or
    one word among numbers make it a column of texts.
    """
    kinds: dict[str, pa.DataType] = {}
    failed = False
    for batch in batches(rows()):
        good = [row for row in batch if isinstance(row, dict)]
        failed = failed or len(good) < len(batch)
        for name in good[0] if good else ():
            known = pa.string() if name in texts else kinds.get(name, pa.null())
            kinds[name] = _merged(known, _values([row[name] for row in good], known))
    for batch in batches(rows()):
        values = [{} if isinstance(row, RowError) else row for row in batch]
        arrays = {name: _array([row.get(name) for row in values], kind) for name, kind in kinds.items()}
        if failed or not arrays:
            arrays[ROW_ERROR] = row_errors([row if isinstance(row, RowError) else None for row in batch])
        yield pa.table(arrays)


def _merged(known: pa.DataType, values: list[Any]) -> pa.DataType:
    kind = kind_of(values)
    if pa.types.is_string(known) or pa.types.is_null(known) or pa.types.is_null(kind):
        return kind if pa.types.is_null(known) else known
    if pa.types.is_string(kind) or pa.types.is_boolean(known) != pa.types.is_boolean(kind):
        return pa.string()
    return merged_kind(known, kind)


def _values(texts: list[str | None], known: pa.DataType) -> list[Any]:
    """Return texts as the numbers or booleans that all of them are; unchanged where one of them is none."""
    if pa.types.is_string(known):
        return texts
    present = [text for text in texts if text is not None]
    if all(text in _BOOLEANS for text in present):
        return [None if text is None else _BOOLEANS[text] for text in texts]
    found = [None if text is None else _number(text) for text in texts]
    whole = all((number is None) == (text is None) for number, text in zip(found, texts, strict=True))
    return found if whole else texts


def _number(text: str) -> int | float | None:
    if _INTEGER.fullmatch(text) and len(text) < MAX_DIGITS:
        return int(text)
    if _FLOAT.fullmatch(text):
        value = float(text)
        return value if math.isfinite(value) else None
    return float(text) if _INFINITE.fullmatch(text) else None


def _array(texts: list[str | None], kind: pa.DataType) -> pa.Array:
    return to_array(_values(texts, kind), type_of_kind(kind))
