"""Read rows of CSV files. One pass over all of them finds the types, so that no later row can contradict."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.csv as pc_csv

from hugflow.publish.sources.features import Columns, columns_of
from hugflow.publish.sources.files import DataFile
from hugflow.publish.sources.text_types import TextColumn, from_text
from hugflow.text.printable import shown

BLOCK_BYTES = 1 << 20
MAX_BLOCK_BYTES = 1 << 30
MAX_HEADER_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class CsvFile:
    """A CSV file with the names of its columns; `block_bytes` is more than its longest row has."""

    file: DataFile
    names: tuple[str, ...]
    delimiter: str
    block_bytes: int

    @classmethod
    def of(cls, file: DataFile, block_bytes: int) -> CsvFile:
        """Read the header of a file. Raises InvalidRequest for one that has none."""
        with file.unpacked() as content:
            names, delimiter = _header(file, content)
        doubled = next((name for name in names if names.count(name) > 1), None)
        if doubled is not None:
            raise file.error(f"two of its columns are called {shown(doubled)}", "Give every column its own name.")
        return cls(file, tuple(names), delimiter, block_bytes)

    def texts(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The rows as texts, of those columns of `names` that the file has; what is empty without quotes is null."""
        with self.file.unpacked() as content:
            _header(self.file, content)
            if not _has_more(content):
                return
            try:
                yield from self._blocks(content, [i for i, name in enumerate(self.names) if name in names])
            except pa.ArrowInvalid as error:
                if "straddl" in str(error):
                    raise _LongRowError from error
                raise

    def _blocks(self, content: io.BufferedReader, wanted: Sequence[int]) -> Iterator[pa.RecordBatch]:
        # by number: a header may have any names
        numbers = [str(i) for i in range(len(self.names))]
        chosen = [str(i) for i in wanted] or ["0"]
        reader = pc_csv.open_csv(
            content,
            read_options=pc_csv.ReadOptions(column_names=numbers, block_size=self.block_bytes, use_threads=False),
            parse_options=pc_csv.ParseOptions(delimiter=self.delimiter, newlines_in_values=True),
            convert_options=pc_csv.ConvertOptions(
                column_types=dict.fromkeys(numbers, pa.string()),
                include_columns=chosen,
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
        for batch in reader:
            yield batch.rename_columns([self.names[int(i)] for i in chosen])


class _LongRowError(Exception):
    """A row is longer than a block."""


@dataclass(frozen=True, slots=True)
class CsvFiles:
    """CSV files, with the columns that hold the rows of all of them. `rows` counts those of each file."""

    files: Mapping[DataFile, CsvFile]
    columns: Columns
    rows: Mapping[DataFile, int]
    notes: tuple[str, ...] = ()

    @classmethod
    def open(cls, files: Sequence[DataFile], block_bytes: int = BLOCK_BYTES, as_text: Collection[str] = ()) -> CsvFiles:
        """Find columns and types by reading everything once, `block_bytes` at a time; columns of `as_text` stay text.

        Raises InvalidRequest naming file and row.
        """
        found = {name: TextColumn.of_text() for name in as_text}
        opened, rows = {}, {}
        for file in dict.fromkeys(files):
            opened[file], rows[file] = _scan(CsvFile.of(file, block_bytes), found)
        names = dict.fromkeys(name for one in opened.values() for name in one.names)
        schema = pa.schema([(name, pa.string() if name in as_text else found[name].kind) for name in names])
        notes = tuple(note for name in names if (note := found[name].note(name)))
        return cls(opened, columns_of(schema, files[0].error), rows, notes)

    def parts(
        self, files: Iterable[DataFile], names: Sequence[str] | None
    ) -> Iterator[tuple[DataFile, pa.RecordBatch]]:
        """The rows of some of the files, in order, with their types; `names` are the wanted columns."""
        wanted = self.columns.only(names)
        for file in files:
            for batch in self.files[file].texts(wanted.names):
                known = set(batch.schema.names)
                arrays = [
                    from_text(batch.column(f.name), f.type) if f.name in known else pa.nulls(batch.num_rows, f.type)
                    for f in wanted
                ]
                yield file, pa.RecordBatch.from_arrays(arrays, schema=wanted)


def _scan(one: CsvFile, found: dict[str, TextColumn]) -> tuple[CsvFile, int]:
    """Record a file's values in `found`; return the file with blocks that are large enough, and its number of rows."""
    while True:
        rows = 0
        try:
            for name in one.names:
                found.setdefault(name, TextColumn())
            for batch in one.texts(one.names):
                rows += batch.num_rows
                for name, texts in zip(batch.schema.names, batch.columns, strict=True):
                    found[name].add(texts)
        except _LongRowError:
            # again from the beginning: what was seen of the columns stays true
            if one.block_bytes >= MAX_BLOCK_BYTES:
                fix = "Check its quotes: one that is not closed makes the rest of the file one value."
                raise one.file.error(f"after row {rows} there is a row of more than 1 GiB", fix) from None
            one = replace(one, block_bytes=one.block_bytes * 4)
        else:
            return one, rows


def _has_more(content: io.BufferedReader) -> bool:
    """Test for rows after the position, skipping empty lines."""
    while content.peek(1)[:1] in (b"\n", b"\r"):
        content.read(1)
    return bool(content.peek(1))


def _header(file: DataFile, content: io.BufferedReader) -> tuple[list[str], str]:
    """Read the names of the columns and the delimiter; the content is then at the first row.

    A column without a name gets the name that pandas gives it, which writes its index that way.
    """
    if not _has_more(content):
        raise file.error("it is empty", "Name a file with data in it.", reason="no_data")
    lines = _lines(file, content)
    first = next(lines)
    delimiter = _delimiter(file, first)
    try:
        names = next(csv.reader(_with_first(first, lines), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise file.error(f"its header cannot be read: {error}", "Make the first line the names of columns.") from error
    return [name or f"Unnamed: {i}" for i, name in enumerate(names)], delimiter


def _with_first(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _lines(file: DataFile, content: io.BufferedReader) -> Iterator[str]:
    while line := content.readline(MAX_HEADER_BYTES):
        if len(line) == MAX_HEADER_BYTES:
            raise file.error("its header is longer than 1 MiB", "Make the first line the names of columns.")
        yield line.decode()


def _delimiter(file: DataFile, header: str) -> str:
    if ".tsv" in file.suffixes:
        return "\t"
    return next((mark for mark in ",;\t" if mark in header), ",")
