"""Reads metadata files of audio and image folders with our own CSV and JSON lines readers, which are exact."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Any

import datasets
import pyarrow as pa
from datasets.features.features import require_storage_cast
from datasets.packaged_modules.folder_based_builder.folder_based_builder import FolderBasedBuilder
from datasets.table import table_cast
from datasets.utils.file_utils import xopen

from hugflow.formats.csv_rows import csv_rows, csv_tables
from hugflow.formats.json_lines import BATCH_ROWS, json_rows, json_tables
from hugflow.formats.json_values import JSON, decoded, dumps, has_json, to_array
from hugflow.formats.parquet_rows import ROW_ERROR


def read_metadata_exactly(builder: FolderBasedBuilder) -> set[str]:
    """Make a builder read its metadata.csv and metadata.jsonl exactly; return the names of columns of JSON, once known.

    `datasets` would interpret these columns: they pass it as JSON texts, and `example_tables` restores them.
    """
    by_datasets = builder._read_metadata  # noqa: SLF001 - the builder's own point of extension
    names: set[str] = set()

    def read(metadata_file: str, metadata_ext: str = "") -> Iterator[pa.Table]:
        open_file = partial(xopen, metadata_file, "rb")
        if builder.config.filters is not None or metadata_ext not in (".csv", ".jsonl"):
            yield from by_datasets(metadata_file, metadata_ext=metadata_ext)
            return
        if metadata_ext == ".csv":
            tables = csv_tables(lambda: csv_rows(open_file, {}))
        else:
            tables = json_tables(lambda: json_rows(open_file))
        for table in tables:
            if ROW_ERROR in table.column_names:
                error = next(filter(None, table.column(ROW_ERROR).to_pylist()))
                raise ValueError(f"a line of the metadata cannot be read: {error['message']}")
            yield _as_texts(table, names)

    builder._read_metadata = read  # noqa: SLF001 - the same
    return names


def _as_texts(table: pa.Table, names: set[str]) -> pa.Table:
    for i, field in enumerate(table.schema):
        if has_json(field.type):
            names.add(field.name)
            values = [decoded(value, field.type) for value in table.column(i).to_pylist()]
            texts = pa.array([None if value is None else dumps(value).decode() for value in values], pa.string())
            table = table.set_column(i, field.name, texts)
    return table


def example_tables(builder: FolderBasedBuilder, json_columns: set[str]) -> Iterator[pa.Table]:
    """Return the rows of a builder with the types of its features; `json_columns` become of the type `arrow.json`.

    A stream of `datasets` would find the types of each part of the rows by itself, and fail where a value is missing.
    """
    (split,) = builder._split_generators(datasets.StreamingDownloadManager())  # noqa: SLF001 - as a stream does
    # a builder keeps metadata files in a set, whose order is chance
    files = split.gen_kwargs | {"metadata_files": sorted(split.gen_kwargs["metadata_files"], key=str)}
    examples = builder._generate_examples(**files)  # noqa: SLF001 - the same
    features = builder.info.features
    while batch := [example for _, example in islice(examples, BATCH_ROWS)]:
        arrays = {
            name: _array([row.get(name) for row in batch], name, features, is_json=name in json_columns)
            for name in features
        }
        yield pa.table(arrays)


def _array(values: list[Any], name: str, features: datasets.Features, *, is_json: bool) -> pa.Array:
    kind = JSON if is_json else features.arrow_schema.field(name).type
    if has_json(kind):
        return to_array([decoded(value, kind) for value in values], kind)
    if not require_storage_cast(features[name]):
        with suppress(pa.ArrowInvalid, pa.ArrowTypeError):
            return pa.array(values, kind)
    # paths become media, names class labels, and numbers texts where the card says so
    schema = datasets.Features({name: features[name]}).arrow_schema
    return table_cast(pa.table({name: pa.array(values)}), schema).column(0)
