"""Read rows of text files, a line each, and of XML files, a file each, as `datasets` reads them."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from hugflow.publish.sources.features import Columns, columns_of
from hugflow.publish.sources.files import DataFile

BATCH_BYTES = 4 << 20
MAX_TEXT_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class TextFiles:
    """Text or XML files. `rows` counts those of each file."""

    kind: str
    columns: Columns
    rows: Mapping[DataFile, int]
    notes: tuple[str, ...] = ()

    @classmethod
    def open(cls, files: Sequence[DataFile], kind: str) -> TextFiles:
        """Count the rows of all files. Raises InvalidRequest for what is not UTF-8."""
        columns = columns_of(pa.schema([(kind, pa.string())]), files[0].error)
        table = cls(kind, columns, dict.fromkeys(files, 0))
        rows = dict.fromkeys(files, 0)
        for file, batch in table.parts(rows, None):
            rows[file] += batch.num_rows
        return cls(kind, columns, rows)

    def parts(
        self, files: Iterable[DataFile], names: Sequence[str] | None
    ) -> Iterator[tuple[DataFile, pa.RecordBatch]]:
        """The rows of some of the files, in order; `names` are the wanted columns."""
        wanted = self.columns.only(names)
        for file in files:
            for texts in _lines(file) if self.kind == "text" else _whole(file):
                arrays = [pa.array(texts, pa.string()) for _ in wanted]
                yield file, pa.RecordBatch.from_arrays(arrays, schema=wanted)


def _lines(file: DataFile) -> Iterator[list[str]]:
    """The lines of a file, without their ends, those of Windows and of old Macs included."""
    texts: list[str] = []
    size = 0
    with file.unpacked() as content, io.TextIOWrapper(content, "utf-8") as text:
        while line := text.readline(MAX_TEXT_BYTES):
            if len(line) == MAX_TEXT_BYTES:
                raise file.error("it has a line of more than 1 GiB", "Write shorter lines.")
            texts.append(line.removesuffix("\n"))
            size += len(line)
            if size >= BATCH_BYTES:
                yield texts
                texts, size = [], 0
    if texts:
        yield texts


def _whole(file: DataFile) -> Iterator[list[str]]:
    with file.unpacked() as content:
        text = content.read(MAX_TEXT_BYTES)
        if len(text) == MAX_TEXT_BYTES:
            raise file.error("it has more than 1 GiB", "Write smaller files.")
        with io.TextIOWrapper(io.BytesIO(text), "utf-8") as decoded:
            yield [decoded.read()]
