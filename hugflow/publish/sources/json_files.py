"""Read rows of JSON files: lines of objects, or an array of them. One pass over all of them finds the types."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pa_json

from hugflow.formats.json_lines import elements, is_array
from hugflow.publish.sources.features import Columns, as_type, columns_of
from hugflow.publish.sources.files import DataFile
from hugflow.publish.sources.json_types import (
    fit,
    has_floats,
    is_regular,
    kind_of_array,
    kind_of_value,
    merged,
    type_of,
)
from hugflow.publish.sources.text_types import TextColumn
from hugflow.text.printable import shown

CHUNK_BYTES = 4 << 20
MAX_LINE_BYTES = 1 << 28
MAX_COLUMNS = 10_000
_LONG_INTEGER = r"[\[:,\s]-?[0-9]{16,}\s*[,\]}\s]"
_SPACE = re.compile(r"\s*")

Kinds = Mapping[str, pa.DataType]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some whole rows of a file, a JSON object each. `first` is the number of its first line, or row of an array."""

    file: DataFile
    text: bytes
    first: int
    unit: str

    def fail(self, at: int, problem: str) -> NoReturn:
        """Raise InvalidRequest for what stands at a place of the text."""
        number = self.first + self.text.count(b"\n", 0, min(at, len(self.text.rstrip())))
        raise self.file.error(f"{self.unit} {number}: {problem}", "Write one JSON object on each line, in UTF-8.")

    def rows(self) -> list[tuple[int, dict[str, Any]]]:
        """The objects as Python has them, each with its place. Raises InvalidRequest naming the line."""
        text = self.text.decode()
        decoder = json.JSONDecoder(object_pairs_hook=_object)
        found, at = [], _space(text, 0)
        while at < len(text):
            try:
                value, end = decoder.raw_decode(text, at)
            except RecursionError:
                self.fail(len(text[:at].encode()), "it is nested too deeply")
            except ValueError as error:
                problem = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
                self.fail(len(text[: getattr(error, "pos", at)].encode()), f"it is no JSON: {problem}")
            place = len(text[:at].encode()) if not text.isascii() else at
            if not isinstance(value, dict):
                self.fail(place, "it is no JSON object")
            found.append((place, value))
            at = _space(text, end)
        return found


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has the same key twice")
    return found


def _space(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at


@dataclass(frozen=True, slots=True)
class JsonFiles:
    """JSON files, with the columns that hold the rows of all of them.

    `kinds` says how the values of a column are read, `columns` what they are published as. `rows` counts those of each
    file.
    """

    kinds: Kinds
    columns: Columns
    rows: Mapping[DataFile, int]
    chunk_bytes: int
    notes: tuple[str, ...] = ()

    @classmethod
    def open(
        cls, files: Sequence[DataFile], chunk_bytes: int = CHUNK_BYTES, as_text: Collection[str] = ()
    ) -> JsonFiles:
        """Find columns and types by reading everything once, `chunk_bytes` at a time.

        Texts are not taken for dates and times in the columns of `as_text`.

        Raises InvalidRequest naming file and line.
        """
        known: dict[str, pa.DataType] = {}
        times: dict[str, TextColumn] = {}
        rows = dict.fromkeys(files, 0)
        for chunk in _chunks(rows, chunk_bytes):
            table = _learn(chunk, known)
            rows[chunk.file] += table.num_rows
            for name in table.column_names:
                if pa.types.is_string(known[name]) and name not in as_text:
                    times.setdefault(name, TextColumn.of_times()).add(table.column(name).combine_chunks())
        found = {name: _final(kind, times.get(name)) for name, kind in known.items()}
        return cls(known, columns_of(pa.schema(found.items()), files[0].error), rows, chunk_bytes)

    def parts(
        self, files: Iterable[DataFile], names: Sequence[str] | None
    ) -> Iterator[tuple[DataFile, pa.RecordBatch]]:
        """The rows of some of the files, in order, with their types; `names` are the wanted columns."""
        wanted = self.columns.only(names)
        kinds = {name: self.kinds[name] for name in wanted.names}
        for chunk in _chunks(files, self.chunk_bytes):
            table = _table(chunk, kinds)
            arrays = [as_type(table.column(field.name).combine_chunks(), field.type) for field in wanted]
            yield chunk.file, pa.RecordBatch.from_arrays(arrays, schema=wanted)


def _final(kind: pa.DataType, times: TextColumn | None) -> pa.DataType:
    return type_of(kind) if times is None or not pa.types.is_string(kind) else times.kind


def _learn(chunk: Chunk, known: dict[str, pa.DataType]) -> pa.Table:
    """Add the kinds of a chunk's values to `known`; return its rows in those kinds.

    Arrow's reader checks that nothing is new, which is the rule. What is new is found out in Python: Arrow's reader
    would round long integers, take texts for times, and need memory for every row times every key.
    """
    table = _read(chunk, known, "error") if all(map(is_regular, known.values())) else None
    if table is None or _may_be_rounded(chunk, table.schema):
        for place, row in chunk.rows():
            for name, value in row.items():
                known[name] = merged(known.get(name, pa.null()), kind_of_value(value))
            if len(known) > MAX_COLUMNS:
                chunk.fail(place, f"by here there are more than {MAX_COLUMNS} different keys, each of them a column")
        return _table(chunk, known)
    for name in table.column_names:
        known[name] = merged(known[name], kind_of_array(table.column(name).combine_chunks()))
    return table


def _may_be_rounded(chunk: Chunk, schema: pa.Schema) -> bool:
    """Test for integers that Arrow's reader would round to floats."""
    if not any(map(has_floats, schema.types)):
        return False
    # Arrow's search takes a quarter of the time of Python's
    return bool(pc.match_substring_regex(pa.array([chunk.text], pa.binary()), _LONG_INTEGER)[0].as_py())


def _read(chunk: Chunk, kinds: Kinds, others: str) -> pa.Table | None:
    """The chunk by Arrow's reader; `others` is what it does with other columns. None when it cannot read them.

    It is not asked to find out types itself: values that are nested very deeply would end the process.
    """
    schema = pa.schema([(name, type_of(kind)) for name, kind in kinds.items()])
    try:
        return pa_json.read_json(
            io.BytesIO(chunk.text),
            read_options=pa_json.ReadOptions(use_threads=False, block_size=len(chunk.text) + 1),
            parse_options=pa_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior=others),
        )
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None


def _table(chunk: Chunk, kinds: Kinds) -> pa.Table:
    """The rows of a chunk as columns of `type_of` these kinds."""
    regular = {name: kind for name, kind in kinds.items() if is_regular(kind)}
    table = _read(chunk, regular, "ignore") if regular else None
    if table is not None and len(regular) == len(kinds):
        return table
    rows = chunk.rows()
    arrays = {
        name: table.column(name) if table is not None and name in regular else _array(chunk, rows, name, kind)
        for name, kind in kinds.items()
    }
    return pa.table(arrays) if arrays else pa.Table.from_struct_array(pa.array([{}] * len(rows), pa.struct([])))


def _array(chunk: Chunk, rows: list[tuple[int, dict[str, Any]]], name: str, kind: pa.DataType) -> pa.Array:
    """A column, value by value. Raises InvalidRequest for a text with half a character."""
    try:
        return pa.array([fit(row.get(name), kind) for _, row in rows], type_of(kind))
    except UnicodeEncodeError:
        for place, row in rows:
            try:
                pa.array([fit(row.get(name), kind)], type_of(kind))
            except UnicodeEncodeError:
                chunk.fail(place, f"the value of {shown(name)} has half of a surrogate pair in it")
        raise


# -- the text of files, in whole rows ---------------------------------------------------------------------------------


def _chunks(files: Iterable[DataFile], size_bytes: int) -> Iterator[Chunk]:
    for file in files:
        with file.unpacked() as content:
            chunks = _elements if is_array(content) else _lines
        with file.unpacked() as content:
            for chunk in chunks(file, content, size_bytes):
                _check_text(chunk)
                yield chunk


def _check_text(chunk: Chunk) -> None:
    """Arrow's reader takes anything for text."""
    try:
        chunk.text.decode()
    except UnicodeDecodeError as error:
        chunk.fail(error.start, "it is not UTF-8")


def _lines(file: DataFile, content: io.BufferedReader, size_bytes: int) -> Iterator[Chunk]:
    first = 1
    while text := content.read(size_bytes):
        text += content.readline(MAX_LINE_BYTES)
        chunk = Chunk(file, text, first, "line")
        if len(text) >= size_bytes + MAX_LINE_BYTES:
            chunk.fail(len(text), "it has more than 256 MiB")
        first += text.count(b"\n")
        if text.strip():
            yield chunk


def _elements(file: DataFile, content: io.BufferedReader, size_bytes: int) -> Iterator[Chunk]:
    rows: list[str] = []
    first, size = 1, 0
    for row in elements(content):
        rows.append(row)
        size += len(row)
        if size >= size_bytes:
            yield Chunk(file, "\n".join(rows).encode(), first, "row")
            first, size, rows = first + len(rows), 0, []
    if rows:
        yield Chunk(file, "\n".join(rows).encode(), first, "row")
