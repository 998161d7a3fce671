"""Readers for the files of a dataset: our own where they are exact, else those of `datasets`.

Audio and images are never decoded, so neither torch nor torchcodec is needed. Each file has types of its own.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast

import datasets
import pyarrow as pa
from datasets.packaged_modules.webdataset.webdataset import WebDataset
from datasets.table import table_cast

from hugflow.formats.compression import Open, contents
from hugflow.formats.csv_rows import can_read, csv_rows, csv_tables
from hugflow.formats.json_lines import Row, json_rows, json_tables
from hugflow.formats.json_values import decoded, has_json
from hugflow.formats.rows import json_array
from hugflow.formats.webdataset import FIRST_BYTES, TarSamples, plain_tar
from hugflow.hf_client.read.limited_process import renew_time

READ_ROWS = 1000
FIRST_SAMPLES = 20


@dataclass(frozen=True, slots=True)
class Reader:
    """The packaged module of `datasets` that files belong to, with the settings and features of the card."""

    module: str
    settings: Mapping[str, Any]
    features: datasets.Features | None = None

    def tables(self, files: list[Path], url: str = "") -> Iterator[pa.Table]:
        """Read the rows of `files`, in order, as tables with types of their own; `url` is `__url__` in webdatasets."""
        if self.module == "webdataset":
            for file in files:
                yield from _samples(file, url, self.features)
        elif self.reads_rows:
            for file in files:
                yield from self.tables_of_rows(partial(self.rows, partial(_open, file), file.name))
        else:
            yield from self.by_datasets(files)

    @property
    def reads_rows(self) -> bool:
        """Tell whether files are read row by row, by `rows` and `tables_of_rows`."""
        return self.module == "json" or (self.module == "csv" and can_read(self.settings))

    def rows(self, open_file: Open, path: str) -> Iterator[tuple[Row, int]]:
        """Read the rows of a JSON or CSV file, with the length of each in characters; `path` says how it is packed."""
        for content in contents(open_file, path):
            if self.module == "csv":
                rows = csv_rows(content, self.settings)
            else:
                rows = json_rows(
                    content,
                    encoding=self.settings.get("encoding", "utf-8"),
                    errors=self.settings.get("encoding_errors"),
                    field=self.settings.get("field"),
                )
            for number, row in enumerate(rows, 1):
                if number % READ_ROWS == 0:
                    renew_time()  # the first of two readings, for types, gives no tables
                yield row

    def tables_of_rows(self, rows: Callable[[], Iterator[tuple[Row, int]]]) -> Iterator[pa.Table]:
        """Return rows of JSON or CSV as tables; the card's features, where it has them, decide about the types."""
        schema = self.features.arrow_schema if self.features is not None else pa.schema([])
        if self.module == "csv":
            tables = csv_tables(rows, {field.name for field in schema if not pa.types.is_primitive(field.type)})
        else:
            tables = json_tables(rows, {field.name: field.type for field in schema if has_json(field.type)})
        for table in tables:
            yield table if self.features is None else _cast(table, self.features)

    def by_datasets(self, files: list[Path]) -> Iterator[pa.Table]:
        """Read the rows of `files` by the builder that `datasets` has for them, in tables with types of their own.

        A stream of `datasets` casts all tables to the types of the first.
        """
        with tempfile.TemporaryDirectory(prefix="hugflow-") as cache:
            builder = datasets.load_dataset_builder(
                self.module,
                data_files={"rows": [str(file) for file in files]},
                cache_dir=cache,
                features=self.features,
                **_EXACT.get(self.module, {}) | dict(self.settings),
            )
            (split,) = builder._split_generators(datasets.StreamingDownloadManager())  # noqa: SLF001 - as a stream does
            for _, table in builder._generate_tables(**split.gen_kwargs):  # noqa: SLF001 - the same
                yield _without_guesses(table) if self.module == "csv" and self.features is None else table


def _open(file: Path) -> BinaryIO:
    return file.open("rb")


def _cast(table: pa.Table, features: datasets.Features) -> pa.Table:
    """Return rows of JSON or CSV with the types of the card's features; columns that it does not name stay as they are.

    So do media that are objects: as `datasets` casts them, samples need torchcodec.
    """
    arrays: dict[str, Any] = {name: table.column(name) for name in table.column_names}
    declared = {}
    for field in features.arrow_schema:
        array = arrays.pop(field.name, pa.nulls(table.num_rows))
        is_media = isinstance(features[field.name], datasets.Audio | datasets.Image)
        if is_media and not (pa.types.is_string(array.type) or pa.types.is_null(array.type)):
            arrays[field.name] = array
            continue
        if pa.types.is_string(field.type) and not pa.types.is_string(array.type):
            values = [decoded(value, array.type) for value in array.to_pylist()]
            array = json_array(values, field.type)
        elif has_json(array.type) and not has_json(field.type):
            # numbers and objects with optional keys, which the features give types for
            values = [decoded(value, array.type) for value in array.to_pylist()]
            array = pa.array(values, field.type if pa.types.is_primitive(field.type) else None)
        declared[field.name] = array
    cast = table_cast(pa.table(declared), datasets.Features({name: features[name] for name in declared}).arrow_schema)
    for name, array in arrays.items():
        cast = cast.append_column(name, array)
    return cast


# pandas takes the nearest float only when asked to; parquet is read a few rows at a time, not by row group
_EXACT: dict[str, dict[str, Any]] = {"csv": {"float_precision": "round_trip"}, "parquet": {"batch_size": 100}}


def _without_guesses(table: pa.Table) -> pa.Table:
    """Give columns without any value the type null: pandas calls them floats, and a later part may hold anything."""
    for i, field in enumerate(table.schema):
        if table.num_rows and table.column(i).null_count == table.num_rows:
            table = table.set_column(i, field.name, pa.nulls(table.num_rows))
    return table


# -- webdatasets -----------------------------------------------------------------------------------------------------

_MEDIA: dict[str, type] = {
    **dict.fromkeys(WebDataset.IMAGE_EXTENSIONS, datasets.Image),
    **dict.fromkeys(WebDataset.AUDIO_EXTENSIONS, datasets.Audio),
}


def first_samples(open_file: Open, features: datasets.Features | None) -> pa.Schema:
    """Return the schema of the first samples of a tar on the Hub: it names the members that most samples have."""
    with open_file() as file, _seekable(file, FIRST_BYTES) as content:
        is_media = partial(_is_media, features)
        return TarSamples.open(content, "", is_media, WebDataset.DECODERS, FIRST_SAMPLES).schema()


def _samples(file: Path, url: str, features: datasets.Features | None) -> Iterator[pa.Table]:
    with file.open("rb") as raw, _seekable(raw, None, file.parent) as content:
        yield from TarSamples.open(content, url, partial(_is_media, features), WebDataset.DECODERS).tables()


@contextmanager
def _seekable(file: BinaryIO, most: int | None, folder: Path | None = None) -> Iterator[BinaryIO]:
    """Open the content of a tar for reading at any position; of a compressed one, unpack `most` bytes to a file."""
    content = plain_tar(file)
    if content is file:
        yield file
        return
    with tempfile.TemporaryFile(prefix="hugflow-", dir=folder) as unpacked:
        left = most
        while block := content.read(min(1 << 20, left) if left is not None else 1 << 20):
            unpacked.write(block)
            left = None if left is None else left - len(block)
        unpacked.seek(0)
        yield cast("BinaryIO", unpacked)


def _is_media(features: datasets.Features | None, name: str) -> bool:
    return media_feature(name, features) is not None


def media_feature(name: str, features: datasets.Features | None = None) -> datasets.Audio | datasets.Image | None:
    """The feature of a sample's member, by the card or by its suffix: audio, image, or None."""
    if features is not None and name in features:
        known = features[name]
        return known if isinstance(known, datasets.Audio | datasets.Image) else None
    kind = _MEDIA.get(name.rpartition(".")[2].lower())
    return kind() if kind else None
