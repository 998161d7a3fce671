"""Read samples of webdatasets: tar archives whose members of one name are the columns of a row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from hugflow.formats.parquet_rows import ROW_ERROR
from hugflow.formats.webdataset import TarSamples, plain_tar
from hugflow.hf_client.features import media_suffixes
from hugflow.publish.sources.features import Columns, columns_of, fitted
from hugflow.publish.sources.files import DataFile
from hugflow.publish.sources.media import FEATURES
from hugflow.publish.sources.unify import unify


@dataclass(frozen=True, slots=True)
class TarFiles:
    """Tar archives, with the columns that fit the samples of all of them. `rows` counts those of each archive."""

    columns: Columns
    rows: Mapping[DataFile, int]
    notes: tuple[str, ...] = ()

    @classmethod
    def open(cls, files: Sequence[DataFile]) -> TarFiles:
        """Read all archives once, for their columns. Raises InvalidRequest for a sample with something missing."""
        parts, rows = [], {}
        for file in files:
            schema, rows[file] = _scan(file)
            parts.append((file, _with_media(columns_of(schema, file.error))))
        return cls(unify(parts).columns, rows)

    def parts(
        self, files: Iterable[DataFile], names: Sequence[str] | None
    ) -> Iterator[tuple[DataFile, pa.RecordBatch]]:
        """The samples of some of the archives, in order; `names` are the wanted columns."""
        wanted = self.columns.only(names)
        for file in files:
            for table in _tables(file):
                for batch in table.combine_chunks().to_batches():
                    yield file, fitted(batch, wanted)


def _scan(file: DataFile) -> tuple[pa.Schema, int]:
    schema, rows = None, 0
    for table in _tables(file):
        schema, rows = table.schema.remove_metadata(), rows + table.num_rows
    if schema is None:
        raise file.error("it has no samples", "Name a file with data in it.", reason="no_data")
    return schema, rows


def _tables(file: DataFile) -> Iterator[pa.Table]:
    with _opened(file) as samples:
        for table in samples.tables():
            for problem in table.column(ROW_ERROR).to_pylist():
                if problem is not None:
                    raise file.error(_sentence(problem), "Correct the archive, or leave the sample out of it.")
            yield table.drop_columns([ROW_ERROR])


@contextmanager
def _opened(file: DataFile) -> Iterator[TarSamples]:
    with file.opened() as content:
        # the path of this machine is nobody's business
        yield TarSamples.open(plain_tar(content), file.name, _is_media, {})


def _is_media(name: str) -> bool:
    return _media(name) is not None


def _media(name: str) -> str | None:
    return media_suffixes().get("." + name.lower().rpartition(".")[2])


def _with_media(columns: Columns) -> Columns:
    features: dict[str, Any] = dict(columns.features)
    for name in features:
        if (kind := _media(name)) is not None:
            features[name] = dict(FEATURES[kind])
    return Columns(columns.schema, features)


def _sentence(problem: Any) -> str:
    return str(problem["message"] if isinstance(problem, Mapping) else problem)
