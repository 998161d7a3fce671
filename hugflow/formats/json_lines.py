"""JSON files read row by row: JSON lines, one array or the array under a key, and objects that follow one another.

Rows are parsed by Python, because the readers of Arrow, pandas and `datasets` round long integers, take texts for dates
or numbers, and keep values of several types as text. A file is read twice: once for the types of its columns.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import IO, Any, BinaryIO, cast

import pyarrow as pa

from hugflow.formats.compression import Open
from hugflow.formats.json_values import kind_of, merged_kind, parse, to_array, type_of_kind
from hugflow.formats.parquet_rows import ROW_ERROR, row_errors
from hugflow.model.errors import RowError

BATCH_ROWS = 1000
BATCH_CHARACTERS = 4 << 20
MAX_COLUMNS = 10_000

_CHUNK_CHARACTERS = 1 << 20
_LONGEST_TOKEN = len("-Infinity")
_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str)  # finds ends only; no limit for the digits of integers

Row = dict[str, Any] | RowError
"""A row's columns, or why it cannot be read."""


def json_rows(
    open_file: Open, *, encoding: str = "utf-8", errors: str | None = None, field: str | None = None
) -> Iterator[tuple[Row, int]]:
    """Read the rows of a JSON document, each with the number of characters of its text.

    Values that are no objects become {"text": value}, as `datasets` calls that column. Text that is not valid in the
    encoding costs its row. Memory: one value and a piece of the text. Raises ValueError for what is no JSON, KeyError
    when there is no such field.
    """

    def open_text() -> IO[str]:
        content = cast("IO[bytes]", open_file())
        name = "utf-8-sig" if encoding == "utf-8" else encoding
        return io.TextIOWrapper(content, encoding=name, errors=errors or "surrogateescape", newline="\n")

    text = _Text(open_text())
    if field is not None:
        _find(text, field)
        texts = text.array()
    elif not text.at_end() and text.peek() == "[":
        texts = text.array(outermost=True)
    else:
        texts = _objects(open_text)
    for number, one in enumerate(texts):
        try:
            value = parse(one)
        except RowError as error:
            yield error, len(one)
        except ValueError as error:
            raise ValueError(f"row {number} is no JSON: {error}") from error
        else:
            yield value if isinstance(value, dict) else {"text": value}, len(one)


def _objects(open_text: Callable[[], IO[str]]) -> Iterator[str]:
    """Yield the lines of a file or, where its first line is no whole value, the values that follow one another."""
    with open_text() as file:
        lines = (line for line in file if line.strip(" \t\r\n"))
        first = next(lines, None)
        if first is None:
            return
        try:
            _DECODER.decode(first)
        except json.JSONDecodeError:
            pass
        except RecursionError:
            yield from chain([first], lines)  # `parse` says what is wrong with this row
            return
        else:
            yield from chain([first], lines)
            return
    text = _Text(open_text())
    while not text.at_end():
        yield text.value()


def json_tables(
    rows: Callable[[], Iterator[tuple[Row, int]]], declared: Mapping[str, pa.DataType] | None = None
) -> Iterator[pa.Table]:
    """Return the rows as tables of one schema; `rows` is called twice. `declared` are types that the caller knows.

    A column that no row has a value for is of the type null. Rows that cannot be read have their reason in the column
    `ROW_ERROR`, which is there when one of them is.
    """
    kinds: dict[str, pa.DataType] = {}
    failed = False
    for batch in batches(rows()):
        good = [row for row in batch if isinstance(row, dict)]
        failed = failed or len(good) < len(batch)
        for name in dict.fromkeys(name for row in good for name in row):
            kinds[name] = merged_kind(kinds.get(name, pa.null()), kind_of([row.get(name) for row in good]))
        if len(kinds) > MAX_COLUMNS:
            raise ValueError(f"its rows have more than {MAX_COLUMNS} different keys")
    types = {name: type_of_kind(kind) for name, kind in kinds.items()} | dict(declared or {})
    for batch in batches(rows()):
        values = [{} if isinstance(row, RowError) else row for row in batch]
        arrays = {name: to_array([row.get(name) for row in values], kind) for name, kind in types.items()}
        if failed or not arrays:
            arrays[ROW_ERROR] = row_errors([row if isinstance(row, RowError) else None for row in batch])
        yield pa.table(arrays)


def batches(rows: Iterable[tuple[Row, int]]) -> Iterator[list[Row]]:
    """Group rows, given with their numbers of characters, in batches of bounded size."""
    batch: list[Row] = []
    characters = 0
    for row, length in rows:
        batch.append(row)
        characters += length
        if len(batch) == BATCH_ROWS or characters >= BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def is_array(file: BinaryIO) -> bool:
    """Tell whether a document begins as an array, and not as lines of objects."""
    head = file.read(1024).lstrip(b"\xef\xbb\xbf \t\r\n")
    return head.startswith(b"[")


def elements(file: BinaryIO, *, encoding: str = "utf-8", field: str | None = None) -> Iterator[str]:
    """Yield the elements of an array, each as an object on one line; with `field`, of the array under that key.

    Elements that are no objects become {"text": element}, as `datasets` calls that column. Memory: one element and a
    piece of the text. Raises ValueError for what is no such JSON, KeyError when there is no such field.
    """
    text = _Text(io.TextIOWrapper(cast("IO[bytes]", file), encoding="utf-8-sig" if encoding == "utf-8" else encoding))
    if field is not None:
        _find(text, field)
    for element in text.array():
        # line breaks are never part of a value: inside of texts they are escaped
        yield re.sub(r"[\r\n]", " ", element) if element.startswith("{") else f'{{"text": {element}}}'


def _find(text: _Text, field: str) -> None:
    """Advance to the value of a key of the object that begins here."""
    text.expect("{")
    if text.peek() == "}":
        raise KeyError(field)
    while True:
        key = json.loads(text.value())
        text.expect(":")
        if key == field:
            return
        text.value()
        if text.expect(",}") == "}":
            raise KeyError(field)


class _Text:
    """A JSON text that is read in pieces, of which only the unread part is kept."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._text = ""
        self._at = 0

    def array(self, *, outermost: bool = False) -> Iterator[str]:
        """Yield the texts of the elements of the array that begins here; nothing may follow the `outermost`."""
        self.expect("[")
        if self.peek() == "]":
            self.expect("]")
        else:
            yield self.value()
            while self.expect(",]") == ",":
                yield self.value()
        if outermost and not self.at_end():
            raise ValueError("there is more behind the end of the JSON array")

    def at_end(self) -> bool:
        """Tell whether nothing but space is left."""
        while True:
            space = _SPACE.match(self._text, self._at)
            self._at = space.end() if space else self._at
            if self._at < len(self._text):
                return False
            if not self._more(_CHUNK_CHARACTERS):
                return True

    def peek(self) -> str:
        """Return the next character that is no space, without passing it."""
        if self.at_end():
            raise ValueError("the JSON ends too early")
        return self._text[self._at]

    def expect(self, characters: str) -> str:
        """Pass the next character, which must be one of these, and return it."""
        found = self.peek()
        if found not in characters:
            raise ValueError(f"the JSON has {found!r} where one of {characters!r} should be")
        self._at += 1
        return found

    def value(self) -> str:
        """Pass the next value and return its text."""
        self.peek()
        size = _CHUNK_CHARACTERS
        while True:
            try:
                _, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                # what is cut off fails at its end, or says where its text begins
                if error.pos < len(self._text) - _LONGEST_TOKEN and not error.msg.startswith("Unterminated string"):
                    raise ValueError(f"the JSON cannot be read: {error.msg}") from error
                end = len(self._text)
            # a number may go on in the next piece
            if end < len(self._text):
                value = self._text[self._at : end]
                self._at = end
                return value
            if not self._more(size):
                return self._last()
            size *= 2

    def _last(self) -> str:
        try:
            _, end = _DECODER.raw_decode(self._text, self._at)
        except json.JSONDecodeError as error:
            raise ValueError(f"the JSON cannot be read: {error.msg}") from error
        value, self._at = self._text[self._at : end], end
        return value

    def _more(self, size: int) -> bool:
        piece = self._file.read(size)
        self._text = self._text[self._at :] + piece
        self._at = 0
        return bool(piece)
